"""The marginal likelihood where one scale pools all that is left, in coordinates that part the coefficients."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cbec_bayes.bayes.likelihood.conditional import (
    Conditional,
    DenseConditional,
    FlatGivenPooled,
    SeparatedConditional,
)
from cbec_bayes.bayes.likelihood.marginal import Scales
from cbec_bayes.bayes.likelihood.normal_equations import NormalEquations
from cbec_bayes.panel.within import Array

_SIGMA = "sigma"


@dataclass(frozen=True, slots=True, kw_only=True)
class OneScale:
    """The density of two scales, sigma and one that pools q coefficients, after an eigendecomposition.

    Attributes
    ----------
    scale
        Name of the pooling scale.
    values
        Eigenvalues of the pooled coefficients' cross-products, flat ones absorbed, shape (q,).
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
    flat
        The flat coefficients given the pooled ones.
    whole
        The likelihood with every coefficient, by normal equations.
    """

    scale: str
    values: Array
    vectors: Array
    pulls: Array
    total: float
    free: int
    constant: float
    flat: FlatGivenPooled
    whole: NormalEquations

    @property
    def squares(self) -> Array:
        """Squared cross-products with the outcome in the eigenvectors' coordinates, shape (q,)."""
        return np.square(self.pulls)

    @property
    def n_coefficients(self) -> int:
        """See `MarginalLikelihood`."""
        return self.whole.n_coefficients

    @property
    def unit_means(self) -> tuple[str, ...]:
        """See `MarginalLikelihood`."""
        return ()

    @property
    def is_scalar(self) -> bool:
        """See `MarginalLikelihood`."""
        return True

    @property
    def is_separated(self) -> bool:
        """See `MarginalLikelihood`."""
        return True

    @property
    def conditional_size(self) -> int:
        """See `MarginalLikelihood`."""
        return self.n_coefficients

    def log_likelihood(self, scales: Scales) -> Array:
        """See `MarginalLikelihood`."""
        sigma = scales[_SIGMA]
        v, t = sigma[:, None] ** 2, scales[self.scale][:, None] ** 2
        ratio = t * self.values / v
        fitted = (self.squares * t / (v * (v + t * self.values))).sum(axis=1)
        return np.asarray(
            self.constant
            - self.free * np.log(sigma)
            - np.log1p(ratio).sum(axis=1) / 2
            - (self.total / v[:, 0] - fitted) / 2
        )

    def gradient(self, scales: Mapping[str, float]) -> tuple[float, Mapping[str, float]]:
        """See `MarginalLikelihood`."""
        sigma, scale = scales[_SIGMA], scales[self.scale]
        v, t = sigma * sigma, scale * scale
        pooled = t * self.values
        inner = v + pooled
        fitted = self.squares / inner
        value = self.constant - self.free * math.log(sigma) - (self.total - t * float(fitted.sum())) / (2 * v)
        value -= float(np.log(inner).sum() - len(inner) * math.log(v)) / 2
        share = float((pooled / inner).sum())
        twice = float((fitted / inner).sum()) * t
        by_sigma = -self.free + share + (self.total - t * float(fitted.sum())) / v - twice
        return value, {_SIGMA: by_sigma, self.scale: -share + twice}

    def conditional(self, scales: Scales) -> DenseConditional:
        """See `MarginalLikelihood`."""
        return self.whole.conditional(scales)

    def compact_conditional(self, scales: Scales, *, means: bool = True) -> Conditional:
        """See `MarginalLikelihood`."""
        sigma, scale = scales[_SIGMA][:, None], scales[self.scale][:, None]
        total = sigma**2 + scale**2 * self.values
        return SeparatedConditional(
            flat=self.flat,
            vectors=self.vectors,
            middle=scale**2 * self.pulls / total,
            spread=sigma * scale / np.sqrt(total),
            sigma=sigma[:, 0],
            transform=self.whole.coefficients.transform,
        )
