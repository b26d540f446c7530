"""Printed cells beside replicated ones: every cell there, the marks right, the origins said."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.classical.regression import twfe
from cbec_bayes.panel.study import load_study
from cbec_bayes.published.number import PrintedNumber
from cbec_bayes.replication import (
    NOT_PRINTED,
    REPLICATION_COLUMNS,
    Cell,
    match_sentence,
    observed_rows,
    replicate,
    shown_tables,
    stars_of,
)
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.files import asset_dir
from cbec_bayes.runtime.labels import Origin
from tests.support.studies import make_study


@pytest.fixture(scope="module")
def of_paper():
    return replicate(load_study("paper"))


@pytest.fixture(scope="module")
def of_public():
    return replicate(load_study("public"))


def test_a_study_replicates_its_own_tables(tmp_path):
    """Tables rounded from a panel are met by that panel: every number, constants and stars included."""
    found = replicate(make_study(tmp_path))
    frame = found.frame()
    given = frame[frame["printed"].ne("") | frame["quantity"].eq("stars")]
    assert set(given["match"]) == {"yes"}
    assert len(frame) - len(given) == 4  # the constants' standard errors, which its tables do not print
    assert (
        set(frame["quantity"])
        == {"n_obs", "mean", "sd", "min", "max", "estimate", "parenthesis", "stars", "r2"} | set()
    )
    assert set(frame[frame["term"] == "x"]["origin"]) == {"observed", "simulated"}


@pytest.mark.parametrize(("quantity", "term"), [("estimate", "d"), ("parenthesis", "x"), ("r2", ""), ("mean", "y")])
def test_a_changed_digit_is_seen(tmp_path, quantity, term):
    study = make_study(tmp_path)
    path = tmp_path / "tables" / "tables.csv"
    lines = path.read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if f",{term},{quantity}," in line)
    parts = lines[at].split(",")
    digit = parts[4][-1]
    parts[4] = parts[4][:-1] + str((int(digit) + 2) % 10)
    lines[at] = ",".join(parts)
    path.write_text("\n".join(lines) + "\n")
    counts = replicate(study).counts()
    assert counts["no"] == 1


def test_the_papers_cells_are_all_there(paper, of_paper):
    frame = of_paper.frame()
    assert tuple(frame.columns) == REPLICATION_COLUMNS
    numbers = frame[(frame["printed"] != "") & (frame["quantity"] != "stars")]
    numbers = numbers[numbers["quantity"] != ""]
    assert len(numbers) == 105
    printed = [c for column in paper.columns.values() for c in column.coefficients.values()]
    stars = frame[(frame["quantity"] == "stars")]
    assert len(stars) == len(printed)
    assert of_paper.counts() == {"yes": 90, "rounding": 1, "no": 4}
    regressions = frame[frame["table"].isin(["3", "4"])]
    assert set(regressions["origin"]) == {"reconstructed"}
    moments = frame[frame["table"] == "2"].set_index("term")["origin"]
    assert moments.groupby(level=0).first().to_dict() == {
        "ci": "reconstructed",
        "cbec": "reconstructed",
        **dict.fromkeys(["lngdp", "urban", "dfi", "edu", "rail"], "observed"),
    }


def test_what_the_papers_panel_does_not_meet(of_paper):
    """Exactly the parentheses that agree with their stars under no reading, and the constants but one."""
    frame = of_paper.frame()
    missed = frame[(frame["match"] == "no") & (frame["term"] != "constant")]
    assert sorted(zip(missed["column"], missed["term"], missed["printed"], strict=True)) == [
        ("Central", "rail", "2.665"),
        ("Central", "urban", "0.032"),
        ("East", "cbec", "0.259"),
        ("East", "urban", "0.253"),
    ]
    assert missed["note"].str.startswith("no reading agrees").all()
    constants = frame[(frame["term"] == "constant") & (frame["quantity"] == "estimate") & (frame["match"] == "yes")]
    assert constants[["table", "column"]].to_numpy().tolist() == [["3", "(1)"]]
    sentence = match_sentence(of_paper)
    assert sentence.startswith("90 of 95 printed numbers outside the constants' rows are met to the last digit, 1 more")


def test_a_parenthesis_is_replicated_as_what_it_is(of_paper):
    frame = of_paper.frame().set_index(["table", "column", "term", "quantity"])
    fit = {column.spec.key: column.fit for column in of_paper.columns}
    as_p = frame.loc[("3", "(1)", "cbec", "parenthesis")]
    assert float(as_p["replicated"]) == pytest.approx(fit["3: (1)"].p[0], rel=1e-9)
    assert as_p["note"] == "read as a p-value: the stars contradict a standard error"
    as_t = frame.loc[("4", "East", "rail", "parenthesis")]
    k = fit["4: East"].terms.index("rail")
    assert float(as_t["replicated"]) == pytest.approx(fit["4: East"].t[k], rel=1e-9)
    as_se = frame.loc[("3", "(2)", "urban", "parenthesis")]
    assert float(as_se["replicated"]) == pytest.approx(fit["3: (2)"].se[2], rel=1e-9)


def test_the_north_east_is_marked(of_paper):
    frame = of_paper.frame()
    own = frame[frame["column"] == "north-east"]
    assert set(own["note"]) == {NOT_PRINTED}
    assert set(own["printed"]) == {""}
    assert set(own["match"]) == {""}
    assert own[own["quantity"] == "n_obs"]["replicated"].tolist() == ["24"]
    head = next(table for title, table in shown_tables(of_paper) if title == "Table 4").columns[-1]
    assert head == "north-east (not in the paper)"


def test_the_public_study_is_observed_throughout(of_public):
    frame = of_public.frame()
    assert set(frame["origin"]) == {"observed"}
    assert set(frame["match"]) == {""}
    assert set(of_public.classical()["origin"]) == {"observed"}
    assert of_public.panel.n_obs == 210
    assert next(title for title, _ in shown_tables(of_public)) == "Descriptive statistics"


def test_classical_has_the_columns_that_others_rely_on(of_public):
    frame = of_public.classical()
    assert list(frame.columns[:10]) == ["column", "term", "estimate", "se", "df", "p", "n", "r2", "vcov", "ssc"]
    assert list(dict.fromkeys(frame["column"])) == ["(all)", "east", "central", "west", "north-east"]
    direct = twfe(of_public.design)
    row = frame[(frame["table"] == "3") & (frame["term"] == "pilot_zones")].iloc[-1]
    assert row["estimate"] == pytest.approx(direct.estimate[0], rel=1e-12)


def test_the_committed_panel_is_its_record(of_paper):
    """The cell-by-cell record beside the reconstructed panel is what that panel gives today."""
    record = pd.read_csv(asset_dir("data") / "reconstructed" / "cbec_circulation_record.csv", dtype=str).fillna("")
    frame = of_paper.frame()
    same = ["table", "column", "term", "quantity", "printed", "match", "origin", "note"]
    assert record[same].equals(frame[same])
    numbers = ~frame["quantity"].eq("stars")
    theirs, ours = (pd.to_numeric(f.loc[numbers, "replicated"]).to_numpy() for f in (record, frame))
    np.testing.assert_allclose(ours, theirs, rtol=2e-8)


def test_the_mark_of_a_cell():
    def cell(printed, value, slack=0.0):
        number = None if printed is None else PrintedNumber.parse(printed)
        return Cell(
            table="2",
            column="",
            term="x",
            quantity="mean",
            printed=number,
            replicated=value,
            origin=Origin.OBSERVED,
            slack=slack,
        ).match

    assert cell("0.03", 0.035) == "yes"
    assert cell("0.03", 0.0350001) == "no"
    assert cell("0.030", 0.0304999) == "yes"
    assert cell("0.030", 0.031) == "no"
    assert cell("0.030", 0.031, slack=0.0006) == "rounding"
    assert cell("0.030", 0.031, slack=0.0004) == "no"
    assert cell(None, 1.0) == ""
    assert cell("1", float("nan")) == "no"


def test_stars(paper):
    assert [stars_of(p, paper) for p in (0.2, 0.0999, 0.0499, 0.0099)] == ["", "*", "**", "***"]


def test_a_study_that_cannot_be_replicated(tmp_path):
    study = make_study(tmp_path)
    with pytest.raises(InputError, match="has no panel"):
        replicate(dataclasses.replace(study, panel=None))
    with pytest.raises(InputError, match="the panel has no such regressor"):
        replicate(dataclasses.replace(study, panel=dataclasses.replace(study.panel, controls=())))


def test_observed_rows_never_hold_what_was_not_observed(paper):
    rows = observed_rows(load_study("paper"), paper)
    assert set(rows["4: East"].columns) == {"unit", "time", "lngdp", "urban", "dfi", "edu", "rail"}
    assert {key: len(frame) for key, frame in rows.items()} == {
        "3: (1)": 240,
        "3: (2)": 240,
        "4: East": 80,
        "4: Central": 48,
        "4: West": 88,
    }
