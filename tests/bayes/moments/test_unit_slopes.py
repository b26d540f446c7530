"""Slopes and trends of units integrated out are those that were coefficients, at any ratio of scales, in any number."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbec_bayes.bayes import posterior
from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.likelihood import unit_slope_errors
from cbec_bayes.bayes.likelihood.elimination import make_collapsed, with_unit_terms
from cbec_bayes.bayes.model import blocks as blocks_module
from cbec_bayes.bayes.model.blocks import coefficient_names, make_blocks
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.moments.coded import Coded, products_by_unit
from cbec_bayes.bayes.moments.unit_slopes import UnitSlopes
from cbec_bayes.estimands.groups import slope_quantities
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import TwoWay, means_by
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import GROUP_AVERAGE, Origin
from tests.support.members import MEMBERS, collapsed, mean_labels, mean_loading, member, panel, some_scales

ELIMINATED = [name for name, model in MEMBERS.items() if model.eliminated]


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.floats(-30, 30), st.floats(0, 15))
def test_sums_are_those_of_the_formula(seed, centre, width):
    """Over forty powers of ten, with units whose exposure does not vary, and with a kappa of zero."""
    rng = np.random.default_rng(seed)
    n, p = int(rng.integers(1, 9)), 3
    squares = np.exp(centre + width * rng.standard_normal(n)) * (rng.random(n) < 0.8)
    products = np.sqrt(squares)[:, None] * rng.standard_normal((n, p))
    ratio = np.exp(centre + 30 * rng.standard_normal(50))
    group = rng.integers(0, 3, size=n)
    units = UnitSlopes(squares, products, group)
    found, of_groups = units.sums(np.r_[ratio, np.inf]), units.sums_of_groups(np.r_[ratio, np.inf])
    for k, one in enumerate(ratio):
        total = squares + one
        own = np.divide(products, np.sqrt(squares)[:, None], out=np.zeros_like(products), where=squares[:, None] > 0)
        expected = np.einsum("i,ij,ik->jk", one / total, own, own)
        np.testing.assert_allclose(found.gram[k], expected, rtol=1e-12, atol=1e-13 * np.abs(expected).max())
        np.testing.assert_allclose(found.log_det[k], np.log1p(squares / one).sum() / 2, rtol=1e-12, atol=1e-13 * n)
        for g in range(group.max() + 1):
            mine = products[group == g] / total[group == g, None]
            atol = 1e-13 * np.abs(products / total[:, None]).max()
            np.testing.assert_allclose(of_groups.pull[k, g], mine.sum(axis=0), rtol=1e-12, atol=atol)
            np.testing.assert_allclose(of_groups.spread[k, g], (1 / total[group == g]).sum(), rtol=1e-12)
    np.testing.assert_allclose(found.gram[-1], own.T @ own, rtol=1e-12, atol=1e-13 * np.abs(own).max() ** 2)
    assert found.log_det[-1] == pytest.approx(0, abs=1e-12)
    assert (of_groups.pull[-1] == 0).all()
    assert (of_groups.spread[-1] == 0).all()


@pytest.mark.parametrize("name", ["balanced", "unbalanced", "grunfeld_unbalanced", "paper"])
@pytest.mark.parametrize("model", ELIMINATED)
def test_eliminated_slopes_are_coefficients_integrated_out(name, model):
    """Density, gradient, and what is known of the coefficients and of means over units, to ten digits."""
    blocks = make_blocks(panel(name), MEMBERS[model])
    every = with_unit_terms(blocks)
    short, long = make_collapsed(blocks), make_collapsed(every)
    assert short.n_coefficients == long.n_coefficients - sum(len(block.kept) for block in blocks.eliminated)
    pooled = [block for block in blocks.eliminated if block.scale is not None]
    assert (short.unit_means, long.unit_means) == (mean_labels(blocks.design, pooled), ())
    assert short.names == long.names
    points = np.array([some_scales(short, seed) for seed in range(5)])
    for block in pooled:
        points[0, short.names.index(block.scale)] -= 12
        points[1, short.names.index(block.scale)] += 3
    np.testing.assert_allclose(short.log_likelihood(points), long.log_likelihood(points), rtol=1e-10)
    for point in points:
        (one, slope), (other, expected) = short.gradient(point), long.gradient(point)
        assert one == pytest.approx(other, rel=1e-9)
        np.testing.assert_allclose(slope, expected, rtol=1e-8, atol=1e-8)
    found, whole = short.conditional(points), long.conditional(points)
    names = coefficient_names(every)
    load = np.zeros((short.n_conditional, long.n_coefficients))
    for k, label in enumerate(coefficient_names(blocks)):
        load[k, names.index(label)] = 1
    for k, mean in enumerate(short.unit_means, start=short.n_coefficients):
        load[k] = mean_loading(blocks.design, mean, names)
    for s in range(len(points)):
        expected = load @ whole.root[s] @ whole.root[s].T @ load.T
        sd = np.sqrt(np.diag(expected))
        np.testing.assert_allclose(found.mean[s] / sd, load @ whole.mean[s] / sd, atol=5e-8)
        np.testing.assert_allclose(
            found.root[s] @ found.root[s].T / np.outer(sd, sd), expected / np.outer(sd, sd), atol=1e-8
        )


@pytest.mark.parametrize("by_group", [False, True])
def test_columns_need_not_be_laid_out(by_group, monkeypatch):
    design = panel("unbalanced")
    design = replace(design, x=design.x * [1, 1e3] + [0, 1e6])
    model = member(group_slope="pooled", unit_slope="pooled", spread="by_group" if by_group else "common")
    rows = make_collapsed(make_blocks(design, model))
    monkeypatch.setattr(blocks_module, "LAID_OUT_MAX", 0)
    blocks = make_blocks(design, model)
    assert blocks.moments is not None
    coded = make_collapsed(blocks)
    points = np.array([some_scales(rows, seed) for seed in range(4)])
    points[0, rows.names.index("kappa")] += 12  # all that is known of a slope is then in the sums over units
    np.testing.assert_allclose(coded.log_likelihood(points), rows.log_likelihood(points), rtol=1e-9)
    one, other = coded.conditional(points), rows.conditional(points)
    sd = np.sqrt((other.root**2).sum(axis=2))
    np.testing.assert_allclose(one.mean / sd, other.mean / sd, atol=1e-6)
    np.testing.assert_allclose(np.sqrt((one.root**2).sum(axis=2)), sd, rtol=1e-7)


def test_as_kappa_grows_the_fit_becomes_a_regression_with_a_slope_for_each_unit():
    """What is left of the other regressors is ordinary least squares beside every unit's own slope and level."""
    design = panel("unbalanced")
    model = member({"kappa": Prior("fixed", {"value": 1e7})}, unit_slope="pooled")
    engine = make_collapsed(make_blocks(design, model))
    own = (design.unit[:, None] == np.arange(len(design.units))).astype(float)
    periods = (design.time[:, None] == np.arange(1, len(design.times))).astype(float)
    columns = np.column_stack([design.x[:, 1:], own, own * design.x[:, :1], periods])
    expected = np.linalg.lstsq(columns, design.y)[0][: design.x.shape[1] - 1]
    found = engine.conditional(np.log([[0.5]])).mean[0, 1 : design.x.shape[1]]
    np.testing.assert_allclose(found, expected, rtol=1e-8)


@pytest.mark.parametrize("model", ["nested", "group times fixed"])
def test_draws_of_slopes_are_those_of_coefficients(model):
    design = panel("unbalanced")
    blocks = make_blocks(design, MEMBERS[model])
    engine = make_collapsed(blocks)
    point = some_scales(engine, 3)
    draws = posterior.draw_effects(blocks, engine, np.tile(point, (40_000, 1)), seed=4)
    long = make_collapsed(with_unit_terms(blocks)).conditional(point[None])
    mean, root = long.mean[0, engine.n_coefficients :], long.root[0, engine.n_coefficients :]
    covariance = root @ root.T
    found, sd = draws["unit_slope"], np.sqrt(np.diag(covariance))
    assert (np.abs(found.mean(axis=0) - mean) < 5 * sd / 200).all()
    assert (np.abs(np.cov(found.T) - covariance) < 6 * np.outer(sd, sd) * np.sqrt(2) / 200).all()
    np.testing.assert_allclose(draws["mean_unit_slope"], found.mean(axis=1))
    for r in range(len(design.groups)):
        own = found[:, design.group_of_unit == r].mean(axis=1)
        np.testing.assert_allclose(draws["group_mean_unit_slope"][:, r], own)


def many_units(n_units: int, n_times: int = 4) -> Design:
    """A panel of many units, of unequal variation of the exposure, with kappa = .4, tau = .3 and sigma = .5."""
    rng = np.random.default_rng(2)
    unit, time = np.repeat(np.arange(n_units), n_times), np.tile(np.arange(n_times), n_units)
    group = (np.arange(n_units) % 5)[unit]
    x = rng.standard_normal((len(unit), 2)) * np.exp(rng.standard_normal(n_units))[unit, None] + 3
    slopes = 0.3 * rng.standard_normal(5)[group] + 0.4 * rng.standard_normal(n_units)[unit]
    y = x[:, 0] * slopes + 0.2 * x[:, 1] + rng.standard_normal(n_units)[unit] + 0.5 * rng.standard_normal(len(unit))
    units, groups = tuple(f"u{i}" for i in range(n_units)), tuple(f"g{r}" for r in range(5))
    effects = TwoWay(unit, time)
    return Design(
        outcome="y",
        terms=("d", "x"),
        y=y,
        x=x,
        unit=unit,
        time=time,
        group=group,
        units=units,
        times=tuple(range(n_times)),
        groups=groups,
        effects=effects,
        origin=Origin.SIMULATED,
    )


def test_twenty_thousand_units_have_slopes():
    """Eighty thousand rows: the scales are found again, and the average over units is known without their draws."""
    found = fit(many_units(20_000), "nested", draws=500, chains=2)
    found.diagnostics.require()
    values = found.tree["posterior"].dataset
    assert "unit_slope" not in values
    for name, true in (("kappa", 0.4), ("sigma", 0.5)):
        assert abs(float(values[name].mean()) - true) < 4 * float(values[name].std())
    average = slope_quantities(found)[GROUP_AVERAGE].summary()
    drawn = values["slope"] + values["group_slope"].mean("group") + values["mean_unit_slope"]
    assert abs(float(drawn.mean()) - average.mean) < 5 * average.sd / np.sqrt(1_000)
    assert float(drawn.std()) == pytest.approx(average.sd, rel=0.1)


def test_too_many_products_are_refused(monkeypatch):
    monkeypatch.setattr(unit_slope_errors, "PRODUCTS_MAX", 10)
    monkeypatch.setattr(blocks_module, "LAID_OUT_MAX", 0)
    with pytest.raises(InputError, match=r"slopes of \d+ units beside \d+ coefficients need more memory"):
        make_collapsed(make_blocks(panel("balanced"), MEMBERS["nested"]))


def test_products_lose_no_digits_to_large_means():
    rng = np.random.default_rng(3)
    unit, code = np.repeat(np.arange(6), 5), np.tile(np.arange(5), 6)
    d, x = rng.standard_normal(30), rng.standard_normal((30, 2))
    parts = [Coded(x + 1e9), Coded(np.ones((30, 1)), code, 5), Coded(x[:, :1], unit // 2, 3)]
    squares, products = products_by_unit(parts, d + 1e9, unit, 7)
    centred = (d + 1e9) - 1e9
    centred = centred - means_by(unit, centred[:, None])[unit, 0]
    columns = np.column_stack(
        [(x + 1e9) - 1e9, code[:, None] == np.arange(5), x[:, :1] * (unit[:, None] // 2 == np.arange(3))]
    )
    for i in range(6):
        rows = unit == i
        assert squares[i] == pytest.approx(centred[rows] @ centred[rows], rel=1e-6)
        np.testing.assert_allclose(products[i], centred[rows] @ columns[rows], rtol=1e-6, atol=1e-6)
    assert (products[6] == 0).all()


def test_a_unit_whose_exposure_does_not_vary_adds_nothing_to_kappa():
    design = panel("balanced")
    held = design.unit == 0
    d = np.where(held, design.x[held, 0].mean(), design.x[:, 0])
    design = replace(design, x=np.column_stack([d, design.x[:, 1:]]))
    model = MEMBERS["nested"]
    short = collapsed(design, model)
    long = make_collapsed(with_unit_terms(make_blocks(design, model)))
    point = some_scales(short, 2)
    assert short.log_likelihood(point[None])[0] == pytest.approx(long.log_likelihood(point[None])[0], rel=1e-10)
