"""Coverage and width of classical and hierarchical intervals on panels like the paper's, whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from cbec_bayes.bayes.model.blocks import Blocks, blocks_for
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.bayes.predictive import residuals
from cbec_bayes.bayes.refit import refit
from cbec_bayes.calibration.simulate import GROUP_SIZES, Simulated, simulated_regressors, with_outcome
from cbec_bayes.classical.fewbatch import prepare_few
from cbec_bayes.estimands.groups import refitted_slopes
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array, means_by
from cbec_bayes.runtime.errors import GateError
from cbec_bayes.runtime.fanout import Executor, fan_out
from cbec_bayes.runtime.journal import Journal
from cbec_bayes.runtime.labels import CI_PROB, GROUP_ALL, Origin
from cbec_bayes.runtime.progress import OnProgress, ignore_progress

MODELS = (
    "complete_pooling",
    "no_pooling",
    "partial_pooling",
    "group_variance",
    "nested",
    "ar1",
    "correlated_effects",
    "unit_trends",
    "first_differences",
    "robust",
)
"""Members whose intervals are tried."""

CLASSICAL = ("CRV1, t", "CR2, Satterthwaite", "CRV3, t", "wild bootstrap")
"""Classical intervals that are tried: G - 1 degrees of freedom for CRV1 and CRV3, 999 draws inverted for the last."""

WILD_REPLICATIONS = 999
OUTCOMES = 25
"""Outcomes of each panel of regressors."""

DRAWS = 500
PILOT = 1_000

COVERAGE_COLUMNS = (
    "scenario",
    "column",
    "n_clusters",
    "method",
    "replications",
    "coverage",
    "mc_se",
    "width_median",
    "unbounded",
    "bias",
    "rmse",
    "failed",
    "origin",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """How data are made; the residual's standard deviation is one, and so is the exposure's.

    Attributes
    ----------
    name, text
        Short name, and a sentence.
    tau, kappa
        Standard deviations of slopes between groups, and between the units of a group.
    rho
        Correlation of residuals one period apart; one for a random walk, which moves by the residual's standard
        deviation in a period.
    trend
        Standard deviation of the units' linear trends, per period.
    correlated
        Slope of unit effects on the unit mean of the exposure.
    unequal
        Ratio of the largest to the smallest residual scale of a group.
    """

    name: str
    text: str
    tau: float = 0.3
    kappa: float = 0.0
    rho: float = 0.0
    trend: float = 0.0
    correlated: float = 0.0
    unequal: float = 1.0


SCENARIOS = (
    Scenario(name="equal slopes", text="one slope for all, independent residuals", tau=0.0),
    Scenario(name="slopes by group", text="slopes that differ between groups, independent residuals"),
    Scenario(
        name="serial correlation", text="and residuals with a correlation of .6 from one period to the next", rho=0.6
    ),
    Scenario(
        name="slopes by unit",
        text="and slopes that differ between the units of a group as much as between groups",
        kappa=0.3,
    ),
    Scenario(
        name="correlated effects", text="and unit effects that rise with the unit's mean exposure", correlated=1.0
    ),
    Scenario(name="unequal spread", text="and residual scales that differ threefold between groups", unequal=3.0),
    Scenario(name="trends", text="and a linear trend of every unit, of a fifth of a residual in a period", trend=0.2),
    Scenario(name="random walk", text="and residuals that are a random walk in every unit", rho=1.0),
    Scenario(
        name="all at once",
        text="all of these, but residuals with a correlation of .6 in the place of a random walk",
        kappa=0.3,
        rho=0.6,
        trend=0.2,
        correlated=1.0,
        unequal=3.0,
    ),
)
"""Each but the first has slopes that differ between groups, with a standard deviation of .3 about a mean of .3."""

SLOPE = 0.3


@dataclass(frozen=True, slots=True)
class Outcomes:
    """A piece of work: some outcomes on one panel of regressors.

    Attributes
    ----------
    scenario
        How they are made.
    panel
        Number of the panel.
    n
        Outcomes.
    models
        Members that are fitted.
    seed
        Seed of all pieces together.
    """

    scenario: Scenario
    panel: int
    n: int
    models: tuple[str, ...]
    seed: int


def simulate(scenario: Scenario, design: Design, rng: np.random.Generator) -> Simulated:
    """Draw an outcome.

    Returns
    -------
    Simulated
        Its truth has the slope in common, and ``group_slopes``, each group's mean slope, shape (R,).
    """
    n_groups, n_units, n_times = len(design.groups), len(design.units), len(design.times)
    d = design.x[:, 0]
    group = np.asarray(design.group)
    slopes = SLOPE + scenario.tau * rng.standard_normal(n_groups)
    own = scenario.kappa * rng.standard_normal(n_units)
    sizes = np.geomspace(1, scenario.unequal, n_groups)
    sizes = rng.permutation(sizes / np.sqrt((sizes**2).mean()))
    unit_effect = scenario.correlated * means_by(design.unit, d[:, None])[:, 0] + rng.standard_normal(n_units)
    time_effect = 0.5 * rng.standard_normal(n_times)
    if scenario.rho == 1:
        noise = residuals(_WALK, design, {"sigma": np.ones(1)}, rng)[0]
    else:
        scales = {"sigma": np.sqrt([1 - scenario.rho**2]), "rho": np.array([scenario.rho])}  # a sd of one
        noise = residuals(_AR1, design, scales, rng)[0]
    y = (slopes[group] + own[design.unit]) * d + design.x[:, 1:].sum(axis=1) * SLOPE
    y = y + scenario.trend * rng.standard_normal(n_units)[design.unit] * design.elapsed
    y = y + unit_effect[design.unit] + time_effect[design.time] + sizes[group] * noise
    return Simulated(y, {"slope": np.array(SLOPE), "group_slopes": slopes})


_AR1, _WALK = load_panel_model("ar1"), load_panel_model("first_differences")


def intervals(piece: Outcomes) -> dict[str, dict[str, list[list[float]]]]:
    """Return every interval less its truth: by column and method, a list of (low, high, middle) per outcome.

    The middle is the estimate or the posterior mean. An outcome that a model could not be fitted to, or whose fit
    missed a gate, has NaN for each.
    """
    regressors = simulated_regressors(np.random.default_rng([piece.seed, piece.panel]))
    # A scenario has outcomes of its own, the same whichever models are fitted.
    rng = np.random.default_rng([piece.seed, piece.panel, *piece.scenario.name.encode()])
    drawn = [simulate(piece.scenario, regressors, rng) for _ in range(piece.n)]
    seeds = [int(seed) for seed in rng.integers(2**31, size=piece.n)]
    outcomes = np.array([one.y for one in drawn])
    truths = {GROUP_ALL: np.array([float(one.truth["slope"]) for one in drawn])}
    truths |= {g: np.array([one.truth["group_slopes"][r] for one in drawn]) for r, g in enumerate(regressors.groups)}
    found: dict[str, dict[str, list[list[float]]]] = {}
    for column, truth in truths.items():
        group = None if column == GROUP_ALL else column
        found[column] = {
            method: (values - truth[:, None]).tolist()
            for method, values in _classical(regressors, group, outcomes, piece.seed).items()
        }
    for model in piece.models:
        blocks = blocks_for(regressors, model)
        for i, seed in enumerate(seeds):
            for column, values in _hierarchical(blocks, outcomes[i], seed).items():
                found[column].setdefault(model, []).append([value - float(truths[column][i]) for value in values])
    return found


def _classical(design: Design, group: str | None, outcomes: Array, seed: int) -> dict[str, Array]:
    prepared = prepare_few(design, group=group)
    fit = prepared.fit(outcomes)
    middle = fit.estimate[:, 0]
    found = {}
    errors = ((fit.crv1_se, fit.df), (fit.cr2_se, float(fit.cr2_df[0])), (fit.crv3_se, fit.crv3_df))
    for method, (se, df) in zip(CLASSICAL, errors, strict=False):
        half = stats.t.isf((1 - CI_PROB) / 2, df) * se[:, 0]
        found[method] = np.column_stack([middle - half, middle + half, middle])
    wild = prepared.wild_interval(outcomes, 0, WILD_REPLICATIONS, seed)
    return found | {CLASSICAL[-1]: np.column_stack([wild, middle])}


def _hierarchical(blocks: Blocks, y: Array, seed: int) -> dict[str, list[float]]:
    """Return the interval and the mean of the common slope, and of each group's where the model has them."""
    columns = [GROUP_ALL] if blocks.model.choice("group_slope") != "fixed" else []
    columns += blocks.design.groups if blocks.model.choice("group_slope") != "off" else ()
    try:
        found = refit(with_outcome(blocks, y), draws=DRAWS, seed=seed, pilot=PILOT)
        found.diagnostics.require()
    except GateError:
        return {column: [np.nan] * 3 for column in columns}
    slopes = refitted_slopes(found)
    draws = {GROUP_ALL: slopes.common} | {group: slopes.groups[:, r] for r, group in enumerate(slopes.labels)}
    levels = [(1 - CI_PROB) / 2, (1 + CI_PROB) / 2]
    return {column: [*np.quantile(draws[column], levels), float(draws[column].mean())] for column in columns}


def coverage(
    executor: Executor,
    n: int,
    *,
    scenarios: Sequence[Scenario] = SCENARIOS,
    models: Sequence[str] = MODELS,
    seed: int = 1,
    journal: Journal | None = None,
    on_progress: OnProgress = ignore_progress,
) -> pd.DataFrame:
    """Measure coverage and width.

    Parameters
    ----------
    executor
        From `cbec_bayes.runtime.fanout.open_executor`.
    n
        Outcomes per scenario, on panels of `OUTCOMES` each.
    scenarios, models
        How data are made, and members that are fitted.
    seed, journal, on_progress
        As in `cbec_bayes.runtime.fanout.fan_out`.

    Returns
    -------
    DataFrame
        One row per scenario, column (`(all)` or a group) and method, with columns `COVERAGE_COLUMNS`. The truth of
        ``(all)`` is the mean of slopes of groups in general, not of the four at hand: where groups differ, a regression
        that pools them has no term for that. `width_median` is over the intervals that are bounded. `failed` counts the
        outcomes to which a method could not be fitted, or whose fit missed a gate: they count neither as covering nor
        as not.
    """
    pieces = pieces_of(n, scenarios, models, seed)
    found = fan_out(executor, intervals, pieces, journal=journal, on_progress=on_progress, named="panels")
    rows = []
    for scenario in scenarios:
        merged: dict[tuple[str, str], list[list[float]]] = {}
        for piece, part in zip(pieces, found, strict=True):
            if piece.scenario == scenario:
                for column, methods in part.items():
                    for method, values in methods.items():
                        merged.setdefault((column, method), []).extend(values)
        rows += [measured(scenario.name, *key, values, n) for key, values in merged.items()]
    return pd.DataFrame(rows, columns=list(COVERAGE_COLUMNS))


def pieces_of(n: int, scenarios: Sequence[Scenario], models: Sequence[str], seed: int) -> list[Outcomes]:
    """Return the pieces of work of `coverage`."""
    sizes = [min(OUTCOMES, n - start) for start in range(0, n, OUTCOMES)]
    return [
        Outcomes(scenario, panel, size, tuple(models), seed)
        for scenario in scenarios
        for panel, size in enumerate(sizes)
    ]


def measured(scenario: str, column: str, method: str, values: Sequence[Sequence[float]], n: int) -> tuple[Any, ...]:
    """Return a row of `coverage`, from the (low, high, middle) of each of n outcomes less the truth."""
    low, high, middle = np.array(values, dtype=float).T
    fitted = ~np.isnan(low)
    if not fitted.any():
        nothing = (np.nan,) * len(COVERAGE_COLUMNS[5:-2])
        return (scenario, column, n_clusters(column), method, 0, *nothing, n, str(Origin.SIMULATED))
    covered = ((low <= 0) & (high >= 0))[fitted]
    width = (high - low)[fitted]
    share = float(covered.mean())
    bounded = np.isfinite(width)
    middle = middle[~np.isnan(middle)]
    return (
        scenario,
        column,
        n_clusters(column),
        method,
        int(fitted.sum()),
        share,
        float(np.sqrt(share * (1 - share) / fitted.sum())),
        float(np.median(width[bounded])) if bounded.any() else np.inf,
        float(1 - bounded.mean()),
        float(middle.mean()),
        float(np.sqrt((middle**2).mean())),
        n - int(fitted.sum()),
        str(Origin.SIMULATED),
    )


@lru_cache(maxsize=1)
def _clusters() -> Mapping[str, int]:
    labels = (f"group {r + 1}" for r in range(len(GROUP_SIZES)))
    return {GROUP_ALL: sum(GROUP_SIZES), **dict(zip(labels, GROUP_SIZES, strict=True))}


def n_clusters(column: str) -> int:
    """Return the number of units of a column."""
    return _clusters()[column]
