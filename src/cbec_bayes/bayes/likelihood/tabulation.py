"""From a panel of very many units to tables of its groups' cross-products, and the collapsed density over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.bayes.likelihood.by_group import ByGroup, OwnPart
from cbec_bayes.bayes.likelihood.chebyshev import interpolate, nodes_of
from cbec_bayes.bayes.likelihood.coefficients_by_group import coefficients_by_group, is_nested
from cbec_bayes.bayes.likelihood.collapsed import Collapsed
from cbec_bayes.bayes.likelihood.elimination import coefficient_priors, flat_positions, parameters_of, precise_moments
from cbec_bayes.bayes.likelihood.marginal import MarginalLikelihood
from cbec_bayes.bayes.likelihood.normal_equations import Coefficients, NormalEquations
from cbec_bayes.bayes.likelihood.parameter import Parameter
from cbec_bayes.bayes.likelihood.tabulated_errors import LARGEST, GroupTable, RowErrors, TabulatedErrors
from cbec_bayes.bayes.likelihood.tabulated_rows import rows_of_group, typical_sizes
from cbec_bayes.bayes.model.blocks import Blocks
from cbec_bayes.bayes.model.densities import RHO, resolve
from cbec_bayes.bayes.moments.group_rows import GroupRows, Ratios, grams, unpacked
from cbec_bayes.panel.within import Array, Codes

HELD_MAX = 2**26
"""Numbers of cross-products of units that are kept from one pass over the rows to the next: half a gigabyte."""

_NEAR_ONE = 0.98
"""Correlation from which on a table reaches to one, where levels are flat: it costs few nodes more, as all is smooth.

The prior has no more than a ten-millionth above `LARGEST`. Where levels have a scale the density falls to zero at one.
"""


_TOLD = 1.5
"""Half of a box in the logarithm of a squared ratio of scales, up to which it is told well from zero."""


_SKEW = 1.5
"""How much further than its curvature says the posterior of a squared ratio reaches that is hardly told from zero."""


@dataclass(frozen=True, slots=True)
class Box:
    """What the variables of each group's table lie between, shape (R, D); see `GroupTable`.

    A variable of scales that are all held at values lies between equal ends.
    """

    low: Array
    high: Array

    def nodes(self, asked: Sequence[int]) -> list[int]:
        """Return the numbers of nodes that are asked for, shape (D,), but one of each variable that is held."""
        varies = (self.high > self.low).any(axis=0)
        return [n if own else 1 for n, own in zip(asked, varies, strict=True)]


@dataclass(frozen=True, slots=True)
class Checked:
    """The density over tables, and how far it is off.

    Attributes
    ----------
    collapsed
        The density.
    error
        Greatest difference of the log likelihood from the exact one, at random points of the box.
    """

    collapsed: Collapsed
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tabulation:
    """Everything that tables are made of.

    Attributes
    ----------
    blocks
        Blocks of a panel with moments of its columns; see `can_tabulate`.
    groups
        Rows of each group.
    select
        What of each group's columns the model's are, shape (q, 1 + p).
    at
        What of each group's columns the pooled directions' regressors are, shape (q, m).
    typical
        See `GroupTable`, shape (R, m).
    coefficients
        Their priors and the map to the columns of cross-products.
    parameters, fixed
        See `Collapsed`.
    """

    blocks: Blocks
    groups: tuple[GroupRows, ...]
    select: tuple[Array, ...]
    at: tuple[Array, ...]
    typical: Array
    coefficients: Coefficients
    parameters: tuple[Parameter, ...]
    fixed: Mapping[str, float]

    @property
    def scales(self) -> tuple[str, ...]:
        """Names of the scales of the pooled directions, in the order of the tables' variables."""
        return tuple(one.scale for one in self.groups[0].directions if one.scale is not None)

    @property
    def has_rho(self) -> bool:
        """Whether errors have a correlation that is not known."""
        return self.groups[0].lags.has_rho

    @property
    def sigmas(self) -> tuple[str, ...]:
        """Name of each group's residual scale."""
        labels = self.blocks.design.groups
        if len(labels) and self.blocks.model.residuals.by_group:
            return tuple(f"sigma[{label}]" for label in labels)
        return ("sigma",) * len(self.groups)

    @property
    def others(self) -> tuple[str, ...]:
        """Names of the errors' other parameters; see `ErrorModel`."""
        level, *own = (one.scale for one in self.blocks.directions)
        pooled = [one for one in (*own, level) if one is not None]
        return (*pooled, *([RHO] if self.has_rho else []))

    @property
    def has_inner(self) -> bool:
        """Whether the last variable is the ratio of a direction that is no level, of which any number costs little."""
        return any(one.scale is not None for one in self.groups[0].directions[1:])

    @property
    def units(self) -> tuple[Codes, ...]:
        """Codes in the panel of the units of each group, in the order in which these stand."""
        design = self.blocks.design
        group = design.group_of_unit if design.groups else np.zeros(len(design.units), dtype=np.intp)
        return tuple(np.flatnonzero(group == r) for r in range(len(self.groups)))

    def among(self, units: Sequence[NDArray[np.bool_]]) -> Tabulation:
        """Return that of some units of each group, where true: the density of a smaller panel."""
        return replace(self, groups=tuple(one.among(kept) for one, kept in zip(self.groups, units, strict=True)))

    def box_about(self, point: Array, covariance: Array, reach: float) -> Box:
        """Return the box of a reach, in posterior standard deviations, about a point of the scales.

        Where a ratio of scales is hardly told from zero its square is measured, so that the box begins at zero. A scale
        that is held moves no ratio, so that the ratio of two of them has no width.
        """
        names = [one.name for one in self.parameters]
        sigmas, bounds = self.sigmas, np.empty((2, len(self.groups), self.has_rho + len(self.scales)))
        for r, sigma in enumerate(sigmas):
            if self.has_rho:
                k = names.index(RHO)
                width = reach * np.sqrt(covariance[k, k])
                bounds[:, r, 0] = np.clip(np.tanh(point[k] + np.array([-width, width])), -LARGEST, LARGEST)
                if bounds[1, r, 0] > _NEAR_ONE and not self.groups[r].levels_have_a_scale:
                    bounds[1, r, 0] = LARGEST
            for j, scale in enumerate(self.scales):
                contrast, square, sides = np.zeros(len(names)), 1.0, np.array([-1.0, 1.0])
                for name, sign in ((scale, 1), (sigma, -1)):
                    if name in self.fixed:
                        square *= self.fixed[name] ** (2 * sign)
                    else:
                        contrast[names.index(name)] = sign
                square *= float(np.exp(2 * contrast @ point))
                width = reach * 2 * np.sqrt(contrast @ covariance @ contrast)
                ends = square * (np.exp(width * sides) if width < _TOLD else np.maximum(1 + _SKEW * width * sides, 0.0))
                bounds[:, r, self.has_rho + j] = ends / (ends + self.typical[r, j])
        return Box(*bounds)

    def collapsed(self, box: Box, nodes: Sequence[int], checks: int = 0, seed: int = 1) -> Checked:
        """Tabulate, and return the density over the tables.

        Parameters
        ----------
        box
            Box of the scales in which the tables hold.
        nodes
            Number of nodes of each variable, shape (D,); one that is held has but one.
        checks, seed
            Random values, of every variable but the last, at which the density is compared with the exact one; the last
            has as many at each as there are nodes of it. Where each value costs a pass there are no more than these.
        """
        rng, nodes = np.random.default_rng(seed), box.nodes(nodes)
        share = rng.random((checks, nodes[-1] if self.has_inner else 1, len(nodes)))
        share[..., :-1] = share[:, :1, :-1]
        points = box.low[:, None, None] + (box.high - box.low)[:, None, None] * share  # of the same rho in all groups
        tables, exact = [], []
        for r, own in enumerate(self.groups):
            low, high = box.low[r], box.high[r]
            values, found = self._passed(
                r, [nodes_of(a, b, n) for a, b, n in zip(low, high, nodes, strict=True)], points[r]
            )
            exact.append(found)
            tables.append(
                GroupTable(
                    sigma=self.sigmas[r],
                    scales=self.scales,
                    typical=self.typical[r],
                    table=interpolate(low, high, nodes, values),
                    at=self.at[r],
                    select=self._transformed(r),
                    n_free=own.n_free,
                    n_units=own.n_units,
                )
            )
        collapsed = self._density(tuple(tables))
        every = points.reshape(len(points), share.shape[0] * share.shape[1], len(nodes))
        return Checked(collapsed, self._error(collapsed, exact, every))

    def _passed(self, r: int, grid: Sequence[Array], points: Array) -> tuple[Array, Array]:
        """Pass over the rows of a group.

        Returns
        -------
        nodes, checked
            Packed cross-products at the nodes, the last variable's running fastest, and at points of shape (C, L, D).
        """
        n_outer = len(grid) - self.has_inner
        mesh = np.meshgrid(*grid[:n_outer], indexing="ij")
        outer = np.stack(mesh, axis=-1).reshape(-1, len(mesh)) if mesh else np.zeros((1, 0))
        last = np.zeros((len(outer) + len(points), 1))
        if self.has_inner:
            at_nodes = np.broadcast_to(grid[-1], (len(outer), len(grid[-1])))
            last = np.concatenate([at_nodes, points[:, :, -1]])
            last = last / (1 - last) * self.typical[r, -1]
        outer = np.concatenate([outer, points[:, 0, :n_outer]])
        rho = outer[:, 0] if self.has_rho else np.zeros(len(outer))
        squares = [x / (1 - x) * a for x, a in zip(outer.T[int(self.has_rho) :], self.typical[r], strict=False)]
        ratios = Ratios(rho, np.array(squares).reshape(-1, len(outer)).T, last)
        found = grams(self.groups[r], ratios)
        found[..., -1] -= np.log(self.groups[r].directions[0].regressor).sum()  # levels are times the roots of weights
        n, size = len(outer) - len(points), found.shape[-1]
        return found[:n].reshape(-1, size), found[n:].reshape(-1, size)

    def decay(self, collapsed: Collapsed, point: Array) -> list[Array]:
        """Return how large the terms of the tables' polynomials are in the density about a point, shape (k,).

        Returns
        -------
        list of ndarray
            By variable, the sum of sizes of all terms of each degree, shape (nodes,): of the quadratic form in what is
            left of the outcome at the conditional mean, and the log determinant, added up over groups.
        """
        errors = collapsed.errors
        assert isinstance(errors, TabulatedErrors)
        mean = collapsed.conditional(point[None]).mean[0, : collapsed.n_coefficients]
        scales = collapsed.scales(point[None])
        found: list[Array] = []
        for one, select in zip(errors.tables, self.select, strict=True):
            left = select @ np.r_[1.0, -mean]
            rows, columns = np.triu_indices(len(left))
            weights = np.where(rows == columns, 0.5, 1.0) * left[rows] * left[columns] / scales[one.sigma] ** 2
            sizes = np.abs(one.table.coefficients @ np.r_[weights, 1.0]).reshape(one.table.nodes)
            axes = range(sizes.ndim)
            own = [sizes.sum(axis=tuple(j for j in axes if j != i)) for i in axes]
            found = [a + b for a, b in zip(found, own, strict=True)] if found else own
        return found

    def _transformed(self, r: int) -> Array:
        whole = np.eye(1 + len(self.coefficients.transform))
        whole[1:, 1:] = self.coefficients.transform
        return np.asarray(self.select[r] @ whole)

    def _error(self, collapsed: Collapsed, exact: Sequence[Array], at: Array) -> float:
        """Return the greatest difference of log likelihoods at points of the tables, shape (R, S, D), known exactly."""
        if at.shape[2] == 0:
            return 0.0  # nothing varies, and nothing is interpolated
        if not at.size:
            return np.nan
        scales = collapsed.scales(np.tile(collapsed.start(), (at.shape[1], 1)))
        errors = collapsed.errors
        assert isinstance(errors, TabulatedErrors)
        tabulated = [one.table.values(x) for one, x in zip(errors.tables, at, strict=True)]
        values = []
        for packed in (exact, tabulated):
            own = [(unpacked(one, len(t.select)), one[:, -1]) for one, t in zip(packed, errors.tables, strict=True)]
            values.append(errors.log_density(own, self.coefficients, scales))
        return float(np.abs(values[0] - values[1]).max())

    def _density(self, tables: tuple[GroupTable, ...]) -> Collapsed:
        blocks = self.blocks
        own = [one for one in blocks.directions[1:] if one.scale is not None]
        errors = TabulatedErrors(
            sigmas=tuple(dict.fromkeys(self.sigmas)),
            others=self.others,
            tables=tables,
            averaged=tuple((one.name, str(one.scale)) for one in own),
            groups=blocks.design.groups,
            rows=RowErrors(blocks),
        )
        whole = NormalEquations(errors, self.coefficients)
        parts, shared, common = coefficients_by_group(blocks, self.coefficients)
        likelihood: MarginalLikelihood = whole
        if parts:
            own_parts = []
            for r, (positions, names) in enumerate(parts):
                select = np.column_stack([tables[r].select[:, np.r_[0, 1 + shared]], self.select[r][:, 1 + positions]])
                of_group = replace(errors, tables=(replace(tables[r], select=select),), averaged=())
                own_parts.append(OwnPart(errors=of_group, scales=names, own=positions))
            likelihood = ByGroup(parts=tuple(own_parts), common=common, shared=shared, whole=whole)
        return Collapsed(self.parameters, self.fixed, likelihood, errors)


def can_tabulate(blocks: Blocks) -> bool:
    """Whether tables can replace the rows: moments stand for these, and units and periods are what tables need."""
    if blocks.mechanism != "by unit" or blocks.moments is None:
        return False
    design, times = blocks.design, np.asarray(blocks.design.times, dtype=float)
    if design.group is not None and not is_nested(design):
        return False
    return not blocks.model.residuals.correlated or bool(np.all(times == np.round(times)))


def tabulation(blocks: Blocks) -> Tabulation | None:
    """Lay out what tables are made of; None where cross-products of the panel's columns have too few digits."""
    priors = resolve(blocks.model, blocks.design)
    location, pooled = coefficient_priors(blocks, priors)
    columns = precise_moments(blocks, flat_positions(blocks, location))
    if columns is None:
        return None
    transform, log_volume = columns
    found = [rows_of_group(blocks, r) for r in range(max(1, len(blocks.design.groups)))]
    made = Tabulation(
        blocks=blocks,
        groups=tuple(one for one, _, _ in found),
        select=tuple(select for _, select, _ in found),
        at=tuple(at for _, _, at in found),
        typical=np.array([typical_sizes(one) for one, _, _ in found]),
        coefficients=Coefficients(
            n_flat=blocks.n_flat, location=location, pooled=pooled, transform=transform, log_volume=log_volume
        ),
        parameters=(),
        fixed={},
    )
    parameters, fixed = parameters_of(blocks, tuple(dict.fromkeys(made.sigmas)), made.others, priors)
    groups = tuple(one.holding(HELD_MAX * one.n_units / len(blocks.design.units)) for one in made.groups)
    return replace(made, groups=groups, parameters=parameters, fixed=fixed)
