"""Moments of a panel: what they are, that they add, and that files of them hold every bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.model.blocks import coefficient_names, make_blocks
from cbec_bayes.bayes.moments.by_unit import Moments, moments_of
from cbec_bayes.runtime.errors import InputError
from tests.support.likelihoods import in_full
from tests.support.members import MEMBERS, grouped, panel, some_scales
from tests.support.regressions import random_design

NAMES = ("y", "x0", "x1")
STRATA = ("g0", "g1", "g2")


def columns_of(design):
    return np.column_stack([design.y, design.x])


def whole(design, *, by_group):
    stratum = (design.group, design.groups) if by_group else ()
    return moments_of(columns_of(design), NAMES, design.unit, *stratum)


def part(design, units, *, by_group):
    """Moments of some units' rows; groups that none of them is in stay as empty strata."""
    mask = np.isin(design.unit, units)
    stratum = (design.group[mask], design.groups) if by_group else ()
    return moments_of(columns_of(design)[mask], NAMES, design.unit[mask], *stratum)


def assert_same(found, expected, **tolerance):
    assert found.columns == expected.columns
    assert set(found.strata) == set(expected.strata)
    for label, theirs in expected.strata.items():
        ours = found.strata[label]
        assert ours.n_obs == theirs.n_obs
        assert ours.n_units == theirs.n_units
        np.testing.assert_array_equal(ours.sizes, theirs.sizes)
        assert ours.counts.dtype == theirs.counts.dtype == np.int64
        np.testing.assert_array_equal(ours.counts, theirs.counts)
        np.testing.assert_allclose(ours.within, theirs.within, **tolerance)
        np.testing.assert_allclose(ours.between, theirs.between, **tolerance)
        np.testing.assert_allclose(ours.log_sizes, theirs.log_sizes, **tolerance)


@pytest.mark.parametrize("name", ["balanced", "unbalanced", "grunfeld_unbalanced"])
def test_moments_are_the_cross_products_within_and_between_units(name):
    design = panel(name)
    columns = columns_of(design)
    found = moments_of(columns, ("y", *design.terms), design.unit, design.group, design.groups)
    assert list(found.strata) == list(design.groups)
    for r, group in enumerate(design.groups):
        stratum = found.strata[group]
        own = {u: columns[(design.unit == u) & (design.group == r)] for u in np.unique(design.unit[design.group == r])}
        assert stratum.n_obs == sum(len(rows) for rows in own.values())
        assert stratum.n_units == len(own)
        assert stratum.sizes.tolist() == sorted({len(rows) for rows in own.values()})
        assert stratum.log_sizes == pytest.approx(sum(np.log(len(rows)) for rows in own.values()), rel=1e-14)
        within = sum((rows - rows.mean(axis=0)).T @ (rows - rows.mean(axis=0)) for rows in own.values())
        np.testing.assert_allclose(stratum.within, within, rtol=1e-10)
        for size, count, between in zip(stratum.sizes, stratum.counts, stratum.between, strict=True):
            same = [rows.mean(axis=0) for rows in own.values() if len(rows) == size]
            assert count == len(same)
            np.testing.assert_allclose(between, size * sum(np.outer(m, m) for m in same), rtol=1e-12)
        # Together they are the plain cross-products, of which nothing may get lost.
        total = np.concatenate(list(own.values()))
        np.testing.assert_allclose(stratum.within + stratum.between.sum(axis=0), total.T @ total, rtol=1e-12)


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.sampled_from([1.0, 0.8]), st.integers(2, 5), st.booleans())
def test_moments_of_parts_add_to_those_of_the_whole_in_any_order(seed, share, n_parts, by_group):
    design = grouped(random_design(seed, 10, 5, share=share), 3)
    rng = np.random.default_rng(seed)
    parts = [
        part(design, units, by_group=by_group)
        for units in np.array_split(rng.permutation(len(design.units)), n_parts)
        if len(units)
    ]
    expected = whole(design, by_group=by_group)
    total = parts[0]
    for other in parts[1:]:
        total = total + other
    assert_same(total, expected, rtol=1e-11, atol=1e-11)
    backwards = parts[-1]
    for other in reversed(parts[:-1]):
        backwards = other + backwards
    assert_same(backwards, expected, rtol=1e-11, atol=1e-11)
    nested = parts[0] + parts[1] if len(parts) == 2 else parts[0] + (parts[1] + parts[2])
    assert_same(nested, sum(parts[2:3], parts[0] + parts[1]), rtol=1e-13, atol=1e-13)


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.sampled_from(["partial_pooling", "group_variance", "random units, group times"]))
def test_the_density_of_added_moments_is_that_of_the_panel(seed, name):
    """What separate machines would send is enough: the transform of the columns is all that they must share."""
    design = grouped(random_design(seed, 10, 5, share=0.9), 3)
    blocks = make_blocks(design, MEMBERS[name])
    engine = in_full(make_collapsed(blocks))
    columns = np.column_stack([design.y, blocks.x @ engine.likelihood.coefficients.transform])
    names = ("y", *coefficient_names(blocks))
    first = np.random.default_rng(seed).random(len(design.units)) < 0.5
    first[[0, -1]] = True, False
    halves = []
    for mask in (first[design.unit], ~first[design.unit]):
        stratum = (design.group[mask], design.groups) if len(engine.errors.moments.strata) > 1 else ()
        halves.append(moments_of(columns[mask], names, design.unit[mask], *stratum))
    errors = replace(engine.errors, moments=halves[1] + halves[0])
    added = replace(engine, likelihood=replace(engine.likelihood, covariance=errors), errors=errors)
    point = some_scales(engine, seed)
    # Strata stand in the order of the first part, so that scales are told apart by name.
    np.testing.assert_allclose(added.log_likelihood(point[None]), engine.log_likelihood(point[None]), rtol=1e-11)


def test_strata_that_one_part_lacks_are_the_other_parts():
    design = panel("unbalanced")
    by_stratum = {
        group: moments_of(columns_of(rows), NAMES, rows.unit, np.zeros(rows.n_obs, dtype=int), (group,))
        for group, rows in ((group, design.of_group(group)) for group in design.groups)
    }
    total = by_stratum["g2"] + by_stratum["g0"] + by_stratum["g1"]
    assert tuple(total.strata) == ("g2", "g0", "g1")
    assert_same(total, whole(design, by_group=True), rtol=1e-12)


def test_moments_of_other_columns_do_not_add():
    moments = whole(panel("balanced"), by_group=False)
    with pytest.raises(InputError, match=r"^moments of different columns cannot be added$"):
        moments + Moments(("y", "x0", "x2"), moments.strata)
    with pytest.raises(InputError, match="different columns"):
        moments + Moments(("y", "x1", "x0"), moments.strata)
