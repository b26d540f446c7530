"""Slopes of groups, their contrasts and ranks, pooling factors and the shrinkage path, against closed forms."""

from __future__ import annotations

import functools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

from cbec_bayes.bayes.fit import PanelFit, fit
from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.model.blocks import make_blocks
from cbec_bayes.bayes.model.densities import resolve
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.classical.regression import twfe
from cbec_bayes.classical.tables import interacted
from cbec_bayes.estimands import (
    EFFECT_COLUMNS,
    UNIT_EFFECT_COLUMNS,
    effects_frame,
    groups,
    pooling_factor_overall,
    summarise_draws,
)
from cbec_bayes.estimands.contrasts import contrasts, equivalence, ranks
from cbec_bayes.estimands.groups import effects, group_slopes, pooling_factors
from cbec_bayes.estimands.loadings import units_per_group
from cbec_bayes.estimands.mixed_slopes import log_scales
from cbec_bayes.estimands.shrinkage import shrinkage_path
from cbec_bayes.estimands.summary import Drawn, Mixed
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import Origin
from tests.support.members import MEMBERS, by_name, dense, member, panel
from tests.support.regressions import load, random_design

MODELS = ("complete_pooling", "no_pooling", "partial_pooling", "nested", "group_variance", "ar1")
UNEQUAL = np.array([0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2])


def unequal(design):
    """The design with twelve units in groups of two, four and six."""
    return replace(design, group=UNEQUAL[design.unit], groups=("few", "some", "many"))


@functools.cache
def fitted(model):
    return fit(unequal(panel("unbalanced")), model, draws=100, chains=2, seed=3)


def draws_of(found, name):
    values = found.tree["posterior"][name].to_numpy()
    return values.reshape(-1, *values.shape[2:])


def held(design, **scales):
    """A fit that needed no sampling: the pooled slope's model with scales given, in the data's own units."""
    terms = scales.pop("terms", {})
    units = resolve(member(group_slope="pooled", **terms), design)
    priors = {name: Prior("fixed", {"value": v / units[name].params["scale"]}) for name, v in scales.items()}
    blocks = make_blocks(design, member(priors, group_slope="pooled", **terms))
    engine = make_collapsed(blocks)
    assert engine.names == ()
    empty = xr.DataTree.from_dict({"posterior": xr.Dataset()})
    return PanelFit(
        blocks=blocks, priors=dict(engine.priors), tree=empty, diagnostics=None, khat=float("nan"), collapsed=engine
    )


def independent():
    """Groups that share nothing but the distribution of their slopes: no controls, periods of their own."""
    design = unequal(random_design(7, 12, 6, n_terms=1))
    own = [twfe(design.of_group(group)) for group in design.groups]
    within = [part.effects.within(part.x)[:, 0] for part in map(design.of_group, design.groups)]
    return design, np.array([fit.estimate[0] for fit in own]), np.array([w @ w for w in within])


def test_slopes_where_there_are_no_deviations():
    found = fitted("complete_pooling")
    slopes = group_slopes(found)
    assert slopes.labels == ("few", "some", "many")
    assert slopes.groups.shape == (200, 3)
    assert slopes.new is None
    for r in range(3):
        np.testing.assert_array_equal(slopes.groups[:, r], draws_of(found, "slope"))
    np.testing.assert_array_equal(slopes.common, draws_of(found, "slope"))
    np.testing.assert_allclose(slopes.average, slopes.common)


def test_fixed_slopes_have_the_mean_over_units_in_common():
    found = fitted("no_pooling")
    slopes = group_slopes(found)
    np.testing.assert_array_equal(slopes.groups, draws_of(found, "group_total_slope"))
    expected = slopes.groups @ np.array([2, 4, 6]) / 12
    np.testing.assert_allclose(slopes.common, expected)
    np.testing.assert_allclose(slopes.average, expected)
    assert slopes.new is None


@pytest.mark.parametrize("model", ["partial_pooling", "group_variance", "ar1"])
def test_pooled_slopes(model):
    found = fitted(model)
    slopes = group_slopes(found)
    np.testing.assert_allclose(slopes.groups, draws_of(found, "slope")[:, None] + draws_of(found, "group_slope"))
    np.testing.assert_array_equal(slopes.common, draws_of(found, "slope"))
    np.testing.assert_allclose(slopes.average, slopes.groups @ np.array([2, 4, 6]) / 12)
    np.testing.assert_array_equal(slopes.new, draws_of(found, "new_group_slope"))


def test_the_average_slope_has_the_units_own_deviations():
    found = fitted("nested")
    slopes = group_slopes(found)
    every = slopes.groups[:, UNEQUAL] + draws_of(found, "unit_slope")
    np.testing.assert_allclose(slopes.average, every.mean(axis=1))
    np.testing.assert_allclose(slopes.groups, draws_of(found, "slope")[:, None] + draws_of(found, "group_slope"))


def test_slopes_without_groups():
    found = fit(load("grunfeld"), "nested", draws=50)
    slopes = group_slopes(found)
    assert (slopes.labels, slopes.groups.shape, slopes.new) == ((), (200, 0), None)
    np.testing.assert_allclose(slopes.average, slopes.common + draws_of(found, "unit_slope").mean(axis=1))
    assert units_per_group(found.design).tolist() == [10]


def test_units_are_counted_by_group():
    assert units_per_group(unequal(panel("unbalanced"))).tolist() == [2, 4, 6]


@pytest.mark.parametrize("model", ["partial_pooling", "no_pooling", "nested"])
def test_contrasts(model):
    found = fitted(model)
    labels, slopes = found.design.groups, group_slopes(found)
    table = contrasts(found)
    assert list(zip(table["group"], table["minus"], strict=True)) == [
        (labels[0], labels[1]),
        (labels[0], labels[2]),
        (labels[1], labels[2]),
    ]
    for row, (i, j) in zip(table.to_dict("records"), ((0, 1), (0, 2), (1, 2)), strict=True):
        assert_near_draws(row, slopes.groups[:, i] - slopes.groups[:, j])
    assert set(table["origin"]) == {str(found.design.origin)}
    mean = table.set_index(["group", "minus"])["mean"]
    assert mean[labels[0], labels[1]] + mean[labels[1], labels[2]] == pytest.approx(mean[labels[0], labels[2]])
    means = effects(found).set_index("group")["mean"]
    assert mean[labels[0], labels[2]] == pytest.approx(means[labels[0]] - means[labels[2]])


def test_contrasts_are_the_same_however_many_groups_are_taken_at_once(monkeypatch):
    found = fit(panel("unbalanced"), "partial_pooling", draws=100)
    few = contrasts(found)
    monkeypatch.setattr(groups, "MAX_AT_ONCE", 2)
    pd.testing.assert_frame_equal(contrasts(found), few, rtol=1e-9)


def test_contrasts_of_nothing_are_an_empty_table():
    table = contrasts(fit(load("grunfeld"), "partial_pooling", draws=50))
    assert len(table) == 0
    assert list(table.columns) == ["group", "minus", "mean", "sd", "ci_low", "ci_high", "p_positive", "origin", "mcse"]


def test_ranks_by_hand():
    draws = np.array([[3.0, 2.0, 1.0], [1.0, 3.0, 2.0], [5.0, 4.0, 0.0], [9.0, -1.0, 0.0]])
    table = ranks(("a", "b", "c"), draws).set_index(["group", "rank"])["probability"]
    assert table["a"].tolist() == [0.75, 0, 0.25]
    assert table["b"].tolist() == [0.25, 0.5, 0.25]
    assert table["c"].tolist() == [0, 0.5, 0.5]


def test_ranks_are_a_distribution_both_ways():
    slopes = group_slopes(fitted("partial_pooling"))
    table = ranks(slopes.labels, slopes.groups)
    assert len(table) == 9
    np.testing.assert_allclose(table.groupby("group")["probability"].sum(), 1)
    np.testing.assert_allclose(table.groupby("rank")["probability"].sum(), 1)


def test_rope():
    draws = np.array([-0.3, -0.1, 0.0, 0.1, 0.2])
    assert [Drawn(draws, 5).within(half_width) for half_width in (0.15, 1e-9, 9)] == [0.6, 0.2, 1.0]
    for half_width in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="needs a positive half-width"):
            equivalence(fitted("partial_pooling"), half_width)


@pytest.mark.parametrize("tau", [1e-4, 0.05, 0.3, 20.0])
def test_a_pooling_factor_is_the_weight_of_the_common_slope(tau):
    """Independent groups: s^2 / (s^2 + tau^2), and what is left of a group's own deviation is one less it."""
    design, own, within = independent()
    found = held(design, sigma=0.8, tau=tau, terms={"group_time_effect": "fixed"})
    squares = 0.8**2 / within
    factors = pooling_factors(found)
    np.testing.assert_allclose(factors, squares / (squares + tau**2), rtol=1e-7)
    given = found.collapsed.conditional(np.zeros((1, 0))).mean[0]
    names = [block.name for block in found.blocks.every for _ in block.kept]
    slope = given[names.index("slope")]
    deviations = given[[k for k, name in enumerate(names) if name == "group_slope"]]
    np.testing.assert_allclose(1 - deviations / (own - slope), factors, atol=1e-6)


@pytest.mark.parametrize("terms", [{}, {"unit_slope": "pooled"}, {"spread": "by_group"}], ids=str)
def test_pooling_factors_where_groups_share_periods_and_controls(terms):
    """The variance that the dense formulas leave to a deviation, once the common slope is known."""
    design = unequal(panel("unbalanced"))
    scales = {"sigma": 0.8, "tau": 0.4} | ({"kappa": 0.2} if "unit_slope" in terms else {})
    found = held(design, **scales, terms=terms)
    _, covariance = dense(design, found.model).conditional(by_name(found.collapsed, np.zeros((1, 0))))
    expected = [
        (covariance.loc[n, n] - covariance.loc[n, "slope"] ** 2 / covariance.loc["slope", "slope"]) / 0.4**2
        for n in (f"group_slope[{group}]" for group in design.groups)
    ]
    np.testing.assert_allclose(pooling_factors(found), expected, rtol=1e-7)


def test_pooling_factors_of_the_limits():
    design = unequal(panel("unbalanced"))
    np.testing.assert_allclose(pooling_factors(held(design, sigma=0.8, tau=1e-5)), 1, atol=1e-6)
    np.testing.assert_allclose(pooling_factors(held(design, sigma=0.8, tau=1e3)), 0, atol=1e-5)
    assert (pooling_factors(held(design, sigma=0.8, tau=0.0)) == 1).all()
    assert (pooling_factors(fitted("complete_pooling")) == 1).all()
    assert (pooling_factors(fitted("no_pooling")) == 0).all()
    assert np.isnan(pooling_factors(replace(fitted("partial_pooling"), collapsed=None))).all()
    assert pooling_factors(fit(load("grunfeld"), "partial_pooling", draws=10)).shape == (0,)


def test_pooling_factors_are_means_over_the_scales():
    """Of one less what the data say at each draw: smaller groups lean on the others more."""
    factors = pooling_factors(fitted("partial_pooling"))
    assert ((factors > 0) & (factors < 1)).all()
    assert factors[0] == factors.max()
    found = fitted("partial_pooling")
    tau, sigma = draws_of(found, "tau"), draws_of(found, "sigma")
    each = [pooling_factors(held(found.design, sigma=s, tau=t)) for s, t in zip(sigma, tau, strict=True)]
    np.testing.assert_allclose(factors, np.mean(each, axis=0), rtol=1e-6)


@pytest.mark.parametrize("model", ["partial_pooling", "group_variance", "nested", "ar1"])
def test_log_scales_are_those_of_the_draws(model):
    found = fitted(model)
    points = log_scales(found)
    assert points.shape == (200, len(found.collapsed.names))
    lp = found.tree["sample_stats"]["lp"].to_numpy().ravel()
    np.testing.assert_allclose(found.collapsed.log_posterior(points), lp, rtol=1e-8)
    np.testing.assert_array_equal(log_scales(found, at_most=50), points[::4])


def test_the_overall_factor():
    """No spread between draws' means: all pooled. The same deviations in every draw: none."""
    rng = np.random.default_rng(0)
    steady = np.tile([1.0, -1.0, 0.5], (400, 1))
    assert pooling_factor_overall(steady) == pytest.approx(0)
    assert pooling_factor_overall(steady + rng.normal(size=(400, 3))) == pytest.approx(0.47, abs=0.1)
    assert pooling_factor_overall(rng.normal(size=(4_000, 3))) == pytest.approx(1, abs=0.01)
    assert pooling_factor_overall(np.zeros((10, 3))) == 1
    assert np.isnan(pooling_factor_overall(np.zeros((10, 1))))


@pytest.mark.parametrize("model", MODELS)
def test_effects(model):
    found = fitted(model)
    design = replace(found.design, origin=Origin.RECONSTRUCTED)
    table = effects(replace(found, blocks=replace(found.blocks, design=design)))
    assert tuple(table.columns) == UNIT_EFFECT_COLUMNS
    assert table["group"].tolist() == ["(average)", "few", "some", "many", "(all)", "(new)"]
    assert set(table["origin"]) == {"reconstructed"}
    sizes = [int((design.group == r).sum()) for r in range(3)]
    assert table["n_units"].tolist()[:5] == [12, 2, 4, 6, 12]
    assert table["n_obs"].tolist()[:5] == [design.n_obs, *sizes, design.n_obs]
    assert table[["n_units", "n_obs"]].iloc[5].isna().all()
    pooled = twfe(design)
    np.testing.assert_allclose(table["complete_pooling"], pooled.estimate[0])
    slopes = group_slopes(found)
    rows = table.set_index("group")
    for r, group in enumerate(design.groups):
        try:
            own = twfe(design.of_group(group))
            expected = [own.estimate[0], own.se[0]]
        except InputError:
            expected = [np.nan, np.nan]
        np.testing.assert_allclose(rows.loc[group, ["no_pooling", "no_pooling_se"]].to_numpy(dtype=float), expected)
        assert_near_draws(rows.loc[group], slopes.groups[:, r])
    assert_near_draws(rows.loc["(average)"], slopes.average)
    assert_near_draws(rows.loc["(all)"], slopes.common)
    averages = rows[["units_mean", "units_sd", "units_ci_low", "units_ci_high"]]
    own = rows[["mean", "sd", "ci_low", "ci_high"]]
    np.testing.assert_array_equal(averages.iloc[0], own.iloc[0])
    assert averages.loc[["(all)", "(new)"]].isna().all(axis=None)
    if found.model.choice("unit_slope") == "off":
        np.testing.assert_allclose(averages.iloc[1:4], own.iloc[1:4], rtol=1e-12)
    else:
        for r, group in enumerate(design.groups):
            draws = slopes.of_units[:, r]
            error = 4.5 * draws.std() / np.sqrt(len(draws))
            assert averages.loc[group, "units_mean"] == pytest.approx(draws.mean(), abs=error)
    assert rows.loc[["(all)", "(new)"], ["no_pooling", "no_pooling_se"]].isna().all(axis=None)
    np.testing.assert_allclose(rows["pooling_factor"][1:4], pooling_factors(found))
    if found.model.choice("group_slope") == "pooled":
        assert_near_draws(rows.loc["(new)"], slopes.new)
        overall = pooling_factor_overall(draws_of(found, "group_slope"))
        assert rows.loc["(all)", "pooling_factor"] == pytest.approx(overall)
    else:
        assert rows.loc["(new)", ["mean", "sd", "ci_low", "ci_high", "p_positive"]].isna().all()
        assert np.isnan(rows.loc["(all)", "pooling_factor"])


def assert_near_draws(row, draws):
    """A mixture of normals given the scales has less Monte Carlo error than draws of the slope, and none besides."""
    expected = summarise_draws(draws)
    found = np.array([row[name] for name in ("mean", "ci_low", "ci_high")])
    errors = np.abs(found - [expected.mean, expected.ci_low, expected.ci_high])
    assert (errors < 4.5 * np.hypot(expected.mcse, row["mcse"])).all()
    assert row["sd"] == pytest.approx(expected.sd, rel=12 / np.sqrt(len(draws)))
    assert row["p_positive"] == pytest.approx(expected.p_positive, abs=4.5 * 0.5 / np.sqrt(len(draws)))
    assert row["mcse"] <= 2 * expected.mcse  # both are known roughly: of few draws


def test_a_slope_given_fixed_scales_is_one_normal():
    """Nothing is left to be sampled: the summary is the normal's own, without Monte Carlo error."""
    held = member(
        {"sigma": Prior("fixed", {"value": 1.0}), "tau": Prior("fixed", {"value": 0.5})}, group_slope="pooled"
    )
    found = fit(panel("unbalanced"), held, draws=50)
    given = found.collapsed.conditional(np.zeros((1, 0)))
    variance = given.root[0] @ given.root[0].T
    names = [f"{block.name}{k}" for block in found.blocks.every for k in block.kept]
    table = effects(found).set_index("group")
    tau = float(found.priors["tau"].params["value"])
    for r, group in enumerate(found.design.groups):
        loading = np.array([float(name in ("slope0", f"group_slope{r}")) for name in names])
        middle, sd = loading @ given.mean[0], np.sqrt(loading @ variance @ loading)
        row = table.loc[group]
        np.testing.assert_allclose(
            [row["mean"], row["sd"], row["ci_low"], row["ci_high"], row["p_positive"]],
            [middle, sd, *stats.norm.interval(0.95, middle, sd), stats.norm.cdf(middle / sd)],
            rtol=1e-8,
        )
        assert row["mcse"] < 1e-12
    slope = names.index("slope0")
    assert table.loc["(new)", "sd"] == pytest.approx(np.sqrt(variance[slope, slope] + tau**2), rel=1e-10)


def test_the_monte_carlo_error_is_that_of_other_seeds():
    ends = ["mean", "ci_low", "ci_high"]
    tables = [
        effects(fit(panel("balanced"), "partial_pooling", draws=100, seed=seed)).set_index("group")
        for seed in range(30)
    ]
    between = pd.concat([table[ends] for table in tables]).groupby(level=0, sort=False).std().max(axis=1)
    said = pd.concat([table["mcse"] for table in tables]).groupby(level=0, sort=False).mean()
    ratio = said / between
    assert ((ratio > 0.5) & (ratio < 2.5)).all(), ratio


@pytest.mark.parametrize("spread", [0.0, 0.3, 3.0])
def test_quantiles_of_a_mixture(spread):
    rng = np.random.default_rng(2)
    mean, sd = spread * rng.standard_t(3, size=500), np.exp(0.5 * rng.normal(size=500))
    found = Mixed(mean, sd, 500).summary()
    for end, p in ((found.ci_low, 0.025), (found.ci_high, 0.975)):
        assert stats.norm.cdf(end, mean, sd).mean() == pytest.approx(p, abs=1e-9)
    assert found.mean == pytest.approx(mean.mean())
    assert found.sd**2 == pytest.approx((sd**2 + mean**2).mean() - mean.mean() ** 2)
    assert found.p_positive == pytest.approx(stats.norm.sf(0, mean, sd).mean())
    assert Mixed(mean, sd, 500).within(0.7) == pytest.approx(
        (stats.norm.cdf(0.7, mean, sd) - stats.norm.cdf(-0.7, mean, sd)).mean()
    )
    constant = Mixed(np.full(5, 2.0), np.zeros(5), 5).summary()
    assert (constant.ci_low, constant.mean, constant.ci_high, constant.p_positive, constant.mcse) == (2, 2, 2, 1, 0)


def test_a_group_that_has_no_regression_of_its_own_is_blank():
    """One unit is no panel; pooling gives it a slope all the same."""
    base = panel("balanced")
    alone = replace(base, group=np.where(base.unit == 0, 0, 1), groups=("one", "rest"))
    table = effects(fit(alone, "partial_pooling", draws=50)).set_index("group")
    assert table.loc["one", ["no_pooling", "no_pooling_se"]].isna().all()
    assert np.isfinite(table.loc["one", "mean"])
    assert np.isfinite(table.loc["rest", "no_pooling"])


def test_effects_without_groups():
    found = fit(load("grunfeld"), "partial_pooling", draws=50)
    table = effects(found).set_index("group")
    assert table.index.tolist() == ["(average)", "(all)", "(new)"]
    assert table["n_units"].tolist() == [10, 10, pd.NA]
    assert np.isnan(table.loc["(new)", "mean"])
    assert np.isnan(table.loc["(all)", "pooling_factor"])


def test_the_convention_of_the_standard_errors_beside():
    found = fitted("partial_pooling")
    for ssc in ("reghdfe", "plm"):
        row = effects(found, ssc).set_index("group").loc["many"]
        assert row["no_pooling_se"] == pytest.approx(twfe(found.design.of_group("many"), ssc=ssc).se[0])


def test_rows_with_missing_cells_are_a_table():
    table = effects_frame([{"group": "a", "n_units": 3, "mean": 1.0}, {"group": "b"}])
    assert tuple(table.columns) == EFFECT_COLUMNS
    assert str(table["n_units"].dtype) == "Int64"
    assert table["n_obs"].isna().all()


def test_a_summary():
    found = summarise_draws(np.arange(-10.0, 91.0).reshape(1, -1))
    assert (found.mean, found.ci_low, found.ci_high) == pytest.approx((40, -7.5, 87.5))
    assert found.sd == pytest.approx(np.arange(101).std(ddof=1))
    assert found.p_positive == pytest.approx(90 / 101)
    assert summarise_draws(np.arange(101.0), 0.5).ci_high == 75


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("balanced", "partial_pooling"),
        ("unbalanced", "partial_pooling"),
        ("produc_unbalanced", "partial_pooling"),
        ("unbalanced", "group_variance"),
    ],
)
def test_the_path_ends_in_the_two_regressions(name, model):
    """At once where residuals have one scale; with a scale per group its ends are weighted regressions instead."""
    design = panel(name)
    found = fit(design, model, draws=50)
    unit = float(design.spread.within[0] / design.spread.within[1])
    tau = np.geomspace(1e-6, 1e5 if model == "partial_pooling" else 50, 25) * unit
    path = shrinkage_path(found, tau, draws=50)
    assert path.labels == design.groups
    assert path.means.shape == path.sds.shape == path.low.shape == path.high.shape == (25, len(design.groups))
    np.testing.assert_array_equal(path.tau, tau)
    assert (path.low < path.means).all()
    assert (path.means < path.high).all()
    spread = np.ptp(path.means, axis=1)
    assert spread[0] < 1e-4 * spread[-1]
    np.testing.assert_allclose(path.means[0], path.common[0], rtol=1e-4)
    if model == "partial_pooling":
        pooled, apart = twfe(design).estimate[0], twfe(interacted(design)).estimate[: len(design.groups)]
        np.testing.assert_allclose(path.means[0], pooled, rtol=1e-4)
        np.testing.assert_allclose(path.common[0], pooled, rtol=1e-4)
        np.testing.assert_allclose(path.means[-1], apart, rtol=1e-4)
        from_pooled = np.abs(path.means - pooled).max(axis=1)
        from_apart = np.abs(path.means - apart).max(axis=1)
        assert (np.diff(from_pooled[:8]) > 0).all()
        assert (np.diff(from_apart[-6:]) < 0).all()


def test_the_path_at_known_scales_is_the_conditional():
    design = unequal(panel("unbalanced"))
    found = held(design, sigma=0.8, tau=0.1)
    path = shrinkage_path(found, np.array([0.05, 0.4]), draws=4_000)
    for m, tau in enumerate(path.tau):
        mean, covariance = dense(design, found.model).conditional({"sigma": 0.8, "tau": tau})
        for r, group in enumerate(design.groups):
            own = ["slope", f"group_slope[{group}]"]
            sd = np.sqrt(covariance.loc[own, own].to_numpy().sum())
            assert path.means[m, r] == pytest.approx(mean[own].sum(), rel=1e-8)
            assert path.sds[m, r] == pytest.approx(sd, rel=1e-8)
            assert path.low[m, r] == pytest.approx(mean[own].sum() - 1.96 * sd, abs=0.12 * sd)
            assert path.high[m, r] == pytest.approx(mean[own].sum() + 1.96 * sd, abs=0.12 * sd)
        assert path.common[m] == pytest.approx(mean["slope"], rel=1e-8)


def test_the_path_has_what_the_other_scales_are_unsure_by(monkeypatch):
    """The law of total variance over two residual scales far apart."""
    design = unequal(panel("unbalanced"))
    found = fit(design, "partial_pooling", draws=20)
    both = SimpleNamespace(points=np.log([[[0.3], [6.0]]]), method="importance", khat=0.0, ess=2.0)
    monkeypatch.setattr("cbec_bayes.bayes.refit.draw_scales", lambda *_, **__: both)
    path = shrinkage_path(found, np.array([0.4]))
    monkeypatch.undo()
    means, variances = [], []
    for sigma in (0.3, 6.0):
        one = shrinkage_path(held(design, sigma=sigma, tau=0.4), np.array([0.4]), draws=1)
        means.append(one.means[0])
        variances.append(one.sds[0] ** 2)
    np.testing.assert_allclose(path.means[0], np.mean(means, axis=0), rtol=1e-8)
    np.testing.assert_allclose(path.sds[0] ** 2, np.mean(variances, axis=0) + np.var(means, axis=0), rtol=1e-8)
    assert (np.var(means, axis=0) > 1e-3 * np.mean(variances, axis=0)).any()


def test_the_path_averaged_over_tau_is_the_posterior():
    design = unequal(panel("unbalanced"))
    found = fit(design, "partial_pooling", draws=1_000)
    tau = draws_of(found, "tau")
    grid = np.quantile(tau, np.linspace(0.005, 0.995, 40))
    path = shrinkage_path(found, grid, draws=400)
    slopes = group_slopes(found).groups
    for r in range(3):
        means = np.interp(tau, grid, path.means[:, r])
        squares = np.interp(tau, grid, path.sds[:, r] ** 2)
        sd = slopes[:, r].std()
        assert means.mean() == pytest.approx(slopes[:, r].mean(), abs=5 * sd / np.sqrt(len(tau)))
        assert np.sqrt(squares.mean() + means.var()) == pytest.approx(sd, rel=0.06)


def test_the_path_as_a_table():
    path = shrinkage_path(held(unequal(panel("balanced")), sigma=0.8, tau=0.1), np.array([0.1, 1.0]), draws=10)
    table = path.frame(Origin.SIMULATED)
    assert list(table.columns) == ["tau", "group", "mean", "sd", "ci_low", "ci_high", "common", "origin", "gate"]
    assert len(table) == 6
    row = table.iloc[4]
    assert (row["tau"], row["group"], row["origin"]) == (1.0, "some", "simulated")
    assert row[["mean", "sd", "ci_low", "ci_high", "common"]].tolist() == [
        path.means[1, 1],
        path.sds[1, 1],
        path.low[1, 1],
        path.high[1, 1],
        path.common[1],
    ]


@pytest.mark.parametrize("model", ["complete_pooling", "no_pooling"])
def test_no_path_without_pooling(model):
    with pytest.raises(InputError, match=f"the model '{model}' has no shrinkage path"):
        shrinkage_path(fitted(model), np.array([1.0]))


def test_no_path_without_the_collapsed_density():
    with pytest.raises(InputError, match="has no shrinkage path"):
        shrinkage_path(replace(fitted("partial_pooling"), collapsed=None), np.array([1.0]))


def test_every_member_has_effects():
    """Random and correlated effects, everything pooled: a table comes out of each."""
    for name in ("correlated times", "random both", "everything correlated", "control slopes fixed"):
        found = fit(panel("unbalanced"), MEMBERS[name], draws=20)
        table = effects(found)
        assert np.isfinite(table["mean"][:4]).all()
        assert (pooling_factors(found) >= 0).all()
        assert (pooling_factors(found) <= 1).all()


@pytest.mark.parametrize("model", ["partial_pooling", "group_variance"])
def test_a_path_ends_where_double_precision_does(model):
    found = fit(panel("public"), model, draws=100)
    unit = float(found.design.spread.within[0] / found.design.spread.within[1])
    most = 1e5 if model == "partial_pooling" else 1e4
    far = shrinkage_path(found, np.array([1e3, most]) * unit)
    np.testing.assert_allclose(far.means[0], far.means[1], atol=0.2 * far.sds.min())
    with pytest.raises(InputError, match="the path cannot go beyond tau"):
        shrinkage_path(found, np.array([1.01 * most * unit]))


def test_estimands_are_those_of_the_draws():
    found = fit(panel("unbalanced"), "nested", draws=200)
    slopes = group_slopes(found)
    table = equivalence(found, 0.3).set_index("estimand")
    assert list(table.index) == ["(average)", *slopes.labels, "(all)"]
    assert_near_draws(table.loc["(average)"], slopes.average)
    for r, label in enumerate(slopes.labels):
        share = (np.abs(slopes.groups[:, r]) < 0.3).mean()
        assert table.loc[label, "p_rope"] == pytest.approx(share, abs=4.5 * 0.5 / np.sqrt(800))
    assert set(table["origin"]) == {"simulated"}
