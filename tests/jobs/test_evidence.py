"""What observed panels say together: the table, and sentences that say no more than it does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.jobs.evidence import EVIDENCE_COLUMNS, assumed_by, evidence, evidence_sentences
from cbec_bayes.jobs.questions import Question
from cbec_bayes.jobs.specifications import specify
from cbec_bayes.panel.study import load_study
from cbec_bayes.replication import replicate
from cbec_bayes.replication.alternatives import alternatives_frame
from cbec_bayes.reporting.front import evidence_figure, evidence_table
from cbec_bayes.runtime.labels import GROUP_AVERAGE, Origin


@pytest.fixture(scope="module")
def found():
    """The study of public statistics, and the same rows asked as if they were another study's."""
    study = load_study("circulation")
    replication = replicate(study, few=False)
    question = Question(
        design=replication.design,
        base=None,
        ssc="reghdfe",
        seed=1,
        outcome_scale="logarithms",
        reduced=True,
        content={},
    )
    return replication, specify(question, draws=500), alternatives_frame(study)


def test_the_main_panel_has_a_row_with_what_its_specifications_say(found):
    replication, specified, alternatives = found
    table = evidence({"circulation": replication}, {"circulation": specified}, {"circulation": alternatives})
    assert list(table.columns) == list(EVIDENCE_COLUMNS)
    (row,) = table.to_dict("records")
    members = specified.specifications[specified.specifications["group"] == GROUP_AVERAGE]
    assert (row["lattice"], row["n_units"], row["n_obs"], row["first"], row["last"]) == (9, 30, 240, 2014, 2021)
    assert row["above_zero"] == (members["ci_low"] > 0).sum()
    assert row["below_zero"] == (members["ci_high"] < 0).sum()
    design = replication.design
    within = []
    for column in (design.y, design.x[:, 0]):
        own = pd.Series(column)
        left = own - own.groupby(design.unit).transform("mean") - own.groupby(design.time).transform("mean")
        within.append(left.std())
    assert row["within_mean"] == pytest.approx(row["mean"] * within[1] / within[0], rel=1e-6)
    assert row["origin"] == "observed"


def test_a_panel_that_is_not_observed_is_no_evidence(found):
    replication, specified, alternatives = found
    columns = dict.fromkeys(replication.panel.origins, Origin.OBSERVED)
    made = replace(replication.panel, origins=columns | {"zones": Origin.RECONSTRUCTED})
    reconstructed = replace(replication, panel=made)
    assert evidence({"a": reconstructed}, {"a": specified}, {"a": alternatives}).empty
    assert evidence_sentences(pd.DataFrame(columns=list(EVIDENCE_COLUMNS)), {}) == ()
    assert evidence_figure(pd.DataFrame(columns=list(EVIDENCE_COLUMNS))) is None


ROW = {
    "study": "s",
    "panel": "main",
    "label": "",
    "outcome": "Homicides",
    "exposure": "Laws",
    "first": 1990,
    "last": 2000,
    "n_units": 50,
    "n_obs": 550,
    "holds": "positive",
    "members": 2,
    "positive": 2,
    "negative": 0,
    "mean": 1.0,
    "ci_low": 0.5,
    "ci_high": 1.5,
    "p_positive": 0.999,
    "mcse": 0.01,
    "within_mean": 0.2,
    "within_low": 0.1,
    "within_high": 0.3,
    "lattice": 8,
    "lattice_positive": 8,
    "lattice_low": 0.8,
    "lattice_high": 1.2,
    "above_zero": 8,
    "below_zero": 0,
    "origin": "observed",
}


def rows(*changes):
    return pd.DataFrame([ROW | change for change in changes], columns=list(EVIDENCE_COLUMNS))


def test_a_sign_that_holds_everywhere_is_said_first():
    first, size, counted = evidence_sentences(rows({}, {"panel": "b"}), {"positive": ("with this",)})
    assert first.startswith(
        "In public statistics “Homicides” rises with “Laws”, on average over units: so it is in 2 of 2"
    )
    assert "50 units, 1990 to 2000" in size
    assert "1 (95 % interval 0.5 to 1.5), and from 0.8 to 1.2 under" in size
    assert counted.startswith("The interval lies above zero under 16, and below zero under 0, of 16 combinations")


def test_a_sign_that_only_some_have_is_open_and_what_it_needs_is_said():
    open_ = {"holds": "changes sign", "above_zero": 2}
    said = evidence_sentences(rows(open_, open_ | {"panel": "b"}), {"positive": ("without trends", "with y")})
    assert said[0].startswith("Public statistics do not tell whether “Homicides” rises or falls with “Laws”: the sign")
    assert "settled in none of 2 panels" in said[0]
    assert said[-1] == (
        "All 4 positive ones are estimated without trends and with y: that is what the claim of a positive slope needs."
    )
    mixed = evidence_sentences(rows(open_, {"panel": "b", "holds": "negative"}), {})
    assert (
        "the slope is settled as negative in 1 of 2 panels that ask the question, and open in the main one" in mixed[0]
    )


def test_what_all_specifications_with_a_sign_assume_is_found_by_counting(found):
    """An assumption that no two specifications of the panel differ in, and in nothing else, says nothing."""
    _, specified, _ = found
    table = specified.specifications
    average = table["group"] == GROUP_AVERAGE
    plain = average & (table["correlation"] == "off") & (table["trends"] == "off")
    low = np.where(plain, 0.1, -1.0)
    turned = replace(specified, specifications=table.assign(ci_low=low, ci_high=np.where(plain, 0.2, 1.0)))
    assert assumed_by([turned]) == {
        "positive": ("with errors that are independent over time", "without trends of units"),
        "negative": (),
    }


def test_the_table_and_the_figure_have_every_panel():
    table = rows({}, {"panel": "b", "label": "another outcome", "holds": "changes sign"})
    shown = evidence_table(table)
    assert [row[0] for row in shown.rows] == ["s: Homicides", "another outcome"]
    assert shown.rows[0][1:4] == ("1.00", "0.50 to 1.50", "> 0.99")
    figure = evidence_figure(table)
    assert figure is not None
    assert "2 panels, the sign settled in 1" in figure
