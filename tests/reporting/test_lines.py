"""Slopes in a terminal: the numbers of the table, and lines that stand where they should."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbec_bayes.reporting.lines import WIDTH, line, slopes_as_lines


def test_a_line_has_its_mean_its_interval_and_zero():
    assert line(0.5, 0.25, 0.75, -1, 1, width=9) == "....|-o-."
    assert line(-1, -3, 0.5, -1, 1, width=9) == "o---|--.."
    assert line(0.5, -3, 3, -1, 1, width=9) == "<---|-o->"
    assert line(math.nan, math.nan, math.nan, -1, 1) == ""
    assert line(0.0, 0.0, 0.0, 0.0, 0.0) == ""


@given(
    st.tuples(st.floats(-5, 5), st.floats(0, 3), st.floats(0, 3)),
    st.floats(-4, 0),
    st.floats(0.001, 4),
)
def test_every_line_fits_and_keeps_its_order(interval, low, high):
    mean, below, above = interval
    drawn = line(mean, mean - below, mean + above, low, high)
    assert len(drawn) == WIDTH
    assert drawn.count("o") == 1
    at = drawn.index("o")
    assert set(drawn[:at]) <= set(".-|<")
    assert set(drawn[at + 1 :]) <= set(".-|>")


def test_the_table_has_the_numbers_of_effects():
    effects = pd.DataFrame(
        {
            "group": ["(average)", "east", "(new)"],
            "n_units": [30, 12, math.nan],
            "no_pooling": [math.nan, 0.5123, math.nan],
            "no_pooling_se": [math.nan, 0.0512, math.nan],
            "mean": [0.4, 0.45, 0.4],
            "ci_low": [0.3, 0.35, -4.0],
            "ci_high": [0.5, 0.55, 5.0],
            "p_positive": [0.999, 0.98, 0.7],
            "pooling_factor": [math.nan, 0.25, math.nan],
            "mcse": [0.001, 0.001, 0.01],
        }
    )
    shown = slopes_as_lines(effects, 0.9)
    assert list(shown.columns[:7]) == [
        "group",
        "units",
        "own estimate (se)",
        "mean",
        "90 % interval",
        "P(> 0)",
        "pooling",
    ]
    assert list(shown.iloc[1, :7]) == ["east", "12", "0.512 (0.051)", "0.450", "0.350 to 0.550", "0.98", "0.25"]
    assert shown["group"].tolist() == ["average over units", "east", "a group not seen"]
    head = shown.columns[7]
    assert (head[:1], head[-4:]) == ("0", "0.55")
    assert len(head) == WIDTH
    assert shown[head].iloc[2].startswith("<")
    assert shown[head].iloc[2].endswith(">")


@pytest.mark.parametrize("column", ["n_units", "mcse"])
def test_a_table_of_printed_estimates_has_no_units_and_no_monte_carlo_error(column):
    effects = pd.DataFrame(
        {
            "group": ["a"],
            "n_units": [3],
            "no_pooling": [1.0],
            "no_pooling_se": [math.nan],
            "mean": [1.0],
            "ci_low": [0.5],
            "ci_high": [1.5],
            "p_positive": [0.9],
            "pooling_factor": [0.1],
            "mcse": [0.0],
        }
    ).drop(columns=column)
    shown = slopes_as_lines(effects)
    assert ("units" in shown.columns) is (column != "n_units")
    assert shown["own estimate (se)"].iloc[0] == "1.000"
