"""Classical meta-analysis equals metafor's on public sets (golden/meta.json)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cbec_bayes.classical.meta.heterogeneity import intercept, restricted_log_likelihood
from cbec_bayes.classical.meta.pooling import ESTIMATORS, SHOWN, meta_regression, pool, uncorrelated
from cbec_bayes.classical.meta.selection import selection_log_likelihood, selection_model
from cbec_bayes.classical.meta.small_studies import egger_random_effects, egger_weighted
from tests.support.meta import SETS, data_of

EXACT = {"rel": 1e-6, "abs": 1e-9}
"""metafor's own roots of the Q-profile and of Paule and Mandel are held to 1e-10."""

OPTIMISED = {"rel": 1e-5, "abs": 1e-7}
"""The error of nlminb, which stops where the likelihood changes by a relative 1e-10."""


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("name", SETS)
def test_a_pooled_estimate_is_that_of_metafor(name, estimator):
    y, v = data_of(name)
    theirs = SETS[name]["fits"][estimator]
    ours = pool(y, v, ESTIMATORS[estimator], 0.95)
    assert ours.estimate == pytest.approx(theirs["estimate"][0], **EXACT)
    assert ours.se == pytest.approx(theirs["se"][0], **EXACT)
    assert ours.p == pytest.approx(theirs["p"][0], **EXACT)
    assert (ours.low, ours.high) == pytest.approx((theirs["low"][0], theirs["high"][0]), **EXACT)
    assert ours.tau2 == pytest.approx(theirs["tau2"], **EXACT)
    found = ours.heterogeneity
    assert (found.q, found.p, found.i2) == pytest.approx((theirs["q"], theirs["q_p"], theirs["i2"]), **EXACT)
    assert found.h == pytest.approx(math.sqrt(max(1.0, theirs["h2"])), **EXACT)
    if estimator == "common_effect":
        assert math.isnan(ours.prediction_low)
        assert math.isnan(ours.tau2_high)
        return
    assert (ours.tau2_low, ours.tau2_high) == pytest.approx((theirs["tau2_low"], theirs["tau2_high"]), **EXACT)
    assert (ours.prediction_low, ours.prediction_high) == pytest.approx((theirs["pi_low"], theirs["pi_high"]), **EXACT)
    if ESTIMATORS[estimator].method == "reml":
        height = restricted_log_likelihood(y, v, intercept(len(y)), ours.tau2)
        assert height == pytest.approx(theirs["ll"], rel=1e-9)


@pytest.mark.parametrize("name", [name for name in SETS if "x" in SETS[name]])
def test_a_meta_regression_is_that_of_metafor(name):
    y, v = data_of(name)
    theirs = SETS[name]["regression"]
    ours = meta_regression(y, v, np.column_stack([np.ones(len(y)), SETS[name]["x"]]), ESTIMATORS[SHOWN], 0.95)
    for own, key in ((ours.coefficients, "estimate"), (ours.se, "se"), (ours.p, "p"), (ours.low, "low")):
        np.testing.assert_allclose(own, theirs[key], rtol=1e-6)
    assert (ours.tau2, ours.tau2_low, ours.tau2_high) == pytest.approx(
        (theirs["tau2"], theirs["tau2_low"], theirs["tau2_high"]), **EXACT
    )
    assert (ours.statistic, ours.statistic_p) == pytest.approx((theirs["qm"], theirs["qm_p"]), **EXACT)
    assert (ours.heterogeneity.q, ours.heterogeneity.p) == pytest.approx((theirs["q"], theirs["q_p"]), **EXACT)
    assert ours.heterogeneity.i2 == pytest.approx(theirs["i2"], **EXACT)
    assert 100 * ours.explained == pytest.approx(theirs["r2"], **EXACT)


@pytest.mark.parametrize("name", SETS)
def test_egger_s_test_is_that_of_metafor(name):
    y, v = data_of(name)
    theirs = SETS[name]["egger"]
    for ours, key in ((egger_weighted(y, v, 0.95), "lm"), (egger_random_effects(y, v, 0.95), "rma")):
        found = ours.statistic, ours.p, ours.df, ours.limit
        assert found == pytest.approx([theirs[key][part] for part in ("statistic", "p", "df", "limit")], **EXACT)


@pytest.mark.parametrize("name", SETS)
def test_correlated_estimates_are_pooled_as_metafor_does(name):
    """rma.mv with a covariance whose correlation halves with each row, and an effect of each row."""
    y, v = data_of(name)
    theirs = SETS[name]["correlated"]
    places = np.arange(len(y))
    covariance = 0.5 ** np.abs(np.subtract.outer(places, places)) * np.sqrt(np.outer(v, v))
    ours = meta_regression(*uncorrelated(y, covariance, intercept(len(y))), ESTIMATORS["reml"], 0.95)
    found = ours.coefficients[0], ours.se[0], ours.tau2
    assert found == pytest.approx([theirs[key] for key in ("estimate", "se", "tau2")], **OPTIMISED)
    assert ours.heterogeneity.q == pytest.approx(theirs["q"], **EXACT)


SELECTED = {name: SETS[name]["selection"] for name in SETS if "selection" in SETS[name]}
LOWER = ("egger2001",)
"""Where metafor's optimiser ends on a maximum that is not the highest."""


@pytest.mark.parametrize("name", SELECTED)
def test_the_likelihood_of_the_selection_model_is_that_of_metafor(name):
    y, v = data_of(name)
    theirs = SELECTED[name]
    at = theirs["estimate"], theirs["tau2"], theirs["delta"]
    own = selection_log_likelihood(y, v, at, above=theirs["side"] == "greater")
    assert own == pytest.approx(theirs["ll"], abs=1e-9)


@pytest.mark.parametrize("name", SELECTED)
def test_the_selection_model_is_that_of_metafor(name):
    y, v = data_of(name)
    theirs = SELECTED[name]
    ours = selection_model(y, v, above=theirs["side"] == "greater", prob=0.95)
    if name in LOWER:
        assert ours.log_likelihood > theirs["ll"] + 1
        return
    assert ours.log_likelihood == pytest.approx(theirs["ll"], abs=1e-8)
    assert (ours.estimate, ours.se) == pytest.approx((theirs["estimate"], theirs["se"]), rel=1e-5)
    assert ours.delta == pytest.approx(theirs["delta"], rel=1e-5)
    assert ours.tau2 == pytest.approx(theirs["tau2"], rel=1e-5, abs=1e-9)
    assert (ours.statistic, ours.statistic_p) == pytest.approx((theirs["lrt"], theirs["lrt_p"]), abs=1e-7)
    assert not ours.at_limit
