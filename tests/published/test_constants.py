"""Under which normalisation of the effects is a printed constant possible? Tried on panels where we know."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.panel.study import load_study
from cbec_bayes.published.audit import audit
from cbec_bayes.published.printed import load_paper
from cbec_bayes.published.readings import Verdict
from cbec_bayes.replication import observed_rows
from tests.support.studies import make_study


@pytest.fixture(scope="module")
def of_paper(paper):
    found = audit(paper, observed_rows(load_study("paper"), paper))
    return {f.column: f for f in found.findings if f.check == "constant_conventions"}


def test_the_papers_constants(of_paper):
    assert {column: str(f.verdict) for column, f in of_paper.items()} == {
        "(2)": "pass",
        "East": "fail",
        "Central": "fail",
        "West": "pass",
    }
    assert {str(f.origin) for f in of_paper.values()} == {"observed"}
    assert -3.4 in of_paper["(2)"].interval
    assert "all effects are measured against one of" in of_paper["(2)"].detail
    assert "-14.865 would be possible where the effects average to zero" in of_paper["East"].detail
    assert of_paper["Central"].interval.high < -4.5


def test_nothing_is_said_without_observed_controls(paper):
    assert not [f for f in audit(paper).findings if f.check == "constant_conventions"]


def constants(tmp_path, change):
    study = make_study(tmp_path, decimals=4)
    path = tmp_path / "tables" / "tables.csv"
    lines = [line.split(",") for line in path.read_text().splitlines()]
    for line in lines:
        if line[1:4] == ["(2)", "constant", "estimate"]:
            line[4] = f"{float(line[4]) + change(tmp_path):.4f}"
    path.write_text("\n".join(",".join(line) for line in lines) + "\n")
    paper = load_paper(tmp_path / "tables")
    found = audit(paper, observed_rows(study, paper)).findings
    return next(f for f in found if f.check == "constant_conventions" and f.column == "(2)")


def test_the_usual_constant_passes(tmp_path):
    found = constants(tmp_path, lambda _: 0.0)
    assert found.verdict is Verdict.PASS
    assert "possible where the effects average to zero" in found.detail


def test_a_constant_far_off_fails(tmp_path):
    found = constants(tmp_path, lambda _: 50.0)
    assert found.verdict is Verdict.FAIL
    assert "impossible under each of the usual normalisations" in found.detail


def test_a_constant_against_a_base_unit_is_not_called_impossible(tmp_path):
    """With dummies for everything the constant is the fitted value of the base cell less slopes times regressors."""

    def shift(folder):
        frame = pd.read_csv(folder / "observed.csv").merge(pd.read_csv(folder / "unknown.csv"))
        x = frame[["d", "x"]].to_numpy()
        dummies = [pd.get_dummies(frame[column], drop_first=True).to_numpy(dtype=float) for column in ("unit", "year")]
        full = np.column_stack([np.ones(len(frame)), x, *dummies])
        fit = np.linalg.lstsq(full, frame["y"].to_numpy())[0]
        usual = frame["y"].mean() - x.mean(axis=0) @ fit[1:3]
        return float(fit[0] - usual)

    found = constants(tmp_path, shift)
    assert found.verdict is Verdict.PASS
    assert "all effects are measured against" in found.detail


def test_nothing_is_said_where_something_is_missing(tmp_path):
    """No moments of the outcome; a column without a constant beside others that have one; no observed row."""
    study = make_study(tmp_path)
    toml, tables = tmp_path / "tables" / "paper.toml", tmp_path / "tables" / "tables.csv"

    def columns(cut=lambda rows: rows):
        paper = load_paper(tmp_path / "tables")
        rows = {key: cut(part) for key, part in observed_rows(study, paper).items()}
        return [f.column for f in audit(paper, rows).findings if f.check == "constant_conventions"]

    every = columns()
    assert {"(2)", "north", "south"} <= set(every)
    lines = tables.read_text().splitlines()
    without_n = "\n".join(line for line in lines if ",n_obs," not in line or line.startswith("2,")) + "\n"
    tables.write_text(without_n)
    assert set(columns()) == set(every)
    assert columns(lambda rows: rows.iloc[:0]) == []
    tables.write_text("\n".join(line for line in without_n.splitlines() if "north,constant" not in line) + "\n")
    assert set(columns()) == set(every) - {"north"}
    toml.write_text(toml.read_text().replace('term = "y"', 'term = "q"'))
    assert columns() == []
