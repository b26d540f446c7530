from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbec_bayes.classical import batch
from cbec_bayes.classical.batch import prepare
from cbec_bayes.classical.conventions import CONVENTIONS, Convention
from cbec_bayes.classical.regression import twfe
from cbec_bayes.runtime.errors import InputError
from tests.support.regressions import CASES, PYFIXEST, design_of, golden, load, random_design, with_outcome


def outcomes_of(design, size=3, seed=0):
    """The outcome itself, pure noise, and the outcome turned round with noise."""
    noise = np.random.default_rng(seed).normal(size=(size - 1, design.n_obs)) * design.y.std()
    noise[1:] -= 2 * design.y
    return np.vstack([design.y, noise])


def assert_same(found, design, outcomes, terms=None, *, group=None, ssc="reghdfe", rtol=1e-9):
    """Every outcome of a batch has what the one-at-a-time regression gives."""
    for s, y in enumerate(outcomes):
        one = with_outcome(design, y)
        alone = twfe(one if group is None else one.of_group(group), terms, ssc=ssc)
        for name in ("estimate", "se", "t", "r2", "r2_within", "constant", "constant_se"):
            np.testing.assert_allclose(
                getattr(found, name)[s], getattr(alone, name), rtol=rtol, err_msg=f"{name} of outcome {s}"
            )
        np.testing.assert_allclose(found.p[s], alone.p, rtol=1e-7, atol=1e-15)
        assert found.df == alone.df


@pytest.mark.parametrize("ssc", CONVENTIONS)
@pytest.mark.parametrize("name", CASES)
def test_slopes_and_errors_are_the_golden_ones_under_every_convention(name, ssc):
    design = load(name)
    outcomes = outcomes_of(design)
    assert_same(prepare(design, ssc=ssc).fit(outcomes), design, outcomes, ssc=ssc)


@pytest.mark.parametrize("name", CASES)
def test_slopes_and_errors_are_those_of_pyfixest(name):
    design, theirs = load(name), PYFIXEST["cases"][name]
    found = prepare(design, ssc="fixest").fit(design.y[None])
    np.testing.assert_allclose(found.estimate[0], golden(theirs["coef"], design), rtol=1e-9)
    np.testing.assert_allclose(found.se[0], golden(theirs["se"], design), rtol=1e-9)
    assert found.r2[0] == pytest.approx(theirs["r2"], rel=1e-12)
    assert found.r2_within[0] == pytest.approx(theirs["r2_within"], rel=1e-10)


@pytest.mark.parametrize("name", ["produc", "produc_unbalanced"])
def test_groups_and_some_of_the_terms(name):
    design = load(name)
    outcomes = outcomes_of(design)
    for group in design.groups:  # outcomes are those of the whole panel; the regression picks its rows
        assert_same(prepare(design, group=group).fit(outcomes), design, outcomes, group=group)
    terms = ("unemp", "log(pcap)")
    prepared = prepare(design, terms, group="5", ssc="areg")
    assert prepared.terms == terms
    np.testing.assert_array_equal(prepared.rows, np.flatnonzero(design.group == design.groups.index("5")))
    assert_same(prepared.fit(outcomes), design, outcomes, terms, group="5", ssc="areg")


def test_a_convention_of_ones_own():
    ssc = Convention(name="own", k_adj="n", g_adj=True, k_fixef="none", df="normal", drop_singletons=False, source="")
    design = load("grunfeld")
    outcomes = outcomes_of(design)
    found = prepare(design, ssc=ssc).fit(outcomes)
    assert_same(found, design, outcomes, ssc=ssc)
    assert found.df == np.inf


def test_collinear_terms_have_no_numbers():
    design = random_design(4, 8, 6, share=0.8)
    x = np.column_stack([design.x[:, 0], 2 * design.x[:, 0] + design.unit, design.x[:, 1], design.time])
    collinear = design.with_regressors(("a", "twice a", "b", "trend"), x)
    outcomes = outcomes_of(design)
    prepared = prepare(collinear)
    found = prepared.fit(outcomes)
    assert prepared.kept == (0, 2)
    assert np.isnan(found.estimate[:, [1, 3]]).all()
    assert np.isnan(found.se[:, [1, 3]]).all()
    assert_same(found, collinear, outcomes)
    only = prepare(design).fit(outcomes)
    np.testing.assert_allclose(found.estimate[:, [0, 2]], only.estimate, rtol=1e-11)
    np.testing.assert_allclose(found.constant_se, only.constant_se, rtol=1e-11)


@pytest.mark.parametrize("ssc", ["reghdfe", "fixest"])
def test_units_and_periods_seen_once(ssc):
    core = random_design(8, 6, 5)
    rng = np.random.default_rng(9)
    # The lone rows come first, so that positions shift when they go.
    design = design_of(
        np.append(rng.normal(size=3), core.y),
        np.vstack([rng.normal(size=(3, 2)), core.x]),
        np.append([20, 21, 21], core.unit),
        np.append([90, 90, 0], core.time),
    )
    outcomes = outcomes_of(design)
    prepared = prepare(design, ssc=ssc)
    assert prepared.rows.tolist() == list(range(3 if ssc == "reghdfe" else 0, 33))
    assert_same(prepared.fit(outcomes), design, outcomes, ssc=ssc)


@settings(max_examples=40)
@given(st.integers(0, 2**16), st.sampled_from([1.0, 0.7]), st.floats(-1e3, 1e3), st.floats(0.01, 1e3), st.booleans())
def test_slopes_and_errors_follow_the_units_of_the_outcome(seed, share, shift, scale, negative):
    design = random_design(seed, 7, 6, share=share)
    c = -scale if negative else scale
    prepared = prepare(design)
    one, other = prepared.fit(design.y[None]), prepared.fit(shift + c * design.y[None])
    np.testing.assert_allclose(other.estimate, c * one.estimate, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(other.se, abs(c) * one.se, rtol=1e-7)
    np.testing.assert_allclose(other.constant, shift + c * one.constant, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(other.constant_se, abs(c) * one.constant_se, rtol=1e-7)
    np.testing.assert_allclose(other.r2, one.r2, rtol=1e-7)
    np.testing.assert_allclose(other.r2_within, one.r2_within, rtol=1e-6, atol=1e-9)


@given(st.integers(-8, 8), st.integers(-8, 8))
def test_slopes_and_errors_follow_the_units_of_the_regressors(first, second):
    design = random_design(5, 7, 6, share=0.8)
    scale = 10.0 ** np.array([first, second])
    outcomes = outcomes_of(design)
    one = prepare(design).fit(outcomes)
    other = prepare(design.with_regressors(design.terms, design.x * scale)).fit(outcomes)
    np.testing.assert_allclose(other.estimate * scale, one.estimate, rtol=1e-10)
    np.testing.assert_allclose(other.se * scale, one.se, rtol=1e-10)
    np.testing.assert_allclose(other.constant, one.constant, rtol=1e-10)


def test_thousands_of_outcomes_in_blocks(monkeypatch):
    design = load("produc_region_2")
    outcomes = design.y + 0.01 * np.random.default_rng(1).normal(size=(4000, design.n_obs))
    before = outcomes.copy()
    prepared = prepare(design)
    whole = prepared.fit(outcomes)
    np.testing.assert_array_equal(outcomes, before)
    shapes = {"estimate": (4000, 4), "se": (4000, 4), "t": (4000, 4), "p": (4000, 4)} | dict.fromkeys(
        ("constant", "constant_se", "r2", "r2_within"), (4000,)
    )
    assert {name: getattr(whole, name).shape for name in shapes} == shapes
    assert all(np.isfinite(getattr(whole, name)).all() for name in shapes)
    monkeypatch.setattr(batch, "_CHUNK", 7 * design.n_obs)  # blocks of 7, the last one of 3
    blocks = prepared.fit(outcomes)
    for name in shapes:
        np.testing.assert_allclose(getattr(blocks, name), getattr(whole, name), rtol=1e-9)
    assert_same(
        replace(
            whole,
            estimate=whole.estimate[-2:],
            se=whole.se[-2:],
            constant=whole.constant[-2:],
            constant_se=whole.constant_se[-2:],
            r2=whole.r2[-2:],
            r2_within=whole.r2_within[-2:],
        ),
        design,
        outcomes[-2:],
    )
    assert prepared.fit(outcomes[:0]).estimate.shape == (0, 4)


def test_the_designs_own_outcome_plays_no_part():
    design = load("grunfeld")
    outcomes = outcomes_of(design)
    nothing = prepare(with_outcome(design, np.full(design.n_obs, np.nan)))
    np.testing.assert_array_equal(nothing.fit(outcomes).estimate, prepare(design).fit(outcomes).estimate)


def test_errors_are_those_of_the_regression():
    full = random_design(0, 4, 3, n_terms=8)
    absorbed = full.with_regressors(("a", "b"), np.column_stack([full.unit, full.time]).astype(float))
    one = design_of(full.y[:3], full.x[:3], ["only"] * 3, range(3))
    for design, options in (
        (full, {}),
        (absorbed, {}),
        (one, {"ssc": "fixest"}),
        (full, {"terms": ["x9"]}),
        (full, {"ssc": "stata"}),
    ):
        with pytest.raises(InputError) as theirs:
            twfe(design, **options)
        with pytest.raises(InputError) as ours:
            prepare(design, **options)
        assert str(ours.value) == str(theirs.value)
    least = random_design(0, 4, 3, n_terms=5)  # 12 rows less 6 effects and 5 slopes
    np.testing.assert_allclose(prepare(least).fit(least.y[None]).estimate[0], twfe(least).estimate, rtol=1e-8)
    with pytest.raises(InputError, match="12 rows are too few for 6 regressors and 6 unit and time effects"):
        prepare(random_design(0, 4, 3, n_terms=6))
    with pytest.raises(InputError, match="unknown group '10'"):
        prepare(load("produc"), group="10")
