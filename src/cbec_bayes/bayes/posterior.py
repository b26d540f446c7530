"""From scales to everything else: effects drawn exactly, as an ArviZ DataTree that looks like one of PyMC's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import numpy as np

from cbec_bayes.bayes.likelihood.collapsed import LOG_2PI, Collapsed
from cbec_bayes.bayes.likelihood.conditional import given
from cbec_bayes.bayes.likelihood.elimination import unit_products
from cbec_bayes.bayes.model.blocks import Blocks, time_labels
from cbec_bayes.bayes.model.densities import RHO, log_density
from cbec_bayes.bayes.moments.lagged import previous_rows
from cbec_bayes.bayes.sampling.importance import Draws
from cbec_bayes.panel.within import Array, Codes, means_by

POINTWISE_MAX = 40_000_000
"""Numbers that unit effects and pointwise log likelihoods may take; beyond, they are left out of the store."""

_CHUNK = 2**19


def draw_effects(blocks: Blocks, collapsed: Collapsed, points: Array, seed: int) -> dict[str, Array]:
    """Draw every location parameter given scales.

    Parameters
    ----------
    blocks, collapsed
        Of one model on one design.
    points
        Log scales, shape (S, k).
    seed
        Of the draws.

    Returns
    -------
    dict
        Variable to draws of shape (S, ...), with zeros for coefficients that are zero by convention; ``unit_effect``,
        and slopes of units, of shape (S, N) where they fit into memory.
    """
    rng = np.random.default_rng([seed, 1])
    p, n = collapsed.n_coefficients, len(points)
    drawn = [part.draw(rng) for part in given(collapsed, points)]
    coefficients = np.concatenate(drawn) if drawn else np.empty((n, p))
    mean_slope, coefficients = coefficients[:, p:], coefficients[:, :p]
    found: dict[str, Array] = {}
    at = 0
    for block in blocks.every:
        width = len(block.kept)
        values = np.zeros((n, block.size))
        values[:, list(block.kept)] = coefficients[:, at : at + width]
        found[block.name] = values.reshape(n, *block.shape)
        at += width
    there = collapsed.lagged is None and blocks.design.counted is None
    stored = there and n * max(len(blocks.design.units), blocks.design.n_obs) <= POINTWISE_MAX
    slopes = None
    if collapsed.unit_slopes:
        found["mean_unit_slope"] = mean_slope[:, 0]
        if stored:
            slopes = found["unit_slope"] = _unit_slopes(blocks, collapsed, points, coefficients, rng)
    if "unit_slope" in found:
        found["mean_unit_slope"] = found["unit_slope"].mean(axis=1)
    if stored:
        found["unit_effect"] = _unit_effects(blocks, collapsed, points, coefficients, slopes, rng)
    return found


def _unit_slopes(
    blocks: Blocks, collapsed: Collapsed, points: Array, coefficients: Array, rng: np.random.Generator
) -> Array:
    """Draw slopes of units given all else but unit effects: those of what is left of the outcome, drawn to zero."""
    squares, products = unit_products(blocks)
    pull = products[:, 0] - coefficients @ products[:, 1:].T
    sigma = sigma_of_rows(blocks, collapsed, points, first_rows(blocks.design.unit))
    kappa = collapsed.scales(points)["kappa"][:, None]
    with np.errstate(divide="ignore"):
        total = squares + (sigma / kappa) ** 2
    return np.asarray(pull / total + sigma / np.sqrt(total) * rng.standard_normal(pull.shape))


def _unit_effects(
    blocks: Blocks,
    collapsed: Collapsed,
    points: Array,
    coefficients: Array,
    slopes: Array | None,
    rng: np.random.Generator,
) -> Array:
    """Draw unit effects given all else: about the unit's mean residual, drawn to zero where the effect is random."""
    design = blocks.design
    counts = np.bincount(design.unit)
    means = means_by(design.unit, np.column_stack([design.y, blocks.x]))
    residual = means[:, 0] - coefficients @ means[:, 1:].T
    if slopes is not None:
        residual -= slopes * means_by(design.unit, design.x[:, :1])[:, 0]
    sigma = sigma_of_rows(blocks, collapsed, points, first_rows(design.unit))
    variance = sigma**2 / counts
    shrink: Array = np.ones(1)
    if collapsed.unit_scale is not None:
        own = collapsed.scales(points)[collapsed.unit_scale][:, None] ** 2
        shrink = own / (own + variance)
    return np.asarray(shrink * residual + np.sqrt(shrink * variance) * rng.standard_normal(residual.shape))


def first_rows(unit: np.ndarray) -> np.ndarray:
    """Return the position of each unit's first row."""
    return np.unique(unit, return_index=True)[1]


def sigma_of_rows(blocks: Blocks, collapsed: Collapsed, points: Array, rows: Codes | None = None) -> Array:
    """Return the residual scale of every row, or of some, shape (S, n)."""
    scales = collapsed.scales(points)
    by_stratum = np.stack([scales[name] for name in collapsed.sigmas], axis=1)
    group = blocks.design.group
    codes = np.zeros(blocks.design.n_obs, dtype=np.intp) if len(collapsed.sigmas) == 1 or group is None else group
    return np.asarray(by_stratum[:, codes if rows is None else codes[rows]])


def linear_predictor(blocks: Blocks, effects: Mapping[str, Array]) -> Array:
    """Return the mean of every row given effects, shape (S, n)."""
    n = len(next(iter(effects.values())))
    mean = np.zeros((n, blocks.design.n_obs))
    for block in blocks.every:
        mean += effects[block.name].reshape(n, -1) @ block.columns.T
    if blocks.unit_slope is not None:
        mean += effects["unit_slope"][:, blocks.design.unit] * blocks.design.x[:, 0]
    if any(block.name == "unit_effect" for block in blocks.every):
        return mean
    return np.asarray(mean + effects["unit_effect"][:, blocks.design.unit])


def pointwise(blocks: Blocks, collapsed: Collapsed, points: Array, effects: Mapping[str, Array]) -> Array:
    """Return the log density of every row given effects, shape (S, n); of correlated errors given the row before."""
    design = blocks.design
    found = np.empty((len(points), design.n_obs))
    step = max(1, _CHUNK // design.n_obs)
    for start in range(0, len(points), step):
        part = slice(start, start + step)
        residual = design.y - linear_predictor(blocks, {name: values[part] for name, values in effects.items()})
        sigma = sigma_of_rows(blocks, collapsed, points[part])
        if collapsed.lagged is not None:
            previous, gap = previous_rows(design)
            now = np.flatnonzero(gap > 0)
            carried = collapsed.scales(points[part])[RHO][:, None] ** gap[now]
            residual[:, now] -= carried * residual[:, previous[now]]
            sigma[:, now] *= np.sqrt(1 - carried**2)
        found[part] = -((residual / sigma) ** 2 + LOG_2PI) / 2 - np.log(sigma)
    return found


def posterior_draws(blocks: Blocks, collapsed: Collapsed, points: Array, seed: int) -> dict[str, Array]:
    """Draw everything that a posterior holds, given draws of the scales.

    Parameters
    ----------
    blocks, collapsed, points, seed
        As for `draw_effects`.

    Returns
    -------
    dict
        Variable to draws of shape (S, ...): effects, scales, and of pooled group slopes ``group_total_slope`` and
        ``new_group_slope``.
    """
    effects = draw_effects(blocks, collapsed, points, seed)
    scales = collapsed.scales(points)
    found = dict(effects)
    if len(collapsed.sigmas) > 1:
        found["sigma"] = np.stack([scales[name] for name in collapsed.sigmas], axis=1)
    else:
        found["sigma"] = scales["sigma"]
    found |= {name: values for name, values in scales.items() if not name.startswith("sigma[")}
    if "group_slope" in effects:
        found["group_total_slope"] = effects["slope"][:, None] + effects["group_slope"]
        rng = np.random.default_rng([seed, 2])
        found["new_group_slope"] = effects["slope"] + scales["tau"] * rng.standard_normal(len(points))
    return found


def store(blocks: Blocks, collapsed: Collapsed, drawn: Draws, *, seed: int, attrs: Mapping[str, object]) -> Any:
    """Return the posterior as a DataTree.

    Groups: ``posterior``, ``sample_stats`` (lp), ``log_prior`` (of the scales), ``observed_data`` where there are rows,
    and, where it fits into memory, ``log_likelihood`` (pointwise, given the effects).
    """
    import arviz as az

    chains, draws, k = drawn.points.shape
    points = drawn.points.reshape(chains * draws, k)
    everything = posterior_draws(blocks, collapsed, points, seed)
    scales = collapsed.scales(points)
    design = blocks.design

    def shaped(values: Any) -> Array:
        return np.asarray(values).reshape(chains, draws, *np.shape(values)[1:])

    posterior = {name: shaped(values) for name, values in everything.items()}
    dims = {block.name: list(block.dims) for block in blocks.variables} | {"unit_effect": ["unit"]}
    if len(collapsed.sigmas) > 1:
        dims["sigma"] = ["group"]
    if "group_total_slope" in posterior and "group_slope" in posterior:
        dims["group_total_slope"] = ["group"]
    log_prior = {name: shaped(log_density(prior, scales[name])[0]) for name, prior in collapsed.priors.items()}
    content: dict[str, Any] = {
        "posterior": posterior,
        "sample_stats": {"lp": shaped(collapsed.log_posterior(points))},
        "log_prior": log_prior,
    }
    if design.counted is None:
        content["observed_data"] = {design.outcome: design.y}
        dims[design.outcome] = ["obs"]
    if "unit_effect" in everything and len(points) * design.n_obs <= POINTWISE_MAX:
        content["log_likelihood"] = {design.outcome: shaped(pointwise(blocks, collapsed, points, everything))}
    coords: dict[str, Any] = {
        "unit": list(design.units),
        "time": list(time_labels(design)),
        "group": list(design.groups),
        "coef": list(design.terms[1:]),
        "obs": np.arange(len(design.y)),
    }
    for block in blocks.variables:
        coords |= {dim: list(labels) for dim, labels in zip(block.dims, block.labels, strict=True)}
    # Labels are copied several times on the way: those of a million units only where something has them.
    dims = {name: names for name, names in dims.items() if any(name in group for group in content.values())}
    used = {dim for names in dims.values() for dim in names}
    tree = az.from_dict(
        content,
        coords={name: labels for name, labels in coords.items() if name in used},
        dims={name: names for name, names in dims.items() if names},
    )
    for node in tree.subtree:
        node.attrs.pop("created_at", None)  # the same seed makes the same file
    tree.attrs |= {
        "engine": "collapsed",
        "sampler": drawn.method,
        "origin": str(design.origin),
        "seed": seed,
        "priors": json.dumps({name: str(prior) for name, prior in collapsed.priors.items()}),
        "versions": json.dumps({name: metadata.version(name) for name in ("cbec_bayes", "numpy", "scipy", "arviz")}),
        **attrs,
    }
    return tree
