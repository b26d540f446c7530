"""Mixtures of very many normal distributions, of which single weights may be negative: posteriors under heavy tails."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import special

from cbec_bayes.published.quadrature import Array
from cbec_bayes.published.robust.existence import exists
from cbec_bayes.runtime.labels import CI_PROB

_SQRT_2PI = math.sqrt(2 * math.pi)


@dataclass(frozen=True, slots=True)
class SignedMixture:
    """A sum of normal densities that is a density itself.

    Attributes
    ----------
    weights, means, variances
        Numbers of the components, each of shape (J,); the weights sum to one.
    order
        Moments exist below this order.
    """

    weights: Array
    means: Array
    variances: Array
    order: float

    @property
    def mean(self) -> float:
        """Mean; NaN where it does not exist."""
        return self._mean if exists(1, self.order) else math.nan

    @property
    def sd(self) -> float:
        """Standard deviation; NaN where it does not exist."""
        return self._sd if exists(2, self.order) else math.nan

    @property
    def _mean(self) -> float:
        centre = self.means[np.argmax(self.weights)]  # weights sum to one only to rounding
        return float(centre + self.weights @ (self.means - centre))

    @property
    def _sd(self) -> float:
        return math.sqrt(max(float(self.weights @ (self.variances + (self.means - self._mean) ** 2)), 0.0))

    def cdf(self, x: float) -> float:
        """Probability of a value of at most `x`."""
        return min(max(float(self.weights @ special.ndtr((x - self.means) / np.sqrt(self.variances))), 0.0), 1.0)

    @property
    def p_positive(self) -> float:
        """Probability of a positive value."""
        return min(max(float(self.weights @ special.ndtr(self.means / np.sqrt(self.variances))), 0.0), 1.0)

    def rough_quantile(self, probability: float) -> float:
        """Return a quantile of the means of the components, moved as far as a typical component reaches."""
        order = np.argsort(self.means)
        place = np.searchsorted(np.cumsum(self.weights[order]), (probability, 0.5))
        low, _ = order[np.minimum(place, len(order) - 1)]
        return float(self.means[low] + special.ndtri(probability) / 2 * math.sqrt(self.variances[low]))

    def quantile(self, probability: float) -> float:
        """Return the value below which lies a probability strictly between 0 and 1."""
        if exists(2, self.order):
            x = self._mean + float(special.ndtri(probability)) * self._sd
        else:
            x = self.rough_quantile(probability)
        sds = np.sqrt(self.variances)
        density = self.weights / (sds * _SQRT_2PI)
        scale = self.rough_spread()
        low, high = -math.inf, math.inf
        for _ in range(300):
            z = (x - self.means) / sds
            gap = float(self.weights @ special.ndtr(z)) - probability
            low, high = (low, x) if gap > 0 else (x, high)
            slope = float(density @ np.exp(-(z**2) / 2))
            step = -gap / slope if slope > 0 else math.copysign(math.inf, -gap)
            if abs(step) <= 1e-11 * scale:
                return x + step
            target = x + min(max(step, -4 * scale), 4 * scale)
            if low < target < high:
                x = target
            elif math.isfinite(low) and math.isfinite(high):
                x = (low + high) / 2
            else:
                x, scale = x + math.copysign(4 * scale, step), 2 * scale
            if math.isfinite(high - low) and high - low <= 4e-15 * max(abs(low), abs(high)):
                break
        return x

    def rough_spread(self) -> float:
        """Return a distance on which the distribution varies, however heavy its tails."""
        heaviest = int(np.argmax(self.weights))
        if exists(2, self.order):
            return self._sd
        low, high = self.rough_quantile(0.25), self.rough_quantile(0.75)
        return max(high - low, math.sqrt(self.variances[heaviest]))

    def rough_interval(self) -> tuple[float, float]:
        """Return two values in the tails, where probabilities are compared."""
        if exists(2, self.order):
            return self._mean - 1.5 * self._sd, self._mean + 1.5 * self._sd
        return self.rough_quantile(0.05), self.rough_quantile(0.95)

    def interval(self, prob: float = CI_PROB) -> tuple[float, float]:
        """Return the equal-tailed interval."""
        return self.quantile((1 - prob) / 2), self.quantile((1 + prob) / 2)


def signed_mixture(parts: Iterable[tuple[Array, Array, Array]], order: float) -> SignedMixture:
    """Return the mixture of components given in parts: weights (up to a common factor), means and variances."""
    weights, means, variances = (np.concatenate(column) for column in zip(*parts, strict=True))
    return SignedMixture(weights / weights.sum(), means, variances, order)
