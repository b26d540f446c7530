"""Tables from CSV, Parquet, Excel and Stata files, with the row numbers that messages name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pandas as pd

from cbec_bayes.panel.cells import ROW, is_number
from cbec_bayes.panel.names import as_written, tidy
from cbec_bayes.runtime.errors import InputError, suggest
from cbec_bayes.runtime.files import memory, read_rows

# What each format is called, and the package that reads it where that is not pandas itself.
_FORMATS = {
    ".csv": ("CSV", ""),
    ".parquet": ("Parquet", "pyarrow"),
    ".xlsx": ("Excel", "openpyxl"),
    ".dta": ("Stata", ""),
}

MOST_UNPACKED = 2 * 10**9
"""Bytes that an Excel file may unpack to: the largest that Excel itself opens are well below."""

# 007 is a name, and so is an integer that a float cannot hold.
_NAME = re.compile(r"[+-]?(0\d.*|\d{16,})", re.ASCII)


def read_frame(path: Path | str, *, sheet: str | None = None, labelled: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table by the ending of its file's name: .csv (UTF-8), .parquet, .xlsx or .dta.

    Parameters
    ----------
    path
        The file.
    sheet
        Sheet of an Excel file; the first if not given.
    labelled
        Columns that hold names of units and groups. In a CSV file they stay text as it is written, so that 1.1 and
        1.10 are two; of a Stata file they have value labels in the place of codes. If not given, columns of a CSV file
        are typed by what is in them, and all of a Stata file have labels.

    Returns
    -------
    DataFrame
        The columns of the file in their order. The index is named ``row`` and counts rows as a spreadsheet does, the
        header being row 1; in a CSV or Excel file it is the line or row itself, blank ones counted but left out. A
        CSV column becomes numeric when every cell is a number and none would lose digits (007 stays text).

    Raises
    ------
    InputError
        Unknown ending, no such file, a folder, unreadable content, no rows, a column without a name or named twice.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _FORMATS:
        if not path.exists():
            raise InputError("no such file", file=path)
        raise InputError(f"unknown kind of file '{suffix}'; {', '.join(_FORMATS)} can be read", file=path)
    if sheet is not None and suffix != ".xlsx":
        raise InputError(f"a sheet was asked for ('{sheet}'), but only .xlsx files have sheets", file=path)
    frame = _csv(path, labelled or ()) if suffix == ".csv" else _binary(path, suffix, sheet, labelled)
    frame.columns = pd.Index([tidy(str(name)) for name in frame.columns], dtype="str")
    for name in frame.columns[frame.columns.duplicated() & (frame.columns != "")]:
        raise InputError("the column appears twice", file=path, row=1, column=name)
    if "" in frame.columns:
        raise _unnamed(path)
    if frame.empty:
        raise InputError("the file has a header but no rows", file=path)
    return frame.rename_axis(index=ROW)


def _unnamed(path: Path) -> InputError:
    return InputError("the header has a column without a name; name it or remove it", file=path, row=1)


def _csv(path: Path, labelled: Sequence[str]) -> pd.DataFrame:
    try:
        rows = read_rows(path, required=())
    except InputError as error:
        raise _unnamed(path) if error.column == "" else error from None
    header = list(rows[0].cells)
    for mark, name in ((";", "semicolons"), ("\t", "tabs")):
        if len(header) == 1 and mark in header[0]:
            raise InputError(f"the columns are separated by {name}; separate them by commas", file=path, row=1)
    index = pd.Index([row.number for row in rows], dtype="int64")
    columns = {}
    for name in header:
        cells = [row[name] for row in rows]
        named = tidy(name) in labelled
        columns[name] = pd.Series(as_written(cells), index, dtype="str") if named else _typed(cells, index)
    return pd.DataFrame(columns, index=index)


def _typed(cells: Sequence[str], index: pd.Index) -> pd.Series:
    given = [cell for cell in cells if cell]
    if given and all(is_number(cell) and not _NAME.fullmatch(cell) for cell in given):
        if len(given) == len(cells) and all(cell.lstrip("+-").isdigit() for cell in given):
            return pd.Series([int(cell) for cell in cells], index, dtype="int64")
        return pd.Series([float(cell) if cell else np.nan for cell in cells], index, dtype="float64")
    return pd.Series([cell or None for cell in cells], index, dtype="str")


def _binary(path: Path, suffix: str, sheet: str | None, labelled: Sequence[str] | None) -> pd.DataFrame:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputError("no such file", file=path) from None
    except IsADirectoryError:
        raise InputError("this is a folder, a file was expected", file=path) from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=path) from None
    if not content:
        raise InputError("the file is empty", file=path)
    name, package = _FORMATS[suffix]
    try:
        if suffix == ".xlsx":
            return _excel(content, path, sheet)
        frame = _parquet(content, path) if suffix == ".parquet" else _stata(content, labelled)
        # Parquet files of pandas often keep unit and time in a named index.
        frame = frame.reset_index(drop=all(level is None for level in frame.index.names))
        return frame.set_axis(pd.RangeIndex(2, len(frame) + 2), axis=0)
    except InputError:
        raise
    except ImportError:
        raise InputError(f"reading {name} files needs the package {package or 'pandas'}", file=path) from None
    except Exception as error:  # the parsers of these formats fail in every way there is
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise InputError(f"not readable as {name} ({reason})", file=path) from None


def _parquet(content: bytes, path: Path) -> pd.DataFrame:
    from pyarrow.parquet import read_metadata

    held = read_metadata(BytesIO(content))
    needed = 8.0 * held.num_rows * held.num_columns
    if needed > memory():  # a column of one value takes a few bytes of a file, however long it is
        raise InputError(
            f"would take {needed / 1e9:.3g} GB of memory; `cbec-bayes moments` reads such files in batches", file=path
        )
    return pd.read_parquet(BytesIO(content))


def _stata(content: bytes, labelled: Sequence[str] | None) -> pd.DataFrame:
    if labelled is None:
        return pd.read_stata(BytesIO(content))
    # A dummy that is labelled no and yes must stay 0 and 1, so only the columns that are names are labelled.
    frame = pd.read_stata(BytesIO(content), convert_categoricals=False)
    names = [name for name in frame.columns if name in labelled]
    return frame.assign(**pd.read_stata(BytesIO(content), columns=names)) if names else frame


def _excel(content: bytes, path: Path, sheet: str | None) -> pd.DataFrame:
    # Not pandas.read_excel: it renames columns that are named twice, and reads n/a and #DIV/0! as missing.
    import openpyxl  # type: ignore[import-untyped]

    with ZipFile(BytesIO(content)) as archive:
        size = sum(part.file_size for part in archive.infolist())
    if size > MOST_UNPACKED:
        raise InputError(f"would unpack to {size / 1e6:.1f} MB, more than {MOST_UNPACKED / 1e6:.0f} MB", file=path)
    book = openpyxl.load_workbook(BytesIO(content), read_only=True, data_only=True)
    if sheet is not None and sheet not in book.sheetnames:
        raise InputError(f"no sheet '{sheet}'; {suggest(sheet, book.sheetnames)}", file=path)
    page = book[sheet if sheet is not None else book.sheetnames[0]]
    page.reset_dimensions()  # some programs write a wrong size, and rows would be lost
    lines = [(i, line) for i, line in enumerate(page.iter_rows(values_only=True), 1) if any(map(_given, line))]
    book.close()
    if not lines:
        raise InputError("the sheet is empty", file=path)
    width = max(k + 1 for _, line in lines for k, cell in enumerate(line) if _given(cell))
    header, *cells = [[*line, *[None] * width][:width] for _, line in lines]
    names = ["" if name is None else name for name in header]
    return pd.DataFrame(cells, columns=names, index=[i for i, _ in lines[1:]])


def _given(cell: object) -> bool:
    return cell is not None and str(cell).strip() != ""
