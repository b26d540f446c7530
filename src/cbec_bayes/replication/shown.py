"""A replication in words and tables for a reader: what is met, what is not, and which number was printed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import pandas as pd

from cbec_bayes.classical.tables import FittedColumn
from cbec_bayes.panel.study import Study
from cbec_bayes.published.number import PrintedNumber
from cbec_bayes.published.printed import Paper
from cbec_bayes.replication.cells import NOT_PRINTED, Cell, is_constant


class Shown(Protocol):
    """A replication, as far as its words need to know it; see `cbec_bayes.replication.tables.Replication`."""

    @property
    def study(self) -> Study:
        """What was asked."""
        ...

    @property
    def paper(self) -> Paper | None:
        """The printed tables."""
        ...

    @property
    def columns(self) -> tuple[FittedColumn, ...]:
        """Every regression column."""
        ...

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Every cell."""
        ...

    def numbers(self) -> tuple[Cell, ...]:
        """Return the cells with a printed number."""
        ...

    def counts(self) -> dict[str, int]:
        """Return how many of them match."""
        ...


OWN_TITLES = {"2": "Descriptive statistics", "3": "Regressions on all rows", "4": "Regressions by group"}
MOMENT_HEADS = {
    "n_obs": "Observations",
    "mean": "Mean",
    "sd": "Standard deviation",
    "min": "Minimum",
    "max": "Maximum",
}
MARKS = {"yes": "=", "rounding": "~", "no": "≠"}


def match_sentence(replication: Shown) -> str:
    """Say how many printed numbers the panel meets, and which it does not.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> print(cb.match_sentence(cb.replicate(cb.load_study("paper"))))
    90 of 95 printed numbers outside the constants' rows are met to the last digit, ...
    """
    counts = replication.counts()
    n = sum(counts.values())
    missed = [cell for cell in replication.numbers() if cell.match == "no"]
    places = [
        " ".join(part for part in (cell.table, cell.column, cell.term, cell.quantity, f"({cell.printed})") if part)
        for cell in missed
    ]
    sentence = f"{counts['yes']} of {n} printed numbers outside the constants' rows are met to the last digit"
    if counts["rounding"]:
        sentence += f", {counts['rounding']} more within the rounding of published inputs"
    return f"{sentence}." + (f" Not met: {'; '.join(places)}." if places else "")


def shown_tables(replication: Shown) -> list[tuple[str, pd.DataFrame]]:
    """Return the tables for a reader, as text: a title and a table for each table of the study.

    A cell has the replicated number, then what was printed in brackets with = where it is met, ~ where the rounding of
    the inputs allows it, and ≠ where it is not. A parenthesis is the standard error, or what it says it is.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> [title for title, table in cb.shown_tables(cb.replicate(cb.load_study("paper")))]
    ['Table 2', 'Table 3', 'Table 4']
    """
    label = label_of(replication)
    heads = {
        (column.spec.table, column.spec.name): f"{column.spec.name} ({NOT_PRINTED})"
        for column in replication.columns
        if replication.paper is not None and not column.spec.printed
    }
    stars = {(c.table, c.column, c.term): c for c in replication.cells if c.quantity == "stars"}
    tables: list[tuple[str, pd.DataFrame]] = []
    shown = [cell for cell in replication.cells if cell.quantity != "stars"]
    for table, moments in dict.fromkeys((cell.table, not cell.column) for cell in shown):
        own = [cell for cell in shown if (cell.table, not cell.column) == (table, moments)]
        longest = max((cell.column for cell in own), key=[cell.column for cell in own].count)
        rows: dict[str, dict[str, str]] = {
            _row_name(label(cell.term), cell.quantity): {} for cell in own if not moments and cell.column == longest
        }
        for cell in own:
            row = label(cell.term) if moments else _row_name(label(cell.term), cell.quantity)
            column = cell.quantity if moments else heads.get((table, cell.column), cell.column)
            beside = stars.get((cell.table, cell.column, cell.term)) if cell.quantity == "estimate" else None
            rows.setdefault(row, {})[column] = shown_cell(cell, beside)
        frame = pd.DataFrame.from_dict(rows, orient="index").fillna("").rename_axis("").reset_index()
        order = list(dict.fromkeys(heads.get((table, cell.column), cell.column) for cell in own))
        title = f"Table {table}" if replication.paper is not None else OWN_TITLES.get(table, f"Table {table}")
        tables.append((title, frame.rename(columns=MOMENT_HEADS) if moments else frame[["", *order]]))
    return tables


def shown_cell(cell: Cell, stars: Cell | None = None) -> str:
    """Write a cell for a reader: replicated [mark printed]; an estimate with the stars of both."""
    text = cell.replicated if isinstance(cell.replicated, str) else _plain(cell)
    printed, match = cell.printed, cell.match
    if cell.quantity == "parenthesis":
        text = f"({cell.reading} = {text})" if cell.reading in ("p", "t") else f"({text})"
    if printed is None:
        return text
    if stars is not None:
        match = "no" if stars.match == "no" else match
        return f"{text}{stars.replicated} [{MARKS[match]} {printed}{stars.printed}]"
    return f"{text} [{MARKS[match]} {printed}]"


def _row_name(label: str, quantity: str) -> str:
    names = {"estimate": label, "parenthesis": f"{label} (se)", "n_obs": "Observations", "r2": "R2"}
    return names.get(quantity, {"r2_within": "R2 within", "r2_adjusted": "R2 adjusted"}.get(quantity, quantity))


def _plain(cell: Cell) -> str:
    """Write a number with the decimals of the printed one, else with four significant digits."""
    assert not isinstance(cell.replicated, str)
    if math.isnan(cell.replicated):
        return "–"
    if isinstance(cell.printed, PrintedNumber):
        exponent = cell.printed.value.as_tuple().exponent
        return f"{cell.replicated:.{max(0, -int(exponent))}f}"
    return f"{cell.replicated:.0f}" if cell.quantity == "n_obs" else f"{cell.replicated:.4g}"


def label_of(replication: Shown) -> Callable[[str], str]:
    """Return the function from a term to its display name."""
    spec = replication.study.panel
    names = dict(replication.paper.facts.labels) if replication.paper else {}
    names |= dict(spec.labels) if spec is not None else {}
    return lambda term: names.get(term, "Constant" if is_constant(term) else term)
