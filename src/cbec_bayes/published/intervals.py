"""Interval arithmetic with exact rational end points.

A printed decimal is a rational number, and so is half a unit of its last digit. With rational end points sums, products
and quotients of printed numbers are exact: an interval is never wider than the printing makes it and needs no outward
rounding, and a verdict never hangs on a binary rounding error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

INFINITY = math.inf
End = Fraction | float  # a float end point is only ever plus or minus infinity


@dataclass(frozen=True, slots=True)
class Interval:
    """The closed interval from `low` to `high`; an end may be infinite.

    Raises
    ------
    ValueError
        The ends are out of order or not numbers.
    """

    low: End
    high: End

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            end = getattr(self, name)
            if not (isinstance(end, float) and math.isinf(end)):
                object.__setattr__(self, name, Fraction(end))
        if not self.low <= self.high:
            raise ValueError(f"not an interval: {self.low} > {self.high}")

    def __add__(self, other: Interval) -> Interval:
        return Interval(_sum(self.low, other.low), _sum(self.high, other.high))

    def __neg__(self) -> Interval:
        return Interval(-self.high, -self.low)

    def __sub__(self, other: Interval) -> Interval:
        return self + -other

    def __mul__(self, other: Interval) -> Interval:
        ends = [_product(a, b) for a in (self.low, self.high) for b in (other.low, other.high)]
        return Interval(min(ends), max(ends))

    def __truediv__(self, other: Interval) -> Interval:
        """Quotient; the divisor may touch zero at one end (the quotient is then unbounded) but not straddle it."""
        if other.low == other.high == 0:
            raise ZeroDivisionError("the divisor is exactly zero")
        if other.low < 0 < other.high:
            return Interval(-INFINITY, INFINITY)
        reciprocal = (
            Interval(_reciprocal(other.high, INFINITY), _reciprocal(other.low, INFINITY))
            if other.low >= 0
            else Interval(_reciprocal(other.high, -INFINITY), _reciprocal(other.low, -INFINITY))
        )
        return self * reciprocal

    def __abs__(self) -> Interval:
        if self.low >= 0:
            return self
        return -self if self.high <= 0 else Interval(0, max(-self.low, self.high))

    def __contains__(self, value: End) -> bool:
        return self.low <= value <= self.high

    def within(self, other: Interval) -> bool:
        """Whether every value of this interval lies in the other."""
        return other.low <= self.low and self.high <= other.high

    def intersects(self, other: Interval) -> bool:
        """Whether the two have a value in common."""
        return self.low <= other.high and other.low <= self.high

    def intersection(self, other: Interval) -> Interval:
        """Return the common part; raises ValueError where there is none."""
        return Interval(max(self.low, other.low), min(self.high, other.high))

    def clip(self, value: End) -> End:
        """Return the point of the interval nearest to `value`."""
        return min(max(value, self.low), self.high)

    @property
    def ends(self) -> tuple[float, float]:
        """Both ends as floats, for printing."""
        return float(self.low), float(self.high)


def _sum(a: End, b: End) -> End:
    """Add two ends of the same side; opposite infinities cannot meet there."""
    if isinstance(a, float) or isinstance(b, float):
        return a if isinstance(a, float) else b
    return a + b


def _product(a: End, b: End) -> End:
    """Multiply ends with 0 * infinity = 0, the limit that interval products need."""
    if a == 0 or b == 0:
        return Fraction(0)
    if isinstance(a, float) or isinstance(b, float):
        return INFINITY if (a > 0) == (b > 0) else -INFINITY
    return a * b


def _reciprocal(end: End, at_zero: float) -> End:
    if end == 0:
        return at_zero
    return Fraction(0) if isinstance(end, float) else 1 / end
