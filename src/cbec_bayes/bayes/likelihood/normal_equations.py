"""The general marginal likelihood: normal equations of the coefficients at every point of the scales."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.bayes.likelihood.conditional import Conditional, DenseConditional
from cbec_bayes.bayes.likelihood.marginal import LOG_2PI, Scales
from cbec_bayes.bayes.likelihood.residual_covariance import CrossProducts, ResidualCovariance
from cbec_bayes.bayes.likelihood.triangular import forward
from cbec_bayes.panel.within import Array

_CHUNK = 2**21


@dataclass(frozen=True, slots=True)
class Coefficients:
    """The p coefficients that are integrated over: flat ones, those with a normal prior, and pooled ones.

    Attributes
    ----------
    n_flat
        How many have no scale; they come first.
    location
        Normal priors of these: precision and mean, shape (2, p); zero precision where flat.
    pooled
        Scale's name to the positions, from 0, of the coefficients it pools.
    transform
        From the coefficients of the cross-products' columns to those of the model's, shape (p, p). The columns of flat
        coefficients are made orthonormal, and the others orthogonal to them, before cross-products are taken: means
        beside the regressors that they are means of would otherwise cost half the digits.
    log_volume
        Logarithm of the determinant of `transform`, and of what was absorbed.
    """

    n_flat: int
    location: Array
    pooled: Mapping[str, NDArray[np.intp]]
    transform: Array
    log_volume: float


@dataclass(frozen=True, slots=True)
class _System:
    """Normal equations at S points: precision (S, p, p), pull (S, p), y'y (S,), constant (S,), units (S, p)."""

    precision: Array
    pull: Array
    squares: Array
    constant: Array
    width: Array


@dataclass(frozen=True, slots=True)
class NormalEquations:
    """The likelihood of any covariance of the residuals, whatever pools the coefficients.

    Attributes
    ----------
    covariance
        Covariance of the residuals.
    coefficients
        Their priors, and the map to the model's own.
    """

    covariance: ResidualCovariance
    coefficients: Coefficients

    @property
    def n_coefficients(self) -> int:
        """See `MarginalLikelihood`."""
        return int(self.coefficients.location.shape[1])

    @property
    def unit_means(self) -> tuple[str, ...]:
        """See `MarginalLikelihood`."""
        return self.covariance.unit_means

    @property
    def is_scalar(self) -> bool:
        """See `MarginalLikelihood`."""
        return False

    @property
    def is_separated(self) -> bool:
        """See `MarginalLikelihood`."""
        return False

    @property
    def conditional_size(self) -> int:
        """See `MarginalLikelihood`."""
        return (self.n_coefficients + len(self.unit_means)) ** 2

    def log_likelihood(self, scales: Scales) -> Array:
        """See `MarginalLikelihood`."""
        n = len(next(iter(scales.values())))
        step = max(1, _CHUNK // (self.n_coefficients + 1) ** 2)
        found = [self._log_likelihood(_at(scales, slice(i, i + step))) for i in range(0, n, step)]
        return np.concatenate(found) if found else np.empty(0)

    def _log_likelihood(self, scales: Scales) -> Array:
        try:
            return log_density(self.covariance.cross_products(scales), self.coefficients, scales)
        except np.linalg.LinAlgError:
            # A scale so far out that its square swamps everything else in double precision: no such point counts.
            n = len(next(iter(scales.values())))
            if n == 1:
                return np.array([-np.inf])
            halves = (slice(0, n // 2), slice(n // 2, n))  # most points are sound, and one by one they take long
            return np.concatenate([self._log_likelihood(_at(scales, half)) for half in halves])

    def _system(self, scales: Scales) -> _System:
        return _system(self.covariance.cross_products(scales), self.coefficients, scales)

    def gradient(self, scales: Mapping[str, float]) -> tuple[float, Mapping[str, float]]:
        """See `MarginalLikelihood`.

        Notes
        -----
        With v = (1, -m), m the conditional mean and V the conditional covariance, a change dM of the cross-products
        moves the log likelihood by -(v'dM v + tr(V dM)) / 2 (the EM identity of MODEL.md section 4).
        """
        system = self._system({name: np.array([value]) for name, value in scales.items()})
        try:
            root = np.linalg.cholesky(system.precision[0])
        except np.linalg.LinAlgError:
            return -math.inf, {}
        inverse_root = np.linalg.solve(root, np.eye(len(root)))
        covariance = inverse_root.T @ inverse_root
        half = inverse_root @ system.pull[0]
        mean = inverse_root.T @ half
        value = float(system.constant[0] - (system.squares[0] - half @ half) / 2)
        value -= float(np.log(np.diag(root)).sum())
        width = np.r_[1.0, system.width[0]]
        direction = np.r_[1.0, -mean] * width
        spread = np.zeros((len(width), len(width)))
        spread[1:, 1:] = covariance
        spread = spread * np.outer(width, width) + np.outer(direction, direction)
        slopes = dict(self.covariance.slopes(spread, scales))
        for name, at in self.coefficients.pooled.items():
            slopes[name] = float((mean[at] ** 2 + np.diag(covariance)[at]).sum()) - len(at)
        return value, slopes

    def conditional(self, scales: Scales) -> DenseConditional:
        """See `MarginalLikelihood`."""
        means = self.covariance.means_over_units(scales)
        if means is None:
            return conditional_of(self.covariance.cross_products(scales), self.coefficients, scales)
        covariance_root, half = _solved(self._system(scales))
        back = np.broadcast_to(self.coefficients.transform, covariance_root.shape)
        loadings = np.concatenate([back, -means.pull[:, :, 1:]], axis=1)
        covariance_root = loadings @ covariance_root
        mean = np.einsum("sij,sj->si", covariance_root, half)
        mean[:, self.n_coefficients :] += means.pull[:, :, 0]
        noise = np.zeros((*mean.shape, len(self.unit_means)))
        noise[:, self.n_coefficients :] = means.root
        return DenseConditional(mean, np.concatenate([covariance_root, noise], axis=2))

    def compact_conditional(self, scales: Scales, *, means: bool = True) -> Conditional:
        """See `MarginalLikelihood`."""
        if means:
            return self.conditional(scales)
        return conditional_of(self.covariance.cross_products(scales), self.coefficients, scales)


def _at(scales: Scales, part: slice) -> Scales:
    return {name: values[part] for name, values in scales.items()}


def log_density(products: CrossProducts, coefficients: Coefficients, scales: Scales) -> Array:
    """Return log p(y | scales), shape (S,), from cross-products under the inverse covariance of the residuals.

    Raises
    ------
    numpy.linalg.LinAlgError
        Double precision cannot tell, at one of the points.
    """
    system = _system(products, coefficients, scales)
    root = np.linalg.cholesky(system.precision)
    half = forward(root, system.pull[..., None])[..., 0]
    log_det = np.log(np.einsum("sii->si", root)).sum(axis=1)
    return np.asarray(system.constant - (system.squares - np.einsum("si,si->s", half, half)) / 2 - log_det)


def conditional_of(products: CrossProducts, coefficients: Coefficients, scales: Scales) -> DenseConditional:
    """Return the coefficients given scales, in the model's own units; errors as `log_density`."""
    covariance_root, half = _solved(_system(products, coefficients, scales))
    covariance_root = np.broadcast_to(coefficients.transform, covariance_root.shape) @ covariance_root
    return DenseConditional(np.einsum("sij,sj->si", covariance_root, half), covariance_root)


def _solved(system: _System) -> tuple[Array, Array]:
    """Return a root of the covariance of the columns' coefficients, (S, p, p), and what it maps to the mean, (S, p)."""
    root = np.linalg.cholesky(system.precision)
    inverse = forward(root, np.broadcast_to(np.eye(root.shape[1]), root.shape))
    return np.swapaxes(inverse, 1, 2) * system.width[:, :, None], np.einsum("sij,sj->si", inverse, system.pull)


def _system(products: CrossProducts, coefficients: Coefficients, scales: Scales) -> _System:
    """Return the normal equations of the coefficients, pooled ones over their scale.

    In that unit the prior precision of a pooled coefficient is one, so that the equations stay well conditioned from a
    scale of zero to one without bound, where its columns repeat the common slope's.
    """
    location, n_flat = coefficients.location, coefficients.n_flat
    n, p = len(next(iter(scales.values()))), location.shape[1]
    normal = location[0] > 0
    constant: Array = np.full(n, coefficients.log_volume + float(np.log(location[0][normal]).sum() / 2))
    constant = constant + (n_flat - int(normal.sum())) / 2 * LOG_2PI
    for term in products.constant:
        constant = constant + term
    gram = products.gram
    width = np.ones((n, p))
    prior = np.tile(location[0], (n, 1))
    for name, at in coefficients.pooled.items():
        width[:, at] = scales[name][:, None]
        prior[:, at] = 1.0
    precision = gram[:, 1:, 1:] * width[:, :, None] * width[:, None, :]
    diagonal = np.einsum("sii->si", precision)
    diagonal += prior
    pull = gram[:, 1:, 0] * width + location[0] * location[1]
    squares = gram[:, 0, 0] + float(location[0] @ location[1] ** 2)
    return _System(precision, pull, squares, constant, width)
