"""The distribution that importance sampling draws from: a t whose dimensions are each bent to be skewed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize

from cbec_bayes.bayes.sampling.multivariate_t import MultivariateT
from cbec_bayes.panel.within import Array

DF = 6
INFLATION = 1.15
"""Factor of the covariance: a proposal must not be narrower than the density."""

_GRID = 800  # quantiles of a dimension that its shape is fitted to
_SKEW_SD, _TAIL_SD = 0.7, 0.4  # of the weak priors that keep the fit of few draws near a normal shape
_BOUNDS = ((-3.0, 3.0), (-3.0, 3.0), (-2.0, 2.0), (-1.0, 1.0))
_WORTH = 1_000.0  # draws that a sample counts for at the most, against these priors
_STEEPEST = 50.0  # argument of a hyperbolic sine beyond which nothing is told from infinity
_LOG_2 = float(np.log(2.0))


@dataclass(frozen=True, slots=True)
class Bend:
    """For each of k dimensions x = location + scale sinh((arcsinh(z) + skew) / tail), each of shape (k,).

    With z normal these are the sinh-arcsinh distributions of Jones and Pewsey (2009): a positive skew lengthens the
    tail to the right, and a tail below one makes both heavier. The logarithm of a scale that the data hardly tell from
    zero has such a tail to the left: its density falls as the scale itself, however small that is.
    """

    location: Array
    scale: Array
    skew: Array
    tail: Array

    def bent(self, z: Array) -> Array:
        """Return x for points z, shape (S, k)."""
        return np.asarray(self.location + self.scale * np.sinh((np.arcsinh(z) + self.skew) / self.tail))

    def straight(self, x: Array) -> tuple[Array, Array]:
        """Return z for points x, shape (S, k), and the sum of the logarithms of dz/dx, shape (S,)."""
        u = (x - self.location) / self.scale
        q = np.clip(self.tail * np.arcsinh(u) - self.skew, -_STEEPEST, _STEEPEST)
        slopes = _log_cosh(q) + np.log(self.tail / self.scale) - np.log1p(u**2) / 2
        return np.sinh(q), slopes.sum(axis=1)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A t distribution with `DF` degrees of freedom, bent or not.

    Attributes
    ----------
    centre, spread
        Location, shape (k,), and scale matrix, (k, k), of the t distribution.
    bend
        How far each of its dimensions is bent; None for none.
    """

    centre: Array
    spread: Array
    bend: Bend | None = None

    def draw(self, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Return n points, shape (n, k), and their log densities, shape (n,)."""
        t = MultivariateT(self.centre, self.spread, DF)
        z = t.draw(n, rng)
        if self.bend is None:
            return z, t.log_density(z)
        x = self.bend.bent(z)
        return x, t.log_density(z) + self.bend.straight(x)[1]

    def log_density(self, x: Array) -> Array:
        """Return log densities, shape (S,), of points, shape (S, k)."""
        t = MultivariateT(self.centre, self.spread, DF)
        if self.bend is None:
            return t.log_density(x)
        z, slopes = self.bend.straight(x)
        return t.log_density(z) + slopes


def proposal_of(points: Array, weights: Array, *, bends: bool, inflation: float = INFLATION) -> Proposal:
    """Fit a proposal to weighted points of the density.

    Parameters
    ----------
    points, weights
        Shape (S, k), and (S,), adding up to one.
    bends
        Whether the shape of each dimension is fitted as well; else the proposal is an ellipse.
    inflation
        Factor of the covariance.
    """
    bend = None
    if bends:
        worth = min(1 / float(np.sum(weights**2)), _WORTH)
        bend = Bend(*np.array([_shape_of(column, weights, worth) for column in points.T]).T)
        points = bend.straight(points)[0]
    centre = weights @ points
    spread = inflation * (DF - 2) / DF * ((points - centre).T * weights) @ (points - centre)
    return Proposal(centre, spread + 1e-6 * np.eye(len(centre)), bend)


def _shape_of(values: Array, weights: Array, worth: float) -> tuple[float, float, float, float]:
    """Return location, scale, skew and tail of one dimension, by penalised maximum likelihood."""
    order = np.argsort(values)
    edges = np.cumsum(weights[order])
    at = np.searchsorted(edges / edges[-1], (np.arange(_GRID) + 0.5) / _GRID)
    own = values[order][np.minimum(at, len(values) - 1)]
    middle, width = float(np.median(own)), max(float(own.std()), 1e-9)
    y = (own - middle) / width

    def loss(shape: Array) -> tuple[float, Array]:
        location, log_scale, skew, log_tail = shape
        tail = np.exp(log_tail)
        u = (y - location) * np.exp(-log_scale)
        angle, root = np.arcsinh(u), np.sqrt(1 + u**2)
        q = np.clip(tail * angle - skew, -_STEEPEST / 2, _STEEPEST / 2)
        z = np.sinh(q)
        density = -(z**2) / 2 + _log_cosh(q) + log_tail - np.log(root) - log_scale
        in_q = np.tanh(q) - z * np.cosh(q)  # slope of the density in q, and through u
        in_u = in_q * tail / root - u / root**2
        slopes = np.array(
            [
                -(in_u * np.exp(-log_scale)).mean(),
                -(in_u * u).mean() - 1,
                -in_q.mean(),
                (in_q * tail * angle).mean() + 1,
            ]
        )
        penalty = np.array([0.0, 0.0, skew / _SKEW_SD**2, log_tail / _TAIL_SD**2])
        held = (skew / _SKEW_SD) ** 2 / 2 + (log_tail / _TAIL_SD) ** 2 / 2
        return float(held - worth * density.mean()), penalty - worth * slopes

    found = optimize.minimize(loss, np.zeros(4), jac=True, method="L-BFGS-B", bounds=_BOUNDS)
    location, log_scale, skew, log_tail = (float(value) for value in found.x)
    return middle + width * location, width * float(np.exp(log_scale)), skew, float(np.exp(log_tail))


def _log_cosh(q: Array) -> Array:
    size = np.abs(q)
    return np.asarray(size + np.log1p(np.exp(-2 * size)) - _LOG_2)
