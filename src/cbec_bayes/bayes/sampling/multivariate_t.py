"""The multivariate t distribution: draws and log densities, those of `scipy.stats.multivariate_t` to the last bit.

SciPy's module of distributions is not imported for it: that takes as long as a small fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import linalg, special

from cbec_bayes.panel.within import Array

_SINGULAR = 1e6 * float(np.finfo(float).eps)  # share of the largest eigenvalue, up to which another counts as zero


@dataclass(frozen=True)  # without slots, so that the decomposition is made once
class MultivariateT:
    """A t distribution of k dimensions.

    Attributes
    ----------
    centre, spread
        Location, shape (k,), and scale matrix, positive definite, (k, k).
    df
        Degrees of freedom, finite.
    """

    centre: Array
    spread: Array
    df: float

    def draw(self, n: int, rng: np.random.Generator) -> Array:
        """Return n draws, shape (n, k)."""
        shrunk = rng.chisquare(self.df, size=n) / self.df
        normal = rng.multivariate_normal(np.zeros(len(self.centre)), self.spread, size=n)
        return np.asarray(self.centre + normal / np.sqrt(shrunk)[:, None])

    def log_density(self, points: Array) -> Array:
        """Return log densities, shape (S,), of points, shape (S, k)."""
        root, log_det = self._inverse_root
        squares = np.square(np.dot(points - self.centre, root)).sum(axis=1)
        k = len(self.centre)
        half = 0.5 * (self.df + k)
        constant = special.gammaln(half) - special.gammaln(0.5 * self.df) - k / 2 * np.log(self.df * np.pi)
        return np.asarray(constant - 0.5 * log_det - half * np.log(1 + 1 / self.df * squares))

    @cached_property
    def _inverse_root(self) -> tuple[Array, float]:
        """Return a matrix whose product with its own transpose is the inverse of the spread, and the log determinant.

        Raises
        ------
        numpy.linalg.LinAlgError
            The spread is singular.
        """
        values, vectors = linalg.eigh(self.spread)
        if not values.min() > _SINGULAR * np.abs(values).max():
            raise np.linalg.LinAlgError("the spread of the proposal is singular")
        return vectors * np.sqrt(1 / values), float(np.log(values).sum())
