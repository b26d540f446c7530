from __future__ import annotations

import datetime as dt
import sys
import zipfile

import numpy as np
import openpyxl
import pandas as pd
import pytest

from cbec_bayes.panel import Roles, make_panel, read_frame, read_panel
from cbec_bayes.panel.delimited import TOLD
from cbec_bayes.runtime.errors import InputError
from tests.support.panels import GROUPED, table, with_cell


def write(frame: pd.DataFrame, path) -> None:
    match path.suffix:
        case ".csv":
            frame.to_csv(path, index=False)
        case ".parquet":
            frame.to_parquet(path, index=False)
        case ".xlsx":
            frame.to_excel(path, index=False)
        case ".dta":
            frame.to_stata(path, write_index=False, version=118)


def sheet(path, *rows, name="data"):
    book = openpyxl.Workbook()
    book.active.title = name
    for row in rows:
        book.active.append(row)
    book.save(path)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".xlsx", ".dta"])
def test_the_four_formats_give_equal_panels(tmp_path, suffix):
    frame = table().rename(columns={"unit": "省份"}).sample(frac=1, random_state=1)
    frame.loc[5, "z"] = np.nan
    roles = Roles(outcome="y", exposure="x", controls=("z",), unit="省份", time="time", group="group")
    write(frame, tmp_path / f"t{suffix}")
    read, made = read_panel(tmp_path / f"t{suffix}", roles), make_panel(frame, roles)
    pd.testing.assert_frame_equal(read.frame, made.frame)
    pd.testing.assert_frame_equal(read.ledger, made.ledger)
    assert read.notes == made.notes
    assert read.ledger["row"].tolist() == [frame.index.get_loc(5) + 2]


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".xlsx", ".dta"])
@pytest.mark.parametrize("codes", [[11, 11, 12, 12], [11.0, 11.0, 12.0, 12.0], ["11", "11", "12", "12"]])
def test_numeric_unit_codes_are_the_same_names_in_every_format(tmp_path, suffix, codes):
    frame = table(2, 2).assign(unit=codes)
    write(frame, tmp_path / f"t{suffix}")
    assert read_panel(
        tmp_path / f"t{suffix}", Roles(outcome="y", exposure="x", controls=(), unit="unit", time="time")
    ).units == ("11", "12")


@pytest.mark.parametrize("suffix", [".csv", ".xlsx", ".dta", ".parquet"])
def test_a_bad_cell_is_named_by_file_row_and_column(tmp_path, suffix):
    path = tmp_path / f"t{suffix}"
    write(with_cell(table(), 4, "x", "n/a").astype({"x": "str"}), path)
    with pytest.raises(InputError, match=r"row 4, column 'x': 'n/a' is not a number") as caught:
        read_panel(path, GROUPED)
    assert str(path) in str(caught.value)


def test_csv_rows_are_lines_of_the_file(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b'\xef\xbb\xbfunit,time,x\r\n"A\nB",2015,1\r\n\r\nC,2016,\r\n')
    frame = read_frame(path)
    assert frame.index.tolist() == [3, 5]  # where each row ends
    assert frame.index.name == "row"
    assert frame.columns.tolist() == ["unit", "time", "x"]
    assert frame["time"].dtype == np.int64
    assert frame["x"].isna().tolist() == [False, True]


def test_csv_columns_become_numbers_only_without_loss(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(
        "code,firm,whole,real,mixed,date,none\n007,91110000600037341,1,0.1,1,2015-01-01,\n010,2,-2,1e-3,n/a,2016-01-01,\n"
    )
    frame = read_frame(path)
    assert [frame[name].tolist() for name in ("code", "firm", "whole", "real", "mixed", "date")] == [
        ["007", "010"],
        ["91110000600037341", "2"],
        [1, -2],
        [0.1, 1e-3],
        ["1", "n/a"],
        ["2015-01-01", "2016-01-01"],
    ]
    assert frame["none"].isna().all()


@pytest.mark.parametrize("header", [",unit,x", '"","unit","x"', ";unit;x", "\tunit\tx"])
def test_numbers_of_rows_that_data_frames_write_are_left_out(tmp_path, header):
    sign = header.lstrip('"')[0]
    rows = [f"{k}{sign}{k // 2}{sign}{k}" for k in range(4)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join([header, *rows, ""]))
    frame = read_frame(path)
    assert frame.columns.tolist() == ["unit", "x"]
    assert frame["x"].tolist() == [0, 1, 2, 3]
    assert "the first column has no name and is left out" in frame.attrs[TOLD][0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "t.xls",
            b"x",
            r"unknown kind of file '.xls'; .csv, .tsv, .parquet, .xlsx, .dta, .csv.gz, .tsv.gz can be read",
        ),
        ("t", b"x", "unknown kind of file ''"),
        ("t.csv", b"", "the file is empty"),
        ("t.csv", b"a,b\n", "a header but no rows"),
        ("t.csv", b"a,b,a\n1,2,3\n", "row 1, column 'a': the column appears twice"),
        ("t.csv", b"b,,\n1,2,3\n", "row 1: the header has a column without a name"),
        ("t.csv", "省份,b\n1,2\n".encode("gbk"), "row 1: not UTF-8"),
        ("t.csv.gz", b"a,b\n1,2\n", "not readable as gzip"),
        ("t.gz", b"a,b\n1,2\n", "unknown kind of file '.gz'"),
        ("t.parquet", b"", "the file is empty"),
        ("t.parquet", b"nonsense", "not readable as Parquet"),
        ("t.xlsx", b"", "the file is empty"),
        ("t.xlsx", b"nonsense", "not readable as Excel"),
        ("t.dta", b"", "the file is empty"),
        ("t.dta", b"nonsense", "not readable as Stata"),
    ],
)
def test_an_unreadable_file_is_named(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_frame(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".xlsx", ".dta"])
def test_missing_files_folders_and_headers_alone(tmp_path, suffix):
    path = tmp_path / f"t{suffix}"
    with pytest.raises(InputError, match="no such file"):
        read_frame(path)
    write(table().head(0), path)
    with pytest.raises(InputError, match="a header but no rows"):
        read_frame(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match="this is a folder"):
        read_frame(path)


def test_excel_rows_sheets_and_errors(tmp_path):
    path = tmp_path / "t.XLSX"
    sheet(path, [None], ["unit", "time", " x "], ["A", 2015, 1], [None, " "], ["B", 2016, "#DIV/0!"])
    frame = read_frame(path, sheet="data")
    assert frame.index.tolist() == [3, 5]
    assert frame.columns.tolist() == ["unit", "time", "x"]
    assert frame["x"].tolist() == [1, "#DIV/0!"]  # an error is no missing value
    with pytest.raises(InputError, match="no sheet 'date'; did you mean 'data'"):
        read_frame(path, sheet="date")
    with pytest.raises(InputError, match=r"applies to \.xlsx files only"):
        read_frame(tmp_path / "t.csv", sheet="data")


def test_excel_files_that_misstate_their_size_are_read_whole(tmp_path):
    sheet(tmp_path / "t.xlsx", ["unit", "time", "x"], ["A", 2015, 1], ["B", 2016, 2])
    with zipfile.ZipFile(tmp_path / "t.xlsx") as good, zipfile.ZipFile(tmp_path / "u.xlsx", "w") as bad:
        for name in good.namelist():
            bad.writestr(name, good.read(name).replace(b'<dimension ref="A1:C3"', b'<dimension ref="A1:B2"'))
    pd.testing.assert_frame_equal(read_frame(tmp_path / "u.xlsx"), read_frame(tmp_path / "t.xlsx"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "the sheet is empty"),
        ([["a", None, "b"], [1, 2, 3]], "row 1: the header has a column without a name"),
        ([["a", "b"], [1, 2, 3]], "row 1: the header has a column without a name"),
        ([["a", "b", "a"], [1, 2, 3]], "row 1, column 'a': the column appears twice"),
    ],
)
def test_excel_headers_are_checked(tmp_path, rows, message):
    sheet(tmp_path / "t.xlsx", *rows)
    with pytest.raises(InputError, match=message):
        read_frame(tmp_path / "t.xlsx")


def test_parquet_keeps_what_pandas_put_in_the_index(tmp_path):
    table().set_index(["unit", "time"]).to_parquet(tmp_path / "t.parquet")
    assert read_panel(tmp_path / "t.parquet", GROUPED).n_obs == 12
    table().sample(frac=1, random_state=0).to_parquet(tmp_path / "u.parquet")
    assert read_frame(tmp_path / "u.parquet").columns.tolist() == table().columns.tolist()


def test_stata_labels_name_units_and_groups_and_leave_dummies_alone(tmp_path):
    frame = table()
    codes = frame.assign(unit=frame["unit"].map(ord), group=(frame["group"] == "east") * 1, x=frame.index % 5 % 2)
    codes.to_stata(
        tmp_path / "t.dta",
        write_index=False,
        value_labels={
            "unit": {65: "安徽", 66: "北京", 67: "重庆", 68: "福建"},
            "group": {0: "west", 1: "east"},
            "x": {0: "no", 1: "yes"},
        },
        version=118,
    )
    panel = read_panel(tmp_path / "t.dta", GROUPED)
    assert panel.units == ("安徽", "北京", "重庆", "福建")
    assert panel.groups == ("west", "east")
    assert set(panel.frame["x"]) == {0.0, 1.0}
    assert set(read_frame(tmp_path / "t.dta")["x"]) == {"no", "yes"}


def test_a_reader_that_is_not_installed_is_bad_input(tmp_path, monkeypatch):
    sheet(tmp_path / "t.xlsx", ["a"], [1])
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(InputError, match="reading Excel files needs the package openpyxl"):
        read_frame(tmp_path / "t.xlsx")


@pytest.mark.parametrize("suffix", [".xlsx", ".parquet", ".csv"])
def test_dates_of_every_format_are_years(tmp_path, suffix):
    frame = table()
    write(frame.assign(time=[dt.date(year, 12, 31) for year in frame["time"]]), tmp_path / f"t{suffix}")
    assert read_panel(tmp_path / f"t{suffix}", GROUPED).times == (2015, 2016, 2017)
