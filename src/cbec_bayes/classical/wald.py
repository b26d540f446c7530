"""The Wald test of equal slopes with clustered covariances, and the approximate Hotelling T-squared of few clusters."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from cbec_bayes.classical.group_slopes import GroupSlopes, SlopeBlock
from cbec_bayes.classical.linearised import sum_by
from cbec_bayes.panel.within import Array

MAX_WORK = 2e10
"""Multiplications up to which the degrees of freedom are computed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaldTest:
    """A test that q contrasts of slopes are zero.

    Attributes
    ----------
    statistic
        Of F; NaN where it is not defined.
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
        Of R groups.
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
    quadratic = float(gap @ np.linalg.pinv(contrasts @ slopes.covariance() @ contrasts.T, hermitian=True) @ gap)
    if not slopes.is_bias_reduced:
        return _f_test(quadratic / q, q, slopes.n_clusters - 1.0)
    if _work(slopes) > MAX_WORK:
        return _none(q, "degrees of freedom would take too long for so many groups and units")
    expected = sum(_embedded(block, len(slopes.groups)) for block in slopes.blocks)
    metric = np.linalg.pinv(contrasts @ expected @ contrasts.T, hermitian=True)
    total = sum(_total_variance(block, contrasts, metric) for block in slopes.blocks)
    eta = q * (q + 1) / total
    if not eta - q + 1 > 0:
        return _none(q, f"{slopes.n_clusters} units are too few for {q} contrasts at once")
    return _f_test((eta - q + 1) / (eta * q) * quadratic, q, eta - q + 1)


def difference(slopes: GroupSlopes, first: int, second: int) -> tuple[float, float]:
    """Return the difference of two slopes and its clustered standard error."""
    contrast = pair_contrast(len(slopes.groups), first, second)[0]
    return float(contrast @ slopes.estimate), math.sqrt(float(contrast @ slopes.covariance() @ contrast))


def _f_test(statistic: float, df: int, df2: float) -> WaldTest:
    return WaldTest(statistic=statistic, df=df, df2=df2, p=float(stats.f.sf(statistic, df, df2)))


def _none(df: int, reason: str) -> WaldTest:
    return WaldTest(statistic=math.nan, df=df, df2=math.nan, p=math.nan, reason=reason)


def _work(slopes: GroupSlopes) -> float:
    found = 0.0
    for block in slopes.blocks:
        k, n = float(len(block.at)), len(block.units)
        found += (k * n) ** 2 * (k + _basis(block).shape[1])
    return found


def _embedded(block: SlopeBlock, n_slopes: int) -> Array:
    """Return the mean of CR2 under independent errors of variance one, shape (R, R)."""
    found = np.zeros((n_slopes, n_slopes))
    found[np.ix_(block.at, block.at)] = sum(
        own[:, g].reshape(len(block.at), -1) for g, own in _covariances(block, _reduced(block))
    )
    return found


def _covariances(block: SlopeBlock, weights: Array) -> Iterator[tuple[int, Array]]:
    """Yield each cluster g with the covariances of its scores and those of every cluster h, shape (k, n, k).

    Scores are weights, shape (k, m), times residuals, summed within clusters. Under independent errors of variance one
    entry (s, h, t) is the covariance of cluster g's score s and cluster h's score t; unit effects add nothing to it.
    """
    k, n, basis = len(weights), len(block.units), _basis(block)
    parts = np.stack([sum_by(block.unit, row[:, None] * basis) for row in weights])
    own = np.stack([sum_by(block.unit, (row * weights).T) for row in weights])
    flat = np.ascontiguousarray(parts.transpose(1, 0, 2)).reshape(n * k, -1)
    for g in range(n):
        across = -(parts[:, g] @ flat.T).reshape(k, n, k)
        across[:, g] += own[:, g]
        yield g, across


def _total_variance(block: SlopeBlock, contrasts: Array, metric: Array) -> float:
    """Return what a block adds to the variance of all entries of W: sum of tr(M M) + tr(M)^2 over pairs of clusters.

    M is the covariance of two clusters' scores in the coordinates of W. Both traces are those of the covariance in any
    other coordinates times the metric in these.
    """
    there = contrasts[:, block.at]
    weights, inner = _reduced(block), there.T @ metric @ there
    if len(there) < len(block.at):  # few contrasts of many slopes: their own scores are fewer
        weights, inner = there @ weights, metric
    total = 0.0
    for _, across in _covariances(block, weights):
        moved = across @ inner
        total += float(np.einsum("sht,ths->", moved, moved)) + float((np.einsum("shs->h", moved) ** 2).sum())
    return total


def _basis(block: SlopeBlock) -> Array:
    assert block.basis is not None
    return block.basis


def _reduced(block: SlopeBlock) -> Array:
    assert block.reduced is not None
    return block.reduced
