"""Tails and quantiles of the normal, t, chi-square and F distributions, from SciPy's special functions.

The numbers are those of `scipy.stats` to the last bit (tests/runtime/test_distributions.py), for statistics and
probabilities as tests and intervals have them. They stand here because `scipy.stats` brings half of SciPy with it: its
import takes as long as a small fit.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import special

type Numbers = Any
"""A number or an array; arguments are broadcast, and what is returned has their common shape."""


def normal_cdf(z: Numbers) -> Numbers:
    """Return the probability of a standard normal value at most z."""
    return special.ndtr(z)


def normal_sf(z: Numbers) -> Numbers:
    """Return the probability of a standard normal value above z."""
    return special.ndtr(np.negative(z))


def normal_ppf(p: Numbers) -> Numbers:
    """Return the quantile of the standard normal distribution at p."""
    return special.ndtri(p)


def normal_isf(p: Numbers) -> Numbers:
    """Return the number that a standard normal value exceeds with probability p."""
    return -special.ndtri(p)


def normal_logpdf(z: Numbers, mean: Numbers = 0.0, sd: Numbers = 1.0) -> Numbers:
    """Return the log density of a normal distribution."""
    x = (z - mean) / sd
    return -(x**2) / 2.0 - _HALF_LOG_TWO_PI - np.log(sd)


def t_cdf(t: Numbers, df: Numbers) -> Numbers:
    """Return the probability of a t value at most t."""
    return special.stdtr(df, t)


def t_sf(t: Numbers, df: Numbers) -> Numbers:
    """Return the probability of a t value above t."""
    return special.stdtr(df, np.negative(t))


def t_ppf(p: Numbers, df: Numbers) -> Numbers:
    """Return the quantile of the t distribution at p."""
    return special.stdtrit(df, p)


def t_isf(p: Numbers, df: Numbers) -> Numbers:
    """Return the number that a t value exceeds with probability p."""
    return -special.stdtrit(df, p)


def t_logpdf(t: Numbers, df: Numbers, scale: Numbers = 1.0) -> Numbers:
    """Return the log density of a t distribution about zero; df are finite."""
    x = t / scale
    constant = np.log(special.poch(0.5 * df, 0.5)) - 0.5 * (np.log(df) + np.log(np.pi))
    return constant - (df + 1) / 2 * np.log1p(x * x / df) - np.log(scale)


def chi2_cdf(x: Numbers, df: Numbers) -> Numbers:
    """Return the probability of a chi-square value at most x."""
    return special.chdtr(df, x)


def chi2_sf(x: Numbers, df: Numbers) -> Numbers:
    """Return the probability of a chi-square value above x."""
    return special.chdtrc(df, x)


def chi2_ppf(p: Numbers, df: Numbers) -> Numbers:
    """Return the quantile of the chi-square distribution at p."""
    return 2 * special.gammaincinv(df / 2, p)


def chi2_isf(p: Numbers, df: Numbers) -> Numbers:
    """Return the number that a chi-square value exceeds with probability p."""
    return special.chdtri(df, p)


def f_sf(x: Numbers, df: Numbers, df2: Numbers) -> Numbers:
    """Return the probability of an F value above x."""
    return special.fdtrc(df, df2, x)


_HALF_LOG_TWO_PI = math.log(math.sqrt(2 * math.pi))
