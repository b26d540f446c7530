"""What a fit says of the members that lack one of its terms, against fits of these members."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.checks.severity import Change, Slope
from cbec_bayes.commands import program as cli
from cbec_bayes.estimands.groups import effects
from cbec_bayes.jobs import neighbours as module
from cbec_bayes.jobs.neighbours import (
    DIFFERENCES,
    FITTED,
    TRENDS,
    neighbours,
    read_neighbours,
    refits_without,
    said_of_sign,
)
from cbec_bayes.jobs.questions import question_of_folder
from cbec_bayes.panel import Roles, make_panel
from cbec_bayes.panel.design import make_design
from cbec_bayes.runtime.labels import GROUP_AVERAGE
from tests.support.members import member

ROLES = Roles(outcome="y", exposure="d", controls=(), unit="unit", time="time", group="group")
COLUMNS = [
    word for name in ("outcome", "exposure", "unit", "time", "group") for word in (f"--{name}", getattr(ROLES, name))
]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    with threadpool_limits(1):
        yield


def table(rho=0.0, drift=0.0, n_units=18, n_times=9):
    """Units drift, and their exposures with them where `drift` is not zero; errors are AR(1)."""
    rng = np.random.default_rng(5)
    unit, time = np.divmod(np.arange(n_units * n_times), n_times)
    trend = rng.normal(size=n_units)[unit] * time
    d = 0.3 * drift * trend + rng.normal(size=len(unit))
    e = rng.normal(size=(n_units, n_times))
    for t in range(1, n_times):
        e[:, t] += rho * e[:, t - 1]
    frame = pd.DataFrame({"unit": unit, "time": 2000 + time, "group": np.where(unit % 2, "b", "a"), "d": d})
    return frame.assign(y=0.4 * d + drift * trend + e.ravel()).astype({"unit": str})


def design(**asked):
    return make_design(make_panel(table(**asked), ROLES))


def change(own, other):
    return Change(GROUP_AVERAGE, Slope(*own), Slope(*other))


def test_what_was_refitted_ahead_is_taken_as_it_is():
    panel, model = design(drift=1.0), member(group_slope="pooled", unit_trend="pooled", spread="by_group")
    found = fit(panel, model, draws=100, seed=1)
    ahead = refits_without(panel, model, seed=2)
    here, taken = (neighbours(found, seed=2, ahead=one) for one in (None, lambda: ahead))
    pd.testing.assert_frame_equal(here.table, taken.table)
    assert here.said == taken.said
    moved = [replace(one, log_evidence=-1.0) for one in ahead]
    assert neighbours(found, seed=2, ahead=lambda: moved).table["log_evidence"].tolist()[1:] == [-1.0] * len(moved)


def test_a_row_is_the_average_of_the_member_without_the_term():
    panel, model = design(drift=1.0), member(group_slope="pooled", unit_trend="pooled", spread="by_group")
    found = fit(panel, model, draws=500, seed=1)
    rows = neighbours(found, seed=2).table.set_index("term")
    assert list(rows.index) == [FITTED, "trends of units", "a spread by group"]
    assert rows["gate"].eq("passed").all()
    for term, other in (
        (FITTED, model),
        ("trends of units", member(group_slope="pooled", spread="by_group")),
        ("a spread by group", member(group_slope="pooled", unit_trend="pooled")),
    ):
        again = fit(panel, other, draws=2_000, seed=3)
        own = effects(again).set_index("group").loc[GROUP_AVERAGE]
        few = own["mcse"] * np.sqrt(8_000 / module.DRAWS)
        for column in ("mean", "ci_low", "ci_high"):
            assert rows.loc[term, column] == pytest.approx(own[column], abs=4 * few + 1e-3 * own["sd"])
        assert rows.loc[term, "log_evidence"] == pytest.approx(again.log_evidence, abs=0.3)
    assert abs(rows.loc["trends of units", "mean"] - rows.loc[FITTED, "mean"]) > 4 * rows.loc[FITTED, "sd"]


def test_a_member_with_nothing_to_leave_out_has_no_neighbours():
    assert neighbours(fit(design(), "partial_pooling", draws=100)) is None


@pytest.mark.parametrize(
    ("own", "others", "said"),
    [
        (
            (0.3, 0.1, 0.5),
            {"a": (0.31, 0.11, 0.51), "b": (0.29, 0.1, 0.49)},
            "The average slope stays positive when the model is fitted without any single one of these terms (a, b); "
            "the slope changes little in each case.",
        ),
        (
            (0.3, 0.1, 0.5),
            {"a": (0.31, 0.11, 0.51), "b": (0.1, -0.1, 0.3), "c": (-0.3, -0.5, -0.1)},
            "The average slope does not stay positive: without b it is not settled, 0.10 (−0.10 to 0.30); without "
            "c it is negative, −0.30 (−0.50 to −0.10); without a the slope changes little.",
        ),
        (
            (-0.3, -0.5, -0.1),
            {"a": (-0.45, -0.65, -0.25)},
            "The average slope stays negative when the model is fitted without a; without a the slope "
            "would be −0.45 (−0.65 to −0.25).",
        ),
        (
            (0.1, -0.1, 0.3),
            {"a": (0.1, -0.1, 0.3), "b": (0.25, 0.05, 0.45)},
            "The sign of the average slope is not settled under this model, but it is without one of the terms: "
            "without b it is positive, 0.25 (0.05 to 0.45); without a the slope changes little.",
        ),
        (
            (0.1, -0.1, 0.3),
            {"a": (0.1, -0.1, 0.3), "b": None},
            "The sign of the average slope is not settled. It is not settled either when the model is fitted without "
            "a; the slope changes little; without b the slope is not known, because the refit missed a gate.",
        ),
        ((0.1, -0.1, 0.3), {"a": None}, "The average slope without a is not known, because no refit passed its gates."),
    ],
)
def test_it_is_said_first_whether_the_sign_stays(own, others, said):
    changes = {term: change(own, other) for term, other in others.items() if other is not None}
    assert said_of_sign(Slope(*own), changes, list(others)) == said


def test_errors_that_hardly_fade_may_be_a_unit_root_or_trends():
    found = fit(design(rho=1.0, n_times=14), load_panel_model("ar1"), draws=500, seed=1)
    beside = neighbours(found, seed=1)
    rows = beside.table.set_index("term")
    assert list(rows.index) == [FITTED, "AR(1) errors", DIFFERENCES, TRENDS]
    assert "errors that hardly fade may in truth be trends of units" in beside.said[1]
    assert "Estimated from first differences, the average slope is" in beside.said[1]
    differences = effects(fit(found.design, "first_differences", draws=500, seed=1)).set_index("group")
    own = differences.loc[GROUP_AVERAGE]
    assert rows.loc[DIFFERENCES, "mean"] == pytest.approx(own["mean"], abs=0.2 * own["sd"])
    fading = neighbours(fit(design(rho=0.5), load_panel_model("ar1"), draws=500, seed=1), seed=1)
    assert len(fading.said) == 1


def test_a_refit_that_misses_a_gate_has_no_numbers(monkeypatch):
    found = fit(design(), member(group_slope="pooled", spread="by_group"), draws=200, seed=1)

    def failing(*_, **__):
        raise module.GateError("a gate is missed")

    monkeypatch.setattr(module, "draw_scales", failing)
    beside = neighbours(found)
    assert beside.table["gate"].tolist() == ["passed", "a gate is missed"]
    assert beside.table.iloc[1][["mean", "ci_low", "log_evidence"]].isna().all()
    assert "no refit passed its gates" in beside.said[0]


def test_many_rows_are_not_fitted_again(monkeypatch):
    found = fit(design(), member(group_slope="pooled", spread="by_group"), draws=100)
    monkeypatch.setattr(module, "MAX_WORK", 100)
    beside = neighbours(found)
    assert beside.table.empty
    assert beside.said == ("162 rows are too many to fit the model again without each of its terms.",)


def program(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["fit", "--data", "panel.csv", *COLUMNS, *arguments])
    return stopped.value.code, capsys.readouterr().out


def test_the_default_fit_is_the_robust_member_with_its_neighbours(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    table(drift=1.0).to_csv("panel.csv", index=False)
    status, out = program(capsys, "--out", "o")
    assert status == 0
    assert out.startswith("robust: ")
    held = json.loads(Path("o/diagnostics.json").read_text())
    assert held["model"] == "robust"
    assert held["neighbours"][0] in out
    assert json.loads(Path("o/fit.json").read_text())["model"] is None
    rows = pd.read_csv("o/neighbours.csv")
    terms = [FITTED, "AR(1) errors", "trends of units", "a spread by group", "slopes of units", "periods by group"]
    assert rows["term"].tolist()[:6] == terms
    average = pd.read_csv("o/effects.csv").iloc[0]
    assert rows.loc[0, ["mean", "ci_low", "ci_high"]].tolist() == pytest.approx(
        average[["mean", "ci_low", "ci_high"]].tolist()
    )
    assert question_of_folder(Path("o")).base == load_panel_model("robust")
    read = read_neighbours(Path("o"))
    assert list(read.said) == held["neighbours"]
    pd.testing.assert_frame_equal(read.table, rows, check_dtype=False)


def test_they_can_be_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    table().to_csv("panel.csv", index=False)
    assert program(capsys, "--model", "ar1", "--no-neighbours", "--out", "o")[0] == 0
    assert not Path("o/neighbours.csv").exists()
    assert json.loads(Path("o/diagnostics.json").read_text())["neighbours"] == []
    assert read_neighbours(Path("o")) is None
