"""The collapsed posterior: location parameters integrated out exactly, the density left to the scales alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.bayes.blocks import Block, Blocks
from cbec_bayes.bayes.lags import Lagged, lagged_of
from cbec_bayes.bayes.moments import Moments, moments_of
from cbec_bayes.bayes.priors import CORRELATION, RHO, log_density, resolve, start
from cbec_bayes.errors import InputError
from cbec_bayes.spec import Prior
from cbec_bayes.within import Array, means_by

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
    """

    mean: Array
    root: Array


@dataclass(frozen=True, slots=True)
class Diagonal:
    """The density of two scales, sigma and one that pools q coefficients, after an eigendecomposition.

    Attributes
    ----------
    scale
        Name of the pooling scale.
    values
        Eigenvalues of the coefficients' cross-products, shape (q,).
    squares
        Squared cross-products with the outcome in the eigenvectors' coordinates, shape (q,).
    total
        y'y.
    free
        Degrees of freedom of the residuals when the pooling scale is zero.
    constant
        What depends on no scale.
    """

    scale: str
    values: Array
    squares: Array
    total: float
    free: int
    constant: float

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


@dataclass(frozen=True, slots=True)
class _System:
    """Normal equations at S points: precision (S, p, p), pull (S, p), y'y (S,), constant (S,), units (S, p)."""

    precision: Array
    pull: Array
    squares: Array
    constant: Array
    width: Array


@dataclass(frozen=True, slots=True)
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
    diagonal: Diagonal | None = None
    reduced: Collapsed | None = None

    @property
    def n_coefficients(self) -> int:
        """Number of location parameters that the density integrates over, unit effects aside."""
        return len(self.moments.columns) - 1

    @property
    def sigmas(self) -> tuple[str, ...]:
        """Name of each stratum's residual scale."""
        return tuple(f"sigma[{label}]" if label else "sigma" for label in self.moments.strata)

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
        for name, stratum in zip(self.sigmas, self.moments.strata.values(), strict=True):
            if self.lagged is not None:
                break
            sigma = scales[name]
            weights.append(1 / sigma**2)
            matrices.append(stratum.within)
            constant = constant - (stratum.n_obs - self.absorbed) * (np.log(sigma) + LOG_2PI / 2)
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
        for name, stratum in zip(self.sigmas, self.moments.strata.values(), strict=True):
            if self.lagged is not None:
                break
            sigma = scales[name]
            move(name, float(np.sum(full * stratum.within)) / sigma**2 - stratum.n_obs + self.absorbed)
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
        system = self._system(self.scales(point))
        root = np.linalg.cholesky(system.precision)
        inverse = np.linalg.solve(root, np.broadcast_to(np.eye(root.shape[1]), root.shape))
        covariance_root = self.transform @ (np.swapaxes(inverse, 1, 2) * system.width[:, :, None])
        mean = np.einsum("sij,sj->si", covariance_root, np.einsum("sij,sj->si", inverse, system.pull))
        return Conditional(mean, covariance_root)


def make_collapsed(blocks: Blocks) -> Collapsed:
    """Prepare the collapsed posterior of a model on a design.

    Raises
    ------
    InputError
        The model is not Gaussian; errors are correlated over periods that are not whole numbers.
    """
    model, design = blocks.model, blocks.design
    if not model.is_gaussian:
        raise InputError(f"the residuals of '{model.name}' cannot be collapsed; the PyMC engine fits them")
    lagged = model.residual == "ar1"
    blocks = with_unit_effects(blocks) if lagged else blocks
    priors = resolve(model, design)
    names = ("y", *coefficient_names(blocks))
    unit_scale = None if model.unit_effect == "fixed" or lagged else "sigma_mu"
    n_flat = blocks.n_flat
    location = np.zeros((2, len(names) - 1))
    pooled: dict[str, NDArray[np.intp]] = {}
    at = 0
    for block in blocks.every:
        where = np.arange(at, at + len(block.kept))
        at += len(block.kept)
        if block.scale is not None:
            pooled[block.scale] = where
        elif block.name in SLOPES:
            for position, prior in zip(where, _location_priors(block, priors), strict=True):
                if prior.dist == "normal":
                    location[:, position] = 1 / prior.params["sd"] ** 2, prior.params["mean"]
    free = np.flatnonzero((np.arange(len(names) - 1) < n_flat) & (location[0] == 0))
    x, transform, log_volume = _orthogonal(blocks.x, free, design.unit, demean=unit_scale is None and not lagged)
    columns = np.column_stack([design.y, x])
    by_group = model.residual == "by_group" and design.group is not None
    moments = (
        moments_of(columns, names, design.unit, design.group, design.groups)
        if by_group
        else moments_of(columns, names, design.unit)
    )
    sigma_names = [f"sigma[{label}]" if label else "sigma" for label in moments.strata]
    scale_priors = dict.fromkeys(sigma_names, priors["sigma"]) | {name: priors[name] for name in pooled}
    if unit_scale is not None:
        scale_priors[unit_scale] = priors[unit_scale]
    if lagged:
        scale_priors[RHO] = CORRELATION
    fixed = {name: prior.params["value"] for name, prior in scale_priors.items() if prior.dist == "fixed"}
    sampled = {name: prior for name, prior in scale_priors.items() if name not in fixed}
    full = Collapsed(
        moments,
        tuple(sampled),
        sampled,
        fixed,
        n_flat,
        location,
        pooled,
        unit_scale,
        transform,
        log_volume,
        lagged=lagged_of(columns, design) if lagged else None,
    )
    absorbable = len(free) == n_flat and unit_scale is None and not by_group and not lagged
    return replace(full, reduced=_reduced(full)) if absorbable else full


def with_unit_effects(blocks: Blocks) -> Blocks:
    """Return blocks with the unit effects among them, for errors that keep them from being eliminated by means."""
    design, pooled = blocks.design, blocks.model.unit_effect != "fixed"
    columns = (design.unit[:, None] == np.arange(len(design.units))).astype(float)
    every = tuple(range(len(design.units)))
    block = Block("unit_effect", ("unit",), (design.units,), columns, "sigma_mu" if pooled else None, every)
    if pooled:
        return replace(blocks, pooled=(*blocks.pooled, block))
    return replace(blocks, flat=(*blocks.flat, block))


def _orthogonal(
    x: Array, free: NDArray[np.intp], unit: NDArray[np.intp], *, demean: bool
) -> tuple[Array, Array, float]:
    """Make columns with flat coefficients orthonormal, and the others orthogonal to them, less unit means where asked.

    Returns the columns, the map from their coefficients to those of x, and its log determinant. The coefficients of the
    other columns, and so their priors, stay what they are.
    """
    within = x - means_by(unit, x)[unit] if demean else x
    size = np.linalg.norm(within[:, free], axis=0)
    q, triangle = np.linalg.qr(within[:, free] / size)
    signs = np.where(np.diag(triangle) < 0, -1.0, 1.0)  # or machines would differ in the sign of a draw
    q, triangle = q * signs, triangle * signs[:, None]
    back = np.linalg.solve(triangle, np.eye(len(free))) / size[:, None]
    others = np.setdiff1d(np.arange(x.shape[1]), free)
    transform = np.eye(x.shape[1])
    transform[np.ix_(free, free)] = back
    transform[np.ix_(free, others)] = -back @ (q.T @ within[:, others])
    return x @ transform, transform, -float(np.log(np.diag(triangle) * size).sum())


def _reduced(full: Collapsed) -> Collapsed:
    """Absorb the flat coefficients, whose columns are orthonormal, into the outcome and the pooled columns."""
    (stratum,) = full.moments.strata.values()
    flat = slice(1, 1 + full.n_flat)
    kept = np.r_[0, 1 + full.n_flat : len(full.moments.columns)]
    w = stratum.within
    within = w[np.ix_(kept, kept)] - w[kept, flat] @ np.linalg.solve(w[flat, flat], w[flat, kept])
    log_volume = full.log_volume - float(np.linalg.slogdet(w[flat, flat])[1]) / 2
    moments = Moments(
        tuple(full.moments.columns[k] for k in kept),
        {"": replace(stratum, within=within, between=stratum.between[:, kept][:, :, kept])},
    )
    n_pooled = len(kept) - 1
    diagonal = None
    if len(full.pooled) == 1:
        values, vectors = np.linalg.eigh(within[1:, 1:])
        (name,) = full.pooled
        constant = log_volume - stratum.log_sizes / 2 - (stratum.n_obs - stratum.n_units - full.n_flat) / 2 * LOG_2PI
        diagonal = Diagonal(
            name,
            np.where(values > len(values) * np.finfo(float).eps * values.max(initial=0), values, 0.0),
            (vectors.T @ within[1:, 0]) ** 2,
            float(within[0, 0]),
            stratum.n_obs - stratum.n_units - full.n_flat,
            constant,
        )
    return replace(
        full,
        moments=moments,
        n_flat=0,
        location=np.zeros((2, n_pooled)),
        pooled={name: at - full.n_flat for name, at in full.pooled.items()},
        transform=np.eye(n_pooled),
        log_volume=log_volume,
        absorbed=full.n_flat,
        diagonal=diagonal,
    )


SLOPES = {
    "slope": "slope",
    "group_total_slope": "slope",
    "control_slope": "control_slope",
    "group_total_control_slope": "control_slope",
}
"""Flat blocks that a prior of the model file is about, and that prior's name."""


def _location_priors(block: Block, priors: Mapping[str, Prior]) -> list[Prior]:
    if SLOPES[block.name] == "slope":
        return [priors["slope"]] * len(block.kept)
    labels = [control for control in block.labels[0] for _ in range(int(np.prod(block.shape[1:], dtype=int)))]
    return [priors[f"control_slope[{labels[k]}]"] for k in block.kept]


def coefficient_names(blocks: Blocks) -> tuple[str, ...]:
    """Return a name for every kept coefficient, as ``group_slope[east]``."""
    names: list[str] = []
    for block in blocks.every:
        every = [block.name]
        for labels in block.labels:
            every = [f"{name}[{label}]" for name in every for label in labels]
        names.extend(every[k] for k in block.kept)
    return tuple(names)
