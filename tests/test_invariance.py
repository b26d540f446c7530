"""No table depends on the order of rows, the names of things, or the units that columns are measured in.

The density's identities are in tests/bayes/test_collapsed.py; here the whole way from a file to the tables is held.
What is not drawn is the same to rounding. What is drawn is the same within its Monte Carlo error: draws go to units and
groups in their order.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.jobs.compare import compare
from cbec_bayes.jobs.fit import fit_file
from tests.support.bad_inputs import table

EXACT = ("no_pooling", "no_pooling_se", "complete_pooling", "estimate", "se", "crv1_se", "cr2_se", "crv3_se")
DRAWN = {"mean": 5, "sd": 10, "ci_low": 20, "ci_high": 20, "partial_mean": 5, "complete_mean": 5, "no_mean": 5}
"""Slopes; with how many Monte Carlo errors of the mean two seeds may differ."""

SHARES = {"p_positive": 0.02, "pooling_factor": 0.06, "wild_p": 0.03, "probability": 0.05}
"""Probabilities and shares that are counted among draws, with five Monte Carlo errors."""


def panel() -> pd.DataFrame:
    return table(15, 6, seed=5).drop(index=[3, 40, 41]).reset_index(drop=True)


def tables(frame: pd.DataFrame, folder, model: str) -> dict[str, pd.DataFrame]:
    frame.to_parquet(folder / "panel.parquet")
    found = fit_file(
        folder / "panel.parquet",
        outcome="y",
        exposure="d",
        controls=["x"],
        unit="city",
        time="year",
        group="region",
        model=model,
        seed=6,
    )
    compared = compare(found.fit, found.ssc, seed=6)
    return {
        "effects": found.effects,
        "classical": found.classical[found.classical["term"] == "d"],
        "contrasts": found.contrasts,
        "ranks": found.ranks,
        "compare": compared.assign(mcse=compared[["complete_mcse", "no_mcse", "partial_mcse"]].max(axis=1)),
    }


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return cache(lambda model: tables(panel(), tmp_path_factory.mktemp("plain"), model))


def assert_same(found, expected, factor=1.0):
    """Slopes are those expected times a factor."""
    assert found.keys() == expected.keys()
    for name, other in expected.items():
        one = found[name].reset_index(drop=True)
        two = other.reset_index(drop=True)
        numbers = [column for column in two.columns if pd.api.types.is_numeric_dtype(two[column])]
        pd.testing.assert_frame_equal(one.drop(columns=numbers), two.drop(columns=numbers))
        pd.testing.assert_frame_equal(one[numbers].isna(), two[numbers].isna())
        for column in (*EXACT, *DRAWN, *SHARES, "df", "p", "n_obs", "n_units", "r2"):
            if column not in two:
                continue
            size = factor if column in (*EXACT, *DRAWN) else 1.0
            theirs = size * two[column].astype(float)
            limit = 1e-6 * theirs.abs() + 1e-9 * size + SHARES.get(column, 0.0)
            if column in DRAWN and "mcse" in two:
                limit += DRAWN[column] * size * two["mcse"].fillna(0)
            apart = (one[column].astype(float) - theirs).abs().fillna(0)
            assert (apart <= limit.fillna(0)).all(), f"{name}, {column}:\n{pd.concat([apart, limit], axis=1)}"


@pytest.mark.parametrize("model", ["partial_pooling", "ar1", "group_variance"])
def test_the_order_of_rows_and_columns_does_not_matter(plain, tmp_path, model):
    """Groups stay in the order in which they are first met, which tables follow."""
    rng = np.random.default_rng(1)
    frame = panel()
    first = frame["region"].drop_duplicates().index
    rows = [*first, *rng.permutation(frame.index.difference(first))]
    other = frame.loc[rows].iloc[:, rng.permutation(frame.shape[1])].assign(note="x")
    assert list(other["city"].unique()) != list(frame["city"].unique())
    assert_same(tables(other, tmp_path, model), plain(model))


def test_names_of_units_and_the_origin_of_time_do_not_matter(plain, tmp_path):
    frame = panel()
    known = frame["city"].unique()
    names = [f"{name} {k}" for k, name in enumerate(np.random.default_rng(2).permutation(known))]
    other = frame.assign(city=frame["city"].map(dict(zip(known, names, strict=True))), year=frame["year"] - 2009)
    assert_same(tables(other, tmp_path, "partial_pooling"), plain("partial_pooling"))


@pytest.mark.parametrize(("a", "c"), [(1e-8, 1.0), (1.0, 1e8), (1e8, 1e-8)])
def test_units_of_measurement_do_not_matter(plain, tmp_path, a, c):
    """y -> a y + 3 a, d -> c d + 2 c, x -> 1e4 x - 1e4."""
    frame = panel()
    other = frame.assign(y=a * frame["y"] + 3 * a, d=c * frame["d"] + 2 * c, x=1e4 * frame["x"] - 1e4)
    assert_same(tables(other, tmp_path, "partial_pooling"), plain("partial_pooling"), a / c)
