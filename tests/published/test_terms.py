"""Moderators and covariances of errors against dense algebra, and their limits: a diagonal, and no moderator."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg

from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.published.conditional import conditional, problem_of
from cbec_bayes.published.estimates import Estimates, ImpliedError, KnownError
from cbec_bayes.published.pooled import one_by_one
from cbec_bayes.published.results import complete_pooling
from cbec_bayes.published.summary import TOLERANCE, fit_summary
from cbec_bayes.published.summary_model import SummaryModel
from cbec_bayes.published.terms import StatedTerms, Terms, require_positive, require_told
from cbec_bayes.runtime.errors import InputError

FLAT, NORMAL = Prior("flat", {}), Prior("normal", {"mean": 0.1, "sd": 0.7})
BETWEEN = Prior("half_normal", {"scale": 0.5})


def random_terms(seed: int, r: int = 7, m: int = 2, blank: int | None = 3) -> Estimates:
    """Return estimates with a covariance that is full and moderators, one group without an estimate."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0.3, 0.5, r)
    if blank is not None:
        values[blank] = math.nan
    there = ~np.isnan(values)
    root = rng.normal(0, 0.15, (there.sum(), there.sum() + 2))
    covariance = root @ root.T + 0.01 * np.eye(there.sum())
    measured = rng.normal(2, 3, (r, m))
    errors = np.full(r, math.nan)
    errors[there] = np.sqrt(np.diagonal(covariance))
    return Estimates(
        tuple("abcdefghijklmnopqrstuvwxyz"[:r]),
        values,
        tuple(KnownError(float(s), "") if t else None for s, t in zip(errors, there, strict=True)),
        Terms(tuple(f"m{k}" for k in range(m)), measured - measured[there].mean(axis=0), covariance),
    )


def model(slope: Prior = FLAT, between: Prior = BETWEEN) -> SummaryModel:
    return SummaryModel("test", "", slope, between, 1.0)


def dense(estimates: Estimates, prior: Prior, tau: float):
    """Return mean and covariance of (slopes, coefficients, a new slope) given tau, and log p(b), by dense solves."""
    assert estimates.terms is not None
    there = estimates.printed
    everyone = np.hstack([np.ones((len(there), 1)), estimates.terms.moderators])
    b, x = estimates.values[there], everyone[there]
    errors = np.diag(estimates.typical[there] ** 2)
    v = errors if estimates.terms.covariance is None else estimates.terms.covariance
    total = v + tau**2 * np.eye(len(b))
    weight = linalg.inv(total)
    prior_precision, prior_mean = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    if prior.dist == "normal":
        prior_precision[0], prior_mean[0] = prior.params["sd"] ** -2, prior.params["mean"]
    precision = x.T @ weight @ x + np.diag(prior_precision)
    gamma = linalg.solve(precision, x.T @ weight @ b + prior_precision * prior_mean)
    # u given b and gamma, for all groups: those without an estimate keep their prior.
    gain = np.zeros((len(there), len(b)))
    gain[there] = tau**2 * weight
    load = np.vstack([everyone - gain @ x, np.eye(x.shape[1]), np.eye(x.shape[1])[0]])
    noise = np.zeros((len(load), len(load)))
    r = len(there)
    noise[:r, :r] = tau**2 * np.eye(r)
    noise[np.ix_(np.flatnonzero(there), np.flatnonzero(there))] -= tau**4 * weight
    noise[-1, -1] = tau**2
    mean = load @ gamma
    mean[:r] += gain @ b
    left, away = b - x @ gamma, gamma - prior_mean
    log_p = -(left @ weight @ left + prior_precision @ away**2 + np.linalg.slogdet(total)[1]) / 2
    log_p -= np.linalg.slogdet(precision)[1] / 2 + len(b) * math.log(2 * math.pi) / 2
    log_p += np.log(prior_precision[prior_precision > 0]).sum() / 2
    log_p += (x.shape[1] - (prior_precision > 0).sum()) * math.log(2 * math.pi) / 2
    return mean, load @ linalg.inv(precision) @ load.T + noise, float(log_p)


@pytest.mark.parametrize("prior", [FLAT, NORMAL], ids=["flat", "normal"])
@pytest.mark.parametrize("tau", [0.0, 0.05, 0.7])
@pytest.mark.parametrize("blank", [None, 3], ids=["balanced", "one not printed"])
def test_given_tau_it_is_the_dense_normal(prior, tau, blank):
    estimates = random_terms(1, blank=blank)
    posterior = fit_summary(estimates, model(prior, Prior("fixed", {"value": tau})))
    mean, cov, log_p = dense(estimates, prior, tau)
    r = len(estimates.labels)
    mixtures = [*(posterior.group(i) for i in range(r)), *(posterior.coefficient(k) for k in range(3))]
    mixtures.append(posterior.group(None))
    assert [one.mean for one in mixtures] == pytest.approx(mean, abs=1e-10)
    assert [one.sd**2 for one in mixtures] == pytest.approx(np.diag(cov), abs=1e-10)
    assert posterior.log_evidence == pytest.approx(log_p, abs=1e-9)
    for i, j in ((0, 1), (2, 6), (3, 4)):
        contrast = posterior.contrast(i, j)
        assert contrast.mean == pytest.approx(mean[i] - mean[j], abs=1e-10)
        assert contrast.sd**2 == pytest.approx(cov[i, i] + cov[j, j] - 2 * cov[i, j], abs=1e-10)


@pytest.mark.parametrize("prior", [FLAT, NORMAL], ids=["flat", "normal"])
def test_a_dense_grid_over_tau_agrees(prior):
    estimates = random_terms(2)
    posterior = fit_summary(estimates, model(prior))
    assert posterior.error <= TOLERANCE
    # An even function of tau that vanishes with all its derivatives at the end: the trapezoidal sum is exact.
    grid = np.linspace(0, 5, 1501)
    found = [dense(estimates, prior, float(tau)) for tau in grid]
    weights = np.array([log_p for *_, log_p in found]) - (grid / 0.5) ** 2 / 2
    largest = weights.max()
    weights = np.exp(weights - largest)
    weights[0] /= 2
    evidence = math.log(weights.sum() * grid[1] * math.sqrt(2 / math.pi) / 0.5) + largest
    weights /= weights.sum()
    assert posterior.log_evidence == pytest.approx(evidence, abs=1e-8)
    means, covs = np.array([mean for mean, *_ in found]), np.array([cov for _, cov, _ in found])
    mean = weights @ means
    variance = weights @ (np.diagonal(covs, axis1=1, axis2=2) + (means - mean) ** 2)
    r = len(estimates.labels)
    numbers = posterior.groups()
    assert numbers.mean == pytest.approx(mean[:r], abs=1e-8)
    assert numbers.sd**2 == pytest.approx(variance[:r], abs=1e-8)
    for k in range(3):
        assert posterior.coefficient(k).mean == pytest.approx(mean[r + k], abs=1e-8)
        assert posterior.coefficient(k).sd ** 2 == pytest.approx(variance[r + k], abs=1e-8)
    assert posterior.tau_mean() == pytest.approx(weights @ grid, abs=1e-4)
    each = one_by_one(posterior)
    for name in ("mean", "sd", "ci_low", "ci_high", "p_positive"):
        np.testing.assert_allclose(getattr(numbers, name), getattr(each, name), atol=1e-9)
    expected = _pooling_overall(means, covs, weights, estimates)
    assert posterior.pooling_factor_overall() == pytest.approx(expected, abs=1e-7)


def _pooling_overall(means, covs, weights, estimates):
    """Return Gelman and Pardoe's factor of beta_r - x_r gamma by the dense covariance of these."""
    there = np.flatnonzero(estimates.printed)
    r, n = len(estimates.labels), len(there)
    about = np.zeros((n, means.shape[1]))
    about[np.arange(n), there] = 1
    about[:, r : r + 3] = -np.hstack([np.ones((n, 1)), estimates.terms.moderators[there]])
    centre = np.eye(n) - 1 / n
    own = means @ about.T
    within = own.var(axis=1, ddof=1)
    within = within + [np.trace(centre @ about @ cov @ about.T) / (n - 1) for cov in covs]
    return 1 - (weights @ own).var(ddof=1) / (weights @ within)


@settings(max_examples=15)
@given(st.integers(0, 1000), st.sampled_from([0, 1, 2]))
def test_a_diagonal_covariance_is_independent_errors(seed, m):
    full = random_terms(seed, m=m)
    assert full.terms is not None
    diagonal = np.diag(np.diagonal(full.terms.covariance))
    with_matrix = replace(full, terms=replace(full.terms, covariance=diagonal))
    without = replace(full, terms=replace(full.terms, covariance=None))
    a, b = (fit_summary(estimates, model()) for estimates in (with_matrix, without))
    assert a.log_evidence == pytest.approx(b.log_evidence, abs=1e-8)
    for name in ("mean", "sd", "ci_low", "ci_high", "p_positive"):
        np.testing.assert_allclose(getattr(a.groups(), name), getattr(b.groups(), name), atol=1e-8)
    np.testing.assert_allclose(a.pooling_factors(), b.pooling_factors(), atol=1e-8)
    assert a.pooling_factor_overall() == pytest.approx(b.pooling_factor_overall(), abs=1e-8)
    if m == 0:
        plain = fit_summary(Estimates(full.labels, full.values, full.errors), model())
        assert plain.log_evidence == pytest.approx(b.log_evidence, abs=1e-12)
        np.testing.assert_allclose(plain.groups().ci_low, b.groups().ci_low, atol=1e-12)


def test_a_moderator_beside_an_error_implied_by_stars():
    """With one s integrated out, the answer is the average over s of the answers with s known."""
    measured = np.array([[-1.0], [0.5], [2.0], [-1.5]])
    terms = Terms(("income",), measured - measured.mean())
    implied = ImpliedError(0.5, 1.5, 2.5, 9.0)
    known = (KnownError(0.15, ""), KnownError(0.2, ""), KnownError(0.1, ""))
    values = np.array([0.5, -0.2, 0.4, 0.1])
    posterior = fit_summary(Estimates(tuple("abcd"), values, (implied, *known), terms), model(NORMAL))
    q = np.linspace(1.5, 2.5, 201)
    density = (1 + q**2 / 9) ** -5.0
    density[[0, -1]] /= 2
    fits = [
        fit_summary(Estimates(tuple("abcd"), values, (KnownError(0.5 / x, ""), *known), terms), model(NORMAL))
        for x in q
    ]
    weights = density * np.exp([one.log_evidence for one in fits])
    delta = weights @ [one.coefficient(1).mean for one in fits] / weights.sum()
    assert posterior.coefficient(1).mean == pytest.approx(delta, abs=1e-6)


def test_moderators_of_other_units_and_origins_say_the_same():
    """The common slope is that of an average group, whatever a moderator is measured in."""
    one = random_terms(5, m=1)
    assert one.terms is not None
    other = replace(one, terms=replace(one.terms, moderators=one.terms.moderators * 1e6))
    a, b = fit_summary(one, model()), fit_summary(other, model())
    assert b.common().interval() == pytest.approx(a.common().interval(), abs=1e-8)
    assert b.coefficient(1).mean * 1e6 == pytest.approx(a.coefficient(1).mean, rel=1e-7)


def test_complete_pooling_has_one_slope_and_the_covariance():
    estimates = random_terms(4)
    assert estimates.terms is not None
    weight = linalg.inv(estimates.terms.covariance)
    values = estimates.values[estimates.printed]
    assert complete_pooling(estimates) == pytest.approx((weight @ values).sum() / weight.sum(), abs=1e-10)


def test_clusters_are_a_covariance():
    stated = StatedTerms(measured=np.empty((4, 0)), clusters=("x", "x", "y", "x"), correlation=0.4)
    errors = np.array([0.1, 0.2, 0.3, math.inf])
    found = stated.resolved(np.array([True, True, True, False]), errors).covariance
    expected = [[0.01, 0.008, 0], [0.008, 0.04, 0], [0, 0, 0.09]]
    np.testing.assert_allclose(found, expected, atol=1e-15)


@pytest.mark.parametrize("correlation", [1.0, -0.6])
def test_a_correlation_that_no_three_errors_have_is_refused(correlation):
    stated = StatedTerms(measured=np.empty((3, 0)), clusters=("x",) * 3, correlation=correlation)
    with pytest.raises(InputError, match="not positive definite"):
        stated.resolved(np.ones(3, dtype=bool), np.array([1e-40, 1e-40, 2e-40]))


def test_terms_that_tell_nothing_are_refused():
    require_positive(1e-80 * np.array([[1, 0.9], [0.9, 1]]))
    x = np.array([[1.0, 2.0], [-2.0, -4.0], [1.0, 2.0], [0.0, 0.0]])
    with pytest.raises(InputError, match="'b' is a combination of a"):
        require_told(x, ("a", "b"))
    with pytest.raises(InputError, match="'a' is the same in all rows"):
        require_told(0 * x[:, :1], ("a",))
    with pytest.raises(InputError, match="3 estimates cannot be regressed on 'a' and 'b': 4 are needed"):
        require_told(x[:3], ("a", "b"))


def test_conditional_takes_one_tau_or_many():
    problem = problem_of(random_terms(6), FLAT)
    many = conditional(problem, np.array([0.1, 0.5]), problem.variances[None])
    for place, tau in enumerate((0.1, 0.5)):
        for one, all_ in zip(conditional(problem, tau, problem.variances[None]), many, strict=True):
            np.testing.assert_allclose(one[0], all_[place], rtol=1e-12)
