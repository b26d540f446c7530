"""Errors with a correlation, levels, slopes and trends of units, in any combination, are the covariance written out."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cbec_bayes.bayes.likelihood.normal_equations import Coefficients, NormalEquations
from cbec_bayes.bayes.likelihood.unit_errors import UnitErrors
from cbec_bayes.bayes.moments.lags import CORRELATIONS
from cbec_bayes.bayes.moments.unit_directions import Direction, directions_of, unit_products
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array
from tests.support.members import assert_covariance, errors_written_out, independent, mean_loading, panel

SCALES = {"sigma": 0.7, "sigma_mu": 0.8, "kappa": 0.4, "xi": 0.2, "rho": 0.6}
SIGMAS = (0.5, 0.7, 1.1)
CORRELATED, BY_GROUP = tuple(CORRELATIONS), (False, True)
LEVELS, SLOPES, TRENDS = ("fixed", "random"), ("off", "pooled"), ("off", "fixed", "pooled")
COMBINATIONS = list(itertools.product(CORRELATED, BY_GROUP, LEVELS, SLOPES, TRENDS))


@functools.cache
def rows_of(name: str) -> Design:
    """A panel; in the degenerate one a unit has one row, one two, and levels or trends span the exposures of two."""
    if name != "degenerate":
        return panel(name)
    design = panel("unbalanced")
    kept = np.ones(design.n_obs, dtype=bool)
    for unit, rows in ((0, 1), (1, 2)):
        kept[np.flatnonzero(design.unit == unit)[rows:]] = False
    design = design.rows(kept)
    x = design.x.copy()
    x[design.unit == 2, 0] = 1.3
    x[design.unit == 3, 0] = 2 + 0.4 * design.time[design.unit == 3]
    return replace(design, x=x)


def since_mean(design: Design) -> Array:
    years = np.asarray(design.times)[design.time]
    return np.asarray(years - years.mean())


@dataclass(frozen=True)
class Case:
    """Errors, their scales, and the same written out."""

    design: Design
    errors: UnitErrors
    directions: tuple[Direction, ...]
    columns: Array
    scales: dict[str, float]
    correlation: str

    def written_out(self, scales: dict[str, float]) -> tuple[Array, float]:
        """The inverse covariance, flat directions projected out, and the constant."""
        design, n = self.design, self.design.n_obs
        same = design.unit[:, None] == design.unit
        groups = design.group if len(self.errors.sigmas) > 1 else np.zeros(n, dtype=int)
        sd = np.array([scales[name] for name in self.errors.sigmas])[groups]
        v = np.outer(sd, sd) * errors_written_out(design, self.correlation, scales.get("rho"))
        flat: dict[str, Array] = {}
        for one in self.directions:
            if one.scale is None:
                for i in range(len(design.units)):
                    flat[f"{one.name}[{i}]"] = one.regressor * (design.unit == i)
            else:
                v = v + scales[one.scale] ** 2 * same * np.outer(one.regressor, one.regressor)
        x = np.column_stack([flat[name] for name in independent(flat)]) if flat else np.empty((n, 0))
        inverse = np.linalg.inv(v)
        information = x.T @ inverse @ x
        q = inverse - inverse @ x @ np.linalg.solve(information, x.T @ inverse)
        log_det = np.linalg.slogdet(v)[1] + np.linalg.slogdet(information)[1]
        return q, -((n - x.shape[1]) * np.log(2 * np.pi) + log_det) / 2


def case(name: str, combination: tuple[str, bool, str, str, str]) -> Case:
    correlation, by_group, level, slope, trend = combination
    design = rows_of(name)
    found = [Direction("unit_effect", None if level == "fixed" else "sigma_mu", np.ones(design.n_obs))]
    if slope == "pooled":
        found.append(Direction("unit_slope", "kappa", design.x[:, 0]))
    if trend != "off":
        found.append(Direction("unit_trend", None if trend == "fixed" else "xi", since_mean(design)))
    columns = np.column_stack([design.y, design.x[:, 1:], np.random.default_rng(1).normal(size=(design.n_obs, 2))]) + 3
    directions = directions_of(design.unit, found)
    lags = CORRELATIONS[correlation].of(design)
    stratum, n_strata = (design.group, len(design.groups)) if by_group else (None, 1)
    codes = np.zeros(design.n_obs, dtype=np.intp) if stratum is None else stratum
    errors = UnitErrors(
        sigmas=tuple(f"sigma[{group}]" for group in design.groups) if by_group else ("sigma",),
        stratum=codes[np.unique(design.unit, return_index=True)[1]],
        n_obs=np.bincount(codes),
        group=design.group_of_unit,
        groups=design.groups,
        directions=directions,
        lags=lags,
        products=unit_products(directions, lags, columns, stratum, n_strata),
    )
    every = SCALES | dict(zip(errors.sigmas, SIGMAS, strict=False))
    scales = {name: every[name] for name in (*errors.sigmas, *errors.other_parameters)}
    return Case(design, errors, tuple(found), columns, scales, correlation)


def at(scales: dict[str, float], n: int = 1) -> dict[str, Array]:
    return {name: np.full(n, value) for name, value in scales.items()}


@pytest.mark.parametrize("name", ["balanced", "unbalanced", "degenerate"])
@pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
def test_cross_products_and_constant_are_those_of_the_covariance(name, combination):
    one = case(name, combination)
    for shift in (0.0, 1.5, -3.0):
        scales = {name: value * np.exp(shift) for name, value in one.scales.items()}
        if "rho" in scales:
            scales["rho"] = float(np.tanh(np.arctanh(SCALES["rho"]) - shift / 2))
        q, constant = one.written_out(scales)
        expected = one.columns.T @ q @ one.columns
        found = one.errors.cross_products(at(scales, 2))
        size = np.sqrt(np.diag(expected))
        for s in (0, 1):
            np.testing.assert_allclose(found.gram[s], expected, rtol=1e-11, atol=1e-12 * (size @ size))
            total = sum(np.broadcast_to(term, 2)[s] for term in found.constant)
            assert total == pytest.approx(constant, rel=1e-12, abs=1e-10)


@pytest.mark.parametrize("name", ["balanced", "degenerate"])
@pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
def test_slopes_are_those_of_the_covariance(name, combination):
    one = case(name, combination)
    root = np.random.default_rng(2).normal(size=(one.columns.shape[1], 4))
    spread, h = root @ root.T, 1e-4
    found = one.errors.slopes(spread, one.scales)
    assert set(found) == set(one.scales)

    def density(name: str, step: float) -> float:
        value = one.scales[name]
        moved = np.tanh(np.arctanh(value) + step) if name == "rho" else value * np.exp(step)
        q, constant = one.written_out(one.scales | {name: moved})
        return constant - float(np.sum(one.columns.T @ q @ one.columns * spread)) / 2

    for name in one.scales:
        rough = (8 * (density(name, h) - density(name, -h)) - density(name, 2 * h) + density(name, -2 * h)) / (12 * h)
        assert found[name] == pytest.approx(rough, rel=1e-8, abs=1e-6)


@dataclass(frozen=True)
class Joint:
    """Coefficients of the columns and of every unit together: normal given the scales, by one dense system."""

    names: tuple[str, ...]
    mean: Array
    covariance: Array


def joint(one: Case, scales: dict[str, float]) -> Joint:
    """What `equations` has, with those of units among the coefficients; without what is not identified."""
    design, n_columns = one.design, one.columns.shape[1] - 1
    columns = {f"column[{k}]": one.columns[:, 1 + k] for k in range(n_columns)}
    units: dict[str, Array] = {}
    for direction in sorted(one.directions, key=lambda direction: direction.scale is not None):
        for i in range(len(design.units)):
            units[f"{direction.name}[{i}]"] = direction.regressor * (design.unit == i)
    scale_of = {direction.name: direction.scale for direction in one.directions}
    flat = {name: column for name, column in units.items() if scale_of[name.partition("[")[0]] is None}
    known = independent(flat) if flat else ()
    units = {name: column for name, column in units.items() if name in known or name not in flat}
    prior = [0.0] * N_FLAT + [scales["tau"] ** -2] * (n_columns - N_FLAT)
    prior += [0.0 if name in known else scales[scale_of[name.partition("[")[0]]] ** -2 for name in units]
    z = np.column_stack([*columns.values(), *units.values()])
    # Errors alone: the inverse of their covariance, without what units have of their own.
    bare = replace(one, directions=())
    inverse, _ = bare.written_out(scales)
    covariance = np.linalg.inv(z.T @ inverse @ z + np.diag(prior))
    return Joint((*columns, *units), covariance @ (z.T @ inverse @ one.columns[:, 0]), covariance)


N_FLAT = 2
"""Columns whose coefficients are flat; a scale pools the others."""


def equations(one: Case) -> NormalEquations:
    p = one.columns.shape[1] - 1
    pooled = {"tau": np.arange(N_FLAT, p)}
    coefficients = Coefficients(
        n_flat=N_FLAT, location=np.zeros((2, p)), pooled=pooled, transform=np.eye(p), log_volume=0.0
    )
    return NormalEquations(one.errors, coefficients)


PARTS = [
    ("off", False, "fixed", "off", "fixed"),
    ("off", False, "random", "pooled", "pooled"),
    ("off", True, "fixed", "pooled", "pooled"),
    ("ar1", False, "fixed", "pooled", "fixed"),
    ("ar1", False, "random", "pooled", "fixed"),
    ("ar1", True, "fixed", "off", "off"),
    ("ar1", True, "fixed", "pooled", "pooled"),
    ("ar1", True, "random", "pooled", "pooled"),
]
"""Combinations with every choice of every part, of which draws are compared."""


@pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
@pytest.mark.parametrize("name", ["balanced", "degenerate"])
def test_coefficients_and_means_over_units_are_those_of_one_dense_system(name, combination):
    one = case(name, combination)
    scales = one.scales | {"tau": 0.4}
    found = equations(one).conditional(at(scales))
    expected = joint(one, scales)
    n_columns = one.columns.shape[1] - 1
    load = np.zeros((n_columns + len(one.errors.unit_means), len(expected.names)))
    load[:n_columns, :n_columns] = np.eye(n_columns)
    numbered = replace(one.design, units=tuple(str(i) for i in range(len(one.design.units))))
    for k, label in enumerate(one.errors.unit_means, start=n_columns):
        load[k] = mean_loading(numbered, label, expected.names)
    np.testing.assert_allclose(load.sum(axis=1), 1)
    covariance = load @ expected.covariance @ load.T
    sd = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(found.mean[0] / sd, load @ expected.mean / sd, atol=1e-9)
    assert_covariance(found.root[0] @ found.root[0].T, covariance, 1e-9)


@pytest.mark.parametrize("combination", PARTS, ids=str)
def test_units_are_drawn_jointly_from_their_conditional(combination):
    """With the coefficients drawn before, levels, slopes and trends have the moments of the dense system."""
    one = case("degenerate", combination)
    scales, n = one.scales | {"tau": 0.4}, 20_000
    expected = joint(one, scales)
    rng = np.random.default_rng(3)
    blocks: Any = SimpleNamespace(design=replace(one.design, y=one.columns[:, 0]), scaled_rows=one.columns)
    coefficients = equations(one).conditional(at(scales, n)).draw(rng)[:, : one.columns.shape[1] - 1]
    drawn = one.errors.draw_units(blocks, coefficients, at(scales, n), rng)
    assert list(drawn)[-1] == "unit_effect"
    found = np.column_stack([coefficients, *drawn.values()])
    names = [f"column[{k}]" for k in range(coefficients.shape[1])]
    names += [f"{name}[{i}]" for name in drawn for i in range(len(one.design.units))]
    lost = [k for k, name in enumerate(names) if name not in expected.names]
    assert (found[:, lost] == 0).all()
    at_names = [names.index(name) for name in expected.names]
    found, sd = found[:, at_names], np.sqrt(np.diag(expected.covariance))
    assert (np.abs(found.mean(axis=0) - expected.mean) < 5 * sd / np.sqrt(n)).all()
    assert (np.abs(np.cov(found.T) - expected.covariance) < 6 * np.outer(sd, sd) * np.sqrt(2 / n)).all()


@pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
def test_a_row_given_all_others_is_that_of_the_covariance(combination):
    one = case("degenerate", combination)
    scales = one.scales | {"tau": 0.4}
    q, _ = one.written_out(scales)
    z = one.columns[:, 1:]
    prior = np.diag([0.0] * N_FLAT + [scales["tau"] ** -2] * (z.shape[1] - N_FLAT))
    q = q - q @ z @ np.linalg.solve(z.T @ q @ z + prior, z.T @ q)
    blocks: Any = SimpleNamespace(design=replace(one.design, y=one.columns[:, 0]), scaled_rows=one.columns)
    points = at(scales, 2)
    for rows in (np.arange(one.design.n_obs), np.array([0, 3, one.design.n_obs - 1])):
        found = one.errors.rows_given_others(blocks, rows, points, [(slice(None), equations(one).conditional(points))])
        for s in (0, 1):
            np.testing.assert_allclose(found.pull[s], (q @ one.columns[:, 0])[rows], rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(found.precision[s], np.diag(q)[rows], rtol=1e-9, atol=1e-10)
            bare, _ = replace(one, directions=()).written_out(scales)
            np.testing.assert_allclose(found.known[s], np.diag(bare)[rows], rtol=1e-11)


@pytest.mark.parametrize(
    "combination", [parts for parts in COMBINATIONS if parts[2:] == ("fixed", "off", "off")], ids=str
)
def test_densities_of_rows_given_the_row_before_add_up(combination):
    one = case("unbalanced", combination)
    residual = np.random.default_rng(4).normal(size=(2, one.design.n_obs))
    found = one.errors.row_log_density(one.design, residual, at(one.scales, 2))
    q, constant = replace(one, directions=()).written_out(one.scales)
    for s in (0, 1):
        assert found[s].sum() == pytest.approx(constant - residual[s] @ q @ residual[s] / 2, rel=1e-12)
