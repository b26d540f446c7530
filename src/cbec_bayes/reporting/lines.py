"""Slopes of groups for a terminal: a short table with a forest plot in characters beside it."""

from __future__ import annotations

import math

import pandas as pd

from cbec_bayes.reporting.drawing import GROUP_TITLES
from cbec_bayes.reporting.tables import number, probability, sampled, spread_decimals
from cbec_bayes.runtime.labels import CI_PROB, GROUP_ALL, GROUP_NEW, level

WIDTH = 31
"""Characters of a line of the forest."""


def slopes_as_lines(effects: pd.DataFrame, prob: float = CI_PROB) -> pd.DataFrame:
    """Return slopes as texts: own estimate, posterior mean and interval, probability of a positive slope, and a line.

    Parameters
    ----------
    effects
        Columns of effects.csv: group, no_pooling, no_pooling_se, mean, ci_low, ci_high, p_positive, pooling_factor;
        mcse and n_units where they are there.
    prob
        Probability of the intervals.

    Notes
    -----
    In a line of dots ``o`` is the mean, dashes are the interval and ``|`` is zero. The ends are those of the groups
    that are there; groups in general and a group not seen may have very wide intervals, of which ``<`` and ``>`` say
    that they go on.
    """
    there = effects[~effects["group"].isin([GROUP_ALL, GROUP_NEW])]
    ends = there if len(there) else effects
    low, high = min(0.0, float(ends["ci_low"].min())), max(0.0, float(ends["ci_high"].max()))
    rows = []
    for row in effects.to_dict("records"):
        mean, interval = sampled(row["mean"], row["ci_low"], row["ci_high"], row.get("mcse", 0.0))
        cells = {"group": GROUP_TITLES.get(row["group"], row["group"])}
        if "n_units" in effects.columns and effects["n_units"].notna().any():
            cells["units"] = "" if pd.isna(row["n_units"]) else number(float(row["n_units"]), 0)
        rows.append(
            cells
            | {
                "own estimate (se)": _own(row["no_pooling"], row["no_pooling_se"]),
                "mean": mean,
                f"{level(prob)} interval": interval,
                "P(> 0)": probability(row["p_positive"]),
                "pooling": number(row["pooling_factor"], 2),
                _scale(low, high): line(row["mean"], row["ci_low"], row["ci_high"], low, high),
            }
        )
    return pd.DataFrame(rows)


def _own(estimate: float, error: float) -> str:
    """Write a group's own estimate with two digits of its standard error; blank where there is none."""
    if pd.isna(estimate):
        return ""
    if pd.isna(error):
        return number(estimate, 3)
    decimals = spread_decimals(error, 0.0)
    return f"{number(estimate, decimals)} ({number(error, decimals)})"


def _scale(low: float, high: float) -> str:
    """Return the head of the forest: its two ends."""
    left, right = (f"{end:.3g}".replace("-", "\N{MINUS SIGN}") for end in (low, high))
    return left + right.rjust(WIDTH - len(left))


def line(mean: float, ci_low: float, ci_high: float, low: float, high: float, width: int = WIDTH) -> str:
    """Draw a mean and its interval in characters, between two ends.

    Parameters
    ----------
    mean, ci_low, ci_high
        What is drawn; a missing mean gives a blank.
    low, high
        What the first and the last character stand for; zero is marked where it lies between them.
    width
        Characters.
    """
    if math.isnan(mean) or not high > low:
        return ""

    def at(value: float) -> int:
        return round((width - 1) * (min(max(value, low), high) - low) / (high - low))

    drawn = ["."] * width
    for k in range(at(ci_low), at(ci_high) + 1):
        drawn[k] = "-"
    if low <= 0 <= high:
        drawn[at(0.0)] = "|"
    if ci_low < low:
        drawn[0] = "<"
    if ci_high > high:
        drawn[-1] = ">"
    drawn[at(mean)] = "o"
    return "".join(drawn)
