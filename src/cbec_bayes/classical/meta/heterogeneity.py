"""The variance between studies: three estimators of it, its interval, and how much of the total variance it is.

    y_i = x_i gamma + u_i + e_i    u_i ~ N(0, tau^2)    e_i ~ N(0, v_i), v_i known

With W = diag(1 / (v_i + tau^2)), M = (X'WX)^-1 and P = W - W X M X' W, everything here is a function of Py, of the
traces of P and of P P, and of the weighted residual sum of squares y'Py. The names of estimators, and what is done at
the boundary tau^2 = 0, are those of Viechtbauer (2010, metafor).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from cbec_bayes.runtime.distributions import chi2_ppf, chi2_sf
from cbec_bayes.runtime.errors import GateError

type Array = NDArray[np.float64]

_GRID = 80
"""Values of tau^2 at which the restricted likelihood is looked at before it is climbed."""

_MOST_STEPS = 2_000
_PRECISION = 1e-13
"""Change of tau^2, relative to itself, at which the climb ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighted:
    """The weighted regression at one value of tau^2.

    Attributes
    ----------
    coefficients
        Gamma, shape (p,).
    inverse
        M = (X'WX)^-1, shape (p, p).
    weights, residuals
        Weight and residual of each estimate, shape (k,).
    squares
        Weighted sum of squared residuals, y'Py.
    trace
        Trace of P.
    """

    coefficients: Array
    inverse: Array
    weights: Array
    residuals: Array
    squares: float
    trace: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Heterogeneity:
    """How much estimates differ beyond their standard errors.

    Attributes
    ----------
    q, df, p
        Cochran's Q about the common-effect regression, its degrees of freedom and its p-value.
    i2
        Share of the total variance that lies between studies, in percent.
    h
        Square root of the total variance over the typical variance within studies; at least 1.
    """

    q: float
    df: int
    p: float
    i2: float
    h: float


def intercept(n: int) -> Array:
    """Return the regressors of a pooled estimate: one column of ones, shape (n, 1)."""
    return np.ones((n, 1))


def weighted(y: Array, v: Array, x: Array, tau2: float) -> Weighted:
    """Return the weighted regression of estimates on regressors at one value of tau^2.

    Parameters
    ----------
    y, v
        Estimates and the squares of their standard errors, shape (k,).
    x
        Regressors of full rank, shape (k, p).
    tau2
        Variance between studies.
    """
    weights = 1 / (v + tau2)
    roots = np.sqrt(weights)
    orthogonal, upper = np.linalg.qr(x * roots[:, None])
    coefficients = np.linalg.solve(upper, orthogonal.T @ (y * roots))
    residuals = y - x @ coefficients
    inverse = np.linalg.inv(upper)
    leverage = (orthogonal**2).sum(axis=1)
    return Weighted(
        coefficients=coefficients,
        inverse=inverse @ inverse.T,
        weights=weights,
        residuals=residuals,
        squares=float(weights @ residuals**2),
        trace=float(weights @ (1 - leverage)),
    )


def restricted_log_likelihood(y: Array, v: Array, x: Array, tau2: float) -> float:
    """Return the restricted log likelihood of tau^2, with its constants as metafor has them."""
    fit = weighted(y, v, x, tau2)
    n, p = x.shape
    determinants = np.linalg.slogdet(x.T @ x)[1] + np.linalg.slogdet(fit.inverse)[1]
    return float(
        (np.log(fit.weights).sum() + determinants - fit.squares - (n - p) * math.log(2 * math.pi)) / 2,
    )


def reml(y: Array, v: Array, x: Array) -> float:
    """Return tau^2 by restricted maximum likelihood, zero where the likelihood falls from there.

    The likelihood is looked at on a grid first, because it may have several maxima; Fisher scoring with halved steps
    then climbs the highest of them.
    """
    largest = max(_spread(y, v, x), float(v.max()))
    grid = np.concatenate([[0.0], np.geomspace(float(v.min()) * 1e-3, largest * 10, _GRID)])
    heights = [restricted_log_likelihood(y, v, x, tau2) for tau2 in grid]
    at, height = float(grid[int(np.argmax(heights))]), max(heights)
    for _ in range(_MOST_STEPS):
        step = _scoring_step(y, v, x, at)
        last = at
        for _ in range(60):
            reached = max(0.0, last + step)
            value = restricted_log_likelihood(y, v, x, reached)
            if value >= height - 1e-14 * abs(height):
                at, height = reached, value
                break
            step /= 2
        if abs(at - last) <= _PRECISION * max(at, float(v.min())):
            return at
    raise GateError(f"restricted maximum likelihood did not settle on a variance between studies (it was at {at:g})")


def _spread(y: Array, v: Array, x: Array) -> float:
    """Return the mean squared residual of the regression that gives every estimate the same weight."""
    return weighted(y, np.ones_like(v), x, 0.0).squares / max(1, _df(x))


def _scoring_step(y: Array, v: Array, x: Array, tau2: float) -> float:
    """Return the step of Fisher scoring: (y'PPy - tr P) / tr(PP)."""
    fit = weighted(y, v, x, tau2)
    w = fit.weights
    squared = fit.inverse @ (x.T * w**2) @ x
    trace_pp = float((w**2).sum() - 2 * np.trace(fit.inverse @ (x.T * w**3) @ x) + np.trace(squared @ squared))
    return (float(((w * fit.residuals) ** 2).sum()) - fit.trace) / trace_pp


def dersimonian_laird(y: Array, v: Array, x: Array) -> float:
    """Return tau^2 by the method of moments of DerSimonian and Laird (1986): Q less its mean, over tr P."""
    fit = weighted(y, v, x, 0.0)
    return max(0.0, (fit.squares - _df(x)) / fit.trace)


def paule_mandel(y: Array, v: Array, x: Array) -> float:
    """Return tau^2 by the method of Paule and Mandel (1982): Q at tau^2 equals its degrees of freedom."""
    return _tau2_where(y, v, x, float(_df(x)))


METHODS: Mapping[str, Callable[[Array, Array, Array], float]] = {
    "reml": reml,
    "dersimonian_laird": dersimonian_laird,
    "paule_mandel": paule_mandel,
}
"""Estimators of the variance between studies, by name."""


def _df(x: Array) -> int:
    return int(x.shape[0] - x.shape[1])


def _tau2_where(y: Array, v: Array, x: Array, value: float) -> float:
    """Return the tau^2 at which the generalised Q, which falls in tau^2, has a value; zero where it never does."""

    def excess(tau2: float) -> float:
        return weighted(y, v, x, tau2).squares - value

    if excess(0.0) <= 0:
        return 0.0
    high = float(v.max())
    while excess(high) > 0:
        high *= 4
    return float(optimize.brentq(excess, 0.0, high, xtol=high * 1e-15, rtol=1e-14, maxiter=500))


def tau2_interval(y: Array, v: Array, x: Array, prob: float) -> tuple[float, float]:
    """Return the interval of tau^2 by the Q-profile method (Viechtbauer 2007).

    Its ends are where the generalised Q has the quantiles of its distribution, chi-squared with k - p degrees of
    freedom; both are zero where estimates agree better than chance would have them.
    """
    low, high = (float(chi2_ppf(q, _df(x))) for q in ((1 - prob) / 2, (1 + prob) / 2))
    return _tau2_where(y, v, x, high), _tau2_where(y, v, x, low)


def heterogeneity(y: Array, v: Array, x: Array, tau2: float | None = None) -> Heterogeneity:
    """Return Q, I2 and H.

    Parameters
    ----------
    y, v, x
        As in `weighted`; more estimates than regressors.
    tau2
        Variance between studies; I2 and H then are shares of it and of the typical variance within studies, as in
        metafor. If it is None, they follow from Q (Higgins and Thompson 2002).
    """
    fit, df = weighted(y, v, x, 0.0), _df(x)
    h2 = max(1.0, fit.squares / df) if tau2 is None else 1 + tau2 * fit.trace / df
    return Heterogeneity(
        q=fit.squares,
        df=df,
        p=float(chi2_sf(fit.squares, df)),
        i2=100 * (1 - 1 / h2),
        h=math.sqrt(h2),
    )
