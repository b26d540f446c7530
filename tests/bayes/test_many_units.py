"""Tables about the mode of many units: the density, and all that follows from it, is the exact one."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from cbec_bayes.bayes import many_units
from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.likelihood.collapsed import Collapsed
from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.likelihood.tabulated_errors import TabulatedErrors
from cbec_bayes.bayes.many_units import TOLERANCE, collapsed_of
from cbec_bayes.bayes.model import blocks as blocks_module
from cbec_bayes.bayes.model.blocks import Blocks, blocks_for
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.bayes.model.headline import headline
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.observations import densities_given_others
from cbec_bayes.bayes.sampling.importance import mode_of
from cbec_bayes.panel.design import Design
from tests.support.long_panels import long_panel
from tests.support.members import weighted

N_UNITS, N_TIMES = 300, 10


@pytest.fixture(scope="module", params=[False, True], ids=["balanced", "gaps"])
def engines(request) -> tuple[Blocks, Collapsed, Collapsed]:
    """Some 3,000 rows: blocks, the density over tables, and the exact one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks_module, "MANY_UNITS", 50)
        patch.setattr(many_units, "PART", 120)
        patch.setattr(many_units, "SAMPLED", 150)
        blocks = blocks_for(long_panel(N_UNITS, N_TIMES, gaps=request.param), "robust")
        found = collapsed_of(blocks)
    assert isinstance(found.errors, TabulatedErrors)
    return blocks, found, make_collapsed(blocks)


def draws(found: Collapsed, n: int, seed: int = 1):
    mode, covariance = mode_of(found.gradient, found.start())
    return np.random.default_rng(seed).multivariate_normal(mode, covariance, n)


def test_the_density_is_the_exact_one_wherever_draws_lie(engines):
    """Posteriors are then the same: weights of draws differ by a millionth, where Monte Carlo leaves a hundredth."""
    _, found, exact = engines
    points = draws(found, 60)
    density = found.log_posterior(points)
    assert np.isfinite(density).all()
    np.testing.assert_allclose(density, exact.log_posterior(points), rtol=0, atol=TOLERANCE)


def test_the_mode_and_the_curvature_are_the_exact_ones(engines):
    _, found, exact = engines
    mode, covariance = mode_of(found.gradient, found.start())
    value, slope = exact.gradient(mode)
    assert float(slope @ covariance @ slope) < 1e-8
    assert abs(value - found.gradient(mode)[0]) < TOLERANCE
    assert (np.abs(found.start() - mode) < np.sqrt(np.diag(covariance))).all()


def test_coefficients_and_means_over_units_are_the_exact_ones(engines):
    _, found, exact = engines
    points = draws(found, 3)
    assert found.unit_means == exact.unit_means
    loadings = np.vstack([np.eye(found.n_conditional), np.ones(found.n_conditional)])
    for part, other in zip(found.conditionals(points), exact.conditionals(points), strict=True):
        for one, two in zip(part.linear(loadings), other.linear(loadings), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-6, atol=1e-7)
    one, two = found.conditional(points), exact.conditional(points)
    np.testing.assert_allclose(one.mean, two.mean, rtol=1e-6, atol=1e-7)


def test_rows_and_units_are_those_of_the_exact_engine(engines):
    blocks, found, exact = engines
    points = draws(found, 2)
    one, two = (densities_given_others(blocks, c, points, (1, 2)) for c in (found, exact))
    np.testing.assert_allclose(one["y"], two["y"], atol=1e-5)
    coefficients = exact.conditional(points).mean[:, : exact.n_coefficients]
    scales = exact.scales(points)
    found = pickle.loads(pickle.dumps(found))  # as workers get it
    drawn = [c.errors.draw_units(blocks, coefficients, scales, np.random.default_rng(2)) for c in (found, exact)]
    assert list(drawn[0]) == list(drawn[1])
    for name, values in drawn[0].items():
        np.testing.assert_allclose(values, drawn[1][name], rtol=1e-8, atol=1e-8)


def test_scales_that_data_hardly_tell_from_zero_are_in_the_box(monkeypatch):
    """Neither slopes nor trends of units differ, so that the density has a long tail towards ratios of zero."""
    monkeypatch.setattr(blocks_module, "MANY_UNITS", 50)
    design = long_panel(600, 6, rho=0.0)
    rng = np.random.default_rng(8)
    y = 0.3 * design.x[:, 0] + rng.normal(size=600)[design.unit] + 0.5 * rng.normal(size=design.n_obs)
    blocks = blocks_for(replace(design, y=y), "robust")
    found, exact = collapsed_of(blocks), make_collapsed(blocks)
    assert isinstance(found.errors, TabulatedErrors)
    points = np.tile(found.start(), (6, 1))
    at = [found.names.index(name) for name in ("kappa", "xi")]
    points[:, at] -= np.array([0.0, 0.3, 1.0, 3.0, 10.0, 30.0])[:, None]
    np.testing.assert_allclose(found.log_posterior(points), exact.log_posterior(points), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("grouped", [True, False], ids=["random walk", "without groups"])
def test_members_without_a_correlation_or_without_groups_are_tabulated_as_well(grouped, monkeypatch):
    monkeypatch.setattr(blocks_module, "MANY_UNITS", 50)
    design = long_panel(400, 8, gaps=True)
    model = load_panel_model("robust").choosing(correlation="random_walk" if grouped else "ar1")
    blocks = blocks_for(design if grouped else replace(design, group=None, groups=()), model)
    found, exact = collapsed_of(blocks), make_collapsed(blocks)
    assert isinstance(found.errors, TabulatedErrors)
    assert found.names == exact.names
    points = draws(found, 20)
    np.testing.assert_allclose(found.log_posterior(points), exact.log_posterior(points), rtol=0, atol=TOLERANCE)


def assert_equal_about_the_mode(found: Collapsed, exact: Collapsed) -> None:
    """Compare density, gradient, and coefficients with means over units."""
    points = draws(found, 15)
    np.testing.assert_allclose(found.log_posterior(points), exact.log_posterior(points), rtol=0, atol=TOLERANCE)
    (value, slope), (other, expected) = found.gradient(points[0]), exact.gradient(points[0])
    assert abs(value - other) < TOLERANCE
    np.testing.assert_allclose(slope, expected, atol=1e-4)
    one, two = found.conditional(points[:2]), exact.conditional(points[:2])
    np.testing.assert_allclose(one.mean, two.mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(one.root @ one.root.mT, two.root @ two.root.mT, rtol=1e-5, atol=1e-6)


OF_ANY_KIND = {
    "AR(1) alone": {"correlation": "ar1", "unit_slope": "off", "unit_trend": "off"},
    "a random walk alone": {"correlation": "random_walk", "unit_slope": "off", "unit_trend": "off"},
    "random levels": {"unit_effect": "random"},
    "random levels and AR(1)": {"unit_effect": "random", "unit_slope": "off", "unit_trend": "off"},
    "correlated levels, independent errors": {"unit_effect": "correlated", "correlation": "off", "unit_trend": "off"},
    "flat trends": {"unit_trend": "fixed"},
    "flat trends alone": {"unit_trend": "fixed", "unit_slope": "off", "correlation": "off"},
    "flat trends and slopes": {"unit_trend": "fixed", "correlation": "off", "spread": "common"},
    "flat trends and a random walk": {"unit_trend": "fixed", "correlation": "random_walk"},
    "random levels and flat trends": {"unit_trend": "fixed", "unit_effect": "random"},
}


@pytest.mark.parametrize("choices", OF_ANY_KIND.values(), ids=OF_ANY_KIND)
@pytest.mark.parametrize("gaps", [False, True], ids=["balanced", "gaps"])
def test_members_of_any_kind_are_tabulated(gaps, choices, monkeypatch):
    """Density, gradient, and coefficients with means over units are the exact ones."""
    monkeypatch.setattr(blocks_module, "MANY_UNITS", 50)
    model = load_panel_model("robust").choosing(**choices)
    model = replace(model, priors=model.priors | {"sigma_mu": Prior("half_normal", {"scale": 3.0})})
    blocks = blocks_for(long_panel(1_600, 6, gaps=gaps), model)
    found, exact = collapsed_of(blocks), make_collapsed(blocks)
    assert isinstance(found.errors, TabulatedErrors)
    assert (found.names, found.unit_means) == (exact.names, exact.unit_means)
    assert_equal_about_the_mode(found, exact)


HELD = {
    "a slope": {"kappa": 0.4},
    "no slope": {"kappa": 0.0},
    "slope and errors": {"kappa": 0.4, "sigma": 0.5},
    "slope, trend and errors": {"kappa": 0.4, "xi": 0.3, "sigma": 0.5},
    "levels and errors": {"sigma_mu": 2.5, "sigma": 0.5},
}


@pytest.mark.parametrize("held", HELD.values(), ids=HELD)
def test_scales_that_are_held_at_values_are_tabulated_as_well(held, monkeypatch):
    """A ratio of which one scale is held moves with the other; one of two that are held is a table's one node."""
    monkeypatch.setattr(blocks_module, "MANY_UNITS", 50)
    levels = "random" if "sigma_mu" in held else "fixed"
    model = load_panel_model("robust").choosing(unit_effect=levels)
    model = replace(model, priors=model.priors | {name: Prior("fixed", {"value": v}) for name, v in held.items()})
    blocks = blocks_for(long_panel(900, 6, gaps=True), model)
    found, exact = collapsed_of(blocks), make_collapsed(blocks)
    assert isinstance(found.errors, TabulatedErrors)
    assert (found.names, found.unit_means) == (exact.names, exact.unit_means)
    assert found.fixed == exact.fixed
    assert not set(found.names) & set(held)
    assert_equal_about_the_mode(found, exact)


def test_errors_that_are_almost_a_random_walk_are_tabulated(monkeypatch):
    """Trends that no term stands for are taken for errors that hardly fade: nothing is beyond a correlation of one."""
    monkeypatch.setattr(blocks_module, "MANY_UNITS", 50)
    blocks = blocks_for(long_panel(1_000, 6, gaps=True), load_panel_model("robust").choosing(unit_trend="off"))
    found, exact = collapsed_of(blocks), make_collapsed(blocks)
    assert isinstance(found.errors, TabulatedErrors)
    assert_equal_about_the_mode(found, exact)
    points = np.tile(found.start(), (4, 1))
    points[:, found.names.index("rho")] = np.arctanh([0.95, 0.99, 0.9999, 1 - 1e-6])
    np.testing.assert_allclose(found.log_posterior(points), exact.log_posterior(points), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("levels", ["fixed", "random", "correlated"])
def test_rows_with_weights_are_tabulated(levels, monkeypatch):
    monkeypatch.setattr(blocks_module, "MANY_UNITS", 50)
    model = load_panel_model("robust").choosing(unit_effect=levels, unit_trend="fixed", correlation="off")
    model = replace(model, priors=model.priors | {"sigma_mu": Prior("half_normal", {"scale": 3.0})})
    blocks = blocks_for(weighted(long_panel(600, 6, gaps=True)), model)
    found, exact = collapsed_of(blocks), make_collapsed(blocks)
    assert isinstance(found.errors, TabulatedErrors)
    assert_equal_about_the_mode(found, exact)


@pytest.mark.parametrize("levels", ["fixed", "random"])
def test_effects_of_many_periods_beside_flat_trends_are_tabulated(levels, monkeypatch):
    """Trends make up for two of them, and all others are then nearly a straight line."""
    monkeypatch.setattr(blocks_module, "MANY_UNITS", 50)
    model = load_panel_model("robust").choosing(unit_effect=levels, unit_trend="fixed")
    model = replace(model, priors=model.priors | {"sigma_mu": Prior("half_normal", {"scale": 3.0})})
    blocks = blocks_for(long_panel(300, 30, gaps=True), model)
    found, exact = collapsed_of(blocks), make_collapsed(blocks)
    assert isinstance(found.errors, TabulatedErrors)
    points = draws(found, 6)
    np.testing.assert_allclose(found.log_posterior(points), exact.log_posterior(points), rtol=0, atol=TOLERANCE)


def test_a_correlation_that_short_units_hardly_tell_is_not_cut_off(monkeypatch):
    """Flat levels and trends leave one change of each unit, and a coarse table takes its posterior for narrow."""
    monkeypatch.setattr(blocks_module, "MANY_UNITS", 50)
    blocks = blocks_for(long_panel(1_500, 3, rho=0.3), load_panel_model("robust").choosing(unit_trend="fixed"))
    found, exact = collapsed_of(blocks), make_collapsed(blocks)
    mode, covariance = mode_of(exact.gradient, found.start())
    k = found.names.index("rho")
    points = []
    for step in (-2.0, 0.0, 2.0):  # what is most likely given the correlation
        at = mode[k] + step * np.sqrt(covariance[k, k])
        others, _ = mode_of(exact.holding({"rho": float(np.tanh(at))}).gradient, np.delete(mode, k))
        points.append(np.insert(others, k, at))
    expected = exact.log_posterior(np.array(points))
    assert expected.min() > expected.max() - 4
    np.testing.assert_allclose(found.log_posterior(np.array(points)), expected, rtol=0, atol=TOLERANCE)


def adopted_by_few(design: Design) -> Design:
    """An exposure of zeros and ones that begins in one unit of twenty."""
    rng = np.random.default_rng(1)
    n = len(design.units)
    begins = np.where(rng.random(n) < 0.05, rng.integers(2001, 2005, n), 9999)
    x = design.x.copy()
    x[:, 0] = np.asarray(design.times)[design.time] >= begins[design.unit]
    return replace(design, x=x, y=design.y + rng.normal(0.3, 0.5, n)[design.unit] * x[:, 0])


def in_large_numbers(design: Design) -> Design:
    return replace(design, x=100 * design.x + 1e4, y=1e3 * design.y + 1e6)


@pytest.mark.parametrize("changed", [adopted_by_few, in_large_numbers])
def test_exposures_that_few_units_have_and_large_means_cost_no_digits(changed, monkeypatch):
    monkeypatch.setattr(blocks_module, "MANY_UNITS", 50)
    blocks = blocks_for(changed(long_panel(1_500, 6, gaps=True)), "robust")
    found, exact = collapsed_of(blocks), make_collapsed(blocks)
    assert isinstance(found.errors, TabulatedErrors)
    points = draws(found, 6)
    np.testing.assert_allclose(found.log_posterior(points), exact.log_posterior(points), rtol=0, atol=2 * TOLERANCE)


def test_where_no_table_holds_the_posterior_the_rows_do(monkeypatch):
    """A handful of units leaves the scales anywhere."""
    monkeypatch.setattr(blocks_module, "MANY_UNITS", 1)
    blocks = blocks_for(long_panel(9, 5), "robust")
    assert not isinstance(collapsed_of(blocks).errors, TabulatedErrors)


def test_a_panel_of_many_units_is_fitted_and_is_the_headline(monkeypatch):
    """As of a million rows, nothing is drawn of single units or rows; means over units are."""
    monkeypatch.setattr("cbec_bayes.bayes.posterior.POINTWISE_MAX", 0)
    design = long_panel(2_100, 5, gaps=True)
    told = headline(design)
    assert told.model.name == "robust"
    assert told.model.choice("unit_trend") == told.model.choice("unit_slope") == "pooled"
    found = fit(design, told.model, draws=500, chains=2)
    assert found.collapsed is not None
    assert isinstance(found.collapsed.errors, TabulatedErrors)
    found.diagnostics.require()
    posterior = found.tree["posterior"].dataset
    for name, truth in (("kappa", 0.5), ("xi", 0.3), ("rho", 0.4)):
        mean, sd = float(posterior[name].mean()), float(posterior[name].std())
        assert abs(mean - truth) < 4.5 * sd
    assert {"group_mean_unit_slope", "mean_unit_trend", "group_total_slope"} <= set(posterior)
    assert "unit_effect" not in posterior
