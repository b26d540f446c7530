"""Derivatives of posterior means in the weight of a unit, against means with other weights from the dense formulas."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg
from threadpoolctl import threadpool_limits

from cbec_bayes.bayes.fit import draw_scales
from cbec_bayes.bayes.likelihood import unit_densities as pieces
from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.likelihood.unit_influence import unit_influence
from cbec_bayes.bayes.model.blocks import make_blocks
from cbec_bayes.bayes.model.densities import RHO
from cbec_bayes.classical.regression import twfe
from cbec_bayes.estimands.loadings import slope_loadings
from tests.support.members import MEMBERS, by_name, dense, errors_written_out, member, panel

OF_UNITS = ("unit_effect[", "unit_slope[", "unit_trend[")

MODELS = {
    "partial_pooling": MEMBERS["partial_pooling"],
    "nested": MEMBERS["nested"],
    "correlated_effects": MEMBERS["correlated_effects"],
    "flat trends": member(group_slope="pooled", unit_trend="fixed"),
    "all of units": member(
        group_slope="pooled", unit_slope="pooled", unit_trend="pooled", correlation="ar1", spread="by_group"
    ),
    "random walk": member(group_slope="pooled", unit_slope="pooled", correlation="random_walk"),
}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    with threadpool_limits(1):
        yield


def some_points(engine, size):
    rng = np.random.default_rng(4)
    columns = [
        np.arctanh(rng.uniform(-0.2, 0.8, size))
        if name == RHO
        else np.log(0.5 * engine.priors[name].params["scale"]) + 0.3 * rng.normal(size=size)
        for name in engine.names
    ]
    return np.stack(columns, axis=1)


class Weighted:
    """A member at one point of the scales, with a weight on the density of each unit's rows, written out."""

    def __init__(self, design, model, scales):
        written = dense(design, model)
        prior, residual = written.variances(scales)
        errors = errors_written_out(design, model.choice("correlation"), scales.get(RHO))
        errors = errors * np.sqrt(np.outer(residual, residual))
        own, own_flat = (
            np.array([name.startswith(OF_UNITS) for name in names]) for names in (written.normal, written.flat)
        )
        covariance = errors + (written.z[:, own] * prior[own]) @ written.z[:, own].T
        columns = np.column_stack([written.x[:, ~own_flat], written.z[:, ~own]])
        names = [name for name, mine in zip(written.flat, own_flat, strict=True) if not mine]
        self.names = names + [name for name, mine in zip(written.normal, own, strict=True) if not mine]
        self.precision = np.diag(np.r_[np.zeros((~own_flat).sum()), 1 / prior[~own]])
        self.units, self.shares = [], []
        for i, unit in enumerate(design.units):
            rows = design.unit == i
            flat = written.x[np.ix_(rows, own_flat)]
            free = linalg.null_space(flat.T).T if flat.shape[1] else np.eye(rows.sum())
            self.units.append(
                (free @ written.y[rows], free @ columns[rows], free @ covariance[np.ix_(rows, rows)] @ free.T)
            )
            name = f"unit_slope[{unit}]"
            at = written.normal.index(name) if name in written.normal else None
            self.shares.append(
                None if at is None else prior[at] * np.linalg.solve(self.units[-1][2], free @ written.z[rows, at])
            )

    def solved(self, weights):
        """Return the log likelihood of the scales, and the mean of the coefficients, under weights of the units."""
        precision, pull, constant = self.precision.copy(), 0.0, 0.0
        for weight, (y, x, covariance) in zip(weights, self.units, strict=True):
            inverse = weight * np.linalg.inv(covariance)
            precision = precision + x.T @ inverse @ x
            pull = pull + x.T @ inverse @ y
            constant -= (weight * np.linalg.slogdet(covariance)[1] + y @ inverse @ y) / 2
        mean = np.linalg.solve(precision, pull)
        return constant + (pull @ mean - np.linalg.slogdet(precision)[1]) / 2, mean

    def slopes(self, mean, design):
        """Return the slope of every group, of groups in general, and the average over units."""
        named = dict(zip(self.names, mean, strict=True))
        groups = np.array([named["slope"] + named[f"group_slope[{group}]"] for group in design.groups])
        own = [
            groups[r] + (0.0 if share is None else share @ (y - x @ mean))
            for r, share, (y, x, _) in zip(design.group_of_unit, self.shares, self.units, strict=True)
        ]
        return np.array([*groups, named["slope"], np.mean(own)])


def posterior_means(members, design, weights):
    """Return means over points that are draws under weights of one, and are weighted under others."""
    every = [one.solved(weights) for one in members]
    plain = [one.solved(np.ones(len(weights)))[0] for one in members]
    ratios = np.array([value for value, _ in every]) - np.array(plain)
    share = np.exp(ratios - ratios.max())
    slopes = np.array([one.slopes(mean, design) for one, (_, mean) in zip(members, every, strict=True)])
    return share @ slopes / share.sum()


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", ["balanced", "unbalanced"])
def test_the_derivative_is_that_of_means_with_another_weight(name, model, size):
    """With one point the scales are fixed, and the model is a Gaussian; with several they are weighted as well."""
    design, spec = panel(name), MODELS[model]
    blocks = make_blocks(design, spec)
    engine = make_collapsed(blocks)
    points = some_points(engine, size)
    found = unit_influence(blocks, engine, points, slope_loadings(blocks, engine)).derivative
    members = [Weighted(design, spec, by_name(engine, point)) for point in points]
    for unit in (0, 4, 11):
        ends = []
        for eps in (1e-4, -1e-4):
            weights = np.ones(len(design.units))
            weights[unit] += eps
            ends.append(posterior_means(members, design, weights))
        expected = (ends[0] - ends[1]) / 2e-4
        np.testing.assert_allclose(found[unit], expected, rtol=1e-6, atol=1e-6 * np.abs(found).max())


@pytest.mark.parametrize("name", ["balanced", "unbalanced"])
def test_of_a_regression_it_is_the_variance_clustered_by_unit(name):
    design = panel(name)
    blocks = make_blocks(design, MEMBERS["complete_pooling"])
    engine = make_collapsed(blocks)
    found = unit_influence(blocks, engine, some_points(engine, 3), slope_loadings(blocks, engine)).derivative[:, -1]
    assert found.sum() == pytest.approx(0, abs=1e-10)
    assert np.linalg.norm(found) == pytest.approx(
        twfe(design, ssc="plm").se[0], rel=1e-8
    )  # no factor for small samples


def test_points_in_pieces_are_the_same(monkeypatch):
    design = panel("unbalanced")
    blocks = make_blocks(design, MODELS["all of units"])
    engine = make_collapsed(blocks)
    points, loadings = some_points(engine, 5), slope_loadings(blocks, engine)
    found = unit_influence(blocks, engine, points, loadings)
    monkeypatch.setattr(pieces, "_CHUNK", 1)
    again = unit_influence(blocks, engine, points, loadings)
    np.testing.assert_allclose(again.derivative, found.derivative, rtol=1e-10)
    np.testing.assert_allclose(again.error, found.error, rtol=1e-10)


def test_the_error_is_what_sums_of_squares_of_few_draws_are_too_large_by():
    design = panel("unbalanced")
    blocks = make_blocks(design, MODELS["random walk"])
    engine = make_collapsed(blocks)
    points = np.random.default_rng(3).permutation(draw_scales(engine, draws=8_000, chains=1, seed=1).points[0])
    loadings = slope_loadings(blocks, engine)

    def squares(found):
        return ((found.derivative - found.derivative.mean(axis=0)) ** 2).sum(axis=0)

    whole = unit_influence(blocks, engine, points, loadings)
    parts = [unit_influence(blocks, engine, part, loadings) for part in points.reshape(400, 20, -1)]
    excess = np.array([squares(part) for part in parts]) - (squares(whole) - whole.error)
    left = excess - np.array([part.error for part in parts])
    error = left.std(axis=0, ddof=1) / np.sqrt(len(parts))
    assert excess.mean(axis=0)[0] > 3 * error[0]  # so that it is seen where none of it is taken off, or twice as much
    np.testing.assert_array_less(np.abs(left.mean(axis=0)), 3 * error)
