"""The two-way within transformation: unit and time effects removed exactly, on balanced and unbalanced panels."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

Array = NDArray[np.float64]
Codes = NDArray[np.intp]

_RANK_TOLERANCE = 1e-10


class PeriodEffects(StrEnum):
    """Which effects of periods a regression has: of all rows, none, or of each group by itself."""

    COMMON = "common"
    NONE = "none"
    BY_GROUP = "by_group"


def period_codes(time: Codes, group: Codes | None, effects: PeriodEffects) -> Codes:
    """Return the codes of the effects of periods, shape (n,), from 0 without holes.

    Parameters
    ----------
    time, group
        Codes of periods and of groups, shape (n,); without groups, effects by group are those of all rows.
    effects
        Which there are; where there are none, all rows have one code, which the unit effects span.
    """
    if effects is PeriodEffects.NONE:
        return np.zeros_like(time)
    if effects is PeriodEffects.COMMON or group is None:
        return time
    both = group * (int(time.max(initial=-1)) + 1) + time
    codes: Codes = np.unique(both, return_inverse=True)[1].astype(np.intp)
    return codes


@dataclass(frozen=True, slots=True)
class _Elimination:
    """The larger set of effects eliminated, and what solves for the smaller one.

    Attributes
    ----------
    sum_large, sum_small
        Sparse indicators of either set times roots of weights, shape (effects, n): they sum rows by effect.
    sizes
        Weights of the rows of each effect of the larger set, added up.
    solve
        Generalised inverse of the system of the smaller set.
    rank
        Rank of all dummies.
    """

    sum_large: Any
    sum_small: Any
    sizes: Array
    solve: Array
    rank: int


@dataclass(frozen=True)  # without slots, which leave no room for what is computed once
class TwoWay:
    """Projection off unit and time dummies, and those of further sets of effects, of rows that may have weights.

    The larger set of units and periods is eliminated by its means; what is left is one symmetric system of the size of
    the smaller set and all further ones, decomposed once. So nothing iterates, unbalanced panels are as exact as
    balanced ones, and memory grows with rows plus the square of what is left. Alternating demeaning once over each, as
    textbooks show it, is right on balanced panels only (Wansbeek and Kapteyn, 1989).

    Parameters
    ----------
    unit, time
        Codes from 0 without holes, shape (n,).
    weight
        Weight of every row, shape (n,); None where all are equal.
    further
        Codes of other sets of effects, each from 0 without holes, shape (n,).
    """

    unit: Codes
    time: Codes
    weight: Array | None = None
    further: tuple[Codes, ...] = ()

    @property
    def n_obs(self) -> int:
        """Number of rows, n."""
        return len(self.unit)

    @property
    def root(self) -> Array:
        """Square roots of the weights, shape (n,): the column of ones, once rows are multiplied by them."""
        return np.ones(self.n_obs) if self.weight is None else np.sqrt(self.weight)

    @cached_property
    def n_units(self) -> int:
        """Number of units, N."""
        return int(self.unit.max(initial=-1)) + 1

    @cached_property
    def n_times(self) -> int:
        """Number of periods, T."""
        return int(self.time.max(initial=-1)) + 1

    @property
    def rank(self) -> int:
        """Rank of the dummies: N + T less the number of connected sets of units and times, and of the further ones."""
        return self._elimination.rank

    @cached_property
    def _elimination(self) -> _Elimination:
        # Only when first asked for: a posterior from cross-products needs none of it, and it is as large as the panel.
        large, small = (self.unit, self.time) if self.n_units >= self.n_times else (self.time, self.unit)
        sum_large, sum_small = (_indicators(codes, self.root) for codes in (large, small))
        sizes, sizes_small = (np.bincount(codes, self.root**2) for codes in (large, small))
        schur = np.diag(sizes_small)
        if self.further:
            sum_small = sparse.vstack([sum_small, *(_indicators(codes, self.root) for codes in self.further)]).tocsr()
            schur = (sum_small @ sum_small.T).toarray()
        counts = sum_small @ sum_large.T
        schur -= np.asarray((counts @ sparse.diags_array(1 / sizes) @ counts.T).todense())
        values, vectors = np.linalg.eigh(schur)
        kept = values > _RANK_TOLERANCE * values.max(initial=1.0)
        kept &= len(schur) > 1  # one period alone is spanned by the units, and what is left is rounding
        basis = vectors[:, kept]
        solve = (basis / values[kept]) @ basis.T
        return _Elimination(sum_large, sum_small, sizes, solve, len(sizes) + int(kept.sum()))

    def within(self, values: ArrayLike) -> Array:
        """Return what unit and time dummies leave of each column.

        Parameters
        ----------
        values
            Shape (n,) or (n, k).

        Returns
        -------
        ndarray
            Residuals of the least-squares regression on the dummies, same shape; orthogonal to all of them. Where rows
            have weights it is the weighted regression, and each residual is multiplied by the square root of its row's
            weight: cross-products of residuals are then those of weighted least squares.
        """
        given = np.asarray(values, dtype=float)
        out = given if given.ndim == 2 else given[:, None]
        out = out if self.weight is None else out * self.root[:, None]
        by = self._elimination
        # The second pass takes out the rounding of the first, which scales with the column's mean, not its spread.
        for _ in range(2):
            out = _off_large(by, out)
            effects = by.solve @ (by.sum_small @ out)
            out = out - _off_large(by, by.sum_small.T @ effects)
        return out if given.ndim == 2 else out[:, 0]


def _off_large(by: _Elimination, values: Array) -> Array:
    means = (by.sum_large @ values) / by.sizes[:, None]
    return np.asarray(values - by.sum_large.T @ means)


def _indicators(codes: Codes, values: Array) -> Any:
    n = len(codes)
    return sparse.csr_array((values, (codes, np.arange(n))), shape=(int(codes.max(initial=-1)) + 1, n))


def sums_by(codes: Codes, columns: Array, n_codes: int) -> Array:
    """Return the sums of columns, shape (n, k), over the rows of each code, shape (n_codes, k)."""
    n = len(codes)
    indicators = sparse.csr_array((np.ones(n), (codes, np.arange(n))), shape=(n_codes, n))
    return np.asarray(indicators @ columns)


def means_by(codes: Codes, columns: Array, weight: Array | None = None) -> Array:
    """Return the means of columns, shape (n, k), over the rows of each code, weighted if asked, shape (codes, k)."""
    if len(codes) == 0:
        return np.empty((0, columns.shape[1]))
    own = np.ones(len(codes)) if weight is None else weight
    return np.asarray((_indicators(codes, own) @ columns) / np.bincount(codes, own)[:, None])
