"""The integral of a density: those that are known, its stated error, and when it cannot be told."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from cbec_bayes.bayes.sampling import importance
from cbec_bayes.bayes.sampling.evidence import NO_EVIDENCE, Evidence, evidence_of_weights
from cbec_bayes.bayes.sampling.importance import sample_density
from cbec_bayes.bayes.sampling.weights import smoothed_weights
from tests.support.densities import WIDTH, curved

ERRORS = 4.5
"""Monte Carlo standard errors that a number may be off; seeds are fixed, so that a test fails always or never."""

NORMAL = stats.multivariate_normal([1.0, -2.0], [[0.01, 0.05], [0.05, 1.0]])


def normal(constant=0.0):
    """Two dimensions on different scales, correlated."""
    precision = np.linalg.inv(NORMAL.cov)

    def log_density(at):
        return np.atleast_1d(NORMAL.logpdf(at)) + constant

    return log_density, lambda at: (float(log_density(at)[0]), -precision @ (at - NORMAL.mean))


def log_gamma(shape):
    """The logarithm of a gamma variable, without the gamma function: its integral."""

    def log_density(at):
        return shape * at[:, 0] - np.exp(at[:, 0])

    return log_density, lambda at: (float(log_density(at[None])[0]), shape - np.exp(at))


def integrated(density, start, *, seed=1, draws=500):
    return sample_density(*density, np.asarray(start, dtype=float), draws=draws, chains=2, seed=seed).evidence


def by_nuts(monkeypatch):
    monkeypatch.setattr(importance, "_importance", lambda *_, **__: None)


CASES = {
    "normal": (normal(), [0.0, 0.0], 0.0),
    "far from one": (normal(-5_000.0), [0.0, 0.0], -5_000.0),
    "gamma": (log_gamma(3.0), [2.0], math.lgamma(3.0)),
    "long tail": (log_gamma(0.3), [2.0], math.lgamma(0.3)),
}


@pytest.mark.parametrize("sampler", ["importance", "nutpie"])
@pytest.mark.parametrize("case", CASES)
def test_integrals_that_are_known(monkeypatch, case, sampler):
    if sampler == "nutpie":
        by_nuts(monkeypatch)
    density, start, exact = CASES[case]
    found = integrated(density, start, draws=2_000)
    assert found.value == pytest.approx(exact, abs=ERRORS * found.mcse)
    assert 0 < found.mcse < 0.05
    assert found.khat < 0.7
    assert found.reason == ""


@pytest.mark.parametrize("sampler", ["importance", "nutpie"])
def test_the_stated_error_is_that_of_repetition(monkeypatch, sampler):
    if sampler == "nutpie":
        by_nuts(monkeypatch)
    size = 120 if sampler == "importance" else 25
    found = [integrated(log_gamma(3.0), [2.0], seed=seed, draws=50) for seed in range(size)]
    errors = np.array([(one.value - math.lgamma(3.0)) / one.mcse for one in found])
    assert abs(errors.mean()) < ERRORS / np.sqrt(size)
    assert errors.std() == pytest.approx(1, abs=ERRORS / np.sqrt(2 * size))


def test_proposals_where_the_density_is_zero_count():
    """A bound cuts off a part of a normal density: what is left is its probability."""
    log_density, gradient = normal()
    bound = NORMAL.mean[1] + 0.5

    def cut(at):
        return np.where(at[:, 1] <= bound, log_density(at), -np.inf)

    def cut_gradient(at):
        value, slope = gradient(at)
        return (value if at[1] <= bound else -np.inf), slope

    found = integrated((cut, cut_gradient), NORMAL.mean - 0.1)
    assert found.value == pytest.approx(stats.norm.logcdf(0.5), abs=ERRORS * found.mcse)


def test_with_equal_ratios_the_only_error_is_the_share_of_proposals_without_density():
    ratios = np.full(900, 2.5)
    weights, khat = smoothed_weights(ratios)
    found = evidence_of_weights(ratios, weights, khat, 1_000)
    assert found.value == pytest.approx(2.5 + math.log(0.9), rel=1e-12)
    assert found.mcse == pytest.approx(math.sqrt(0.1 / 0.9 / 1_000), rel=1e-9)
    assert evidence_of_weights(ratios, weights, khat, 900).mcse == pytest.approx(0, abs=1e-8)


def test_without_a_trusted_mean_there_is_a_reason():
    """Of pairs of which one is normal about the square of the other no proposal has the form."""
    log_density, _ = curved(6)
    rng = np.random.default_rng(1)
    draws = np.empty((2, 2_000, 12))
    draws[..., ::2] = rng.standard_normal((2, 2_000, 6))
    draws[..., 1::2] = draws[..., ::2] ** 2 + WIDTH * rng.standard_normal((2, 2_000, 6))
    found = importance._integral_about(log_density, draws, proposals=4_000, seed=1)
    assert (found.value, found.mcse) == (None, None)
    assert found.khat > 0.7
    assert "is above 0.7" in found.reason
    assert found.as_dict()["log_evidence"] is None
    assert found.as_dict()["log_evidence_note"] == found.reason


@pytest.mark.parametrize(
    "evidence", [Evidence(-12.5, 0.01, 0.3), Evidence(3.0, 0.0), Evidence(None, None, 0.9, "Pareto k"), NO_EVIDENCE]
)
def test_entries_of_a_file_there_and_back(evidence):
    assert Evidence.from_dict(evidence.as_dict() | {"engine": "collapsed-importance"}) == evidence


def test_what_a_file_cannot_hold_is_left_out():
    assert Evidence(1.0, 0.0, -math.inf).as_dict()["log_evidence_khat"] is None
