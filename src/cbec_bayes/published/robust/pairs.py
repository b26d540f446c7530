"""Two groups' slopes together: given a node (tau, beta) they are independent, each a mixture of few normal densities.

Given tau, beta and the variance of a group's slope about beta, its mean and variance are functions of the share
g = noise / (noise + spread) that beta has in it: b + g (beta - b) and g spread. A mixing scale gives g many values. In
the square root of g, in which every probability is analytic, the Gauss rule of their distribution replaces them: its
moments are the same up to twice the order of its nodes (Stieltjes' procedure; Golub and Welsch, 1969).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cbec_bayes.published.estimates import Estimates
from cbec_bayes.published.quadrature import Array, Rule
from cbec_bayes.published.robust.rows import Rows, rows_of
from cbec_bayes.published.robust.scales import LEVELS, NORMAL_DF
from cbec_bayes.published.robust.slices import Slice
from cbec_bayes.published.summary_model import SummaryModel

MOST_PAIRED = 20_000
"""Normal densities at each node (tau, beta) up to which a difference takes a second and a few hundred megabytes."""

_GAUSS = 8
"""Nodes of the rule that replaces a mixing scale."""

_STRIDES = (6, 4, 3, 2)
"""Nodes of the common slope, of which every so manieth may be enough for a sum that integrates."""

_SAME = 1e-8
"""By how much the sum over fewer nodes of the common slope may differ, as a part of the whole posterior."""

_NEGLIGIBLE = 1e-11


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """N nodes of (tau, beta) with weight; arrays have shape (N,).

    Attributes
    ----------
    weight
        Posterior weight.
    tau, slope
        Values of tau and beta.
    first
        Where the nodes of each slice of tau begin, and the number of all, shape (J + 1,).
    """

    weight: Array
    tau: Array
    slope: Array
    first: list[int]


@dataclass(frozen=True, slots=True)
class Components:
    """A group's slope given each of N nodes: weights, means and variances of C normal densities, shape (N, C)."""

    weights: Array
    means: Array
    variances: Array


def points_of(weights: Array, slices: Sequence[Slice]) -> Points:
    """Return the nodes of all slices that have weight: as few of each as sums over them need."""
    found: list[tuple[Array, Array, Array]] = []
    first = [0]
    for weight, one in zip(weights, slices, strict=True):
        stride = _stride(float(weight), one.points)
        own = stride * weight * one.points[::stride]
        keep = np.flatnonzero(own > _NEGLIGIBLE)
        found.append((own[keep], np.full(len(keep), one.tau), one.nodes[::stride][keep]))
        first.append(first[-1] + len(keep))
    weight, tau, slope = (np.concatenate(column) for column in zip(*found, strict=True))
    return Points(weight=weight, tau=tau, slope=slope, first=first)


def too_heavy_for_pairs(estimates: Estimates, model: SummaryModel) -> bool:
    """Return whether differences of two groups' slopes have more nodes than can be summed over in a moment."""
    heavy = any(error is not None and error.likelihood_df < NORMAL_DF for error in estimates.errors)
    return heavy and estimates.terms is None and nodes_of_a_pair(estimates, model) > MOST_PAIRED


def nodes_of_a_pair(estimates: Estimates, model: SummaryModel) -> int:
    """Return how many normal densities the difference of two groups' slopes is made of, at each node (tau, beta).

    It is counted from the rules alone, before anything is computed.
    """
    rows = rows_of(estimates, model, LEVELS[0])
    shape = len(rows.shape_at(float(rows.scales.max())).nodes)
    noise = sorted(min(len(rule.nodes), _GAUSS) for rule in rows.noise)[-2:]
    return math.prod(shape * one for one in noise)


def _stride(weight: float, points: Array) -> int:
    """Return how many nodes of the common slope may be passed over, as far as every way of doing it sums to one."""
    for stride in _STRIDES:
        sums = np.array([stride * points[start::stride].sum() for start in range(stride)])
        if weight * float(np.abs(sums - 1).max()) < _SAME:
            return stride
    return 1


def components(rows: Rows, row: int, points: Points, slices: Sequence[Slice]) -> Components:
    """Return a row's slope given each node."""
    parts = []
    for place, one in enumerate(slices):
        own = slice(points.first[place], points.first[place + 1])
        if own.start < own.stop:
            noise = rows.noise_of(row, one.implied)
            parts.append(_given(rows, row, noise, one.tau, points.slope[own]))
    width = max(part.weights.shape[1] for part in parts)
    return Components(*(np.concatenate([_wide(column, width) for column in columns]) for columns in _columns(parts)))


def _columns(parts: Sequence[Components]) -> tuple[list[Array], list[Array], list[Array]]:
    return [p.weights for p in parts], [p.means for p in parts], [p.variances for p in parts]


def _wide(column: Array, width: int) -> Array:
    """Fill up with components of no weight, of which the last one's mean and variance stand for the others'."""
    return np.pad(column, ((0, 0), (0, width - column.shape[1])), mode="constant")


def _given(rows: Rows, row: int, noise: Rule, tau: float, slope: Array) -> Components:
    """Return a row's slope given tau and values of the common slope, with a Gauss rule for each value of the spread."""
    shape, value = rows.shape_at(tau), float(rows.values[row])
    spread = tau**2 * shape.nodes
    total = noise.nodes[:, None] + spread
    log_p = np.add.outer(noise.log_weights, shape.log_weights) - np.log(total) / 2
    log_p = log_p - ((value - slope) ** 2)[:, None, None] / (2 * total)
    share = np.exp(log_p - log_p.max(axis=(1, 2), keepdims=True))
    share /= share.sum(axis=(1, 2), keepdims=True)
    root = np.sqrt(noise.nodes[:, None] / total)
    rules = [_gauss(root[:, k], share[:, :, k]) for k in range(len(spread))]
    g = np.concatenate([nodes for nodes, _ in rules], axis=1) ** 2
    weights = np.concatenate([weight for _, weight in rules], axis=1)
    own = np.repeat(spread, g.shape[1] // len(spread))
    return Components(weights, value + g * (slope[:, None] - value), g * own)


def _gauss(nodes: Array, weights: Array) -> tuple[Array, Array]:
    """Return the Gauss rules of discrete measures with the same nodes (K,): weights (N, K) to two arrays (N, n)."""
    if len(nodes) <= _GAUSS:
        return np.broadcast_to(nodes, weights.shape), weights
    mass = weights.sum(axis=1, keepdims=True)
    root = np.sqrt(np.divide(weights, mass, out=np.zeros_like(weights), where=mass > 0))
    jacobi = np.zeros((len(weights), _GAUSS, _GAUSS))
    before, now, norm = np.zeros_like(root), root, np.zeros((len(weights), 1))
    for j in range(_GAUSS):
        moved = nodes * now
        middle = (moved * now).sum(axis=1, keepdims=True)
        jacobi[:, j, j] = middle[:, 0]
        if j + 1 == _GAUSS:
            break
        left = moved - middle * now - norm * before
        norm = np.sqrt((left**2).sum(axis=1, keepdims=True))
        # A measure on fewer nodes than the rule has leaves nothing but rounding: its rule ends there.
        norm = np.where(norm > 1e-12 * (np.abs(middle) + 1e-300), norm, 0.0)
        jacobi[:, j, j + 1] = jacobi[:, j + 1, j] = norm[:, 0]
        before, now = now, np.divide(left, norm, out=np.zeros_like(left), where=norm > 0)
    values, vectors = np.linalg.eigh(jacobi)
    return values, mass * vectors[:, 0, :] ** 2
