"""The location parameters of a model on a design: labelled columns, each flat, with a normal prior, or pooled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from cbec_bayes.design import Design, identified
from cbec_bayes.errors import InputError
from cbec_bayes.family import PanelModel
from cbec_bayes.spec import Prior
from cbec_bayes.within import Array, means_by

SLOPES = {
    "slope": "slope",
    "group_total_slope": "slope",
    "control_slope": "control_slope",
    "group_total_control_slope": "control_slope",
}
"""Flat blocks that a prior of the model file is about, and that prior's name."""

FLAT = Prior("flat", {})


@dataclass(frozen=True, slots=True)
class Block:
    """Coefficients that share a prior.

    Attributes
    ----------
    name
        Variable in the posterior: ``slope``, ``group_slope``, ``time_effect`` ...
    dims, labels
        Dimensions of the variable with the labels of each; a scalar has none.
    columns
        What the coefficients multiply, shape (n, q); q is the product of the labels' numbers.
    scale
        Symbol of the scale they are pooled by, None for a flat or normal prior.
    kept
        Positions of the q coefficients that are identified; the others are zero by convention (a reference period).
    """

    name: str
    dims: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    columns: Array
    scale: str | None
    kept: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the variable."""
        return tuple(len(labels) for labels in self.labels)


@dataclass(frozen=True, slots=True)
class Blocks:
    """All location parameters of a model but the unit effects, which every engine treats in its own way.

    Attributes
    ----------
    design, model
        What they are made from.
    flat, pooled
        Blocks without and with a scale.
    """

    design: Design
    model: PanelModel
    flat: tuple[Block, ...]
    pooled: tuple[Block, ...]

    @property
    def every(self) -> tuple[Block, ...]:
        """Flat blocks, then pooled ones."""
        return (*self.flat, *self.pooled)

    @property
    def x(self) -> Array:
        """Columns of every kept coefficient, shape (n, p)."""
        return np.column_stack([block.columns[:, list(block.kept)] for block in self.every])

    @property
    def n_flat(self) -> int:
        """Number of kept coefficients without a scale."""
        return sum(len(block.kept) for block in self.flat)


def make_blocks(design: Design, model: PanelModel) -> Blocks:
    """Lay out the columns of a model on a design.

    Parameters
    ----------
    design
        Rows and regressors, the exposure first.
    model
        A member of the family; `PanelModel.without_groups` where the design has no groups.

    Raises
    ------
    InputError
        The model needs groups that the design has not; a slope is not identified; the residual scale is fixed at zero.

    Notes
    -----
    Mundlak terms are the unit and time means of the regressors as they enter, interacted ones included (MODEL.md
    section 2); without group-specific slopes they are those of the plain regressors.
    """
    if model.uses_groups and (design.group is None or len(design.groups) < 2):
        raise InputError(f"the model '{model.name}' needs two groups or more; without them it is a common slope")
    sigma = model.priors["sigma"]
    if sigma.dist == "fixed" and sigma.params["value"] == 0:
        raise InputError("the residual scale sigma cannot be fixed at 0: no data would be possible")
    exposure, controls = design.terms[0], design.terms[1:]
    by_group = _indicators(design)
    d, x = design.x[:, :1], design.x[:, 1:]
    interacted = d * by_group
    control_columns = np.column_stack([x[:, k : k + 1] * by_group for k in range(x.shape[1])]) if controls else x
    flat: list[Block] = []
    pooled: list[Block] = []

    def add(
        name: str, dims: Sequence[str], labels: Sequence[tuple[str, ...]], columns: Array, scale: str | None
    ) -> None:
        block = Block(name, tuple(dims), tuple(labels), columns, scale, tuple(range(columns.shape[1])))
        (flat if scale is None else pooled).append(block)

    groups, times = design.groups, time_labels(design)
    if model.group_slope == "fixed":
        add("group_total_slope", ["group"], [groups], interacted, None)
    else:
        add("slope", [], [], d, None)
    if controls:
        if model.group_control_slope == "fixed":
            add("group_total_control_slope", ["coef", "group"], [controls, groups], control_columns, None)
        else:
            add("control_slope", ["coef"], [controls], x, None)
    if model.unit_effect != "fixed":
        add("intercept", [], [], np.ones((design.n_obs, 1)), None)
    regressors = {exposure: interacted if model.group_slope != "off" else d}
    for k, control in enumerate(controls):
        width = by_group.shape[1]
        own = control_columns[:, k * width : (k + 1) * width]
        regressors[control] = own if model.group_control_slope != "off" else x[:, k : k + 1]
    for effect, codes in (("unit", design.unit), ("time", design.time)):
        if getattr(model, f"{effect}_effect") == "correlated":
            names, means = _means(regressors, codes, groups)
            add(f"mundlak_{effect}", [f"mundlak_{effect}_term"], [names], means, None)
    in_time = (design.time[:, None] == np.arange(len(times))).astype(float)
    if model.group_time_effect == "fixed":
        columns = np.column_stack([in_time * by_group[:, r : r + 1] for r in range(len(groups))])
        add("group_time_effect", ["group", "time"], [groups, times], columns, None)
    elif model.time_effect == "fixed":
        add("time_effect", ["time"], [times], in_time, None)
    if model.time_effect != "fixed" and model.group_time_effect != "fixed":
        add("time_effect", ["time"], [times], in_time, "sigma_lambda")
    if model.group_slope == "pooled":
        add("group_slope", ["group"], [groups], interacted, "tau")
    if model.group_control_slope == "pooled":
        for k, control in enumerate(controls):
            width = len(groups)
            add(
                f"group_control_slope[{control}]",
                ["group"],
                [groups],
                control_columns[:, k * width : (k + 1) * width],
                f"phi[{control}]",
            )
    if model.group_time_effect == "pooled":
        columns = np.column_stack([in_time * by_group[:, r : r + 1] for r in range(len(groups))])
        add("group_time_effect", ["group", "time"], [groups, times], columns, "sigma_omega")
    if model.unit_slope == "pooled":
        in_unit = (design.unit[:, None] == np.arange(len(design.units))).astype(float)
        add("unit_slope", ["unit"], [design.units], in_unit * d, "kappa")
    return Blocks(design, model, _identified(design, model, flat), tuple(pooled))


def time_labels(design: Design) -> tuple[str, ...]:
    """Return the periods as text, all different."""
    return tuple(str(int(time)) if float(time).is_integer() else repr(float(time)) for time in design.times)


def _indicators(design: Design) -> Array:
    if design.group is None:
        return np.ones((design.n_obs, 1))
    return np.asarray(design.group[:, None] == np.arange(len(design.groups)), dtype=float)


def _means(regressors: dict[str, Array], codes: np.ndarray, groups: tuple[str, ...]) -> tuple[tuple[str, ...], Array]:
    """Return the means of every regressor over units or times, row by row, with their names."""
    names: list[str] = []
    columns = []
    for name, own in regressors.items():
        columns.append(means_by(codes, own)[codes])
        names.extend([name] if own.shape[1] == 1 else [f"{name}[{group}]" for group in groups])
    return tuple(names), np.column_stack(columns)


def _identified(design: Design, model: PanelModel, flat: Sequence[Block]) -> tuple[Block, ...]:
    """Leave out what unit effects, or the flat columns before, already span: reference periods, repeated means."""
    order = sorted(range(len(flat)), key=lambda i: _PRIORITY.get(flat[i].name, 1))
    columns = np.column_stack([flat[i].columns for i in order])
    left = columns
    if model.unit_effect == "fixed":
        left = columns - means_by(design.unit, columns)[design.unit]
    kept = set(identified(columns, left, about_mean=False))
    found: dict[int, tuple[int, ...]] = {}
    at = 0
    for i in order:
        width = flat[i].columns.shape[1]
        found[i] = tuple(k for k in range(width) if at + k in kept)
        at += width
        if "slope" in flat[i].name and len(found[i]) < width:
            lost = next(k for k in range(width) if k not in found[i])
            raise InputError(
                f"the slope {names_of(flat[i])[lost]} is not identified: its column does not vary beyond the "
                "effects and the other regressors"
            )
    return tuple(Block(b.name, b.dims, b.labels, b.columns, b.scale, found[i]) for i, b in enumerate(flat) if found[i])


# Effects come first, so that what is collinear with them is the regressor, which is named; Mundlak terms come last.
_PRIORITY = {"intercept": 0, "time_effect": 0, "group_time_effect": 0, "mundlak_unit": 2, "mundlak_time": 2}


def labels_of(block: Block) -> list[str]:
    """Return the labels of a block's q coefficients, kept or not, as ``east`` or ``lngdp, east``."""
    return [", ".join(labels) for labels in product(*block.labels)]


def names_of(block: Block) -> tuple[str, ...]:
    """Return the names of a block's q coefficients, kept or not, as ``group_slope[east]``."""
    return tuple(block.name + "".join(f"[{label}]" for label in labels) for labels in product(*block.labels))


def coefficient_names(blocks: Blocks) -> tuple[str, ...]:
    """Return a name for every kept coefficient, as ``group_slope[east]``."""
    return tuple(names_of(block)[k] for block in blocks.every for k in block.kept)


def location_priors(block: Block, priors: Mapping[str, Prior]) -> tuple[Prior, ...]:
    """Return the prior of each of a flat block's q coefficients; of effects that no model file speaks of it is flat.

    Parameters
    ----------
    block
        Without a scale.
    priors
        Resolved; see `cbec_bayes.bayes.priors.resolve`.
    """
    about = SLOPES.get(block.name)
    if about is None or about == "slope":
        return (FLAT if about is None else priors["slope"],) * len(labels_of(block))
    return tuple(priors[f"{about}[{labels[0]}]"] for labels in product(*block.labels))
