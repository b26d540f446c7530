"""Tables from text, Parquet, Excel and Stata files, with the row numbers that messages name."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import pandas as pd

from cbec_bayes.panel.bounds import (
    MOST_HELD,
    require_cells,
    require_excel,
    require_parquet,
    require_size,
    require_stata,
    texts_of,
)
from cbec_bayes.panel.cells import ROW
from cbec_bayes.panel.delimited import read_delimited, unnamed
from cbec_bayes.panel.names import tidy
from cbec_bayes.panel.reading import READING, Reading
from cbec_bayes.panel.stata import read_stata
from cbec_bayes.runtime.errors import InputError, suggest
from cbec_bayes.runtime.opening import LARGEST, read_bytes
from cbec_bayes.runtime.trial import require_sound

_FORMATS = {
    ".csv": ("CSV", ""),
    ".tsv": ("CSV", ""),
    ".parquet": ("Parquet", "pyarrow"),
    ".xlsx": ("Excel", "openpyxl"),
    ".dta": ("Stata", ""),
}

_TEXTS = (".csv", ".tsv")


def read_frame(
    path: Path | str,
    *,
    sheet: str | None = None,
    labelled: Sequence[str] | None = None,
    reading: Reading = READING,
) -> pd.DataFrame:
    """Read a table by the ending of its file's name: .csv, .tsv (also with .gz behind), .parquet, .xlsx or .dta.

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
    reading
        Encoding and decimal sign of a text file, and the sheet if that is not given by itself.

    Returns
    -------
    DataFrame
        The columns of the file in their order. The index is named ``row`` and counts rows as a spreadsheet does, the
        header being row 1; in a CSV or Excel file it is the line or row itself, blank ones counted but left out. A
        CSV column becomes numeric when every cell is a number or stands for a missing one (NA, a point), and none would
        lose digits (007 stays text).

    Raises
    ------
    InputError
        Unknown ending, no such file, a folder, unreadable content, no rows, a column without a name or named twice.
    """
    path, sheet = Path(path), sheet or reading.sheet
    packed = path.suffix.lower() == ".gz"
    suffix = (path.with_suffix("") if packed else path).suffix.lower()
    if suffix not in _FORMATS or (packed and suffix not in _TEXTS):
        if not os.path.exists(path):
            raise InputError("no such file", file=path)
        kinds = ", ".join([*_FORMATS, *(f"{one}.gz" for one in _TEXTS)])
        raise InputError(f"unknown kind of file '{path.suffix.lower()}'; {kinds} can be read", file=path)
    if sheet is not None and suffix != ".xlsx":
        raise InputError(f"--sheet '{sheet}' applies to .xlsx files only; leave it out", file=path)
    for option, value in (("--encoding", reading.encoding), ("--decimal", reading.decimal)):
        if value is not None and suffix not in _TEXTS:
            raise InputError(
                (
                    f"{option} applies to text files only; leave it out, because a {_FORMATS[suffix][0]} file "
                    "needs no such option"
                ),
                file=path,
            )
    content = read_bytes(path)
    if suffix in _TEXTS:
        text = _unpacked(content, path) if packed else content
        frame = read_delimited(text, path, reading=reading, labelled=labelled or ())
    else:
        frame = _binary(content, path, suffix, sheet, labelled)
    frame.columns = pd.Index([tidy(str(name)) for name in frame.columns], dtype="str")
    for name in frame.columns[frame.columns.duplicated() & (frame.columns != "")]:
        raise InputError("the column appears twice", file=path, row=1, column=name)
    if "" in frame.columns:
        raise unnamed(path)
    if frame.empty:
        raise InputError("the file has a header but no rows of data", file=path)
    return frame.rename_axis(index=ROW)


def _unpacked(content: bytes, path: Path) -> bytes:
    try:
        with gzip.open(BytesIO(content)) as file:
            text = file.read(LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"not readable as gzip ({error})", file=path) from None
    if len(text) > LARGEST:
        raise InputError(f"would unpack to more than {LARGEST / 1e6:.0f} MB", file=path)
    return text


def _binary(content: bytes, path: Path, suffix: str, sheet: str | None, labelled: Sequence[str] | None) -> pd.DataFrame:
    if not content:
        raise InputError("the file is empty", file=path)
    name, package = _FORMATS[suffix]
    try:
        if suffix == ".dta":
            require_stata(content, path)
        if suffix == ".xlsx":
            return _excel(content, path, sheet)
        frame = _parquet(content, path) if suffix == ".parquet" else read_stata(content, labelled)
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
    from pyarrow.parquet import ParquetFile

    require_sound("parquet", [path], MOST_HELD, "not readable as Parquet")
    texts = texts_of(ParquetFile(BytesIO(content)))
    require_parquet(ParquetFile(BytesIO(content), read_dictionary=texts), path)
    return pd.read_parquet(BytesIO(content))


def _excel(content: bytes, path: Path, sheet: str | None) -> pd.DataFrame:
    # Not pandas.read_excel: it renames columns that are named twice, and reads n/a and #DIV/0! as missing.
    import openpyxl  # type: ignore[import-untyped]

    require_excel(content, path)
    book = openpyxl.load_workbook(BytesIO(content), read_only=True, data_only=True, keep_links=False)
    if sheet is not None and sheet not in book.sheetnames:
        raise InputError(f"no sheet '{sheet}'; {suggest(sheet, book.sheetnames)}", file=path)
    page = book[sheet if sheet is not None else book.sheetnames[0]]
    page.reset_dimensions()  # some programs write a wrong size, and rows would be lost
    rows = require_size(page.iter_rows(values_only=True), path)
    lines = [(i, line) for i, line in enumerate(rows, 1) if any(map(_given, line))]
    book.close()
    if not lines:
        raise InputError("the sheet is empty", file=path)
    width = max(k + 1 for _, line in lines for k, cell in enumerate(line) if _given(cell))
    require_cells(width * len(lines), path)
    header, *cells = [[*line, *[None] * width][:width] for _, line in lines]
    names = ["" if name is None else name for name in header]
    return pd.DataFrame(cells, columns=names, index=[i for i, _ in lines[1:]])


def _given(cell: object) -> bool:
    return cell is not None and str(cell).strip() != ""
