"""The posterior distribution of the between-group scale: probabilities and quantiles."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

Array = NDArray[np.float64]

_WIDEST = 1.5
"""Widest panel in log tau: the density has no pole nearer to the real line than pi / 2."""

_FEWEST = 10
_X, _W = np.polynomial.legendre.leggauss(16)


@dataclass(frozen=True, slots=True)
class ScaleCurve:
    """The distribution of a scale by Gauss-Legendre quadrature in panels of log tau.

    Attributes
    ----------
    log_density
        Log posterior density of log tau at values of log tau, shape (T,), normalised.
    edges
        Ends of P panels in log tau, outside which there is nothing, shape (P + 1,).
    below
        Probability below each edge, shape (P + 1,).
    """

    log_density: Callable[[Array], Array]
    edges: Array
    below: Array

    def _between(self, low: float, high: float) -> float:
        nodes = low + (high - low) / 2 * (_X + 1)
        return float(_W @ np.exp(self.log_density(nodes))) * (high - low) / 2

    def cdf(self, upper: float) -> float:
        """Return the probability of a scale of at most `upper`."""
        if upper <= 0:
            return 0.0
        place = int(np.searchsorted(self.edges, math.log(upper))) - 1
        if place < 0:
            return 0.0
        if place >= len(self.edges) - 1:
            return 1.0
        part = self._between(float(self.edges[place]), math.log(upper))
        return min(float(self.below[place]) + part, 1.0)

    def quantile(self, probability: float) -> float:
        """Return the scale below which lies a probability strictly between 0 and 1."""
        place = int(np.clip(np.searchsorted(self.below, probability) - 1, 0, len(self.edges) - 2))
        low, high = (float(edge) for edge in self.edges[place : place + 2])

        def miss(log_tau: float) -> float:
            return float(self.below[place]) + self._between(low, log_tau) - probability

        if miss(high) <= 0:  # probabilities sum to one only to rounding
            return math.exp(high)
        return math.exp(optimize.brentq(miss, low, high, xtol=1e-12))


def scale_curve(log_density: Callable[[Array], Array], low: float, high: float) -> ScaleCurve:
    """Return the distribution of a scale that lies between two values, from its log density of log tau."""
    start, end = math.log(low), math.log(high)
    n = max(_FEWEST, math.ceil((end - start) / _WIDEST))
    edges = np.linspace(start, end, n + 1)
    half = (end - start) / n / 2
    nodes = edges[:-1, None] + half * (_X + 1)
    mass = np.exp(log_density(nodes.ravel())).reshape(nodes.shape) @ _W * half
    return ScaleCurve(log_density, edges, np.append(0.0, np.cumsum(mass)))
