"""The event study as a whole: what it says where panels are unusual."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest

from cbec_bayes.classical.regression import twfe
from cbec_bayes.jobs.events import EventOptions, EventStudy, event_study, question_of_study
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import PeriodEffects, TwoWay, period_codes
from cbec_bayes.reporting.events import event_files, event_section
from cbec_bayes.runtime.errors import GateError, InputError
from tests.support.staggered import staggered


@functools.cache
def studied() -> EventStudy:
    return event_study(staggered(noise=0.3), EventOptions(errors="independent"))


def test_all_estimators_are_there_with_intervals_about_their_estimates():
    events = studied().events
    assert set(events["estimator"]) == {"twfe", "sun_abraham", "gardner", "saturated", "hierarchical"}
    assert (events["ci_low"] < events["estimate"]).all()
    assert (events["estimate"] < events["ci_high"]).all()
    classical = events["estimator"] != "hierarchical"
    assert (events["se"].notna() == classical).all()
    assert (events["sd"].notna() == ~classical).all()
    assert events.duplicated(["event_time", "group", "estimator"]).sum() == 0
    assert studied().weights["mean"].notna().all()
    studied().require()


def test_the_sentences_say_what_holds():
    said = " ".join(studied().sentences)
    assert "24 of 32 units adopt between 2004 and 2007, in 3 cohorts" in said
    assert "the sign holds under all" in said
    assert "Before adoption no difference between units that adopt and others is found" in said


def test_leads_that_move_are_told():
    design = staggered(noise=0.1)
    treated = np.isin(design.unit, np.unique(design.unit[design.x[:, 0] > 0]))
    found = event_study(replace(design, y=design.y + 0.5 * treated * design.time), EventOptions(errors="independent"))
    assert any("already moved apart from the others" in one for one in found.sentences)
    assert any("the panel speaks for effects before adoption" in one for one in found.sentences)
    factor = found.pretrends.set_index("test").loc["log Bayes factor of none", "statistic"]
    assert factor < -5


def test_periods_that_are_no_whole_numbers_have_independent_errors():
    design = staggered()
    half = replace(design, times=tuple(2001 + t / 2 for t in range(9)))
    found = event_study(half)
    assert found.options.errors == "independent"
    assert any(note.startswith("Errors of the hierarchical model are independent: ") for note in found.notes)


def test_without_an_error_there_is_no_posterior():
    found = event_study(staggered(noise=0.0))
    assert "hierarchical" not in set(found.events["estimator"])
    assert any(note.startswith("There is no hierarchical model") for note in found.notes)
    assert found.weights["mean"].isna().all()
    event_files(found)


def test_a_posterior_that_is_too_large_is_a_note(monkeypatch):
    monkeypatch.setattr("cbec_bayes.bayes.events.model.LAID_OUT_MAX", 100)
    found = event_study(staggered(), EventOptions(errors="independent"))
    assert any(
        "There is no hierarchical model: " in note and "in 288 rows are too many" in note for note in found.notes
    )


def test_a_posterior_without_a_mode_is_a_failed_gate_and_all_else_is_there(monkeypatch):
    def fail(*args, **options):
        raise GateError("no mode")

    monkeypatch.setattr("cbec_bayes.jobs.events.fit_events", fail)
    found = event_study(staggered())
    assert "twfe" in set(found.events["estimator"])
    with pytest.raises(GateError, match="no mode"):
        found.require()


def test_an_estimator_that_a_panel_is_too_small_for_is_a_note():
    """Every unit is a cohort by itself, so that leads of cohorts leave nothing."""
    design = staggered(n_units=5, n_times=6, cohorts=(2003, 2004, 2005, 2006, 0), control=None)
    found = event_study(replace(design, group=None, groups=()), EventOptions(errors="independent"))
    assert set(found.events["estimator"]) == {"twfe", "gardner", "saturated", "hierarchical"}
    assert [note.split(":")[0] for note in found.notes if note[:4] == "Left"] == ["Left out is Sun and Abraham"]


def test_weights_and_posterior_exist_where_the_saturated_regression_does_not():
    design = staggered(n_units=3, n_times=4, cohorts=(2002, 2003, 0))
    found = event_study(replace(design, group=None, groups=()), EventOptions(errors="independent"))
    assert set(found.events["estimator"]) == {"twfe", "gardner", "hierarchical"}
    assert found.weights["estimate"].isna().all()
    assert found.weights["mean"].notna().all()
    assert len(found.sentences) > 3
    event_files(found)


def test_effects_of_periods_by_group_go_through():
    design = staggered()
    time = period_codes(design.time, design.group, PeriodEffects.BY_GROUP)
    by_group = replace(design, effects=TwoWay(design.unit, time), period_effects=PeriodEffects.BY_GROUP)
    found = event_study(by_group, EventOptions(errors="independent"))
    static = found.events.set_index(["event_time", "group", "estimator"]).loc[("(all)", "(all)", "twfe"), "estimate"]
    assert static == pytest.approx(twfe(by_group).estimate[0])
    found.require()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (EventOptions(ssc="none"), "unknown convention"),
        (EventOptions(errors="ar"), "did you mean 'ar1'"),
        (EventOptions(ci=0.0), "--ci"),
        (EventOptions(prior_scale=-1.0), "--prior-scale"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        event_study(staggered(), options)


def one_cohort() -> Design:
    design = staggered(cohorts=(2004, 0), control=None)
    return replace(design, group=None, groups=())


def without_leads() -> Design:
    return staggered(cohorts=(2002, 2002, 0))


@pytest.mark.parametrize("make", [one_cohort, without_leads])
def test_small_designs_go_through(make):
    found = event_study(make(), EventOptions(errors="independent"))
    section = event_section(found, "laws")
    assert all(table.name.startswith("laws_") for table in section.tables)
    assert section.figure.startswith("<svg")
    found.require()


def test_the_section_has_the_tables_in_order():
    section = event_section(studied())
    assert [table.name for table in section.tables] == ["events", "event_groups", "event_pretrends", "event_weights"]
    weights = section.tables[-1]
    marked = [row for row, marks in zip(weights.rows, weights.marks, strict=True) if any(marks)]
    assert len(marked) == (studied().weights["weight"] < 0).sum()


def test_names_of_columns_are_escaped_on_the_page():
    design = replace(staggered(), outcome="<script>alert(1)</script>")
    page = event_files(event_study(design, EventOptions(errors="independent")))["events.html"]
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_a_study_without_a_panel_is_refused(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('title = "t"\n')
    with pytest.raises(InputError):
        question_of_study(path, options=EventOptions())


def test_sentences_page_and_figure_have_the_labels_of_a_study():
    labels = {"y": "Value added (ln)", "d": "Pilot zones", "x": "Income per head"}
    design = replace(staggered(), outcome="y", terms=("d", "x"))
    found = event_study(design, EventOptions(errors="independent"), labels=labels)
    assert "mean effect of adoption on Value added (ln) over all treated rows" in " ".join(found.sentences)
    files = event_files(found)
    assert "<h1>What happens to Value added (ln) after Pilot zones?</h1>" in files["events.html"]
    assert "Income per head" in files["events.html"]
    assert "effect on Value added (ln)" in files["figures/events.svg"]
    assert "effect on y" in event_files(event_study(design, EventOptions(errors="independent")))["figures/events.svg"]


def test_the_question_of_a_study_has_its_labels():
    question = question_of_study("circulation", options=EventOptions())
    assert question.labels["ln_circulation"] == "Value added of circulation (ln)"
