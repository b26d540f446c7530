"""The Wald test of equal slopes: clubSandwich of R, a dense covariance, and panels that cannot carry it."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from cbec_bayes.classical.fewbatch import prepare_few
from cbec_bayes.classical.group_slopes import CONTROLS, NO_SLOPE, ONE_UNIT, group_slopes
from cbec_bayes.classical.tables import interacted
from cbec_bayes.classical.wald import contrasts_of, difference, pair_contrast, wald_test
from cbec_bayes.panel.within import TwoWay
from cbec_bayes.runtime.errors import InputError
from tests.support.regressions import FOLDER, grouped, load

HTZ = json.loads((FOLDER / "htz.json").read_text(encoding="utf-8"))["cases"]


@pytest.mark.parametrize("controls", CONTROLS)
@pytest.mark.parametrize("name", HTZ)
def test_it_is_that_of_clubsandwich(name, controls):
    case = HTZ[name]
    design = load("produc_unbalanced" if case["unbalanced"] else "produc")
    kept = np.isin(design.group, [design.groups.index(str(region)) for region in case["regions"]])
    design = design.rows(kept).keeping(["log(pcap)", "log(pc)", "unemp"])
    assert design.n_obs == case["nobs"]
    slopes, theirs = group_slopes(design, controls, ssc="fixest"), case[controls.replace(" ", "_")]
    at = [slopes.groups.index(str(region)) for region in case["regions"]]
    np.testing.assert_allclose(slopes.estimate[at], theirs["estimate"], rtol=1e-8)
    covariance, own = np.array(theirs["covariance"]), slopes.covariance[np.ix_(at, at)]
    np.testing.assert_allclose(own, covariance, rtol=1e-7, atol=1e-9 * np.abs(covariance).max())
    n = len(slopes.groups)
    pairs = combinations(at, 2)
    tests = [(wald_test(slopes, contrasts_of(n)), theirs["joint"])]
    tests += [(wald_test(slopes, pair_contrast(n, *two)), one) for two, one in zip(pairs, theirs["pairs"], strict=True)]
    for ours, one in tests:
        if not isinstance(one["p"], float):
            assert np.isnan(ours.p)
            continue
        for key in ("statistic", "df", "df2", "p"):
            assert getattr(ours, key) == pytest.approx(one[key], rel=1e-7), key


def dense(design, contrast):
    """The test by the full covariance of every score, from dummies of everything.

    Means and variances of quadratic forms of independent normal errors: E = tr, and twice the trace of the square.
    """
    whole = interacted(design)
    columns = np.column_stack([whole.x, np.eye(len(design.units))[design.unit], np.eye(len(design.times))[design.time]])
    scale = np.linalg.norm(columns, axis=0)
    bread = np.linalg.pinv(columns / scale, rcond=1e-11) / scale[:, None]
    maker = np.eye(len(columns)) - columns @ bread
    inner, means = bread[: len(design.groups)], []
    off_periods = np.column_stack([whole.x, np.eye(len(design.times))[design.time]])
    off_periods -= np.stack([off_periods[design.unit == u].mean(axis=0) for u in range(len(design.units))])[design.unit]
    hat = off_periods @ np.linalg.pinv(off_periods, rcond=1e-11)
    for u in range(len(design.units)):
        own = design.unit == u
        values, vectors = np.linalg.eigh(np.eye(own.sum()) - hat[np.ix_(own, own)])
        root = (vectors / np.sqrt(values)) @ vectors.T
        means.append(contrast @ inner[:, own] @ root @ maker[own])
    forms = np.array(means)  # one per unit, (q, n): scores are these times y
    scores = forms @ design.y
    v = scores.T @ scores
    omega = np.einsum("gqn,gpn->qp", forms, forms)
    values, vectors = np.linalg.eigh(omega)
    turned = np.einsum("rq,gqn->grn", (vectors / np.sqrt(values)) @ vectors.T, forms)
    q, total = len(contrast), 0.0
    for s in range(q):
        for t in range(q):
            form = np.einsum("gn,gm->nm", turned[:, s], turned[:, t])
            form = (form + form.T) / 2
            total += 2 * np.trace(form @ form)
    eta = q * (q + 1) / total
    gap = contrast @ (inner @ design.y)
    statistic = (eta - q + 1) / (eta * q) * gap @ np.linalg.solve(v, gap)
    return statistic, eta - q + 1, stats.f.sf(statistic, q, eta - q + 1)


@pytest.mark.parametrize("share", [1.0, 0.75])
@pytest.mark.parametrize("controls", ["one", "two"])
def test_it_is_that_of_the_dense_covariance(share, controls):
    design = grouped(2, 14, 6, 3, share)
    if controls == "one":
        design = design.keeping(design.terms[:1])
    slopes = group_slopes(design, "common", ssc="fixest")
    for contrast in (contrasts_of(3), pair_contrast(3, 2, 0)):
        found = wald_test(slopes, contrast)
        np.testing.assert_allclose((found.statistic, found.df2, found.p), dense(design, contrast), rtol=1e-8)


def test_one_contrast_is_a_t_test_with_satterthwaite_degrees_of_freedom():
    """Of two groups, the difference is a slope of the regression with the exposure and its part in one group."""
    design = grouped(7, 12, 6, 2, 0.8)
    own = design.x[:, 0] * (design.group == 1)
    prepared = prepare_few(
        design.with_regressors(("x0", "own", "x1"), np.column_stack([design.x[:, 0], own, design.x[:, 1]]))
    )
    few = prepared.fit(design.y[None])
    slopes = group_slopes(design, "common")
    found = wald_test(slopes, pair_contrast(2, 1, 0))
    gap, se = difference(slopes, 1, 0)
    assert (gap, se) == (pytest.approx(few.estimate[0, 1], rel=1e-9), pytest.approx(few.cr2_se[0, 1], rel=1e-8))
    assert (found.df2, found.p) == (pytest.approx(few.cr2_df[1], rel=1e-8), pytest.approx(few.cr2_p[0, 1], rel=1e-8))
    assert found.statistic == pytest.approx((gap / se) ** 2)


def test_slopes_of_separate_regressions_have_no_covariance_and_welch_degrees_of_freedom():
    design = grouped(8, 15, 6, 3)
    slopes = group_slopes(design, "by group")
    covariance = slopes.covariance
    assert np.count_nonzero(covariance) == 3
    few = [prepare_few(design, group=group) for group in design.groups]
    se = np.array([one.fit(design.y[None]).cr2_se[0, 0] for one in few])
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), se, rtol=1e-10)
    # the mean of each variance under equal errors is that of least squares
    size = np.array([float(one.regression.solve[0] @ one.regression.solve[0]) for one in few])
    df = np.array([one.cr2_df[0] for one in few])
    found = wald_test(slopes, pair_contrast(3, 0, 1))
    assert found.df2 == pytest.approx(size[:2].sum() ** 2 / (size[:2] ** 2 / df[:2]).sum(), rel=1e-8)


def regrouped(design, sizes, names):
    codes = np.repeat(np.arange(len(sizes)), sizes)
    return replace(design, group=codes[design.unit], groups=tuple(names))


def test_groups_without_a_slope_are_left_out_with_a_reason():
    design = regrouped(grouped(3, 12, 6), (1, 4, 4, 3), ("solo", "a", "flat", "b"))
    x = design.x.copy()
    x[design.group == 2, 0] = 1.0
    design = replace(design, x=x)
    for controls in CONTROLS:
        slopes = group_slopes(design, controls)
        assert slopes.groups == ("a", "b")
        assert set(slopes.left_out) == {"solo", "flat"}
        assert slopes.left_out["solo"] == ONE_UNIT
        assert np.isfinite(wald_test(slopes, contrasts_of(2)).p)
    assert group_slopes(design, "by group").left_out["flat"] == NO_SLOPE


def test_fewer_than_two_groups_are_no_comparison():
    design = regrouped(grouped(3, 12, 6), (1, 11), ("solo", "a"))
    with pytest.raises(InputError, match=r"fewer than two groups have slopes to compare \(solo: it has one unit"):
        group_slopes(design, "by group")


def test_too_few_units_for_the_contrasts_have_no_test():
    design = grouped(3, 16, 6, 8)
    found = wald_test(group_slopes(design, "common"), contrasts_of(8))
    assert np.isnan(found.p)
    assert found.reason == "16 units are too few for 7 contrasts at once"


def test_very_many_units_have_the_f_test_with_crv1(monkeypatch):
    design = grouped(4, 30, 5, 3)
    monkeypatch.setattr("cbec_bayes.classical.group_slopes.MOST_CLUSTERS", 29)
    slopes = group_slopes(design, "common", ssc="fixest")
    assert not slopes.is_bias_reduced
    found = wald_test(slopes, contrasts_of(3))
    assert (found.df, found.df2) == (2, 29)
    bread = prepare_few(interacted(design), ssc="fixest").regression
    se = bread.fit(design.y[None]).se[0, :3]
    np.testing.assert_allclose(np.sqrt(np.diag(slopes.covariance)), se, rtol=1e-9)


def test_an_outcome_without_an_error_has_no_test():
    design = grouped(3, 12, 6)
    exact = replace(design, y=design.x @ np.array([1.0, 2.0]), effects=TwoWay(design.unit, design.time))
    for controls in CONTROLS:
        with pytest.raises(InputError, match="without an error"):
            group_slopes(exact, controls)
