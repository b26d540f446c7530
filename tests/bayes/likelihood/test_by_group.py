"""Coefficients of single groups integrated out group by group: the same density as from one system of equations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cbec_bayes.bayes.likelihood import by_group
from cbec_bayes.bayes.likelihood.by_group import ByGroup
from cbec_bayes.bayes.likelihood.by_group_conditional import ByGroupConditional
from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.model.blocks import make_blocks
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.calibration.simulate import simulated_regressors
from cbec_bayes.panel.within import TwoWay

COMBINATIONS = {
    "independent": {},
    "spread by group": {"spread": "by_group"},
    "random effects of periods": {"time_effect": "random"},
    "slopes of units": {"unit_slope": "pooled"},
    "trends and slopes of units, spread by group": {
        "unit_trend": "pooled",
        "unit_slope": "pooled",
        "spread": "by_group",
    },
    "flat trends of units": {"unit_trend": "fixed"},
    "random walk, spread by group": {"correlation": "random_walk", "spread": "by_group"},
    "AR(1), trends of units": {"correlation": "ar1", "unit_trend": "pooled"},
    "slopes alone not pooled": {"group_slope": "fixed"},
}


@pytest.fixture(scope="module", params=["balanced", "unbalanced"])
def design(request):
    rng = np.random.default_rng(5)
    found = simulated_regressors(rng, group_sizes=(4, 3, 3, 3, 2), n_times=6)
    found = replace(found, y=found.x[:, 0] + rng.standard_normal(found.n_obs))
    if request.param == "balanced":
        return found
    rows = np.setdiff1d(np.arange(found.n_obs), [3, 4, 11, 22, 37, 49, 60])
    unit, time, group = found.unit[rows], found.time[rows], np.asarray(found.group)[rows]
    return replace(
        found, y=found.y[rows], x=found.x[rows], unit=unit, time=time, group=group, effects=TwoWay(unit, time)
    )


def member(**choices):
    every = load_panel_model("partial_pooling_all")
    priors = dict(every.priors)
    for name, scale in (("nested", "kappa"), ("unit_trends", "xi"), ("correlated_effects", "sigma_mu")):
        priors[scale] = load_panel_model(name).priors[scale]
    priors["sigma_lambda"] = load_panel_model("correlated_effects").priors["sigma_lambda"]
    found = replace(every.choosing(**choices), priors=priors)
    kept = {name: prior for name, prior in priors.items() if name in found.scales or name in ("slope", "control_slope")}
    return replace(found, priors=kept)


@pytest.mark.parametrize("choices", COMBINATIONS.values(), ids=COMBINATIONS)
def test_the_density_is_that_of_the_equations_of_all_coefficients(design, choices):
    engine = make_collapsed(make_blocks(design, member(**choices)))
    assert isinstance(engine.likelihood, ByGroup)
    points = engine.start() + np.random.default_rng(1).normal(size=(40, len(engine.names)))
    scales = engine.scales(points)
    expected = engine.likelihood.whole.log_likelihood(scales)
    np.testing.assert_allclose(engine.likelihood.log_likelihood(scales), expected, rtol=1e-9)


@pytest.mark.parametrize("choices", COMBINATIONS.values(), ids=COMBINATIONS)
def test_coefficients_given_scales_are_those_of_all_the_equations(design, choices):
    engine = make_collapsed(make_blocks(design, member(**choices)))
    rng = np.random.default_rng(3)
    scales = engine.scales(engine.start() + rng.normal(size=(5, len(engine.names))))
    found, expected = engine.likelihood.compact_conditional(scales), engine.likelihood.conditional(scales)
    assert isinstance(found, ByGroupConditional)
    loadings = np.vstack([np.eye(engine.n_conditional), rng.normal(size=(3, engine.n_conditional))])
    for one, other in zip(found.linear(loadings), expected.linear(loadings), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(
        found.covariance(loadings, loadings[-1]), expected.covariance(loadings, loadings[-1]), rtol=1e-7, atol=1e-10
    )


@pytest.mark.parametrize("choices", COMBINATIONS.values(), ids=COMBINATIONS)
def test_covariances_with_sums_that_differ_between_points_are_those_of_the_whole_covariance(design, choices):
    engine = make_collapsed(make_blocks(design, member(**choices)))
    rng = np.random.default_rng(4)
    scales = engine.scales(engine.start() + rng.normal(size=(5, len(engine.names))))
    found = engine.likelihood.compact_conditional(scales, means=False)
    whole = found.dense()
    covariance = whole.root @ np.swapaxes(whole.root, 1, 2)
    sums = rng.normal(size=(5, 3, engine.n_coefficients))
    across = covariance @ np.swapaxes(sums, 1, 2)
    for group, own in zip(found.groups, found.covariances_of_groups(sums), strict=True):
        at = np.concatenate([found.at, group.own])
        np.testing.assert_allclose(own, across[:, at], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("choices", COMBINATIONS.values(), ids=COMBINATIONS)
def test_rows_given_all_others_are_those_of_all_the_equations(design, choices):
    blocks = make_blocks(design, member(**choices))
    engine = make_collapsed(blocks)
    scales = engine.scales(engine.start() + np.random.default_rng(3).normal(size=(4, len(engine.names))))
    rows = np.array([0, 5, 17, 18, 40, design.n_obs - 1])
    conditional = engine.likelihood.conditional(scales)
    own = engine.errors.whole.rows_given_others(blocks, rows, scales, [(slice(None), conditional)])
    compact = engine.likelihood.compact_conditional(scales)
    found = engine.errors.rows_given_others(blocks, rows, scales, [(slice(None), compact)])
    np.testing.assert_allclose(found.pull, own.pull, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(found.precision, own.precision, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(found.known, own.known, rtol=1e-12)


def test_draws_have_the_moments_of_the_conditional(design):
    engine = make_collapsed(make_blocks(design, member(unit_slope="pooled", unit_trend="pooled")))
    n = 20_000
    scales = engine.scales(np.repeat(engine.start()[None], n, axis=0))
    drawn = engine.likelihood.compact_conditional(scales).draw(np.random.default_rng(1))
    one = engine.likelihood.conditional({name: values[:1] for name, values in scales.items()})
    mean, covariance = one.mean[0], one.root[0] @ one.root[0].T
    sd = np.sqrt(np.diag(covariance))
    assert np.abs((drawn.mean(axis=0) - mean) / sd).max() < 4.5 / np.sqrt(n)
    error = np.sqrt((np.outer(sd, sd) ** 2 + covariance**2) / n)
    assert np.abs((np.cov(drawn.T) - covariance) / error).max() < 5.5


def test_points_where_digits_would_be_lost_are_left_to_all_the_equations(design, monkeypatch):
    engine = make_collapsed(make_blocks(design, member()))
    points = np.repeat(engine.start()[None], 4, axis=0)
    points[1:, engine.names.index("tau")] += [8.0, 12.0, 16.0]
    scales = engine.scales(points)
    expected = engine.likelihood.whole.log_likelihood(scales)
    np.testing.assert_allclose(engine.likelihood.log_likelihood(scales), expected, rtol=1e-9)
    monkeypatch.setattr(by_group, "_DOMINANT", np.inf)
    lost = np.abs(engine.likelihood.log_likelihood(scales) - expected)
    assert lost[0] < 1e-9
    assert lost[-1] > 1e-4  # what the limit is for


def test_a_point_alone_and_no_point(design):
    engine = make_collapsed(make_blocks(design, member()))
    points = engine.start() + np.random.default_rng(2).normal(size=(3, len(engine.names)))
    together = engine.log_likelihood(points)
    np.testing.assert_allclose([engine.log_likelihood(point[None])[0] for point in points], together, rtol=1e-12)
    assert engine.log_likelihood(points[:0]).shape == (0,)


def test_groups_are_not_eliminated_one_by_one_where_they_share_units_or_random_levels(design):
    crossed = replace(design, group=np.arange(design.n_obs) % 3)
    assert not isinstance(make_collapsed(make_blocks(crossed, member())).likelihood, ByGroup)
    random = member(unit_effect="random", time_effect="random")
    assert not isinstance(make_collapsed(make_blocks(design, random)).likelihood, ByGroup)
    few = member(group_control_slope="off", group_time_effect="off", spread="by_group")
    assert not isinstance(make_collapsed(make_blocks(design, few)).likelihood, ByGroup)
