"""A selection model: what if estimates that are not significant are published less often?

The step function of Vevea and Hedges (1995) with one cut: an estimate whose one-sided p-value is above .025 is
published with the relative probability delta, and any other one with 1. It is fitted by maximum likelihood, as
``selmodel(type = "stepfun", steps = .025)`` of metafor does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from cbec_bayes.classical.meta.heterogeneity import Array
from cbec_bayes.runtime.distributions import chi2_sf, normal_sf

CUT = 0.025
"""One-sided p-value at which the probability of being published may change."""

MOST_DELTA = 100.0
"""Largest relative probability that is looked at, and one over the smallest: beyond it the data tell no value."""

_TAU2_STARTS = (0.0, 0.3, 3.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionModel:
    """The fitted selection model.

    Attributes
    ----------
    estimate, se, p, low, high
        Mean of all studies, published or not.
    tau2
        Variance between them.
    delta
        How often estimates that are not significant are published, relative to those that are.
    statistic, statistic_p
        Likelihood ratio test of delta = 1, chi-squared with one degree of freedom.
    log_likelihood
        Log likelihood of the published estimates.
    above
        Whether significantly positive estimates are the ones that are always published.
    at_limit
        Whether delta is at the end of what is looked at, so that the data hold no value of it.
    """

    estimate: float
    se: float
    p: float
    low: float
    high: float
    tau2: float
    delta: float
    statistic: float
    statistic_p: float
    log_likelihood: float
    above: bool
    at_limit: bool


def significant(y: Array, v: Array, *, above: bool) -> NDArray[np.bool_]:
    """Return which estimates are significant in the direction that is said to be favoured, shape (k,)."""
    return np.asarray((y if above else -y) / np.sqrt(v) >= -special.ndtri(CUT))


def can_be_selected(y: Array, v: Array, *, above: bool) -> bool:
    """Return whether there are estimates on both sides of the cut, and more of them than parameters."""
    there = significant(y, v, above=above)
    return len(y) > 3 and bool(there.any() and not there.all())


def selection_model(y: Array, v: Array, *, above: bool, prob: float) -> SelectionModel:
    """Fit the selection model, by the highest of the maxima that climbs from several points lead to.

    Parameters
    ----------
    y, v
        Estimates and the squares of their standard errors, shape (k,), of which `can_be_selected` is true.
    above
        Whether significantly positive estimates are favoured, and not significantly negative ones.
    prob
        Probability of the interval.
    """
    unit = float(np.median(np.sqrt(v)))
    density = _Density((y if above else -y) / unit, v / unit**2, significant(y, v, above=above))
    best = min((density.climb(start, free_delta=True) for start in density.starts()), key=lambda at: at[1])
    plain = min((density.climb(start, free_delta=False) for start in density.starts()), key=lambda at: at[1])
    at, height = best
    se = density.error_of_mean(at) * unit
    mean = float(at[0]) * unit * (1 if above else -1)
    half = -float(special.ndtri((1 - prob) / 2)) * se
    statistic = max(0.0, 2 * (plain[1] - height))
    return SelectionModel(
        estimate=mean,
        se=se,
        p=2 * float(normal_sf(abs(mean) / se)),
        low=mean - half,
        high=mean + half,
        tau2=float(at[1]) * unit**2,
        delta=math.exp(float(at[2])),
        statistic=statistic,
        statistic_p=float(chi2_sf(statistic, 1)),
        log_likelihood=-height - len(y) * math.log(unit),
        above=above,
        at_limit=abs(float(at[2])) >= math.log(MOST_DELTA) * (1 - 1e-9),
    )


def selection_log_likelihood(y: Array, v: Array, at: tuple[float, float, float], *, above: bool) -> float:
    """Return the log likelihood of the published estimates at a mean, a tau^2 and a delta."""
    mean, tau2, delta = at
    density = _Density(y if above else -y, v, significant(y, v, above=above))
    return -density(np.array([mean if above else -mean, tau2, math.log(delta)]))[0]


class _Density:
    """Minus the log likelihood of (mean, tau^2, log delta), and its gradient.

    Parameters
    ----------
    y, v
        Estimates, turned so that positive ones are favoured, and their variances.
    there
        Which are significant.
    """

    def __init__(self, y: Array, v: Array, there: NDArray[np.bool_]) -> None:
        self._y, self._v, self._there = y, v, there
        self._cut = -float(special.ndtri(CUT)) * np.sqrt(v)

    def starts(self) -> list[Array]:
        """Return points to climb from."""
        size = float(np.var(self._y)) + 1e-3
        mean = float(np.average(self._y, weights=1 / (self._v + size)))
        places = [(mean, 0.0), (mean / 2, -1.0), (0.0, -2.0)]
        return [np.array([m, t * size, d]) for t in _TAU2_STARTS for m, d in places]

    def __call__(self, at: Array) -> tuple[float, Array]:
        """Return the value and the gradient."""
        mean, tau2, log_delta = at
        y, total, delta = self._y, self._v + tau2, math.exp(log_delta)
        sd, away = np.sqrt(total), y - mean
        z = (mean - self._cut) / sd
        sure, density = special.ndtr(z), np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
        seen = sure + delta * special.ndtr(-z)  # probability that an estimate of this precision is published
        value = (np.log(2 * math.pi * total) + away**2 / total).sum() / 2 + np.log(seen).sum()
        value -= log_delta * (~self._there).sum()
        rate = (1 - delta) * density / seen
        gradient = np.array(
            [
                -(away / total).sum() + (rate / sd).sum(),
                (1 / total - away**2 / total**2).sum() / 2 - (rate * z / total).sum() / 2,
                (delta * special.ndtr(-z) / seen).sum() - (~self._there).sum(),
            ]
        )
        return float(value), gradient

    def climb(self, start: Array, *, free_delta: bool) -> tuple[Array, float]:
        """Return the point that a start leads to, and the value there; with delta = 1 unless it is free."""
        most = math.log(MOST_DELTA) if free_delta else 0.0
        bounds = [(None, None), (0.0, None), (-most, most)]
        first = np.array([start[0], start[1], start[2] if free_delta else 0.0])
        found = optimize.minimize(
            self, first, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-15, "gtol": 1e-10}
        )
        return self._polished(found.x, most)

    def _free(self, at: Array, most: float) -> NDArray[np.intp]:
        """Return which parameters are not held by a bound."""
        gradient = self(at)[1]
        held = [False, at[1] <= 1e-12 and gradient[1] >= 0, most == 0 or abs(at[2]) >= most * (1 - 1e-12)]
        return np.flatnonzero(~np.array(held))

    def _polished(self, at: Array, most: float) -> tuple[Array, float]:
        """Take Newton's steps to a point where the gradient is zero to rounding, as long as they lead down."""
        value = self(at)[0]
        for _ in range(20):
            free = self._free(at, most)
            hessian = self._hessian(at, free)
            step = np.linalg.lstsq(hessian, self(at)[1][free], rcond=None)[0]
            reached = at.copy()
            reached[free] -= step
            reached[1], reached[2] = max(reached[1], 0.0), min(max(reached[2], -most), most)
            new = self(reached)[0]
            if not new <= value:
                break
            at, value = reached, new
            if np.abs(step).max(initial=0.0) < 1e-12:
                break
        return at, value

    def _hessian(self, at: Array, free: NDArray[np.intp]) -> Array:
        """Return second derivatives by central differences of the gradient, shape (f, f)."""
        columns = []
        for place in free:
            size = 1e-5 * max(1.0, abs(float(at[place])))
            if place == 1:
                size = min(size, float(at[1]) / 2) or 1e-6
            step = np.zeros(3)
            step[place] = size
            columns.append((self(at + step)[1][free] - self(at - step)[1][free]) / (2 * size))
        whole = np.array(columns)
        return (whole + whole.T) / 2

    def error_of_mean(self, at: Array) -> float:
        """Return the standard error of the mean from the observed information of what no bound holds."""
        free = self._free(at, math.log(MOST_DELTA))
        variance = np.linalg.inv(self._hessian(at, free))[0, 0]
        return math.sqrt(variance) if variance > 0 else math.nan
