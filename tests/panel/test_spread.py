"""The units of priors: standard deviations in total and within, from rows, in any order, and from moments."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbec_bayes.bayes.model.blocks import blocks_of_moments
from cbec_bayes.bayes.model.densities import resolve
from cbec_bayes.panel.spread import Spread
from tests.support.members import POOLED, member, panel, rearranged
from tests.support.moments import gather

MODEL = member(group_slope="pooled", group_control_slope="pooled", group_time_effect="pooled")
WHOLE = member(unit_effect="random", time_effect="random", **POOLED, unit_trend="pooled")
LEVELS = ("sigma_mu", "sigma_lambda")


def dummies(design):
    units = (design.unit[:, None] == np.arange(len(design.units))).astype(float)
    return units, np.column_stack([units, design.time[:, None] == np.arange(len(design.times))])


def by_hand(design):
    """Residuals of a regression on all dummies, by the generalised inverse."""
    units, both = dummies(design)
    columns = np.column_stack([design.y, design.x])
    left = columns - both @ np.linalg.pinv(both) @ columns
    free = design.n_obs - np.linalg.matrix_rank(both)
    elapsed = np.array(design.times)[design.time]
    since = elapsed - units @ np.linalg.pinv(units) @ elapsed
    return Spread(
        columns.std(axis=0, ddof=1),
        np.sqrt((left**2).sum(axis=0) / free),
        float(np.sqrt(since @ since / (design.n_obs - len(design.units)))),
    )


def assert_same(found, expected, rtol=1e-8):
    np.testing.assert_allclose(found.total, expected.total, rtol=rtol)
    np.testing.assert_allclose(found.within, expected.within, rtol=rtol)
    np.testing.assert_allclose(found.elapsed, expected.elapsed, rtol=rtol)


def two_sets():
    """Two sets of units without a period in common: the effects have one rank less."""
    design = panel("balanced")
    early = np.array(design.times)[design.time] < np.median(design.times)
    return design.rows(early == (design.unit < len(design.units) // 2))


PANELS = {name: lambda name=name: panel(name) for name in ("balanced", "unbalanced", "produc_unbalanced")}


@pytest.mark.parametrize("make", [*PANELS.values(), two_sets], ids=[*PANELS, "two sets"])
def test_rows_in_any_order_and_moments_have_the_spread_of_a_regression_on_dummies(make):
    design = make()
    assert_same(design.spread, by_hand(design))
    order = np.random.default_rng(3).permutation(design.n_obs)
    assert_same(rearranged(design, order).spread, design.spread)
    assert_same(gather(design).close().spread, design.spread)


@pytest.mark.parametrize("name", ["balanced", "unbalanced"])
def test_priors_of_rows_and_of_moments_are_the_same(name):
    design = panel(name)
    found = resolve(MODEL, design)
    without = resolve(MODEL, blocks_of_moments(gather(design).close(), MODEL).design)
    assert found.keys() == without.keys() >= {"tau", "sigma_omega", f"phi[{design.terms[1]}]"}
    for key, prior in found.items():
        assert without[key].params == pytest.approx(prior.params, rel=1e-8)


@given(seed=st.integers(0, 10_000), name=st.sampled_from(["balanced", "unbalanced"]), size=st.floats(0, 1e3))
@settings(max_examples=20, deadline=None)
def test_levels_of_units_and_periods_change_no_prior_but_that_of_levels(seed, name, size):
    design, rng = panel(name), np.random.default_rng(seed)
    k = 1 + len(design.terms)
    moved = size * rng.normal(size=(len(design.units), k))[design.unit]
    moved += size * rng.normal(size=(len(design.times), k))[design.time]
    other = replace(design, y=design.y + moved[:, 0], x=design.x + moved[:, 1:])
    found, expected = resolve(WHOLE, other), resolve(WHOLE, design)
    for key, prior in expected.items():
        if key not in LEVELS:
            assert found[key].params == pytest.approx(prior.params, rel=1e-8)
    for key in LEVELS:
        assert found[key].params["scale"] == pytest.approx(other.y.std(ddof=1), rel=1e-12)


@pytest.mark.parametrize("name", ["balanced", "unbalanced"])
def test_another_unit_of_measurement_is_another_unit_of_the_priors(name):
    design = panel(name)
    times = tuple(10.0 * time for time in design.times)
    other = replace(design, y=3.0 * design.y, x=design.x * np.r_[0.1, [7.0] * (len(design.terms) - 1)], times=times)
    found, before = resolve(WHOLE, other), resolve(WHOLE, design)
    for key, factor in {"sigma": 3, "sigma_mu": 3, "sigma_omega": 3, "tau": 30, "kappa": 30, "xi": 0.3}.items():
        assert found[key].params["scale"] == pytest.approx(factor * before[key].params["scale"], rel=1e-10)
    key = f"phi[{design.terms[1]}]"
    assert found[key].params["scale"] == pytest.approx(3 / 7 * before[key].params["scale"], rel=1e-10)


@pytest.mark.parametrize("codes", ["unit", "time"])
def test_a_column_of_which_the_effects_leave_nothing_has_its_total_spread(codes):
    design = panel("unbalanced")
    own = getattr(design, codes)
    x = design.x.copy()
    x[:, 1] = np.random.default_rng(5).normal(size=own.max() + 1)[own]
    found = replace(design, x=x)
    assert found.spread.within[2] == pytest.approx(x[:, 1].std(ddof=1), rel=1e-12)
    np.testing.assert_allclose(found.spread.within[[0, 1]], design.spread.within[[0, 1]], rtol=1e-12)
    assert_same(gather(found).close().spread, found.spread)


def test_where_no_unit_has_two_rows_everything_is_measured_in_total():
    design = panel("balanced")
    single = design.rows(design.time == design.unit % len(design.times))
    np.testing.assert_array_equal(single.spread.within, single.spread.total)
    assert single.spread.elapsed == pytest.approx(single.elapsed.std(ddof=1))
    assert_same(gather(single).close().spread, single.spread)


def test_parts_of_a_panel_keep_the_units_of_all_rows():
    design = panel("unbalanced")
    held = design.holding_spread()
    part = held.rows(design.unit < 6).keeping([design.terms[1], design.terms[0]])
    assert_same(part.spread, design.spread.of([0, 2, 1]), rtol=0)
    assert not np.allclose(design.rows(design.unit < 6).spread.within, design.spread.within)
