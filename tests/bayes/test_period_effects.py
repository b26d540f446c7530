"""Regressions with effects of units alone, or of periods within groups: both engines, against dense algebra."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.likelihood.elimination import make_collapsed, with_unit_terms
from cbec_bayes.bayes.model.blocks import blocks_for, coefficient_names
from cbec_bayes.bayes.model.carried import carried
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.checks.without import without_each_term
from cbec_bayes.classical.few import few_clusters
from cbec_bayes.classical.fits import NO_FACTORS, crv1, crv1_directly
from cbec_bayes.classical.regression import twfe
from cbec_bayes.classical.transformed import clustered, regress
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import PeriodEffects, TwoWay, period_codes
from cbec_bayes.specifications.lattice import lattice
from tests.support.members import MEMBERS, panel
from tests.support.twins import compiled, gap, small_panel

KINDS = (PeriodEffects.NONE, PeriodEffects.BY_GROUP)
SHAPES = ("balanced", "unbalanced")
HALF = Prior("half_normal", {"scale": 1.0})


def absorbing(design: Design, effects: PeriodEffects) -> Design:
    codes = period_codes(design.time, design.group, effects)
    return replace(design, period_effects=effects, effects=TwoWay(design.unit, codes))


def dummies(design: Design) -> np.ndarray:
    """Return an orthonormal basis of the indicators of all effects, written out."""
    parts = [design.unit[:, None] == np.arange(len(design.units))]
    if design.period_effects is PeriodEffects.BY_GROUP:
        cells = [(g, t) for g in range(len(design.groups)) for t in range(len(design.times))]
        parts.append(np.array([(design.group == g) & (design.time == t) for g, t in cells]).T)
    u, s, _ = np.linalg.svd(np.column_stack(parts).astype(float), full_matrices=False)
    return u[:, s > 1e-9]


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("effects", KINDS)
def test_what_effects_leave_is_that_of_indicators_written_out(name, effects):
    design = absorbing(panel(name), effects)
    basis, columns = dummies(design), np.column_stack([design.y, design.x])
    np.testing.assert_allclose(design.effects.within(columns), columns - basis @ (basis.T @ columns), atol=1e-10)
    assert design.effects.rank == basis.shape[1]
    half = design.rows(design.time < 3)
    np.testing.assert_allclose(
        half.effects.within(half.x), half.x - dummies(half) @ (dummies(half).T @ half.x), atol=1e-10
    )
    left = columns - basis @ (basis.T @ columns)
    within = np.sqrt((left**2).sum(axis=0) / (design.n_obs - basis.shape[1]))
    np.testing.assert_allclose(design.spread.within[:3], within, rtol=1e-8)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("effects", KINDS)
def test_regressions_are_those_of_pyfixest(name, effects):
    import pyfixest as pf
    from pyfixest.demeaners import MapDemeaner

    design = absorbing(panel(name), effects)
    table = pd.DataFrame(design.x, columns=list("ab")).assign(y=design.y, u=design.unit, t=design.time, g=design.group)
    after = "u" if effects is PeriodEffects.NONE else "u + g^t"
    exact = MapDemeaner(fixef_tol=1e-13, fixef_maxiter=100_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own = {"data": table, "vcov": {"CRV1": "u"}, "fixef_rm": "none", "demeaner": exact}
        bare = pf.feols(f"y ~ a + b | {after}", **own, ssc=NO_FACTORS)
        told = pf.feols(f"y ~ a + b | {after}", **own)
    for way in (crv1, crv1_directly):
        slopes, ((_, root),), _ = way(design, (0, 1))
        np.testing.assert_allclose(slopes, bare.coef(), rtol=1e-8)
        np.testing.assert_allclose(root @ root.T, bare._vcov, rtol=1e-7, atol=1e-12)
    found = twfe(design, ssc="fixest")
    np.testing.assert_allclose(found.estimate, told.coef(), rtol=1e-8)
    if effects is PeriodEffects.NONE:  # of unconnected effects pyfixest counts too many
        np.testing.assert_allclose(found.se, told.se(), rtol=1e-8)
    assert found.effects == ("unit" if effects is PeriodEffects.NONE else "unit+group^time")


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("effects", KINDS)
def test_few_clusters_are_those_of_indicators_written_out(name, effects):
    design = absorbing(panel(name), effects)
    x = np.column_stack([design.x, dummies(design)])
    slopes, errors = clustered(x, design.y, design.unit)
    few = few_clusters(design, ssc="plm").frame().set_index(["vcov", "term"])
    transformed = regress(design, "levels")
    np.testing.assert_allclose(transformed.estimate, slopes[:2], rtol=1e-8)
    np.testing.assert_allclose(transformed.cr2_se, errors[:2], rtol=1e-8)
    np.testing.assert_allclose([few.loc[("CR2", term), "se"] for term in design.terms], errors[:2], rtol=1e-8)
    left_out = []
    for unit in range(len(design.units)):
        rows = design.unit != unit
        left_out.append(np.linalg.lstsq(x[rows], design.y[rows])[0][:2])
    moves = np.array(left_out) - slopes[:2]
    scale = (len(moves) - 1) / len(moves)
    jackknife = np.sqrt(scale * (moves**2).sum(axis=0))
    np.testing.assert_allclose([few.loc[("CRV3", term), "se"] for term in design.terms], jackknife, rtol=1e-8)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("effects", KINDS)
def test_the_regressions_are_limits_of_the_members(name, effects):
    design = absorbing(panel(name), effects)
    engine = make_collapsed(blocks := blocks_for(design, "complete_pooling"))
    given = engine.conditional(np.zeros((1, len(engine.names))))
    pooled = twfe(design)
    np.testing.assert_allclose(given.mean[0][: len(design.terms)], pooled.estimate, rtol=1e-8)
    assert not [one for one in coefficient_names(blocks) if one.startswith("time_effect")]
    engine = make_collapsed(blocks := blocks_for(design, "no_pooling"))
    mean = dict(
        zip(coefficient_names(blocks), engine.conditional(np.zeros((1, len(engine.names)))).mean[0], strict=True)
    )
    for group in design.groups:
        assert mean[f"group_total_slope[{group}]"] == pytest.approx(twfe(design.of_group(group)).estimate[0], rel=1e-8)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("effects", KINDS)
@pytest.mark.parametrize(
    "model", ["partial_pooling", "group_variance", "random both", "correlated times", "everything pooled"]
)
def test_the_twin_has_the_same_density(name, effects, model):
    blocks = with_unit_terms(blocks_for(absorbing(small_panel(name), effects), MEMBERS[model]))
    own, engine = compiled(blocks), make_collapsed(blocks)
    gaps = [gap(own, engine, own.random(seed)) for seed in (1, 2)]
    assert gaps == pytest.approx([gaps[0]] * 2, abs=1e-8)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("model", ["robust", "ar1", "unit_trends", "nested"])
def test_no_effects_of_periods_are_the_limit_of_random_ones(name, model):
    """Exactly in the limit, evidence included: without them, and with ones of a scale of 1e-7."""
    design = panel(name)
    spec = load_panel_model(model).reduced(group_time_effect="off")
    random = spec.choosing(time_effect="random")
    random = replace(random, priors={**random.priors, "sigma_lambda": HALF})
    own = make_collapsed(blocks := blocks_for(absorbing(design, PeriodEffects.NONE), load_panel_model(model)))
    other = make_collapsed(blocks_for(design, random))
    rng = np.random.default_rng(2)
    scales = dict(zip(own.names, rng.normal(size=len(own.names)) * 0.2 - 0.2, strict=True))
    at = [
        np.array([[{**scales, "sigma_lambda": np.log(1e-7)}[one] for one in engine.names]]) for engine in (own, other)
    ]
    assert own.log_likelihood(at[0])[0] == pytest.approx(other.log_likelihood(at[1])[0], abs=1e-6)
    slopes = own.conditional(at[0]).mean[0][: len(coefficient_names(blocks))]
    np.testing.assert_allclose(slopes[0], other.conditional(at[1]).mean[0][0], rtol=1e-6)


@pytest.mark.parametrize("effects", KINDS)
def test_a_member_with_other_period_effects_is_fitted_without_them_and_a_note_says_so(effects):
    design = absorbing(panel("balanced"), effects)
    told = carried(load_panel_model("partial_pooling_all"), design)
    none = effects is PeriodEffects.NONE
    why = "has no effects of periods" if none else "has them already, without pooling"
    assert f"Effects of groups in periods are left out: the regression that was asked for {why}." in told.left_out
    assert carried(MEMBERS["random both"], design).left_out[0].startswith("Effects of periods are not given")
    found = fit(design, "partial_pooling_all", draws=50)
    assert "sigma_omega" not in found.priors
    assert found.model.choice("group_time_effect") == ("off" if effects is PeriodEffects.NONE else "fixed")
    assert not any("periods" in one.term for one in without_each_term(found.model, found.design))
    assert f"effects {design.effect_names}" in str(design)
    members = lattice(design, reduced=True).specifications
    assert len(members) >= 2
    assert all(one.model.choice("group_time_effect") == "off" for one in members)


def test_groups_that_are_not_there_leave_effects_of_all_rows():
    design = absorbing(panel("balanced"), PeriodEffects.BY_GROUP)
    one = design.of_group(design.groups[0])
    plain = replace(one, period_effects=PeriodEffects.COMMON)
    np.testing.assert_allclose(one.effects.within(one.x), TwoWay(one.unit, one.time).within(one.x), atol=1e-12)
    same = [make_collapsed(blocks_for(d, "partial_pooling")).log_likelihood(np.zeros((1, 1))) for d in (one, plain)]
    np.testing.assert_allclose(*same)
