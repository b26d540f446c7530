"""Slopes of groups regressed on characteristics of groups: both engines, dense algebra, and the classical limit."""

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
from cbec_bayes.bayes.model.blocks import blocks_for, coefficient_names, make_blocks
from cbec_bayes.bayes.model.densities import resolve
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.model.terms.covariate_slope import told_characteristics
from cbec_bayes.bayes.refit import refit
from cbec_bayes.classical.few import few_clusters
from cbec_bayes.classical.regression import twfe
from cbec_bayes.estimands.groups import effects, group_slopes, pooling_factors, refitted_slopes
from cbec_bayes.estimands.loadings import slope_loadings
from cbec_bayes.estimands.slope_regression import interacted_design, interacted_regression, slope_regression
from cbec_bayes.panel.characteristics import Characteristics
from cbec_bayes.panel.design import Design
from cbec_bayes.runtime.files import asset_dir
from tests.support.long_panels import long_panel
from tests.support.members import (
    Dense,
    by_name,
    collapsed,
    conditional,
    dense,
    grouped,
    member,
    point_of,
    some_scales,
    weighted,
)
from tests.support.regressions import random_design
from tests.support.twins import blocks_of, compiled, gap

EXACT = 1e-8
SHAPES = ("balanced", "unbalanced")
NAME = "covariate_slope"
VALUES = {"income": [3.0, 11.0, 4.0, 7.5], "coast": [0.0, 1.0, 1.0, 0.0]}
MEMBERS = {
    "slopes": member(group_slope="pooled"),
    "everything": member(
        group_slope="pooled", group_control_slope="pooled", group_time_effect="pooled", unit_slope="pooled"
    ),
    "random": member(unit_effect="random", time_effect="random", group_slope="pooled", spread="by_group"),
    "correlated": member(unit_effect="correlated", time_effect="correlated", group_slope="pooled"),
    "trends": member(group_slope="pooled", unit_trend="pooled", unit_slope="pooled", spread="by_group"),
}


def with_characteristics(design: Design, *names: str) -> Design:
    values = np.array([VALUES[name] for name in names]).T[: len(design.groups)]
    return replace(design, characteristics=Characteristics(names=names, groups=design.groups, measured=values))


def panel(shape: str, *names: str) -> Design:
    return with_characteristics(
        grouped(random_design(5, 13, 6, share=1.0 if shape == "balanced" else 0.85), 4), *(names or ("income", "coast"))
    )


def standardised(design: Design) -> np.ndarray:
    """The characteristics of each row's group, in standard deviations from the mean of groups, written out."""
    found = []
    for name in design.characteristics.names:
        values = np.array(VALUES[name][: len(design.characteristics.groups)])
        found.append((values - values.mean()) / np.sqrt(((values - values.mean()) ** 2).sum() / (len(values) - 1)))
    return np.array(found).T


def written_out(design: Design, model) -> Dense:
    """The member without characteristics, and a column of the exposure times each of them."""
    base = dense(replace(design, characteristics=None), model)
    sd = 0.5 * design.spread.within[0] / design.spread.within[1]
    columns = design.x[:, :1] * standardised(design)[design.group]
    return replace(
        base,
        z=np.column_stack([base.z, columns]),
        normal=(*base.normal, *(f"{NAME}[{name}]" for name in design.characteristics.names)),
        scales=(*base.scales, *[float(sd)] * columns.shape[1]),
        means=np.r_[base.means, np.zeros(columns.shape[1])],
    )


@pytest.mark.parametrize("has_weights", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", list(MEMBERS))
def test_density_and_coefficients_are_those_of_dense_algebra(name, shape, has_weights):
    design, model = panel(shape), MEMBERS[name]
    design = weighted(design) if has_weights else design
    engine, other = collapsed(design, model), written_out(design, model)
    points = [some_scales(engine, seed) for seed in (1, 2)]
    own = [float(engine.log_likelihood(point[None])[0]) for point in points]
    theirs = [other.log_likelihood(by_name(engine, point)) for point in points]
    np.testing.assert_allclose(own[1] - own[0], theirs[1] - theirs[0], rtol=EXACT)
    mean, covariance = conditional(design, model, points[0])
    expected, spread = other.conditional(by_name(engine, points[0]))
    names = [one for one in mean.index if one.startswith((NAME, "slope", "group_slope"))]
    assert len([one for one in names if one.startswith(NAME)]) == 2
    sd = np.sqrt(np.diag(spread.loc[names, names]))
    np.testing.assert_allclose((mean[names] - expected[names]) / sd, 0, atol=EXACT)
    np.testing.assert_allclose(
        covariance.loc[names, names] / np.outer(sd, sd), spread.loc[names, names] / np.outer(sd, sd), atol=EXACT
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["slopes", "random", "everything"])
def test_the_two_engines_are_one_density(name, shape):
    design = panel(shape)
    blocks = blocks_of(MEMBERS[name], design)
    twin, engine = compiled(blocks), make_collapsed(blocks)
    for seed in (1, 2):
        values = twin.random(seed)
        assert abs(gap(twin, engine, values)) < EXACT * max(1.0, abs(float(sum(twin(values).values()))))


@pytest.mark.parametrize("shape", SHAPES)
def test_without_a_scale_of_the_prior_it_is_the_fit_without(shape):
    design = panel(shape)
    narrow = member({NAME: Prior("normal", {"mean": 0.0, "sd": 1e-9})}, group_slope="pooled")
    engine, without = collapsed(design, narrow), collapsed(replace(design, characteristics=None), narrow)
    assert engine.names == without.names
    point = some_scales(engine, 3)[None]
    np.testing.assert_allclose(engine.log_likelihood(point), without.log_likelihood(point), rtol=EXACT)
    mean, _ = conditional(design, narrow, point[0])
    other, _ = conditional(replace(design, characteristics=None), narrow, point[0])
    np.testing.assert_allclose(mean[other.index], other, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_where_groups_differ_in_nothing_else_it_is_the_interacted_regression(shape):
    design = panel(shape)
    wide = member({NAME: Prior("normal", {"mean": 0.0, "sd": 1e7})}, group_slope="pooled")
    engine = collapsed(design, wide)
    point = point_of(engine, {"sigma": 0.5, "tau": 1e-7})
    mean, _ = conditional(design, wide, point[0])
    expected = twfe(interacted_design(design)).estimate
    delta = mean[[f"{NAME}[{name}]" for name in design.characteristics.names]] / design.characteristics.spread
    np.testing.assert_allclose([mean["slope"], *delta], expected[:3], rtol=1e-7)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_regression_beside_it_is_that_of_pyfixest(shape):
    design = panel(shape)
    found, own = interacted_regression(design), few_clusters(interacted_design(design), bootstrapped=())
    np.testing.assert_allclose(found["estimate"], own.regression.estimate, rtol=EXACT)
    np.testing.assert_allclose(found["se"], own.regression.se, rtol=EXACT)
    np.testing.assert_allclose(found["cr2_se"], own.cr2_se, rtol=EXACT)
    about = np.array(VALUES["income"]) - np.mean(VALUES["income"])
    columns = interacted_design(design)
    np.testing.assert_allclose(columns.x[:, 1], design.x[:, 0] * about[design.group], rtol=1e-12)
    assert columns.terms[:3] == (design.terms[0], f"{design.terms[0]}:income", f"{design.terms[0]}:coast")


def test_slopes_of_groups_are_the_common_one_with_what_characteristics_add():
    design = panel("unbalanced")
    blocks = blocks_for(design, MEMBERS["slopes"])
    found = refit(blocks, draws=200, seed=1)
    expected = found.draws["slope"][:, None] + found.draws["group_slope"] + found.draws[NAME] @ standardised(design).T
    slopes = refitted_slopes(found)
    np.testing.assert_allclose(slopes.groups, expected, rtol=1e-12)
    np.testing.assert_array_equal(slopes.common, found.draws["slope"])
    loadings = slope_loadings(blocks, found.collapsed)
    names = coefficient_names(blocks)
    for r, group in enumerate(design.groups):
        own = dict(zip(names, loadings[r], strict=False))
        assert own["slope"] == own[f"group_slope[{group}]"] == 1
        np.testing.assert_allclose([own[f"{NAME}[{n}]"] for n in ("income", "coast")], standardised(design)[r])
    assert not np.any(loadings[-2][[names.index(f"{NAME}[{n}]") for n in ("income", "coast")]])


def test_pooling_factors_are_of_deviations_given_beta_and_delta():
    design = panel("unbalanced")
    fixed = {"sigma": Prior("fixed", {"value": 0.6}), "tau": Prior("fixed", {"value": 0.3})}
    model = member(fixed, group_slope="pooled")
    found = fit(design, model, draws=100, seed=1)
    _, covariance = written_out(design, model).conditional(found.collapsed.fixed)
    own = [f"group_slope[{group}]" for group in design.groups]
    given = ["slope", *(f"{NAME}[{name}]" for name in design.characteristics.names)]
    across = covariance.loc[own, given].to_numpy()
    left = covariance.loc[own, own].to_numpy() - across @ np.linalg.solve(covariance.loc[given, given], across.T)
    np.testing.assert_allclose(pooling_factors(found), np.diag(left) / found.collapsed.fixed["tau"] ** 2, rtol=1e-7)


@pytest.mark.parametrize("gaps", [False, True])
def test_of_many_units_tables_have_the_exact_density(gaps, monkeypatch):
    monkeypatch.setattr(blocks_module, "MANY_UNITS", 50)
    monkeypatch.setattr(many_units, "PART", 120)
    monkeypatch.setattr(many_units, "SAMPLED", 150)
    design = with_characteristics(long_panel(240, 8, gaps=gaps), "income")
    blocks = blocks_for(design, "robust")
    assert NAME in blocks.positions
    found, exact = collapsed_of(blocks), make_collapsed(blocks)
    assert isinstance(found.errors, TabulatedErrors)
    start = found.start()[None]
    np.testing.assert_allclose(found.log_posterior(start), exact.log_posterior(start), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["partial_pooling", "nested"])
def test_many_rows_are_fitted_from_their_moments(name, monkeypatch):
    design, model = panel("unbalanced"), load_panel_model(name)
    laid_out = make_collapsed(blocks_for(design, model))
    monkeypatch.setattr(blocks_module, "LAID_OUT_MAX", 0)
    blocks = blocks_for(design, model)
    assert blocks.moments is not None
    point = some_scales(laid_out, 1)[None]
    np.testing.assert_allclose(make_collapsed(blocks).log_likelihood(point), laid_out.log_likelihood(point), rtol=EXACT)


def test_parts_of_a_panel_have_what_their_groups_tell():
    design = panel("balanced")
    three = design.rows(design.group != 1)
    np.testing.assert_allclose(three.characteristics.standardised(three.groups), standardised(design)[[0, 2, 3]])
    assert told_characteristics(three) == ("income", "coast")
    assert told_characteristics(design.rows(np.isin(design.group, [1, 2]))) == ("income",)
    assert told_characteristics(design.of_group(design.groups[0])) == ()
    same = design.rows(np.isin(design.group, [0, 3]))
    assert (
        told_characteristics(replace(same, characteristics=with_characteristics(design, "coast").characteristics)) == ()
    )
    assert NAME not in make_blocks(design, load_panel_model("no_pooling")).positions


def test_a_prior_in_a_model_file_is_taken(tmp_path):
    text = (asset_dir("models") / "partial_pooling.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(text + '\n[priors.covariate_slope]\ndist = "normal"\nmean = 0.0\nsd = 2.0\n')
    design = panel("balanced", "income")
    sd = design.spread.within[0] / design.spread.within[1]
    assert resolve(blocks_for(design, load_panel_model(path)).model, design)[NAME].params["sd"] == pytest.approx(2 * sd)
    shipped = blocks_for(design, "partial_pooling").model
    assert resolve(shipped, design)[NAME].params["sd"] == pytest.approx(0.5 * sd)
    assert NAME not in blocks_for(replace(design, characteristics=None), "partial_pooling").model.priors


def test_what_generated_the_slopes_is_found():
    """Slopes that follow a characteristic but for a little: the posterior covers it, and tau falls."""
    design = panel("balanced", "income")
    rng = np.random.default_rng(2)
    slopes = 1.0 + 0.2 * (np.array(VALUES["income"]) - np.mean(VALUES["income"]))
    y = slopes[design.group] * design.x[:, 0] + 0.3 * rng.normal(size=design.n_obs)
    found = fit(replace(design, y=y), "partial_pooling", draws=500, seed=1)
    told = slope_regression(found)
    row = told.table.iloc[0]
    assert row["ci_low"] < 0.2 < row["ci_high"]
    assert row["p_positive"] > 0.95
    assert row["tau_with"] < 0.7 * row["tau_without"]
    assert row["explained"] == pytest.approx(1 - (row["tau_with"] / row["tau_without"]) ** 2)
    assert row["evidence_gain"] > 0
    drawn = found.posterior[NAME].to_numpy().ravel() / design.characteristics.spread[0]
    assert abs(row["mean"] - drawn.mean()) < 5 * drawn.std() / np.sqrt(len(drawn))
    assert "rises with income" in told.said[0]
    assert "without" in told.said[1]
    table = effects(found).set_index("group")
    z = (np.array(VALUES["income"]) - np.mean(VALUES["income"])) / np.std(VALUES["income"], ddof=1)
    np.testing.assert_allclose(table.loc["(all)", "mean"], group_slopes(found).common.mean(), atol=0.05)
    assert abs(np.corrcoef(table.loc[list(design.groups), "mean"], z)[0, 1]) > 0.99
