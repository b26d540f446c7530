"""Tables that a reader needs no key for: natural order, one note in the place of many, no column without a reason."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from cbec_bayes.reporting.tables import ReportTable
from cbec_bayes.runtime.labels import GROUP_ALL, GROUP_AVERAGE, GROUP_NEW

DASH = "–"
"""What stands where a row has no number."""

_DIGITS = re.compile("([0-9]+)")
_PLACES = {GROUP_AVERAGE: -1, GROUP_ALL: 1, GROUP_NEW: 2}


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Return what sorts names as people do: 2 before 10, and ``r2`` before ``r10``.

    Examples
    --------
    >>> sorted(["r10", "r2", "2", "10"], key=natural_key)
    ['2', '10', 'r2', 'r10']
    """
    # Digits that int() does not take, as superscripts, stay text: the pattern has ASCII digits alone.
    parts = [part for part in _DIGITS.split(name) if part]
    return tuple((0, int(part), part) if part.isascii() and part.isdigit() else (1, 0, part) for part in parts)


def in_natural_order(frame: pd.DataFrame, column: str = "group") -> pd.DataFrame:
    """Return rows with their groups in natural order, the average first, and groups in general and a new one last."""
    names = list(map(str, frame[column]))
    order = sorted(range(len(names)), key=lambda i: (_PLACES.get(names[i], 0), natural_key(names[i])))
    return frame.iloc[order].reset_index(drop=True)


def pairs_in_natural_order(frame: pd.DataFrame) -> pd.DataFrame:
    """Return rows with their pairs of groups in natural order; rows of one pair, and rows of none, keep their order."""
    pairs = list(zip(frame["group"].astype(str), frame["minus"].astype(str), strict=True))
    order = sorted(range(len(pairs)), key=lambda i: tuple(map(natural_key, pairs[i])))
    return frame.iloc[order].reset_index(drop=True)


def plain(table: ReportTable, reasons: Mapping[str, str], note: str = "Note") -> ReportTable:
    """Return a table whose dashes are explained, whose columns all have something, and whose notes stand once.

    Parameters
    ----------
    table
        A table of texts.
    reasons
        By the head of a column, why some of its rows have no number.
    note
        Head of the column of notes, if there is one: each different note gets a number, and stands below the table.
    """
    if not table.rows or table.marks:
        return table
    columns, notes = _numbered(table, note)
    kept = {head: cells for head, cells in columns.items() if any(_holds(cell) for cell in cells)}
    gone = [head for head in columns if head not in kept and head != note]
    dashed = [head for head, cells in kept.items() if any(DASH in cell.split(" ") for cell in cells)]
    told = list(notes)
    by_reason: dict[str, list[str]] = {}
    for head in dashed:
        by_reason.setdefault(reasons.get(head, "there is no such number in that row"), []).append(head)
    said = [f"{', '.join(heads)}: {reason}" for reason, heads in by_reason.items()]
    told += [f"A dash has a reason. {'; '.join(said)}."] if said else []
    if gone:
        why = [f"{head} ({reasons.get(head, 'it does not apply to this panel or to this model')})" for head in gone]
        told.append(f"Left out, because no row has a number: {'; '.join(why)}.")
    rows = tuple(zip(*kept.values(), strict=True))
    return replace(table, columns=tuple(kept), rows=rows, notes=(*table.notes, *told))


def _numbered(table: ReportTable, note: str) -> tuple[dict[str, list[str]], tuple[str, ...]]:
    """Return the columns of a table, blanks as dashes and notes as numbers, and the notes."""
    columns = {head: [row[k] or DASH for row in table.rows] for k, head in enumerate(table.columns)}
    assert len(columns) == len(table.columns), f"two columns of {table.name} have one head"
    if note not in columns:
        return columns, ()
    texts = [cell for cell in dict.fromkeys(columns[note]) if cell != DASH]
    if len(texts) <= 1:
        del columns[note]
        return columns, tuple(texts)
    columns[note] = [str(texts.index(cell) + 1) if cell != DASH else "" for cell in columns[note]]
    return columns, tuple(f"{n}. {text}" for n, text in enumerate(texts, start=1))


def _holds(cell: str) -> bool:
    return cell not in ("", DASH)
