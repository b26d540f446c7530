"""Pareto-smoothed importance weights, as ArviZ has them, without its import, which takes as long as a small fit.

The method is that of Vehtari, Simpson, Gelman, Yao and Gabry (2024), Journal of Machine Learning Research 25, with the
estimate of the generalised Pareto distribution of Zhang and Stephens (2009), Technometrics 51. The values are ArviZ's
(tests/bayes/sampling/test_pareto.py).
"""

from __future__ import annotations

import math

import numpy as np

from cbec_bayes.panel.within import Array

_FEW = 225  # ratios up to which a fifth of them is the tail
_FEWEST = 5
_SHAPE, _WEIGHT = 0.5, 10  # mean of the prior of the shape, and how many ratios it counts for
_SPREAD = 3  # of the points at which the likelihood is averaged, in first quartiles
_NEGLIGIBLE = 10 * float(np.finfo(float).eps)


def pareto_smoothed(ratios: Array) -> tuple[Array, float]:
    """Return log ratios with a smooth tail, shape (S,), their largest at most zero, and the Pareto shape of that tail.

    The largest ratios become quantiles of a generalised Pareto distribution that is fitted to them, and none becomes
    larger than the largest was. Where no such distribution can be fitted they stay what they are, and the shape is NaN
    or infinite.

    Parameters
    ----------
    ratios
        At least 25, which differ; shape (S,).
    """
    n = len(ratios)
    size = math.floor(3 * math.sqrt(n)) if n > _FEW else n // 5
    if size < _FEWEST:
        raise ValueError(f"{n} ratios are too few to smooth")
    found = ratios - ratios.max()
    order = np.argsort(found)
    tail = order[n - size :]
    cutoff = math.exp(found[order[n - size - 1]])
    shape, scale = fitted_pareto(np.exp(found[tail]) - cutoff)
    if math.isfinite(shape):
        largest = found[tail[-1]]
        found[tail] = np.minimum(_log_quantiles(size, shape, scale, cutoff), largest)
    return found, shape


def fitted_pareto(excess: Array) -> tuple[float, float]:
    """Return shape and scale of the generalised Pareto distribution of numbers above zero, in order, shape (n,)."""
    n = len(excess)
    points = 30 + math.isqrt(n)
    quartile = excess[int(n / 4 + 0.5) - 1]
    if quartile <= excess[0]:  # a quarter of them are the same: they are nothing like the distribution
        return math.nan, math.nan
    at = (1 - np.sqrt(points / (np.arange(1, points + 1) - 0.5))) / (_SPREAD * quartile) + 1 / excess[-1]
    shapes = np.log1p(-at[:, None] * excess).mean(axis=1)
    profile = n * (np.log(-at / shapes) - shapes - 1)
    weights = np.exp(profile - profile.max())
    weights /= weights.sum()
    weights[~(weights >= _NEGLIGIBLE)] = 0.0
    mean = float(at @ weights / weights.sum())
    shape = float(np.log1p(-mean * excess).mean())
    scale = -shape / mean
    shape = (n * shape + _WEIGHT * _SHAPE) / (n + _WEIGHT)
    return (math.inf, math.nan) if math.isnan(shape) else (shape, scale)


def _log_quantiles(n: int, shape: float, scale: float, cutoff: float) -> Array:
    """Return the logarithms of the quantiles at the n midpoints of a distribution that begins at the cutoff."""
    log_tails = np.log1p(-np.arange(0.5, n) / n)
    excess = -log_tails if shape == 0 else np.expm1(-shape * log_tails) / shape
    return np.log(cutoff + scale * excess)
