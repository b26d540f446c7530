"""Tables in text files: what separates their columns, which sign stands before decimals, and what their cells are."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cbec_bayes.panel.cells import is_missing, is_number
from cbec_bayes.panel.doubtful import has_thousands_with_points
from cbec_bayes.panel.names import as_written, tidy
from cbec_bayes.panel.reading import READING, Reading
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.files import rows_of_text

TOLD = "cbec_bayes_told"
"""Key of a frame's attributes under which sentences on how it was read stand."""

THOUSANDS = "cbec_bayes_thousands"
"""Key of a frame's attributes under which the columns stand whose points may part thousands."""

_ROW_NUMBERS = "\ufdd0"
"""Name of a first column that has none, which spreadsheets and data frames write for numbers of rows."""

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_SAMPLED = 50
"""Records from which it is seen what separates the columns."""

# 007 is a name, and so is an integer that a float cannot hold.
_NAME = re.compile(r"[+-]?(0\d.*|\d{16,})", re.ASCII)
_COMMA = re.compile(r"[+-]?(\d+,\d*|,\d+)([eE][+-]?\d+)?", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}", re.ASCII)


def read_delimited(
    content: bytes, path: Path, *, reading: Reading = READING, labelled: Sequence[str] = ()
) -> pd.DataFrame:
    """Read the content of a text file.

    Parameters
    ----------
    content, path
        Content and path of the file; messages name it.
    reading
        Its encoding, and the sign before decimals, where they are said.
    labelled
        Columns of names, which stay as they are written.

    Returns
    -------
    DataFrame
        Columns as they are in the file; its index counts the lines. A first column without a
        name, which numbers the rows, is left out. Where that is so, or columns are not separated by commas, or
        decimals not by a point, a sentence in the frame's attributes under `TOLD` says so; under `THOUSANDS` stand
        columns whose points may part thousands.

    Raises
    ------
    InputError
        The text has another encoding, or cannot be read as a table; a sign in a number may mean two things.
    """
    text = _decoded(content, path, reading.encoding)
    delimiter = _delimiter(text, path)
    blank = next((sign for sign in (delimiter, f'""{delimiter}') if text.startswith(sign)), "")
    if blank and text[len(blank) :].lstrip()[:1] not in (delimiter, ""):
        text = _ROW_NUMBERS + delimiter + text[len(blank) :]
    try:
        rows = rows_of_text(text, path, required=(), delimiter=delimiter)
    except InputError as error:
        raise unnamed(path) if error.column == "" else error from None
    index = pd.Index([row.number for row in rows], dtype="int64")
    columns = {tidy(name): [row[name] for row in rows] for name in rows[0].cells if name != _ROW_NUMBERS}
    numeric = {name: cells for name, cells in columns.items() if name not in labelled}
    decimal = _decimal(numeric, path, index, delimiter) if reading.decimal is None else reading.decimal
    told = ["the first column has no name and is left out"] if _ROW_NUMBERS in rows[0].cells else []
    told += [f"columns are separated by {_DELIMITERS[delimiter]}"] if delimiter not in (",", "\t") else []
    if decimal == ",":
        told.append("decimals are set off by commas")
        numeric = {name: _with_points(name, cells, path, index) for name, cells in numeric.items()}
    found = {
        name: _typed(numeric[name], index) if name in numeric else pd.Series(as_written(cells), index, dtype="str")
        for name, cells in columns.items()
    }
    frame = pd.DataFrame(found, index=index)
    frame.attrs[THOUSANDS] = tuple(name for name, cells in numeric.items() if has_thousands_with_points(cells))
    if told:
        frame.attrs[TOLD] = (f"in the file {', and '.join(told)}",)
    return frame


def unnamed(path: Path) -> InputError:
    """Return the error of a column without a name."""
    return InputError("the header has a column without a name; name it or remove it", file=path, row=1)


def _decoded(content: bytes, path: Path, encoding: str | None) -> str:
    try:
        text = content.decode(encoding or "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        if encoding is not None:
            raise InputError(f"not text in the encoding {encoding}", file=path, row=line) from None
        utf16 = content[:2] in (b"\xff\xfe", b"\xfe\xff")
        advice = f"save the file as UTF-8, or name its encoding: --encoding {'utf-16' if utf16 else 'latin-1'}, say"
        raise InputError(f"not UTF-8 text; {advice}", file=path, row=line) from None
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _delimiter(text: str, path: Path) -> str:
    """Return the sign that cuts the first records into equally many cells, and into most; a comma where none does."""
    lines = [line for line in text.split("\n", _SAMPLED + 1)[:_SAMPLED] if line.strip()]
    if path.name.lower().removesuffix(".gz").endswith(".tsv"):
        return "\t"
    widths = {}
    for sign in _DELIMITERS:
        try:
            cut = {len(cells) for cells in csv.reader(lines, delimiter=sign, strict=True) if any(cells)}
        except csv.Error:
            continue
        widths[sign] = cut.pop() if len(cut) == 1 else 1
    best = max(widths, key=lambda sign: widths[sign], default=",")
    header = lines[0] if lines else ""
    # Where lines have different lengths the file is faulty, and what is wrong is said of the sign in its header.
    return best if widths.get(best, 1) > 1 else next((sign for sign in _DELIMITERS if sign in header), ",")


def _decimal(columns: dict[str, list[str]], path: Path, index: pd.Index, delimiter: str) -> str:
    """Return the sign before decimals that the cells show.

    Raises
    ------
    InputError
        All commas stand before three digits, so that they may part thousands.
    """
    if delimiter == ",":
        return "."
    commas = {name: [c for c in cells if _COMMA.fullmatch(c)] for name, cells in columns.items()}
    given = {name: [c for c in cells if not is_missing(c)] for name, cells in columns.items()}
    whole = [n for n, c in commas.items() if c and all(_COMMA.fullmatch(x) or is_number(x) for x in given[n])]
    if not whole:
        return "."
    if all(_THOUSANDS.fullmatch(cell) for name in whole for cell in commas[name]):
        name = whole[0]
        at = columns[name].index(commas[name][0])
        message = f"'{commas[name][0]}' may have decimals or thousands: --decimal , or --decimal . says which"
        raise InputError(message, file=path, row=int(index[at]), column=name)
    return ","


def _with_points(name: str, cells: list[str], path: Path, index: pd.Index) -> list[str]:
    """Return a column with points before decimals, if all its cells are numbers with commas."""
    given = [cell for cell in cells if not is_missing(cell)]
    if not given or not all(_COMMA.fullmatch(cell) or is_number(cell) for cell in given):
        return cells
    for k, cell in enumerate(cells):
        if "." in cell and not is_missing(cell):
            message = f"'{cell}' has a point, and decimals are set off by commas; write all in one way, or --decimal ."
            raise InputError(message, file=path, row=int(index[k]), column=name)
    return [cell.replace(",", ".") for cell in cells]


def _typed(cells: Sequence[str], index: pd.Index) -> pd.Series:
    given = [cell for cell in cells if not is_missing(cell)]
    if given and all(is_number(cell) and not _NAME.fullmatch(cell) for cell in given):
        if len(given) == len(cells) and all(cell.lstrip("+-").isdigit() for cell in given):
            return pd.Series([int(cell) for cell in cells], index, dtype="int64")
        return pd.Series([np.nan if is_missing(cell) else float(cell) for cell in cells], index, dtype="float64")
    return pd.Series([cell or None for cell in cells], index, dtype="str")
