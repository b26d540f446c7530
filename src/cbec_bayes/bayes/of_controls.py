"""What every control has, or every further exposure: one variable with a dimension when stored, one each in a model."""

from __future__ import annotations

from typing import Any

DIMENSIONS = {
    "phi": "coef",
    "group_control_slope": "coef",
    "tau_beside": "exposure_beside",
    "group_exposure_slope": "exposure_beside",
}
"""Variables to the dimension of the controls, or of the exposures beside the first, in every posterior."""


def stacked(dataset: Any) -> Any:
    """Return a dataset in which ``phi[x]`` and ``phi[z]`` are one variable ``phi`` over the controls.

    A model has a block and a scale for each control. Whoever reads a stored posterior has one variable, and selects a
    control by its name.
    """
    import xarray as xr

    parts: dict[str, dict[str, Any]] = {}
    for name in map(str, dataset.data_vars):
        variable, label = _parted(name)
        if label is not None:
            parts.setdefault(variable, {})[label] = dataset[name]
    found = dataset.drop_vars([f"{name}[{label}]" for name, own in parts.items() for label in own])
    for name, own in parts.items():
        dimension = DIMENSIONS[name]
        labels = xr.DataArray(list(own), dims=dimension, name=dimension)
        one = xr.concat(list(own.values()), dim=labels, coords="minimal", compat="override")
        found[name] = one.transpose("chain", "draw", dimension, ...)
    return found


def unstacked(dataset: Any) -> Any:
    """Return a dataset with a variable for each control, as ``phi[x]``, which are `stacked` in the one given."""
    there = map(str, dataset.data_vars)
    names = {name for name in there if name in DIMENSIONS and DIMENSIONS[name] in dataset[name].dims}
    found = dataset.drop_vars(list(names))
    for name in names:
        for label in dataset[DIMENSIONS[name]].to_numpy():
            found[f"{name}[{label}]"] = dataset[name].sel({DIMENSIONS[name]: label}, drop=True)
    return found


def _parted(name: str) -> tuple[str, str | None]:
    """Return a variable's name and its control; a control may have brackets in its own name."""
    variable, bracket, label = name.partition("[")
    return (variable, label.removesuffix("]")) if bracket and variable in DIMENSIONS else (name, None)
