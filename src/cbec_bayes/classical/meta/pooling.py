"""Pooled estimates and meta-regressions, with the standard errors and prediction intervals of metafor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cbec_bayes.classical.meta.heterogeneity import (
    METHODS,
    Array,
    Heterogeneity,
    heterogeneity,
    intercept,
    tau2_interval,
    weighted,
)
from cbec_bayes.runtime.distributions import chi2_sf, f_sf, normal_ppf, normal_sf, t_ppf, t_sf


@dataclass(frozen=True, slots=True)
class Estimator:
    """What a pooled estimate is made by.

    Attributes
    ----------
    name
        As tables write it.
    method
        Estimator of tau^2, of `METHODS`; None for a common effect, where tau^2 is zero.
    errors
        ``"normal"``; ``"knapp_hartung"``, whose variance is scaled by the weighted mean square and whose reference
        distribution is t with k - p degrees of freedom; or ``"knapp_hartung_adhoc"``, whose scale is at least 1.
    """

    name: str
    method: str | None
    errors: str


ESTIMATORS: Mapping[str, Estimator] = {
    "common_effect": Estimator("common effect (inverse variance)", None, "normal"),
    "dersimonian_laird": Estimator("random effects, DerSimonian and Laird", "dersimonian_laird", "normal"),
    "paule_mandel": Estimator("random effects, Paule and Mandel", "paule_mandel", "normal"),
    "reml": Estimator("random effects, REML", "reml", "normal"),
    "reml_knapp_hartung": Estimator("random effects, REML with Knapp and Hartung", "reml", "knapp_hartung"),
    "reml_knapp_hartung_adhoc": Estimator(
        "random effects, REML with Knapp and Hartung, no narrower than normal", "reml", "knapp_hartung_adhoc"
    ),
}
"""The estimators of a pooled table, in its order."""

SHOWN = "reml_knapp_hartung"
"""The estimator that stands beside the posterior; metafor has it as ``test = "knha"``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetaRegression:
    """A regression of estimates on characteristics of their studies.

    Attributes
    ----------
    coefficients, se, p, low, high
        One number for each regressor, shape (p,).
    covariance
        Covariance of the coefficients, shape (p, p).
    df
        Degrees of freedom of the reference distribution; infinite where it is the normal.
    tau2, tau2_low, tau2_high
        What is left of the variance between studies, with its Q-profile interval.
    heterogeneity
        What is left of Q, I2 and H.
    statistic, statistic_df, statistic_p
        F that every coefficient but the first is zero, its degrees of freedom and p-value; NaN where there is none.
    explained
        Share of tau^2 that the regressors explain, 1 - tau^2 / tau^2 without them, at least 0; NaN where tau^2 without
        them is zero.
    """

    coefficients: Array
    se: Array
    p: Array
    low: Array
    high: Array
    covariance: Array
    df: float
    tau2: float
    tau2_low: float
    tau2_high: float
    heterogeneity: Heterogeneity
    statistic: float
    statistic_df: tuple[int, float]
    statistic_p: float
    explained: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooled:
    """A pooled estimate.

    Attributes
    ----------
    estimate, se, p, low, high, df
        The common effect, or the mean of the distribution of effects; `df` is that of its reference distribution.
    tau2, tau2_low, tau2_high
        Variance between studies with its Q-profile interval; a common effect has zero and no interval.
    heterogeneity
        Q, I2 and H.
    prediction_low, prediction_high
        Interval of the effect in a new study; see `pool`. A common effect has none.
    n
        Estimates.
    """

    estimate: float
    se: float
    p: float
    low: float
    high: float
    df: float
    tau2: float
    tau2_low: float
    tau2_high: float
    heterogeneity: Heterogeneity
    prediction_low: float
    prediction_high: float
    n: int


def meta_regression(y: Array, v: Array, x: Array, estimator: Estimator, prob: float) -> MetaRegression:
    """Regress estimates on characteristics of their studies.

    Parameters
    ----------
    y, v
        Estimates and the squares of their standard errors, shape (k,).
    x
        Regressors of full rank, the first of them ones, shape (k, p) with k > p.
    estimator
        One of `ESTIMATORS`.
    prob
        Probability of the intervals.
    """
    n, n_columns = x.shape
    tau2 = METHODS[estimator.method](y, v, x) if estimator.method is not None else 0.0
    fit = weighted(y, v, x, tau2)
    scale = fit.squares / (n - n_columns)
    if estimator.errors == "normal":
        scale, df = 1.0, math.inf
    else:
        scale, df = (max(1.0, scale) if estimator.errors == "knapp_hartung_adhoc" else scale), float(n - n_columns)
    covariance = scale * fit.inverse
    se = np.sqrt(np.diag(covariance))
    half = _quantile(prob, df) * se
    low, high = (math.nan, math.nan) if estimator.method is None else tau2_interval(y, v, x, prob)
    statistic, statistic_df, statistic_p = _omnibus(fit.coefficients, covariance, df)
    without = math.nan
    if estimator.method is not None and n_columns > 1:
        without = METHODS[estimator.method](y, v, x[:, :1])
    return MetaRegression(
        coefficients=fit.coefficients,
        se=se,
        p=_two_sided(fit.coefficients / se, df),
        low=fit.coefficients - half,
        high=fit.coefficients + half,
        covariance=covariance,
        df=df,
        tau2=tau2,
        tau2_low=low,
        tau2_high=high,
        heterogeneity=heterogeneity(y, v, x, None if estimator.method is None else tau2),
        statistic=statistic,
        statistic_df=statistic_df,
        statistic_p=statistic_p,
        explained=max(0.0, 1 - tau2 / without) if without > 0 else math.nan,
    )


def pool(y: Array, v: Array, estimator: Estimator, prob: float, covariance: Array | None = None) -> Pooled:
    """Pool estimates.

    The effect in a new study has the variance se^2 + tau^2, and the quantile of the reference distribution of the
    pooled estimate: t with k - 1 degrees of freedom beside Knapp and Hartung's standard errors, as ``predict`` of
    metafor has it, and otherwise the normal. Higgins, Thompson and Spiegelhalter (2009) take k - 2 instead of k - 1.

    Parameters
    ----------
    y, v, estimator, prob
        As in `meta_regression`; one estimate can be pooled as a common effect only.
    covariance
        Covariance of the errors, shape (k, k), where they are correlated; its diagonal is `v`.
    """
    n = len(y)
    if n == 1:
        return _single(float(y[0]), math.sqrt(float(v[0])), prob)
    rows = (y, v, intercept(n)) if covariance is None else uncorrelated(y, covariance, intercept(n))
    found = meta_regression(*rows, estimator, prob)
    estimate, se = float(found.coefficients[0]), float(found.se[0])
    half = math.nan if estimator.method is None else _quantile(prob, found.df) * math.sqrt(se**2 + found.tau2)
    return Pooled(
        estimate=estimate,
        se=se,
        p=float(found.p[0]),
        low=float(found.low[0]),
        high=float(found.high[0]),
        df=found.df,
        tau2=found.tau2,
        tau2_low=found.tau2_low,
        tau2_high=found.tau2_high,
        heterogeneity=found.heterogeneity,
        prediction_low=estimate - half,
        prediction_high=estimate + half,
        n=n,
    )


def _single(estimate: float, se: float, prob: float) -> Pooled:
    """Return one estimate as it is: nothing tells how much effects differ."""
    nothing = Heterogeneity(q=0.0, df=0, p=math.nan, i2=math.nan, h=math.nan)
    half = _quantile(prob, math.inf) * se
    return Pooled(
        estimate=estimate,
        se=se,
        p=float(_two_sided(np.array([estimate / se]), math.inf)[0]),
        low=estimate - half,
        high=estimate + half,
        df=math.inf,
        tau2=0.0,
        tau2_low=math.nan,
        tau2_high=math.nan,
        heterogeneity=nothing,
        prediction_low=math.nan,
        prediction_high=math.nan,
        n=1,
    )


def uncorrelated(y: Array, covariance: Array, x: Array) -> tuple[Array, Array, Array]:
    """Return estimates, variances and regressors in coordinates in which the errors are uncorrelated.

    With V = U diag(d) U', U'y has the variances d + tau^2 for every tau^2, so that whatever holds for independent
    estimates holds for U'y on U'X. The regressors of a pooled estimate are then no longer ones: use `meta_regression`.

    Parameters
    ----------
    y
        Estimates, shape (k,).
    covariance
        V, known and positive definite, shape (k, k).
    x
        Regressors, shape (k, p).
    """
    d, u = np.linalg.eigh(covariance)
    return u.T @ y, d, u.T @ x


def _quantile(prob: float, df: float) -> float:
    return float(normal_ppf((1 + prob) / 2) if math.isinf(df) else t_ppf((1 + prob) / 2, df))


def _two_sided(t: Array, df: float) -> Array:
    return np.asarray(2 * (normal_sf(np.abs(t)) if math.isinf(df) else t_sf(np.abs(t), df)))


def _omnibus(coefficients: Array, covariance: Array, df: float) -> tuple[float, tuple[int, float], float]:
    """Return F that every coefficient but the first is zero; of normal errors it is chi-squared over its df."""
    m = len(coefficients) - 1
    if m == 0:
        return math.nan, (0, df), math.nan
    tested = coefficients[1:]
    statistic = float(tested @ np.linalg.solve(covariance[1:, 1:], tested)) / m
    p = chi2_sf(statistic * m, m) if math.isinf(df) else f_sf(statistic, m, df)
    return statistic, (m, df), float(p)
