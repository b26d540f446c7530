"""Staggered adoption: in which period each unit is first treated, and the rows that effects can be learned from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.panel.cells import count, some
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.periods import period_text
from cbec_bayes.panel.within import Array, Codes
from cbec_bayes.runtime.errors import InputError

ADOPTED = "adopted"
"""Regressor that takes the place of the exposure: one from the first period with a positive exposure on, else zero."""

REFERENCE = -1
"""Event time that effects are measured against: the last period before adoption."""

_LARGEST = 5e7  # numbers that the columns of all cells may take
_FEW_UNTREATED = 3
_NAMED = 6

type EventTimes = NDArray[np.int64]
"""Periods since adoption, counted in the periods of the panel; negative before adoption."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """The rows of a panel from which effects of adoption can be learned, with the cohort of each unit.

    Attributes
    ----------
    design
        These rows. The first regressor is `ADOPTED`, and the controls follow.
    exposure
        Name of the exposure that adoption was read from.
    cohorts
        First treated period of each of the C cohorts that are treated in these rows, in order.
    cohort
        Code of each unit's cohort, shape (N,); minus one where a unit is not treated in any of these rows.
    event_time
        Event time of each row, shape (n,); zero for rows of units without a cohort.
    notes
        Sentences on what was left out, and on what adoption leaves unsaid about the exposure.
    """

    design: Design
    exposure: str
    cohorts: tuple[float, ...]
    cohort: Codes
    event_time: EventTimes
    notes: tuple[str, ...]

    @property
    def treated(self) -> NDArray[np.bool_]:
        """Which rows are treated, shape (n,)."""
        return self.design.x[:, 0] > 0

    @property
    def has_cohort(self) -> NDArray[np.bool_]:
        """Which rows are of units that are treated at some time, shape (n,)."""
        return self.cohort[self.design.unit] >= 0

    @property
    def lags(self) -> tuple[int, ...]:
        """Event times from adoption on, in order."""
        return tuple(int(e) for e in np.unique(self.event_time[self.treated]))

    @property
    def leads(self) -> tuple[int, ...]:
        """Event times before the reference, in order."""
        return tuple(int(e) for e in np.unique(self.event_time[self.has_cohort & (self.event_time < REFERENCE)]))

    @property
    def controls(self) -> tuple[str, ...]:
        """Names of the controls."""
        return self.design.terms[1:]

    def cohort_labels(self) -> tuple[str, ...]:
        """Return the cohorts as text."""
        return tuple(period_text(time, self.design.frequency) for time in self.cohorts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Rows sorted by cohort and event time, and where asked by group.

    Attributes
    ----------
    cohort, event_time, group
        Cohort, event time and group of each of the m cells, shape (m,). Treated cells come first, then those before the
        reference, from the farthest to the nearest. Codes of groups are minus one where cells are not by group.
    code
        Cell of each row, shape (n,); minus one where a row is in none.
    """

    cohort: Codes
    event_time: EventTimes
    group: Codes
    code: Codes

    @property
    def size(self) -> int:
        """Number of cells, m."""
        return len(self.cohort)

    @property
    def rows(self) -> Array:
        """Number of rows of each cell, shape (m,)."""
        return np.asarray(np.bincount(self.code[self.code >= 0], minlength=self.size), dtype=float)

    @property
    def columns(self) -> Array:
        """Indicators of the cells, shape (n, m)."""
        return np.asarray(self.code[:, None] == np.arange(self.size), dtype=float)

    @property
    def is_treated(self) -> NDArray[np.bool_]:
        """Which cells are treated, shape (m,)."""
        return self.event_time >= 0

    def shares(self, chosen: NDArray[np.bool_]) -> Array:
        """Return the share of each cell in the rows of some cells, shape (m,); all zero where there are no rows."""
        rows = np.where(chosen, self.rows, 0.0)
        return np.asarray(rows / max(rows.sum(), 1.0))


def cells_of(adoption: Adoption, *, leads: bool, by_group: bool = False) -> Cells:
    """Sort rows into cells of cohort and event time.

    Parameters
    ----------
    adoption
        The rows.
    leads
        Whether rows before the reference have cells as well.
    by_group
        Whether cells are by group as well.

    Raises
    ------
    InputError
        The cells are too many to be laid out.
    """
    design = adoption.design
    at = adoption.treated.copy()
    if leads:
        at |= adoption.has_cohort & (adoption.event_time < REFERENCE)
    group = design.group if by_group and design.group is not None else np.full(design.n_obs, -1, dtype=np.intp)
    keys = np.column_stack([adoption.event_time < 0, adoption.cohort[design.unit], adoption.event_time, group])[at]
    found, code = np.unique(keys, axis=0, return_inverse=True)
    if len(found) * float(design.n_obs) > _LARGEST:
        raise InputError(
            f"{len(found)} cells of cohort and period in {design.n_obs} rows are too many for a saturated regression; "
            "take longer periods"
        )
    every = np.full(design.n_obs, -1, dtype=np.intp)
    every[at] = code.ravel()
    return Cells(
        cohort=found[:, 1].astype(np.intp), event_time=found[:, 2], group=found[:, 3].astype(np.intp), code=every
    )


def _require_plain(design: Design) -> None:
    """Raise where a design has what estimators of effects of adoption do not take."""
    cells = np.unique(np.column_stack([design.unit, design.time]), axis=0)
    for is_there, said in (
        (design.weight is not None or len(cells) < design.n_obs, "an event study takes no weights"),
        (bool(design.clusters), "an event study has standard errors clustered by unit alone"),
        (bool(design.effects.further), "an event study has effects of units and periods alone"),
    ):
        if is_there:
            raise InputError(f"{said}; leave out the other options")


def adoption_of(design: Design) -> Adoption:
    """Find out when each unit is first treated, and keep the rows that effects can be learned from.

    Parameters
    ----------
    design
        A panel; its first regressor is the exposure. A unit is treated from the first period on in which the exposure
        is positive, whatever the exposure does later.

    Raises
    ------
    InputError
        The exposure is negative somewhere, or never positive; or no treated row is left that has rows of other units,
        which are not yet treated, beside it. Or rows have weights, clusters are no units, or there are further effects.

    Notes
    -----
    Units that are treated in their first row have no period before adoption and are left out. So are periods in which
    every row is treated: nothing tells their period effects from effects of adoption. Where no unit is never treated,
    these are the periods from the last cohort's adoption on, and the last cohort serves as a control throughout.
    """
    _require_plain(design)
    exposure = design.x[:, 0]
    if (exposure < 0).any():
        raise InputError("an exposure below zero cannot be read as adoption", column=design.terms[0])
    if not (exposure > 0).any():
        raise InputError("no unit is ever treated: the exposure is nowhere positive", column=design.terms[0])
    n_units, n_times = len(design.units), len(design.times)
    first = np.full(n_units, n_times)
    np.minimum.at(first, design.unit[exposure > 0], design.time[exposure > 0])
    entry = np.full(n_units, n_times)
    np.minimum.at(entry, design.unit, design.time)
    always = (first < n_times) & (entry >= first)
    event_time = design.time - first[design.unit]
    untreated = event_time < 0
    has_untreated = np.bincount(design.time[untreated & ~always[design.unit]], minlength=n_times) > 0
    mask = ~always[design.unit] & has_untreated[design.time]
    if not (mask & ~untreated).any():
        raise InputError(
            "there is no period in which some units are treated and others are not, so that nothing can be compared",
            column=design.terms[0],
        )
    rows = design.rows(mask)
    treated = ~untreated[mask]
    kept_first = first[np.unique(design.unit[mask])]
    there = np.bincount(rows.unit[treated], minlength=len(rows.units)) > 0
    starts = np.unique(kept_first[there])
    cohort = np.where(there, np.searchsorted(starts, kept_first), -1).astype(np.intp)
    columns = np.column_stack([treated.astype(float), rows.x[:, 1:]])
    return Adoption(
        design=rows.with_regressors((_free(ADOPTED, rows.terms), *rows.terms[1:]), columns),
        exposure=design.terms[0],
        cohorts=tuple(design.times[k] for k in starts),
        cohort=cohort,
        event_time=np.where(cohort[rows.unit] >= 0, event_time[mask], 0),
        notes=(
            *_left_out(design, first, always, has_untreated),
            *_about_exposure(design, first, always),
            *_about_dating(design, first, always),
            *_about_rows(rows, cohort, treated),
        ),
    )


def _free(name: str, taken: tuple[str, ...]) -> str:
    """Return a name that no control has."""
    while name in taken[1:]:
        name += "_"
    return name


def _left_out(
    design: Design, first: Codes, always: NDArray[np.bool_], has_untreated: NDArray[np.bool_]
) -> Iterator[str]:
    """Yield sentences on the rows that are left out."""
    n_rows = np.bincount(design.unit, minlength=len(design.units))
    if always.any():
        named = some([design.units[u] for u in np.flatnonzero(always)], _NAMED)
        yield (
            f"{count(int(always.sum()), 'unit')} with a positive exposure from the first row on ({named}) "
            f"{'has' if always.sum() == 1 else 'have'} no period before adoption and "
            f"{'is' if always.sum() == 1 else 'are'} left out ({count(int(n_rows[always].sum()), 'row')})."
        )
    never = ~always & (first == len(design.times))
    dropped = ~has_untreated[design.time] & ~always[design.unit]
    if not dropped.any():
        return
    periods = [period_text(design.times[t], design.frequency) for t in np.unique(design.time[dropped])]
    lost = (
        f"the rows of {some(periods, _NAMED)} ({int(dropped.sum())} of {design.n_obs}), in which all units are treated"
    )
    if never.any():
        yield f"Left out are {lost}."
        return
    last = int(first[~always].max())
    late = [design.units[u] for u in np.flatnonzero(~always & (first == last))]
    yield (
        f"No unit is never treated: all have adopted by {period_text(design.times[last], design.frequency)}. Cohorts "
        "that adopt later serve as controls for those that adopt earlier; the last cohort "
        f"({some(late, _NAMED)}) counts as not treated, and {lost}, are left out."
    )


def _about_exposure(design: Design, first: Codes, always: NDArray[np.bool_]) -> Iterator[str]:
    """Yield sentences on what the exposure does after adoption."""
    exposure = design.x[:, 0]
    treated = (design.time >= first[design.unit]) & ~always[design.unit]
    at_first = np.zeros(len(design.units))
    start = treated & (design.time == first[design.unit])
    at_first[design.unit[start]] = exposure[start]
    n_adopters = int(((first < len(design.times)) & ~always).sum())
    off = np.unique(design.unit[treated & (exposure == 0)])
    if len(off):
        named = some([design.units[u] for u in off], _NAMED)
        yield (
            f"The exposure {design.terms[0]} is zero again later in {len(off)} of {n_adopters} adopting units "
            f"({named}): they count as treated from adoption on, so that effects are those of having adopted once."
        )
    moves = np.unique(design.unit[treated & (exposure > 0) & (exposure != at_first[design.unit])])
    if len(moves):
        yield (
            f"The exposure {design.terms[0]} goes on changing after adoption in {len(moves)} of {n_adopters} adopting "
            "units: effects are those of having adopted, with whatever dose came with it, and not of one unit of it."
        )


def _about_dating(design: Design, first: Codes, always: NDArray[np.bool_]) -> Iterator[str]:
    """Yield a sentence where the period of adoption itself may be one without a row."""
    before = np.full(len(design.units), -1)
    untreated = design.time < first[design.unit]
    np.maximum.at(before, design.unit[untreated], design.time[untreated])
    late = np.flatnonzero((first < len(design.times)) & ~always & (before < first - 1))
    if len(late):
        named = some([design.units[u] for u in late], _NAMED)
        yield (
            f"{count(len(late), 'unit')} {'has' if len(late) == 1 else 'have'} no row in the period before the first "
            f"treated one ({named}): adoption is dated by the first treated row, and may have been earlier."
        )


def _about_rows(rows: Design, cohort: Codes, treated: NDArray[np.bool_]) -> Iterator[str]:
    """Yield sentences on what effects rest on where it is little, and on periods that are not equally far apart."""
    gaps = {round(b - a, 9) for a, b in pairwise(rows.times)}
    if len(gaps) > 1:
        yield "Event time counts the periods of the panel, which are not equally far apart."
    alone = [c for c in range(int(cohort.max()) + 1) if (cohort == c).sum() == 1]
    if alone:
        named = some([rows.units[int(np.flatnonzero(cohort == c)[0])] for c in alone], _NAMED)
        yield (
            f"{count(len(alone), 'cohort')} {'has one unit' if len(alone) == 1 else 'have one unit each'} ({named}): "
            "the clustered standard errors of such a cohort by itself are far too small."
        )
    untreated = np.bincount(rows.time[~treated], minlength=len(rows.times))
    there = np.bincount(rows.time[treated], minlength=len(rows.times)) > 0
    few = np.flatnonzero(there & (untreated <= _FEW_UNTREATED))
    if len(few):
        said = ", ".join(f"{int(untreated[t])} in {period_text(rows.times[t], rows.frequency)}" for t in few)
        yield (
            f"Few units are not yet treated in the last periods ({said}): the effects of these periods rest on them, "
            "and their standard errors hardly hold."
        )
