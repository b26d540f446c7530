"""Errors of very many units: what data say of them is a few cross-products of each group, which are interpolated.

Given the correlation of errors and the ratios of units' scales to sigma, the data of a group enter the density through
the cross-products of its columns and a log determinant alone. Both are smooth, and with many units the posterior leaves
them a small box to vary in, so that they are computed at some nodes of it and interpolated. After that nothing costs
more where there are more rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cbec_bayes.bayes.likelihood.by_group_conditional import ByGroupConditional
from cbec_bayes.bayes.likelihood.chebyshev import Chebyshev
from cbec_bayes.bayes.likelihood.marginal import LOG_2PI, Scales
from cbec_bayes.bayes.likelihood.normal_equations import Coefficients, log_density
from cbec_bayes.bayes.likelihood.residual_covariance import (
    Conditionals,
    CrossProducts,
    RowsGivenOthers,
    UnitMeans,
    mean_names,
)
from cbec_bayes.bayes.likelihood.unit_errors import UnitErrors, root_of, unit_errors_of
from cbec_bayes.bayes.model.blocks import Blocks
from cbec_bayes.bayes.model.densities import RHO
from cbec_bayes.bayes.moments.group_rows import unpacked
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array, Codes

LARGEST = 1 - 1e-7
"""Greatest size of a correlation that a table reaches to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupTable:
    """The cross-products of one group, interpolated.

    Attributes
    ----------
    sigma
        Name of the group's residual scale.
    scales
        Names of the scales of the pooled directions, in the order of the table's variables after rho.
    typical
        What each squared ratio to sigma is measured by, shape (m,): the variable is v / (v + typical), which takes
        every ratio from zero on, and in which cross-products are nearly straight.
    table
        Table over rho, where there is one, and over those variables.
    at
        What of the q columns the regressors of the pooled directions are, shape (q, m).
    select
        What of the q columns the model's are, the outcome first, shape (q, 1 + p).
    n_free, n_units
        Rows less the flat levels of units, and units.
    """

    sigma: str
    scales: tuple[str, ...]
    typical: Array
    table: Chebyshev
    at: Array
    select: Array
    n_free: int
    n_units: int

    def variables(self, scales: Scales) -> Array:
        """Return the table's variables at points of the scales, shape (S, D)."""
        squares = [(scales[name] / scales[self.sigma]) ** 2 for name in self.scales]
        shares = [v / (v + typical) for v, typical in zip(squares, self.typical, strict=True)]
        every = [*([scales[RHO]] if RHO in scales else []), *shares]
        return np.stack(every, axis=1) if every else np.empty((len(scales[self.sigma]), 0))

    def is_inside(self, scales: Scales) -> Array:
        """Return whether points of the scales are in the table, shape (S,)."""
        return np.asarray((np.abs(self.table.position(self.variables(scales))) <= 1).all(axis=1))

    def nearness(self, scales: Scales) -> Array:
        """Return how near to a face of the table points are, shape (S,): one at a face, and zero in the middle.

        A ratio of zero and a correlation of one are no faces: nothing is beyond them. A table without variables has
        none.
        """
        position, first = self.table.position(self.variables(scales)), int(RHO in scales)
        open_below = np.r_[np.zeros(first, dtype=bool), self.table.low[first:] <= 0]
        sides = np.where(open_below, position, np.abs(position))
        if first and self.table.high[0] >= LARGEST:
            sides[:, 0] = -position[:, 0]
        return np.asarray(sides.max(axis=1, initial=0))

    def products(self, scales: Scales) -> tuple[Array, Array]:
        """Return the cross-products of the q columns, shape (S, q, q), and half the log determinant, shape (S,)."""
        packed = self.table.values(self.variables(scales))
        return unpacked(packed, len(self.select)), packed[:, -1]

    def slopes(self, spread: Array, scales: Mapping[str, float]) -> dict[str, float]:
        """Return what the group adds to `ResidualCovariance.slopes`."""
        points = {name: np.array([value]) for name, value in scales.items()}
        q, x = len(self.select), self.variables(points)[0]
        own = self.select @ spread @ self.select.T
        weights = np.where(np.eye(q, dtype=bool), 1.0, 2.0)[np.triu_indices(q)] * own[np.triu_indices(q)]
        variance = scales[self.sigma] ** 2

        def change(packed: Array) -> float:
            return float(-(packed[:-1] @ weights) / (2 * variance) - packed[-1])

        found = {self.sigma: float(self.table.values(x[None])[0, :-1] @ weights) / variance - self.n_free}
        slopes, first = self.table.slopes(x), int(RHO in scales)
        if first:
            found[RHO] = change(slopes[0]) * (1 - scales[RHO] ** 2)
        for k, name in enumerate(self.scales):
            own_slope = 2 * x[first + k] * (1 - x[first + k]) * change(slopes[first + k])
            found[name] = own_slope
            found[self.sigma] -= own_slope
        return found


@dataclass(slots=True)
class RowErrors:
    """Makes the errors of all rows, without columns, when they are first asked for: of very many rows they seldom are.

    Attributes
    ----------
    blocks
        Blocks of the model.
    made
        The errors; None before.
    """

    blocks: Blocks
    made: UnitErrors | None = None

    def __call__(self) -> UnitErrors:
        """Return the errors."""
        if self.made is None:
            self.made = unit_errors_of(self.blocks, np.empty((self.blocks.design.n_obs, 0)))
        return self.made


@dataclass(frozen=True, slots=True, kw_only=True)
class TabulatedErrors:
    """Errors as in `UnitErrors`, with levels of units flat or pooled and all else pooled, by tables of each group.

    Attributes
    ----------
    sigmas
        Name of the residual scale, or of each group's.
    others
        Names of the other parameters.
    tables
        One table for each group.
    averaged
        Pooled directions of which means over units are asked for, levels not among them: name, and scale.
    groups
        Labels of the groups; none without.
    rows
        Makes the same errors with directions but without columns, for what single rows and units are.
    """

    sigmas: tuple[str, ...]
    others: tuple[str, ...]
    tables: tuple[GroupTable, ...]
    averaged: tuple[tuple[str, str], ...]
    groups: tuple[str, ...]
    rows: RowErrors

    @property
    def other_parameters(self) -> tuple[str, ...]:
        """See `ErrorModel`."""
        return self.others

    @property
    def unit_means(self) -> tuple[str, ...]:
        """See `ResidualCovariance`."""
        return mean_names([name for name, _ in self.averaged], self.groups)

    def cross_products(self, scales: Scales) -> CrossProducts:
        """See `ResidualCovariance`; outside the tables there is no density."""
        inside = np.all([one.is_inside(scales) for one in self.tables], axis=0)
        found = self.assembled([one.products(scales) for one in self.tables], scales)
        return CrossProducts(found.gram, [*found.constant, np.where(inside, 0.0, -np.inf)])

    def assembled(self, products: Sequence[tuple[Array, Array]], scales: Scales) -> CrossProducts:
        """Return the cross-products of the model's columns from those of every group's, and log determinants."""
        gram: Array | float = 0.0
        constant: list[Array | float] = []
        for one, (own, log_det) in zip(self.tables, products, strict=True):
            sigma = scales[one.sigma]
            gram = gram + one.select.T @ (own / sigma[:, None, None] ** 2) @ one.select
            constant += [-log_det, -one.n_free * (np.log(sigma) + LOG_2PI / 2)]
        return CrossProducts(np.asarray(gram), constant)

    def log_density(self, products: Sequence[tuple[Array, Array]], coefficients: Coefficients, scales: Scales) -> Array:
        """Return log p(y | scales), shape (S,), from the cross-products and log determinants of every group."""
        return log_density(self.assembled(products, scales), coefficients, scales)

    def slopes(self, spread: Array, scales: Mapping[str, float]) -> Mapping[str, float]:
        """See `ResidualCovariance`."""
        found: dict[str, float] = dict.fromkeys((*self.sigmas, *self.others), 0.0)
        for one in self.tables:
            for name, value in one.slopes(spread, scales).items():
                found[name] += value
        return found

    def means_over_units(self, scales: Scales) -> UnitMeans | None:
        """See `ResidualCovariance`.

        Notes
        -----
        Given all else, a unit's coefficient with the regressor d has the mean s^2 d'V^-1 times what is left of the
        outcome, and the variance s^2 - s^4 d'V^-1 d. Both are among the cross-products, for d is a column.
        """
        if not self.averaged:
            return None
        n_groups, m = len(self.tables), len(self.averaged)
        n_points, p = len(scales[self.sigmas[0]]), self.tables[0].select.shape[1]
        pull = np.empty((n_points, m, n_groups, p))
        covariance = np.empty((n_points, n_groups, m, m))
        for r, one in enumerate(self.tables):
            gram = one.products(scales)[0] / scales[one.sigma][:, None, None] ** 2
            order = [one.scales.index(scale) for _, scale in self.averaged]
            at = one.at[:, order]
            variance = np.stack([scales[scale] ** 2 for _, scale in self.averaged], axis=1)
            pull[:, :, r] = variance[:, :, None] / one.n_units * (at.T @ gram @ one.select)
            own = at.T @ gram @ at * variance[:, :, None] * variance[:, None, :] / one.n_units
            covariance[:, r] = (np.eye(m) * variance[:, :, None] - own) / one.n_units
        root = root_of(covariance.reshape(-1, m, m)).reshape(covariance.shape)
        whole = root.transpose(0, 2, 1, 3)[..., None] * np.eye(n_groups)[:, None]
        size = m * n_groups
        return UnitMeans(pull.reshape(n_points, size, p), whole.reshape(n_points, size, size))

    def row_log_density(self, design: Design, residual: Array, scales: Scales) -> Array:
        """See `ErrorModel`."""
        return self.rows().row_log_density(design, residual, scales)

    def draw_units(
        self, blocks: Blocks, coefficients: Array, scales: Scales, rng: np.random.Generator
    ) -> dict[str, Array]:
        """See `ErrorModel`."""
        return self.rows().draw_units(blocks, coefficients, scales, rng)

    def rows_given_others(
        self, blocks: Blocks, rows: Codes, scales: Scales, conditionals: Conditionals
    ) -> RowsGivenOthers:
        """See `ErrorModel`."""
        dense = ((part, one.dense() if isinstance(one, ByGroupConditional) else one) for part, one in conditionals)
        return self.rows().rows_given_others(blocks, rows, scales, dense)
