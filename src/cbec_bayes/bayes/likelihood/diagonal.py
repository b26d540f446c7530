"""The collapsed density where one scale pools all that is left, in coordinates that part the coefficients."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cbec_bayes.panel.within import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagonal:
    """The density of two scales, sigma and one that pools q coefficients, after an eigendecomposition.

    Attributes
    ----------
    scale
        Name of the pooling scale.
    values
        Eigenvalues of the coefficients' cross-products, shape (q,).
    vectors
        Eigenvectors, in columns, shape (q, q).
    pulls
        Cross-products with the outcome in the eigenvectors' coordinates, shape (q,).
    total
        y'y.
    free
        Degrees of freedom of the residuals when the pooling scale is zero.
    constant
        What depends on no scale.
    """

    scale: str
    values: Array
    vectors: Array
    pulls: Array
    total: float
    free: int
    constant: float

    @property
    def squares(self) -> Array:
        """Squared cross-products with the outcome in the eigenvectors' coordinates, shape (q,)."""
        return np.square(self.pulls)

    def log_likelihood(self, sigma: Array, scale: Array) -> Array:
        """Return the log likelihood at scales of shape (S,)."""
        v, t = sigma[:, None] ** 2, scale[:, None] ** 2
        ratio = t * self.values / v
        fitted = (self.squares * t / (v * (v + t * self.values))).sum(axis=1)
        return np.asarray(
            self.constant
            - self.free * np.log(sigma)
            - np.log1p(ratio).sum(axis=1) / 2
            - (self.total / v[:, 0] - fitted) / 2
        )

    def gradient(self, sigma: float, scale: float) -> tuple[float, float, float]:
        """Return the log likelihood and its derivatives in ln sigma and ln scale."""
        v, t = sigma * sigma, scale * scale
        pooled = t * self.values
        inner = v + pooled
        fitted = self.squares / inner
        value = self.constant - self.free * math.log(sigma) - (self.total - t * float(fitted.sum())) / (2 * v)
        value -= float(np.log(inner).sum() - len(inner) * math.log(v)) / 2
        share = float((pooled / inner).sum())
        twice = float((fitted / inner).sum()) * t
        by_sigma = -self.free + share + (self.total - t * float(fitted.sum())) / v - twice
        return value, by_sigma, -share + twice
