"""The hierarchical event study: its limits, its density written out, and its PyMC twin."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from cbec_bayes.bayes.events.fit import fit_events
from cbec_bayes.bayes.events.model import EventBlocks, event_blocks
from cbec_bayes.bayes.events.twin import build_event_pymc
from cbec_bayes.bayes.model.densities import log_density
from cbec_bayes.classical.events.paths import fit_saturated
from cbec_bayes.classical.regression import twfe
from cbec_bayes.panel.adoption import Adoption, adoption_of, cells_of
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import InputError
from tests.support.members import errors_written_out, independent
from tests.support.staggered import staggered
from tests.support.twins import mvn

TOLERANCE = 1e-8
UNLIMITED = 1e6
ROWS = pytest.mark.parametrize("drop", [0.0, 0.2], ids=["balanced", "unbalanced"])
ERRORS = pytest.mark.parametrize("errors", ["independent", "ar1"])


def panel(drop: float = 0.0, **options: Any) -> Adoption:
    return adoption_of(staggered(drop=drop, **options))


def small(drop: float) -> Adoption:
    return panel(drop, n_units=10, n_times=6, cohorts=(2003, 2003, 2005, 0, 2004))


def cell_rows(adoption: Adoption, *, leads: bool) -> Array:
    cells = cells_of(adoption, leads=leads)
    return (cells.columns / cells.rows).T


def given(columns: EventBlocks, rows: Array, **scales: float) -> tuple[Array, Array]:
    """Return mean and covariance of mean effects over rows given the scales."""
    points = {name: np.array([value]) for name, value in {"sigma": 0.5, **scales}.items()}
    found = columns.collapsed().likelihood.conditional(points)
    loadings = columns.loadings(rows)
    root = loadings @ found.root[0]
    return loadings @ found.mean[0], root @ root.T


@ROWS
@pytest.mark.parametrize("leads", [True, False])
def test_with_unlimited_scales_it_is_the_saturated_regression(drop, leads):
    adoption = panel(drop)
    chi = UNLIMITED if leads else 0.0
    rows = cell_rows(adoption, leads=leads)
    mean, covariance = given(
        event_blocks(adoption, "independent"), rows, psi=UNLIMITED, zeta=UNLIMITED, tau=0.0, chi=chi
    )
    saturated = fit_saturated(adoption, "reghdfe", leads=leads)
    assert mean == pytest.approx(saturated.estimate, rel=TOLERANCE, abs=TOLERANCE)
    design = adoption.design
    columns = np.column_stack([saturated.cells.columns, design.x[:, 1:]])
    within = design.effects.within(columns)
    expected = 0.25 * np.linalg.inv(within.T @ within)[: len(rows), : len(rows)]
    assert covariance == pytest.approx(expected, rel=1e-7, abs=TOLERANCE)


@ROWS
def test_with_scales_of_zero_it_is_the_coefficient_of_adoption(drop):
    adoption = panel(drop)
    rows = adoption.treated[None] / adoption.treated.sum()
    mean, covariance = given(event_blocks(adoption, "independent"), rows, psi=0.0, zeta=0.0, tau=0.0, chi=0.0)
    assert mean[0] == pytest.approx(twfe(adoption.design).estimate[0], rel=TOLERANCE)
    within = adoption.design.effects.within(adoption.design.x)
    assert covariance[0, 0] == pytest.approx(0.25 * np.linalg.inv(within.T @ within)[0, 0], rel=TOLERANCE)


@ROWS
def test_with_unlimited_groups_it_is_the_saturated_regression_with_paths_of_groups(drop):
    adoption = panel(drop)
    design = adoption.design
    rows = cell_rows(adoption, leads=False)
    by_group = np.stack([adoption.treated & (design.group == r) for r in (0, 1)]).astype(float)
    by_group /= by_group.sum(axis=1, keepdims=True)
    mean, _ = given(
        event_blocks(adoption, "independent"),
        np.vstack([rows, by_group]),
        psi=UNLIMITED,
        zeta=UNLIMITED,
        tau=UNLIMITED,
        chi=0.0,
    )
    own = [(design.group == 1) & adoption.treated & (adoption.event_time == e) for e in adoption.lags]
    effects = np.column_stack([cells_of(adoption, leads=False).columns, *own]).astype(float)
    within = design.effects.within(np.column_stack([effects, design.x[:, 1:]]))
    slopes = np.linalg.lstsq(within, design.effects.within(design.y))[0][: effects.shape[1]]
    expected = np.vstack([rows, by_group]) @ effects @ slopes
    assert mean == pytest.approx(expected, rel=TOLERANCE, abs=TOLERANCE)


def written_out(adoption: Adoption) -> tuple[Array, Array, list[str]]:
    """Return flat columns, columns of steps, and the scale of each step, row by row from the formula."""
    design = adoption.design
    labels = {f"unit {u}": design.unit == u for u in range(len(design.units))}
    labels |= {f"time {t}": design.time == t for t in range(len(design.times))}
    flat = {name: np.asarray(column, dtype=float) for name, column in labels.items()}
    flat |= {"adopted": design.x[:, 0], "x": design.x[:, 1]}
    code, event = adoption.cohort[design.unit], adoption.event_time
    steps: list[tuple[Array, str]] = []
    for k in range(1, max(adoption.lags) + 1):
        steps.append((adoption.treated & (event >= k), "psi"))
    for c in range(len(adoption.cohorts)):
        own = adoption.treated & (code == c)
        steps += [(own & (event >= k), "zeta") for k in range(int(event[own].max()) + 1)]
    for r in range(len(design.groups)):
        own = adoption.treated & (design.group == r)
        steps += [(own & (event >= k), "tau") for k in range(int(event[own].max()) + 1)]
    before = adoption.has_cohort & (event < 0)
    for k in range(2, -min(adoption.leads) + 1):
        steps.append((before & (event <= -k), "chi"))
    for c in range(len(adoption.cohorts)):
        own = before & (code == c)
        steps += [(own & (event <= -k), "chi") for k in range(2, -int(event[own].min()) + 1)]
    kept = independent(flat)
    z = np.column_stack([np.asarray(column, dtype=float) for column, _ in steps])
    return np.column_stack([flat[name] for name in kept]), z, [scale for _, scale in steps]


SCALES = {"sigma": 0.4, "psi": 0.3, "zeta": 0.2, "tau": 0.15, "chi": 0.1}


@ROWS
@ERRORS
def test_the_density_is_that_of_all_rows_written_out(drop, errors):
    adoption = small(drop)
    scales = SCALES | ({"rho": 0.6} if errors == "ar1" else {})
    x, z, names = written_out(adoption)
    prior = np.array([scales[name] for name in names]) ** 2
    correlation = {"independent": "off", "ar1": "ar1"}[errors]
    spread = errors_written_out(adoption.design, correlation, scales.get("rho")) * scales["sigma"] ** 2
    root = np.linalg.cholesky((z * prior) @ z.T + spread)
    q, r = np.linalg.qr(np.linalg.solve(root, x))
    left = np.linalg.solve(root, adoption.design.y)
    left = left - q @ (q.T @ left)
    log_det = np.log(np.diag(root)).sum() + np.log(np.abs(np.diag(r))).sum()
    n, k = x.shape
    expected = -(n - k) / 2 * math.log(2 * math.pi) - log_det - left @ left / 2
    collapsed = event_blocks(adoption, errors).collapsed()
    found = collapsed.likelihood.log_likelihood({name: np.array([value]) for name, value in scales.items()})
    assert float(found[0]) == pytest.approx(float(expected), abs=TOLERANCE)


@ROWS
@ERRORS
def test_the_gradient_is_the_slope_of_the_density(drop, errors):
    collapsed = event_blocks(small(drop), errors).collapsed()
    point = np.array([0.3 if name == "rho" else math.log(SCALES[name]) for name in collapsed.names])
    value, slope = collapsed.gradient(point)
    assert value == pytest.approx(float(collapsed.log_posterior(point[None])[0]), abs=TOLERANCE)
    step = 1e-5
    for k, direction in enumerate(step * np.eye(len(point))):
        ends = collapsed.log_posterior(np.stack([point + direction, point - direction]))
        assert slope[k] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5, abs=1e-6)


def density_of_twin(columns: EventBlocks, values: Mapping[str, Any]) -> dict[str, float]:
    """Return the log density of each variable of the twin at a point of the parameters, no Jacobian."""
    model = build_event_pymc(columns)
    point = {}
    for variable in model.free_RVs:
        transform, value = model.rvs_to_transforms[variable], np.asarray(values[variable.name], dtype=float)
        if transform is not None:
            value = transform.forward(value, *variable.owner.inputs).eval(mode="FAST_COMPILE")
        point[model.rvs_to_values[variable].name] = value
    density = model.compile_logp(jacobian=False, sum=False, mode="FAST_COMPILE")
    return {one.name: float(part.sum()) for one, part in zip(model.basic_RVs, density(point), strict=True)}


@ROWS
@ERRORS
def test_the_twin_is_the_same_density(drop, errors):
    """log p(y, coefficients, levels | scales) less their conditional density is log p(y | scales), at random points."""
    adoption = small(drop)
    columns = event_blocks(adoption, errors)
    blocks, design, collapsed = columns.blocks, columns.blocks.design, columns.collapsed()
    names = [*SCALES, *(["rho"] if errors == "ar1" else [])]
    for seed in range(3):
        rng = np.random.default_rng(seed)
        values: dict[str, Any] = {name: float(np.exp(rng.normal() - 1)) for name in names}
        if errors == "ar1":
            values["rho"] = float(np.tanh(rng.normal()))
        values |= {block.name: rng.normal(size=len(block.kept)) for block in blocks.every}
        values["unit_effect"] = rng.normal(size=len(design.units))
        parts = density_of_twin(columns, values)
        joint = sum(part for name, part in parts.items() if name not in names)
        x = np.column_stack([blocks.x, design.unit[:, None] == np.arange(len(design.units))])
        spread = (
            errors_written_out(design, blocks.model.choice("correlation"), values.get("rho")) * values["sigma"] ** 2
        )
        precision = x.T @ np.linalg.solve(spread, x)
        for block in blocks.pooled:
            at = blocks.positions[block.name]
            precision[at, at] += np.eye(len(block.kept)) / values[str(block.scale)] ** 2
        covariance = np.linalg.inv(precision)
        mean = covariance @ (x.T @ np.linalg.solve(spread, design.y))
        every = np.r_[np.concatenate([values[block.name] for block in blocks.every]), values["unit_effect"]]
        point = {name: np.array([values[name]]) for name in names}
        expected = joint - mvn(every, mean, covariance)
        assert float(collapsed.likelihood.log_likelihood(point)[0]) == pytest.approx(expected, abs=TOLERANCE)
        for name in names:
            if name != "rho":
                written = float(log_density(columns.priors[name], np.asarray(values[name]))[0])
                assert parts[name] == pytest.approx(written, abs=TOLERANCE)


def test_of_one_cohort_and_without_groups_there_are_no_deviations():
    from dataclasses import replace

    design = replace(staggered(cohorts=(2004, 0)), group=None, groups=())
    columns = event_blocks(adoption_of(design))
    assert [block.name for block in columns.blocks.pooled] == ["path_step", "placebo_step"]
    only_one_lead = event_blocks(panel(cohorts=(2002, 0)))
    assert [block.name for block in only_one_lead.blocks.pooled] == ["path_step", "group_step"]


@pytest.mark.parametrize("limit", ["LAID_OUT_MAX", "MAX_STEPS"])
def test_too_many_steps_are_refused(monkeypatch, limit):
    monkeypatch.setattr(f"cbec_bayes.bayes.events.model.{limit}", 10)
    with pytest.raises(InputError, match="too many for the hierarchical event study"):
        event_blocks(panel())


@ERRORS
def test_a_fit_passes_its_gates_and_is_told_by_its_seed(errors):
    adoption = panel()
    found, again = (fit_events(adoption, errors, seed=3) for _ in range(2))
    found.diagnostics.require()
    assert found.diagnostics.khat is not None
    assert (found.points == again.points).all()
    assert len(found.points) == 2_000
    assert len(found.thinned) == 1_000


def test_wider_priors_pool_less():
    adoption = panel()
    narrow, wide = (fit_events(adoption, "independent", prior_scale=scale) for scale in (1e-3, 1.0))
    rows = cell_rows(adoption, leads=False)
    spread = [float(np.std(one.effects(rows)[0].mean(axis=0))) for one in (narrow, wide)]
    assert spread[0] < 0.2 * spread[1]
