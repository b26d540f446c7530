"""Do the slopes differ? Each row of differences.csv is what its module computes, each sentence what the rows say."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.bayes.fit import fit
from cbec_bayes.classical.equal_slopes import MOST_PAIRED, EqualityOptions, equality_rows, holm
from cbec_bayes.classical.few import few_clusters
from cbec_bayes.classical.group_slopes import CONTROLS, group_slopes
from cbec_bayes.classical.joint_bootstrap import joint_bootstrap
from cbec_bayes.classical.permutation import permutation_test, unit_moments
from cbec_bayes.classical.wald import contrasts_of, wald_test
from cbec_bayes.commands import program as cli
from cbec_bayes.estimands.contrasts import contrasts
from cbec_bayes.estimands.groups import group_slopes as posterior_slopes
from cbec_bayes.estimands.summary import summarise_draws
from cbec_bayes.jobs.difference_sentences import NOTHING_TO_COMPARE, difference_sentences
from cbec_bayes.jobs.differences import DIFFERENCE_COLUMNS, differences, evidence_row
from cbec_bayes.jobs.study import StudyFits
from cbec_bayes.reporting.differences import difference_tables
from cbec_bayes.reporting.hierarchy import tau_sentence
from tests.support.members import member, panel
from tests.support.regressions import grouped

QUICK = EqualityOptions(replications=499, permutations=199, pair_permutations=99)


@pytest.fixture(scope="module")
def found():
    return fit(panel("balanced"), "partial_pooling", draws=500)


@pytest.fixture(scope="module")
def table(found):
    return differences(found, QUICK, half_width=0.2)


def rows_of(table, test, controls="", groups="(all)"):
    own = table[(table["test"] == test) & (table["controls"] == controls) & (table["groups"] == groups)]
    assert len(own) == 1
    return own.iloc[0]


def test_every_number_is_that_of_its_module(found, table):
    design = found.design
    assert tuple(table.columns) == DIFFERENCE_COLUMNS
    assert tuple(table.columns[:5]) == ("test", "groups", "statistic", "df", "p")
    assert set(table["origin"]) == {"simulated"}
    for controls in CONTROLS:
        wald = wald_test(group_slopes(design, controls), contrasts_of(3))
        row = rows_of(table, "wald", controls)
        assert (row["statistic"], row["df"], row["df2"], row["p"]) == (wald.statistic, wald.df, wald.df2, wald.p)
    for group in design.groups:
        few = few_clusters(design.of_group(group), replications=199)
        row = rows_of(table, "slope", "by group", group)
        assert row["estimate"] == pytest.approx(few.regression.estimate[0], rel=1e-9)
        assert (row["se"], row["p"]) == (pytest.approx(few.cr2_se[0]), pytest.approx(few.cr2_p[0]))
        assert (row["ci_low"], row["ci_high"]) == tuple(pytest.approx(end[0]) for end in few.intervals()["CR2"])
    expected = contrasts(found)
    for row in expected.to_dict("records"):
        own = rows_of(table, "posterior", "", f"{row['group']} - {row['minus']}")
        assert (own["estimate"], own["probability"]) == (row["mean"], row["p_positive"])
    tau = found.tree["posterior"]["tau"].to_numpy()
    assert rows_of(table, "tau")["estimate"] == pytest.approx(tau.mean(), rel=1e-12)
    slopes = posterior_slopes(found).groups
    share = np.mean([max(draw) - min(draw) <= 0.2 for draw in slopes])
    assert rows_of(table, "within_rope")["probability"] == pytest.approx(share)


def test_tau_is_one_number_in_every_sentence_and_table_of_a_page(found, table):
    """The page of a study says it thrice: of the hierarchy, of differences, and in their table."""
    drawn = found.tree["posterior"]["tau"].to_numpy().ravel()
    fits = SimpleNamespace(tau=summarise_draws(drawn), priors={"tau": "half-normal"})
    said = tau_sentence(cast(StudyFits, fits))
    mean, ends = said.split("τ of ")[1].split(";")[0].rstrip(")").split(" (95 % interval ")
    assert mean == f"{drawn.mean():.2g}"
    assert f"has the posterior mean {mean} (95 % interval {ends})" in " ".join(
        difference_sentences(table, "d", "a member")
    )
    cells = [row for shown in difference_tables("one", table) for row in shown.rows if "τ" in row[0]]
    assert [row[2] for row in cells] == [f"{mean} ({ends})"]


def test_differences_of_pairs_are_differences_of_slopes(table):
    for controls in CONTROLS:
        own = table[(table["test"] == "slope") & (table["controls"] == controls)].set_index("groups")["estimate"]
        pairs = table[(table["test"] == "wald") & (table["controls"] == controls) & (table["minus"] != "")]
        assert list(zip(pairs["group"], pairs["minus"], strict=True)) == list(combinations(own.index, 2))
        for row in pairs.to_dict("records"):
            assert row["estimate"] == pytest.approx(own[row["group"]] - own[row["minus"]])
            assert row["statistic"] == pytest.approx((row["estimate"] / row["se"]) ** 2)
        np.testing.assert_allclose(pairs["p_holm"], holm(list(pairs["p"])))


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, math.nan, 0.9]) == pytest.approx([1.0, math.nan, 1.0], nan_ok=True)
    assert holm([]) == []


def test_evidence_for_one_slope_is_the_difference_of_two_fits():
    """It does not hang on the seed beyond its Monte Carlo error, and finds slopes that differ."""
    design = panel("balanced")
    one = fit(design, member(group_slope="off"), draws=500)
    several = fit(design, member(group_slope="pooled"), draws=500)
    row = evidence_row(several, seed=3)
    expected = one.log_evidence - several.log_evidence
    assert abs(row["statistic"] - expected) < 5 * math.hypot(row["mcse"], one.log_evidence_mcse or 0.0) + 1e-9
    gap = 8.0 * design.group * design.x[:, 0] * design.y.std() / design.x[:, 0].std()
    far = fit(replace(design, y=design.y + gap), member(group_slope="pooled"), draws=500)
    assert evidence_row(far)["statistic"] < -20


@pytest.mark.parametrize("model", ["complete_pooling", "no_pooling"])
def test_members_that_do_not_pool_slopes_say_so(model):
    found = fit(panel("balanced"), model, draws=250)
    frame = differences(found, QUICK)
    assert frame[frame["test"] == "log_bayes_factor"]["note"].item().startswith(f"{model} does not pool slopes")
    assert np.isfinite(rows_of(frame, "wald", "common")["p"])
    assert ("within_rope" in set(frame["test"])) is (model == "no_pooling")
    assert difference_tables("", frame)


def test_without_groups_there_is_no_table_but_a_sentence():
    base = panel("balanced")
    alone = replace(base, group=np.zeros(base.n_obs, dtype=np.intp), groups=("only",))
    frame = differences(fit(alone, "complete_pooling", draws=250), QUICK)
    assert frame.empty
    assert tuple(frame.columns) == DIFFERENCE_COLUMNS
    assert difference_sentences(frame, "x", "m") == (NOTHING_TO_COMPARE,)
    assert difference_tables("", frame) == []


def test_more_groups_than_are_compared_two_by_two():
    design = grouped(3, 3 * (MOST_PAIRED + 1), 6, MOST_PAIRED + 1)
    frame = pd.DataFrame(equality_rows(design, QUICK))
    assert "minus" not in frame
    notes = frame[frame["test"] == "pairs"]["note"]
    assert set(notes) == {"every two groups are compared only up to 10 groups, and there are 11"}


def test_groups_that_are_left_out_are_named():
    base = grouped(3, 13, 6, 3)
    codes = np.where(base.group_of_unit == 2, 3, base.group_of_unit)
    codes[2] = 2
    design = replace(base, group=codes[base.unit], groups=("a", "b", "solo", "c"))
    frame = pd.DataFrame(equality_rows(design, QUICK))
    solo = frame[frame["groups"] == "solo"]
    assert set(solo["note"]) == {"not compared: it has one unit, and clustered errors need two"}
    joint = frame[(frame["groups"] == "(all)") & frame["test"].isin(["wald", "permutation"])]
    assert all("without solo" in note for note in joint["note"])
    assert joint["p"].notna().all()


def table_of(p_all, own, pairs, holm_of_pairs):
    """A table with given p-values of the joint tests, of each group's slope, and of pairs."""
    rows = []
    for controls in CONTROLS:
        for test, p in zip(("wald", "wild_bootstrap", "permutation"), p_all, strict=True):
            rows.append({"test": test, "groups": "(all)", "controls": controls, "p": p})
        for group, p in own.items():
            rows.append({"test": "slope", "groups": group, "group": group, "controls": controls, "p": p})
        for (group, minus), p, corrected in zip(combinations(own, 2), pairs, holm_of_pairs, strict=True):
            name = {"groups": f"{group} - {minus}", "group": group, "minus": minus}
            rows.append({"test": "wald", **name, "controls": controls, "p": p, "p_holm": corrected})
    frame = pd.DataFrame(rows, columns=list(DIFFERENCE_COLUMNS)).assign(origin="simulated")
    texts = ["controls", "group", "minus", "note", "vcov"]
    frame[texts] = frame[texts].astype(object).where(frame[texts].notna(), "")
    return frame


def test_sentences_say_what_the_rows_say():
    own = {"east": 0.01, "west": 0.4}
    frame = table_of((0.2, 0.3, 0.4), own, [0.2], [0.2])
    joint, here = difference_sentences(frame, "x", "m")
    assert joint.startswith(
        "Do the slopes of x differ between groups? At 5 % none of 6 tests says so, which does not show that they are "
        "equal: with controls and periods in common Wald test p = 0.20, wild cluster bootstrap p = 0.30, "
    )
    assert here == (
        "A slope that is significant beside one that is not does not show a difference: with controls and periods by "
        "group the slope of east differs from zero at 5 % (p = 0.010) and that of west does not (p = 0.40). The "
        "difference between the two is not significant at 5 % (p = 0.20)."
    )
    joint, *rest = difference_sentences(table_of((0.01, 0.02, 0.0001), own, [0.01], [0.01]), "x", "m")
    assert "At 5 % all 6 tests say so" in joint
    assert "p < 0.001" in joint
    assert rest == []  # a difference that is significant is one
    joint = difference_sentences(table_of((0.01, 0.2, 0.3), own, [0.01], [0.01]), "x", "m")[0]
    assert "At 5 % 2 of 6 tests say so, and the others do not" in joint


def test_pairs_are_named_by_holm():
    own = {"a": 0.5, "b": 0.6, "c": 0.7}
    frame = table_of((0.2, 0.3, 0.4), own, [0.01, 0.2, 0.3], [0.03, 0.4, 0.4])
    (pairs,) = [s for s in difference_sentences(frame, "x", "m") if s.startswith("Pair by pair")]
    assert "1 of 3 pairs differs, a and b (p = 0.030)" in pairs
    frame = table_of((0.2, 0.3, 0.4), own, [0.02, 0.2, 0.3], [0.06, 0.4, 0.4])
    (pairs,) = [s for s in difference_sentences(frame, "x", "m") if s.startswith("Pair by pair")]
    assert pairs.count("none of 3 pairs differs") == 2


def test_sentences_of_a_fit_agree_with_its_rows(found, table):
    said = " ".join(difference_sentences(table, found.design.terms[0], found.model.name))
    p = table[(table["groups"] == "(all)") & table["p"].notna()]["p"]
    beyond = int((p < 0.05).sum())
    assert (f"none of {len(p)} tests says so" in said) is (beyond == 0)
    assert f"with probability {rows_of(table, 'within_rope')['probability']:.2f}" in said
    assert f"is {rows_of(table, 'log_bayes_factor')['statistic']:.2f}" in said
    assert "hardly distinguishes one slope" in said  # it is below one
    for value, words in (
        (2.0, "somewhat in favour of one slope for all groups"),
        (-4.0, "strongly in favour of slopes that differ"),
    ):
        other = table.assign(statistic=table["statistic"].where(table["test"] != "log_bayes_factor", value))
        assert words in " ".join(difference_sentences(other, "x", "m"))


@pytest.mark.slow
def test_the_commands_write_it(tmp_path, capsys):
    golden = Path(__file__).parents[1] / "golden/grunfeld.csv"
    data = pd.read_csv(golden)
    data["half"] = np.where(data["firm"] % 2 == 0, "even", "odd/x")
    data.to_csv(tmp_path / "panel.csv", index=False)
    columns = ["--outcome", "inv", "--exposure", "value", "--controls", "capital", "--unit", "firm", "--time", "year"]
    columns += ["--group", "half", "--model", "partial_pooling", "--no-neighbours"]
    for arguments in (
        ["fit", "--data", str(tmp_path / "panel.csv"), *columns, "--out", str(tmp_path / "fit"), "-q"],
        ["compare", str(tmp_path / "fit")],
    ):
        with pytest.raises(SystemExit) as stopped:
            cli.main(arguments)
        assert stopped.value.code == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "Do the slopes of value differ between groups?" in out
    frame = pd.read_csv(tmp_path / "fit" / "differences.csv", keep_default_na=False)
    assert tuple(frame.columns) == DIFFERENCE_COLUMNS
    assert set(frame["groups"]) == {"(all)", "even", "odd/x", "odd/x - even"}


def test_names_of_groups_are_shown_as_they_are():
    """Signs that separate pairs elsewhere, or that HTML reads, are part of a name."""
    base = panel("balanced")
    named = replace(base, groups=("a - b", "<c>", "d/e"))
    frame = differences(fit(named, "partial_pooling", draws=250), QUICK)
    pairs = frame[(frame["minus"] != "") & (frame["test"] == "posterior")]
    assert list(zip(pairs["group"], pairs["minus"], strict=True)) == list(combinations(named.groups, 2))
    joint, own = difference_tables("", frame)
    assert [row[0] for row in own.rows] == ["a - b − <c>", "a - b − d/e", "<c> − d/e"]
    assert len(own.rows[0]) == len(own.columns)
    assert {len(row) for row in joint.rows} == {len(joint.columns)}


def test_an_exposure_of_zeros_and_ones():
    """Every number there is is finite, and what is not there has a note."""
    base = grouped(5, 24, 8, 3)
    onset = np.random.default_rng(2).integers(2, 10, size=24)
    treated = (base.time >= onset[base.unit]).astype(float)
    design = base.with_regressors(("x0",), treated[:, None])
    for row in equality_rows(design, QUICK):
        assert row["note"] or np.isfinite(row["p"])


@pytest.mark.slow
def test_each_test_keeps_its_size():
    """Shares of p-values of at most 5 % where slopes are equal, in units of their Monte Carlo error."""
    n, level, found = 400, 0.05, []
    for seed in range(n):
        base = grouped(seed, 24, 6, 3)
        rng = np.random.default_rng(seed)
        errors = np.cumsum(rng.normal(size=(24, 6)), axis=1)[base.unit, base.time]
        design = replace(base, y=base.x.sum(axis=1) + errors)
        slopes = group_slopes(design, "common")
        permuted, _ = permutation_test(unit_moments(design), [0, 1, 2], "common", permutations=99, seed=seed)
        wald, wild = wald_test(slopes, contrasts_of(3)), joint_bootstrap(slopes, replications=99, seed=seed)
        found.append((wald.p, wild.p, permuted.p))
    error = math.sqrt(level * (1 - level) / n)
    shares = (np.array(found) <= level).mean(axis=0)
    assert (np.abs(shares - level) < 3.5 * error).all(), shares


def test_very_many_units_have_the_wald_test_alone():
    """The others say why they are left out, and nothing is laid out that grows with units and periods squared."""
    design = grouped(2, 2_100, 4, 3)
    frame = pd.DataFrame(equality_rows(design, QUICK))
    joint = frame[frame["groups"] == "(all)"]
    assert joint[joint["test"] == "wald"]["p"].notna().all()
    assert set(joint[joint["test"] == "wald"]["vcov"]) == {"CRV1"}
    rest = joint[joint["test"] != "wald"]
    assert len(rest) == 4
    assert rest["p"].isna().all()
    assert all("would take too long with 2100 units" in note for note in rest["note"])
    pairs = frame[(frame["test"] == "wald") & frame["minus"].notna()]
    assert pairs["p_holm"].notna().all()


def test_a_hundred_groups():
    frame = pd.DataFrame(equality_rows(grouped(2, 300, 5, 100), replace(QUICK, replications=99)))
    assert frame[frame["test"] == "slope"]["p"].notna().all()
    joint = frame[frame["groups"] == "(all)"]
    assert joint[joint["test"].isin(["permutation", "wild_bootstrap"])]["p"].notna().all()
    assert all(note for note in joint[joint["test"] == "wald"]["note"])
