"""Tables of pooled estimates that answer one question more: what slopes depend on, and what hangs on one estimate."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cbec_bayes.jobs.pooled_terms import AskedTerms
from cbec_bayes.published.conditional import implied_errors
from cbec_bayes.published.estimates import Estimates, PrintedEstimates
from cbec_bayes.published.leave_one_out import LeftOut, leave_one_out
from cbec_bayes.published.meta_regression import meta_regression
from cbec_bayes.published.results import SummaryResult
from cbec_bayes.published.robust.solution import has_heavy_tails
from cbec_bayes.published.summary_model import SummaryModel

MINUS = "\u2212"
"""What stands before negative numbers in sentences."""

FURTHER = ("slope_regression.csv", "leave_one_out.csv")
"""Files that hold these tables."""

MOST_LEFT_OUT = 200
"""Up to so many estimates each is left out without being asked: a second and a half of one core."""

MOST_IMPLIED = 2
"""Up to so many standard errors that stars imply, each of which multiplies the nodes of every fit."""

MOST_HEAVY = 6
"""Up to so many estimates with heavy tails: each takes half a second of one core."""


def further_tables(
    printed: PrintedEstimates, estimates: Estimates, model: SummaryModel, result: SummaryResult, asked: AskedTerms
) -> tuple[dict[str, pd.DataFrame], tuple[str, ...]]:
    """Return the tables by name, and sentences on them.

    Parameters
    ----------
    printed, estimates
        As read, and under the reading that is asked for.
    model, result
        The model with priors in plain numbers, and what it says of the estimates.
    asked
        Options of the command.
    """
    tables: dict[str, pd.DataFrame] = {}
    notes: tuple[str, ...] = ()
    if printed.terms is not None and printed.terms.names:
        found = meta_regression(printed.terms, estimates, model, result)
        tables["slope_regression"], notes = found.table, found.said
    left_out, said = _left_out(estimates, model, result, asked)
    return (tables | {"leave_one_out": left_out.table} if left_out is not None else tables), (*notes, *said)


def _left_out(
    estimates: Estimates, model: SummaryModel, result: SummaryResult, asked: AskedTerms
) -> tuple[LeftOut | None, tuple[str, ...]]:
    n, implied = int(estimates.printed.sum()), len(implied_errors(estimates))
    if n < 2:
        return None, ()
    if not asked.leave_one_out and (n > MOST_LEFT_OUT or implied > MOST_IMPLIED):
        many = f"{n} estimates" if n > MOST_LEFT_OUT else f"{implied} standard errors that stars imply"
        return None, (f"The common slope without each estimate takes long with {many}: --leave-one-out computes it.",)
    if not asked.leave_one_out and n > MOST_HEAVY and has_heavy_tails(estimates, model):
        tails = "where estimates or slopes of groups have heavier tails than normal ones"
        return None, (f"The common slope without each estimate takes long {tails}: --leave-one-out computes it.",)
    found = leave_one_out(estimates, model)
    notes = [f"leave_one_out.csv has no numbers without '{label}': {why}." for label, why in found.missing.items()]
    moves = np.abs(found.table["mean"].to_numpy(dtype=float) - result.common.mean)
    if np.isfinite(moves).any():
        row = found.table.iloc[int(np.nanargmax(moves))]
        numbers = f"{row['mean']:.3g} ({row['ci_low']:.3g} to {row['ci_high']:.3g}) instead of {result.common.mean:.3g}"
        said = f"the common slope is {numbers.replace('-', MINUS)}; no other estimate changes it more."
        notes.append(f"Without '{row['label']}' {said}")
    return found, tuple(notes)
