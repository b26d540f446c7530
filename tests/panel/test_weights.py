"""Weights of a panel's rows: which are taken, which are refused, and what the within transformation makes of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.panel import make_panel
from cbec_bayes.panel import weights as weights_module
from cbec_bayes.panel.design import make_design
from cbec_bayes.panel.formula import read_formula
from cbec_bayes.panel.spread import spread_of
from cbec_bayes.panel.within import TwoWay
from cbec_bayes.runtime.errors import InputError
from tests.support.panels import GROUPED, table, with_cell

ANALYTIC = replace(GROUPED, weights="w")
FREQUENCY = replace(ANALYTIC, weights_kind="frequency")


def frame(**columns: object) -> pd.DataFrame:
    rows = table(n_units=6, n_times=5)
    return rows.assign(**{"w": 1.0 + np.arange(len(rows)) % 4, **columns})


@pytest.mark.parametrize(
    ("value", "roles", "message"),
    [
        (None, ANALYTIC, "the weight is missing"),
        (-1.0, ANALYTIC, "the weight is negative"),
        (2.5, FREQUENCY, "a frequency weight must be a whole number"),
        (np.inf, ANALYTIC, "the value is infinite"),
        ("much", ANALYTIC, "'much' is not a number"),
    ],
)
def test_a_weight_that_is_none_is_refused_with_its_row(value, roles, message):
    with pytest.raises(InputError, match=message) as caught:
        make_panel(with_cell(frame(), 7, "w", value), roles)
    assert (caught.value.row, caught.value.column) == (7, "w")


def test_other_rows_with_the_same_fault_are_named():
    rows = with_cell(with_cell(frame(), 7, "w", -1.0), 9, "w", -2.0)
    with pytest.raises(InputError, match="so it is in row 9"):
        make_panel(rows, ANALYTIC)


def test_a_weight_of_a_row_that_is_left_out_is_not_asked_for():
    rows = with_cell(with_cell(frame(), 7, "w", None), 7, "y", None)
    assert make_panel(rows, ANALYTIC).n_obs == len(rows) - 1


def test_a_row_of_weight_zero_is_left_out_and_stands_in_the_ledger():
    found = make_panel(with_cell(frame(), 7, "w", 0.0), ANALYTIC)
    assert found.n_obs == len(frame()) - 1
    entry = found.ledger.iloc[0]
    assert (entry["row"], entry["column"], entry["action"]) == (7, "w", "dropped")
    assert entry["reason"] == "its weight 'w' is zero"


def test_weights_are_of_a_known_kind_and_of_a_column_of_their_own():
    with pytest.raises(InputError, match="unknown kind of weights 'analytical'"):
        replace(ANALYTIC, weights_kind="analytical")
    with pytest.raises(InputError, match="given as control and as weights"):
        replace(ANALYTIC, weights="z")


def test_copies_beyond_what_can_be_laid_out_are_refused(monkeypatch):
    monkeypatch.setattr(weights_module, "MOST_COPIES", 50)
    with pytest.raises(InputError, match="add up to 73 rows, more than the 50 that can be held"):
        make_panel(frame(), FREQUENCY)


def test_frequency_weights_make_copies_and_analytic_ones_are_one_on_average():
    rows = frame()
    copies, weighted = make_design(make_panel(rows, FREQUENCY)), make_design(make_panel(rows, ANALYTIC))
    again = rows.loc[rows.index.repeat(rows["w"].astype(int))]
    np.testing.assert_array_equal(copies.y, again["y"])
    np.testing.assert_array_equal(copies.x, again[["x", "z"]])
    assert copies.weight is None
    np.testing.assert_allclose(weighted.weight, rows["w"] / rows["w"].mean(), rtol=1e-14)
    part = weighted.of_group("east")
    np.testing.assert_array_equal(part.weight, weighted.weight[rows["group"] == "east"])


def test_a_formula_may_have_weights():
    formula = replace(read_formula("y ~ x + log(z + 9) | unit + time", group="group"), weights="w")
    found = make_design(make_panel(frame(), formula))
    np.testing.assert_allclose(found.weight, frame()["w"] / frame()["w"].mean(), rtol=1e-14)


@pytest.mark.parametrize("share", [1.0, 0.7])
def test_what_effects_leave_is_weighted_least_squares_on_their_indicators(share):
    rng = np.random.default_rng(4)
    kept = rng.random(80) < share
    unit, time = (codes[kept] for codes in np.divmod(np.arange(80), 8))
    weight = rng.gamma(1.5, size=len(unit)) + 0.05
    columns = rng.normal([0.0, 1e3, -5.0], size=(len(unit), 3))
    effects = TwoWay(unit, time, weight)
    root = np.sqrt(weight)[:, None]
    dummies = root * np.column_stack([unit[:, None] == np.arange(10), time[:, None] == np.arange(8)])
    expected = root * columns - dummies @ np.linalg.lstsq(dummies, root * columns)[0]
    np.testing.assert_allclose(effects.within(columns), expected, atol=1e-9)
    assert effects.rank == np.linalg.matrix_rank(dummies)
    # Standard deviations are those of the weighted sums of squares.
    spread = spread_of(columns.T, time.astype(float), effects)
    about = columns - np.average(columns, axis=0, weights=weight)
    np.testing.assert_allclose(spread.total, np.sqrt(weight @ about**2 / (len(unit) - 1)), rtol=1e-10)
    free = len(unit) - effects.rank
    np.testing.assert_allclose(spread.within, np.linalg.norm(expected, axis=0) / np.sqrt(free), rtol=1e-8)


def test_weights_of_one_are_none():
    unit, time = np.divmod(np.arange(40), 8)
    columns = np.random.default_rng(4).normal(size=(40, 2))
    one, other = TwoWay(unit, time), TwoWay(unit, time, np.ones(40))
    np.testing.assert_allclose(one.within(columns), other.within(columns), atol=1e-14)
    found, same = (spread_of(columns.T, time.astype(float), effects) for effects in (one, other))
    np.testing.assert_allclose(found.total, same.total, rtol=1e-12)
    assert found.elapsed == pytest.approx(same.elapsed, rel=1e-12)
