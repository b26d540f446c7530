"""Weights of points by the ratio of two densities: smoothed, added up, and drawn from."""

from __future__ import annotations

import math

import numpy as np

from cbec_bayes.bayes.sampling.pareto import pareto_smoothed
from cbec_bayes.panel.within import Array, Codes

_SAME = 1e-12


def smoothed_weights(ratios: Array) -> tuple[Array, float]:
    """Return importance weights, Pareto-smoothed and adding up to one, of log ratios, shape (S,), and the Pareto shape.

    Where ratios do not differ weights are equal, and the shape is minus infinity. The method is that of Vehtari et al.
    (2024), Journal of Machine Learning Research 25.
    """
    if np.ptp(ratios) < _SAME * (1 + np.abs(ratios).max()):
        return np.full(len(ratios), 1 / len(ratios)), -np.inf
    smoothed, khat = pareto_smoothed(ratios)
    return np.exp(smoothed - log_sum(smoothed)), khat


def log_sum(logarithms: Array, weights: Array | None = None) -> float:
    """Return the logarithm of a sum, weighted or not, of numbers that are given by their logarithms, shape (S,).

    SciPy's own is for arrays of any kind, and takes ten times as long for some hundred numbers.
    """
    largest = float(logarithms.max())
    if not math.isfinite(largest):
        return largest
    parts = np.exp(logarithms - largest)
    total = float(parts.sum() if weights is None else weights @ parts)
    return largest + math.log(total) if total > 0 else -math.inf


def resampled(weights: Array, n: int, rng: np.random.Generator) -> Codes:
    """Return the positions of n draws of weighted points, in random order.

    Systematic resampling adds less noise than independent draws.
    """
    edges = np.cumsum(weights)
    chosen = np.searchsorted(edges / edges[-1], (rng.random() + np.arange(n)) / n)
    return rng.permutation(np.minimum(chosen, len(weights) - 1))
