"""Which unit or group a conclusion rests on: the model refitted without each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.bayes.sampling.gates import PASSED, sentence
from cbec_bayes.checks.refits import (
    RefitSlopes,
    Refitted,
    is_grouped,
    near_draws,
    refit_slopes_if_identified,
    weighted_text,
)
from cbec_bayes.checks.remedies import Finding, term_of
from cbec_bayes.checks.result import FAMILY_LEVEL, CheckResult, not_applying, there_are
from cbec_bayes.checks.severity import WIDER, Change, Severity, Slope, instead_of, severest
from cbec_bayes.estimands.groups import slope_quantities
from cbec_bayes.estimands.loadings import units_per_group
from cbec_bayes.estimands.summary import Summary
from cbec_bayes.runtime.distributions import normal_isf
from cbec_bayes.runtime.fanout import SERIAL, Executor, fan_out
from cbec_bayes.runtime.labels import GROUP_ALL
from cbec_bayes.runtime.progress import OnProgress, ignore_progress

INFLUENCE_COLUMNS = (
    "left_out",
    "group",
    "mean",
    "sd",
    "ci_low",
    "ci_high",
    "p_positive",
    "moved",
    "origin",
    "gate",
    "z",
    "khat",
)

MAX_LEFT_OUT = 200
"""Refits that a check makes at most; of more units or groups it takes none."""

_TOO_FEW = 2

INFLUENTIAL = 1.0
"""A slope that moves by more than this many of its posterior standard deviations rests on what was left out."""


def leave_out(
    found: PanelFit,
    what: Literal["unit", "group"],
    *,
    seed: int = 1,
    executor: Executor = SERIAL,
    on_progress: OnProgress = ignore_progress,
) -> CheckResult:
    """Refit without each unit, or each group, in turn, under the priors of the full fit.

    Parameters
    ----------
    found
        A fit by the collapsed engine; refits of others are not affordable, and the check does not apply.
    what
        What is left out.
    seed
        Seed of the data, and of everything random.
    executor, on_progress
        As in `cbec_bayes.runtime.fanout.fan_out`.

    Returns
    -------
    CheckResult
        `moved` is the change of a slope's mean in its posterior standard deviations of the full fit. `z` is the same
        change over what it would have under the model: leaving rows out moves an estimate by as much as its variance
        grows, var(m' - m) = var m' - var m, and by var m / (k - 1) at the least, where k units (or groups) have the
        slope. A refit that is not to be used has blank numbers, and the reason in `gate`: it missed a gate, or the
        other rows do not identify a slope. `khat` is the Pareto shape of the weights where draws of the full fit were
        weighted anew, and blank where they would not do and the model was sampled again.

    Notes
    -----
    A slope that moves by more than `INFLUENTIAL` posterior standard deviations, or whose interval is more than half
    wider without one unit, is *worth knowing*, as is a refit that missed a gate. Where a slope moves farther than the
    model accounts for, by `z` at a level that all parts share, what was left out differs from the rest: that *widens
    the answer*, and *changes* it where the change of the slope does (`cbec_bayes.checks.severity.Change`). A slope that
    is not identified without one unit widens it too. Where no refit can be used, nothing is judged.
    """
    name = f"leave_one_{what}_out"
    design = found.design.holding_spread()
    codes, labels = (design.unit, design.units) if what == "unit" else (design.group, design.groups)
    reason = _why_not(found, what, len(labels))
    if reason or codes is None:
        return not_applying(name, INFLUENCE_COLUMNS, reason)
    full = _summaries(found)
    near = near_draws(found)
    pieces = [
        Refitted(design.rows(codes != code), found.model, seed, near, average=False) for code in range(len(labels))
    ]
    refits = fan_out(
        executor, refit_slopes_if_identified, pieces, on_progress=on_progress, named=f"refit without a {what}"
    )
    table = _moves(full, dict(zip(labels, refits, strict=True)), str(found.design.origin))
    table["z"] = _over_expected(table, full, _sizes(found, what))
    table["khat"] = table["left_out"].map({label: one.khat for label, one in zip(labels, refits, strict=True)})
    refused = {label: one.gate for label, one in zip(labels, refits, strict=True) if one.gate != PASSED}
    missed = any(one.fitted and one.gate != PASSED for one in refits)
    counted = sentence(len(refits), refused, tabled=True) + weighted_text(refits)
    known = table.dropna(subset=["moved"])
    usable = len(refits) - len(refused)
    if known.empty:
        text = f"No refit without a {what} can be used. {counted}"
        return CheckResult(name, Severity.IDLE, table, None, text)
    worst = known.iloc[int(known["moved"].abs().argmax())]
    far = known[known["moved"].abs() > INFLUENTIAL]
    size = f"{worst['moved']:+.1f}".replace("-", "\N{MINUS SIGN}")
    text = (
        f"The model was fitted again without one {what} at a time. The largest change of a slope is {size} "
        f"posterior standard deviations ({_named(worst['group'])} without {worst['left_out']}); "
        f"{far['left_out'].nunique() or 'none'} of {usable} refits change a slope by more than {INFLUENTIAL:g}. "
        f"{counted}"
    )
    judged = _judged(known, full, what, len(labels))
    alone = what == "unit" and any(not one.fitted for one in refits)
    severity = severest([one for one, _, _ in judged] + [Severity.KNOWING] * missed + [Severity.WIDENS] * alone)
    if judged[0][0] in (Severity.CHANGES, Severity.WIDENS):
        _, label, change = judged[0]
        text += f" Without {label} {instead_of(change, grouped=is_grouped(found))}, "
        text += f"which is a larger change than the rows of one {what} should make under this model."
        text += f" The term {term_of(Finding.UNITS)} lets the slopes of units differ." if what == "unit" else ""
    return CheckResult(name, severity, table, "influence", text)


def _sizes(found: PanelFit, what: str) -> dict[str, int]:
    """Return how many units, or groups, each slope is known by."""
    design = found.design
    if what == "group":
        return dict.fromkeys((*design.groups, GROUP_ALL), len(design.groups))
    own = dict.fromkeys(design.groups, len(design.units))
    if is_grouped(found):
        own = dict(zip(design.groups, units_per_group(design).astype(int), strict=True))
    return own | {GROUP_ALL: len(design.units)}


def _over_expected(table: pd.DataFrame, full: Mapping[str, Summary], sizes: Mapping[str, int]) -> list[float]:
    """Return the moves of slopes over the standard deviations that they have under the model."""
    found = []
    for row in table.to_dict("records"):
        own = full[str(row["group"])].sd
        least = own**2 / max(1, sizes[str(row["group"])] - 1)
        found.append(float(row["moved"] * own / np.sqrt(max(row["sd"] ** 2 - own**2, least))))
    return found


def _judged(
    known: pd.DataFrame, full: Mapping[str, Summary], what: str, parts: int
) -> list[tuple[Severity, str, Change]]:
    """Return the severity of each slope's change without each part, the severest first."""
    found = []
    limit = float(normal_isf(FAMILY_LEVEL / 2 / parts))
    for row in known.to_dict("records"):
        group = str(row["group"])
        one = Change(group, Slope.of(full[group]), Slope(row["mean"], row["ci_low"], row["ci_high"]))
        far = abs(row["moved"]) > INFLUENTIAL
        wide = what == "unit" and one.other.width > WIDER * one.own.width
        severity = Severity.KNOWING if far or wide else Severity.FINE
        if far and abs(row["z"]) > limit:
            severity = Severity.CHANGES if one.severity is Severity.CHANGES else Severity.WIDENS
        found.append((severity, str(row["left_out"]), one))
    return sorted(found, key=lambda one: (one[0].rank, -one[2].size))


def _why_not(found: PanelFit, what: str, count: int) -> str:
    """Say why nothing is left out; blank where it is."""
    if count <= _TOO_FEW:
        return f"{there_are(count, what)}{'; at least three are needed to leave one out' if count else ''}."
    if count > MAX_LEFT_OUT:
        return f"{there_are(count, what)}; each is left out only where there are at most {MAX_LEFT_OUT}."
    if found.collapsed is None:
        return f"One {what} at a time is left out by the collapsed engine only, and PyMC samples {found.model.name}."
    return ""


def _moves(full: Mapping[str, Summary], refits: Mapping[str, RefitSlopes], origin: str) -> pd.DataFrame:
    """Return one row per refit and slope that it tells, or would tell if it were to be used."""
    rows: list[tuple[object, ...]] = []
    for label, one in refits.items():
        for group, own in full.items():
            if group in one.slopes:
                numbers = one.slopes[group]
                rows.append(
                    (label, group, *numbers, (numbers[0] - own.mean) / own.sd, origin, one.gate, np.nan, np.nan)
                )
            elif one.gate != PASSED and group != label:
                rows.append((label, group, *[np.nan] * 6, origin, one.gate, np.nan, np.nan))
    return pd.DataFrame(rows, columns=list(INFLUENCE_COLUMNS))


def _summaries(found: PanelFit) -> dict[str, Summary]:
    """Return the common slope and, of several groups, theirs, as refits know them."""
    slopes, groups = slope_quantities(found), found.design.groups
    return {name: slopes[name].summary() for name in (GROUP_ALL, *(groups if len(groups) > 1 else ()))}


def _named(group: str) -> str:
    return "the common slope" if group == GROUP_ALL else f"that of {group}"
