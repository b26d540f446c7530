"""Heads of a regression table: which columns of a grid are a model, their names, and what heads say of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cbec_bayes.published.described import estimator_of, is_numbered
from cbec_bayes.published.reading.cells import read_cell_text
from cbec_bayes.published.reading.lines import N_EQUALS, beside_of
from cbec_bayes.published.reading.rows import SUB_ROWS, TEXT_ROWS, is_estimate_head, is_standardised_head, kind_of

_OUTCOME = re.compile(r"dep(?:endent|\.)?\s*var(?:iable|\.)?s?\s*:?\s*(.+)", re.IGNORECASE)
_ANNOUNCED = re.compile(r"dep(?:endent|\.)?\s*var(?:iable|\.)?s?\s*:?", re.IGNORECASE)
"""A head above the outcomes of several columns."""
LONGEST_ESTIMATOR = 25
"""Characters of a head up to which it names an estimator, and is no sentence."""
_RATIO_IN_HEAD = re.compile(r"\b(?:a?OR|IRR|a?HR|RRR|odds ratio|hazard ratio|β|beta|B|coefficient|estimate)\b")
"""Words of a head that say of a column that it has estimates, whatever else the head says."""
_RATIO_HEAD = re.compile(r"\b(?:a?OR|IRR|a?HR|RRR|(?i:odds ratio|hazard ratio))\b")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of models.

    Attributes
    ----------
    name
        Its head.
    at, beside
        Column of the grid that has its estimates, and by kind those with what stands beside them.
    texts
        What its heads say of it, by quantity.
    """

    name: str
    at: int
    beside: Mapping[str, int]
    texts: Mapping[str, str]


type Rows = Sequence[tuple[str, ...]]


def columns_of(rows: Rows, heads: Rows) -> list[Column]:
    """Find the columns of models and their heads.

    Where a row of heads has "Coef." and "Std. Err.", each estimate has columns of its own beside it.

    Parameters
    ----------
    rows, heads
        All rows of a table, and those above its first coefficient.
    """
    width = len(rows[0])
    last, starts = _starts(heads, width)
    brackets = _brackets_beside(rows, heads, width) if last is None else set()
    starts = [j for j in starts if j not in brackets]
    columns: list[Column] = []
    names: list[str] = []
    shared = _shared(heads, width) if last is None else set()
    for j, end in zip(starts, [*starts[1:], width], strict=True):
        if not any(read_cell_text(row[j]).is_numeric for row in rows):
            continue
        name, texts = _head([row for row in heads if row is not last], j, shared)
        if last is not None and _RATIO_HEAD.search(last[j]):
            texts["scale"] = "ratio"
        if last is not None and not is_estimate_head(last[j]):
            name = " ".join(filter(None, (name, last[j])))
        name = name or f"({len(columns) + 1})"
        names.append(name)
        if names.count(name) > 1:
            name = f"{name} ({names.count(name)})"
        beside = {"": end - 1} if end - 1 in brackets else {}
        columns.append(Column(name, j, beside if last is None else beside_of(last, j + 1, end), texts))
    return columns


def _brackets_beside(rows: Rows, heads: Rows, width: int) -> set[int]:
    """Return the columns that have nothing but brackets, under no head or that to their left."""
    cells = [[read_cell_text(row[j]) for row in rows[len(heads) :]] for j in range(width)]
    bare = [any(cell.number for cell in column) for column in cells]
    bracketed = [any(cell.bracketed for cell in column) for column in cells]
    return {
        j
        for j in range(2, width)
        if bracketed[j] and not bare[j] and bare[j - 1] and all(row[j] in ("", row[j - 1]) for row in heads)
    }


def _starts(heads: Rows, width: int) -> tuple[tuple[str, ...] | None, list[int]]:
    """Return the row of heads that says what stands beside estimates, None where none does, and columns of estimates.

    "Adjusted OR (95% CI)" says of itself that it has estimates where "p value" stands beside it. Standardised
    coefficients beside others are no columns of their own.
    """
    for row in reversed(heads):
        kinds = [kind_of(text, SUB_ROWS) for text in row]
        starts = [j for j in range(1, width) if is_estimate_head(row[j])]
        if not starts and any(kinds[2:]) and any(_RATIO_IN_HEAD.search(text) for text in row[1:]):
            starts = [j for j in range(1, width) if _RATIO_IN_HEAD.search(row[j])]
        if starts and any(kinds[1:]):
            plain = [j for j in starts if not is_standardised_head(row[j])]
            return row, plain or starts
    return None, list(range(1, width))


def _shared(heads: Rows, width: int) -> set[str]:
    """Return words that stand above all columns, where other heads tell them apart."""
    texts = [found for j in range(1, width) if (found := {row[j] for row in heads if row[j]})]
    shared = set.intersection(*texts) if len(texts) > 1 else set()
    return shared if all(one - shared for one in texts) else set()


def _is_numbering(row: Sequence[str]) -> bool:
    """Whether a row numbers the columns; IV among words is an estimator."""
    filled = [text for text in row[1:] if text]
    return bool(filled) and all(is_numbered(text) or read_cell_text(text).bracketed for text in filled)


def _head(heads: Rows, j: int, shared: set[str]) -> tuple[str, dict[str, str]]:
    """Return the head of a column, and what rows of the head say of it."""
    numbers: list[str] = []
    words: list[str] = []
    texts: dict[str, str] = {}
    announced = [at for at, row in enumerate(heads) if any(_ANNOUNCED.fullmatch(text) for text in row[1:])]
    for at, row in enumerate(heads):
        text = "" if at in announced else row[j]
        if text and _is_numbering(row):
            numbers.append(text)
        elif kind := kind_of(row[0], TEXT_ROWS):
            texts[kind] = text or next((cell for cell in row[1:] if cell), "")
        elif match := _OUTCOME.match(text):
            texts["outcome"] = match[1]
        elif text and at - 1 in announced:
            texts["outcome"] = text
        elif text and len(text) <= LONGEST_ESTIMATOR and estimator_of(text):
            texts["estimator"] = text
        elif text and text not in shared and not N_EQUALS.fullmatch(text):
            words.append(text)
    if not numbers and not words:
        words = [texts[key] for key in ("estimator", "outcome", "sample") if key in texts][:1]
    return " ".join(dict.fromkeys([*numbers, *words])), texts
