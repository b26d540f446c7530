"""The summary-level model given the between-group scale and the standard errors: all slopes are jointly normal."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.published.estimates import Estimates, ImpliedError
from cbec_bayes.published.quadrature import Rule, implied_rule
from cbec_bayes.spec import Prior

Array = NDArray[np.float64]


def implied_errors(estimates: Estimates) -> list[ImpliedError]:
    """Return the standard errors that are known by their stars alone."""
    return [error for error in estimates.errors if isinstance(error, ImpliedError)]


def typical_error(estimates: Estimates) -> float:
    """Return the median standard error: the scale on which the posterior of tau varies."""
    return float(np.median(estimates.typical[estimates.printed]))


def error_rules(estimates: Estimates, prior: Prior, tau: float, n_nodes: int) -> dict[int, Rule]:
    """Return, by index of the group, a rule for each standard error that is known by its stars alone."""
    precision = 1 / (estimates.typical**2 + tau**2)
    prior_precision = prior.params["sd"] ** -2 if prior.dist == "normal" else 0.0
    rules = {}
    for index, error in enumerate(estimates.errors):
        if isinstance(error, ImpliedError):
            others = precision.sum() - precision[index] + prior_precision
            scale = math.sqrt(tau**2 + 1 / others) if others > 0 else error.typical
            rules[index] = implied_rule(error, scale, n_nodes)
    return rules


def standard_errors(estimates: Estimates, prior: Prior, tau: float, n_nodes: int) -> tuple[Array, Array]:
    """Return every combination of standard errors: s^2 of shape (C, R), and log weights of shape (C,).

    Parameters
    ----------
    estimates, prior
        Data and the prior of beta.
    tau
        Between-group scale; the nodes follow it, their density does not depend on it.
    n_nodes
        Nodes per standard error that is known by its stars.
    """
    rules = error_rules(estimates, prior, tau, n_nodes)
    sizes = [len(rule.nodes) for rule in rules.values()]
    s = np.tile(estimates.typical, (math.prod(sizes), 1))
    log_weights = np.zeros(len(s))
    places = np.unravel_index(np.arange(len(s)), sizes) if sizes else ()
    for place, (index, rule) in zip(places, rules.items(), strict=True):
        s[:, index] = rule.nodes[place]
        log_weights += rule.log_weights[place]
    return s**2, log_weights


def given(estimates: Estimates, prior: Prior, tau: float, s2: Array) -> tuple[Array, Array, Array]:
    """Integrate the slopes out given tau and s: log p(b | tau, s), and mean and variance of beta.

    Parameters
    ----------
    estimates, prior
        Data and the prior of beta.
    tau
        Between-group scale.
    s2
        Squared standard errors, shape (C, R).

    Returns
    -------
    tuple of arrays, each of shape (C,)
    """
    printed = estimates.printed
    b = estimates.values[printed]
    total = s2[:, printed] + tau**2
    normal = prior.dist == "normal"
    centre = prior.params["mean"] if normal else float(b.mean())
    prior_precision = prior.params["sd"] ** -2 if normal else 0.0
    precision = (1 / total).sum(axis=-1) + prior_precision
    mean = centre + ((b - centre) / total).sum(axis=-1) / precision
    # Squares about the posterior mean: the textbook difference of two sums of squares cancels when one s is tiny.
    squares = ((b - mean[:, None]) ** 2 / total).sum(axis=-1) + prior_precision * (mean - centre) ** 2
    log_p = -(np.log(2 * math.pi * total).sum(axis=-1) + squares + np.log(precision)) / 2
    log_p += math.log(prior_precision) / 2 if normal else math.log(2 * math.pi) / 2
    return log_p, mean, 1 / precision
