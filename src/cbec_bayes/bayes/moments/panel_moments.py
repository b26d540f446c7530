"""Closed moments of a panel, of which no row can be told: all that Gaussian members with independent errors need."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.panel.cells import some
from cbec_bayes.panel.periods import Frequency, period_text
from cbec_bayes.panel.spread import Spread
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import Origin

_SPENT = 1e-12  # share of a column's square within units that may be rounding
_RANK_TOLERANCE = 1e-10

ALONE = ""
"""Label of the group of a panel without groups."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PanelMoments:
    """Closed moments of a panel: of q = 1 + K columns (outcome, then regressors) and T period indicators, p = q + T.

    Attributes
    ----------
    outcome, terms
        Names of the columns, the exposure first among the terms.
    groups
        Labels of the R groups; empty where there are none, and then R is 1 below.
    times
        The periods, ascending.
    centre
        What was subtracted from the columns before cross-products between units, shape (q,).
    mean, squares
        Mean of each column over all rows, and sum of squares about it, shape (q,).
    sizes
        Distinct numbers of rows of a unit, ascending, shape (M,).
    counts
        How many units of each group have each size, shape (R, M).
    within
        Cross-products of the columns and period indicators less their unit means, shape (R, p, p).
    between
        Sums over units of each size m of m times the cross-products of their means, columns less `centre`, shape
        (R, M, p, p); None where it was left out.
    period_counts, period_sums
        Rows of each group and period, shape (R, T), and their sums of columns less `centre`, shape (R, T, q).
    dropped
        Rows that had a missing cell and were left out.
    origin
        Origin of the data.
    frequency
        How often a period comes.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> columns = {"outcome": "sales", "exposure": "price", "unit": "firm", "time": "year", "group": "sector"}
    >>> roles = cb.Roles(**columns, controls=("wage",))
    >>> moments = cb.gather([frame], roles)
    >>> moments.n_obs, moments.groups
    (96, ('food', 'metal', 'paper'))
    """

    outcome: str
    terms: tuple[str, ...]
    groups: tuple[str, ...]
    times: tuple[float, ...]
    centre: Array
    mean: Array
    squares: Array
    sizes: NDArray[np.int64]
    counts: NDArray[np.int64]
    within: Array
    between: Array | None
    period_counts: NDArray[np.int64]
    period_sums: Array
    dropped: int
    origin: Origin
    frequency: Frequency = Frequency.NUMBER

    @property
    def n_columns(self) -> int:
        """Outcome and regressors, q."""
        return 1 + len(self.terms)

    @property
    def group_units(self) -> NDArray[np.int64]:
        """Units of each group, shape (R,)."""
        return np.asarray(self.counts.sum(axis=1))

    @property
    def group_obs(self) -> NDArray[np.int64]:
        """Rows of each group, shape (R,)."""
        return np.asarray(self.counts @ self.sizes)

    @property
    def n_obs(self) -> int:
        """Number of rows."""
        return int(self.group_obs.sum())

    @property
    def spread(self) -> Spread:
        """Standard deviations of the columns, in total and within, as the rows themselves would give them."""
        q, within = self.n_columns, self.within.sum(axis=0)
        total = np.sqrt(self.squares / (self.n_obs - 1))
        values, vectors = np.linalg.eigh(within[q:, q:])
        kept = values > _RANK_TOLERANCE * values.max(initial=1.0)
        own = np.diag(within)[:q]
        left = own - ((vectors[:, kept].T @ within[q:, :q]) ** 2 / values[kept, None]).sum(axis=0)
        n_units = int(self.group_units.sum())
        free = self.n_obs - n_units - int(kept.sum())
        there = (left > _SPENT * own) & (free > 0)
        when = np.asarray(self.times)
        about = when - self.period_counts.sum(axis=0) @ when / self.n_obs
        since = float(about @ within[q:, q:] @ about) / max(1, self.n_obs - n_units)
        if since <= _SPENT * float(about @ about):
            since = float(self.period_counts.sum(axis=0) @ about**2) / (self.n_obs - 1)
        return Spread(total, np.where(there, np.sqrt(np.where(there, left, 0.0) / max(1, free)), total), since**0.5)

    def __str__(self) -> str:
        groups = f"groups: {some(self.groups)}; " if self.groups else ""
        return (
            f"moments of {self.n_obs} rows of {int(self.group_units.sum())} units and {len(self.times)} periods; "
            f"outcome {self.outcome}; regressors {some(self.terms)}; {groups}"
            f"{self.dropped} rows with missing cells left out; origin: {self.origin}"
        )

    __repr__ = __str__

    def __add__(self, other: PanelMoments) -> PanelMoments:
        """Return the moments of two panels without a unit in common, which nothing in them can tell."""
        if (self.outcome, self.terms) != (other.outcome, other.terms):
            raise InputError(f"moments of other columns: {self.outcome}, {self.terms}; {other.outcome}, {other.terms}")
        if bool(self.groups) != bool(other.groups):
            raise InputError("moments with groups and moments without cannot be added")
        groups = tuple(dict.fromkeys([*self.groups, *other.groups]))
        times = tuple(sorted({*self.times, *other.times}))
        sizes = np.union1d(self.sizes, other.sizes)
        n, m = self.n_obs, other.n_obs
        apart = other.mean - self.mean
        one, two = (part._laid_out(groups, times, sizes, self.centre) for part in (self, other))
        return replace(
            one,
            mean=self.mean + apart * (m / (n + m)),
            squares=self.squares + other.squares + apart**2 * (n * m / (n + m)),
            counts=one.counts + two.counts,
            within=one.within + two.within,
            between=None if one.between is None or two.between is None else one.between + two.between,
            period_counts=one.period_counts + two.period_counts,
            period_sums=one.period_sums + two.period_sums,
            dropped=self.dropped + other.dropped,
            origin=max(self.origin, other.origin, key=list(Origin).index),
        )

    def _laid_out(
        self, groups: tuple[str, ...], times: tuple[float, ...], sizes: NDArray[np.int64], centre: Array
    ) -> PanelMoments:
        """Return the same moments with more groups, periods and sizes, about another centre."""
        q, n_groups = self.n_columns, max(len(groups), 1)
        g = [groups.index(label) for label in self.groups] if groups else [0]
        t = np.searchsorted(times, self.times)
        at = np.r_[np.arange(q), q + t]
        p = q + len(times)
        size = np.searchsorted(sizes, self.sizes)
        counts = np.zeros((n_groups, len(sizes)), dtype=np.int64)
        counts[np.ix_(g, size)] = self.counts
        within = np.zeros((n_groups, p, p))
        within[np.ix_(g, at, at)] = self.within
        shift = np.eye(p)  # a column about another centre is itself plus a multiple of the sum of period indicators
        shift[:q, q:] = (self.centre - centre)[:, None]
        between = None
        if self.between is not None:
            between = np.zeros((n_groups, len(sizes), p, p))
            between[np.ix_(g, size, at, at)] = self.between
            between = shift @ between @ shift.T
        period_counts = np.zeros((n_groups, len(times)), dtype=np.int64)
        period_counts[np.ix_(g, t)] = self.period_counts
        period_sums = np.zeros((n_groups, len(times), q))
        period_sums[np.ix_(g, t, np.arange(q))] = self.period_sums
        period_sums += period_counts[:, :, None] * (self.centre - centre)
        return replace(
            self,
            groups=groups,
            times=times,
            centre=centre,
            sizes=sizes,
            counts=counts,
            within=within,
            between=between,
            period_counts=period_counts,
            period_sums=period_sums,
        )

    def small_cells(self, least: int) -> tuple[str, ...]:
        """Name the cells of fewer than `least` units, and those that all but so few units are in.

        A cell is a group, a group in a period, or the units of a group with equally many rows. A cell of one unit is
        that unit's data, and so is the difference between a group and a cell that all others are in.
        """
        found = []
        labels = self.groups or (ALONE,)
        for r, label in enumerate(labels):
            units = int(self.group_units[r])
            name = f"group '{label}'" if label else "the panel"
            if units < least:
                found.append(f"{name} has {_units(units)}")
                continue
            for t, time in enumerate(self.times):
                there = int(self.period_counts[r, t])
                if 0 < there < least or 0 < units - there < least:
                    some = there if there < least else units - there
                    lacking = "" if there < least else "all but "
                    found.append(f"{name} in {period_text(time, self.frequency)} has {lacking}{_units(some)}")
            if self.between is None:
                continue
            for m, size in enumerate(self.sizes):
                if 0 < self.counts[r, m] < least:
                    found.append(f"{name} has {_units(int(self.counts[r, m]))} with {size} rows")
        return tuple(found)


def _units(n: int) -> str:
    return f"{n} unit" if n == 1 else f"{n} units"
