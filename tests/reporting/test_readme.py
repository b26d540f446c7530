"""Every number that README.md and docs/ quote from the report is that of the committed tables, sentence by sentence."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from cbec_bayes.calibration.plan import plan
from cbec_bayes.reporting.tables import interval, number, probability

ROOT = Path(__file__).parents[2]
TABLES = ROOT / "reports" / "tables"
WORDS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def readme() -> str:
    """Return README and the pages of the documentation, one after the other."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return "\n".join(page.read_text(encoding="utf-8") for page in pages)


def said(pattern: str) -> tuple[str, ...]:
    """Return the groups of the one place in README that a pattern matches, line ends being blanks."""
    found = re.findall(pattern, " ".join(readme().split()))
    assert len(found) == 1, f"README says {len(found)} times: {pattern}"
    return found[0] if isinstance(found[0], tuple) else (found[0],)


def table(name: str) -> pd.DataFrame:
    return pd.read_csv(TABLES / f"{name}.csv", dtype=str).fillna("")


def shown(name: str) -> list[list[str]]:
    """Return the cells of a table as people read it, row by row, from its Markdown."""
    rows = [line for line in (TABLES / f"{name}.md").read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def test_the_table_of_slopes_is_that_of_the_report():
    head = "| Region | As printed | After partial pooling (95 % interval) | P(slope > 0) |"
    lines = readme().splitlines()
    at = lines.index(head) + 2
    effects = pd.read_csv(TABLES / "effects.csv").iloc[:4]
    printed = {row[0]: row[2] for row in shown("effects")}
    for line, row in zip(lines[at : at + 4], effects.to_dict("records"), strict=True):
        slope = f"{number(row['mean'], 2)} ({interval(row['ci_low'], row['ci_high'])})"
        cells = (row["group"], printed[row["group"]], slope, probability(row["p_positive"]))
        assert line == f"| {' | '.join(cells)} |"
    assert set(effects["origin"]) == {"printed"}
    assert not lines[at + 4].startswith("|")


def test_the_number_of_provinces_is_that_of_the_papers_panel():
    (n,) = said(r"cross-border e-commerce in (\d+) Chinese provinces")
    few = table("paper_few")
    assert set(few.loc[few["table"] == "3", "n_clusters"]) == {n}


def test_the_contradicted_coefficients_are_those_of_the_audit():
    failed, total = said(r"(\w+) of the paper's (\d+) coefficients have parentheses that cannot be the standard errors")
    reading = table("audit_counts").set_index("Check").loc["reading"].drop("origin").astype(int)
    assert WORDS.index(failed.lower()) == reading["Fail"]
    assert int(total) == reading.sum()


def test_the_example_of_a_contradicted_coefficient_is_one():
    (cell,) = said(r"cannot be the standard errors they are said to be: `([^`]+)` is one")
    printed = table("printed_table4")
    column = next(name for name in printed.columns if cell in set(printed[name]))
    audit = table("audit").set_index(["table", "column", "term", "check"])
    assert audit.loc[("4", column, "cbec", "reading"), "verdict"] == "fail"


def test_the_printed_numbers_that_are_met_are_those_of_the_replication():
    met, total = said(r"so that (\d+) of (\d+) printed numbers come out to the last digit")
    cells = table("paper_replication")
    numbers = cells[(cells["printed"] != "") & (cells["quantity"] != "stars") & (cells["term"] != "constant")]
    assert int(total) == len(numbers)
    assert int(met) == (numbers["match"] == "yes").sum()


def test_the_panels_of_the_ensemble_are_those_of_the_report():
    (n,) = said(r"The report fits (\d+) such panels under eight specifications")
    (asked,) = said(r"\(`--n (\d+)` for an ensemble\)")
    assert n == asked == str(table("ensemble_panels")["panel"].nunique())


def test_the_conclusions_that_do_not_hold_in_all_panels_are_those_of_the_ensemble():
    alone, first, second = said(
        r"that ([\w-]+)'s slope is positive, or that (\w+) differs from (\w+), is not among them"
    )
    shares = pd.read_csv(TABLES / "ensemble_conclusions.csv").set_index("quantity")[["yes", "no"]]
    names = {frozenset(name.split(" less ")): name for name in shares.index if " less " in name}
    for quantity in (alone, names[frozenset({first, second})]):
        assert shares.loc[quantity].max() < 1


def test_the_example_of_slopes_has_the_printed_ones():
    lines = readme().splitlines()
    at = next(i for i, line in enumerate(lines) if line.strip() == "label,estimate,se")
    rows = [line.strip().split(",") for line in lines[at + 1 : at + 5]]
    effects = table("effects").set_index("group")
    assert [row[0] for row in rows] == list(effects.index[:4])
    for group, estimate, error in rows:
        assert estimate == effects.loc[group, "no_pooling"]
        if effects.loc[group, "no_pooling_se"]:
            assert error == effects.loc[group, "no_pooling_se"]
    ((_, _, implied),) = [row for row in rows if row[0] == "east"]
    low, high = re.findall(r"\d\.\d+", effects.loc["east", "se_reading"])
    assert float(low) < float(implied) < float(high)


def test_the_example_of_a_printed_table_has_the_papers_cells():
    lines = [line.strip() for line in readme().splitlines()]
    at = lines.index("table,column,term,quantity,printed,stars")
    cells = table("paper_replication")
    stars = cells[cells["quantity"] == "stars"].set_index(["table", "column", "term"])["printed"]
    for line in lines[at + 1 : at + 4]:
        place, column, term, quantity, printed, mark = line.split(",")
        found = cells.query("table == @place and column == @column and quantity == @quantity")
        found = found[found["term"].isin({term})]
        assert set(found["printed"]) == {printed}
        if quantity == "estimate":
            assert set(stars.loc[[(place, column, found["term"].iloc[0])]]) == {mark}


def test_the_replications_of_the_calibration_are_those_of_the_report():
    (said_n,) = said(r"ranks the truth among the draws \(([\d,]+) times where the engine is exact\)")
    n = int(said_n.replace(",", ""))
    sbc = table("calibration_sbc")
    exact = {model for model, data_of, replications in plan(n).models if replications == n}
    own = sbc[(sbc["model"] == sbc["data_of"]) & sbc["model"].isin(exact)]
    assert set(own["model"]) == exact
    assert set(own["replications"].astype(int)) == {n}


def test_the_panels_of_the_coverage_study_are_those_of_the_report():
    units, *groups = said(r"on panels of (\d+) units in groups of (\d+), (\d+), (\d+) and (\d+)")
    sizes = table("calibration_coverage").drop_duplicates("column").set_index("column")["n_clusters"]
    assert sizes["(all)"] == units
    assert list(sizes.drop("(all)")) == groups


@pytest.mark.parametrize("name", ["evidence"])
def test_the_figures_of_readme_are_those_of_the_report(name):
    assert f"(reports/figures/{name}.svg)" in readme()
    assert (ROOT / "reports" / "figures" / f"{name}.svg").is_file()


def test_a_readme_that_is_out_of_date_is_found(monkeypatch):
    stale = readme().replace("90 of 95", "91 of 95").replace("Seven of the", "Six of the").replace("0.43 (", "0.44 (")
    monkeypatch.setattr("tests.reporting.test_readme.readme", lambda: stale)
    for test in (
        test_the_printed_numbers_that_are_met_are_those_of_the_replication,
        test_the_contradicted_coefficients_are_those_of_the_audit,
        test_the_table_of_slopes_is_that_of_the_report,
    ):
        with pytest.raises(AssertionError):
            test()


def test_a_sentence_that_readme_no_longer_has_is_found():
    with pytest.raises(AssertionError, match="README says 0 times"):
        said(r"no such sentence (\d+)")
