"""Panels to test regressions on: the golden cases, and random ones with a dense description of their effects."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from cbec_bayes.classical.regression import Regression, twfe
from cbec_bayes.panel import Panel, Roles, make_panel
from cbec_bayes.panel.design import Design, make_design
from cbec_bayes.panel.within import Array, Codes, TwoWay
from cbec_bayes.runtime.labels import Origin

FOLDER = Path(__file__).resolve().parents[1] / "golden"
R = json.loads((FOLDER / "golden.json").read_text(encoding="utf-8"))
PYFIXEST = json.loads((FOLDER / "pyfixest.json").read_text(encoding="utf-8"))
CASES = tuple(R["cases"])


@functools.cache
def panel_of_case(name: str) -> Panel:
    """Return the panel of a golden case: dropped rows left out, one region only where it says so, logs taken."""
    case = R["cases"][name]
    frame = pd.read_csv(FOLDER / case["source"])
    frame = frame.drop(index=[row - 1 for row in case["dropped_rows"]])
    if case["region"] is not None:
        frame = frame[frame["region"] == case["region"]]
    outcome, right = case["formula"].split(" ~ ")
    terms = right.split(" + ")
    for term in (outcome, *terms):
        if term.startswith("log("):
            frame[term] = np.log(frame[term.removeprefix("log(").removesuffix(")")])
    grouped = "region" in frame
    roles = Roles(
        outcome=outcome,
        exposure=terms[0],
        controls=tuple(terms[1:]),
        unit=case["unit"],
        time=case["time"],
        group="region" if grouped else None,
    )
    if grouped:
        frame["region"] = frame["region"].astype(str)
    return make_panel(frame.reset_index(drop=True), roles)


@functools.cache
def load(name: str) -> Design:
    """Return the design of a golden case."""
    return make_design(panel_of_case(name))


@functools.cache
def fit(name: str, ssc: str = "reghdfe") -> Regression:
    """Return our own fit of a golden case."""
    return twfe(load(name), ssc=ssc)


def golden(values: dict[str, float], design: Design) -> Array:
    """Return golden numbers in the order of the design's terms."""
    return np.array([values[term] for term in design.terms])


def design_of(
    y: ArrayLike, x: ArrayLike, unit: ArrayLike, time: ArrayLike, group: Sequence[str] | None = None
) -> Design:
    """Return the design of arrays; units, times and groups may have any labels."""
    columns = np.asarray(x, dtype=float)
    units, unit_codes = np.unique(unit, return_inverse=True)
    times, time_codes = np.unique(time, return_inverse=True)
    groups, group_codes = ((), None) if group is None else np.unique(group, return_inverse=True)
    return Design(
        outcome="y",
        terms=tuple(f"x{k}" for k in range(columns.shape[1])),
        y=np.asarray(y, dtype=float),
        x=columns,
        unit=unit_codes,
        time=time_codes,
        group=group_codes,
        units=tuple(f"unit {u}" for u in units),
        times=tuple(float(t) for t in times),
        groups=tuple(str(g) for g in groups),
        effects=TwoWay(unit_codes, time_codes),
        origin=Origin.SIMULATED,
    )


def random_design(seed: int, n_units: int, n_times: int, n_terms: int = 2, share: float = 1.0) -> Design:
    """Return a panel with unit and time effects that are correlated with x; a `share` of the cells is there."""
    rng = np.random.default_rng(seed)
    unit, time = np.divmod(np.flatnonzero(rng.uniform(size=n_units * n_times) < share), n_times)
    a, b = rng.normal(size=n_units), rng.normal(size=n_times)
    x = rng.normal(size=(len(unit), n_terms)) + (a[unit] + b[time])[:, None]
    noise = rng.normal(size=len(unit)) * (1 + 0.5 * unit / n_units) + 0.5 * a[unit] * x[:, 0]
    return design_of(0.3 * x.sum(axis=1) + 2 * a[unit] - b[time] + noise, x, unit, time)


def grouped(seed: int = 0, n_units: int = 15, n_times: int = 6, n_groups: int = 3, share: float = 1.0) -> Design:
    """Return a random panel, balanced or with holes, in groups of equal size."""
    design = random_design(seed, n_units, n_times, share=share)
    codes = np.arange(len(design.units)) % n_groups
    return replace(design, group=codes[design.unit], groups=tuple(f"g{r}" for r in range(n_groups)))


def with_outcome(design: Design, y: Array) -> Design:
    """Return the design with another outcome."""
    return replace(design, y=y)


def dummies(unit: Codes, time: Codes) -> Array:
    """Return every unit and every time dummy, shape (n, N + T), which is one column too many or more."""
    return np.column_stack([unit[:, None] == np.unique(unit), time[:, None] == np.unique(time)]).astype(float)


def dummy_ols(design: Design) -> tuple[Array, Array]:
    """Return slopes and residuals of the regression on x and all dummies, by one dense least-squares solution."""
    scale = design.x.std(axis=0)
    x = np.column_stack([(design.x - design.x.mean(axis=0)) / scale, dummies(design.unit, design.time)])
    solution = np.linalg.lstsq(x, design.y, rcond=1e-12)[0]
    return solution[: len(scale)] / scale, design.y - x @ solution


def clustered(design: Design) -> Array:
    """Return the clustered covariance of the slopes with no factor at all, from the dense regression."""
    x = np.column_stack([design.x, dummies(design.unit, design.time)])
    scale = np.abs(x).max(axis=0)
    bread = np.linalg.pinv(x / scale, rcond=1e-12)[: design.x.shape[1]] / scale[: design.x.shape[1], None]
    residual = dummy_ols(design)[1]
    scores = np.array([bread[:, design.unit == u] @ residual[design.unit == u] for u in np.unique(design.unit)])
    return scores.T @ scores
