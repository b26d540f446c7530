"""What follows from a paper's printed slopes, in counts: which intervals leave zero out, and how much is the prior."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from cbec_bayes.published.audit import Audit
from cbec_bayes.published.estimates import Estimates
from cbec_bayes.published.readings import Verdict
from cbec_bayes.published.results import SummaryResult


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintedConclusions:
    """What follows from printed slopes.

    Attributes
    ----------
    groups
        Those with a printed slope.
    above_zero
        For each slope whose interval is above zero, the number of combinations of reading and prior in which it is.
    reaching_zero
        The others.
    combinations
        How many combinations were tried.
    contradicted, coefficients
        Coefficients whose parentheses cannot be the standard error that they are said to be, and all that were read.
    """

    groups: tuple[str, ...]
    above_zero: Mapping[str, int]
    reaching_zero: tuple[str, ...]
    combinations: int
    contradicted: int
    coefficients: int


def conclude(
    estimates: Estimates, result: SummaryResult, sensitivity: pd.DataFrame, audit: Audit
) -> PrintedConclusions:
    """Count what supports each conclusion.

    Parameters
    ----------
    estimates, result
        Under the headline's reading and prior.
    sensitivity
        See `cbec_bayes.published.results.sensitivity_table`.
    audit
        Audit of the same tables.
    """
    groups = tuple(label for label, there in zip(estimates.labels, estimates.printed, strict=True) if there)
    above = sensitivity[sensitivity["ci_low"] > 0]
    sure = [group for group in groups if result.groups[group].ci_low > 0]
    readings = audit.counts().get("reading", {})
    return PrintedConclusions(
        groups=groups,
        above_zero={group: int((above["group"] == group).sum()) for group in sure},
        reaching_zero=tuple(group for group in groups if group not in sure),
        combinations=len(sensitivity[["reading", "model"]].drop_duplicates()),
        contradicted=readings.get(Verdict.FAIL, 0),
        coefficients=sum(readings.values()),
    )


@dataclass(frozen=True, slots=True)
class PriorRange:
    """How far a group's slope moves between priors: ends of its means, and of the widths of its interval."""

    group: str
    means: tuple[float, float]
    widths: tuple[float, float]


def prior_ranges(sensitivity: pd.DataFrame, reading: str, groups: tuple[str, ...]) -> tuple[PriorRange, ...]:
    """Return how far the slope of each group moves between the priors under one reading."""
    found = []
    for group in groups:
        rows = sensitivity[(sensitivity["reading"] == reading) & (sensitivity["group"] == group)]
        means, widths = rows["mean"], rows["ci_high"] - rows["ci_low"]
        found.append(
            PriorRange(
                group,
                (float(means.min()), float(means.max())),
                (float(widths.min()), float(widths.max())),
            )
        )
    return tuple(found)
