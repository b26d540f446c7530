"""Classical meta-analysis: closed forms, limits, dense matrices, and what shifts, scales and orders do."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from cbec_bayes.classical.meta.heterogeneity import (
    METHODS,
    heterogeneity,
    intercept,
    paule_mandel,
    reml,
    restricted_log_likelihood,
    tau2_interval,
    weighted,
)
from cbec_bayes.classical.meta.pooling import ESTIMATORS, SHOWN, meta_regression, pool, uncorrelated
from cbec_bayes.classical.meta.selection import can_be_selected, selection_log_likelihood, selection_model, significant
from cbec_bayes.classical.meta.small_studies import can_be_tested, egger_weighted
from tests.support.meta import SETS, data_of


def drawn(seed: int, n: int = 9) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    v = rng.uniform(0.05, 2.0, n) ** 2
    return rng.normal(0.3, np.sqrt(v + 0.4**2)), v


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("seed", range(4))
def test_shift_scale_and_order_do_what_they_must(seed, estimator):
    y, v = drawn(seed)
    base = pool(y, v, ESTIMATORS[estimator], 0.9)
    order = np.random.default_rng(seed).permutation(len(y))
    for scale, shift in ((1.0, 7.5), (-3e4, 0.0), (2e-5, 1e-4)):
        moved = pool((scale * y + shift)[order], (scale**2 * v)[order], ESTIMATORS[estimator], 0.9)
        ends = sorted((scale * base.low + shift, scale * base.high + shift))
        assert moved.estimate == pytest.approx(scale * base.estimate + shift, rel=1e-8)
        assert moved.se == pytest.approx(abs(scale) * base.se, rel=1e-8)
        assert (moved.low, moved.high) == pytest.approx(ends, rel=1e-8)
        assert moved.tau2 == pytest.approx(scale**2 * base.tau2, rel=1e-7)
        assert moved.tau2_high == pytest.approx(scale**2 * base.tau2_high, rel=1e-7, nan_ok=True)
        assert moved.heterogeneity.i2 == pytest.approx(base.heterogeneity.i2, rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("spread", [0.1, 1.0, 3.0])
def test_equal_variances_have_closed_forms(method, spread):
    """Every estimator of tau^2 is the variance of the estimates less that within, and nothing below zero."""
    y, v = spread * np.array([0.3, -1.2, 0.9, 2.2, 0.1, -0.4]), np.full(6, 0.25)
    expected = max(0.0, y.var(ddof=1) - 0.25)
    found = METHODS[method](y, v, intercept(6))
    assert found == pytest.approx(expected, rel=1e-8, abs=1e-12)
    pooled = pool(y, v, ESTIMATORS[SHOWN], 0.95)
    assert pooled.estimate == pytest.approx(y.mean(), rel=1e-12)
    assert pooled.se == pytest.approx(y.std(ddof=1) / math.sqrt(6), rel=1e-8)  # whatever tau^2 is
    exact = stats.ttest_1samp(y, 0.0)
    assert pooled.p == pytest.approx(exact.pvalue, rel=1e-8)
    assert heterogeneity(y, v, intercept(6)).q == pytest.approx(5 * y.var(ddof=1) / 0.25, rel=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_reml_is_the_highest_point_of_a_dense_likelihood(seed):
    """The density of contrasts that do not depend on the regressors, from full matrices on a fine grid."""
    y, v = drawn(seed)
    x = np.column_stack([np.ones_like(y), np.linspace(-1, 1, len(y)) ** 2])
    contrasts = np.linalg.svd(x)[0][:, 2:].T  # rows are orthogonal to the columns of x
    found = reml(y, v, x)

    def dense(tau2: float) -> float:
        whole = contrasts @ np.diag(v + tau2) @ contrasts.T
        return float(stats.multivariate_normal.logpdf(contrasts @ y, np.zeros(len(whole)), whole))

    grid = np.concatenate([[0.0], np.geomspace(1e-6, 30, 400), found * np.linspace(0.9, 1.1, 201)])
    heights = [dense(tau2) for tau2 in grid]
    assert dense(found) >= max(heights) - 1e-12
    constants = [dense(tau2) - restricted_log_likelihood(y, v, x, tau2) for tau2 in (0.0, 0.1, 4.0)]
    assert constants == pytest.approx([0.0] * 3, abs=1e-8)


@pytest.mark.parametrize("seed", range(4))
def test_a_weighted_regression_is_that_of_full_matrices(seed):
    y, v = drawn(seed)
    x = np.column_stack([np.ones_like(y), np.sin(np.arange(len(y)))])
    fit = weighted(y, v, x, 0.3)
    w = np.diag(1 / (v + 0.3))
    inverse = np.linalg.inv(x.T @ w @ x)
    p = w - w @ x @ inverse @ x.T @ w
    np.testing.assert_allclose(fit.coefficients, inverse @ x.T @ w @ y, rtol=1e-10)
    np.testing.assert_allclose(fit.inverse, inverse, rtol=1e-10)
    assert (fit.squares, fit.trace) == pytest.approx((float(y @ p @ y), float(np.trace(p))), rel=1e-10)


def test_a_restricted_likelihood_with_two_maxima_gives_the_higher():
    """Two precise estimates that differ, and many imprecise ones that do not: climbing from zero ends too low."""
    y = np.array([0.0, 1.0, 9.0, -9.0, 8.5, -8.8, 9.3])
    v = np.array([1e-4, 1e-4, 4.0, 4.0, 4.0, 4.0, 4.0])
    grid = np.geomspace(1e-8, 1e4, 4000)
    heights = np.array([restricted_log_likelihood(y, v, intercept(7), tau2) for tau2 in grid])
    found = reml(y, v, intercept(7))
    assert restricted_log_likelihood(y, v, intercept(7), found) >= heights.max() - 1e-10


def test_the_interval_of_tau_is_where_q_has_its_quantiles():
    y, v = data_of("bcg")
    low, high = tau2_interval(y, v, intercept(13), 0.9)
    q = [weighted(y, v, intercept(13), tau2).squares for tau2 in (low, high)]
    assert stats.chi2.sf(q, 12) == pytest.approx([0.05, 0.95], rel=1e-9)
    wide = tau2_interval(y, v, intercept(13), 0.99)
    assert wide[0] < low < high < wide[1]


def test_estimates_alike_have_no_variance_between_them():
    y, v = data_of("alike")
    for estimator in ("dersimonian_laird", "paule_mandel", "reml"):
        assert pool(y, v, ESTIMATORS[estimator], 0.95).tau2 == 0
    common = pool(y, v, ESTIMATORS["common_effect"], 0.95)
    plain, careful = (pool(y, v, ESTIMATORS[name], 0.95) for name in (SHOWN, "reml_knapp_hartung_adhoc"))
    assert plain.se < common.se  # what the ad hoc rule is there for
    assert careful.se == pytest.approx(common.se, rel=1e-12)
    assert (common.heterogeneity.i2, common.heterogeneity.h) == (0.0, 1.0)


def test_one_estimate_is_itself():
    one = pool(np.array([0.4]), np.array([0.04]), ESTIMATORS["common_effect"], 0.95)
    assert (one.estimate, one.se, one.n) == (0.4, 0.2, 1)
    assert one.p == pytest.approx(2 * stats.norm.sf(2.0))
    assert math.isnan(one.tau2_high)


def test_two_estimates_have_a_closed_form():
    y, v = np.array([1.0, 4.0]), np.array([0.5, 0.7])
    found = pool(y, v, ESTIMATORS[SHOWN], 0.95)
    assert paule_mandel(y, v, intercept(2)) == pytest.approx(4.5 - 0.6, rel=1e-9)  # half the square, less the mean of v
    assert found.tau2 == pytest.approx(4.5 - 0.6, rel=1e-9)
    assert found.df == 1
    assert math.isfinite(found.prediction_high)


@pytest.mark.parametrize("seed", range(3))
def test_correlated_estimates_are_those_of_full_matrices(seed):
    y, v = drawn(seed)
    rng = np.random.default_rng(seed + 50)
    half = rng.normal(size=(len(y), len(y)))
    covariance = np.diag(v) + half @ half.T / 20
    found = meta_regression(*uncorrelated(y, covariance, intercept(len(y))), ESTIMATORS["reml"], 0.95)
    inverse = np.linalg.inv(covariance + found.tau2 * np.eye(len(y)))
    variance = 1 / inverse.sum()
    assert found.coefficients[0] == pytest.approx(variance * (inverse @ y).sum(), rel=1e-9)
    assert found.se[0] == pytest.approx(math.sqrt(variance), rel=1e-9)
    apart = meta_regression(*uncorrelated(y, np.diag(v), intercept(len(y))), ESTIMATORS["reml"], 0.95)
    assert apart.tau2 == pytest.approx(pool(y, v, ESTIMATORS["reml"], 0.95).tau2, rel=1e-9)


def test_egger_s_slope_is_that_of_least_squares_on_precision():
    """Egger's own form: estimate over error regressed on one over error; the constant is the slope of ours."""
    y, v = data_of("raudenbush1985")
    found = egger_weighted(y, v, 0.95)
    theirs = stats.linregress(1 / np.sqrt(v), y / np.sqrt(v))
    assert found.slope == pytest.approx(theirs.intercept, rel=1e-9)
    assert found.se == pytest.approx(theirs.intercept_stderr, rel=1e-9)
    assert found.limit == pytest.approx(theirs.slope, rel=1e-9)


def test_what_cannot_be_tested_is_told_apart():
    assert not can_be_tested(np.array([0.1, 0.2]))
    assert not can_be_tested(np.full(9, 0.1))
    assert can_be_tested(np.array([0.1, 0.2, 0.2]))
    y, v = np.array([3.0, 2.5, 4.0, 2.2]), np.ones(4)
    assert not can_be_selected(y, v, above=True)
    assert not can_be_selected(y, v, above=False)
    assert can_be_selected(np.array([3.0, 2.5, 0.1, 0.2]), v, above=True)
    assert significant(np.array([1.96, 1.95, -2.0]), np.ones(3), above=True).tolist() == [True, False, False]


@pytest.mark.parametrize("name", [name for name in SETS if "selection" in SETS[name]])
def test_the_selection_model_is_the_highest_point_around(name):
    """The likelihood by numerical integration of the weighted density, at and around what is found."""
    y, v = data_of(name)
    above = SETS[name]["selection"]["side"] == "greater"
    found = selection_model(y, v, above=above, prob=0.95)
    at = np.array([found.estimate, found.tau2, found.delta])
    assert _integrated(y, v, at, above) == pytest.approx(found.log_likelihood, abs=1e-6)
    rng = np.random.default_rng(3)
    for _ in range(300):
        near = at * np.exp(rng.normal(0, 0.3, 3)) + [rng.normal(0, 0.1), abs(rng.normal(0, 0.01)), 0.0]
        assert selection_log_likelihood(y, v, tuple(near), above=above) <= found.log_likelihood + 1e-9


def _integrated(y: np.ndarray, v: np.ndarray, at: np.ndarray, above: bool) -> float:
    mean, tau2, delta = at
    nodes, weights = np.polynomial.legendre.leggauss(200)
    total = 0.0
    for one, variance in zip(y if above else -y, v, strict=True):
        sd, centre = math.sqrt(variance + tau2), mean if above else -mean
        cut = stats.norm.isf(0.025) * math.sqrt(variance)
        ends = np.sort([centre - 12 * sd, min(max(cut, centre - 12 * sd), centre + 12 * sd), centre + 12 * sd])
        area = 0.0
        for low, high in pairwise(ends):
            x = low + (high - low) * (nodes + 1) / 2
            weight = np.where(x >= cut, 1.0, delta)
            area += float((weights * weight * stats.norm.pdf(x, centre, sd)).sum() * (high - low) / 2)
        total += math.log((1.0 if one >= cut else delta) * stats.norm.pdf(one, centre, sd) / area)
    return total


def test_selection_that_is_simulated_is_found():
    """4,000 studies, of which those that are not significant are published one time in four."""
    rng = np.random.default_rng(11)
    v = rng.uniform(0.05, 0.4, 12_000) ** 2
    y = rng.normal(0.15, np.sqrt(v + 0.1**2))
    kept = significant(y, v, above=True) | (rng.uniform(size=len(y)) < 0.25)
    found = selection_model(y[kept], v[kept], above=True, prob=0.95)
    assert abs(found.estimate - 0.15) < 4 * found.se
    assert found.delta == pytest.approx(0.25, rel=0.15)
    assert found.statistic_p < 1e-10
    biased = pool(y[kept], v[kept], ESTIMATORS["reml"], 0.95)
    assert biased.estimate - 0.15 > 10 * biased.se
    mirrored = selection_model(-y[kept], v[kept], above=False, prob=0.95)
    assert (mirrored.estimate, mirrored.se) == pytest.approx((-found.estimate, found.se), rel=1e-8)


def test_the_width_of_an_interval_follows_its_probability():
    y, v = data_of("bcg")
    widths = [pool(y, v, ESTIMATORS[SHOWN], prob).high for prob in (0.5, 0.8, 0.95, 0.99)]
    assert all(low < high for low, high in pairwise(widths))
