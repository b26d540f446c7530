"""Who covers effects of staggered adoption that grow over time and differ between cohorts, at what width."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from cbec_bayes.bayes.events.fit import fit_events
from cbec_bayes.classical.events.gardner import gardner_path
from cbec_bayes.classical.events.paths import (
    SATURATED,
    SUN_ABRAHAM,
    EffectPath,
    fit_saturated,
    path_of_cells,
    twfe_path,
)
from cbec_bayes.estimands.events import EventEffect, event_effects
from cbec_bayes.panel.adoption import Adoption, adoption_of, cells_of
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array, TwoWay
from cbec_bayes.runtime.errors import GateError
from cbec_bayes.runtime.fanout import Executor, fan_out
from cbec_bayes.runtime.labels import CI_PROB, GROUP_ALL, Origin
from cbec_bayes.runtime.progress import OnProgress, ignore_progress

HIERARCHICAL, SANDWICH = "hierarchical", "hierarchical, sd_ij"
"""The posterior's own interval, and that of its mean with the standard deviation over units."""

QUANTITIES = ("mean after adoption", "in the period of adoption", "three periods later", "two periods before")
"""What intervals are tried on; the last is zero."""

_EVENT_TIMES: Mapping[str, int | None] = dict(zip(QUANTITIES, (None, 0, 3, -2), strict=True))

_FEWEST = 30  # panels below which a coverage above the least may be chance
_JUDGED = ("scenario", "estimator", "quantity", "coverage")

DRAWS = 1_000
PILOT = 1_000

COVERAGE_COLUMNS = (
    "scenario",
    "estimator",
    "quantity",
    "replications",
    "coverage",
    "mc_se",
    "width_median",
    "bias",
    "failed",
    "origin",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventScenario:
    """How panels are made; the standard deviation of the errors is one.

    Attributes
    ----------
    name, text
        Short name, and a sentence.
    cohorts
        Adoption of the units, over and over: period from 0, or minus one where a unit is never treated.
    first, growth
        Effect in the period of adoption, and what is added to it with each period.
    spread
        Standard deviation between cohorts of both, as a share of them.
    rho
        Correlation of errors one period apart.
    errors
        What the hierarchical model takes errors for.
    n_units, n_times
        Size.
    """

    name: str
    text: str
    cohorts: tuple[int, ...] = (3, 4, 6, -1)
    first: float = 0.5
    growth: float = 0.3
    spread: float = 0.4
    rho: float = 0.0
    errors: str = "independent"
    n_units: int = 60
    n_times: int = 9


SCENARIOS = (
    EventScenario(
        name="growing effects", text="effects grow over time and differ between cohorts, a quarter is never treated"
    ),
    EventScenario(name="all adopt", text="the same, and all units adopt in the end", cohorts=(2, 4, 6, 7), growth=0.2),
    EventScenario(
        name="serial correlation",
        text="the same as the first, and errors have a correlation of .6, which the model knows",
        rho=0.6,
        errors="ar1",
    ),
    EventScenario(
        name="wrong errors",
        text="errors have a correlation of .6, and the model takes them for independent",
        rho=0.6,
    ),
)
"""Effects of cohorts are drawn anew in each panel, so that no estimator's intervals are tried on one set alone."""


@dataclass(frozen=True, slots=True)
class EventPanel:
    """A piece of work: one panel of a scenario, by its seed."""

    scenario: EventScenario
    seed: int


def simulate_events(scenario: EventScenario, seed: int) -> tuple[Design, Array]:
    """Return a panel, and the effect of adoption in each of its rows, zero before adoption."""
    rng = np.random.default_rng([seed, 41])
    n_units, n_times = scenario.n_units, scenario.n_times
    unit, time = np.repeat(np.arange(n_units), n_times), np.tile(np.arange(n_times), n_units)
    start = np.resize(np.array(scenario.cohorts), n_units)[unit]
    event = time - start
    treated = (start >= 0) & (event >= 0)
    own = 1 + scenario.spread * rng.normal(size=(n_times, 2))
    effect = np.where(treated, scenario.first * own[start, 0] + scenario.growth * own[start, 1] * event, 0.0)
    errors = rng.normal(size=(n_units, n_times))
    for t in range(1, n_times):
        errors[:, t] = scenario.rho * errors[:, t - 1] + np.sqrt(1 - scenario.rho**2) * errors[:, t]
    y = rng.normal(size=n_units)[unit] + np.cumsum(rng.normal(size=n_times))[time] + effect + errors.ravel()
    design = Design(
        outcome="y",
        terms=("d",),
        y=y,
        x=treated.astype(float)[:, None],
        unit=unit,
        time=time,
        group=None,
        units=tuple(f"u{i:03d}" for i in range(n_units)),
        times=tuple(float(t) for t in range(n_times)),
        groups=(),
        effects=TwoWay(unit, time),
        origin=Origin.SIMULATED,
    )
    return design, effect


def intervals_of_events(piece: EventPanel) -> list[tuple[str, str, float, float, float]]:
    """Return estimator, quantity, and the ends of the interval less the truth and the miss of its middle, of a panel.

    A hierarchical fit that misses a gate has no rows.
    """
    scenario = piece.scenario
    design, effect = simulate_events(scenario, piece.seed)
    adoption = adoption_of(design)
    rows = np.isin(design.time, np.flatnonzero(np.isin(design.times, adoption.design.times)))
    truths = _truths(adoption, effect[rows])
    paths = [
        twfe_path(adoption, "reghdfe"),
        path_of_cells(SUN_ABRAHAM, fit_saturated(adoption, "reghdfe", leads=True)),
        gardner_path(adoption),
        path_of_cells(SATURATED, fit_saturated(adoption, "reghdfe", leads=False)),
    ]
    found = [
        (path.estimator, name, *_about(*_of_path(path, _EVENT_TIMES[name]), truth))
        for path in paths
        for name, truth in truths.items()
    ]
    try:
        fit = fit_events(adoption, scenario.errors, draws=DRAWS, pilot=PILOT, seed=piece.seed)
        fit.diagnostics.require()
    except GateError:
        return found
    cells = cells_of(adoption, leads=False)
    effects = {one.event_time: one for one in event_effects(fit, cells).effects if one.group == GROUP_ALL}
    half = float(stats.t.ppf((1 + CI_PROB) / 2, len(adoption.design.units) - 1))
    for name, truth in truths.items():
        one: EventEffect = effects[_EVENT_TIMES[name]]
        mean = one.summary.mean
        found.append((HIERARCHICAL, name, one.summary.ci_low - truth, one.summary.ci_high - truth, mean - truth))
        found.append((SANDWICH, name, *_about(mean, half * one.sd_ij, truth)))
    return found


def _truths(adoption: Adoption, effect: Array) -> dict[str, float]:
    """Return the true mean effects by the names of quantities, as far as the panel has them."""
    found = {}
    for name, event_time in _EVENT_TIMES.items():
        rows = adoption.treated if event_time is None else adoption.has_cohort & (adoption.event_time == event_time)
        if rows.any():
            found[name] = float(effect[rows].mean())
    return found


def _of_path(path: EffectPath, event_time: int | None) -> tuple[float, float]:
    """Return an estimate and the half-width of its interval; NaN where the estimator has no such effect."""
    half = float(stats.t.ppf((1 + CI_PROB) / 2, path.df))
    if event_time is None:
        return path.average, half * path.average_se
    if event_time not in path.event_times:
        return float("nan"), float("nan")
    at = path.event_times.index(event_time)
    return float(path.estimate[at]), half * float(path.se[at])


def _about(estimate: float, half: float, truth: float) -> tuple[float, float, float]:
    return estimate - half - truth, estimate + half - truth, estimate - truth


def event_coverage(
    executor: Executor,
    *,
    panels: int,
    scenarios: Sequence[EventScenario] = SCENARIOS,
    seed: int = 1,
    on_progress: OnProgress = ignore_progress,
) -> pd.DataFrame:
    """Measure coverage of 95 % intervals of effects by time since adoption.

    Parameters
    ----------
    executor
        Who does the work.
    panels
        Number of panels of each scenario.
    scenarios
        Which are tried.
    seed
        Seed of the first panel; the others follow.
    on_progress
        Called with how many panels are done.

    Returns
    -------
    pandas.DataFrame
        With columns `COVERAGE_COLUMNS`: a row per scenario, estimator and quantity that the estimator has.
    """
    pieces = [EventPanel(one, seed + k) for one in scenarios for k in range(panels)]
    raw = fan_out(executor, intervals_of_events, pieces, on_progress=on_progress, named="panel")
    rows = [(piece.scenario.name, *row) for piece, own in zip(pieces, raw, strict=True) for row in own]
    columns = ["scenario", "estimator", "quantity", "low", "high", "miss"]
    frame = pd.DataFrame(rows, columns=columns).dropna()
    frame = frame.assign(covers=(frame["low"] <= 0) & (frame["high"] >= 0), width=frame["high"] - frame["low"])
    of = frame.groupby(["scenario", "estimator", "quantity"], sort=False)
    found = of.agg(
        replications=("covers", "size"),
        coverage=("covers", "mean"),
        width_median=("width", "median"),
        bias=("miss", "mean"),
    ).reset_index()
    error = np.sqrt(found["coverage"] * (1 - found["coverage"]) / found["replications"])
    found = found.assign(mc_se=error, failed=panels - found["replications"], origin=str(Origin.SIMULATED))
    return found[list(COVERAGE_COLUMNS)]


def require_coverage(found: pd.DataFrame, *, least: float = 0.9, errors: float = 4.0) -> None:
    """Raise `GateError` where an interval that should cover does not, or one that is known to fail is not found out.

    Parameters
    ----------
    found
        From `event_coverage`.
    least
        Coverage below which a nominal 95 % interval is not accepted: clustered errors of 60 units fall somewhat short.
    errors
        Monte Carlo standard errors, at that coverage, that an estimate may be below it.

    Notes
    -----
    Clustered intervals of all estimators for heterogeneous effects have to cover in every scenario, and the posterior's
    own wherever its errors are right; with wrong errors the interval with sd_ij has to. The two-way coefficient, which
    is no mean effect where effects grow, has to miss.
    """
    slack = errors * np.sqrt(least * (1 - least) / found["replications"].max())
    missed = []
    for row in found.to_dict("records"):
        scenario, estimator, quantity, coverage = (row[name] for name in _JUDGED)
        must = estimator in (SUN_ABRAHAM, SATURATED, "gardner") and quantity != QUANTITIES[3]
        must |= estimator == (SANDWICH if scenario == "wrong errors" else HIERARCHICAL)
        if must and coverage < least - slack:
            missed.append(f"{estimator} covers the effect {quantity} in {coverage:.0%} of panels ({scenario})")
        few = row["replications"] < _FEWEST
        if (estimator, quantity) == ("twfe", QUANTITIES[0]) and coverage > least and not few:
            missed.append(f"the two-way coefficient is not found out ({scenario})")
    if missed:
        raise GateError("; ".join(missed))
