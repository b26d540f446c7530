"""The location parameters of a model on a design: labelled columns, each flat, with a normal prior, or pooled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import numpy as np

from cbec_bayes.bayes.model.block import Block, labels_of, names_of, time_labels
from cbec_bayes.bayes.model.carried import spans_group_times
from cbec_bayes.bayes.model.family import PanelModel, load_panel_model
from cbec_bayes.bayes.model.from_moments import model_moments, require_moments_enough
from cbec_bayes.bayes.model.identification import identified_by_rows, identified_in_moments
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.model.terms import TERMS, term_of
from cbec_bayes.bayes.model.terms.covariate_slope import COVARIATE_SLOPE
from cbec_bayes.bayes.model.terms.exposure_slope import EXPOSURE_SLOPE, TAU_BESIDE
from cbec_bayes.bayes.moments.by_unit import Moments
from cbec_bayes.bayes.moments.coded import Coded, moments_of_coded
from cbec_bayes.bayes.moments.less_flat import moments_less_flat
from cbec_bayes.bayes.moments.panel_moments import PanelMoments
from cbec_bayes.bayes.moments.unit_directions import Direction, Directions, directions_of
from cbec_bayes.panel.design import Counts, Design
from cbec_bayes.panel.within import Array, Codes, PeriodEffects, TwoWay, means_by
from cbec_bayes.runtime.errors import InputError

FLAT = Prior("flat", {})

DIMENSIONS = ("chain", "draw", "obs", "unit", "time", "group", "coef", "covariate", "exposure_beside")
"""Dimensions of every posterior."""

LAID_OUT_MAX = 2**23
"""Numbers that the columns of a model may take; beyond, their moments are taken from regressors and codes."""

MANY_UNITS = 2_000
"""Units from which on moments are taken of a member whose errors hang together or are of units, whatever the rows.

What tells of the units is then tabulated; see `cbec_bayes.bayes.many_units`.
"""

type Mechanism = Literal["independent", "one slope", "by unit"]
"""Ways of integrating out what units have of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """All location parameters of a model but the unit effects, which every engine treats in its own way.

    Attributes
    ----------
    design, model
        What they are made from.
    flat, pooled
        Blocks without and with a scale.
    eliminated
        Coefficients of units that are eliminated as unit effects are: slopes, one regressor for each.
    moments
        Moments of the outcome and every kept coefficient's column, where the columns would be too large to lay out and
        the moments alone tell which coefficients are identified; None otherwise.
    gathered
        Moments of the panel that those are made of, where there are no rows.
    shift
        What the columns of those moments are less, shape (p,), and the intercept makes up for; None for none.
    """

    design: Design
    model: PanelModel
    flat: tuple[Block, ...]
    pooled: tuple[Block, ...]
    eliminated: tuple[Block, ...] = ()
    moments: Moments | None = None
    gathered: PanelMoments | None = None
    shift: Array | None = None

    @property
    def every(self) -> tuple[Block, ...]:
        """Flat blocks, then pooled ones."""
        return (*self.flat, *self.pooled)

    @property
    def variables(self) -> tuple[Block, ...]:
        """Every block, the eliminated ones among them: all that a posterior holds but unit effects."""
        return (*self.every, *self.eliminated)

    @property
    def mechanism(self) -> Mechanism:
        """In which way what units have of their own is integrated out; there is a class for each in `likelihood`."""
        if self.model.residuals.correlated:
            return "by unit"
        flat, alike = self.unit_scale is None, self.design.weight is None
        if not self.eliminated:
            return "independent" if flat or alike else "by unit"
        single = [block.scale is None for block in self.eliminated] == [False]
        return "one slope" if flat and alike and single else "by unit"

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Levels of units, and what they multiply their eliminated coefficients by, times the roots of weights."""
        return tuple(replace(one, regressor=self.design.scaled(one.regressor)) for one in self._directions)

    @property
    def _directions(self) -> tuple[Direction, ...]:
        level = Direction("unit_effect", self.unit_scale, np.ones(self.design.n_obs))
        return (level, *(Direction(block.name, block.scale, block.regressors[:, 0]) for block in self.eliminated))

    @property
    def unit_scale(self) -> str | None:
        """Symbol of the scale of unit effects; None where they are flat."""
        return None if self.model.choice("unit_effect") == "fixed" else "sigma_mu"

    @property
    def levels_alone_are_flat(self) -> bool:
        """Whether levels of units have flat coefficients, and nothing else of units has."""
        return self.unit_scale is None and not self.has_flat_beside_levels

    @property
    def has_flat_beside_levels(self) -> bool:
        """Whether coefficients of units beside levels are flat; levels may have a scale."""
        return any(block.scale is None for block in self.eliminated)

    @property
    def has_flat_of_units(self) -> bool:
        """Whether anything of units is flat, so that of columns only what this leaves counts."""
        return self.unit_scale is None or self.has_flat_beside_levels

    def flat_of_units(self, *, free_levels: bool = False, weighted: bool = True) -> Directions:
        """Return the directions with flat coefficients; where asked, levels that have a scale after these as well.

        They are times the roots of weights, unless they are asked for as they enter the model.
        """
        every = self.directions if weighted else self._directions
        found = [one for one in every if one.scale is None]
        if free_levels and self.unit_scale is not None:
            found.append(replace(every[0], scale=None))
        return directions_of(self.design.unit, found)

    def within(self, columns: Array) -> Array:
        """Return what flat coefficients of units leave of columns, shape (n, q), times the roots of weights."""
        if not self.levels_alone_are_flat:
            return self.flat_of_units().reduced(self.design.scaled(columns))[0]
        unit = self.design.unit
        return self.design.scaled(columns - means_by(unit, columns, self.design.weight)[unit])

    @property
    def x(self) -> Array:
        """Columns of every kept coefficient, laid out, shape (n, p)."""
        return np.column_stack([block.columns[:, list(block.kept)] for block in self.every])

    @property
    def scaled_rows(self) -> Array:
        """Outcome and columns times the roots of weights, shape (n, 1 + p): rows whose errors have equal variances."""
        return self.design.scaled(np.column_stack([self.design.y, self.x]))

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
    def characteristics(self) -> Array | None:
        """What the slopes of groups are regressed on, standardised, shape (R, M); None where they are not."""
        own = next((block for block in self.flat if block.name == COVARIATE_SLOPE), None)
        if own is None or self.design.characteristics is None:
            return None
        return self.design.characteristics.standardised(self.design.groups, own.labels[0])

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
        raise InputError(
            "the residual scale sigma cannot be fixed at 0, because no data could then differ from the fit"
        )
    if gathered is not None:
        require_moments_enough(gathered, model)
    regressed = design.characteristics is not None
    model = model.with_prior_of(COVARIATE_SLOPE) if regressed else model.without_prior_of(COVARIATE_SLOPE)
    if len(design.exposures) > 1:
        model = model.with_prior_of(EXPOSURE_SLOPE, otherwise=model.priors["slope"])
        model = model.with_prior_of(TAU_BESIDE, otherwise=model.priors.get("tau"))
    choices = model.every_choice
    every = [(key, block) for key, term in TERMS.items() for block in term.blocks(design, choices)]
    own = tuple(block for key, block in every if key in model.eliminated)
    flat = tuple(block for key, block in every if block.scale is None and key not in model.eliminated)
    pooled = tuple(block for key, block in every if block.scale is not None and key not in model.eliminated)
    if gathered is not None:
        return _without_rows(design, model, flat, pooled, gathered)
    laid_out = _told(Blocks(design=design, model=model, flat=flat, pooled=pooled, eliminated=own))
    many = design.n_obs * sum(block.size for block in laid_out.every) > LAID_OUT_MAX
    if laid_out.mechanism == "by unit":
        many = len(design.units) >= MANY_UNITS
    if many:
        blocks = _of_many_rows(laid_out)
        if blocks is not None:
            return blocks
    return replace(laid_out, flat=identified_by_rows(flat, laid_out.within, design))


def _told(blocks: Blocks) -> Blocks:
    """Return blocks whose flat trends of units are without those that the unit's rows do not tell."""
    if all(block.scale is not None for block in blocks.eliminated):
        return blocks
    found = directions_of(blocks.design.unit, blocks.directions)
    kept = dict(zip(found.names, found.is_there, strict=True))
    own = (replace(block, kept=tuple(map(int, np.flatnonzero(kept[block.name])))) for block in blocks.eliminated)
    return replace(blocks, eliminated=tuple(own))


def _of_many_rows(blocks: Blocks) -> Blocks | None:
    """Return blocks with their moments, or None where the moments cannot tell what is identified."""
    design, model = blocks.design, blocks.model
    names = ("y", *(name for block in blocks.every for name in names_of(block)))
    parts = [Coded(design.y[:, None]), *(block.coded for block in blocks.every)]
    if blocks.has_flat_beside_levels:
        flat = [one for one in blocks.directions if one.scale is None]
        group = _groups_of_units(design)
        moments = moments_less_flat(parts, names, unit=design.unit, group=group, flat=flat, root=design.root)
    else:
        strata = (design.group, design.groups) if model.residuals.by_group and design.group is not None else ()
        moments = moments_of_coded(parts, names, design.unit, *strata, weight=design.weight)
    demean = blocks.has_flat_of_units
    found = identified_in_moments(moments, blocks.flat, blocks.pooled, exposure=design.terms[0], demean=demean)
    return None if found is None else replace(blocks, flat=found[0], moments=found[1])


def _groups_of_units(design: Design) -> Codes:
    """Return the group of every row, shape (n,); zeros without groups, or where a unit is of several."""
    if design.group is None or (design.group_of_unit[design.unit] != design.group).any():
        return np.zeros(design.n_obs, dtype=np.intp)
    return design.group


def _without_rows(
    design: Design, model: PanelModel, flat: Sequence[Block], pooled: tuple[Block, ...], gathered: PanelMoments
) -> Blocks:
    """Return blocks with the moments that follow from a panel's."""
    every = (*flat, *pooled)
    names = ("y", *(name for block in every for name in names_of(block)))
    moments, shift = model_moments(gathered, model, every, names)
    demean = model.choice("unit_effect") == "fixed"
    found = identified_in_moments(moments, flat, pooled, exposure=design.terms[0], demean=demean, precise=demean)
    if found is None:
        raise InputError(
            f"some regressors of the model '{model.name}' are so nearly collinear that moments cannot tell what is "
            "identified; fit it to the rows"
        )
    blocks = Blocks(design=design, model=model, flat=found[0], pooled=pooled, moments=found[1], gathered=gathered)
    at = dict(zip(names, shift, strict=True))
    return replace(blocks, shift=np.array([at[name] for name in coefficient_names(blocks)]))


def blocks_for(design: Design, model: str | PanelModel) -> Blocks:
    """Lay out a model, or the one of that name, on a design as a user gives them: without groups, a common slope.

    Columns keep their names, but for a slash and for the name of a dimension, which get another sign. Errors are those
    of `make_blocks` and `load_panel_model`.
    """
    chosen = load_panel_model(model) if isinstance(model, str) else model
    design = replace(design, outcome=stored(design.outcome), terms=tuple(map(stored, design.terms)))
    if len(design.groups) < 2:
        chosen, design = chosen.without_groups(), replace(design, group=None, groups=())
        if design.period_effects is PeriodEffects.BY_GROUP:
            design = replace(design, period_effects=PeriodEffects.COMMON)
    return make_blocks(design, with_effects(chosen, design))


def with_effects(model: PanelModel, design: Design) -> PanelModel:
    """Return what a member is where a regression is asked for with other effects than those of units and periods.

    These are flat, and so are then those of periods; what they span is left out.
    """
    found = model.with_period_effects(design.period_effects)
    if not design.absorbed:
        return found
    found = found.reduced(time_effect="fixed")
    return found.reduced(group_time_effect="off") if spans_group_times(found, design) else found


def blocks_of_moments(gathered: PanelMoments, model: str | PanelModel) -> Blocks:
    """Lay out a model on moments as `blocks_for` does on a design, with its errors; moments may not be enough."""
    chosen = load_panel_model(model) if isinstance(model, str) else model
    gathered = replace(gathered, outcome=stored(gathered.outcome), terms=tuple(map(stored, gathered.terms)))
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
        frequency=gathered.frequency,
        counted=counts,
    )
    return make_blocks(design, chosen, gathered)


def stored(name: str) -> str:
    """Return a column's name as a DataTree can hold it: a slash parts groups there, and dimensions have names too."""
    return f"{name}_" if name in DIMENSIONS else name.replace("/", "\N{DIVISION SLASH}")


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
    term = term_of(block.name)
    if term is None or term.parameter is None or term.parameter.is_scale:
        return (FLAT,) * block.size
    name = term.parameter.name
    if term.parameter.unit not in ("control", "exposure"):
        return (priors[name],) * block.size
    return tuple(priors[f"{name}[{labels[0]}]"] for labels in product(*block.labels))


__all__ = [
    "Block",
    "Blocks",
    "blocks_for",
    "blocks_of_moments",
    "coefficient_names",
    "labels_of",
    "location_priors",
    "make_blocks",
    "names_of",
    "stored",
    "time_labels",
]
