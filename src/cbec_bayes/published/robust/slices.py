"""The posterior given one value of the between-group scale: the common slope at nodes, and the rows given each.

Between the nodes the density of the common slope is a sum of normal densities about them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.published.quadrature import Array, Rule
from cbec_bayes.published.robust.common_rule import Modes, Window, coordinate_slope, log_prior, slope_rule
from cbec_bayes.published.robust.rows import Block, Rows, given, slopes_given

MOST_KEPT = 40
"""Groups up to which what contrasts need is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """The posterior given one value of tau.

    Attributes
    ----------
    tau
        Between-group scale.
    nodes, spacing
        Values of the common slope, and the standard deviation of the normal density about each, shape (M,).
    points
        Posterior weight of each node given tau, shape (M,); sums over them integrate.
    smooth
        Weights of the normal densities whose sum is the density of the common slope given tau, shape (M,).
    modes, step
        Modes of the common slope given tau, and the step of the nodes in their coordinate.
    log_rows
        Log density of each estimate given each node, shape (M, R).
    pooling, offset
        Expected weight of the common slope in each group's slope, and expected group's slope less the common one,
        shape (R,).
    within
        Expected variance between the groups' slopes.
    common_moments, row_moments
        Mean and variance of the common slope, and of each group's, shape (2, R).
    deviation, variance
        Mean and variance of each group's slope less the common one given each node, shape (M, R); of more than
        `MOST_KEPT` groups they are not kept, and have shape (M, 0).
    implied
        Rules of the standard errors that stars tell, by row.
    """

    tau: float
    nodes: Array
    spacing: Array
    points: Array
    smooth: Array
    modes: Modes
    step: float
    log_rows: Array
    pooling: Array
    offset: Array
    within: float
    common_moments: tuple[float, float]
    row_moments: Array
    deviation: Array
    variance: Array
    implied: Mapping[int, Rule]

    def apart(self, places: Array) -> Array:
        """Return the distance between nodes of the common slope near some places."""
        return self.step / coordinate_slope(places, self.modes)


def slice_at(window: Window, rows: Rows, tau: float) -> tuple[Slice, float]:
    """Return the posterior given tau, and the log of its mass; `window` is where the common slope has its mass."""
    prior, values = rows.model.slope, rows.values
    rule = slope_rule(window, rows.fineness.slope)
    fine = rows.at(tau)
    log_rows, *slopes = slopes_given(fine, rule.nodes, len(values))
    log_p = log_rows.sum(axis=1) + log_prior(prior, rule.nodes)
    top = float(log_p.max())
    log_mass = top + math.log(float(np.exp(log_p - top) @ rule.spacing))
    points = np.exp(log_p + rule.log_weights - log_mass)
    smooth = np.linalg.solve(_kernel(rule.nodes, rule.spacing), np.exp(log_p - log_p.max()))
    pooling, offset, within = _pooling(slopes, points)
    common, of_rows = _moments(rule.nodes, slopes, points)
    kept = len(values) if len(values) <= MOST_KEPT else 0
    return Slice(
        tau=tau,
        nodes=rule.nodes,
        spacing=rule.spacing,
        points=points,
        smooth=smooth / smooth.sum(),
        modes=window.modes,
        step=rows.fineness.slope,
        log_rows=log_rows,
        pooling=pooling,
        offset=offset,
        within=within,
        common_moments=common,
        row_moments=of_rows,
        deviation=slopes[1][:, :kept],
        variance=slopes[2][:, :kept],
        implied=rows.implied_at(tau),
    ), log_mass


def left_out(rows: Rows, one: Slice, which: list[int]) -> tuple[Array, Array]:
    """Return what the common slope has without the likelihood of each of some rows, as sums of normal densities.

    Returns
    -------
    without
        Weights of the normal densities about the nodes, shape (M, len(which)), up to a factor of each row. The row's
        likelihood is taken out of the density but for the exponential of a square about the estimate.
    held
        Precision of that square, shape (len(which),); zero where all of the likelihood is out.
    """
    blocks, values = rows.at(one.tau), rows.values
    log_p = one.log_rows.sum(axis=1) + log_prior(rows.model.slope, one.nodes)
    best = int(np.argmax(log_p))
    precision = given(blocks, one.nodes[best : best + 1], len(values)).precision[0]
    stay, single = _held(blocks, precision, float(one.spacing[best]))
    squares = (one.nodes[:, None] - values[which]) ** 2
    functions, held = _without(one.log_rows[:, which], log_p, (stay[which], single[which]), squares)
    return np.linalg.solve(_kernel(one.nodes, one.spacing), functions), held


def _kernel(nodes: Array, spacing: Array) -> Array:
    """Return the normal densities about every node at every node."""
    z = (nodes[:, None] - nodes) / spacing
    return np.asarray(np.exp(-(z**2) / 2) / (spacing * math.sqrt(2 * math.pi)))


def _held(blocks: list[Block], precision: Array, spacing: float) -> tuple[Array, NDArray[np.bool_]]:
    """Return a precision of each row's square that may stay in its function, and whether it is all of the likelihood.

    Where a row has one inner node its likelihood is the exponential of that square.
    """
    held = np.minimum(precision, 0.25 / spacing**2)
    single = np.zeros(len(precision), dtype=bool)
    for block in blocks:
        alone = np.isfinite(block.log_p).sum(axis=1) == 1
        single[block.rows] = alone
        held[block.rows[alone]] = 1 / (block.noise + block.spread)[alone, 0]
    return held, single


def _without(
    log_rows: Array, log_p: Array, held: tuple[Array, NDArray[np.bool_]], squares: Array
) -> tuple[Array, Array]:
    """Return for each row the density without its likelihood, at the nodes, and the precision that was held.

    All of a likelihood is taken out where that leaves the digits of what matters: an estimate far from the others, with
    a light tail, would leave a function whose large values cancel. There the square stays in.

    Parameters
    ----------
    log_rows, log_p
        Log likelihood of each row, shape (M, R), and of all with the prior, shape (M,).
    held
        From `_held`.
    squares
        Squared distances of the nodes from each estimate, shape (M, R).
    """
    precision, single = held
    all_out = log_p[:, None] - log_rows
    part_out = all_out - squares * precision / 2

    def lost(log_function: Array) -> Array:
        return np.asarray((log_p[:, None] - log_function).max(axis=0) + log_function.max(axis=0))

    stays = single | (lost(part_out) < lost(all_out) - math.log(1e3))
    log_function = np.where(stays, part_out, all_out)
    return np.exp(log_function - log_function.max(axis=0)), np.where(stays, precision, 0.0)


def _pooling(slopes: Sequence[Array], points: Array) -> tuple[Array, Array, float]:
    """Return expected pooling weights, expected deviations of slopes, and their expected variance between groups."""
    pooling, mean, variance = slopes
    between = mean.var(axis=1, ddof=1) if mean.shape[1] > 1 else np.zeros(len(points))
    return points @ pooling, points @ mean, float(points @ (between + variance.mean(axis=1)))


def _moments(nodes: Array, slopes: Sequence[Array], points: Array) -> tuple[tuple[float, float], Array]:
    """Return mean and variance given tau, of the common slope and of each group's, the latter of shape (2, R)."""
    _, deviation, variance = slopes
    centre = float(points @ nodes)
    middle = points @ deviation
    far = (nodes - centre)[:, None] + (deviation - middle)
    return (centre, float(points @ (nodes - centre) ** 2)), np.array([centre + middle, points @ (variance + far**2)])
