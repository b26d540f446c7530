"""What pooled estimates say, in plain sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from cbec_bayes.estimands import Summary
from cbec_bayes.jobs.classical_pooling import told
from cbec_bayes.jobs.pooled_methods import name_of_tau
from cbec_bayes.published.between_shape import NORMAL, BetweenShape
from cbec_bayes.published.estimates import Estimates
from cbec_bayes.published.results import SummaryResult
from cbec_bayes.runtime.labels import CI_PROB, level

MOST_NAMED = 6
"""Groups that a sentence names."""

FEW = 5
"""Estimates below which the prior of tau matters for all that is said of other groups."""


def pooled_sentences(estimates: Estimates, result: SummaryResult, shape: BetweenShape = NORMAL) -> tuple[str, ...]:
    """Return the answer: the common slope, how much groups differ, which are sure, and what a new one may expect.

    Parameters
    ----------
    estimates, result
        The estimates, and what was read off their posterior.
    shape
        How slopes lie between groups: τ is a standard deviation of normal ones alone.
    """
    names = () if estimates.terms is None else estimates.terms.names
    average = f", average in {' and in '.join(names)}," if names else ""
    return (
        _about_common(int(estimates.printed.sum()), result.common),
        *_about_spread(estimates, result.tau, shape),
        *_about_groups(estimates, result),
        f"A group like these{average} that has not been seen may expect a slope between {told(result.new.ci_low)} and "
        f"{told(result.new.ci_high)} with probability {level(CI_PROB)}.",
    )


def _between(one: Summary) -> str:
    ends = f"{told(one.ci_low)} to {told(one.ci_high)}"
    if not math.isfinite(one.mean):
        return f"between {ends.replace(' to ', ' and ')} ({level(CI_PROB)} interval; its mean does not exist)"
    return f"{told(one.mean)} ({level(CI_PROB)} interval {ends})"


def _about_common(n: int, common: Summary) -> str:
    if n == 1:
        return f"One estimate is given. The slope of groups in general is {_between(common)}, mostly by its prior."
    p, sign = common.p_positive, "positive" if common.p_positive >= 0.5 else "negative"
    return (
        f"Taken together, {n} estimates put the slope of groups in general at {_between(common)}; it is {sign} with "
        f"probability {_probability(max(p, 1 - p))}."
    )


def _about_spread(estimates: Estimates, tau: Summary, shape: BetweenShape) -> Iterator[str]:
    n = int(estimates.printed.sum())
    if n < 2:
        return
    name = name_of_tau(shape)
    if tau.ci_low == tau.ci_high:
        yield f"The {name} τ of slopes between groups is held at {told(tau.ci_low)}."
        return
    typical = np.median(estimates.typical[estimates.printed])
    yield (
        f"{_differ(estimates)} by a {name} τ of {_between(tau)}, where the standard error of an "
        f"estimate is typically {told(float(typical))}."
        + (
            f" {n} estimates say little about τ, so that its prior matters; see the other priors below."
            if n < FEW
            else ""
        )
    )


def _differ(estimates: Estimates) -> str:
    """Say from what slopes differ: from each other, or from what they are regressed on."""
    names = () if estimates.terms is None else estimates.terms.names
    return (
        f"Slopes of groups differ from what {' and '.join(names)} predict{'s' * (len(names) == 1)}"
        if names
        else ("Slopes differ between groups")
    )


def _about_groups(estimates: Estimates, result: SummaryResult) -> Iterator[str]:
    """Say which groups have a slope whose sign is settled after pooling."""
    there = [label for label, own in zip(estimates.labels, estimates.printed, strict=True) if own]
    if len(there) < 2:
        return
    above = [label for label in there if result.groups[label].ci_low > 0]
    below = [label for label in there if result.groups[label].ci_high < 0]
    if not above and not below:
        yield f"After pooling no group's {level(CI_PROB)} interval leaves zero out."
        return
    parts = [f"above zero in {_listed(above, len(there))}"] if above else []
    parts += [f"below zero in {_listed(below, len(there))}"] if below else []
    yield f"After pooling the {level(CI_PROB)} interval is {' and '.join(parts)}."


def _listed(labels: list[str], n: int) -> str:
    if len(labels) == n:
        return f"all {n} groups"
    if len(labels) > MOST_NAMED:
        return f"{len(labels)} of {n} groups"
    return ", ".join(labels)


def _probability(value: float) -> str:
    return "above 0.99" if value > 0.995 else f"{value:.2f}"
