"""Egger's regression test: do imprecise studies have larger estimates?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cbec_bayes.classical.meta.heterogeneity import Array, weighted
from cbec_bayes.classical.meta.pooling import ESTIMATORS, meta_regression
from cbec_bayes.runtime.distributions import t_ppf, t_sf


@dataclass(frozen=True, slots=True, kw_only=True)
class EggerTest:
    """The regression of estimates on their standard errors.

    Attributes
    ----------
    slope, se
        By how much the estimate rises with its standard error.
    statistic, df, p
        Test that the slope is zero, by Student's t.
    limit, limit_low, limit_high
        What the regression says of a study whose standard error is zero, with its interval.
    """

    slope: float
    se: float
    statistic: float
    df: float
    p: float
    limit: float
    limit_low: float
    limit_high: float


def can_be_tested(v: Array) -> bool:
    """Return whether there are three estimates, and two different standard errors."""
    return len(v) >= 3 and float(v.max()) > float(v.min()) * (1 + 1e-10)


def egger_weighted(y: Array, v: Array, prob: float) -> EggerTest:
    """Test by weighted least squares with a residual variance of its own (Egger et al. 1997; metafor's ``lm``).

    Parameters
    ----------
    y, v
        Estimates and the squares of their standard errors, shape (k,), of which `can_be_tested` is true.
    prob
        Probability of the interval.
    """
    x = np.column_stack([np.ones_like(v), np.sqrt(v)])
    fit, df = weighted(y, v, x, 0.0), len(y) - 2
    se = np.sqrt(fit.squares / df * np.diag(fit.inverse))
    return _tested(fit.coefficients, se, df, prob)


def egger_random_effects(y: Array, v: Array, prob: float) -> EggerTest:
    """Test by a meta-regression, REML with Knapp and Hartung's errors (metafor's ``rma`` with ``test = "knha"``)."""
    x = np.column_stack([np.ones_like(v), np.sqrt(v)])
    found = meta_regression(y, v, x, ESTIMATORS["reml_knapp_hartung"], prob)
    return _tested(found.coefficients, found.se, found.df, prob)


def _tested(coefficients: Array, se: Array, df: float, prob: float) -> EggerTest:
    half = float(t_ppf((1 + prob) / 2, df) * se[0])
    statistic = float(coefficients[1] / se[1]) if se[1] > 0 else math.nan
    return EggerTest(
        slope=float(coefficients[1]),
        se=float(se[1]),
        statistic=statistic,
        df=float(df),
        p=2 * float(t_sf(abs(statistic), df)),
        limit=float(coefficients[0]),
        limit_low=float(coefficients[0]) - half,
        limit_high=float(coefficients[0]) + half,
    )
