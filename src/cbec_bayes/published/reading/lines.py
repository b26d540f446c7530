"""Rows of a grid before they are read: panels, rows that stand under others, counts written as "N = 1,234"."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from cbec_bayes.published.reading.cells import read_cell_text
from cbec_bayes.published.reading.rows import SUB_ROWS, kind_of
from cbec_bayes.published.reading.tables import TidyRow

N_EQUALS = re.compile(r"\(?[nN]\s*=\s*([\d][\d.,\u2009\u202f\u00a0 ]*)\)?")
_N_IN_NOTE = re.compile(r"\bN\s*=\s*(\d{1,3}(?:[,.\u2009\u202f]\d{3})+|\d+)\b")
QUANTITIES = {"se": "standard_error", "t": "t_statistic", "p": "p_value"}
PANEL = re.compile(r"panel\s+(?P<name>[a-z0-9]+)\b[.:)]?\s*(?P<title>.*)", re.IGNORECASE)


def panels_of(rows: Sequence[tuple[str, ...]]) -> list[tuple[str, str, list[tuple[str, ...]]]]:
    """Split rows at the heads of panels; the heads of the columns are those of all panels."""
    at = [
        i
        for i, row in enumerate(rows)
        if PANEL.match(row[0]) and not any(read_cell_text(c).is_numeric for c in row[1:])
    ]
    if not at:
        return [("", "", list(rows))]
    heads, parts = list(rows[: at[0]]), []
    for start, end in zip(at, [*at[1:], len(rows)], strict=True):
        match = PANEL.match(rows[start][0])
        assert match is not None
        words = dict.fromkeys(cell for cell in rows[start][1:] if cell and cell != rows[start][0])
        parts.append(
            (match["name"].upper(), " ".join([match["title"], *words]).strip(), [*heads, *rows[start + 1 : end]])
        )
    return parts


def under(row: Sequence[str]) -> str:
    """Return what a row holds that stands under a coefficient: ``?`` where it has no label, blank where it does not.

    A variable may be called t or z: a label of one letter counts where all cells are in brackets.
    """
    if not row[0]:
        return "" if any(N_EQUALS.fullmatch(text) for text in row) else "?"
    kind = kind_of(row[0], SUB_ROWS)
    filled = [read_cell_text(text) for text in row[1:] if text]
    return kind if len(row[0].strip()) > 1 or all(cell.bracketed and not cell.number for cell in filled) else ""


def counted(row: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Return the label and cells of a row; cells such as "N = 1,234" are a row of counts."""
    if not any(N_EQUALS.fullmatch(text) for text in row):
        return row[0], row
    numbers = tuple(match[1] if (match := N_EQUALS.fullmatch(text)) else text for text in row[1:])
    everywhere = N_EQUALS.fullmatch(row[0])
    if everywhere and not any(numbers):
        return "N", ("N", *[everywhere[1]] * len(numbers))
    return "N", ("N", *numbers)


def effects_joined(rows: Sequence[TidyRow]) -> list[TidyRow]:
    """Return rows with all texts on effects and controls as one."""
    effects = [row for row in rows if row.quantity == "effects"]
    if not effects:
        return list(rows)
    text = "; ".join(f"{row.label}: {row.printed}" for row in effects)
    first = replace(effects[0], label="Effects", printed=text)
    return [first if row is effects[0] else row for row in rows if row is effects[0] or row.quantity != "effects"]


def quantity_of(kind: str, found: Mapping[str, str]) -> str:
    """Return the quantity of what stands beside an estimate; an interval's ends come one after the other."""
    if kind in ("ci", "ci_low", "ci_high"):
        return kind if kind != "ci" else "ci_high" if "ci_low" in found else "ci_low"
    return QUANTITIES[kind]


def whole(text: str) -> str:
    """Return a count without the signs between thousands."""
    return re.sub(r"[,.](?=\d{3}(?!\d))", "", text)


def numbers_columns(cells: Sequence[str]) -> bool:
    """Whether cells number the columns: (1), (2), (3)."""
    numbers = [re.sub(r"[()\[\]]", "", cell) for cell in cells if cell]
    return numbers == [str(k) for k in range(1, len(numbers) + 1)]


def beside_of(heads: Sequence[str], start: int, end: int) -> dict[str, int]:
    """Return what the columns beside an estimate hold, by their heads; the ends of an interval may share one."""
    found: dict[str, int] = {}
    last = ""
    for k in range(start, end):
        kind = kind_of(heads[k], SUB_ROWS)
        if not kind and not heads[k] and last == "ci":
            found["ci_low"], found["ci_high"] = found.pop("ci"), k
        elif kind:
            found[kind] = k
        last = kind
    if "ci" in found and found["ci"] > start and not heads[found["ci"] - 1]:
        found["ci_low"], found["ci_high"] = found["ci"] - 1, found.pop("ci")
    return found


def in_parentheses(rows: Sequence[TidyRow]) -> tuple[list[TidyRow], str]:
    """Take what stands in a column of its own for what others print in parentheses, so that stars are held against it.

    Returns
    -------
    list of TidyRow, str
        The rows, and what is in parentheses then: ``se``, ``t`` or ``p``; blank where the rows have parentheses, or
        nothing of the kind.
    """
    quantities = {row.quantity for row in rows}
    if "parenthesis" in quantities:
        return list(rows), ""
    for reading, quantity in QUANTITIES.items():
        if quantity in quantities:
            return [replace(row, quantity="parenthesis") if row.quantity == quantity else row for row in rows], reading
    return list(rows), ""


def rows_with_counts(rows: Sequence[TidyRow], notes: Sequence[str]) -> list[TidyRow]:
    """Add the observations that a note says, such as "N = 1,234", to columns of a table that prints none."""
    count = next((match[1] for note in notes if (match := _N_IN_NOTE.search(note))), "")
    if not count or any(row.quantity == "n_obs" for row in rows):
        return list(rows)
    last = {row.column: k for k, row in enumerate(rows)}
    found: list[TidyRow] = []
    for k, row in enumerate(rows):
        found.append(row)
        if last[row.column] == k:
            found.append(replace(row, term="", label="N", quantity="n_obs", printed=whole(count), stars=""))
    return found
