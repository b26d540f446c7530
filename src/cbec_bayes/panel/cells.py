"""Columns of a raw table as labels, periods and numbers; a cell that is none of these is named by row and column."""

from __future__ import annotations

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

from cbec_bayes.panel.dates import PeriodError
from cbec_bayes.panel.names import name_of, tidy
from cbec_bayes.panel.periods import Periods, period_text, read_periods
from cbec_bayes.runtime.errors import InputError, suggest
from cbec_bayes.runtime.labels import fault_of_name

ROW = "row"
"""Name of an index that holds row numbers of the source (header = 1)."""

LEDGER = ("row", "unit", "time", "column", "action", "value", "reason")
type Entry = tuple[int, str, float, str, str, float, str]

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
# What R, Stata, SQL, pandas and their users write for a missing cell, in whatever case. In a column of names NA is one:
# it is the code of Namibia, and stands for North America.
_MISSING = frozenset({"", "na", "nan", "null", "<na>", ".", *(f".{chr(ord('a') + k)}" for k in range(26))})
BLANK_NAMES = frozenset({"", "nan", "null", "<na>", "."})
_INFINITE = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)


def is_missing(text: str) -> bool:
    """Say whether a text stands for a missing number: blank, NA, NaN, NULL, a point, or .a to .z of Stata."""
    return text.strip().casefold() in _MISSING


def is_number(text: str) -> bool:
    """Say whether a text is a plain decimal number: no separators, no signs of percent, no words."""
    return _NUMBER.fullmatch(text) is not None


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


_TRUTH: tuple[dict[str, float], ...] = ({"true": 1.0, "false": 0.0}, {"yes": 1.0, "no": 0.0})

LARGEST = 1e20
"""Largest number of a panel, up to which results only change their unit (tests/bayes/test_fit.py)."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A raw table, its row numbers, the file it came from, if any, and codes that stand for a missing cell."""

    frame: pd.DataFrame
    rows: NDArray[np.int64]
    file: Path | str | None = None
    missing: tuple[str, ...] = ()

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

    def coded(self, column: str) -> NDArray[np.bool_]:
        """Return which cells have one of the codes for a missing cell, shape (n,); numbers by value, not digits."""
        series = self.frame[column]
        found = np.zeros(len(series), dtype=bool)
        if not self.missing:
            return found
        numbers = [float(code) for code in self.missing if is_number(code)]
        if is_numeric_dtype(series.dtype) and not is_complex_dtype(series.dtype):
            return np.isin(series.to_numpy(dtype=float, na_value=np.nan), numbers)
        for i, cell in enumerate(series):
            text = tidy(str(cell))
            found[i] = text in self.missing or (is_number(text) and float(text) in numbers)
        return found

    def labels(self, column: str, *, required: bool = True) -> list[str]:
        """Return names as text, see `cbec_bayes.panel.names.name_of`.

        Parameters
        ----------
        column
            Column of names.
        required
            Whether a blank cell is an `InputError`; otherwise its name is empty.
        """
        series = self.frame[column]
        cells = series.to_numpy() if series.dtype == np.float32 else series  # else Python widens 1.1 to 1.100000024
        blank = series.isna().to_numpy(dtype=bool) | self.coded(column)
        names = ["" if gone else name_of(cell) for cell, gone in zip(cells, blank, strict=True)]
        names = ["" if name.casefold() in BLANK_NAMES else name for name in names]
        if required and "" in names:
            raise self.wrong(names.index(""), column, "the cell is blank")
        odd = next((name for name in names if fault_of_name(name)), None)
        if odd is not None:
            raise self.wrong(names.index(odd), column, fault_of_name(odd))
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
            blank = series.isna().to_numpy(dtype=bool) | self.coded(column)
            values = np.full(len(series), np.nan)
            words = self.words(column)
            for i, cell in enumerate(series):
                if not blank[i]:
                    word = words.get(str(cell).strip().casefold()) if words else None
                    values[i] = self._number(cell, i, column) if word is None else word
        values = np.where(self.coded(column), np.nan, values) if self.missing else values
        infinite = np.flatnonzero(np.isinf(values))
        if infinite.size:
            raise self.wrong(int(infinite[0]), column, "the value is infinite")
        return values

    def words(self, column: str) -> dict[str, float]:
        """Return what the words of a column of true and false, or of yes and no, mean; nothing of another column."""
        series = self.frame[column]
        if is_numeric_dtype(series.dtype):
            return {}
        found = {cell.strip().casefold() for cell in series if isinstance(cell, str) and not is_missing(cell)}
        plain = all(isinstance(cell, str) for cell, gone in zip(series, series.isna(), strict=True) if not gone)
        return next((words for words in _TRUTH if plain and found and found <= words.keys()), {})

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
            message = f"the value is beyond {LARGEST:g}, where computations lose precision; change the unit"
            raise self.wrong(int(large[0]), column, message)
        if 0 < np.nanmax(size, initial=0.0) < 1 / LARGEST:
            message = f"all values are below {1 / LARGEST:g}, where computations lose precision; change the unit"
            raise InputError(message, file=self.file, column=column)
        return values

    def _number(self, cell: object, position: int, column: str) -> float:
        if isinstance(cell, Real | Decimal | np.bool):
            return float(cell)
        if isinstance(cell, str):
            text = cell.strip()
            if is_missing(text):
                return math.nan
            if is_number(text) or _INFINITE.fullmatch(text):
                return float(text)
        raise self.wrong(
            position,
            column,
            f"'{_shown(cell)}' is not a number; write it plainly (1234.5, 0.035); a missing cell is blank, NA, NaN, "
            "NULL or a point, and --missing names other codes",
        )

    def keys(
        self, unit: str, time: str, frequency: str | None = None, dates: str | None = None
    ) -> tuple[list[str], Periods]:
        """Return units and periods, which together name each row once.

        Parameters
        ----------
        unit, time
            Columns.
        frequency, dates
            See `cbec_bayes.panel.periods.read_periods`.

        Raises
        ------
        InputError
            A blank cell, a cell that is no period, a unit that has a period twice.
        """
        units = self.labels(unit)
        periods = self.periods(time, pd.factorize(np.array(units, dtype=object))[0], frequency, dates)
        keys = pd.DataFrame({"unit": units, "time": periods.times})
        twice = np.flatnonzero(keys.duplicated())
        if twice.size:
            i = int(twice[0])
            j = int(np.flatnonzero((keys["unit"] == units[i]) & (keys["time"] == periods.times[i]))[0])
            raise self.wrong(i, time, self._twice(units[i], periods, i, j, self.frame[time]))
        return units, periods

    def _twice(self, name: str, periods: Periods, i: int, j: int, raw: pd.Series) -> str:
        period = period_text(periods.times[i], periods.frequency)
        if not periods.dated or raw.iloc[i] == raw.iloc[j]:
            return f"'{name}' has the period {period} twice, also in row {self.rows[j]}"
        return (
            f"'{name}' has several dates in {period}, also in row {self.rows[j]}; correct them, or say with "
            "--frequency (half, quarter, month, week or day) how often a period comes"
        )

    def periods(
        self,
        column: str,
        unit: NDArray[np.intp] | None = None,
        frequency: str | None = None,
        dates: str | None = None,
    ) -> Periods:
        """Return the periods of rows; parameters and errors as `keys`, `unit` being codes of units."""
        series = self.frame[column]
        blank = np.flatnonzero(series.isna().to_numpy(dtype=bool) | (series.astype(object) == "").to_numpy(dtype=bool))
        if blank.size:
            raise self.wrong(int(blank[0]), column, "the cell is blank")
        code, cells = pd.factorize(series)
        try:
            return read_periods(list(cells), code, unit, frequency, dates)
        except PeriodError as error:
            raise self.wrong(int(np.flatnonzero(code == error.at)[0]), column, error.message) from None


def _shown(cell: object) -> str:
    text = " ".join(str(cell).split())
    return text if len(text) <= 40 else f"{text[:39]}…"
