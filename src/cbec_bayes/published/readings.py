"""What the parentheses under a coefficient can be, judged by its stars, in interval arithmetic.

A coefficient b with stars claims a p-value in a *band*: with levels 10, 5 and 1 %, two stars say 0.01 <= p <= 0.05.
Read the parentheses as a standard error s, a p-value or a t statistic, and each reading gives an interval for p; it
agrees with the stars, contradicts them, or is undetermined when rounding leaves both open. Whatever the parentheses
say, the stars alone imply an interval for the standard error: s = |b| / q with q between the critical values of the
band.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Literal

from scipy import special

from cbec_bayes.published.intervals import INFINITY, Interval
from cbec_bayes.published.printed import Coefficient

Reference = Literal["t", "normal"]
DfRange = tuple[float, float]
NORMAL: DfRange = (INFINITY, INFINITY)
UNKNOWN_DF: DfRange = (1.0, INFINITY)


class Verdict(StrEnum):
    """The outcome of a check on printed numbers."""

    PASS = "pass"
    FAIL = "fail"
    UNDETERMINED = "undetermined"


def p_band(stars: str, levels: Mapping[str, Fraction]) -> Interval:
    """Return the p-values that a number of stars claims.

    Parameters
    ----------
    stars
        The stars as printed; ``""`` claims that no level is reached.
    levels
        Symbol to level, e.g. ``{"*": 1/10, "**": 1/20, "***": 1/100}``.
    """
    high = levels[stars] if stars else Fraction(1)
    low = max((level for level in levels.values() if level < high), default=Fraction(0))
    return Interval(low, high)


def two_sided_p(t: float, df: float) -> float:
    """Two-sided p-value of a t statistic; `df` infinite means the normal distribution."""
    # The functions that SciPy's distributions call, without their checks: a target's grid asks thousands of times.
    return float(2 * (special.ndtr(-abs(t)) if math.isinf(df) else special.stdtr(df, -abs(t))))


def critical_value(p: float, df: float) -> float:
    """Return the |t| that has the two-sided p-value `p`: infinite at p = 0."""
    return abs(float(special.ndtri(p / 2) if math.isinf(df) else special.stdtrit(df, p / 2)))


def p_interval(t: Interval, df: DfRange) -> Interval:
    """Return the p-values of |t| statistics in an interval when df lies in a range (heavier tails at smaller df)."""
    magnitude = abs(t)
    low, high = magnitude.ends
    ends = two_sided_p(high, df[1]) if high < INFINITY else 0.0, two_sided_p(low, df[0])
    return Interval(Fraction(min(ends)), Fraction(max(ends)))  # SciPy's t tail for one df is off by 3e-9 next to 0


def judge(found: Interval, claimed: Interval) -> Verdict:
    """Pass if all of `found` lies in `claimed`, fail if none does, else undetermined."""
    if found.within(claimed):
        return Verdict.PASS
    return Verdict.UNDETERMINED if found.intersects(claimed) else Verdict.FAIL


@dataclass(frozen=True, slots=True)
class ReadingResult:
    """One reading of one cell.

    Attributes
    ----------
    reading
        ``se``, ``p`` or ``t``: what the parentheses are taken to be.
    reference
        Distribution that turns a statistic into a p-value; None when the parentheses are the p-value.
    p
        p-values that the reading allows; None where the number cannot be such a thing at all.
    verdict
        Whether they agree with the stars.
    """

    reading: Literal["se", "p", "t"]
    reference: Reference | None
    p: Interval | None
    verdict: Verdict


def read_cell(cell: Coefficient, levels: Mapping[str, Fraction], df: DfRange) -> tuple[ReadingResult, ...]:
    """Try every reading of a cell against its stars.

    Parameters
    ----------
    cell
        The coefficient; it must have parentheses.
    levels
        Levels of the stars.
    df
        Smallest and largest possible degrees of freedom of the t reference.

    Returns
    -------
    tuple of ReadingResult
        se with t, se with normal, p, t with t, t with normal: in this order.
    """
    if cell.parenthesis is None:
        raise ValueError(f"{cell.table}, {cell.column}, {cell.term}: nothing stands in parentheses")
    claimed = p_band(cell.stars, levels)
    printed, estimate = cell.parenthesis.interval, cell.estimate.interval
    references: tuple[tuple[Reference, DfRange], ...] = (("t", df), ("normal", NORMAL))

    results: list[ReadingResult] = []
    nonnegative = Interval(max(printed.low, Fraction(0)), printed.high) if printed.high >= 0 else None
    for reference, degrees in references:
        if nonnegative is None or nonnegative.high == 0:
            results.append(ReadingResult("se", reference, None, Verdict.FAIL))
        else:
            p = p_interval(abs(estimate) / nonnegative, degrees)
            results.append(ReadingResult("se", reference, p, judge(p, claimed)))

    unit = Interval(0, 1)
    if printed.intersects(unit):
        p = printed.intersection(unit)
        results.append(ReadingResult("p", None, p, judge(p, claimed)))
    else:
        results.append(ReadingResult("p", None, None, Verdict.FAIL))

    for reference, degrees in references:
        p = p_interval(printed, degrees)
        verdict = Verdict.FAIL if signs_differ(cell) else judge(p, claimed)
        results.append(ReadingResult("t", reference, p, verdict))
    return tuple(results)


def signs_differ(cell: Coefficient) -> bool:
    """Whether a coefficient and its parentheses have opposite signs beyond rounding."""
    if cell.parenthesis is None:
        return False
    a, b = cell.parenthesis.interval, cell.estimate.interval
    return (a.high < 0 < b.low) or (b.high < 0 < a.low)


def best_verdict(results: tuple[ReadingResult, ...], reading: str) -> Verdict:
    """Return the most favourable verdict of a reading over its reference distributions."""
    verdicts = {result.verdict for result in results if result.reading == reading}
    return next(v for v in (Verdict.PASS, Verdict.UNDETERMINED, Verdict.FAIL) if v in verdicts)


def coherent_readings(results: tuple[ReadingResult, ...]) -> tuple[str, ...]:
    """Return the readings that are not contradicted by the stars, in the order se, p, t."""
    return tuple(r for r in ("se", "p", "t") if best_verdict(results, r) is not Verdict.FAIL)


def implied_se(estimate: Interval, claimed: Interval, df: DfRange) -> Interval:
    """Return the standard errors that the stars imply: |b| over the critical values of the claimed band of p.

    Parameters
    ----------
    estimate
        The coefficient.
    claimed
        Band of p-values, from `p_band`.
    df
        Range of degrees of freedom of the reference.
    """
    low, high = claimed.ends
    # A larger critical value gives a smaller standard error; at p = 1 the critical value is 0 and s is unbounded.
    largest = INFINITY if low == 0 else critical_value(low, df[0])
    smallest = 0.0 if high == 1 else critical_value(high, df[1])
    quantile = Interval(Fraction(smallest), largest if largest == INFINITY else Fraction(largest))
    return abs(estimate) / quantile


def se_from_p(estimate: float, p: float, df: float) -> float:
    """Return the standard error at which an estimate has the two-sided p-value `p`."""
    return abs(estimate) / critical_value(p, df)


def se_from_t(estimate: float, t: float) -> float:
    """Return the standard error at which an estimate has the t statistic `t`."""
    return abs(estimate / t)


def stars_word(stars: str, levels: Mapping[str, Fraction]) -> str:
    """Say what the stars claim: ``"two stars (0.01 < p < 0.05)"``."""
    low, high = p_band(stars, levels).ends
    names = {"": "no star", "*": "one star", "**": "two stars", "***": "three stars"}
    name = names.get(stars, f"'{stars}'")
    if not stars:
        return f"{name} (p > {low:g})"
    return f"{name} (p < {high:g})" if low == 0 else f"{name} ({low:g} < p < {high:g})"
