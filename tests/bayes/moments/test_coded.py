"""Moments of regressors by code: those of the columns laid out, and the same posterior from either."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.model import blocks as blocks_module
from cbec_bayes.bayes.model.blocks import Blocks, coefficient_names, make_blocks
from cbec_bayes.bayes.model.family import PanelModel
from cbec_bayes.bayes.moments.by_unit import Moments, moments_of
from cbec_bayes.bayes.moments.coded import Coded, moments_of_coded
from cbec_bayes.panel.collinear import identified, identified_by_moments
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import means_by
from cbec_bayes.runtime.errors import InputError
from tests.support.members import MEMBERS, member, panel
from tests.support.regressions import random_design


def assert_equal(found: Moments, expected: Moments, atol: float = 1e-8) -> None:
    assert found.columns == expected.columns
    assert list(found.strata) == list(expected.strata)
    for label, own in found.strata.items():
        other = expected.strata[label]
        assert own.n_obs == other.n_obs
        assert own.log_sizes == pytest.approx(other.log_sizes, rel=1e-14)
        np.testing.assert_array_equal(own.sizes, other.sizes)
        np.testing.assert_array_equal(own.counts, other.counts)
        between = other.between.sum(axis=0).diagonal()
        for mine, theirs, squares in ((own.within, other.within, 0.0), (own.between, other.between, between)):
            scale = np.sqrt(np.maximum(np.diag(other.within) + squares, 1e-3))
            assert_allclose(mine / np.outer(scale, scale), theirs / np.outer(scale, scale), rtol=0, atol=atol)


@st.composite
def coded_panels(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_units, n_times, n_groups = draw(st.integers(2, 9)), draw(st.integers(1, 6)), draw(st.integers(1, 4))
    unit = np.repeat(np.arange(n_units), n_times)
    time = np.tile(np.arange(n_times), n_units)
    kept = rng.random(len(unit)) < draw(st.floats(0.3, 1))
    kept[time == 0] = True
    unit, time = unit[kept], time[kept]
    order = rng.permutation(len(unit))
    unit, time = unit[order], time[order]
    return rng, unit, time, (unit * 7 + 3) % n_groups, n_times, n_groups


@given(coded_panels(), st.sampled_from([0.0, 1e3, -1e6]), st.booleans())
@settings(deadline=None, max_examples=80)
def test_moments_of_coded_columns_are_those_of_the_columns_laid_out(case, level, by_group):
    rng, unit, time, group, n_times, n_groups = case
    n = len(unit)
    values, ones = level + rng.normal(size=(n, 3)), np.ones((n, 1))
    parts = [
        Coded(values[:, :1]),
        Coded(values[:, 1:]),
        Coded(ones, time, n_times),
        Coded(values[:, 1:], group, n_groups),
        Coded(ones, group * n_times + time, n_groups * n_times),
        Coded(values[:, :1], unit, int(unit.max()) + 1),
        Coded(ones),
    ]
    laid_out = []
    for part in parts:
        code = np.zeros(n, dtype=int) if part.code is None else part.code
        for k in range(part.regressors.shape[1]):
            laid_out += [part.regressors[:, k] * (code == c) for c in range(part.width)]
    names = tuple(map(str, range(len(laid_out))))
    assert sum(part.size for part in parts) == len(names)
    present = np.unique(group)
    strata = (np.searchsorted(present, group), [f"g{r}" for r in present]) if by_group else ()
    found = moments_of_coded(parts, names, unit, *strata)
    assert_equal(found, moments_of(np.column_stack(laid_out), names, unit, *strata))


def both_ways(design: Design, model: PanelModel, monkeypatch) -> tuple[Blocks, Blocks]:
    monkeypatch.setattr(blocks_module, "LAID_OUT_MAX", 2**60)
    laid_out = make_blocks(design, model)
    monkeypatch.setattr(blocks_module, "LAID_OUT_MAX", 0)
    return laid_out, make_blocks(design, model)


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("data", ["balanced", "unbalanced", "produc"])
def test_the_posterior_is_the_same_whether_columns_are_laid_out_or_not(name, data, monkeypatch):
    laid_out, coded = both_ways(panel(data), MEMBERS[name], monkeypatch)
    assert coefficient_names(coded) == coefficient_names(laid_out)
    assert laid_out.moments is None
    if coded.moments is None:  # means beside the regressors that they are means of are not told from moments
        means = "correlated" in (coded.model.choice("unit_effect"), coded.model.choice("time_effect"))
        assert means or coded.mechanism == "by unit" or data == "produc"
    expected, found = make_collapsed(laid_out), make_collapsed(coded)
    assert found.names == expected.names
    points = np.random.default_rng(4).normal(-1, 1, size=(5, len(found.names)))
    assert_allclose(found.log_likelihood(points), expected.log_likelihood(points), rtol=1e-10, atol=1e-8)
    one, other = found.conditional(points), expected.conditional(points)
    covariance = [np.einsum("sij,skj->sik", c.root, c.root) for c in (one, other)]
    spread = np.sqrt(np.einsum("sii->si", covariance[1]))
    assert_allclose(one.mean / spread, other.mean / spread, atol=1e-7)
    assert_allclose(covariance[0], covariance[1], atol=1e-8 * float(spread.max()) ** 2)


def test_most_members_need_no_columns_laid_out(monkeypatch):
    told = {name: both_ways(panel("unbalanced"), model, monkeypatch)[1].moments for name, model in MEMBERS.items()}
    assert all(told[name] is not None for name in ("complete_pooling", "no_pooling", "partial_pooling", "nested"))


def test_a_column_that_is_nearly_collinear_is_left_to_the_columns_themselves(monkeypatch):
    design = panel("unbalanced")
    x = design.x.copy()
    x[:, 1] = x[:, 0] + 1e-6 * x[:, 1]
    near = design.with_regressors(design.terms, x)
    coded = both_ways(near, member(group_slope="pooled"), monkeypatch)[1]
    assert coded.moments is None
    assert len(coded.flat[1].kept) == len(design.terms) - 1


def test_columns_that_cost_digits_are_left_to_the_columns_themselves(monkeypatch):
    design = panel("unbalanced")
    high = design.with_regressors(design.terms, design.x + 3e3)  # beside an intercept
    assert both_ways(high, member(), monkeypatch)[1].moments is not None  # which unit effects take out
    laid_out, coded = both_ways(high, member(unit_effect="random"), monkeypatch)
    expected, found = make_collapsed(laid_out), make_collapsed(coded)
    for label, stratum in found.errors.moments.strata.items():
        np.testing.assert_array_equal(stratum.within, expected.errors.moments.strata[label].within)


def test_a_slope_that_is_not_identified_is_refused_either_way(monkeypatch):
    design = panel("balanced")
    x = design.x.copy()
    x[:, 1] = means_by(design.unit, x[:, 1:2])[design.unit, 0] + design.time
    lost = design.with_regressors(design.terms, x)
    for most in (2**60, 0):
        monkeypatch.setattr(blocks_module, "LAID_OUT_MAX", most)
        with pytest.raises(InputError, match="not identified"):
            make_blocks(lost, member(group_slope="pooled"))


def test_periods_that_no_unit_connects_are_left_out_either_way(monkeypatch):
    design = random_design(5, 12, 6)
    apart = design.rows((design.unit < 6) == (design.time < 3))
    laid_out, coded = both_ways(apart, member(), monkeypatch)
    assert coded.moments is not None
    assert coefficient_names(coded) == coefficient_names(laid_out)
    (effect,) = (block for block in coded.flat if block.name == "time_effect")
    assert len(effect.kept) == 4  # six periods in two sets, a reference in each


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.floats(1e-3, 1e2))
@settings(deadline=None, max_examples=60)
def test_moments_identify_what_columns_do(seed, k, spread):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(40, k)) * spread ** rng.integers(-1, 2, size=k)
    x[:, -1] += x[:, :-1].sum(axis=1)
    found = identified_by_moments(x.T @ x, (x**2).sum(axis=0), np.zeros(k, dtype=bool))
    assert found is None or found == identified(x, x, about_mean=False)
    repeated = np.column_stack([x, x[:, 0]])
    counted = np.r_[np.zeros(k, dtype=bool), True]
    own = identified_by_moments(repeated.T @ repeated, (repeated**2).sum(axis=0), counted)
    assert own is None or own == tuple(range(k))
    assert identified_by_moments(repeated.T @ repeated, (repeated**2).sum(axis=0), counted & False) is None
