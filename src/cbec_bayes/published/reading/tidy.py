"""From pasted tables to a paper: tidy rows as CSV, what the words say as paper.toml, and both as the audit has them."""

from __future__ import annotations

import csv
import io
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cbec_bayes.published.number import decimal_sign
from cbec_bayes.published.printed import MEASURES, TABLE_COLUMNS, Paper, paper_of_rows
from cbec_bayes.published.reading.formats import grids_of
from cbec_bayes.published.reading.layout import read_grid
from cbec_bayes.published.reading.tables import Asked, ReadTable
from cbec_bayes.published.stated import ColumnFacts, Facts, facts_of
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.files import rows_of_text

HEADER = ("table", "column", "term", "label", "quantity", "printed", "stars")
"""Columns of the long CSV."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPaper:
    """Tables that were read from one file.

    Attributes
    ----------
    where
        The file.
    tables
        The tables, in order.
    """

    where: str
    tables: tuple[ReadTable, ...]

    def files(self) -> dict[str, str]:
        """Return a CSV per table, and paper.toml where the tables' words say something, by name."""
        found = {f"table{one.table.lower()}.csv": table_csv(one) for one in self.tables}
        toml = self.toml()
        return {**found, "paper.toml": toml} if toml else found

    def toml(self) -> str:
        """Return what the tables' words say as paper.toml; blank where they say nothing."""
        lines: list[str] = []
        for one in self.tables:
            keys = []
            if one.reading:
                keys.append(f'reading = "{one.reading}"')
            if one.said.is_ratio:
                keys.append('scale = "ratio"')
            if one.said.is_marginal:
                keys.append('estimator = "marginal effect"')
            if one.said.clustered:
                keys.append("clustered = true")
            if one.said.stars:
                levels = ", ".join(f'"{symbol}" = "{level}"' for symbol, level in one.said.stars.items())
                keys.append(f"stars = {{ {levels} }}")
            if keys:
                lines += [f'[tables."{one.table}"]', *keys, ""]
        return "\n".join(lines)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on how the tables were read."""
        return tuple(note for one in self.tables for note in one.told)

    def paper(self, said: Facts | None = None) -> Paper:
        """Return the tables as the audit has them: exactly what it would read from the saved files.

        Parameters
        ----------
        said
            What is said elsewhere of the paper; it comes before what the tables' words say.
        """
        files = self.files()
        own = facts_of(tomllib.loads(files.pop("paper.toml", "")), Path(self.where))
        facts = own if said is None else replace(said, tables=_joined(said.tables, own.tables))
        rows = [
            (Path(self.where), rows_of_text(text, Path(self.where), required=TABLE_COLUMNS, optional=("label",)))
            for text in files.values()
        ]
        return paper_of_rows(rows, facts, Path(self.where))


def _joined(first: Mapping[str, ColumnFacts], second: Mapping[str, ColumnFacts]) -> dict[str, ColumnFacts]:
    keys = dict.fromkeys([*first, *second])
    return {key: first.get(key, ColumnFacts()).or_else(second.get(key, ColumnFacts())) for key in keys}


def table_csv(table: ReadTable) -> str:
    """Return the rows of a table as CSV."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows([getattr(row, name) for name in HEADER] for row in table.rows)
    return out.getvalue()


def read_printed(content: bytes, suffix: str, where: str, asked: Asked) -> ReadPaper:
    """Read the printed tables of a file.

    Parameters
    ----------
    content, suffix
        Content of the file, and its ending, which says its form.
    where
        The file, for messages.
    asked
        What the user says of the tables.

    Raises
    ------
    InputError
        There is no table, or something may mean two things; the message names the option that says which.
    """
    tables: list[ReadTable] = []
    for k, grid in enumerate(grids_of(content, suffix, where), start=1):
        tables += read_grid(grid, str(k), asked, where)
    names = [one.table for one in tables]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(
            f"two tables have the number {twice}; leave one out or give them different numbers", file=where
        )
    _require_one_decimal(tables, where)
    return ReadPaper(where=where, tables=tuple(tables))


def _require_one_decimal(tables: Sequence[ReadTable], where: str) -> None:
    for one in tables:
        try:
            decimal_sign(row.printed for row in one.rows if row.quantity in MEASURES)
        except ValueError as error:
            raise InputError(f"table {one.table}: {error}", file=where) from None
