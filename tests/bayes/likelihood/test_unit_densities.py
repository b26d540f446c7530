"""Whole units given all others: every unit at once, against two likelihoods for each and the dense normal density."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg, stats
from threadpoolctl import threadpool_limits

from cbec_bayes.bayes.likelihood import unit_densities as module
from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.likelihood.unit_densities import unit_densities
from cbec_bayes.bayes.loo import LeftOutPart, leave_out
from cbec_bayes.bayes.model.blocks import make_blocks
from cbec_bayes.bayes.model.densities import RHO
from cbec_bayes.bayes.model.prior import Prior
from tests.support.members import MEMBERS, by_name, dense, grouped, member, panel, rows_covariance
from tests.support.regressions import random_design

CORRELATED = {
    "ar1": member(correlation="ar1", group_slope="pooled"),
    "ar1, all of units": member(correlation="ar1", group_slope="pooled", unit_slope="pooled", unit_trend="pooled"),
    "random walk": member(correlation="random_walk", group_slope="pooled", unit_trend="pooled"),
    "ar1, flat trends": member(correlation="ar1", unit_trend="fixed", group_slope="pooled"),
}
FLAT = {name: one for name, one in MEMBERS.items() if one.choice("unit_effect") == "fixed"} | CORRELATED
"""Members whose unit effects are flat."""

PANELS = ("balanced", "unbalanced", "sparse")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    with threadpool_limits(1):
        yield


def a_panel(name):
    return grouped(random_design(8, 16, 6, share=0.35), 3) if name == "sparse" else panel(name)


def some_points(engine, size):
    rng = np.random.default_rng(4)
    columns = [
        np.arctanh(rng.uniform(-0.4, 0.95, size))
        if name == RHO
        else np.log(0.5 * engine.priors[name].params["scale"]) + 0.5 * rng.normal(size=size)
        for name in engine.names
    ]
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("model", FLAT)
@pytest.mark.parametrize("name", PANELS)
def test_every_unit_is_the_ratio_of_two_likelihoods(name, model):
    """The way that `leave_out` goes: a likelihood with the unit and one without; and no density where it has none."""
    blocks = make_blocks(a_panel(name), FLAT[model])
    engine = make_collapsed(blocks)
    points = some_points(engine, 2)
    found = unit_densities(blocks, engine, points)
    for unit in range(0, len(blocks.design.units), 1 if name == "sparse" else 4):
        for s, point in enumerate(points):
            part = LeftOutPart(blocks, blocks.design.unit == unit, False, np.tile(point, (3, 1)), 1)
            assert found[s, unit] == pytest.approx(leave_out(part)[0], rel=1e-8, abs=1e-8, nan_ok=True)


def given_the_others(design, model, scales, unit):
    """The density of a unit's changes given the others, from the covariance of all rows.

    Contrasts of rows that no flat column moves have a covariance of their own, and their density, with the volume of
    the flat columns, is the integral over all flat coefficients: of all rows over that of the others, less what the
    unit's own levels are.
    """
    written = dense(design, model)
    covariance = rows_covariance(design, written, scales, model.choice("correlation"))
    own = design.unit == unit

    def log_density(rows, columns):
        flat = written.x[np.ix_(rows, columns)]
        free = linalg.null_space(flat.T).T
        volume = np.linalg.slogdet(flat.T @ flat)[1]
        inner = free @ covariance[np.ix_(rows, rows)] @ free.T
        return stats.multivariate_normal(cov=inner).logpdf(free @ written.y[rows]) - volume / 2

    kept = written.x[~own].any(axis=0)
    levels = written.x[np.ix_(own, ~kept)]
    every, columns = np.ones(len(own), dtype=bool), np.ones(len(kept), dtype=bool)
    return log_density(every, columns) - log_density(~own, kept) + np.linalg.slogdet(levels.T @ levels)[1] / 2


@pytest.mark.parametrize("model", ["partial_pooling", "nested", "trends and slopes", "everything pooled", *CORRELATED])
@pytest.mark.parametrize("name", ["balanced", "unbalanced"])
def test_every_unit_has_the_dense_density(name, model):
    design = panel(name)
    blocks = make_blocks(design, FLAT[model])
    engine = make_collapsed(blocks)
    points = some_points(engine, 1)
    found = unit_densities(blocks, engine, points)[0]
    scales = by_name(engine, points[0])
    for unit in (0, 3, len(design.units) - 1):
        assert found[unit] == pytest.approx(given_the_others(design, FLAT[model], scales, unit), rel=1e-8, abs=1e-8)


def test_points_in_pieces_and_some_units_are_the_same(monkeypatch):
    blocks = make_blocks(panel("unbalanced"), FLAT["ar1, all of units"])
    engine = make_collapsed(blocks)
    points = some_points(engine, 5)
    found = unit_densities(blocks, engine, points)
    monkeypatch.setattr(module, "_CACHE", 1)
    np.testing.assert_allclose(unit_densities(blocks, engine, points, np.array([4, 1])), found[:, [4, 1]], rtol=1e-10)


def test_a_normal_prior_of_the_slope_counts():
    design = panel("unbalanced")
    found = []
    for prior in (Prior("normal", {"mean": 0.7, "sd": 0.1}), Prior("flat", {})):
        blocks = make_blocks(design, member({"slope": prior}, group_slope="pooled"))
        engine = make_collapsed(blocks)
        points = some_points(engine, 1)
        found.append(unit_densities(blocks, engine, points)[0])
        for unit in (1, 6):
            part = LeftOutPart(blocks, design.unit == unit, False, np.tile(points[0], (3, 1)), 1)
            assert found[-1][unit] == pytest.approx(leave_out(part)[0], rel=1e-8, abs=1e-8)
    assert np.abs(found[0] - found[1]).max() > 0.01


def test_digits_hold_where_errors_are_nearly_a_random_walk():
    """Near a correlation of one the covariance of changes is a small difference of large numbers."""
    design = panel("balanced")
    blocks = make_blocks(design, FLAT["ar1"])
    engine = make_collapsed(blocks)
    found = []
    for gap in (1e-9, 1e-10):
        point = {"rho": np.arctanh(1 - gap), "tau": np.log(0.5), "sigma": np.log(0.3)}
        at = np.array([[point[name] for name in engine.names]])
        found.append(unit_densities(blocks, engine, at)[0])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)


def test_random_unit_effects_are_refused():
    blocks = make_blocks(panel("balanced"), MEMBERS["random units"])
    engine = make_collapsed(blocks)
    with pytest.raises(ValueError, match="scale"):
        unit_densities(blocks, engine, some_points(engine, 1))
