"""Predictive checks of what the classical tables do not show: distribution, serial correlation, spread, extremes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cbec_bayes.bayes.model.blocks import time_labels
from cbec_bayes.checks.result import CheckResult, against, counted
from cbec_bayes.panel.design import Design, identified
from cbec_bayes.panel.within import Array

STATISTIC_COLUMNS = (
    "statistic",
    "of",
    "observed",
    "mean",
    "sd",
    "ci_low",
    "ci_high",
    "z",
    "p_observed",
    "outside",
    "origin",
)


def predictive_residuals(design: Design, outcomes: Array) -> CheckResult:
    """Hold the shape of the outcome, and of the pooled regression's residuals, against what the model replicates.

    Parameters
    ----------
    design
        The rows that the model was fitted to.
    outcomes
        Replicated, shape (S, n).

    Returns
    -------
    CheckResult
        Statistics: sd, smallest and largest outcome; of the residuals of the two-way regression on all regressors their
        skewness, excess kurtosis, largest absolute value over their sd, correlation with the unit's period before, and
        the logarithm of the spread of each group and period over that of all.
    """
    own, many = statistics(design, design.y[None]), statistics(design, outcomes)
    keys = [key for key, found in many.items() if np.isfinite(found).all() and np.ptp(found) > 0]
    observed = np.array([float(own[key][0]) for key in keys])
    held = against(np.column_stack([many[key] for key in keys]), observed)
    numbers = (observed, held.mean, held.sd, held.low, held.high, held.z, held.p, held.outside)
    columns_of = dict(zip(STATISTIC_COLUMNS, (*zip(*keys, strict=True), *numbers), strict=False))
    table = pd.DataFrame(columns_of).assign(origin=str(design.origin))
    out = table[table["outside"]]
    named = "; ".join(f"{r.statistic} {r.of}".strip() for r in out.itertuples())
    count = counted(len(out), len(table), "statistics")
    text = (
        f"Of distribution, serial correlation, spread and extremes {count} farther out than the farthest of 95 % of "
        f"replicated data sets{': ' + named if named else ''}."
    )
    return CheckResult("predictive_residuals", out.empty, table, "predictive_statistics", text)


def statistics(design: Design, outcomes: Array) -> dict[tuple[str, str], Array]:
    """Return every statistic of outcomes, shape (S, n): by name and what it is of, each of shape (S,)."""
    within = design.effects.within(np.column_stack([design.x, outcomes.T]))
    x, y = within[:, : design.x.shape[1]], within[:, design.x.shape[1] :]
    q = np.linalg.qr(x[:, list(identified(design.x, x))])[0]
    e = (y - q @ (q.T @ y)).T
    sd = np.sqrt((e**2).mean(axis=1))
    found = {
        ("sd", "outcome"): outcomes.std(axis=1),
        ("smallest", "outcome"): outcomes.min(axis=1),
        ("largest", "outcome"): outcomes.max(axis=1),
        ("skewness", "residual"): (e**3).mean(axis=1) / sd**3,
        ("excess kurtosis", "residual"): (e**4).mean(axis=1) / sd**4 - 3,
        ("largest over sd", "residual"): np.abs(e).max(axis=1) / sd,
    }
    order = np.lexsort((design.time, design.unit))
    step = np.diff(design.time[order])
    at = np.flatnonzero((np.diff(design.unit[order]) == 0) & (step == 1))
    if len(at):
        before, after = e[:, order[at]], e[:, order[at + 1]]
        scale = np.sqrt((before**2).sum(axis=1) * (after**2).sum(axis=1))
        found["correlation with the period before", "residual"] = (before * after).sum(axis=1) / scale
    parts = [("period", design.time, time_labels(design))]
    if design.group is not None:
        parts.insert(0, ("group", design.group, design.groups))
    for what, codes, labels in parts:
        if len(labels) < 2:
            continue
        for code, label in enumerate(labels):
            spread = np.sqrt((e[:, codes == code] ** 2).mean(axis=1))
            with np.errstate(divide="ignore"):
                found["log spread of residuals", f"{what} {label}"] = np.log(spread / sd)
    return found
