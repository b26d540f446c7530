from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbec_bayes.published.audit import COLUMNS, audit, readings_frame
from cbec_bayes.published.audit.constant import mean_in_part
from cbec_bayes.published.audit.moments import possible_means, possible_sds
from cbec_bayes.published.intervals import Interval
from cbec_bayes.published.number import PrintedNumber
from cbec_bayes.published.printed import Moments, load_paper
from cbec_bayes.published.readings import Verdict
from tests.support.printed_tables import HONEST_TOML, honest_rows, write


@pytest.fixture(scope="module")
def found(paper):
    return audit(paper).frame().set_index(["table", "column", "term", "check"])


@pytest.mark.parametrize("seed", range(25))
def test_honest_tables_pass(tmp_path, seed):
    """Tables rounded from real regressions on a real (simulated) panel: nothing may fail."""
    frame = audit(load_paper(write(tmp_path, honest_rows(seed), HONEST_TOML))).frame()
    asked = frame[~frame["check"].str.fullmatch("stars_(p|t_t|t_normal|se_normal)")]
    assert not (asked["verdict"] == "fail").any(), asked[asked["verdict"] == "fail"]["detail"].tolist()
    assert {"stars_se_t", "reading", "observations", "observations_sum", "constant", "r2_nested", "moments"} <= set(
        asked["check"]
    )


def corrupt(rows, place, printed):
    found = [row for row in rows if row[:4] == place]
    assert len(found) == 1
    return [(*row[:4], printed, row[5]) if row[:4] == place else row for row in rows]


@pytest.mark.parametrize(
    ("place", "printed", "check"),
    [
        (("2", "one", "x1", "parenthesis"), "9.9999", "stars_se_t"),
        (("2", "one", "x1", "parenthesis"), "9.9999", "reading"),
        (("2", "one", "x1", "parenthesis"), "9.9999", "implied_se"),
        (("2", "two", "x1", "parenthesis"), "9.9999", "column_reading"),
        (("2", "two", "", "n_obs"), "145", "observations"),
        (("3", "a", "", "n_obs"), "60", "observations_sum"),
        (("3", "a", "", "n_obs"), "90", "observations_sum"),
        (("2", "one", "constant", "estimate"), "7.0000", "constant"),
        (("3", "b", "constant", "estimate"), "70.0000", "constant"),
        (("2", "two", "", "r2"), "0.0100", "r2_nested"),
        (("2", "two", "", "r2"), "1.2000", "r2_range"),
        (("1", "sd", "y", "sd"), "90.0000", "moments"),
        (("1", "sd", "y", "sd"), "0.0100", "moments"),
        (("1", "mean", "x1", "mean"), "90.0000", "moments"),
        (("1", "min", "x1", "min"), "90.0000", "moments"),
    ],
)
def test_each_check_fails_when_its_table_is_broken(tmp_path, place, printed, check):
    rows = honest_rows(0)
    assert any(row[:4] == ("2", "one", "x1", "estimate") and row[5] == "***" for row in rows)
    frame = audit(load_paper(write(tmp_path, corrupt(rows, place, printed), HONEST_TOML))).frame()
    assert (frame[frame["check"] == check]["verdict"] == "fail").any()


@pytest.mark.parametrize(
    ("place", "verdict", "words"),
    [
        (("3", "(1)", "cbec", "reading"), "fail", "Only a p-value would agree"),
        (("3", "(2)", "cbec", "reading"), "fail", "Only a p-value would agree"),
        (("4", "East", "cbec", "reading"), "fail", "No reading of (0.259) agrees with 0.22**"),
        (("4", "Central", "cbec", "reading"), "pass", "no other reading does"),
        (("4", "West", "cbec", "reading"), "pass", "so would a p-value or a t statistic"),
        (("4", "East", "cbec", "implied_se"), "fail", "0.0662 to 0.0995"),
        (("3", "(2)", "", "column_reading"), "fail", "no single reading makes the whole column coherent"),
        (("3", "(1)", "constant", "constant"), "pass", "0.026"),
        (("3", "(2)", "constant", "constant"), "fail", "-3.58 to -3.2"),
        (("4", "East", "constant", "constant"), "fail", "though -14.865 would be"),
        (("4", "West", "constant", "constant"), "undetermined", "does not exclude -2.057"),
        (("4", "East + Central + West", "", "observations_sum"), "fail", "Liaoning, Jilin, Heilongjiang"),
        (("4", "Central", "", "observations"), "pass", "48 = 6 units of central × 8 periods"),
        (("3", "(1) to (2)", "", "r2_nested"), "pass", "5 regressors more"),
    ],
)
def test_findings_on_the_paper(found, place, verdict, words):
    row = found.loc[[place]]
    assert len(row) == 1
    assert row.iloc[0]["verdict"] == verdict
    assert words in row.iloc[0]["detail"]


def test_every_finding_is_a_sentence_with_an_origin(found):
    frame = found.reset_index()
    assert tuple(frame.columns) == ("table", "column", "term", "check", *COLUMNS[4:])
    assert (frame["origin"] == "printed").all()
    assert frame["detail"].str.fullmatch(r"[\S ]+\.").all()
    assert set(frame["verdict"]) <= {str(v) for v in Verdict}
    assert (frame["low"].isna() | (frame["low"] <= frame["high"])).all()


def test_readings_frame(paper):
    frame = readings_frame(paper).set_index(["table", "column", "term"])
    assert len(frame) == 30
    east = frame.loc[("4", "East", "cbec")]
    assert (east["se"], east["coherent"], east["df"]) == ("fail", "none", 9)


def test_without_paper_toml_nothing_is_invented(tmp_path):
    """Clusters unknown: the degrees of freedom are bounded, not guessed; no sample is compared with no panel."""
    rows = [
        ("5", "(1)", "x", "estimate", "0.50", "**"),
        ("5", "(1)", "x", "parenthesis", "0.22", ""),
        ("5", "(1)", "", "n_obs", "100", ""),
    ]
    frame = audit(load_paper(write(tmp_path, rows))).frame().set_index("check")
    assert frame.loc["stars_se_t", "verdict"] == "undetermined"
    assert frame.loc["stars_se_normal", "verdict"] == "pass"
    assert frame.loc["observations", "verdict"] == "undetermined"
    assert "constant" not in frame.index


def test_units_found_from_the_rows_do_not_confirm_them(tmp_path):
    """80 = 10 x 8 where the 10 is 80 / 8 says nothing; as clusters the 10 are the fewest there may be."""
    rows = [
        ("5", "(1)", "x", "estimate", "0.50", "*"),
        ("5", "(1)", "x", "parenthesis", "0.25", ""),
        ("5", "(1)", "", "n_obs", "80", ""),
    ]
    frame = audit(load_paper(write(tmp_path, rows, "[panel]\nperiods = 8"))).frame().set_index("check")
    assert frame.loc["observations", "verdict"] == "undetermined"
    assert "the number of units is not known" in frame.loc["observations", "detail"]
    # t = 2.0 has p = 0.076 with 9 degrees of freedom, and 0.049 with 79.
    assert (frame.loc["stars_se_t", "verdict"], frame.loc["stars_se_normal", "verdict"]) == ("undetermined",) * 2


def test_a_table_of_p_values_is_read_as_such(tmp_path):
    rows = [("5", "(1)", "x", "estimate", "0.50", "**"), ("5", "(1)", "x", "parenthesis", "0.020", "")]
    frame = audit(load_paper(write(tmp_path, rows, 'claimed_reading = "p"'))).frame().set_index("check")
    assert frame.loc["reading", "verdict"] == "pass"
    assert "implied_se" not in frame.index


def test_a_column_that_two_other_readings_would_make_coherent(tmp_path):
    """Without stars, 0.5 beside 1.0 is no standard error (p = 0.046); a p-value or a t statistic it may be."""
    cells = ("x", "z")
    rows = [("5", "(1)", term, *cell, "") for term in cells for cell in (("estimate", "1.00"), ("parenthesis", "0.50"))]
    rows.append(("5", "(1)", "", "n_obs", "100000", ""))
    toml = '[panel]\nunits = 10000\nperiods = 10\n[stars]\n"*" = "0.05"'
    frame = audit(load_paper(write(tmp_path, rows, toml))).frame().set_index("check")
    assert frame.loc["column_reading", "detail"] == (
        "2 of 2 cells cannot be a standard error, as stated (x, z); "
        "the column is coherent if all are a p-value or a t statistic."
    )


def test_missing_rows_under_a_scheme_of_ones_own(tmp_path):
    """A scheme beside paper.toml, of other units than China's: the group that no column shows is named."""
    rows = [("2", "all", "x", "estimate", "1.0", ""), ("2", "all", "", "n_obs", "12", "")]
    rows += [("3", "North", "x", "estimate", "1.0", ""), ("3", "North", "", "n_obs", "8", "")]
    toml = (
        '[panel]\nunits = 4\nperiods = 3\nscheme = "states.csv"\nexcluded = ["D"]\n[groups]\n"3: North" = "north"\n'
        '[[partitions]]\nwhole = "2: all"\nparts = ["3: North"]\n'
    )
    (tmp_path / "states.csv").write_text("unit,group\nA,north\nB,north\nC,south\nD,south\n")
    frame = audit(load_paper(write(tmp_path, rows, toml))).frame()
    missing = frame[frame["check"] == "observations_sum"].iloc[0]
    assert (missing["verdict"], missing["low"]) == ("fail", 8)
    assert "do not explain them" in missing["detail"]
    (tmp_path / "tables.csv").write_text((tmp_path / "tables.csv").read_text().replace("n_obs,8", "n_obs,9"))
    again = audit(load_paper(tmp_path)).frame()
    assert (
        "They are the south (C; 1 units × 3 periods)." in again[again["check"] == "observations_sum"].iloc[0]["detail"]
    )


def test_other_star_levels(tmp_path):
    rows = [("5", "(1)", "x", "estimate", "2.60", "*"), ("5", "(1)", "x", "parenthesis", "1.00", "")]
    toml = '[stars]\n"*" = "0.05"\n"**" = "0.001"'
    frame = audit(load_paper(write(tmp_path, rows, toml))).frame().set_index("check")
    assert frame.loc["stars_se_normal", "verdict"] == "pass"


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=30), st.integers(0, 3))
def test_moments_of_real_numbers_are_possible(values, digits):
    data = np.array(values)

    def printed(value: float) -> Interval:
        return PrintedNumber.parse(f"{value:.{digits}f}").interval

    sds = possible_sds(printed(data.min()), printed(data.max()), printed(data.mean()), len(data))
    for ddof in (0, 1):
        assert sds.ends[0] - 1e-9 <= data.std(ddof=ddof) <= sds.ends[1] + 1e-9
    unknown = possible_sds(printed(data.min()), printed(data.max()), printed(data.mean()), None)
    assert data.std(ddof=1) <= unknown.ends[1] + 1e-9


def test_extreme_moments_are_attained():
    """The bounds are exact: of three numbers with extremes 0 and 1 and mean 1/3 there is only 0, 0, 1."""
    zero, one, third = (Interval(x, x) for x in (0, 1, Fraction(1, 3)))
    low, high = possible_sds(zero, one, third, 3).ends
    assert high == pytest.approx(np.std([0, 0, 1], ddof=1), abs=1e-12)
    assert low == pytest.approx(np.std([0, 0, 1]), abs=1e-12)
    half = Interval(Fraction(1, 2), Fraction(1, 2))
    low, high = possible_sds(zero, one, half, 4).ends
    assert high == pytest.approx(np.std([0, 0, 1, 1], ddof=1), abs=1e-12)
    assert low == pytest.approx(np.std([0, 0.5, 0.5, 1]), abs=1e-12)


def test_moments_of_one_two_and_equal_numbers():
    def exactly(x: float) -> Interval:
        return Interval(Fraction(x), Fraction(x))

    for one, other in ((Interval(1, 3), Interval(2, 4)), (Interval(2, 4), Interval(1, 3))):
        assert possible_means(one, other, 1).ends == (2, 3)
        assert possible_sds(one, other, Interval(2, 3), 1).ends == (0, 0)
    assert possible_sds(exactly(0), exactly(1), exactly(0.5), 2).ends == (0.5, pytest.approx(math.sqrt(0.5)))
    assert possible_sds(exactly(5), exactly(5), exactly(5), 5).ends == (0, 0)
    # Extremes within their rounding: four numbers with this mean are 0, 0, 0, 0.5, and 0.5, 1, 1, 1.
    largest = pytest.approx(np.std([0, 0, 0, 0.5], ddof=1))
    assert possible_sds(exactly(0), Interval(Fraction(1, 2), 1), exactly(0.125), 4).ends[1] == largest
    assert possible_sds(Interval(0, Fraction(1, 2)), exactly(1), exactly(0.875), 4).ends[1] == largest


@given(st.lists(st.floats(0, 10), min_size=4, max_size=20), st.data())
def test_the_mean_of_a_part_is_bounded(values, data):
    part = data.draw(st.integers(1, len(values)))
    array = np.array(values)
    text = {q: f"{v:.3f}" for q, v in (("mean", array.mean()), ("min", array.min()), ("max", array.max()))}
    row = Moments(
        table="1",
        term="x",
        label="x",
        n_obs=PrintedNumber.parse(str(len(values)), exact=True),
        mean=PrintedNumber.parse(text["mean"]),
        sd=None,
        min=PrintedNumber.parse(text["min"]),
        max=PrintedNumber.parse(text["max"]),
    )
    interval = mean_in_part(row, part)
    assert interval is not None
    low, high = interval.ends
    assert low - 1e-9 <= array[:part].mean() <= high + 1e-9


def test_split_fit_bounds_the_variation_between_groups(tmp_path):
    """Pooled 0.99 against 0.95 per group: at least 80 % of the variation must lie between groups (to rounding)."""
    rows = []
    for table, column, n, r2 in (("2", "all", "40", "0.9900"), ("3", "a", "20", "0.9500"), ("3", "b", "20", "0.9500")):
        rows += [(table, column, "x", "estimate", "1.0", ""), (table, column, "", "n_obs", n, "")]
        rows.append((table, column, "", "r2", r2, ""))
    toml = '[[partitions]]\nwhole = "2: all"\nparts = ["3: a", "3: b"]'
    finding = audit(load_paper(write(tmp_path, rows, toml))).frame().set_index("check").loc["r2_split"]
    assert finding["verdict"] == "undetermined"
    assert finding["low"] == pytest.approx(1 - 0.01005 / 0.04995, abs=1e-12)


NESTED = {
    "r2_within alone": ({}, {}, [("r2_within", "undetermined")]),
    "one R2 more": ({"r2": "0.90"}, {}, [("r2_within", "undetermined")]),
    "R2 that touches": ({"r2": "0.9"}, {"r2": "1.0"}, [("r2", "pass"), ("r2_within", "undetermined")]),
    "other effects of time": ({"time_effects": "no"}, {"time_effects": "yes"}, []),
    "other effects of units": ({"unit_effects": "no"}, {"unit_effects": "yes"}, []),
}


@pytest.mark.parametrize("name", NESTED)
def test_the_fit_of_nested_columns(tmp_path, name):
    """A constant is no regressor; each R2 is compared where both columns print it, and only under the same effects."""
    first, second, expected = NESTED[name]
    rows = [("3", column, "x", "estimate", "1.0", "") for column in ("(1)", "(2)")]
    rows += [("3", "(2)", term, "estimate", "1.0", "") for term in ("z", "Constant")]
    for column, printed in (("(1)", first), ("(2)", second)):
        numbers = {"n_obs": "40", "r2_within": "0.30", **printed}
        rows += [("3", column, "", quantity, text, "") for quantity, text in numbers.items()]
    frame = audit(load_paper(write(tmp_path, rows))).frame()
    nested = frame[frame["check"].str.endswith("_nested")]
    assert list(zip(nested["check"], nested["verdict"], strict=True)) == [(f"{r2}_nested", v) for r2, v in expected]
    assert nested["detail"].str.contains("From column (1) to (2), 1 regressor more", regex=False).all()
