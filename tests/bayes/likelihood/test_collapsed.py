"""The collapsed density, its gradient and its conditional effects against dense formulas (MODEL.md section 4)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from cbec_bayes.bayes.likelihood import normal_equations as equations_module
from cbec_bayes.bayes.likelihood.by_group import ByGroup
from cbec_bayes.bayes.likelihood.collapsed import Collapsed
from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.likelihood.independent import IndependentErrors
from cbec_bayes.bayes.likelihood.normal_equations import Coefficients, NormalEquations
from cbec_bayes.bayes.likelihood.parameter import Parameter
from cbec_bayes.bayes.model.blocks import coefficient_names, make_blocks
from cbec_bayes.bayes.model.densities import log_density
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.moments.by_unit import Moments, Stratum
from cbec_bayes.classical.regression import twfe
from cbec_bayes.panel.within import TwoWay
from cbec_bayes.runtime.errors import InputError
from tests.support.likelihoods import in_full, normal_equations
from tests.support.members import (
    MEMBERS,
    POOLED,
    SMALL,
    assert_covariance,
    by_name,
    collapsed,
    conditional,
    dense,
    grouped,
    member,
    panel,
    rearranged,
    some_scales,
)
from tests.support.regressions import random_design

CASES = [(name, model) for name in (*SMALL, "grunfeld_unbalanced", "paper", "public") for model in MEMBERS]
CASES += [("produc_unbalanced", model) for model in ("partial_pooling", "everything correlated")]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Matrices are small: threads of BLAS would only wait for each other."""
    with threadpool_limits(1):
        yield


@pytest.mark.parametrize(("name", "model"), CASES)
def test_the_density_is_the_multivariate_normal_one_with_flat_coefficients_integrated_out(name, model):
    design = panel(name)
    engine, written = collapsed(design, MEMBERS[model]), dense(design, MEMBERS[model])
    for seed in (1, 2):
        point = some_scales(engine, seed)
        expected = written.log_likelihood(by_name(engine, point))
        assert engine.log_likelihood(point[None])[0] == pytest.approx(expected, rel=1e-9, abs=1e-9)
        assert in_full(engine).log_likelihood(point[None])[0] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("name", "model"), CASES)
def test_effects_given_scales_are_gls_and_blup(name, model):
    """Every coefficient is there by name, in its own units, with the covariance of all of them."""
    design = panel(name)
    engine, written = collapsed(design, MEMBERS[model]), dense(design, MEMBERS[model])
    point = some_scales(engine, 4)
    mean, covariance = conditional(design, MEMBERS[model], point)
    expected, spread = written.conditional(by_name(engine, point))
    gone = ("unit_effect", "unit_slope", "unit_trend")
    assert set(mean.index) == {label for label in expected.index if not label.startswith(gone)}
    spread = spread.loc[mean.index, mean.index].to_numpy()
    np.testing.assert_allclose(
        mean / np.sqrt(np.diag(spread)), expected[mean.index] / np.sqrt(np.diag(spread)), atol=1e-8
    )
    assert_covariance(covariance, spread, 1e-8)


def test_the_members_together_have_every_choice_that_can_be_collapsed():
    for term, choices in {
        "unit_effect": {"fixed", "random", "correlated"},
        "time_effect": {"fixed", "random", "correlated"},
        "group_slope": {"off", "fixed", "pooled"},
        "group_control_slope": {"off", "fixed", "pooled"},
        "group_time_effect": {"off", "fixed", "pooled"},
        "unit_slope": {"off", "pooled"},
        "unit_trend": {"off", "fixed", "pooled"},
        "spread": {"common", "by_group"},
    }.items():
        assert {model.choice(term) for model in MEMBERS.values()} == choices
    engines = {name: collapsed(panel("balanced"), model) for name, model in MEMBERS.items()}
    apart = {name for name, engine in engines.items() if isinstance(engine.likelihood, ByGroup)}
    absorbed = {name for name, engine in engines.items() if normal_equations(engine) is not engine.likelihood}
    simple = {"unit_effect": "fixed", "correlation": "off", "spread": "common"}
    assert absorbed - apart == {
        name
        for name, model in MEMBERS.items()
        if all(model.choice(key) == choice for key, choice in simple.items())
        and not model.eliminated
        and name not in apart
    }
    assert "partial_pooling_all" in apart


@pytest.mark.parametrize("model", MEMBERS)
@pytest.mark.parametrize("name", SMALL)
def test_the_gradient_is_the_slope_of_the_density(name, model):
    engine = collapsed(panel(name), MEMBERS[model])
    whole = in_full(engine)
    point, h = some_scales(engine, 6), 1e-4
    steps = h * np.eye(len(point))

    def posterior(shift):
        return engine.log_posterior(point + shift)

    # Fourth-order central differences.
    expected = (8 * (posterior(steps) - posterior(-steps)) - posterior(2 * steps) + posterior(-2 * steps)) / (12 * h)
    value, found = engine.gradient(point)
    assert value == pytest.approx(engine.log_posterior(point[None])[0], rel=1e-12)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-7)
    again, other = whole.gradient(point)
    assert again == pytest.approx(value, rel=1e-11)
    np.testing.assert_allclose(other, found, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("model", ["partial_pooling_all", "everything random"])
def test_the_gradient_is_that_of_automatic_differentiation_of_the_dense_formula(model):
    design = panel("unbalanced")
    engine, written = collapsed(design, MEMBERS[model]), dense(design, MEMBERS[model])
    theta = pt.vector("theta")
    variance = dict(zip(engine.names, [pt.exp(2 * theta[k]) for k in range(len(engine.names))], strict=True))
    residual = [(np.array(written.sigmas) == name).astype(float) for name in dict.fromkeys(written.sigmas)]
    v = sum(pt.diag(rows * variance[n]) for rows, n in zip(residual, dict.fromkeys(written.sigmas), strict=True))
    for name in dict.fromkeys(written.scales):
        own = written.z[:, [scale == name for scale in written.scales]]
        v = v + variance[name] * (own @ own.T)
    weighted = pt.linalg.solve(v, np.column_stack([written.y, written.x]))
    information = written.x.T @ weighted[:, 1:]
    pull = written.x.T @ weighted[:, 0]
    quadratic = written.y @ weighted[:, 0] - pull @ pt.linalg.solve(information, pull)
    determinants = pt.linalg.slogdet(v)[1] + pt.linalg.slogdet(information)[1]
    n, k = written.x.shape
    density = -((n - k) * math.log(2 * math.pi) + determinants + quadratic) / 2
    evaluate = pytensor.function([theta], [density, pt.grad(density, theta)], mode="FAST_COMPILE")
    for seed in (8, 9):
        point = some_scales(engine, seed)
        value, slope = evaluate(point)
        prior = [log_density(engine.priors[m], np.exp(point[i]))[1] for i, m in enumerate(engine.names)]
        assert engine.log_likelihood(point[None])[0] == pytest.approx(float(value), rel=1e-10)
        np.testing.assert_allclose(engine.gradient(point)[1] - prior - 1, slope, rtol=1e-8, atol=1e-9)


def test_many_points_at_once_are_each_alone(monkeypatch):
    for model in ("partial_pooling", "everything random"):
        engine = collapsed(panel("unbalanced"), MEMBERS[model])
        points = np.array([some_scales(engine, seed) for seed in range(7)])
        one_by_one = [engine.log_likelihood(point[None])[0] for point in points]
        np.testing.assert_allclose(engine.log_likelihood(points), one_by_one, rtol=1e-13)
        with monkeypatch.context() as patch:
            patch.setattr(equations_module, "_CHUNK", 3 * (engine.n_coefficients + 1) ** 2)
            np.testing.assert_allclose(engine.log_likelihood(points), one_by_one, rtol=1e-13)
        posterior = [engine.gradient(point)[0] for point in points]
        np.testing.assert_allclose(engine.log_posterior(points), posterior, rtol=1e-12)
        found = engine.conditional(points)
        for point, mean, root in zip(points, found.mean, found.root, strict=True):
            alone = engine.conditional(point[None])
            np.testing.assert_allclose(mean, alone.mean[0], rtol=1e-10, atol=1e-12)
            np.testing.assert_allclose(root @ root.T, alone.root[0] @ alone.root[0].T, rtol=1e-10, atol=1e-12)
        assert engine.log_likelihood(points[:0]).shape == (0,)


@pytest.mark.parametrize("model", ["partial_pooling", "group_variance"])
def test_points_that_cannot_be_do_not_disturb_those_beside_them(model):
    """Beyond a uniform prior, or so far out that double precision cannot tell pooled columns from flat ones."""
    design, priors = panel("paper"), {"tau": Prior("uniform", {"upper": 1e12})}
    engine = collapsed(design, replace(MEMBERS[model], priors=dict(MEMBERS[model].priors) | priors))
    k = engine.names.index("tau")
    points = np.tile(np.log(0.5), (4, len(engine.names)))
    points[1, k], points[3, k] = math.log(1e8), math.log(1e13)
    alone = engine.log_likelihood(points[:1])[0]
    np.testing.assert_allclose(engine.log_likelihood(points)[[0, 2]], alone, rtol=1e-13)
    assert np.isneginf(engine.log_posterior(points)[3])
    value, slope = engine.gradient(points[0])
    np.testing.assert_allclose(engine.log_posterior(points)[[0, 2]], value, rtol=1e-12)
    assert np.isfinite(slope).all()


def test_a_point_without_a_factor_costs_its_own_density_alone():
    """In powers of two the equations are singular to the bit: tau^2 swamps the prior that tells two columns apart."""
    within = np.array([[5.0, 2.0, 2.0], [2.0, 4.0, 4.0], [2.0, 4.0, 4.0]])
    stratum = Stratum(
        n_obs=10,
        within=within,
        sizes=np.array([5]),
        counts=np.array([2]),
        between=np.zeros((1, 3, 3)),
        log_sizes=2 * math.log(5),
    )
    half = Prior("half_normal", {"scale": 1.0})
    errors = IndependentErrors(Moments(("y", "slope", "pooled"), {"": stratum}), None)
    coefficients = Coefficients(
        n_flat=1, location=np.zeros((2, 2)), pooled={"tau": np.array([1])}, transform=np.eye(2), log_volume=0.0
    )
    parameters = Parameter("sigma", half), Parameter("tau", half)
    engine = Collapsed(parameters, {}, NormalEquations(errors, coefficients), errors)
    points = np.log(2) * np.array([[0.0, 1.0], [0.0, 40.0], [0.0, 2.0]])
    found = engine.log_likelihood(points)
    assert np.isneginf(found[1])
    for k in (0, 2):
        assert found[k] == engine.log_likelihood(points[k : k + 1])[0]
    # One flat and one pooled column that are the same: the sum is flat, the pooled part has its prior back.
    np.testing.assert_allclose(found[[0, 2]], -(8 - 1) / 2 * math.log(2 * math.pi) - math.log(5) - math.log(2) - 2)
    value, slope = engine.gradient(points[1])
    assert np.isneginf(value)
    assert (slope == 0).all()


@pytest.mark.parametrize("model", ["partial_pooling", "group_variance", "everything correlated"])
def test_a_fixed_scale_is_held_and_not_sampled(model):
    design, full = panel("unbalanced"), MEMBERS[model]
    engine = collapsed(design, full)
    point = some_scales(engine, 3)
    scales = by_name(engine, point)
    for held in ("tau", "sigma"):
        priors = dict(full.priors) | {held: Prior("fixed", {"value": 0.25})}
        fixed = collapsed(design, replace(full, priors=priors))
        kept = [k for k, name in enumerate(engine.names) if name.partition("[")[0] != held]
        assert fixed.names == tuple(engine.names[k] for k in kept)
        at = {**scales, **fixed.fixed}
        expected = engine.log_likelihood(np.log([[at[name] for name in engine.names]]))[0]
        assert fixed.log_likelihood(point[None, kept])[0] == pytest.approx(expected, rel=1e-12)
        slope = engine.gradient(np.log([at[name] for name in engine.names]))[1]
        np.testing.assert_allclose(fixed.gradient(point[kept])[1], slope[kept], rtol=1e-9)
    d, y = design.spread.within[1::-1]
    assert collapsed(design, replace(full, priors=dict(full.priors) | {"tau": Prior("fixed", {"value": 0.25})})).fixed[
        "tau"
    ] == pytest.approx(0.25 * y / d, rel=1e-12)


@pytest.mark.parametrize(
    ("scale", "terms"),
    [
        ("tau", {"group_slope": "pooled"}),
        ("kappa", {"unit_slope": "pooled"}),
        ("sigma_omega", {"group_time_effect": "pooled", "spread": "by_group"}),
    ],
)
def test_a_scale_fixed_at_zero_takes_its_term_away(scale, terms):
    design, residual = panel("unbalanced"), {"spread": terms.get("spread", "common")}
    zero = collapsed(design, member({scale: Prior("fixed", {"value": 0.0})}, **terms))
    without = collapsed(design, member(**residual))
    point = some_scales(without, 5)
    assert zero.names == without.names
    assert zero.log_likelihood(point[None])[0] == pytest.approx(without.log_likelihood(point[None])[0], rel=1e-12)
    np.testing.assert_allclose(zero.gradient(point)[1], without.gradient(point)[1], rtol=1e-10)
    assert not np.isnan(zero.conditional(point[None]).mean).any()


def test_random_effects_of_no_spread_are_an_intercept():
    design = panel("unbalanced")
    model = member({"sigma_mu": Prior("fixed", {"value": 0.0})}, unit_effect="random")
    engine = collapsed(design, model)
    expected = dense(design, model).log_likelihood({"sigma": 0.6, "sigma_mu": 0.0})
    assert engine.log_likelihood(np.log([[0.6]]))[0] == pytest.approx(expected, rel=1e-12)


def test_with_every_scale_fixed_nothing_is_left_to_sample():
    priors = {name: Prior("fixed", {"value": 0.4}) for name in ("sigma", "tau")}
    design = panel("balanced")
    engine = collapsed(design, member(priors, group_slope="pooled"))
    assert engine.names == ()
    value, slope = engine.gradient(np.empty(0))
    expected = dense(design, member(group_slope="pooled")).log_likelihood(engine.fixed)
    assert value == pytest.approx(expected, rel=1e-12)
    assert slope.shape == (0,)
    np.testing.assert_allclose(engine.log_posterior(np.empty((3, 0))), np.full(3, expected), rtol=1e-12)


TOML = """
kind = "panel"
question = "With informative priors on slopes?"
unit_effect = "{unit_effect}"
time_effect = "fixed"
group_slope = "{group_slope}"
group_control_slope = "{group_control_slope}"
group_time_effect = "off"
unit_slope = "off"
residual = "normal"
spread = "{spread}"
[priors.slope]
dist = "normal"
mean = 0.4
sd = 0.3
[priors.control_slope]
dist = "normal"
mean = -0.2
sd = 0.05
[priors.sigma]
dist = "half_normal"
scale = 1.0
"""


@pytest.mark.parametrize("name", [*SMALL, "paper"])
@pytest.mark.parametrize("spread_of", ["common", "by_group"])
@pytest.mark.parametrize("pooling", ["off", "fixed", "pooled"])
@pytest.mark.parametrize("unit_effect", ["fixed", "random", "correlated"])
def test_normal_priors_of_slopes_are_in_the_covariance_and_the_mean(tmp_path, name, unit_effect, pooling, spread_of):
    choices = {"unit_effect": unit_effect, "group_slope": pooling, "group_control_slope": pooling}
    scales = ["tau", "phi"] if pooling == "pooled" else []
    scales += ["sigma_mu"] if unit_effect != "fixed" else []
    text = TOML.format(**choices, spread=spread_of)
    text += "".join(f'[priors.{scale}]\ndist = "half_normal"\nscale = 0.5\n' for scale in scales)
    path = tmp_path / "informed.toml"
    path.write_text(text, encoding="utf-8")
    model, design = load_panel_model(path), panel(name)
    units = design.spread.within[0] / design.spread.within[1:]
    location = {term: (-0.2 * unit, 0.05 * unit) for term, unit in zip(design.terms, units, strict=True)}
    location[design.terms[0]] = 0.4 * units[0], 0.3 * units[0]
    engine, written = collapsed(design, model), dense(design, model, location)
    point = some_scales(engine, 2)
    expected = written.log_likelihood(by_name(engine, point))
    assert engine.log_likelihood(point[None])[0] == pytest.approx(expected, rel=1e-9)
    value, slope = engine.gradient(point)
    assert value == pytest.approx(engine.log_posterior(point[None])[0], rel=1e-9)
    h = 1e-5 * np.eye(len(point))
    rough = (engine.log_posterior(point + h) - engine.log_posterior(point - h)) / 2e-5
    np.testing.assert_allclose(slope, rough, rtol=1e-5, atol=1e-5)
    mean, covariance = conditional(design, model, point)
    blup, spread = written.conditional(by_name(engine, point))
    spread = spread.loc[mean.index, mean.index].to_numpy()
    np.testing.assert_allclose(mean / np.sqrt(np.diag(spread)), blup[mean.index] / np.sqrt(np.diag(spread)), atol=1e-8)
    assert_covariance(covariance, spread, 1e-8)


@pytest.mark.parametrize(("prior", "term"), [("slope", 0), ("control_slope", 1)])
@pytest.mark.parametrize("unit_effect", ["fixed", "correlated"])
def test_one_informative_prior_leaves_the_others_flat(unit_effect, prior, term):
    design = panel("unbalanced")
    model = member({prior: Prior("normal", {"mean": 1.0, "sd": 0.2})}, unit_effect=unit_effect, group_slope="pooled")
    unit = design.spread.within[0] / design.spread.within[1 + term]
    engine = collapsed(design, model)
    written = dense(design, model, {design.terms[term]: (unit, 0.2 * unit)})
    point = some_scales(engine, 2)
    expected = written.log_likelihood(by_name(engine, point))
    assert engine.log_likelihood(point[None])[0] == pytest.approx(expected, rel=1e-10)
    mean, _ = conditional(design, model, point)
    blup, _ = written.conditional(by_name(engine, point))
    np.testing.assert_allclose(mean, blup[mean.index], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", ["produc", "public"])
def test_informative_priors_cost_no_digits(name):
    """Mundlak means beside what they are means of, and normal priors of the slopes: density and gradient."""
    design = panel(name)
    normal = Prior("normal", {"mean": 0.0, "sd": 1.0})
    model = member(
        {"slope": normal, "control_slope": normal},
        unit_effect="correlated",
        time_effect="correlated",
        group_slope="pooled",
        group_control_slope="pooled",
    )
    engine = collapsed(design, model)
    sd = design.spread.within[0] / design.spread.within[1:]
    written = dense(design, model, {term: (0.0, unit) for term, unit in zip(design.terms, sd, strict=True)})
    point = some_scales(engine, 1)
    expected = written.log_likelihood(by_name(engine, point))
    assert engine.log_likelihood(point[None])[0] == pytest.approx(expected, rel=1e-9, abs=1e-7)
    assert engine.gradient(point)[0] == pytest.approx(engine.log_posterior(point[None])[0], rel=1e-9, abs=1e-7)


def test_a_wide_normal_prior_tends_to_the_flat_one():
    """Up to the density of the prior itself at the slope: -ln(sd) - ln(2 pi) / 2 for each."""
    design = panel("paper")
    flat, wide = collapsed(design, member()), 1e4
    prior = Prior("normal", {"mean": 0.0, "sd": wide})
    normal = collapsed(design, member({"slope": prior, "control_slope": prior}))
    sds = wide * design.spread.within[0] / design.spread.within[1:]
    point = np.log([[0.3]])
    difference = normal.log_likelihood(point) - flat.log_likelihood(point)
    assert difference[0] == pytest.approx(-np.log(sds * math.sqrt(2 * math.pi)).sum(), rel=1e-6)


# Invariances.

MODELS = st.sampled_from(sorted(MEMBERS))
SEEDS = st.integers(0, 2**32 - 1)


def small(seed, share, n_times=5):
    return grouped(random_design(seed % 97, 9, n_times, share=share), 3)


def likelihood(design, model, scales):
    engine = collapsed(design, model)
    return engine.log_likelihood(np.log([[scales[name] for name in engine.names]]))[0]


@settings(max_examples=30)
@given(MODELS, SEEDS, st.sampled_from([1.0, 0.9]))
def test_the_order_of_rows_does_not_matter(name, seed, share):
    design, model = small(seed, share), MEMBERS[name]
    engine = collapsed(design, model)
    point = some_scales(engine, seed)
    other = rearranged(design, np.random.default_rng(seed).permutation(design.n_obs))
    found = collapsed(other, model)
    assert found.names == engine.names
    np.testing.assert_allclose(found.log_likelihood(point[None]), engine.log_likelihood(point[None]), rtol=1e-11)
    mean, covariance = conditional(design, model, point)
    again, same = conditional(other, model, point)
    np.testing.assert_allclose(again[mean.index], mean, rtol=1e-8, atol=1e-9)
    assert_covariance(same, covariance.to_numpy(), 1e-9)


@settings(max_examples=30)
@given(MODELS, SEEDS)
def test_the_numbering_of_units_periods_and_groups_does_not_matter(name, seed):
    # Eight periods carry the means of six regressors; with fewer, which of them is left out would depend on the order,
    # and the constant of the density with it.
    design, model = small(seed, 0.9, 8), MEMBERS[name]
    engine = collapsed(design, model)
    point = some_scales(engine, seed)
    rng = np.random.default_rng(seed)
    codes, labels = {}, {}
    for axis in ("unit", "time", "group"):
        old = getattr(design, f"{axis}s")
        new = rng.permutation(len(old))  # of each old code
        codes[axis] = new[getattr(design, axis)]
        labels[f"{axis}s"] = tuple(old[k] for k in np.argsort(new))
    other = replace(design, **codes, **labels, effects=TwoWay(codes["unit"], codes["time"]))
    expected = engine.log_likelihood(point[None])[0]
    if model.choice("unit_trend") == "fixed":
        # Beside flat trends two periods are left out, which depend on the order, and the constant with them.
        moved = point + 0.3
        expected += likelihood(other, model, by_name(engine, moved)) - engine.log_likelihood(moved[None])[0]
    assert likelihood(other, model, by_name(engine, point)) == pytest.approx(expected, rel=1e-10)
    mean, _ = conditional(design, model, point)
    engine = collapsed(other, model)
    again, _ = conditional(other, model, np.log([by_name(collapsed(design, model), point)[n] for n in engine.names]))
    own = [label for label in mean.index if "slope" in label]  # effects may have another reference period
    np.testing.assert_allclose(again[own], mean[own], rtol=1e-7, atol=1e-9)


def slope_factors(blocks, x_scale):
    """What each flat coefficient is divided by when the regressors are multiplied by `x_scale`."""
    terms = dict(zip(blocks.design.terms, x_scale, strict=True))
    factors = []
    for name in coefficient_names(blocks)[: blocks.n_flat]:
        own = [term for term in terms if f"[{term}]" in name or f"[{term}[" in name]
        if own:
            factors.append(terms[own[0]])
        else:
            factors.append(x_scale[0] if name.startswith(("slope", "group_total_slope")) else 1.0)
    return np.array(factors)


@settings(max_examples=40)
@given(MODELS, SEEDS, st.floats(-7, 7), st.floats(-7, 7), st.floats(-7, 7))
def test_the_units_of_the_columns_move_the_density_by_their_jacobian(name, seed, log_y, log_d, log_x):
    """y -> a y and x -> x s: scales go along, and the density loses (n - k) ln a less ln s per flat slope."""
    design, model = small(seed, 0.9), MEMBERS[name]
    engine, blocks = collapsed(design, model), make_blocks(design, model)
    point = some_scales(engine, seed)
    a, s = math.exp(log_y), np.exp([log_d, log_x])
    other = replace(design, y=a * design.y, x=design.x * s)
    found = collapsed(other, model)
    move = {"tau": a / s[0], "kappa": a / s[0], "phi": a / s[1]}
    shift = np.log([move.get(scale.partition("[")[0], a) for scale in engine.names])
    k = blocks.n_flat + (len(design.units) if model.choice("unit_effect") == "fixed" else 0)
    jacobian = -(design.n_obs - k) * log_y - np.log(slope_factors(blocks, s)).sum()
    before, after = engine.log_likelihood(point[None])[0], found.log_likelihood((point + shift)[None])[0]
    assert after == pytest.approx(before + jacobian, rel=1e-9, abs=1e-8)
    # Priors are in units of the data, so that the posterior of the scales goes along.
    np.testing.assert_allclose(found.gradient(point + shift)[1], engine.gradient(point)[1], rtol=1e-7, atol=1e-7)


@settings(max_examples=30)
@given(st.sampled_from([n for n, m in sorted(MEMBERS.items()) if m.choice("unit_effect") == "fixed"]), SEEDS)
def test_adding_a_constant_to_a_column_changes_nothing_where_effects_absorb_it(name, seed):
    """Fixed unit effects absorb constants, a slope's multiples of them included.

    Periods' means of a group's regressor hold the group's share of the rows, which is constant on balanced panels only.
    """
    model = MEMBERS[name]
    design = small(seed, 1.0 if model.choice("time_effect") == "correlated" else 0.9)
    shift = 10 * np.random.default_rng(seed).normal(size=3)
    other = replace(design, y=design.y + shift[0], x=design.x + shift[1:])
    engine, found = collapsed(design, model), collapsed(other, model)
    point = some_scales(engine, seed)
    np.testing.assert_allclose(found.log_likelihood(point[None]), engine.log_likelihood(point[None]), rtol=1e-8)


# Degenerate panels.


def deal(design, group, groups):
    return replace(design, group=group, groups=groups)


def matches_dense(design, model, seed=3):
    engine = collapsed(design, model)
    point = some_scales(engine, seed)
    expected = dense(design, model).log_likelihood(by_name(engine, point))
    assert engine.log_likelihood(point[None])[0] == pytest.approx(expected, rel=1e-9)
    return engine, point


@pytest.mark.parametrize("model", [n for n, m in MEMBERS.items() if m.uses_groups])
def test_a_panel_without_groups_needs_the_member_without_them(model):
    design = panel("unbalanced")
    for lacking in (deal(design, None, ()), deal(design, np.zeros_like(design.unit), ("only",))):
        with pytest.raises(InputError, match=f"the model '{MEMBERS[model].name}' needs two groups or more"):
            make_blocks(lacking, MEMBERS[model])
        reduced = MEMBERS[model].without_groups()
        matches_dense(lacking, reduced)
        assert "slope" in conditional(lacking, reduced, np.zeros(len(collapsed(lacking, reduced).names)))[0]


def test_without_groups_the_slope_is_the_common_one():
    design = replace(panel("unbalanced"), group=None, groups=())
    model = load_panel_model("partial_pooling_all").without_groups()
    mean, _ = conditional(design, model, np.zeros(1))
    np.testing.assert_allclose(mean[["slope", "control_slope[x1]"]], twfe(design).estimate, rtol=1e-10)


@pytest.mark.parametrize("share", [1.0, 0.9])
def test_with_one_unit_per_group_slopes_of_groups_and_of_units_are_one(share):
    """tau and kappa stand side by side in the covariance, so that tau^2 + kappa^2 is all that the data see."""
    design = random_design(2, 7, 6, share=share)
    design = deal(design, design.unit, design.units)
    engine, _ = matches_dense(design, MEMBERS["nested"])
    matches_dense(design, MEMBERS["correlated_effects"])
    assert engine.names == ("sigma", "tau", "kappa")
    whole = 0.4
    points = [[0.2, whole * math.sin(angle), whole * math.cos(angle)] for angle in (0.1, 0.7, 1.5)]
    found = engine.log_likelihood(np.log(points))
    np.testing.assert_allclose(found, found[0], rtol=1e-12)
    alone = collapsed(design, MEMBERS["partial_pooling"]).log_likelihood(np.log([[0.2, whole]]))
    np.testing.assert_allclose(found, alone[0], rtol=1e-12)


@pytest.mark.parametrize("model", MEMBERS)
def test_two_periods(model):
    design = grouped(random_design(4, 15, 2), 3)
    if model == "trends fixed":
        with pytest.raises(InputError, match="the slope slope is not identified"):
            make_blocks(design, MEMBERS[model])
        return
    matches_dense(design, MEMBERS[model])


def test_two_periods_are_first_differences():
    design = random_design(4, 15, 2)
    order = np.lexsort((design.time, design.unit))
    step = np.column_stack([np.ones(15), np.diff(design.x[order].reshape(15, 2, 2), axis=1)[:, 0]])
    expected = np.linalg.lstsq(step, np.diff(design.y[order].reshape(15, 2), axis=1)[:, 0])[0]
    mean, covariance = conditional(design, member(), np.log([0.5]))
    own = ["slope", "control_slope[x1]"]
    np.testing.assert_allclose(mean[own], expected[1:], rtol=1e-10)
    # A difference has twice the variance of an error.
    assert_covariance(covariance.loc[own, own], 2 * 0.5**2 * np.linalg.inv(step.T @ step)[1:, 1:], 1e-10)


@pytest.mark.parametrize("model", MEMBERS)
def test_a_group_with_one_unit(model):
    design = panel("unbalanced")
    solo = deal(design, np.where(design.unit == 4, 0, 1 + design.unit % 2), ("solo", "a", "b"))
    if model in ("no_pooling", "regional"):
        with pytest.raises(InputError, match=r"the slope group_total_(control_)?slope\[.*solo\] is not identified"):
            make_blocks(solo, MEMBERS[model])
        return
    matches_dense(solo, MEMBERS[model])


@pytest.mark.parametrize("model", MEMBERS)
def test_a_panel_without_controls(model):
    design = panel("unbalanced")
    engine, _ = matches_dense(design.keeping(design.terms[:1]), MEMBERS[model])
    assert not any(name.startswith("phi") for name in engine.names)


def test_an_exposure_that_effects_take_up_is_named():
    design = panel("balanced")
    flat = replace(design, x=np.column_stack([design.unit.astype(float), design.x[:, 1]]))
    with pytest.raises(InputError, match="the slope slope is not identified"):
        make_blocks(flat, member())
    same = replace(design, x=np.column_stack([design.x[:, 0], 2 * design.x[:, 0] + design.time]))
    with pytest.raises(InputError, match=r"the slope control_slope\[x1\] is not identified"):
        make_blocks(same, member())


@pytest.mark.parametrize("effect", ["unit", "time"])
def test_a_regressor_that_is_its_own_mean_keeps_its_slope(effect):
    """What does not vary within units is identified beside correlated effects; it is its mean that is left out."""
    design = panel("unbalanced")
    codes = getattr(design, effect)
    still = replace(design, x=np.column_stack([design.x[:, 0], np.cos(3.0 * codes)]))
    model = member(**{"unit_effect": "random", "time_effect": "random", f"{effect}_effect": "correlated"})
    names = coefficient_names(make_blocks(still, model))
    assert "control_slope[x1]" in names
    assert [name for name in names if name.startswith("mundlak")] == [f"mundlak_{effect}[x0]"]
    matches_dense(still, model)


def test_a_variance_whose_estimate_is_zero_lies_at_the_end_of_a_smooth_path():
    """Units that differ less than chance would have them: the density rises all the way to sigma_mu = 0, and is finite
    there: the one without unit effects."""
    rng = np.random.default_rng(3)
    design = random_design(3, 14, 6, share=0.9)
    noise = rng.normal(size=design.n_obs)
    means = np.bincount(design.unit, noise) / np.bincount(design.unit)
    y = 0.5 * design.x[:, 0] + noise - 0.9 * means[design.unit] + 0.1 * design.time
    design = replace(design, y=y)
    engine = collapsed(design, member(unit_effect="random"))
    path = np.array([[math.log(0.8), math.log(mu)] for mu in (1e-12, 1e-8, 1e-4, 1e-2, 0.1, 0.3, 1.0)])
    found = engine.log_likelihood(path)
    assert np.isfinite(found).all()
    assert (np.diff(found[2:]) < 0).all()
    written = dense(design, member(unit_effect="random"))
    np.testing.assert_allclose(found[0], written.log_likelihood({"sigma": 0.8, "sigma_mu": 0.0}), rtol=1e-12)
    value, slope = engine.gradient(path[0])
    assert math.isfinite(value)
    assert slope[1] == pytest.approx(1.0, abs=1e-9)  # that of the logarithm alone


def test_residuals_that_cannot_be_collapsed_are_refused():
    for name in ("student_t",):
        blocks = make_blocks(panel("balanced"), load_panel_model(name))
        with pytest.raises(
            InputError, match=f"the residuals of '{name}' cannot be collapsed; the PyMC engine fits them"
        ):
            make_collapsed(blocks)


def test_the_names_of_scales_and_coefficients():
    design = panel("balanced")
    engine = collapsed(design, member(unit_effect="random", time_effect="random", **POOLED, spread="by_group"))
    assert engine.names == (
        "sigma[g0]",
        "sigma[g1]",
        "sigma[g2]",
        "sigma_lambda",
        "tau",
        "phi[x1]",
        "sigma_omega",
        "kappa",
        "sigma_mu",
    )
    blocks = make_blocks(design, member(group_slope="fixed", group_control_slope="fixed"))
    assert coefficient_names(blocks)[:6] == (
        "group_total_slope[g0]",
        "group_total_slope[g1]",
        "group_total_slope[g2]",
        "group_total_control_slope[x1][g0]",
        "group_total_control_slope[x1][g1]",
        "group_total_control_slope[x1][g2]",
    )
