"""A fit that is one of many: draws as plain arrays, and whether they passed their gates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cbec_bayes.bayes.fit import draw_scales
from cbec_bayes.bayes.likelihood.collapsed import Collapsed
from cbec_bayes.bayes.many_units import collapsed_of
from cbec_bayes.bayes.model.blocks import Blocks
from cbec_bayes.bayes.posterior import posterior_draws
from cbec_bayes.bayes.sampling.gates import RefitDiagnostics, chain_diagnostics
from cbec_bayes.bayes.sampling.importance import PILOT, Draws
from cbec_bayes.panel.within import Array


@dataclass(frozen=True, slots=True)
class Refit:
    """A posterior of the collapsed engine as plain arrays: what many fits need, without a tree.

    Attributes
    ----------
    blocks, collapsed
        Model and design; the density.
    points
        Draws of the logarithms of the scales, shape (S, k).
    draws
        Of everything else, by variable; see `cbec_bayes.bayes.posterior.posterior_draws`.
    diagnostics
        How well the scales were sampled. Its gates are not yet enforced: call ``refit.diagnostics.require()``.
    """

    blocks: Blocks
    collapsed: Collapsed
    points: Array
    draws: Mapping[str, Array]
    diagnostics: RefitDiagnostics


@dataclass(frozen=True, slots=True, kw_only=True)
class RefitScales:
    """The scales of a refit alone: given these everything else is known in closed form.

    Attributes
    ----------
    blocks, collapsed, points, diagnostics
        As in `Refit`.
    ess
        How many independent draws the points are worth.
    """

    blocks: Blocks
    collapsed: Collapsed
    points: Array
    diagnostics: RefitDiagnostics
    ess: float


def refit_scales(blocks: Blocks, *, draws: int, seed: int, pilot: int = PILOT) -> RefitScales:
    """Draw the scales by the collapsed engine; errors as `cbec_bayes.bayes.fit.fit`."""
    collapsed = collapsed_of(blocks)
    drawn = draw_scales(collapsed, draws=draws, chains=1, seed=seed, pilot=pilot)
    return RefitScales(
        blocks=blocks,
        collapsed=collapsed,
        points=drawn.points[0],
        diagnostics=diagnose(drawn),
        ess=float(draws) if np.isnan(drawn.ess) else min(drawn.ess, float(draws)),
    )


def refit(blocks: Blocks, *, draws: int, seed: int, pilot: int = PILOT) -> Refit:
    """Fit by the collapsed engine; errors as `cbec_bayes.bayes.fit.fit`."""
    found = refit_scales(blocks, draws=draws, seed=seed, pilot=pilot)
    everything = posterior_draws(blocks, found.collapsed, found.points, seed)
    return Refit(blocks, found.collapsed, found.points, everything, found.diagnostics)


def diagnose(drawn: Draws) -> RefitDiagnostics:
    """Measure draws of the scales, by their weights or as chains."""
    if drawn.method != "importance":
        return chain_diagnostics(drawn.points, divergences=drawn.divergences, ebfmi=drawn.ebfmi)
    chains, draws, _ = drawn.points.shape
    return RefitDiagnostics(draws=chains * draws, khat=drawn.khat, ess=drawn.ess)
