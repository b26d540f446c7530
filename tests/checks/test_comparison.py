"""What is left out, and priors raised to powers: on data of the model's own, and on data that must be found out.

Densities themselves are held to exact ones in `tests.bayes.test_loo`.
"""

from __future__ import annotations

import functools
from dataclasses import replace

import arviz as az
import numpy as np
import pytest
import xarray as xr
from threadpoolctl import threadpool_limits

from cbec_bayes.bayes import loo
from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.likelihood.elimination import with_unit_terms
from cbec_bayes.bayes.loo import LooTask, leave_one_out, parts
from cbec_bayes.bayes.model.blocks import blocks_for
from cbec_bayes.bayes.model.family import load_panel_model, panel_model_names
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.observations import GIVEN_OTHERS, points_of
from cbec_bayes.bayes.posterior import pointwise
from cbec_bayes.bayes.refit import refit
from cbec_bayes.checks import leftout
from cbec_bayes.checks.comparison import (
    COMPARISON_COLUMNS,
    GROUP_COLUMNS,
    ROW_COLUMNS,
    comparison_table,
    left_out_groups,
    left_out_rows,
    model_comparison,
)
from cbec_bayes.checks.leftout import QUESTIONS, TOO_DEAR, Predicted, gaussian_members, predict, predictions, refused
from cbec_bayes.checks.sensitivity import POWER_COLUMNS, POWERS, power_scaling
from cbec_bayes.checks.severity import Severity
from cbec_bayes.estimands.groups import refitted_slopes
from cbec_bayes.reporting.checkfigures import draw
from cbec_bayes.runtime.fanout import open_executor
from cbec_bayes.runtime.labels import GROUP_AVERAGE, Origin
from tests.support.gates import DIVERGED, SAID, WIDE, missing_gates
from tests.support.gates import FEW as TOO_FEW
from tests.support.members import grouped, member
from tests.support.regressions import random_design
from tests.support.simulated import fitted, simulated

SIMULATED = Origin.SIMULATED
FEW = ("complete_pooling", "no_pooling", "group_variance", "correlated_effects")
ERRORS = 4.5
"""Monte Carlo standard errors that a number may be off; seeds are fixed, so that a test fails always or never."""


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Matrices are small: threads of BLAS would only wait for each other."""
    with threadpool_limits(1):
        yield


@functools.cache
def predicted():
    """What the model that made the data, and some that did not, predict of them."""
    return predictions(fitted(), FEW)


def checked(found, models=("complete_pooling",), *, given=None):
    """The three checks of what is left out, by name."""
    given = predictions(found, models) if given is None else given
    results = [check(found, given) for check in (left_out_rows, left_out_groups, model_comparison)]
    return {result.name: result for result in results}


def asked(found, what, *models):
    """Predictions of one kind of part alone, of a fit's own model and of others."""
    every = [found.model, *(load_panel_model(name) for name in models)]
    return {(m.name, what): predict(LooTask(found.design, m, what, 1)) for m in every}


def copied(one):
    return replace(one, elpd=one.elpd.copy(), khat=one.khat.copy(), p=one.p.copy())


def rows_of(found):
    return left_out_rows(found, asked(found, "row"))


def groups_of(found):
    return left_out_groups(found, asked(found, "group", "complete_pooling"))


def half_normal(scale):
    return Prior("half_normal", {"scale": scale})


def with_priors(model, **priors):
    return replace(model, priors={**model.priors, **priors})


# Data of the model's own.


def test_a_model_passes_on_data_of_its_own():
    found, answers = fitted(), predicted()
    rows, groups, members = (check(found, answers) for check in (left_out_rows, left_out_groups, model_comparison))
    for result, columns in ((rows, ROW_COLUMNS), (groups, GROUP_COLUMNS), (members, COMPARISON_COLUMNS)):
        assert result.passed is True, result.text
        assert tuple(result.table.columns) == columns
        assert set(result.table["origin"]) == {"simulated"}
        assert result.text.endswith(".")
        assert "nan" not in result.text
    assert "none of 240 rows lies farther out" in rows.text
    assert "cannot be predicted" not in rows.text
    assert "None of the other 4 models predicts what is left out better than partial_pooling." in members.text


def test_the_tables_hold_the_answers():
    found, answers = fitted(), predicted()
    rows = left_out_rows(found, answers).table
    own = answers["partial_pooling", "row"]
    for key in ("elpd", "khat", "p"):
        np.testing.assert_array_equal(rows[key], getattr(own, key))
    assert list(rows["row"]) == list(parts(found.blocks, "row")[1])
    groups = left_out_groups(found, answers).table.set_index("group")
    assert list(groups.index) == ["g0", "g1", "g2"]
    np.testing.assert_array_equal(groups["elpd"], answers["partial_pooling", "group"].elpd)
    np.testing.assert_array_equal(groups["elpd_complete_pooling"], answers["complete_pooling", "group"].elpd)
    np.testing.assert_allclose(groups["difference"], groups["elpd"] - groups["elpd_complete_pooling"], rtol=1e-12)
    asked = leave_one_out(LooTask(found.design, load_panel_model("group_variance"), "unit", 1))
    np.testing.assert_array_equal(answers["group_variance", "unit"].elpd, asked["elpd"])


def test_every_member_that_can_be_collapsed_is_compared():
    assert set(gaussian_members()) == set(panel_model_names()) - {"student_t"}


# Rows.


def test_a_gross_error_is_named():
    design = simulated()
    y = design.y + 6.0 * (np.arange(design.n_obs) == 17)
    result = rows_of(fit(replace(design, y=y), "partial_pooling"))
    assert result.severity is Severity.KNOWING
    assert "Without these rows no slope changes much; " in result.text
    assert "1 of 240 rows lies farther out, by unit and period u2 2002." in result.text
    table = result.table.set_index("row")
    assert table["elpd"].idxmin() == table["p"].idxmin() == "u2 2002"
    assert table.loc["u2 2002", "p"] < 1e-8
    assert np.sort(table["p"])[1] > 0.05 / 240


def test_of_many_gross_errors_the_farthest_are_named():
    design = simulated()
    size = np.zeros(design.n_obs)
    size[[3, 44, 100, 150, 201, 230]] = 11.0, 10.0, 9.0, 8.0, 7.0, 6.0
    result = rows_of(fit(replace(design, y=design.y + size), "partial_pooling"))
    assert result.severity is Severity.KNOWING
    assert "Without these rows the average slope over units is 0.41" in result.text
    assert "6 of 240 rows lie" in result.text
    named = result.text.partition("unit and period ")[2]
    assert named.startswith("u0 2004, u5 2005, u12 2005, u18 2007 and 2 more. ")


def test_a_gross_error_is_found_in_a_panel_of_twelve_rows():
    """There it makes the scale that it is measured by: its tail is that of the model refitted without it."""
    design = grouped(random_design(5, 3, 4), 2)
    gross = design.y + 100 * design.y.std() * (np.arange(12) == 3)
    found = {}
    for name, y in (("clean", design.y), ("gross", gross)):
        result = rows_of(fit(replace(design, y=y), "complete_pooling"))
        found[name] = result.severity
    assert found == {"clean": Severity.FINE, "gross": Severity.KNOWING}
    assert "by unit and period unit 0 3." in result.text
    assert np.isnan(result.table["khat"][3])


def test_a_row_farther_out_than_one_in_twenty_panels_would_have_it():
    """The limit is one twentieth over the rows that are predicted."""
    found = fitted()
    own = copied(predicted()["partial_pooling", "row"])
    own.p[:] = 0.5
    own.elpd[200:], own.khat[200:], own.p[200:] = np.nan, np.nan, np.nan
    for p, severity in ((0.99 * 0.05 / 200, Severity.KNOWING), (1.01 * 0.05 / 200, Severity.FINE)):
        own.p[7] = p
        result = left_out_rows(found, {("partial_pooling", "row"): own})
        assert result.severity is severity
        assert "; 40 cannot be predicted." in result.text
        assert ("u0 2008" in result.text) is (severity is Severity.KNOWING)


def test_densities_that_draws_cannot_tell_are_said_to_be_unreliable():
    found = fitted()
    own = copied(predicted()["partial_pooling", "row"])
    own.khat[[3, 4]] = 0.71
    result = left_out_rows(found, {("partial_pooling", "row"): own})
    assert result.severity is Severity.KNOWING
    assert "2 densities are unreliable" in result.text
    assert "largest Pareto shape 0.71" in result.text


# Groups.


def test_one_slope_for_all_that_predicts_a_new_group_better_is_found():
    """Groups have one slope, and a model that holds their spread at twenty times the data's expects anything."""
    design = simulated(slopes=(0.4, 0.4, 0.4))
    own = load_panel_model("partial_pooling")
    wide = with_priors(own, tau=Prior("fixed", {"value": 20.0}))
    result = groups_of(fit(design, wide))
    assert result.severity is Severity.KNOWING
    assert "worse by" in result.text
    assert "Under complete_pooling " in result.text
    assert (result.table["difference"] < -3).all()
    again = groups_of(fit(design, own))
    assert again.passed is True
    assert "practically the same (" in again.text


def test_a_spread_of_slopes_that_predicts_a_new_group_better_is_said():
    result = groups_of(fit(simulated(slopes=(-3.0, 0.5, 4.0)), "partial_pooling"))
    assert result.passed is True
    assert "better by" in result.text


@pytest.mark.parametrize("model", ["no_pooling", "correlated_effects"])
def test_a_model_that_predicts_no_new_group_says_so(model):
    result = left_out_groups(fitted(model=model), predicted())
    assert result.passed is None
    assert f"The model {model} estimates the coefficients of each group without pooling" in result.text
    assert result.table["elpd"].isna().all()
    assert result.table["elpd_complete_pooling"].notna().all()


# Members.


def test_correlated_errors_are_predicted_better_by_the_model_that_has_them():
    design = simulated(rho=0.8)
    design = design.rows(design.unit < 18)
    found = fit(design, "partial_pooling")
    answers = predictions(found, ("complete_pooling", "group_variance", "ar1"))
    result = checked(found, given=answers)["model_comparison"]
    assert result.severity is not Severity.IDLE
    assert "Under ar1 " in result.text
    assert "Among 4 models some predict better than partial_pooling: ar1 predicts a row that is left out better (+" in (
        result.text
    )
    assert "ar1 predicts a unit that is left out better (+" in result.text
    table = result.table.set_index(["question", "model"])
    for question in (QUESTIONS["row"], QUESTIONS["unit"]):
        better = table.loc[(question, "ar1")]
        assert better["difference"] > max(20, 4 * better["difference_se"])
    # The model that has them is held against those that have not, and passes.
    assert checked(fit(design, "ar1", draws=50), given=answers)["model_comparison"].passed is True


def test_groups_of_unequal_noise_are_predicted_better_by_the_model_that_has_a_scale_for_each():
    design = simulated()
    noise = np.random.default_rng(1).normal(size=design.n_obs) * np.array([0.0, 1.0, 3.0])[design.group]
    found = fit(replace(design, y=design.y + noise), "partial_pooling")
    answers = asked(found, "row", "complete_pooling", "group_variance")
    result = checked(found, given=answers)["model_comparison"]
    assert result.severity is Severity.KNOWING
    assert "Under group_variance the slope of g0 is" in result.text
    assert "group_variance predicts a row that is left out better (+" in result.text
    assert "better by complete_pooling" not in result.text


def made_up(**elpd):
    """Predictions of rows, with numbers to compute by hand."""
    return {
        (name, "row"): Predicted(
            elpd=np.array(values),
            khat=np.full(len(values), 0.1),
            p=np.full(len(values), 0.5),
            notes=("",) * len(values),
        )
        for name, values in elpd.items()
    }


def test_differences_are_paired():
    answers = predicted()
    table = comparison_table(fitted(), answers).set_index(["question", "model"])
    assert len(table) == 15
    for what, question in QUESTIONS.items():
        own = answers["partial_pooling", what].elpd
        for model in ("partial_pooling", "complete_pooling", "group_variance"):
            row, other = table.loc[(question, model)], answers[model, what]
            count = len(own)
            assert (row["parts"], row["predicted"]) == (count, count)
            assert row["elpd"] == pytest.approx(sum(other.elpd))
            assert row["se"] == pytest.approx(np.sqrt(count * np.var(other.elpd, ddof=1)))
            apart = [a - b for a, b in zip(other.elpd, own, strict=True)]
            assert row["difference"] == pytest.approx(sum(apart), abs=1e-12)
            assert row["difference_se"] == pytest.approx(np.sqrt(count * np.var(apart, ddof=1)), abs=1e-12)
            assert row["refitted"] == np.isnan(other.khat).sum()
            if row["refitted"] < count:
                assert row["khat_max"] == pytest.approx(np.nanmax(other.khat))
            assert row["model_question"] == load_panel_model(model).question


def test_differences_are_over_the_parts_that_both_predict():
    answers = made_up(
        partial_pooling=[-1.0, -2.0, np.nan, -4.0, -3.0], no_pooling=[-2.0, np.nan, -9.0, -4.5, -1.0], ar1=[np.nan] * 5
    )
    answers["no_pooling", "row"] = replace(answers["no_pooling", "row"], khat=np.array([0.3, np.nan, np.nan, 0.2, 0.6]))
    table = comparison_table(fitted(), answers).set_index("model")
    row = table.loc["no_pooling"]
    assert (row["parts"], row["predicted"], row["refitted"]) == (5, 4, 1)
    assert row["elpd"] == pytest.approx(-16.5)
    assert row["khat_max"] == 0.6
    assert row["difference"] == pytest.approx(0.5)  # -1.0, -0.5, 2.0
    assert row["difference_se"] == pytest.approx(np.sqrt(3 * np.var([-1.0, -0.5, 2.0], ddof=1)))
    assert (table.loc["partial_pooling", "difference"], table.loc["partial_pooling", "difference_se"]) == (0.0, 0.0)
    assert (table.loc["ar1", "predicted"], table.loc["ar1", "refitted"]) == (0, 0)
    assert table.loc["ar1", ["elpd", "se", "difference", "difference_se"]].isna().all()


def test_a_model_that_predicts_no_new_group_has_no_number():
    answers = predicted()
    assert np.isnan(answers["no_pooling", "group"].elpd).all()
    table = model_comparison(fitted(), answers).table.set_index(["question", "model"])
    row = table.loc[(QUESTIONS["group"], "no_pooling")]
    assert (row["parts"], row["predicted"], row["refitted"]) == (3, 0, 0)
    assert row[["elpd", "se", "difference", "difference_se", "khat_max"]].isna().all()


@pytest.mark.parametrize(
    ("apart", "better"),
    [
        ([1.0, 1.1, 0.9, 1.1], True),  # 4.1, se 0.2
        ([1.0, 0.9, 0.9, 1.1], False),  # 3.9: too small a difference to tell
        ([9.0, -1.0, 9.0, -1.0], False),  # 16, se 11.5: less than two standard errors
        ([-5.0, -5.1, -5.0, -5.1], False),
    ],
)
def test_which_difference_counts(apart, better):
    own = np.array([-1.0, -2.0, -3.0, -4.0])
    result = model_comparison(fitted(), made_up(partial_pooling=own, ar1=own + apart))
    assert result.severity is Severity.FINE  # of these data ar1 says the same, whatever it predicts
    assert ("ar1 predicts a row that is left out better (+4.1" in result.text) is better
    assert ("Under ar1 no slope changes much; " in result.text) is better


def test_the_best_of_several_better_members_is_named():
    answers = made_up(partial_pooling=[0.0] * 4, no_pooling=[2.0, 2.1, 2.0, 2.1], ar1=[3.0, 3.1, 3.0, 3.1])
    result = model_comparison(fitted(), answers)
    assert "left out better (+12.2" in result.text
    assert "no_pooling" not in result.text.partition(").")[0]


# Where they do not apply.


def test_what_pymc_fitted_is_not_left_out_of():
    found = replace(fitted(), collapsed=None)
    assert predictions(found, FEW) == {}
    for result in checked(found).values():
        assert result.passed is None
        assert result.table.empty
        assert "collapsed engine" in result.text


def test_without_groups_rows_and_units_are_left_out():
    design = replace(simulated(), group=None, groups=())
    found = fit(design.rows(design.unit < 12), "partial_pooling")
    answers = predictions(found, ("ar1",))
    assert set(answers) == {(model, what) for model in ("partial_pooling", "ar1") for what in ("row", "unit")}
    results = checked(found, ("ar1",))
    assert results["left_out_groups"].passed is None
    assert results["left_out_groups"].text == "There are no groups."
    assert results["left_out_rows"].passed is not None
    assert set(results["model_comparison"].table["question"]) == {QUESTIONS["row"], QUESTIONS["unit"]}
    assert power_scaling(found).passed is None


def test_large_panels_are_not_left_out_of(monkeypatch):
    found = fitted()
    monkeypatch.setattr(leftout, "MAX_ROWS", found.design.n_obs - 1)
    assert predictions(found, FEW) == {}
    assert left_out_rows(found, {}).text == "There are 240 rows; parts are left out only where there are at most 239."
    monkeypatch.setattr(leftout, "MAX_ROWS", found.design.n_obs)
    monkeypatch.setattr(leftout, "MAX_PARTS", 29)
    assert set(predictions(found, ())) == {("partial_pooling", "row"), ("partial_pooling", "group")}


def test_one_member_is_compared_with_none():
    result = model_comparison(fitted(), predictions(fitted(), ()))
    assert result.passed is None
    assert tuple(result.table.columns) == COMPARISON_COLUMNS


def test_a_member_that_cannot_be_fitted_is_named_and_has_no_numbers():
    """Of a group with one unit no slope of its own is identified."""
    base = simulated()
    x = base.x.copy()
    x[base.unit == 4, 0] = 1.0
    design = replace(base, x=x, group=np.where(base.unit == 4, 0, 1 + base.unit % 2), groups=("solo", "a", "b"))
    design = design.rows(design.unit < 9)
    (reason,) = {predict(LooTask(design, load_panel_model("no_pooling"), what, 1)).refused for what in QUESTIONS}
    assert "is not identified" in reason
    result = model_comparison(
        fit(design, "partial_pooling"), predictions(fit(design, "partial_pooling"), ("no_pooling", "complete_pooling"))
    )
    assert (
        f"2 of 3 models were compared, and all their fits passed their gates; not compared: no_pooling ({reason})."
    ) in result.text
    assert_blank(result.table, "no_pooling", reason)


def assert_blank(table, model, reason):
    """One row per question, without numbers, and with the reason; the others' notes do not have it."""
    rows = table[table["model"] == model]
    assert set(rows["left_out"]) == set(table["left_out"])
    assert rows[["elpd", "se", "difference", "difference_se", "khat_max"]].isna().all().all()
    assert (rows["predicted"] == 0).all()
    assert set(rows["note"]) == {reason}
    others = table[table["model"] != model]
    assert not others["note"].str.contains(reason, regex=False).any()


# Gates.


def test_members_of_an_ordinary_panel_pass():
    answers = predicted()
    assert not any(one.refused for one in answers.values())
    rows, groups, members = (check(fitted(), answers) for check in (left_out_rows, left_out_groups, model_comparison))
    assert rows.text.endswith(" The fit to all rows passed its gates, and no row needed a refit.")
    assert groups.text.endswith(" The two fits to all rows and one refit passed their gates.")
    assert members.text.endswith(" All 5 models were compared, and all their fits passed their gates.")
    assert (rows.table["note"] == "").all()
    assert (groups.table["note"] == "").all()
    own = members.table.set_index(["left_out", "model"])["note"]
    assert own["group", "no_pooling"] == "no density of 3 of 3 groups: the others do not identify the model"
    assert (own.drop([("group", "no_pooling"), ("group", "correlated_effects")]) == "").all()


def test_refits_without_a_part_are_counted(monkeypatch):
    monkeypatch.setattr(loo, "KHAT_MAX", -1e6)
    assert groups_of(fitted()).text.endswith(" The two fits to all rows and 6 refits passed their gates.")
    alone = left_out_groups(fitted(model="complete_pooling"), asked(fitted(model="complete_pooling"), "group"))
    assert alone.text.endswith(" The fit to all rows and 3 refits passed their gates.")


@pytest.mark.parametrize("changed", [WIDE, DIVERGED], ids=["khat", "divergences"])
def test_a_member_that_misses_a_gate_is_named_and_has_no_numbers(monkeypatch, changed):
    (reason,) = [SAID[name] for name in SAID if name in changed and changed[name] in (1.2, 3)]
    missing_gates(monkeypatch, {1}, changed)  # the fit of the other member is the second one
    found = fitted()
    answers = asked(found, "row", "complete_pooling")
    assert answers["complete_pooling", "row"].refused == reason
    result = model_comparison(found, answers | {("group_variance", "row"): predicted()["group_variance", "row"]})
    assert result.text.startswith("The other model does not predict what is left out better than")
    assert result.text.endswith(
        " 2 of 3 models were compared, and all their fits passed their gates; "
        f"not compared: complete_pooling ({reason})."
    )
    assert_blank(result.table, "complete_pooling", reason)
    assert draw(result, "members") is not None
    groups = left_out_groups(
        found,
        {("partial_pooling", "group"): predicted()["partial_pooling", "group"]}
        | {("complete_pooling", "group"): answers["complete_pooling", "row"]},
    )
    assert groups.severity is Severity.IDLE
    assert groups.text == f"The model complete_pooling gives no prediction here: {reason}."


def test_a_fit_that_misses_a_gate_predicts_nothing(monkeypatch):
    missing_gates(monkeypatch, {0, 1, 2}, TOO_FEW)
    found = fitted()
    results = checked(found, ())
    for result in results.values():
        assert result.severity is Severity.IDLE
        assert result.table.empty
    for name in ("left_out_rows", "model_comparison"):
        assert "The model partial_pooling gives no prediction here: the effective size 7" in results[name].text


def test_a_part_whose_refit_misses_a_gate_is_not_predicted(monkeypatch):
    """All parts are refitted; the gate of one of them closes."""
    monkeypatch.setattr(loo, "KHAT_MAX", -1e6)
    missing_gates(monkeypatch, {1}, WIDE, where=loo)
    found = fitted()
    answers = asked(found, "group", "complete_pooling")
    own = answers["partial_pooling", "group"]
    assert own.notes == ("", SAID["khat"], "")
    assert np.isnan(own.elpd).tolist() == [False, True, False]
    result = left_out_groups(found, answers)
    assert result.severity is Severity.KNOWING
    assert result.text.startswith("The changes within units of each of 2 groups")
    assert result.text.endswith(
        f" The two fits to all rows and 5 of 6 refits passed their gates; left out: g1 ({SAID['khat']})."
    )
    assert result.table["note"].tolist() == list(own.notes)
    row = comparison_table(found, answers).set_index("model").loc["partial_pooling"]
    assert row["note"] == f"no density of 1 of 3 groups: {SAID['khat']}"
    rows = copied(predicted()["partial_pooling", "row"])
    rows.elpd[5], rows.khat[5] = np.nan, np.nan
    notes = tuple(SAID["divergences"] if i == 5 else "" for i in range(240))
    result = left_out_rows(found, {("partial_pooling", "row"): replace(rows, notes=notes)})
    assert result.severity is Severity.KNOWING
    assert result.text.endswith(
        f" The fit to all rows and 0 of 1 refits passed their gates; left out: u0 2006 ({SAID['divergences']})."
    )


def test_parts_whose_refits_missed_gates_are_counted_in_the_comparison():
    """They are worth knowing where they are the fitted model's; another member's are said."""
    found = fitted()
    answers = {key: predicted()[key, "row"] for key in ("partial_pooling", "complete_pooling")}
    notes = tuple(SAID["khat"] if i == 5 else "" for i in range(240))
    lost = copied(answers["complete_pooling"])
    lost.elpd[5] = np.nan
    for model, severity in (("complete_pooling", Severity.FINE), ("partial_pooling", Severity.KNOWING)):
        given = answers | {model: replace(lost, notes=notes)}
        given = {(name, "row"): one for name, one in given.items()}
        total = sum(1 + one.refits for one in given.values())
        result = model_comparison(found, given)
        assert result.severity is severity
        assert result.text.endswith(
            f" All 2 models were compared, and {total} of {total + 1} of their fits passed their gates; "
            f"left out: {model} without u0 2006 ({SAID['khat']})."
        )


def test_a_member_refused_for_one_question_stays_in_the_others():
    answers = dict(predicted())
    answers["group_variance", "unit"] = refused(SAID["khat"], "gate")
    result = model_comparison(fitted(), answers)
    assert result.passed is True
    assert result.text.startswith("None of the other 4 models")
    assert "All 5 models were compared" in result.text
    assert result.text.endswith(f"; left out: group_variance where a unit is left out ({SAID['khat']}).")
    answers["partial_pooling", "unit"] = refused(SAID["khat"], "gate")
    result = model_comparison(fitted(), answers)
    assert result.severity is Severity.KNOWING
    assert "partial_pooling where a unit is left out" in result.text
    assert set(result.table["left_out"]) == {"row", "group"}


@pytest.mark.parametrize("kind", ["gate", "input", "dear"])
def test_where_the_fitted_model_is_refused_nothing_is_judged(kind):
    answers = {("partial_pooling", what): refused("because", kind) for what in QUESTIONS}
    for result in checked(fitted(), given=answers).values():
        assert result.severity is Severity.IDLE
        assert result.text == "The model partial_pooling gives no prediction here: because."


def test_a_member_that_is_too_dear_is_not_compared(monkeypatch):
    monkeypatch.setattr(leftout, "affordable", lambda model, *_: model.name != "ar1")
    answers = predictions(fitted(), ("ar1",))
    assert {one.kind for (model, _), one in answers.items() if model == "ar1"} == {"dear"}
    result = model_comparison(fitted(), answers)
    assert result.passed is None
    assert result.text == (f"No other model was compared with partial_pooling; not compared: ar1 ({TOO_DEAR}).")


def test_other_errors_are_not_swallowed(monkeypatch):
    def broken(*_, **__):
        raise ValueError("a mistake of ours")

    monkeypatch.setattr(loo, "refit_scales", broken)
    with pytest.raises(ValueError, match="a mistake of ours"):
        predictions(fitted(), ())


def test_unreliable_densities_of_other_members_are_marked():
    answers = made_up(partial_pooling=[-1.0] * 4, student_t=[-1.0] * 4)
    answers["student_t", "row"].khat[2] = 0.8
    table = model_comparison(fitted(), answers).table.set_index("model")
    assert table.loc["student_t", "note"] == "densities of 1 of 4 rows are unreliable: Pareto k is above 0.7"


# Members that are not Gaussian.


def test_other_members_are_left_out_of_given_their_effects():
    """Another fit's store stands in for one by PyMC: its rows' densities are those of ArviZ."""
    found = fitted()
    other = replace(fitted(model="group_variance"), collapsed=None)
    assert ("student_t", "row") not in predictions(found, ("student_t",))
    assert ("student_t", "row") not in predictions(found, (), others={"student_t": other})
    answers = predictions(found, ("student_t",), others={"student_t": other})
    assert {what for model, what in answers if model == "student_t"} == {"row"}
    direct = az.loo(other.tree, pointwise=True)
    given = answers["student_t", "row"]
    np.testing.assert_allclose(given.elpd, direct.elpd_i.to_numpy().ravel(), rtol=1e-12)
    np.testing.assert_allclose(given.khat, direct.pareto_k.to_numpy().ravel(), rtol=1e-12)
    assert given.elpd.sum() == pytest.approx(direct.elpd)
    assert np.isnan(given.p).all()
    # Of the same model: densities given effects, reweighted, estimate what the integrated ones are.
    own = leave_one_out(LooTask(found.design, load_panel_model("group_variance"), "row", 1))
    assert np.median(np.abs(given.elpd - own["elpd"])) < 0.02
    table = model_comparison(found, answers).table
    row = table[table["model"] == "student_t"].squeeze()
    assert row["question"] == QUESTIONS["row"]
    assert row["model_question"] == load_panel_model("student_t").question
    assert row["difference"] == pytest.approx((given.elpd - answers["partial_pooling", "row"].elpd).sum())


# Seeds, and who does the work.


def test_the_same_seed_gives_the_same_predictions():
    found = fitted()
    again, other = (predictions(found, (), seed=seed) for seed in (1, 2))
    first = {key: values for key, values in predicted().items() if key in again}
    assert len(first) == 3
    for key, values in first.items():
        for name in ("elpd", "khat", "p"):
            np.testing.assert_array_equal(getattr(values, name), getattr(again[key], name))
        assert (values.elpd != other[key].elpd).any()
        np.testing.assert_allclose(values.elpd, other[key].elpd, atol=0.5)


def test_two_processes_predict_what_one_does():
    found, models = fitted(), ("complete_pooling",)
    with open_executor(2) as two:
        together = predictions(found, models, executor=two)
    assert set(together) == {(m, what) for m in ("partial_pooling", *models) for what in QUESTIONS}
    for key, values in together.items():
        for name in ("elpd", "khat", "p"):
            np.testing.assert_array_equal(getattr(values, name), getattr(predicted()[key], name))


# Priors raised to powers.


def test_a_prior_that_is_not_felt_settles_nothing():
    result = power_scaling(fitted())
    assert result.passed is True
    assert tuple(result.table.columns) == POWER_COLUMNS
    assert list(result.table["power"].unique()) == list(POWERS)
    assert POWERS[0] == 1
    assert list(result.table["group"].unique()) == ["g0", "g1", "g2", GROUP_AVERAGE, "(all)", "(new)"]
    assert set(result.table["diagnosis"]) == {"the prior is not felt"}
    assert "changes in its sign or its width. By the power-scaling diagnostic" in result.text
    assert "the prior influences no slope." in result.text
    own = result.table[result.table["power"] == 1].set_index("group")
    draws = fitted().tree["posterior"]["group_total_slope"].sel(group="g0").to_numpy()
    assert own.loc["g0", "mean"] == pytest.approx(draws.mean(), rel=1e-12)
    assert own.loc["g0", "sd"] == pytest.approx(draws.std(), rel=1e-12)
    assert np.isneginf(own["khat"]).all()


def few_rows():
    """Three groups of three units; the slope of the first is short of zero by itself."""
    design = simulated(5, slopes=(0.05, 0.5, 0.45))
    return design.rows(design.unit < 9)


def test_a_sign_that_a_power_of_the_prior_settles_is_found():
    result = power_scaling(fit(few_rows(), member({"tau": half_normal(0.05)}, group_slope="pooled")))
    assert result.severity is Severity.KNOWING
    assert "the slope of g0 goes from" in result.text
    assert "the prior influences g0" in result.text
    low = result.table[result.table["group"] == "g0"].set_index("power")["ci_low"]
    assert low[0.5] < -0.01
    assert low[2.0] > 0.01
    felt = result.table.set_index("group")["prior_sensitivity"] >= 0.05
    assert (result.table.set_index("group")["diagnosis"] != "the prior is not felt").equals(felt)


def against_refits(found, models):
    """Hold means and sds under some powers against those of fits under the priors that the powers make of it."""
    table = power_scaling(found).table
    table = table[table["group"] != "(new)"].set_index(["power", "group"])
    for power, model in models.items():
        assert table.loc[power, "khat"].max() < 0.7
        drawn = refitted_slopes(refit(blocks_for(found.design, model), draws=4_000, seed=7))
        for group, draws in zip([*found.design.groups, "(all)"], [*drawn.groups.T, drawn.common], strict=True):
            row = table.loc[(power, group)]
            kurtosis = ((draws - draws.mean()) ** 4).mean() / draws.var() ** 2
            size = 4_000 / 4  # of both, where reweighted draws count for a third of their number
            assert row["mean"] == pytest.approx(draws.mean(), abs=ERRORS * draws.std() / np.sqrt(size)), (power, group)
            assert row["sd"] == pytest.approx(draws.std(), rel=ERRORS / 2 * np.sqrt((kurtosis - 1) / size))
    return table


@pytest.mark.parametrize(("own", "least"), [({"tau": 0.1, "sigma": 0.15}, 0.25), ({"sigma": 0.1}, 0.1)], ids=str)
def test_powers_of_a_prior_are_refits_under_it(own, least):
    """A half-normal raised to the power a is a half-normal of a scale of 1 / sqrt(a); what is held stays."""
    model = member({"tau": Prior("fixed", {"value": 0.1})}, group_slope="pooled")
    unit = float(few_rows().spread.total[0] / few_rows().spread.within[0])  # of multiples of the total spread

    def raised(power):
        return with_priors(model, **{name: half_normal(unit * scale / np.sqrt(power)) for name, scale in own.items()})

    table = against_refits(fit(few_rows(), raised(1.0)), {power: raised(power) for power in (0.5, 0.8, 2.0)})
    # It would not pass at another power: the prior is felt.
    moved = (table.loc[(2.0, "g0"), "mean"] - table.loc[(0.5, "g0"), "mean"]) / table.loc[(1.0, "g0"), "sd"]
    narrower = table.loc[(0.5, "g0"), "sd"] / table.loc[(2.0, "g0"), "sd"] - 1
    assert max(moved, narrower) > least


def test_a_normal_prior_of_the_slope_is_raised_to_powers_as_well():
    """To a normal one of the same mean and a standard deviation of 1 / sqrt(a)."""
    sd = 0.15

    def slope(power):
        return Prior("normal", {"mean": 0.0, "sd": sd / np.sqrt(power)})

    model = member({"slope": slope(1.0), "control_slope": slope(1.0), "tau": half_normal(0.3)}, group_slope="pooled")
    models = {
        power: with_priors(
            model,
            slope=slope(power),
            control_slope=slope(power),
            tau=half_normal(0.3 / np.sqrt(power)),
            sigma=half_normal(1 / np.sqrt(power)),
        )
        for power in (0.5, 2.0)
    }
    table = against_refits(fit(few_rows(), model), models)
    common = table["mean"].xs("(all)", level="group")
    assert common[0.5] - common[2.0] > 0.3 * table.loc[(1.0, "(all)"), "sd"]
    assert table.loc[(1.0, "(all)"), "prior_sensitivity"] > 0.05


@pytest.mark.parametrize("model", ["partial_pooling", "group_variance", "nested", "ar1"])
def test_the_likelihood_that_is_raised_to_powers_is_that_of_the_effects(model):
    """Densities of rows given the others, which the store has, do not add up to it; of either engine it is the same."""
    found = fit(few_rows(), model, draws=200, chains=2, seed=1)
    assert found.tree["log_likelihood"].attrs["kind"] == GIVEN_OTHERS
    table = power_scaling(found).table
    values = found.tree["posterior"].dataset
    effects = {name: v.to_numpy().reshape(-1, *v.shape[2:]) for name, v in values.data_vars.items()}
    rows = pointwise(found.blocks, found.collapsed, points_of(found.collapsed, values), effects).sum(axis=1)
    draws = {"s": (("chain", "draw"), values["group_total_slope"].sel(group="g1").to_numpy())}
    total = {"y": (("chain", "draw"), rows.reshape(2, 200))}
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(draws), "log_likelihood": xr.Dataset(total)})
    expected = float(az.psense(tree, group="likelihood")["s"])
    assert table.set_index(["power", "group"]).loc[(1.0, "g1"), "likelihood_sensitivity"] == pytest.approx(expected)
    # PyMC's engine has slopes of units among its blocks, unit effects never, and no collapsed density.
    sampled = replace(found, collapsed=None, blocks=with_unit_terms(blocks_for(found.design, found.model)))
    again = power_scaling(sampled).table
    np.testing.assert_allclose(again["likelihood_sensitivity"], table["likelihood_sensitivity"], rtol=1e-6)


def test_draws_that_cannot_tell_a_power_are_found():
    """A prior far from the data: half of it leaves the draws behind."""
    design = simulated(slopes=(-3.0, 0.5, 4.0))
    found = fit(design, member({"sigma": half_normal(0.005), "tau": half_normal(0.005)}, group_slope="pooled"))
    result = power_scaling(found)
    assert result.severity is not Severity.FINE
    assert "of the powers cannot be computed from these draws" in result.text
    assert result.table["khat"].max() > 0.7


def test_without_a_prior_nothing_is_raised_to_powers():
    held = Prior("fixed", {"value": 0.3})
    found = fit(few_rows(), member({"sigma": held, "tau": held}, group_slope="pooled"))
    result = power_scaling(found)
    assert result.passed is None
    assert tuple(result.table.columns) == POWER_COLUMNS
    assert "has no top-level prior that could be changed" in result.text


def test_a_flat_prior_of_scales_does_not_change_with_its_power():
    uniform = Prior("uniform", {"upper": 20.0})
    result = power_scaling(fit(few_rows(), member({"sigma": uniform, "tau": uniform}, group_slope="pooled")))
    assert result.passed is None


def test_numbers_are_those_of_weighted_draws():
    """Of draws of which the lower half of a slope has no weight they are those of the upper half."""
    found = fit(few_rows(), "partial_pooling")
    slope = found.tree["posterior"]["group_total_slope"].sel(group="g0").to_numpy()
    upper = slope > np.median(slope)
    tree = found.tree.copy()
    prior = tree["log_prior"].to_dataset()
    noise = 1e-3 * np.random.default_rng(1).normal(size=slope.shape)
    for name in prior:
        prior[name] = (("chain", "draw"), (np.where(upper, 0.0, -40.0) + noise) * (name == "tau"))
    tree["log_prior"] = type(tree)(prior)
    table = power_scaling(replace(found, tree=tree)).table
    own, twice = (table[(table["power"] == p) & (table["group"] == "g0")].squeeze() for p in (1.0, 2.0))
    for row, draws in ((own, slope.ravel()), (twice, slope[upper])):
        assert row["mean"] == pytest.approx(draws.mean(), rel=1e-3)
        assert row["sd"] == pytest.approx(draws.std(), rel=1e-3)
        assert row["p_positive"] == pytest.approx((draws > 0).mean(), abs=1e-3)
        for end, at in (("ci_low", 0.025), ("ci_high", 0.975)):
            assert row[end] == pytest.approx(np.quantile(draws, at), abs=0.01 * draws.std())
    assert 0 < own["p_positive"] < twice["p_positive"]
