"""The location parameters of a model on a design: labelled columns, each flat, with a normal prior, or pooled."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from cbec_bayes.bayes.model.family import PanelModel, load_panel_model
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.moments.by_unit import Moments
from cbec_bayes.bayes.moments.coded import Coded, moments_of_coded
from cbec_bayes.bayes.moments.of_model import model_moments, scale_of
from cbec_bayes.bayes.moments.panel_moments import PanelMoments
from cbec_bayes.panel.design import Counts, Design, identified, identified_by_moments
from cbec_bayes.panel.within import Array, Codes, TwoWay, means_by
from cbec_bayes.runtime.errors import InputError

SLOPES = {
    "slope": "slope",
    "group_total_slope": "slope",
    "control_slope": "control_slope",
    "group_total_control_slope": "control_slope",
}
"""Flat blocks that a prior of the model file is about, and that prior's name."""

FLAT = Prior("flat", {})

DIMENSIONS = ("chain", "draw", "obs", "unit", "time", "group", "coef")
"""Dimensions of every posterior."""

LAID_OUT_MAX = 2**23
"""Numbers that the columns of a model may take; beyond, their moments are taken from regressors and codes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Coefficients that share a prior.

    Attributes
    ----------
    name
        Variable in the posterior: ``slope``, ``group_slope``, ``time_effect`` ...
    dims, labels
        Dimensions of the variable with the labels of each; a scalar has none.
    regressors
        What the coefficients multiply, shape (n, K).
    scale
        Symbol of the scale they are pooled by, None for a flat or normal prior.
    kept
        Positions of the q coefficients that are identified; the others are zero by convention (a reference period). q
        is the product of the labels' numbers.
    code
        Which of a regressor's q / K coefficients is each row's, shape (n,); None where it has but one.
    """

    name: str
    dims: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    regressors: Array
    scale: str | None
    kept: tuple[int, ...]
    code: Codes | None = None

    @property
    def columns(self) -> Array:
        """Regressors by code, laid out: shape (n, q), regressor by regressor."""
        if self.code is None:
            return self.regressors
        n, k = self.regressors.shape
        columns = np.zeros((n, k, self.width))
        columns[np.arange(n), :, self.code] = self.regressors
        return columns.reshape(n, -1)

    @property
    def width(self) -> int:
        """Number of coefficients of each regressor, q / K."""
        return self.size // int(self.regressors.shape[1])

    @property
    def size(self) -> int:
        """Number of coefficients, q."""
        return math.prod(self.shape)

    @property
    def coded(self) -> Coded:
        """Columns, not laid out."""
        return Coded(self.regressors, self.code, self.width)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the variable."""
        return tuple(len(labels) for labels in self.labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """All location parameters of a model but the unit effects, which every engine treats in its own way.

    Attributes
    ----------
    design, model
        What they are made from.
    flat, pooled
        Blocks without and with a scale.
    unit_slope
        Slopes of units where they are eliminated as unit effects are; None where there are none, or they are pooled
        coefficients like others.
    moments
        Of the outcome and every kept coefficient's column, where the columns would be too large to lay out and the
        moments alone tell which coefficients are identified; None otherwise.
    gathered
        Moments of the panel that those are made of, where there are no rows.
    shift
        What the columns of those moments are less, shape (p,), and the intercept makes up for; None for none.
    """

    design: Design
    model: PanelModel
    flat: tuple[Block, ...]
    pooled: tuple[Block, ...]
    unit_slope: Block | None = None
    moments: Moments | None = None
    gathered: PanelMoments | None = None
    shift: Array | None = None

    @property
    def every(self) -> tuple[Block, ...]:
        """Flat blocks, then pooled ones."""
        return (*self.flat, *self.pooled)

    @property
    def variables(self) -> tuple[Block, ...]:
        """Every block, the eliminated slopes of units among them: all that a posterior holds but unit effects."""
        return self.every if self.unit_slope is None else (*self.every, self.unit_slope)

    @property
    def x(self) -> Array:
        """Columns of every kept coefficient, laid out, shape (n, p)."""
        return np.column_stack([block.columns[:, list(block.kept)] for block in self.every])

    @property
    def positions(self) -> dict[str, slice]:
        """Where the kept coefficients of each block stand among all p, by the block's name."""
        ends = np.cumsum([0, *(len(block.kept) for block in self.every)])
        return {block.name: slice(int(a), int(b)) for block, a, b in zip(self.every, ends, ends[1:], strict=False)}

    @property
    def n_coefficients(self) -> int:
        """Number of kept coefficients, p."""
        return sum(len(block.kept) for block in self.every)

    @property
    def n_flat(self) -> int:
        """Number of kept coefficients without a scale."""
        return sum(len(block.kept) for block in self.flat)


def make_blocks(design: Design, model: PanelModel, gathered: PanelMoments | None = None) -> Blocks:
    """Lay out the columns of a model on a design.

    Parameters
    ----------
    design
        Rows and regressors, the exposure first.
    model
        A member of the family; `PanelModel.without_groups` where the design has no groups.
    gathered
        Moments of the panel, where the design is without rows.

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
    controls = design.terms[1:]
    d, x = design.x[:, :1], design.x[:, 1:]
    ones = np.ones((len(design.y), 1))
    groups, times = design.groups, time_labels(design)
    flat: list[Block] = []
    pooled: list[Block] = []

    def add(
        name: str,
        regressors: Array,
        scale: str | None = None,
        dims: Sequence[str] = (),
        labels: Sequence[tuple[str, ...]] = (),
        code: Codes | None = None,
    ) -> None:
        every = tuple(range(math.prod(map(len, labels))))
        block = Block(
            name=name, dims=tuple(dims), labels=tuple(labels), regressors=regressors, scale=scale, kept=every, code=code
        )
        (flat if scale is None else pooled).append(block)

    if model.group_slope == "fixed":
        add("group_total_slope", d, None, ["group"], [groups], design.group)
    else:
        add("slope", d)
    if controls:
        if model.group_control_slope == "fixed":
            add("group_total_control_slope", x, None, ["coef", "group"], [controls, groups], design.group)
        else:
            add("control_slope", x, None, ["coef"], [controls])
    if model.unit_effect != "fixed":
        add("intercept", ones)
    for effect, codes in (("unit", design.unit), ("time", design.time)):
        if getattr(model, f"{effect}_effect") == "correlated":
            names, means = _means(design, model, codes)
            add(f"mundlak_{effect}", means, None, [f"mundlak_{effect}_term"], [names])
    by_group = None if design.group is None else design.group * len(times) + design.time
    if model.group_time_effect == "fixed":
        add("group_time_effect", ones, None, ["group", "time"], [groups, times], by_group)
    else:
        scale = None if model.time_effect == "fixed" else "sigma_lambda"
        add("time_effect", ones, scale, ["time"], [times], design.time)
    if model.group_slope == "pooled":
        add("group_slope", d, "tau", ["group"], [groups], design.group)
    if model.group_control_slope == "pooled":
        for k, control in enumerate(controls):
            own = x[:, k : k + 1]
            add(f"group_control_slope[{control}]", own, f"phi[{control}]", ["group"], [groups], design.group)
    if model.group_time_effect == "pooled":
        add("group_time_effect", ones, "sigma_omega", ["group", "time"], [groups, times], by_group)
    if model.unit_slope == "pooled":
        add("unit_slope", d, "kappa", ["unit"], [design.units], design.unit)
    if gathered is not None:
        return _without_rows(design, model, flat, pooled, gathered)
    unit_slope = pooled.pop() if model.eliminates_unit_slopes else None
    if design.n_obs * sum(block.size for block in (*flat, *pooled)) > LAID_OUT_MAX and model.residual != "ar1":
        blocks = _of_many_rows(design, model, flat, pooled)
        if blocks is not None:
            return replace(blocks, unit_slope=unit_slope)
    return Blocks(
        design=design, model=model, flat=_identified(design, model, flat), pooled=tuple(pooled), unit_slope=unit_slope
    )


def blocks_for(design: Design, model: str | PanelModel) -> Blocks:
    """Lay out a model, or the one of that name, on a design as a user gives them: without groups, a common slope.

    Columns keep their names, but for a slash and for the name of a dimension, which get another sign. Errors are those
    of `make_blocks` and `load_panel_model`.
    """
    chosen = load_panel_model(model) if isinstance(model, str) else model
    design = replace(design, outcome=_stored(design.outcome), terms=tuple(map(_stored, design.terms)))
    if len(design.groups) < 2:
        chosen, design = chosen.without_groups(), replace(design, group=None, groups=())
    return make_blocks(design, chosen)


def blocks_of_moments(gathered: PanelMoments, model: str | PanelModel) -> Blocks:
    """Lay out a model on moments as `blocks_for` does on a design; errors are those of both, and of `model_moments`."""
    chosen = load_panel_model(model) if isinstance(model, str) else model
    gathered = replace(gathered, outcome=_stored(gathered.outcome), terms=tuple(map(_stored, gathered.terms)))
    groups = gathered.groups if len(gathered.groups) > 1 else ()
    chosen = chosen if groups else chosen.without_groups()
    none = np.zeros(0, dtype=np.intp)
    counts = Counts(gathered.n_obs, int(gathered.group_units.sum()), gathered.group_obs, gathered.group_units)
    design = Design(
        outcome=gathered.outcome,
        terms=gathered.terms,
        y=np.zeros(0),
        x=np.zeros((0, len(gathered.terms))),
        unit=none,
        time=none,
        group=none if groups else None,
        units=(),
        times=gathered.times,
        groups=groups,
        effects=TwoWay(none, none),
        origin=gathered.origin,
        held_spread=gathered.spread,
        counted=counts,
    )
    return make_blocks(design, chosen, gathered)


def _stored(name: str) -> str:
    """Return a column's name as a DataTree can hold it: a slash parts groups there, and dimensions have names too."""
    return f"{name}_" if name in DIMENSIONS else name.replace("/", "\N{DIVISION SLASH}")


def time_labels(design: Design) -> tuple[str, ...]:
    """Return the periods as text, all different."""
    return tuple(str(int(time)) if float(time).is_integer() else repr(float(time)) for time in design.times)


def _means(design: Design, model: PanelModel, codes: Codes) -> tuple[tuple[str, ...], Array]:
    """Return the means of every regressor, as it enters, over units or times, row by row, with their names."""
    names: list[str] = []
    columns = []
    for k, term in enumerate(design.terms):
        own = design.x[:, k : k + 1]
        if (model.group_slope if k == 0 else model.group_control_slope) == "off" or design.group is None:
            names.append(term)
        else:
            names.extend(f"{term}[{group}]" for group in design.groups)
            own = own * (design.group[:, None] == np.arange(len(design.groups)))
        columns.append(means_by(codes, own)[codes])
    return tuple(names), np.column_stack(columns)


def _identified(design: Design, model: PanelModel, flat: Sequence[Block]) -> tuple[Block, ...]:
    """Leave out what unit effects, or the flat columns before, already span: reference periods, repeated means."""
    order = _order(flat)
    columns = np.column_stack([flat[i].columns for i in order])
    left = columns
    if model.unit_effect == "fixed":
        left = columns - means_by(design.unit, columns)[design.unit]
    return _keeping(flat, order, identified(columns, left, about_mean=False))


def _order(flat: Sequence[Block]) -> list[int]:
    """Return the order in which columns are looked at: of a collinear set the last are left out."""
    return sorted(range(len(flat)), key=lambda i: _PRIORITY.get(flat[i].name, 1))


def _keeping(flat: Sequence[Block], order: Sequence[int], identified: Sequence[int]) -> tuple[Block, ...]:
    """Return blocks with the identified of their coefficients, whose positions run through the blocks in order."""
    kept = set(identified)
    found: dict[int, tuple[int, ...]] = {}
    at = 0
    for i in order:
        width = flat[i].size
        found[i] = tuple(k for k in range(width) if at + k in kept)
        at += width
        if "slope" in flat[i].name and len(found[i]) < width:
            lost = next(k for k in range(width) if k not in found[i])
            raise InputError(
                f"the slope {names_of(flat[i])[lost]} is not identified: its column does not vary beyond the "
                "effects and the other regressors"
            )
    return tuple(replace(block, kept=found[i]) for i, block in enumerate(flat) if found[i])


def _of_many_rows(design: Design, model: PanelModel, flat: Sequence[Block], pooled: Sequence[Block]) -> Blocks | None:
    """Return blocks with their moments, or None where the moments cannot tell what is identified."""
    every = (*flat, *pooled)
    names = ("y", *(name for block in every for name in names_of(block)))
    parts = [Coded(design.y[:, None]), *(block.coded for block in every)]
    strata = (design.group, design.groups) if model.residual == "by_group" and design.group is not None else ()
    moments = moments_of_coded(parts, names, design.unit, *strata)
    return _with_moments(design, model, flat, pooled, moments)


def _without_rows(
    design: Design, model: PanelModel, flat: Sequence[Block], pooled: Sequence[Block], gathered: PanelMoments
) -> Blocks:
    """Return blocks with the moments that follow from a panel's; errors as `model_moments`."""
    every = (*flat, *pooled)
    names = ("y", *(name for block in every for name in names_of(block)))
    moments, shift = model_moments(gathered, model, every, names)
    blocks = _with_moments(design, model, flat, pooled, moments, precise=model.unit_effect == "fixed")
    if blocks is None:
        raise InputError(
            f"some regressors of the model '{model.name}' are so nearly collinear that moments cannot tell what is "
            "identified; fit it to the rows"
        )
    at = dict(zip(names, shift, strict=True))
    return replace(blocks, gathered=gathered, shift=np.array([at[name] for name in coefficient_names(blocks)]))


def _with_moments(
    design: Design,
    model: PanelModel,
    flat: Sequence[Block],
    pooled: Sequence[Block],
    moments: Moments,
    *,
    precise: bool = False,
) -> Blocks | None:
    """Return blocks with the moments of what is identified, or None where these cannot tell what that is.

    Moments that are precise lost no digits to means of units, and are measured by themselves.
    """
    every = (*flat, *pooled)
    inner, total = moments.inner(demean=model.unit_effect == "fixed"), moments.inner(demean=False)
    start = np.cumsum([1, *(block.size for block in every)])
    order = _order(flat)
    at = np.concatenate([np.arange(start[i], start[i + 1]) for i in order])
    counts = np.concatenate([np.full(flat[i].size, flat[i].name in COUNTED) for i in order])
    squares = np.diag(total)[at]
    if precise:
        squares, counts = scale_of(np.diag(inner)[at], counts)
    found = identified_by_moments(inner[np.ix_(at, at)], squares, counts)
    if found is None:
        return None
    own = _keeping(flat, order, found)
    widths = {block.name: set(block.kept) for block in (*own, *pooled)}
    kept = [0, *(start[i] + k for i, b in enumerate(every) for k in sorted(widths.get(b.name, ())))]
    return Blocks(design=design, model=model, flat=own, pooled=tuple(pooled), moments=moments.keeping(kept))


COUNTED = ("intercept", "time_effect", "group_time_effect")
"""Blocks whose cross-products are counts of rows, or shares of counts."""

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
        Resolved; see `cbec_bayes.bayes.model.densities.resolve`.
    """
    about = SLOPES.get(block.name)
    if about is None or about == "slope":
        return (FLAT if about is None else priors["slope"],) * len(labels_of(block))
    return tuple(priors[f"{about}[{labels[0]}]"] for labels in product(*block.labels))
