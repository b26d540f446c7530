"""Cross-products of groups, in any pieces, are those of the exact engine, whatever units have of their own."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from cbec_bayes.bayes.likelihood.collapsed import Collapsed
from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.likelihood.tabulated_errors import TabulatedErrors
from cbec_bayes.bayes.likelihood.tabulation import Box, Tabulation, can_tabulate, tabulation
from cbec_bayes.bayes.model import blocks as blocks_module
from cbec_bayes.bayes.model.blocks import Blocks, make_blocks
from cbec_bayes.bayes.model.family import PanelModel
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.moments import group_rows
from cbec_bayes.bayes.moments.group_columns import SparseColumn, distinct
from cbec_bayes.bayes.moments.group_rows import Ratios, grams, unpacked
from cbec_bayes.panel.within import Array
from tests.support.long_panels import long_panel
from tests.support.members import dense, member, rows_covariance

CORRELATIONS, SPREADS = ("off", "ar1", "random_walk"), ("common", "by_group")
OF_UNITS = tuple(itertools.product(("off", "pooled"), ("off", "fixed", "pooled")))
LEVELS = ("fixed", "random", "correlated")


def by_tables(correlation: str, of_units: tuple[str, str], levels: str) -> bool:
    """Whether tables are for a member: where errors are independent moments tell all of a single direction."""
    single = of_units in (("off", "off"), ("pooled", "off"), ("off", "pooled"))
    return correlation != "off" or not single or (levels != "fixed" and "pooled" in of_units)


COMBINATIONS = [
    (c, s, *of_units, levels)
    for c, s, of_units, levels in itertools.product(CORRELATIONS, SPREADS, OF_UNITS, LEVELS)
    if by_tables(c, of_units, levels)
]


def of_terms(combination: tuple[str, ...], held: Mapping[str, float] | None = None) -> PanelModel:
    """A member with a choice of terms, with scales held at values."""
    names = ("correlation", "spread", "unit_slope", "unit_trend", "unit_effect")
    choices = dict(zip(names, combination, strict=False))
    priors = {name: Prior("fixed", {"value": value}) for name, value in (held or {}).items()}
    pooled = {"group_slope": "pooled", "group_control_slope": "pooled", "group_time_effect": "pooled"}
    return member(priors, **pooled, **choices)


def both_ways(gaps: bool, combination: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> tuple[Blocks, Tabulation]:
    """The columns of a model laid out, and what tables are made of."""
    model, design = of_terms(combination), long_panel(24, 7, gaps=gaps)
    laid_out = make_blocks(design, model)
    monkeypatch.setattr(blocks_module, "MANY_UNITS", 1)
    blocks = make_blocks(design, model)
    assert can_tabulate(blocks)
    made = tabulation(blocks)
    assert made is not None
    return laid_out, made


def by_passes(made: Tabulation, points: Array) -> tuple[Collapsed, Array]:
    """The density over some tables, and the log likelihood from a pass over the rows at every point."""
    n = made.has_rho + len(made.scales)
    box = Box(np.full((3, n), 0.1), np.full((3, n), 0.6))
    engine = made.collapsed(box, [3] * n).collapsed
    errors = engine.errors
    assert isinstance(errors, TabulatedErrors)
    scales, products = engine.scales(points), []
    for r, (own, table) in enumerate(zip(made.groups, errors.tables, strict=True)):
        ratios = [(scales[name] / scales[made.sigmas[r]]) ** 2 for name in made.scales]
        squares = np.array([*ratios, np.zeros(len(points))]).T
        rho = scales["rho"] if made.has_rho else np.zeros(len(points))
        last = len(ratios) - made.has_inner
        packed = grams(own, Ratios(rho, squares[:, :last], squares[:, last : last + 1]))[:, 0]
        products.append((unpacked(packed, len(table.select)), packed[:, -1]))
    return engine, errors.log_density(products, made.coefficients, scales)


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
def test_the_density_from_passes_over_the_rows_is_the_exact_one(combination, gaps, monkeypatch):
    monkeypatch.setattr(group_rows, "_CHUNK", 200)  # some units at a time
    laid_out, made = both_ways(gaps, combination, monkeypatch)
    exact = make_collapsed(laid_out)
    points = np.array([one.start() for one in exact.parameters])
    points = points + 0.5 * np.random.default_rng(3).standard_normal((5, len(points)))
    engine, found = by_passes(made, points)
    assert engine.names == exact.names
    np.testing.assert_allclose(found, exact.log_likelihood(points), rtol=1e-10, atol=1e-8)


WRITTEN_OUT = [
    (("off", "common", "off", "fixed", "fixed"), {}),
    (("off", "common", "pooled", "fixed", "fixed"), {}),
    (("ar1", "common", "off", "fixed", "fixed"), {}),
    (("ar1", "by_group", "pooled", "fixed", "fixed"), {}),
    (("random_walk", "by_group", "pooled", "fixed", "fixed"), {}),
    (("ar1", "by_group", "pooled", "fixed", "random"), {}),
    (("off", "common", "pooled", "fixed", "random"), {"sigma_mu": 1.5}),
    (("ar1", "common", "pooled", "pooled", "fixed"), {"kappa": 0.4}),
    (("random_walk", "common", "pooled", "fixed", "random"), {"kappa": 0.4, "sigma_mu": 1.5, "sigma": 0.5}),
]


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize(("combination", "held"), WRITTEN_OUT, ids=str)
def test_tables_are_the_covariance_of_all_rows_written_out(combination, held, gaps, monkeypatch):
    """Levels and trends of every unit are columns, those that its rows do not tell left out; all else is in V."""
    model, design = of_terms(combination, held), long_panel(24, 6, gaps=gaps)
    monkeypatch.setattr(blocks_module, "MANY_UNITS", 1)
    made = tabulation(make_blocks(design, model))
    assert made is not None
    near = {"rho": 0.4, "kappa": 0.4, "xi": 0.3, "sigma_mu": 1.5}
    at = [near.get(one.name, 0.5) for one in made.parameters]
    point = np.array([one.transformation.coordinate(np.asarray(x)) for one, x in zip(made.parameters, at, strict=True)])
    box = made.box_about(point, 0.02**2 * np.eye(len(point)), 4.0)
    engine = made.collapsed(box, [9] * box.low.shape[1]).collapsed
    points = point + 0.03 * np.random.default_rng(2).standard_normal((4, len(point)))
    written, scales = dense(design, model), engine.scales(points)
    for s, found in enumerate(engine.log_likelihood(points)):
        own = {name: float(values[s]) for name, values in scales.items()}
        root = np.linalg.cholesky(rows_covariance(design, written, own, combination[0]))
        x, y = np.linalg.solve(root, written.x), np.linalg.solve(root, written.y)
        q, r = np.linalg.qr(x)
        left, n_free = y - q @ (q.T @ y), len(y) - x.shape[1]
        log_det = np.log(np.diag(root)).sum() + np.log(np.abs(np.diag(r))).sum()
        assert found == pytest.approx(-n_free * np.log(2 * np.pi) / 2 - log_det - left @ left / 2, rel=1e-9, abs=1e-8)


def test_chunks_that_are_held_and_parts_of_the_units_change_nothing(monkeypatch):
    _, made = both_ways(True, ("ar1", "by_group", "pooled", "pooled"), monkeypatch)
    ratios = Ratios(np.array([0.3, -0.2, 0.3]), np.array([[0.1], [0.0], [0.2]]), np.array([[0.1, 2.0]] * 3))
    for own in made.groups:
        assert own.held
        whole = grams(own, ratios)
        every = [own.among(np.arange(own.n_units) % 2 == k) for k in (0, 1)]
        assert not any(one.held for one in every)
        parts = sum(grams(one, ratios) for one in every)
        np.testing.assert_allclose(whole, parts, rtol=1e-10, atol=1e-10 * np.abs(whole).max())
        np.testing.assert_allclose(whole, grams(own.among(np.ones(own.n_units, dtype=bool)), ratios), rtol=1e-12)
        assert own.holding(0) is own


def test_columns_that_are_equal_are_held_once():
    a, b, mask = np.arange(4.0), np.ones(4), np.array([True, False, True, False])
    every = [
        SparseColumn(a),
        None,
        SparseColumn(a.copy()),
        SparseColumn(b, mask),
        SparseColumn(b),
        SparseColumn(b, ~mask),
    ]
    columns, select = distinct(every)
    laid_out = np.column_stack([one.part(slice(0, 4)) for one in columns])
    expected = np.column_stack([a, 0 * a, a, b * mask, b, b * ~mask])
    np.testing.assert_array_equal(laid_out @ select, expected)
    assert len(columns) == 4


@pytest.mark.parametrize("levels", ["random", "correlated"])
def test_large_means_of_levels_with_a_scale_cost_no_digits(levels, monkeypatch):
    """Regressors and outcome lie a hundred of their standard deviations from zero; the integral is that about zero."""
    found = []
    for shift in (0.0, 100.0):
        monkeypatch.setattr(blocks_module, "MANY_UNITS", 1)
        design = long_panel(24, 7, gaps=True)
        design = replace(design, x=design.x + shift, y=design.y + 3 * shift)
        model = member(unit_slope="off", correlation="ar1", unit_effect=levels, unit_trend="pooled")
        made = tabulation(make_blocks(design, model))
        assert made is not None
        point = np.log(np.full((1, len(made.parameters)), 0.5))
        found.append(by_passes(made, point)[1])
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=1e-8)


@pytest.mark.parametrize("gaps", [False, True])
def test_tables_are_as_exact_as_they_say(gaps, monkeypatch):
    """At points of the tables the density and its gradient are the exact ones, within the error that was measured."""
    laid_out, made = both_ways(gaps, ("ar1", "by_group", "pooled", "pooled"), monkeypatch)
    exact = make_collapsed(laid_out)
    true = {"sigma[east]": 0.4, "sigma[central]": 0.5, "sigma[west]": 0.6, "rho": 0.4, "kappa": 0.5, "xi": 0.3}
    point = exact.point({name: np.asarray(true.get(name, 0.3)) for name in exact.names})
    box = made.box_about(point, 0.05**2 * np.eye(len(point)), 3.0)
    checked = [made.collapsed(box, [n] * 3, checks=3) for n in (5, 9)]
    assert checked[1].error < 1e-3 * checked[0].error
    engine = checked[1].collapsed
    value, slope = engine.gradient(point)
    expected, other = exact.gradient(point)
    assert np.isfinite(value)
    assert abs(value - expected) < 3 * checked[1].error + 1e-8
    np.testing.assert_allclose(slope, other, atol=1e3 * checked[1].error + 1e-7)


def test_outside_the_tables_there_is_no_density(monkeypatch):
    _, made = both_ways(False, ("ar1", "common", "pooled", "pooled"), monkeypatch)
    point = np.full(len(made.parameters), np.log(0.4))
    point[[one.name for one in made.parameters].index("rho")] = 0.4
    engine = made.collapsed(made.box_about(point, 0.05**2 * np.eye(len(point)), 3.0), [4] * 3).collapsed
    points = np.array([point, point, point])
    points[1, engine.names.index("rho")] += 0.2
    points[2, engine.names.index("xi")] += 0.5
    assert np.isfinite(engine.log_posterior(points)).tolist() == [True, False, False]
    assert engine.gradient(points[1])[0] == -np.inf


def test_what_tables_cannot_stand_for_is_said(monkeypatch):
    design = long_panel(24, 7)
    monkeypatch.setattr(blocks_module, "MANY_UNITS", 1)
    pooled = {"unit_slope": "pooled", "correlation": "ar1"}
    assert can_tabulate(make_blocks(design, member(**pooled)))
    assert can_tabulate(make_blocks(design, member(**pooled | {"unit_effect": "random", "unit_slope": "off"})))
    halves = replace(design, times=tuple(0.5 * time for time in design.times))
    assert not can_tabulate(make_blocks(halves, member(**pooled)))
    assert can_tabulate(make_blocks(halves, member(unit_slope="pooled", unit_trend="pooled")))
