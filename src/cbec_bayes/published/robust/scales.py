"""Rules for the scales of which heavy-tailed distributions are mixtures.

A Student-t distribution with nu degrees of freedom is a normal one of variance s^2 / lambda, where lambda ~
Gamma(nu / 2, nu / 2). In y = log lambda every integrand of this package is analytic and bounded in the strip
|Im y| < pi / 2, so that a sum over equidistant y converges geometrically, and its error is known: that of the
integral of a Gamma density with the same shape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special

from cbec_bayes.published.between_shape import BetweenShape
from cbec_bayes.published.quadrature import Array, Rule
from cbec_bayes.runtime.distributions import chi2_isf

NORMAL_DF = 1e10
"""Degrees of freedom from which on a t distribution is a normal one, in double precision."""

_DEPTH = 28.0
"""Natural logarithm of what may be left out on the side of small lambda, relative to the whole."""


@dataclass(frozen=True, slots=True)
class Fineness:
    """How fine the rules of one level of refinement are.

    Attributes
    ----------
    tau
        Step of the rule of tau.
    slope
        Step of the rule of beta.
    mixing
        Relative error of the rules of mixing scales.
    implied
        Nodes per standard error that is known by its stars.
    """

    tau: float
    slope: float
    mixing: float
    implied: int


LEVELS = (
    Fineness(0.24, 0.1, 3e-7, 14),
    Fineness(0.19, 0.085, 1e-7, 16),
    Fineness(0.15, 0.07, 1e-8, 22),
    Fineness(0.11, 0.06, 1e-9, 30),
    Fineness(0.08, 0.05, 1e-10, 40),
    Fineness(0.05, 0.04, 1e-11, 56),
)
"""Rules from coarse to fine."""


@lru_cache(maxsize=4096)
def step_of(shape: float, error: float) -> float:
    """Return the step in log lambda at which the integral of a Gamma density of this shape has this relative error.

    By Poisson's formula that error is 2 |Gamma(a + 2 pi i / h)| / Gamma(a) for shape a and step h.
    """
    low, high = 1e-9, 1e9
    for _ in range(200):
        omega = math.sqrt(low * high)
        log_error = math.log(2) + float(np.real(special.loggamma(complex(shape, omega)))) - math.lgamma(shape)
        low, high = (omega, high) if log_error > math.log(error) else (low, omega)
    return 2 * math.pi / high


@lru_cache(maxsize=4096)
def mixing_rule(df: float, squares: float, error: float) -> Rule:
    """Return nodes of lambda ~ Gamma(df / 2, df / 2) with their log probabilities.

    Equidistant in u, where log lambda = u - w exp(-(u - c) / w): to the right of c, where a normal density of the
    estimate moves what matters, that is log lambda itself, and to the left nodes run out double-exponentially.

    Parameters
    ----------
    df
        Degrees of freedom; one node where they are infinite.
    squares
        Largest squared distance, in squared scales, at which the mixture must still be exact.
    error
        Relative error, see `step_of`.
    """
    if df >= NORMAL_DF:
        return Rule(np.ones(1), np.zeros(1))
    a = df / 2
    step = step_of(a + 0.5, error)
    width = 1 / math.sqrt(max(a, 1.0))
    turn = math.log((df + 1) / (df + squares)) - 4 * width
    right = math.log(float(chi2_isf(1e-12, df)) / df)
    decay = max(a - 1, 0.1) if a > 1 else a  # of the second moment, where there is one
    left = turn - width * math.log(max(_DEPTH / (decay * width), 1.0))
    u = np.arange(left, right + step, step)
    squeeze = np.exp(-(u - turn) / width)
    y = u - width * squeeze
    log_weight = np.log1p(squeeze) - a * (np.expm1(y) - y)
    keep = log_weight > log_weight.max() - 18 * _DEPTH
    return Rule(np.exp(y[keep]), log_weight[keep] - special.logsumexp(log_weight[keep]))


def shape_rule(shape: BetweenShape, squares: float, error: float) -> Rule:
    """Return nodes of the variance of a group's slope in units of tau^2, with their log probabilities.

    `squares` is the largest squared distance, in units of tau^2, that matters; see `mixing_rule`.
    """
    match shape.dist:
        case "student_t":
            rule = mixing_rule(shape.params["df"], squares, error)
            return Rule(1 / rule.nodes, rule.log_weights)
        case "two_normals":
            share, ratio = shape.params["share"], shape.params["ratio"]
            if share == 0 or ratio == 1:
                return Rule(np.ones(1), np.zeros(1))
            return Rule(np.array([1.0, ratio**2]), np.log([1 - share, share]))
    return Rule(np.ones(1), np.zeros(1))


def rounded_up(squares: float) -> float:
    """Return a power of four that is not less, so that few rules serve all rows."""
    return 4.0 ** math.ceil(math.log(max(squares, 1.0), 4))


def normal_log_density(squares: Array, variance: Array) -> Array:
    """Return log N at squared distances from the mean."""
    return np.asarray(-(np.log(2 * math.pi * variance) + squares / variance) / 2)
