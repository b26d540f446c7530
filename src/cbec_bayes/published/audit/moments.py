"""Can a mean, a standard deviation, a minimum and a maximum belong to the same numbers?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

from cbec_bayes.published.audit.finding import Context, Finding, span
from cbec_bayes.published.intervals import Interval
from cbec_bayes.published.printed import Moments
from cbec_bayes.published.readings import Verdict


def check_moments(context: Context) -> Iterator[Finding]:
    """Per row of a descriptive table: does a sample with these moments exist, within rounding?"""
    for row in context.paper.moments.values():
        yield _finding(row)


def _finding(row: Moments) -> Finding:
    def finding(verdict: Verdict, interval: Interval | None, quantity: str, detail: str) -> Finding:
        return Finding(
            table=row.table,
            column="",
            term=row.term,
            check="moments",
            verdict=verdict,
            interval=interval,
            quantity=quantity,
            detail=detail,
        )

    if row.mean is None or row.min is None or row.max is None:
        return finding(Verdict.UNDETERMINED, None, "", "Mean, minimum and maximum are not all printed.")
    n_obs = None if row.n_obs is None else int(row.n_obs.value)
    if row.min.interval.low > row.max.interval.high:
        return finding(Verdict.FAIL, None, "", f"The minimum {row.min} is above the maximum {row.max}.")
    if n_obs == 1 and not row.min.interval.intersects(row.max.interval):
        return finding(Verdict.FAIL, None, "", f"One observation cannot be both {row.min} and {row.max}.")
    means = possible_means(row.min.interval, row.max.interval, n_obs)
    if not row.mean.interval.intersects(means):
        detail = (
            f"With minimum {row.min} and maximum {row.max} the mean must lie within {span(means, 4)}, not {row.mean}."
        )
        return finding(Verdict.FAIL, means, "mean", detail)
    if row.sd is None:
        return finding(Verdict.UNDETERMINED, means, "mean", "The mean is possible; no standard deviation is printed.")
    sds = possible_sds(row.min.interval, row.max.interval, row.mean.interval.intersection(means), n_obs)
    possible = row.sd.interval.intersects(sds)
    size = "" if n_obs is None else f" over {n_obs} observations"
    detail = (
        f"Mean {row.mean}, minimum {row.min} and maximum {row.max}{size} allow a standard deviation of {span(sds)}; "
        f"{row.sd} is {'possible' if possible else 'impossible'}."
    )
    return finding(Verdict.PASS if possible else Verdict.FAIL, sds, "standard deviation", detail)


def possible_means(minimum: Interval, maximum: Interval, n_obs: int | None) -> Interval:
    """Return the means of n numbers of which one is the minimum and one the maximum (n unknown: between the two).

    Raises
    ------
    ValueError
        One number cannot be both.
    """
    if n_obs is None:
        return Interval(minimum.low, maximum.high)
    if n_obs == 1:
        return Interval(max(minimum.low, maximum.low), min(minimum.high, maximum.high))
    weight = Fraction(1, n_obs)
    low = minimum.low * (1 - weight) + max(maximum.low, minimum.low) * weight
    high = maximum.high * (1 - weight) + min(minimum.high, maximum.high) * weight
    return Interval(low, high)


def possible_sds(minimum: Interval, maximum: Interval, mean: Interval, n_obs: int | None) -> Interval:
    """Return the standard deviations that a minimum, a maximum and a mean allow, over all values within rounding.

    The divisor is not known: the largest value divides by n - 1, the smallest by n.

    Notes
    -----
    The sum of squares about a given mean is largest when all numbers but one sit at the two ends (Bhatia and Davis,
    2000, made exact for finite n), smallest when all but the two extremes are equal.
    """
    widest = (Fraction(minimum.low), Fraction(maximum.high))
    narrowest = (Fraction(minimum.high), max(Fraction(maximum.low), Fraction(minimum.high)))
    if n_obs is None:
        largest = 2 * (_clip_mid(mean, widest) - widest[0]) * (widest[1] - _clip_mid(mean, widest))
        return Interval(0, math.sqrt(largest))
    if n_obs == 1:
        return Interval(0, 0)
    high = max(_largest_squares(m, widest, n_obs) for m in _candidates(mean, widest, n_obs))
    low = _smallest_squares(_clip_mid(mean, narrowest), narrowest, n_obs)
    return Interval(math.sqrt(low / n_obs), max(math.sqrt(high / (n_obs - 1)), math.sqrt(low / n_obs)))


def _clip_mid(mean: Interval, ends: tuple[Fraction, Fraction]) -> Fraction:
    return Fraction(mean.clip((ends[0] + ends[1]) / 2))


def _candidates(mean: Interval, ends: tuple[Fraction, Fraction], n_obs: int) -> list[Fraction]:
    """Means at which the largest sum of squares can peak: the interval's ends and the knots nearest to the middle."""
    low, high = ends
    points = [Fraction(mean.low), Fraction(mean.high)]
    if high > low:
        knot = (_clip_mid(mean, ends) - low) / (high - low) * n_obs
        for k in (math.floor(knot), math.ceil(knot)):
            m = low + (high - low) * k / n_obs
            if m in mean:
                points.append(m)
    return points


def _largest_squares(mean: Fraction, ends: tuple[Fraction, Fraction], n_obs: int) -> Fraction:
    low, high = ends
    if high == low:
        return Fraction(0)
    at_high = min(max(math.floor((mean - low) * n_obs / (high - low)), 0), n_obs - 1)
    left = n_obs * mean - at_high * high - (n_obs - 1 - at_high) * low
    return at_high * (high - mean) ** 2 + (n_obs - 1 - at_high) * (low - mean) ** 2 + (left - mean) ** 2


def _smallest_squares(mean: Fraction, ends: tuple[Fraction, Fraction], n_obs: int) -> Fraction:
    low, high = ends
    squares = (low - mean) ** 2 + (high - mean) ** 2
    return squares if n_obs == 2 else squares + (2 * mean - low - high) ** 2 / (n_obs - 2)
