"""Mixtures of very many normal distributions, of which single weights may be negative: posteriors under heavy tails."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from cbec_bayes.published.quadrature import Array
from cbec_bayes.published.robust.existence import exists
from cbec_bayes.runtime.labels import CI_PROB

_SQRT_2PI = math.sqrt(2 * math.pi)

_MANY = 5_000
"""Components from which on a quantile is first found for a mixture of fewer."""

_CELLS = 32
"""Cells of means, in a spread of the distribution, in which components count as one there."""

_CLOSE = 1e-6
"""A step of Newton's method that is the last, in spreads of the distribution."""


@dataclass(frozen=True, slots=True)
class SignedMixture:
    """A sum of normal densities that is a density itself.

    Attributes
    ----------
    weights, means, variances
        Numbers of the components, each of shape (J,); the weights sum to one.
    order
        Moments exist below this order.
    moments
        Mean and standard deviation. They are sums of positive terms over the nodes: from the components they would
        lose digits, as far out the negative weights cancel the positive ones.
    """

    weights: Array
    means: Array
    variances: Array
    order: float
    moments: tuple[float, float]

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
        return self.quantiles((probability,))[0]

    def quantiles(self, probabilities: Sequence[float]) -> list[float]:
        """Return quantiles; of very many components each is first found for fewer that are nearly the same."""
        scale = self.rough_spread()
        fewer = self._fewer(scale) if len(self.weights) > _MANY else None
        found = []
        for probability in probabilities:
            if exists(2, self.order):
                x = self.moments[0] + float(special.ndtri(probability)) * self.moments[1]
            else:
                x = (fewer or self).rough_quantile(probability)
            if fewer is not None:
                x = fewer.quantile_from(x, probability, scale)
            found.append(self.quantile_from(x, probability, scale))
        return found

    def quantile_from(self, x: float, probability: float, scale: float) -> float:
        """Return a quantile by Newton's method from a value near it; `scale` is that on which probabilities vary."""
        sds = np.sqrt(self.variances)
        density = self.weights / (sds * _SQRT_2PI)
        near, low, high = scale, -math.inf, math.inf
        for _ in range(300):
            z = (x - self.means) / sds
            gap = float(self.weights @ special.ndtr(z)) - probability
            low, high = (low, x) if gap > 0 else (x, high)
            slope = float(density @ np.exp(-(z**2) / 2))
            step = -gap / slope if slope > 0 else math.copysign(math.inf, -gap)
            if abs(step) <= _CLOSE * near:  # what is left is of the order of its square
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

    def _fewer(self, scale: float) -> SignedMixture:
        """Return a mixture in which components with nearly the same mean and width are one."""
        middle = self.moments[0] if exists(2, self.order) else float(self.means[np.argmax(self.weights)])
        place = np.arcsinh((self.means - middle) / scale) * _CELLS
        width = np.log(self.variances) * (_CELLS / 8)
        row, column = ((one - one.min()).astype(np.intp) for one in (place, width))
        cell = row * (int(column.max()) + 1) + column
        weights = np.bincount(cell, self.weights)
        keep = weights > 0  # negative ones are next to nothing
        total = np.where(keep, weights, 1.0)
        means = np.bincount(cell, self.weights * self.means) / total
        variances = np.bincount(cell, self.weights * self.variances) / total
        keep &= variances > 0
        return SignedMixture(
            weights[keep] / weights[keep].sum(), means[keep], variances[keep], self.order, self.moments
        )

    def rough_spread(self) -> float:
        """Return a distance on which the distribution varies, however heavy its tails."""
        heaviest = int(np.argmax(self.weights))
        if exists(2, self.order):
            return self.moments[1]
        low, high = self.rough_quantile(0.25), self.rough_quantile(0.75)
        return max(high - low, math.sqrt(self.variances[heaviest]))

    def rough_interval(self) -> tuple[float, float]:
        """Return two values in the tails, where probabilities are compared."""
        if exists(2, self.order):
            mean, sd = self.moments
            return mean - 1.5 * sd, mean + 1.5 * sd
        return self.rough_quantile(0.05), self.rough_quantile(0.95)

    def interval(self, prob: float = CI_PROB) -> tuple[float, float]:
        """Return the equal-tailed interval."""
        low, high = self.quantiles(((1 - prob) / 2, (1 + prob) / 2))
        return low, high


def signed_mixture(
    parts: Iterable[tuple[Array, Array, Array]], order: float, moments: tuple[float, float]
) -> SignedMixture:
    """Return the mixture of components given in parts: weights (up to a common factor), means and variances."""
    weights, means, variances = (np.concatenate(column) for column in zip(*parts, strict=True))
    return SignedMixture(weights / weights.sum(), means, variances, order, moments)
