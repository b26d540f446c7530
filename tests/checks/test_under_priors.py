"""Slopes under several priors from one sample: its density is that of the mixture, and its slopes those of refits."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize, special

from cbec_bayes.bayes.many_units import collapsed_of
from cbec_bayes.bayes.model.blocks import blocks_for
from cbec_bayes.bayes.model.densities import resolve
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.sampling.gates import KHAT_MAX
from cbec_bayes.bayes.sampling.importance import sample_density
from cbec_bayes.checks import under_priors
from cbec_bayes.checks.refits import near_draws
from cbec_bayes.checks.sensitivity import alternatives, between_group_prior
from cbec_bayes.checks.under_priors import MixtureOfPriors, slopes_under
from cbec_bayes.runtime.errors import GateError
from tests.support.simulated import fitted


@pytest.fixture(scope="module")
def found():
    return fitted()


@pytest.fixture(scope="module")
def models(found):
    uniform = Prior("uniform", {"upper": 0.5})
    tried = [uniform, *alternatives(found.model.priors["tau"]).values()]
    return [replace(found.model, priors={**found.model.priors, "tau": prior}) for prior in tried]


def densities(found, models):
    return [collapsed_of(blocks_for(found.design, model)) for model in models]


@pytest.fixture
def mixture(found, models):
    priors = [resolve(model, found.design)["tau"] for model in models]
    shares = np.linspace(-1, 1, len(priors))
    return MixtureOfPriors(densities(found, models)[-1], "tau", priors, shares)


def test_the_density_is_the_mean_of_those_under_each_prior(found, models, mixture):
    points = near_draws(found).points[:40]
    each = np.array([one.log_posterior(points) for one in densities(found, models)]) + mixture.shares[:, None]
    mean = special.logsumexp(each, axis=0) - math.log(len(each))
    np.testing.assert_allclose(mixture.log_posterior(points), mean, rtol=0, atol=1e-8)
    np.testing.assert_allclose(mixture.ratios(points), each - mean, rtol=0, atol=1e-8)
    assert mixture.ratios(points).max() <= math.log(len(each)) + 1e-12


def test_its_gradient_is_that_of_the_density(found, mixture):
    for point in near_draws(found).points[:5]:
        value, slope = mixture.gradient(point)
        assert value == pytest.approx(mixture.log_posterior(point[None])[0], abs=1e-8)
        numeric = optimize.approx_fprime(point, lambda at: mixture.log_posterior(at[None])[0], 1e-6)
        np.testing.assert_allclose(slope, numeric, atol=1e-3)


def test_each_posterior_has_the_same_mass(found, models):
    """The share of a posterior in draws from the mixture is one over their number."""
    priors = [resolve(model, found.design)["tau"] for model in models[1:]]
    whole = MixtureOfPriors(densities(found, models)[-1], "tau", priors).sharing(near_draws(found).points)
    drawn = sample_density(whole.log_posterior, whole.gradient, whole.collapsed.start(), draws=4_000, chains=1, seed=1)
    shares = np.exp(whole.ratios(drawn.points[0])).mean(axis=1)
    np.testing.assert_allclose(shares, 1.0, atol=0.25)


def test_one_sample_tells_the_slopes_under_most_priors(found, models):
    """As many as have a Pareto shape that the gate lets through; the others are refitted."""
    every = slopes_under(found.design, models[1:], "tau", near_draws(found), 1)
    told = [one for one in every if one is not None]
    assert len(told) > len(every) / 2
    assert all(one.khat <= KHAT_MAX and one.gate == "passed" for one in told)


@pytest.mark.parametrize("why", ["no mode", "a missed gate", "too few"])
def test_what_the_sample_does_not_tell_is_refitted(found, monkeypatch, why):
    def no_mode(*_, **__):
        raise GateError("the posterior of the scales has no mode")

    expected = between_group_prior(found).table
    match why:
        case "no mode":
            monkeypatch.setattr(under_priors, "sample_density", no_mode)
        case "a missed gate":
            real = under_priors.diagnose
            monkeypatch.setattr(under_priors, "diagnose", lambda drawn: replace(real(drawn), divergences=3))
        case "too few":
            monkeypatch.setattr(under_priors, "ESS_MIN", 1e9)
    again = between_group_prior(found).table
    assert again[["prior", "group", "gate"]].equals(expected[["prior", "group", "gate"]])
    np.testing.assert_allclose(again["mean"], expected["mean"], atol=0.15 * expected["sd"].min())
