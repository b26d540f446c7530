"""Variables that every control has: one with a dimension in what is stored, one for each control in a model's terms."""

from __future__ import annotations

from typing import Any

DIMENSION = "coef"
"""Of the controls, in every posterior."""


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
        labels = xr.DataArray(list(own), dims=DIMENSION, name=DIMENSION)
        one = xr.concat(list(own.values()), dim=labels, coords="minimal", compat="override")
        found[name] = one.transpose("chain", "draw", DIMENSION, ...)
    return found


def unstacked(dataset: Any) -> Any:
    """Return a dataset with a variable for each control, as ``phi[x]``, which are `stacked` in the one given."""
    names = {name for name in map(str, dataset.data_vars) if name in _STACKED and DIMENSION in dataset[name].dims}
    found = dataset.drop_vars(list(names))
    for name in names:
        for label in dataset[DIMENSION].to_numpy():
            found[f"{name}[{label}]"] = dataset[name].sel({DIMENSION: label}, drop=True)
    return found


_STACKED = ("phi", "group_control_slope")


def _parted(name: str) -> tuple[str, str | None]:
    """Return a variable's name and its control; a control may have brackets in its own name."""
    variable, bracket, label = name.partition("[")
    return (variable, label.removesuffix("]")) if bracket and variable in _STACKED else (name, None)
