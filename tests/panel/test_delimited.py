"""Text files as spreadsheets and other programs write them: separators, decimal signs, encodings, words for numbers."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.panel import Reading, Roles, make_panel, read_frame, read_panel
from cbec_bayes.runtime.errors import InputError
from tests.support.panels import GROUPED, table, with_cell

EXPECTED = make_panel(table(), GROUPED)


def same(panel):
    pd.testing.assert_frame_equal(panel.frame, EXPECTED.frame)
    return panel


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.CSV"])
def test_separators_and_decimal_signs(tmp_path, separator, decimal, name):
    text = table().to_csv(index=False, sep=separator, decimal=decimal)
    packed = gzip.compress(text.encode()) if name.endswith("gz") else text.encode()
    (tmp_path / name).write_bytes(packed)
    reading = Reading(decimal="," if decimal == "," and separator == "," else None)
    notes = " ".join(same(read_panel(tmp_path / name, GROUPED, reading=reading)).notes)
    assert ("decimals are set off by commas" in notes) == (decimal == ",")
    assert ("separated by" in notes) == (separator in ";|")


def test_a_tsv_is_separated_by_tabs(tmp_path):
    (tmp_path / "t.tsv").write_text(table().assign(group="a,b;c").to_csv(index=False, sep="\t"))
    assert read_panel(tmp_path / "t.tsv", GROUPED).groups == ("a,b;c",)
    (tmp_path / "t.tsv.gz").write_bytes(gzip.compress(table().to_csv(index=False, sep="\t").encode()))
    same(read_panel(tmp_path / "t.tsv.gz", GROUPED))


def test_signs_within_quotes_separate_nothing(tmp_path):
    frame = table().assign(group=[f"a;b;{k % 2}" for k in range(12)]).rename(columns={"x": "x, in %; log"})
    frame["group"] = frame["unit"].map(lambda unit: f"{unit < 'C'};of;it")
    roles = Roles(outcome="y", exposure="x, in %; log", controls=("z",), unit="unit", time="time", group="group")
    for separator in ",;":
        frame.to_csv(tmp_path / "t.csv", index=False, sep=separator)
        assert read_panel(tmp_path / "t.csv", roles).groups == ("True;of;it", "False;of;it")


def test_codes_keep_their_decimal_commas(tmp_path):
    frame = table().assign(group=["1,1"] * 6 + ["1,10"] * 6)
    frame.to_csv(tmp_path / "t.csv", index=False, sep=";", decimal=",")
    assert read_panel(tmp_path / "t.csv", GROUPED).groups == ("1,1", "1,10")


@pytest.mark.parametrize(
    ("cells", "reading", "message"),
    [
        (["1,234", "2,345"], Reading(), "row 2, column 'x': '1,234' may have decimals or thousands: --decimal"),
        (["1,23", "2.5"], Reading(), "row 4, column 'x': '2.5' has a point, and decimals are set off by commas"),
        (["1.234,5", "2,5"], Reading(), "row 2, column 'x': '1.234,5' is not a number"),
        (["1,234", "2,345"], Reading(decimal="."), "row 2, column 'x': '1,234' is not a number"),
        (["1.5", "2.5"], Reading(decimal=","), "row 2, column 'x': '1.5' has a point"),
    ],
)
def test_what_a_sign_in_a_number_means_is_never_guessed(tmp_path, cells, reading, message):
    frame = table().assign(x=[cells[(k * k) // 3 % 2] for k in range(12)], y=[k**3 % 7 for k in range(12)])
    frame["z"] = [k**3 % 5 for k in range(12)]
    frame.to_csv(tmp_path / "t.csv", index=False, sep=";")
    with pytest.raises(InputError, match=message):
        read_panel(tmp_path / "t.csv", GROUPED, reading=reading)
    if cells[0] == "1,234" and reading.decimal is None:
        assert read_panel(tmp_path / "t.csv", GROUPED, reading=Reading(decimal=",")).frame["x"][0] == 1.234


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "cp1252"])
def test_encodings(tmp_path, encoding):
    frame = table().replace({"unit": {"A": "Orléans"}})
    frame.to_csv(tmp_path / "t.csv", index=False, encoding=encoding)
    assert read_panel(tmp_path / "t.csv", GROUPED, reading=Reading(encoding=encoding)).units[0] == "Orléans"
    with pytest.raises(InputError, match="not UTF-8 text; save the file as UTF-8, or name its encoding: --encoding"):
        read_frame(tmp_path / "t.csv")
    frame.to_csv(tmp_path / "t.csv", index=False, encoding="utf-8-sig")
    assert read_panel(tmp_path / "t.csv", GROUPED).units[0] == "Orléans"
    frame.to_excel(tmp_path / "t.xlsx", index=False)
    with pytest.raises(InputError, match="--encoding applies to text files only"):
        read_panel(tmp_path / "t.xlsx", GROUPED, reading=Reading(encoding=encoding))


@pytest.mark.parametrize(
    ("yes", "no"), [("True", "False"), ("TRUE", "FALSE"), ("yes", "no"), ("Yes", "No"), (True, False)]
)
def test_words_for_one_and_zero(tmp_path, yes, no):
    truth = np.random.default_rng(0).random(12) < 0.5
    with_cell(table().assign(z=np.where(truth, yes, no)), 5, "z", "NA").to_csv(tmp_path / "t.csv", index=False)
    panel = read_panel(tmp_path / "t.csv", GROUPED)
    assert panel.frame["z"].tolist() == np.delete(truth, 3).astype(float).tolist()
    assert any(f"'z' has {str(yes).lower()} and {str(no).lower()}, taken as 1 and 0" in note for note in panel.notes)


@pytest.mark.parametrize("cells", [["yes", "false"], ["yes", "1"], ["y", "n"], ["yes", "maybe"]])
def test_other_words_are_no_numbers(cells):
    with pytest.raises(InputError, match="is not a number"):
        make_panel(table().assign(z=[cells[k % 2] for k in range(12)]), GROUPED)


def test_a_damaged_or_endless_gzip_is_refused(tmp_path, monkeypatch):
    whole = gzip.compress(table().to_csv(index=False).encode())
    (tmp_path / "t.csv.gz").write_bytes(whole[:-20])
    with pytest.raises(InputError, match="not readable as gzip"):
        read_frame(tmp_path / "t.csv.gz")
    monkeypatch.setattr("cbec_bayes.panel.readers.LARGEST", 100)
    (tmp_path / "t.csv.gz").write_bytes(whole)
    with pytest.raises(InputError, match="would unpack to more than"):
        read_frame(tmp_path / "t.csv.gz")
