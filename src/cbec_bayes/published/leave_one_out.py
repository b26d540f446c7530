"""The common slope and the between-group scale without each estimate in turn."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cbec_bayes.published.conditional import problem_of
from cbec_bayes.published.estimates import Estimates
from cbec_bayes.published.results import summarise_common
from cbec_bayes.published.summary import fit_summary
from cbec_bayes.published.summary_model import SummaryModel
from cbec_bayes.runtime.errors import GateError
from cbec_bayes.runtime.labels import Origin

COLUMNS = ("label", "mean", "sd", "ci_low", "ci_high", "p_positive", "tau_mean", "origin")
"""Columns of leave_one_out.csv."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The common slope without each estimate.

    Attributes
    ----------
    table
        A row for each estimate; see `COLUMNS`.
    missing
        Why a row has no numbers, by label.
    """

    table: pd.DataFrame
    missing: dict[str, str]


def leave_one_out(estimates: Estimates, model: SummaryModel) -> LeftOut:
    """Return the common slope and tau without each estimate in turn, by the same quadrature.

    Parameters
    ----------
    estimates
        Values and standard errors of groups, perhaps with moderators and a covariance of errors.
    model
        With priors in plain numbers, which stay as they are whichever estimate is left out. So does what moderators are
        measured from: the common slope is that of an average of all groups.
    """
    rows, missing = [], {}
    for label, others in without_each(estimates):
        row: dict[str, object] = {"label": label, "origin": str(Origin.PRINTED)}
        if fault := _fault(others, model):
            missing[label] = fault
            rows.append(row)
            continue
        try:
            posterior = fit_summary(others, model)
        except GateError as error:
            missing[label] = str(error)
            rows.append(row)
            continue
        common = summarise_common(posterior)
        mean, sd, low, high, p_positive = common.numbers
        row |= {"mean": mean, "sd": sd, "ci_low": low, "ci_high": high, "p_positive": p_positive}
        rows.append(row | {"tau_mean": posterior.tau_mean()})
    return LeftOut(pd.DataFrame(rows, columns=list(COLUMNS)), missing)


def without_each(estimates: Estimates) -> Iterator[tuple[str, Estimates]]:
    """Yield the label of each estimate, and the others, where there are others; groups without one are left out too."""
    printed = np.flatnonzero(estimates.printed)
    if len(printed) < 2:
        return
    for place, index in enumerate(printed):
        others = np.delete(printed, place)
        terms = estimates.terms
        if terms is not None:
            kept = np.delete(np.arange(len(printed)), place)
            covariance = None if terms.covariance is None else terms.covariance[np.ix_(kept, kept)]
            terms = replace(terms, moderators=terms.moderators[others], covariance=covariance)
        yield (
            estimates.labels[index],
            Estimates(
                tuple(estimates.labels[i] for i in others),
                np.asarray(estimates.values)[others],
                tuple(estimates.errors[i] for i in others),
                terms,
            ),
        )


def _fault(estimates: Estimates, model: SummaryModel) -> str:
    """Say why estimates do not tell the coefficients; nothing where they do."""
    problem = problem_of(estimates, model.slope)
    size = np.abs(problem.x).max(axis=0)
    rank = int(np.linalg.matrix_rank(problem.x / np.where(size > 0, size, math.inf)))
    return "" if rank == problem.x.shape[1] else "the others do not tell what the slopes are regressed on"
