"""How precisely the numbers of a column are stored: in single precision, with so many decimals, or as doubles.

What others leave of a column is not its own where it is no more than the rounding of the numbers that are stored: of
shares with six decimals that add up to one, of sums in the single precision that is Stata's default.
"""

from __future__ import annotations

import math

import numpy as np

from cbec_bayes.panel.within import Array

SLACK = 1.5
"""What is left of a column is rounding up to so many times the standard deviation that rounding has."""

STEPS = 4.0
"""Roundings of a number in single precision that was computed in several steps, each of which rounds."""

_DOUBLE, _SINGLE = 2.0**-53, 2.0**-24
_CERTAIN = math.log(1e-9)
_MOST_DECIMALS, _MOST_DIGITS = 12, 15
_DIGITS_OF_SINGLE = (8, 9)
_EXACT, _LEVEL = 1e-12, 1e-13  # of what varies, and of its level
_SURELY_LEFT = 0.01
_FIFTEEN_DIGITS = 1e-14  # which spreadsheets keep of a number


def rounding_of(values: Array) -> Array:
    """Return the standard deviation of the rounding of each number of a column, shape (n,).

    Whole numbers are exact: counts, codes, zeros and ones. Of others it is looked at whether all are numbers of single
    precision, as they are or as these are printed, and whether all have few decimals, or few digits, which numbers of
    that precision would not have by chance. Rounding is uniform over half a unit of the last digit to either side.
    """
    if np.all(values == np.round(values)):
        return np.zeros(len(values))
    size = np.abs(values)
    with np.errstate(over="ignore"):
        single = bool(np.all(np.abs(values.astype(np.float32) - values) <= _FIFTEEN_DIGITS * size))
    half = size * (_SINGLE if single else _DOUBLE)
    decimals, digits = _decimals(values, half), _digits(values, half)
    finer = decimals is None or 10.0**-decimals < np.median(size) * _SINGLE  # than single precision: not so written
    single = single or (finer and digits in _DIGITS_OF_SINGLE and _printed_single(values))
    stored = STEPS * size * _SINGLE if single else half
    if decimals is not None:
        stored = np.maximum(stored, 0.5 * 10.0**-decimals)
    if digits is not None and not single:
        stored = np.maximum(stored, 0.5 * _unit_of_digits(size, digits))
    return np.asarray(stored / math.sqrt(3))


def is_rounding(residual: Array, outcome: Array, slopes: Array, rounding: Array) -> bool:
    """Say whether a regression's residuals are no more than the rounding of what it is made of.

    Parameters
    ----------
    residual, outcome
        Shape (n,).
    slopes, rounding
        Slopes of the regressors, and the norm of the rounding of each, shape (K,).
    """
    left, centred = float(np.linalg.norm(residual)), float(np.linalg.norm(outcome - outcome.mean()))
    if left <= max(_EXACT * centred, _LEVEL * float(np.linalg.norm(outcome))):
        return True
    if left > _SURELY_LEFT * centred:
        return False
    rough = math.hypot(float(np.linalg.norm(rounding_of(outcome))), float(np.linalg.norm(slopes * rounding)))
    return left <= SLACK * rough


def _printed_single(values: Array) -> bool:
    """Return whether each number is what the nearest one of single precision is printed as, in the fewest digits."""
    first = values[:64]
    return all(bool(np.all(part.astype(np.float32).astype(str).astype(float) == part)) for part in (first, values))


def norms(values: Array) -> Array:
    """Return the norm of the rounding of each column of numbers, shape (n, k), as that of a vector; shape (k,)."""
    return np.array([np.linalg.norm(rounding_of(column)) for column in values.T])


def _decimals(values: Array, half: Array) -> int | None:
    """Return the fewest decimals that all numbers have; None where they have as many as their precision allows."""
    for decimals in range(1, _MOST_DECIMALS + 1):
        unit = np.full(len(values), 10.0**-decimals)
        if _told(values, np.round(values, decimals), half, unit):
            return decimals
    return None


def _digits(values: Array, half: Array) -> int | None:
    """Return the fewest significant digits that all numbers have, likewise."""
    for digits in range(1, _MOST_DIGITS + 1):
        unit = _unit_of_digits(np.abs(values), digits)
        if _told(values, np.round(values / unit) * unit, half, unit):
            return digits
    return None


def _told(values: Array, rounded: Array, half: Array, unit: Array) -> bool:
    """Return whether numbers are rounded to units, and would not all be by chance."""
    near = 4 * half
    first = slice(0, 64)  # most columns have no fewer digits than they may, which few numbers show
    if np.any(np.abs(values[first] - rounded[first]) > near[first]):
        return False
    if np.any(np.abs(values - rounded) > near):
        return False
    chance = np.minimum(1.0, 2 * near / unit)[values != 0]
    with np.errstate(divide="ignore"):
        return bool(np.log(chance).sum() < _CERTAIN)


def _unit_of_digits(size: Array, digits: int) -> Array:
    """Return the unit of the last of so many significant digits of each number."""
    leading = np.floor(np.log10(np.where(size > 0, size, 1.0)))
    return np.asarray(10.0 ** (leading + 1 - digits))
