"""Shape, correlation and spread of the residuals in every combination: density, draws, and the PyMC twin."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from cbec_bayes.bayes.model.family import PanelModel
from cbec_bayes.bayes.model.likelihoods import CORRELATIONS, shapes
from cbec_bayes.bayes.pymc.twin import OUTCOME
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array
from tests.support.members import errors_written_out, member
from tests.support.twins import blocks_of, coefficients, compiled, small_panel

COMBINATIONS = list(itertools.product(shapes(), CORRELATIONS, ("common", "by_group")))
SIGMAS, RHO, NU = np.array([0.5, 0.8, 1.3]), 0.6, 4.0


def model_of(shape: str, correlation: str, spread: str) -> PanelModel:
    return member(residual=shape, correlation=correlation, spread=spread, group_slope="pooled")


def parameters(model: PanelModel, size: int) -> dict[str, Array]:
    sigma = np.tile(SIGMAS, (size, 1)) if model.residuals.by_group else np.full(size, SIGMAS[1])
    return {"sigma": sigma, "rho": np.full(size, RHO), "nu": np.full(size, NU)}


def by_hand(design: Design, model: PanelModel, residual: Array, sigma: Array, rho: float, nu: float) -> Array:
    """The log density of every row given the unit's row before, row by row; sigma is of groups."""
    found = np.empty(design.n_obs)
    times = np.asarray(design.times)[design.time]
    correlation = model.choice("correlation")
    for i in range(design.n_obs):
        earlier = np.flatnonzero((design.unit == design.unit[i]) & (times < times[i]))
        mean, variance = 0.0, 1.0
        if correlation == "ar1":
            variance = 1 / (1 - rho**2)
        if correlation != "off" and len(earlier):
            last = earlier[np.argmax(times[earlier])]
            gap = times[i] - times[last]
            carried = rho**gap if correlation == "ar1" else 1.0
            mean = carried * residual[last]
            variance = sum(rho ** (2 * k) for k in range(int(gap))) if correlation == "ar1" else gap
        scale = sigma[design.group[i]] * np.sqrt(variance)
        family = stats.norm if model.choice("residual") == "normal" else stats.t(nu)
        found[i] = family.logpdf((residual[i] - mean) / scale) - np.log(scale)
    return found


@pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
def test_the_density_is_that_of_each_row_given_the_one_before(combination):
    """In numbers, and in the twin, at random points."""
    model, design = model_of(*combination), small_panel("unbalanced")
    own = compiled(blocks_of(model, design))
    for seed in range(2):
        values = own.random(seed)
        mean = own.blocks.x @ coefficients(own.blocks, values) + values["unit_effect"][design.unit]
        residual = design.y - mean
        at = {name: np.asarray(values[name])[None] for name in ("sigma", "rho", "nu") if name in values}
        sigma = np.broadcast_to(values["sigma"], 3)
        expected = by_hand(design, model, residual, sigma, values.get("rho", 0.0), values.get("nu", 1.0))
        found = model.residuals.log_density(design, residual[None], at)
        np.testing.assert_allclose(found[0], expected, rtol=1e-10)
        assert own(values)[OUTCOME] == pytest.approx(expected.sum(), rel=1e-10)


@pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
def test_draws_have_the_covariance_and_the_shape(combination):
    model, design, size = model_of(*combination), small_panel("unbalanced"), 20_000
    drawn = model.residuals.draw(design, parameters(model, size), np.random.default_rng(1))
    sigma = SIGMAS[design.group] if model.residuals.by_group else np.full(design.n_obs, SIGMAS[1])
    covariance = errors_written_out(design, combination[1], RHO) * np.outer(sigma, sigma)
    if combination[0] == "normal":
        sd = np.sqrt(np.diag(covariance))
        gap = np.abs(np.cov(drawn.T) - covariance) / np.outer(sd, sd)
        assert gap.max() < 6 * np.sqrt(2 / size)
    # What is new in a row is the root of the covariance, solved for row by row in time.
    order = np.argsort(design.time, kind="stable")
    root = np.linalg.cholesky(covariance[np.ix_(order, order)])
    new = np.linalg.solve(root, drawn[:, order].T)
    family = stats.norm if combination[0] == "normal" else stats.t(NU)
    assert stats.kstest(new[:, :500].ravel(), family.cdf).pvalue > 1e-3
    assert np.abs(np.corrcoef(new)[np.triu_indices(design.n_obs, 1)]).max() < 6 / np.sqrt(size)
