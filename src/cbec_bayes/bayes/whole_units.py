"""Whole units left out of a fit: their densities averaged over draws of the scales that are weighted, or moved."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from cbec_bayes.bayes.likelihood.collapsed import Collapsed
from cbec_bayes.bayes.likelihood.unit_densities import ChangesOfUnits, changes_for_densities
from cbec_bayes.bayes.model.blocks import Blocks
from cbec_bayes.bayes.sampling.gates import KHAT_MAX
from cbec_bayes.bayes.sampling.multivariate_t import MultivariateT
from cbec_bayes.bayes.sampling.weights import log_sum, smoothed_weights
from cbec_bayes.panel.within import Array

_MOVES = 4
_DF = 6
_WIDER = 1.3


@dataclass(frozen=True, slots=True)
class UnitsLeftOut:
    """Log predictive density of the changes of each of N units given all the others.

    Attributes
    ----------
    elpd, khat
        As in `cbec_bayes.bayes.loo.LooResult`, each of shape (N,).
    moved
        Units whose draws were moved, because weights alone do not reach the posterior without them, shape (N,).
    shared
        What each draw of the scales adds to the error of the sum over units that were not moved, shape (S,).
    error
        Monte Carlo standard error of each unit, shape (N,).
    """

    elpd: Array
    khat: Array
    moved: NDArray[np.bool_]
    shared: Array
    error: Array

    @property
    def mcse(self) -> float:
        """Monte Carlo standard error of the sum over units: draws that were not moved are the same for all."""
        return math.hypot(float(np.linalg.norm(self.shared)), float(np.linalg.norm(self.error[self.moved])))


def leave_out_units(blocks: Blocks, collapsed: Collapsed, points: Array, seed: int) -> UnitsLeftOut:
    """Leave out each unit in turn, without a refit.

    Parameters
    ----------
    blocks, collapsed
        Model and design, with flat unit effects; the density.
    points
        Draws of the scales given all rows, shape (S, k).
    seed
        Seed of draws that are moved.

    Notes
    -----
    Draws are weighted by one over the unit's density, smoothed. Where the Pareto shape says that this does not do, new
    draws come from a t distribution with the moments that the weighted ones have, and are weighted themselves, a few
    times if need be (Paananen, Piironen, Buerkner and Vehtari, 2021, move the draws they have). A shape that stays
    above the limit asks for a refit.
    """
    n_units = len(blocks.design.units)
    changes = changes_for_densities(blocks)
    density = changes.log_densities(collapsed, points, np.arange(n_units))
    elpd, khat, error = np.full((3, n_units), np.nan)
    moved, shared = np.zeros(n_units, dtype=np.bool_), np.zeros(len(points))
    for u in np.flatnonzero(~np.isnan(density).any(axis=0)):
        weights, khat[u] = smoothed_weights(-density[:, u])
        elpd[u], influence = _averaged(density[:, u], weights)
        error[u] = np.linalg.norm(influence)
        if khat[u] <= KHAT_MAX:
            shared += influence
            continue
        moved[u] = True
        drawn = points
        for _ in range(_MOVES):
            drawn, own, ratios = _moved(changes, collapsed, (drawn, weights), int(u), seed)
            weights, khat[u] = smoothed_weights(ratios)
            elpd[u], error[u] = _bridged(density[:, u], own, weights)
            if khat[u] <= KHAT_MAX:
                break
    return UnitsLeftOut(elpd, khat, moved, shared, error)


def _averaged(density: Array, weights: Array) -> tuple[float, Array]:
    """Return the log of a weighted mean of densities, and what each draw adds to its error (the delta method)."""
    found = log_sum(density, weights)
    return found, weights * np.expm1(density - found)


def _bridged(with_it: Array, without: Array, weights: Array) -> tuple[float, float]:
    """Return the log of the mean density of a unit given the others, and its Monte Carlo standard error.

    Parameters
    ----------
    with_it
        Log density at draws of the scales given all rows, shape (S,).
    without, weights
        The same at weighted draws given the others, shape (F,).

    Notes
    -----
    The mean density x is the ratio of the integrals that the two sets of draws are of, and by Bennett (1976) the root
    of E p / (p + x) without the unit = E x / (p + x) with it. It needs draws of either where p is near x alone, so that
    a density that is large where there are hardly any draws does not spoil it.
    """

    def shares(x: float) -> tuple[Array, Array]:
        return special.expit(without - x), special.expit(x - with_it)

    def miss(x: float) -> float:
        one, other = shares(x)
        return float(weights @ one - other.mean())

    found = float(optimize.brentq(miss, min(without.min(), with_it.min()) - 50, max(without.max(), with_it.max()) + 50))
    one, other = shares(found)
    slope = float(weights @ (one * (1 - one)) + (other * (1 - other)).mean())
    variance = float(weights**2 @ (one - weights @ one) ** 2) + float(other.var()) / len(other)
    return found, math.sqrt(variance) / slope


def _moved(
    changes: ChangesOfUnits, collapsed: Collapsed, weighted: tuple[Array, Array], unit: int, seed: int
) -> tuple[Array, Array, Array]:
    """Return new draws of the scales without a unit, the unit's density at each, and the log ratios of the draws."""
    points, weights = weighted
    centre = weights @ points
    spread = _WIDER * (_DF - 2) / _DF * ((points - centre).T * weights) @ (points - centre)
    spread += 1e-6 * np.eye(len(centre))
    proposal = MultivariateT(centre, spread, _DF)
    drawn = proposal.draw(len(points), np.random.default_rng([seed, unit, 7]))
    posterior = collapsed.log_posterior(drawn)
    there = np.isfinite(posterior)
    drawn, posterior = drawn[there], posterior[there]
    own = changes.log_densities(collapsed, drawn, np.array([unit]))[:, 0]
    return drawn, own, posterior - own - proposal.log_density(drawn)
