"""The command `calibrate`: its files, their seal, its gates, and the results that ship with the package."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.bayes.model.family import panel_model_names
from cbec_bayes.calibration import event_coverage
from cbec_bayes.calibration import plan as planned
from cbec_bayes.calibration.behaviour import behaviour
from cbec_bayes.calibration.coverage import COVERAGE_COLUMNS, MODELS, SCENARIOS
from cbec_bayes.calibration.event_coverage import EVENT_COVERAGE_COLUMNS, HIERARCHICAL, QUANTITIES
from cbec_bayes.calibration.plan import WRONG, plan
from cbec_bayes.calibration.sbc import DRAWS, SBC_COLUMNS, Calibration
from cbec_bayes.commands import program as cli
from cbec_bayes.commands.calibration import lines_of
from cbec_bayes.jobs import calibrate as job
from cbec_bayes.jobs.calibrate import FILES, Calibrated, committed, digests
from cbec_bayes.jobs.run import ensemble_journal
from cbec_bayes.runtime import receipts
from cbec_bayes.runtime.errors import GateError
from cbec_bayes.runtime.fanout import SERIAL
from cbec_bayes.runtime.files import asset_dir


def uniform(n: int = 200) -> np.ndarray:
    return np.arange(n) % (DRAWS + 1)


def calibrated(*results: Calibration) -> Calibrated:
    nothing = (pd.DataFrame(columns=list(columns)) for columns in (COVERAGE_COLUMNS, EVENT_COVERAGE_COLUMNS))
    return Calibrated(results, *nothing, {})


def test_ranks_that_are_not_uniform_close_the_gate():
    right = Calibration("nested", "nested", {"tau": uniform(), "slope": uniform()}, 0)
    wrong = Calibration("nested", "ar1", {"tau": uniform() // 2, "slope": uniform()}, 0)
    calibrated(right, wrong).require()
    off = Calibration("nested", "nested", {"tau": uniform() // 2, "slope": uniform()}, 0)
    with pytest.raises(GateError, match="ranks of tau under nested are not uniform"):
        calibrated(off, wrong).require()
    with pytest.raises(GateError, match="nested fitted to data of ar1 passes"):
        calibrated(right, Calibration("nested", "ar1", {"tau": uniform()}, 0)).require()
    with pytest.raises(GateError, match="could not be fitted or missed a gate: nested: 3"):
        calibrated(Calibration("nested", "nested", {"tau": uniform()}, 3)).require()
    calibrated(right, Calibration("nested", "ar1", {"tau": uniform(50)}, 0)).require()  # too few to tell


def test_intervals_of_effects_of_adoption_close_the_gate():
    right = Calibration("nested", "nested", {"tau": uniform(), "slope": uniform()}, 0)
    rows = [
        ("growing effects", QUANTITIES[0], HIERARCHICAL, 200, 0.94),
        ("growing effects", *QUANTITIES[:1], "twfe", 200, 0.1),
    ]
    names = ["scenario", "column", "method", "replications", "coverage"]
    events = pd.DataFrame(rows, columns=names)
    replace(calibrated(right), events=events).require()
    with pytest.raises(GateError, match="hierarchical covers the effect mean after adoption in 60% of panels"):
        replace(calibrated(right), events=events.assign(coverage=[0.6, 0.1])).require()


def test_the_plan_has_every_member():
    planned = plan(1_000)
    by_name = {(model, data_of): n for model, data_of, n in planned.models}
    assert set(by_name) == {(name, name) for name in panel_model_names()} | set(WRONG)
    assert by_name["partial_pooling", "partial_pooling"] == 1_000
    assert by_name["student_t", "student_t"] == by_name[WRONG[0]] == 200
    assert planned.outcomes == planned.event_panels == 500
    assert plan(1_000, outcomes=30).outcomes == 30
    assert plan(1_000, outcomes=30).models == planned.models


@pytest.mark.parametrize("name", ["package_digest", "versions"])
def test_unfinished_work_of_another_program_is_begun_anew(name, tmp_path, monkeypatch):
    journals = []
    monkeypatch.setattr(job, "calibrate", lambda *_, journal, **__: journals.append(journal) or [])
    for study in ("coverage", "event_coverage"):
        monkeypatch.setattr(job, study, lambda *_, journal, **__: journals.append(journal))
    for _ in range(2):
        job.calibrate_all(SERIAL, n=5, kept_in=tmp_path)
        journals.append(ensemble_journal(tmp_path, {"seed": 1}, 100))
    monkeypatch.setattr(receipts, name, lambda: {"of": "another"})
    job.calibrate_all(SERIAL, n=5, kept_in=tmp_path)
    journals.append(ensemble_journal(tmp_path, {"seed": 1}, 100))
    for first, second, other in zip(journals[:4], journals[4:8], journals[8:], strict=True):
        assert first.path == second.path == other.path
        assert first.what == second.what != other.what


def test_lines_say_how_many_replications_passed():
    kept = Calibration("nested", "nested", {"tau": uniform(), "slope": uniform()}, 0)
    lost = Calibration("nested", "ar1", {"tau": uniform(198)}, 2)
    none = Calibration("ar1", "ar1", {}, 4)
    first, second, third = lines_of((kept, lost, none))
    assert first == "nested: 200 of 200 replications passed their gates, ranks uniform"
    assert second.startswith("nested, wrong on purpose: data of ar1: 198 of 200 replications passed their gates, ranks")
    assert third == "ar1: 0 of 4 replications passed their gates, none is ranked"


@pytest.mark.nightly
def test_the_command_calibrate_writes_its_files(tmp_path, monkeypatch, capsys):
    behaviour()  # is measured once in a process, and of the whole plan
    for module in (job, planned):
        monkeypatch.setattr(module, "panel_model_names", lambda: ("complete_pooling", "partial_pooling"))
    out = tmp_path / "out"

    def program(*arguments: object) -> int:
        with pytest.raises(SystemExit) as stopped:
            cli.main(["calibrate", *map(str, arguments)])
        return int(stopped.value.code or 0)

    assert program("--n", 6, "--workers", 1, "--out", out) == 0
    said = capsys.readouterr().out
    assert "complete_pooling: 6 of 6 replications passed their gates, ranks uniform" in said
    assert "wrong on purpose: data of nested" in said
    assert "Origin: simulated" in said
    drawn = ("calibration_ranks.svg", "calibration_coverage.svg")
    assert sorted(path.name for path in out.iterdir()) == sorted([".calibrate.receipt", ".cbec_bayes", *FILES, *drawn])
    sbc, ranks, coverage, events = (pd.read_csv(out / name) for name in FILES[:4])
    assert tuple(sbc.columns) == SBC_COLUMNS
    assert (ranks.filter(like="rank_").sum(axis=1) == sbc["replications"]).all()
    assert tuple(coverage.columns) == COVERAGE_COLUMNS
    assert set(coverage["scenario"]) == {scenario.name for scenario in SCENARIOS}
    assert set(MODELS) < set(coverage["method"])
    assert tuple(events.columns) == EVENT_COVERAGE_COLUMNS
    assert set(events["scenario"]) == {scenario.name for scenario in event_coverage.SCENARIOS}
    assert set(events["replications"] + events["failed"]) == {3}
    assert "Coverage of 95 % intervals for the mean effect after staggered adoption" in said
    for table in (sbc, ranks, coverage, events):
        assert set(table["origin"]) == {"simulated"}
    manifest = json.loads((out / job.MANIFEST).read_text())
    made = {"replications": 6, "outcomes_per_scenario": 3, "event_panels_per_scenario": 3, "seed": 1}
    assert manifest == made | {"produced_by": digests()}
    assert program("--n", 6, "--workers", 2, "--out", tmp_path / "again", "--quiet") == 0
    assert capsys.readouterr().out == ""
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (out / name).read_bytes()
    assert program("--n", 0) == 2


def test_the_calibration_that_ships_was_made_by_code_that_behaves_as_this_one():
    found = committed()
    assert found is not None
    assert found.current
    assert found.manifest["produced_by"] == digests()
    right = found.sbc["model"] == found.sbc["data_of"]
    assert (found.sbc[right]["passed"] == "yes").all()
    wrong = found.sbc[~right].groupby(["model", "data_of"])["passed"]
    assert (wrong.min() == "no").all()
    assert set(found.sbc.loc[right, "model"]) == set(panel_model_names())
    assert tuple(found.events.columns) == EVENT_COVERAGE_COLUMNS
    assert event_coverage.misses(found.events) == []


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of data/calibration, in the place of the package's own."""
    shutil.copytree(asset_dir("data") / job.FOLDER, tmp_path / job.FOLDER)
    monkeypatch.setattr(job, "asset_dir", lambda kind: tmp_path if kind == "data" else asset_dir(kind))
    return tmp_path / job.FOLDER


def test_results_of_code_that_behaves_otherwise_are_not_current(copied, monkeypatch):
    other = json.loads(json.dumps(behaviour()))
    other["densities"]["balanced"]["nested"]["slopes"][0] *= 1 + 1e-6
    monkeypatch.setattr(job, "behaviour", lambda: other)
    assert not committed().current


def test_results_are_current_where_a_processor_rounds_otherwise(copied, monkeypatch):
    other = json.loads(json.dumps(behaviour()))
    other["densities"]["balanced"]["nested"]["slopes"][0] *= 1 + 1e-10
    monkeypatch.setattr(job, "behaviour", lambda: other)
    found = committed()
    assert digests()["behaviour"] != found.manifest["produced_by"]["behaviour"]
    assert found.current


def test_a_stored_behaviour_that_was_changed_is_found_out(copied):
    path = copied / job.BEHAVIOUR
    path.write_text(path.read_text() + "\n")
    assert not committed().current


@pytest.mark.parametrize(
    ("old", "new", "current"),
    [
        ("scale = 0.5", "scale = 0.6", False),
        ("# sd of", "# the sd of", True),
        ("question = ", 'question = "" #', True),
        ("assumes = ", 'assumes = "" #', True),
    ],
    ids=["a prior", "a comment", "the question", "what it assumes"],
)
def test_results_depend_on_terms_and_priors_of_the_models(copied, tmp_path, monkeypatch, old, new, current):
    models = shutil.copytree(asset_dir("models"), tmp_path / "models")
    text = (models / "nested.toml").read_text()
    assert old in text
    (models / "nested.toml").write_text(text.replace(old, new))
    monkeypatch.setattr(job, "asset_dir", lambda kind: copied.parent if kind == "data" else models)
    assert committed().current is current


def test_without_results_there_is_nothing_to_show(tmp_path, monkeypatch):
    monkeypatch.setattr(job, "asset_dir", lambda _: tmp_path)
    assert committed() is None
