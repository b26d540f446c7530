"""Missing cells filled within a unit, linear in time, with every filled cell in a ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cbec_bayes.panel.cells import Source, ledger_of, row_numbers
from cbec_bayes.panel.periods import Frequency, period_text


@dataclass(frozen=True, slots=True)
class Interpolation:
    """Which columns are filled, and whether values are carried before the first and after the last observed one."""

    columns: tuple[str, ...]
    edges: bool = False


def interpolate(
    frame: pd.DataFrame,
    *,
    unit: str,
    time: str,
    columns: Sequence[str],
    edges: bool = False,
    frequency: Frequency | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fill missing cells between two observed values of the same unit, linearly in the value of time.

    Observed cells are never touched, and a cell depends on its unit and column alone, in whatever order the rows are.

    Parameters
    ----------
    frame
        Long table, one row per unit and period. No rows are added: a period that is absent stays absent, but its
        length counts.
    unit, time
        Columns that name the row.
    columns
        Columns to fill.
    edges
        Also carry the nearest observed value before the first and after the last one.
    frequency
        Frequency of times that are counted already; None where these are to be read from the cells.

    Returns
    -------
    frame
        A copy with `columns` as float64, rows and index as given.
    ledger
        The filled cells by row: row, unit, time, column, action (``"filled"``), value, reason.

    Raises
    ------
    InputError
        A column is missing or not numeric, a unit or period is blank, a unit has a period twice.
    """
    source = Source(frame, row_numbers(frame))
    source.require([unit, time, *columns])
    units, periods = source.keys(unit, time, None if frequency is None else Frequency.NUMBER)
    times, shown = periods.times, frequency or periods.frequency
    codes, names = pd.factorize(np.array(units, dtype=object))
    order = np.lexsort((times, codes))
    spans = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
    out, entries = frame.copy(), []
    for column in columns:
        values = source.numbers(column).copy()
        for span in spans:
            filled, reasons = _fill(times[span], values[span], edges, shown)
            for i, value, reason in zip(span, filled, reasons, strict=True):
                if reason:
                    entries.append(
                        (int(source.rows[i]), names[codes[i]], times[i], column, "filled", float(value), reason)
                    )
            values[span] = filled
        out[column] = values
    return out, ledger_of(entries)


def _fill(
    times: NDArray[np.float64], values: NDArray[np.float64], edges: bool, shown: Frequency
) -> tuple[NDArray[np.float64], list[str]]:
    """Fill one unit's series, sorted by time; the reason is empty where nothing was filled."""
    known = np.flatnonzero(~np.isnan(values))
    out, reasons = values.copy(), [""] * len(values)
    if known.size == 0:
        return out, reasons
    for i in np.flatnonzero(np.isnan(values)):
        after = int(np.searchsorted(known, i))
        if 0 < after < known.size:
            left, right = known[after - 1], known[after]
            share = (times[i] - times[left]) / (times[right] - times[left])
            out[i] = values[left] + share * (values[right] - values[left])
            between = f"{period_text(times[left], shown)} and {period_text(times[right], shown)}"
            reasons[i] = f"linear between {between}"
        elif edges:
            nearest = known[min(after, known.size - 1)]
            out[i] = values[nearest]
            reasons[i] = f"nearest observed, {period_text(times[nearest], shown)}"
    return out, reasons
