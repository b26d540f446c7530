"""Tables as Excel and as Word: what is in them, that nothing in them is run, and that they are the same each time."""

from __future__ import annotations

import io
import time
import zipfile

import openpyxl
import pytest
from docx import Document

from cbec_bayes.reporting import exports
from cbec_bayes.reporting.exports import export_files, require_formats
from cbec_bayes.reporting.tables import ReportTable
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import Origin

ROWS = (("007", "−0.25", "0.1 to 0.2", "=1+1"), ("r2", "12", "–", "a\x07b"))
COLUMNS = ("Group", "Mean", "Interval", "Word")


def table(name: str, rows: tuple[tuple[str, ...], ...] = ROWS) -> ReportTable:
    return ReportTable(name=name, caption="Slopes.", origin=Origin.OBSERVED, columns=COLUMNS, rows=rows)


TABLES = {
    name: table(name)
    for name in ("effects", "a_name_that_is_longer_than_a_sheet_1", "A_name_that_is_longer_than_a_sheet_2")
}
TABLES["empty"] = table("empty", ())


def made(*formats: str) -> dict[str, bytes]:
    return {name: bytes(held) for name, held in export_files(TABLES, formats, "How?").items()}


def test_a_workbook_has_a_sheet_for_each_table_that_has_rows():
    book = openpyxl.load_workbook(io.BytesIO(made("xlsx")["tables.xlsx"]))
    assert len(book.sheetnames) == 3
    assert all(len(name) <= 31 for name in book.sheetnames)
    assert len({name.lower() for name in book.sheetnames}) == 3
    sheet = book["effects"]
    assert sheet["A1"].value == "Slopes. (Origin: observed.)"
    assert [cell.value for cell in sheet[3]] == list(COLUMNS)
    assert sheet["A4"].value == "007"  # a name, and no number
    assert (sheet["B4"].value, sheet["B4"].number_format) == (-0.25, "0.00")
    assert (sheet["B5"].value, sheet["B5"].number_format) == (12, "0")
    assert (sheet["C4"].value, sheet["C5"].value) == ("0.1 to 0.2", "–")
    assert (sheet["D4"].value, sheet["D4"].data_type) == ("=1+1", "s")  # a text, which Excel does not run
    assert sheet["D5"].value == "ab"


def test_a_word_file_has_every_cell():
    document = Document(io.BytesIO(made("docx")["tables.docx"]))
    assert document.paragraphs[0].text == "How?"
    assert [one.text for one in document.paragraphs].count("Slopes. (Origin: observed.)") == 3
    assert len(document.tables) == 3
    cells = [[cell.text for cell in row.cells] for row in document.tables[0].rows]
    assert cells == [list(COLUMNS), list(ROWS[0]), ["r2", "12", "–", "ab"]]


@pytest.mark.parametrize("ending", ["xlsx", "docx"])
def test_files_are_the_same_whenever_they_are_made(ending, monkeypatch):
    first = made(ending)
    later = time.localtime(2_000_000_000)
    monkeypatch.setattr("time.localtime", lambda *_: later)
    assert made(ending) == first
    with zipfile.ZipFile(io.BytesIO(first[f"tables.{ending}"])) as archive:
        core = archive.read("docProps/core.xml").decode()
        assert {one.date_time[0] for one in archive.infolist()} == {1980}
    assert core.count("2000-01-01T00:00:00Z") == 2
    assert "python-docx" not in core


def test_a_page_without_tables_has_a_workbook_all_the_same():
    held = export_files({}, ("xlsx",), "How?")["tables.xlsx"]
    assert openpyxl.load_workbook(io.BytesIO(bytes(held))).sheetnames == ["tables"]


@pytest.mark.parametrize(("ending", "package"), [("xlsx", "openpyxl"), ("docx", "python-docx")])
def test_a_library_that_is_missing_is_named(ending, package, monkeypatch):
    monkeypatch.setattr(exports, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=f"--tables {ending} needs the package {package}.*cbec-bayes\\[tables\\]"):
        require_formats((ending,))
