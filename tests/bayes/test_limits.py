"""The two classical tables are limits of the family (MODEL.md section 3, L1 to L4 and L6), without sampling."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.classical.regression import twfe
from cbec_bayes.classical.tables import interacted
from tests.support.members import (
    BALANCED,
    UNBALANCED,
    assert_covariance,
    collapsed,
    conditional,
    member,
    panel,
    point_of,
)
from tests.support.members import some_scales as draw

PANELS = (*BALANCED, *UNBALANCED)
EXACT = 1e-8


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Matrices are small: threads of BLAS would only wait for each other."""
    with threadpool_limits(1):
        yield


def at(design, model, **scales):
    """Conditional mean and covariance at scales in the units of their priors; those not given are drawn."""
    engine = collapsed(design, model)
    point = draw(engine, 3)
    for k, name in enumerate(engine.names):
        key = name.partition("[")[0]
        if key in scales:
            point[k] = np.log(scales[key] * engine.priors[name].params["scale"])
    return conditional(design, model, point)


def slopes_of(design):
    """Names that the engine gives to the design's slopes, all of them common."""
    return ["slope", *(f"control_slope[{term}]" for term in design.terms[1:])]


def totals(mean, design):
    """Slopes of the groups."""
    if f"group_total_slope[{design.groups[0]}]" in mean:
        return mean[[f"group_total_slope[{group}]" for group in design.groups]].to_numpy()
    return mean["slope"] + mean[[f"group_slope[{group}]" for group in design.groups]].to_numpy()


def by_group(design):
    """Every slope of one two-way regression per group, shape (groups, terms)."""
    return np.array([twfe(design.of_group(group)).estimate for group in design.groups])


@functools.cache
def common(name):
    return twfe(panel(name)).estimate


@functools.cache
def split(name):
    return twfe(interacted(panel(name))).estimate


def bread(design):
    x = design.effects.within(design.x)
    return np.linalg.inv(x.T @ x)


@pytest.mark.parametrize("name", PANELS)
def test_l1_complete_pooling_is_the_two_way_regression(name):
    design, model = panel(name), load_panel_model("complete_pooling")
    for sigma in (1e-3, 1.0, 50.0):
        mean, covariance = conditional(design, model, np.log([sigma]))
        own = slopes_of(design)
        np.testing.assert_allclose(mean[own], common(name), rtol=EXACT)
        assert_covariance(covariance.loc[own, own], sigma**2 * bread(design), EXACT)


@pytest.mark.parametrize("name", PANELS)
def test_l2_no_pooling_is_one_two_way_regression_per_group(name):
    design, model = panel(name), load_panel_model("no_pooling")
    engine = collapsed(design, model)
    sigmas = {f"sigma[{group}]": 0.5 + r for r, group in enumerate(design.groups)}
    mean, covariance = conditional(design, model, point_of(engine, sigmas))
    for group, expected in zip(design.groups, by_group(design), strict=True):
        own = [f"group_total_slope[{group}]", *(f"group_total_control_slope[{t}][{group}]" for t in design.terms[1:])]
        np.testing.assert_allclose(mean[own], expected, rtol=EXACT)
        assert_covariance(
            covariance.loc[own, own], sigmas[f"sigma[{group}]"] ** 2 * bread(design.of_group(group)), EXACT
        )


@pytest.mark.parametrize("name", PANELS)
def test_l3_fixed_group_slopes_are_the_interacted_regression(name):
    design = panel(name)
    own = [*(f"group_total_slope[{group}]" for group in design.groups), *slopes_of(design)[1:]]
    mean, covariance = conditional(design, member(group_slope="fixed"), np.log([0.7]))
    np.testing.assert_allclose(mean[own], split(name), rtol=EXACT)
    assert_covariance(covariance.loc[own, own], 0.7**2 * bread(interacted(design)), EXACT)


RANDOM_SCALES = ((1e-2, 3.0, 0.2), (1.0, 1e-2, 30.0), (0.3, 1.0, 1.0), (2.0, 50.0, 1e-2))


@pytest.mark.parametrize("group_slope", ["off", "fixed"])
@pytest.mark.parametrize("name", BALANCED)
def test_l4_correlated_random_effects_on_a_balanced_panel_are_fixed_effects(name, group_slope):
    design = panel(name)
    expected = common(name) if group_slope == "off" else split(name)
    model = member(unit_effect="correlated", time_effect="correlated", group_slope=group_slope)
    own = ["slope"] if group_slope == "off" else [f"group_total_slope[{group}]" for group in design.groups]
    own += slopes_of(design)[1:]
    for sigma, sigma_mu, sigma_lambda in RANDOM_SCALES:
        mean, _ = at(design, model, sigma=sigma, sigma_mu=sigma_mu, sigma_lambda=sigma_lambda)
        np.testing.assert_allclose(mean[own], expected, rtol=EXACT)


@pytest.mark.parametrize("name", BALANCED)
def test_l4_holds_for_pooled_slopes_too(name):
    """Mundlak terms leave the within variation alone to speak about slopes: their conditional is that of L6's path."""
    design = panel(name)
    own = [*slopes_of(design), *(f"group_slope[{group}]" for group in design.groups)]
    for tau in (0.03, 1.0):
        mean, covariance = at(design, load_panel_model("partial_pooling"), sigma=0.3, tau=tau)
        for _, sigma_mu, sigma_lambda in RANDOM_SCALES:
            scales = {"sigma": 0.3, "tau": tau, "sigma_mu": sigma_mu, "sigma_lambda": sigma_lambda}
            found, spread = at(design, load_panel_model("correlated_effects"), **scales)
            np.testing.assert_allclose(found[own], mean[own], rtol=EXACT, atol=EXACT * abs(mean["slope"]))
            assert_covariance(spread.loc[own, own], covariance.loc[own, own].to_numpy(), EXACT)


@pytest.mark.parametrize(
    ("name", "unit_effect", "time_effect"),
    [
        ("balanced", "random", "random"),
        ("balanced", "correlated", "random"),
        ("balanced", "random", "correlated"),
        ("paper", "random", "random"),
        ("grunfeld", "random", "random"),
        # Two-way Mundlak on an unbalanced panel: a different estimand, as MODEL.md says.
        ("unbalanced", "correlated", "correlated"),
        ("grunfeld_unbalanced", "correlated", "correlated"),
        ("produc_unbalanced", "correlated", "correlated"),
    ],
)
def test_l4_fails_without_the_means_or_the_balance(name, unit_effect, time_effect):
    model = member(unit_effect=unit_effect, time_effect=time_effect)
    mean, _ = at(panel(name), model, sigma=2.0, sigma_mu=1.0, sigma_lambda=1.0)
    assert abs(mean["slope"] / common(name)[0] - 1) > 1e-4


def test_l4_needs_the_means_of_the_regressors_as_they_enter():
    """With slopes by group, means of the plain regressors would not do: those are what the common slope has."""
    design = panel("balanced")
    names = conditional(design, member(unit_effect="correlated", group_slope="fixed"), np.zeros(2))[0].index
    for group in design.groups:
        assert f"mundlak_unit[x0[{group}]]" in names
    assert {"mundlak_unit[x1]"} == {name for name in names if name.startswith("mundlak_unit[x1")}


def partial(name, tau):
    """Slopes of partial pooling at tau in prior units."""
    return at(panel(name), load_panel_model("partial_pooling"), sigma=0.3, tau=tau)[0]


@pytest.mark.parametrize("name", PANELS)
def test_l6_partial_pooling_runs_from_complete_pooling_to_group_slopes(name):
    design = panel(name)
    scale = np.abs(split(name)[: len(design.groups)]).max()
    # tau = 1e-5 and 1e5 units: what is left is of order tau^2 below and tau^-2 above, 1e-10 of a ratio that the
    # panel sets. Rounding has at most 1e16 * tau^-2 = 1e6 of its digits to lose above, and none below.
    near, far = partial(name, 1e-5), partial(name, 1e5)
    np.testing.assert_allclose(near[slopes_of(design)], common(name), rtol=1e-6)
    np.testing.assert_allclose(totals(near, design), common(name)[0], atol=1e-6 * scale)
    np.testing.assert_allclose(totals(far, design), split(name)[: len(design.groups)], atol=1e-6 * scale)
    np.testing.assert_allclose(far[slopes_of(design)[1:]], split(name)[len(design.groups) :], rtol=1e-6)


@pytest.mark.parametrize("name", ["balanced", "unbalanced", "grunfeld_unbalanced", "paper", "public"])
def test_l6_the_ends_are_approached_at_the_rate_of_tau_squared_and_monotonically(name):
    design = panel(name)
    low, high = common(name)[0], split(name)[: len(design.groups)]
    small, large = 2e-4 * np.array([1.0, 2.0, 4.0]), 1e3 * np.array([1.0, 2.0, 4.0])
    below = np.array([np.abs(totals(partial(name, tau), design) - low) for tau in small])
    above = np.array([np.abs(totals(partial(name, tau), design) - high) for tau in large])
    assert (np.diff(below, axis=0) > 0).all()
    assert (np.diff(above, axis=0) < 0).all()
    np.testing.assert_allclose(below[1:] / below[:-1], 4, rtol=0.02)
    np.testing.assert_allclose(above[:-1] / above[1:], 4, rtol=0.02)


@pytest.mark.parametrize("name", ["balanced", "unbalanced", "grunfeld", "paper", "public"])
def test_l6_pooling_everything_runs_from_complete_pooling_to_a_table_per_group(name):
    design, model = panel(name), load_panel_model("partial_pooling_all")
    scale = np.abs(by_group(design)).max(axis=0)
    controls = design.terms[1:]

    def table(mean):
        own = [
            mean[f"control_slope[{t}]"]
            + mean[[f"group_control_slope[{t}][{group}]" for group in design.groups]].to_numpy()
            for t in controls
        ]
        return np.column_stack([totals(mean, design), *own])

    near, far = (at(design, model, sigma=0.3, tau=v, phi=v, sigma_omega=v)[0] for v in (1e-5, 1e5))
    np.testing.assert_allclose(table(near) / scale, np.tile(common(name) / scale, (len(design.groups), 1)), atol=1e-6)
    np.testing.assert_allclose(table(far) / scale, by_group(design) / scale, atol=1e-6)


@pytest.mark.parametrize("name", ["unbalanced", "paper"])
def test_scales_of_zero_take_their_terms_away(name):
    """Each other pooled term goes as its scale does: what is left is the member without it."""
    design = panel(name)
    without = at(design, member(group_slope="pooled"), sigma=0.3, tau=0.2)[0]
    for term, scale in (("unit_slope", "kappa"), ("group_time_effect", "sigma_omega"), ("group_control_slope", "phi")):
        model = member(**{"group_slope": "pooled", term: "pooled"})
        mean = at(design, model, **{"sigma": 0.3, "tau": 0.2, scale: 1e-6})[0]
        pd.testing.assert_series_equal(mean[without.index], without, rtol=1e-6, atol=1e-9)
        assert np.abs(mean.drop(without.index)).max() < 1e-6
    fixed = at(design, member(group_slope="fixed"), sigma=0.3)[0]
    for effect, scale in (("unit_effect", "sigma_mu"), ("time_effect", "sigma_lambda")):
        mean = at(design, member(**{"group_slope": "fixed", effect: "random"}), **{"sigma": 0.3, scale: 1e5})[0]
        np.testing.assert_allclose(totals(mean, design), totals(fixed, design), rtol=1e-6)
