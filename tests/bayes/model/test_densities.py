"""Priors of scales against scipy, and the units that model files state them in."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import ClassVar

import numpy as np
import pymc as pm
import pytest
from scipy import special, stats

from cbec_bayes.bayes.model import prior as priors
from cbec_bayes.bayes.model import scale_families
from cbec_bayes.bayes.model.densities import CORRELATION, cumulative, draw, log_density, resolve, start, tail_index
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.bayes.model.prior import SCALE_FAMILIES, Prior
from cbec_bayes.published.quadrature import scale_line, scale_rule
from cbec_bayes.runtime.errors import InputError
from tests.support.members import POOLED, member, panel

SAMPLED = {
    "half_normal": (Prior("half_normal", {"scale": 0.7}), stats.halfnorm(scale=0.7)),
    "half_cauchy": (Prior("half_cauchy", {"scale": 0.7}), stats.halfcauchy(scale=0.7)),
    "exponential": (Prior("exponential", {"mean": 0.7}), stats.expon(scale=0.7)),
    "uniform": (Prior("uniform", {"upper": 30.0}), stats.uniform(0, 30.0)),
    "half_t 4": (Prior("half_t", {"df": 4.0, "scale": 0.7}), stats.t(4, scale=0.7)),
    "half_t 1.5": (Prior("half_t", {"df": 1.5, "scale": 3.0}), stats.t(1.5, scale=3.0)),
}
POINTS = np.geomspace(1e-6, 29.0, 41)


def test_every_family_of_scales_is_here_but_the_fixed_one():
    assert {prior.dist for prior, _ in SAMPLED.values()} | {"fixed"} == set(SCALE_FAMILIES)


@pytest.mark.parametrize("family", SAMPLED)
def test_the_density_is_scipys(family):
    prior, reference = SAMPLED[family]
    folded = np.log(2) if family.startswith("half_t") else 0.0
    found = log_density(prior, POINTS)[0]
    np.testing.assert_allclose(found, reference.logpdf(POINTS) + folded, rtol=1e-12, atol=1e-13)
    square = POINTS[:40].reshape(5, 8)
    assert log_density(prior, square)[0].shape == log_density(prior, square)[1].shape == (5, 8)
    assert float(log_density(prior, np.array(0.3))[0]) == pytest.approx(float(reference.logpdf(0.3)) + folded)


@pytest.mark.parametrize("family", SAMPLED)
def test_the_slope_is_that_in_log_scale(family):
    prior, _ = SAMPLED[family]
    points, h = np.geomspace(1e-3, 20.0, 17), 1e-4

    def density(shift):
        return log_density(prior, points * np.exp(shift))[0]

    slope = (8 * (density(h) - density(-h)) - density(2 * h) + density(-2 * h)) / (12 * h)
    np.testing.assert_allclose(log_density(prior, points)[1], slope, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("family", SAMPLED)
def test_the_density_integrates_to_one(family):
    prior, _ = SAMPLED[family]
    grid = np.geomspace(1e-9, 1e9, 200_001)
    density = np.exp(log_density(prior, grid)[0]) * grid
    # The grid meets the uniform's end to within one of its steps.
    assert np.trapezoid(density, np.log(grid)) == pytest.approx(1, abs=1e-4 if family == "uniform" else 1e-5)


def test_a_uniform_prior_ends_where_it_says():
    density, slope = log_density(Prior("uniform", {"upper": 2.0}), np.array([1.0, 2.0, np.nextafter(2.0, 3.0), 5.0]))
    np.testing.assert_array_equal(density, [-np.log(2), -np.log(2), -np.inf, -np.inf])
    np.testing.assert_array_equal(slope, np.zeros(4))


@pytest.mark.parametrize("dist", ["fixed", "flat", "normal"])
def test_what_is_no_prior_of_a_sampled_scale_has_no_density(dist):
    with pytest.raises(ValueError, match=f"'{dist}' is not a prior for a scale that is sampled"):
        log_density(Prior(dist, {"value": 1.0}), POINTS)


def test_a_search_starts_where_the_prior_has_mass():
    for prior, reference in SAMPLED.values():
        point = start(prior)
        assert point > 0
        assert reference.cdf(point) < 0.95
        assert np.isfinite(log_density(prior, np.array(point))[0])
    assert start(Prior("fixed", {"value": 0.3})) == 0.3


def test_units_are_those_of_the_data():
    design = panel("paper")
    model = member(
        {
            "slope": Prior("normal", {"mean": 0.5, "sd": 2.0}),
            "control_slope": Prior("normal", {"mean": -1.0, "sd": 3.0}),
        },
        unit_effect="random",
        time_effect="random",
        **POOLED,
    )
    found = resolve(model, design)
    sd_y, *others = design.spread.within  # tests/panel/test_spread.py has them by hand
    sds = dict(zip(design.terms, others, strict=True))
    expected = dict.fromkeys(("sigma", "sigma_omega"), sd_y)
    expected |= dict.fromkeys(("sigma_mu", "sigma_lambda"), np.std(design.y, ddof=1))
    expected |= dict.fromkeys(("tau", "kappa"), sd_y / sds["cbec"])
    expected |= {f"phi[{control}]": sd_y / sds[control] for control in design.terms[1:]}
    for name, unit in expected.items():
        assert found[name].dist == "half_normal"
        assert found[name].params["scale"] == pytest.approx(unit, rel=1e-14)
    assert found["slope"].params == pytest.approx({"mean": 0.5 * sd_y / sds["cbec"], "sd": 2.0 * sd_y / sds["cbec"]})
    for control in design.terms[1:]:
        unit = sd_y / sds[control]
        assert found[f"control_slope[{control}]"].params == pytest.approx({"mean": -unit, "sd": 3.0 * unit})
    controls = {f"{name}[{control}]" for name in ("phi", "control_slope") for control in design.terms[1:]}
    assert set(found) == {*expected, "slope", *controls}


@pytest.mark.parametrize(
    ("prior", "expected"),
    [
        (Prior("half_t", {"df": 4.0, "scale": 0.5}), {"df": 4.0, "scale": 1.0}),
        (Prior("exponential", {"mean": 0.5}), {"mean": 1.0}),
        (Prior("uniform", {"upper": 3.0}), {"upper": 6.0}),
        (Prior("half_cauchy", {"scale": 0.5}), {"scale": 1.0}),
        (Prior("fixed", {"value": 0.0}), {"value": 0.0}),
    ],
)
def test_what_is_a_scale_takes_the_unit_and_what_is_a_number_does_not(prior, expected):
    design = panel("balanced")
    design = replace(design, y=2 * design.y / design.spread.within[0])
    assert resolve(member({"sigma": prior}), design)["sigma"].params == pytest.approx(expected)


def test_a_resolved_density_is_that_of_the_scale_in_the_models_units():
    design, model = panel("public"), load_panel_model("partial_pooling")
    unit = design.spread.within[0] / design.spread.within[1]
    tau = np.array([0.1, 0.5, 2.0])
    found = log_density(resolve(model, design)["tau"], tau * unit)[0]
    np.testing.assert_allclose(found, log_density(model.priors["tau"], tau)[0] - np.log(unit), rtol=1e-12)


@pytest.mark.parametrize("column", ["y", "exposure", "control"])
def test_a_column_that_does_not_vary_gives_no_unit(column):
    design = panel("balanced")
    x = design.x.copy()
    if column != "y":
        x[:, int(column == "control")] = 3.0
    still = replace(design, x=x, y=np.full(design.n_obs, 7.0) if column == "y" else design.y)
    with pytest.raises(InputError, match="a column does not vary, so that the priors cannot be measured"):
        resolve(member(), still)


@pytest.mark.parametrize("family", SAMPLED)
def test_the_distribution_function_is_scipys(family):
    prior, reference = SAMPLED[family]
    expected = reference.cdf(POINTS)
    if family.startswith("half_t"):
        expected = 2 * expected - 1
    np.testing.assert_allclose(cumulative(prior, POINTS), expected, rtol=1e-9, atol=1e-15)


def test_distribution_functions_of_a_correlation_and_of_none():
    np.testing.assert_allclose(cumulative(CORRELATION, np.array([-1.0, 0.4, 1.0])), [0, 0.7, 1])
    with pytest.raises(ValueError, match="not a prior for a scale"):
        cumulative(Prior("flat", {}), np.ones(1))


@pytest.mark.parametrize("family", SAMPLED)
def test_draws_are_of_the_prior(family):
    prior, _ = SAMPLED[family]
    found = draw(prior, np.random.default_rng(1), (40, 100))
    assert found.shape == (40, 100)
    assert stats.kstest(found.ravel(), lambda x: cumulative(prior, x)).pvalue > 1e-3


def test_draws_of_a_scale_that_is_held_and_of_none():
    assert set(draw(Prior("fixed", {"value": 2.0}), np.random.default_rng(1), (3,))) == {2.0}
    with pytest.raises(ValueError, match="not a prior for a scale"):
        draw(Prior("flat", {}), np.random.default_rng(1), (3,))


class HalfLogistic(scale_families.ScaleFamily):
    parameters: ClassVar = {"scale": True}

    def log_density(self, p, scale):
        z = scale / p["scale"]
        return stats.halflogistic.logpdf(z) - np.log(p["scale"]), -z * np.tanh(z / 2)

    def cumulative(self, p, scale):
        return stats.halflogistic.cdf(scale / p["scale"])

    def draw(self, p, rng, shape):
        return p["scale"] * np.abs(rng.logistic(size=shape))

    def pymc(self, p):
        return pm.Truncated, {"dist": pm.Logistic.dist(0, p["scale"]), "lower": 0.0}


def test_a_family_is_a_class_and_an_entry(monkeypatch):
    monkeypatch.setitem(scale_families.FAMILIES, "half_logistic", HalfLogistic())
    monkeypatch.setitem(priors.FAMILIES, "half_logistic", HalfLogistic.parameters)  # made from the other at import
    prior = Prior("half_logistic", {"scale": 0.5})
    assert prior.scaled(2.0).params == {"scale": 1.0}
    found, slope = log_density(prior, POINTS)
    h = 1e-5
    rough = (log_density(prior, POINTS * np.exp(h))[0] - log_density(prior, POINTS * np.exp(-h))[0]) / (2 * h)
    np.testing.assert_allclose(slope, rough, atol=1e-7)
    assert stats.kstest(draw(prior, np.random.default_rng(1), (4000,)), partial(cumulative, prior)).pvalue > 1e-3
    assert (start(prior), tail_index(prior)) == (0.25, np.inf)
    rule = scale_rule(prior, scale_line(prior, 0.5), 1 / 16)
    assert special.logsumexp(rule.log_weights) == pytest.approx(0, abs=1e-12)
    with pm.Model():
        twin = pm.logp(priors.pymc_scale(None, prior), POINTS).eval(mode="FAST_COMPILE")
    np.testing.assert_allclose(twin, found, rtol=1e-9, atol=1e-14)


def test_tails_are_those_of_the_families():
    found = {prior.dist: tail_index(prior) for prior, _ in SAMPLED.values()}
    assert found == {"half_normal": np.inf, "half_cauchy": 1.0, "exponential": np.inf, "uniform": np.inf, "half_t": 1.5}
    assert tail_index(Prior("fixed", {"value": 1.0})) == np.inf
