"""The table of effects that every engine and every kind of data ends in, and its rows from draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cbec_bayes.spec import CI_PROB

EFFECT_COLUMNS = (
    "group",
    "n_units",
    "n_obs",
    "no_pooling",
    "no_pooling_se",
    "complete_pooling",
    "mean",
    "sd",
    "ci_low",
    "ci_high",
    "p_positive",
    "pooling_factor",
    "origin",
)
CONTRAST_COLUMNS = ("group", "minus", "mean", "sd", "ci_low", "ci_high", "p_positive", "origin")


@dataclass(frozen=True, slots=True)
class Summary:
    """Location, spread, 95 % equal-tailed interval and probability of a positive value of one posterior quantity."""

    mean: float
    sd: float
    ci_low: float
    ci_high: float
    p_positive: float


def summarise_draws(draws: NDArray[np.float64], prob: float = CI_PROB) -> Summary:
    """Summarise draws of one quantity.

    Parameters
    ----------
    draws
        Any shape, e.g. (chain, draw).
    prob
        Probability of the equal-tailed interval.
    """
    values = np.ravel(draws)
    low, high = np.quantile(values, [(1 - prob) / 2, (1 + prob) / 2])
    return Summary(float(values.mean()), float(values.std(ddof=1)), float(low), float(high), float((values > 0).mean()))


def pooling_factor_overall(deviations: NDArray[np.float64]) -> float:
    """Return Gelman and Pardoe's (2006) pooling factor from draws of the groups' deviations.

    Parameters
    ----------
    deviations
        beta_r - beta, shape (draw, R).

    Returns
    -------
    float
        1 - var_r E(deviation_r) / E var_r(deviation_r); NaN with one group.
    """
    if deviations.shape[1] < 2:
        return math.nan
    expected = float(deviations.var(axis=1, ddof=1).mean())
    return 1.0 if expected == 0 else 1 - float(deviations.mean(axis=0).var(ddof=1)) / expected


def effects_frame(rows: Sequence[dict[str, object]]) -> pd.DataFrame:
    """Return rows of effects as the table that effects.csv holds; a missing cell is blank."""
    frame = pd.DataFrame(rows, columns=list(EFFECT_COLUMNS))
    return frame.astype({"n_units": "Int64", "n_obs": "Int64"})
