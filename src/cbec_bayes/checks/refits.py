"""Refits that checks are made of: a design, a model, and the slopes that come out, or the reason why none do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cbec_bayes.bayes.model.blocks import blocks_for
from cbec_bayes.bayes.model.family import PanelModel
from cbec_bayes.bayes.refit import refit
from cbec_bayes.bayes.sampling.gates import PASSED
from cbec_bayes.estimands.groups import GroupSlopes, refitted_slopes
from cbec_bayes.estimands.summary import summarise_draws
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import GateError, InputError
from cbec_bayes.runtime.labels import GROUP_ALL, GROUP_NEW

DRAWS = 4_000
"""Draws of a refit."""


@dataclass(frozen=True, slots=True)
class Refitted:
    """A piece of work: a model that is fitted to a design."""

    design: Design
    model: PanelModel
    seed: int


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
    """

    slopes: Mapping[str, list[float]]
    gate: str = PASSED
    fitted: bool = True


def refit_slopes(piece: Refitted) -> RefitSlopes:
    """Fit a model and summarise its slopes; a missed gate is the reason why there are none.

    Raises
    ------
    InputError
        As `cbec_bayes.bayes.fit.fit`.
    """
    try:
        found = refit(blocks_for(piece.design, piece.model), draws=DRAWS, seed=piece.seed)
        found.diagnostics.require()
    except GateError as error:
        return RefitSlopes({}, str(error))
    draws = draws_of(refitted_slopes(found))
    return RefitSlopes({group: list(summarise_draws(values).numbers) for group, values in draws.items()})


def refit_slopes_if_identified(piece: Refitted) -> RefitSlopes:
    """Do what `refit_slopes` does; where the rows do not identify a slope, that is the reason why there are none.

    It is for rows of a panel to which the model has been fitted: what is wrong is then in what was left out.
    """
    try:
        return refit_slopes(piece)
    except InputError as error:
        return RefitSlopes({}, str(error), fitted=False)


def draws_of(slopes: GroupSlopes) -> dict[str, Array]:
    """Return the draws of each group's slope, the common one and a new group's, by the name of its row."""
    draws = {group: slopes.groups[:, r] for r, group in enumerate(slopes.labels)}
    return draws | {GROUP_ALL: slopes.common} | ({} if slopes.new is None else {GROUP_NEW: slopes.new})
