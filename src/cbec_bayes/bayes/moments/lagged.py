"""Cross-products for errors that are correlated over time within units: AR(1), exact with gaps and unequal lengths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Lagged:
    """Cross-products of rows and of rows with the unit's row before, by the gap in time between them.

    With e_t = rho^g e_(t-1) + u_t and u_t ~ N(0, sigma^2 (1 - rho^(2g))), g the gap, the inverse covariance is a sum of
    these matrices with weights that depend on rho alone; so is its determinant.

    Attributes
    ----------
    n_obs
        Number of rows.
    first
        Cross-products of each unit's first row, shape (p, p).
    gaps, counts
        Distinct gaps, and how many steps have each, shape (G,).
    now, before, across
        Cross-products of rows, of the rows before them, and of both (symmetric), shape (G, p, p).
    """

    n_obs: int
    first: Array
    gaps: NDArray[np.int64]
    counts: NDArray[np.int64]
    now: Array
    before: Array
    across: Array

    def matrices(self) -> list[Array]:
        """Return the matrices, in the order of `weights`."""
        return [self.first, *self.now, *self.before, *self.across]

    def weights(self, rho: Array, sigma: Array) -> list[Array]:
        """Return the weight of each matrix, each of shape (S,)."""
        carried = [rho**gap for gap in self.gaps]
        left = [sigma**2 * (1 - r**2) for r in carried]
        return [
            1 / sigma**2,
            *(1 / v for v in left),
            *(r**2 / v for r, v in zip(carried, left, strict=True)),
            *(-r / v for r, v in zip(carried, left, strict=True)),
        ]

    def log_det(self, rho: Array) -> Array:
        """Return half the log determinant of the covariance over sigma^2, shape (S,)."""
        return np.asarray(sum(n / 2 * np.log1p(-(rho ** (2 * g))) for n, g in zip(self.counts, self.gaps, strict=True)))

    def slopes(self, full: Array, rho: float, sigma: float) -> tuple[float, float]:
        """Return the derivatives of the log likelihood in ln sigma and in rho, apart from -n of the former.

        Parameters
        ----------
        full
            (1, -m)'(1, -m) plus the conditional covariance of the coefficients, shape (p, p); see
            `cbec_bayes.bayes.likelihood.residual_covariance.ResidualCovariance.slopes`.
        rho, sigma
            Scalars.
        """
        by_sigma = float(np.sum(full * self.first)) / sigma**2
        by_rho = 0.0
        parts = zip(self.gaps, self.counts, self.now, self.before, self.across, strict=True)
        for gap, count, now, before, across in parts:
            r = rho**gap
            dr = gap * rho ** (gap - 1)
            left = 1 - r**2
            squares, lagged, crossed = (float(np.sum(full * matrix)) / sigma**2 for matrix in (now, before, across))
            by_sigma += (squares + r**2 * lagged - r * crossed) / left
            change = (2 * r * (squares + lagged) - (1 + r**2) * crossed) / left**2
            by_rho += dr * (count * r / left - change / 2)
        return by_sigma, by_rho


def previous_rows(design: Design) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Return each row's predecessor within its unit and how long ago it was; the first has itself and a gap of zero.

    Raises
    ------
    InputError
        Periods are not whole numbers, so that a correlation per period has no meaning.
    """
    times = np.asarray(design.times)
    if not np.all(times == np.round(times)):
        raise InputError("errors correlated over time need periods that are whole numbers")
    order = np.lexsort((design.time, design.unit))
    follows = np.r_[False, np.diff(design.unit[order]) == 0]
    previous = np.arange(design.n_obs)
    previous[order[follows]] = order[np.flatnonzero(follows) - 1]
    when = np.round(times[design.time]).astype(np.int64)
    return previous, when - when[previous]


def lagged_of(columns: Array, design: Design) -> Lagged:
    """Accumulate the cross-products of columns, shape (n, p); see `previous_rows` for what is refused."""
    previous, gap = previous_rows(design)
    later = np.flatnonzero(gap > 0)
    gaps, which = np.unique(gap[later], return_inverse=True)
    p = columns.shape[1]
    now, before, across = np.zeros((3, len(gaps), p, p))
    for g in range(len(gaps)):
        rows = later[which == g]
        a, b = columns[rows], columns[previous[rows]]
        now[g], before[g] = a.T @ a, b.T @ b
        across[g] = a.T @ b + b.T @ a
    first = columns[gap == 0]
    return Lagged(
        n_obs=len(columns),
        first=first.T @ first,
        gaps=gaps,
        counts=np.bincount(which, minlength=len(gaps)),
        now=now,
        before=before,
        across=across,
    )
