"""Nodes of the between-group scale, laid out around the mode of its posterior at the posterior's own width.

The scale is tau = exp(z), or upper e^z / (1 + e^z) under a uniform prior, and z = y - exp(l - y) + exp(y - r): beyond
l and r, where the posterior of z is a plain exponential, nodes run out double-exponentially. In y they are equidistant
in u = y + (1 - w) asinh((y - m) / w), which is as close as the posterior's width w needs about its mode m.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from cbec_bayes.bayes.model import densities
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.published.quadrature import Array, log_density

_DEPTH = 27.0
_LEVEL = 0.05
"""Change of a log density that still counts as none."""

_WIDEST = 1.0
"""Largest width of the posterior of log tau at which nodes are placed: estimates and priors vary on this scale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where the posterior of the scale has its mass, found on a coarse grid.

    Attributes
    ----------
    prior
        Prior of the scale.
    z, log_p
        Grid of z and the rough log posterior density there, shape (G,).
    left, right
        Beyond them log_p is a straight line: l and r.
    mode, width
        m and w.
    """

    prior: Prior
    z: Array
    log_p: Array
    left: float
    right: float
    mode: float
    width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TauRule:
    """Nodes of tau, shape (J,).

    Attributes
    ----------
    nodes, log_weights
        Values of tau, and log weights with the prior in them.
    u, step
        The equidistant coordinate of the nodes and its step; a step of zero is one node without a density.
    layout
        Where it was laid out; None for a scale that is fixed.
    """

    nodes: Array
    log_weights: Array
    u: Array
    step: float
    layout: Layout | None

    def below(self, upper: float) -> Array:
        """Return for every node the share of it that lies at most at `upper`, shape (J,).

        The sinc function's integral: what the trapezoidal sum is for the whole line, this is for a part of it.
        """
        if self.layout is None:
            return np.asarray((self.nodes <= upper).astype(float))
        if upper <= 0:
            return np.zeros(len(self.nodes))
        last = _u_of(self.layout, _z_of(self.layout.prior, upper))
        return np.asarray(0.5 + special.sici(math.pi * (last - self.u) / self.step)[0] / math.pi)


def lay_out(prior: Prior, scales: tuple[float, float], log_mass: Callable[[float], float]) -> Layout:
    """Find where the posterior of the scale has its mass.

    Parameters
    ----------
    prior
        Prior of the scale; not a fixed one.
    scales
        Smallest and largest distance on which the estimates vary.
    log_mass
        Rough log density of the estimates given tau.
    """
    own = densities.start(prior)
    ends = [_z_of(prior, scale) for scale in (*scales, own)]
    # Whole numbers, so that posteriors under other priors are tried at the same places.
    z = np.arange(math.floor(min(ends)) - 8.0, math.ceil(max(ends)) + 9)

    def log_p(one: float) -> float:
        tau, log_slope = _tau_of(prior, np.array([one]))
        return log_mass(float(tau[0])) + float(log_density(prior, tau)[0] + log_slope[0])

    found = np.array([log_p(float(one)) for one in z])
    mode, width = _peak(log_p, float(z[np.argmax(found)]), float(found.max()))
    flat = np.abs(found - z - (found[0] - z[0])) < _LEVEL
    first = len(z) if flat.all() else int(np.argmin(flat))
    line = found[-1] + (z - z[-1]) * (found[-1] - found[-2])
    straight = np.abs(found - line)[::-1] < _LEVEL
    last = len(z) if straight.all() else int(np.argmin(straight))
    left, right = float(z[first - 1]), float(z[-last])
    return Layout(
        prior=prior, z=z, log_p=found, left=min(left, right - 1), right=max(left + 1, right), mode=mode, width=width
    )


def _peak(log_p: Callable[[float], float], place: float, height: float) -> tuple[float, float]:
    """Return the mode of a function of z near a place, roughly, and its width there."""
    step = 1.0
    while step > 1e-4:
        beside = {place + side * step: log_p(place + side * step) for side in (-1, 1)}
        best = max(beside, key=lambda z: beside[z])
        if beside[best] > height:
            place, height = best, beside[best]
            continue
        curvature = (2 * height - sum(beside.values())) / step**2
        if curvature * step**2 < 2:
            return place, min(1 / math.sqrt(max(curvature, 1e-8)), _WIDEST)
        step /= 2
    return place, step


def tau_rule(layout: Layout, step: float, power: float, scale: float) -> TauRule:
    """Return nodes of the scale at a step, in widths of its posterior.

    Parameters
    ----------
    layout
        From `lay_out`.
    step
        Distance of the nodes.
    power
        Highest moment that will be read off.
    scale
        What the moments are compared with.
    """
    y = np.arange(layout.left - 5.0, layout.right + 5.0, 0.25)
    z, log_slope = _z_of_y(layout, y)
    tau, _ = _tau_of(layout.prior, z)
    log_p = _line(layout, z) + log_slope + power * np.log1p(tau / scale)
    inside = np.flatnonzero(log_p > log_p.max() - _DEPTH)
    ends = y[max(inside[0] - 1, 0)], y[min(inside[-1] + 1, len(y) - 1)]
    low, high = (_u_of_y(layout, np.array([end]))[0] for end in ends)
    u = np.arange(math.floor(low / step), math.ceil(high / step) + 1) * step
    y = _y_of_u(layout, u)
    z, log_slope = _z_of_y(layout, y)
    tau, log_tau_slope = _tau_of(layout.prior, z)
    density = 1 + (1 - layout.width) / np.hypot(y - layout.mode, layout.width)
    log_weights = math.log(step) - np.log(density) + log_slope + log_tau_slope
    return TauRule(nodes=tau, log_weights=log_weights + log_density(layout.prior, tau), u=u, step=step, layout=layout)


def fixed_rule(value: float) -> TauRule:
    """Return the one node of a scale that is fixed."""
    return TauRule(nodes=np.array([value]), log_weights=np.zeros(1), u=np.zeros(1), step=0.0, layout=None)


def _tau_of(prior: Prior, z: Array) -> tuple[Array, Array]:
    """Return tau and log (d tau / d z)."""
    if prior.dist == "uniform":
        upper = prior.params["upper"]
        return upper * special.expit(z), math.log(upper) - np.logaddexp(0, z) - np.logaddexp(0, -z)
    return np.exp(np.clip(z, -340.0, 340.0)), z


def _z_of(prior: Prior, tau: float) -> float:
    if prior.dist == "uniform":
        part = min(tau / prior.params["upper"], 1.0)
        return float(special.logit(min(max(part, 1e-100), 1 - 1e-12)))
    return math.log(tau)


def _z_of_y(layout: Layout, y: Array) -> tuple[Array, Array]:
    """Return z and log (d z / d y)."""
    left, right = np.exp(layout.left - y), np.exp(y - layout.right)
    return y - left + right, np.log1p(left + right)


def _u_of_y(layout: Layout, y: Array) -> Array:
    return np.asarray(y + (1 - layout.width) * np.arcsinh((y - layout.mode) / layout.width))


def _y_of_u(layout: Layout, u: Array) -> Array:
    """Invert the coordinate by bisection: it grows, and by no less than y does."""
    low = layout.mode - np.abs(u - layout.mode) - 1
    high = layout.mode + np.abs(u - layout.mode) + 1
    for _ in range(80):
        y = (low + high) / 2
        below = _u_of_y(layout, y) < u
        low, high = np.where(below, y, low), np.where(below, high, y)
    return (low + high) / 2


def _u_of(layout: Layout, z: float) -> float:
    """Return the coordinate of one z."""
    low, high = layout.left - 12.0, layout.right + 12.0
    for _ in range(80):
        y = (low + high) / 2
        below = y - math.exp(layout.left - y) + math.exp(y - layout.right) < z
        low, high = (y, high) if below else (low, y)
    return float(_u_of_y(layout, np.array([(low + high) / 2]))[0])


def _line(layout: Layout, z: Array) -> Array:
    """Interpolate the rough log density, with straight lines beyond its grid."""
    grid, log_p = layout.z, layout.log_p
    inner = np.interp(z, grid, log_p)
    before = log_p[0] + (z - grid[0]) * (log_p[1] - log_p[0])
    after = log_p[-1] + (z - grid[-1]) * min(log_p[-1] - log_p[-2], -1e-3)
    return np.where(z < grid[0], before, np.where(z > grid[-1], after, inner))
