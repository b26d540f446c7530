"""Conditions on rows are those of Python's own operators on the cells, and nothing of them is run."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.panel import Reading, make_panel, read_panel
from cbec_bayes.panel.where import rows_where
from cbec_bayes.runtime.errors import InputError
from tests.support.panels import GROUPED, table

FRAME = pd.DataFrame(
    {
        "year": [1999, 2000, 2001, 2002, 2003],
        "sector": ["3", "03", "4", "", None],
        "x": [1.0, -2.0, np.nan, 4.0, 5.5],
        "a name": [True, False, True, False, True],
        "省份": ["北京", "上海", "北京", "天津", "天津"],
        "q": ["2014Q1", "2014Q2", "2014Q3", "2014Q4", "2015Q1"],
        "text": ["9", "10", "11", ".", "NA"],
    }
)


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("year >= 2001", [2, 3, 4]),
        ("2000 <= year < 2002", [1, 2]),
        ("year == 2000 or year == 2003", [1, 4]),
        ("not year == 2000", [0, 2, 3, 4]),
        ("year in (1999, 2003)", [0, 4]),
        ("year not in [1999, 2003]", [1, 2, 3]),
        ("x > 0 and year > 1999", [3, 4]),
        ("x != 4", [0, 1, 4]),
        ("not x == 4", [0, 1, 2, 4]),
        ("x not in (4,)", [0, 1, 4]),
        ("x == x", [0, 1, 3, 4]),
        ("x * 2 + 1 == 9", [3]),
        ("year % 2 == 0", [1, 3]),
        ("(year - 1999) / 2 >= 1.5", [3, 4]),
        ("x > -3", [0, 1, 3, 4]),
        ("1 / (year - 2000) > 0", [1, 2, 3, 4]),
        ("sector == 3", [0]),
        ("sector == '03'", [1]),
        ("sector == 3.0", [0]),
        ("sector >= 3", [0, 1, 2]),
        ("sector != 3", [1, 2]),
        ("省份 == '北京'", [0, 2]),
        ('省份 in ("北京", "上海")', [0, 1, 2]),
        ("`a name` == True", [0, 2, 4]),
        ("`a name` == 1 and `省份` != '天津'", [0, 2]),
        ("q >= '2014Q3' and q <= '2014Q4'", [2, 3]),
        ("text > 9.5", [1, 2]),
        ("text > '9.5'", [1, 2]),
        (" year == 1999 ", [0]),
        ("True == True", [0, 1, 2, 3, 4]),
    ],
)
def test_rows_that_meet_a_condition(condition, rows):
    assert np.flatnonzero(rows_where(FRAME, condition)).tolist() == rows


def test_numbers_compare_as_they_do_in_pandas():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(rng.integers(-3, 4, size=(200, 3)).astype(float), columns=["a", "b", "c"])
    frame["a"] = frame["a"].where(rng.random(200) > 0.1)
    for condition in ("a > b", "a + b * c <= 2", "a - b == c or b < 0", "not (a >= b and c != 1)", "-1 < a <= b"):
        np.testing.assert_array_equal(rows_where(frame, condition), _by_hand(frame, condition))


def _by_hand(frame, condition):
    return [bool(eval(condition, {"__builtins__": {}}, row)) for row in frame.to_dict("records")]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("yaer > 2000", "column 'yaer': --where: no such column; did you mean 'year'"),
        ("year", "'year' cannot stand in a condition"),
        ("year >", "is not a condition; write"),
        ("year = 2000", "is not a condition; write"),
        ("", "is not a condition; write"),
        ("q > 2014", "'2014Q1', which is not a number"),
        ("q + 1 > 2", "'2014Q1', which is not a number"),
        ("__import__('os').system('true')", "cannot stand in a condition"),
        ("year.__class__ == 1", "'year.__class__' cannot stand in a condition"),
        ("year[0] == 1", "'year\\[0\\]' cannot stand"),
        ("(lambda: 1)() == 1", "cannot stand"),
        ("year in x", "'x' cannot stand"),
        ("year is 2000", "'year is 2000' cannot stand"),
        ("[y for y in (1,)] == 1", "cannot stand"),
        ("year ** 9 ** 9 > 1", "cannot stand"),
        ("year == 1j", "cannot stand"),
        ("year == None", "cannot stand"),
        ("f'{year}' == '2000'", "cannot stand"),
        ("(y := 3) == 3", "cannot stand"),
        ("(" * 900 + "year" + ")" * 900 + " == 1", "is not a condition"),
        ("year == 1 or " * 400 + "year == 2", "more than 2000 signs"),
    ],
)
@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_what_is_no_condition_is_refused(condition, message):
    with pytest.raises(InputError, match=message) as caught:
        rows_where(FRAME, condition)
    assert "\n" not in str(caught.value)


def test_a_panel_says_how_many_rows_meet_it_and_keeps_their_numbers(tmp_path):
    frame = table(6, 5).assign(sector=[3, 4] * 15)
    frame.loc[0, "x"] = np.nan  # in row 2, where the condition holds
    panel = read_panel_of(tmp_path, frame, "time >= 2016 and sector == 3 or unit == 'A'")
    expected = make_panel(frame[(frame["time"] >= 2016) & (frame["sector"] == 3) | (frame["unit"] == "A")], GROUPED)
    pd.testing.assert_frame_equal(panel.frame, expected.frame)
    assert panel.ledger["row"].tolist() == [2]
    assert f"{expected.n_obs + 1} of 30 rows meet --where time >= 2016 and sector == 3 or unit == 'A'" in panel.notes
    with pytest.raises(InputError, match="no row meets --where time > 3000"):
        read_panel_of(tmp_path, frame, "time > 3000")


def read_panel_of(tmp_path, frame, condition):
    frame.to_csv(tmp_path / "t.csv", index=False)
    return read_panel(tmp_path / "t.csv", GROUPED, reading=Reading(where=condition))
