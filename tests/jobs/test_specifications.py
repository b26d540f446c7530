"""The job and the command: files, what they hold, what is kept, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.commands.program import main
from cbec_bayes.estimands.summary import UNIT_EFFECT_COLUMNS
from cbec_bayes.jobs import lattices
from cbec_bayes.jobs.questions import OtherPanel, Question, question_of_study
from cbec_bayes.jobs.specifications import UNFINISHED, forget, specify
from cbec_bayes.panel.study import MAIN
from cbec_bayes.reporting.specifications import curve_files, curves
from cbec_bayes.reporting.spectables import specification_tables
from cbec_bayes.runtime.errors import GateError, InputError
from cbec_bayes.runtime.labels import GROUP_ALL, GROUP_AVERAGE, GROUP_NEW
from cbec_bayes.specifications.lattice import ALTERNATIVE, AXES, LEVELS, LOGARITHMS, Lattice, lattice
from cbec_bayes.specifications.tables import SPECIFICATION_COLUMNS
from tests.support.simulated import simulated

SMALL = ("plain", "trends", "random_walk", "controls")


def a_question(design=None, **more):
    return Question(
        design=simulated() if design is None else design, base=None, ssc="reghdfe", seed=2, content={}, **more
    )


@pytest.fixture
def few(monkeypatch):
    """A lattice of four members."""

    def of(design, *rest, **named):
        whole = lattice(design, *rest, **named)
        return Lattice(tuple(one for one in whole.specifications if one.name in SMALL), whole.left_out)

    monkeypatch.setattr(lattices, "lattice", of)


def test_every_member_has_its_rows_and_weights_add_up(few):
    found = specify(a_question(), draws=200)
    table = found.specifications
    assert tuple(table.columns) == SPECIFICATION_COLUMNS
    groups = [GROUP_AVERAGE, "g0", "g1", "g2", GROUP_ALL, GROUP_NEW]
    assert list(table["member"].unique()) == ["plain", "controls", "trends", "random_walk"]
    assert list(table.loc[table["member"] == "trends", "group"]) == groups
    one = table.drop_duplicates("member")
    assert one["weight"].sum() == pytest.approx(1)
    assert one["probability"].sum() == pytest.approx(1)
    assert one["elpd_difference"].max() == 0
    assert (one["elpd_difference_se"] >= 0).all()
    assert (table["ci_low"] < table["mean"]).all()
    # The outcome is of the plain model: the slopes are known, and first differences predict worse.
    shown = table[table["group"] == "g1"].set_index("member")
    assert abs(shown.loc["plain", "mean"] - 0.5) < 4 * shown.loc["plain", "sd"]
    assert shown["elpd_unit"].idxmin() == "random_walk"
    assert abs(shown.loc["plain", "classical"] - shown.loc["plain", "mean"]) < 2 * shown.loc["plain", "sd"]
    assert table["classical"].isna().sum() == len(one)
    added = ["sign_changes", "outcome_scale", "rope_half_width", "p_rope", "alternative"]
    assert list(found.mixture.columns) == [*UNIT_EFFECT_COLUMNS, *added]
    assert list(found.conclusions["group"]) == groups
    assert found.sentences[0].startswith("The average slope of d over units is positive under ")


def test_what_is_finished_is_not_done_again(few, monkeypatch, tmp_path):
    """Interrupted after two members, it goes on with the third, and finds the same."""
    whole = specify(a_question(), draws=100)
    done = []

    def counted(task):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(task.specification.name)
        return fit_member(task)

    fit_member = lattices.fit_member
    monkeypatch.setattr(lattices, "fit_member", counted)
    with pytest.raises(KeyboardInterrupt):
        specify(a_question(), draws=100, kept_in=tmp_path)
    monkeypatch.setattr(
        lattices, "fit_member", lambda task: (done.append(task.specification.name), fit_member(task))[1]
    )
    again = specify(a_question(), draws=100, kept_in=tmp_path)
    assert len(done) == 4
    pd.testing.assert_frame_equal(again.specifications, whole.specifications)
    assert (tmp_path / UNFINISHED).exists()
    forget(tmp_path)
    assert not (tmp_path / UNFINISHED).exists()


def test_a_member_that_misses_a_gate_is_named_and_has_no_weight(few, monkeypatch):
    fit_member = lattices.fit_member

    def missing(task):
        return {"gate": "it did not converge"} if task.specification.name == "plain" else fit_member(task)

    monkeypatch.setattr(lattices, "fit_member", missing)
    found = specify(a_question(), draws=100)
    lost = found.specifications[found.specifications["member"] == "plain"]
    assert set(lost["gate"]) == {"it did not converge"}
    assert lost[["mean", "weight", "probability"]].isna().all(axis=None)
    assert found.missed == {"plain": "it did not converge"}
    assert "1 of 4 specifications missed a gate" in found.sentences[-1]
    monkeypatch.setattr(lattices, "fit_member", lambda task: {"gate": "none does"})
    nothing = specify(a_question(), draws=100)
    with pytest.raises(GateError, match="no specification"):
        nothing.require()


def test_logarithms_have_weights_of_their_own(few):
    design = simulated()
    positive = replace(design, y=np.exp(design.y / 10))
    found = specify(a_question(positive, logarithms=True), draws=100)
    sums = found.specifications.drop_duplicates(["member", "outcome_scale"]).groupby("outcome_scale")["weight"].sum()
    assert sums.to_dict() == pytest.approx({"levels": 1, "logarithms": 1})
    assert any("different units" in said for said in found.sentences)
    with pytest.raises(InputError, match="logarithm"):
        specify(a_question(logarithms=True), draws=100)


def test_other_panels_have_the_reduced_lattice_and_weights_of_their_own(few):
    """Of the same rows the members are the same; what is said of the main panel does not depend on the others."""
    design = simulated()
    doubled = OtherPanel("doubled", "outcome twice as large", replace(design, y=2 * design.y), LEVELS)
    same = OtherPanel("same", "nothing", design, LOGARITHMS)
    alone, found = specify(a_question(), draws=100), specify(a_question(alternatives=(doubled, same)), draws=100)
    for name in ("specifications", "mixture", "conclusions"):
        whole = getattr(found, name)
        assert list(whole.columns)[-1] == ALTERNATIVE
        assert list(whole[ALTERNATIVE].unique()) == [MAIN, "doubled", "same"]
        pd.testing.assert_frame_equal(getattr(found.of_main, name), getattr(alone, name))
    table = found.specifications
    own = {name: part.set_index(["member", "group"]) for name, part in table.groupby(ALTERNATIVE)}
    assert set(own["same"].index.get_level_values("member")) == {"plain", "controls", "trends"}
    shared = own["same"].index
    for column in ("mean", "sd", "log_evidence", "elpd_unit", "classical"):
        np.testing.assert_allclose(own["same"][column], own[MAIN].loc[shared, column], rtol=1e-12)
    np.testing.assert_allclose(own["doubled"]["mean"], 2 * own["same"]["mean"], rtol=1e-6)
    np.testing.assert_allclose(own["doubled"]["classical"], 2 * own["same"]["classical"], rtol=1e-8)
    for part in own.values():
        assert part["weight"].groupby("member").first().sum() == pytest.approx(1)
    assert set(own["same"]["outcome_scale"]) == {LOGARITHMS}
    said = [one for one in found.sentences if one not in alone.sentences]
    assert said[0].startswith("The average slope in 3 panels that ask the same question, the main one included: in 3 ")
    assert said[1].startswith("doubled (outcome twice as large): it is positive, and each interval leaves out zero;")
    assert len(said) == 3
    tables = {one.name: one for one in specification_tables("", found)}
    assert [row[0] for row in tables["alternatives"].rows] == ["outcome twice as large", "nothing"]
    assert len(specification_tables("", alone)) == 2
    assert list(curve_files(curves(table, "d"))) == ["specifications.svg"]


def test_a_study_asks_all_its_panels():
    question = question_of_study("circulation", seed=1)
    assert question.outcome_scale == LOGARITHMS
    found = {one.name: one for one in question.alternatives}
    assert found["trillion_yuan"].outcome_scale == LEVELS
    assert found["per_head"].outcome_scale == LOGARITHMS
    assert str(found["index"].design.origin) == "observed (index)"
    np.testing.assert_allclose(np.log(found["trillion_yuan"].design.y), question.design.y, atol=1e-12)
    assert question_of_study("public", seed=1).alternatives == ()


@pytest.fixture
def a_file(tmp_path):
    design = simulated()
    frame = pd.DataFrame(design.x, columns=list(design.terms)).assign(y=design.y)
    frame["unit"] = [design.units[u] for u in design.unit]
    frame["time"] = [int(design.times[t]) for t in design.time]
    frame["group"] = [design.groups[g] for g in design.group]
    path = tmp_path / "panel.csv"
    frame.to_csv(path, index=False)
    return path


COLUMNS = [
    "--outcome",
    "y",
    "--exposure",
    "d",
    "--controls",
    "x",
    "--unit",
    "unit",
    "--time",
    "time",
    "--group",
    "group",
]


def test_the_command_writes_its_files_and_says_conclusions_first(few, a_file, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["specifications", "--data", str(a_file), *COLUMNS, "--out", str(out), "--workers", "1"]
    for said in ("Written", "Nothing has changed"):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
        printed = capsys.readouterr().out
        assert printed.startswith("The average slope of d over units ")
        assert said in printed
    written = {path.name for path in out.iterdir() if not path.name.startswith(".")}
    assert written == {"specifications.csv", "mixture.csv", "conclusions.csv", "specifications.svg"}
    table = pd.read_csv(out / "specifications.csv")
    assert list(table.columns[: 2 + len(AXES)]) == ["member", *AXES, "outcome_scale"]
    assert "trends of units" in (out / "specifications.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no panel is named"),
        (["--study", "public", "--data", "x.csv"], "name only one panel"),
        (["--data", "x.csv", "--outcome", "y"], "missing options: --exposure, --unit, --time"),
        (["nowhere"], "not the folder of a fit"),
    ],
)
def test_a_panel_is_named_once_and_wholly(arguments, said, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["specifications", *arguments])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
