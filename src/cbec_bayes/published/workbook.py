"""Excel workbooks of estimates, as the text of a CSV file: every number with all digits that its cell holds."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cbec_bayes.panel.bounds import require_excel
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.opening import read_bytes

SUFFIX = ".xlsx"
LARGEST = 2 * 10**7
"""Bytes of a workbook."""


def sheets_with(path: Path, is_header: Callable[[Sequence[str]], bool]) -> list[str]:
    """Return the sheets of a workbook that begin with a certain header, each as the text of a CSV file.

    Parameters
    ----------
    path
        The workbook.
    is_header
        Whether the first row that is not blank is the header that is looked for.

    Raises
    ------
    InputError
        It is no workbook.
    """
    from openpyxl import load_workbook  # type: ignore[import-untyped]

    content = read_bytes(path, LARGEST)
    require_excel(content, path)
    try:
        book = load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        sheets = [[[_text(cell) for cell in row] for row in sheet.values] for sheet in book.worksheets]
    except Exception as error:  # a damaged workbook fails in every way there is
        raise InputError(f"not readable as xlsx ({type(error).__name__})", file=path) from None
    found = []
    for rows in sheets:
        header = next((row for row in rows if any(row)), [])
        width = max((k + 1 for k, cell in enumerate(header) if cell), default=0)
        if is_header(header[:width]):
            found.append(_as_csv([row[:width] + [""] * (width - len(row)) for row in rows]))
    return found


def _text(value: Any) -> str:
    """Return a cell as text: a whole number without decimals, any other with all its digits."""
    if value is None:
        return ""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    return str(value).strip()


def _as_csv(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as CSV; line breaks within a cell become spaces, so that lines are numbered as rows are."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([" ".join(cell.split()) for cell in row] for row in rows)
    return buffer.getvalue()
