"""Tables that others have found coherent, or wrong in known places, each judged as a careful reader would.

The folders in `cases` are real tables with other names (t*), coherent tables that were once accused (f*), and a table
with planted errors (p1).
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from cbec_bayes.jobs.audit import audit_tables
from cbec_bayes.published.audit import audit, readings_frame
from cbec_bayes.published.number import PrintedNumber
from cbec_bayes.published.printed import Coefficient, load_paper
from cbec_bayes.published.readings import Verdict, best_verdict, clusters_condition, p_band, read_cell
from cbec_bayes.published.stated import DEFAULT_STARS
from tests.support.printed_tables import write

CASES = Path(__file__).parent / "cases"
COHERENT = ("t03", "t09", "f1_two_outcomes", "f2_ols_2sls", "f4_df", "f5_or_se")
UNSTATED = 'fail"'


def findings(name: str, check: str = ""):
    frame = audit(load_paper(CASES / name)).frame()
    return frame[frame["check"] == check] if check else frame


@pytest.mark.parametrize("name", COHERENT)
def test_coherent_tables_are_not_accused(name):
    found = audit_tables(CASES / name)
    assert found.counts[Verdict.FAIL] == 0
    assert found.failures.empty
    assert found.summary.startswith("No fault was found: nothing that is printed contradicts what the tables state.")
    for frame in (found.findings, found.readings):
        assert UNSTATED not in frame.to_json()
    assert set(found.findings["severity"]) <= {"fine", "open"}


@pytest.mark.parametrize(("name", "n"), [("t01", 6), ("t02", 12)])
def test_cells_of_real_tables_that_contradict_themselves(name, n):
    """Counted with SciPy: t of estimate over parentheses, at any degrees of freedom, outside the band of the stars."""
    reading = findings(name, "reading")
    failed = set(map(tuple, reading.loc[reading["verdict"] == "fail", ["column", "term"]].to_numpy()))
    assert len(failed) == n
    assert audit_tables(CASES / name).counts[Verdict.FAIL] == n + len(findings(name, "repeated_pair"))
    paper, by_scipy = load_paper(CASES / name), set()
    for key, column in paper.columns.items():
        df = 2 if name == "t01" else 1
        n_obs = int(paper.columns[key].numbers["n_obs"].value)
        df = max(n_obs // paper.facts.periods - 1, 1) if paper.facts.periods and n_obs % paper.facts.periods == 0 else 1
        for term, cell in column.coefficients.items():
            half = [float(x.interval.high) - float(x) for x in (cell.estimate, cell.parenthesis)]
            b, s = abs(float(cell.estimate)), float(cell.parenthesis)
            ends = [(b + half[0]) / (s - half[1]), (b - half[0]) / (s + half[1])]
            low, high = min(2 * stats.norm.sf(ends[0]), 1), 2 * stats.t.sf(ends[1], df)
            band = {"": (0.1, 1), "*": (0.05, 0.1), "**": (0.01, 0.05), "***": (0, 0.01)}[cell.stars]
            if low > band[1] or high < band[0]:
                by_scipy.add((column.name, term))
    assert failed == by_scipy


def test_two_rows_that_were_copied():
    repeated = findings("t01", "repeated_pair")
    assert list(zip(repeated["column"], repeated["term"], repeated["verdict"], strict=True)) == [
        ("all", "LNAFE", "fail"),
        ("all", "constant", "fail"),
    ]


def test_planted_errors_are_found_and_nothing_else():
    found = audit(load_paper(CASES / "p1_planted")).faults()
    assert {(one.column, one.check) for one in found} == {
        ("(3)", "reading"),
        ("(3)", "r2_adjusted_against_r2"),
        ("(4)", "r2_adjusted_against_r2"),
        ("(2) to (3)", "r2_nested"),
    }


def test_direct_and_indirect_effects_make_the_total_one():
    for name, n in (("t02", 8), ("t03", 14)):
        sums = findings(name, "effects_sum")
        assert len(sums) == n
        assert set(sums["verdict"]) == {"pass"}


def test_a_wrong_total_is_found(tmp_path):
    rows = [
        ("1", "a", f"{part} effect", "estimate", text, "")
        for part, text in (("Direct", "0.10"), ("Indirect", "0.20"), ("Total", "0.32"))
    ]
    frame = audit(load_paper(write(tmp_path, rows))).frame()
    assert list(frame.loc[frame["check"] == "effects_sum", "verdict"]) == ["fail"]


def test_unless_fewer_than_m_clusters():
    """Of one star beside t = 2: p is within 5 and 10 % from 5 degrees of freedom on, and always below 22."""
    (finding,) = (f for f in audit(load_paper(CASES / "f4_df")).findings if (f.check, f.term) == ("reading", "x"))
    first = next(df for df in range(1, 30) if 2 * stats.t.sf(2.00 * 1.005 / 0.995, df) < 0.1)
    assert f"unless there are fewer than {first + 1} clusters" in finding.detail
    assert finding.verdict is Verdict.UNDETERMINED


@pytest.mark.parametrize(("stars", "t"), [("*", "2.00"), ("**", "2.00"), ("", "1.70"), ("***", "2.70"), ("*", "1.68")])
@pytest.mark.parametrize("most", [40, 400, math.inf])
def test_the_clusters_on_which_a_verdict_hangs_by_brute_force(stars, t, most):
    number = PrintedNumber.parse
    cell = Coefficient(
        table="", column="", term="", label="", estimate=number(t), parenthesis=number("1.000"), stars=stars
    )
    band = p_band(stars, DEFAULT_STARS)
    result = read_cell(cell, DEFAULT_STARS, (2.0, most))[0]
    agree = [
        df
        for df in range(2, int(min(most, 10_000)) + 1)
        if read_cell(cell, DEFAULT_STARS, (float(df), float(df)))[0].verdict is not Verdict.FAIL
    ]
    found = clusters_condition(result, band, (2.0, most))
    if not agree or len(agree) == int(min(most, 10_000)) - 1:
        assert found == ""
    else:
        assert agree == list(range(agree[0], agree[-1] + 1))
        named = [int(word) for word in found.split() if word.isdigit()]
        ends = [agree[0]] if "fewer" in found else [agree[-1]] if "more" in found else [agree[0], agree[-1]]
        assert named == [end + 1 for end in ends]


def table_of_t(levels: dict[str, float], seed: int, n: int = 9) -> list[tuple[str, ...]]:
    """Return a column whose stars follow the levels: estimates of standard error 1, rounded to three decimals."""
    rng = np.random.default_rng(seed)
    rows = [("1", "a", "", "clusters", "400", "")]
    for k, t in enumerate([*rng.uniform(0.3, 5, n - 2), 1.75, 2.2]):
        p = 2 * stats.norm.sf(t)
        stars = next((s for s, level in sorted(levels.items(), key=lambda item: item[1]) if p < level), "")
        rows += [("1", "a", f"x{k}", "estimate", f"{t:.3f}", stars), ("1", "a", f"x{k}", "parenthesis", "1.000", "")]
    return rows


OTHER = {
    "0.1, 1 and 5 %": {"*": 0.05, "**": 0.01, "***": 0.001},
    "a plus at 10 %": {"+": 0.1, "*": 0.05, "**": 0.01, "***": 0.001},
}


@pytest.mark.parametrize("name", OTHER)
@pytest.mark.parametrize("seed", range(3))
def test_other_usual_conventions_of_stars_are_no_fault(tmp_path, name, seed):
    rows = table_of_t(OTHER[name], seed)
    found = audit(load_paper(write(tmp_path, rows)))
    assert found.count(Verdict.FAIL) == 0
    if "+" not in OTHER[name]:
        told = [f.detail for f in found.findings if f.check == "reading" and f.verdict is Verdict.UNDETERMINED]
        assert any("stars are * 5 %, ** 1 %, *** 0.1 %; then state them under [stars]" in one for one in told)
    stated = "[stars]\n'*' = '0.10'\n'**' = '0.05'\n'***' = '0.01'\n'+' = '0.15'\n[tables.'1']\nscale = 'coefficient'"
    assert audit(load_paper(write(tmp_path, rows, stated))).count(Verdict.FAIL, "reading") > 0


def test_t_statistics_that_nobody_states_are_no_fault(tmp_path):
    rows = [
        row
        for k, (b, t, stars) in enumerate([("0.040", "4.10", "***"), ("0.310", "2.20", "**"), ("0.002", "0.60", "")])
        for row in (("1", "a", f"x{k}", "estimate", b, stars), ("1", "a", f"x{k}", "parenthesis", t, ""))
    ]
    found = audit(load_paper(write(tmp_path, rows)))
    assert found.count(Verdict.FAIL) == 0
    assert any('claimed_reading = "t"' in f.detail for f in found.findings if f.check == "column_reading")
    assert audit(load_paper(write(tmp_path, rows, 'claimed_reading = "se"'))).count(Verdict.FAIL, "reading") == 2


@pytest.mark.parametrize("way", ["se of the ratio", "se of the logarithm", "difference from one"])
def test_ratios_are_tested_against_one(way):
    """Brute force with SciPy: a ratio of 1.8 with the standard error that gives z = 2.2, in each of the three ways."""
    log, z = math.log(1.8), 2.2
    se = {"se of the ratio": 1.8 * log / z, "se of the logarithm": log / z, "difference from one": 0.8 / z}[way]
    cell = Coefficient(
        table="",
        column="",
        term="",
        label="",
        estimate=PrintedNumber.parse("1.80"),
        parenthesis=PrintedNumber.parse(f"{se:.3f}"),
        stars="**",
    )
    assert best_verdict(read_cell(cell, DEFAULT_STARS, (400.0, 400.0), is_ratio=True), "se") is Verdict.PASS
    null = 2 * stats.norm.sf(1.8 / se)
    expected = Verdict.PASS if 0.01 < null < 0.05 else Verdict.FAIL
    assert best_verdict(read_cell(cell, DEFAULT_STARS, (400.0, 400.0)), "se") is expected


def test_what_a_column_is_can_be_stated(tmp_path):
    rows = [("1", "a", "x", "estimate", "1.02", ""), ("1", "a", "x", "parenthesis", "0.05", "")]
    levels = '[stars]\n"*" = "0.10"\n'
    assert audit(load_paper(write(tmp_path, rows, levels))).count(Verdict.FAIL, "reading") == 1
    for toml in ('[columns."1: a"]\nscale = "ratio"', '[tables."1"]\nestimator = "odds ratio"'):
        assert audit(load_paper(write(tmp_path, rows, levels + toml))).count(Verdict.FAIL) == 0
    texts = [*rows, ("1", "a", "", "scale", "ratio", "")]
    assert audit(load_paper(write(tmp_path, texts, levels))).count(Verdict.FAIL) == 0


def test_a_table_that_knows_no_stars_claims_nothing_by_them(tmp_path):
    """As printed by SPSS, and in medicine: 1.17 with a standard error of 0.06 has no star, and is no contradiction."""
    rows = [("1", "a", "x", "estimate", "1.17", ""), ("1", "a", "x", "parenthesis", "0.06", "")]
    paper = load_paper(write(tmp_path, rows))
    assert audit(paper).faults() == ()
    assert readings_frame(paper).empty
    starred = [*rows, ("1", "b", "x", "estimate", "1.17", "***"), ("1", "b", "x", "parenthesis", "0.06", "")]
    assert [(one.column, one.check) for one in audit(load_paper(write(tmp_path, starred))).faults()] == [
        ("a", "reading")
    ]


def test_rows_that_a_lag_or_a_gap_would_explain(tmp_path):
    def found(n_obs: str) -> tuple[str, str]:
        rows = [("1", "a", "x", "estimate", "1.0", ""), ("1", "a", "", "n_obs", n_obs, "")]
        frame = audit(load_paper(write(tmp_path, rows, "[panel]\nunits = 30\nperiods = 8"))).frame()
        (row,) = frame[frame["check"] == "observations"].to_dict("records")
        return row["verdict"], row["detail"]

    assert found("240")[0] == "pass"
    assert found("241")[0] == "fail"
    assert found("210") == (
        "undetermined",
        "210 observations where 30 units × 8 periods make 240: 30 short, "
        "as a lag or a difference of 1 period would explain.",
    )
    assert found("233")[1].endswith("7 short, as an unbalanced panel or missing values would explain.")


def test_unstated_readings_are_not_this_one():
    frame = readings_frame(load_paper(CASES / "t03"))
    assert set(frame["se"]) == {"pass"}
    assert set(frame["p"]) | set(frame["t"]) <= {"pass", "undetermined", "not this one"}
