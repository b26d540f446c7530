"""The page of a study that has printed tables and nothing else: whole, and without what is observed."""

from __future__ import annotations

import re

import pytest

from cbec_bayes.jobs.reanalysis import reanalyse
from cbec_bayes.jobs.results import StudyResults
from cbec_bayes.panel.study import load_study
from cbec_bayes.reporting.front import answer
from cbec_bayes.reporting.page import render
from cbec_bayes.runtime.journal import Journal
from cbec_bayes.runtime.versions import versions
from tests.support.pages import Reader


@pytest.mark.slow
def test_a_study_of_printed_tables_alone_has_a_page(tmp_path):
    study = load_study("paper")
    assert study.published is not None
    found = StudyResults(
        analysis=reanalyse(study.published),
        manifest={"versions": versions()},
        journal=Journal(tmp_path / "journal", "a"),
    )
    said = answer(found)
    assert said[0].startswith("What the paper prints settles")
    assert len(said) == 2
    page = render(found)
    reader = Reader()
    reader.feed(page.html)
    reader.close()
    assert reader.open == []
    assert {link for link in reader.links if link.startswith("#")} <= {f"#{name}" for name in reader.ids}
    text = " ".join(reader.text)
    assert "Public statistics" not in text
    assert re.findall(r'<section id="(\w+)">', page.html) == ["answer", "effects", "audit", "methods", "provenance"]
    assert "tables/evidence.csv" not in page.files
