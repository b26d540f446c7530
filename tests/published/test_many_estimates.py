"""Hundreds of estimates, with a posterior of tau that is much narrower than its scale, against a dense grid."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.published.estimates import Estimates, ImpliedError, KnownError
from cbec_bayes.published.mixture import Mixture, Mixtures
from cbec_bayes.published.pooled import one_by_one
from cbec_bayes.published.quadrature import half_line, window
from cbec_bayes.published.summary import TOLERANCE, fit_summary
from cbec_bayes.published.summary_model import SummaryModel

SCALE = 0.6
MODEL = SummaryModel("m", "", Prior("flat", {}), Prior("half_normal", {"scale": SCALE}), 1.0)


def simulated(n: int, tau: float, seed: int = 1) -> Estimates:
    rng = np.random.default_rng(seed)
    errors = rng.uniform(0.05, 0.5, n)
    values = 0.2 + rng.normal(0, 1, n) * np.hypot(tau, errors)
    return Estimates(tuple(f"g{i}" for i in range(n)), values, tuple(KnownError(float(s), "") for s in errors))


def by_grid(estimates: Estimates, low: float, high: float, n: int = 4001):
    """Return weights, tau, and mean and variance of the common slope, on an even grid of tau, endpoints halved."""
    tau = np.linspace(low, high, n)
    total = estimates.typical**2 + tau[:, None] ** 2
    variance = 1 / (1 / total).sum(axis=1)
    mean = (estimates.values / total).sum(axis=1) * variance
    squares = ((estimates.values - mean[:, None]) ** 2 / total).sum(axis=1)
    log_p = (np.log(variance) - np.log(total).sum(axis=1) - squares) / 2 - (tau / SCALE) ** 2 / 2
    weights = np.exp(log_p - log_p.max())
    weights[[0, -1]] /= 2
    return weights / weights.sum(), tau, mean, variance


@pytest.mark.parametrize(("n", "tau", "ends"), [(800, 0.3, (0.2, 0.4)), (800, 2.0, (1.6, 2.5)), (60, 0.1, (0, 0.5))])
def test_a_dense_grid_agrees(n, tau, ends):
    estimates = simulated(n, tau)
    posterior = fit_summary(estimates, MODEL)
    assert posterior.error <= TOLERANCE
    weights, grid, mean, variance = by_grid(estimates, *ends)
    assert posterior.tau_mean() == pytest.approx(weights @ grid, rel=1e-7)
    assert posterior.tau_sd() == pytest.approx(math.sqrt(weights @ grid**2 - (weights @ grid) ** 2), rel=1e-5)
    assert posterior.common().mean == pytest.approx(weights @ mean, abs=1e-7)
    numbers = posterior.groups()
    total = estimates.typical**2 + grid[:, None] ** 2
    share = estimates.typical**2 / total
    slopes = (1 - share) * estimates.values + share * mean[:, None]
    variances = share * grid[:, None] ** 2 + share**2 * variance[:, None]
    np.testing.assert_allclose(numbers.mean, weights @ slopes, atol=1e-7)
    np.testing.assert_allclose(numbers.p_positive, weights @ special.ndtr(slopes / np.sqrt(variances)), atol=1e-7)
    for end, p in ((numbers.ci_low, 0.025), (numbers.ci_high, 0.975)):
        np.testing.assert_allclose(weights @ special.ndtr((end - slopes) / np.sqrt(variances)), p, atol=1e-7)


@pytest.mark.parametrize("tau", [0.0, 0.3])
def test_the_distribution_of_tau_is_that_of_the_grid(tau):
    estimates = simulated(400, tau)
    posterior = fit_summary(estimates, MODEL)
    for p in (0.025, 0.3, 0.975):
        end = posterior.tau_quantile(p)
        assert posterior.tau_cdf(end) == pytest.approx(p, abs=1e-9)
        below, everything = (unnormalised(estimates, high) for high in (end, 0.8))
        assert below / everything == pytest.approx(p, abs=1e-6)


def unnormalised(estimates: Estimates, high: float) -> float:
    """Return the mass of tau below a value by Simpson's rule, relative to the largest density."""

    def log_p(tau):
        total = estimates.typical**2 + tau[:, None] ** 2
        variance = 1 / (1 / total).sum(axis=1)
        mean = (estimates.values / total).sum(axis=1) * variance
        squares = ((estimates.values - mean[:, None]) ** 2 / total).sum(axis=1)
        return (np.log(variance) - np.log(total).sum(axis=1) - squares) / 2 - (tau / SCALE) ** 2 / 2

    tau = np.linspace(0, high, 2001)
    simpson = np.ones(2001)
    simpson[1:-1:2], simpson[2:-1:2] = 4, 2
    reference = log_p(np.linspace(0, 0.8, 401)).max()
    return float(simpson @ np.exp(log_p(tau) - reference)) * high / 2000 / 3


def test_the_numbers_of_all_groups_at_once_are_those_of_each():
    posterior = fit_summary(simulated(40, 0.2), MODEL)
    one, all_ = one_by_one(posterior), posterior.groups()
    for name in ("mean", "sd", "ci_low", "ci_high", "p_positive"):
        np.testing.assert_allclose(getattr(all_, name), getattr(one, name), rtol=1e-10, atol=1e-11)


def test_the_same_rows_in_another_order_are_the_same():
    estimates = simulated(50, 0.2)
    order = np.random.default_rng(3).permutation(50)
    other = Estimates(
        tuple(estimates.labels[i] for i in order), estimates.values[order], tuple(estimates.errors[i] for i in order)
    )
    a, b = fit_summary(estimates, MODEL), fit_summary(other, MODEL)
    np.testing.assert_allclose(b.groups().mean, a.groups().mean[order], atol=1e-9)
    assert b.log_evidence == pytest.approx(a.log_evidence, abs=1e-8)


def test_a_group_more_crosses_from_the_whole_line_to_its_part_without_a_step():
    """Twelve estimates are integrated along the whole line, the same and an imprecise one along a part of it."""
    few = simulated(12, 0.2)
    more = Estimates((*few.labels, "none"), np.append(few.values, 0.0), (*few.errors, KnownError(1e6, "")))
    a, b = fit_summary(few, MODEL), fit_summary(more, MODEL)
    assert b.tau_mean() == pytest.approx(a.tau_mean(), rel=1e-6)
    np.testing.assert_allclose(b.groups().mean[:12], a.groups().mean, atol=1e-6)


@settings(max_examples=30)
@given(st.floats(-2, 20), st.floats(1e-4, 0.5))
def test_a_narrow_peak_is_found_on_a_long_line(place, width):
    found = window(lambda y: -(((y - place) / width) ** 2) / 2, half_line(1.0), 40.0)
    assert found.low <= max(place - 8.9 * width, -3.75)
    assert found.high >= place + 8.9 * width
    assert found.high - found.low <= 30 * width


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.floats(0.001, 0.999))
def test_quantiles_together_are_quantiles_apart(seed, probability):
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(30, 0.3))
    means, variances = rng.normal(0, 10.0 ** rng.uniform(-3, 3, 20), (30, 20)), 10.0 ** rng.uniform(-6, 6, (30, 20))
    variances[0, 0] = 0.0
    together = Mixtures(weights, means, variances).quantile(probability)
    for g in range(20):
        one = Mixture(weights, means[:, g], variances[:, g])
        near = 1e-9 * max(abs(together[g]), math.sqrt(variances[:, g].min()))
        assert one.cdf(together[g] - near) <= probability + 1e-9
        assert one.cdf(together[g] + near) >= probability - 1e-9


def test_a_few_errors_implied_by_stars_beside_many_that_are_known():
    """A band so narrow that it is a known error gives the answer of this one."""
    known = simulated(60, 0.2)
    q = 2.5
    band = ImpliedError(float(known.values[0]), q, q * (1 + 1e-9), math.inf)
    errors = (KnownError(abs(float(known.values[0])) / q, ""), *known.errors[1:])
    a = fit_summary(Estimates(known.labels, known.values, (band, *known.errors[1:])), MODEL)
    b = fit_summary(Estimates(known.labels, known.values, errors), MODEL)
    np.testing.assert_allclose(a.groups().mean, b.groups().mean, atol=1e-7)
    assert a.tau_quantile(0.9) == pytest.approx(b.tau_quantile(0.9), rel=1e-6)


def test_three_thousand_estimates_need_few_nodes():
    posterior = fit_summary(simulated(3000, 0.3), MODEL)
    assert posterior.error <= TOLERANCE
    assert posterior.n_nodes < 200
    assert posterior.tau_sd() < 0.01
