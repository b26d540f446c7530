"""The command `events` as a user runs it."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.jobs.event_tables import EVENT_COLUMNS, PRETREND_COLUMNS, WEIGHT_COLUMNS
from cbec_bayes.panel.design import Design
from tests.support.called import heard
from tests.support.staggered import staggered

ASKED = ["--outcome", "homicides", "--exposure", "law", "--unit", "state", "--time", "year", "--controls", "income"]

BY_REGION = ["--data", "laws.csv", *ASKED, "--group", "region"]


@pytest.fixture
def program(capsys, tmp_path, monkeypatch):
    """Run the program in a folder with a panel of state laws: status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    laws(staggered()).to_csv("laws.csv", index=False)

    return partial(heard, capsys)


def laws(design: Design) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "state": np.array(design.units)[design.unit],
            "year": np.asarray(design.times)[design.time].astype(int),
            "region": np.array(design.groups)[design.group],
            "homicides": design.y,
            "law": design.x[:, 0].astype(int),
            "income": design.x[:, 1],
        }
    )


def test_it_writes_the_tables_a_figure_and_a_page(program):
    status, out, _ = program("events", *BY_REGION, "--out", "o", "--figures", "png,pdf")
    assert status == 0
    assert out.startswith("24 of 32 units adopt between 2004 and 2007, in 3 cohorts; 8 are not treated")
    events, pretrends, weights = (pd.read_csv(f"o/{name}.csv") for name in ("events", "pretrends", "weights"))
    assert tuple(events.columns) == EVENT_COLUMNS
    # The contract of the file: these come first.
    first = ["event_time", "group", "estimator", "estimate", "se", "ci_low", "ci_high", "origin"]
    assert list(events.columns[:8]) == first
    assert tuple(pretrends.columns) == PRETREND_COLUMNS
    assert tuple(weights.columns) == WEIGHT_COLUMNS
    assert set(events["origin"]) == {"observed"}
    assert set(events["group"]) == {"(all)", "east", "west"}
    assert {"-2", "0", "(all)"} <= set(events["event_time"])
    assert weights["weight"].sum() == pytest.approx(1)
    static = events[(events["estimator"] == "twfe") & (events["event_time"] == "(all)")]["estimate"].item()
    assert (weights["weight"] * weights["estimate"]).sum() == pytest.approx(static)
    page = Path("o/events.html").read_text()
    assert "What happens to homicides after law?" in page
    assert page.count("<svg") == 1
    assert Path("o/figures/events.svg").read_text().startswith("<svg")
    assert Path("o/figures/events.png").read_bytes().startswith(b"\x89PNG")
    assert Path("o/figures/events.pdf").read_bytes().startswith(b"%PDF")
    status, again, _ = program("events", *BY_REGION, "--out", "o", "--figures", "png,pdf")
    assert "Nothing has changed since they were made" in again


def test_it_prints_json(program):
    status, out, _ = program("events", "--data", "laws.csv", *ASKED, "--json")
    assert status == 0
    assert {"events", "pretrends", "weights", "sentences", "notes"} <= json.loads(out).keys()


def test_a_study_whose_units_all_adopt_says_so(program):
    status, out, _ = program("events", "--study", "circulation", "--out", "o")
    assert status == 0
    assert "No unit is never treated: all have adopted by 2020." in out
    assert "(Xinjiang) counts as not treated" in out
    assert "in 4 of 12 cells of cohort and period negatively" in out
    assert "The exposure zones goes on changing after adoption in 24 of 30 adopting units" in out


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ([], "no panel is named"),
        (["--study", "circulation", "--data", "laws.csv"], "name only one panel"),
        (["--study", "circulation", "--outcome", "y"], "--study and --outcome name two"),
        (["--study", "circulatio"], "did you mean 'circulation'?"),
        (["--data", "laws.csv", "--outcome", "homicides"], "missing options: --exposure"),
        (["--data", "laws.csv", *ASKED, "--ci", "95"], "--ci is a probability"),
        (["--data", "laws.csv", *ASKED, "--convention", "none"], "unknown convention"),
        (["--data", "laws.csv", *ASKED, "--exposure", "income"], "an event study has one exposure"),
        (
            ["--data", "laws.csv", "--outcome", "law", "--exposure", "income", "--unit", "state", "--time", "year"],
            "an exposure below zero cannot be read as adoption",
        ),
    ],
)
def test_what_cannot_be_asked_is_one_line(program, asked, message):
    status, _, error = program("events", *asked)
    assert status == 2
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


def test_simulated_rows_are_called_simulated(program):
    status, _, _ = program("events", "--data", "laws.csv", *ASKED, "--origin", "simulated", "--out", "o")
    assert status == 0
    assert set(pd.read_csv("o/events.csv")["origin"]) == {"simulated"}
    page = Path("o/events.html").read_text()
    assert "simulated" in page
    assert 'data-origin="observed"' not in page
    assert ">observed<" not in page
