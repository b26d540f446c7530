"""Nodes of the common slope given the between-group scale, wherever its density has its modes.

The nodes are equidistant in u = sum over modes of asinh((beta - mode) / width): as close as the narrowest mode needs
where it stands, and wider in proportion to the distance from it, so that heavy tails and several modes take few nodes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.published.quadrature import Array
from cbec_bayes.published.robust.rows import Block, given, log_density, prior_precision

_DEPTH = 27.0
"""Natural logarithm of the density, times moments, that is left out, relative to its largest value."""

_MOST_STARTS = 12
_STEPS = 60
_FURTHEST = 128.0
"""Furthest nodes, in steps of a coordinate that grows as the logarithm of the distance."""


@dataclass(frozen=True, slots=True)
class Modes:
    """Modes of the density of the common slope given tau: places and widths, and the log of its integral, roughly."""

    places: Array
    widths: Array
    log_mass: float


@dataclass(frozen=True, slots=True)
class Window:
    """Where the common slope has its mass given tau: modes, and ends in their coordinate relative to `middle`."""

    modes: Modes
    middle: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class SlopeRule:
    """Nodes of the common slope with their log weights, and the distance between neighbours, each of shape (M,)."""

    nodes: Array
    log_weights: Array

    @property
    def spacing(self) -> Array:
        """Distance between neighbours."""
        return np.exp(self.log_weights)


def log_prior(prior: Prior, slope: Array) -> Array:
    """Return the log density of the prior of the common slope; zero where it is flat."""
    if prior.dist != "normal":
        return np.zeros_like(slope)
    mean, precision = prior_precision(prior)
    return (math.log(precision / (2 * math.pi)) - precision * (slope - mean) ** 2) / 2


def starts(values: Array, scales: Array) -> Array:
    """Return where the search for modes begins: every estimate, or quantiles of many and the most precise ones."""
    if len(values) <= _MOST_STARTS:
        return np.unique(values)
    precise = values[np.argsort(scales, kind="stable")[:3]]
    return np.unique(np.concatenate([np.quantile(values, np.linspace(0, 1, _MOST_STARTS - 3)), precise]))


def find_modes(blocks: list[Block], prior: Prior, values: Array, start: Array) -> Modes:
    """Find the modes by iteratively reweighted means, which climb from every start, and drop those without weight."""
    mean, precision = prior_precision(prior)
    place, n_rows = start, len(values)
    for attempt in range(_STEPS):
        now = given(blocks, place, n_rows)
        total = now.precision.sum(axis=1) + precision
        move = (now.score.sum(axis=1) - precision * (place - mean)) / total
        curvature = precision - now.curvature.sum(axis=1)
        # Newton's step where the density is concave enough to trust it, else the step of the EM algorithm.
        trusted = curvature > 0.05 * total
        step = np.where(trusted, move * total / np.where(trusted, curvature, 1.0), move)
        limit = 2 / np.sqrt(total)
        place = place + np.clip(step, -limit, limit)
        if (np.abs(move) < 1e-2 / np.sqrt(total)).all():
            break
        if attempt % 3 == 2:  # those that have met go on as one
            order = np.argsort(place)
            apart = np.diff(place[order], prepend=-math.inf) > 0.02 / np.sqrt(total[order])
            place = place[order][apart]
    now = given(blocks, place, n_rows)
    height = now.log_density.sum(axis=1) + log_prior(prior, place)
    information = precision - now.curvature.sum(axis=1)
    complete = now.precision.sum(axis=1) + precision
    width = 1 / np.sqrt(np.where(information > 0.01 * complete, information, complete))
    kept = _distinct(place, width, height)
    mass = height[kept] + np.log(width[kept] * math.sqrt(2 * math.pi))
    return Modes(place[kept], width[kept], float(np.logaddexp.reduce(mass)))


def _distinct(place: Array, width: Array, height: Array) -> list[int]:
    """Return which of the places that were reached are modes of their own and high enough to matter."""
    kept: list[int] = []
    for index in np.argsort(-height, kind="stable"):
        near = [abs(place[index] - place[k]) < 0.5 * min(width[index], width[k]) for k in kept]
        if not any(near) and height[index] > height.max() - _DEPTH:
            kept.append(int(index))
    return kept


def window_of(blocks: list[Block], prior: Prior, modes: Modes, power: float) -> Window:
    """Return where the common slope has its mass given tau.

    Parameters
    ----------
    blocks
        The rows given tau; those of a coarse rule are enough.
    prior
        Prior of the common slope.
    modes
        From `find_modes`.
    power
        Highest moment that will be read off.
    """
    middle = float(_coordinate(modes.places[:1], modes)[0])
    low, high = _ends(blocks, prior, modes, middle, power)
    return Window(modes, middle, low, high)


def slope_rule(window: Window, step: float) -> SlopeRule:
    """Return nodes of the common slope at a distance of `step` widths of a mode near it."""
    first, last = math.floor(window.low / step), math.ceil(window.high / step)
    u = np.asarray(np.arange(first, last + 1) * step, dtype=np.float64)
    nodes, slope = _invert(window.middle + u, window.modes)
    return SlopeRule(nodes, math.log(step) - np.log(slope))


def _ends(blocks: list[Block], prior: Prior, modes: Modes, middle: float, power: float) -> tuple[float, float]:
    """Return between which coordinates, from the highest mode's, the density matters."""
    n_rows = sum(len(block.rows) for block in blocks)
    furthest = 8.0
    while True:
        coarse = np.arange(-furthest, furthest + 0.5, 0.5)
        place, slope = _invert(middle + coarse, modes)
        log_p = log_density(blocks, place, n_rows).sum(axis=1) + log_prior(prior, place) - np.log(slope)
        log_p += power * np.log1p(np.abs(place - modes.places[0]) / modes.widths[0])
        inside = np.flatnonzero(log_p > log_p.max() - _DEPTH)
        within = inside[0] > 0 and inside[-1] < len(coarse) - 1
        if within or furthest >= _FURTHEST:
            return float(coarse[max(inside[0] - 1, 0)]), float(coarse[min(inside[-1] + 1, len(coarse) - 1)])
        furthest *= 2


def _coordinate(place: Array, modes: Modes) -> Array:
    return np.asarray(np.arcsinh((place[:, None] - modes.places) / modes.widths).sum(axis=1))


def _invert(u: Array, modes: Modes) -> tuple[Array, Array]:
    """Return the places with given coordinates, and the derivative of the coordinate there."""
    if len(modes.places) == 1:
        place = modes.places[0] + modes.widths[0] * np.sinh(np.clip(u, -600, 600))
    else:
        reach = modes.widths.max() * np.sinh(np.clip(np.abs(u), 0, 600))
        low, high = modes.places.min() - reach, modes.places.max() + reach
        for _ in range(200):
            place = (low + high) / 2
            below = _coordinate(place, modes) < u
            low, high = np.where(below, place, low), np.where(below, high, place)
        place = (low + high) / 2
    return place, coordinate_slope(place, modes)


def coordinate_slope(place: Array, modes: Modes) -> Array:
    """Return the derivative of the coordinate in which nodes are equidistant, at some places."""
    return np.asarray((1 / np.hypot(place[:, None] - modes.places, modes.widths)).sum(axis=1))
