"""What a stored posterior has of every row: which it is, its regressors, and its density."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cbec_bayes.bayes.likelihood.collapsed import Collapsed
from cbec_bayes.bayes.likelihood.row_densities import Visit, row_densities
from cbec_bayes.bayes.model.blocks import Blocks, time_labels
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array, Codes

GIVEN_OTHERS, GIVEN_EFFECTS = "given_others", "given_effects"
"""Kinds of pointwise densities: of a row given all other rows and the scales, or given effects and scales."""

WORK_MAX = 6e10
"""Products that densities of rows given the others may take, some seconds; beyond, the store is without them."""

_COMMENTS = {
    GIVEN_OTHERS: (
        "Log density of each row given all other rows and the scales; the effects are integrated out. It is what "
        "az.loo and az.compare need. Its sum over rows is not the likelihood: az.psense must not be asked of it."
    ),
    GIVEN_EFFECTS: "Log density of each row given the effects and the scales.",
}


def row_coordinates(design: Design) -> dict[str, tuple[str, list[str]]]:
    """Return the unit and the time of every row, as coordinates of ``obs`` that are no index."""
    times = time_labels(design)
    return {
        "unit": ("obs", [design.units[u] for u in design.unit]),
        "time": ("obs", [times[t] for t in design.time]),
    }


def observed(design: Design) -> Any:
    """Return the outcome as a dataset, as the group ``observed_data`` has it."""
    import xarray as xr

    return xr.Dataset({design.outcome: ("obs", design.y)}, {"obs": np.arange(design.n_obs)})


def regressors(design: Design) -> Any:
    """Return exposure and controls, and weights if there are any, as the group ``constant_data`` has them."""
    import xarray as xr

    data: dict[str, Any] = {"exposure": ("obs", design.x[:, 0])}
    coords: dict[str, Any] = {"obs": np.arange(design.n_obs)}
    n = len(design.exposures)
    if n > 1:
        data["further_exposures"] = ("obs", "exposure_beside"), design.x[:, 1:n]
        coords["exposure_beside"] = list(design.exposures[1:])
    if design.controls:
        data["controls"] = ("obs", "coef"), design.x[:, n:]
        coords["coef"] = list(design.controls)
    if design.weight is not None:
        data["weight"] = ("obs", design.weight)
    return xr.Dataset(data, coords)


def points_of(collapsed: Collapsed, posterior: Any) -> Array:
    """Return the points of the scales that a stored posterior, a dataset, has draws of, shape (S, k)."""
    values = {}
    for name in collapsed.names:
        variable, bracket, label = name.partition("[")
        own = posterior[variable]
        # A scale of each group, or of each control, is one variable over these.
        values[name] = (own.sel({own.dims[-1]: label.removesuffix("]")}) if bracket else own).to_numpy().ravel()
    return collapsed.point(values) if values else np.zeros((posterior.sizes["chain"] * posterior.sizes["draw"], 0))


def densities_given_others(
    blocks: Blocks, collapsed: Collapsed, points: Array, shape: tuple[int, int], visit: Visit | None = None
) -> Any:
    """Return the group ``log_likelihood`` of a Gaussian member as a dataset.

    Parameters
    ----------
    blocks, collapsed
        Model and design; the density.
    points
        Draws of the scales, shape (S, k).
    shape
        Chains and draws, of which there are S.
    visit
        Called with the coefficients given the scales, where there are densities; see
        `cbec_bayes.bayes.likelihood.row_densities.distances`.

    Returns
    -------
    Dataset
        Rows that no others identify are not in it, as ArviZ takes no missing numbers: ``obs`` says which are, and the
        attribute ``rows_left_out`` how many are not. None where it would take too long, or no row has a density.
    """
    if len(points) * blocks.design.n_obs * float(collapsed.likelihood.conditional_size) > WORK_MAX:
        return None
    densities, rows = row_densities(blocks, collapsed, points, visit)
    return density_group(blocks.design, densities.reshape(*shape, -1), rows, GIVEN_OTHERS) if len(rows) else None


def density_group(design: Design, densities: Array, rows: Codes, kind: str) -> Any:
    """Return log densities of rows, shape (chain, draw, rows), as a dataset that says what they are."""
    import xarray as xr

    coords = {name: np.arange(size) for name, size in zip(("chain", "draw"), densities.shape, strict=False)}
    found = xr.Dataset({design.outcome: (("chain", "draw", "obs"), densities)}, {**coords, "obs": rows})
    return described(found, design, kind)


def described(densities: Any, design: Design, kind: str) -> Any:
    """Return pointwise densities, a dataset, with the unit and time of their rows, and their kind in words."""
    left_out = design.n_obs - densities.sizes["obs"]
    return located(densities, design).assign_attrs(kind=kind, comment=_COMMENTS[kind], rows_left_out=left_out)


def located(data: Any, design: Design) -> Any:
    """Return a dataset whose ``obs`` are rows of a design with the unit and time of each."""
    rows = data["obs"].to_numpy()
    coordinates = {name: (dim, np.array(labels)[rows]) for name, (dim, labels) in row_coordinates(design).items()}
    return data.assign_coords(coordinates)


def with_groups(tree: Any, groups: Mapping[str, Any]) -> None:
    """Put datasets into a tree as groups, in place of those of the same name."""
    import xarray as xr

    for name, dataset in groups.items():
        tree[name] = xr.DataTree(dataset)
