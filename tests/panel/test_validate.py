from __future__ import annotations

import decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbec_bayes.panel import Interpolation, Roles, make_panel
from cbec_bayes.panel.regions import Scheme
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import Origin
from tests.support.panels import GROUPED, ROLES, table, with_cell


@pytest.mark.parametrize(
    ("row", "column", "value", "message"),
    [
        (3, "unit", None, "row 3, column 'unit': the cell is blank"),
        (3, "unit", "  ", "row 3, column 'unit': the cell is blank"),
        (3, "time", np.nan, "row 3, column 'time': the cell is blank"),
        (3, "time", "2015Q2", "row 2, column 'time': '2015' is not a quarter, other periods are"),
        (3, "time", np.inf, "row 3, column 'time': the value is infinite"),
        (3, "time", "2016-01-01", "row 2, column 'time': '2015' is not a date, other periods are"),
        (3, "time", 2015, "row 3, column 'time': 'A' has the period 2015 twice, also in row 2"),
        (13, "time", "2015", "row 13, column 'time': 'D' has the period 2015 twice, also in row 11"),
        (3, "group", "(all)", r"row 3, column 'group': '\(all\)' cannot name a group"),
        (3, "group", "(average)", r"row 3, column 'group': '\(average\)' cannot name a group"),
        (3, "group", "(new)", r"row 3, column 'group': '\(new\)' cannot name a group"),
        (3, "group", "east", "row 3, column 'group': 1 unit changes its group: 'A' is in group 'east' in row 3 and"),
        (4, "y", "n/a", "row 4, column 'y': 'n/a' is not a number"),
        (4, "x", "1,234", "row 4, column 'x': '1,234' is not a number"),
        (4, "z", "3.5%", "row 4, column 'z': '3.5%' is not a number"),
        (4, "z", "1_000", "row 4, column 'z': '1_000' is not a number"),
        (4, "z", "１２", "row 4, column 'z': '１２' is not a number"),
        (4, "z", "a\nb", "row 4, column 'z': 'a b' is not a number"),
        (4, "z", pd.Timestamp("2015-01-01"), "row 4, column 'z': '2015-01-01 00:00:00' is not a number"),
        (4, "z", 1 + 1j, r"row 4, column 'z': '\(1\+1j\)' is not a number"),
        (4, "y", -np.inf, "row 4, column 'y': the value is infinite"),
        (4, "x", "inf", "row 4, column 'x': the value is infinite"),
        (4, "x", "1e999", "row 4, column 'x': the value is infinite"),
    ],
)
def test_a_bad_cell_is_named(row, column, value, message):
    with pytest.raises(InputError, match=message) as caught:
        make_panel(with_cell(table(), row, column, value), GROUPED, file="t.csv")
    assert caught.value.row is not None
    assert caught.value.column == column
    assert str(caught.value).startswith("t.csv, row")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        np.nan,
        pd.NA,
        "",
        "  ",
        "NaN",
        "NA",
        "na",
        ".",
        "NULL",
        "null",
        "<NA>",
        ".a",
        " NA ",
        decimal.Decimal("nan"),
    ],
)
def test_blank_cells_are_missing_and_their_rows_dropped_into_the_ledger(value):
    panel = make_panel(with_cell(table(), 6, "x", value), GROUPED)
    assert panel.n_obs == 11
    assert panel.ledger.drop(columns="value").to_dict("records") == [
        {
            "row": 6,
            "unit": "B",
            "time": 2016,
            "column": "x",
            "action": "dropped",
            "reason": "exposure 'x' is missing",
        }
    ]
    assert "1 row of the input dropped for missing values (see the ledger)" in panel.notes


def test_a_dropped_row_has_one_entry_that_names_all_it_lacks():
    frame = with_cell(with_cell(table(), 6, "z", None), 6, "y", None)
    assert make_panel(frame, ROLES).ledger["reason"].tolist() == ["outcome 'y' is missing; control 'z' is missing"]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1.5", " -2 ", "+.5", "1e2"], [1.5, -2, 0.5, 100]),
        ([True, False, False, False], [1, 0, 0, 0]),
        ([decimal.Decimal("1.5"), 2, np.True_, np.float32(0.5)], [1.5, 2, 1, 0.5]),
        (pd.array([1, 4, 2, 8], dtype="Int64"), [1, 4, 2, 8]),
        (pd.Categorical([1, 4, 2, 8]), [1, 4, 2, 8]),
    ],
)
def test_numbers_come_in_many_forms(cells, expected):
    frame = table(2, 2).assign(x=cells)
    assert (
        make_panel(frame, Roles(outcome="y", exposure="x", controls=(), unit="unit", time="time")).frame["x"].tolist()
        == expected
    )


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (["2015", "2016", "2015", "2016"], (2015, 2016)),
        ([2015.0, 2015.5, 2015.0, 2015.5], (2015.0, 2015.5)),
        (pd.to_datetime(["2015-12-31", "2016-12-31", "2015-12-31", "2016-06-30"]), (2015, 2016)),
        (["2015-01-01", "2016/1/1", "2015-01", "2016-01-01T00:00"], (2015, 2016)),
        (["2015年", "2016年", "2015年", "2016年"], (2015, 2016)),
        (pd.PeriodIndex(["2015", "2016", "2015", "2016"], freq="Y"), (2015, 2016)),
        ([-1, 1, -1, 1], (-1, 1)),
    ],
)
def test_periods_are_numbers_or_the_years_of_dates(times, expected):
    panel = make_panel(
        table(2, 2).assign(time=times), Roles(outcome="y", exposure="x", controls=(), unit="unit", time="time")
    )
    assert panel.times == expected
    assert {type(time) for time in panel.times} == {type(time) for time in expected}


def test_columns_are_found_or_suggested():
    with pytest.raises(InputError, match="column 'income': no such column; did you mean 'incomes'"):
        make_panel(
            table().rename(columns={"y": "incomes"}),
            Roles(outcome="income", exposure="x", controls=(), unit="unit", time="time"),
            file="t.csv",
        )
    with pytest.raises(InputError, match="column 'group': no such column"):
        make_panel(table().drop(columns="group"), GROUPED)
    twice = pd.concat([table(), table()[["x"]]], axis=1)
    with pytest.raises(InputError, match="column 'x': the column appears twice"):
        make_panel(twice, ROLES)
    with pytest.raises(InputError, match="the table has no rows"):
        make_panel(table().head(0), ROLES)


def test_row_numbers_of_the_source_survive_filtering():
    frame = with_cell(table(), 6, "x", "bad").set_axis(pd.RangeIndex(2, 14, name="row"))
    with pytest.raises(InputError, match="row 6"):
        make_panel(frame[frame["unit"] != "A"], ROLES)
    with pytest.raises(InputError, match="row 3"):
        make_panel(frame[frame["unit"] != "A"].rename_axis(index=None), ROLES)


def test_a_scheme_stands_in_for_a_group_column():
    scheme = Scheme("coast", {"A": "inland", "B": "inland", "C": "coast", "D": "coast", "E": "coast"})
    panel = make_panel(table(), ROLES, groups=scheme)
    assert (panel.roles.group, panel.groups) == ("coast", ("inland", "coast"))
    absent = make_panel(table().drop(columns="group"), GROUPED, groups=scheme)
    assert (absent.roles.group, absent.groups) == ("group", ("inland", "coast"))
    assert make_panel(table(), GROUPED, groups=scheme).groups == ("west", "east")
    with pytest.raises(InputError, match=r"row 2, column 'unit': 'A' is not in the scheme 's'; did you mean 'Aa'\?"):
        make_panel(table(), ROLES, groups=Scheme("s", {"Aa": "x"}))
    with pytest.raises(InputError, match=r"'\(new\)' cannot name a group"):
        make_panel(table(), ROLES, groups=Scheme("s", dict.fromkeys("ABCD", "(new)")))


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        (
            lambda f: f.assign(y=np.nan),
            r"row 2: no rows are left after dropping 12 rows .*; the first because outcome 'y'",
        ),
        (lambda f: f[f["unit"] == "A"], "there is one unit, 'A'; two are needed"),
        (lambda f: f[f["time"] == 2015], "there is one period, 2015; two are needed"),
        (
            lambda f: f.assign(y=f["y"].where(f["time"] == 2015)),
            "one period, 2015 after dropping 8 rows with missing cells",
        ),
        (lambda f: f.iloc[[0, 4, 8]], "every unit has only one row"),
    ],
)
def test_too_little_is_left(keep, message):
    with pytest.raises(InputError, match=message):
        make_panel(keep(table()), ROLES)


UNIT_EFFECT = pd.Series({"A": 0.1, "B": 1.7, "C": -2.0, "D": 5.5})
TIME_EFFECT = pd.Series({2015: 0.3, 2016: -1.1, 2017: 9.2})


def effects(frame, unit=1.0, time=1.0):
    return unit * frame["unit"].map(UNIT_EFFECT) + time * frame["time"].map(TIME_EFFECT)


@pytest.mark.parametrize("rows", [list(range(12)), [0, 1, 2, 4, 5, 6, 8, 9, 11]])
@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("x", lambda f: 0.1, "column 'x': 'x' is constant; its slope"),
        ("y", lambda f: 0.1, "column 'y': 'y' is constant; there is nothing to regress"),
        ("x", lambda f: effects(f, time=0), "'x' does not vary over time within any unit"),
        ("z", lambda f: effects(f, unit=0), "'z' is the same for all units in each period"),
        ("z", effects, "'z' is the sum of a unit and a period effect"),
        ("z", lambda f: 1e9 + 1e4 * effects(f), "'z' is the sum of a unit and a period effect"),
        ("z", lambda f: -3 * f["x"], "'z' is a multiple of 'x' once unit and time effects are removed"),
        ("z", lambda f: 1e6 * f["x"] + effects(f), "column 'z': 'z' is a multiple of 'x'"),
    ],
)
def test_what_has_no_slope_is_named(rows, column, value, message):
    frame = table().iloc[rows]
    with pytest.raises(InputError, match=message):
        make_panel(frame.assign(**{column: value(frame)}), ROLES)


def test_a_combination_names_its_columns_and_no_others():
    frame = table(6, 5)
    frame["w"] = np.random.default_rng(1).normal(size=30)
    roles = Roles(outcome="y", exposure="x", controls=("w", "z", "v"), unit="unit", time="time")
    with pytest.raises(InputError, match=r"column 'v': 'v' is a linear combination of 'x' and 'z' once unit and time"):
        make_panel(frame.assign(v=frame["x"] - 0.2 * frame["z"]), roles)
    with pytest.raises(InputError, match="'v' is a linear combination of 'x', 'w' and 'z' once"):
        make_panel(frame.assign(v=frame["x"] - 0.2 * frame["z"] + 1e3 * frame["w"]), roles)
    frame[["x", "z"]] = np.random.default_rng(3).normal(size=(30, 2))  # with all their digits
    nearly = frame["x"] - 0.2 * frame["z"] + 1e-6 * np.random.default_rng(2).normal(size=30)
    assert make_panel(frame.assign(v=nearly), roles).n_obs == 30


def test_more_regressors_than_rows_can_carry():
    wide = table(2, 2).assign(**{f"c{i}": np.random.default_rng(i).normal(size=4) for i in range(6)})
    with pytest.raises(InputError, match=r"is a multiple of '.*' once unit"):
        make_panel(
            wide, Roles(outcome="y", exposure="x", controls=tuple(f"c{i}" for i in range(6)), unit="unit", time="time")
        )
    with pytest.raises(InputError, match="'z' is a multiple of 'x'"):
        make_panel(table(2, 2), ROLES)


@given(
    cells=st.lists(st.booleans(), min_size=24, max_size=24).filter(lambda there: sum(there) > 12),
    a=st.floats(0.1, 10),
    b=st.floats(-10, -0.1),
    unit=st.floats(-1e5, 1e5),
    time=st.floats(-1e5, 1e5),
    scale=st.sampled_from([1e-6, 1.0, 1e8]),
    seed=st.integers(0, 9),
)
def test_exact_combinations_are_found_on_any_panel_and_noise_is_not(cells, a, b, unit, time, scale, seed):
    frame = table(6, 4, seed)
    rng = np.random.default_rng(seed + 100)
    base = a * frame["x"] + b * frame["z"] + unit * rng.normal(size=6)[pd.factorize(frame["unit"])[0]]
    frame["v"] = scale * (base + time * rng.normal(size=4)[frame["time"] - 2015])
    frame["w"] = frame["v"] + scale * rng.normal(size=24) * (1 + abs(unit) + abs(time))
    roles = Roles(outcome="y", exposure="x", controls=("z", "v"), unit="unit", time="time")
    there = frame[cells]
    try:
        make_panel(there, Roles(outcome="y", exposure="x", controls=("z",), unit="unit", time="time"))
    except InputError:
        return  # too few rows are left for x and z themselves
    with pytest.raises(InputError, match=r"'v' is (a linear combination of 'x' and 'z'|a multiple)"):
        make_panel(there, roles)
    _, pieces = np.unique(pd.concat([there["unit"], there["time"].astype(str)]), return_inverse=True)
    if len(there) - (pieces.max() + 1) > 3:
        make_panel(there.drop(columns="v").rename(columns={"w": "v"}), roles)


@given(order=st.permutations(range(12)), holes=st.sets(st.integers(0, 11), max_size=3), fill=st.booleans())
def test_the_order_of_rows_does_not_matter(order, holes, fill):
    frame = table().set_axis(pd.RangeIndex(2, 14, name="row"))
    frame.iloc[sorted(holes), frame.columns.get_loc("x")] = np.nan
    options = {"fill": Interpolation(("x",))} if fill else {}
    by = ["unit", "time"]
    one, two = make_panel(frame, GROUPED, **options), make_panel(frame.iloc[list(order)], GROUPED, **options)
    first, second = (panel.frame.sort_values(by, ignore_index=True) for panel in (one, two))
    pd.testing.assert_frame_equal(first, second)
    pd.testing.assert_frame_equal(one.ledger, two.ledger)
    assert two.units == tuple(dict.fromkeys(u for u in frame.iloc[list(order)]["unit"] if u in set(two.units)))
    for panel in (one, two):
        assert panel.frame.groupby("unit", sort=False)["time"].apply(lambda t: t.is_monotonic_increasing).all()


@given(holes=st.sets(st.tuples(st.integers(2, 31), st.sampled_from("xyz")), max_size=12), edges=st.booleans())
def test_every_row_is_kept_or_in_the_ledger_and_every_filled_cell_too(holes, edges):
    frame = table(6, 5)
    for row, column in holes:
        frame = with_cell(frame, row, column, None)
    panel = make_panel(frame, GROUPED, fill=Interpolation(("x", "z"), edges))
    dropped = panel.ledger[panel.ledger["action"] == "dropped"]
    filled = panel.ledger[panel.ledger["action"] == "filled"]
    assert panel.n_obs + len(dropped) == len(frame)
    assert dropped["row"].is_unique
    assert set(dropped["row"]) <= {row for row, _ in holes}
    kept = set(zip(panel.frame["unit"], panel.frame["time"], strict=True))
    assert not kept & set(zip(dropped["unit"], dropped["time"], strict=True))
    assert not panel.frame.isna().any(axis=None)
    marks = {
        (panel.frame["unit"][i], panel.frame["time"][i], name)
        for name in panel.filled.columns
        for i in np.flatnonzero(panel.filled[name])
    }
    assert marks == set(zip(filled["unit"], filled["time"], filled["column"], strict=True))
    for entry in filled.itertuples():
        cell = (panel.frame["unit"] == entry.unit) & (panel.frame["time"] == entry.time)
        assert panel.frame.loc[cell, entry.column].tolist() == [entry.value]


def test_filling_saves_rows_and_is_noted():
    panel = make_panel(with_cell(table(), 3, "x", None), ROLES, fill=Interpolation(("x",)))
    assert (panel.n_obs, panel.is_balanced) == (12, True)
    assert "1 cell filled by interpolation (see the ledger)" in panel.notes
    with pytest.raises(InputError, match="column 'group': cells can be filled only in the columns y, x, z"):
        make_panel(table(), GROUPED, fill=Interpolation(("group",)))


def test_a_filled_cell_of_a_dropped_row_leaves_no_trace():
    frame = with_cell(with_cell(table(), 3, "x", None), 3, "y", None)
    panel = make_panel(frame, ROLES, fill=Interpolation(("x",)))
    assert panel.ledger["action"].tolist() == ["dropped"]
    assert not panel.filled.any(axis=None)


def test_origins_are_per_column_and_the_least_observed_leads():
    assert make_panel(table(), ROLES).origin is Origin.OBSERVED
    panel = make_panel(
        table(), ROLES, origins={"z": Origin.PRINTED, "x": Origin.RECONSTRUCTED, "group": Origin.SIMULATED}
    )
    assert panel.origins == {"y": Origin.OBSERVED, "x": Origin.RECONSTRUCTED, "z": Origin.PRINTED}
    assert panel.origin is Origin.RECONSTRUCTED
    with pytest.raises(InputError, match="column 'Z': an origin is given for a column that does not exist"):
        make_panel(table(), ROLES, origins={"Z": Origin.PRINTED})


def test_the_input_is_not_changed():
    frame = with_cell(table(), 3, "x", None)
    before = frame.copy()
    make_panel(frame, ROLES, fill=Interpolation(("x",)))
    pd.testing.assert_frame_equal(frame, before)
