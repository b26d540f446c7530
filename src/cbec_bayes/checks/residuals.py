"""Predictive checks of what the classical tables do not show: distribution, serial correlation, spread, extremes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.bayes.model.blocks import time_labels
from cbec_bayes.checks.remedies import Finding, answers
from cbec_bayes.checks.result import CheckResult, against, counted
from cbec_bayes.checks.severity import Severity, severest
from cbec_bayes.panel.collinear import identified
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.fanout import SERIAL, Executor
from cbec_bayes.runtime.progress import OnProgress, ignore_progress

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


CARRIED = "correlation with the period before"
DRIFT = "share of linear trends of units"
SPREAD = "log spread of residuals"
KURTOSIS = "excess kurtosis"
LARGEST = "largest over sd"


def predictive_residuals(
    found: PanelFit,
    outcomes: Array,
    *,
    seed: int = 1,
    executor: Executor = SERIAL,
    on_progress: OnProgress = ignore_progress,
) -> CheckResult:
    """Hold the shape of the outcome, and of the pooled regression's residuals, against what the model replicates.

    Parameters
    ----------
    found
        A fitted model.
    outcomes
        Replicated, shape (S, n).
    seed
        Seed of the refits.
    executor, on_progress
        As in `cbec_bayes.runtime.fanout.fan_out`.

    Returns
    -------
    CheckResult
        Statistics: sd, smallest and largest outcome; of the residuals of the two-way regression on all regressors their
        skewness, excess kurtosis, largest absolute value over their sd, correlation with the unit's period before, the
        share of their squares that a linear trend for each unit takes, and the logarithm of the spread of each group
        and period over that of all.

        The check is *fine* where no statistic lies farther out than the farthest of 95 % of replicates. Otherwise the
        model is refitted with the term that answers each finding (serial correlation, drift of units, unequal spread
        of groups), one at a time, and the severity is that of the severest change of a slope; see
        `cbec_bayes.checks.severity.Change`. It is at least *worth knowing*, and no more where no term answers.
    """
    table = _held(found.design, outcomes)
    out = table[table["outside"]]
    named = "; ".join(_named(out))
    count = counted(len(out), len(table), "statistics")
    text = (
        "The distribution, serial correlation, spread and extremes of the residuals were compared with the farthest "
        f"statistic in 95 % of replicated data sets: {count} farther out{', namely ' + named if named else ''}."
    )
    if out.empty:
        return CheckResult("predictive_residuals", Severity.FINE, table, "predictive_statistics", text)
    tried = answers(found, findings(table), seed=seed, executor=executor, on_progress=on_progress)
    said = [text, *(one.text for one in sorted(tried, key=lambda one: one.severity.rank))]
    if not tried:
        said.append("No further term of the model accounts for this.")
    severity = severest([Severity.KNOWING, *(one.severity for one in tried)])
    return CheckResult("predictive_residuals", severity, table, "predictive_statistics", " ".join(said))


_SAID = {
    ("sd", "outcome"): "the standard deviation of the outcome",
    ("smallest", "outcome"): "the smallest outcome",
    ("largest", "outcome"): "the largest outcome",
    ("skewness", "residual"): "the skewness of the residuals",
    (KURTOSIS, "residual"): "the excess kurtosis of the residuals",
    (LARGEST, "residual"): "the largest residual over the standard deviation of all",
    (CARRIED, "residual"): "the correlation of residuals with those of the period before",
    (DRIFT, "residual"): "the share of the residuals that linear trends of units take",
}


def _named(out: pd.DataFrame) -> list[str]:
    """Return what a sentence calls statistics of `statistics`; those of several groups, or periods, are one."""
    keys = list(zip(out["statistic"].astype(str), out["of"].astype(str), strict=True))
    of_all = [_SAID[key] for key in keys if key[0] != SPREAD]
    labels: dict[str, list[str]] = {}
    for what, _, label in (of.partition(" ") for name, of in keys if name == SPREAD):
        labels.setdefault(what, []).append(label)
    parted = [f"the spread of residuals in {what}{'s' * (len(own) > 1)} {_listed(own)}" for what, own in labels.items()]
    return of_all + parted


def _listed(labels: Sequence[str]) -> str:
    return " and ".join([", ".join(labels[:-1]), labels[-1]] if len(labels) > 1 else labels)


def _held(design: Design, outcomes: Array) -> pd.DataFrame:
    """Return the statistics of the data beside those of replicates, with columns `STATISTIC_COLUMNS`."""
    own, many = statistics(design, design.y[None]), statistics(design, outcomes)
    keys = [key for key, values in many.items() if np.isfinite(values).all() and np.ptp(values) > 0]
    observed = np.array([float(own[key][0]) for key in keys])
    held = against(np.column_stack([many[key] for key in keys]), observed)
    numbers = (observed, held.mean, held.sd, held.low, held.high, held.z, held.p, held.outside)
    columns_of = dict(zip(STATISTIC_COLUMNS, (*zip(*keys, strict=True), *numbers), strict=False))
    return pd.DataFrame(columns_of).assign(origin=str(design.origin))


def findings(table: pd.DataFrame) -> tuple[Finding, ...]:
    """Return what the statistics that lie far out, in a table of `predictive_residuals`, say of the residuals.

    Tails are heavy, and units drift, where a statistic is larger than what is replicated; correlation and spread are
    found on either side.
    """
    out = table[table["outside"]]
    above = set(out.loc[out["z"] > 0, "statistic"])
    spread = (out["statistic"] == SPREAD) & out["of"].str.startswith("group ")
    there = {
        Finding.SERIAL: CARRIED in set(out["statistic"]),
        Finding.DRIFT: DRIFT in above,
        Finding.SPREAD: bool(spread.any()),
        Finding.TAILS: bool(above & {KURTOSIS, LARGEST}),
    }
    return tuple(finding for finding, seen in there.items() if seen)


def statistics(design: Design, outcomes: Array) -> dict[tuple[str, str], Array]:
    """Return every statistic of outcomes, shape (S, n): by name and what it is of, each of shape (S,)."""
    within = design.effects.within(np.column_stack([design.x, outcomes.T]))
    x, y = within[:, : design.x.shape[1]], within[:, design.x.shape[1] :]
    q = np.linalg.qr(x[:, list(identified(design.x, x, rounding=design.rounding_norms))])[0]
    e = (y - q @ (q.T @ y)).T
    sd = np.sqrt((e**2).mean(axis=1))
    found = {
        ("sd", "outcome"): outcomes.std(axis=1),
        ("smallest", "outcome"): outcomes.min(axis=1),
        ("largest", "outcome"): outcomes.max(axis=1),
        ("skewness", "residual"): (e**3).mean(axis=1) / sd**3,
        (KURTOSIS, "residual"): (e**4).mean(axis=1) / sd**4 - 3,
        (LARGEST, "residual"): np.abs(e).max(axis=1) / sd,
    }
    order = np.lexsort((design.time, design.unit))
    step = np.diff(design.time[order])
    at = np.flatnonzero((np.diff(design.unit[order]) == 0) & (step == 1))
    if len(at):
        before, after = e[:, order[at]], e[:, order[at + 1]]
        scale = np.sqrt((before**2).sum(axis=1) * (after**2).sum(axis=1))
        found[CARRIED, "residual"] = (before * after).sum(axis=1) / scale
    if len(design.times) > 2:
        found[DRIFT, "residual"] = _of_trends(design, e) / (e**2).sum(axis=1)
    parts = [("period", design.time, time_labels(design))]
    if design.group is not None:
        parts.insert(0, ("group", design.group, design.groups))
    for what, codes, labels in parts:
        if len(labels) < 2:
            continue
        for code, label in enumerate(labels):
            spread = np.sqrt((e[:, codes == code] ** 2).mean(axis=1))
            with np.errstate(divide="ignore"):
                found[SPREAD, f"{what} {label}"] = np.log(spread / sd)
    return found


def _of_trends(design: Design, e: Array) -> Array:
    """Return the sum of squares that a linear trend for each unit takes of residuals, shape (S, n) to (S,)."""
    unit, elapsed, n_units = design.unit, design.elapsed, len(design.units)
    sizes = np.bincount(unit, minlength=n_units)
    centred = elapsed - (np.bincount(unit, elapsed, n_units) / sizes)[unit]
    squares = np.bincount(unit, centred**2, n_units)
    order = np.argsort(unit, kind="stable")
    starts = np.r_[0, np.cumsum(sizes)[:-1]]
    products = np.add.reduceat((e * centred)[:, order], starts, axis=1)
    there = squares > 0
    return np.asarray((products[:, there] ** 2 / squares[there]).sum(axis=1))
