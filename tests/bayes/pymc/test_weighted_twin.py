"""The twin of rows that have weights: the density of errors of variance sigma^2 / w, at points, whatever it has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.model.blocks import make_blocks
from cbec_bayes.bayes.model.terms import is_scale
from cbec_bayes.bayes.posterior import linear_predictor
from cbec_bayes.bayes.pymc.twin import OUTCOME
from tests.support.members import errors_written_out, member, weighted
from tests.support.twins import blocks_of, compiled, log_density_of_coefficients, point_of, small_panel

MODELS = {
    "plain": member(group_slope="pooled"),
    "by group": member(group_slope="pooled", spread="by_group"),
    "random units": member(group_slope="pooled", unit_effect="random"),
    "ar1": member(group_slope="pooled", correlation="ar1"),
    "random walk, trends": member(correlation="random_walk", unit_trend="pooled", spread="by_group"),
    "ar1, all with a scale": member(
        correlation="ar1", unit_effect="random", unit_slope="pooled", unit_trend="pooled", spread="by_group"
    ),
}


@pytest.mark.parametrize("rows", ["balanced", "unbalanced"])
@pytest.mark.parametrize("label", MODELS)
def test_the_two_engines_are_one_density(label, rows):
    design, model = weighted(small_panel(rows)), MODELS[label]
    blocks, collapsed = blocks_of(model, design), make_collapsed(make_blocks(design, model))
    plain, conditioned = compiled(blocks), compiled(blocks, conditioned=True)

    def joint(parts: dict[str, float]) -> float:
        return sum(part for name, part in parts.items() if not is_scale(name) and name != "rho")

    for seed in range(2):
        values = plain.random(seed)
        found = float(collapsed.log_likelihood(point_of(collapsed, values))[0])
        gap = joint(plain(values)) - log_density_of_coefficients(plain, values) - found
        assert gap == pytest.approx(0, abs=1e-8)
        values = conditioned.random(seed)
        noise = stats.norm.logpdf(np.r_[values["location_z"], values["unit_effect_z"]]).sum()
        found = float(collapsed.log_likelihood(point_of(collapsed, values))[0])
        assert joint(conditioned(values)) - float(noise) == pytest.approx(found, abs=1e-8)


@pytest.mark.parametrize("correlation", ["off", "ar1", "random_walk"])
def test_student_t_residuals_have_a_scale_that_weights_divide(correlation):
    """What is new in a row, times the root of its weight, is Student t, whatever the row before hands on."""
    design = weighted(small_panel("unbalanced"))
    model = member(residual="student_t", correlation=correlation)
    blocks = blocks_of(model, design)
    own = compiled(blocks)
    values = own.random(4)
    effects = {name: np.asarray(value, dtype=float)[None] for name, value in values.items()}
    for block in blocks.every:
        whole = np.zeros(block.size)
        whole[list(block.kept)] = np.ravel(values.get(f"{block.name}_kept", values.get(block.name)))
        effects[block.name] = whole.reshape(1, *block.shape)
    residual = (design.y - linear_predictor(blocks, effects)[0]) * design.root
    root = np.linalg.cholesky(errors_written_out(design, correlation, values.get("rho")))
    if correlation != "off":
        order = np.lexsort((design.time, design.unit))
        covariance = errors_written_out(design, correlation, values.get("rho"))[np.ix_(order, order)]
        root = np.linalg.cholesky(covariance)
        residual, roots = residual[order], design.root[order]
    else:
        roots = design.root
    new = np.linalg.solve(root, residual) / values["sigma"]
    density = stats.t.logpdf(new, values["nu"]) - np.log(np.diag(root) * values["sigma"]) + np.log(roots)
    assert own(values)[OUTCOME] == pytest.approx(density.sum(), abs=1e-8)
    replicated = blocks.model.residuals.log_density(
        design,
        design.y - linear_predictor(blocks, effects),
        {name: np.array([values[name]]) for name in ("sigma", "nu", "rho") if name in values},
    )
    assert replicated.sum() == pytest.approx(density.sum(), abs=1e-8)


def test_residuals_drawn_have_the_covariance_of_the_density():
    """In units of the Monte Carlo error, of every pair of rows of a unit."""
    design = weighted(small_panel("unbalanced"))
    residuals = member(correlation="ar1").residuals
    n, rho = 40_000, 0.6
    values = {"sigma": np.full(n, 0.7), "rho": np.full(n, rho)}
    drawn = residuals.draw(design, values, np.random.default_rng(1))
    expected = errors_written_out(design, "ar1", rho) * 0.49 / np.outer(design.root, design.root)
    sd = np.sqrt(np.diag(expected))
    error = np.sqrt((np.outer(sd, sd) ** 2 + expected**2) / n)
    assert np.abs((drawn.T @ drawn / n - expected) / error).max() < 5


def test_no_weights_are_no_data_of_the_twin():
    design = small_panel("balanced")
    assert "weight" not in compiled(blocks_of(MODELS["plain"], design)).model
    ones = replace(design, weight=np.ones(design.n_obs))
    assert "weight" in compiled(blocks_of(MODELS["plain"], ones)).model
