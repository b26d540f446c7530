"""What a report concludes: one table of verdicts, and sentences that say nothing else."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.jobs.answers import ANSWER_COLUMNS, answer_sentences, answers
from cbec_bayes.jobs.ensemble import CONCLUSION_COLUMNS, conclusion

LOW, HIGH = {"+": 0.1, "0": -0.1, "-": -0.9}, {"+": 0.9, "0": 0.5, "-": -0.1}


def analysis_of(signs):
    """An analysis with an interval above, about or below zero for each combination of reading and prior, by group."""
    rows = [
        {"reading": f"r{i}", "model": "m", "group": group, "ci_low": LOW[sign], "ci_high": HIGH[sign]}
        for group, every in signs.items()
        for i, sign in enumerate(every)
    ]
    groups = {group: SimpleNamespace(mean=0.4, ci_low=0.1, ci_high=0.7) for group in signs}
    labels = (*signs, "not printed")
    return SimpleNamespace(
        sensitivity=pd.DataFrame(rows),
        estimates=SimpleNamespace(labels=labels, printed=np.array([*[True] * len(signs), False])),
        result=SimpleNamespace(groups=groups),
    )


def ensemble_of(p):
    """An ensemble of a hundred panels with these probabilities of a positive slope, by group and specification."""
    rows = [conclusion(group, {name: np.array(values) for name, values in own.items()}) for group, own in p.items()]
    return SimpleNamespace(n_panels=100, conclusions=pd.DataFrame(rows, columns=list(CONCLUSION_COLUMNS)))


SURE, NEVER, HALF = [0.99] * 100, [0.01] * 100, [0.99] * 60 + [0.5] * 40


@pytest.mark.parametrize(
    ("signs", "p", "verdict"),
    [
        ("+++", {"plain": SURE, "ar1": SURE}, "positive"),
        ("---", {"plain": NEVER, "ar1": NEVER}, "negative"),
        ("++0", {"plain": SURE, "ar1": SURE}, "open"),
        ("+++", {"plain": SURE, "ar1": HALF}, "open"),
        ("+++", {"plain": NEVER, "ar1": NEVER}, "open"),
        ("++-", {"plain": SURE, "ar1": SURE}, "open"),
    ],
)
def test_a_sign_is_settled_only_where_print_and_panels_agree_throughout(signs, p, verdict):
    table = answers(analysis_of({"east": signs}), ensemble_of({"east": p}))
    assert tuple(table.columns) == ANSWER_COLUMNS
    row = table.iloc[0]
    assert row["verdict"] == verdict
    assert (row["because"] == "") == (verdict != "open")
    assert row["origin"] == "reconstructed"


def test_without_panels_the_print_decides():
    table = answers(analysis_of({"east": "+++", "west": "0++"}), None)
    assert table["verdict"].tolist() == ["positive", "open"]
    assert set(table["origin"]) == {"printed"}
    first, second = answer_sentences(table)
    assert first == (
        "What the paper prints settles the sign of the slope of east (positive): the sign is the same under each of 3 "
        "combinations of a reading of the parentheses and a prior."
    )
    assert second == (
        "The sign of west is open: its 95 % interval reaches zero under 1 of 3 combinations of reading and prior."
    )


def test_sentences_name_each_group_once_and_as_the_table_has_it():
    """No group is called settled in one sentence and open in another."""
    signs = {"east": "+++", "central": "+++", "west": "0++", "north": "---"}
    p = {
        "east": {"plain": SURE, "ar1": SURE},
        "central": {"plain": SURE, "ar1": HALF},
        "west": {"plain": SURE, "ar1": SURE},
        "north": {"plain": NEVER, "ar1": NEVER},
    }
    table = answers(analysis_of(signs), ensemble_of(p))
    first, *rest = answer_sentences(table)
    assert "signs of the slopes of east (positive) and north (negative)" in first
    assert "in at least 95 % of 100 panels that print the same tables, under each of 2 specifications" in first
    assert len(rest) == 2
    assert rest[0] == (
        "The sign of central is open: it is positive beyond doubt in only 60 % of 100 panels that print the same "
        "tables under the specification ar1, where 95 % are asked for."
    )
    assert rest[1].startswith("The sign of west is open: its 95 % interval reaches zero under 1 of 3")
    for group, verdict in zip(table["group"], table["verdict"], strict=True):
        named = [sentence for sentence in (first, *rest) if f"{group} (" in sentence or f"of {group} is" in sentence]
        assert len(named) == 1
        assert ("open" in named[0]) == (verdict == "open")


def test_nothing_may_be_settled():
    first, *rest = answer_sentences(answers(analysis_of({"east": "0++", "west": "00+"}), None))
    assert first.startswith("What the paper prints settles the sign of no region's slope")
    assert len(rest) == 2
