"""Refits that checks are made of: a design, a model, and the slopes that come out."""

from __future__ import annotations

from dataclasses import dataclass

from cbec_bayes.bayes.model.blocks import blocks_for
from cbec_bayes.bayes.model.family import PanelModel
from cbec_bayes.bayes.refit import refit
from cbec_bayes.estimands.groups import GroupSlopes, refitted_slopes
from cbec_bayes.estimands.summary import summarise_draws
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.labels import GROUP_ALL, GROUP_NEW

DRAWS = 4_000
"""Draws of a refit."""


@dataclass(frozen=True, slots=True)
class Refitted:
    """A piece of work: a model that is fitted to a design."""

    design: Design
    model: PanelModel
    seed: int


def summaries(piece: Refitted) -> dict[str, list[float]]:
    """Return mean, sd, ci_low, ci_high and p_positive of each slope; errors as `cbec_bayes.bayes.fit.fit`."""
    slopes = refitted_slopes(refit(blocks_for(piece.design, piece.model), draws=DRAWS, seed=piece.seed))
    return {group: list(summarise_draws(values).numbers) for group, values in draws_of(slopes).items()}


def draws_of(slopes: GroupSlopes) -> dict[str, Array]:
    """Return the draws of each group's slope, the common one and a new group's, by the name of its row."""
    draws = {group: slopes.groups[:, r] for r, group in enumerate(slopes.labels)}
    return draws | {GROUP_ALL: slopes.common} | ({} if slopes.new is None else {GROUP_NEW: slopes.new})
