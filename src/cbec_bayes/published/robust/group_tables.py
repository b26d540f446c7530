"""Densities of slopes of groups under t likelihoods, at nodes that all groups share.

    p(x | tau, data) = L_r(x) sum over nodes beta of p(beta | tau, data) S(x - beta | tau) / p(b_r | beta, tau)

where L_r is the likelihood of the estimate as a function of its group's slope, and S the distribution between groups.
No scale of a mixture is left in it, and S is the same for all groups: one product of matrices serves them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.published.between_shape import BetweenShape
from cbec_bayes.published.estimates import KnownError
from cbec_bayes.published.quadrature import Array
from cbec_bayes.published.robust.panels import Panels, panels_between
from cbec_bayes.published.robust.rows import Rows
from cbec_bayes.published.robust.scales import NORMAL_DF, shape_rule
from cbec_bayes.published.robust.slices import Slice
from cbec_bayes.published.summary_model import between_shape
from cbec_bayes.runtime.distributions import t_logpdf

_NEGLIGIBLE = 1e-13
_FEATURE = 1e-9
"""Weight of a value of tau whose modes are features of the densities."""

_REACH = 8.0
"""Standard deviations of a normal distribution beyond which there is nothing."""

_TAIL = 1e10
"""Inverse of the probability beyond which the tail of a t distribution between groups is left out."""

_CELLS = 2_000_000
"""Numbers that are laid out at a time."""

_LARGEST = 600.0
"""Natural logarithm of the largest number that is multiplied with another."""

_BEYOND = 4.0
"""Distances between the last nodes by which what they are spread to reaches beyond them."""

_MOST_SKIPPED = 3

_SPAN = 1.2
"""Width of the narrowest kernel, in distances between nodes: sums of it over the nodes are its integral."""

_HERMITE = np.array(
    [[1, 0, 0, 0, 0], [-1, 1, 0, 0, 0], [3, -6, 1, 0, 0], [-15, 45, -15, 1, 0], [105, -420, 210, -28, 1]], dtype=float
)
"""Coefficients of the Hermite polynomials of even order in powers of the square: terms that correct such a kernel."""

_BAND = 8.5
"""Widths of such a kernel beyond which there is nothing of it."""

_CLOSED = 3.5
"""Widths of a t distribution, in distances between nodes, from which on it is summed as it stands."""


@dataclass(frozen=True, slots=True)
class GroupTables:
    """Densities of slopes at the nodes of panels, each of shape (P, N), by row; `None` is a group without an estimate.

    There are none where no row has a t likelihood.
    """

    panels: Panels
    densities: Mapping[int | None, Array]


def tabulated_rows(rows: Rows) -> list[int]:
    """Return the rows whose slopes are tabulated: those with a known standard error and a t likelihood.

    The mixtures of the others have few components, or mix over standard errors that stars imply.
    """
    errors = enumerate(rows.errors)
    return [row for row, error in errors if isinstance(error, KnownError) and error.likelihood_df < NORMAL_DF]


def group_tables(rows: Rows, weights: Array, slices: Sequence[Slice]) -> GroupTables:
    """Return the densities of the rows' slopes, given the weight of each slice of tau (J,).

    A row so far from the others that its likelihood cannot be divided by is left out.
    """
    among = tabulated_rows(rows)
    largest = _log_quotients(slices, among)
    among = [row for row, one in zip(among, largest, strict=True) if one < _LARGEST]
    panels = _panels(rows, weights, slices)
    if not among:
        return GroupTables(panels, {})
    x, shape = panels.nodes.ravel(), panels.nodes.shape
    log_heights = np.array([_height(slices, row) for row in among])
    total = np.zeros((len(x), len(among) + 1))
    for weight, one in zip(weights, slices, strict=True):
        own = (weight * one.points)[:, None]
        quotients = np.hstack([own * np.exp(log_heights - one.log_rows[:, among]), own])
        total += _spread_out(rows, one, x, quotients)
    densities: dict[int | None, Array] = {None: total[:, -1].reshape(shape)}
    for place, row in enumerate(among):
        scale = float(rows.scales[row])
        log_density = t_logpdf((x - rows.values[row]) / scale, rows.errors[row].likelihood_df) - math.log(scale)
        densities[row] = (np.exp(log_density - log_heights[place]) * total[:, place]).reshape(shape)
    return GroupTables(panels, densities)


def _height(slices: Sequence[Slice], row: int) -> float:
    """Return the log of the largest density of an estimate."""
    return max(float(one.log_rows[:, row].max()) for one in slices)


def _log_quotients(slices: Sequence[Slice], among: Sequence[int]) -> Array:
    """Return the log of the largest quotient of the posterior and a row's density, relative to this, by row."""
    found = [(np.log(np.maximum(one.points, 1e-300))[:, None] - one.log_rows[:, among]).max(axis=0) for one in slices]
    heights = np.array([_height(slices, row) for row in among])
    return np.asarray(np.max(found, axis=0) + heights, dtype=np.float64)


def _panels(rows: Rows, weights: Array, slices: Sequence[Slice]) -> Panels:
    """Return panels that are as short as the estimates and the common slope need, and reach as far as slopes do."""
    reach = _reach(between_shape(rows.model))
    lows, highs = [], []
    for weight, one in zip(weights, slices, strict=True):
        there = np.flatnonzero(weight * one.points > _NEGLIGIBLE)
        if there.size:
            lows.append(float(one.nodes[there[0]]) - reach * one.tau)
            highs.append(float(one.nodes[there[-1]]) + reach * one.tau)
    seen = [one.modes for weight, one in zip(weights, slices, strict=True) if weight > _FEATURE]
    sharp = [min(1.0, math.sqrt(error.likelihood_df)) for error in rows.errors]
    centres = np.concatenate([rows.values, *(modes.places for modes in seen)])
    widths = np.concatenate([rows.scales * sharp, *(modes.widths for modes in seen)])
    return panels_between(min(lows), max(highs), centres, widths)


def _reach(shape: BetweenShape) -> float:
    """Return how many tau from the common slope the distribution between groups ends, for probabilities."""
    if shape.dist == "student_t":
        return float(max(_REACH, _TAIL ** (1 / shape.params["df"])))
    return _REACH * shape.params.get("ratio", 1.0)


def _spread_out(rows: Rows, one: Slice, x: Array, quotients: Array) -> Array:
    """Return the sums over nodes of quotients (M, R) times the distribution between groups about each: (X, R)."""
    found = np.zeros((len(x), quotients.shape[1]))
    apart = one.apart(x)
    size = max(1, _CELLS // len(one.nodes))
    far = _reach(between_shape(rows.model)) * one.tau + _BEYOND * one.spacing
    near = (x > one.nodes[0] - far[0]) & (x < one.nodes[-1] + far[-1])
    # Where the distribution is wide beside the distance between nodes, every second or third one is enough.
    skips = np.where(near, np.clip(np.floor(one.tau / (_SPAN * apart)), 1, _MOST_SKIPPED), 0)
    for skip in range(1, _MOST_SKIPPED + 1):
        places = np.flatnonzero(skips == skip)
        nodes, factors = one.nodes[::skip], skip * quotients[::skip]
        for first in range(0, len(places), size):
            part = places[first : first + size]
            found[part] = _between(rows, one, x[part, None] - nodes, skip * apart[part]) @ factors
    return found


def _between(rows: Rows, one: Slice, distance: Array, apart: Array) -> Array:
    """Return the density of a slope at distances from nodes of the common slope, shape (X, M).

    Where it is narrower than the distance between nodes, `apart`, it is replaced by a kernel that is as wide as that,
    and whose integrals with smooth functions are the same.
    """
    shape = between_shape(rows.model)
    if shape.dist != "student_t":
        rule = shape_rule(shape, 1.0, rows.fineness.mixing)
        return _mixed(distance, apart, one.tau**2 * rule.nodes, np.exp(rule.log_weights))
    # Away from a node its density is as it stands, whatever the distance between nodes.
    found = (
        np.exp(t_logpdf(distance / one.tau, shape.params["df"])) / one.tau if one.tau > 0 else np.zeros_like(distance)
    )
    close = np.abs(distance) < (_BAND * _SPAN * apart)[:, None]
    close[one.tau * math.sqrt(shape.params["df"]) > _CLOSED * apart] = False
    at, node = np.nonzero(close)
    if at.size:
        rule = rows.shape_at(one.tau)
        found[at, node] = _in_band(distance[at, node], at, apart, (one.tau**2 * rule.nodes, np.exp(rule.log_weights)))
    return found


def _in_band(distance: Array, at: NDArray[np.intp], apart: Array, mixture: tuple[Array, Array]) -> Array:
    """Return a mixture of normal densities at distances (P,) of places `at`, whose kernels are `apart` wide.

    All components that are narrower than the kernel of a place share it, with the mean of their series.
    """
    variances, weights = mixture
    wide = (_SPAN * apart) ** 2
    narrow = variances < wide[:, None]
    c = np.where(narrow, (variances - wide[:, None]) / (2 * wide[:, None]), 0.0)
    power, series = weights * narrow, []
    for divisor in (1, 2, 3, 4, 1):
        series.append(power.sum(axis=1))
        power = power * c / divisor
    factors = np.column_stack(series) @ _HERMITE
    squares = distance**2
    z = squares / wide[at]
    found = np.full(len(at), 0.0)
    for place in range(4, -1, -1):
        found = found * z + factors[at, place]
    found *= np.exp(-z / 2) / np.sqrt(2 * math.pi * wide[at])
    order = np.argsort(wide[at], kind="stable")
    limits, squares, added = wide[at][order], squares[order], np.zeros(len(at))
    for variance, weight in zip(variances, weights, strict=True):
        last = int(np.searchsorted(limits, variance, side="right"))
        added[:last] += weight / math.sqrt(2 * math.pi * variance) * np.exp(squares[:last] / (-2 * variance))
    found[order] += added
    return found


def _mixed(distance: Array, apart: Array, variances: Array, weights: Array) -> Array:
    if len(variances) == 1:
        return _normal(distance, apart, float(variances[0]))
    found = np.zeros_like(distance)
    for variance, weight in zip(variances, weights, strict=True):
        found += weight * _normal(distance, apart, float(variance))
    return found


def _normal(distance: Array, apart: Array, variance: float) -> Array:
    """Return normal densities, or kernels about as wide as nodes are apart whose first moments are theirs.

    A normal density of variance v is exp((v - w) D^2 / 2) applied to one of variance w; the series is cut after the
    terms of `_HERMITE`, and its derivatives are Hermite polynomials.
    """
    wide = np.maximum(variance, (_SPAN * apart) ** 2)
    squares = distance * distance
    squares /= wide[:, None]
    found = np.exp(-0.5 * squares)
    narrow: NDArray[np.bool_] = wide > variance
    if narrow.any():
        c = (variance - wide[narrow]) / (2 * wide[narrow])
        factors = (c[:, None] ** np.arange(5) / np.array([1, 1, 2, 6, 24])) @ _HERMITE
        z = squares[narrow]
        series = z * factors[:, 4:]
        for power in (3, 2, 1):
            series += factors[:, power : power + 1]
            series *= z
        series += factors[:, :1]
        found[narrow] *= series
    found /= np.sqrt(2 * math.pi * wide)[:, None]
    return found
