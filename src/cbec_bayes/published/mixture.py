"""Finite mixtures of normal distributions: what every posterior quantity of the summary-level model is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from cbec_bayes.runtime.labels import CI_PROB

Array = NDArray[np.float64]

_MOST_STEPS = 40
_FEW = 8
"""Mixtures fewer than these are solved one by one."""
_ROOT_2PI = math.sqrt(2 * math.pi)


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
        return self._share(special.ndtr(self._in_sds(x - self.means)))

    @property
    def p_positive(self) -> float:
        """Probability of a positive value; a half of what is zero for certain, as in the limit of small variances."""
        return self._share(special.ndtr(self._in_sds(self.means)))

    def _in_sds(self, distances: Array) -> Array:
        """Return distances in standard deviations of the components, of which some may be zero."""
        sds = np.sqrt(self.variances)
        with np.errstate(over="ignore"):
            return np.divide(
                distances, sds, out=np.where(distances == 0, 0.0, np.copysign(np.inf, distances)), where=sds > 0
            )

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
        # Far components of no weight make the bracket wide; start from the middle of the components and open up. Not
        # from the mixture's mean and sd: a heavy tail takes these as far out as it goes.
        centre, half = self._middle(ends), self._middle(scale)
        while 0 < half < high - low:
            a, b = max(low, centre - half), min(high, centre + half)
            if a < b and self.cdf(a) <= probability <= self.cdf(b):
                low, high = a, b
                break
            half *= 4
        # Rounding of a cdf near steep ends: the quantile is then an end itself, as far as double precision tells.
        if self.cdf(low) >= probability:
            return low
        if self.cdf(high) <= probability:
            return high
        tolerance = max(float(scale.min()) * 1e-12, math.ulp(0.0))
        return float(
            optimize.brentq(lambda x: self.cdf(x) - probability, low, high, xtol=tolerance, rtol=1e-12, maxiter=5000)
        )

    def _middle(self, values: Array) -> float:
        """Return the median of a number of each component, by their weights."""
        order = np.argsort(values)
        place = int(np.searchsorted(np.cumsum(self.weights[order]), 0.5))
        return float(values[order[min(place, len(order) - 1)]])

    def interval(self, prob: float = CI_PROB) -> tuple[float, float]:
        """Return the equal-tailed interval."""
        return self.quantile((1 - prob) / 2), self.quantile((1 + prob) / 2)


@dataclass(frozen=True, slots=True)
class Mixtures:
    """G mixtures of normals that share their J weights, shape (J,); means and variances are of shape (J, G)."""

    weights: Array
    means: Array
    variances: Array

    @property
    def mean(self) -> Array:
        """Means, shape (G,)."""
        centre = self.means[np.argmax(self.weights)]
        return np.asarray(centre + self.weights @ (self.means - centre))

    @property
    def sd(self) -> Array:
        """Standard deviations, shape (G,)."""
        return np.sqrt(self.weights @ (self.variances + (self.means - self.mean) ** 2))

    @property
    def p_positive(self) -> Array:
        """Probabilities of positive values, shape (G,); see `Mixture.p_positive`."""
        if not (self.variances > 0).all():
            return np.array([self.of(g).p_positive for g in range(self.means.shape[1])])
        with np.errstate(over="ignore"):
            shares = self.weights @ special.ndtr(self.means / np.sqrt(self.variances))
        return np.minimum(shares, 1.0)

    def of(self, g: int) -> Mixture:
        """Return one of the mixtures."""
        return Mixture(self.weights, self.means[:, g], self.variances[:, g])

    def quantile(self, probability: float) -> Array:
        """Return the quantiles, shape (G,), by Newton's method inside brackets that are halved where it leaves them.

        Those that do not converge, as between components of very different scales, are found one by one.
        """
        x = np.full(self.means.shape[1], math.nan)
        usual = np.flatnonzero((self.variances > 0).all(axis=0))
        if len(usual) >= _FEW:
            with np.errstate(all="ignore"):
                x[usual] = self._newton(usual, probability)
        for g in np.flatnonzero(np.isnan(x)):
            x[g] = self.of(int(g)).quantile(probability)
        return x

    def _newton(self, which: NDArray[np.intp], probability: float) -> Array:
        """Return the quantiles of some mixtures, NaN where the method has not converged."""
        all_means, all_sds = self.means[:, which], np.sqrt(self.variances[:, which])
        z = float(special.ndtri(probability))
        ends = all_means + z * all_sds  # a mixture's quantile lies between its components' quantiles
        low, high = ends.min(axis=0), ends.max(axis=0)
        at = np.clip(self.mean[which] + z * self.sd[which], low, high)
        near = 1e-12 * all_sds.min(axis=0)
        found, active = np.full(len(which), math.nan), np.arange(len(which))
        for _ in range(_MOST_STEPS):
            x, sds = at[active], all_sds[:, active]
            t = (x - all_means[:, active]) / sds
            miss = self.weights @ special.ndtr(t) - probability
            slope = self.weights @ (np.exp(-(t**2) / 2) / sds) / _ROOT_2PI
            high[active] = np.where(miss >= 0, x, high[active])
            low[active] = np.where(miss < 0, x, low[active])
            step = x - miss / slope
            inside = (step >= low[active]) & (step <= high[active])
            step = np.where(inside, step, (low[active] + high[active]) / 2)
            at[active] = step
            done = np.abs(step - x) <= near[active] + 1e-13 * np.abs(step)
            found[active[done]] = step[done]
            active = active[~done]
            if len(active) == 0:
                break
        return found
