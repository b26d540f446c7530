"""Joint tests of leads: dense algebra, and how often they reject where nothing happens before adoption."""

from __future__ import annotations

import numpy as np
import pytest

from cbec_bayes.classical.events.paths import SUN_ABRAHAM, TWFE, fit_saturated, path_of_cells, twfe_path
from cbec_bayes.classical.events.pretrends import bias_reduced_test, clustered_test
from cbec_bayes.classical.transformed import regress
from cbec_bayes.panel.adoption import adoption_of
from tests.support.staggered import staggered

ROWS = pytest.mark.parametrize("drop", [0.0, 0.2], ids=["balanced", "unbalanced"])


@ROWS
def test_one_lead_is_tested_by_its_square(drop):
    adoption = adoption_of(staggered(cohorts=(2003, 2003, 0), drop=drop, n_units=30))
    assert adoption.leads == (-2,)
    path = twfe_path(adoption, "fixest")
    found = clustered_test(path, len(adoption.design.units))
    assert found.leads == (-2,)
    assert found.test.statistic == pytest.approx((path.estimate[0] / path.se[0]) ** 2)
    reduced = bias_reduced_test(adoption, TWFE, "fixest")
    slopes = regress(_dynamic(adoption), "levels")
    assert reduced.test.statistic == pytest.approx((slopes.estimate[0] / slopes.cr2_se[0]) ** 2, rel=1e-8)
    # Of one cohort both regressions are one.
    other = bias_reduced_test(adoption, SUN_ABRAHAM, "fixest")
    assert (other.test.statistic, other.test.df2) == pytest.approx((reduced.test.statistic, reduced.test.df2))


def _dynamic(adoption):
    times = (-2, *adoption.lags)
    columns = (adoption.event_time[:, None] == np.array(times)) & adoption.has_cohort[:, None]
    names = tuple(f"e{e}" for e in times)
    return adoption.design.with_regressors((*names, "x"), np.column_stack([columns, adoption.design.x[:, 1:]]))


def test_the_clustered_test_is_the_wald_statistic_written_out():
    adoption = adoption_of(staggered())
    path = path_of_cells(SUN_ABRAHAM, fit_saturated(adoption, "fixest", leads=True))
    found = clustered_test(path, len(adoption.design.units))
    at = [k for k, e in enumerate(path.event_times) if e < 0]
    own = path.estimate[at]
    expected = own @ np.linalg.solve(path.covariance[np.ix_(at, at)], own) / len(at)
    assert found.test.statistic == pytest.approx(expected)
    assert (found.test.df, found.test.df2) == (len(at), 31)


def test_without_leads_there_is_no_test():
    adoption = adoption_of(staggered(cohorts=(2002, 0)))
    path = twfe_path(adoption, "fixest")
    assert clustered_test(path, 32).test.reason == "there is no period before the reference"
    assert bias_reduced_test(adoption, TWFE, "fixest").test.reason == "there is no period before the reference"


def test_more_leads_than_units_have_no_test():
    adoption = adoption_of(staggered(n_units=8, n_times=9, cohorts=(2009, 2009, 2008, 0)))
    path = twfe_path(adoption, "fixest")
    assert "too few" in clustered_test(path, 8).test.reason


def test_trends_before_adoption_are_found_and_none_is_seldom_found():
    """Of 60 panels without a trend: a share of rejections at 5 % within four of its own errors."""
    rejected = [
        bias_reduced_test(adoption_of(staggered(seed, noise=1.0)), SUN_ABRAHAM, "fixest").test.p < 0.05
        for seed in range(60)
    ]
    assert np.mean(rejected) < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 60)
    design = staggered(noise=0.1)
    cohort = adoption_of(design).has_cohort
    trending = design.rows(np.ones(design.n_obs, dtype=bool))
    y = trending.y + 0.5 * cohort * trending.time
    from dataclasses import replace

    found = adoption_of(replace(trending, y=y))
    for estimator in (TWFE, SUN_ABRAHAM):
        assert bias_reduced_test(found, estimator, "fixest").test.p < 0.01
