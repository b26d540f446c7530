"""Periods: what the cells of a column of times mean, how often one comes, and how each is written."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cbec_bayes.panel.dates import PeriodError, with_years_first

Days = NDArray[np.int64]


class Frequency(StrEnum):
    """How often a period comes; `NUMBER` is for periods that are numbered by whoever made the panel."""

    NUMBER = "number"
    YEAR = "year"
    HALF = "half"
    QUARTER = "quarter"
    MONTH = "month"
    WEEK = "week"
    STATA_WEEK = "week of 52"
    DAY = "day"


CHOICES = tuple(one.value for one in Frequency if one is not Frequency.STATA_WEEK)
"""What a user may ask for. Weeks of Stata are 52 a year, the last of them longer, and are read from Stata alone."""

NAMES = {one: f"{one.value}s" for one in Frequency} | {Frequency.HALF: "half-years", Frequency.STATA_WEEK: "weeks"}
"""What several periods of a frequency are called."""

_DATES = (Frequency.YEAR, Frequency.HALF, Frequency.QUARTER, Frequency.MONTH, Frequency.WEEK, Frequency.DAY)
_EPOCH = dt.date(1970, 1, 1).toordinal()

MOST_SHARED = 1 / 3
"""Share of the steps of units within one period from which on dates come more often than that."""


def period_text(time: float, frequency: Frequency = Frequency.NUMBER) -> str:
    """Return a period as people write it: 2015, not 2015.0; 2014Q1, 2014M01, 2014-W05, 2014-01-31."""
    if not float(time).is_integer():
        return repr(float(time))
    t = int(time)
    match frequency:
        case Frequency.HALF:
            return f"{t // 2}H{t % 2 + 1}"
        case Frequency.QUARTER:
            return f"{t // 4}Q{t % 4 + 1}"
        case Frequency.MONTH:
            return f"{t // 12}M{t % 12 + 1:02d}"
        case Frequency.WEEK:
            year, week, _ = dt.date.fromordinal(7 * t + 1).isocalendar()
            return f"{year}-W{week:02d}"
        case Frequency.STATA_WEEK:
            return f"{t // 52}w{t % 52 + 1}"
        case Frequency.DAY:
            return dt.date.fromordinal(t).isoformat()
    return str(t)


def first_day(time: int, frequency: Frequency) -> int:
    """Return the first day of a period, counted as `datetime.date.toordinal` does."""
    match frequency:
        case Frequency.DAY:
            return time
        case Frequency.WEEK:
            return 7 * time + 1
        case Frequency.STATA_WEEK:
            return dt.date(time // 52, 1, 1).toordinal() + 7 * (time % 52)
    per_year = {Frequency.YEAR: 1, Frequency.HALF: 2, Frequency.QUARTER: 4, Frequency.MONTH: 12}[frequency]
    return dt.date(time // per_year, 12 // per_year * (time % per_year) + 1, 1).toordinal()


def periods_of_days(days: Days, frequency: Frequency) -> Days:
    """Return the period in which each day lies, counted so that one follows the other: no gap at the turn of a year."""
    if frequency is Frequency.DAY:
        return days
    if frequency is Frequency.WEEK:
        return (days - 1) // 7
    months = (days - _EPOCH).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) + 12 * 1970
    per_year = {Frequency.YEAR: 1, Frequency.HALF: 2, Frequency.QUARTER: 4, Frequency.MONTH: 12}[frequency]
    return months // (12 // per_year)


@dataclass(frozen=True, slots=True)
class Periods:
    """The times of rows.

    Attributes
    ----------
    times
        Shape (n,): periods counted one by one at their frequency, so that differences are elapsed periods.
    frequency
        How often a period comes.
    dated
        Whether they were given as dates, of which several may lie in one period.
    """

    times: NDArray[np.float64]
    frequency: Frequency
    dated: bool = False


@dataclass(frozen=True, slots=True)
class _Cell:
    """What one cell says: a period of a frequency; or a date, known to the day or to the month."""

    frequency: Frequency
    value: float
    dated: bool = False


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_INFINITE = re.compile(r"[+-]?(inf(inity)?|\d+(\.\d*)?e\+?\d+)", re.ASCII | re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def _counted(frequency: Frequency, per_year: int) -> Callable[[str, str], _Cell | None]:
    def read(year: str, part: str) -> _Cell | None:
        within = int(part)
        return _Cell(frequency, int(year) * per_year + within - 1) if 1 <= within <= per_year else None

    return read


def _month(year: str, month: str) -> _Cell | None:
    return _Cell(Frequency.MONTH, int(year) * 12 + int(month) - 1, dated=True) if 1 <= int(month) <= 12 else None


def _named_month(year: str, name: str) -> _Cell | None:
    found = [k for k, one in enumerate(_MONTHS, 1) if name.casefold().startswith(one)]
    return _month(year, str(found[0])) if found else None


def _week(year: str, week: str) -> _Cell | None:
    try:
        return _Cell(Frequency.WEEK, (dt.date.fromisocalendar(int(year), int(week), 1).toordinal() - 1) // 7)
    except ValueError:
        return None


def _day(year: str, month: str, day: str) -> _Cell | None:
    try:
        return _Cell(Frequency.DAY, dt.date(int(year), int(month), int(day)).toordinal(), dated=True)
    except ValueError:
        return None


def _named_day(year: str, name: str, day: str) -> _Cell | None:
    return _day(year, str(_MONTHS.index(name.casefold()) + 1), day) if name.casefold() in _MONTHS else None


def _year(year: str) -> _Cell:
    return _Cell(Frequency.YEAR, int(year))


def _two_years(year: str, other: str) -> _Cell | None:
    return _year(year) if (int(year) + 1) % 10 ** len(other) == int(other) else None


_HALF, _QUARTER, _MONTHLY = (
    _counted(one, n) for one, n in ((Frequency.HALF, 2), (Frequency.QUARTER, 4), (Frequency.MONTH, 12))
)
_Y, _GAP = r"(\d{4})", r"[\s:_/.-]*"
_FORMS: tuple[tuple[re.Pattern[str], Callable[..., _Cell | None], tuple[int, ...]], ...] = tuple(
    (re.compile(pattern, re.ASCII | re.IGNORECASE), read, order)
    for pattern, read, order in (
        (rf"{_Y}年", _year, (1,)),
        (rf"[FC]Y\s*{_Y}", _year, (1,)),
        (rf"(?:FY\s*)?{_Y}\s*[-/–]\s*(\d\d|\d{{4}})", _two_years, (1, 2)),
        (rf"{_Y}{_GAP}[HS]([12])", _HALF, (1, 2)),
        (rf"[HS]([12]){_GAP}{_Y}", _HALF, (2, 1)),
        (rf"{_Y}{_GAP}[QT]([1-4])", _QUARTER, (1, 2)),
        (rf"[QT]([1-4]){_GAP}{_Y}", _QUARTER, (2, 1)),
        (rf"([1-4])[QT]{_GAP}{_Y}", _QUARTER, (2, 1)),
        (rf"{_Y}年第?([1-4])季度?", _QUARTER, (1, 2)),
        (rf"{_Y}{_GAP}M(\d\d?)", _MONTHLY, (1, 2)),
        (rf"{_Y}年(\d\d?)月", _month, (1, 2)),
        (rf"{_Y}[-/](\d\d?)", _month, (1, 2)),
        (rf"{_Y}{_GAP}([a-z]{{3,9}})", _named_month, (1, 2)),
        (rf"([a-z]{{3,9}})\.?{_GAP}{_Y}", _named_month, (2, 1)),
        (rf"{_Y}-?(?-i:W)(\d\d?)", _week, (1, 2)),
        (rf"{_Y}(?-i:w)(\d\d?)", _counted(Frequency.STATA_WEEK, 52), (1, 2)),
        (rf"{_Y}年(\d\d?)月(\d\d?)日", _day, (1, 2, 3)),
        (rf"{_Y}([-/.])(\d\d?)\2(\d\d?)(?:[T ].*)?", _day, (1, 3, 4)),
        (rf"(\d\d?)\.(\d\d?)\.{_Y}", _day, (3, 2, 1)),
        (rf"(\d\d?)[-\s]?([a-z]{{3}})[a-z]*\.?[-\s,]*{_Y}", _named_day, (3, 2, 1)),
    )
)


def _read(cell: object) -> _Cell | None:
    """Return what a cell that is not blank says by itself, or None where it is no period."""
    if isinstance(cell, str):
        text = cell.strip()
        for pattern, read, order in _FORMS:
            match = pattern.fullmatch(text)
            found = read(*(match[k] for k in order)) if match else None
            if found is not None:
                return found
        if _NUMBER.fullmatch(text) and np.isfinite(float(text)):
            return _Cell(Frequency.NUMBER, float(text))
        return None
    if isinstance(cell, pd.Period):
        return _of_period(cell)
    if isinstance(cell, dt.date):
        return _Cell(Frequency.DAY, cell.toordinal(), dated=True)
    try:
        value = float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return _Cell(Frequency.NUMBER, value) if np.isfinite(value) else None


def _of_period(period: Any) -> _Cell:
    kind = str(period.freqstr).split("-")[0].upper()
    if kind.startswith(("Y", "A")):
        return _Cell(Frequency.YEAR, period.year)
    if kind.startswith("Q"):
        return _Cell(Frequency.QUARTER, 4 * period.qyear + period.quarter - 1)
    if kind.startswith("M"):
        return _Cell(Frequency.MONTH, 12 * period.year + period.month - 1)
    day = period.start_time.date().toordinal()
    return _Cell(Frequency.WEEK, (day - 1) // 7) if kind.startswith("W") else _Cell(Frequency.DAY, day, dated=True)


def read_periods(
    cells: Sequence[object],
    code: NDArray[np.intp],
    unit: NDArray[np.intp] | None,
    asked: str | None = None,
    dates: str | None = None,
) -> Periods:
    """Read the times of rows.

    Parameters
    ----------
    cells
        The distinct cells, none of them blank.
    code
        Which of them is each row's, shape (n,).
    unit
        Code of each row's unit: how often dates come follows from the steps of units. None where not all rows are
        there: dates then stand for their years, and those without a day for their months.
    asked
        Frequency that is asked for, one of `CHOICES`; None for that of the cells.
    dates
        One of `ORDERS`, of dates whose year comes last; None for what they tell.

    Raises
    ------
    PeriodError
        A cell is no period, or of another frequency than the others.
    """
    found = [_read(cell) for cell in with_years_first(cells, dates, whole=unit is not None)]
    if asked != Frequency.NUMBER:
        found = _whole_numbers(_pairs_of_years(found), asked)
    _require_alike(cells, found)
    read = [one for one in found if one is not None]
    values = np.array([one.value for one in read], dtype=float)
    own = next((one.frequency for one in read if one.frequency is not Frequency.NUMBER), Frequency.NUMBER)
    dated = any(one.dated for one in read)
    if own is Frequency.NUMBER and asked in (None, Frequency.NUMBER, Frequency.YEAR):
        return Periods(values[code], Frequency.YEAR if asked == Frequency.YEAR else own)
    if own is Frequency.NUMBER:
        raise PeriodError(0, f"--frequency {asked}: these periods are plain numbers, of which no {asked} is known")
    if not dated and asked in (None, own):
        return Periods(values[code], own)
    mixed = [first_day(int(one.value), one.frequency) for one in read]
    days = np.array(mixed, dtype=np.int64)[code]
    finest = Frequency.MONTH if all(one.frequency is not Frequency.DAY for one in read) and dated else Frequency.DAY
    if asked is not None:
        wanted = Frequency(asked)
        if _DATES.index(wanted) > _DATES.index(own if own in _DATES else Frequency.WEEK):
            raise PeriodError(0, f"--frequency {asked}: a {own} does not say in which {asked} it is")
    elif unit is None:
        wanted = Frequency.YEAR if finest is Frequency.DAY else Frequency.MONTH
    else:
        wanted = frequency_of(days, unit, finest)
    return Periods(periods_of_days(days, wanted).astype(float), wanted, dated=True)


def frequency_of(days: Days, unit: NDArray[np.intp], finest: Frequency = Frequency.DAY) -> Frequency:
    """Return how often dates come: the rarest frequency at which few steps of units stay within one period.

    Few is less than `MOST_SHARED`: two dates of one unit in a year that has one elsewhere are a mistake to be named,
    and no sign that the panel is quarterly.
    """
    order = np.lexsort((days, unit))
    when, whose = days[order], unit[order]
    steps = (whose[1:] == whose[:-1]) & (when[1:] != when[:-1])
    for frequency in _DATES[: _DATES.index(finest)]:
        period = periods_of_days(when, frequency)
        if np.sum(steps & (period[1:] == period[:-1])) < MOST_SHARED * max(steps.sum(), 1):
            return frequency
    return finest


def _pairs_of_years(found: list[_Cell | None]) -> list[_Cell | None]:
    """Return financial years as such or as months, whichever all cells of the kind can be: 2000-01 may be either.

    A cell such as 2000-01 is read as a pair of years first; where others such as 2000-02 are months, it is one too.
    """
    months = [one for one in found if one is not None and one.dated and one.frequency is Frequency.MONTH]
    if not months:
        return found
    return [
        _Cell(Frequency.MONTH, 12 * one.value + (one.value + 1) % 100 - 1, dated=True)
        if one is not None and one.frequency is Frequency.YEAR and 1 <= (one.value + 1) % 100 <= 12
        else one
        for one in found
    ]


_WRITTEN = "numbers, years, dates (2014-01-31), quarters (2014Q1) or months (2014-01)"
_FIRST_YEAR, _LAST_YEAR = 1800, 2200


def _whole_numbers(found: list[_Cell | None], asked: str | None) -> list[_Cell | None]:
    """Return numbers that are years with a part of the year behind them as such periods, where all of them can be."""
    values = np.array([one.value for one in found if one is not None and one.frequency is Frequency.NUMBER])
    if len(values) < len(found) or not len(values) or np.any((values != np.round(values)) | (np.abs(values) > 1e9)):
        return found
    whole = values.astype(np.int64)
    for digits, per_year in ((8, 0), (6, 0), (6, 12), (5, 4)):
        year, part = np.divmod(whole, 10 ** (digits - 4))
        if np.any((year < _FIRST_YEAR) | (year > _LAST_YEAR)):
            continue
        if digits == 8:
            read: list[_Cell | None] = [_day(str(n)[:4], str(n)[4:6], str(n)[6:]) for n in whole]
        elif per_year == 0:
            read = [_two_years(str(y), f"{p:02d}") for y, p in zip(year, part, strict=True)]
            read = read if len(np.unique(year)) > 1 else [None]
        elif per_year == 4:
            read = [_QUARTER(str(y), str(p)) for y, p in zip(year, part, strict=True)]
        else:
            read = _months_or_quarters(year, part, asked)
        if None not in read:
            return read
    return found


def _months_or_quarters(year: Days, part: Days, asked: str | None) -> list[_Cell | None]:
    quarters = set(part.tolist()) == {1, 2, 3, 4} and len(np.unique(year)) > 1
    if quarters and asked is None:
        shown = f"{year[0]}{part[0]:02d}"
        raise PeriodError(
            0,
            f"'{shown}' may be a quarter or a month, as no period ends in more than 04: --frequency quarter or "
            "--frequency month says which",
        )
    if quarters and asked == Frequency.QUARTER:
        return [_QUARTER(str(y), str(p)) for y, p in zip(year, part, strict=True)]
    return [_month(str(y), str(p)) for y, p in zip(year, part, strict=True)]


def _require_alike(cells: Sequence[object], found: list[_Cell | None]) -> None:
    """Raise where a cell is no period, or of another kind than the others; a date may lack its day."""

    def kind(one: _Cell) -> str:
        return "date" if one.dated else one.frequency

    kinds = [kind(one) for one in found if one is not None]
    main = next((one for one in kinds if one != Frequency.NUMBER), Frequency.NUMBER)
    for at, (cell, one) in enumerate(zip(cells, found, strict=True)):
        shown = " ".join(str(cell).split())[:40]
        if one is None and _INFINITE.fullmatch(shown):
            raise PeriodError(at, "the value is infinite")
        if one is None and main == Frequency.NUMBER:
            raise PeriodError(at, f"'{shown}' is no period; write {_WRITTEN}")
        if one is None or (kind(one) != main and not _is_year_among_years(one, main)):
            raise PeriodError(at, f"'{shown}' is not a {main}, other periods are")


def _is_year_among_years(one: _Cell, main: str) -> bool:
    return main == Frequency.YEAR and one.frequency is Frequency.NUMBER and 1000 <= one.value <= 2999
