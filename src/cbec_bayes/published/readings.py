"""What the parentheses under a coefficient can be, judged by its stars, in interval arithmetic.

A coefficient b with stars claims a p-value in a *band*: with levels 10, 5 and 1 %, two stars say 0.01 <= p <= 0.05.
Read the parentheses as a standard error s, a p-value or a t statistic, and each reading gives an interval for p; it
agrees with the stars, contradicts them, or is undetermined when rounding leaves both open. Whatever the parentheses
say, the stars alone imply an interval for the standard error: s = |b| / q with q between the critical values of the
band.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
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
    """The outcome of a check on printed numbers.

    A reading that nobody states is never a failure: where it does not hold, it is "not this one".
    """

    PASS = "pass"
    FAIL = "fail"
    UNDETERMINED = "undetermined"
    NOT_THIS = "not this one"


JUDGED = (Verdict.PASS, Verdict.FAIL, Verdict.UNDETERMINED)
"""Verdicts on what a paper states."""


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
    statistic
        t statistics that the reading allows; None where the parentheses are the p-value, or cannot be such a thing.
    """

    reading: Literal["se", "p", "t"]
    reference: Reference | None
    p: Interval | None
    verdict: Verdict
    statistic: Interval | None = None


def read_cell(
    cell: Coefficient, levels: Mapping[str, Fraction], df: DfRange, *, is_ratio: bool = False
) -> tuple[ReadingResult, ...]:
    """Try every reading of a cell against its stars.

    Parameters
    ----------
    cell
        The coefficient; it must have parentheses.
    levels
        Levels of the stars.
    df
        Smallest and largest possible degrees of freedom of the t reference.
    is_ratio
        Whether the estimate is a ratio, which is tested against one. Its standard error may be that of the ratio or of
        its logarithm; the statistic that agrees best with the stars is the one that counts.

    Returns
    -------
    tuple of ReadingResult
        se with t, se with normal, p, t with t, t with normal: in this order.
    """
    if cell.parenthesis is None:
        raise ValueError(
            f"table {cell.table}, column {cell.column}, row {cell.term}: the cell has no number in parentheses"
        )
    claimed = p_band(cell.stars, levels)
    printed = cell.parenthesis.interval
    references: tuple[tuple[Reference, DfRange], ...] = (("t", df), ("normal", NORMAL))

    results: list[ReadingResult] = []
    statistics = t_statistics(cell.estimate.interval, printed, is_ratio=is_ratio)
    for reference, degrees in references:
        tried = [ReadingResult("se", reference, p_interval(t, degrees), Verdict.FAIL, t) for t in statistics]
        judged = [replace(one, verdict=judge(one.p, claimed)) for one in tried if one.p is not None]
        results.append(_most_favourable(judged) or ReadingResult("se", reference, None, Verdict.FAIL))

    unit = Interval(0, 1)
    if printed.intersects(unit):
        p = printed.intersection(unit)
        results.append(ReadingResult("p", None, p, judge(p, claimed)))
    else:
        results.append(ReadingResult("p", None, None, Verdict.FAIL))

    for reference, degrees in references:
        p = p_interval(printed, degrees)
        verdict = Verdict.FAIL if signs_differ(cell, is_ratio=is_ratio) else judge(p, claimed)
        results.append(ReadingResult("t", reference, p, verdict, printed))
    return tuple(results)


def _most_favourable(results: list[ReadingResult]) -> ReadingResult | None:
    order = (Verdict.PASS, Verdict.UNDETERMINED, Verdict.FAIL)
    return min(results, key=lambda one: order.index(one.verdict), default=None)


def t_statistics(estimate: Interval, parenthesis: Interval, *, is_ratio: bool = False) -> tuple[Interval, ...]:
    """Return the |t| that an estimate has where its parentheses are a standard error, one for each way to test it.

    A coefficient is tested against zero. A ratio r with standard error s is tested by log(r) / (s / r), which is the
    delta method, by (r - 1) / s, or by log(r) / s where s is the standard error of the logarithm.
    """
    if parenthesis.high <= 0:
        return ()
    se = Interval(max(parenthesis.low, Fraction(0)), parenthesis.high)
    if not is_ratio:
        return (abs(estimate) / se,)
    if estimate.high <= 0:
        return ()
    log = log_interval(estimate)
    return abs(log * estimate) / se, abs(estimate - Interval(1, 1)) / se, abs(log) / se


def log_interval(ratio: Interval) -> Interval:
    """Return the logarithms of ratios, of which those that are not positive are left out."""
    low = Fraction(math.log(ratio.low)) if ratio.low > 0 else -INFINITY
    return Interval(low, Fraction(math.log(ratio.high)))


def signs_differ(cell: Coefficient, *, is_ratio: bool = False) -> bool:
    """Whether a coefficient, or the logarithm of a ratio, and its parentheses have opposite signs beyond rounding."""
    if cell.parenthesis is None:
        return False
    a, b = cell.parenthesis.interval, cell.estimate.interval
    if is_ratio:
        b = b - Interval(1, 1)
    return (a.high < 0 < b.low) or (b.high < 0 < a.low)


MOST_CLUSTERS = 10_000
"""Clusters beyond which the t reference is the normal distribution to all printed digits."""


def clusters_condition(result: ReadingResult, claimed: Interval, df: DfRange) -> str:
    """Say with how many clusters a reading agrees with the stars, where its verdict hangs on them; else blank.

    Parameters
    ----------
    result
        A reading with a statistic.
    claimed
        Band of p-values, from `p_band`.
    df
        Range of degrees of freedom: clusters less one, or more.
    """
    if result.statistic is None or df[0] == df[1]:
        return ""
    low, high = max(1, math.floor(df[0])), int(min(df[1], MOST_CLUSTERS))
    statistic = result.statistic

    def side(degrees: int) -> int:
        """-1 where p is below the claimed band, 1 where it is above, else 0; p falls with the degrees of freedom."""
        p = p_interval(statistic, (float(degrees), float(degrees)))
        return 0 if p.intersects(claimed) else 1 if p.low > claimed.high else -1

    first = bisect.bisect_left(range(low, high + 1), 0, key=lambda degrees: -side(degrees)) + low
    last = bisect.bisect_right(range(low, high + 1), 0, key=lambda degrees: -side(degrees)) + low - 1
    if first > last or (first == low and last == high):
        return ""
    if last == high:
        return f"unless there are fewer than {first + 1} clusters"
    if first == low:
        return f"unless there are more than {last + 1} clusters"
    return f"where there are {first + 1} to {last + 1} clusters"


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
