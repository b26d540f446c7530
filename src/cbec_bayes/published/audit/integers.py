"""Can a mean and a standard deviation be those of whole numbers, or of zeros and ones?

GRIM (Brown and Heathers, 2017): the mean of n whole numbers is a whole number over n. GRIMMER (Anaya, 2016): the sum of
their squares is a whole number of the same parity as their sum.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from fractions import Fraction

from cbec_bayes.published.audit.finding import Context, Finding, span
from cbec_bayes.published.intervals import Interval
from cbec_bayes.published.printed import Moments
from cbec_bayes.published.readings import Verdict

_BINARY = re.compile(r"\bdummy\b|\bbinary\b|=\s?1\b|\b0/1\b|\b0 or 1\b", re.IGNORECASE)

MOST_SUMS = 10_000
"""Sums that a rounded mean allows up to which the squares of each are tried."""


def check_integers(context: Context) -> Iterator[Finding]:
    """Per descriptive row that is declared, or named, binary: sd from the mean. Per declared integer: GRIM, GRIMMER."""
    facts = context.paper.facts
    for row in context.paper.moments.values():
        if row.mean is None:
            continue
        if row.term in facts.binary or _BINARY.search(row.label):
            yield _binary(row)
        if row.term in (*facts.integers, *facts.binary) and row.n_obs is not None:
            yield from _whole(row, int(row.n_obs.value))


def _finding(row: Moments, check: str, verdict: Verdict, interval: Interval, *, quantity: str, detail: str) -> Finding:
    return Finding(
        table=row.table,
        column="",
        term=row.term,
        check=check,
        verdict=verdict,
        interval=interval,
        quantity=quantity,
        detail=detail,
    )


def _binary(row: Moments) -> Finding:
    """Zeros and ones with mean m have the variance m (1 - m), times n / (n - 1) by the usual formula."""
    assert row.mean is not None
    mean = row.mean.interval
    if mean.high < 0 or mean.low > 1:
        detail = f"A mean of {row.mean} is not that of zeros and ones."
        return _finding(row, "binary", Verdict.FAIL, Interval(0, 1), quantity="mean", detail=detail)
    low, high = max(Fraction(mean.low), Fraction(0)), min(Fraction(mean.high), Fraction(1))
    ends = [low * (1 - low), high * (1 - high)]
    most = Fraction(1, 4) if low <= Fraction(1, 2) <= high else max(ends)
    n = None if row.n_obs is None else int(row.n_obs.value)
    factor = Fraction(n, n - 1) if n is not None and n > 1 else Fraction(1)
    largest = math.sqrt(most * factor) if n != 1 else 0.0
    sds = Interval(Fraction(math.sqrt(min(ends))), Fraction(max(largest, math.sqrt(most))))
    if row.sd is None:
        detail = f"Zeros and ones with mean {row.mean} have a standard deviation of {span(sds)}; none is printed."
        return _finding(row, "binary", Verdict.UNDETERMINED, sds, quantity="standard deviation", detail=detail)
    possible = row.sd.interval.intersects(sds)
    detail = (
        f"Zeros and ones with mean {row.mean} have a standard deviation of {span(sds)}; printed is {row.sd}"
        f"{'' if possible else ', which is impossible'}."
    )
    verdict = Verdict.PASS if possible else Verdict.FAIL
    return _finding(row, "binary", verdict, sds, quantity="standard deviation", detail=detail)


def _whole(row: Moments, n: int) -> Iterator[Finding]:
    assert row.mean is not None
    total = row.mean.interval * Interval(n, n)
    sums = range(math.ceil(total.low), math.floor(total.high) + 1)
    if not sums:
        nearest = [Fraction(k, n) for k in (math.floor(total.low), math.ceil(total.high))]
        detail = (
            f"No {n} whole numbers have the mean {row.mean}; the nearest are "
            f"{float(nearest[0]):.6g} and {float(nearest[1]):.6g}."
        )
        yield _finding(row, "grim", Verdict.FAIL, total, quantity="sum", detail=detail)
        return
    yield _finding(
        row, "grim", Verdict.PASS, total, quantity="sum", detail=f"{n} whole numbers can have the mean {row.mean}."
    )
    if row.sd is None or n < 2 or len(sums) > MOST_SUMS:
        return
    squares = [_squares(row.sd.interval, total_sum, n, ddof) for total_sum in sums for ddof in (1, 0)]
    possible = any(_has_parity(found, s) for found, s in zip(squares, [s for s in sums for _ in (1, 0)], strict=True))
    can = "can" if possible else "cannot"
    detail = f"{n} whole numbers with the mean {row.mean} {can} have the standard deviation {row.sd}."
    verdict = Verdict.PASS if possible else Verdict.FAIL
    yield _finding(row, "grimmer", verdict, squares[0], quantity="sum of squares", detail=detail)


def _squares(sd: Interval, total: int, n: int, ddof: int) -> Interval:
    """Return the sums of squares that a standard deviation allows beside a sum."""
    low = max(Fraction(sd.low), Fraction(0))
    high = Fraction(sd.high)
    centre = Fraction(total * total, n)
    return Interval(centre + (n - ddof) * low * low, centre + (n - ddof) * high * high)


def _has_parity(squares: Interval, total: int) -> bool:
    """Whether a whole number of the parity of the sum lies among the sums of squares: k² is odd where k is."""
    first = math.ceil(squares.low)
    first += (first - total) % 2
    return first <= squares.high
