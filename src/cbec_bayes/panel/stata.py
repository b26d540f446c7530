"""Tables of Stata: value labels for names alone, and periods as Stata counts them."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cbec_bayes.panel.periods import Frequency, first_day, period_text

_EPOCH = 1960
_PER_YEAR = {Frequency.STATA_WEEK: 52, Frequency.MONTH: 12, Frequency.QUARTER: 4, Frequency.HALF: 2, Frequency.YEAR: 1}


def read_stata(content: bytes, labelled: Sequence[str] | None) -> pd.DataFrame:
    """Read the content of a .dta file.

    Parameters
    ----------
    content
        Content of the file.
    labelled
        Columns whose value labels are wanted in place of their codes; all if None.

    Returns
    -------
    DataFrame
        Columns that Stata shows as weeks, months, quarters, half-years or years (%tw, %tm, %tq, %th, %ty) are text such
        as 2014q1; pandas has the first day of each, from which the frequency could only be guessed.
    """
    if labelled is None:
        frame = pd.read_stata(BytesIO(content))
    else:
        # A dummy that is labelled no and yes must stay 0 and 1, so only the columns that are names are labelled.
        frame = pd.read_stata(BytesIO(content), convert_categoricals=False)
        names = [name for name in frame.columns if name in labelled]
        frame = frame.assign(**pd.read_stata(BytesIO(content), columns=names)) if names else frame
    dates = [name for name in frame.columns if pd.api.types.is_datetime64_any_dtype(frame[name].dtype)]
    if not dates:
        return frame
    counted = pd.read_stata(BytesIO(content), columns=dates, convert_dates=False, convert_categoricals=False)
    return frame.assign(**{name: _as_counted(frame[name], counted[name]) for name in dates})


def _as_counted(days: pd.Series, counted: pd.Series) -> pd.Series:
    """Return dates as the periods that Stata counts; days and times of day as they are.

    Parameters
    ----------
    days
        First days of the periods.
    counted
        Periods since the beginning of 1960, or years.
    """
    there = days.notna().to_numpy()
    numbers = counted.to_numpy(dtype=float, na_value=np.nan)[there].astype(np.int64)
    ordinals = np.array([day.toordinal() for day in days[there]], dtype=np.int64)
    for frequency, per_year in _PER_YEAR.items():
        periods = numbers if frequency is Frequency.YEAR else numbers + _EPOCH * per_year
        if _begin(periods, frequency, ordinals):
            texts = np.full(len(days), None, dtype=object)
            texts[there] = [period_text(int(period), frequency) for period in periods]
            return pd.Series(texts, days.index, dtype="str")
    return days


def _begin(periods: NDArray[np.int64], frequency: Frequency, ordinals: NDArray[np.int64]) -> bool:
    per_year = _PER_YEAR[frequency]
    if len(periods) == 0 or np.any((periods < per_year) | (periods >= 9999 * per_year)):
        return False
    return all(first_day(int(p), frequency) == day for p, day in zip(periods, ordinals, strict=True))
