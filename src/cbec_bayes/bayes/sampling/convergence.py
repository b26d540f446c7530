"""R-hat and effective sizes of many quantities at once, as ArviZ has them of one after the other.

The methods are those of Vehtari, Gelman, Simpson, Carpenter and Buerkner (2021), Bayesian Analysis 16. ArviZ goes from
one number to the next, which takes a tenth of a fit whose draws are independent; here ranks and autocovariances of all
numbers are computed together. The values are the same (tests/bayes/sampling/test_convergence.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import fft, special

from cbec_bayes.panel.within import Array

TAIL = 0.89
"""The tail size is that of the quantiles at which this share of the draws lies below, or above: ArviZ's default."""

FEWEST = 4
"""Draws of a chain, of which each half needs two."""

_CHUNK = 2**19  # draws that are held several times at once
_SAME = float(np.finfo(float).resolution)


@dataclass(frozen=True, slots=True)
class Convergence:
    """Rank-normalised R-hat, and effective sizes of the bulk and the tails, of k quantities, each of shape (k,).

    Draws that do not move have the R-hat NaN, and count in full.
    """

    rhat: Array
    bulk: Array
    tail: Array


def convergence(draws: Array) -> Convergence:
    """Measure chains of k quantities, shape (k, chain, draw).

    With fewer than four draws a chain the measures cannot be computed and are NaN, as in ArviZ.
    """
    if not len(draws) or draws.shape[2] < FEWEST:
        return Convergence(*np.full((3, len(draws)), np.nan))
    step = max(1, _CHUNK // math.prod(draws.shape[1:]))
    parts = [_convergence(draws[start : start + step]) for start in range(0, len(draws), step)]
    return Convergence(*np.concatenate(parts, axis=1))


def worst(measure: Array, of: Callable[[Array], Any]) -> float:
    """Return the largest or smallest of a measure's numbers; NaN where none is known."""
    known = measure[~np.isnan(measure)]
    return float(of(known)) if len(known) else math.nan


def _convergence(draws: Array) -> Array:
    """Return the three measures, shape (3, k)."""
    halves = _halved(np.asarray(draws, dtype=float))
    ranks = _normal_scores(halves)
    folded = _normal_scores(np.abs(halves - np.median(halves, axis=(1, 2), keepdims=True)))
    bulk = _sizes(ranks)
    ends = np.quantile(draws, sorted((TAIL, 1 - TAIL)), axis=(1, 2))
    low, high = (_sizes(_halved((draws <= end[:, None, None]).astype(float))) for end in ends)
    found = np.stack([np.fmax(_rhat(ranks), _rhat(folded)), bulk, np.minimum(low, high)])
    found[:, np.isnan(draws).any(axis=(1, 2))] = np.nan
    return found


def _halved(draws: Array) -> Array:
    """Return the first and the last halves of chains as chains of their own, shape (k, 2 chains, draws / 2)."""
    half = draws.shape[2] // 2
    return np.concatenate([draws[:, :, :half], draws[:, :, -half:]], axis=1)


def _normal_scores(chains: Array) -> Array:
    """Return the normal quantiles of each quantity's ranks over all its chains."""
    flat = chains.reshape(len(chains), -1)
    ranks = _ranks(flat)
    return np.asarray(special.ndtri((ranks - 3 / 8) / (flat.shape[1] + 1 / 4))).reshape(chains.shape)


def _ranks(values: Array) -> Array:
    """Return the rank of every number in its row, from one; equal numbers share the mean of theirs."""
    order = values.argsort(axis=1)
    there = np.take_along_axis(values, order, axis=1)
    first = np.ones(values.shape, dtype=bool)  # of those that are equal
    first[:, 1:] = there[:, 1:] != there[:, :-1]
    starts = np.flatnonzero(first)
    counts = np.diff(starts, append=values.size)
    shared = starts % values.shape[1] + (counts + 1) / 2
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, np.repeat(shared, counts).reshape(values.shape), axis=1)
    return ranks


def _rhat(chains: Array) -> Array:
    n = chains.shape[2]
    between = n * chains.mean(axis=2).var(axis=1, ddof=1)
    within = chains.var(axis=2, ddof=1).mean(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):  # draws that do not move: 0 / 0
        return np.asarray(np.sqrt((between / within + n - 1) / n))


def _sizes(chains: Array) -> Array:
    """Return the effective size of every quantity's draws, by the initial monotone sequence of Geyer (1992)."""
    k, m, n = chains.shape
    means = chains.mean(axis=2, keepdims=True)
    waves = fft.rfft(chains - means, n=fft.next_fast_len(2 * n, real=True), axis=2)
    lagged = fft.irfft((np.abs(waves) ** 2).mean(axis=1), n=fft.next_fast_len(2 * n, real=True), axis=1)[:, :n] / n
    within = lagged[:, 0] * n / (n - 1)
    total = lagged[:, 0] + means[:, :, 0].var(axis=1, ddof=1)
    found = np.full(k, float(m * n))
    for j in np.flatnonzero(np.ptp(chains, axis=(1, 2)) >= _SAME):
        found[j] /= max(_time(1 - (within[j] - lagged[j]) / total[j]), 1 / math.log10(m * n))
    return found


def _time(correlation: Array) -> float:
    """Return the integrated autocorrelation time from correlations at every lag, of which the first is taken as one."""
    n = len(correlation)
    pairs = [1.0 + float(correlation[1])]
    last, t = 1.0, 1
    while t < n - 3 and pairs[-1] > 0:
        last = float(correlation[t + 1])
        pairs.append(last + float(correlation[t + 2]))
        t += 2
    # The pair that ended the sequence is no part of it, but for its first half where that is positive.
    kept = np.minimum.accumulate(pairs[:-1]) if len(pairs) > 1 else np.zeros(0)
    return -1 + 2 * float(kept.sum()) + (last if pairs[-1] >= 0 else max(last, 0.0))
