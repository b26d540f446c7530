"""Names of units and groups stay text, in one form, and those that look alike are listed."""

from __future__ import annotations

import unicodedata

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.panel import Roles, make_panel, read_panel
from cbec_bayes.panel.alike import look_alike, stored_as_numbers
from cbec_bayes.panel.names import as_written, name_of, tidy
from cbec_bayes.panel.regions import load_scheme
from cbec_bayes.runtime.errors import InputError
from tests.support.panels import GROUPED, table

NFC, NFD = (unicodedata.normalize(form, "Québec") for form in ("NFC", "NFD"))


def read(tmp_path, frame, roles=GROUPED):
    frame.to_csv(tmp_path / "t.csv", index=False)
    return read_panel(tmp_path / "t.csv", roles)


@pytest.mark.parametrize(
    "codes",
    [
        ["1.1", "1.10", "1.2", "1.20"],
        ["1E1", "10", "1e1", "1.0E1"],
        ["7", "07", "007", "+7"],
        ["1.0", "1.00", "1", "1."],
        ["0x1", "1", "1_0", "10"],
        ["1-2", "1/2", "true", "1,2"],
        ["1.0", "2.0", "2.00", "3.5"],
    ],
)
def test_codes_that_are_one_number_are_two_names(tmp_path, codes):
    frame = table(8, 3)
    name = dict(zip("ABCDEFGH", [code for code in codes for _ in range(2)], strict=True))
    panel = read(tmp_path, frame.assign(group=frame["unit"].map(name)))
    assert panel.groups == tuple(codes)
    assert read(tmp_path, table(4, 3).assign(unit=[code for code in codes for _ in range(3)])).units == tuple(codes)


def test_only_codes_that_all_have_a_point_and_zeros_are_whole_again():
    assert as_written(["11.0", "", "12.0"]) == ["11", None, "12"]
    assert as_written(["1.0", "1.10"]) == ["1.0", "1.10"]
    assert as_written(["11.0", "x"]) == ["11.0", "x"]


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        (11.0, "11"),
        (np.float32(1.1), "1.1"),
        (1.25, "1.25"),
        (7, "7"),
        (" a ", "a"),
        (NFD, NFC),
        ("New\u00a0York", "New York"),
        ("\u3000北京", "北京"),
        (True, "True"),
    ],
)
def test_cells_as_names(cell, name):
    assert name_of(cell) == name


def test_one_name_in_two_unicode_forms_is_one_label_everywhere(tmp_path):
    frame = table(4, 3)
    frame["unit"] = [(NFC, NFD)[k % 2] if unit == "A" else unit for k, unit in enumerate(frame["unit"])]
    frame["group"] = [(NFD, NFC)[k % 2] if group == "west" else group for k, group in enumerate(frame["group"])]
    panel = read(tmp_path, frame.rename(columns={"x": NFD}), Roles(
        outcome="y", exposure=NFC, controls=("z",), unit="unit", time="time", group="group"
    ))  # fmt: skip
    assert panel.units == (NFC, "B", "C", "D")
    assert panel.groups == (NFC, "east")
    assert panel.roles.exposure == NFC
    made = make_panel(frame.rename(columns={"z": NFD}), Roles(outcome="y", exposure="x", controls=(NFD,), unit="unit",
                                                              time="time"))  # fmt: skip
    assert made.roles.controls == (NFC,)
    (tmp_path / "s.csv").write_text(f"unit,group\n{NFD},x\nB,x\nC,z\nD,z\n", encoding="utf-8")
    assert load_scheme(tmp_path / "s.csv").group_of[NFC] == "x"


@pytest.mark.parametrize(
    ("one", "other"),
    [("East", "east"), ("New York", "NewYork"), ("Quebec", NFC), ("1", "01"), ("u1", "u01"), ("3", "3.0"),
     ("a b", "a  b"), ("ﬁrm", "firm"), ("Ａ", "A"), ("a_b", "a b")],
)  # fmt: skip
def test_names_that_look_alike_are_listed(one, other):
    (note,) = look_alike([one, "else", other], "groups")
    assert f"'{one}' and '{other}'" in note


@pytest.mark.parametrize(
    ("one", "other"), [("1.1", "1.10"), ("a1", "a10"), ("北", "南"), ("が", "か"), ("1.01", "1.1")]
)
def test_names_that_differ_otherwise_are_not(one, other):
    assert look_alike([one, other], "groups") == []


def test_a_panel_says_which_of_its_names_look_alike_and_its_parts_do_too(tmp_path):
    frame = table(4, 3)
    panel = read(tmp_path, frame.assign(unit=frame["unit"].map({"A": "1", "B": "01", "C": "2", "D": "002"})))
    (note,) = [note for note in panel.notes if "differ only" in note]
    assert note.startswith("2 sets of names of units, taken as different,")
    assert "'1' and '01', '2' and '002'" in note
    assert not [note for note in panel.of_group("west").notes if "'2'" in note]


def test_codes_that_a_number_cannot_tell_apart_are_said():
    assert stored_as_numbers(pd.Series([1.0, 2.0]), "g") == []
    assert "1.1 and 1.10 are one" in stored_as_numbers(pd.Series([1.1, 2.0]), "g")[0]
    assert "beyond 16777216" in stored_as_numbers(pd.Series([20_000_001.0], dtype="float32"), "g")[0]
    assert stored_as_numbers(pd.Series([20_000_001.0]), "g") == []
    assert "beyond 9007199254740992" in stored_as_numbers(pd.Series([1e17]), "g")[0]
    assert stored_as_numbers(pd.Series([10**17]), "g") == []
    frame = table().assign(group=[1.1] * 6 + [1.2] * 6)
    panel = make_panel(frame, GROUPED)
    assert panel.groups == ("1.1", "1.2")
    assert sum("1.1 and 1.10" in note for note in panel.between(2015, 2016).notes) == 1


def test_signs_that_cannot_be_printed_are_refused_still():
    with pytest.raises(InputError, match="invisible sign"):
        make_panel(table().assign(unit=["A\u200b"] * 3 + ["B"] * 3 + ["C"] * 3 + ["D"] * 3), GROUPED)


def test_tidy_leaves_plain_names_alone():
    assert tidy("a/b, (c)") == "a/b, (c)"
