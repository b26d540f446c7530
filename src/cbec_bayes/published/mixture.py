"""Finite mixtures of normal distributions: what every posterior quantity of the summary-level model is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from cbec_bayes.runtime.labels import CI_PROB

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Mixture:
    """A finite mixture of normal distributions: `weights` (sum 1), `means` and `variances`, each of shape (J,)."""

    weights: Array
    means: Array
    variances: Array

    @property
    def mean(self) -> float:
        """Mean."""
        centre = self.means[
            np.argmax(self.weights)
        ]  # weights sum to one only to rounding, which a large mean magnifies
        return float(centre + self.weights @ (self.means - centre))

    @property
    def sd(self) -> float:
        """Standard deviation."""
        return math.sqrt(float(self.weights @ (self.variances + (self.means - self.mean) ** 2)))

    def cdf(self, x: float) -> float:
        """Probability of a value of at most `x`."""
        return self._share(special.ndtr((x - self.means) / np.sqrt(self.variances)))

    @property
    def p_positive(self) -> float:
        """Probability of a positive value."""
        return self._share(special.ndtr(self.means / np.sqrt(self.variances)))

    def _share(self, probabilities: Array) -> float:
        return min(float(self.weights @ probabilities), 1.0)  # weights sum to one only to rounding

    def quantile(self, probability: float) -> float:
        """Return the value below which lies a probability strictly between 0 and 1."""
        scale = np.sqrt(self.variances)
        z = float(special.ndtri(probability))
        ends = self.means + z * scale  # the mixture's quantile lies between its components' quantiles
        low, high = float(ends.min()), float(ends.max())
        if high - low <= 4e-15 * max(abs(low), abs(high)):
            return low
        # Far components of no weight make the bracket wide; start from the normal approximation and open up.
        centre, half = self.mean + z * self.sd, self.sd
        while half < high - low:
            a, b = max(low, centre - half), min(high, centre + half)
            if a < b and self.cdf(a) <= probability <= self.cdf(b):
                low, high = a, b
                break
            half *= 4
        tolerance = max(self.sd, abs(high)) * 1e-12
        return float(optimize.brentq(lambda x: self.cdf(x) - probability, low, high, xtol=tolerance, rtol=1e-12))

    def interval(self, prob: float = CI_PROB) -> tuple[float, float]:
        """Return the equal-tailed interval."""
        return self.quantile((1 - prob) / 2), self.quantile((1 + prob) / 2)
