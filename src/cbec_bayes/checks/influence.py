"""Which unit or group a conclusion rests on: the model refitted without each."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.checks.refits import Refitted, summaries
from cbec_bayes.checks.result import CheckResult
from cbec_bayes.estimands.groups import GroupSlopes, group_slopes
from cbec_bayes.estimands.summary import Summary, summarise_draws
from cbec_bayes.runtime.errors import CbecBayesError
from cbec_bayes.runtime.fanout import SERIAL, Executor, fan_out
from cbec_bayes.runtime.labels import GROUP_ALL
from cbec_bayes.runtime.progress import OnProgress, ignore_progress

INFLUENCE_COLUMNS = ("left_out", "group", "mean", "sd", "ci_low", "ci_high", "p_positive", "moved", "origin")

MAX_LEFT_OUT = 200
"""Refits that a check makes at most; of more units or groups it takes none."""


INFLUENTIAL = 1.0
"""A slope that moves by more than this many of its posterior standard deviations rests on what was left out."""


def summaries_if_identified(piece: Refitted) -> dict[str, list[float]]:
    """Return what `summaries` does; nothing where a slope is not identified."""
    try:
        return summaries(piece)
    except CbecBayesError:
        return {}


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
        where one exceeds `INFLUENTIAL`. What a refit cannot identify is not in the table; the text counts it.
    """
    name = f"leave_one_{what}_out"
    design = found.design.holding_spread()
    codes, labels = (design.unit, design.units) if what == "unit" else (design.group, design.groups)
    empty = pd.DataFrame(columns=list(INFLUENCE_COLUMNS))
    if found.collapsed is None or codes is None or not 2 < len(labels) <= MAX_LEFT_OUT:
        text = f"Leaving out one {what} at a time needs three to {MAX_LEFT_OUT} of them and the collapsed engine."
        return CheckResult(name, None, empty, None, text)
    full = _summaries(group_slopes(found))
    pieces = [Refitted(design.rows(codes != code), found.model, seed) for code in range(len(labels))]
    refits = fan_out(
        executor, summaries_if_identified, pieces, on_progress=on_progress, named=f"refit without a {what}"
    )
    rows = []
    for label, refitted in zip(labels, refits, strict=True):
        for group, own in full.items():
            if group in refitted:
                numbers = refitted[group]
                moved = (numbers[0] - own.mean) / own.sd
                rows.append((label, group, *numbers, moved, str(found.design.origin)))
    table = pd.DataFrame(rows, columns=list(INFLUENCE_COLUMNS))
    if table.empty:
        return CheckResult(name, None, table, None, f"No refit without a {what} identifies a slope.")
    worst = table.iloc[int(table["moved"].abs().argmax())]
    far = table[table["moved"].abs() > INFLUENTIAL]
    size = f"{worst['moved']:+.1f}".replace("-", "\N{MINUS SIGN}")
    lost = sum(not refitted for refitted in refits)
    text = (
        f"Of {len(labels)} refits without one {what} the largest move of a slope is {size} posterior "
        f"standard deviations ({_named(worst['group'])} without {worst['left_out']}), and "
        f"{far['left_out'].nunique() or 'none'} of them move some slope by more than {INFLUENTIAL:g}"
        f"{f'; {lost} identify no slope' if lost else ''}."
    )
    return CheckResult(name, bool(far.empty), table, "influence", text)


def _summaries(slopes: GroupSlopes) -> dict[str, Summary]:
    draws = {group: slopes.groups[:, r] for r, group in enumerate(slopes.labels)} if len(slopes.labels) > 1 else {}
    return {g: summarise_draws(np.asarray(v)) for g, v in ({GROUP_ALL: slopes.common} | draws).items()}


def _named(group: str) -> str:
    return "the common slope" if group == GROUP_ALL else f"that of {group}"
