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
from cbec_bayes.bayes.sampling.gates import ESS_MIN, KHAT_MAX, RefitDiagnostics, chain_diagnostics
from cbec_bayes.bayes.sampling.importance import PILOT, Draws
from cbec_bayes.bayes.sampling.weights import resampled, smoothed_weights
from cbec_bayes.panel.within import Array

REWEIGHTED = 1_000
"""Draws that are taken of a similar fit's: more say little more, for all but the scales is known given these."""


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
        Draws of everything else, by variable; see `cbec_bayes.bayes.posterior.posterior_draws`.
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
        Effective size of the points.
    is_reweighted
        Whether they are draws of a similar fit by their weights, and nothing was sampled.
    """

    blocks: Blocks
    collapsed: Collapsed
    points: Array
    diagnostics: RefitDiagnostics
    ess: float
    is_reweighted: bool = False


@dataclass(frozen=True, slots=True)
class Nearby:
    """Draws of the scales of a fit, from which those of another one follow by weights where the two are similar.

    Attributes
    ----------
    names
        Names of the scales.
    points, densities
        Draws, shape (S, k), and the log density of each, (S,).
    ess
        Effective size of the draws.
    may_stand_in
        Whether the draws, weighted, may be those of the other fit. Not where this has longer tails, of which too few
        draws tell the size: they then show where to sample.
    """

    names: tuple[str, ...]
    points: Array
    densities: Array
    ess: float
    may_stand_in: bool = True

    @classmethod
    def of(cls, collapsed: Collapsed, points: Array, ess: float) -> Nearby:
        """Return the neighbour that draws of a density make, given their effective size."""
        return cls(collapsed.names, points, collapsed.log_posterior(points), min(ess, float(len(points))))

    def among(self, names: tuple[str, ...]) -> Array | None:
        """Return the draws of some of the scales, shape (S, j); None where some of these were not drawn."""
        if not set(names) <= set(self.names):
            return None
        return self.points[:, [self.names.index(name) for name in names]]


def refit_scales(
    blocks: Blocks, *, draws: int, seed: int, pilot: int = PILOT, near: Nearby | None = None
) -> RefitScales:
    """Draw the scales by the collapsed engine; errors as `cbec_bayes.bayes.fit.fit`.

    Parameters
    ----------
    blocks
        Model and design.
    draws, seed, pilot
        As in `cbec_bayes.bayes.sampling.importance.sample_density`.
    near
        Draws of a similar fit. Where it has the same scales and its draws, weighted by the ratio of the densities, have
        a Pareto shape that is good enough and an effective size of `ESS_MIN`, they are taken, and nothing is sampled.
        The density of the scales has all else integrated out, so that this is exact up to Monte Carlo error. Otherwise
        the first proposal is fitted to them.
    """
    return scales_of(blocks, collapsed_of(blocks), draws=draws, seed=seed, pilot=pilot, near=near)


def scales_of(
    blocks: Blocks, collapsed: Collapsed, *, draws: int, seed: int, pilot: int = PILOT, near: Nearby | None = None
) -> RefitScales:
    """Do what `refit_scales` does, with a density that was made of the blocks before."""
    if near is not None and near.may_stand_in and near.names == collapsed.names:
        found = _reweighted(blocks, collapsed, near, draws=min(draws, REWEIGHTED), seed=seed)
        if found is not None:
            return found
    drawn = draw_scales(
        collapsed,
        draws=draws,
        chains=1,
        seed=seed,
        pilot=pilot,
        near=None if near is None else near.among(collapsed.names),
    )
    return RefitScales(
        blocks=blocks,
        collapsed=collapsed,
        points=drawn.points[0],
        diagnostics=diagnose(drawn),
        ess=float(draws) if np.isnan(drawn.ess) else min(drawn.ess, float(draws)),
    )


def _reweighted(blocks: Blocks, collapsed: Collapsed, near: Nearby, *, draws: int, seed: int) -> RefitScales | None:
    """Draw from the draws of a similar fit by their weights; None where these are not good enough."""
    ratios = collapsed.log_posterior(near.points) - near.densities
    there = np.isfinite(ratios)
    if not there.any():
        return None
    weights, khat = smoothed_weights(ratios[there])
    ess = near.ess / len(near.points) / float(np.sum(weights**2))
    if not (khat <= KHAT_MAX and ess >= ESS_MIN):
        return None
    chosen = resampled(weights, draws, np.random.default_rng([seed, 8]))
    return RefitScales(
        blocks=blocks,
        collapsed=collapsed,
        points=near.points[there][chosen],
        diagnostics=RefitDiagnostics(draws=round(ESS_MIN), khat=khat, ess=ess),
        ess=min(ess, float(draws)),
        is_reweighted=True,
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
