"""Directions in which every unit has a coefficient of its own, and the cross-products of columns with them, by unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from cbec_bayes.bayes.moments.lags import FixedProduct, Lags
from cbec_bayes.panel.within import Array, Codes, sums_by

_NOTHING = (100 * float(np.finfo(float).eps)) ** 2
"""Share of a direction's squares, in a unit, that is rounding."""


@dataclass(frozen=True, slots=True)
class Direction:
    """A regressor on which every unit has a coefficient of its own.

    Attributes
    ----------
    name
        Name of the coefficients in the posterior, as ``unit_trend``.
    scale
        Symbol of the scale of the coefficients; None where they are flat.
    regressor
        Shape (n,).
    """

    name: str
    scale: str | None
    regressor: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Directions:
    """The m directions of N units, flat ones first and orthogonal to each other within units, the others less these.

    What flat directions take from the others, and from any column, is indifferent to the likelihood, as they may have
    any coefficient; taken out, large means and common trends cost no digits. A flat direction that a unit's rows do not
    tell from those before it is zero there: the trend of a unit of one row beside its level, or of a unit whose only
    row is of the mean period. Determinants leave it out, so that the unit adds to the likelihood what a regression adds
    from which the collinear column is dropped, and nothing where its rows are no more than its flat directions. A
    pooled direction that is spent is zero as well, and its coefficient keeps its prior.

    Attributes
    ----------
    names, scales
        As in `Direction`.
    n_flat
        How many are flat.
    unit
        Codes of the rows' units, shape (n,).
    columns
        What the directions are once reduced, shape (n, m).
    is_there
        For a flat direction, true where a unit's rows identify it; for others always true, shape (m, N).
    shares
        How much of each flat direction the original ones after it have, shape (n_flat, m, N).
    """

    names: tuple[str, ...]
    scales: tuple[str | None, ...]
    n_flat: int
    unit: Codes
    columns: Array
    is_there: NDArray[np.bool_]
    shares: Array

    @property
    def n_units(self) -> int:
        """Number of units, N."""
        return int(self.is_there.shape[1])

    @property
    def log_sizes(self) -> Array:
        """Half the log determinant of the flat directions' cross-products in each unit, shape (N,)."""
        squares = sums_by(self.unit, self.columns[:, : self.n_flat] ** 2, self.n_units)
        return np.log(np.where(self.is_there[: self.n_flat].T, squares, 1.0)).sum(axis=1) / 2

    def reduced(self, columns: Array) -> tuple[Array, Array]:
        """Return what flat directions leave of columns, shape (n, q), and what they take, shape (n_flat, N, q)."""
        return _reduced(columns, self.columns[:, : self.n_flat], self.unit, self.n_units)

    def original(self, coefficients: Array) -> Array:
        """Return the coefficients of the original directions, shape (m, N, S), from those of the reduced ones."""
        found = coefficients.copy()
        for k in reversed(range(self.n_flat)):
            for j in range(k + 1, len(self.names)):
                found[k] -= self.shares[k, j][:, None] * found[j]
            found[k][~self.is_there[k]] = 0.0
        return found


def directions_of(unit: Codes, directions: Sequence[Direction]) -> Directions:
    """Return directions, reduced; of several flat ones that a unit cannot tell apart the last are left out of it."""
    ordered = sorted(directions, key=lambda one: one.scale is not None)
    n_units, n_flat = int(unit.max(initial=-1)) + 1, sum(one.scale is None for one in ordered)
    columns = np.empty((len(unit), len(ordered)))
    is_there = np.ones((len(ordered), n_units), dtype=np.bool_)
    shares = np.zeros((n_flat, len(ordered), n_units))
    for j, one in enumerate(ordered):
        before = min(j, n_flat)
        left, taken = _reduced(one.regressor[:, None], columns[:, :before], unit, n_units)
        shares[:before, j] = taken[:, :, 0]
        squares = sums_by(unit, np.column_stack([left, one.regressor]) ** 2, n_units)
        spent = squares[:, 0] <= _NOTHING * squares[:, 1]
        columns[:, j] = np.where(spent[unit], 0.0, left[:, 0])
        is_there[j] = ~spent | (j >= n_flat)
    return Directions(
        names=tuple(one.name for one in ordered),
        scales=tuple(one.scale for one in ordered),
        n_flat=n_flat,
        unit=unit,
        columns=columns,
        is_there=is_there,
        shares=shares,
    )


def _reduced(columns: Array, flat: Array, unit: Codes, n_units: int) -> tuple[Array, Array]:
    left, taken = columns, np.zeros((flat.shape[1], n_units, columns.shape[1]))
    by_unit = _ByUnit.of(unit, n_units) if flat.shape[1] else None
    for k, own in enumerate(flat.T):
        assert by_unit is not None
        squares = np.bincount(unit, own * own, n_units)[:, None]
        products = by_unit.products(own, left)
        taken[k] = np.divide(products, squares, out=taken[k], where=squares > 0)
        left = left - own[:, None] * taken[k][unit]
    return left, taken


@dataclass(frozen=True, slots=True)
class _ByUnit:
    """Rows in the order of their units, and where each unit's begin: sums over units without a product laid out."""

    order: Codes
    begins: Codes

    @classmethod
    def of(cls, unit: Codes, n_units: int) -> _ByUnit:
        """Return that of rows of N units."""
        begins = np.concatenate([[0], np.cumsum(np.bincount(unit, minlength=n_units))])
        is_sorted = bool((np.diff(unit) >= 0).all())
        return cls(np.arange(len(unit)) if is_sorted else np.argsort(unit, kind="stable"), begins)

    def products(self, weight: Array, columns: Array) -> Array:
        """Return the sums over each unit's rows of a weight, shape (n,), times columns, (n, k): shape (N, k)."""
        shape = (len(self.begins) - 1, len(self.order))
        return np.asarray(sparse.csr_array((weight[self.order], self.order, self.begins), shape=shape) @ columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitProducts:
    """Fixed cross-products, A for each, of directions and columns; see `Lags`.

    Attributes
    ----------
    columns
        Products of the q columns with each other, by stratum, shape (A, K, q, q).
    own
        Products of the directions with each other, by unit, shape (A, m, m, N).
    first
        Position of the first direction that has cross-products with the columns: the flat ones, which come before, are
        orthogonal to all else where errors are not correlated.
    across
        Products of the directions from that one on with the columns, by unit, shape (A, m - first, N, q).
    """

    columns: Array
    own: Array
    first: int
    across: Array


def unit_products(
    directions: Directions, lags: Lags, columns: Array, stratum: Codes | None = None, n_strata: int = 1
) -> UnitProducts:
    """Accumulate the cross-products of columns, shape (n, q), less what flat directions take of them.

    Parameters
    ----------
    directions, lags, columns
        Directions, lags and columns of the same rows.
    stratum, n_strata
        Stratum of every row, from 0 to below K; None where there is one.
    """
    m, n_units, q = len(directions.names), directions.n_units, columns.shape[1]
    left, _ = directions.reduced(columns)
    first = 0 if lags.is_correlated else directions.n_flat
    inner = np.zeros((lags.size, n_strata, q, q))
    own, across = np.zeros((lags.size, m, m, n_units)), np.zeros((lags.size, m - first, n_units, q))
    by_unit, ones = _ByUnit.of(directions.unit, n_units), np.ones(len(directions.unit))
    for a, fixed in enumerate(lags.fixed):
        inner[a] = _within_strata(fixed, left, stratum, n_strata)
        # What a product makes of few directions is summed with many columns, which are then left where they are.
        turned = fixed.times(directions.columns)
        each = turned[:, :, None] * directions.columns[:, None, :]
        own[a] = by_unit.products(ones, each.reshape(len(ones), -1)).T.reshape(m, m, n_units)
        for j in range(first, m):
            across[a, j - first] = by_unit.products(turned[:, j], left)
    return UnitProducts(columns=inner, own=own, first=first, across=across)


def _within_strata(fixed: FixedProduct, columns: Array, stratum: Codes | None, n_strata: int) -> Array:
    """Return the cross-products of columns, shape (n, q), under a fixed product, by stratum, shape (K, q, q)."""
    if fixed.less is None:  # rows counted as often as they are there: none is copied
        one, other, at = columns, fixed.diagonal(len(columns))[:, None] * columns, stratum
    else:
        one = other = fixed.root(columns)
        at = None if stratum is None else stratum[fixed.rows]
    if at is None:
        return np.asarray(one.T @ other)[None]
    return np.stack([one[at == s].T @ other[at == s] for s in range(n_strata)])
