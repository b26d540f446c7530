"""How much a finding matters, the term that answers it, and whether checks tell right models from wrong ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.bayes.predictive import predictive_outcomes
from cbec_bayes.checks import CheckResult, Severity, by_severity, checks_frame
from cbec_bayes.checks.agreement import agreement
from cbec_bayes.checks.comparison import model_comparison
from cbec_bayes.checks.influence import leave_out
from cbec_bayes.checks.leftout import Predicted
from cbec_bayes.checks.refits import fitted_slopes
from cbec_bayes.checks.remedies import Finding, answers, remedy
from cbec_bayes.checks.residuals import CARRIED, DRIFT, KURTOSIS, LARGEST, SPREAD, findings, predictive_residuals
from cbec_bayes.checks.residuals import statistics as statistics_of
from cbec_bayes.checks.sensitivity import between_group_prior
from cbec_bayes.checks.severity import Change, Slope, changes, instead_of, numbers_of, severest
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import TwoWay
from cbec_bayes.runtime.labels import GROUP_ALL, GROUP_AVERAGE, GROUP_NEW, Origin
from tests.support.members import member
from tests.support.simulated import fitted, simulated


def a_panel(seed, *, rho=0.0, n_groups=8, n_units=32, n_times=10):
    """Rows of the model itself, with an exposure that is persistent, and errors that may be."""
    rng = np.random.default_rng(seed)
    unit, time = np.repeat(np.arange(n_units), n_times), np.tile(np.arange(n_times), n_units)
    group = unit % n_groups

    def carried(by):
        e = rng.normal(size=(n_units, n_times))
        for t in range(1, n_times):
            e[:, t] = by * e[:, t - 1] + np.sqrt(1 - by**2) * e[:, t]
        return e.ravel()

    x = np.column_stack([carried(0.8), rng.normal(size=len(unit))])
    slopes = 0.4 + 0.2 * rng.normal(size=n_groups)
    y = slopes[group] * x[:, 0] - 0.2 * x[:, 1] + rng.normal(size=n_units)[unit] + 0.1 * time + 0.4 * carried(rho)
    return Design(
        outcome="y",
        terms=("d", "x"),
        y=y,
        x=x,
        unit=unit,
        time=time,
        group=group,
        units=tuple(f"u{i}" for i in range(n_units)),
        times=tuple(float(2001 + t) for t in range(n_times)),
        groups=tuple(f"g{r}" for r in range(n_groups)),
        effects=TwoWay(unit, time),
        origin=Origin.SIMULATED,
    )


# Severities.


@pytest.mark.parametrize(
    ("own", "other", "severity"),
    [
        ((1.0, 0.5, 1.5), (1.0, 0.5, 1.5), "fine"),
        ((1.0, 0.5, 1.5), (-1.0, -1.5, -0.5), "changes the answer"),  # the sign turns
        ((1.0, 0.5, 1.5), (0.6, -0.11, 1.3), "changes the answer"),  # is lost by more than a tenth of the width
        ((-1.0, -1.5, -0.5), (-0.6, -1.3, 0.11), "changes the answer"),
        ((1.0, 0.5, 1.5), (0.8, -0.09, 1.3), "worth knowing"),  # is lost by less
        ((0.0, -1.0, 1.0), (1.1, 0.5, 1.7), "changes the answer"),  # the mean leaves the interval
        ((0.0, -1.0, 1.0), (0.0, -1.51, 1.51), "widens it"),
        ((0.0, -1.0, 1.0), (0.0, -1.49, 1.49), "fine"),
        ((0.0, -1.0, 1.0), (0.0, -0.66, 0.66), "worth knowing"),  # narrower by as much
        ((0.4, -0.2, 1.0), (0.5, 0.05, 1.0), "worth knowing"),  # a sign is settled that was not
        ((0.0, -1.0, 1.0), (0.51, -0.5, 1.5), "worth knowing"),  # the mean moves by more than a quarter of the width
        ((0.0, -1.0, 1.0), (0.49, -0.5, 1.5), "fine"),
    ],
)
def test_how_much_a_change_of_a_slope_matters(own, other, severity):
    assert str(Change("g", Slope(*own), Slope(*other)).severity) == severity


def test_a_check_passes_where_the_answer_stands():
    assert [one.passed for one in Severity] == [False, False, True, True, None]
    assert severest([]) is Severity.FINE
    assert severest([Severity.FINE, Severity.WIDENS, Severity.KNOWING]) is Severity.WIDENS
    results = [CheckResult(name, one, pd.DataFrame(), None, "") for name, one in zip("abcde", Severity, strict=True)]
    assert by_severity(results[::-1]) == tuple(results)
    frame = checks_frame(results)
    assert frame["passed"].tolist() == ["no", "no", "yes", "yes", "not applicable"]
    assert frame["severity"].tolist() == [str(one) for one in Severity]


def test_the_severest_change_is_first_and_groups_in_general_are_compared_with_their_like():
    slope, far = Slope(0.0, -1.0, 1.0), Slope(0.1, -2.0, 2.0)
    own = {"a": slope, "b": slope, GROUP_ALL: slope, GROUP_NEW: slope}
    found = changes(own, {"a": slope, "b": far, GROUP_ALL: far, "c": far})
    assert [one.group for one in found] == ["b", "a"]
    assert [one.group for one in changes(own, own)] == [GROUP_ALL, "a", "b", GROUP_NEW]


def test_slopes_are_said_with_two_digits_of_their_width():
    assert numbers_of(Slope(0.1234, -0.0311, 0.278)) == "0.12 (\N{MINUS SIGN}0.03 to 0.28)"
    assert numbers_of(Slope(1234.5, 1000.0, 1450.0)) == "1234 (1000 to 1450)"
    assert numbers_of(Slope(-0.0001, -0.0311, 0.028)) == "0.000 (\N{MINUS SIGN}0.031 to 0.028)"
    change = Change("east", Slope(1.0, 0.5, 1.5), Slope(0.25, 0.0, 0.5))
    assert instead_of(change, grouped=True) == "the slope of east is 0.25 (0.00 to 0.50) instead of 1.00 (0.50 to 1.50)"
    assert instead_of(replace(change, group=GROUP_ALL), grouped=False).startswith("the slope is ")


# Terms.


@pytest.mark.parametrize("finding", list(Finding))
def test_every_finding_is_answered_by_a_term_or_a_reason(finding):
    found = remedy(finding, load_panel_model("partial_pooling"), simulated())
    if found.model is None:
        assert finding is Finding.TAILS
        assert "PyMC" in found.why_not
        return
    key, choice = found.term.replace('"', "").split(" = ")
    assert found.model.choice(key) == choice
    assert set(found.model.priors) == {"slope", "control_slope", *found.model.scales}
    fit(simulated(), found.model, draws=50)
    again = remedy(finding, found.model, simulated())
    assert again.model is None
    assert again.why_not == "the model has it already"


def test_a_term_that_cannot_be_had_is_said():
    design = simulated()
    assert "no groups" in remedy(Finding.SPREAD, load_panel_model("complete_pooling"), _without_groups(design)).why_not
    assert "sampled by PyMC" in remedy(Finding.DRIFT, load_panel_model("student_t"), design).why_not


def _without_groups(design):
    return replace(design, group=None, groups=())


def test_an_answer_has_the_slopes_of_the_model_with_the_term():
    found = fitted(0.6)
    (one,) = answers(found, [Finding.SERIAL])
    own, other = fitted_slopes(found).shown, fitted_slopes(fit(found.design, one.remedy.model)).shown
    assert {change.group for change in one.changes} == {"g0", "g1", "g2", GROUP_AVERAGE, GROUP_ALL, GROUP_NEW}
    for change in one.changes:
        assert change.own == own[change.group]
        assert change.other.mean == pytest.approx(other[change.group].mean, abs=0.1 * own[change.group].width)
        assert change.other.width == pytest.approx(other[change.group].width, rel=0.15)
    assert one.severity is severest([Severity.KNOWING, *(change.severity for change in one.changes)])
    assert one.text.startswith('Serial correlation (term correlation = "ar1"): with AR(1) errors ')


def test_what_lies_far_out_says_which_term_is_missing():
    rows = [
        (CARRIED, "residual", -9.0),
        (DRIFT, "residual", 9.0),
        (SPREAD, "group g0", -9.0),
        (KURTOSIS, "residual", 9.0),
    ]
    table = pd.DataFrame(rows, columns=["statistic", "of", "z"]).assign(outside=True)
    assert findings(table) == (Finding.SERIAL, Finding.DRIFT, Finding.SPREAD, Finding.TAILS)
    assert findings(table.assign(outside=False)) == ()
    low = [(DRIFT, "residual", -9.0), (LARGEST, "residual", -9.0), (SPREAD, "period 2001", 9.0)]
    assert findings(pd.DataFrame(low, columns=["statistic", "of", "z"]).assign(outside=True)) == ()


@pytest.mark.parametrize("share", [1.0, 0.7])
def test_the_share_of_trends_is_that_of_a_regression_on_them(share):
    design = simulated()
    design = design.rows(np.random.default_rng(1).uniform(size=design.n_obs) < share)
    found = statistics_of(design, np.stack([design.y, design.y**2]))[DRIFT, "residual"]
    within = design.effects.within(np.column_stack([design.x, design.y, design.y**2]))
    x, y = within[:, :2], within[:, 2:]
    e = y - x @ np.linalg.lstsq(x, y)[0]
    own = (design.unit[:, None] == np.arange(len(design.units))).astype(float)
    trends = np.column_stack([own, own * design.elapsed[:, None]])
    fit_of = trends @ np.linalg.lstsq(trends, e)[0]
    means = own @ np.linalg.lstsq(own, e)[0]
    np.testing.assert_allclose(found, ((fit_of - means) ** 2).sum(axis=0) / (e**2).sum(axis=0), rtol=1e-8)


# Right models and wrong ones.


def _of(found):
    return {
        "residuals": predictive_residuals(found, predictive_outcomes(found, draws=400)),
        "agreement": agreement(found, "reghdfe", replications=99),
    }


def test_data_of_the_model_itself_leave_the_answer_as_it_is():
    """A check finds something in one panel of twenty at most, and three panels are twelve checks."""
    fits = [fit(a_panel(seed), "partial_pooling") for seed in range(3)]
    results = [result for found in fits for result in _of(found).values()]
    results += [one for found in fits for one in (between_group_prior(found), leave_out(found, "unit"))]
    assert sum(result.passed is False for result in results) <= 1, [r.text for r in results if not r.passed]


@pytest.mark.parametrize("seed", range(3))
def test_correlated_errors_are_not_passed_over(seed):
    """Either the slopes are others with AR(1) errors, or the clustered errors are larger than the posterior's."""
    results = _of(fit(a_panel(seed, rho=0.8, n_groups=4, n_times=16), "partial_pooling"))
    assert results["residuals"].severity is not Severity.FINE
    assert 'term correlation = "ar1"' in results["residuals"].text
    assert any(one.severity in (Severity.WIDENS, Severity.CHANGES) for one in results.values())
    assert results["agreement"].passed or "times with" in results["agreement"].text


def test_a_model_that_has_correlated_errors_is_fine_with_them():
    results = _of(fit(a_panel(0, rho=0.8, n_groups=4), "ar1"))
    assert [result.severity for result in results.values()] == [Severity.FINE] * 2
    assert "not judged against CR2's standard errors, because the model weights rows" in results["agreement"].text


def _predicted(better):
    def one(elpd):
        return Predicted(elpd=np.full(9, elpd), khat=np.zeros(9), p=np.full(9, 0.5), notes=("",) * 9)

    return {("partial_pooling", "row"): one(-2.0), (better, "row"): one(-1.0)}


@pytest.mark.parametrize("rho", [0.0, 0.8])
def test_a_member_that_predicts_better_matters_by_what_it_says_of_the_slopes(rho):
    found = fit(a_panel(1, rho=rho, n_groups=4), "partial_pooling")
    result = model_comparison(found, _predicted("ar1"))
    other = fitted_slopes(fit(found.design, "ar1")).shown
    expected = changes(fitted_slopes(found).shown, other)[0].severity
    assert result.severity is expected
    assert result.passed is (rho == 0)
    assert "Under ar1 " in result.text
    given = model_comparison(found, _predicted("student_t"), others={"student_t": found})
    assert given.severity is Severity.FINE  # its slopes are those of the fit that is passed on


def test_a_unit_with_another_slope_moves_farther_than_the_model_accounts_for():
    design = a_panel(2, n_groups=2)
    own = leave_out(fit(design, "partial_pooling"), "unit")
    assert own.passed is True
    y = design.y + 3.0 * design.x[:, 0] * (design.unit == 7)
    odd = leave_out(fit(replace(design, y=y), "partial_pooling"), "unit")
    assert odd.severity in (Severity.WIDENS, Severity.CHANGES)
    assert "Without u7 the slope of g1 is" in odd.text
    assert 'unit_slope = "pooled"' in odd.text
    z = odd.table.set_index(["left_out", "group"])["z"]
    assert z.abs().idxmax() == ("u7", "g1")


def test_where_one_unit_has_the_slope_its_loss_is_not_a_surprise():
    """Two units of a group, one of which has nearly all of what is known: the interval widens, as it should."""
    design = simulated()
    design = design.rows((design.group > 0) | (design.unit < 6))
    x = design.x.copy()
    x[design.unit == 3, 0] *= 0.4
    y = design.y + 0.3 * (x[:, 0] - design.x[:, 0])
    result = leave_out(fit(replace(design, x=x, y=y), member(group_slope="fixed")), "unit")
    row = result.table.set_index(["left_out", "group"]).loc[("u0", "g0")]
    assert row["ci_high"] - row["ci_low"] > 0
    assert result.severity is Severity.KNOWING
