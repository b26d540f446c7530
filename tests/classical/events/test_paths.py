"""Effects by event time, held against pyfixest and dense least squares."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.classical.events.gardner import gardner_path, two_stages
from cbec_bayes.classical.events.paths import (
    SATURATED,
    SUN_ABRAHAM,
    combined,
    fit_saturated,
    path_of_cells,
    twfe_path,
)
from cbec_bayes.classical.fits import pyfixest
from cbec_bayes.panel.adoption import Adoption, adoption_of
from cbec_bayes.panel.design import Design
from tests.support.staggered import first_period, growing, staggered

TOLERANCE = 1e-8
ROWS = pytest.mark.parametrize("drop", [0.0, 0.2], ids=["balanced", "unbalanced"])


def frame_of(design: Design) -> pd.DataFrame:
    first = first_period(design)
    time = np.asarray(design.times)[design.time].astype(int)
    return pd.DataFrame(
        {
            "y": design.y,
            "x": design.x[:, 1] if design.x.shape[1] > 1 else 0.0,
            "unit": design.unit,
            "year": time,
            "g": first.astype(int),
            "treat": design.x[:, 0] > 0,
            "rel": np.where(first > 0, time - first, -1.0).astype(int),
        }
    )


def by_pyfixest(formula: str, frame: pd.DataFrame) -> Any:
    from pyfixest.demeaners import MapDemeaner

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pyfixest().feols(
            formula, frame, vcov={"CRV1": "unit"}, demeaner=MapDemeaner(fixef_tol=1e-13, fixef_maxiter=100_000)
        )


@ROWS
def test_two_way_leads_and_lags_are_those_of_pyfixest(drop):
    design = staggered(drop=drop)
    path = twfe_path(adoption_of(design), "fixest")
    theirs = by_pyfixest("y ~ i(rel, ref=-1) + x | unit + year", frame_of(design))
    for k, event in enumerate(path.event_times):
        name = f"rel::{event}"
        assert path.estimate[k] == pytest.approx(float(theirs.coef()[name]), rel=TOLERANCE)
        assert path.se[k] == pytest.approx(float(theirs.se()[name]), rel=TOLERANCE)
    static = by_pyfixest("y ~ treat + x | unit + year", frame_of(design))
    assert (path.average, path.average_se) == pytest.approx((static.coef().iloc[0], static.se().iloc[0]), rel=TOLERANCE)


def test_the_saturated_regression_is_that_of_pyfixest():
    design = staggered(control=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = pyfixest().event_study(
            frame_of(design).drop(columns=["rel", "treat"]),
            "y",
            "unit",
            "year",
            "g",
            cluster="unit",
            estimator="saturated",
        )
        shares = theirs.aggregate()
    fit = fit_saturated(adoption_of(design), "fixest", leads=True)
    assert np.isfinite(fit.estimate).all()
    found = theirs.tidy()["Estimate"]
    for k in range(fit.cells.size):
        cohort = int(adoption_of(design).cohorts[fit.cells.cohort[k]])
        name = f"rel_time::{float(fit.cells.event_time[k])}:first_treated_period::{cohort}"
        assert fit.estimate[k] == pytest.approx(float(found[name]), abs=TOLERANCE)
        assert np.sqrt(fit.covariance[k, k]) == pytest.approx(float(theirs.se()[name]), rel=1e-6)
    path = path_of_cells(SUN_ABRAHAM, fit)
    for event, estimate, se in zip(path.event_times, path.estimate, path.se, strict=True):
        if event != 0:  # pyfixest 0.60 gives event time zero no weight
            assert estimate == pytest.approx(float(shares.loc[event, "Estimate"]), abs=TOLERANCE)
            assert se == pytest.approx(float(shares.loc[event, "Std. Error"]), rel=1e-6)


@ROWS
def test_two_stages_are_those_of_pyfixest(drop):
    design = staggered(drop=drop, control=None)
    frame = frame_of(design)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = pyfixest().did2s(
            frame,
            "y",
            first_stage="~ 0 | unit + year",
            second_stage="~ i(rel, ref=-1)",
            treatment="treat",
            cluster="unit",
        )
    path = gardner_path(adoption_of(design))
    close = TOLERANCE if drop == 0 else 1e-4  # pyfixest's first stage stops at a tolerance
    for k, event in enumerate(path.event_times):
        assert path.estimate[k] == pytest.approx(float(theirs.coef()[f"rel::{event}"]), abs=close)
        assert path.se[k] == pytest.approx(float(theirs.se()[f"rel::{event}"]), rel=max(close, 1e-6))


@ROWS
def test_two_stages_are_one_dense_system_of_moments(drop):
    """First and second stage with every dummy written out, and the sandwich of the stacked moments."""
    adoption = adoption_of(staggered(drop=drop))
    design, untreated = adoption.design, ~adoption.treated
    dummies = [
        design.unit[:, None] == np.arange(len(design.units)),
        design.time[:, None] == np.arange(1, len(design.times)),
    ]
    first = np.column_stack([*dummies, design.x[:, 1:]]).astype(float)
    theta = np.linalg.lstsq(first[untreated], design.y[untreated])[0]
    left = design.y - first @ theta
    second = design.x[:, :1]
    effect = np.linalg.lstsq(second, left)[0]
    own = first * untreated[:, None]
    bread = np.block([[own.T @ own, np.zeros((first.shape[1], 1))], [second.T @ first, second.T @ second]])
    moments = np.column_stack([own * left[:, None], second * (left - second @ effect)[:, None]])
    by_unit = np.stack([moments[design.unit == u].sum(axis=0) for u in range(len(design.units))])
    expected = np.linalg.solve(bread, by_unit.T)[-1]
    estimate, scores = two_stages(adoption, second)
    assert estimate == pytest.approx(effect, rel=TOLERANCE)
    assert float(scores[:, 0] @ scores[:, 0]) == pytest.approx(float(expected @ expected), rel=TOLERANCE)


def test_without_controls_a_balanced_panel_has_one_saturated_regression_and_imputation():
    adoption = adoption_of(staggered(control=None))
    two_stage, cells = gardner_path(adoption), path_of_cells(SATURATED, fit_saturated(adoption, "fixest", leads=False))
    lags = [k for k, e in enumerate(two_stage.event_times) if e >= 0]
    assert two_stage.estimate[lags] == pytest.approx(cells.estimate, rel=TOLERANCE)
    assert two_stage.average == pytest.approx(cells.average, rel=TOLERANCE)


def truth(adoption: Adoption) -> dict[int, float]:
    first = np.asarray(adoption.cohorts)[adoption.cohort[adoption.design.unit]]
    effects = growing(first, adoption.event_time)
    return {e: float(effects[adoption.treated & (adoption.event_time == e)].mean()) for e in adoption.lags}


@ROWS
@pytest.mark.parametrize(
    "cohorts", [(2004, 2004, 2006, 0), (2004, 2006, 2006, 2008)], ids=["never treated", "all treated"]
)
def test_without_noise_all_but_two_way_effects_are_the_true_ones(drop, cohorts):
    adoption = adoption_of(staggered(noise=0.0, drop=drop, cohorts=cohorts))
    expected = truth(adoption)
    paths = [
        path_of_cells(SUN_ABRAHAM, fit_saturated(adoption, "fixest", leads=True)),
        path_of_cells(SATURATED, fit_saturated(adoption, "fixest", leads=False)),
        gardner_path(adoption),
    ]
    for path in paths:
        for event, estimate in zip(path.event_times, path.estimate, strict=True):
            assert estimate == pytest.approx(expected.get(event, 0.0), abs=1e-7), path.estimator
    biased = dict(zip((path := twfe_path(adoption, "fixest")).event_times, path.estimate, strict=True))
    assert max(abs(biased[e] - expected[e]) for e in expected) > 0.01


@ROWS
def test_cells_by_group_are_means_of_the_effects_of_a_group(drop):
    adoption = adoption_of(staggered(noise=0.0, drop=drop))
    fit = fit_saturated(adoption, "fixest", leads=False, by_group=True)
    first = np.asarray(adoption.cohorts)[adoption.cohort[adoption.design.unit]]
    effects = growing(first, adoption.event_time)
    for group in (0, 1):
        path = path_of_cells(SATURATED, fit, group)
        rows = adoption.treated & (adoption.design.group == group)
        assert path.average == pytest.approx(float(effects[rows].mean()), abs=1e-7)


def test_a_sum_is_lost_only_where_a_lost_estimate_has_a_weight():
    estimate, covariance = np.array([1.0, np.nan, 3.0]), np.diag([1.0, np.nan, 4.0])
    weights = np.array([[0.5, 0.0, 0.5], [0.0, 1.0, 0.0]])
    sums, found = combined(weights, estimate, covariance)
    assert sums[0] == 2.0
    assert found[0, 0] == pytest.approx(1.25)
    assert np.isnan(sums[1])
    assert np.isnan(found[1]).all()


def test_a_period_effect_that_untreated_rows_do_not_tell_leaves_no_effect():
    """The only untreated rows of the last period are of a unit that has no other untreated row."""
    design = staggered(cohorts=(2004, 2006, 0, 2007), n_units=8, control=None)
    never = np.isin(design.unit, [2, 6])
    kept = ~never | ((design.unit == 2) & (design.time == 8))
    adoption = adoption_of(design.rows(kept))
    path = gardner_path(adoption)
    lost = {e for e, value in zip(path.event_times, path.estimate, strict=True) if np.isnan(value)}
    last = adoption.design.time == len(adoption.design.times) - 1
    assert lost == {int(e) for e in adoption.event_time[last & adoption.treated]} | (lost - set(adoption.lags))
    assert np.isnan(path.average)
