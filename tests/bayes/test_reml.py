"""At restricted maximum likelihood the engine is lme4 and statsmodels' MixedLM (MODEL.md, L5)."""

from __future__ import annotations

import functools
import json
import math
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import optimize
from threadpoolctl import threadpool_limits

from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.model.blocks import Block, Blocks, make_blocks
from cbec_bayes.bayes.model.prior import Prior
from tests.support.members import Dense, assert_covariance, by_name, dense, member, panel, point_of
from tests.support.regressions import FOLDER, load

LME4 = json.loads((FOLDER / "lme4.json").read_text(encoding="utf-8"))
UNIFORM = Prior("uniform", {"upper": 1e6})
INTERCEPTS = member({"sigma": UNIFORM, "sigma_mu": UNIFORM}, unit_effect="random")
PANELS = ("grunfeld", "grunfeld_unbalanced", "produc", "produc_unbalanced")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Matrices are small: threads of BLAS would only wait for each other."""
    with threadpool_limits(1):
        yield


def maximum(engine):
    """Log scales of highest restricted likelihood: under uniform priors its gradient is the engine's less one."""

    def descent(point):
        value, slope = engine.gradient(np.clip(point, -60, 60))
        return point.sum() - value, 1 - slope

    begin = np.log([engine.priors[name].params["upper"] for name in engine.names]) - math.log(2e6)
    near = optimize.minimize(descent, begin, jac=True, method="BFGS", options={"gtol": 1e-4})
    found = optimize.root(lambda point: descent(point)[1], near.x, tol=1e-12)
    assert np.abs(found.fun).max() < 1e-7
    return found.x


@functools.cache
def ours(name):
    """Scales at the maximum, the criterion there, coefficients and their covariance, and predicted unit effects."""
    design = panel(name)
    blocks = make_blocks(design, INTERCEPTS)
    engine = make_collapsed(blocks)
    point = maximum(engine)
    scales = by_name(engine, point)
    given = engine.conditional(point[None])
    left = pd.Series(design.y - blocks.x @ given.mean[0]).groupby(design.unit).agg(["mean", "size"])
    ratio = scales["sigma_mu"] ** 2 / scales["sigma"] ** 2
    effects = (left["mean"] * left["size"] * ratio / (1 + left["size"] * ratio)).to_numpy()
    return scales, engine.log_likelihood(point[None])[0], given.mean[0], given.root[0] @ given.root[0].T, effects


@functools.cache
def theirs(name):
    """statsmodels' fit with the very columns of the engine, so that the criteria have the same constant."""
    design = panel(name)
    model = sm.MixedLM(design.y, make_blocks(design, INTERCEPTS).x, groups=design.unit)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of gradients that its own scaling leaves at 1e-5
        return model.fit(reml=True, method=["bfgs", "nm", "bfgs"], gtol=1e-9, xtol=1e-12, ftol=1e-14)


@pytest.mark.parametrize("name", PANELS)
def test_random_intercepts_are_those_of_mixedlm(name):
    fit = theirs(name)
    scales, criterion, mean, covariance, effects = ours(name)
    assert criterion == pytest.approx(fit.llf, abs=1e-7)
    assert criterion >= fit.llf - 1e-9 * abs(criterion)
    assert scales["sigma"] ** 2 == pytest.approx(fit.scale, rel=1e-6)
    assert scales["sigma_mu"] ** 2 == pytest.approx(float(np.asarray(fit.cov_re).item()), rel=1e-6)
    sds = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(mean / sds, np.asarray(fit.fe_params) / sds, atol=1e-6)
    # MixedLM's standard errors are of the information that variances share in; those of GLS are given the variances.
    design = panel(name)
    same = design.unit[:, None] == design.unit
    v = scales["sigma"] ** 2 * np.eye(design.n_obs) + scales["sigma_mu"] ** 2 * same
    gls = sm.GLS(design.y, fit.model.exog, sigma=v).fit()
    np.testing.assert_allclose(mean / sds, gls.params / sds, atol=1e-8)
    assert_covariance(covariance, gls.normalized_cov_params, 1e-8)
    predicted = np.array([float(fit.random_effects[i].iloc[0]) for i in range(len(effects))])
    np.testing.assert_allclose(effects, predicted, atol=1e-6 * scales["sigma_mu"])


def test_a_variance_that_is_estimated_at_zero():
    """Unit means that differ less than chance: the criterion rises all the way to a variance of zero, and stays finite.

    MixedLM is not asked here: on the boundary its Hessian is singular on some machines.
    """
    design = panel("grunfeld")
    noise = np.random.default_rng(11).normal(size=design.n_obs)
    means = np.bincount(design.unit, noise) / np.bincount(design.unit)
    design = replace(design, y=noise - 0.9 * means[design.unit])
    blocks = make_blocks(design, INTERCEPTS)
    engine, x = make_collapsed(blocks), blocks.x
    left = design.y - x @ np.linalg.lstsq(x, design.y)[0]
    sigma = math.sqrt(left @ left / (len(left) - x.shape[1]))

    def at(mu):
        point = point_of(engine, {"sigma": sigma, "sigma_mu": mu})
        return engine.log_likelihood(point)[0], engine.gradient(point[0])[1]

    criterion, slope = at(1e-9)
    # The gradient has one more than the likelihood's: that of the logarithm of each scale.
    np.testing.assert_allclose(slope - 1, 0, atol=1e-8)
    without = dense(design, INTERCEPTS).log_likelihood({"sigma": sigma, "sigma_mu": 0.0})
    assert criterion == pytest.approx(without, rel=1e-11)
    assert at(1e-2)[0] < criterion
    assert at(1e-1)[0] < at(1e-2)[0]


def lme4_blocks():
    """Produc with (1 | region/state): regions are pooled coefficients, states within them the unit effects."""
    design = load("produc")
    model = member({"sigma": UNIFORM, "sigma_mu": UNIFORM, "tau": UNIFORM}, unit_effect="random", group_slope="pooled")
    exposure, controls, intercept = design.x[:, :1], design.x[:, 1:], np.ones((design.n_obs, 1))
    regions = (design.group[:, None] == np.arange(9)).astype(float)
    return Blocks(
        design=design,
        model=model,
        flat=(
            Block(name="slope", dims=(), labels=(), regressors=exposure, scale=None, kept=(0,)),
            Block(
                name="control_slope",
                dims=("coef",),
                labels=(design.terms[1:],),
                regressors=controls,
                scale=None,
                kept=(0, 1, 2),
            ),
            Block(name="intercept", dims=(), labels=(), regressors=intercept, scale=None, kept=(0,)),
        ),
        pooled=(
            Block(
                name="region",
                dims=("group",),
                labels=(design.groups,),
                regressors=regions,
                scale="tau",
                kept=tuple(range(9)),
            ),
        ),
    )


def test_nested_intercepts_are_those_of_lme4():
    blocks = lme4_blocks()
    design, engine = blocks.design, make_collapsed(blocks)
    point = maximum(engine)
    scales = by_name(engine, point)
    assert -2 * engine.log_likelihood(point[None])[0] == pytest.approx(LME4["reml_criterion"], rel=1e-10)
    sd = LME4["sd"]
    assert scales["sigma"] == pytest.approx(sd["residual"], rel=1e-6)
    assert scales["sigma_mu"] == pytest.approx(sd["state_in_region"], rel=1e-6)
    assert scales["tau"] == pytest.approx(sd["region"], rel=1e-6)
    # Everything else at lme4's own standard deviations.
    there = {"sigma": sd["residual"], "sigma_mu": sd["state_in_region"], "tau": sd["region"]}
    point = np.log([[there[name] for name in engine.names]])
    assert -2 * engine.log_likelihood(point)[0] == pytest.approx(LME4["reml_criterion"], rel=1e-12)
    given = engine.conditional(point)
    mean, covariance = given.mean[0], given.root[0] @ given.root[0].T
    order = [LME4["terms"].index(term) for term in (*design.terms, "(Intercept)")]
    np.testing.assert_allclose(mean[:5], [LME4["fixed"][LME4["terms"][k]] for k in order], rtol=1e-8)
    assert_covariance(covariance[:5, :5], np.array(LME4["vcov"])[np.ix_(order, order)], 1e-8)
    regions = LME4["blup_region"]["value"]
    np.testing.assert_allclose(mean[5:], [regions[group] for group in design.groups], rtol=1e-7)
    left = pd.Series(design.y - blocks.x @ mean).groupby(design.unit).mean().to_numpy()
    ratio = len(design.times) * (sd["state_in_region"] / sd["residual"]) ** 2
    group_of = dict(zip(design.unit, design.group, strict=True))
    states = [LME4["blup_state"]["value"][f"{u}:{design.groups[group_of[i]]}"] for i, u in enumerate(design.units)]
    np.testing.assert_allclose(left * ratio / (1 + ratio), states, rtol=1e-6)


def test_the_dense_formula_of_these_tests_is_lme4s_too():
    """The oracle of every other test, held against a program that is not ours."""
    design = load("produc")
    sd = LME4["sd"]
    region = (design.group[:, None] == np.arange(9)).astype(float)
    state = (design.unit[:, None] == np.arange(48)).astype(float)
    columns = (design.y, np.column_stack([design.x, np.ones(design.n_obs)]), np.column_stack([region, state]))
    scales = (sd["region"],) * 9 + (sd["state_in_region"],) * 48
    names = tuple(f"region {g}" for g in design.groups) + design.units
    written = Dense(
        *columns,
        (*design.terms, "(Intercept)"),
        names,
        scales,
        np.zeros(57),
        ("sigma",) * design.n_obs,
        np.ones(design.n_obs),
        {},
    )
    at = {"sigma": sd["residual"]}
    assert -2 * written.log_likelihood(at) == pytest.approx(LME4["reml_criterion"], rel=1e-11)
    mean, covariance = written.conditional(at)
    np.testing.assert_allclose(mean[LME4["terms"]], list(LME4["fixed"].values()), rtol=1e-8)
    assert_covariance(covariance.loc[LME4["terms"], LME4["terms"]], np.array(LME4["vcov"]), 1e-8)
    predicted = [LME4["blup_region"]["value"][group] for group in design.groups]
    np.testing.assert_allclose(mean[list(names[:9])], predicted, rtol=1e-7)


def test_unit_effects_are_the_best_linear_unbiased_predictions():
    scales, _, _, _, effects = ours("grunfeld_unbalanced")
    expected, _ = dense(panel("grunfeld_unbalanced"), INTERCEPTS).conditional(scales)
    own = [name for name in expected.index if name.startswith("unit_effect")]
    np.testing.assert_allclose(effects, expected[own], rtol=1e-9)
