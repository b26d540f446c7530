"""Several exposures with pooled slopes: each is what the first is, in both engines and in every table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cbec_bayes.bayes import many_units
from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.likelihood.tabulated_errors import TabulatedErrors
from cbec_bayes.bayes.many_units import collapsed_of
from cbec_bayes.bayes.model import blocks as blocks_module
from cbec_bayes.bayes.model.blocks import blocks_for, make_blocks
from cbec_bayes.bayes.model.carried import carried
from cbec_bayes.bayes.model.densities import resolve
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.classical.regression import twfe
from cbec_bayes.estimands.exposures import COLUMNS, effects_of_exposures
from cbec_bayes.estimands.groups import effects
from cbec_bayes.panel.design import Design
from tests.support.long_panels import long_panel
from tests.support.members import by_name, collapsed, conditional, dense, grouped, member, point_of
from tests.support.regressions import random_design
from tests.support.twins import blocks_of, compiled, gap

EXACT = 1e-8
SHAPES = ("balanced", "unbalanced")
OTHERS = {
    "alone": {},
    "units": {"unit_slope": "pooled", "group_time_effect": "pooled"},
    "random": {"unit_effect": "random", "time_effect": "random", "spread": "by_group"},
    "correlated": {"unit_effect": "correlated", "time_effect": "correlated"},
    "trends": {"unit_trend": "pooled", "spread": "by_group"},
}


def panel(shape: str, n_exposures: int = 2) -> Design:
    """Return four groups and three regressors, of which some are exposures."""
    design = random_design(5, 13, 6, share=1.0 if shape == "balanced" else 0.85)
    more = np.random.default_rng(7).normal(size=(design.n_obs, 1)) + 0.3 * design.x[:, :1]
    whole = design.with_regressors((*design.terms, "more"), np.column_stack([design.x, more]))
    return replace(grouped(whole, 4), n_exposures=n_exposures)


def scales_of(engine, seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    return {name: float(np.exp(0.7 * rng.normal() - 1)) for name in engine.names}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", list(OTHERS))
def test_a_further_exposure_is_a_control_whose_slopes_are_pooled(name, shape):
    """All regressors as exposures, against dense algebra of the member that pools the slopes of controls as well."""
    design = panel(shape, 3)
    model = member(group_slope="pooled", **OTHERS[name])
    engine = collapsed(design, model)
    pooled = member(group_slope="pooled", group_control_slope="pooled", **OTHERS[name])
    other = dense(replace(design, n_exposures=1), pooled)
    renamed = {f"tau_beside[{one}]": f"phi[{one}]" for one in design.exposures[1:]}
    own, theirs = [], []
    for seed in (1, 2):
        point = point_of(engine, scales_of(engine, seed))
        own.append(float(engine.log_likelihood(point)[0]))
        scales = {renamed.get(one, one): value for one, value in by_name(engine, point[0]).items()}
        theirs.append(other.log_likelihood(scales))
    np.testing.assert_allclose(own[1] - own[0], theirs[1] - theirs[0], rtol=EXACT)
    mean, covariance = conditional(design, model, point[0])
    expected, spread = other.conditional(scales)
    for one in design.exposures[1:]:
        names = {f"exposure_slope[{one}]": f"control_slope[{one}]"}
        names |= {
            f"group_exposure_slope[{one}][{group}]": f"group_control_slope[{one}][{group}]" for group in design.groups
        }
        for here, there in names.items():
            sd = np.sqrt(spread.loc[there, there])
            assert abs(mean[here] - expected[there]) < EXACT * sd
            assert abs(covariance.loc[here, here] / sd**2 - 1) < EXACT


@pytest.mark.parametrize("shape", SHAPES)
def test_which_exposure_is_named_first_changes_nothing(shape):
    design = panel(shape)
    first, second, control = design.terms
    turned = design.keeping((second, first, control))
    assert turned.exposures == (second, first)
    model = load_panel_model("partial_pooling")
    one, two = collapsed(design, model), collapsed(turned, model)
    assert one.names == ("sigma", "tau", f"tau_beside[{second}]")
    point = np.array([[-0.5, -1.0, 0.3]])
    np.testing.assert_allclose(one.log_likelihood(point), two.log_likelihood(point[:, [0, 2, 1]]), rtol=EXACT)
    priors, others = (
        resolve(make_blocks(design, model).model, design),
        resolve(make_blocks(turned, model).model, turned),
    )
    assert priors["tau"].params["scale"] == pytest.approx(others[f"tau_beside[{first}]"].params["scale"])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("slopes", ["off", "fixed", "pooled"])
def test_the_two_engines_are_one_density(slopes, shape):
    design = panel(shape)
    for more in ({}, {"group_control_slope": "fixed"}):
        blocks = blocks_of(member(group_slope=slopes, **more), design)
        twin, engine = compiled(blocks), make_collapsed(blocks)
        values = twin.random(1)
        assert abs(gap(twin, engine, values)) < EXACT * max(1.0, abs(float(sum(twin(values).values()))))


@pytest.mark.parametrize("shape", SHAPES)
def test_without_pooling_slopes_are_those_of_a_regression_of_each_group(shape):
    design = panel(shape)
    found = fit(design, "no_pooling", draws=100, seed=1)
    table = effects_of_exposures(found, effects(found)).set_index(["exposure", "group"])
    for group in design.groups:
        own = twfe(design.of_group(group))
        for k, name in enumerate(design.exposures):
            row = table.loc[(name, group)]
            np.testing.assert_allclose([row["mean"], row["no_pooling"]], own.estimate[k], rtol=EXACT)
            assert row["no_pooling_se"] == pytest.approx(own.se[k])
            assert row["complete_pooling"] == pytest.approx(twfe(design).estimate[k])


@pytest.mark.parametrize("shape", SHAPES)
def test_tables_of_exposures_do_not_depend_on_their_order(shape):
    """The rows of the second exposure are those that it has in effects.csv when it is the first."""
    design = panel(shape)
    held = {"sigma": Prior("fixed", {"value": 0.5}), "tau": Prior("fixed", {"value": 0.3})}
    model = member(held, group_slope="pooled")
    turned = design.keeping((design.terms[1], design.terms[0], design.terms[2]))
    found, other = (fit(one, model, draws=200, seed=1) for one in (design, turned))
    table, first = effects_of_exposures(found, effects(found)), effects(other)
    own = table[table["exposure"] == design.terms[1]].reset_index(drop=True)
    exact = ["no_pooling", "no_pooling_se", "complete_pooling", "mean", "sd", "ci_low", "ci_high", "p_positive"]
    np.testing.assert_allclose(own[exact], first[exact], rtol=1e-7)
    rows = len(design.groups) + 1
    np.testing.assert_allclose(own["pooling_factor"][1:rows], first["pooling_factor"][1:rows], rtol=1e-7)
    assert table.columns.tolist() == list(COLUMNS)
    assert table["group"].tolist() == first["group"].tolist() * 2


def test_draws_say_the_same_as_what_is_known_given_the_scales():
    design = panel("unbalanced")
    found = fit(design, "partial_pooling", draws=1_000, seed=1)
    assert found.tree["posterior"]["tau_beside"].dims == ("chain", "draw", "exposure_beside")
    assert found.tree["posterior"]["group_exposure_slope"].dims == ("chain", "draw", "exposure_beside", "group")
    exact = effects_of_exposures(found, effects(found))
    drawn = effects_of_exposures(replace(found, collapsed=None), effects(found))
    own = exact["exposure"] == design.terms[1]
    error = np.hypot(exact["mcse"], drawn["mcse"])[own]
    assert (np.abs(exact["mean"] - drawn["mean"])[own] < 5 * error).all()


@pytest.mark.parametrize("gaps", [False, True])
def test_of_many_units_tables_have_the_exact_density(gaps, monkeypatch):
    monkeypatch.setattr(blocks_module, "MANY_UNITS", 50)
    monkeypatch.setattr(many_units, "PART", 120)
    monkeypatch.setattr(many_units, "SAMPLED", 150)
    blocks = blocks_for(replace(long_panel(240, 8, gaps=gaps), n_exposures=2), "robust")
    assert "exposure_slope" in blocks.positions
    found, exact = collapsed_of(blocks), make_collapsed(blocks)
    assert isinstance(found.errors, TabulatedErrors)
    start = found.start()[None]
    np.testing.assert_allclose(found.log_posterior(start), exact.log_posterior(start), rtol=0, atol=1e-6)


def test_one_exposure_has_no_table_of_its_own():
    found = fit(panel("balanced", 1), "partial_pooling", draws=100, seed=1)
    assert effects_of_exposures(found, effects(found)) is None
    assert panel("balanced").with_regressors(("v",), panel("balanced").x[:, :1]).n_exposures == 1


def test_an_exposure_that_varies_in_one_group_alone_has_a_sentence():
    design = panel("balanced")
    still = design.x.copy()
    still[design.group != 0, 1] = 1.0
    told = carried(load_panel_model("partial_pooling"), replace(design, x=still))
    assert told.model.choice("group_slope") == "pooled"
    assert [said for said in told.left_out if f"the slope of {design.terms[1]} is known only from the prior" in said]
    assert not carried(load_panel_model("partial_pooling"), design).left_out
