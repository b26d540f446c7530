"""The two-way within transformation: unit and time effects removed exactly, on balanced and unbalanced panels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

Array = NDArray[np.float64]
Codes = NDArray[np.intp]

_RANK_TOLERANCE = 1e-10
_DERIVED = ("rank", "_sum_large", "_sum_small", "_sizes", "_solve")


@dataclass(frozen=True, slots=True)
class TwoWay:
    """Projection off unit and time dummies.

    The larger set of effects is eliminated by its means; what is left is one symmetric system of the size of the
    smaller set, decomposed once. So nothing iterates, unbalanced panels are as exact as balanced ones, and memory
    grows with rows plus the square of the smaller set. Alternating demeaning once over each, as textbooks show it, is
    right on balanced panels only (Wansbeek and Kapteyn, 1989).

    Parameters
    ----------
    unit, time
        Codes from 0 without holes, shape (n,).

    Attributes
    ----------
    n_obs, n_units, n_times
        n, N and T.
    rank
        Rank of the dummies: N + T less the number of connected sets of units and times.
    """

    unit: Codes
    time: Codes
    n_obs: int = field(init=False)
    n_units: int = field(init=False)
    n_times: int = field(init=False)
    rank: int = field(init=False)
    _sum_large: Any = field(init=False, repr=False)
    _sum_small: Any = field(init=False, repr=False)
    _sizes: Array = field(init=False, repr=False)
    _solve: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        set_ = object.__setattr__  # a frozen dataclass computes its derived fields itself
        set_(self, "n_obs", len(self.unit))
        set_(self, "n_units", int(self.unit.max(initial=-1)) + 1)
        set_(self, "n_times", int(self.time.max(initial=-1)) + 1)

    def __getattr__(self, name: str) -> Any:
        # Only when first asked for: a posterior from cross-products needs none of it, and it is as large as the panel.
        if name not in _DERIVED:
            raise AttributeError(name)
        self._prepare()
        return getattr(self, name)

    def _prepare(self) -> None:
        large, small = (self.unit, self.time) if self.n_units >= self.n_times else (self.time, self.unit)
        sum_large, sum_small = _indicators(large), _indicators(small)
        sizes = np.asarray(sum_large.sum(axis=1), dtype=float).ravel()
        counts = sum_small @ sum_large.T
        schur = np.diag(np.asarray(sum_small.sum(axis=1), dtype=float).ravel())
        schur -= np.asarray((counts @ sparse.diags_array(1 / sizes) @ counts.T).todense())
        values, vectors = np.linalg.eigh(schur)
        kept = values > _RANK_TOLERANCE * values.max(initial=1.0)
        basis = vectors[:, kept]
        found = len(sizes) + int(kept.sum()), sum_large, sum_small, sizes, (basis / values[kept]) @ basis.T
        for name, value in zip(_DERIVED, found, strict=True):
            object.__setattr__(self, name, value)

    def within(self, values: ArrayLike) -> Array:
        """Return what unit and time dummies leave of each column.

        Parameters
        ----------
        values
            Shape (n,) or (n, k).

        Returns
        -------
        ndarray
            Residuals of the least-squares regression on the dummies, same shape; orthogonal to all of them.
        """
        given = np.asarray(values, dtype=float)
        out = given if given.ndim == 2 else given[:, None]
        # The second pass takes out the rounding of the first, which scales with the column's mean, not its spread.
        for _ in range(2):
            out = self._off_large(out)
            effects = self._solve @ (self._sum_small @ out)
            out = out - self._off_large(self._sum_small.T @ effects)
        return out if given.ndim == 2 else out[:, 0]

    def _off_large(self, values: Array) -> Array:
        means = (self._sum_large @ values) / self._sizes[:, None]
        return np.asarray(values - self._sum_large.T @ means)


def _indicators(codes: Codes) -> Any:
    n = len(codes)
    return sparse.csr_array((np.ones(n), (codes, np.arange(n))), shape=(int(codes.max(initial=-1)) + 1, n))


def means_by(codes: Codes, columns: Array) -> Array:
    """Return the means of columns, shape (n, k), over the rows of each code, shape (codes, k)."""
    if len(codes) == 0:
        return np.empty((0, columns.shape[1]))
    sums = _indicators(codes) @ columns
    return np.asarray(sums / np.bincount(codes)[:, None])
