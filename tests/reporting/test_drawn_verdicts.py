"""What figures point out is what the checks and the estimands decide: one rule each, in one place."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.checks.comparison import SMALL, SURE, far_out, with_ends
from cbec_bayes.checks.result import INTERVAL_END, against
from cbec_bayes.estimands import leaves_zero_out
from cbec_bayes.reporting import checkfigures

COMPARED = pd.DataFrame(
    [
        ("row", "fitted", 0.0, 0.0),
        ("row", "clear", SMALL + 1, (SMALL + 1) / SURE - 0.1),
        ("row", "small", SMALL - 0.5, 0.1),
        ("row", "unsure", SMALL + 1, (SMALL + 1) / SURE + 0.1),
        ("row", "worse", -9.0, 0.5),
        ("row", "silent", np.nan, np.nan),
    ],
    columns=["left_out", "model", "difference", "difference_se"],
)


def test_a_member_is_better_by_more_than_rounding_and_more_than_its_error():
    judged = with_ends(COMPARED).set_index("model")
    assert judged.index[judged["better"]].tolist() == ["clear"]
    ends = judged.loc["unsure", ["difference_low", "difference_high"]].astype(float)
    half = SMALL + 1 + 0.1 * SURE
    assert tuple(ends) == pytest.approx((SMALL + 1 - half, SMALL + 1 + half))


def test_the_comparison_draws_diamonds_for_better_members_alone(drawn):
    checkfigures.model_comparison(COMPARED, "Comparison")
    marks = {
        -round(line.get_ydata()[0]): line.get_marker() for line in drawn[0].axes[0].lines if len(line.get_xdata()) == 1
    }
    models = list(COMPARED["model"])
    assert {models[place] for place, marker in marks.items() if marker == "D"} == {"clear"}
    assert "silent" not in {models[place] for place in marks}


def test_rows_far_out_are_those_beyond_the_level_of_all_rows_together(drawn):
    table = pd.DataFrame({"row": list("abcde"), "elpd": np.arange(5.0), "p": [0.5, 0.0124, 0.0126, np.nan, 0.9]})
    assert far_out(table).tolist() == [False, True, False, False, False]  # .05 over the four that are known
    checkfigures.left_out_rows(table, "Rows")
    assert [text.get_text() for text in drawn[0].axes[0].texts] == ["b"]


def test_an_interval_leaves_zero_out_on_either_side():
    ends = [(-1.0, -0.1), (-0.1, 0.1), (0.1, 1.0), (0.0, 1.0), (np.nan, np.nan)]
    table = pd.DataFrame(ends, columns=["ci_low", "ci_high"])
    assert leaves_zero_out(table).tolist() == [True, False, True, False, False]


def test_the_band_of_the_predictive_figures_is_the_interval_of_the_replicates(drawn):
    draws = np.linspace(-1.0, 1.0, 2_001)[:, None]
    low, high = np.quantile(draws, [0.025, 0.975])
    for end in (low, high):
        assert abs(against(draws, np.array([end])).z[0]) == pytest.approx(INTERVAL_END)
    row = {"statistic": "sd", "of": "outcome", "z": 0.3, "outside": False}
    checkfigures.predictive_statistics(pd.DataFrame([row]), "Statistics")
    band = drawn[0].axes[0].patches[0]
    assert (band.get_x(), band.get_width()) == pytest.approx((-INTERVAL_END, 2 * INTERVAL_END))


@pytest.mark.parametrize(
    ("printed", "names"),
    [(True, ["3: (1)", "3: (2)", "4: east"]), (False, ["exposure alone", "all regressors", "east"])],
)
def test_regressions_that_no_paper_has_printed_have_no_numbers_of_tables(printed, names, drawn):
    cell = {"term": "x", "quantity": "estimate", "z": 0.5, "z_printed": np.nan, "outside": False}
    places = [("3", "(1)"), ("3", "(2)"), ("4", "east")]
    table = pd.DataFrame([{"table": t, "column": c, **cell} for t, c in places])
    checkfigures.predictive_grid(table, "Cells", "x", printed=printed)
    assert [label.get_text() for label in drawn[0].axes[0].get_yticklabels()] == names
