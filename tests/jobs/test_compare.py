"""Side by side: each number is that of the module that computes it, and what cannot be compared is blank."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.bayes.refit import diagnose
from cbec_bayes.classical.few import few_clusters
from cbec_bayes.classical.regression import twfe
from cbec_bayes.commands import program as cli
from cbec_bayes.estimands.groups import effects as effects_of
from cbec_bayes.jobs.compare import COMPARE_COLUMNS, compare, side_by_side
from cbec_bayes.jobs.limits import limit_slopes
from cbec_bayes.replication import printed_coefficients
from cbec_bayes.reporting.comparison import compare_table
from cbec_bayes.runtime.errors import GateError, StoppedError
from tests.support.members import panel


@pytest.fixture(scope="module")
def found():
    return fit(panel("balanced"), "partial_pooling", draws=250)


@pytest.fixture(scope="module")
def compared(found):
    return compare(found, replications=199)


def test_every_number_is_that_of_its_module(found, compared):
    assert tuple(compared.columns) == COMPARE_COLUMNS
    design = found.design
    assert compared["group"].tolist() == ["(all)", "(all)", *design.groups]
    assert set(compared["origin"]) == {"simulated"}
    effects = effects_of(found).set_index("group")
    for row in compared.iloc[1:].to_dict("records"):
        part = design if row["group"] == "(all)" else design.of_group(row["group"])
        few = few_clusters(part, replications=199)
        assert row["estimate"] == pytest.approx(few.regression.estimate[0], rel=1e-12)
        for name, value in (("crv1_se", few.regression.se), ("cr2_se", few.cr2_se), ("crv3_se", few.crv3_se)):
            assert row[name] == pytest.approx(value[0], rel=1e-12, nan_ok=True)
        for ours, theirs in (("partial_mean", "mean"), ("partial_low", "ci_low"), ("p_positive", "p_positive")):
            # The average over units stands beside the regression of all rows.
            assert row[ours] == effects.loc["(average)" if row["group"] == "(all)" else row["group"], theirs]
        assert row["pooling_factor"] == effects.loc[row["group"], "pooling_factor"]


def test_the_two_limits_stand_at_either_side(found, compared):
    """Posterior means equal the regressions up to Monte Carlo error (MODEL.md, L1, L2)."""
    design = found.design
    rows = compared.set_index("group").iloc[1:]
    error = 4.5 * (rows["complete_high"] - rows["complete_low"]).iloc[0] / 3.92 / np.sqrt(4_000)
    assert np.ptp(rows["complete_mean"]) == 0
    assert rows["complete_mean"].iloc[0] == pytest.approx(twfe(design).estimate[0], abs=error)
    for group in design.groups:
        error = 4.5 * (rows.loc[group, "no_high"] - rows.loc[group, "no_low"]) / 3.92 / np.sqrt(4_000)
        assert rows.loc[group, "no_mean"] == pytest.approx(twfe(design.of_group(group)).estimate[0], abs=error)
    assert np.isnan(rows.loc["(all)", "no_mean"])


@pytest.mark.parametrize("limit", ["complete_pooling", "no_pooling"])
def test_a_limit_is_what_a_whole_fit_of_it_says(found, limit):
    """Nothing but the scales is drawn of a limit, and its slopes are those of a fit with the same seed."""
    design = found.design
    (slopes,) = limit_slopes(design, load_panel_model(limit), "reghdfe", seed=3).values()
    whole = effects_of(fit(design, limit, seed=3)).set_index("group")
    for row in slopes[slopes["group"].isin(["(all)", *design.groups])].to_dict("records"):
        for name in ("mean", "sd", "ci_low", "ci_high", "p_positive"):
            assert row[name] == pytest.approx(whole.loc[row["group"], name], rel=1e-9)
        assert row["mcse"] == pytest.approx(whole.loc[row["group"], "mcse"], rel=0.5)


def test_effects_that_are_known_are_not_made_again(found, compared, monkeypatch):
    known = effects_of(found)
    monkeypatch.setattr("cbec_bayes.jobs.limits.effects", None)
    pd.testing.assert_frame_equal(compare(found, replications=199, effects=known), compared, check_exact=True)


def test_models_stand_beside_the_column_with_their_regressors_alone(compared):
    alone = compared.iloc[0]
    assert np.isfinite(alone["estimate"])
    assert alone[["complete_mean", "partial_mean", "p_positive", "pooling_factor"]].isna().all()


def test_a_limit_that_cannot_be_fitted_is_blank(found):
    design = found.design
    effects = {"partial_pooling": effects_of(found)}
    columns = [column for column in _columns(design) if column.group is not None]
    frame = side_by_side(design, columns, {}, effects, "partial_pooling")
    assert frame[["estimate", "n_units", "complete_mean", "no_mean"]].isna().all().all()
    assert frame["partial_mean"].notna().all()
    text = compare_table("t", frame)
    assert all("–" in row for row in text.rows)


def lone_unit():
    """A design in which one group is a single unit whose exposure never moves, so that it cannot stand alone."""
    base = panel("balanced")
    x = base.x.copy()
    x[base.unit == 0, 0] = 1.0
    return replace(base, x=x, group=np.where(base.unit == 0, 0, 1 + base.unit % 2), groups=("solo", "a", "b"))


def test_a_limit_in_which_a_group_cannot_stand_alone_has_a_reason(capsys):
    found = fit(lone_unit(), "partial_pooling", draws=250)
    frame = compare(found, replications=199)
    of_groups = frame["group"] != "(all)"
    assert frame[["no_mean", "no_low", "no_high", "no_mcse"]].isna().all().all()
    assert frame.loc[1:, ["complete_mean", "partial_mean"]].notna().all().all()
    (note,) = set(frame[of_groups]["note"])
    assert note.startswith("no pooling: column 'x0': the slope group_total_slope[solo] is not identified")
    assert set(frame[~of_groups]["note"]) == {""}
    caption = compare_table("t", frame).caption
    reason = note.removeprefix("no pooling: ")
    assert caption.endswith(f" No pooling is blank: {reason}. Every fit that is shown passed its gates.")


@pytest.mark.parametrize("limit", ["complete_pooling", "no_pooling"])
def test_a_limit_that_misses_a_gate_is_blank_and_has_a_reason(found, compared, monkeypatch, limit):
    missed = itertools.cycle([7, 0] if limit == "complete_pooling" else [0, 7])  # the limits are drawn in this order

    def with_divergences(drawn):
        return replace(diagnose(drawn), divergences=next(missed))

    monkeypatch.setattr("cbec_bayes.jobs.limits.diagnose", with_divergences)
    frame = compare(found, replications=199)
    short = limit.removesuffix("_pooling")
    blank = [f"{short}_{end}" for end in ("mean", "low", "high", "mcse")]
    assert frame[blank].isna().all().all()
    rest = [name for name in COMPARE_COLUMNS if name not in (*blank, "note")]
    pd.testing.assert_frame_equal(frame[rest], compared[rest], check_exact=True)
    stand = compared[blank[0]].notna()
    said = f"{short} pooling: the sampler did not converge: 7 divergent transitions"
    assert frame["note"].tolist() == [said if there else "" for there in stand]
    table = compare_table("t", frame)
    assert table.caption.endswith(
        f" {short.capitalize()} pooling is blank: the sampler did not converge: 7 divergent transitions. "
        "Every fit that is shown passed its gates."
    )
    # A blank limit does not make the row of all regressors another.
    assert [row[0] for row in table.rows] == ["all rows, exposure alone", "all rows", *found.design.groups]


def test_limits_that_pass_are_said_to(compared):
    assert set(compared["note"]) == {""}
    assert compare_table("t", compared).caption.endswith(" Every fit behind the table passed its gates.")


def test_more_groups_than_are_fitted_alone_have_a_reason(found, monkeypatch):
    monkeypatch.setattr("cbec_bayes.jobs.compare.MAX_GROUPS", 2)
    notes = compare(found, replications=199)["note"]
    n = len(found.design.groups)
    assert set(notes[2:]) == {f"no pooling: each group is fitted alone only up to 2 groups, and there are {n}"}


def test_both_limits_that_are_blank_have_a_sentence_each(compared):
    both = ["", "complete pooling: a; b", *["complete pooling: a; b; no pooling: c"] * (len(compared) - 2)]
    caption = compare_table("t", compared.assign(note=both)).caption
    assert caption.endswith(
        " Complete pooling is blank: a; b. No pooling is blank: c. Every fit that is shown passed its gates."
    )


def test_a_fit_that_misses_a_gate_is_not_compared(found):
    with pytest.raises(GateError, match="3 divergent transitions"):
        compare(replace(found, diagnostics=replace(found.diagnostics, divergences=3)))


def test_other_errors_are_not_swallowed(found, monkeypatch):
    def stopped(*_, **__):
        raise StoppedError("interrupted")

    monkeypatch.setattr("cbec_bayes.jobs.limits.draw_scales", stopped)
    with pytest.raises(StoppedError):
        compare(found, replications=199)


def _columns(design):
    from cbec_bayes.classical.tables import own_columns

    return own_columns(design)


def test_what_is_printed(paper, found):
    printed = printed_coefficients(paper)
    assert printed["4", "East", "cbec"] == "0.22** (0.259)"
    design = found.design
    own = {("4", group, design.terms[0]): f"1.{i}*" for i, group in enumerate(design.groups)}
    frame = side_by_side(design, _columns(design), {}, {}, "m", printed=own)
    table = compare_table("t", frame)
    assert table.columns[1] == "Printed"
    assert [row[1] for row in table.rows] == ["not printed", "not printed", *own.values()]
    assert table.rows[2][0] == f"Table 4 {design.groups[0]}"
    assert "Printed" not in compare_table("t", frame.assign(printed="")).columns


def test_the_command(tmp_path, capsys):
    golden = str(Path(__file__).parents[1] / "golden/grunfeld.csv")
    columns = ["--outcome", "inv", "--exposure", "value", "--controls", "capital", "--unit", "firm", "--time", "year"]
    for arguments in (
        ["fit", "--data", golden, *columns, "--model", "complete_pooling", "--out", str(tmp_path), "-q"],
        ["compare", str(tmp_path)],
    ):
        with pytest.raises(SystemExit) as stopped:
            cli.main(arguments)
        assert stopped.value.code == 0
    out = capsys.readouterr().out
    assert "all rows, exposure alone" in out
    assert "Every fit behind the table passed its gates." in " ".join(out.split())
    frame = pd.read_csv(tmp_path / "compare.csv")
    assert tuple(frame.columns) == COMPARE_COLUMNS
    assert frame["partial_mean"].iloc[1] == pytest.approx(0.1177, abs=0.002)
