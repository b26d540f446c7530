"""Moments of a panel gathered piece by piece: one pass over rows in any order, and merged from any number of workers.

Every Gaussian member with independent residuals needs of a panel, group by group, the cross-products of outcome,
regressors and period indicators, within units and between them. They add: over rows, over pieces of a panel, and over
panels of different units. From what is left when the units' own sums are closed no row can be told, and every posterior
follows exactly (MODEL.md section 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cbec_bayes.panel.cells import period_text, some
from cbec_bayes.panel.within import Array, Codes
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import Origin

BETWEEN_MAX = 2**27
"""Numbers that cross-products between units may take; beyond, they are left out and random unit effects refused."""

_ALONE = ""


@dataclass(frozen=True, slots=True, kw_only=True)
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
        Of the data.
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
    def spread(self) -> Array:
        """Standard deviations of the columns over all rows, shape (q,)."""
        return np.asarray(np.sqrt(self.squares / (self.n_obs - 1)))

    def __str__(self) -> str:
        groups = f"groups: {some(self.groups)}; " if self.groups else ""
        return (
            f"moments of {self.n_obs} rows of {int(self.group_units.sum())} units and {len(self.times)} periods; "
            f"outcome {self.outcome}; regressors {some(self.terms)}; {groups}"
            f"{self.dropped} rows with missing cells left out; origin: {self.origin}"
        )

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
        labels = self.groups or (_ALONE,)
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
                    found.append(f"{name} in {period_text(time)} has {lacking}{_units(some)}")
            if self.between is None:
                continue
            for m, size in enumerate(self.sizes):
                if 0 < self.counts[r, m] < least:
                    found.append(f"{name} has {_units(int(self.counts[r, m]))} with {size} rows")
        return tuple(found)


def _units(n: int) -> str:
    return f"{n} unit" if n == 1 else f"{n} units"


class Gathering:
    """Moments that are being gathered: rows come in pieces of any kind, and gatherings of pieces merge.

    A unit's rows may be in any number of pieces: of every unit its sums are kept, some 8 (2 q + 2) + T bytes, until
    `close`. Columns are measured from each unit's first row, so that large means cost no digits.

    Parameters
    ----------
    outcome, terms
        Names of the columns, the exposure first among the terms.
    grouped
        Whether rows have groups.
    origin
        Of the data.
    """

    def __init__(self, outcome: str, terms: Sequence[str], *, grouped: bool, origin: Origin = Origin.OBSERVED) -> None:
        self.outcome, self.terms, self.grouped, self.origin = outcome, tuple(terms), grouped, origin
        q = 1 + len(self.terms)
        self.units: pd.Index = pd.Index([], dtype="int64")
        self.times: list[float] = []
        self.groups: list[str] = [] if grouped else [_ALONE]
        self.count = np.zeros(0, dtype=np.int64)
        self.group = np.zeros(0, dtype=np.intp)
        self.first = np.zeros((0, q))
        self.sums = np.zeros((0, q))
        self.present = np.zeros((0, 0), dtype=bool)
        self.squares = np.zeros((len(self.groups), q, q))
        self.by_time = np.zeros((len(self.groups), 0, q))
        self.dropped = 0

    def add(self, units: pd.Index, times: Array, values: Array, groups: pd.Index | None = None) -> None:
        """Add rows.

        Parameters
        ----------
        units
            Labels, n of them: integers or text.
        times
            Periods, shape (n,).
        values
            Outcome, then regressors, shape (n, q), without missing cells.
        groups
            Labels, n of them, where rows have groups.

        Raises
        ------
        InputError
            A unit has a period twice, or two groups.
        """
        if len(units) == 0:
            return
        unit = self._unit_codes(units)
        time = self._time_codes(times)
        group = self._group_codes(groups, len(unit))
        new = self.count[unit] == 0
        rows = np.flatnonzero(new)
        heads, where = np.unique(unit[rows], return_index=True)
        self.first[heads] = values[rows[where]]
        self.group[heads] = group[rows[where]]
        torn = np.flatnonzero(self.group[unit] != group)
        if torn.size:
            i = int(torn[0])
            both = f"'{self.groups[self.group[unit[i]]]}' and '{self.groups[group[i]]}'"
            raise InputError(f"the unit '{units[i]}' is in two groups, {both}")
        cell = unit * len(self.times) + time
        seen = self.present.ravel()
        twice = seen[cell]
        if not twice.any():
            seen[cell] = True
            twice = pd.Series(cell).duplicated().to_numpy()
        if twice.any():
            i = int(np.flatnonzero(twice)[0])
            raise InputError(f"'{units[i]}' has the period {period_text(times[i])} twice")
        self._accumulate(unit, time, values - self.first[unit])

    def _accumulate(self, unit: Codes, time: Codes, left: Array) -> None:
        n_units, q = self.sums.shape
        group = self.group[unit]
        self.count += np.bincount(unit, minlength=n_units)
        place = group * len(self.times) + time
        shape = self.by_time.shape[:2]
        for k in range(q):
            self.sums[:, k] += np.bincount(unit, left[:, k], n_units)
            self.by_time[:, :, k] += np.bincount(place, left[:, k], shape[0] * shape[1]).reshape(shape)
        if len(self.groups) == 1:
            self.squares[0] += left.T @ left
            return
        for i in range(q):
            for j in range(i + 1):
                found = np.bincount(group, left[:, i] * left[:, j], len(self.groups))
                self.squares[:, i, j] += found
                if i != j:
                    self.squares[:, j, i] += found

    def merge(self, other: Gathering) -> None:
        """Add what another gathering of the same columns has; errors as `add`."""
        if (self.outcome, self.terms, self.grouped) != (other.outcome, other.terms, other.grouped):
            raise InputError("gatherings of different columns cannot be merged")
        self.dropped += other.dropped
        if len(other.units) == 0:
            return
        unit = self._unit_codes(other.units)
        time = self._time_codes(np.array(other.times))
        group = self._group_codes(pd.Index(other.groups) if self.grouped else None, len(other.groups))
        new = self.count[unit] == 0
        self.first[unit[new]] = other.first[new]
        self.group[unit[new]] = group[other.group[new]]
        torn = np.flatnonzero(self.group[unit] != group[other.group])
        if torn.size:
            raise InputError(f"the unit '{other.units[int(torn[0])]}' is in two groups")
        there = np.zeros((len(unit), len(self.times)), dtype=bool)
        there[:, time] = other.present
        twice = there & self.present[unit]
        if twice.any():
            i, t = (int(k[0]) for k in np.nonzero(twice))
            raise InputError(f"'{other.units[i]}' has the period {period_text(self.times[t])} twice")
        self.present[unit] |= there
        moved = other.first - self.first[unit]
        count = other.count[:, None]
        self.sums[unit] += other.sums + count * moved
        self.count[unit] += other.count
        for r in range(len(other.groups)):
            own = other.group == r
            cross = other.sums[own].T @ moved[own]
            pull = (count[own] * moved[own]).T @ moved[own]
            self.squares[group[r]] += other.squares[r] + cross + cross.T + pull
            self.by_time[group[r]][time] += other.by_time[r] + other.present[own].T.astype(float) @ moved[own]

    def close(self) -> PanelMoments:
        """Return the moments, without the units' own sums.

        Raises
        ------
        InputError
            There are no rows.
        """
        if len(self.count) == 0:
            raise InputError("there are no rows")
        order = np.argsort(self.times)
        ranked = np.argsort(self.groups)  # whoever came first
        times = tuple(float(self.times[k]) for k in order)
        present = self.present[:, order]
        q, n_groups = self.sums.shape[1], len(self.groups)
        shares = present / self.count[:, None]
        offset = self.sums / self.count[:, None]
        level = self.first + offset
        total = int(self.count.sum())
        centre = np.asarray((self.count @ (level - level[0])) / total + level[0])
        sizes, which = np.unique(self.count, return_inverse=True)
        p = q + len(times)
        within = np.zeros((n_groups, p, p))
        counts = np.zeros((n_groups, len(sizes)), dtype=np.int64)
        period_counts = np.zeros((n_groups, len(times)), dtype=np.int64)
        period_sums = np.zeros((n_groups, len(times), q))
        fits = n_groups * len(sizes) * p * p <= BETWEEN_MAX
        between = np.zeros((n_groups, len(sizes), p, p)) if fits else None
        about = level - centre
        for r, code in enumerate(ranked):
            own = self.group == code if n_groups > 1 else slice(None)
            there, share, n = present[own], shares[own], self.count[own]
            by_time = self.by_time[code][order]
            within[r, :q, :q] = self.squares[code] - (offset[own] * n[:, None]).T @ offset[own]
            within[r, q:, :q] = by_time - there.T.astype(float) @ offset[own]
            within[r, :q, q:] = within[r, q:, :q].T
            period_counts[r] = there.sum(axis=0)
            within[r, q:, q:] = np.diag(period_counts[r].astype(float)) - there.T.astype(float) @ share
            period_sums[r] = by_time + there.T.astype(float) @ (self.first[own] - centre)
            counts[r] = np.bincount(which[own], minlength=len(sizes))
            if between is not None:
                means = np.column_stack([about[own], share])
                for m in np.flatnonzero(counts[r]):
                    part = means if len(sizes) == 1 else means[which[own] == m]
                    between[r, m] = sizes[m] * part.T @ part
        squares = np.einsum("rkk->k", within[:, :q, :q]) + self.count @ about**2
        return PanelMoments(
            outcome=self.outcome,
            terms=self.terms,
            groups=tuple(self.groups[code] for code in ranked) if self.grouped else (),
            times=times,
            centre=centre,
            mean=centre,
            squares=np.asarray(squares),
            sizes=sizes,
            counts=counts,
            within=(within + within.transpose(0, 2, 1)) / 2,
            between=between,
            period_counts=period_counts,
            period_sums=period_sums,
            dropped=self.dropped,
            origin=self.origin,
        )

    def _unit_codes(self, labels: pd.Index) -> Codes:
        codes, distinct = pd.factorize(labels)
        if len(self.units) and distinct.dtype != self.units.dtype:  # numbers here and text there: text
            self.units, distinct = self.units.astype("str"), pd.Index(distinct).astype("str")
        distinct = pd.Index(distinct)
        at = self.units.get_indexer(distinct) if len(self.units) else np.full(len(distinct), -1)
        fresh = at < 0
        n = int(fresh.sum())
        if n:
            at = np.array(at)
            at[fresh] = len(self.units) + np.arange(n)
            self.units = distinct[fresh] if len(self.units) == 0 else self.units.append(distinct[fresh])
            q = self.sums.shape[1]
            self.count = np.r_[self.count, np.zeros(n, dtype=np.int64)]
            self.group = np.r_[self.group, np.zeros(n, dtype=np.intp)]
            self.first = np.r_[self.first, np.zeros((n, q))]
            self.sums = np.r_[self.sums, np.zeros((n, q))]
            self.present = np.r_[self.present, np.zeros((n, self.present.shape[1]), dtype=bool)]
        return np.asarray(at)[codes]

    def _time_codes(self, times: Array) -> Codes:
        distinct, codes = np.unique(times, return_inverse=True)
        known = {time: k for k, time in enumerate(self.times)}
        fresh = [float(time) for time in distinct if float(time) not in known]
        if fresh:
            known |= {time: len(self.times) + k for k, time in enumerate(fresh)}
            self.times += fresh
            n_groups, _, q = self.by_time.shape
            self.by_time = np.concatenate([self.by_time, np.zeros((n_groups, len(fresh), q))], axis=1)
            self.present = np.c_[self.present, np.zeros((len(self.present), len(fresh)), dtype=bool)]
        return np.array([known[float(time)] for time in distinct], dtype=np.intp)[codes]

    def _group_codes(self, labels: pd.Index | None, n: int) -> Codes:
        if labels is None:
            return np.zeros(n, dtype=np.intp)
        codes, distinct = pd.factorize(labels)
        known = {label: k for k, label in enumerate(self.groups)}
        fresh = [str(label) for label in distinct if str(label) not in known]
        if fresh:
            known |= {label: len(self.groups) + k for k, label in enumerate(fresh)}
            self.groups += fresh
            _, n_times, q = self.by_time.shape
            self.squares = np.r_[self.squares, np.zeros((len(fresh), q, q))]
            self.by_time = np.r_[self.by_time, np.zeros((len(fresh), n_times, q))]
        return np.array([known[str(label)] for label in distinct], dtype=np.intp)[codes]
