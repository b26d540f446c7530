"""Dates whose year comes last, as 03/04/2014: whether the day or the month comes first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

DAY_FIRST, MONTH_FIRST = ORDERS = ("day-first", "month-first")
"""How a date may be written whose year comes last: 31/01/2014 or 01/31/2014."""


class PeriodError(ValueError):
    """A cell, by its position among the distinct ones, is no period that goes with the others."""

    def __init__(self, at: int, message: str) -> None:
        self.at, self.message = at, message
        super().__init__(message)


_YEAR_LAST = re.compile(r"(\d\d?)([/-])(\d\d?)\2(\d{4})(?:[T ].*)?", re.ASCII)


def with_years_first(cells: Sequence[object], order: str | None, *, whole: bool) -> list[object]:
    """Return cells with dates such as 31/01/2014 as 2014-01-31.

    Parameters
    ----------
    cells
        The distinct cells of a column.
    order
        One of `ORDERS`; None for what a day above 12 in one of them tells of all.
    whole
        Whether all cells of the column are there: otherwise the order must be said.

    Raises
    ------
    PeriodError
        Nothing tells whether days or months come first, or both do.
    """
    found = {at: match for at, cell in enumerate(cells) if (match := _YEAR_LAST.fullmatch(str(cell).strip()))}
    if not found:
        return list(cells)
    if order is None:
        order = _order_of({at: (int(match[1]), int(match[3])) for at, match in found.items()}, cells, whole=whole)
    day, month = (1, 3) if order == DAY_FIRST else (3, 1)
    read = list(cells)
    for at, match in found.items():
        if int(match[month]) > 12:
            raise PeriodError(at, f"'{str(cells[at]).strip()}' is no date, {order}: there is no month {match[month]}")
        read[at] = f"{match[4]}-{match[month]}-{match[day]}"
    return read


def _order_of(parts: Mapping[int, tuple[int, int]], cells: Sequence[object], *, whole: bool) -> str:
    """Return whether days or months come first in dates, given the first two numbers of each."""
    says = "--dates day-first or --dates month-first says which"
    at, shown = next(iter(parts)), str(cells[next(iter(parts))]).strip()
    if not whole:
        raise PeriodError(
            at, f"in '{shown}' the day or the month may come first, and not all rows are looked at; {says}"
        )
    first = [k for k, (one, _) in parts.items() if one > 12]
    second = [k for k, (_, other) in parts.items() if other > 12]
    if first and second:
        one, other = (str(cells[k[0]]).strip() for k in (first, second))
        raise PeriodError(
            second[0], f"the day comes first in '{one}', and the month in '{other}'; write all dates alike"
        )
    if not first and not second:
        raise PeriodError(at, f"in '{shown}' the day or the month may come first, as in all other dates; {says}")
    return DAY_FIRST if first else MONTH_FIRST
