"""What units have of their own, in members of the family: any number of units, and limits that are other members."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from scipy import special, stats

from cbec_bayes.bayes.fit import PanelFit, fit
from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.model.blocks import coefficient_names, make_blocks
from cbec_bayes.bayes.model.family import PanelModel
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.posterior import draw_effects, linear_predictor
from cbec_bayes.bayes.predictive import predictive_outcomes
from cbec_bayes.estimands.groups import slope_quantities
from cbec_bayes.estimands.mixed_slopes import log_scales
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array, TwoWay
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import GROUP_AVERAGE, Origin
from tests.support.members import assert_covariance, collapsed, conditional, member, panel

EXACT = 1e-8


def points_of(engine, seed: int = 3, size: int = 4) -> Array:
    return 0.5 * np.random.default_rng(seed).standard_normal((size, len(engine.names))) - 0.3


# L8: flat trends are a regression with a trend for every unit.


def with_dummies(design: Design) -> tuple[Array, Array, int]:
    """Slopes, their covariance over sigma squared, and the rank: a level, a trend and a period's effect as columns."""
    own = (design.unit[:, None] == np.arange(len(design.units))).astype(float)
    periods = (design.time[:, None] == np.arange(1, len(design.times))).astype(float)
    elapsed = np.asarray(design.times)[design.time]
    others = np.column_stack([own, own * (elapsed - elapsed.mean())[:, None], periods])
    u, d, _ = np.linalg.svd(others, full_matrices=False)
    basis = u[:, d > 1e-9 * d[0]]
    left = design.x - basis @ (basis.T @ design.x)
    left -= basis @ (basis.T @ left)
    inverse = np.linalg.inv(left.T @ left)
    return inverse @ (left.T @ design.y), inverse, basis.shape[1] + design.x.shape[1]


@pytest.mark.parametrize("name", ["balanced", "unbalanced", "grunfeld", "grunfeld_unbalanced", "produc", "public"])
def test_l8_flat_trends_are_the_regression_with_a_trend_for_every_unit(name):
    design, sigma = panel(name), 0.7
    expected, bread, rank = with_dummies(design)
    model = member(unit_trend="fixed")
    engine = collapsed(design, model)
    mean, covariance = conditional(design, model, np.log([sigma]))
    own = ["slope", *(f"control_slope[{term}]" for term in design.terms[1:])]
    np.testing.assert_allclose(mean[own], expected, rtol=EXACT)
    assert_covariance(covariance.loc[own, own], sigma**2 * bread, EXACT)
    # d log p / d log sigma = RSS / sigma^2 - (n - rank), at two values of sigma.
    found = [engine.likelihood.gradient({"sigma": value}) for value in (sigma, 2 * sigma)]
    (one, by_one), (two, by_two) = ((value, slopes["sigma"]) for value, slopes in found)
    squares = (by_one - by_two) / (1 - 1 / 4)
    assert squares - by_one == pytest.approx(design.n_obs - rank, rel=1e-8)
    assert one - two == pytest.approx((design.n_obs - rank) * math.log(2) - squares * 3 / 8, rel=1e-8)


def test_l8_a_scale_without_bound_is_a_flat_trend():
    design = panel("unbalanced")
    wide = member({"xi": Prior("fixed", {"value": 1e6})}, unit_trend="pooled")
    mean, covariance = conditional(design, wide, np.log([0.7]))
    expected, bread, _ = with_dummies(design)
    own = ["slope", *(f"control_slope[{term}]" for term in design.terms[1:])]
    np.testing.assert_allclose(mean[own], expected, rtol=1e-7)
    assert_covariance(covariance.loc[own, own], 0.49 * bread, 1e-7)


# L9: without variation a term leaves what the member without it says, evidence included.

BASES = {
    "random walk": {"correlation": "random_walk"},
    "plain": {},
    "by group": {"spread": "by_group"},
    "ar1": {"correlation": "ar1"},
    "random units": {"unit_effect": "random"},
    "ar1, random units": {"correlation": "ar1", "unit_effect": "random"},
}
TERMS_OF = {
    "xi": {"unit_trend": "pooled"},
    "kappa": {"unit_slope": "pooled"},
    "xi, kappa": {"unit_trend": "pooled", "unit_slope": "pooled"},
}


def compare(design: Design, model: PanelModel, without: PanelModel, held: dict[str, float]) -> None:
    """Density and coefficients of a member at held parameters are those of another one, at points of the others."""
    engine, other = collapsed(design, model), collapsed(design, without)
    engine = engine.holding(held)
    points = points_of(other)
    at = [other.names.index(name) for name in engine.names]
    own = points[:, at]
    np.testing.assert_allclose(engine.log_likelihood(own), other.log_likelihood(points), rtol=EXACT)
    for point, mine in zip(points, own, strict=True):
        np.testing.assert_allclose(engine.gradient(mine)[1], other.gradient(point)[1][at], rtol=1e-7, atol=1e-7)
    names, others = (coefficient_names(make_blocks(design, one)) for one in (model, without))
    common = [name for name in others if name in names]
    found, target = engine.conditional(own), other.conditional(points)
    mine, theirs = ([every.index(name) for name in common] for every in (names, others))
    sd = np.sqrt((target.root[:, theirs] ** 2).sum(axis=2))
    np.testing.assert_allclose(found.mean[:, mine] / sd, target.mean[:, theirs] / sd, atol=EXACT)
    np.testing.assert_allclose(np.sqrt((found.root[:, mine] ** 2).sum(axis=2)), sd, rtol=EXACT)


@pytest.mark.parametrize("value", [0.0, 1e-7])
@pytest.mark.parametrize("scale", TERMS_OF)
@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("name", ["balanced", "unbalanced"])
def test_l9_without_variation_a_term_is_gone(name, base, scale, value):
    terms = {"group_slope": "pooled", **BASES[base]}
    held = dict.fromkeys(scale.split(", "), value)
    compare(panel(name), member(**terms, **TERMS_OF[scale]), member(**terms), held)


@pytest.mark.parametrize("terms", [{}, *TERMS_OF.values()], ids=str)
@pytest.mark.parametrize("unit_effect", ["fixed", "random"])
@pytest.mark.parametrize("name", ["balanced", "unbalanced"])
def test_l9_without_correlation_errors_are_independent(name, unit_effect, terms):
    own = {"group_slope": "pooled", "unit_effect": unit_effect, **terms}
    compare(panel(name), member(correlation="ar1", **own), member(**own), {"rho": 0.0})


@pytest.mark.parametrize("terms", [*TERMS_OF.values(), {"unit_trend": "fixed"}], ids=str)
def test_l9_groups_of_equal_spread_have_one(terms):
    design = panel("unbalanced")
    one = collapsed(design, member(group_slope="pooled", **terms))
    several = collapsed(design, member(group_slope="pooled", spread="by_group", **terms))
    points = points_of(one)
    at = [one.names.index("sigma" if name.startswith("sigma[") else name) for name in several.names]
    np.testing.assert_allclose(several.log_likelihood(points[:, at]), one.log_likelihood(points), rtol=EXACT)


# L7: errors that nothing but their changes tell.


def first_differences(design: Design) -> tuple[Array, Array]:
    """Slopes of the two-way regression of first differences, a gap of g periods with the weight 1 / g, and (X'X)^-1."""
    order = np.lexsort((design.time, design.unit))
    follows = np.flatnonzero(np.diff(design.unit[order]) == 0)
    now, before = order[follows + 1], order[follows]
    when = np.asarray(design.times)[design.time]
    root = np.sqrt(when[now] - when[before])[:, None]
    periods = (design.time[:, None] == np.arange(1, len(design.times))).astype(float)
    columns = np.column_stack([design.y, design.x, periods])
    step = (columns[now] - columns[before]) / root
    basis = np.linalg.qr(step[:, 1 + design.x.shape[1] :])[0]
    left = step[:, : 1 + design.x.shape[1]]
    left = left - basis @ (basis.T @ left)
    inverse = np.linalg.inv(left[:, 1:].T @ left[:, 1:])
    return inverse @ (left[:, 1:].T @ left[:, 0]), inverse


PANELS = ["balanced", "unbalanced", "grunfeld_unbalanced", "public"]


@pytest.mark.parametrize("name", PANELS)
@pytest.mark.parametrize("correlation", ["ar1", "random_walk"])
def test_l7_a_correlation_of_one_is_the_regression_of_first_differences(name, correlation):
    """At rho = 1, less what double precision tells from it, and of a random walk."""
    design = panel(name)
    expected, bread = first_differences(design)
    engine = collapsed(design, member(correlation=correlation))
    point = engine.point({"sigma": 0.7, "rho": 1 - 1e-14})
    found, p = engine.conditional(point[None]), len(expected)
    np.testing.assert_allclose(found.mean[0, :p], expected, rtol=EXACT)
    assert_covariance((found.root[0] @ found.root[0].T)[:p, :p], 0.49 * bread, EXACT)


@pytest.mark.parametrize(
    "terms", [{}, {"unit_slope": "pooled"}, {"unit_trend": "pooled"}, {"unit_trend": "fixed", "spread": "by_group"}]
)
@pytest.mark.parametrize("name", PANELS[:3])
def test_l7_the_evidence_of_a_random_walk_is_the_limit_of_that_of_ar1(name, terms):
    """Density of the scales, its slopes in them, and coefficients, as rho nears one at the rate of 1 - rho."""
    design, own = panel(name), {"group_slope": "pooled", **terms}
    walk, near = (collapsed(design, member(correlation=one, **own)) for one in ("random_walk", "ar1"))
    points = points_of(walk)
    at = [walk.names.index(one) for one in near.names if one != "rho"]
    target, slopes = walk.log_likelihood(points), np.array([walk.gradient(point)[1] for point in points])
    means = walk.conditional(points).mean
    for rho, tolerance in ((1 - 1e-6, 1e-4), (1 - 1e-12, EXACT)):
        held = near.holding({"rho": rho})
        np.testing.assert_allclose(held.log_likelihood(points[:, at]), target, rtol=tolerance)
        np.testing.assert_allclose(held.conditional(points[:, at]).mean, means, rtol=tolerance, atol=tolerance)
    found = np.array([held.gradient(point)[1] for point in points[:, at]])
    np.testing.assert_allclose(found, slopes[:, at], rtol=1e-7, atol=1e-7)


# Many units.


def many_units(n_units: int, n_times: int, *, rho: float, kappa: float) -> Design:
    """A panel of many units with sigma = .5, xi = .1, tau = .3, slopes of units and correlated errors."""
    rng = np.random.default_rng(2)
    unit, time = np.repeat(np.arange(n_units), n_times), np.tile(np.arange(n_times), n_units)
    group = unit % 5
    x = rng.standard_normal((len(unit), 2)) + 3
    e = rng.standard_normal((n_units, n_times))
    for t in range(1, n_times):
        e[:, t] = rho * e[:, t - 1] + math.sqrt(1 - rho**2) * e[:, t]
    level, trend, slope = rng.standard_normal((3, n_units)) * [[1.0], [0.1], [kappa]]
    slopes = 0.3 * rng.standard_normal(5)[group] + slope[unit]
    y = x[:, 0] * slopes + 0.2 * x[:, 1] + level[unit] + trend[unit] * time + 0.5 * e.ravel()
    return Design(
        outcome="y",
        terms=("d", "x"),
        y=y,
        x=x,
        unit=unit,
        time=time,
        group=group,
        units=tuple(f"u{i}" for i in range(n_units)),
        times=tuple(float(t) for t in range(n_times)),
        groups=tuple(f"g{r}" for r in range(5)),
        effects=TwoWay(unit, time),
        origin=Origin.SIMULATED,
    )


def test_twenty_thousand_units_have_slopes_and_trends_beside_correlated_errors():
    """The truth is as near to the mode as the curvature there says."""
    terms = {"group_slope": "pooled", "unit_slope": "pooled", "unit_trend": "pooled", "correlation": "ar1"}
    engine = collapsed(many_units(20_000, 7, rho=0.4, kappa=0.4), member(**terms))
    truth = engine.point({"sigma": 0.5 * math.sqrt(1 - 0.4**2), "tau": 0.3, "kappa": 0.4, "xi": 0.1, "rho": 0.4})
    point, steps = truth.copy(), 1e-4 * np.eye(len(truth))
    for _ in range(2):
        curvature = np.array([engine.gradient(point + s)[1] - engine.gradient(point - s)[1] for s in steps])
        precision = -(curvature + curvature.T) / 4e-4
        point = point + np.linalg.solve(precision, engine.gradient(point)[1])
    sd = np.sqrt(np.diag(np.linalg.inv(precision)))
    assert (np.abs(point - truth) < 4 * sd).all()
    assert sd[[name != "tau" for name in engine.names]].max() < 0.03


def test_twenty_thousand_units_have_trends():
    """A hundred and forty thousand rows: the scales are found again, and trends are not drawn, being too many."""
    found = fit(many_units(20_000, 7, rho=0.0, kappa=0.0), "unit_trends", draws=500, chains=2)
    found.diagnostics.require()
    values = found.tree["posterior"].dataset
    assert "unit_trend" not in values
    for name, true in (("xi", 0.1), ("sigma", 0.5)):
        assert abs(float(values[name].mean()) - true) < 4 * float(values[name].std())


# A fit.


@pytest.mark.parametrize("terms", [{"correlation": "ar1", "unit_slope": "pooled"}, {"unit_effect": "random"}], ids=str)
@pytest.mark.parametrize("trend", ["fixed", "pooled"])
def test_a_fit_has_draws_of_what_units_have_of_their_own(trend, terms):
    """Draws add up to the outcome but for errors of the scale that was drawn; replicates have the same variables."""
    found = fit(panel("balanced"), member(group_slope="pooled", unit_trend=trend, **terms), draws=100)
    values, design = found.tree["posterior"].dataset, found.design
    own = {"unit_trend", *(name for name in terms if name == "unit_slope")}
    averaged = {f"mean_{name}" for name in own if name != "unit_trend" or trend == "pooled"}
    assert own | averaged <= set(values.data_vars)
    for name in averaged:
        np.testing.assert_allclose(values[name], values[name.removeprefix("mean_")].mean("unit"))
    flat = {name: values[name].to_numpy().reshape(400, *values[name].shape[2:]) for name in values.data_vars}
    left = design.y - linear_predictor(found.blocks, flat)
    ratio = (left**2).sum(axis=1) / flat["sigma"] ** 2 * (1 - flat.get("rho", 0.0) ** 2)
    freedom = design.n_obs  # given the outcome errors are smaller by what the coefficients take
    assert 0.5 * freedom < np.median(ratio) < 1.5 * freedom
    same, new = (predictive_outcomes(found, new_units=anew, draws=50) for anew in (False, True))
    assert same.shape == new.shape == (50, design.n_obs)
    assert new.var(axis=0).mean() > same.var(axis=0).mean()
    average = slope_quantities(found)[GROUP_AVERAGE].summary()
    drawn = flat["slope"] + flat["group_slope"].mean(axis=1)
    drawn = drawn + flat.get("mean_unit_slope", 0.0)
    assert abs(drawn.mean() - average.mean) < 5 * average.sd / math.sqrt(400)


def test_a_unit_of_one_row_has_no_flat_trend():
    design = panel("unbalanced")
    kept = np.ones(design.n_obs, dtype=bool)
    kept[np.flatnonzero(design.unit == 3)[1:]] = False
    short = design.rows(kept)
    blocks = make_blocks(short, member(unit_trend="fixed"))
    assert blocks.eliminated[0].kept == tuple(k for k in range(len(short.units)) if k != 3)
    drawn = draw_effects(blocks, make_collapsed(blocks), np.zeros((20, 1)), seed=1)
    assert (drawn["unit_trend"][:, 3] == 0).all()
    # It adds nothing to what the others say.
    others = make_blocks(short.holding_spread().rows(short.unit != 3), member(unit_trend="fixed"))
    points = np.log([[0.5], [2.0]])
    one, other = (make_collapsed(each).log_likelihood(points) for each in (blocks, others))
    np.testing.assert_allclose(one, other, rtol=1e-10)


def test_a_trend_of_one_period_is_refused():
    design = panel("balanced")
    once = design.rows(design.time == 0)
    with pytest.raises(InputError, match="all rows belong to one period, so that no trend can be estimated"):
        make_collapsed(make_blocks(once, member(unit_effect="random", time_effect="random", unit_trend="pooled")))


def evidence(found: PanelFit) -> float:
    """Log of the integral of the density over the scales, by importance sampling about its own draws."""
    points = log_scales(found, at_most=None)
    proposal = stats.multivariate_t(points.mean(axis=0), 1.3 * np.cov(points.T), df=6, seed=1)
    drawn = proposal.rvs(8_000)
    weights = found.collapsed.log_posterior(drawn) - proposal.logpdf(drawn)
    return float(special.logsumexp(weights) - math.log(len(weights)))


@functools.cache
def of_public(model: str) -> PanelFit:
    found = fit(panel("public"), model)
    found.diagnostics.require()
    return found


def test_on_the_observed_panel_trends_turn_the_sign_of_a_slope():
    """On 210 observed rows they predict far better than the headline, and say the opposite of it of the east."""
    headline, trends = of_public("partial_pooling"), of_public("unit_trends")
    assert headline.design.n_obs == 210
    assert evidence(headline) == pytest.approx(102.25, abs=0.1)
    assert evidence(trends) == pytest.approx(165.16, abs=0.1)
    before, after = (slope_quantities(one)["east"].summary() for one in (headline, trends))
    assert before.ci_low > 0
    assert (after.mean, after.ci_low, after.ci_high) == pytest.approx((-0.035, -0.051, -0.019), abs=0.001)
