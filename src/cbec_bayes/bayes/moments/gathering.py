"""Moments of a panel gathered piece by piece: one pass over rows in any order, and merged from any number of workers.

Every Gaussian member with independent residuals needs of a panel, group by group, the cross-products of outcome,
regressors and period indicators, within units and between them. They add: over rows, over pieces of a panel, and over
panels of different units. From what is left when the units' own sums are closed no row can be told, and every posterior
follows exactly (MODEL.md section 4).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cbec_bayes.bayes.moments.panel_moments import ALONE, PanelMoments
from cbec_bayes.panel.periods import NAMES, Frequency, period_text
from cbec_bayes.panel.within import Array, Codes
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import FROM_OBSERVED, Origin

BETWEEN_MAX = 2**27
"""Numbers that cross-products between units may take; beyond, they are left out and random unit effects refused."""


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
        Origin of the data.
    """

    def __init__(self, outcome: str, terms: Sequence[str], *, grouped: bool, origin: Origin = Origin.OBSERVED) -> None:
        self.outcome, self.terms, self.grouped, self.origin = outcome, tuple(terms), grouped, origin
        q = 1 + len(self.terms)
        self.frequency = Frequency.NUMBER
        self.units: pd.Index = pd.Index([], dtype="int64")
        self.times: list[float] = []
        self.groups: list[str] = [] if grouped else [ALONE]
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
            raise InputError(f"'{units[i]}' has the period {period_text(times[i], self.frequency)} twice")
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
        self.origin = max(self.origin, other.origin, key=FROM_OBSERVED.index)
        self.counted_by(other.frequency)
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
            raise InputError(f"'{other.units[i]}' has the period {period_text(self.times[t], self.frequency)} twice")
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
            frequency=self.frequency,
        )

    def counted_by(self, frequency: Frequency) -> None:
        """Take note of how often the periods of rows that are added come.

        Raises
        ------
        InputError
            Other rows have periods of another frequency: the numbers that count them do not go together.
        """
        numbers = (Frequency.NUMBER, Frequency.YEAR)
        if self.times and frequency != self.frequency and not {frequency, self.frequency} <= set(numbers):
            raise InputError(
                f"periods are {NAMES[frequency]} here and {NAMES[self.frequency]} in the other rows; make them the same"
            )
        self.frequency = frequency

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
