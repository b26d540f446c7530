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
from cbec_bayes.runtime.journal import Journal
from cbec_bayes.runtime.labels import CI_PROB, GROUP_ALL, Origin
from cbec_bayes.runtime.progress import OnProgress, ignore_progress

HIERARCHICAL, SANDWICH = "hierarchical", "hierarchical, sd_ij"
"""The posterior's own interval, and that of its mean with the standard deviation over units."""

WRONG_ERRORS = "wrong errors"
"""Scenario in which the hierarchical model takes serially correlated errors for independent ones."""

QUANTITIES = ("mean after adoption", "in the period of adoption", "three periods later", "two periods before")
"""What intervals are tried on; the last is zero."""

_EVENT_TIMES: Mapping[str, int | None] = dict(zip(QUANTITIES, (None, 0, 3, -2), strict=True))

_FEWEST = 30  # panels below which a coverage above the least may be chance
_JUDGED = ("scenario", "method", "column", "coverage")

DRAWS = 1_000
PILOT = 1_000

EVENT_COVERAGE_COLUMNS = (
    "scenario",
    "column",
    "method",
    "nominal",
    "replications",
    "coverage",
    "mc_se",
    "width_median",
    "bias",
    "rmse",
    "failed",
    "origin",
)
"""Those of coverage.csv, where they apply: `column` is the effect, and `method` the estimator or the interval."""


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
        name=WRONG_ERRORS,
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


type Intervals = list[tuple[str, str, float, float, float]]
"""Method, effect, both ends of the interval less the truth, and the middle less the truth."""


def intervals_of_events(piece: EventPanel) -> Intervals:
    """Return the intervals of a panel.

    A hierarchical fit that misses a gate has NaN for each number; an effect that an estimator does not have has no row.
    """
    adoption, truths = panel_of(piece)
    return [*classical_intervals(adoption, truths), *_hierarchical(adoption, truths, piece)]


def panel_of(piece: EventPanel) -> tuple[Adoption, dict[str, float]]:
    """Return the rows of a panel that effects are estimated from, and the true mean effects by name."""
    design, effect = simulate_events(piece.scenario, piece.seed)
    adoption = adoption_of(design)
    rows = np.isin(design.time, np.flatnonzero(np.isin(design.times, adoption.design.times)))
    return adoption, _truths(adoption, effect[rows])


def classical_intervals(adoption: Adoption, truths: Mapping[str, float]) -> Intervals:
    """Return the intervals of the four classical estimators."""
    paths = [
        twfe_path(adoption, "reghdfe"),
        path_of_cells(SUN_ABRAHAM, fit_saturated(adoption, "reghdfe", leads=True)),
        gardner_path(adoption),
        path_of_cells(SATURATED, fit_saturated(adoption, "reghdfe", leads=False)),
    ]
    return [
        (path.estimator, name, *_about(*found, truth))
        for path in paths
        for name, truth in truths.items()
        if (found := _of_path(path, _EVENT_TIMES[name])) is not None
    ]


def _hierarchical(adoption: Adoption, truths: Mapping[str, float], piece: EventPanel) -> Intervals:
    try:
        fit = fit_events(adoption, piece.scenario.errors, draws=DRAWS, pilot=PILOT, seed=piece.seed)
        fit.diagnostics.require()
    except GateError:
        return [(method, name, *(float("nan"),) * 3) for name in truths for method in (HIERARCHICAL, SANDWICH)]
    cells = cells_of(adoption, leads=False)
    effects = {one.event_time: one for one in event_effects(fit, cells).effects if one.group == GROUP_ALL}
    half = float(stats.t.ppf((1 + CI_PROB) / 2, len(adoption.design.units) - 1))
    found = []
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


def _of_path(path: EffectPath, event_time: int | None) -> tuple[float, float] | None:
    """Return an estimate and the half-width of its interval; None where the estimator has no such effect."""
    half = float(stats.t.ppf((1 + CI_PROB) / 2, path.df))
    if event_time is None:
        return path.average, half * path.average_se
    if event_time not in path.event_times:
        return None
    at = path.event_times.index(event_time)
    return float(path.estimate[at]), half * float(path.se[at])


def _about(estimate: float, half: float, truth: float) -> tuple[float, float, float]:
    return estimate - half - truth, estimate + half - truth, estimate - truth


def event_coverage(
    executor: Executor,
    panels: int,
    *,
    scenarios: Sequence[EventScenario] = SCENARIOS,
    seed: int = 1,
    journal: Journal | None = None,
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
    journal, on_progress
        As in `cbec_bayes.runtime.fanout.fan_out`.

    Returns
    -------
    pandas.DataFrame
        With columns `EVENT_COVERAGE_COLUMNS`: a row per scenario, effect and method that has the effect. `failed`
        counts the panels whose fit missed a gate: they count neither as covering nor as not.
    """
    pieces = pieces_of(panels, scenarios, seed)
    raw = fan_out(executor, intervals_of_events, pieces, journal=journal, on_progress=on_progress, named="event panels")
    merged: dict[tuple[str, str, str], list[Sequence[float]]] = {}
    for piece, own in zip(pieces, raw, strict=True):
        for method, column, *numbers in own:
            merged.setdefault((piece.scenario.name, column, method), []).append(numbers)
    rows = [measured_events(*key, values) for key, values in merged.items()]
    return pd.DataFrame(rows, columns=list(EVENT_COVERAGE_COLUMNS))


def pieces_of(panels: int, scenarios: Sequence[EventScenario], seed: int) -> list[EventPanel]:
    """Return the pieces of work of `event_coverage`."""
    return [EventPanel(one, seed + k) for one in scenarios for k in range(panels)]


def measured_events(scenario: str, column: str, method: str, values: Sequence[Sequence[float]]) -> tuple[object, ...]:
    """Return a row of `event_coverage`, from both ends and the middle of each interval less the truth."""
    every = np.array(values, dtype=float)
    low, high, miss = every[~np.isnan(every).any(axis=1)].T
    n = len(low)
    numbers = (float("nan"),) * 5
    if n:
        share = float(((low <= 0) & (high >= 0)).mean())
        error = float(np.sqrt(share * (1 - share) / n))
        numbers = (share, error, float(np.median(high - low)), float(miss.mean()), float(np.sqrt((miss**2).mean())))
    return (scenario, column, method, CI_PROB, n, *numbers, len(every) - n, str(Origin.SIMULATED))


def misses(found: pd.DataFrame, *, least: float = 0.9, errors: float = 4.0) -> list[str]:
    """Say which interval should cover and does not, and which is known to fail and is not found out.

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
        scenario, method, column, coverage = (row[name] for name in _JUDGED)
        must = method in (SUN_ABRAHAM, SATURATED, "gardner") and column != QUANTITIES[3]
        must |= method == (SANDWICH if scenario == WRONG_ERRORS else HIERARCHICAL)
        if must and row["replications"] == 0:
            missed.append(f"no panel could be fitted: {method}, the effect {column} ({scenario})")
        if must and coverage < least - slack:
            missed.append(f"{method} covers the effect {column} in {coverage:.0%} of panels ({scenario})")
        few = row["replications"] < _FEWEST
        if (method, column) == ("twfe", QUANTITIES[0]) and coverage > least and not few:
            missed.append(f"the two-way coefficient is not found out ({scenario})")
    return missed


def require_coverage(found: pd.DataFrame) -> None:
    """Raise `GateError` where `misses` has something to say."""
    if missed := misses(found):
        raise GateError("; ".join(missed))
