"""Distributions by their density at nodes in panels: slopes of groups, whose mixtures would have very many components.

Panels are short where a density may be narrow, and grow in proportion to the distance from there, so that tails that
fall as a power take few of them. In each panel the density is the polynomial through its values at Gauss-Legendre
nodes, whose integral gives probabilities.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from cbec_bayes.published.quadrature import Array
from cbec_bayes.published.robust.existence import exists
from cbec_bayes.runtime.labels import CI_PROB

N_NODES = 12
"""Nodes of a panel."""

_LENGTH = 2.0
"""Length of a panel at a feature, in its widths."""

_GROWTH = 0.25
"""Part of the distance from a feature by which the width that counts grows."""

_X, _W = np.polynomial.legendre.leggauss(N_NODES)


def _to_powers() -> Array:
    """Return the matrix from values at the nodes to the polynomial of their integral, see `Tabulated.powers`."""
    legendre = np.polynomial.legendre
    orders = np.arange(N_NODES)
    to_series = (orders[:, None] + 0.5) * special.eval_legendre(orders[:, None], _X) * _W
    columns = [
        np.pad(integral := legendre.leg2poly(legendre.legint(column, lbnd=-1)), (0, N_NODES + 1 - len(integral)))
        for column in to_series.T
    ]
    return np.asarray(np.array(columns)[:, ::-1], dtype=np.float64)


_TO_POWERS = _to_powers()

_SAME = 4e-15
"""Distance between the ends of a bracket, relative to them, that double precision does not part."""


@dataclass(frozen=True, slots=True)
class Panels:
    """P panels that share their ends, of shape (P + 1,)."""

    edges: Array

    @property
    def nodes(self) -> Array:
        """Nodes, shape (P, `N_NODES`)."""
        return self.edges[:-1, None] + np.diff(self.edges)[:, None] / 2 * (_X + 1)


def panels_between(low: float, high: float, centres: Array, widths: Array) -> Panels:
    """Return panels from `low` to `high` for functions with features at `centres` of some `widths`, shape (F,)."""
    kept = _sharpest(centres, widths)
    centres, widths = centres[kept], widths[kept]

    def room(place: float) -> float:
        return _LENGTH * float((widths + _GROWTH * np.abs(place - centres)).min())

    edges, start = [low], low
    while start < high:
        # What a panel may be long at its other end limits it too: a feature may lie within reach of a long step.
        length = room(start)
        length = min(length, max(room(start + length), length / 8))
        start = max(start + length, math.nextafter(start, math.inf))
        edges.append(start)
    return Panels(np.array(edges))


def _sharpest(centres: Array, widths: Array) -> list[int]:
    """Return which features limit the length of a panel anywhere: the others lie in the shade of sharper ones."""
    kept: list[int] = []
    for index in np.argsort(widths, kind="stable"):
        shade = [0.9 * (widths[index] + 1e-300) > widths[k] + _GROWTH * abs(centres[index] - centres[k]) for k in kept]
        if not any(shade):
            kept.append(int(index))
    return kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Tabulated:
    """A distribution whose density is known at the nodes of panels.

    Attributes
    ----------
    panels
        Ends of the panels.
    powers
        Probability from the beginning of each panel to a place in it, as a polynomial of the place between -1 and 1:
        factors from the highest power to the lowest, shape (P, N + 1).
    below
        Probability below each end, shape (P + 1,).
    order
        Moments exist below this order.
    moments
        Mean and standard deviation, which are sums over the nodes of all parameters and not over the panels.
    lost
        By how much the sum of the density over the panels differed from one before it was divided by it.
    """

    panels: Panels
    powers: Array
    below: Array
    order: float
    moments: tuple[float, float]
    lost: float

    @property
    def mean(self) -> float:
        """Mean; NaN where it does not exist."""
        return self.moments[0] if exists(1, self.order) else math.nan

    @property
    def sd(self) -> float:
        """Standard deviation; NaN where it does not exist."""
        return self.moments[1] if exists(2, self.order) else math.nan

    def cdf(self, x: float) -> float:
        """Probability of a value of at most `x`."""
        edges = self.panels.edges
        place = int(np.searchsorted(edges, x, side="right")) - 1
        if place < 0:
            return 0.0
        if place >= len(self.below) - 1:
            return 1.0
        return min(max(self._within(place, x)[0], 0.0), 1.0)

    def _within(self, place: int, x: float) -> tuple[float, float]:
        """Return the probability below a value in a panel, and the density there."""
        low, high = (float(edge) for edge in self.panels.edges[place : place + 2])
        t, below, density = 2 * (x - low) / (high - low) - 1, 0.0, 0.0
        for factor in self.powers[place].tolist():
            density = density * t + below
            below = below * t + factor
        return float(self.below[place]) + below, density * 2 / (high - low)

    @property
    def p_positive(self) -> float:
        """Probability of a positive value."""
        return 1 - self.cdf(0.0)

    def quantile(self, probability: float) -> float:
        """Return the value below which lies a probability strictly between 0 and 1."""
        place = int(np.clip(np.searchsorted(self.below, probability) - 1, 0, len(self.below) - 1 - 1))
        low, high = (float(edge) for edge in self.panels.edges[place : place + 2])
        x = (low + high) / 2
        for _ in range(200):
            found, density = self._within(place, x)
            low, high = (low, x) if found > probability else (x, high)
            target = x - (found - probability) / density if density > 0 else math.inf
            x, before = (target if low < target < high else (low + high) / 2), x
            if abs(x - before) <= _SAME * max(abs(low), abs(high), high - low):
                break
        return x

    def rough_interval(self) -> tuple[float, float]:
        """Return two values in the tails, where probabilities are compared."""
        if exists(2, self.order):
            mean, sd = self.moments
            return mean - 1.5 * sd, mean + 1.5 * sd
        return self.quantile(0.05), self.quantile(0.95)

    def interval(self, prob: float = CI_PROB) -> tuple[float, float]:
        """Return the equal-tailed interval."""
        return self.quantile((1 - prob) / 2), self.quantile((1 + prob) / 2)


def tabulated(panels: Panels, density: Array, order: float, moments: Sequence[float]) -> Tabulated:
    """Return the distribution with a density that is known at the nodes of panels, shape (P, N), nearly normalised."""
    powers = density @ _TO_POWERS * (np.diff(panels.edges)[:, None] / 2)
    mass = powers.sum(axis=1)
    total = float(mass.sum())
    mean, sd = moments
    return Tabulated(
        panels=panels,
        powers=powers / total,
        below=np.append(0.0, np.cumsum(mass / total)),
        order=order,
        moments=(mean, sd),
        lost=abs(total - 1),
    )
