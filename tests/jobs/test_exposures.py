"""Several exposures, from the commands, by a formula and from Python."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pandas as pd
import pytest

import cbec_bayes as cb
from cbec_bayes.bayes.fit import draw_scales
from cbec_bayes.classical.equal_slopes import EqualityOptions
from cbec_bayes.estimands.contrasts import contrasts
from cbec_bayes.estimands.exposures import contrasts_of_exposures, group_draws, of_exposure
from cbec_bayes.estimands.summary import CONTRAST_COLUMNS
from cbec_bayes.jobs.compare import COMPARE_COLUMNS, compare
from cbec_bayes.jobs.differences import (
    DIFFERENCE_COLUMNS,
    EVIDENCE,
    POSTERIOR,
    TAU,
    WITHIN_ROPE,
    differences,
    evidence_row,
    led_by,
)
from cbec_bayes.jobs.fit import fit_folder
from cbec_bayes.jobs.report import report_fit
from cbec_bayes.panel import Roles
from cbec_bayes.panel.formula import label, read_formula
from cbec_bayes.reporting.paneltables import panel_tables
from cbec_bayes.runtime.errors import InputError
from tests.support.called import heard
from tests.support.pages import COMPARED

BOTH = ["--exposure", "x", "--exposure", "v"]
KEYS = ["--unit", "firm", "--time", "year", "--group", "region"]
QUICK = ["--model", "partial_pooling", "--no-neighbours", "--quiet"]


def table() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    firm, year = np.divmod(np.arange(24 * 6), 6)
    found = pd.DataFrame({"firm": firm, "year": 2010 + year, "region": np.array(list("abcd"))[firm % 4]})
    found = found.assign(**{name: rng.normal(size=144) for name in ("x", "v", "w")})
    slopes = np.array([0.2, 0.6, 1.0, 1.4])[firm % 4]
    found["y"] = slopes * found["x"] - slopes * found["v"] + rng.normal(size=24)[firm] + 0.5 * rng.normal(size=144)
    return found


@pytest.fixture
def program(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table().to_csv("p.csv", index=False)

    return partial(heard, capsys)


def test_option_and_formula_write_the_same_table(program, tmp_path, monkeypatch):
    columns = ["--outcome", "y", *BOTH, "--control", "w", *KEYS]
    formula = ["--formula", "y ~ w + v + x | firm + year", *BOTH, "--group", "region"]
    assert program("fit", "--data", "p.csv", *columns, *QUICK, "--out", "one") == (0, "", "")
    assert program("fit", "--data", "p.csv", *formula, *QUICK, "--out", "two") == (0, "", "")
    one, two = (pd.read_csv(tmp_path / folder / "effects_of_exposures.csv") for folder in ("one", "two"))
    pd.testing.assert_frame_equal(one, two)
    assert one["exposure"].unique().tolist() == ["x", "v"]
    first = pd.read_csv(tmp_path / "one" / "effects.csv")
    pd.testing.assert_series_equal(one["mean"][: len(first)], first["mean"])
    settings = json.loads((tmp_path / "one" / "fit.json").read_text())
    assert (settings["exposure"], settings["further"], settings["controls"]) == ("x", ["v"], ["w"])
    again = fit_folder(tmp_path / "one")
    exact = ["no_pooling", "no_pooling_se", "complete_pooling", "mean", "sd", "ci_low", "ci_high", "pooling_factor"]
    np.testing.assert_allclose(again.effects_of_exposures[exact], one[exact], rtol=1e-6)
    assert any("effects_of_exposures.csv has those of v as well" in note for note in again.notes)
    monkeypatch.setattr(COMPARED, lambda: ("partial_pooling", "complete_pooling"))
    tables = panel_tables(report_fit(again), 3)
    shown = tables["effects_of_exposures"].rows
    assert [row[1] for row in shown[1:5]] == list("abcd")
    assert {row[0] for row in shown} == {"x", "v"}
    assert "exposure_2_compare" in tables
    assert tables["exposure_2_differences"].caption.startswith("v: ")
    compared = again.files()["contrasts.csv"].splitlines()
    assert compared[0].endswith(",exposure")


@pytest.fixture(scope="module")
def both():
    """Both exposures pooled, and the same fit with their places changed."""
    asked = {"data": table(), "group": "region"}
    first = cb.fit("y ~ x + v + w | firm + year", "partial_pooling", exposure=["x", "v"], **asked)
    return first, cb.fit("y ~ x + v + w | firm + year", "partial_pooling", exposure=["v", "x"], **asked)


def test_each_exposure_has_the_contrasts_that_it_has_as_the_first(both):
    """Exact given the scales, of which either fit has draws of its own: apart by Monte Carlo error and no more."""
    one, other = (contrasts_of_exposures(found) for found in both)
    assert one.columns[-1] == "exposure"
    assert tuple(one.columns[:-1]) == CONTRAST_COLUMNS
    assert one["exposure"].tolist() == ["x"] * 6 + ["v"] * 6
    keys = ["exposure", "group", "minus"]
    together = one.merge(other, on=keys, suffixes=("", "_other"))
    assert len(together) == 12
    apart = (together["mean"] - together["mean_other"]) / np.hypot(together["mcse"], together["mcse_other"])
    assert apart.abs().max() < 5
    np.testing.assert_allclose(together["sd"], together["sd_other"], rtol=0.05)
    # Slopes of v are those of x with the other sign: so are their differences.
    assert (one["mean"][:6] < 0).all()
    assert (one["mean"][6:] > 0).all()


def test_contrasts_are_differences_of_the_draws_of_slopes(both):
    found = both[0]
    table = contrasts_of_exposures(found)
    for name in ("x", "v"):
        draws = group_draws(found, name)
        own = table[(table["exposure"] == name) & (table["group"] == "a") & (table["minus"] == "d")].iloc[0]
        difference = draws[:, 0] - draws[:, 3]
        assert own["mean"] == pytest.approx(difference.mean(), abs=5 * own["sd"] / np.sqrt(len(difference)))
        assert own["sd"] == pytest.approx(difference.std(), rel=0.1)


def test_each_exposure_has_the_differences_that_it_has_as_the_first(both):
    quick = EqualityOptions(replications=99, permutations=99, pair_permutations=19)
    one, other = (differences(found, quick) for found in both)
    assert tuple(one.columns) == (*DIFFERENCE_COLUMNS, "exposure")
    for name in ("x", "v"):
        own, same = of_exposure(one, name), of_exposure(other, name)
        assert own[["test", "groups", "controls"]].equals(same[["test", "groups", "controls"]])
        tests = ~own["test"].isin([TAU, WITHIN_ROPE, POSTERIOR, EVIDENCE])
        for number in ("statistic", "df", "df2", "p", "estimate", "se"):
            np.testing.assert_allclose(own.loc[tests, number], same.loc[tests, number], rtol=1e-8, atol=1e-10)
        told, again = (frame[frame["test"] == EVIDENCE].iloc[0] for frame in (own, same))
        assert told["statistic"] < -3  # slopes do differ
        assert abs(told["statistic"] - again["statistic"]) < 5 * np.hypot(told["mcse"], again["mcse"])
        tau, twin = (frame[frame["test"] == TAU].iloc[0] for frame in (own, same))
        assert abs(tau["estimate"] - twin["estimate"]) < 5 * np.hypot(tau["mcse"], twin["mcse"])


def test_evidence_of_a_scale_held_at_zero_is_that_of_the_member_without_it():
    found = cb.fit("y ~ x + v | firm + year", "partial_pooling", data=table(), group="region", exposure="x")
    held = draw_scales(found.collapsed.holding({"tau": 0.0}), draws=1_000, chains=1, seed=1, pilot=2_000).evidence
    row = evidence_row(found)
    error = np.hypot(held.mcse, row["mcse"])
    assert held.value - found.log_evidence == pytest.approx(row["statistic"], abs=5 * error)


def test_each_exposure_is_compared_as_it_is_as_the_first(both):
    one, other = (compare(found, replications=49) for found in both)
    assert tuple(one.columns) == (*COMPARE_COLUMNS, "exposure")
    for name in ("x", "v"):
        own, same = of_exposure(one, name), of_exposure(other, name)
        assert own["column"].tolist() == ["(1)", "(2)", "a", "b", "c", "d"]
        for number in ("estimate", "crv1_se", "cr2_se", "crv3_se", "wild_p"):
            np.testing.assert_allclose(own[number], same[number], rtol=1e-8)
        assert own["partial_mean"][1:].notna().all()
        assert own["no_mean"][2:].notna().all()
        apart = (own["partial_mean"] - same["partial_mean"]).abs()[1:]
        assert (apart < 5 * np.hypot(own["partial_mcse"], same["partial_mcse"])[1:]).all()


def test_one_exposure_has_the_files_that_it_had():
    found = cb.fit("y ~ x + v | firm + year", "partial_pooling", data=table(), group="region", exposure="x")
    pd.testing.assert_frame_equal(contrasts_of_exposures(found), contrasts(found))
    quick = EqualityOptions(replications=49, permutations=19, pair_permutations=19)
    assert tuple(differences(found, quick).columns) == DIFFERENCE_COLUMNS
    assert led_by(found.design, "x") is found.design


def test_from_python():
    found = cb.fit("y ~ x + v + w | firm + year", "partial_pooling", data=table(), group="region", exposure=["x", "v"])
    assert found.design.exposures == ("x", "v")
    assert found.design.controls == ("w",)
    assert "exposure x, v; controls w" in str(found.design)


def test_exposures_come_first_and_lags_are_of_the_first():
    found = read_formula("y ~ w + v + x | firm + year", exposure=["x", "v"], lags=1)
    assert [label(term) for term in found.terms] == ["x", "v", "l(x, 1)", "w"]
    assert found.n_exposures == 2
    with pytest.raises(InputError, match="names x twice"):
        read_formula("y ~ x + v | firm + year", exposure=["x", "x"])
    with pytest.raises(InputError, match="given as exposure and as control"):
        Roles(outcome="y", exposure="x", further=("w",), controls=("w",), unit="u", time="t")


def test_moments_have_one_exposure(program):
    code, _, said = program("moments", "p.csv", "--outcome", "y", *BOTH, *KEYS, "--out", "m.nc")
    assert code == 2
    assert "moments can have only one exposure" in said
