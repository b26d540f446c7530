"""Coordinates in which the PyMC twin samples well: coefficients about their conditional mean, whatever the scales."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cbec_bayes.bayes.likelihood.orthogonal import orthogonal
from cbec_bayes.bayes.model.blocks import Block, Blocks, location_priors
from cbec_bayes.bayes.model.likelihoods import Likelihood
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.panel.within import Array, Codes

Data = Mapping[str, Any]

CONDITIONING = ("unit_weight", "unit_mean", "within")
"""Names of the data that the coordinates depend on."""

WEIGHTS_STEPS = 100
"""Degrees of freedom, and iterations, of the fit whose weights condition Student-t residuals."""


def conditioned_effects(blocks: Blocks, priors: Mapping[str, Prior], scales: Data) -> dict[str, Any]:
    """Add all coefficients as their conditional mean plus a root of their conditional covariance times free variables.

    Moments are those that normal residuals of the same precision would have. Where residuals are normal the free
    variables are thus standard normal, independent of the scales, whatever the data; elsewhere they are nearly so.
    Nothing but the sampler's ease depends on them: the density is that of the coefficients, with the Jacobian.
    """
    import pymc as pm
    import pytensor.tensor as pt

    design = blocks.design
    columns, back, log_volume = _columns(blocks)
    residuals = blocks.model.residuals
    stratum, precision = residuals.strata(design), residuals.information(scales)
    found = residuals.weighted_moments(columns, design, scales)
    if found is None:
        found = tuple(pm.Data(name, values) for name, values in conditioning(blocks).items())
    sizes, means, within = found
    at_unit = sizes * precision[stratum[np.unique(design.unit, return_index=True)[1]]]
    shrink = 1.0 if "sigma_mu" not in scales else scales["sigma_mu"] ** 2 / (scales["sigma_mu"] ** 2 + 1 / at_unit)
    rows = _prior_rows(blocks, priors, back)
    gram = pt.tensordot(precision, within, 1) + rows.T @ rows
    if "sigma_mu" in scales:
        gram = gram + means.T @ (((1 - shrink) * at_unit)[:, None] * means)
    # Pooled coefficients are their scale times a standard normal: a scale near zero leaves the equations regular.
    pooled = np.repeat([0.0, 1.0], [blocks.n_flat, len(columns.T) - 1 - blocks.n_flat])
    unit = pt.concatenate(
        [np.ones(blocks.n_flat), *(pt.full(len(b.kept), scales[str(b.scale)]) for b in blocks.pooled)]
    )
    root = pt.linalg.cholesky(gram[1:, 1:] * unit * unit[:, None] + np.diag(pooled))
    target = pt.linalg.solve_triangular(root, gram[1:, 0] * unit, lower=True)
    standard = pt.linalg.solve_triangular(root.T, target + pm.Flat("location_z", dims="location"), lower=False)
    kept = unit * standard
    residual = means[:, 0] - means[:, 1:] @ kept
    sd = pt.sqrt(shrink / at_unit)
    unit_effect = shrink * residual + sd * pm.Flat("unit_effect_z", dims="unit")
    pm.Potential("change_of_variables", pt.log(sd).sum() - pt.log(pt.diag(root)).sum() + log_volume)

    coefficients = pt.concatenate([back @ kept[: blocks.n_flat], kept[blocks.n_flat :]])
    effects, positions = {}, blocks.positions
    for block in blocks.every:
        own = coefficients[positions[block.name]]
        effects[block.name] = deterministic(block, own)
        normal = None if block.scale is not None else normal_prior(block, priors)
        if normal is not None:
            pm.Potential(f"{block.name}_prior", pm.logp(pm.Normal.dist(*normal), own).sum())
    if blocks.pooled:
        pm.Potential("pooled_prior", pm.logp(pm.Normal.dist(0, 1), standard[blocks.n_flat :]).sum())
    if "sigma_mu" in scales:
        pm.Potential("unit_effect_prior", pm.logp(pm.Normal.dist(0, scales["sigma_mu"]), unit_effect).sum())
    return effects | {"unit_effect": pm.Deterministic("unit_effect", unit_effect, dims="unit")}


def conditioning(blocks: Blocks) -> dict[str, Array]:
    """Return the data beside the outcome that the coordinates depend on, by name; of another outcome, other values.

    They are the weight of each unit, its means, shape (N, p), and cross-products about them by stratum, (S, p, p).
    """
    design = blocks.design
    columns, _, _ = _columns(blocks)
    likelihood = blocks.model.likelihood
    weight = np.ones(design.n_obs) if likelihood is None else _weights(columns, design.unit, likelihood)
    weight = weight * design.root**2
    stratum = blocks.model.residuals.strata(design)
    sizes, means = _weighted_means(columns, weight, design.unit)
    left = (columns - means[design.unit]) * np.sqrt(weight)[:, None]
    parts = [left[stratum == s] for s in range(int(stratum.max()) + 1)]
    return dict(zip(CONDITIONING, (sizes, means, np.stack([part.T @ part for part in parts])), strict=True))


def _columns(blocks: Blocks) -> tuple[Array, Array, float]:
    """Return the outcome and every coefficient's column, flat ones made orthogonal, with the map back and its log."""
    flat, pooled = np.split(blocks.x, [blocks.n_flat], axis=1)
    flat, back, log_volume = orthogonal(flat, np.arange(blocks.n_flat), blocks.within(flat))
    return np.column_stack([blocks.design.y, flat, pooled]), back, log_volume


def _weighted_means(columns: Array, weight: Array, unit: Codes) -> tuple[Array, Array]:
    sizes = np.bincount(unit, weight)
    return sizes, np.column_stack([np.bincount(unit, weight * column) for column in columns.T]) / sizes[:, None]


def _weights(columns: Array, unit: Codes, likelihood: Likelihood) -> Array:
    """Return the weight of each row in the likelihood's fit of the outcome, the first column."""
    weight = np.ones(len(unit))
    for _ in range(WEIGHTS_STEPS):
        left = columns - _weighted_means(columns, weight, unit)[1][unit]
        root = np.sqrt(weight)
        slopes = np.linalg.lstsq(left[:, 1:] * root[:, None], left[:, 0] * root)[0]
        squares = (left[:, 0] - left[:, 1:] @ slopes) ** 2
        weight = likelihood.weights(squares / np.average(squares, weights=weight))
    return weight


def _prior_rows(blocks: Blocks, priors: Mapping[str, Prior], back: Array) -> Array:
    """Return normal priors of flat coefficients as rows of data with variance one, shape (m, 1 + p)."""
    rows, positions = [np.zeros((0, 1 + blocks.n_coefficients))], blocks.positions
    for block in blocks.flat:
        normal = normal_prior(block, priors)
        if normal is not None:
            mean, sd = normal
            own = np.zeros((len(mean), 1 + blocks.n_coefficients))
            own[:, 0] = mean / sd
            own[:, 1 : 1 + blocks.n_flat] = back[positions[block.name]] / sd[:, None]
            rows.append(own)
    return np.concatenate(rows)


def deterministic(block: Block, kept: Any) -> Any:
    """Add the coefficients of a block that follow from its kept ones, shape (q,)."""
    import pymc as pm
    import pytensor.tensor as pt

    every = pt.zeros(block.size)[np.array(block.kept)].set(kept).reshape(block.shape)
    return pm.Deterministic(block.name, every, dims=block.dims or None)


def normal_prior(block: Block, priors: Mapping[str, Prior]) -> tuple[Array, Array] | None:
    """Return mean and sd of every coefficient of a block without a scale, shape (q,); None where they are flat."""
    own = location_priors(block, priors)
    if own[0].dist == "flat":
        return None
    return np.array([p.params["mean"] for p in own]), np.array([p.params["sd"] for p in own])
