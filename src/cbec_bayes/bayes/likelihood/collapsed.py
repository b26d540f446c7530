"""The collapsed posterior: location parameters integrated out exactly, the density left to the scales alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.bayes.likelihood.diagonal import Diagonal
from cbec_bayes.bayes.model.densities import RHO, log_density, start
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.moments.by_unit import Moments, Stratum
from cbec_bayes.bayes.moments.lagged import Lagged
from cbec_bayes.bayes.moments.unit_slopes import UnitSlopes, UnitSums
from cbec_bayes.panel.within import Array

LOG_2PI = math.log(2 * math.pi)
_CHUNK = 2**21
_IMPOSSIBLE = 1e5  # points whose prior is lower than another's by this much are not worth a likelihood


@dataclass(frozen=True, slots=True)
class Conditional:
    """Location parameters given scales: normal, with these moments.

    Attributes
    ----------
    mean
        Shape (S, p).
    root
        Factor R with covariance R R', shape (S, p, p).

    Where slopes of units were integrated out their mean over units is one coefficient more, the last.
    """

    mean: Array
    root: Array


@dataclass(frozen=True, slots=True)
class _System:
    """Normal equations at S points: precision (S, p, p), pull (S, p), y'y (S,), constant (S,), units (S, p)."""

    precision: Array
    pull: Array
    squares: Array
    constant: Array
    width: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Collapsed:
    """log p(y | scales) of a Gaussian member, and what follows from it.

    Attributes
    ----------
    moments
        Of the outcome, then of every kept coefficient's column.
    names
        Sampled scales in order: the residual's (one, or one per stratum as ``sigma[east]``), then the others.
    priors
        Of each sampled scale, resolved.
    fixed
        Scales that a ``fixed`` prior holds, by name.
    n_flat
        How many coefficients have no scale; they come first.
    location
        Normal priors of flat coefficients: precision and mean, shape (2, p); zero precision where flat.
    pooled
        Scale's name to the positions, from 0, of the coefficients it pools.
    unit_scale
        Name of the unit effects' scale; None where they are flat.
    transform
        From the coefficients of the moments' columns to those of the model's, shape (p, p). The columns of flat
        coefficients are made orthonormal, and the others orthogonal to them, before moments are taken: means beside
        the regressors that they are means of would otherwise cost half the digits.
    log_volume
        Logarithm of the determinant of `transform`, and of what was absorbed.
    absorbed
        Flat coefficients that the moments are already free of.
    lagged
        Of errors that are correlated over time, in the place of the moments' cross-products; unit effects are then
        coefficients like others.
    unit_slopes
        Of slopes of units that are integrated out, by stratum; empty where there are none. The moments within units are
        those of what the slopes leave of the columns.
    diagonal
        Where one scale pools all that is left: the same in coordinates in which the coefficients are independent.
    reduced
        The same density with every flat coefficient absorbed, where that does not depend on the scales (unit effects
        flat, one residual scale); what the sampler evaluates.
    """

    moments: Moments
    names: tuple[str, ...]
    priors: Mapping[str, Prior]
    fixed: Mapping[str, float]
    n_flat: int
    location: Array
    pooled: Mapping[str, NDArray[np.intp]]
    unit_scale: str | None
    transform: Array
    log_volume: float
    absorbed: int = 0
    lagged: Lagged | None = None
    unit_slopes: Mapping[str, UnitSlopes] = field(default_factory=dict)
    diagonal: Diagonal | None = None
    reduced: Collapsed | None = None

    @property
    def n_coefficients(self) -> int:
        """Number of location parameters that the density integrates over, unit effects aside."""
        return len(self.moments.columns) - 1

    @property
    def n_given(self) -> int:
        """Number of coefficients of `conditional`: one more where slopes of units were integrated out, their mean."""
        return self.n_coefficients + bool(self.unit_slopes)

    @property
    def sigmas(self) -> tuple[str, ...]:
        """Name of each stratum's residual scale."""
        return tuple(f"sigma[{label}]" if label else "sigma" for label in self.moments.strata)

    @property
    def _strata(self) -> list[tuple[str, Stratum]]:
        """Residual scales with the cross-products that they weigh; none where errors are correlated."""
        return [] if self.lagged is not None else list(zip(self.sigmas, self.moments.strata.values(), strict=True))

    def scales(self, point: Array) -> dict[str, Array]:
        """Return every scale, and the correlation of errors, by name, each of shape (S,).

        Parameters
        ----------
        point
            Logarithms of the scales, and the inverse hyperbolic tangent of the correlation; shape (S, k).
        """
        found = {
            name: np.tanh(point[:, i]) if name == RHO else np.exp(point[:, i]) for i, name in enumerate(self.names)
        }
        return found | {name: np.full(len(point), value) for name, value in self.fixed.items()}

    def log_likelihood(self, point: Array) -> Array:
        """Return log p(y | scales), unit effects integrated out as well, shape (S,).

        Parameters
        ----------
        point
            Logarithms of the scales, shape (S, k).

        Notes
        -----
        Under flat priors this is the restricted likelihood, with their constant: integrals over all of the real line.
        """
        if self.reduced is not None:
            return self.reduced.log_likelihood(point)
        if self.diagonal is not None:
            scales = self.scales(point)
            return self.diagonal.log_likelihood(scales["sigma"], scales[self.diagonal.scale])
        step = max(1, _CHUNK // (self.n_coefficients + 1) ** 2)
        blocks = [self._log_likelihood(point[i : i + step]) for i in range(0, len(point), step)]
        return np.concatenate(blocks) if blocks else np.empty(0)

    def _sums(self, scales: Mapping[str, Array]) -> dict[str, UnitSums]:
        """Return what slopes of units take, by the name of the residual scale; empty where there are none."""
        with np.errstate(divide="ignore"):
            return {
                name: self.unit_slopes[label].sums((scales[name] / scales["kappa"]) ** 2)
                for name, label in zip(self.sigmas, self.moments.strata, strict=True)
                if self.unit_slopes
            }

    def _log_likelihood(self, point: Array) -> Array:
        system = self._system(self.scales(point))
        try:
            root = np.linalg.cholesky(system.precision)
        except np.linalg.LinAlgError:
            # A scale so far out that its square swamps everything else in double precision: no such point counts.
            if len(point) == 1:
                return np.array([-np.inf])
            return np.concatenate([self._log_likelihood(one[None]) for one in point])
        half = np.linalg.solve(root, system.pull[..., None])[..., 0]
        log_det = np.log(np.einsum("sii->si", root)).sum(axis=1)
        return np.asarray(system.constant - (system.squares - np.einsum("si,si->s", half, half)) / 2 - log_det)

    def _system(self, scales: Mapping[str, Array]) -> _System:
        """Return the normal equations of the coefficients, pooled ones over their scale.

        In that unit the prior precision of a pooled coefficient is one, so that the equations stay well conditioned
        from a scale of zero to one without bound, where its columns repeat the common slope's.
        """
        weights: list[Array] = []
        matrices: list[Array] = []
        n = len(next(iter(scales.values())))
        normal = self.location[0] > 0
        constant: Array = np.full(n, self.log_volume + float(np.log(self.location[0][normal]).sum() / 2))
        constant = constant + (self.n_flat - int(normal.sum())) / 2 * LOG_2PI
        if self.lagged is not None:
            weights = self.lagged.weights(scales[RHO], scales["sigma"])
            matrices = self.lagged.matrices()
            constant = constant - self.lagged.n_obs * (np.log(scales["sigma"]) + LOG_2PI / 2)
            constant = constant - self.lagged.log_det(scales[RHO])
        sums = self._sums(scales)
        for name, stratum in self._strata:
            sigma = scales[name]
            weights.append(1 / sigma**2)
            matrices.append(stratum.within)
            constant = constant - (stratum.n_obs - self.absorbed) * (np.log(sigma) + LOG_2PI / 2)
            if name in sums:
                constant = constant - sums[name].log_det
            if self.unit_scale is None:
                constant = constant + stratum.n_units * (np.log(sigma) + LOG_2PI / 2) - stratum.log_sizes / 2
                continue
            ratio = scales[self.unit_scale] ** 2 / sigma**2
            for size, count, between in zip(stratum.sizes, stratum.counts, stratum.between, strict=True):
                weights.append(1 / (sigma**2 * (1 + size * ratio)))
                matrices.append(between)
                constant = constant - count / 2 * np.log1p(size * ratio)
        p = self.n_coefficients
        gram = (np.stack(weights, axis=1) @ np.stack(matrices).reshape(len(matrices), -1)).reshape(n, p + 1, p + 1)
        for name, own in sums.items():
            gram += own.gram / scales[name][:, None, None] ** 2
        width = np.ones((n, p))
        prior = np.tile(self.location[0], (n, 1))
        for name, at in self.pooled.items():
            width[:, at] = scales[name][:, None]
            prior[:, at] = 1.0
        precision = gram[:, 1:, 1:] * width[:, :, None] * width[:, None, :]
        diagonal = np.einsum("sii->si", precision)
        diagonal += prior
        pull = gram[:, 1:, 0] * width + self.location[0] * self.location[1]
        squares = gram[:, 0, 0] + float(self.location[0] @ self.location[1] ** 2)
        return _System(precision, pull, squares, constant, width)

    def log_prior(self, point: Array) -> Array:
        """Return the log density of the scales themselves (no Jacobian), shape (S,)."""
        scales = self.scales(point)
        terms = [log_density(self.priors[name], scales[name])[0] for name in self.names]
        return np.asarray(np.sum(terms, axis=0)) if terms else np.zeros(len(point))

    def log_posterior(self, point: Array) -> Array:
        """Return the log density of the logarithms of the scales, up to a constant, shape (S,)."""
        found = self.log_prior(point) + self._log_jacobian(point)
        likely = found > found.max(initial=-np.inf) - _IMPOSSIBLE
        if self.lagged is not None:  # so near to one that it cannot be told from it
            likely &= np.abs(self.scales(point)[RHO]) < 1
        found[likely] += self.log_likelihood(point[likely])
        found[~likely] = -np.inf
        return found

    def _log_jacobian(self, point: Array) -> Array:
        terms = [-2 * np.log(np.cosh(point[:, i])) if name == RHO else point[:, i] for i, name in enumerate(self.names)]
        return np.asarray(np.sum(terms, axis=0)) if terms else np.zeros(len(point))

    def start(self) -> Array:
        """Return a point that the priors find likely, shape (k,)."""
        values = [start(self.priors[name]) for name in self.names]
        return np.array([np.arctanh(v) if n == RHO else np.log(v) for n, v in zip(self.names, values, strict=True)])

    def gradient(self, point: Array) -> tuple[float, Array]:
        """Return the log posterior at one point, shape (k,), and its gradient.

        Notes
        -----
        With v = (1, -m), m the conditional mean and V the conditional covariance, a change dM of the cross-products
        moves the log likelihood by -(v'dM v + tr(V dM)) / 2 (the EM identity of MODEL.md section 4).
        """
        if self.reduced is not None:
            return self.reduced.gradient(point)
        if self.diagonal is not None:
            return self._diagonal_gradient(point, self.diagonal)
        one = self.scales(point[None])
        scales = {name: float(value[0]) for name, value in one.items()}
        if self.lagged is not None and abs(scales[RHO]) == 1:
            return -np.inf, np.zeros(len(point))
        system = self._system(one)
        try:
            root = np.linalg.cholesky(system.precision[0])
        except np.linalg.LinAlgError:
            return -np.inf, np.zeros(len(point))
        inverse_root = np.linalg.solve(root, np.eye(len(root)))
        covariance = inverse_root.T @ inverse_root
        half = inverse_root @ system.pull[0]
        mean = inverse_root.T @ half
        value = float(system.constant[0] - (system.squares[0] - half @ half) / 2)
        value -= float(np.log(np.diag(root)).sum())
        width = np.r_[1.0, system.width[0]]
        direction = np.r_[1.0, -mean] * width
        full = np.zeros((len(width), len(width)))
        full[1:, 1:] = covariance
        full = full * np.outer(width, width) + np.outer(direction, direction)
        slope = dict.fromkeys(self.names, 0.0)

        def move(name: str, by: float) -> None:
            if name in slope:
                slope[name] += by

        if self.lagged is not None:
            by_sigma, by_rho = self.lagged.slopes(full, scales[RHO], scales["sigma"])
            move("sigma", by_sigma - self.lagged.n_obs)
            move(RHO, by_rho * (1 - scales[RHO] ** 2))
        for (name, stratum), label in zip(self._strata, self.moments.strata, strict=False):
            sigma = scales[name]
            move(name, float(np.sum(full * stratum.within)) / sigma**2 - stratum.n_obs + self.absorbed)
            if self.unit_slopes:
                by_sigma, by_kappa = self.unit_slopes[label].slopes(full, sigma, scales["kappa"])
                move(name, by_sigma)
                move("kappa", by_kappa)
            if self.unit_scale is None:
                move(name, stratum.n_units)
                continue
            mu = scales[self.unit_scale]
            for size, count, between in zip(stratum.sizes, stratum.counts, stratum.between, strict=True):
                total = sigma**2 + size * mu**2
                pull = float(np.sum(full * between)) / total**2
                move(name, pull * sigma**2 + count * size * mu**2 / total)
                move(self.unit_scale, pull * size * mu**2 - count * size * mu**2 / total)
        for name, at in self.pooled.items():
            move(name, float((mean[at] ** 2 + np.diag(covariance)[at]).sum()) - len(at))
        prior = [log_density(self.priors[name], np.array(scales[name])) for name in self.names]
        value += sum(float(density) for density, _ in prior) + float(self._log_jacobian(point[None])[0])
        jacobian = [-2 * scales[RHO] if name == RHO else 1.0 for name in self.names]
        found = [slope[n] + float(s) + j for n, (_, s), j in zip(self.names, prior, jacobian, strict=True)]
        return value, np.array(found)

    def _diagonal_gradient(self, point: Array, diagonal: Diagonal) -> tuple[float, Array]:
        scales = {name: math.exp(value) for name, value in zip(self.names, point, strict=True)} | dict(self.fixed)
        value, by_sigma, by_scale = diagonal.gradient(scales["sigma"], scales[diagonal.scale])
        slopes = {"sigma": by_sigma, diagonal.scale: by_scale}
        found = []
        for name, log_scale in zip(self.names, point, strict=True):
            density, slope = log_density(self.priors[name], np.asarray(scales[name]))
            value += float(density) + float(log_scale)
            found.append(slopes[name] + float(slope) + 1.0)
        return value, np.array(found)

    def conditional(self, point: Array) -> Conditional:
        """Return the distribution of the coefficients given scales, in their own units."""
        scales = self.scales(point)
        system = self._system(scales)
        root = np.linalg.cholesky(system.precision)
        inverse = np.linalg.solve(root, np.broadcast_to(np.eye(root.shape[1]), root.shape))
        covariance_root = np.swapaxes(inverse, 1, 2) * system.width[:, :, None]
        back = np.broadcast_to(self.transform, covariance_root.shape)
        half = np.einsum("sij,sj->si", inverse, system.pull)
        if not self.unit_slopes:
            covariance_root = back @ covariance_root
            return Conditional(np.einsum("sij,sj->si", covariance_root, half), covariance_root)
        # The mean slope over units, given the coefficients: what the outcome has of it less what they have.
        sums = self._sums(scales)
        n_units = sum(len(one.squares) for one in self.unit_slopes.values())
        pull = np.sum([one.pull for one in sums.values()], axis=0) / n_units
        variance = np.sum([scales[name] ** 2 * one.spread for name, one in sums.items()], axis=0) / n_units**2
        loadings = np.concatenate([back, -pull[:, None, 1:]], axis=1)
        covariance_root = loadings @ covariance_root
        mean = np.einsum("sij,sj->si", covariance_root, half)
        mean[:, -1] += pull[:, 0]
        noise = np.zeros((*mean.shape, 1))
        noise[:, -1, 0] = np.sqrt(variance)
        return Conditional(mean, np.concatenate([covariance_root, noise], axis=2))
