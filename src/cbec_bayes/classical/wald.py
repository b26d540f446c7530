"""The Wald test of equal slopes with clustered covariances, and the approximate Hotelling T-squared of few clusters."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cbec_bayes.classical.group_slopes import GroupSlopes, SlopeBlock
from cbec_bayes.classical.linearised import sum_by
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.distributions import f_sf

MAX_WORK = 2e10
"""Multiplications up to which the degrees of freedom are computed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaldTest:
    """A test that q contrasts of slopes are zero.

    Attributes
    ----------
    statistic
        The F statistic; NaN where it is not defined.
    df, df2
        Degrees of freedom of F: q, and those of the denominator.
    p
        p-value.
    reason
        Why there is no p-value; blank where there is one.
    """

    statistic: float
    df: float
    df2: float
    p: float
    reason: str = ""


def contrasts_of(n_slopes: int) -> Array:
    """Return the contrasts of every slope with the first, shape (R - 1, R): they are zero where all are equal."""
    return np.hstack([np.full((n_slopes - 1, 1), -1.0), np.eye(n_slopes - 1)])


def pair_contrast(n_slopes: int, first: int, second: int) -> Array:
    """Return the contrast of two slopes, the first less the second, shape (1, R)."""
    found = np.zeros((1, n_slopes))
    found[0, first], found[0, second] = 1.0, -1.0
    return found


def wald_test(slopes: GroupSlopes, contrasts: Array) -> WaldTest:
    """Test that contrasts of slopes are zero.

    Parameters
    ----------
    slopes
        Slopes of R groups.
    contrasts
        Shape (q, R), of rank q.

    Returns
    -------
    WaldTest
        With CR2 the approximate Hotelling T-squared test; with CRV1, where clusters are very many, the F test with the
        number of clusters less one as degrees of freedom.

    Notes
    -----
    Pustejovsky and Tipton (2018), "Small-sample methods for cluster-robust variance estimation and hypothesis testing
    in fixed effects models", Journal of Business & Economic Statistics 36. Let Q be the Wald statistic of q contrasts C
    and W = Omega^(-1/2) C V C' Omega^(-1/2), CR2 over its mean. W is nearly a Wishart matrix over its degrees of
    freedom, eta = q (q + 1) / var W, where var W is the sum of the variances of its q^2 entries under independent and
    equal errors. Then (eta - q + 1) Q / (eta q) has the distribution of F with q and eta - q + 1 degrees of freedom
    ("HTZ" of clubSandwich). With one contrast it is the t test with Satterthwaite degrees of freedom.
    """
    q = len(contrasts)
    gap = contrasts @ slopes.estimate
    quadratic = float(gap @ np.linalg.pinv(contrasts @ slopes.covariance @ contrasts.T, hermitian=True) @ gap)
    if not slopes.is_bias_reduced:
        return _f_test(quadratic / q, q, slopes.n_clusters - 1.0)
    parts = [_in_few_coordinates(one, contrasts) for one in slopes.blocks if contrasts[:, one.at].any()]
    if sum(_work(block, weights) for block, weights, _ in parts) > MAX_WORK:
        return _none(q, "degrees of freedom would take too long for so many groups and units")
    expected = sum(turn @ _expected(block, weights) @ turn.T for block, weights, turn in parts)
    metric = np.linalg.pinv(expected, hermitian=True)
    total = sum(_total_variance(block, weights, turn.T @ metric @ turn) for block, weights, turn in parts)
    eta = q * (q + 1) / total
    if not eta - q + 1 > 0:
        return _none(q, f"{slopes.n_clusters} units are too few for {q} contrasts at once")
    return _f_test((eta - q + 1) / (eta * q) * quadratic, q, eta - q + 1)


def difference(slopes: GroupSlopes, first: int, second: int) -> tuple[float, float]:
    """Return the difference of two slopes and its clustered standard error."""
    contrast = pair_contrast(len(slopes.groups), first, second)[0]
    return float(contrast @ slopes.estimate), math.sqrt(float(contrast @ slopes.covariance @ contrast))


def _f_test(statistic: float, df: int, df2: float) -> WaldTest:
    return WaldTest(statistic=statistic, df=df, df2=df2, p=float(f_sf(statistic, df, df2)))


def _none(df: int, reason: str) -> WaldTest:
    return WaldTest(statistic=math.nan, df=df, df2=math.nan, p=math.nan, reason=reason)


def _in_few_coordinates(block: SlopeBlock, contrasts: Array) -> tuple[SlopeBlock, Array, Array]:
    """Return a block, weights that give scores of its slopes or of the contrasts, and what turns these into contrasts.

    Few contrasts of many slopes have fewer scores than the slopes, and many contrasts of one slope have more.
    """
    assert block.reduced is not None
    there = contrasts[:, block.at]
    if len(there) < len(block.at):
        return block, there @ block.reduced, np.eye(len(there))
    return block, block.reduced, there


def _work(block: SlopeBlock, weights: Array) -> float:
    """Return how many multiplications the covariances of scores take."""
    k, n = len(weights), len(block.units)
    return float(k * n) ** 2 * float(k + _basis(block).shape[1])


def _fitted(block: SlopeBlock, weights: Array) -> Array:
    """Return what regressors and periods take of each cluster's scores, in their basis, shape (k, n, r)."""
    return np.stack([sum_by(block.unit, row[:, None] * _basis(block)) for row in weights])


def _expected(block: SlopeBlock, weights: Array) -> Array:
    """Return the mean of the scores' sum of squares under independent errors of variance one, shape (k, k)."""
    flat = _fitted(block, weights).reshape(len(weights), -1)
    return np.asarray(weights @ weights.T - flat @ flat.T)


def _total_variance(block: SlopeBlock, weights: Array, metric: Array) -> float:
    """Return what a block adds to the variance of all entries of W: sum of tr(M M) + tr(M)^2 over pairs of clusters.

    M is the covariance of two clusters' scores in the coordinates of W. Both traces are those of the covariance in any
    other coordinates times the metric in these, shape (k, k). Under independent errors of variance one that covariance
    is of what the regression leaves of the scores' weights; unit effects add nothing to it.
    """
    k, n = len(weights), len(block.units)
    parts = _fitted(block, weights)
    own = np.stack([sum_by(block.unit, (row * weights).T) for row in weights])
    if k == 1:
        across = np.diag(own[0, :, 0]) - parts[0] @ parts[0].T
        return 2 * float((across**2).sum()) * float(metric[0, 0]) ** 2
    flat = np.ascontiguousarray(parts.transpose(1, 0, 2)).reshape(n * k, -1)
    total = 0.0
    for g in range(n):
        across = -(parts[:, g] @ flat.T).reshape(k, n, k)
        across[:, g] += own[:, g]
        moved = across @ metric
        total += float(np.einsum("sht,ths->", moved, moved)) + float((np.einsum("shs->h", moved) ** 2).sum())
    return total


def _basis(block: SlopeBlock) -> Array:
    assert block.basis is not None
    return block.basis
