"""Values and periods that may not be what they seem get a sentence, and ordinary ones do not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbec_bayes.panel import Roles, make_panel, read_panel
from cbec_bayes.panel.doubtful import has_thousands_with_points, stand_in_sentences, step_sentences
from cbec_bayes.panel.formula import read_formula
from cbec_bayes.panel.periods import Frequency

ROLES = Roles(outcome="y", exposure="x", unit="id", time="yr")


def panel_of(n_units: int = 6, periods: tuple[float, ...] = tuple(range(2000, 2006))) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    n = n_units * len(periods)
    return pd.DataFrame(
        {
            "id": np.repeat(np.arange(n_units), len(periods)),
            "yr": np.tile(periods, n_units),
            "y": rng.normal(size=n),
            "x": rng.normal(size=n),
        }
    )


@pytest.mark.parametrize("value", [-9.0, -99.0, -999.0, 9999.0, -98.0, 997.0, -777.0, 888888.0])
def test_a_number_written_for_a_missing_cell_is_named_with_the_way_out(value):
    frame = panel_of()
    frame["x"] = frame["x"].clip(-2, 2)
    frame.loc[[3, 8], "x"] = value
    (note,) = [note for note in make_panel(frame, ROLES).notes if "--missing" in note]
    assert note.startswith(f"'x' is {value:g} in 2 rows")
    assert note.endswith(f"--missing={value:g}")


def test_several_such_numbers_are_all_named():
    column = np.array([1.0, 2.0, 3.0, 2.5, -99.0, -98.0, -98.0, 999.0])
    found = stand_in_sentences(["x"], column[:, None])
    assert sorted(one.split(" in ")[0] for one in found) == ["'x' is -98", "'x' is -99", "'x' is 999"]


@pytest.mark.parametrize(
    "column",
    [
        np.arange(900.0, 1000.0),  # 999 among its like
        np.array([-9.0, -4.0, 0.0, 5.0]),
        np.array([0.0, 9.0, 0.0, 9.0]),
        np.array([99.0, 99.0, 99.0]),
        np.array([1e3, 2e3, 9e3, 1e5]),
    ],
)
def test_ordinary_columns_are_not_doubted(column):
    assert stand_in_sentences(["x"], column[:, None]) == []


@given(st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=30), st.randoms())
def test_the_order_of_rows_changes_nothing(values, random):
    shuffled = list(values)
    random.shuffle(shuffled)
    first, second = (stand_in_sentences(["x"], np.array(one)[:, None]) for one in (values, shuffled))
    assert first == second


def test_points_that_may_part_thousands_are_told(tmp_path):
    frame = panel_of()
    sales = np.abs(frame["y"] * 3_000).round().astype(int)
    frame["y"] = [f"{value:,}".replace(",", ".") for value in sales]
    path = tmp_path / "sales.csv"
    frame.to_csv(path, index=False)
    assert any("if they part thousands, remove them" in note for note in read_panel(path, ROLES).notes)


@pytest.mark.parametrize(
    ("cells", "doubted"),
    [
        (["1.234"] * 20 + ["421"], True),
        (["1.234"] * 20 + ["421", "NA", ""], True),
        (["1.234"] * 20, False),  # rounded to three decimals, zeros written
        (["1.234"] * 19 + ["421"], False),
        (["1.234"] * 20 + ["421", "1.5"], False),
        (["0.234"] * 20 + ["421"], False),
        (["1.234"] * 20 + ["4210"], False),
    ],
)
def test_which_columns_may_have_thousands(cells, doubted):
    assert has_thousands_with_points(cells) is doubted


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ((0, 5, 10, 15), "periods are 5 apart"),
        ((0, 31, 59, 90), "periods are 28 to 31 apart"),
        ((2000.1, 2000.2, 2000.3, 2000.4, 2001.1), "periods are 0.1 to 0.7 apart"),
        ((101, 102, 103, 201), "from period 103 to 201 there is none"),
    ],
)
def test_steps_of_numbered_periods_are_told(times, said):
    (found,) = step_sentences(times)
    assert found.startswith(said)


@pytest.mark.parametrize("times", [(1, 2, 3), (1990, 1991, 1993, 1994), (2000.0, 2000.25, 2000.5), (1, 9)])
def test_ordinary_periods_are_not_doubted(times):
    assert step_sentences(times) == []


def test_dates_say_themselves_how_far_apart_they_are():
    assert step_sentences((0, 12, 24), Frequency.MONTH) == []


def test_columns_of_a_formula_are_doubted_too(tmp_path):
    frame = panel_of()
    frame["y"] = [f"{value:,}".replace(",", ".") for value in (np.abs(frame["y"] * 3_000) + 1).round().astype(int)]
    path = tmp_path / "sales.csv"
    frame.to_csv(path, index=False)
    panel = read_panel(path, read_formula("log(y) ~ x | id + yr"))
    assert any("if they part thousands, remove them" in note for note in panel.notes)
