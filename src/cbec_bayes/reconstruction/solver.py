"""Least squares under bounds: Levenberg's method with a pull towards a reference, for few targets and many unknowns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cbec_bayes.panel.within import Array

System = Callable[[Array], tuple[Array, Array]]

_FIRST_DAMPING = 1e5
_LARGEST_DAMPING = 1e16
_ROUNDS = 12


@dataclass(frozen=True, slots=True)
class Solution:
    """Where the solver stopped.

    Attributes
    ----------
    point
        Shape (P,), within its bounds.
    residuals
        Shape (M,).
    iterations
        Steps tried.
    n_wishes
        How many of the last residuals need not be small.
    """

    point: Array
    residuals: Array
    iterations: int
    n_wishes: int

    @property
    def worst(self) -> float:
        """Largest residual in absolute value, wishes left aside."""
        return _worst(self.residuals, self.n_wishes)


def _worst(residuals: Array, n_wishes: int) -> float:
    return float(np.abs(residuals[: len(residuals) - n_wishes]).max())


def solve(
    system: System,
    start: Array,
    reference: Array,
    low: Array,
    high: Array,
    *,
    n_wishes: int,
    pull: float,
    tolerance: float,
    max_iterations: int,
) -> Solution:
    """Minimise half the sum of squared residuals plus ``pull`` / 2 times the squared distance to a reference.

    Parameters
    ----------
    system
        Residuals (M,) and Jacobian (M, P) at a point; M is far below P.
    start, reference, low, high
        Shape (P,).
    n_wishes
        How many of the last residuals are wishes: part of the sum of squares, but no reason to go on.
    pull
        Weight of the distance; small, so that it chooses among the points that meet the targets.
    tolerance
        Stop once every residual is below this in absolute value.
    max_iterations
        Steps to try at most.

    Notes
    -----
    Each step solves the damped linear problem in the M dimensions of the targets, (J J' + damping) lambda = r, and
    holds unknowns at the bounds that it would cross; damping follows Nielsen (1999). SciPy's least_squares needs a
    decomposition in the P dimensions of the unknowns for each of the many small steps that these curved constraints
    ask for, and its SLSQP, which has no trust region, leaves the feasible set and does not come back.
    """
    point = np.clip(start, low, high)
    residuals, jacobian = system(point)
    value = _objective(residuals, point, reference, pull)
    damping, growth = _FIRST_DAMPING, 2.0
    tried = 0
    while tried < max_iterations:
        tried += 1
        weight = damping + pull
        centre = (reference - point) * (pull / weight)
        step = _step(jacobian, residuals, centre, low=low - point, high=high - point, weight=weight)
        expected = value - _objective(residuals + jacobian @ step, point + step, reference, pull)
        at = np.clip(point + step, low, high)
        found, slope = system(at)
        reached = _objective(found, at, reference, pull)
        if np.isfinite(reached) and reached < value:
            ratio = (value - reached) / expected if expected > 0 else 0.0
            point, residuals, jacobian, value = at, found, slope, reached
            damping *= max(1 / 5, 1 - (2 * ratio - 1) ** 3)
            growth = 2.0
        else:
            damping *= growth
            growth *= 2
        if _worst(residuals, n_wishes) < tolerance or damping > _LARGEST_DAMPING:
            break
    return Solution(point, residuals, tried, n_wishes)


def _objective(residuals: Array, point: Array, reference: Array, pull: float) -> float:
    away = point - reference
    return float(residuals @ residuals + pull * (away @ away)) / 2


def _step(jacobian: Array, residuals: Array, centre: Array, *, low: Array, high: Array, weight: float) -> Array:
    """Minimise |J s + r|^2 + weight |s - centre|^2 within bounds, holding what crosses them, a few times over."""
    step = np.empty_like(centre)
    free = np.ones(len(centre), dtype=bool)
    identity = weight * np.eye(len(residuals))
    for _ in range(_ROUNDS):
        moving = jacobian[:, free]
        held = residuals + jacobian[:, ~free] @ step[~free]
        multipliers = np.linalg.solve(moving @ moving.T + identity, held + moving @ centre[free])
        step[free] = centre[free] - moving.T @ multipliers
        crossing = free & ((step < low) | (step > high))
        if not crossing.any():
            break
        step[crossing] = np.clip(step[crossing], low[crossing], high[crossing])
        free &= ~crossing
    return step
