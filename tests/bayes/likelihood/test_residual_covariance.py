"""A mechanism of the errors can be added from outside: a covariance written out gives what the package's classes do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from cbec_bayes.bayes.likelihood.collapsed import Collapsed
from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.likelihood.independent import IndependentErrors
from cbec_bayes.bayes.likelihood.normal_equations import Coefficients, NormalEquations
from cbec_bayes.bayes.likelihood.unit_errors import UnitErrors
from cbec_bayes.bayes.likelihood.unit_slope_errors import UnitSlopeErrors
from cbec_bayes.bayes.model.blocks import Blocks, coefficient_names, make_blocks
from cbec_bayes.bayes.model.densities import RHO
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array
from tests.support.likelihoods import DenseCovariance
from tests.support.members import MEMBERS, SMALL, assert_covariance, errors_written_out, member, panel
from tests.support.twins import with_unit_effects

MECHANISMS = {
    "independent": (MEMBERS["partial_pooling"], IndependentErrors),
    "independent, random units, by group": (
        member(unit_effect="random", group_slope="pooled", spread="by_group"),
        IndependentErrors,
    ),
    "slopes of units": (MEMBERS["nested"], UnitSlopeErrors),
    "slopes of units, by group": (member(unit_slope="pooled", spread="by_group"), UnitSlopeErrors),
    "ar1": (load_panel_model("ar1"), UnitErrors),
    "ar1, by group": (member(spread="by_group", correlation="ar1", group_slope="pooled"), UnitErrors),
    "ar1, random units": (member(unit_effect="random", group_slope="pooled", correlation="ar1"), UnitErrors),
    "ar1, slopes of units": (member(unit_slope="pooled", correlation="ar1"), UnitErrors),
    "random units, slopes of units, by group": (
        member(unit_effect="random", unit_slope="pooled", spread="by_group"),
        UnitErrors,
    ),
    "ar1, random units, slopes of units": (
        member(unit_effect="random", unit_slope="pooled", correlation="ar1"),
        UnitErrors,
    ),
    "random walk": (member(correlation="random_walk", group_slope="pooled"), UnitErrors),
    "random walk, random units, by group": (
        member(correlation="random_walk", unit_effect="random", spread="by_group", unit_trend="pooled"),
        UnitErrors,
    ),
    "trends of units": (load_panel_model("unit_trends"), UnitSlopeErrors),
    "trends of units, by group": (member(unit_trend="pooled", spread="by_group"), UnitSlopeErrors),
    "trends and slopes of units": (member(unit_trend="pooled", unit_slope="pooled"), UnitErrors),
    "ar1, trends and slopes of units": (
        member(unit_trend="pooled", unit_slope="pooled", group_slope="pooled", correlation="ar1"),
        UnitErrors,
    ),
    "ar1, random units, trends and slopes": (
        member(unit_effect="random", unit_trend="pooled", unit_slope="pooled", correlation="ar1"),
        UnitErrors,
    ),
}
CASES = [(name, mechanism) for name in SMALL for mechanism in MECHANISMS]


def parts_of(design: Design, scales: Mapping[str, float], correlation: str) -> tuple[dict[str, Array], Array]:
    """The share of every scale in the covariance, and the derivative of the errors' share in rho."""
    same = design.unit[:, None] == design.unit
    when = np.asarray(design.times)[design.time]
    lag = np.where(same, np.abs(when[:, None] - when), 0.0)
    rho = scales.get(RHO)
    errors = errors_written_out(design, correlation, rho)
    labels = np.array([f"sigma[{design.groups[r]}]" for r in design.group])
    found = {}
    for name, value in scales.items():
        if name.startswith("sigma["):
            found[name] = value**2 * errors * (labels == name)
        elif name == "sigma":
            found[name] = value**2 * errors
        elif name == "sigma_mu":
            found[name] = value**2 * same
        elif name == "kappa":
            found[name] = value**2 * same * np.outer(design.x[:, 0], design.x[:, 0])
        elif name == "xi":
            found[name] = value**2 * same * np.outer(when - when.mean(), when - when.mean())
    slope = np.zeros_like(lag)
    if rho is not None:
        sigma = np.array([scales.get(label, scales.get("sigma", 0.0)) for label in labels])
        slope[lag > 0] = lag[lag > 0] * rho ** (lag[lag > 0] - 1) / (1 - rho**2)
        slope += errors * 2 * rho / (1 - rho**2)
        slope *= np.outer(sigma, sigma)
    return found, slope


def written_out(engine: Collapsed, blocks: Blocks) -> tuple[Collapsed, tuple[str, ...]]:
    """The engine with its covariance written out, flat unit effects among the coefficients, and names of these."""
    design = blocks.design
    every = with_unit_effects(blocks) if blocks.model.choice("unit_effect") == "fixed" else blocks

    def covariance(scales: Mapping[str, float]) -> Array:
        return np.sum(list(parts_of(design, scales, blocks.model.choice("correlation"))[0].values()), axis=0)

    def derivatives(scales: Mapping[str, float]) -> dict[str, Array]:
        parts, by_rho = parts_of(design, scales, blocks.model.choice("correlation"))
        own = {name: 2 * part for name, part in parts.items()}
        return own if RHO not in scales else own | {RHO: (1 - scales[RHO] ** 2) * by_rho}

    p, at = every.n_coefficients, every.positions
    coefficients = Coefficients(
        n_flat=every.n_flat,
        location=np.zeros((2, p)),
        pooled={block.scale: np.arange(p)[at[block.name]] for block in every.pooled},
        transform=np.eye(p),
        log_volume=0.0,
    )
    errors = DenseCovariance(np.column_stack([design.y, every.x]), covariance, derivatives)
    return replace(engine, likelihood=NormalEquations(errors, coefficients)), coefficient_names(every)


def some_points(engine: Collapsed) -> Array:
    return 0.4 * np.random.default_rng(3).standard_normal((3, len(engine.names))) - 0.3


@pytest.mark.parametrize(("name", "mechanism"), CASES)
def test_a_covariance_written_out_gives_the_same_density_and_gradient(name, mechanism):
    model, expected = MECHANISMS[mechanism]
    blocks = make_blocks(panel(name), model)
    engine = make_collapsed(blocks)
    assert isinstance(engine.errors, expected)
    outside, _ = written_out(engine, blocks)
    points = some_points(engine)
    np.testing.assert_allclose(outside.log_likelihood(points), engine.log_likelihood(points), rtol=1e-10)
    h = 1e-4
    steps = h * np.eye(points.shape[1])
    for point in points:

        def posterior(shift, point=point):
            return outside.log_posterior(point + shift)

        # Fourth-order central differences.
        rough = (8 * (posterior(steps) - posterior(-steps)) - posterior(2 * steps) + posterior(-2 * steps)) / (12 * h)
        value, slope = outside.gradient(point)
        assert value == pytest.approx(outside.log_posterior(point[None])[0], rel=1e-11)
        np.testing.assert_allclose(slope, rough, rtol=1e-7, atol=1e-6)
        np.testing.assert_allclose(engine.gradient(point)[1], slope, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("name", "mechanism"), CASES)
def test_a_covariance_written_out_gives_the_same_coefficients(name, mechanism):
    blocks = make_blocks(panel(name), MECHANISMS[mechanism][0])
    engine = make_collapsed(blocks)
    outside, every = written_out(engine, blocks)
    names = coefficient_names(blocks)
    points = some_points(engine)
    at = [every.index(label) for label in names]
    found, expected = engine.conditional(points), outside.conditional(points)
    assert found.mean.shape[1] == engine.n_conditional == len(names) + len(engine.unit_means)
    for s in range(len(points)):
        spread = (expected.root[s] @ expected.root[s].T)[np.ix_(at, at)]
        sd = np.sqrt(np.diag(spread))
        mean, root = found.mean[s, : len(at)], found.root[s, : len(at)]
        np.testing.assert_allclose(mean / sd, expected.mean[s, at] / sd, atol=1e-8)
        assert_covariance(root @ root.T, spread, 1e-8)


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_row_given_all_others_is_that_of_the_covariance_written_out(mechanism):
    """A row given all the others has mean and variance from the inverse covariance of the outcome."""
    design = panel("unbalanced")
    blocks = make_blocks(design, MECHANISMS[mechanism][0])
    engine = make_collapsed(blocks)
    outside, _ = written_out(engine, blocks)
    point = some_points(engine)[:1]
    scales = {name: float(value[0]) for name, value in engine.scales(point).items()}
    dense, own = outside.likelihood.covariance, outside.likelihood.coefficients
    v, x = dense.covariance(scales), dense.columns[:, 1:]
    for name, at in own.pooled.items():
        v = v + scales[name] ** 2 * x[:, at] @ x[:, at].T
    flat = x[:, : own.n_flat]
    weighted = np.linalg.solve(v, flat)
    q = np.linalg.inv(v) - weighted @ np.linalg.solve(flat.T @ weighted, weighted.T)
    rows = np.array([0, 3, design.n_obs - 1])
    given = [(slice(0, 1), engine.conditional(point))]
    found = engine.errors.rows_given_others(blocks, rows, engine.scales(point), given)
    np.testing.assert_allclose(found.pull[0], (q @ design.y)[rows], rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found.precision[0], np.diag(q)[rows], rtol=1e-7)
