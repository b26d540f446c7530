from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy import stats

from cbec_bayes.classical import fewbatch
from cbec_bayes.classical.batch import prepare
from cbec_bayes.classical.few import few_clusters
from cbec_bayes.classical.fewbatch import prepare_few
from cbec_bayes.classical.fits import quiet
from cbec_bayes.runtime.errors import InputError
from tests.support.few_by_hand import bootstrap_t, jackknife_by_hand, share_beyond
from tests.support.few_oracle import by_the_packages, feols, unit_demeaned
from tests.support.regressions import FOLDER, R, dummies, dummy_ols, golden, load, random_design, with_outcome

CR2 = json.loads((FOLDER / "cr2.json").read_text(encoding="utf-8"))
LEVEL = 0.05


def outcomes_of(design, size=3, seed=0):
    """The outcome itself, and noise."""
    noise = np.random.default_rng(seed).normal(size=(size - 1, design.n_obs)) * design.y.std()
    return np.vstack([design.y, noise])


def alone_in_one_unit(n_units, n_times, seed=0):
    """A second regressor that is there in one unit only."""
    design = random_design(seed, n_units, n_times)
    alone = np.where(design.unit == 1, design.x[:, 1], 0.0)
    return design.with_regressors(("x0", "alone"), np.column_stack([design.x[:, 0], alone]))


# CR2


@pytest.mark.parametrize("name", CR2["cases"])
def test_cr2_is_that_of_clubsandwich(name):
    case = CR2["cases"][name]
    design = load(case["of"])
    if case["cells"]:
        cells = {(unit, year) for unit, years in case["cells"].items() for year in np.atleast_1d(years)}
        labels = zip(design.unit, design.time, strict=True)
        design = design.rows(np.array([(design.units[u], design.times[t]) in cells for u, t in labels]))
    group = None if case["region"] is None else str(case["region"])
    prepared = prepare_few(design, case["terms"], group=group, ssc="fixest")
    assert len(prepared.regression.rows) == case["nobs"]
    assert prepared.regression.effects.n_units == case["n_units"]
    found = prepared.fit(design.y[None])
    theirs = {part: [case[part][term] for term in case["terms"]] for part in ("coef", "se", "df", "p")}
    np.testing.assert_allclose(found.estimate[0], theirs["coef"], rtol=1e-9)
    np.testing.assert_allclose(found.cr2_se[0], theirs["se"], rtol=1e-8)
    np.testing.assert_allclose(found.cr2_df, theirs["df"], rtol=1e-8)
    np.testing.assert_allclose(found.cr2_p[0], theirs["p"], rtol=1e-8)


def test_the_two_golden_files_agree():
    for name, case in R["cases"].items():
        theirs = case["clubSandwich"]["on_plm"]["CR2"]
        for part in ("se", "df", "p"):
            np.testing.assert_allclose(
                golden(CR2["cases"][name][part], load(name)), golden(theirs[part], load(name)), rtol=1e-10
            )


def dense_cr2(design):
    """CR2 and its degrees of freedom with a dummy for every unit and period, and every matrix written out."""
    x = np.column_stack([design.x, dummies(design.unit, design.time)])
    bread = np.linalg.pinv(x)
    off = np.eye(design.n_obs) - x @ bread
    scores = []
    for unit in range(len(design.units)):
        own = design.unit == unit
        values, vectors = np.linalg.eigh(off[np.ix_(own, own)])
        kept = values > 1e-9
        root = vectors[:, kept] / np.sqrt(values[kept]) @ vectors[:, kept].T
        scores.append(bread[: design.x.shape[1], own] @ root @ off[own])
    p = np.array(scores)  # (N, K, n): scores of the clusters as functions of y
    variance = ((p @ design.y) ** 2).sum(axis=0)
    across = np.einsum("gkn,hkn->kgh", p, p)
    trace = np.einsum("kgg->k", across)
    return np.sqrt(variance), trace**2 / (across**2).sum(axis=(1, 2))


@settings(max_examples=40)
@example(1, 3, 4, 1, 0.7)
@given(st.integers(0, 2**16), st.integers(3, 8), st.integers(3, 7), st.integers(1, 3), st.sampled_from([1.0, 0.7]))
def test_cr2_is_that_of_the_regression_on_all_dummies(seed, n_units, n_times, n_terms, share):
    design = random_design(seed, n_units, n_times, n_terms, share)
    try:
        prepared = prepare_few(design, ssc="fixest")
    except InputError:
        assume(False)
    assume(len(prepared.regression.kept) == n_terms)
    se, df = dense_cr2(design)
    found = prepared.fit(design.y[None])
    # Where as many coefficients as rows leave nothing there is no standard error; written out it is a rounding error.
    left = se > 1e-10
    assert not (found.cr2_se[0, ~left] > 1e-10).any()
    np.testing.assert_allclose(found.cr2_se[0, left], se[left], rtol=1e-6)
    np.testing.assert_allclose(found.cr2_df[left], df[left], rtol=1e-6)


@pytest.mark.parametrize("name", ["grunfeld", "produc_region_2"])
def test_cr2_is_unbiased_where_errors_are_independent_and_alike(name):
    """Squares over one outcome for each row add up to the expectation, which is the diagonal of (X'X)^-1."""
    design = load(name)
    prepared = prepare_few(design)
    solve = prepared.regression.solve
    squares = (prepared.fit(np.eye(design.n_obs)).cr2_se ** 2).sum(axis=0)
    np.testing.assert_allclose(squares, (solve**2).sum(axis=1), rtol=1e-9)


# CRV3


@pytest.mark.parametrize(
    ("name", "group"),
    [("grunfeld", None), ("grunfeld_unbalanced", None), ("produc_unbalanced", "4"), ("produc_unbalanced", "9")],
)
def test_many_outcomes_are_each_outcome_by_itself(name, group):
    """CRV3 of a single regression is pyfixest's."""
    design = load(name)
    outcomes = outcomes_of(design, 3)
    found = prepare_few(design, group=group).fit(outcomes)
    base = prepare(design, group=group).fit(outcomes)
    np.testing.assert_array_equal(found.estimate, base.estimate)
    np.testing.assert_array_equal(found.crv1_se, base.se)
    assert found.df == base.df
    noise = with_outcome(design, outcomes[1])
    alone = noise if group is None else noise.of_group(group)
    np.testing.assert_allclose(found.crv3_se[1], by_the_packages(alone, replications=9)[0], rtol=1e-9)
    one = few_clusters(alone, replications=9)
    np.testing.assert_allclose(found.crv3_se[1], one.crv3_se, rtol=1e-12)
    np.testing.assert_allclose(found.crv3_p[1], one.crv3_p, rtol=1e-12)
    np.testing.assert_allclose(found.cr2_se[1], one.cr2_se, rtol=1e-12)
    np.testing.assert_array_equal(found.cr2_df, one.cr2_df)
    assert found.crv3_df == one.regression.n_units - 1


@pytest.mark.parametrize("share", [1.0, 0.7])
def test_the_jackknife_by_leaving_units_out(share):
    design = random_design(11, 9, 6, share=share)
    found = prepare_few(design, ssc="fixest").fit(outcomes_of(design, 3))
    for s, y in enumerate(outcomes_of(design, 3)):
        np.testing.assert_allclose(found.crv3_se[s], jackknife_by_hand(with_outcome(design, y)), rtol=1e-9)


def test_the_jackknife_where_periods_hang_on_units():
    """Leaving a unit out loses a period, or splits the panel; no slope is lost."""
    design = random_design(0, 7, 6)
    unit, time = design.unit, design.time
    lost = random_design(0, 6, 5)
    for part in (
        lost.rows(~((lost.time == 4) & (lost.unit > 0))),
        design.rows((unit == 0) | ((unit < 4) & (time < 3)) | ((unit >= 4) & (time >= 3))),
    ):
        found = prepare_few(part, ssc="fixest").fit(part.y[None])
        np.testing.assert_allclose(found.crv3_se[0], jackknife_by_hand(part), rtol=1e-8)


@pytest.mark.parametrize("n_terms", [3, 4, 5])
def test_three_clusters_have_errors_and_a_jackknife_where_it_is_defined(n_terms):
    """Two units over five periods identify four slopes, not five; the jackknife is not defined then."""
    design = random_design(3, 3, 5, n_terms)
    found = prepare_few(design).fit(outcomes_of(design))
    assert np.isfinite(found.crv1_se).all()
    assert np.isfinite(found.cr2_se).all()
    assert np.isnan(found.crv3_se).all() == (n_terms == 5)
    if n_terms < 5:
        left = np.array([dummy_ols(design.rows(design.unit != unit))[0] for unit in range(3)])
        by_hand = np.sqrt(2 / 3 * ((left - found.estimate[0]) ** 2).sum(axis=0))
        np.testing.assert_allclose(found.crv3_se[0], by_hand, rtol=1e-7)


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_errors_follow_the_units_of_the_regressors(scale):
    design = random_design(0, 6, 5, share=0.9)
    by = np.array([1.0, scale])
    one, two = (
        prepare_few(design.with_regressors(design.terms, x)).fit(design.y[None]) for x in (design.x, design.x * by)
    )
    for name in ("crv3_se", "cr2_se"):
        np.testing.assert_allclose(getattr(two, name) * by, getattr(one, name), rtol=1e-9)
    np.testing.assert_allclose(two.cr2_df, one.cr2_df, rtol=1e-9)


def test_a_slope_that_one_unit_carries():
    design = alone_in_one_unit(8, 5)
    found = prepare_few(design).fit(design.y[None])
    assert np.isnan(found.crv3_se).all()
    assert np.isnan(found.crv3_p).all()
    np.testing.assert_allclose(found.cr2_se[0], dense_cr2(design)[0], rtol=1e-8)
    one = few_clusters(design, replications=9)
    assert np.isnan(one.crv3_se).all()


# The wild bootstrap


@pytest.mark.parametrize(("n_units", "n_times", "share"), [(3, 8, 1.0), (8, 6, 0.7), (15, 4, 1.0)])
def test_the_same_draws_as_wildboottest(n_units, n_times, share):
    """The seed gives the weights that wildboottest draws, so p-values are equal, not merely close."""
    design = random_design(21, n_units, n_times, share=share)
    prepared = prepare_few(design)
    found = few_clusters(design, replications=1999, seed=4)
    oracle = by_the_packages(design, replications=1999, seed=4)[1]
    assert found.weights == ("rademacher" if n_units == 15 else "webb")
    for k in range(2):
        assert prepared.wild_p(design.y[None], k, 0.0, 1999, 4)[0] == found.wild_p[k] == oracle[k]
        np.testing.assert_array_equal(
            prepared.wild_interval(design.y[None], k, 1999, 4)[0], found.wild_interval[k], strict=True
        )


def test_the_test_of_another_value_is_that_of_the_outcome_less_it():
    design = random_design(22, 13, 5, share=0.8)
    prepared = prepare_few(design)
    value = 0.7 * prepared.fit(design.y[None]).estimate[0, 1]
    moved = with_outcome(design, design.y - value * design.x[:, 1])
    oracle = by_the_packages(moved, replications=999, seed=2)[1]
    assert prepared.wild_p(design.y[None], 1, value, 999, 2)[0] == oracle[1]
    each = prepared.wild_p(np.vstack([design.y, moved.y]), 1, np.array([value, 0.0]), 999, 2)
    assert each.tolist() == [oracle[1]] * 2


def all_signs(n):
    return np.array(list(itertools.product([-1.0, 1.0], repeat=n))).T


@pytest.mark.parametrize(("n_units", "share"), [(4, 1.0), (7, 0.8)])
def test_the_bootstrap_of_few_clusters_is_that_of_all_signs(n_units, share, monkeypatch):
    """wildboottest takes every sign once where there are fewer than draws; so does a dense bootstrap of our own."""
    design = random_design(5, n_units, 6, share=share)
    monkeypatch.setattr(fewbatch, "draw_weights", lambda n, replications, seed: all_signs(n))
    prepared = prepare_few(design)
    frame, slopes, effects, _ = unit_demeaned(design, [0, 1])
    model = feols(frame, slopes, effects, "CRV1")
    for k, name in enumerate(slopes):
        with quiet(), pytest.warns(UserWarning, match="full_enumeration"):
            test, drawn = model.wildboottest(
                param=name, reps=2**n_units + 1, weights_type="rademacher", return_bootstrapped_t_stats=True
            )
        p = prepared.wild_p(design.y[None], k, 0.0, 2**n_units, 0)[0]
        assert len(drawn) == 2**n_units
        assert p == share_beyond(float(test["t value"]), drawn)
        assert p == share_beyond(*bootstrap_t(design, k, all_signs(n_units)))


@pytest.mark.parametrize(("n_units", "n_terms", "prob"), [(5, 2, 0.95), (14, 3, 0.95), (14, 3, 0.8)])
def test_the_interval_inverts_the_test(n_units, n_terms, prob):
    design = random_design(6, n_units, 7, n_terms, 0.9)
    outcomes = outcomes_of(design, 20)
    prepared = prepare_few(design)
    fit = prepared.fit(outcomes)
    for k in range(n_terms):
        low, high = prepared.wild_interval(outcomes, k, 1999, 1, prob).T
        assert np.isfinite([low, high]).all()
        # The p-value is a staircase: within tolerance of an end lies the step that passes the level.
        fine = 1e-4 * fit.crv1_se[:, k]
        for inside, outside in ((low + fine, low - fine), (high - fine, high + fine)):
            assert (prepared.wild_p(outcomes, k, inside, 1999, 1) >= 1 - prob).all()
            assert (prepared.wild_p(outcomes, k, outside, 1999, 1) < 1 - prob).all()
        for end in (low, high):
            p = prepared.wild_p(outcomes, k, end, 1999, 1)
            np.testing.assert_allclose(p, 1 - prob, atol=0.02 if n_units == 5 else 0.003)


def test_coverage_is_the_same_by_test_and_by_interval():
    """Outcomes of no slope: the interval covers zero where the test does not reject it, and mostly it does."""
    design = random_design(7, 14, 6)
    outcomes = np.random.default_rng(0).normal(size=(400, design.n_obs))
    prepared = prepare_few(design)
    low, high = prepared.wild_interval(outcomes, 0, 1000, 1).T
    covered = (low <= 0) & (high >= 0)
    p = prepared.wild_p(outcomes, 0, 0.0, 1000, 1)
    assert (p == LEVEL).any()  # not below it, as rounding in 1 - 0.95 would have it
    np.testing.assert_array_equal(covered, p >= LEVEL)
    assert abs(covered.mean() - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 400)


@settings(max_examples=25)
@given(
    st.integers(0, 2**16),
    st.integers(3, 14),
    st.floats(0.01, 100),
    st.booleans(),
    st.floats(-100, 100),
    st.floats(-100, 100),
)
def test_the_interval_follows_the_units_of_the_outcome(seed, n_units, size, negative, shift, other):
    """y -> a y + b x_k + c x_j moves everything of k by a and b, and c is nothing to it."""
    design = random_design(seed, n_units, 6)
    a = -size if negative else size
    prepared = prepare_few(design)
    outcomes = outcomes_of(design, 2)
    moved = a * outcomes + shift * design.x[:, 0] + other * design.x[:, 1]
    one, two = prepared.fit(outcomes), prepared.fit(moved)
    for name in ("crv1_se", "crv3_se", "cr2_se"):
        np.testing.assert_allclose(getattr(two, name), abs(a) * getattr(one, name), rtol=1e-6)
    ends = shift + a * prepared.wild_interval(outcomes, 0, 199, 1)
    np.testing.assert_allclose(
        prepared.wild_interval(moved, 0, 199, 1),
        np.sort(ends, axis=1),
        rtol=1e-12,
        atol=3e-4 * two.crv1_se[:, 0].max(),
    )


def test_an_interval_may_be_without_ends():
    """Two of the three units cannot be told apart in too many draws for any slope to be rejected at this level."""
    design = alone_in_one_unit(3, 8).keeping(["alone"])
    prepared = prepare_few(design)
    assert np.isfinite(prepared.wild_interval(design.y[None], 0, 999, 1)).all()
    assert prepared.wild_interval(design.y[None], 0, 999, 1, prob=0.98).tolist() == [[-np.inf, np.inf]]
    far = prepared.wild_p(design.y[None], 0, 1e9, 999, 1)
    assert 0.02 < far[0] < LEVEL
    np.testing.assert_array_equal(far, prepared.wild_p(design.y[None], 0, 1e5, 999, 1))


@pytest.mark.parametrize("scale", [3.0, 0.1])
def test_ties_are_not_decided_by_rounding(scale):
    design = random_design(0, 3, 8)
    prepared = prepare_few(design)
    outcomes = np.vstack([design.y, design.y * scale])
    for k in range(2):
        a, b = prepared.wild_p(outcomes, k, 0.0, 999, 1)
        assert a == b


# Where there is nothing


def test_two_clusters_have_no_cr2_and_no_bootstrap():
    design = random_design(1, 2, 6)
    prepared = prepare_few(design)
    found = prepared.fit(design.y[None])
    assert np.isnan([found.cr2_se[0], found.cr2_df, found.crv3_se[0], found.cr2_p[0]]).all()
    assert np.isnan(prepared.wild_p(design.y[None], 0, 0.0, 99, 1)).all()
    assert np.isnan(prepared.wild_interval(design.y[None], 0, 99, 1)).all()
    one = few_clusters(design, replications=9)
    assert np.isnan([one.cr2_se, one.cr2_df, one.cr2_p, one.crv3_se]).all()
    assert np.isnan(one.wild_interval).all()
    assert one.frame()[["ci_low", "ci_high"]].iloc[2:].isna().all(axis=None)


def test_a_collinear_term_has_no_numbers():
    design = random_design(25, 8, 5)
    x = np.column_stack([design.x[:, 0], 2 * design.x[:, 0] + design.time, design.x[:, 1]])
    more = prepare_few(design.with_regressors(("a", "twice a", "b"), x))
    less = prepare_few(design)
    outcomes = outcomes_of(design)
    found, only = more.fit(outcomes), less.fit(outcomes)
    for name in ("crv1_se", "crv3_se", "cr2_se", "cr2_df"):
        assert np.isnan(getattr(found, name)[..., 1]).all()
        np.testing.assert_allclose(getattr(found, name)[..., [0, 2]], getattr(only, name), rtol=1e-9)
    assert np.isnan(more.wild_p(outcomes, 1, 0.0, 99, 1)).all()
    assert np.isnan(more.wild_interval(outcomes, 1, 99, 1)).all()
    np.testing.assert_array_equal(more.wild_p(outcomes, 2, 0.0, 99, 1), less.wild_p(outcomes, 1, 0.0, 99, 1))
    with pytest.raises(IndexError):
        more.wild_p(outcomes, 3, 0.0, 99, 1)


def test_outcomes_in_blocks_are_those_of_one_block(monkeypatch):
    design = random_design(2, 6, 5, share=0.8)
    outcomes = outcomes_of(design, 10)
    prepared = prepare_few(design)
    assert prepared.fit(outcomes[:0]).cr2_se.shape == (0, 2)
    assert prepared.wild_interval(outcomes[:0], 0, 99, 1).shape == (0, 2)

    def everything():
        fit = prepared.fit(outcomes)
        return (
            fit.crv3_se,
            fit.cr2_se,
            prepared.wild_p(outcomes, 0, 0.1, 99, 1)[:, None],
            prepared.wild_interval(outcomes, 0, 99, 1),
        )

    whole = everything()
    monkeypatch.setattr(fewbatch, "_CHUNK", 3 * 6 * 99)  # three outcomes of the bootstrap at a time
    for blocks, at_once in zip(everything(), whole, strict=True):
        np.testing.assert_allclose(blocks, at_once, rtol=1e-10)


def test_weights_are_those_of_webb_and_rademacher():
    assert [fewbatch.weights_for(n, 9999) for n in (2, 12, 13, 14)] == ["webb", "webb", "webb", "rademacher"]
    assert fewbatch.weights_for(13, 999) == "rademacher"
    drawn = fewbatch.draw_weights(5, 6000, 1)
    assert drawn.shape == (5, 6000)
    points, counts = np.unique(drawn, return_counts=True)
    np.testing.assert_allclose(points**2, [1.5, 1, 0.5, 0.5, 1, 1.5])
    assert stats.chisquare(counts).pvalue > 1e-4
    assert set(np.unique(fewbatch.draw_weights(13, 100, 1))) == {-1.0, 1.0}
