from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.panel import Roles, make_panel
from cbec_bayes.panel.design import make_design
from cbec_bayes.runtime.errors import InputError
from tests.support.panels import GROUPED, ROLES, table, with_cell


def test_roles_are_one_each():
    roles = Roles(outcome="y", exposure="x", controls=["a", "b"], unit="u", time="t", group="g")
    assert roles.regressors == ("x", "a", "b")
    assert roles.columns == ("u", "t", "g", "y", "x", "a", "b")
    assert hash(roles) == hash(Roles(outcome="y", exposure="x", controls=("a", "b"), unit="u", time="t", group="g"))
    with pytest.raises(InputError, match="column 'x': the column is given as exposure and as control"):
        Roles(outcome="y", exposure="x", controls=("x",), unit="u", time="t")
    with pytest.raises(InputError, match="column 'y': the column is given as unit and as outcome"):
        Roles(outcome="y", exposure="x", controls=(), unit="y", time="t")
    with pytest.raises(InputError, match="the time column has no name"):
        Roles(outcome="y", exposure="x", controls=(), unit="u", time="")


def test_the_frame_and_its_codes():
    frame = table().iloc[::-1].assign(other=1)  # units D, C, B, A
    panel = make_panel(frame.astype({"time": float}), GROUPED)
    assert panel.frame.columns.tolist() == ["unit", "time", "group", "y", "x", "z"]
    assert [str(panel.frame[name].dtype) for name in ("unit", "time", "group", "y")] == [
        "str",
        "int64",
        "str",
        "float64",
    ]
    assert panel.frame.index.equals(pd.RangeIndex(12))
    assert (panel.units, panel.times, panel.groups) == (("D", "C", "B", "A"), (2015, 2016, 2017), ("east", "west"))
    assert panel.unit_codes.tolist() == np.repeat(range(4), 3).tolist()
    assert panel.time_codes.tolist() == [0, 1, 2] * 4
    assert panel.group_codes.tolist() == [0] * 6 + [1] * 6
    assert panel.frame["y"].tolist()[:3] == table()["y"].tolist()[9:]
    assert panel.is_balanced
    assert not panel.filled.any(axis=None)
    ungrouped = make_panel(frame, ROLES)
    assert ungrouped.groups == ()
    assert ungrouped.group_codes.tolist() == [0] * 12


def test_subsets_keep_the_ledger_and_speak_for_themselves():
    panel = make_panel(with_cell(table(), 2, "x", None), GROUPED)
    east = panel.of_group("east")
    assert (east.units, east.groups, east.n_obs, east.is_balanced) == (("C", "D"), ("east",), 6, True)
    assert "balanced: 2 units in each of 3 periods" in east.notes
    assert "clustered standard errors from 2 clusters are unreliable" in east.notes
    late = panel.between(2016, 2017)
    assert (late.times, late.n_obs, late.is_balanced) == ((2016, 2017), 8, True)
    for subset in (east, late):
        pd.testing.assert_frame_equal(subset.ledger, panel.ledger)
        assert subset.frame.index.equals(pd.RangeIndex(subset.n_obs))
        assert len(subset.filled) == subset.n_obs
    with pytest.raises(InputError, match="unknown group 'eats'; did you mean 'east'"):
        panel.of_group("eats")
    with pytest.raises(InputError, match="the panel has no groups"):
        make_panel(table(), ROLES).of_group("east")
    with pytest.raises(InputError, match="no rows from 2020 to 2030; the panel has 2015 to 2017"):
        panel.between(2020, 2030)


def test_notes_on_shape():
    assert make_panel(table(10), ROLES).notes == ("balanced: 10 units in each of 3 periods",)
    frame = table(12, 4)
    # A and B are seen once, C lacks 2016, D lacks 2016 and 2017, E ends early, which is no gap.
    frame = frame.drop([1, 2, 3, 4, 5, 6, 9, 13, 14, 19])
    assert make_panel(frame, ROLES).notes == (
        "unbalanced: 38 of 48 combinations of unit and period have a row",
        "2 units with only one row (A, B); such rows say nothing about slopes",
        "2 units with missing periods between their first and last, 3 periods in all: C 2016, D 2016/2017",
    )


def test_a_period_that_no_unit_has_is_no_gap():
    assert make_panel(table(10)[lambda f: f["time"] != 2016], ROLES).is_balanced


def test_long_lists_are_cut():
    frame = table(20, 3)
    frame = frame[(frame["unit"] > "G") | (frame["time"] == 2015)]
    assert (
        "7 units with only one row (A, B, C, D, E and 2 more); such rows say nothing about slopes"
        in make_panel(frame, ROLES).notes
    )


def test_notes_on_clusters_and_groups():
    frame = table(12, 4).assign(
        group=lambda f: np.where(f["unit"] == "A", "one", np.where(f["unit"] < "D", "two", "more"))
    )
    notes = make_panel(frame, GROUPED).notes
    assert notes[1:] == (
        (
            "clustered standard errors of single groups are unreliable because the groups have few units: 2 in "
            "'two', 9 in 'more'"
        ),
        "1 group with only one unit (one), so that its own regression has no slope",
    )
    assert "in group" not in " ".join(make_panel(frame, GROUPED).of_group("one").notes)
    assert "clustered standard errors from 4 clusters are unreliable" in make_panel(table(), ROLES).notes


def test_notes_on_slopes_that_a_group_cannot_estimate():
    frame = table(6, 4)
    west = frame["group"] == "west"
    flat = frame.assign(x=frame["x"].where(~west, frame["time"] - 2000.0))
    assert (
        "in group 'west', 'x' is the same for all units in each period: its slope cannot be estimated from "
        "that group alone"
    ) in make_panel(flat, GROUPED).notes
    same = frame.assign(z=frame["z"].where(~west, 2 * frame["x"] + frame["time"]))
    panel = make_panel(same, GROUPED)
    told = "'z' is a multiple of 'x' once unit and time effects are removed"
    assert f"in group 'west', {told}: its slope cannot be estimated from that group alone" in panel.notes
    assert f"{told}: its slope cannot be estimated" in panel.of_group("west").notes
    assert not any("slope" in note for note in panel.of_group("east").notes)


def test_the_text_of_a_panel_is_plain():
    assert str(make_panel(table(), GROUPED)).splitlines() == [
        "12 observations: 4 units (unit), 3 periods (time, 2015 to 2017)",
        "groups (group): west, east",
        "outcome y; exposure x; controls z",
        "origin: observed",
        "- balanced: 4 units in each of 3 periods",
        "- clustered standard errors from 4 clusters are unreliable",
        (
            "- clustered standard errors of single groups are unreliable because the groups have few units: 2 in "
            "'west', 2 in 'east'"
        ),
    ]


def test_no_controls_are_needed():
    roles = Roles(outcome="y", exposure="x", unit="unit", time="time")
    assert roles.regressors == ("x",)
    assert make_design(make_panel(table(), roles)).terms == ("x",)


def test_a_panel_and_its_design_are_printed_in_a_few_lines():
    panel = make_panel(table(), GROUPED)
    assert repr(panel) == str(panel)
    assert repr(make_design(panel)).splitlines() == [
        "Design of 12 rows, 4 units, 3 periods (2015 to 2017), 2 groups (west, east)",
        "outcome y; exposure x; controls z; effects unit+time; origin: observed",
    ]
    quarters = table().assign(time=[f"2014Q{t + 1}" for t in range(3)] * 4)
    assert "3 periods (2014Q1 to 2014Q3)" in repr(make_design(make_panel(quarters, ROLES)))


@pytest.mark.parametrize("names", [("unit", "time"), (None, None)])
def test_unit_and_time_may_be_an_index(names):
    frame = with_cell(table(), 3, "x", None)
    indexed = frame.set_index(["unit", "time"]).rename_axis(index=names)
    found, same = make_panel(indexed, GROUPED), make_panel(frame, GROUPED)
    pd.testing.assert_frame_equal(found.frame, same.frame)
    pd.testing.assert_frame_equal(found.ledger, same.ledger)


def test_an_index_of_other_names_is_no_unit_and_time():
    with pytest.raises(InputError, match="column 'unit': no such column"):
        make_panel(table().rename(columns={"unit": "u"}).set_index(["u", "time"]), ROLES)
    both = table().set_index(["unit", "time"], drop=False)
    pd.testing.assert_frame_equal(make_panel(both, ROLES).frame, make_panel(table(), ROLES).frame)


def test_an_outcome_that_is_no_measurement_has_one_note():
    frame = table()

    def noted(y: np.ndarray) -> list[str]:
        return [note for note in make_panel(frame.assign(y=y), ROLES).notes if note.startswith("'y'")]

    assert noted((frame["y"] > 0) * 1) == [
        "'y' is 0 or 1: slopes are those of a linear probability model, which may predict below 0 and above 1"
    ]
    counts = np.random.default_rng(1).poisson(3, 12)
    assert noted(counts) == ["'y' has small whole numbers, like counts: consider its logarithm or a Poisson regression"]
    for other in (counts + 10, counts - 5, counts + 0.5, frame["y"]):
        assert noted(other) == []
