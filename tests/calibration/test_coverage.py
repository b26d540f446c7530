"""Coverage: intervals that must cover do, the data are what they are said to be, chunks do not matter."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cbec_bayes.calibration.coverage import (
    CLASSICAL,
    COVERAGE_COLUMNS,
    SCENARIOS,
    SLOPE,
    Outcomes,
    coverage,
    intervals,
    simulate,
)
from cbec_bayes.calibration.simulate import simulated_regressors
from cbec_bayes.reporting.calibration import _coverage_table
from cbec_bayes.runtime.fanout import SERIAL
from tests.support.gates import WIDE, missing_gates

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def outcomes_of(name: str, n: int = 1_500):
    design = simulated_regressors(np.random.default_rng(5))
    rng = np.random.default_rng(6)
    drawn = [simulate(BY_NAME[name], design, rng) for _ in range(n)]
    return design, np.array([one.y for one in drawn]), np.array([one.truth["group_slopes"] for one in drawn])


def noise_of(design, y, slopes):
    """Outcomes less their slopes, and less unit and time means: what residuals and effects of units leave."""
    fitted = slopes[:, design.group] * design.x[:, 0] + SLOPE * design.x[:, 1:].sum(axis=1)
    return (y - fitted).reshape(len(y), len(design.units), -1)


def test_residuals_and_effects_are_those_of_the_scenario():
    design, y, slopes = outcomes_of("serial correlation")
    left = noise_of(design, y, slopes)
    change = np.diff(left, axis=2) - np.diff(left, axis=2).mean(axis=1, keepdims=True)
    n = 30 / 29  # of changes about their mean over units
    # Of AR(1) errors with correlation .6 changes have variance 2 (1 - .6) and covariance -(1 - .6)^2.
    assert change.var() * n == pytest.approx(2 * (1 - 0.6), rel=0.02)
    assert (change[:, :, 1:] * change[:, :, :-1]).mean() * n == pytest.approx(-((1 - 0.6) ** 2), rel=0.05)
    assert slopes.std() == pytest.approx(0.3, rel=0.05)
    assert abs(slopes.mean() - SLOPE) < 4 * 0.3 / np.sqrt(slopes.size)


def test_effects_rise_with_the_exposure_where_they_should():
    for name, slope in (("correlated effects", 1.0), ("slopes by group", 0.0)):
        design, y, slopes = outcomes_of(name, 300)
        level = noise_of(design, y, slopes).mean(axis=2)
        mean = design.x[:, 0].reshape(30, -1).mean(axis=1)
        found = ((level - level.mean(axis=1, keepdims=True)) @ (mean - mean.mean())) / mean.var() / 30
        assert found.mean() == pytest.approx(slope, abs=4 * found.std() / np.sqrt(len(found)))


def test_spreads_of_groups_differ_threefold_and_slopes_of_units_do():
    design, y, slopes = outcomes_of("unequal spread", 400)
    left = noise_of(design, y, slopes)
    left = left - left.mean(axis=2, keepdims=True)
    group = np.asarray(design.group).reshape(30, -1)[:, 0]
    variances = []
    for r in range(4):
        own = left[:, group == r]
        about = own - own.mean(axis=1, keepdims=True)  # period effects are the same for all
        variances.append((about**2).mean(axis=(1, 2)) * 8 / 7 * own.shape[1] / (own.shape[1] - 1))
    variance = np.array(variances)
    assert np.median(np.sqrt(variance.max(axis=0) / variance.min(axis=0))) == pytest.approx(3, rel=0.15)
    assert variance.mean() == pytest.approx(1, rel=0.05)
    assert BY_NAME["slopes by unit"].kappa == BY_NAME["slopes by unit"].tau


@pytest.mark.slow
def test_exact_intervals_cover():
    """With equal slopes and independent residuals complete pooling covers .95 up to its prior of sigma, and CR2 too."""
    found = coverage(SERIAL, 300, scenarios=[BY_NAME["equal slopes"]], models=["complete_pooling"])
    assert tuple(found.columns) == COVERAGE_COLUMNS
    rows = found[found["column"] == "(all)"].set_index("method")
    for method in (CLASSICAL[1], "complete_pooling"):
        covered = round(rows.loc[method, "coverage"] * 300)
        assert stats.binomtest(covered, 300, 0.95).pvalue > 1e-3, method
    assert rows.loc["complete_pooling", "bias"] == pytest.approx(0, abs=4 * rows.loc["complete_pooling", "rmse"] / 17)
    assert (found["failed"] == 0).all()
    few = found[found["n_clusters"] == 3].set_index("method")["coverage"]
    assert few[CLASSICAL[0]] < few[CLASSICAL[1]] < few[CLASSICAL[2]]


@pytest.mark.slow
def test_a_model_that_leaves_out_the_correlation_is_found_out():
    found = coverage(SERIAL, 50, scenarios=[BY_NAME["serial correlation"]], models=["no_pooling"])
    rows = found[(found["column"] == "group 1")].set_index("method")
    covered = round(rows.loc["no_pooling", "coverage"] * 50)
    assert stats.binomtest(covered, 50, 0.95, alternative="less").pvalue < 1e-3


def test_classical_numbers_do_not_depend_on_the_models_beside():
    piece = Outcomes(BY_NAME["all at once"], 3, 5, (), 1)
    alone = intervals(piece)
    beside = intervals(Outcomes(piece.scenario, 3, 5, ("complete_pooling",), 1))
    for column, methods in alone.items():
        assert set(methods) == set(CLASSICAL)
        for method, values in methods.items():
            assert beside[column][method] == values
    low, high, middle = np.array(beside["(all)"]["complete_pooling"]).T
    assert ((low < middle) & (middle < high)).all()


def test_a_fit_that_misses_a_gate_counts_neither_as_covering_nor_as_not(monkeypatch):
    asked = {"scenarios": [BY_NAME["slopes by group"]], "models": ["partial_pooling", "complete_pooling"]}
    ordinary = coverage(SERIAL, 6, **asked)
    assert (ordinary["failed"] == 0).all()
    piece = Outcomes(BY_NAME["slopes by group"], 0, 6, ("partial_pooling",), 1)
    kept = {column: methods["partial_pooling"] for column, methods in intervals(piece).items()}
    missing_gates(monkeypatch, {1, 4, *range(6, 12)}, WIDE)  # two fits of the first model, every one of the second
    found = coverage(SERIAL, 6, **asked)
    rows = found[found["method"] == "partial_pooling"].set_index("column")
    assert (rows["failed"] == 2).all()
    assert (rows["replications"] == 4).all()
    for column, values in kept.items():
        low, high, middle = np.array(values)[[0, 2, 3, 5]].T
        assert rows.loc[column, "coverage"] == ((low <= 0) & (high >= 0)).mean()
        assert rows.loc[column, "width_median"] == np.median(high - low)
        assert rows.loc[column, "bias"] == pytest.approx(middle.mean(), rel=1e-12)
    lost = found[found["method"] == "complete_pooling"].squeeze()
    assert (lost["column"], lost["replications"], lost["failed"]) == ("(all)", 0, 6)
    assert np.isnan([lost["coverage"], lost["width_median"], lost["rmse"]]).all()
    classical = found["method"].isin(CLASSICAL)
    assert found[classical].equals(ordinary[classical])
    table = _coverage_table(found, "(all)", 30)
    assert table.caption.endswith(
        " Fits that failed count neither as covering nor as not: 2 of partial_pooling, slopes by group; 6 of "
        "complete_pooling, slopes by group."
    )
    assert ("complete_pooling", "–") in table.rows
    assert _coverage_table(ordinary, "(all)", 30).caption.endswith(" No fit failed.")
