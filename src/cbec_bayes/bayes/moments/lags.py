"""Rows and the rows before them in their unit: the inverse of an AR(1) correlation as a sum of fixed cross-products."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.bayes.moments.lagged import previous_rows
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Lags:
    """Which row of a unit comes before which; none where errors are not correlated.

    With R_ts = rho^|t - s| within a unit and r = rho^g the correlation over a gap of g periods, a'R^-1 b is the sum of
    a_t b_t over all rows, plus, for every step from a row s to the next one t,

        r / (1 - r^2) (a_t - a_s) (b_t - b_s) - r / (1 + r) (a_t b_t + a_s b_s),

    which keeps its digits where r nears one. So there are A = 1 + 2 G fixed cross-products for G different gaps: of all
    rows, and of each gap those of differences and those of both rows.

    Attributes
    ----------
    n_obs
        Number of rows, n.
    is_correlated
        Whether errors are correlated over time.
    gaps
        Different gaps, shape (G,).
    rows, before
        Rows that follow another one, and these, by gap.
    """

    n_obs: int
    is_correlated: bool = False
    gaps: tuple[int, ...] = ()
    rows: tuple[NDArray[np.intp], ...] = ()
    before: tuple[NDArray[np.intp], ...] = ()

    @property
    def size(self) -> int:
        """Number of fixed cross-products, A."""
        return 1 + 2 * len(self.gaps)

    def terms(self, *columns: Array) -> Iterator[tuple[NDArray[np.intp], list[Array]]]:
        """Yield rows, and columns of shape (m, q) there, whose cross-products are the fixed ones, in order."""
        yield np.arange(self.n_obs), list(columns)
        for now, before in zip(self.rows, self.before, strict=True):
            yield now, [one[now] - one[before] for one in columns]
            both = np.concatenate([now, before])
            yield both, [one[both] for one in columns]

    def weights(self, rho: Array | None, n_points: int) -> Array:
        """Return the weight of every fixed cross-product, shape (S, A)."""
        found = np.ones((n_points, self.size))
        for k, gap in enumerate(self.gaps):
            assert rho is not None
            r = rho**gap
            found[:, 1 + 2 * k] = r / (1 - r**2)
            found[:, 2 + 2 * k] = -r / (1 + r)
        return found

    def weight_slopes(self, rho: float) -> Array:
        """Return their derivatives in rho, shape (A,)."""
        found = np.zeros(self.size)
        for k, gap in enumerate(self.gaps):
            r, change = rho**gap, gap * rho ** (gap - 1)
            found[1 + 2 * k] = change * (1 + r**2) / (1 - r**2) ** 2
            found[2 + 2 * k] = -change / (1 + r) ** 2
        return found

    def log_det(self, rho: Array | None, n_points: int) -> Array:
        """Return half the log determinant of the correlation, shape (S,)."""
        found = np.zeros(n_points)
        for gap, rows in zip(self.gaps, self.rows, strict=True):
            assert rho is not None
            found += len(rows) / 2 * np.log1p(-(rho ** (2 * gap)))
        return found

    def log_det_slope(self, rho: float) -> float:
        """Return its derivative in rho."""
        found = 0.0
        for gap, rows in zip(self.gaps, self.rows, strict=True):
            found -= len(rows) * gap * rho ** (2 * gap - 1) / (1 - rho ** (2 * gap))
        return found

    def among(self, kept: NDArray[np.bool_]) -> Lags:
        """Return the lags of the rows of some units, where `kept`, shape (n,), is true."""
        at = np.cumsum(kept) - 1
        rows, before = (tuple(at[one[kept[one]]] for one in every) for every in (self.rows, self.before))
        return replace(self, n_obs=int(kept.sum()), rows=rows, before=before)

    def inverse(self, columns: Array, rho: float | None) -> Array:
        """Return R^-1 times columns, shape (n, q)."""
        found = columns.copy()
        for gap, now, before in zip(self.gaps, self.rows, self.before, strict=True):
            assert rho is not None
            r = rho**gap
            step = r / (1 - r**2) * (columns[now] - columns[before])
            found[now] += step - r / (1 + r) * columns[now]
            found[before] -= step + r / (1 + r) * columns[before]
        return found

    def inverse_diagonal(self, rho: float | None) -> Array:
        """Return the diagonal of R^-1, shape (n,)."""
        found = np.ones(self.n_obs)
        for gap, now, before in zip(self.gaps, self.rows, self.before, strict=True):
            assert rho is not None
            share = rho ** (2 * gap) / (1 - rho ** (2 * gap))
            found[now] += share
            found[before] += share
        return found


def lags_of(design: Design) -> Lags:
    """Return the lags of the rows of a design; see `previous_rows` for what is refused."""
    previous, gap = previous_rows(design)
    gaps = np.unique(gap[gap > 0])
    rows = tuple(np.flatnonzero(gap == g) for g in gaps)
    return Lags(
        n_obs=design.n_obs,
        is_correlated=True,
        gaps=tuple(int(g) for g in gaps),
        rows=rows,
        before=tuple(previous[now] for now in rows),
    )
