"""The report: whole, offline, every number with its origin, and the committed one made from today's inputs."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.jobs import run
from cbec_bayes.jobs.answers import answer_sentences
from cbec_bayes.jobs.evidence import evidence_sentences
from cbec_bayes.jobs.inputs import input_hashes
from cbec_bayes.jobs.questions import other_panels
from cbec_bayes.jobs.run import STEPS, UNFINISHED
from cbec_bayes.panel.study import load_study
from cbec_bayes.reporting.studypage import report_study
from cbec_bayes.reporting.tables import ReportTable, interval, number, probability, unbroken, whole
from cbec_bayes.runtime.fanout import open_executor
from cbec_bayes.runtime.labels import Origin
from cbec_bayes.runtime.progress import Progress
from tests.support.pages import COMPARED, Reader

MODELS = ("partial_pooling", "complete_pooling", "no_pooling", "ar1", "student_t")
"""One of each kind: `make report` itself fits all, which takes minutes."""

REPORTS = Path(__file__).parents[2] / "reports"


ORIGINS = {
    "paper": "reconstructed",
    "circulation": "observed",
    "public": "observed",
    "circulation_alternatives": "observed (index)",
    "evidence": "observed (index)",
    "ensemble": "reconstructed",
    "calibration": "simulated",
}
"""Of tables, by their name or its first word; all others are printed."""


OTHER_PANELS = 2
"""Of the 15 that the study of public statistics has: each is fitted under eight specifications."""

OPTIONS = {"seed": 1, "members": 2, "models": MODELS, "reduced": True}


def few_panels(spec):
    """Return the last of the other panels, one of which has an index for its exposure."""
    return tuple(one for one in other_panels(spec) if one.name in ("index", "gdp_alone"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("report")
    events: list[Progress] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(COMPARED, lambda: MODELS[:4])
        patch.setattr(run, "other_panels", few_panels)
        with open_executor(2) as two:
            analysis, paths = report_study("paper", out, executor=two, on_progress=events.append, **OPTIONS)
    assert set(STEPS) <= {event.task for event in events}
    assert [event.task for event in events if not event.is_counted] == list(STEPS)
    assert Progress("panel", 2, 2) in events
    assert not (out / UNFINISHED).exists()
    reader = Reader()
    reader.feed(paths[0].read_text(encoding="utf-8"))
    reader.close()
    return analysis, out, paths, reader


@pytest.mark.nightly
def test_the_page_is_whole_and_offline(made):
    _, out, paths, reader = made
    assert reader.open == []
    assert reader.tags.count("svg") == len(list((out / "figures").iterdir())) > 30
    assert len(reader.ids) == len(set(reader.ids))
    assert set(reader.labels) <= set(reader.ids)
    for link in reader.links:
        target = link[1:] in reader.ids if link.startswith("#") else (out / link).is_file()
        assert target, link
    page = paths[0].read_text(encoding="utf-8")
    assert not re.search(r"<(script|link|img|iframe)\b|@import|url\((?!#)", page)


@pytest.mark.nightly
def test_every_number_has_its_origin(made):
    analysis, out, _, reader = made
    text = " ".join(reader.text)
    assert text.count("printed") > 10
    for path in (out / "tables").glob("*.csv"):
        assert "origin" in path.read_text().splitlines()[0].split(",")
    for path in (out / "tables").glob("*.md"):
        name = path.stem
        origin = ORIGINS.get(name, ORIGINS.get(name.split("_")[0], "printed"))
        assert f"(Origin: {origin}.)" in path.read_text(), name
    assert analysis.agreement.worst < 5


@pytest.mark.nightly
def test_the_page_says_what_the_tables_say(made):
    analysis, _, _, reader = made
    text = " ".join(" ".join(reader.text).replace("\u00a0", " ").split())
    for group, summary in analysis.result.groups.items():
        assert f"{number(summary.mean, 2)}" in text, group
        assert interval(summary.ci_low, summary.ci_high) in text
    assert "7 of 30 coefficients" in text
    assert "Liaoning, Jilin, Heilongjiang" in text


@pytest.mark.nightly
def test_classical_tables_carry_their_origin(made):
    """The reconstructed tables say so as captions and badges, and in words; the public ones are observed."""
    _, out, paths, reader = made
    page = paths[0].read_text(encoding="utf-8")
    for study, origin in (("paper", "reconstructed"), ("public", "observed"), ("circulation", "observed")):
        for name in ("table2", "table3", "table4", "few") if study == "paper" else ("few",):
            caption = re.search(rf'id="caption-{study}_{name}">(.*?)</p>', page, re.DOTALL)
            assert caption
            assert f'<span class="badge">{origin}</span>' in caption[1]
    text = " ".join(" ".join(reader.text).split())
    assert "90 of 95 printed numbers outside the constants' rows are met" in text
    assert "One such panel is one of infinitely many, so nothing below is evidence about the units" in text
    replication = pd.read_csv(out / "tables" / "paper_replication.csv")
    assert set(replication[replication["term"] == "ci"]["origin"]) == {"reconstructed"}


@pytest.mark.nightly
def test_the_same_inputs_make_the_same_bytes_whatever_the_number_of_workers(made, tmp_path, monkeypatch):
    """Quadrature is deterministic and samplers are seeded; no time, place or machine is written.

    The analysis of the printed tables, which no worker shares, is not made again; tests/test_same_seed.py does that.
    """
    analysis, out, paths, _ = made
    monkeypatch.setattr(COMPARED, lambda: MODELS[:4])
    monkeypatch.setattr(run, "reanalyse", lambda *_, **__: analysis)
    monkeypatch.setattr(run, "other_panels", few_panels)
    report_study("paper", tmp_path, **OPTIONS)
    for path in paths:
        assert path.read_bytes() == (tmp_path / path.relative_to(out)).read_bytes(), path.name


@pytest.mark.nightly
def test_the_ensemble_says_what_does_not_survive(made):
    _, out, _, reader = made
    conclusions = pd.read_csv(out / "tables" / "ensemble_conclusions.csv")
    assert len(conclusions) == 4 + 3 + 6  # slopes, their average, those in general and a new one, every two regions
    np.testing.assert_allclose(conclusions[["yes", "no", "open"]].sum(axis=1), 1)
    text = " ".join(" ".join(reader.text).split())
    for row in conclusions.to_dict("records"):
        assert row["conclusion"] in text
    assert set(pd.read_csv(out / "tables" / "ensemble_panels.csv")["panel"]) == {1, 2}


@pytest.mark.nightly
def test_sentences_on_signs_are_those_of_the_table_of_answers(made):
    """Each printed region is called settled or open once, as answers.csv has it, and nowhere otherwise."""
    _, out, paths, reader = made
    table = pd.read_csv(out / "tables" / "answers.csv", keep_default_na=False, na_values=[""])
    table["because"] = table["because"].fillna("")
    text = " ".join(" ".join(reader.text).split())
    for sentence in answer_sentences(table):
        assert sentence in text
    page = paths[0].read_text(encoding="utf-8")
    leads = [" ".join(one.split()) for one in re.findall(r"<p[^>]*>(.*?)</p>", page, re.DOTALL)]
    for row in table.to_dict("records"):
        settled = [lead for lead in leads if f"{row['group']} ({row['verdict']})" in lead]
        left_open = [lead for lead in leads if f"The sign of {row['group']} is open" in lead]
        assert (len(settled), len(left_open)) == ((0, 1) if row["verdict"] == "open" else (1, 0))


@pytest.mark.nightly
def test_every_panel_leads_with_what_holds_under_every_specification(made):
    _, out, paths, reader = made
    text = " ".join(" ".join(reader.text).split())
    page = paths[0].read_text(encoding="utf-8")
    for study in ("paper", "public", "circulation"):
        concluded = pd.read_csv(out / "tables" / f"{study}_conclusions.csv", keep_default_na=False, na_values=[""])
        assert set(concluded["group"]) > {"(average)", "east"}
        members = pd.read_csv(out / "tables" / f"{study}_specifications.csv")
        members = members[members["alternative"] == "main"].drop_duplicates("member")
        assert len(members) == 9
        assert members["weight"].sum() == pytest.approx(1, abs=1e-3)
        assert page.index(f"caption-{study}_mixture") < page.index(f"caption-{study}_hierarchical_effects")
        assert (out / "figures" / f"specifications_{study}.svg").is_file()
    average = concluded[concluded["group"] == "(average)"].iloc[0]
    assert f"{average['lattice']} specifications" in text


@pytest.mark.nightly
def test_the_front_says_what_the_table_of_evidence_says(made):
    """What public statistics say comes before what the printed table says, and the sections stand in that order."""
    _, out, paths, _ = made
    table = pd.read_csv(out / "tables" / "evidence.csv", keep_default_na=False, na_values=[""])
    assert list(table["study"]) == ["circulation", *["circulation"] * OTHER_PANELS, "public"]
    page = paths[0].read_text(encoding="utf-8")
    leads = [" ".join(one.split()) for one in re.findall(r'<p class="lead">(.*?)</p>', page, re.DOTALL)]
    observed = evidence_sentences(table.assign(label=table["label"].fillna("")), {})
    assert leads[: len(observed)] == list(observed)
    assert "What the paper prints settles" in " ".join(leads[len(observed) :])
    order = [page.index(f'<section id="{name}">') for name in ("answer", "observed", "effects", "audit", "ensemble")]
    assert order == sorted(order)


@pytest.mark.nightly
def test_depths_say_what_is_done_with_a_panel(made):
    """The first observed panel is put to everything; nothing is left out of a panel whose residuals are made."""
    _, out, _, _ = made
    depths = run.depths(load_study("paper"))
    assert depths == {"paper": "printed", "circulation": "whole", "public": "brief"}
    checks = {name: set(pd.read_csv(out / "tables" / f"{name}_checks.csv")["Check"]) for name in depths}
    assert checks["circulation"] > checks["paper"] == checks["public"]
    assert "One unit left out" not in checks["paper"]
    models = {name: set(pd.read_csv(out / "tables" / f"{name}_hierarchical_effects.csv")["model"]) for name in depths}
    assert models["circulation"] == models["paper"] == set(MODELS)
    assert models["public"] == set(MODELS) & set(run.BRIEF)


def test_the_committed_report_was_made_from_these_inputs():
    """`make report` must be run again when data or models change."""
    manifest = json.loads((REPORTS / "manifest.json").read_text())
    assert manifest["inputs"] == input_hashes(load_study("paper"))
    assert (REPORTS / "reanalysis.html").is_file()


def test_numbers_for_people():
    assert number(-0.0004, 3) == "0.000"
    assert number(-1.5, 2) == "−1.50"
    assert number(math.nan) == ""
    assert number(-math.inf) == "−∞"
    assert interval(-1, 2) == "−1.00 to 2.00"
    assert (probability(0.9999), probability(0.001), probability(0.5)) == ("> 0.99", "< 0.01", "0.50")
    assert whole(None) == ""
    assert unbroken("a b") == "a\u00a0b"


def test_a_table_as_markdown():
    table = ReportTable(
        name="x", caption="A caption.", origin=Origin.SIMULATED, columns=("a", "b"), rows=(("1", "-.775"),)
    )
    assert table.markdown().splitlines()[0] == "A caption. (Origin: simulated.)"
    assert "-.775" in table.markdown()
