from __future__ import annotations

import functools
import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from cbec_bayes.classical.few import few_clusters, jackknife_ratios
from cbec_bayes.classical.regression import twfe
from cbec_bayes.runtime.errors import InputError
from tests.support.few_by_hand import bootstrap_t, jackknife_by_hand, share_beyond
from tests.support.regressions import CASES, R, golden, load, random_design


@functools.cache
def few(name):
    """Jackknife and bootstrap of a golden case; the jackknife does not depend on the draws."""
    return few_clusters(load(name), replications=99)


@pytest.mark.parametrize("name", CASES)
def test_crv3_is_the_jackknife_of_r(name):
    design, found = load(name), few(name)
    np.testing.assert_allclose(found.crv3_se, golden(R["cases"][name]["jackknife"]["se_cv3"], design), rtol=1e-7)
    t = found.regression.estimate / found.crv3_se
    np.testing.assert_allclose(found.crv3_p, 2 * stats.t.sf(np.abs(t), len(design.units) - 1), rtol=1e-10)
    np.testing.assert_array_equal(found.regression.estimate, twfe(design).estimate)


@pytest.mark.parametrize("share", [1.0, 0.75])
def test_crv3_by_leaving_units_out(share):
    design = random_design(11, 9, 6, share=share)
    estimate = twfe(design).estimate
    left = np.array([twfe(design.rows(design.unit != unit)).estimate for unit in range(9)])
    by_hand = np.sqrt(8 / 9 * ((left - estimate) ** 2).sum(axis=0))
    np.testing.assert_allclose(few_clusters(design, replications=99).crv3_se, by_hand, rtol=1e-8)


def test_crv3_is_undefined_where_one_unit_carries_a_slope():
    design = random_design(11, 8, 5)
    alone = np.where(design.unit == 3, design.x[:, 1], 0.0)
    found = few_clusters(
        design.with_regressors(("x0", "alone"), np.column_stack([design.x[:, 0], alone])), replications=99
    )
    assert np.isnan(found.crv3_se[1])
    assert np.isfinite(found.regression.se).all()


def webb(rng, shape):
    return rng.choice([-np.sqrt(1.5), -1, -np.sqrt(0.5), np.sqrt(0.5), 1, np.sqrt(1.5)], size=shape)


@pytest.mark.parametrize("share", [1.0, 0.7])
def test_webb_draws_agree_with_a_bootstrap_of_our_own(share):
    design = random_design(21, 8, 6, share=share)
    found = few_clusters(design, seed=4)
    assert (found.weights, found.replications, found.seed) == ("webb", 9999, 4)
    weights = webb(np.random.default_rng(77), (8, 20_000))
    for k in range(2):
        t, draws = bootstrap_t(design, k, weights)
        assert t == pytest.approx(found.regression.t[k], rel=1e-8)
        p = share_beyond(t, draws)
        assert 0.005 < p < 0.995
        error = np.sqrt(p * (1 - p) * (1 / 9999 + 1 / 20_000))
        assert abs(found.wild_p[k] - p) < 4 * error


def test_signs_agree_with_all_of_them():
    design = random_design(22, 13, 4)
    found = few_clusters(design, replications=4999, seed=2)
    assert found.weights == "rademacher"
    signs = np.array(list(itertools.product([-1.0, 1.0], repeat=13))).T
    for k in range(2):
        p = share_beyond(*bootstrap_t(design, k, signs))
        assert 0.005 < p < 0.995
        assert abs(found.wild_p[k] - p) < 4 * np.sqrt(p * (1 - p) / 4999)


def test_weights_by_the_number_of_clusters():
    weights = [few_clusters(random_design(1, n, 4), replications=99).weights for n in (2, 12, 13)]
    assert weights == ["webb", "webb", "rademacher"]


def test_a_seed_gives_the_same_again():
    design = random_design(23, 8, 5)
    first, again, other = (few_clusters(design, replications=999, seed=seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first.wild_p, again.wild_p)
    assert (first.wild_p != other.wild_p).any()
    np.testing.assert_array_equal(first.crv3_se, other.crv3_se)


def test_the_convention_changes_crv1_alone():
    design = random_design(24, 8, 5)
    plm, areg = (few_clusters(design, ssc=ssc, replications=499) for ssc in ("plm", "areg"))
    assert (plm.regression.se < areg.regression.se).all()
    np.testing.assert_array_equal(plm.crv3_se, areg.crv3_se)
    np.testing.assert_array_equal(plm.wild_p, areg.wild_p)


def test_a_collinear_term_has_no_numbers():
    design = random_design(25, 8, 5)
    x = np.column_stack([design.x[:, 0], 2 * design.x[:, 0] + design.time, design.x[:, 1]])
    found = few_clusters(design.with_regressors(("a", "twice a", "b"), x), replications=499)
    alone = few_clusters(design, replications=499)
    for name in ("crv3_se", "crv3_p", "wild_p"):
        assert np.isnan(getattr(found, name)[1])
        np.testing.assert_allclose(getattr(found, name)[[0, 2]], getattr(alone, name), rtol=1e-9)


def test_the_frame_has_four_methods_per_term():
    found = few("grunfeld")
    frame = found.frame()
    assert frame.columns.tolist() == ["term", "vcov", "estimate", "se", "df", "p", "ci_low", "ci_high"]
    assert frame["vcov"].tolist() == ["CRV1"] * 2 + ["CR2"] * 2 + ["CRV3"] * 2 + ["wild bootstrap (webb)"] * 2
    assert frame["term"].tolist() == ["value", "capital"] * 4
    assert frame["estimate"].tolist() == [*found.regression.estimate] * 4
    assert frame["p"].tolist() == [*found.regression.p, *found.cr2_p, *found.crv3_p, *found.wild_p]
    assert frame["df"].tolist()[:6] == [9.0, 9.0, *found.cr2_df, 9.0, 9.0]
    assert frame[["se", "df"]].iloc[6:].isna().all(axis=None)
    np.testing.assert_array_equal(frame[["ci_low", "ci_high"]].iloc[6:], found.wild_interval)
    crv3 = frame[frame["vcov"] == "CRV3"]
    np.testing.assert_allclose((crv3["ci_high"] - crv3["ci_low"]) / crv3["se"], 2 * 2.262157, atol=1e-5)
    cr2 = frame[frame["vcov"] == "CR2"]
    np.testing.assert_allclose((cr2["ci_high"] - cr2["ci_low"]) / cr2["se"], 2 * stats.t.ppf(0.975, found.cr2_df))


@pytest.mark.parametrize("name", CASES)
def test_cr2_is_that_of_r(name):
    design, found = load(name), few(name)
    theirs = R["cases"][name]["clubSandwich"]["on_plm"]["CR2"]
    for part in ("se", "df", "p"):
        np.testing.assert_allclose(getattr(found, f"cr2_{part}"), golden(theirs[part], design), rtol=1e-8)


def test_errors_are_those_of_the_regression():
    design = random_design(26, 4, 3, n_terms=6)
    with pytest.raises(InputError, match="too few"):
        few_clusters(design)
    assert few_clusters(design, ["x1"], replications=99).regression.terms == ("x1",)


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_units_of_measurement_change_nothing(scale):
    design = random_design(0, 8, 6)
    x = design.x * np.array([1.0, scale])
    moved = replace(design, x=x, y=design.y * 1e5)
    a, b = few_clusters(design, replications=999), few_clusters(moved, replications=999)
    unit = 1e5 / np.array([1.0, scale])
    np.testing.assert_allclose(b.crv3_se, a.crv3_se * unit, rtol=1e-7)
    np.testing.assert_allclose(b.wild_p, a.wild_p, atol=1e-12)


def test_crv3_where_a_period_hangs_on_one_unit():
    """Leaving the unit out loses a period effect, not a slope."""
    design = random_design(0, 6, 5)
    design = design.rows(~((design.time == 4) & (design.unit > 0)))
    found = few_clusters(design, ssc="fixest", replications=99)
    np.testing.assert_allclose(found.crv3_se, jackknife_by_hand(design), rtol=1e-8)


def test_crv3_where_leaving_a_unit_out_splits_the_panel():
    design = random_design(0, 7, 6)
    unit, time = design.unit, design.time
    design = design.rows((unit == 0) | ((unit < 4) & (time < 3)) | ((unit >= 4) & (time >= 3)))
    found = few_clusters(design, ssc="fixest", replications=99)
    np.testing.assert_allclose(found.crv3_se, jackknife_by_hand(design), rtol=1e-8)


@pytest.mark.parametrize("n_units", [12, 13, 14])
def test_signs_are_never_fewer_than_draws(n_units):
    """No enumeration in silence, and no warning about it."""
    found = few_clusters(random_design(0, n_units, 5))
    assert found.weights == ("rademacher" if n_units == 14 else "webb")


@pytest.mark.parametrize("scale", [3.0, 7.0, 1.1, 0.001])
def test_ties_are_not_decided_by_rounding(scale):
    """With three clusters many draws have the sample's own |t|; a change of unit must not move them across it."""
    design = random_design(0, 3, 8)
    a = few_clusters(design, replications=999)
    b = few_clusters(replace(design, y=design.y * scale), replications=999)
    np.testing.assert_array_equal(a.wild_p, b.wild_p)


def test_two_clusters_have_no_bootstrap_to_speak_of():
    found = few_clusters(random_design(1, 2, 4), replications=99)
    assert found.weights == "webb"


def test_many_clusters_have_the_usual_error_alone(monkeypatch):
    """Methods for few clusters cost the square of their number: of thirty thousand, all of a machine's memory."""
    from cbec_bayes.classical import few

    design = load("grunfeld")
    monkeypatch.setattr(few, "MOST_CLUSTERS", len(design.units) - 1)
    monkeypatch.setattr(few, "prepare_few", None)
    found = few.few_clusters(design)
    np.testing.assert_array_equal(found.regression.se, few.twfe(design).se)
    for name in ("cr2_se", "cr2_df", "cr2_p", "crv3_se", "crv3_p", "wild_p", "wild_interval"):
        assert np.isnan(getattr(found, name)).all()
    assert found.frame()["vcov"].tolist().count("CRV1") == len(design.terms)


def test_jackknife_ratios_are_of_the_columns_that_have_the_term():
    found = {"both": few_clusters(random_design(11, 9, 6), bootstrapped=())}
    found["other"] = replace(found["both"], regression=replace(found["both"].regression, terms=("a", "b")))
    found["undefined"] = replace(found["both"], crv3_se=np.full(2, np.nan))
    term = found["both"].regression.terms[1]
    ratio = found["both"].crv3_se[1] / found["both"].regression.se[1]
    assert jackknife_ratios(found, term) == {"both": pytest.approx(ratio)}
