"""Deterministic quadrature: nodes and weights for the between-group scale and for standard errors known by their stars.

Most are trapezoidal sums after a change of variable that makes the integrand decay double-exponentially (Takahasi and
Mori, 1974), so accuracy roughly doubles its digits when the step is halved, end-point singularities and heavy tails
included.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from cbec_bayes.published.estimates import ImpliedError
from cbec_bayes.spec import Prior

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rule:
    """Nodes and log weights of a quadrature rule, both of shape (J,)."""

    nodes: Array
    log_weights: Array


def half_line(centre: float, step: float) -> Rule:
    """Return a rule for the integral over (0, infinity) of a function that varies on the scale `centre`.

    tau = centre exp(y - exp(-y)): double-exponential decay at 0, and at infinity nodes out to `centre` times 1e13.
    """
    y = np.arange(-3.75, 30.0 + step / 2, step)
    log_tau = y - np.exp(-y)
    return Rule(centre * np.exp(log_tau), math.log(step * centre) + log_tau + np.log1p(np.exp(-y)))


def finite(upper: float, centre: float, step: float) -> Rule:
    """Return a rule for the integral over (0, `upper`) of a function that varies on the scale `centre`.

    tau = upper e / (upper / centre + e): nodes spread evenly in log tau between `centre` and `upper`, with
    double-exponential decay at both ends.
    """
    ratio = max(math.log(upper / centre), 0.0)
    y = np.arange(-3.75, ratio + 3.75 + step / 2, step)
    log_e = y - np.exp(-y) + np.exp(y - ratio)
    log_slope = np.log(1 + np.exp(-y) + np.exp(y - ratio))
    below = -np.logaddexp(0, ratio - log_e)  # log (tau / upper)
    above = -np.logaddexp(0, log_e - ratio)  # log (1 - tau / upper)
    return Rule(upper * np.exp(below), math.log(step * upper) + log_slope + below + above)


def log_density(prior: Prior, tau: Array) -> Array:
    """Return the log density of a prior of the scale at `tau` (any shape), normalised."""
    p = prior.params
    match prior.dist:
        case "half_normal":
            return np.asarray(stats.halfnorm.logpdf(tau, scale=p["scale"]))
        case "half_t":
            return np.asarray(math.log(2) + stats.t.logpdf(tau, p["df"], scale=p["scale"]))
        case "half_cauchy":
            return np.asarray(stats.halfcauchy.logpdf(tau, scale=p["scale"]))
        case "exponential":
            return np.asarray(stats.expon.logpdf(tau, scale=p["mean"]))
        case "uniform":
            return np.asarray(stats.uniform.logpdf(tau, scale=p["upper"]))
    raise ValueError(f"'{prior.dist}' has no density")


def tail_index(prior: Prior) -> float:
    """Return nu where the density of the scale falls as tau^-(nu + 1); infinite for a lighter tail."""
    return {"half_cauchy": 1.0, "half_t": prior.params.get("df", math.inf)}.get(prior.dist, math.inf)


def scale_rule(prior: Prior, centre: float, step: float) -> Rule:
    """Return nodes of tau with the prior in the weights; one node of weight one for a fixed scale."""
    if prior.dist == "fixed":
        return Rule(np.array([prior.params["value"]]), np.zeros(1))
    rule = finite(prior.params["upper"], centre, step) if prior.dist == "uniform" else half_line(centre, step)
    return Rule(rule.nodes, rule.log_weights + log_density(prior, rule.nodes))


def implied_rule(error: ImpliedError, step: float) -> Rule:
    """Return nodes of a standard error that is known by its stars, with its density in the weights.

    Gauss-Legendre in q = |t| over a bounded band. A band without end (three stars: q up to infinity; no star: s up to
    infinity) is stretched as q_low (1 + e) or q_high / (1 + e) with e = exp(y - exp(-y)): the nodes are then spread
    evenly in log s, so that the rule is as good for a tau far above s as for one far below.
    """
    reference = stats.norm() if math.isinf(error.df) else stats.t(error.df)
    if error.q_low > 0 and math.isfinite(error.q_high):
        x, w = np.polynomial.legendre.leggauss(math.ceil(3 / step))
        half = (error.q_high - error.q_low) / 2
        q = error.q_low + half * (x + 1)
        log_slope = np.log(w * half)
    else:
        y = np.arange(-3.5, 16.0 + step / 2, step)
        log_e = y - np.exp(-y)
        log_one_plus_e = np.logaddexp(0, log_e)
        log_slope = math.log(step) + log_e + np.log1p(np.exp(-y))
        if error.q_low > 0:
            q = error.q_low * np.exp(log_one_plus_e)
            log_slope = log_slope + math.log(error.q_low)
        else:
            q = error.q_high * np.exp(-log_one_plus_e)
            log_slope = log_slope + math.log(error.q_high) - 2 * log_one_plus_e
    log_weights = log_slope + reference.logpdf(q) - error.log_mass
    keep = log_weights > log_weights.max() - 36
    return Rule(abs(error.estimate) / q[keep], log_weights[keep])
