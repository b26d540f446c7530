"""Weights of rows: the density, and all that follows from it, is that of errors of variance sigma^2 / w."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.bayes import many_units
from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.likelihood.row_densities import row_densities
from cbec_bayes.bayes.likelihood.tabulated_errors import TabulatedErrors
from cbec_bayes.bayes.likelihood.unit_densities import unit_densities
from cbec_bayes.bayes.loo import LeftOutPart, leave_out
from cbec_bayes.bayes.model import blocks as blocks_module
from cbec_bayes.bayes.model.blocks import blocks_for, coefficient_names, make_blocks
from cbec_bayes.bayes.model.carried import carried
from cbec_bayes.bayes.model.family import PanelModel, load_panel_model
from cbec_bayes.bayes.moments.by_unit import moments_of
from cbec_bayes.bayes.posterior import linear_predictor
from cbec_bayes.bayes.predictive import predictive_outcomes
from cbec_bayes.bayes.sampling.importance import mode_of
from cbec_bayes.panel import Roles, make_panel
from cbec_bayes.panel.design import Design, make_design
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import InputError
from tests.support.long_panels import long_panel
from tests.support.members import (
    MEMBERS,
    SMALL,
    Dense,
    assert_covariance,
    by_name,
    collapsed,
    dense,
    mean_loading,
    member,
    panel,
    rows_covariance,
    some_scales,
    weighted,
)

EXACT = 1e-8
CORRELATED = {
    f"{correlation}, {name}": member(correlation=correlation, group_slope="pooled", **terms)
    for correlation in ("ar1", "random_walk")
    for name, terms in {
        "plain": {},
        "by group": {"spread": "by_group"},
        "trends and slopes": {"unit_trend": "pooled", "unit_slope": "pooled"},
        "trends fixed": {"unit_trend": "fixed"},
        "random units": {"unit_effect": "random"},
        "groups": {"group_control_slope": "pooled", "group_time_effect": "pooled"},
    }.items()
}
EVERY = MEMBERS | CORRELATED


def points_of(design: Design, model: PanelModel) -> Array:
    engine = collapsed(design, model)
    if "rho" not in engine.names:
        return np.array([some_scales(engine, seed) for seed in (1, 2)])
    return 0.4 * np.random.default_rng(3).standard_normal((2, len(engine.names))) - 0.2


def log_density(written: Dense, v: Array) -> float:
    """The integral over flat coefficients, for a covariance of the rows given these."""
    return replace(written, z=np.linalg.cholesky(v), scales=(1.0,) * len(v), means=np.zeros(len(v))).log_likelihood(
        dict.fromkeys(written.sigmas, 0.0)
    )


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("label", EVERY)
def test_density_gradient_and_coefficients_are_those_written_out(label, name):
    design, model = weighted(panel(name)), EVERY[label]
    engine, written = collapsed(design, model), dense(design, model)
    points = points_of(design, model)
    found = engine.log_likelihood(points)
    for point, value in zip(points, found, strict=True):
        scales = by_name(engine, point)
        v = rows_covariance(design, written, scales, model.choice("correlation"))
        assert value == pytest.approx(log_density(written, v), rel=EXACT)
    step = 1e-5 * np.eye(len(engine.names))
    slope = (engine.log_posterior(points[0] + step) - engine.log_posterior(points[0] - step)) / 2e-5
    np.testing.assert_allclose(engine.gradient(points[0])[1], slope, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("label", MEMBERS)
def test_coefficients_given_scales_are_those_written_out(label, name):
    design, model = weighted(panel(name)), MEMBERS[label]
    engine, written, blocks = collapsed(design, model), dense(design, model), make_blocks(design, model)
    point = points_of(design, model)[0]
    mean, covariance = written.conditional(by_name(engine, point))
    found = engine.conditional(point[None])
    own = [name for name in coefficient_names(blocks) if name in mean and not name.startswith(("time_", "intercept"))]
    own = [one for one in own if not one.startswith(("mundlak", "group_time_effect"))]
    at = [coefficient_names(blocks).index(one) for one in own]
    np.testing.assert_allclose(found.mean[0, at], mean[own], rtol=1e-7, atol=1e-9)
    assert_covariance((found.root[0] @ found.root[0].T)[np.ix_(at, at)], covariance.loc[own, own].to_numpy(), EXACT)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("label", ["partial_pooling", "group_variance", "nested", "random units", *CORRELATED])
def test_a_row_given_the_others_is_the_ratio_of_two_densities(label, name):
    design, model = weighted(panel(name)), EVERY[label]
    blocks, engine, written = make_blocks(design, model), collapsed(design, model), dense(design, model)
    points = points_of(design, model)
    found, rows = row_densities(blocks, engine, points)
    v = rows_covariance(design, written, by_name(engine, points[1]), model.choice("correlation"))
    for i in (0, 7, 20):
        without = np.arange(design.n_obs) != i
        others = replace(written, y=written.y[without], x=written.x[without], sigmas=written.sigmas[1:])
        others = replace(others, weight=written.weight[without])
        expected = log_density(written, v) - log_density(others, v[np.ix_(without, without)])
        assert found[1, list(rows).index(i)] == pytest.approx(expected, rel=1e-7, abs=1e-8)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("label", ["partial_pooling", "nested", "trends fixed", "ar1, plain", "ar1, trends fixed"])
def test_a_unit_given_the_others_is_that_of_its_changes(label, name):
    """The same changes as without weights: contrasts of the rows themselves, not of rows times the roots of weights."""
    design, model = weighted(panel(name)), EVERY[label]
    blocks, engine, written = make_blocks(design, model), collapsed(design, model), dense(design, model)
    points = points_of(design, model)
    found = unit_densities(blocks, engine, points)
    v = rows_covariance(design, written, by_name(engine, points[1]), model.choice("correlation"))
    elapsed = np.asarray(design.times)[design.time]
    for unit in (0, 4):
        own = design.unit == unit
        others = replace(written, y=written.y[~own], x=written.x[~own])
        others = replace(others, sigmas=written.sigmas[: (~own).sum()], weight=written.weight[~own])
        keep = np.abs(others.x).max(axis=0) > 0
        others = replace(others, x=others.x[:, keep])
        expected = log_density(written, v) - log_density(others, v[np.ix_(~own, ~own)])
        level = np.column_stack([np.ones(own.sum()), elapsed[own]])
        level = level if "trends fixed" in label else level[:, :1]
        # A flat level has the volume of its column; that of a trend is about the mean of all rows, as it enters.
        level[:, 1:] -= elapsed.mean()
        expected += np.linalg.slogdet(level.T @ level)[1] / 2
        assert found[1, unit] == pytest.approx(expected, rel=1e-7)
        part = LeftOutPart(blocks, own, False, points, 1)
        averaged = np.log(1 / np.mean(np.exp(-found[:, unit])))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("cbec_bayes.bayes.loo.smoothed_weights", _harmonic)
            assert leave_out(part)[0] == pytest.approx(averaged, rel=1e-6)


def _harmonic(log_ratios: Array) -> tuple[Array, float]:
    weights = np.exp(log_ratios - log_ratios.max())
    return weights / weights.sum(), 0.0


@pytest.mark.parametrize("label", ["partial_pooling", "group_variance", "partial_pooling_all"])
def test_moments_by_code_are_those_of_columns_laid_out(label, monkeypatch):
    design, model = weighted(panel("unbalanced")), MEMBERS[label]
    rows = make_blocks(design, model)
    monkeypatch.setattr(blocks_module, "LAID_OUT_MAX", 1)
    coded = make_blocks(design, model)
    assert coded.moments is not None
    assert rows.moments is None
    columns = rows.scaled_rows
    strata = (design.group, design.groups) if model.residuals.by_group else ()
    laid_out = moments_of(columns, coded.moments.columns, design.unit, *strata, weight=design.weight)
    for one, other in zip(laid_out.strata.values(), coded.moments.strata.values(), strict=True):
        scale = np.sqrt(np.diag(one.within + one.between.sum(axis=0)))
        scale = np.where(scale > 0, scale, 1.0)
        for a, b in ((one.within, other.within), (one.between.sum(axis=0), other.between.sum(axis=0))):
            np.testing.assert_allclose(a / np.outer(scale, scale), b / np.outer(scale, scale), atol=1e-12)
        assert one.log_sizes == pytest.approx(other.log_sizes, rel=1e-12)
    points = points_of(design, model)
    np.testing.assert_allclose(
        make_collapsed(coded).log_likelihood(points), make_collapsed(rows).log_likelihood(points), rtol=1e-9
    )


def with_ones(design: Design) -> Design:
    ones = np.ones(design.n_obs)
    return replace(design, weight=ones, effects=replace(design.effects, weight=ones))


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("label", EVERY)
def test_weights_of_one_are_none(label, name):
    design, model = panel(name), EVERY[label]
    plain, ones = collapsed(design, model), collapsed(with_ones(design), model)
    points = points_of(design, model)
    np.testing.assert_allclose(ones.log_likelihood(points), plain.log_likelihood(points), rtol=1e-10)
    np.testing.assert_allclose(ones.gradient(points[0])[1], plain.gradient(points[0])[1], rtol=1e-8, atol=1e-8)


def frame_of(design: Design, **more: Array) -> pd.DataFrame:
    columns = {
        "y": design.y,
        "x": design.x[:, 0],
        "z": design.x[:, 1],
        "unit": [f"u{u}" for u in design.unit],
        "time": [int(design.times[t]) for t in design.time],
        "group": [design.groups[g] for g in design.group],
    }
    return pd.DataFrame(columns).assign(**more)


ROLES = Roles(outcome="y", exposure="x", controls=("z",), unit="unit", time="time", group="group", weights="w")
COPIES = replace(ROLES, weights_kind="frequency")


def test_weights_that_are_constant_say_nothing():
    panel_ = make_panel(frame_of(panel("unbalanced"), w=np.full(panel("unbalanced").n_obs, 7.3)), ROLES)
    assert make_design(panel_).weight is None


def test_weights_in_any_unit_say_the_same():
    rows = panel("unbalanced")
    w = weighted(rows).weight
    one, other = (make_design(make_panel(frame_of(rows, w=own), ROLES)) for own in (w, 1e6 * w))
    np.testing.assert_allclose(one.weight, other.weight, rtol=1e-14)
    assert one.weight.mean() == pytest.approx(1.0, rel=1e-14)


@pytest.mark.parametrize("label", ["partial_pooling", "group_variance", "nested", "random units"])
def test_frequency_weights_are_copies_of_rows(label):
    """Copies tell nothing of slopes that a row of their weight does not, and n - 1 differences of zero beside."""
    rows, model = panel("unbalanced"), EVERY[label]
    copies = np.random.default_rng(2).integers(1, 4, rows.n_obs)
    design = make_design(make_panel(frame_of(rows, w=copies.astype(float)), COPIES))
    assert design.n_obs == copies.sum()
    assert design.weight is None
    analytic = make_design(make_panel(frame_of(rows, w=copies.astype(float)), ROLES))
    analytic = replace(analytic, weight=analytic.weight * copies.mean())
    analytic = replace(analytic, effects=replace(analytic.effects, weight=analytic.weight))
    engine, own = collapsed(design, model), collapsed(analytic, model)
    points = points_of(design, model)
    one, other = engine.conditional(points), own.conditional(points)
    at = [k for k, name in enumerate(coefficient_names(make_blocks(design, model))) if "slope" in name]
    np.testing.assert_allclose(one.mean[:, at], other.mean[:, at], rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(
        np.linalg.norm(one.root[:, at], axis=2), np.linalg.norm(other.root[:, at], axis=2), rtol=1e-8
    )
    spare = copies - 1
    for point in points:
        scales = by_name(engine, point)
        sigma = np.array([scales[f"sigma[{g}]" if model.residuals.by_group else "sigma"] for g in rows.groups])
        # Orthonormal contrasts of w copies: they are zero, and independent of the mean, which has variance sigma^2 / w.
        left = -(spare * (np.log(sigma[rows.group]) + np.log(2 * np.pi) / 2)).sum() - np.log(copies).sum() / 2
        assert engine.log_likelihood(point[None])[0] == pytest.approx(
            own.log_likelihood(point[None])[0] + left, rel=1e-8
        )


def test_copies_have_no_order_so_that_correlations_are_left_out():
    rows = panel("unbalanced")
    copies = np.random.default_rng(2).integers(1, 4, rows.n_obs).astype(float)
    design = make_design(make_panel(frame_of(rows, w=copies), COPIES))
    found = carried(load_panel_model("robust"), design)
    assert found.model.choice("correlation") == "off"
    assert any("frequency weights" in sentence for sentence in found.left_out)
    with pytest.raises(InputError, match="frequency weights"):
        fit(design, "ar1")


def test_replicates_have_the_spread_that_weights_say():
    """Rows of weight w vary with the variance sigma^2 / w about their mean, in units of the Monte Carlo error."""
    design = weighted(panel("balanced"))
    found = fit(design, "partial_pooling")
    outcomes = predictive_outcomes(found, own_levels=False)
    posterior = found.posterior
    mean = linear_predictor(
        found.blocks,
        {
            one: posterior[one].to_numpy().reshape(4000, *posterior[one].shape[2:])
            for one in (*(block.name for block in found.blocks.variables), "unit_effect")
        },
    )
    left = (outcomes - mean) / posterior["sigma"].to_numpy().reshape(-1, 1) * np.sqrt(design.weight)
    squares = (left**2).mean(axis=0)
    z = (squares - 1) / np.sqrt(2 / len(left))
    assert np.abs(z).max() < 4.5
    assert found.tree["constant_data"]["weight"].to_numpy() == pytest.approx(found.design.weight)


def test_means_over_units_are_those_written_out():
    design, model = weighted(panel("unbalanced")), MEMBERS["trends and slopes"]
    engine, written = collapsed(design, model), dense(design, model)
    point = points_of(design, model)[0]
    mean, covariance = written.conditional(by_name(engine, point))
    found = engine.conditional(point[None])
    k = engine.n_coefficients
    names = [name for name in mean.index if not name.startswith("mean_")]
    for j, label in enumerate(engine.unit_means):
        loading = mean_loading(design, label, names)
        if not loading.any():
            continue
        assert found.mean[0, k + j] == pytest.approx(float(loading @ mean[names]), rel=1e-7, abs=1e-9)
        variance = float(loading @ covariance.loc[names, names].to_numpy() @ loading)
        assert float(found.root[0, k + j] @ found.root[0, k + j]) == pytest.approx(variance, rel=1e-7)


def test_tables_of_very_many_units_have_the_density_of_the_rows(monkeypatch):
    monkeypatch.setattr(blocks_module, "MANY_UNITS", 50)
    monkeypatch.setattr(many_units, "PART", 120)
    monkeypatch.setattr(many_units, "SAMPLED", 150)
    blocks = blocks_for(weighted(long_panel(300, 10, gaps=True)), "robust")
    found, exact = many_units.collapsed_of(blocks), make_collapsed(blocks)
    assert isinstance(found.errors, TabulatedErrors)
    mode, covariance = mode_of(found.gradient, found.start())
    points = np.random.default_rng(1).multivariate_normal(mode, covariance, 20)
    density = found.log_posterior(points)
    np.testing.assert_allclose(density, exact.log_posterior(points), rtol=0, atol=many_units.TOLERANCE)
