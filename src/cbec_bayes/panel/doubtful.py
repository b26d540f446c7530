"""What may not be what it seems: numbers that stand for missing cells, points that part thousands, steps of periods."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from cbec_bayes.panel.cells import count, is_missing
from cbec_bayes.panel.periods import Frequency
from cbec_bayes.panel.within import Array

_REPEATED = re.compile(r"-?(7{1,6}|8{1,6}|9{1,6}|9{1,5}[78])")
"""Whole numbers that people write for a missing cell: -9, -99, 999, -98, 9997."""

_POINT_BEFORE_THREE = re.compile(r"[+-]?[1-9]\d{0,2}\.\d{3}", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,3}", re.ASCII)
_TELLING = 20
"""Cells with three digits behind a point, and none with fewer, from which on a column with whole numbers is doubted:
of so many numbers rounded to three decimals and written without zeros at the end, some would have one or two."""

_JUMP = 5.0
"""A step this many times as long as the median one is a jump."""


def stand_in_sentences(names: Sequence[str], values: Array) -> list[str]:
    """Say which columns have numbers that look as if they stood for missing cells.

    Such a number is a row of sevens, eights or nines, positive or negative, and lies further from all other values
    than these lie from each other.

    Parameters
    ----------
    names
        Names of the K columns.
    values
        The columns, shape (n, K).

    Examples
    --------
    >>> stand_in_sentences(["wage"], np.array([[1.5], [2.0], [2.5], [-999.0], [3.0]]))[0]
    "'wage' is -999 in 1 row, far from its other values (1.5 to 3); if it means a missing cell, say --missing=-999"
    """
    return [sentence for name, column in zip(names, values.T, strict=True) for sentence in _stand_ins(name, column)]


def _stand_ins(name: str, column: Array) -> list[str]:
    if not len(column) or not any(_is_written(end) for end in (column.min(), column.max())):
        return []  # such a number is outside all others, so that nothing is sorted for most columns
    candidates = [float(value) for value in np.unique(column[column == np.round(column)]) if _is_written(value)]
    others = np.unique(column[~np.isin(column, candidates)])
    if len(others) < 2:
        return []
    spread = max(others[-1] - others[0], np.abs(others).max())
    return [
        f"'{name}' is {value:g} in {count(int(np.sum(column == value)), 'row')}, far from its other values "
        f"({others[0]:g} to {others[-1]:g}); if it means a missing cell, say --missing={value:g}"
        for value in candidates
        if np.abs(others - value).min() > spread
    ]


def _is_written(value: float) -> bool:
    return abs(value) < 1e6 and _REPEATED.fullmatch(f"{value:.0f}") is not None


def has_thousands_with_points(cells: Sequence[str]) -> bool:
    """Say whether the points in a column of texts may part thousands: 421, 1.234, 12.500 and no 1.5 or 0.25."""
    given = [cell for cell in cells if not is_missing(cell)]
    pointed = [cell for cell in given if "." in cell]
    whole = [cell for cell in given if _WHOLE.fullmatch(cell)]
    return (
        len(pointed) >= _TELLING
        and len(whole) >= 1
        and len(pointed) + len(whole) == len(given)
        and all(_POINT_BEFORE_THREE.fullmatch(cell) for cell in pointed)
    )


def thousands_sentence(name: str) -> str:
    """Say what the points of such a column are taken for."""
    return (
        f"the points in '{name}' are taken as decimal points, yet each has three digits behind it beside whole numbers "
        "below 1000: if they part thousands, remove them"
    )


def step_sentences(times: Sequence[float], frequency: Frequency = Frequency.NUMBER) -> list[str]:
    """Say where periods that are plain numbers do not follow each other one by one.

    Serial correlation and trends count elapsed periods, so that 31 days between two months make them nearly
    independent, and a survey's round 201 is 97 periods after its round 104.

    Parameters
    ----------
    times
        The distinct periods in their order.
    frequency
        How often they come; only plain numbers are doubted.

    Examples
    --------
    >>> step_sentences([101, 102, 103, 201, 202, 203])
    ['from period 103 to 201 there is none: serial correlation and trends count the 98 between as elapsed']
    """
    if frequency is not Frequency.NUMBER or len(times) < 3:
        return []
    when = np.asarray(times, dtype=float)
    steps = np.diff(when)
    counted = "serial correlation and trends count these numbers as elapsed periods"
    advice = "write dates as dates, and number other periods one by one"
    least, most = steps.min(), steps.max()
    if np.any(when != np.round(when)):
        if most <= least * (1 + 1e-6):
            return []
        return [f"periods are {least:.4g} to {most:.4g} apart: trends count these numbers as elapsed periods; {advice}"]
    if least > 1:
        apart = f"{least:.0f}" if most == least else f"{least:.0f} to {most:.0f}"
        return [f"periods are {apart} apart and none follows another at once: {counted}; {advice}"]
    if most >= _JUMP * np.median(steps):
        at = int(np.argmax(steps))
        return [
            f"from period {when[at]:.0f} to {when[at + 1]:.0f} there is none: serial correlation and trends count the "
            f"{most:.0f} between as elapsed"
        ]
    return []
