"""Draws of densities that are known: moments, quantiles, what says how good they are, and when NUTS takes over."""

from __future__ import annotations

import arviz as az
import numpy as np
import pytest
from scipy import stats

from cbec_bayes.bayes.sampling import importance
from cbec_bayes.bayes.sampling import weights as weights_module
from cbec_bayes.bayes.sampling.importance import sample_density
from cbec_bayes.bayes.sampling.pareto import pareto_smoothed
from cbec_bayes.bayes.sampling.proposal import Proposal
from cbec_bayes.runtime.errors import GateError
from tests.support.densities import curved

DRAWS, CHAINS = 1_000, 4
ERRORS = 4.5
"""Monte Carlo standard errors that a number may be off; seeds are fixed, so that a test fails always or never."""

MEAN = np.array([1.0, -2.0, 30.0])
SD = np.array([0.1, 1.0, 8.0])
CORRELATION = np.array([[1.0, 0.9, -0.5], [0.9, 1.0, -0.2], [-0.5, -0.2, 1.0]])
NORMAL = stats.multivariate_normal(MEAN, CORRELATION * np.outer(SD, SD))


def normal():
    """Three dimensions on different scales, correlated."""
    precision = np.linalg.inv(NORMAL.cov)
    return NORMAL.logpdf, lambda at: (float(NORMAL.logpdf(at)), -precision @ (at - MEAN))


def log_half_normal(scale):
    """The logarithm of a half-normal variable: a long tail to the left."""

    def log_density(at):
        return at[:, 0] - np.exp(2 * at[:, 0]) / (2 * scale**2)

    return log_density, lambda at: (float(log_density(at[None])[0]), 1 - np.exp(2 * at) / scale**2)


def log_gamma(shape):
    """The logarithm of a gamma variable."""

    def log_density(at):
        return shape * at[:, 0] - np.exp(at[:, 0])

    return log_density, lambda at: (float(log_density(at[None])[0]), shape - np.exp(at))


def heavy(dimensions, df):
    """Independent Student-t variables: along each axis the tail is longer than any elliptical proposal's."""

    def log_density(at):
        return -(df + 1) / 2 * np.log1p(at**2 / df).sum(axis=1)

    return log_density, lambda at: (float(log_density(at[None])[0]), -(df + 1) * at / (df + at**2))


def sampled(density, start, *, draws=DRAWS, chains=CHAINS, seed=1):
    return sample_density(*density, np.asarray(start, dtype=float), draws=draws, chains=chains, seed=seed)


def assert_quantiles(values, cdf, ess):
    """The distribution function at sample quantiles is their probability."""
    for p in (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975):
        assert cdf(np.quantile(values, p)) == pytest.approx(p, abs=ERRORS * np.sqrt(p * (1 - p) / ess)), p


def assert_moments(values, mean, sd, kurtosis, ess):
    assert values.mean() == pytest.approx(mean, abs=ERRORS * sd / np.sqrt(ess))
    assert values.var() == pytest.approx(sd**2, abs=ERRORS * sd**2 * np.sqrt((kurtosis - 1) / ess))


def test_a_correlated_normal():
    found = sampled(normal(), [0.0, 0.0, 0.0])
    assert found.points.shape == (CHAINS, DRAWS, 3)
    assert found.method == "importance"
    assert found.khat < 0.7
    assert found.ess >= DRAWS * CHAINS
    assert found.proposals >= found.ess
    assert found.divergences == 0
    assert np.isnan(found.ebfmi)
    points = found.points.reshape(-1, 3)
    for k in range(3):
        assert_moments(points[:, k], MEAN[k], SD[k], 3, len(points))
        assert_quantiles(points[:, k], stats.norm(MEAN[k], SD[k]).cdf, len(points))
    error = (1 - CORRELATION**2) / np.sqrt(len(points))
    assert (np.abs(np.corrcoef(points.T) - CORRELATION) <= ERRORS * error + 1e-12).all()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 200.0])
def test_the_logarithm_of_a_half_normal(scale):
    found = sampled(log_half_normal(scale), [0.0])
    assert found.method == "importance"
    assert found.khat < 0.7
    values = np.exp(found.points.ravel())
    exact = stats.halfnorm(scale=scale)
    assert_quantiles(values, exact.cdf, len(values))
    assert_moments(values, exact.mean(), exact.std(), 3 + float(exact.stats(moments="k")), len(values))


def test_a_density_of_one_dimension_is_sampled():
    found = sampled(log_gamma(3.0), [2.0])
    assert found.points.shape == (CHAINS, DRAWS, 1)
    assert (found.method, found.khat < 0.7) == ("importance", True)
    assert_quantiles(np.exp(found.points.ravel()), stats.gamma(3).cdf, DRAWS * CHAINS)


def test_chains_are_no_more_than_a_shape():
    """Draws are exchangeable: chains agree, and neighbours are not correlated, though resampling went in order."""
    found = sampled(log_half_normal(1.0), [0.0]).points[..., 0]
    assert az.rhat(found) < 1.01
    assert abs(np.corrcoef(found[:, 1:].ravel(), found[:, :-1].ravel())[0, 1]) < ERRORS / np.sqrt(found.size)
    means = found.mean(axis=1)
    assert np.ptp(means) < 2 * ERRORS * found.std() / np.sqrt(DRAWS)


def test_a_half_space_may_be_impossible():
    """A bound to the right of the mode cuts the density off; the draws are of what is left."""
    log_density, gradient = normal()
    bound = MEAN[1] + 0.5 * SD[1]

    def cut(at):
        return np.where(at[:, 1] <= bound, log_density(at), -np.inf)

    def cut_gradient(at):
        value, slope = gradient(at)
        return (value if at[1] <= bound else -np.inf), slope

    found = sampled((cut, cut_gradient), MEAN - 0.1 * SD)
    assert found.method == "importance"
    values = found.points[..., 1].ravel()
    assert values.max() <= bound
    assert_quantiles(values, stats.truncnorm(-np.inf, 0.5, MEAN[1], SD[1]).cdf, len(values))


def test_one_seed_one_sample():
    density = log_gamma(3.0)
    first, again, other = (sampled(density, [0.5], draws=200, seed=seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first.points, again.points)
    assert (first.khat, first.ess) == (again.khat, again.ess)
    assert not np.isin(other.points, first.points).any()


def test_a_constant_of_the_density_does_not_matter():
    log_density, gradient = log_gamma(3.0)
    moved = lambda at: log_density(at) - 5_000, lambda at: (gradient(at)[0] - 5_000, gradient(at)[1])
    np.testing.assert_allclose(
        sampled(moved, [0.5], draws=100).points, sampled(log_gamma(3.0), [0.5], draws=100).points, rtol=1e-6
    )


@pytest.mark.parametrize("draws", [1, 50, 5_000])
def test_any_number_of_draws(draws):
    found = sampled(log_gamma(3.0), [0.5], draws=draws, chains=2)
    assert found.points.shape == (2, draws, 1)
    assert found.ess >= 2 * draws


@pytest.mark.slow
def test_nuts_takes_over_where_no_proposal_fits():
    found = sampled(curved(4), np.full(8, 0.1), draws=1_000)
    assert found.method == "nutpie"
    assert found.points.shape == (CHAINS, 1_000, 8)
    assert np.isnan([found.khat, found.ess]).all()
    assert found.proposals == (1_000 + 1_000) * CHAINS
    assert found.ebfmi > 0.3
    for k in range(0, 8, 2):
        values = found.points[..., k]
        assert az.rhat(values) < 1.03
        ess = min(float(az.ess(values, method="bulk")), float(az.ess(values, method="tail", prob=(0.05, 0.95))))
        assert ess > 200
        assert_quantiles(values, stats.norm.cdf, ess)


def test_heavy_and_skewed_tails_are_met_by_a_bent_proposal():
    """Of twelve axes with tails longer than those of any elliptical proposal: NUTS need not take over."""
    found = sampled(heavy(12, 3.0), np.full(12, 0.1), draws=500)
    assert found.method == "importance"
    assert found.khat < 0.7
    for k in range(12):
        assert_quantiles(found.points[..., k], stats.t(3).cdf, DRAWS)


def test_nuts_draws_repeat_and_are_in_the_coordinates_of_the_density(monkeypatch):
    """Taken over by force on the correlated normal, where its moments are known."""
    monkeypatch.setattr(importance, "_importance", lambda *_, **__: None)
    found, again, other = (sampled(normal(), [0.0, 0.0, 0.0], draws=300, chains=2, seed=seed) for seed in (4, 4, 5))
    assert found.method == "nutpie"
    assert found.proposals == 2 * (300 + 1_000)
    np.testing.assert_array_equal(found.points, again.points)
    assert not np.allclose(found.points, other.points)
    points = found.points.reshape(-1, 3)
    for k in range(3):
        ess = float(az.ess(found.points[..., k], method="bulk"))
        assert ess > 200
        assert_moments(points[:, k], MEAN[k], SD[k], 3, ess)
    np.testing.assert_allclose(np.corrcoef(points.T), CORRELATION, atol=0.15)


@pytest.mark.parametrize("ratio", [0.9, 0.75])
def test_the_gate_of_the_ratios_is_their_pareto_shape(monkeypatch, ratio):
    """Weights that good draws would have are not trusted once their Pareto shape is above 0.7."""
    monkeypatch.setattr(weights_module, "pareto_smoothed", lambda ratios: (pareto_smoothed(ratios)[0], ratio))
    monkeypatch.setattr(importance, "_nutpie", lambda *_, **__: "nutpie")
    assert sampled(log_gamma(3.0), [0.5], draws=50) == "nutpie"
    monkeypatch.setattr(weights_module, "pareto_smoothed", lambda ratios: (pareto_smoothed(ratios)[0], 0.69))
    assert sampled(log_gamma(3.0), [0.5], draws=50).method == "importance"


def test_too_few_effective_draws_are_no_draws(monkeypatch):
    """Where even the largest sample of proposals is worth less than the draws asked for, NUTS takes over."""
    monkeypatch.setattr(importance, "_nutpie", lambda *_, **__: "nutpie")
    monkeypatch.setattr(importance, "_LARGEST", 2_000)
    assert sampled(log_gamma(3.0), [0.5], draws=1_000) == "nutpie"
    assert sampled(log_gamma(3.0), [0.5], draws=100).method == "importance"


def test_the_proposal_is_fitted_to_all_samples_as_draws_from_their_mixture():
    """Two samples far apart, each of one half of a normal density: together they have its mean and variance."""
    rng, target = np.random.default_rng(4), stats.norm(1.0, 0.5)
    samples = []
    for centre, n in ((0.6, 30_000), (1.4, 90_000)):
        proposal = Proposal(np.array([centre]), np.array([[0.2]]))
        points, proposed = proposal.draw(n, rng)
        densities = target.logpdf(points[:, 0])
        samples.append(
            importance._Sample(points=points, densities=densities, ratios=densities - proposed, proposal=proposal, n=n)
        )
    found = importance._fitted(samples, bends=False)
    assert abs(found.centre[0] - 1.0) < 5 * 0.5 / np.sqrt(100_000)
    assert found.spread[0, 0] * 6 / 4 / importance.INFLATION == pytest.approx(0.25, rel=0.02)


def test_proposals_are_drawn_in_proportion_to_their_weights_and_in_any_order(monkeypatch):
    """As often as weight times draws says, up or down; in the order of resampling repeats would be side by side."""
    rng = np.random.default_rng(1)
    points, weights = np.arange(500.0)[:, None], rng.dirichlet(np.full(500, 0.5))
    ratios, proposal = np.log(weights), Proposal(np.zeros(1), np.eye(1))
    sample = importance._Sample(points=points, densities=ratios - 1, ratios=ratios, proposal=proposal, n=500)
    weighted = importance._Weighted(sample=sample, weights=weights, khat=0.1, ess=4_000.0, proposals=500)
    monkeypatch.setattr(importance, "_importance", lambda *_, **__: weighted)
    drawn = sampled(log_gamma(3.0), [0.5])
    found = drawn.points.ravel()
    np.testing.assert_array_equal(drawn.lp.ravel(), np.log(weights)[found.astype(int)] - 1)
    counts = np.bincount(found.astype(int), minlength=500)
    assert np.abs(counts - DRAWS * CHAINS * weights).max() < 1 + 1e-9
    assert (found[1:] == found[:-1]).mean() < 2 * np.sum(weights**2)


@pytest.mark.parametrize(
    "density",
    [
        (lambda at: at[:, 0] ** 2, lambda at: (float(at[0] ** 2), 2 * at)),
        (lambda at: (at[:, 0] - 1) ** 2, lambda at: (float((at[0] - 1) ** 2), 2 * (at - 1))),
        (lambda at: at[:, 0], lambda at: (float(at[0]), np.ones(1))),
        (lambda at: -at[:, 0], lambda at: (float(-at[0]), -np.ones(1))),
        (lambda at: -((at[:, 0] - 80) ** 2) / 2, lambda at: (float(-((at[0] - 80) ** 2) / 2), 80 - at)),
        (lambda at: np.full(len(at), -np.inf), lambda at: (-np.inf, np.zeros(1))),
        (lambda at: np.full(len(at), np.nan), lambda at: (np.nan, np.full(1, np.nan))),
    ],
    ids=[
        "without a bound",
        "from its lowest point",
        "rising",
        "falling",
        "far away",
        "impossible everywhere",
        "not a number",
    ],
)
def test_no_mode_is_a_gate(density):
    with pytest.raises(GateError, match="no mode within reach"):
        sampled(density, [1.0], draws=10)
