"""The tables of a page as one Excel workbook and one Word file, the same bytes whenever they are made."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib.util import find_spec
from typing import Any

from cbec_bayes.reporting.tables import ReportTable
from cbec_bayes.runtime.errors import InputError

NAME = "tables"
"""Name of the file, before its ending."""

LIBRARIES = {"xlsx": ("openpyxl", "openpyxl"), "docx": ("docx", "python-docx")}
"""For each format the module that writes it, and the name of its package."""

EXPORTS = tuple(f"{NAME}.{ending}" for ending in LIBRARIES)
"""Files that `export_files` may return."""

_DATE = datetime(2000, 1, 1)
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
_LONGEST_SHEET = 31  # Excel's own limit
_FORBIDDEN = re.compile(r"[\[\]:*?/\\]")
_NUMBER = re.compile("[\N{MINUS SIGN}-]?[0-9]+(?:\\.([0-9]+))?")
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_WIDEST = 60  # characters of a column of the workbook


def require_formats(formats: tuple[str, ...]) -> None:
    """Raise `InputError` where a format's library is not installed.

    Parameters
    ----------
    formats
        Formats among those of `LIBRARIES`.
    """
    for ending in formats:
        module, package = LIBRARIES[ending]
        if find_spec(module) is None:
            raise InputError(
                f"--tables {ending} needs the package {package}, which is not installed: "
                f"pip install {package}, or pip install 'cbec-bayes[tables]'"
            )


def export_files(tables: Mapping[str, ReportTable], formats: tuple[str, ...], title: str) -> dict[str, str | bytes]:
    """Return the tables that have rows as one file per format, by name.

    Parameters
    ----------
    tables
        Tables of a page, by name.
    formats
        Formats among those of `LIBRARIES`.
    title
        Title of the page.

    Raises
    ------
    InputError
        A library is not installed.
    """
    require_formats(formats)
    writers: Mapping[str, Callable[[Mapping[str, ReportTable], str], bytes]] = {"xlsx": workbook, "docx": document}
    there = {name: table for name, table in tables.items() if table.rows}
    return {f"{NAME}.{ending}": writers[ending](there, title) for ending in formats}


def workbook(tables: Mapping[str, ReportTable], title: str) -> bytes:
    """Return tables as an Excel workbook, a sheet for each; cells that are numbers are numbers, with their decimals."""
    from openpyxl import Workbook  # type: ignore[import-untyped]
    from openpyxl.styles import Alignment, Font  # type: ignore[import-untyped]

    book = Workbook()
    book.remove(book.active)
    book.properties.title, book.properties.creator = _legal(title), "cbec_bayes"
    for name, table in tables.items():
        sheet = book.create_sheet(_sheet_name(name, book.sheetnames))
        _write(sheet.cell(1, 1), f"{table.caption} (Origin: {table.origin}.)")
        for k, head in enumerate(table.columns, start=1):
            _write(sheet.cell(3, k), head)
            sheet.cell(3, k).font = Font(bold=True)
            longest = max((len(row[k - 1]) for row in table.rows), default=0)
            sheet.column_dimensions[sheet.cell(3, k).column_letter].width = min(_WIDEST, max(len(head), longest) + 2)
        for i, row in enumerate(table.rows, start=4):
            for k, text in enumerate(row, start=1):
                cell = sheet.cell(i, k)
                # A name such as 007 in the first column is a text, whatever its signs.
                _write(cell, text, as_number=k > 1)
                cell.alignment = Alignment(wrap_text=len(text) > _WIDEST, vertical="top")
        sheet.freeze_panes = "B4"
    if not book.sheetnames:
        book.create_sheet(NAME)
    buffer = io.BytesIO()
    book.save(buffer)
    return _timeless(buffer.getvalue())


def document(tables: Mapping[str, ReportTable], title: str) -> bytes:
    """Return tables as a Word file, one below the other with their captions, on pages that lie across."""
    from docx import Document
    from docx.enum.section import WD_ORIENT
    from docx.shared import Pt

    found = Document()
    page = found.sections[0]
    page.orientation = WD_ORIENT.LANDSCAPE
    page.page_width, page.page_height = page.page_height, page.page_width
    found.add_heading(_legal(title), level=1)
    for table in tables.values():
        caption = found.add_paragraph(_legal(f"{table.caption} (Origin: {table.origin}.)"), style="Caption")
        caption.paragraph_format.keep_with_next = True
        grid = found.add_table(len(table.rows) + 1, len(table.columns), style="Table Grid")
        for i, (row, texts) in enumerate(zip(grid.rows, (table.columns, *table.rows), strict=True)):
            for cell, text in zip(row.cells, texts, strict=True):
                run = cell.paragraphs[0].add_run(_legal(text))
                run.font.size, run.bold = Pt(8), i == 0
        found.add_paragraph()
    told = found.core_properties
    told.title, told.author, told.comments = _legal(title), "cbec_bayes", ""
    told.created = told.modified = _DATE
    buffer = io.BytesIO()
    found.save(buffer)
    return _timeless(buffer.getvalue())


def _write(cell: Any, text: str, *, as_number: bool = False) -> None:
    """Write a text into a cell, as a number where it is one; a text that looks like a formula stays a text."""
    number = _NUMBER.fullmatch(text) if as_number else None
    if number is None:
        cell.value = _legal(text)
        cell.data_type = "s"
    else:
        cell.value = float(text.replace("\N{MINUS SIGN}", "-"))
        cell.number_format = f"0.{'0' * len(number[1])}" if number[1] else "0"


def _sheet_name(name: str, taken: list[str]) -> str:
    """Return a name that Excel takes for a sheet, and that no other sheet has."""
    short = _FORBIDDEN.sub("_", name)[:_LONGEST_SHEET]
    n = 2
    while short.lower() in [other.lower() for other in taken]:
        ending = f"_{n}"
        short, n = f"{_FORBIDDEN.sub('_', name)[: _LONGEST_SHEET - len(ending)]}{ending}", n + 1
    return short


def _legal(text: str) -> str:
    """Return a text without the signs that XML cannot hold; half a sign, of a file's name, is spelled out."""
    return _ILLEGAL.sub("", text).encode("utf-8", "backslashreplace").decode("utf-8")


def _timeless(content: bytes) -> bytes:
    """Return an Office file with fixed dates, within and in its archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            held = old.read(name)
            if name == "docProps/core.xml":
                date = _DATE.strftime("%Y-%m-%dT%H:%M:%SZ").encode()
                held = re.sub(rb"(<dcterms:(created|modified)[^>]*>)[^<]*", rb"\g<1>" + date, held)
            info = zipfile.ZipInfo(name, _ZIP_DATE)
            info.compress_type = zipfile.ZIP_DEFLATED
            new.writestr(info, held)
    return buffer.getvalue()
