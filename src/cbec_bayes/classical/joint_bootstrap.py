"""The wild cluster bootstrap of the hypothesis that all groups share one slope."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from cbec_bayes.classical.few import REPLICATIONS
from cbec_bayes.classical.fewbatch import TIE, draw_weights, weights_for
from cbec_bayes.classical.group_slopes import GroupSlopes, SlopeBlock
from cbec_bayes.classical.linearised import sum_by
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import InputError

ALL_SIGNS_FROM = 7
"""Clusters from which on the sign vectors are enough for small p-values: with fewer, weights are Webb's six points."""

FEWEST = 999
"""Draws that the bootstrap has at the least; where these would take too long it is left out."""

MAX_WORK = 2e10
"""Multiplications that the bootstrap may take."""

_NUMBERS = 2**22  # held per block of draws, times a handful of temporaries


@dataclass(frozen=True, slots=True)
class JointBootstrap:
    """The bootstrap of the hypothesis that all slopes are equal.

    Attributes
    ----------
    statistic
        The sample's Wald statistic over the number of contrasts, with the clustered covariance CRV1 without factor.
    p
        Share of the draws, the sample being one of them, whose statistic is at least the sample's.
    draws
        How many there are, the sample included.
    weights
        ``"all signs"``, ``"rademacher"`` or ``"webb"``.
    mcse
        Standard error of `p` over draws; 0 where every sign vector is among them.
    """

    statistic: float
    p: float
    draws: int
    weights: str
    mcse: float


def joint_bootstrap(slopes: GroupSlopes, replications: int = REPLICATIONS, seed: int = 1) -> JointBootstrap:
    """Test that all slopes are equal by the restricted wild cluster bootstrap.

    Parameters
    ----------
    slopes
        Slopes of R groups.
    replications
        Draws that are made; fewer, but no less than `FEWEST`, where groups and units are many.
    seed
        Seed of the draws.

    Raises
    ------
    InputError
        There are too many units, so that the bootstrap would take too long.

    Notes
    -----
    Residuals are those under one slope for all groups, everything else as it is; each unit's are multiplied by one
    weight, and the regression run again. Where there are `ALL_SIGNS_FROM` units or more and their sign vectors are no
    more than the replications, all of these are taken: half of them in fact, for turning all signs changes nothing.
    Fewer units have too few sign vectors for a small p-value, and weights are Webb's. The weights are those of
    `cbec_bayes.classical.fewbatch.draw_weights`, so that with two groups of one regression the p-value is that of
    `PreparedFew.wild_p` of their difference, but for the sample, which counts as a draw here.
    """
    cost = 10 * float(len(slopes.groups)) ** 3 + sum(len(one.at) * float(len(one.units)) ** 2 for one in slopes.blocks)
    draws = int(min(replications, MAX_WORK / cost))
    if draws < min(FEWEST, replications) or any(block.basis is None for block in slopes.blocks):
        raise InputError(f"the bootstrap is left out because it would take too long with {slopes.n_clusters} units")
    codes = np.unique(np.concatenate([block.units for block in slopes.blocks]))
    weights, name = _weights(len(codes), draws, seed)
    with threadpool_limits(limits=1):
        statistics = _statistics(slopes, codes, np.column_stack([np.ones(len(codes)), weights]))
    beyond = statistics[1:] >= statistics[0] * (1 - TIE)
    count = len(statistics)
    p = float(1 + beyond.sum()) / count
    return JointBootstrap(
        statistic=float(statistics[0]) / (len(slopes.groups) - 1),
        p=p,
        draws=count,
        weights=name,
        mcse=0.0 if name == "all signs" else float(np.sqrt(p * (1 - p) / count)),
    )


def _weights(n_clusters: int, draws: int, seed: int) -> tuple[Array, str]:
    """Return weights beside those of the sample, shape (N, B), and their name."""
    if n_clusters >= ALL_SIGNS_FROM and 2 ** (n_clusters - 1) <= draws:
        bits = np.arange(1, 2 ** (n_clusters - 1))[None, :] >> np.arange(n_clusters)[:, None] & 1
        return np.asarray(1.0 - 2.0 * bits, dtype=np.float64), "all signs"
    return draw_weights(n_clusters, draws, seed), weights_for(n_clusters, draws)


def _statistics(slopes: GroupSlopes, codes: Array, weights: Array) -> Array:
    """Return the Wald statistics of equal slopes under weights of units, shape (B,)."""
    n_slopes, n_draws = len(slopes.groups), weights.shape[1]
    precisions = [np.linalg.inv(block.solve @ block.solve.T) for block in slopes.blocks]
    common = sum(float((p @ slopes.estimate[b.at]).sum()) for p, b in zip(precisions, slopes.blocks, strict=True))
    common /= sum(float(p.sum()) for p in precisions)
    parts = [_linear(block, slopes.estimate[block.at] - common) for block in slopes.blocks]
    size = max(n_slopes**2, max(len(b.at) * len(b.units) for b in slopes.blocks))
    found, step = np.empty(n_draws), max(1, _NUMBERS // size)
    for start in range(0, n_draws, step):
        v = weights[:, start : start + step]
        estimate, variance = np.zeros((v.shape[1], n_slopes)), np.zeros((v.shape[1], n_slopes, n_slopes))
        for block, (moves, scores) in zip(slopes.blocks, parts, strict=True):
            own = v[np.searchsorted(codes, block.units)]
            estimate[:, block.at] = (moves @ own).T
            score = (scores @ own).transpose(2, 0, 1)
            variance[np.ix_(range(len(score)), block.at, block.at)] = score @ score.transpose(0, 2, 1)
        found[start : start + step] = wald_of_equality(estimate, variance)
    return found


def _linear(block: SlopeBlock, gap: Array) -> tuple[Array, Array]:
    """Return what weights of units give: the slopes, shape (k, n), and each unit's scores of these, shape (k, n, n).

    `gap` is the slopes' distance from the restricted one, shape (k,), which the restricted residuals have beside those
    of the regression.
    """
    assert block.basis is not None
    restricted = block.residual + block.within.T @ gap
    moves = sum_by(block.unit, (block.solve * restricted).T).T
    fitted = sum_by(block.unit, restricted[:, None] * block.basis)
    scores = np.stack([np.diag(own) for own in moves])
    for k, row in enumerate(block.solve):
        scores[k] -= sum_by(block.unit, row[:, None] * block.basis) @ fitted.T
    return moves, scores


def wald_of_equality(estimate: Array, variance: Array) -> Array:
    """Return Wald statistics of equal slopes; 0 where all are equal, infinite where their differences have no error.

    Parameters
    ----------
    estimate, variance
        Estimates and variances of B samples, shapes (B, R) and (B, R, R).
    """
    gap = estimate[:, 1:] - estimate[:, :1]
    spread = variance[:, 1:, 1:] - variance[:, 1:, :1] - variance[:, :1, 1:] + variance[:, :1, :1]
    scale = np.sqrt(np.maximum(np.einsum("bii->bi", spread), np.finfo(float).tiny))
    standard = gap / scale
    spread = spread / (scale[:, :, None] * scale[:, None, :])
    values, vectors = np.linalg.eigh(spread)
    turned = np.einsum("bij,bi->bj", vectors, standard)
    floor = _SINGULAR * np.maximum(values[:, -1:], np.finfo(float).tiny)
    return np.asarray((turned**2 / np.maximum(values, floor)).sum(axis=1))


_SINGULAR = 1e-12
