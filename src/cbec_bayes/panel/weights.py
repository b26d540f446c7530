"""Weights of rows: how surely an outcome was measured, or how many equal rows one stands for."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.panel.cells import Source, count, some
from cbec_bayes.panel.within import Array, Codes
from cbec_bayes.runtime.errors import InputError, suggest

MOST_COPIES = 2_000_000
"""Rows that a panel may have once each is there as often as its frequency weight says."""

NO_WEIGHTS = "moments are of rows without weights: fit the panel itself, which takes them"


class WeightsKind(StrEnum):
    """What a weight w says of its row: that its error has the variance sigma^2 / w, or that w rows are equal to it."""

    ANALYTIC = "analytic"
    FREQUENCY = "frequency"


def weights_kind(name: str) -> WeightsKind:
    """Return a kind of weights by its name, or raise `InputError` with a suggestion."""
    known = [str(kind) for kind in WeightsKind]
    if name not in known:
        raise InputError(f"unknown kind of weights '{name}'; {suggest(name, known)}")
    return WeightsKind(name)


def require_weights(
    source: Source, column: str, kind: WeightsKind, weight: Array, kept: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return which rows have a weight of zero, shape (n,), once all weights are known to be ones.

    Parameters
    ----------
    source, column
        Where the weights were read.
    kind
        What they say.
    weight, kept
        For every row: its weight, and whether the row is used for all that its other cells say, shape (n,).

    Raises
    ------
    InputError
        A row that is used has no weight, or one below zero; a frequency is no whole number, or copies are too many.
    """
    faults = {
        "the weight is missing": np.isnan(weight),
        "the weight is negative": weight < 0,
        "a frequency weight must be a whole number": (weight != np.round(weight)) & (kind is WeightsKind.FREQUENCY),
    }
    for said, wrong in faults.items():
        at = np.flatnonzero(wrong & kept)
        if at.size:
            others = [str(source.rows[i]) for i in at[1:]]
            also = f"; so it is in row{'s' if len(others) > 1 else ''} {some(others)}" if others else ""
            raise source.wrong(int(at[0]), column, said + also)
    total = float(weight[kept].sum())
    if kind is WeightsKind.FREQUENCY and total > MOST_COPIES:
        raise InputError(
            f"the frequency weights add up to {total:.0f} rows, more than the {MOST_COPIES} that can be held; "
            "where each outcome is the mean of several observations, use analytic weights",
            file=source.file,
            column=column,
        )
    return np.asarray(weight == 0)


def rows_of_weights(n_obs: int, weight: Array | None, kind: str) -> tuple[Codes, Array | None]:
    """Return which rows of a panel a design has, and their analytic weights.

    Parameters
    ----------
    n_obs
        Rows of the panel, n.
    weight, kind
        Their weights, shape (n,), if they have any, and what these say.

    Returns
    -------
    rows, weight
        Positions, each as often as a frequency weight says; and analytic weights over their mean, None where all are
        equal, which is to have none.
    """
    rows = np.arange(n_obs)
    if weight is not None and kind == WeightsKind.FREQUENCY:
        return np.repeat(rows, weight.astype(np.intp)), None
    return rows, None if weight is None or np.ptp(weight) == 0 else weight * (n_obs / weight.sum())


def told_of_weights(column: str, kind: str, zero: int) -> tuple[str, ...]:
    """Return what a reader of the results should know of the weights, and of the rows that have none."""
    said = {
        WeightsKind.ANALYTIC: "the error of a row has the variance sigma^2 / w, and w is one on average",
        WeightsKind.FREQUENCY: "a row counts as w rows that are equal",
    }
    left_out = f"; the {count(zero, 'row')} of weight zero left out" if zero else ""
    return (f"rows have the weights w of '{column}', {kind}: {said[WeightsKind(kind)]}{left_out}",)
