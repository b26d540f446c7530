"""Columns of a raw table as labels, periods and numbers; a cell that is none of these is named by row and column."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_complex_dtype, is_integer_dtype, is_numeric_dtype

from cbec_bayes.panel.names import name_of
from cbec_bayes.runtime.errors import InputError, suggest

ROW = "row"
"""Name of an index that holds row numbers of the source (header = 1)."""

LEDGER = ("row", "unit", "time", "column", "action", "value", "reason")
type Entry = tuple[int, str, float, str, str, float, str]

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
_DATE = re.compile(r"(\d{4})(年|[-/](0?[1-9]|1[0-2])([-/](0?[1-9]|[12]\d|3[01])([T ].*)?)?)", re.ASCII)


def is_number(text: str) -> bool:
    """Say whether a text is a plain decimal number: no separators, no signs of percent, no words."""
    return _NUMBER.fullmatch(text) is not None


def period_text(time: float) -> str:
    """Return a period as people write it: 2015, not 2015.0."""
    return str(int(time)) if float(time).is_integer() else repr(float(time))


def some(names: Sequence[str], limit: int = 5) -> str:
    """Return the first few names and how many more there are."""
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "")


def count(n: int, what: str) -> str:
    """Return a number of things: 1 unit, 2 units."""
    return f"{n} {what}{'' if n == 1 else 's'}"


def whole_if_possible(times: NDArray[np.float64]) -> NDArray[Any]:
    """Return whole periods as integers, others unchanged."""
    return times.astype(np.int64) if np.all((times == np.round(times)) & (np.abs(times) < 2**53)) else times


def ledger_of(entries: Iterable[Entry]) -> pd.DataFrame:
    """Return ledger entries as a table, by row number, with the same column types whether or not there are any."""
    table = pd.DataFrame(list(entries), columns=list(LEDGER)).sort_values("row", kind="stable", ignore_index=True)
    table = table.astype({"row": "int64", "time": "float64", "value": "float64"})
    table = table.astype(dict.fromkeys(("unit", "column", "action", "reason"), "str"))
    table["time"] = whole_if_possible(table["time"].to_numpy(dtype=float))
    return table


def row_numbers(frame: pd.DataFrame) -> NDArray[np.int64]:
    """Return the source's row numbers: those of `read_frame`, else the position counted as a spreadsheet would."""
    if frame.index.name == ROW and is_integer_dtype(frame.index.dtype) and frame.index.is_unique:
        return frame.index.to_numpy(dtype=np.int64)
    return np.arange(2, len(frame) + 2)


LARGEST = 1e20
"""Largest number of a panel, up to which results only change their unit (tests/bayes/test_fit.py)."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A raw table, its row numbers and the file it came from, if any."""

    frame: pd.DataFrame
    rows: NDArray[np.int64]
    file: Path | str | None = None

    def wrong(self, position: int, column: str, message: str) -> InputError:
        """Return the error that names the row at a position."""
        return InputError(message, file=self.file, row=int(self.rows[position]), column=column)

    def require(self, columns: Sequence[str]) -> None:
        """Raise `InputError` unless each column is there once and there are rows."""
        known = [str(name) for name in self.frame.columns]
        for column in columns:
            if column not in known:
                raise InputError(f"no such column; {suggest(column, known)}", file=self.file, column=column)
            if known.count(column) > 1:
                raise InputError("the column appears twice", file=self.file, column=column)
        if self.frame.empty:
            raise InputError("the table has no rows", file=self.file)

    def labels(self, column: str) -> list[str]:
        """Return names as text, see `cbec_bayes.panel.names.name_of`. Blank is an `InputError`."""
        series = self.frame[column]
        cells = series.to_numpy() if series.dtype == np.float32 else series  # else Python widens 1.1 to 1.100000024
        blank = series.isna().to_numpy(dtype=bool)
        names = ["" if gone else name_of(cell) for cell, gone in zip(cells, blank, strict=True)]
        if "" in names:
            raise self.wrong(names.index(""), column, "the cell is blank")
        odd = next((name for name in names if not name.isprintable()), None)
        if odd is not None:
            raise self.wrong(names.index(odd), column, f"the name {odd!r} has signs that cannot be printed")
        return names

    def numbers(self, column: str) -> NDArray[np.float64]:
        """Return numbers, shape (n,), with NaN where the cell is blank.

        Raises
        ------
        InputError
            A cell is text, a date or infinite; the message names its row.
        """
        series = self.frame[column]
        if is_numeric_dtype(series.dtype) and not is_complex_dtype(series.dtype):
            values = series.to_numpy(dtype=float, na_value=np.nan)
        else:
            blank = series.isna().to_numpy(dtype=bool)
            values = np.full(len(series), np.nan)
            for i, cell in enumerate(series):
                if not blank[i]:
                    values[i] = self._number(cell, i, column)
        infinite = np.flatnonzero(np.isinf(values))
        if infinite.size:
            raise self.wrong(int(infinite[0]), column, "the value is infinite")
        return values

    def measured(self, column: str) -> NDArray[np.float64]:
        """Return `numbers` of a size that can be computed with.

        Raises
        ------
        InputError
            As `numbers`; a value is beyond `LARGEST`, or all are as far below one.
        """
        values = self.numbers(column)
        size = np.abs(values)
        large = np.flatnonzero(size > LARGEST)
        if large.size:
            message = f"the value is beyond {LARGEST:g}, from where double precision is lost; change the unit"
            raise self.wrong(int(large[0]), column, message)
        if 0 < np.nanmax(size, initial=0.0) < 1 / LARGEST:
            message = f"all values are below {1 / LARGEST:g}, where double precision is lost; change the unit"
            raise InputError(message, file=self.file, column=column)
        return values

    def _number(self, cell: object, position: int, column: str) -> float:
        if isinstance(cell, Real | Decimal | np.bool):
            return float(cell)
        if isinstance(cell, str):
            text = cell.strip()
            if text == "" or text.lower() == "nan":
                return math.nan
            if is_number(text) or _INFINITE.fullmatch(text):
                return float(text)
        raise self.wrong(
            position,
            column,
            f"'{_shown(cell)}' is not a number; write it plainly (1234.5, 0.035), and leave a missing cell blank",
        )

    def keys(self, unit: str, time: str) -> tuple[list[str], NDArray[np.float64]]:
        """Return units and periods, which together name each row once.

        A date stands for its year, so that annual panels can be given with dates; more than one date of a unit in a
        year would need a guess at the frequency, and is refused.

        Raises
        ------
        InputError
            A blank cell, a period that is no number, a unit that has a period twice.
        """
        units = self.labels(unit)
        times, dated = self._periods(time)
        keys = pd.DataFrame({"unit": units, "time": times})
        twice = np.flatnonzero(keys.duplicated())
        if twice.size:
            i = int(twice[0])
            j = int(np.flatnonzero((keys["unit"] == units[i]) & (keys["time"] == times[i]))[0])
            name, also = units[i], f"also in row {self.rows[j]}"
            raw = self.frame[time]
            if dated and raw.iloc[i] != raw.iloc[j]:
                message = f"'{name}' has several dates in {times[i]:.0f}, {also}; give a column of numeric periods"
            else:
                message = f"'{name}' has the period {period_text(times[i])} twice, {also}"
            raise self.wrong(i, time, message)
        return units, times

    def _periods(self, column: str) -> tuple[NDArray[np.float64], bool]:
        """Return periods, shape (n,), and whether they are the years of dates."""
        series = self.frame[column]
        years = np.array([_year(cell) for cell in series], dtype=float)
        blank = series.isna().to_numpy(dtype=bool)
        dated = not np.isnan(years).all()
        if dated:
            undated = np.flatnonzero(np.isnan(years) & ~blank)
            if undated.size:
                i = int(undated[0])
                raise self.wrong(i, column, f"'{_shown(series.iloc[i])}' is not a date, other periods are")
            times = years
        else:
            times = self.numbers(column)
        missing = np.flatnonzero(np.isnan(times))
        if missing.size:
            raise self.wrong(int(missing[0]), column, "the cell is blank")
        return times, dated


def _year(cell: object) -> float:
    if isinstance(cell, str):
        match = _DATE.fullmatch(cell.strip())
        return float(match[1]) if match else math.nan
    return float(cell.year) if isinstance(cell, dt.date | pd.Period) else math.nan


def _shown(cell: object) -> str:
    text = " ".join(str(cell).split())
    return text if len(text) <= 40 else f"{text[:39]}…"
