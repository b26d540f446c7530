"""Sentences on what a pooled answer hangs on."""

from __future__ import annotations

import numpy as np

from cbec_bayes.published.estimates import Estimates
from cbec_bayes.published.results import SummaryResult
from cbec_bayes.published.spread import rows_that_set_it

LARGEST_WEIGHT = 0.9
"""Share of the weight of the common slope above which one row is said to dominate."""


def dominance_notes(estimates: Estimates, result: SummaryResult, *, automatic: bool) -> tuple[str, ...]:
    """Say which row alone sets the unit of the priors, or nearly all of the common slope.

    Parameters
    ----------
    estimates
        Values and standard errors, of which those that stars imply count as the middle of their band.
    result
        What was read off their posterior; its mean of tau, or where that does not exist its interval, says how much the
        own deviation of a group counts beside its standard error.
    automatic
        Whether the unit of the priors is taken from the estimates.
    """
    printed = np.flatnonzero(estimates.printed)
    if len(printed) < 3:
        return ()
    values, errors = estimates.values[printed], estimates.typical[printed]
    labels = [estimates.labels[index] for index in printed]
    notes = []
    for row, without in rows_that_set_it(values, errors).items() if automatic else ():
        notes.append(
            f"'{labels[row]}' alone sets the automatic unit of the priors: {estimates.spread:.3g} with it and "
            f"{2 * without:.3g} without. sensitivity.csv has half and twice the unit."
        )
    tau = result.tau.mean if np.isfinite(result.tau.mean) else result.tau.ci_low
    precision = (errors.min() / np.hypot(errors, tau)) ** 2
    share = precision / precision.sum()
    heaviest = int(share.argmax())
    if share[heaviest] > LARGEST_WEIGHT:
        notes.append(
            f"'{labels[heaviest]}' has {share[heaviest]:.0%} of the weight of the common slope: it is much more "
            "precise than all the others together."
        )
    return tuple(notes)
