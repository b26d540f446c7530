"""Printed tables from wherever they are: a folder of CSV, a file of tidy rows, a pasted table, the standard input."""

from __future__ import annotations

import csv
import io
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from cbec_bayes.published.printed import TABLE_COLUMNS, Paper, load_paper, paper_of_rows
from cbec_bayes.published.reading.formats import SUFFIXES
from cbec_bayes.published.reading.tables import Asked
from cbec_bayes.published.reading.tidy import read_printed
from cbec_bayes.published.stated import Facts
from cbec_bayes.runtime.errors import InputError, suggest
from cbec_bayes.runtime.files import read_rows
from cbec_bayes.runtime.opening import read_bytes

STDIN = "-"
"""Name of the standard input."""

COPIES = ("standard_input.txt", "standard_input.csv")
"""Names under which the standard input is kept: as text, and as tidy rows."""

LARGEST_PRINTED = 2 * 10**7
"""Bytes of a file of printed tables."""


@dataclass(frozen=True, slots=True)
class PrintedFile:
    """Printed tables of one file or folder.

    Attributes
    ----------
    name
        Name of the paper.
    paper
        The tables.
    notes
        Sentences on how they were read.
    saved
        Pasted tables as files that can be read again; empty where they were read from such.
    """

    name: str
    paper: Paper
    notes: tuple[str, ...] = ()
    saved: Mapping[str, str] = field(default_factory=dict)


def read_printed_file(path: Path, asked: Asked, facts: Facts) -> PrintedFile:
    """Read printed tables.

    Parameters
    ----------
    path
        A folder of CSV tables, a file of tidy rows or of tables in any form, or ``-`` for the standard input.
    asked, facts
        What the user says of tables that do not say it themselves.

    Raises
    ------
    InputError
        They cannot be read, or something in them may mean two things.
    """
    if os.path.isdir(path):
        paper = load_paper(path)
        return PrintedFile(path.name, paper, paper.notes)
    content, suffix, where = _content(path)
    if suffix == ".csv" and is_tidy(content):
        rows = read_rows(path, required=TABLE_COLUMNS, optional=("label",))
        paper = paper_of_rows([(path, rows)], facts, path)
        return PrintedFile(path.stem, paper, paper.notes)
    read = read_printed(content, suffix, where, replace(asked, terms={**facts.terms, **asked.terms}))
    name = "standard input" if str(path) == STDIN else path.stem
    paper = read.paper(facts)
    return PrintedFile(name, paper, (*read.notes, *paper.notes), read.files())


def _content(path: Path) -> tuple[bytes, str, str]:
    """Return the content of a file, its ending, and its name for messages."""
    if str(path) == STDIN:
        return _standard_input(), ".txt", "standard input"
    suffix = path.suffix.lower()
    if os.path.exists(path) and suffix not in SUFFIXES:
        raise InputError(f"printed tables are read from {', '.join(SUFFIXES)}; {suggest(suffix, SUFFIXES)}", file=path)
    return read_bytes(path, LARGEST_PRINTED), suffix, str(path)


def _standard_input() -> bytes:
    content = sys.stdin.buffer.read(LARGEST_PRINTED + 1)
    if len(content) > LARGEST_PRINTED:
        raise InputError("the standard input is too long for printed tables", file=STDIN)
    return content


@contextmanager
def as_file(path: Path) -> Iterator[Path]:
    """Give a file that can be read more than once: the path, or a copy of the standard input for as long."""
    if str(path) != STDIN:
        yield path
        return
    content = _standard_input()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / COPIES[is_tidy(content)]
        copy.write_bytes(content)
        yield copy


def is_tidy(content: bytes) -> bool:
    """Return whether a CSV has the columns of the long form."""
    first = content.decode("utf-8-sig", errors="replace").lstrip().partition("\n")[0]
    header = {name.strip() for name in next(csv.reader(io.StringIO(first)), [])}
    return set(TABLE_COLUMNS) <= header


def is_printed_table(path: Path) -> bool:
    """Return whether a path leads to printed tables, and not to a file of estimates."""
    if os.path.isdir(path):
        return True
    suffix = path.suffix.lower()
    if suffix != ".csv":
        return suffix in SUFFIXES and suffix not in (".tsv", ".txt")
    return os.path.isfile(path) and is_tidy(read_bytes(path, LARGEST_PRINTED)[:10_000])
