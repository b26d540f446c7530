"""The collapsed posterior: coefficients integrated out exactly, the density left to the scales alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from cbec_bayes.bayes.likelihood.conditional import Conditional, DenseConditional, chunks
from cbec_bayes.bayes.likelihood.marginal import MarginalLikelihood
from cbec_bayes.bayes.likelihood.parameter import Parameter
from cbec_bayes.bayes.likelihood.residual_covariance import ErrorModel
from cbec_bayes.bayes.model.densities import log_density
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.panel.within import Array

_IMPOSSIBLE = 1e5  # points whose prior is lower than another's by this much are not worth a likelihood


@dataclass(frozen=True, slots=True)
class Collapsed:
    """The posterior density of the scales of a Gaussian member, and what follows from it.

    A point has the coordinate of every sampled parameter: the logarithm of a scale, the inverse hyperbolic tangent of a
    correlation.

    Attributes
    ----------
    parameters
        Those that are sampled, in order: residual scales first.
    fixed
        Scales that are held, by name.
    likelihood
        Likelihood of the scales, with the coefficients integrated out.
    errors
        What units and single rows are given the scales.
    located
        Where the mode is known to be, by name of the parameter, in its coordinate.
    """

    parameters: tuple[Parameter, ...]
    fixed: Mapping[str, float]
    likelihood: MarginalLikelihood
    errors: ErrorModel
    located: Mapping[str, float] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the sampled parameters, in the order of a point's coordinates."""
        return tuple(one.name for one in self.parameters)

    @property
    def priors(self) -> dict[str, Prior]:
        """Prior of each sampled parameter, resolved."""
        return {one.name: one.prior for one in self.parameters}

    @property
    def n_coefficients(self) -> int:
        """Number of coefficients that the density integrates over."""
        return self.likelihood.n_coefficients

    @property
    def n_conditional(self) -> int:
        """Number of coefficients of a conditional: those, and the means over units of slopes integrated out."""
        return self.n_coefficients + len(self.unit_means)

    @property
    def unit_means(self) -> tuple[str, ...]:
        """Names of the means over units that stand behind the coefficients in a conditional."""
        return self.likelihood.unit_means

    @property
    def is_separated(self) -> bool:
        """Whether nothing is lost to rounding, however far one scale is above another."""
        return self.likelihood.is_separated

    @property
    def sigmas(self) -> tuple[str, ...]:
        """Name of each stratum's residual scale."""
        return self.errors.sigmas

    def scales(self, point: Array) -> dict[str, Array]:
        """Return every scale, and the correlation of errors, by name, each of shape (S,), at points of shape (S, k)."""
        found = {one.name: one.transformation.value(point[:, i]) for i, one in enumerate(self.parameters)}
        return found | {name: np.full(len(point), value) for name, value in self.fixed.items()}

    def point(self, values: Mapping[str, Array]) -> Array:
        """Return the point, shape (k,), or points, (S, k), of values of the parameters by name, numbers or (S,)."""
        found = [one.transformation.coordinate(values[one.name]) for one in self.parameters]
        return np.stack(found, axis=-1) if found else np.zeros(0)

    def holding(self, values: Mapping[str, float]) -> Collapsed:
        """Return the density of the other parameters where some are held at values."""
        left = tuple(one for one in self.parameters if one.name not in values)
        return replace(self, parameters=left, fixed={**self.fixed, **values})

    def log_likelihood(self, point: Array) -> Array:
        """Return log p(y | scales), shape (S,), at points of shape (S, k)."""
        return self.likelihood.log_likelihood(self.scales(point))

    def log_prior(self, point: Array) -> Array:
        """Return the log density of the scales themselves (no Jacobian), shape (S,)."""
        scales = self.scales(point)
        terms = [log_density(one.prior, scales[one.name])[0] for one in self.parameters]
        return np.asarray(np.sum(terms, axis=0)) if terms else np.zeros(len(point))

    def _log_jacobian(self, point: Array) -> Array:
        terms = [one.transformation.log_jacobian(point[:, i]) for i, one in enumerate(self.parameters)]
        return np.asarray(np.sum(terms, axis=0)) if terms else np.zeros(len(point))

    def log_posterior(self, point: Array) -> Array:
        """Return log p(y | scales) plus the log density of the coordinates, shape (S,), at points of shape (S, k).

        Every constant is in it, so that its integral is the evidence; see `cbec_bayes.bayes.sampling.evidence`.
        """
        found = self.log_prior(point) + self._log_jacobian(point)
        likely = found > found.max(initial=-np.inf) - _IMPOSSIBLE
        for i, one in enumerate(self.parameters):
            likely &= one.transformation.is_inside(point[:, i])
        found[likely] += self.log_likelihood(point[likely])
        found[~likely] = -np.inf
        return found

    def start(self) -> Array:
        """Return where a search for the mode begins, shape (k,): near it, or what the priors find likely."""
        return np.array([self.located.get(one.name, one.start()) for one in self.parameters])

    def gradient(self, point: Array) -> tuple[float, Array]:
        """Return the log posterior at one point, shape (k,), and its gradient."""
        if self.likelihood.is_scalar:
            return self._scalar_gradient(point)
        scales = {name: float(value[0]) for name, value in self.scales(point[None]).items()}
        if not all(one.transformation.is_inside(at) for one, at in zip(self.parameters, point, strict=True)):
            return -math.inf, np.zeros(len(point))
        value, slopes = self.likelihood.gradient(scales)
        if not slopes:
            return -math.inf, np.zeros(len(point))
        prior = [log_density(one.prior, np.array(scales[one.name])) for one in self.parameters]
        value += sum(float(density) for density, _ in prior) + float(self._log_jacobian(point[None])[0])
        found = [
            slopes[one.name] + float(slope) + one.transformation.log_jacobian_slope(scales[one.name])
            for one, (_, slope) in zip(self.parameters, prior, strict=True)
        ]
        return value, np.array(found)

    def _scalar_gradient(self, point: Array) -> tuple[float, Array]:
        """Do it in plain numbers, which for a likelihood of microseconds takes half the time of arrays of one."""
        scales = {one.name: one.transformation.number(at) for one, at in zip(self.parameters, point, strict=True)}
        value, slopes = self.likelihood.gradient(scales | dict(self.fixed))
        found = []
        for one, at in zip(self.parameters, point, strict=True):
            scale = scales[one.name]
            density, slope = log_density(one.prior, np.asarray(scale))
            value += float(density) + float(one.transformation.log_jacobian(at))
            found.append(slopes[one.name] + float(slope) + one.transformation.log_jacobian_slope(scale))
        return value, np.array(found)

    def conditional(self, point: Array) -> DenseConditional:
        """Return the coefficients given points of the scales, shape (S, k), in the model's own units."""
        return self.likelihood.conditional(self.scales(point))

    def conditionals(self, points: Array, *, means: bool = True) -> Iterator[Conditional]:
        """Yield the same, with the means over units or without, part by part of the points and in order.

        It is in the form that takes least memory and time.
        """
        for part in chunks(len(points), self.likelihood.conditional_size):
            yield self.likelihood.compact_conditional(self.scales(points[part]), means=means)

    def linear(self, points: Array, loadings: Array) -> tuple[Array, Array]:
        """Return mean and variance of sums of coefficients given points of the scales; see `Conditional.linear`.

        Loadings have shape (m, `n_conditional`), or (m, `n_coefficients`) where none of them is of a mean over units;
        without such means each point takes less time.
        """
        p = self.n_coefficients
        means = bool(loadings[:, p:].any())
        asked = loadings if means else loadings[:, :p]
        parts = [one.linear(asked) for one in self.conditionals(points, means=means)]
        mean, variance = (np.concatenate(found) for found in zip(*parts, strict=True))
        return mean, variance
