"""Are ranks uniform? Simultaneous bands of their distribution function."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from cbec_bayes.panel.within import Array

SIMULATIONS = 20_000
_SEED = 20_240_601


@dataclass(frozen=True, slots=True)
class Uniformity:
    """How a sample of N ranks between 0 and L compares with a uniform one.

    Attributes
    ----------
    difference
        Distribution function of the ranks less the uniform one, at (l + 1) / (L + 1) for l below L, shape (L,).
    p
        Probability that a uniform sample leaves some pointwise band as far out as this one.
    """

    difference: Array
    p: float


def uniformity(ranks: NDArray[np.int64], largest: int) -> Uniformity:
    """Compare ranks, shape (N,), of 0 to `largest` (L) with uniform ones.

    Notes
    -----
    The statistic is the smallest pointwise binomial tail probability of the distribution function at any point, and its
    distribution under uniformity is simulated: Säilynoja, Bürkner and Vehtari (2022), Statistics and Computing 32,
    section 2.2, with the evaluation points where ranks can lie.
    """
    counts = np.bincount(ranks, minlength=largest + 1)[None]
    n = len(ranks)
    found = _smallest_tail(counts)[0]
    null = _null(n, largest)
    p = (1 + np.searchsorted(null, found, side="right")) / (1 + len(null))
    at = np.arange(1, largest + 1) / (largest + 1)
    return Uniformity(counts[0, :-1].cumsum() / n - at, float(p))


def band(n: int, largest: int, prob: float) -> tuple[Array, Array]:
    """Return the simultaneous band of `Uniformity.difference` for n uniform ranks: its ends, each of shape (L,)."""
    tail = float(np.quantile(_null(n, largest), 1 - prob)) / 2
    at = np.arange(1, largest + 1) / (largest + 1)
    low, high = stats.binom.ppf([[tail], [1 - tail]], n, at) / n - at
    return low, high


def _smallest_tail(counts: NDArray[np.int64]) -> Array:
    """Return twice the smallest pointwise tail probability of each sample's counts, shape (S, L + 1)."""
    n = int(counts[0].sum())
    below = counts[:, :-1].cumsum(axis=1)
    at = np.arange(1, counts.shape[1]) / counts.shape[1]
    # Counts are at most n: a table of n + 1 by L probabilities is all there is to compute.
    lower = stats.binom.cdf(np.arange(n + 1)[:, None], n, at)
    upper = stats.binom.sf(np.arange(n + 1)[:, None] - 1, n, at)
    column = np.arange(len(at))
    return np.asarray(2 * np.minimum(lower[below, column], upper[below, column]).min(axis=1))


@lru_cache(maxsize=8)
def _null(n: int, largest: int) -> Array:
    rng = np.random.default_rng(_SEED)
    counts = rng.multinomial(n, np.full(largest + 1, 1 / (largest + 1)), size=SIMULATIONS)
    return np.sort(_smallest_tail(counts))
