"""How far estimates typically lie from their mean: the unit of the priors, which no single row sets."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

Array = NDArray[np.float64]

_PER_LOG = 8
"""Values of the spread that are tried between one and e times as much."""

_CANDIDATES = 6
"""Rows that contribute most to the spread; one that sets it is among them."""


def typical_spread(values: Array, errors: Array) -> float:
    """Return the typical deviation of estimates from their mean, their own errors included.

    The spread u is the largest solution of u^2 = sum_i v_i [(b_i - m)^2 + s_i^2] / sum_i v_i, where the weight of a row
    is v_i = 1 / (s_i^2 + u^2)^2 and m is the mean of b with these weights.

    Parameters
    ----------
    values, errors
        Estimates b and standard errors s of R rows, both of shape (R,), all finite and s positive.

    Notes ----- The right side is a moment estimate of the variance of b about its mean, and v_i is the weight of (b_i -
    m)^2 that is best for normal estimates whose variance is s_i^2 + u^2 (Carroll and Ruppert, 1982). Rows that are much
    less precise than u have no weight, and all that are much more precise have the same one. Neither an imprecise row
    nor an exact one sets the unit, therefore. A solution exists, since the right side is at least the smallest s_i^2
    and at most the largest plus the square of the range of b. Where rows are of two kinds there may be several. The
    largest is that of the imprecise rows only where these are more than eight times as many as the others, and exact
    rows cannot set it.
    """
    size = float(np.max(errors)) + float(np.ptp(values))
    b, s = (values - values.mean()) / size, errors / size

    def excess(log_u: float) -> float:
        """Return the log of the right side less that of the left."""
        u2 = math.exp(2 * log_u)
        weights = ((np.min(s) ** 2 + u2) / (s**2 + u2)) ** 2  # relative to the largest, which may be beyond floats
        centre = weights @ b / weights.sum()
        return math.log(weights @ ((b - centre) ** 2 + s**2) / weights.sum()) - 2 * log_u

    low, high = math.log(np.min(s)), math.log(2.0)
    steps = np.linspace(high, low, 2 + int((high - low) * _PER_LOG)).tolist()
    above = steps[0]
    for below in steps[1:]:  # from above: the first change of sign is the largest solution
        if excess(below) >= 0:
            return size * math.exp(optimize.brentq(excess, below, above, xtol=1e-14))
        above = below
    return size * math.exp(low)


def rows_that_set_it(values: Array, errors: Array, factor: float = 2.0) -> dict[int, float]:
    """Return the rows without each of which the spread is another by more than `factor`, and that other spread.

    With fewer than three rows there are none.
    """
    if len(values) < 3:
        return {}
    spread = typical_spread(values, errors)
    weights = (spread / np.hypot(errors, spread)) ** 4
    centre = weights @ values / weights.sum()
    share = weights * ((values - centre) ** 2 + errors**2)
    found = {}
    for row in np.argsort(-share)[:_CANDIDATES]:
        without = typical_spread(np.delete(values, row), np.delete(errors, row))
        if not 1 / factor <= without / spread <= factor:
            found[int(row)] = without
    return found
