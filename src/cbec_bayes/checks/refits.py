"""Refits that checks are made of: a design, a model, and the slopes that come out, or the reason why none do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.bayes.model.blocks import blocks_for
from cbec_bayes.bayes.model.family import PanelModel
from cbec_bayes.bayes.refit import REWEIGHTED, Nearby, RefitScales, refit_scales
from cbec_bayes.bayes.sampling.gates import PASSED
from cbec_bayes.checks.severity import Slope
from cbec_bayes.estimands.groups import GroupSlopes, slope_quantities
from cbec_bayes.estimands.loadings import slope_loadings, units_per_group
from cbec_bayes.estimands.mixed_slopes import log_scales, min_ess, mixed_slopes
from cbec_bayes.estimands.summary import Quantity
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import GateError, InputError
from cbec_bayes.runtime.labels import GROUP_ALL, GROUP_AVERAGE, GROUP_NEW

DRAWS = 2_000
"""Draws of the scales of a refit: slopes are known exactly given the scales.

Its pilot samples are those of every fit. With half as many the proposal for the fourteen scales of `robust` was so poor
without one province that a quarter of a million proposals did not do.
"""


NEAR = 2_000
"""Draws of a fit, about, that are weighted for a similar one."""


@dataclass(frozen=True, slots=True)
class Refitted:
    """A piece of work: a model that is fitted to a design.

    Attributes
    ----------
    design, model
        Rows and model.
    seed
        Seed of everything random.
    near
        Draws of a similar fit, which are weighted where that does; see `cbec_bayes.bayes.refit.refit_scales`.
    average
        Whether the average over units is asked for beside the slopes of groups.
    """

    design: Design
    model: PanelModel
    seed: int
    near: Nearby | None = None
    average: bool = True


@dataclass(frozen=True, slots=True)
class RefitSlopes:
    """What a refit says of the slopes.

    Attributes
    ----------
    slopes
        Mean, sd, ci_low, ci_high and p_positive of each slope; none where the refit is not to be used.
    gate
        `PASSED`, or the reason why the refit is not to be used.
    fitted
        Whether the model can be fitted to these rows at all: a gate may be missed all the same.
    khat
        Pareto shape of the weights, where draws of a similar fit were weighted; NaN where the model was sampled.
    """

    slopes: Mapping[str, list[float]]
    gate: str = PASSED
    fitted: bool = True
    khat: float = math.nan

    @property
    def shown(self) -> dict[str, Slope]:
        """The slopes as they are shown, by the name of their row."""
        return {group: Slope.of_numbers(numbers) for group, numbers in self.slopes.items()}


def refit_slopes(piece: Refitted) -> RefitSlopes:
    """Fit a model and summarise its slopes; a missed gate is the reason why there are none.

    Raises
    ------
    InputError
        As `cbec_bayes.bayes.fit.fit`.
    """
    try:
        scales = _scales(piece)
    except GateError as error:
        return RefitSlopes({}, str(error))
    slopes = mixed_slopes(scales.blocks, scales.collapsed, scales.points, scales.ess, average=piece.average)
    found = summarised(slopes.slopes, piece.model, piece.design)
    khat = scales.diagnostics.khat if scales.is_reweighted else None
    return found if khat is None else replace(found, khat=khat)


def near_draws(found: PanelFit, *, may_stand_in: bool = True) -> Nearby | None:
    """Return the draws of a fit for refits that are similar; None where it was not collapsed, or has no scales.

    `may_stand_in` is that of `cbec_bayes.bayes.refit.Nearby`.
    """
    if found.collapsed is None or not found.collapsed.names:
        return None
    near = Nearby.of(found.collapsed, log_scales(found, at_most=NEAR), min_ess(found))
    return replace(near, may_stand_in=may_stand_in)


def weighted_text(refits: Sequence[RefitSlopes]) -> str:
    """Say how many refits are draws of the fit by their weights; blank where none is."""
    count = sum(not math.isnan(one.khat) for one in refits)
    return f" {count} of them reuse{'s' if count == 1 else ''} the draws of the fit with new weights." if count else ""


def _scales(piece: Refitted) -> RefitScales:
    """Draw the scales of a model on a design, and require the gates."""
    # One table has refits that are weighted and refits that are sampled: both have as many draws.
    draws = REWEIGHTED if piece.near is not None and piece.near.may_stand_in else DRAWS
    found = refit_scales(blocks_for(piece.design, piece.model), draws=draws, seed=piece.seed, near=piece.near)
    found.diagnostics.require()
    return found


def refit_slopes_if_identified(piece: Refitted) -> RefitSlopes:
    """Do what `refit_slopes` does; where the rows do not identify a slope, that is the reason why there are none.

    It is for rows of a panel to which the model has been fitted: what is wrong is then in what was left out.
    """
    try:
        return refit_slopes(piece)
    except InputError as error:
        return RefitSlopes({}, str(error), fitted=False)


def regression_sds(piece: Refitted) -> dict[str, float]:
    """Fit a model and return the posterior sds of what a regression estimates, by term; none where it cannot be had.

    They are those of the average slope of units like those that are there, without the deviations of these units
    themselves, and of the slopes of controls that rows have in common.
    """
    try:
        scales = _scales(piece)
    except (GateError, InputError):
        return {}
    blocks, collapsed = scales.blocks, scales.collapsed
    exposure, controls = piece.design.terms[0], piece.design.controls
    slopes = slope_loadings(blocks, collapsed)
    sizes = units_per_group(piece.design)
    loadings = {exposure: sizes / sizes.sum() @ slopes[: len(sizes)] if piece.design.groups else slopes[-2]}
    at = blocks.positions.get("control_slope")
    if at is not None:
        own = next(block for block in blocks.every if block.name == "control_slope").kept
        loadings |= dict.fromkeys(controls, np.zeros(collapsed.n_conditional))
        loadings |= {controls[k]: one for k, one in zip(own, np.eye(collapsed.n_conditional)[at], strict=True)}
    mean, variance = collapsed.linear(scales.points, np.array(list(loadings.values())))
    return dict(zip(loadings, np.sqrt(variance.mean(axis=0) + mean.var(axis=0)).tolist(), strict=True))


def over_units(slopes: GroupSlopes, design: Design) -> Array:
    """Return the mean of the groups' slopes, weighted by their units, shape (S,); the common one without groups."""
    sizes = units_per_group(design)
    return slopes.groups @ (sizes / sizes.sum()) if len(slopes.labels) else slopes.common


def draws_of(slopes: GroupSlopes) -> dict[str, Array]:
    """Return the draws of every slope that is shown, by the name of its row.

    They are those of the groups, the average over units where these may differ, the common one and a new group's.
    """
    draws = {group: slopes.groups[:, r] for r, group in enumerate(slopes.labels)}
    if len(slopes.labels) > 1 or not np.array_equal(slopes.average, slopes.common):
        draws[GROUP_AVERAGE] = slopes.average
    return draws | {GROUP_ALL: slopes.common} | ({} if slopes.new is None else {GROUP_NEW: slopes.new})


def fitted_slopes(found: PanelFit) -> RefitSlopes:
    """Return what a fit says of the slopes that are shown, as a refit would."""
    return summarised(slope_quantities(found), found.model, found.design)


def summarised(slopes: Mapping[str, Quantity], model: PanelModel, design: Design) -> RefitSlopes:
    """Summarise the slopes that are shown: the average over units where it may differ from the common one."""
    by_group = len(design.groups) > 1 or (len(design.groups) == 1 and model.choice("group_slope") != "off")
    differs = by_group or model.choice("unit_slope") == "pooled"
    shown = [*design.groups, *([GROUP_AVERAGE] if differs else []), GROUP_ALL, GROUP_NEW]
    return RefitSlopes({name: list(slopes[name].summary().numbers) for name in shown if name in slopes})


def is_grouped(found: PanelFit) -> bool:
    """Whether the groups of a fit differ in their slopes."""
    return len(found.design.groups) > 1 and found.model.choice("group_slope") != "off"
