from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cbec_bayes.published.intervals import Interval

numbers = st.fractions(min_value=-50, max_value=50, max_denominator=400)


@st.composite
def interval_and_point(draw):
    low, high, weight = draw(numbers), draw(numbers), draw(st.fractions(0, 1, max_denominator=50))
    low, high = min(low, high), max(low, high)
    return Interval(low, high), low + (high - low) * weight


@given(interval_and_point(), interval_and_point())
def test_operations_contain_the_results_of_their_members(first, second):
    (a, x), (b, y) = first, second
    assert x + y in a + b
    assert x - y in a - b
    assert x * y in a * b
    assert abs(x) in abs(a)
    assume(b.low != b.high or b.low != 0)
    assume(y != 0)
    assert x / y in a / b


@given(interval_and_point(), interval_and_point())
def test_operations_are_no_wider_than_they_must_be(first, second):
    (a, _), (b, _) = first, second
    products = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
    assert (a * b) == Interval(min(products), max(products))
    if not b.low <= 0 <= b.high:
        quotients = [x / y for x in (a.low, a.high) for y in (b.low, b.high)]
        assert (a / b) == Interval(min(quotients), max(quotients))


def test_division_at_zero():
    one = Interval(1, 2)
    assert one / Interval(0, Fraction(1, 2)) == Interval(2, math.inf)
    assert one / Interval(Fraction(-1, 2), 0) == Interval(-math.inf, -2)
    assert one / Interval(-1, 1) == Interval(-math.inf, math.inf)
    assert Interval(0, 0) / Interval(0, 1) == Interval(0, 0)
    with pytest.raises(ZeroDivisionError):
        _ = one / Interval(0, 0)


def test_infinite_ends():
    half = Interval(1, math.inf)
    assert half + Interval(-3, -2) == Interval(-2, math.inf)
    assert half * Interval(-1, 0) == Interval(-math.inf, 0)
    assert Interval(2, 4) / half == Interval(0, 4)
    assert -half == Interval(-math.inf, -1)
    assert 10**9 in half
    assert 0 not in half


@pytest.mark.parametrize("ends", [(2, 1), (math.nan, 1), (0, math.nan)])
def test_what_is_no_interval(ends):
    with pytest.raises(ValueError, match=r"interval|integer ratio"):
        Interval(*ends)


def test_order_and_containment_of_intervals():
    a, b, c = Interval(0, 2), Interval(1, 3), Interval(4, 5)
    assert a.intersects(b)
    assert not a.intersects(c)
    assert a.intersection(b) == Interval(1, 2)
    assert Interval(1, 1).within(a)
    assert not a.within(b)
    assert (a.clip(Fraction(-1)), a.clip(Fraction(1)), a.clip(math.inf)) == (0, 1, 2)
    with pytest.raises(ValueError, match="not an interval"):
        a.intersection(c)
