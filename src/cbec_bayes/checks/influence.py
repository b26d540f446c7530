"""Which unit or group a conclusion rests on: the model refitted without each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.bayes.sampling.gates import PASSED, sentence
from cbec_bayes.checks.refits import RefitSlopes, Refitted, refit_slopes_if_identified
from cbec_bayes.checks.result import CheckResult, there_are
from cbec_bayes.estimands.groups import GroupSlopes, group_slopes
from cbec_bayes.estimands.summary import Summary, summarise_draws
from cbec_bayes.runtime.fanout import SERIAL, Executor, fan_out
from cbec_bayes.runtime.labels import GROUP_ALL
from cbec_bayes.runtime.progress import OnProgress, ignore_progress

INFLUENCE_COLUMNS = ("left_out", "group", "mean", "sd", "ci_low", "ci_high", "p_positive", "moved", "origin", "gate")

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
        Of the data, and of everything random.
    executor, on_progress
        As in `cbec_bayes.runtime.fanout.fan_out`.

    Returns
    -------
    CheckResult
        `moved` is the change of a slope's mean in its posterior standard deviations of the full fit; the check fails
        where one exceeds `INFLUENTIAL`, or where a refit missed its gates, so that its move is not known. A refit that
        is not to be used has blank numbers, and the reason in `gate`: it missed a gate, or the other rows do not
        identify a slope.
    """
    name = f"leave_one_{what}_out"
    design = found.design.holding_spread()
    codes, labels = (design.unit, design.units) if what == "unit" else (design.group, design.groups)
    empty = pd.DataFrame(columns=list(INFLUENCE_COLUMNS))
    reason = _why_not(found, what, len(labels))
    if reason or codes is None:
        return CheckResult(name, None, empty, None, reason)
    full = _summaries(group_slopes(found))
    pieces = [Refitted(design.rows(codes != code), found.model, seed) for code in range(len(labels))]
    refits = fan_out(
        executor, refit_slopes_if_identified, pieces, on_progress=on_progress, named=f"refit without a {what}"
    )
    table = _moves(full, dict(zip(labels, refits, strict=True)), str(found.design.origin))
    refused = {label: one.gate for label, one in zip(labels, refits, strict=True) if one.gate != PASSED}
    missed = any(one.fitted and one.gate != PASSED for one in refits)
    counted = sentence(len(refits), refused, tabled=True)
    known = table.dropna(subset=["moved"])
    usable = len(refits) - len(refused)
    if known.empty:
        text = f"No refit without a {what} can be used. {counted}"
        return CheckResult(name, False if missed else None, table, None, text)
    worst = known.iloc[int(known["moved"].abs().argmax())]
    far = known[known["moved"].abs() > INFLUENTIAL]
    size = f"{worst['moved']:+.1f}".replace("-", "\N{MINUS SIGN}")
    text = (
        f"Of {usable} refit{'s' if usable > 1 else ''} without one {what} the largest move of a slope is {size} "
        f"posterior standard deviations ({_named(worst['group'])} without {worst['left_out']}), and "
        f"{far['left_out'].nunique() or 'none'} of them move some slope by more than {INFLUENTIAL:g}. {counted}"
    )
    return CheckResult(name, bool(far.empty) and not missed, table, "influence", text)


def _why_not(found: PanelFit, what: str, count: int) -> str:
    """Say why nothing is left out; blank where it is."""
    if count <= _TOO_FEW:
        return f"{there_are(count, what)}{'; leaving one out needs three' if count else ''}."
    if count > MAX_LEFT_OUT:
        return f"{there_are(count, what)}; each is left out where there are {MAX_LEFT_OUT} at the most."
    if found.collapsed is None:
        return f"Leaving out one {what} at a time needs the collapsed engine; {found.model.name} is sampled by PyMC."
    return ""


def _moves(full: Mapping[str, Summary], refits: Mapping[str, RefitSlopes], origin: str) -> pd.DataFrame:
    """Return one row per refit and slope that it tells, or would tell if it were to be used."""
    rows: list[tuple[object, ...]] = []
    for label, one in refits.items():
        for group, own in full.items():
            if group in one.slopes:
                numbers = one.slopes[group]
                rows.append((label, group, *numbers, (numbers[0] - own.mean) / own.sd, origin, one.gate))
            elif one.gate != PASSED and group != label:
                rows.append((label, group, *[np.nan] * 6, origin, one.gate))
    return pd.DataFrame(rows, columns=list(INFLUENCE_COLUMNS))


def _summaries(slopes: GroupSlopes) -> dict[str, Summary]:
    draws = {group: slopes.groups[:, r] for r, group in enumerate(slopes.labels)} if len(slopes.labels) > 1 else {}
    return {g: summarise_draws(np.asarray(v)) for g, v in ({GROUP_ALL: slopes.common} | draws).items()}


def _named(group: str) -> str:
    return "the common slope" if group == GROUP_ALL else f"that of {group}"
