"""From scales to everything else: effects drawn exactly, as an ArviZ DataTree that looks like one of PyMC's."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.bayes.likelihood.collapsed import Collapsed
from cbec_bayes.bayes.likelihood.row_densities import Visit
from cbec_bayes.bayes.model.blocks import Blocks, stored, time_labels
from cbec_bayes.bayes.model.densities import log_density
from cbec_bayes.bayes.model.terms.covariate_slope import COVARIATE_SLOPE
from cbec_bayes.bayes.observations import (
    GIVEN_EFFECTS,
    densities_given_others,
    density_group,
    located,
    observed,
    points_of,
    regressors,
    with_groups,
)
from cbec_bayes.bayes.of_controls import stacked, unstacked
from cbec_bayes.bayes.sampling.importance import Draws
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array, sums_by
from cbec_bayes.runtime.versions import versions

POINTWISE_MAX = 40_000_000
"""Numbers that unit effects and pointwise densities may take; beyond, the store is without them and rows' labels."""

_CHUNK = 2**19

type Walk = Callable[[Visit], None]
"""Something else that goes through the coefficients given all points, and shows them to what it is called with."""


def draw_effects(
    blocks: Blocks, collapsed: Collapsed, points: Array, seed: int, walk: Walk | None = None
) -> dict[str, Array]:
    """Draw every location parameter given scales.

    Parameters
    ----------
    blocks, collapsed
        Blocks and collapsed posterior of one model on one design.
    points
        Log scales, shape (S, k).
    seed
        Seed of the draws.
    walk
        Draws are made on its way, if it goes any, so that what is drawn from is not computed twice.

    Returns
    -------
    dict
        Variable to draws of shape (S, ...), with zeros for coefficients that are zero by convention; ``unit_effect``,
        and slopes of units, of shape (S, N) where they fit into memory; see `means_over_units` for their means.
    """
    rng = np.random.default_rng([seed, 1])
    p, n = collapsed.n_coefficients, len(points)
    each_unit = (
        blocks.design.counted is None and n * max(len(blocks.design.units), blocks.design.n_obs) <= POINTWISE_MAX
    )
    drawn: list[Array] = []
    if walk is not None and each_unit:
        walk(lambda conditional: drawn.append(conditional.draw(rng)))
    if not drawn:
        # Means over units follow from draws of every unit where there are these.
        drawn = [part.draw(rng) for part in collapsed.conditionals(points, means=not each_unit)]
    coefficients = np.concatenate(drawn) if drawn else np.empty((n, p))
    means, coefficients = coefficients[:, p:], coefficients[:, :p]
    found: dict[str, Array] = {}
    positions = blocks.positions
    for block in blocks.every:
        values = np.zeros((n, block.size))
        values[:, list(block.kept)] = coefficients[:, positions[block.name]]
        found[block.name] = values.reshape(n, *block.shape)
    units: dict[str, Array] = {}
    if each_unit:
        units = collapsed.errors.draw_units(blocks, coefficients, collapsed.scales(points), rng)
    found |= {name: values for name, values in units.items() if name != "unit_effect"}
    sizes = blocks.design.counts.group_units
    averaged = [block.name for block in blocks.eliminated if block.scale is not None]
    for k, name in enumerate(averaged if collapsed.unit_means else ()):
        if name in units:
            by_group = sums_by(blocks.design.group_of_unit, units[name].T, len(sizes)).T / sizes
        else:
            by_group = means[:, k * len(sizes) : (k + 1) * len(sizes)]
        found |= means_over_units(name, by_group, sizes, grouped=bool(blocks.design.groups))
    return found | units


def means_over_units(name: str, by_group: Array, sizes: NDArray[np.int64], *, grouped: bool) -> dict[str, Array]:
    """Return the means over units of a coefficient that each has, under the names that a posterior has for them.

    Parameters
    ----------
    name
        Name of the coefficient, as ``unit_slope``.
    by_group
        Means over the units of every group, shape (S, R); of all units, with R = 1, where there are no groups.
    sizes
        Units of each group, shape (R,).
    grouped
        Whether there are groups.

    Returns
    -------
    dict
        As ``mean_unit_slope`` the mean over all units, shape (S,), and, with groups, as ``group_mean_unit_slope`` those
        over the units of each, shape (S, R).
    """
    found = {f"mean_{name}": by_group @ (sizes / sizes.sum())}
    return found | ({f"group_mean_{name}": by_group} if grouped else {})


def linear_predictor(blocks: Blocks, effects: Mapping[str, Array]) -> Array:
    """Return the mean of every row given effects, shape (S, n)."""
    n = len(next(iter(effects.values())))
    mean = np.zeros((n, blocks.design.n_obs))
    for block in blocks.every:
        mean += effects[block.name].reshape(n, -1) @ block.columns.T
    for block in blocks.eliminated:
        mean += effects[block.name][:, blocks.design.unit] * block.regressors[:, 0]
    return np.asarray(mean + effects["unit_effect"][:, blocks.design.unit])


def pointwise(blocks: Blocks, collapsed: Collapsed, points: Array, effects: Mapping[str, Array]) -> Array:
    """Return the log density of every row given effects, shape (S, n); of correlated errors given the row before.

    Over the rows they add up to the log likelihood of effects and scales.
    """
    design = blocks.design
    found = np.empty((len(points), design.n_obs))
    step = max(1, _CHUNK // design.n_obs)
    for start in range(0, len(points), step):
        part = slice(start, start + step)
        residual = design.y - linear_predictor(blocks, {name: values[part] for name, values in effects.items()})
        found[part] = collapsed.errors.row_log_density(design, residual, collapsed.scales(points[part]))
    return found


def posterior_draws(
    blocks: Blocks, collapsed: Collapsed, points: Array, seed: int, walk: Walk | None = None
) -> dict[str, Array]:
    """Draw everything that a posterior holds, given draws of the scales.

    Parameters
    ----------
    blocks, collapsed, points, seed, walk
        As for `draw_effects`.

    Returns
    -------
    dict
        Variable to draws of shape (S, ...): effects, scales, and of pooled group slopes ``group_total_slope`` and
        ``new_group_slope``.
    """
    effects = draw_effects(blocks, collapsed, points, seed, walk)
    scales = collapsed.scales(points)
    found = dict(effects)
    if len(collapsed.sigmas) > 1:
        found["sigma"] = np.stack([scales[name] for name in collapsed.sigmas], axis=1)
    else:
        found["sigma"] = scales["sigma"]
    found |= {name: values for name, values in scales.items() if not name.startswith("sigma[")}
    if "group_slope" in effects:
        found["group_total_slope"] = effects["slope"][:, None] + effects["group_slope"]
        if blocks.characteristics is not None:
            found["group_total_slope"] += effects[COVARIATE_SLOPE] @ blocks.characteristics.T
        rng = np.random.default_rng([seed, 2])
        found["new_group_slope"] = effects["slope"] + scales["tau"] * rng.standard_normal(len(points))
    return found


def store(
    blocks: Blocks,
    collapsed: Collapsed,
    drawn: Draws,
    *,
    seed: int,
    attrs: Mapping[str, object],
    densities: bool = True,
) -> Any:
    """Return the posterior as a DataTree.

    Groups: ``posterior``, ``sample_stats`` (lp), ``log_prior`` (of the scales), ``observed_data`` where there are rows,
    and, where they fit into memory, ``constant_data`` (the regressors) and ``log_likelihood`` (of every row given all
    others and the scales; see `cbec_bayes.bayes.observations.densities_given_others`), which takes as long as all else:
    without `densities` it is left out, and `densities_of_rows` returns it later.
    """
    chains, draws, k = drawn.points.shape
    points = drawn.points.reshape(chains * draws, k)
    design, found = blocks.design, None
    by_row = _is_by_row(design, len(points))

    def rows_given_others(visit: Visit) -> None:
        nonlocal found
        found = densities_given_others(blocks, collapsed, points, (chains, draws), visit)

    # Where every scale is held the density of a row given the others is one number, of which ArviZ makes nothing.
    walk = rows_given_others if by_row and densities and collapsed.names else None
    everything = posterior_draws(blocks, collapsed, points, seed, walk)
    scales = collapsed.scales(points)

    def shaped(values: Any) -> Array:
        return np.asarray(values).reshape(chains, draws, *np.shape(values)[1:])

    posterior = {name: shaped(values) for name, values in everything.items()}
    dims = {block.name: list(block.dims) for block in blocks.variables} | {"unit_effect": ["unit"]}
    if len(collapsed.sigmas) > 1:
        dims["sigma"] = ["group"]
    dims |= {name: ["group"] for name in posterior if name.startswith(("group_mean_", "group_total_slope"))}
    priors = collapsed.priors
    content: dict[str, Any] = {
        "posterior": posterior,
        "sample_stats": {"lp": shaped(collapsed.log_posterior(points)) if drawn.lp is None else drawn.lp},
        "log_prior": {stored(name): shaped(log_density(own, scales[name])[0]) for name, own in priors.items()},
    }
    coords: dict[str, Any] = {
        "unit": list(design.units),
        "time": list(time_labels(design)),
        "group": list(design.groups),
        "coef": list(design.controls),
    }
    for block in blocks.variables:
        coords |= {dim: list(labels) for dim, labels in zip(block.dims, block.labels, strict=True)}
    # Labels are copied several times on the way: those of a million units only where something has them.
    dims = {name: names for name, names in dims.items() if any(name in group for group in content.values())}
    used = {dim for names in dims.values() for dim in names}
    coords = {name: labels for name, labels in coords.items() if name in used}
    tree = _tree_of(content, dims, coords)
    if by_row and densities and walk is None:  # ArviZ finds the same from densities given the effects
        found = _given_effects(blocks, collapsed, points, everything, (chains, draws))
    with_groups(tree, {name: stacked(tree[name].to_dataset()) for name in ("posterior", "log_prior")})
    with_groups(tree, _groups_of_rows(design, found, labelled=by_row))
    tree.attrs |= {
        "engine": "collapsed",
        "sampler": drawn.method,
        "origin": str(design.origin),
        "seed": seed,
        "priors": json.dumps({name: str(prior) for name, prior in priors.items()}),
        "versions": json.dumps(versions()),
        **attrs,
    }
    return tree


def _is_by_row(design: Design, n_points: int) -> bool:
    """Return whether there are rows, and what is stored of each of them fits into memory."""
    return design.counted is None and n_points * design.n_obs <= POINTWISE_MAX


def _given_effects(
    blocks: Blocks, collapsed: Collapsed, points: Array, effects: Mapping[str, Array], shape: tuple[int, int]
) -> Any:
    densities = pointwise(blocks, collapsed, points, effects).reshape(*shape, -1)
    return density_group(blocks.design, densities, np.arange(blocks.design.n_obs), GIVEN_EFFECTS)


def densities_of_rows(blocks: Blocks, collapsed: Collapsed, posterior: Any) -> Any:
    """Return the group ``log_likelihood`` as `store` has it, from the draws of a posterior that lacks it.

    Parameters
    ----------
    blocks, collapsed
        Model and design; the density.
    posterior
        Draws, a dataset.

    Returns
    -------
    Dataset or None
        None where there are no rows, or too many.
    """
    shape = posterior.sizes["chain"], posterior.sizes["draw"]
    if not _is_by_row(blocks.design, shape[0] * shape[1]):
        return None
    points = points_of(collapsed, posterior)
    if collapsed.names:
        return densities_given_others(blocks, collapsed, points, shape)
    variables = unstacked(posterior).data_vars.items()
    effects = {str(name): own.to_numpy().reshape(-1, *own.shape[2:]) for name, own in variables}
    return _given_effects(blocks, collapsed, points, effects, shape)


def _tree_of(content: Mapping[str, Mapping[str, Array]], dims: Mapping[str, Sequence[str]], coords: Any) -> Any:
    """Return groups of draws as the DataTree that ArviZ makes of them, but for the hour: the same seed, the same file.

    ArviZ itself is not imported for it, which takes as long as to draw them.
    """
    import xarray as xr

    made_by = {"creation_library": "cbec_bayes", "creation_library_version": versions()["cbec_bayes"]}
    attrs = {**made_by, "creation_library_language": "Python", "sample_dims": ["chain", "draw"]}
    groups = {}
    for group, variables in content.items():
        data = {name: (("chain", "draw", *dims.get(name, ())), values) for name, values in variables.items()}
        sizes = {dim: size for own, values in data.values() for dim, size in zip(own, values.shape, strict=True)}
        labels = {dim: coords.get(dim, np.arange(size)) for dim, size in sizes.items()}
        groups[group] = xr.Dataset(data, coords=labels, attrs=attrs)
    return xr.DataTree.from_dict(groups)


def _groups_of_rows(design: Design, densities: Any, *, labelled: bool) -> dict[str, Any]:
    """Return what a posterior has of rows, if there are any, apart from the draws: names may be those of variables."""
    if design.counted is not None:
        return {}
    if not labelled:
        return {"observed_data": observed(design)}
    data = {"observed_data": observed(design), "constant_data": regressors(design)}
    found = {name: located(dataset, design) for name, dataset in data.items()}
    return found | ({} if densities is None else {"log_likelihood": densities})
