"""Every check on data of its own model, which it should pass, and on data that it must find out."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.bayes.fit import PanelFit, fit
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.predictive import predictive_outcomes
from cbec_bayes.checks import checks_frame, residuals
from cbec_bayes.checks.agreement import agreement, explain, interacted
from cbec_bayes.checks.cells import CELL_COLUMNS, predictive_cells
from cbec_bayes.checks.influence import leave_out
from cbec_bayes.checks.pair import Pair
from cbec_bayes.checks.prior import prior_predictive
from cbec_bayes.checks.residuals import predictive_residuals, statistics
from cbec_bayes.checks.result import FAMILY_LEVEL, against
from cbec_bayes.checks.sensitivity import alternatives, between_group_prior, power_scaling
from cbec_bayes.checks.severity import Severity
from cbec_bayes.checks.suite import CheckInputs, check, predictive_checks, run_checks
from cbec_bayes.classical.few import few_clusters
from cbec_bayes.classical.regression import twfe
from cbec_bayes.classical.tables import own_columns
from cbec_bayes.commands import program as cli
from cbec_bayes.estimands.groups import effects
from cbec_bayes.estimands.summary import Summary
from cbec_bayes.jobs.fit_settings import SETTINGS
from cbec_bayes.reporting.checkfigures import draw
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import GROUP_AVERAGE
from tests.support.called import status_of as program
from tests.support.members import member
from tests.support.simulated import fitted, simulated


@pytest.mark.parametrize("correlated", [False, True])
def test_a_true_model_fails_one_family_in_twenty(correlated):
    rng = np.random.default_rng(1)
    mix = np.ones((12, 12)) * 0.9 + 0.1 * np.eye(12) if correlated else np.eye(12)
    root = np.linalg.cholesky(mix)
    draws = np.exp(rng.normal(size=(4_000, 12)) @ root.T)  # skewed
    failed = [against(draws, np.exp(root @ rng.normal(size=12))).outside.any() for _ in range(600)]
    assert np.mean(failed) == pytest.approx(FAMILY_LEVEL, abs=4 * np.sqrt(FAMILY_LEVEL * 0.95 / 600))


def test_distances_and_tail_probabilities():
    draws = np.linspace(-1, 1, 2_001)[:, None]
    held = against(draws, np.array([0.95]))
    assert held.z[0] == pytest.approx(1.96, abs=1e-3)
    assert held.p[0] == pytest.approx(0.05, abs=2e-3)
    assert against(draws, np.array([5.0])).p[0] == pytest.approx(2 / 2_002)
    assert against(draws, np.array([0.0])).p[0] == pytest.approx(1, abs=2e-3)
    assert np.isnan(against(draws, np.array([np.nan])).z[0])


def test_replicated_outcomes_have_the_models_moments():
    found = fitted()
    y = predictive_outcomes(found)
    assert y.shape == (4_000, found.design.n_obs)
    posterior = found.tree["posterior"].dataset
    left = found.design.effects.within(y.T)
    x = found.design.effects.within(found.design.x)
    own = found.design.group[:, None] == np.arange(3)
    slopes = np.linalg.lstsq(np.column_stack([x[:, :1] * own, x[:, 1:]]), left)[0]
    # The regression of replicates has the posterior's mean, and the sampling variance on top of the posterior's.
    for r, group in enumerate(found.design.groups):
        draws = posterior["group_total_slope"].sel(group=group).to_numpy().ravel()
        error = slopes[r].std() / np.sqrt(4_000)
        assert slopes[r].mean() == pytest.approx(draws.mean(), abs=4.5 * error)
        assert slopes[r].var() > 1.2 * draws.var()


@pytest.mark.parametrize("model", ["ar1", "group_variance", "nested", "correlated_effects"])
def test_replicated_errors_are_the_models(model):
    found = fitted(0.6, model)
    posterior = found.tree["posterior"].dataset
    same, new = predictive_outcomes(found), predictive_outcomes(found, new_units=True)
    design = found.design
    shift = same - same.mean(axis=0)
    if model == "ar1":
        stat = statistics(design, same)["correlation with the period before", "residual"]
        plain = statistics(design, predictive_outcomes(fitted(0.6)))["correlation with the period before", "residual"]
        assert stat.mean() > plain.mean() + 0.3
        assert statistics(design, design.y[None])["correlation with the period before", "residual"][0] == pytest.approx(
            stat.mean(), abs=4 * stat.std()
        )
    if model == "group_variance":
        sigma = posterior["sigma"].mean(("chain", "draw")).to_numpy()
        spread = [shift[:, design.group == r].std() for r in range(3)]
        assert np.argsort(spread).tolist() == np.argsort(sigma).tolist()
    between = [np.array([y[:, design.unit == i].mean(axis=1) for i in range(30)]).T for y in (same, new)]
    # Units as they are keep their level; new ones have any.
    assert between[1].std(axis=0).mean() > 2.5 * between[0].std(axis=0).mean()
    assert between[1].std(axis=1).mean() == pytest.approx(between[0].std(axis=1).mean(), rel=0.25)


def test_student_t_replicates_have_heavy_tails():
    found = fitted()
    tree = found.tree.copy()
    posterior = tree["posterior"].to_dataset()
    posterior["nu"] = posterior["sigma"] * 0 + 5.0
    tree["posterior"] = type(tree)(posterior)
    heavy = replace(found, tree=tree, blocks=replace(found.blocks, model=member(residual="student_t")))
    kurtosis = statistics(found.design, predictive_outcomes(heavy))["excess kurtosis", "residual"]
    plain = statistics(found.design, predictive_outcomes(found))["excess kurtosis", "residual"]
    assert kurtosis.mean() > plain.mean() + 1
    assert plain.mean() == pytest.approx(0, abs=0.1)


def test_a_panel_without_stored_unit_effects_is_refused():
    found = fitted()
    tree = found.tree.copy()
    tree["posterior"] = type(tree)(tree["posterior"].to_dataset().drop_vars("unit_effect"))
    with pytest.raises(InputError, match="unit effects"):
        predictive_outcomes(replace(found, tree=tree))


def test_a_model_passes_on_data_of_its_own():
    for result in predictive_checks(CheckInputs(fit=fitted())):
        assert result.passed is True, result.text
        assert set(result.table["origin"]) == {"simulated"}
        assert "none of" in result.text


def test_the_cells_are_the_classical_tables():
    found = fitted()
    design = found.design
    printed = {("3", "(2)", "d", "estimate"): 0.41, ("4", "g1", "d", "se"): 40.0}
    result = predictive_cells(design, own_columns(design), "reghdfe", predictive_outcomes(found), printed)
    table = result.table
    assert tuple(table.columns) == CELL_COLUMNS
    by_place = table.set_index(["table", "column", "term", "quantity"]).sort_index()
    for column, part in [("(2)", design), *((g, design.of_group(g)) for g in design.groups)]:
        own = twfe(part, ssc="reghdfe")
        place = ("3" if column == "(2)" else "4", column)
        for k, term in enumerate(design.terms):
            cells = by_place.loc[(*place, term)]["replicated"]
            assert cells["estimate"] == pytest.approx(own.estimate[k], rel=1e-8)
            assert cells["se"] == pytest.approx(own.se[k], rel=1e-8)
            assert cells["t"] == pytest.approx(own.estimate[k] / own.se[k], rel=1e-8)
        assert by_place.loc[(*place, "", "r2"), "replicated"] == pytest.approx(own.r2, rel=1e-8)
    assert by_place.loc[("3", "(2)", "d", "estimate"), "p_printed"] > 0.2
    assert by_place.loc[("4", "g1", "d", "se"), "p_printed"] < 1e-3
    assert table["printed"].notna().sum() == 2
    assert table["p_printed"].notna().sum() == 2


def test_a_cell_that_the_model_would_not_print_is_found():
    found = fit(simulated(rho=0.0, slopes=(0.3, 0.5, 0.4)), "complete_pooling")
    far = fit(simulated(slopes=(-3.0, 0.5, 4.0)), "complete_pooling")
    passed = predictive_cells(
        found.design,
        own_columns(found.design),
        "reghdfe",
        predictive_outcomes(found),
        {},
    )
    failed = predictive_cells(far.design, own_columns(far.design), "reghdfe", predictive_outcomes(far), {})
    assert passed.passed is True
    assert failed.passed is False
    out = failed.table[failed.table["outside"]]
    assert {"g0", "g2"} <= set(out["column"])
    assert f"{len(out)} of {len(failed.table)} cells lie" in failed.text
    assert "more" in failed.text


def _residuals(found):
    return predictive_residuals(found, predictive_outcomes(found))


def test_serial_correlation_is_found_and_the_model_that_has_it_passes():
    design = simulated(rho=0.8)
    results = {name: _residuals(fit(design, name)) for name in ("partial_pooling", "ar1")}
    assert results["partial_pooling"].severity is not Severity.FINE
    assert "the correlation of residuals with those of the period before" in results["partial_pooling"].text
    assert results["ar1"].severity is Severity.FINE


def test_statistics_that_lie_far_out_are_named_in_words():
    far = [("smallest", "outcome"), ("excess kurtosis", "residual"), (residuals.SPREAD, "group east")]
    far += [(residuals.SPREAD, f"period {year}") for year in (1980, 1983, 1987)]
    assert residuals._named(pd.DataFrame(far, columns=["statistic", "of"])) == [
        "the smallest outcome",
        "the excess kurtosis of the residuals",
        "the spread of residuals in group east",
        "the spread of residuals in periods 1980, 1983 and 1987",
    ]


def test_every_statistic_has_words():
    design = simulated()
    every = set(residuals.statistics(design, design.y[None]))
    assert {(name, of) for name, of in every if name != residuals.SPREAD} == set(residuals._SAID)


def test_outliers_and_unequal_spread_are_found():
    design = simulated()
    y = design.y.copy()
    y[design.group == 0] += np.random.default_rng(1).normal(size=(design.group == 0).sum()) * 3
    y[17] += 40
    result = _residuals(fit(replace(design, y=y), "partial_pooling"))
    assert result.severity is not Severity.FINE
    assert {"excess kurtosis", "largest over sd", "log spread of residuals"} <= set(
        result.table[result.table["outside"]]["statistic"]
    )


def before(found: PanelFit, printed: dict | None = None):
    columns = own_columns(found.design)
    return prior_predictive(found, columns, "reghdfe", printed or {})


@pytest.mark.parametrize("model", ["partial_pooling", "ar1", "correlated_effects"])
def test_weak_priors_exclude_nothing_and_allow_nothing_absurd(model):
    result = before(fitted(model=model))
    assert result.passed is True, result.text
    assert set(result.table["verdict"]) == {"possible"}


def test_draws_from_the_prior_are_the_models():
    """With flat parameters held, a group's coefficient spreads by tau and, given it, by the noise of sigma."""
    priors = {"tau": Prior("uniform", {"upper": 40.0}), "sigma": Prior("fixed", {"value": 0.01})}
    found = fit(simulated(), member(priors, group_slope="pooled"))
    row = (
        before(found)
        .table.set_index(["statistic", "of"])
        .loc[("coefficient of the exposure", "the regression of group g1")]
    )
    unit = float(found.design.spread.within[0] / found.design.spread.within[1])
    # b = tau z, tau uniform on (0, u): P(|b| < x) = E min(1, x / (u |z|)), whose 95 % point is 1.39 u.
    rng = np.random.default_rng(0)
    expected = np.quantile(np.abs(rng.uniform(0, 40 * unit, 400_000) * rng.normal(size=400_000)), 0.95)
    assert (row["ci_high"] - row["ci_low"]) / 2 == pytest.approx(expected, rel=0.1)


def test_a_normal_prior_of_a_slope_is_drawn_from():
    priors = {
        "slope": Prior("normal", {"mean": 1.0, "sd": 2.0}),
        "tau": Prior("fixed", {"value": 1e-6}),
        "sigma": Prior("fixed", {"value": 1e-6}),
    }
    found = fit(simulated(), member(priors, group_slope="pooled"))
    row = (
        before(found)
        .table.set_index(["statistic", "of"])
        .loc[("coefficient of the exposure", "the regression of group g1")]
    )
    unit = float(found.design.spread.within[0] / found.design.spread.within[1])
    assert row["mean"] == pytest.approx(unit, abs=4 * 2 * unit / np.sqrt(2_000))
    assert row["ci_high"] - row["ci_low"] == pytest.approx(2 * 1.96 * 2 * unit, rel=0.1)


def test_a_prior_that_excludes_what_is_printed_is_found():
    tight = member({"tau": Prior("half_normal", {"scale": 1e-3})}, group_slope="pooled")
    found = fit(simulated(), tight)
    assert before(found).passed is True
    result = before(found, {("4", "g1", "d", "estimate"): 9.0})
    assert result.passed is False
    assert "exclude coefficient of the exposure, the regression of group g1" in result.text
    far = before(fit(simulated(slopes=(-5.0, 0.5, 5.0)), tight))
    assert "exclude coefficient of the exposure, the regression of group g" in far.text


def test_a_prior_that_allows_the_absurd_is_found():
    wide = member({"tau": Prior("half_normal", {"scale": 1e4})}, group_slope="pooled")
    result = before(fit(simulated(), wide))
    assert result.severity is Severity.KNOWING  # whether it is felt, other checks say
    assert "which is absurd" in result.text


def test_the_classical_regressions_agree_with_the_posterior_of_their_own_data():
    found = fitted()
    result = agreement(found, "reghdfe")
    assert result.passed is True, result.text
    table = result.table.set_index(["column", "term"])
    of_all = [(column, term) for column in ("(all)", GROUP_AVERAGE) for term in ("d", "x")]
    assert list(table.index) == [*of_all, ("g0", "d"), ("g1", "d"), ("g2", "d")]
    few = few_clusters(found.design.of_group("g1"), ssc="reghdfe", replications=999)
    row = table.loc[("g1", "d")]
    assert row["estimate"] == pytest.approx(few.regression.estimate[0], rel=1e-12)
    assert row["crv1_se"] == pytest.approx(few.regression.se[0], rel=1e-12)
    assert row["crv3_se"] == pytest.approx(few.crv3_se[0], rel=1e-12)
    assert row["wild_p"] == few.wild_p[0]
    draws = found.tree["posterior"]["group_total_slope"].sel(group="g1").to_numpy()
    assert row["apart"] == pytest.approx((draws.mean() - row["estimate"]) / draws.std(ddof=1), rel=1e-9)
    # Flat and unpooled, the two are one estimate: the limits of MODEL.md.
    apart = agreement(fitted(model="no_pooling"), "reghdfe").table.set_index(["column", "term"])
    assert np.abs(apart.loc[["g0", "g1", "g2"], "apart"]).max() < 0.1


def test_a_posterior_that_refutes_the_regressions_is_found():
    tight = member({"tau": Prior("half_normal", {"scale": 1e-3})}, group_slope="pooled")
    result = agreement(fit(simulated(slopes=(-1.0, 0.5, 2.0)), tight), "reghdfe")
    assert result.severity is Severity.CHANGES
    assert "the regression gives \N{MINUS SIGN}1.0" in result.text
    assert "pooling moves it towards the common slope" in result.table.set_index("column").loc["g0", "why"]


def pair(apart=0.0, sd=1.0, se=1.0, *, df=30.0, column="(all)", legitimate="", pooled=False, mean=0.0):
    """A term beside a posterior of a given mean and sd, with a regression that is `apart` from it."""
    posterior = Summary(mean=mean, sd=sd, ci_low=mean - 1.96 * sd, ci_high=mean + 1.96 * sd, p_positive=0.5)
    own = {"column": column, "term": "d", "posterior": posterior, "legitimate": legitimate, "pooled": pooled}
    return Pair(estimate=mean - apart, se=se, df=df, level=0.05, **own)


@pytest.mark.parametrize(
    ("one", "severity", "said"),
    [
        (pair(), "fine", "they agree"),
        (pair(se=1.4), "fine", "they agree"),
        (pair(se=1.5), "widens it", "takes errors within a unit as independent"),
        (pair(se=1.5, mean=2.5), "changes the answer", "takes errors within a unit as independent"),
        (pair(se=0.6), "widens it", "negatively correlated"),
        (pair(se=1.5, df=4.0), "fine", "4.0 degrees of freedom"),
        (pair(se=1.5, legitimate="because"), "fine", "because"),
        (pair(1.5, column="g", pooled=True), "fine", "pooling moves it towards the common slope"),
        (pair(1.5, se=0.6, column="g", pooled=True), "worth knowing", "pooling moves it towards the common slope; "),
        (pair(2.5, se=0.8, column="g", pooled=True), "changes the answer", "pooling moves it"),
        (pair(se=2.0, column="g", pooled=True), "fine", "also uses rows of other groups"),
    ],
)
def test_why_they_part_and_whether_it_matters(one, severity, said):
    assert said in explain(one)
    assert str(one.severity) == severity


def test_the_clustered_error_of_few_clusters_may_be_far_from_the_posteriors():
    """What is allowed for is what a chi-squared variable over its degrees of freedom does in 19 of 20 panels."""
    rng = np.random.default_rng(1)
    for df in (3.0, 8.0, 40.0):
        found = [pair(se=se, df=df).is_allowed for se in np.sqrt(rng.chisquare(df, 2_000) / df)]
        assert np.mean(found) == pytest.approx(0.95, abs=4 * np.sqrt(0.05 * 0.95 / 2_000))


@pytest.mark.parametrize("share", [1.0, 0.8])
def test_the_interacted_regression_has_the_average_over_units(share):
    design = simulated()
    design = design.rows(np.random.default_rng(2).uniform(size=design.n_obs) < share)
    design = design.rows((design.group > 0) | (design.unit < 9))  # groups of 3, 10 and 10 units
    found = twfe(interacted(design), ssc="reghdfe")
    own = design.group[:, None] == np.arange(3)
    x = np.column_stack([design.x[:, :1] * own, design.x[:, 1:]])
    within = design.effects.within(np.column_stack([design.y, x]))
    slopes = np.linalg.lstsq(within[:, 1:], within[:, 0])[0]
    sizes = np.array([len(set(design.unit[design.group == r])) for r in range(3)])
    assert found.estimate[0] == pytest.approx(sizes @ slopes[:3] / sizes.sum(), rel=1e-8)
    assert found.estimate[1] == pytest.approx(slopes[3], rel=1e-8)


def test_the_prior_of_the_between_group_scale():
    settled = between_group_prior(fitted())
    assert settled.table["prior"].iloc[0] == "the model's own"
    assert set(settled.table["group"]) == {"g0", "g1", "g2", GROUP_AVERAGE, "(all)", "(new)"}
    own = settled.table[settled.table["prior"] == "the model's own"].set_index("group")
    shown = effects(fitted()).set_index("group").loc["g0"]  # by fewer draws of the scales, and as exactly given these
    assert own.loc["g0", "mean"] == pytest.approx(shown["mean"], abs=0.1 * shown["sd"])
    assert own.loc["g0", "sd"] == pytest.approx(shown["sd"], rel=0.05)


def test_a_sign_that_another_prior_takes_back_is_found():
    """Of three groups' mean the prior decides; their own slopes are known from their own rows."""
    model = fitted().model
    wider = replace(model, priors={**model.priors, "tau": Prior("half_normal", {"scale": 1.0})})
    result = between_group_prior(fit(fitted().design, wider, draws=1_000))
    rows = result.table.set_index(["prior", "group"])
    for group in ("g0", "g1", "g2", GROUP_AVERAGE):
        assert (rows.xs(group, level="group")["ci_low"] > 0).all()
    own, wide = (rows.loc[prior, "(all)"] for prior in ("the model's own", "half-normal, 2 times"))
    assert own["ci_low"] > 0
    assert wide["ci_low"] < -0.1 * (own["ci_high"] - own["ci_low"])
    assert result.severity is Severity.CHANGES
    ends = [f"{row['mean']:.2f} ({row['ci_low']:.2f} to {row['ci_high']:.2f})" for row in (own, wide)]
    said = f"the slope of groups in general goes from {ends[0]} to {ends[1]} under the prior 'half-normal, 2 times'"
    assert said.replace("-0", "\N{MINUS SIGN}0") in result.text


def test_what_has_no_between_group_scale_is_not_tried():
    none = between_group_prior(fitted(model="complete_pooling"))
    assert none.passed is None
    assert none.text == "The model complete_pooling has no standard deviation between groups that is estimated."
    by_pymc = replace(fitted(), collapsed=None)
    assert between_group_prior(by_pymc).text == (
        "Refits under other priors are made by the collapsed engine only, and PyMC samples partial_pooling."
    )
    assert leave_out(by_pymc, "unit").text == (
        "One unit at a time is left out by the collapsed engine only, and PyMC samples partial_pooling."
    )
    alone = replace(fitted(), blocks=replace(fitted().blocks, design=replace(simulated(), group=None, groups=())))
    for result in (between_group_prior(alone), power_scaling(alone), leave_out(alone, "group")):
        assert result.passed is None
        assert result.text == "There are no groups."
    held = member({"tau": Prior("fixed", {"value": 1.0})}, group_slope="pooled")
    assert between_group_prior(fit(simulated(), held)).passed is None
    own = load_panel_model("partial_pooling").priors["tau"]
    assert len(alternatives(own)) == 8
    assert own in alternatives(own).values()


@pytest.mark.parametrize("what", ["unit", "group"])
def test_leaving_one_out_is_the_fit_without_it(what):
    found = fitted()
    design = found.design
    result = leave_out(found, what)
    codes, labels = (design.unit, design.units) if what == "unit" else (design.group, design.groups)
    assert result.table["left_out"].nunique() == len(labels)
    part = fit(design.holding_spread().rows(codes != 1), "partial_pooling")
    without, full = (effects(one).set_index("group").loc["g2"] for one in (part, found))
    row = result.table[(result.table["left_out"] == labels[1]) & (result.table["group"] == "g2")].iloc[0]
    # Slopes are as exactly known given the scales, and these by half as many draws.
    assert row["mean"] == pytest.approx(without["mean"], abs=0.05 * full["sd"])
    assert row["sd"] == pytest.approx(without["sd"], rel=0.05)
    assert row["moved"] == pytest.approx((row["mean"] - full["mean"]) / full["sd"], rel=1e-9)
    if what == "unit":
        assert result.passed is True, result.text


def test_a_unit_that_everything_rests_on_is_found():
    design = simulated()
    y = design.y.copy()
    y[design.unit == 4] += 4.0 * (design.x[:, 0] * (1 + 0.5 * design.time))[design.unit == 4]
    result = leave_out(fit(replace(design, y=y), "partial_pooling"), "unit")
    assert result.passed is False
    assert "without u4" in result.text


def test_two_groups_are_too_few_to_leave_one_out():
    design = simulated()
    result = leave_out(fit(design.rows(design.group < 2), "partial_pooling"), "group")
    assert result.passed is None
    assert result.table.empty
    assert result.text == "There are 2 groups; at least three are needed to leave one out."


def test_many_units_are_not_left_out(monkeypatch):
    monkeypatch.setattr("cbec_bayes.checks.influence.MAX_LEFT_OUT", 29)
    result = leave_out(fitted(), "unit")
    assert result.passed is None
    assert result.text == "There are 30 units; each is left out only where there are at most 29."


def test_every_check_has_a_name_of_its_own():
    results = run_checks(CheckInputs(fit=fitted(), members=("complete_pooling",)))
    frame = checks_frame(results)
    assert frame["check"].is_unique
    assert set(frame["passed"]) <= {"yes", "no", "not applicable"}
    assert len(frame) == 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("checked")
    design = simulated()
    frame = pd.DataFrame(design.x, columns=["d", "x"]).assign(
        y=design.y,
        firm=[design.units[i] for i in design.unit],
        year=[int(design.times[t]) for t in design.time],
        sector=[design.groups[g] for g in design.group],
    )
    data = tmp_path / "panel.csv"
    frame.to_csv(data, index=False)
    columns = {"outcome": "y", "exposure": "d", "controls": "x", "unit": "firm", "time": "year", "group": "sector"}
    asked = [word for name, column in columns.items() for word in (f"--{name}", column)]
    with pytest.raises(SystemExit) as stopped:
        cli.main(
            [
                "fit",
                "--data",
                str(data),
                *asked,
                "--model",
                "partial_pooling",
                "--seed",
                "2",
                "--out",
                str(tmp_path / "fit"),
                "-q",
            ]
        )
    assert stopped.value.code == 0
    return tmp_path / "fit"


def test_a_folder_is_checked(folder, capsys, tmp_path):
    settings = json.loads((folder / SETTINGS).read_text())
    assert settings["model"] == "partial_pooling"
    assert settings["seed"] == 2
    assert program("check", folder) == 0
    out = capsys.readouterr().out
    assert "Checks of partial_pooling" in out
    found = pd.read_csv(folder / "checks.csv")
    assert list(found.columns) == ["check", "passed", "text", "severity"]
    named = found.set_index("check")
    assert set(named["passed"].drop("between_group_prior")) == {"yes"}  # of three groups in general the prior decides
    assert set(named["severity"]) <= {str(one) for one in Severity}
    assert [Severity(one).passed for one in found["severity"]] == (found["passed"] == "yes").tolist()
    cells = pd.read_csv(folder / "check_predictive_cells.csv")
    assert tuple(cells.columns) == CELL_COLUMNS
    assert set(cells["origin"]) == {"observed"}
    # The same seed gives the same checks, whoever makes them; elsewhere where asked.
    assert program("check", folder, "--workers", 2, "--out", tmp_path / "again", "--quiet") == 0
    assert (tmp_path / "again" / "checks.csv").read_bytes() == (folder / "checks.csv").read_bytes()


def test_what_cannot_be_checked_is_refused_in_one_line(folder, capsys, tmp_path):
    def refused(path):
        assert program("check", path) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return error

    assert "not the folder of a fit" in refused(tmp_path / "nothing")
    for text in ("{", "[]", "{}", '{"data": 3}'):
        other = tmp_path / "other"
        other.mkdir(exist_ok=True)
        (other / SETTINGS).write_text(text)
        assert "not the folder of a fit" in refused(other)
    data = folder.parent / "panel.csv"
    moved = shutil.copy(data, tmp_path / "kept.csv")
    data.write_text(data.read_text() + "\n")
    assert "has changed since the fit" in refused(folder)
    data.unlink()
    assert "no longer there" in refused(folder)
    shutil.copy(moved, data)
    assert program("check", folder, "--quiet") == 0


@pytest.fixture(scope="module")
def checked():
    return check(fitted())


def test_checks_from_python(checked):
    found = checked
    assert found.frame()["check"].tolist() == [result.name for result in found.results]
    assert found["left_out_rows"].passed is True
    assert "<table" in found._repr_html_()
    assert "left_out_rows: fine." in found["left_out_rows"]._repr_html_()
    with pytest.raises(InputError, match="unknown check 'left_out_row'; did you mean 'left_out_rows'"):
        _ = found["left_out_row"]


def test_every_check_with_something_to_show_is_drawn(checked):
    drawn = {result.name: draw(result, f"title of {result.name}") for result in checked.results}
    for name, svg in ((name, None if one is None else one.svg()) for name, one in drawn.items()):
        assert svg is not None, name
        assert svg.startswith("<svg")
        assert f'aria-label="title of {name}:' in svg
