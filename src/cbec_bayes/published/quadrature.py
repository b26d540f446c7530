"""Deterministic quadrature: nodes and weights for the between-group scale and for standard errors known by their stars.

The rules of the scale are trapezoidal sums after a change of variable that makes the integrand decay
double-exponentially (Takahasi and Mori, 1974), so that accuracy roughly doubles its digits when the step is halved,
end-point singularities and heavy tails included; the rule of a standard error is Gauss-Legendre after a change of
variable that moves the integrand's poles away.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.bayes.model import densities
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.published.estimates import ImpliedError
from cbec_bayes.runtime.distributions import normal_logpdf, t_logpdf

Array = NDArray[np.float64]

_APART = 1e3
"""Ratio of two scales up to which the nodes for the one serve the other."""

_TRIED = 97
_MOST_ZOOMS = 20

LARGEST_SCALE = 1e150
"""Largest scale that is computed with: its square is a number."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Nodes and log weights of a quadrature rule, both of shape (J,); or of T rules, of shape (T, J)."""

    nodes: Array
    log_weights: Array


@dataclass(frozen=True, slots=True)
class Line:
    """A change of variable from y to tau on (0, `upper`), for functions that vary on the scale `centre`.

    Without an upper end tau = centre exp(y - exp(-y)). With one tau = upper e / (upper / centre + e), of which e =
    exp(y - exp(-y) + exp(y - log(upper / centre))): nodes are spread evenly in log tau between `centre` and `upper`.
    Integrands decay double-exponentially at 0 and at `upper`.

    Attributes
    ----------
    centre, upper
        Scale, and upper end, which may be infinite.
    low, high
        Values of y between which nodes lie.
    """

    centre: float
    upper: float
    low: float
    high: float

    def at(self, y: Array) -> Rule:
        """Return tau and the log of its derivative at values of y."""
        if math.isinf(self.upper):
            log_tau = y - np.exp(-y) + math.log(self.centre)
            return Rule(np.exp(log_tau), log_tau + np.log1p(np.exp(-y)))
        ratio = max(math.log(self.upper / self.centre), 0.0)
        log_e = y - np.exp(-y) + np.exp(y - ratio)
        log_slope = np.log(1 + np.exp(-y) + np.exp(y - ratio))
        below = -np.logaddexp(0, ratio - log_e)  # log (tau / upper)
        above = -np.logaddexp(0, log_e - ratio)  # log (1 - tau / upper)
        return Rule(self.upper * np.exp(below), math.log(self.upper) + log_slope + below + above)

    def rule(self, step: float) -> Rule:
        """Return the trapezoidal rule with a step in y."""
        rule = self.at(np.arange(self.low, self.high + step / 2, step))
        return Rule(rule.nodes, rule.log_weights + math.log(step))


def half_line(centre: float, reach: float = 1.0) -> Line:
    """Return a line for the integral over (0, infinity) of a function that varies on the scale `centre`.

    Nodes go out to `centre` times 1e13, and times `reach` where the function has another scale so far out.
    """
    furthest = min(30.0 + math.log(reach), math.log(LARGEST_SCALE) - math.log(centre))
    return Line(centre, math.inf, -3.75, furthest)


def finite(upper: float, centre: float) -> Line:
    """Return a line for the integral over (0, `upper`) of a function that varies on the scale `centre`."""
    return Line(centre, upper, -3.75, max(math.log(upper / centre), 0.0) + 3.75)


def log_density(prior: Prior, tau: Array) -> Array:
    """Return the log density of a prior of the scale at `tau` (any shape), normalised.

    Those of the first families are SciPy's, whose last digits are not those of `cbec_bayes.bayes.model.densities`: the
    numbers that have been published with them would change.
    """
    with np.errstate(over="ignore"):  # so far out that a light tail has nothing there
        return _log_density(prior, tau)


def _log_density(prior: Prior, tau: Array) -> Array:
    p = prior.params
    match prior.dist:
        case "half_normal":
            return _positive(tau, 0.5 * np.log(2 / np.pi) - (tau / p["scale"]) ** 2 / 2 - np.log(p["scale"]))
        case "half_t":
            return np.asarray(math.log(2) + t_logpdf(tau, p["df"], scale=p["scale"]))
        case "half_cauchy":
            square = (tau / p["scale"]) ** 2
            return _positive(tau, np.log(2 / np.pi) - np.log1p(square) - np.log(p["scale"]))
        case "exponential":
            return _positive(tau, -tau / p["mean"] - np.log(p["mean"]))
        case "uniform":
            return _positive(p["upper"] - tau, _positive(tau, np.full_like(tau, -np.log(p["upper"]))))
    return densities.log_density(prior, tau)[0]


def _positive(of: Array, found: Array) -> Array:
    """Return what was found where a number is not negative, and minus infinity elsewhere."""
    return np.where(of < 0, -np.inf, found)


def scale_line(prior: Prior, centre: float) -> Line:
    """Return the line that a scale with a prior is integrated along; `centre` is the scale of the likelihood."""
    if prior.dist == "uniform":
        return finite(prior.params["upper"], centre)
    # The likelihood varies on the scale `centre`, the prior on its own, which may be far below it or above.
    own = densities.start(prior)
    near = centre if own > centre / _APART else own
    return half_line(near, max(1.0, own / _APART / near, centre / _APART / near))


def scale_rule(prior: Prior, line: Line, step: float) -> Rule:
    """Return nodes of tau along a line, with the prior in the weights; one node of weight one for a fixed scale."""
    if prior.dist == "fixed":
        return Rule(np.array([prior.params["value"]]), np.zeros(1))
    rule = line.rule(step)
    return Rule(rule.nodes, rule.log_weights + log_density(prior, rule.nodes))


def window(log_mass: Callable[[Array], Array], line: Line, depth: float) -> Line:
    """Return the part of a line outside which a function is negligible.

    Parameters
    ----------
    log_mass
        Log of the function at values of y, shape (J,); or of K functions, shape (K, J), none of which may be cut.
    line
        The whole line.
    depth
        Log of the ratio to its maximum below which a function is negligible.

    Notes
    -----
    The function is tried at values some way apart, and again between those that are not negligible, until these are
    most of them. A peak of many estimates, which is much narrower than the scale that it lies on, is found that way as
    long as the function rises towards it.
    """
    for _ in range(_MOST_ZOOMS):
        y = np.linspace(line.low, line.high, _TRIED)
        values = np.atleast_2d(log_mass(y))
        there = np.flatnonzero((values >= values.max(axis=1, keepdims=True) - depth).any(axis=0))
        low, high = y[max(there[0] - 1, 0)], y[min(there[-1] + 1, _TRIED - 1)]
        if high - low > 0.75 * (line.high - line.low):
            break
        line = replace(line, low=float(low), high=float(high))
    return line


def implied_rule(error: ImpliedError, scale: float | Array, n_nodes: int) -> Rule:
    """Return nodes of a standard error that is known by its stars, with its density in the weights.

    Gauss-Legendre in x, where q = |t| = c sinh x (s = c sinh x for a band without upper end, where q is unbounded).
    The likelihood depends on s through sqrt(s^2 + scale^2); with c = |b| / scale that is scale coth x (scale cosh x),
    analytic within pi / 2 of the real line however far apart the two are, so a dozen nodes are enough.

    Parameters
    ----------
    error
        The band.
    scale
        What s is compared with: the standard deviation of everything else between the estimate and its mean. There is
        one rule for each: of shape (T,), nodes and log weights have shape (T, n).
    n_nodes
        Number of nodes for a band that is open at one end; see `n_of_band`.
    """
    x, w = _legendre(n_of_band(error, n_nodes))
    size, scale = abs(error.estimate), np.asarray(scale)[..., None]
    if math.isfinite(error.q_high):
        c = size / scale
        low, high = np.arcsinh(error.q_low / c), np.arcsinh(error.q_high / c)
        x = low + (high - low) / 2 * (x + 1)
        q = c * np.sinh(x)
        log_slope = np.log(w * (high - low) / 2) + np.log(c) + np.log(np.cosh(x))
    else:
        largest = size / error.q_low
        # The density falls off so fast towards s = 0 that nothing there needs following.
        c = np.maximum(scale, largest / 10)
        high = np.arcsinh(largest / c)
        x = high / 2 * (x + 1)
        s = c * np.sinh(x)
        q = size / s
        log_slope = np.log(w * high / 2) + np.log(c) + np.log(np.cosh(x)) + np.log(q / s)
    kernel = -(q**2) / 2 if math.isinf(error.df) else -(error.df + 1) / 2 * np.log1p(q**2 / error.df)
    return Rule(size / q, log_slope + kernel + _log_constant(error))


def n_of_band(error: ImpliedError, n_nodes: int) -> int:
    """Return the number of nodes for a band: a narrow closed one needs far fewer than an open one."""
    closed = error.q_low > 0 and math.isfinite(error.q_high)
    return 3 + n_nodes // 4 if closed else n_nodes


@lru_cache
def _log_constant(error: ImpliedError) -> float:
    """Log of the reference density at 0 less the log mass of the band."""
    at_zero = normal_logpdf(0) if math.isinf(error.df) else t_logpdf(0, error.df)
    return float(at_zero) - error.log_mass


@lru_cache
def _legendre(n_nodes: int) -> tuple[Array, Array]:
    x, w = np.polynomial.legendre.leggauss(n_nodes)
    return x, w
