"""Moments gathered in pieces are those of the rows, in any order, on any scale; a model follows from them exactly."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.model.from_moments import two_way_slopes
from cbec_bayes.bayes.moments import gathering
from cbec_bayes.bayes.moments.gathering import Gathering
from cbec_bayes.bayes.moments.panel_moments import PanelMoments
from cbec_bayes.classical.regression import twfe
from cbec_bayes.estimands.contrasts import contrasts
from cbec_bayes.estimands.groups import effects
from cbec_bayes.panel.design import Design
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import Origin
from tests.support.members import MEMBERS, panel
from tests.support.moments import assert_same, gather, in_order
from tests.support.regressions import random_design

FITTED = ("complete_pooling", "no_pooling", "partial_pooling", "partial_pooling_all", "group_variance")


def in_pieces(design: Design, seed: int, n: int) -> PanelMoments:
    """Scatter the rows over pieces, gather some one after the other, and merge the gatherings in some order."""
    rng = np.random.default_rng(seed)
    pieces = np.array_split(rng.permutation(design.n_obs), n)
    gatherings = [gather(design, rows) for rows in pieces[::2]]
    for k, rows in enumerate(pieces[1::2]):
        gather(design, rows, gatherings[k % len(gatherings)])
    while len(gatherings) > 1:
        a, b = (gatherings.pop(int(rng.integers(len(gatherings)))) for _ in range(2))
        a.merge(b)
        gatherings.append(a)
    return gatherings[0].close()


@given(st.integers(0, 10**6), st.integers(1, 9), st.sampled_from(["balanced", "unbalanced", "public"]))
@settings(max_examples=40)
def test_pieces_in_any_order_are_the_whole(seed, n, name):
    design = panel(name)
    assert_same(gather(design).close(), in_pieces(design, seed, n))


@pytest.mark.parametrize("name", ["balanced", "unbalanced", "public", "paper"])
def test_cross_products_are_those_of_the_columns(name):
    """By hand: columns and period indicators laid out, less their unit means; and the means themselves."""
    design = panel(name)
    found = in_pieces(design, 1, 5)
    indicators = (design.time[:, None] == np.arange(len(design.times))).astype(float)
    columns = np.column_stack([design.y, design.x, indicators])
    frame = pd.DataFrame(columns).groupby(design.unit)
    means = frame.transform("mean").to_numpy(copy=True)
    left = columns - means
    q = found.n_columns
    means[:, :q] -= found.centre
    size = frame[0].transform("size").to_numpy()
    for r, group in enumerate(found.groups):
        own = design.group == design.groups.index(group)
        atol = 1e-12 * np.abs(columns).max() ** 2 * own.sum()
        np.testing.assert_allclose(found.within[r], left[own].T @ left[own], atol=atol)
        for m, rows in enumerate(found.sizes):
            part = means[own & (size == rows)]
            np.testing.assert_allclose(found.between[r, m], part.T @ part, atol=atol)
    np.testing.assert_allclose(found.spread.total, design.spread.total, rtol=1e-12)
    np.testing.assert_allclose(found.spread.within, design.spread.within, rtol=1e-9)
    np.testing.assert_allclose(found.mean, columns[:, :q].mean(axis=0), rtol=1e-12)


@pytest.mark.parametrize("name", ["balanced", "unbalanced", "public"])
@pytest.mark.parametrize("model", FITTED)
def test_a_posterior_follows_without_a_row(name, model):
    design = panel(name)
    moments = in_order(in_pieces(design, 2, 4), design.groups)
    rows, without = fit(design, model, draws=100), fit(moments, model, draws=100)
    points = np.random.default_rng(1).normal(-0.5, 1, (30, len(rows.collapsed.names)))
    assert rows.collapsed.names == without.collapsed.names
    expected = rows.collapsed.log_likelihood(points)
    np.testing.assert_allclose(without.collapsed.log_likelihood(points), expected, rtol=1e-8)
    for one, two in ((effects(rows), effects(without)), (contrasts(rows), contrasts(without))):
        drawn = ("no_pooling_se", "mcse", "pooling_factor", "sd_ij")  # the factor of all groups comes of draws
        numbers = [column for column in one.select_dtypes("float") if column not in drawn]
        np.testing.assert_allclose(two[numbers], one[numbers], rtol=1e-6, atol=1e-9)
        if "pooling_factor" in one:
            own = slice(1, 1 + len(design.groups))
            np.testing.assert_allclose(two["pooling_factor"][own], one["pooling_factor"][own], rtol=1e-6)
        assert one.select_dtypes(exclude="float").equals(two.select_dtypes(exclude="float"))
    assert effects(without)[["no_pooling_se", "sd_ij"]].isna().all(axis=None)  # they need units one by one
    assert without.tree.attrs["origin"] == str(design.origin)
    assert "observed_data" not in without.tree.children


@pytest.mark.parametrize("model", [name for name, member in MEMBERS.items() if member.is_gaussian])
@pytest.mark.parametrize("name", ["balanced", "unbalanced"])
def test_every_member_follows_or_says_why_not(name, model):
    design, member = panel(name), MEMBERS[model]
    moments = in_order(gather(design).close(), design.groups)
    if member.choice("correlation") == "ar1" or member.eliminated:
        with pytest.raises(InputError, match="needs rows"):
            fit(moments, member)
        return
    rows = fit(design, member, draws=20)
    without = fit(moments, member, draws=20)
    points = np.random.default_rng(1).normal(-0.5, 1, (30, len(rows.collapsed.names)))
    at = [without.collapsed.names.index(n) for n in rows.collapsed.names]
    found = without.collapsed.log_likelihood(points[:, np.argsort(at)] if at != sorted(at) else points)
    np.testing.assert_allclose(found, rows.collapsed.log_likelihood(points), rtol=1e-7, atol=1e-7)
    one, two = (f.collapsed.conditional(points[:3]) for f in (rows, without))
    np.testing.assert_allclose(two.mean, one.mean, rtol=1e-5, atol=1e-6 * np.abs(one.mean).max())


@pytest.mark.parametrize(("mean", "scale"), [(0.0, 1.0), (1e6, 1.0), (1e8, 1e-3), (-1e5, 1e5), (3e10, 10.0)])
def test_precision_against_exact_arithmetic(mean, scale):
    """Large means and tiny variances: cross-products in rational arithmetic, which rounds nothing."""
    design = random_design(3, 7, 5, n_terms=1, share=0.8)
    x = mean + scale * design.x
    y = -3 * mean + scale * design.y
    found = in_pieces(replace(design, x=x, y=y), 4, 4)
    exact = np.zeros((2, 2), dtype=object)
    for i in range(len(design.units)):
        rows = np.flatnonzero(design.unit == i)
        values = [[Fraction(float(v)) for v in column[rows]] for column in (y, x[:, 0])]
        left = [[v - sum(column, Fraction(0)) / len(column) for v in column] for column in values]
        for a in range(2):
            for b in range(2):
                exact[a, b] += sum((u * v for u, v in zip(left[a], left[b], strict=True)), Fraction(0))
    expected = np.array([[float(value) for value in row] for row in exact])
    np.testing.assert_allclose(found.within[0, :2, :2], expected, rtol=1e-11)
    naive = np.column_stack([y, x]).T @ np.column_stack([y, x])
    if mean / scale >= 1e6:  # what is avoided: sums of raw squares have no digit left
        means = np.array([[y[design.unit == i].mean(), x[design.unit == i, 0].mean()] for i in range(7)])
        sizes = np.bincount(design.unit)
        assert np.abs((naive - (means * sizes[:, None]).T @ means) / expected - 1).max() > 1e-6


@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_large_means_leave_random_effects_alone(mean):
    design = panel("unbalanced")
    shifted = replace(design, x=design.x + mean)
    member = MEMBERS["random units"]
    moments = in_order(gather(shifted).close(), design.groups)
    rows, without = fit(shifted, member, draws=20), fit(moments, member, draws=20)
    points = np.random.default_rng(1).normal(-0.5, 0.5, (20, len(rows.collapsed.names)))
    found, expected = (one.collapsed.log_likelihood(points) for one in (without, rows))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_moments_of_different_units_add():
    design = panel("unbalanced")
    half = design.unit % 2 == 0
    parts = [gather(design, np.flatnonzero(rows)).close() for rows in (half, ~half)]
    whole = in_order(gather(design).close(), design.groups)
    assert_same(whole, parts[0] + parts[1])
    assert_same(whole, parts[1] + parts[0])
    later = np.flatnonzero(half & (design.time > 1)), np.flatnonzero(~half & (design.time < 3))
    a, b = (gather(design, rows).close() for rows in later)
    both = gather(design, later[1], gather(design, later[0])).close()
    assert_same(both, a + b)
    with pytest.raises(InputError, match="moments of other columns"):
        _ = parts[0] + replace(parts[1], outcome="z")
    with pytest.raises(InputError, match="with groups and moments without"):
        _ = parts[0] + replace(parts[1], groups=())


@pytest.mark.parametrize("name", ["balanced", "unbalanced", "public", "paper"])
def test_two_way_slopes_are_the_regressions(name):
    design = panel(name)
    found = gather(design).close()
    np.testing.assert_allclose(two_way_slopes(found), twfe(design).estimate, rtol=1e-7)
    for group in design.groups:
        np.testing.assert_allclose(two_way_slopes(found, group), twfe(design.of_group(group)).estimate, rtol=1e-6)


def test_a_constant_regressor_has_no_slope():
    design = panel("balanced")
    level = np.arange(len(design.units), dtype=float)[design.unit]
    moments = gather(replace(design, x=np.column_stack([design.x[:, 0], level]))).close()
    assert two_way_slopes(moments) is None
    with pytest.raises(InputError, match=r"the slope control_slope\[x1\] is not identified"):
        fit(moments)


def test_what_is_wrong_is_named():
    design = panel("balanced")
    found = gather(design)
    with pytest.raises(InputError, match=r"has the period \d+ twice"):
        gather(design, np.array([3]), found)
    with pytest.raises(InputError, match=r"has the period \d+ twice"):
        gather(design, np.array([3, 4, 3]))
    with pytest.raises(InputError, match=r"has the period \d+ twice"):
        gather(design).merge(gather(design, np.array([5])))
    moved = replace(design, group=(design.group + 1) % 3)
    with pytest.raises(InputError, match="is in two groups"):
        gather(moved, np.array([2, 3]), gather(design, np.array([0, 1])))
    early, late = np.flatnonzero(design.time < 2), np.flatnonzero(design.time >= 2)
    with pytest.raises(InputError, match="is in two groups"):
        gather(design, early).merge(gather(moved, late))
    with pytest.raises(InputError, match="gatherings of different columns"):
        gather(design).merge(Gathering("z", design.terms, grouped=True))
    with pytest.raises(InputError, match="there are no rows"):
        Gathering("y", ("x",), grouped=False).close()
    with pytest.raises(InputError, match="PyMC engine needs rows"):
        fit(found.close(), engine="pymc")
    with pytest.raises(InputError, match="needs rows"):
        fit(found.close(), "student_t")


def test_units_may_be_numbers_or_text():
    design = panel("balanced")
    z, times = np.column_stack([design.y, design.x]), np.array(design.times)[design.time]
    groups = np.array(design.groups)[design.group]
    found = Gathering("y", design.terms, grouped=True)
    half = design.time < 2
    found.add(pd.Index(design.unit[half]), times[half], z[half], pd.Index(groups[half]))
    found.add(pd.Index(design.unit[~half].astype(str)), times[~half], z[~half], pd.Index(groups[~half]))
    assert_same(gather(design).close(), found.close())


def test_cells_that_would_disclose_a_unit():
    design = panel("unbalanced")
    moments = gather(design).close()
    small = moments.small_cells(3)
    assert any("rows" in cell for cell in small)
    assert moments.small_cells(1) == ()
    assert replace(moments, between=None).small_cells(1) == ()
    assert any("has 4 units" in cell for cell in moments.small_cells(5))
    balanced = gather(panel("balanced")).close()
    assert balanced.small_cells(3) == ()
    one = gather(panel("balanced"), np.flatnonzero(panel("balanced").unit == 0)).close()
    assert one.small_cells(2) == (f"group '{one.groups[0]}' has 1 unit",)


def test_between_units_only_where_it_fits(monkeypatch):
    design = panel("unbalanced")
    monkeypatch.setattr(gathering, "BETWEEN_MAX", 10)
    moments = gather(design).close()
    assert moments.between is None
    assert fit(moments, "partial_pooling", draws=20).khat < 0.7
    with pytest.raises(InputError, match="cross-products between units, which this file of moments lacks"):
        fit(moments, MEMBERS["random both"])
    assert (moments + replace(moments, between=None)).between is None
    assert moments.origin is Origin.SIMULATED
