"""Groups that are blank, and units that change theirs."""

from __future__ import annotations

import pytest

from cbec_bayes.panel import Reading, make_panel, read_panel
from cbec_bayes.runtime.errors import InputError
from tests.support.panels import GROUPED, table, with_cell


@pytest.mark.parametrize("blank", [None, "", "  ", ".", "NaN", "NULL"])
def test_a_row_without_a_group_is_left_out_into_the_ledger(blank):
    panel = make_panel(with_cell(table(), 6, "group", blank), GROUPED)
    assert (panel.n_obs, panel.groups) == (11, ("west", "east"))
    assert panel.ledger[["row", "unit", "column", "reason"]].to_numpy().tolist() == [
        [6, "B", "group", "group 'group' is missing"]
    ]
    assert any("1 row of the input dropped" in note for note in panel.notes)


def test_na_is_a_name_of_a_group_unless_it_is_said_to_be_none():
    frame = table().replace({"group": {"west": "NA"}})
    panel = make_panel(frame, GROUPED)
    assert panel.groups == ("NA", "east")
    assert sum("'NA' is taken as a name in 'group'" in note for note in panel.notes) == 1
    assert make_panel(frame, GROUPED, reading=Reading(missing=("NA",))).groups == ("east",)


def test_units_that_change_their_group_are_counted_and_two_are_named():
    frame = table(6, 3)
    for row in (4, 7, 12):
        frame = with_cell(frame, row, "group", "north")
    said = (
        r"row 4, column 'group': 3 units change their group: 'A' is in group 'north' in row 4 and in group "
        r"'west' in row 2; 'B' is in group 'north' in row 7 and in group 'west' in row 5; and 1 more; "
        r"--group-at first takes"
    )
    with pytest.raises(InputError, match=said):
        make_panel(frame, GROUPED)
    first, last = (make_panel(frame, GROUPED, reading=Reading(group_at=at)) for at in ("first", "last"))
    assert first.groups == ("west", "east")
    assert last.frame.groupby("unit", sort=False)["group"].first().tolist() == [
        *("north", "north", "west", "east", "east", "east")
    ]
    assert last.frame.groupby("unit")["group"].nunique().max() == 1
    for panel, at in ((first, "first"), (last, "last")):
        assert (
            sum(f"3 units in several groups, taken to be in the {at} one: 'A', 'B', 'D'" in n for n in panel.notes) == 1
        )


def test_the_first_group_is_that_of_the_first_period_that_has_one_in_whatever_order_rows_come():
    frame = with_cell(with_cell(table(), 2, "group", None), 4, "group", "north")
    panel = make_panel(frame.iloc[::-1], GROUPED, reading=Reading(group_at="first"))
    assert panel.n_obs == 12
    assert set(panel.frame.loc[panel.frame["unit"] == "A", "group"]) == {"west"}


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".xlsx", ".dta"])
@pytest.mark.parametrize(("code", "cell"), [("-9", -9), ("-9", -9.0), ("-9.0", -9), ("-99", -99), ("none", "none")])
def test_codes_of_missing_cells(tmp_path, suffix, code, cell):
    frame = with_cell(table(), 6, "x", cell)
    frame["x"] = frame["x"].astype("str" if isinstance(cell, str) else float)
    path = tmp_path / f"t{suffix}"
    writes = {".csv": "to_csv", ".parquet": "to_parquet", ".xlsx": "to_excel", ".dta": "to_stata"}
    getattr(frame, writes[suffix])(path, **{"write_index" if suffix == ".dta" else "index": False})
    panel = read_panel(path, GROUPED, reading=Reading(missing=("999", code)))
    assert panel.ledger["row"].tolist() == [6]
    assert f"cells that are 999 or {code} are missing (--missing): 1 of 'x'" in panel.notes


def test_a_code_that_no_cell_has_is_said():
    notes = make_panel(table(), GROUPED, reading=Reading(missing=("-9",))).notes
    assert "cells that are -9 are missing (--missing): there are none" in notes


@pytest.mark.parametrize(
    ("given", "message"),
    [({"group_at": "mean"}, "--group-at: unknown choice 'mean'; .*there are first, last"),
     ({"frequency": "quarterly"}, "--frequency: unknown choice 'quarterly'; did you mean 'quarter'"),
     ({"collinearity": "no"}, "--collinearity"), ({"encoding": "utf8x"}, "--encoding: unknown encoding 'utf8x'")],
)  # fmt: skip
def test_a_reading_has_choices(given, message):
    with pytest.raises(InputError, match=message):
        Reading(**given)


def test_a_reading_goes_through_json():
    reading = Reading(missing=("-9",), frequency="month")
    assert reading.as_dict() == {"missing": ["-9"], "frequency": "month"}
    assert Reading.from_dict(reading.as_dict()) == reading
    assert Reading().as_dict() == {}
    for wrong in ({"x": "y"}, {"missing": "-9"}, {"frequency": 1}):
        with pytest.raises(InputError):
            Reading.from_dict(wrong)
