"""Errors with what units have of their own: correlation over time, levels, slopes, trends, and a spread by group."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from cbec_bayes.bayes.likelihood.conditional import DenseConditional
from cbec_bayes.bayes.likelihood.marginal import LOG_2PI, Scales
from cbec_bayes.bayes.likelihood.residual_covariance import (
    Conditionals,
    CrossProducts,
    RowsGivenOthers,
    UnitMeans,
    mean_names,
)
from cbec_bayes.bayes.likelihood.rows import sigma_of_rows, stepwise_log_density
from cbec_bayes.bayes.likelihood.triangular import squared
from cbec_bayes.bayes.likelihood.unit_rows import unit_rows
from cbec_bayes.bayes.likelihood.unit_systems import UnitSystems, unit_systems
from cbec_bayes.bayes.model.blocks import Blocks
from cbec_bayes.bayes.model.densities import RHO
from cbec_bayes.bayes.moments.lags import Lags
from cbec_bayes.bayes.moments.unit_directions import Directions, UnitProducts, directions_of, unit_products
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array, Codes, sums_by
from cbec_bayes.runtime.errors import InputError

EFFECT = "unit_effect"

PRODUCTS_MAX = 200_000_000
"""Cross-products of units with columns that are held at once."""

_CHUNK = 2**17  # numbers of an array that stays in a processor's cache


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitErrors:
    """V_i = sigma_r^2 C(rho) + kappa^2 d_i d_i' + xi^2 t_i t_i' + sigma_mu^2 1 1', each part there or not.

    C is that of `cbec_bayes.bayes.moments.lags.Lags`. A part beside the first is a direction in which every unit has a
    coefficient of its own, pooled by a scale or flat; what is flat is integrated over all of the real line, where the
    unit's rows tell it (see `Directions`). Everything follows from fixed cross-products of each unit and a system of as
    many equations as it has directions (Woodbury's identity), so that the cost grows with the number of units and no
    covariance of rows is laid out.

    Attributes
    ----------
    sigmas
        Name of the residual scale, or of each stratum's.
    stratum
        Stratum of every unit, from 0, shape (N,).
    n_obs
        Rows of each stratum, shape (K,).
    group, groups
        Group of every unit, from 0, shape (N,), and the groups' labels; zeros and none without groups.
    directions, lags
        Directions and lags of the rows.
    products
        Cross-products of the outcome and every coefficient's column.
    log_weights
        Sum over rows of ln w / 2. Where rows have weights, all columns and directions are times their roots.
    """

    sigmas: tuple[str, ...]
    stratum: Codes
    n_obs: Codes
    group: Codes
    groups: tuple[str, ...]
    directions: Directions
    lags: Lags
    products: UnitProducts
    log_weights: float = 0.0

    @property
    def other_parameters(self) -> tuple[str, ...]:
        """See `ErrorModel`: scales of slopes and trends, that of effects, the correlation."""
        own = {name: scale for name, scale in self._scales.items() if name != EFFECT}
        return (*own.values(), *(self._scales[name] for name in self._scales if name == EFFECT), *self._correlation)

    @property
    def _scales(self) -> dict[str, str]:
        """Scales of the pooled directions by their names."""
        every = zip(self.directions.names, self.directions.scales, strict=True)
        return {name: scale for name, scale in every if scale is not None}

    @property
    def _correlation(self) -> tuple[str, ...]:
        return (RHO,) if self.lags.has_rho else ()

    @property
    def unit_means(self) -> tuple[str, ...]:
        """See `ResidualCovariance`."""
        return mean_names([name for name in self._scales if name != EFFECT], self.groups)

    @property
    def _averaged(self) -> list[int]:
        return [self.directions.names.index(name) for name in self._scales if name != EFFECT]

    @property
    def _free(self) -> Array:
        """Rows of each stratum less the flat coefficients of units that these tell, shape (K,)."""
        there = self.directions.is_there[: self.directions.n_flat].sum(axis=0)
        return np.asarray(self.n_obs - np.bincount(self.stratum, there, len(self.sigmas)))

    def _sigma(self, scales: Scales) -> Array:
        """Return the residual scale of every unit, shape (S, N), or that of all, (S, 1)."""
        found = np.stack([scales[name] for name in self.sigmas], axis=1)
        return found if len(self.sigmas) == 1 else found[:, self.stratum]

    @property
    def _is_spent(self) -> bool:
        """Whether all directions are flat, and orthogonal to the columns: units then ask for no system of their own."""
        return self.products.first == len(self.directions.names)

    def _weights(self, scales: Scales) -> Array:
        return self.lags.weights(scales.get(RHO), len(scales[self.sigmas[0]]))

    def _systems(self, scales: Scales) -> UnitSystems:
        sigma, weights = self._sigma(scales), self._weights(scales)
        of = self.directions
        ratios = [np.ones((len(sigma), 1)) if s is None else scales[s][:, None] / sigma for s in of.scales]
        own = self.products.own
        inner = [[weights @ own[:, j, k] for k in range(j + 1)] for j in range(len(ratios))]
        return unit_systems(ratios, inner, of.is_there[: of.n_flat])

    def _whitened(self, weights: Array, systems: UnitSystems) -> Array:
        """Return L^-1 D W'C^-1 Z, shape (m - first, S, N, q); directions of one point stand together in memory."""
        a, *shape = self.products.across.shape
        flat = weights @ self.products.across.reshape(a, math.prod(shape))
        by_point = flat.reshape(len(flat), *shape)
        return systems.whiten(np.swapaxes(by_point, 0, 1), self.products.first)

    def _by_stratum(self, scales: Scales) -> tuple[Array, Array]:
        """Return Z'V^-1 Z of every stratum, shape (S, K, q, q), and half of ln|M| over all units, shape (S,)."""
        weights, own = self._weights(scales), self.products.columns
        if self._is_spent:
            sigma = np.stack([scales[name] for name in self.sigmas], axis=1)
            gram = np.tensordot(weights, own, 1) / sigma[:, :, None, None] ** 2
            one = {name: values[:1] for name, values in scales.items()}
            return gram, np.repeat(self._systems(one).log_det(), len(sigma))
        systems = self._systems(scales)
        if len(self.sigmas) == 1:
            # One scale weighs all: its square goes into a few weights in the place of many products.
            sigma = scales[self.sigmas[0]][:, None]
            gram = ((weights / sigma**2) @ own.reshape(len(own), -1)).reshape(-1, *own.shape[1:])
            gram[:, 0] -= squared(_by_point(self._whitened(weights / sigma, systems)))
            return gram, systems.log_det()
        gram = np.tensordot(weights, own, 1)
        whitened = self._whitened(weights, systems)
        for k, name in enumerate(self.sigmas):
            gram[:, k] -= squared(_by_point(whitened[:, :, self.stratum == k]))
            gram[:, k] /= scales[name][:, None, None] ** 2
        return gram, systems.log_det()

    def cross_products(self, scales: Scales) -> CrossProducts:
        """See `ResidualCovariance`."""
        parts = [self._by_stratum(part) for part in self._parts(scales)]
        # Sums of one and joins of one are copies, of which each takes as long as a product of these matrices.
        grams = [one[:, 0] if one.shape[1] == 1 else one.sum(axis=1) for one, _ in parts]
        gram = grams[0] if len(grams) == 1 else np.concatenate(grams)
        log_det = np.concatenate([own for _, own in parts])
        constant = [self.log_weights - log_det, -self.lags.log_det(scales.get(RHO), len(log_det))]
        constant += [-n * (np.log(scales[s]) + LOG_2PI / 2) for n, s in zip(self._free, self.sigmas, strict=True)]
        return CrossProducts(gram, constant)

    def _parts(self, scales: Scales) -> Iterator[Scales]:
        """Yield some of the points after others, as many as fit into a processor's cache."""
        step = max(1, _CHUNK // max(self.products.across[0].size, self.products.own[0].size))
        if self._is_spent:
            step = max(1, _CHUNK // self.products.columns.size)
        for start in range(0, len(scales[self.sigmas[0]]), step):
            yield {name: values[start : start + step] for name, values in scales.items()}

    def slopes(self, spread: Array, scales: Mapping[str, float]) -> Mapping[str, float]:
        """See `ResidualCovariance`.

        Notes
        -----
        With a = sigma D b the coefficients of a unit, b has the second moments B = M^-1 + E S E' / sigma^2 given the
        outcome, E = M^-1 D W'C^-1 Z and S the spread. A scale's derivative is the sum over units of B_jj - 1.
        """
        points = {name: np.array([value]) for name, value in scales.items()}
        first, systems, weights = self.products.first, self._systems(points), self._weights(points)
        variance = self._sigma(points)[0] ** 2
        whitened = self._whitened(weights, systems)
        pulled = whitened @ spread
        solved, moved = (systems.back(list(one), first) for one in (whitened, pulled))
        moved = [one[0] for one in moved]
        second = systems.inverse()[0, :, first:, first:]
        for j, one in enumerate(moved):
            for k, other in enumerate(solved):
                second[:, j, k] += (one * other[0]).sum(axis=1) / variance
        fixed = self.products.columns.reshape(*self.products.columns.shape[:2], -1) @ spread.ravel()
        taken = np.bincount(self.stratum, (pulled * whitened).sum(axis=(0, 1, 3)), len(self.sigmas))
        squares = (weights[0] @ fixed - taken) / np.array([scales[name] for name in self.sigmas]) ** 2
        found = {s: float(own - n) for s, own, n in zip(self.sigmas, squares, self._free, strict=True)}
        for j, scale in enumerate(self.directions.scales[first:]):
            if scale is None:
                continue
            excess = second[:, j, j] - 1
            found[scale] = float(excess.sum())
            for k, name in enumerate(self.sigmas):
                found[name] -= float(excess[self.stratum == k].sum())
        if self.lags.has_rho:
            found[RHO] = self._slope_in_rho(fixed, scales, systems, (moved, second)) * (1 - scales[RHO] ** 2)
        return found

    def _slope_in_rho(
        self, fixed: Array, scales: Mapping[str, float], systems: UnitSystems, moments: tuple[list[Array], Array]
    ) -> float:
        """Return the derivative in rho, from the fixed products times S, shape (A, K), and E S and B of `slopes`."""
        change = self.lags.weight_slopes(scales[RHO])
        variances = np.array([scales[name] for name in self.sigmas]) ** 2
        found = -2 * self.lags.log_det_slope(scales[RHO]) - float((change @ fixed) @ (1 / variances))
        across, own = (np.tensordot(change, one, 1) for one in (self.products.across, self.products.own))
        ratios, (moved, second) = [one[0] for one in systems.ratios], moments
        for j, one in enumerate(moved):
            pull = (across[j] * one).sum(axis=1) / variances[self.stratum]
            found += 2 * float((ratios[j] * pull).sum())
            for k in range(len(moved)):
                found -= float((ratios[j] * ratios[k] * own[j, k] * second[:, j, k]).sum())
        return found / 2

    def means_over_units(self, scales: Scales) -> UnitMeans | None:
        """See `ResidualCovariance`: of pooled slopes and trends."""
        if not self._averaged:
            return None
        parts = [self._means_over_units(part) for part in self._parts(scales)]
        pull, root = (np.concatenate(found) for found in zip(*parts, strict=True))
        return UnitMeans(pull, root)

    def _means_over_units(self, scales: Scales) -> tuple[Array, Array]:
        """Return pull and root of `UnitMeans`: sums over units of D M^-1 D W'C^-1 Z, and of sigma^2 D M^-1 D."""
        systems, first, at = self._systems(scales), self.products.first, self._averaged
        weights, variance = self._weights(scales), self._sigma(scales) ** 2
        sizes, ratios = np.bincount(self.group), np.stack(np.broadcast_arrays(*systems.ratios), axis=2)
        shares = systems.inverse()[:, :, at] * ratios[:, :, None] * ratios[:, :, at, None]
        n_points, n_groups = len(weights), len(sizes)
        pull = np.empty((n_points, len(at), n_groups, self.products.across.shape[-1]))
        for g in range(n_groups):
            units = np.flatnonzero(self.group == g)
            # What units have of a mean is known but for few numbers a point: one product adds up those of a group.
            known = self.products.across[:, :, units].transpose(2, 1, 0, 3).reshape(-1, pull.shape[-1])
            for row in range(len(at)):
                taken = shares[:, units, row, first:, None] * weights[:, None, None]
                pull[:, row, g] = taken.reshape(n_points, -1) @ known / sizes[g]
        covariance = np.empty((n_points, n_groups, len(at), len(at)))
        for row in range(len(at)):
            for column, k in enumerate(at):
                covariance[:, :, row, column] = self._by_group(variance * shares[:, :, row, k]) / sizes**2
        # Units of other groups are independent of a group's own: a block for every pair of directions is diagonal.
        root = root_of(covariance.reshape(-1, len(at), len(at))).reshape(covariance.shape)
        whole = root.transpose(0, 2, 1, 3)[..., None] * np.eye(n_groups)[:, None]
        size = len(at) * n_groups
        return pull.reshape(n_points, size, -1), whole.reshape(n_points, size, size)

    def _by_group(self, values: Array) -> Array:
        """Return sums over the units of every group of values of units, shape (S, N): shape (S, G)."""
        order = np.argsort(self.group, kind="stable")
        starts = np.searchsorted(self.group[order], np.arange(self.group.max(initial=0) + 1))
        return np.asarray(np.add.reduceat(values[:, order], starts, axis=1))

    def row_log_density(self, design: Design, residual: Array, scales: Scales) -> Array:
        """See `ErrorModel`."""
        sigma = sigma_of_rows(design, self.sigmas, scales)
        return stepwise_log_density(self.lags, residual * design.root, sigma, scales.get(RHO)) + np.log(design.root)

    def draw_units(
        self, blocks: Blocks, coefficients: Array, scales: Scales, rng: np.random.Generator
    ) -> dict[str, Array]:
        """See `ErrorModel`: all coefficients of a unit jointly."""
        of, n_points = self.directions, len(coefficients)
        found = np.empty((len(of.names), n_points, of.n_units))
        step, rows = max(1, _CHUNK // max(1, of.columns.size * self.lags.size)), blocks.scaled_rows
        for start in range(0, n_points, step):
            part = slice(start, start + step)
            own = {name: values[part] for name, values in scales.items()}
            found[:, part] = self._draw(rows[:, 0] - coefficients[part] @ rows[:, 1:].T, own, rng)
        names = sorted(of.names, key=lambda name: name == EFFECT)
        return {name: found[of.names.index(name)] for name in names}

    def _draw(self, residual: Array, scales: Scales, rng: np.random.Generator) -> Array:
        """Draw the coefficients of all directions, shape (m, S, N), given what other coefficients leave, (S, n)."""
        of, systems, weights = self.directions, self._systems(scales), self._weights(scales)
        left, taken = of.reduced(residual.T)
        pull = np.zeros((len(of.names), len(residual), of.n_units, 1))
        for a, (rows, (w, r)) in enumerate(self.lags.terms(of.columns, left)):
            for j, own in enumerate(w.T):
                pull[j, :, :, 0] += weights[:, a, None] * sums_by(of.unit[rows], own[:, None] * r, of.n_units).T
        sigma = self._sigma(scales)[:, :, None]
        noise = [sigma * rng.standard_normal(one.shape) for one in pull]
        whitened = systems.whitened(list(pull))
        drawn = systems.back([one + e for one, e in zip(whitened, noise, strict=True)])
        found = np.stack([ratio * one[:, :, 0] for ratio, one in zip(systems.ratios, drawn, strict=True)])
        found[: of.n_flat] += np.swapaxes(taken, 1, 2)
        return np.swapaxes(of.original(np.swapaxes(found, 1, 2)), 1, 2)

    def rows_given_others(
        self, blocks: Blocks, rows: Codes, scales: Scales, conditionals: Conditionals
    ) -> RowsGivenOthers:
        """See `ErrorModel`."""
        design = blocks.design  # errors of other units are independent of those of the rows' own
        units = np.unique(design.unit[rows])
        own = unit_rows(self.directions, self.lags, blocks.scaled_rows, units)
        at = np.searchsorted(np.flatnonzero(np.isin(design.unit, units)), rows)
        found = np.empty((3, len(scales[self.sigmas[0]]), len(rows)))
        for part, given_all in conditionals:
            assert isinstance(given_all, DenseConditional)
            begin, end, _ = part.indices(found.shape[1])
            for piece in own.chunks(slice(begin, end)):
                here = {name: values[piece] for name, values in scales.items()}
                sigma = self._sigma(here)
                variance = sigma**2 if sigma.shape[1] == 1 else sigma[:, units[own.unit]] ** 2
                inside = slice(piece.start - begin, piece.stop - begin)
                known = DenseConditional(given_all.mean[inside], given_all.root[inside])
                every = own.given_others(self._weights(here), self._systems(here), variance, known)
                found[:, piece] = np.stack(every)[:, :, at]
        root = design.root[rows]
        return RowsGivenOthers(found[0] * root, found[1] * root**2, found[2] * root**2)


def _by_point(whitened: Array) -> Array:
    """Return what is whitened of m directions and N units, shape (m, S, N, q), as rows of points, shape (S, m N, q)."""
    m, n_points, n_units, q = whitened.shape
    return np.swapaxes(whitened, 0, 1).reshape(n_points, m * n_units, q)


def unit_errors_of(blocks: Blocks, columns: Array) -> UnitErrors:
    """Return the errors of a model on a design, with cross-products of the outcome and its columns, shape (n, 1 + p).

    Columns are times the roots of the rows' weights.

    Raises
    ------
    InputError
        Errors are correlated over periods that are not whole numbers; units and columns are too many for each other.
    """
    design, residual = blocks.design, blocks.model.residuals
    lags = residual.lags.of(design)
    by_group = residual.by_group and design.group is not None
    stratum, labels = (design.group, design.groups) if by_group else (None, ())
    directions = directions_of(design.unit, blocks.directions)
    size = lags.size * directions.columns.shape[1] * directions.n_units * columns.shape[1]
    if size > PRODUCTS_MAX:
        raise InputError(
            f"what {directions.n_units} units have of their own beside {columns.shape[1] - 1} coefficients needs more "
            f"memory than is reasonable; the model '{blocks.model.name}' needs fewer groups or units"
        )
    codes = np.zeros(design.n_obs, dtype=np.intp) if stratum is None else stratum
    return UnitErrors(
        sigmas=tuple(f"sigma[{label}]" for label in labels) or ("sigma",),
        stratum=codes[np.unique(design.unit, return_index=True)[1]],
        n_obs=np.bincount(codes),
        group=design.group_of_unit,
        groups=design.groups,
        directions=directions,
        lags=lags,
        products=unit_products(directions, lags, columns, stratum, max(1, len(labels))),
        log_weights=design.log_weights,
    )


def root_of(covariance: Array) -> Array:
    """Return the lower triangular root of covariances, shape (S, m, m); a variance of zero has a row of zeros."""
    found = np.zeros_like(covariance)
    for j in range(covariance.shape[1]):
        for k in range(j + 1):
            left = covariance[:, j, k] - (found[:, j, :k] * found[:, k, :k]).sum(axis=1)
            if k == j:
                found[:, j, j] = np.sqrt(np.maximum(left, 0.0))
            else:
                found[:, j, k] = np.divide(left, found[:, k, k], out=np.zeros_like(left), where=found[:, k, k] > 0)
    return found
