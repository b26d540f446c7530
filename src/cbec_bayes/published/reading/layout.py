"""Which cell of a grid is what: heads, coefficients, what stands under them, numbers and texts of columns, panels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NoReturn

from cbec_bayes.published.printed import COUNTS
from cbec_bayes.published.reading.cells import Bracketed, Cell, interval_ends, read_cell_text
from cbec_bayes.published.reading.grid import Grid
from cbec_bayes.published.reading.heads import Column, columns_of
from cbec_bayes.published.reading.lines import (
    counted,
    effects_joined,
    in_parentheses,
    numbers_columns,
    panels_of,
    quantity_of,
    rows_with_counts,
    under,
    whole,
)
from cbec_bayes.published.reading.notes import Said, read_words
from cbec_bayes.published.reading.rows import (
    MOMENTS,
    OTHER_STATISTICS,
    STATISTICS,
    TEXT_ROWS,
    YES_OR_NO,
    kind_of,
    term_of,
)
from cbec_bayes.published.reading.tables import Asked, ReadTable, TidyRow
from cbec_bayes.runtime.errors import InputError

_BARE = ("estimate", *TEXT_ROWS)
"""Quantities in which alone there is nothing to check."""


def read_grid(grid: Grid, number: str, asked: Asked, where: str) -> list[ReadTable]:
    """Read one table, or the panels of one.

    Parameters
    ----------
    grid
        The table as texts.
    number
        Its number, where its title has none.
    asked
        What the user says of it.
    where
        The file, for messages.

    Raises
    ------
    InputError
        Something may mean two things; the message names the option that says which.
    """
    said = read_words(grid.title, grid.notes)
    table = said.table or number
    parts = panels_of(grid.rows)
    found = []
    for name, title, rows in parts:
        reader = _Reader(f"{table}{name}", replace(grid, rows=tuple(rows)), said, asked, where)
        read = reader.read()
        found.append(replace(read, title=" ".join(filter(None, (grid.title, title)))))
    return found


def _cell(text: str) -> Cell:
    return read_cell_text(text)


class _Reader:
    """Reads one panel of one table."""

    def __init__(self, table: str, grid: Grid, said: Said, asked: Asked, where: str) -> None:
        self._table, self._grid, self._said, self._asked, self._where = table, grid, said, asked, where
        self._inside = {**said.inside, **asked.inside}
        self._told: list[str] = []

    def _ask(self, message: str) -> NoReturn:
        raise InputError(f"table {self._table}: {message}", file=self._where)

    def read(self) -> ReadTable:
        """Return the table's rows."""
        heads, body = self._split()
        kinds = [kind_of(" ".join(row[j] for row in heads), MOMENTS) for j in range(1, len(self._grid.rows[0]))]
        rows = self._moments(kinds, heads, body) if {"mean", "sd"} <= set(kinds) else None
        rows = rows or self._correlations(body) or self._regression(heads, body)
        if rows and not any(row.stars for row in rows) and not self._said.stars and _has_estimates(rows):
            self._told.append(f"Table {self._table} prints no stars and states no levels, so no stars are checked.")
        if not rows or not any(row.stars or row.quantity not in _BARE for row in rows):
            self._ask("nothing in it can be checked: no stars, nothing in brackets, no number of observations, no R2")
        rows, reading = in_parentheses(rows)
        if reading:
            self._told.append(f"Table {self._table} has a column of {_NAMES[reading]}, read as if in parentheses.")
        return ReadTable(
            table=self._table,
            title=self._grid.title,
            notes=self._grid.notes,
            rows=tuple(rows),
            said=self._said,
            reading=reading or self._reading(rows),
            told=tuple(self._told),
        )

    def _reading(self, rows: Sequence[TidyRow]) -> str:
        reading = self._inside.get("(", "")
        if reading or not any(row.quantity == "parenthesis" for row in rows):
            return "" if reading == "ci" else reading
        if any(row.quantity == "parenthesis" and row.printed.startswith("-") for row in rows):
            self._ask("a negative number stands in parentheses, and nothing says what they are; --parentheses t does")
        self._told.append(
            f"Nothing says what stands in parentheses in table {self._table}: standard errors are assumed, "
            "or --parentheses says what they are."
        )
        return ""

    def _split(self) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]]]:
        """Split rows into heads and body: the body begins with the first labelled row that has a number."""
        rows = self._grid.rows
        for i, row in enumerate(rows):
            cells = [_cell(text) for text in row[1:]]
            numbers = [cell for cell in cells if cell.is_numeric]
            if numbers and row[0] and not numbers_columns(row[1:]):
                return list(rows[:i]), list(rows[i:])
        return list(rows), []

    # --- tables of moments and correlations

    def _moments(
        self, kinds: Sequence[str], heads: Sequence[tuple[str, ...]], body: Sequence[tuple[str, ...]]
    ) -> list[TidyRow]:
        rows = []
        for row in body:
            for j, kind in enumerate(kinds, start=1):
                cell = _cell(row[j])
                number = cell.number or (cell.bracketed[0].numbers[0] if cell.bracketed else "")
                if kind and number:
                    head = " ".join(filter(None, (line[j] for line in heads)))
                    rows.append(self._row(head, row[0], kind, whole(number) if kind == "n_obs" else number))
        return rows

    def _correlations(self, body: Sequence[tuple[str, ...]]) -> list[TidyRow]:
        """Read a triangle or square of correlations: its diagonal is one, and its columns are its rows."""
        size = len(body)
        if size < 3 or len(self._grid.rows[0]) - 1 < size - 1:
            return []
        width = len(self._grid.rows[0]) - 1
        diagonal = [_cell(body[i][i + 1]).number for i in range(min(size, width))]
        if not all(re.fullmatch(r"1([.,]0*)?", one) for one in diagonal):
            return []
        labels = [row[0] for row in body]
        return [
            self._row(labels[j], labels[i], "correlation", number)
            for i in range(size)
            for j in range(i)
            if (number := _cell(body[i][j + 1]).number)
        ]

    # --- regression tables

    def _regression(self, heads: Sequence[tuple[str, ...]], body: Sequence[tuple[str, ...]]) -> list[TidyRow]:
        columns = columns_of(self._grid.rows, heads)
        lines = self._lines(body, columns)
        rows = []
        for column in columns:
            place = {"table": self._table, "column": column.name, "term": ""}
            own = [TidyRow(**place, label=kind, quantity=kind, printed=text) for kind, text in column.texts.items()]
            for line in lines:
                own += line.rows(self, column)
            if any(row.quantity == "estimate" for row in own):
                rows += effects_joined(own)
        return rows_with_counts(rows, self._grid.notes)

    def _lines(self, body: Sequence[tuple[str, ...]], columns: Sequence[Column]) -> list[_Line]:
        """Join each labelled row with the rows under it that have no label, or one that says what they are."""
        lines: list[_Line] = []
        seen: dict[str, int] = {}
        for row in body:
            under_it = under(row)
            if lines and under_it and lines[-1].kind == "" and lines[-1].is_coefficient:
                lines[-1].below.append((under_it, [_cell(text) for text in row]))
                continue
            label, row = counted(row)
            kind = kind_of(label, STATISTICS)
            text = "" if kind else kind_of(label, TEXT_ROWS)
            cells = [_cell(cell) for cell in row]
            if text and any(cell.is_numeric for cell in cells[1:]) and text != "outcome":
                text = ""
            if not kind and not text and _says_yes_or_no(cells[1:]):
                text = "effects"
            coefficient = not kind and not text and any(cell.number for cell in cells[1:])
            if OTHER_STATISTICS.fullmatch(label.strip()) or set(row) == {label}:  # a head across all columns
                continue
            if not (kind or text or coefficient):
                if any(not cell.is_blank for cell in cells[1:]):
                    self._told.append(f"The row '{label}' of table {self._table} has no estimate, and is left out.")
                continue
            term = label
            if coefficient:
                term = self._asked.terms.get(label, term_of(label))
                seen[term] = seen.get(term, 0) + 1
                term = term if seen[term] == 1 else f"{term} ({seen[term]})"
            lines.append(
                _Line(
                    kind=kind or text,
                    term=term,
                    label=label,
                    cells=cells,
                    is_coefficient=coefficient,
                    beside=[k for column in columns for k in column.beside.values()],
                )
            )
        return self._with_precision(lines)

    def _with_precision(self, lines: list[_Line]) -> list[_Line]:
        """Leave out rows of numbers alone where coefficients have something in brackets: they are of whole columns."""
        precise = [line for line in lines if line.is_coefficient and line.has_precision]
        bare = [line for line in lines if line.is_coefficient and not line.has_precision and not line.is_starred]
        if not precise or not bare:
            return lines
        named = ", ".join(f"'{line.label}'" for line in bare)
        self._told.append(f"Left out of table {self._table}, for nothing stands in brackets there: {named}.")
        return [line for line in lines if line not in bare]

    def _row(self, column: str, label: str, quantity: str, printed: str) -> TidyRow:
        term = self._asked.terms.get(label, term_of(label))
        return TidyRow(table=self._table, column=column, term=term, label=label, quantity=quantity, printed=printed)

    # --- cells of one coefficient

    def of_coefficient(self, line: _Line, column: Column) -> list[TidyRow]:
        """Return an estimate and everything that stands with it."""
        cell = line.cells[column.at]
        if not cell.number:
            return []
        found: dict[str, str] = {}
        stars = cell.stars
        for one in cell.bracketed:
            self._put(found, one)
            stars = stars or one.stars
        for kind, at in column.beside.items():
            stars = self._beside(found, kind, line.cells[at]) or stars
        for kind, cells in line.below:
            stars = self._below(found, kind, cells[column.at]) or stars
        place = {"table": self._table, "column": column.name, "term": line.term, "label": line.label}
        rows = [TidyRow(**place, quantity="estimate", printed=cell.number, stars=stars)]
        return [*rows, *(TidyRow(**place, quantity=quantity, printed=text) for quantity, text in found.items())]

    def _below(self, found: dict[str, str], under: str, cell: Cell) -> str:
        """Add what stands below an estimate; return stars that stand there."""
        for one in cell.bracketed:
            self._put(found, one, "" if under == "?" else under)
        if cell.number and not cell.bracketed:
            kind = under if under != "?" else self._asked.below
            if not kind:
                self._ask(
                    f"'{cell.number}' stands below an estimate without brackets; --below se, t or p says what it is"
                )
            found.setdefault(quantity_of(kind, found), cell.number)
        elif under == "?" and not cell.is_blank and not cell.bracketed and (ends := interval_ends(cell.text)):
            found["ci_low"], found["ci_high"] = ends
        elif set(cell.text) <= set("*+†") and cell.text:
            return cell.text
        return cell.stars or next((one.stars for one in cell.bracketed if one.stars), "")

    def _beside(self, found: dict[str, str], kind: str, cell: Cell) -> str:
        """Add what stands in a column of its own beside an estimate."""
        for one in cell.bracketed:
            self._put(found, one, kind)
        if cell.number:
            found[quantity_of(kind, found)] = cell.number
        elif kind == "ci" and (ends := interval_ends(cell.text)):
            found["ci_low"], found["ci_high"] = ends
        return cell.stars

    def _put(self, found: dict[str, str], one: Bracketed, kind: str = "") -> None:
        """Add a number or an interval in brackets."""
        if len(one.numbers) == 2:
            found["ci_low"], found["ci_high"] = one.numbers
            return
        said = kind or self._inside.get(one.kind, "")
        if one.kind == "(" and said != "ci" and kind in ("", self._inside.get("(", "")):
            found.setdefault("parenthesis", one.numbers[0])
            return
        if not said and not self._inside and "parenthesis" not in found:
            found["parenthesis"] = one.numbers[0]  # brackets in the place of parentheses
            return
        if not said:
            self._ask(f"nothing says what stands in {one.kind} {_CLOSING[one.kind]}; --brackets se, t, p or ci does")
        found.setdefault(quantity_of(said, found), one.numbers[0])


def _has_estimates(rows: Sequence[TidyRow]) -> bool:
    return any(row.quantity == "estimate" for row in rows)


_NAMES = {"se": "standard errors", "t": "t statistics", "p": "p-values"}
_CLOSING = {"(": ")", "[": "]", "{": "}", "<": ">"}


def _says_yes_or_no(cells: Sequence[Cell]) -> bool:
    texts = [cell.text.lower() for cell in cells if not cell.is_blank]
    return bool(texts) and all(text in YES_OR_NO or text in ("x", "y", "n") for text in texts)


def _is_precision(cell: Cell) -> bool:
    return bool(cell.number) or interval_ends(cell.text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A labelled row: what it is (blank for a coefficient), its term and label, its cells, and the rows under it."""

    kind: str
    term: str
    label: str
    cells: Sequence[Cell]
    is_coefficient: bool
    beside: Sequence[int] = ()
    below: list[tuple[str, list[Cell]]] = field(default_factory=list)

    @property
    def has_precision(self) -> bool:
        """Whether anything stands below its estimates, or beside them."""
        cells = [cell for _, under in self.below for cell in under[1:]]
        own = any(cell.bracketed for cell in self.cells[1:]) or any(
            map(_is_precision, (self.cells[k] for k in self.beside))
        )
        return own or any(cell.is_numeric for cell in cells)

    @property
    def is_starred(self) -> bool:
        """Whether an estimate has stars."""
        return any(cell.stars for cell in self.cells[1:])

    def rows(self, reader: _Reader, column: Column) -> list[TidyRow]:
        """Return the rows of one column."""
        if self.is_coefficient:
            return reader.of_coefficient(self, column)
        cell = self.cells[column.at]
        place = {"table": reader._table, "column": column.name, "term": "", "label": self.label}
        if self.kind in STATISTICS:
            number = cell.number or (cell.bracketed[0].numbers[0] if cell.bracketed else "")
            if not number:
                return []
            printed = whole(number) if self.kind in COUNTS else number
            return [TidyRow(**place, quantity=self.kind, printed=printed)]
        words = f"{self.label} {cell.text}".lower()
        if self.kind == "clustering" and "cluster" not in words and not cell.text.startswith("by"):
            return []  # robust standard errors, for instance
        return [TidyRow(**place, quantity=self.kind, printed=cell.text)] if cell.text else []
