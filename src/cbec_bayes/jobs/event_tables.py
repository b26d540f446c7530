"""The tables of an event study: events.csv, pretrends.csv, weights.csv."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from cbec_bayes.classical.events.paths import EffectPath, SaturatedFit
from cbec_bayes.classical.events.pretrends import PretrendTest
from cbec_bayes.classical.events.weights import TwoWayWeights
from cbec_bayes.estimands.events import EventEffect
from cbec_bayes.estimands.summary import Summary
from cbec_bayes.panel.adoption import Adoption
from cbec_bayes.panel.periods import period_text
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.distributions import t_ppf, t_sf
from cbec_bayes.runtime.labels import CI_PROB, GROUP_ALL

EVENT_COLUMNS = (
    "event_time",
    "group",
    "estimator",
    "estimate",
    "se",
    "ci_low",
    "ci_high",
    "origin",
    "p",
    "df",
    "sd",
    "sd_ij",
    "p_positive",
    "mcse",
    "n_units",
    "n_rows",
)
"""Columns of events.csv: a regression has se, p and df, a posterior has sd, sd_ij, p_positive and mcse."""

PLACEBO_SCALE, PLACEBO_FACTOR = "scale of steps before adoption", "log Bayes factor of none"
"""In the column of tests: what the hierarchical model says of effects before adoption."""

PRETREND_COLUMNS = (
    "estimator",
    "test",
    "leads",
    "statistic",
    "df",
    "df2",
    "p",
    "estimate",
    "ci_low",
    "ci_high",
    "origin",
    "note",
)
"""Columns of pretrends.csv."""

WEIGHT_COLUMNS = (
    "cohort",
    "period",
    "event_time",
    "n_units",
    "weight",
    "weight_per_row",
    "estimate",
    "se",
    "mean",
    "sd",
    "origin",
)
"""Columns of weights.csv: the cells of cohort and period, their weight in the two-way coefficient, their effects."""

HIERARCHICAL = "hierarchical"
"""Name of the posterior in the column of estimators."""

EVERY = GROUP_ALL
"""In the column of event times: all treated rows together."""


def path_rows(
    adoption: Adoption, path: EffectPath, *, group: str = GROUP_ALL, prob: float = CI_PROB
) -> list[dict[str, object]]:
    """Return the rows of events.csv of a classical estimator, the mean over treated rows last."""
    estimates = [*zip(path.event_times, path.estimate, path.se, strict=True), (None, path.average, path.average_se)]
    half = float(t_ppf((1 + prob) / 2, path.df))
    rows = []
    for event_time, estimate, se in estimates:
        ratio = estimate / se if se > 0 else math.nan
        rows.append(
            {
                **key_of_row(adoption, event_time, group),
                "estimator": path.estimator,
                "estimate": estimate,
                "se": se,
                "ci_low": estimate - half * se,
                "ci_high": estimate + half * se,
                "p": 2 * float(t_sf(abs(ratio), path.df)),
                "df": path.df,
            }
        )
    return rows


def posterior_rows(adoption: Adoption, effects: Sequence[EventEffect]) -> list[dict[str, object]]:
    """Return the rows of events.csv of the hierarchical model."""
    return [
        {
            **key_of_row(adoption, one.event_time, one.group),
            "estimator": HIERARCHICAL,
            "estimate": one.summary.mean,
            "ci_low": one.summary.ci_low,
            "ci_high": one.summary.ci_high,
            "sd": one.summary.sd,
            "sd_ij": one.sd_ij,
            "p_positive": one.summary.p_positive,
            "mcse": one.summary.mcse,
        }
        for one in effects
    ]


def key_of_row(adoption: Adoption, event_time: int | None, group: str) -> dict[str, object]:
    """Return what names a row of events.csv, and of how many units and rows it is."""
    design = adoption.design
    rows = adoption.treated if event_time is None else adoption.has_cohort & (adoption.event_time == event_time)
    if group != GROUP_ALL and design.group is not None:
        rows = rows & (design.group == design.groups.index(group))
    return {
        "event_time": EVERY if event_time is None else str(event_time),
        "group": group,
        "n_units": len(np.unique(design.unit[rows])),
        "n_rows": int(rows.sum()),
    }


def events_frame(rows: Sequence[dict[str, object]], origin: object) -> pd.DataFrame:
    """Return the rows as events.csv holds them."""
    frame = pd.DataFrame(list(rows), columns=list(EVENT_COLUMNS)).assign(origin=str(origin))
    numbers = [name for name in EVENT_COLUMNS if name not in ("event_time", "group", "estimator", "origin")]
    return frame.astype(dict.fromkeys(numbers, float) | dict.fromkeys(("n_units", "n_rows"), "Int64"))


def pretrend_row(found: PretrendTest) -> dict[str, object]:
    """Return the row of pretrends.csv of a test."""
    test = found.test
    return {
        "estimator": found.estimator,
        "test": found.vcov,
        "leads": " ".join(map(str, found.leads)),
        "statistic": test.statistic,
        "df": test.df,
        "df2": test.df2,
        "p": test.p,
        "note": test.reason,
    }


def placebo_rows(scale: Summary, factor: tuple[float, float] | None) -> list[dict[str, object]]:
    """Return the rows of pretrends.csv of the hierarchical model.

    Parameters
    ----------
    scale
        Posterior of the scale of steps before adoption.
    factor
        Log Bayes factor of no steps before adoption against some, and its Monte Carlo error; None where it is not
        known.
    """
    row: dict[str, object] = {"estimator": HIERARCHICAL, "test": PLACEBO_SCALE, "leads": "", "note": ""}
    rows = [row | {"estimate": scale.mean, "ci_low": scale.ci_low, "ci_high": scale.ci_high}]
    if factor is not None:
        note = f"Monte Carlo error {factor[1]:.1g}; positive where the panel speaks for none"
        rows.append(row | {"test": PLACEBO_FACTOR, "statistic": factor[0], "note": note})
    return rows


def pretrends_frame(rows: Sequence[dict[str, object]], origin: object) -> pd.DataFrame:
    """Return the rows as pretrends.csv holds them."""
    frame = pd.DataFrame(list(rows), columns=list(PRETREND_COLUMNS)).assign(origin=str(origin))
    numbers = ("statistic", "df", "df2", "p", "estimate", "ci_low", "ci_high")
    return frame.astype(dict.fromkeys(numbers, float)).fillna({"note": ""})


def weights_frame(
    adoption: Adoption, weights: TwoWayWeights, saturated: SaturatedFit | None, posterior: tuple[Array, Array] | None
) -> pd.DataFrame:
    """Return weights.csv: every treated cell, its weight in the two-way coefficient, and what its effect is.

    Parameters
    ----------
    adoption, weights
        The rows, and the weights.
    saturated
        The regression without leads, which has the same cells; None where there is none.
    posterior
        Mean and standard deviation of the effect of each cell; None where there are none.
    """
    cells, design = weights.cells, adoption.design
    shares = cells.rows / cells.rows.sum()
    mean, sd = (np.full(cells.size, np.nan),) * 2 if posterior is None else posterior
    unknown = np.full(cells.size, np.nan)
    period = unknown.copy()
    at = cells.code >= 0
    period[cells.code[at]] = np.asarray(design.times, dtype=float)[design.time[at]]
    return pd.DataFrame(
        {
            "cohort": [adoption.cohort_labels()[c] for c in cells.cohort],
            "period": [period_text(time, design.frequency) for time in period],
            "event_time": cells.event_time,
            "n_units": cells.rows.astype(int),
            "weight": weights.weight,
            "weight_per_row": weights.weight / shares,
            "estimate": unknown if saturated is None else saturated.estimate,
            "se": unknown if saturated is None else np.sqrt(np.diag(saturated.covariance)),
            "mean": mean,
            "sd": sd,
            "origin": str(design.origin),
        },
        columns=list(WEIGHT_COLUMNS),
    )
