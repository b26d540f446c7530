"""What once went wrong in silence: each of these was a wrong or missing number that nobody was told of."""

from __future__ import annotations

import re

import pandas as pd
import pytest

from cbec_bayes.jobs.reconstruct import load_problem
from cbec_bayes.panel import study_frame
from cbec_bayes.panel.study import read_study
from cbec_bayes.published.audit import audit
from cbec_bayes.published.printed import load_paper
from cbec_bayes.published.readings import Verdict
from cbec_bayes.replication import has_stars, observed_rows, replicate, shown_tables
from cbec_bayes.runtime.errors import InputError
from tests.support.studies import make_study


def edited(folder, change, file="study.toml"):
    path = folder / file
    path.write_text(change(path.read_text()))
    return read_study(folder / "study.toml")


def test_a_mistyped_convention_is_no_missing_column(tmp_path):
    make_study(tmp_path)
    study = edited(tmp_path, lambda text: text.replace('"reghdfe"', '"rghdfe"'))
    with pytest.raises(InputError, match="did you mean 'reghdfe'"):
        replicate(study)


def test_a_column_that_cannot_be_fitted_keeps_its_printed_cells(tmp_path):
    make_study(tmp_path)

    def one_southerner(text):
        lines = text.splitlines()
        south = [i for i, line in enumerate(lines) if line.endswith(",south")]
        for i in south[1:]:
            lines[i] = lines[i].replace(",south", ",north")
        return "\n".join(lines) + "\n"

    found = replicate(edited(tmp_path, one_southerner, "tables/scheme.csv"))
    south = found.frame()
    south = south[(south["column"] == "south") & south["printed"].ne("")]
    assert len(south) == 7
    assert set(south["match"]) == {"no"}
    assert set(south["replicated"]) == {""}
    assert south["note"].str.len().gt(0).all()


@pytest.mark.parametrize(
    ("table", "given"), [("origins", 'd = "simulated"'), ("rounding", '[panel.proxies]\noutcome = ["near_y"]')]
)
def test_a_mistyped_column_is_not_passed_over(tmp_path, table, given):
    make_study(tmp_path)
    wrong = 'dd = "simulated"'
    inserted = wrong if table == "origins" else f"[panel.rounding]\n{wrong}\n{given}"
    with pytest.raises(InputError, match=rf"panel\.{table}\.dd: unknown key"):
        edited(tmp_path, lambda text: text.replace(given, inserted))


def test_the_claimed_reading_comes_first(tmp_path):
    """Parentheses that are t statistics, and said to be: unstarred ones could be standard errors too."""
    make_study(tmp_path)
    paper = load_paper(tmp_path / "tables")
    numbers = {}
    for key, column in paper.columns.items():
        for term, cell in column.coefficients.items():
            if cell.parenthesis is not None:
                numbers[key, term] = float(cell.estimate) / float(cell.parenthesis)

    def as_t(text):
        lines = []
        for line in text.splitlines():
            parts = line.split(",")
            key = (f"{parts[0]}: {parts[1]}", parts[2])
            if parts[3] == "parenthesis":
                parts[4] = f"{numbers[key]:.0f}"
            lines.append(",".join(parts))
        return "\n".join(lines) + "\n"

    edited(tmp_path, as_t, "tables/tables.csv")
    study = edited(tmp_path, lambda text: 'claimed_reading = "t"\n' + text, "tables/paper.toml")
    frame = replicate(study).frame()
    inside = frame[(frame["quantity"] == "parenthesis") & frame["printed"].ne("")]
    assert set(inside["match"]) == {"yes"}


def test_a_paper_without_stars_claims_nothing_by_them(tmp_path):
    make_study(tmp_path)
    study = edited(tmp_path, lambda text: re.sub(r"\*+$", "", text, flags=re.MULTILINE), "tables/tables.csv")
    assert not has_stars(load_paper(tmp_path / "tables"))
    frame = replicate(study).frame()
    assert "stars" not in set(frame["quantity"])
    assert set(frame[frame["printed"].ne("")]["match"]) == {"yes"}


def test_stars_without_parentheses_are_compared(tmp_path):
    make_study(tmp_path)

    def bare(text):
        return "\n".join(line for line in text.splitlines() if ",parenthesis," not in line) + "\n"

    frame = replicate(edited(tmp_path, bare, "tables/tables.csv")).frame()
    stars = frame[frame["quantity"] == "stars"]
    assert len(stars) > 0
    assert set(stars["match"]) == {"yes"}


def test_a_base_unit_is_left_open_where_no_fit_is_printed(tmp_path):
    make_study(tmp_path)

    def far_off(text):
        lines = [line for line in text.splitlines() if ",r2," not in line]
        return "\n".join(re.sub(r"^(3,\(2\),constant,estimate),[^,]*", r"\1,50.000", line) for line in lines) + "\n"

    study = edited(tmp_path, far_off, "tables/tables.csv")
    paper = load_paper(tmp_path / "tables")
    found = [f for f in audit(paper, observed_rows(study, paper)).findings if f.check == "constant_conventions"]
    assert next(f for f in found if f.column == "(2)").verdict is Verdict.UNDETERMINED


def test_units_that_are_numbers(tmp_path):
    study = make_study(tmp_path)
    for name in ("observed.csv", "unknown.csv", "tables/scheme.csv"):
        path = tmp_path / name
        path.write_text(re.sub(r"\bu(\d\d)\b", lambda m: str(int(m[1])), path.read_text()))
    assert replicate(study).counts()["no"] == 0
    assert len(observed_rows(study, load_paper(tmp_path / "tables"))["4: north"]) == 72
    assert load_problem(study).design.n_obs == 144


def test_a_blank_period_is_not_lost(tmp_path):
    study = make_study(tmp_path)
    path = tmp_path / "unknown.csv"
    lines = path.read_text().splitlines()
    lines[5] = re.sub(r",20\d\d,", ",,", lines[5])
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=r"unknown\.csv, row 6, column 'year': the cell is blank"):
        study_frame(study.panel)


def test_a_singleton_is_no_row_of_the_solver_alone(tmp_path):
    from cbec_bayes.jobs.reconstruct import reconstruct

    study = make_study(tmp_path)
    (tmp_path / "unknown.csv").unlink()
    frame = pd.read_csv(tmp_path / "observed.csv")
    frame[~((frame["unit"] == "u03") & (frame["year"] > 2001))].to_csv(tmp_path / "observed.csv", index=False)
    with pytest.raises(InputError, match="cannot be reconstructed: it has units or periods seen once"):
        reconstruct(load_problem(study), seed=1)


def test_a_proxy_that_says_nothing_is_refused(tmp_path):
    study = make_study(tmp_path)
    frame = pd.read_csv(tmp_path / "observed.csv").assign(near_y=1.0)
    frame.to_csv(tmp_path / "observed.csv", index=False)
    with pytest.raises(
        InputError, match="column 'near_y': a proxy must be a column of numbers that vary, without missing cells"
    ):
        load_problem(study)


def test_tables_that_share_a_number(tmp_path):
    study = make_study(tmp_path)

    def renumbered(text):
        return re.sub(r"^3,", "2,", text, flags=re.MULTILINE)

    edited(tmp_path, renumbered, "tables/tables.csv")
    titles = [title for title, _ in shown_tables(replicate(study))]
    assert titles.count("Table 2") == 2
