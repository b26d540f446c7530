"""The summary-level model given the between-group scale and the standard errors: all slopes are jointly normal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.published.estimates import Estimates, ImpliedError
from cbec_bayes.published.quadrature import Rule, implied_rule, n_of_band

Array = NDArray[np.float64]

_BLOCK = 20_000
"""Nodes at a time, whose arrays a processor's cache can hold."""

_MOST_SQUARES = 1e300
"""Sum of squares from which on all nodes are alike: none has a weight beside one with less."""


def implied_errors(estimates: Estimates) -> list[ImpliedError]:
    """Return the standard errors that are known by their stars alone."""
    return [error for error in estimates.errors if isinstance(error, ImpliedError)]


def typical_error(estimates: Estimates) -> float:
    """Return the median standard error: the scale on which the posterior of tau varies."""
    return float(np.median(estimates.typical[estimates.printed]))


def error_rules(estimates: Estimates, prior: Prior, tau: Array, n_nodes: int) -> dict[int, Rule]:
    """Return, by index of the group, a rule for each standard error that is known by its stars alone.

    There is one per value of `tau` (T,): nodes and log weights are of shape (T, n).
    """
    precision = 1 / (estimates.typical**2 + tau[:, None] ** 2)
    prior_precision = prior.params["sd"] ** -2 if prior.dist == "normal" else 0.0
    rules = {}
    for index, error in enumerate(estimates.errors):
        if isinstance(error, ImpliedError):
            others = precision.sum(axis=1) - precision[:, index] + prior_precision
            scale = np.full_like(tau, error.typical)
            held = others > 0
            scale[held] = np.sqrt(tau[held] ** 2 + 1 / others[held])
            rules[index] = implied_rule(error, scale, n_nodes)
    return rules


def standard_errors(estimates: Estimates, prior: Prior, tau: Array, n_nodes: int) -> tuple[Array, Array]:
    """Return every combination of standard errors: s^2 of shape (T, C, R), and log weights of shape (T, C).

    Parameters
    ----------
    estimates, prior
        Data and the prior of beta.
    tau
        Between-group scale, shape (T,); the nodes follow it, their density does not depend on it.
    n_nodes
        Nodes per standard error that is known by its stars.
    """
    rules = error_rules(estimates, prior, tau, n_nodes)
    sizes = [rule.nodes.shape[1] for rule in rules.values()]
    s = np.tile(estimates.typical, (len(tau), math.prod(sizes), 1))
    log_weights = np.zeros(s.shape[:2])
    places = np.unravel_index(np.arange(s.shape[1]), sizes) if sizes else ()
    for place, (index, rule) in zip(places, rules.items(), strict=True):
        s[:, :, index] = rule.nodes[:, place]
        log_weights += rule.log_weights[:, place]
    return s**2, log_weights


def n_combinations(estimates: Estimates, n_nodes: int) -> int:
    """Return C of `standard_errors`, at every value of tau."""
    return math.prod(n_of_band(error, n_nodes) for error in implied_errors(estimates))


@dataclass(frozen=True, slots=True)
class Nodes:
    """J nodes (tau, s), with the slopes integrated out given each.

    Attributes
    ----------
    of
        Which of the values of tau that were asked for, shape (J,).
    variances
        s^2, shape (J, R).
    log_p
        Log density of the estimates, times the weight of s, shape (J,).
    mean, var
        Mean and variance of beta, shape (J,).
    """

    of: NDArray[np.intp]
    variances: Array
    log_p: Array
    mean: Array
    var: Array


def nodes_at(estimates: Estimates, prior: Prior, tau: Array, n_nodes: int) -> Iterator[Nodes]:
    """Yield the nodes at values of tau (T,), a few thousand at a time; see `standard_errors` and `given`."""
    n_each = n_combinations(estimates, n_nodes)
    size = max(1, _BLOCK // n_each)
    for first in range(0, len(tau), size):
        part = tau[first : first + size]
        s2, log_s = standard_errors(estimates, prior, part, n_nodes)
        of = np.repeat(np.arange(len(part)), n_each)
        s2 = s2.reshape(len(of), -1)
        log_p, mean, var = conditional(estimates, prior, part[of], s2)
        yield Nodes(first + of, s2, log_p + log_s.ravel(), mean, var)


def conditional(estimates: Estimates, prior: Prior, tau: float | Array, s2: Array) -> tuple[Array, Array, Array]:
    """Integrate the slopes out given tau and s: log p(b | tau, s), and mean and variance of beta.

    Parameters
    ----------
    estimates, prior
        Data and the prior of beta.
    tau
        Between-group scale, one or shape (C,).
    s2
        Squared standard errors, shape (C, R).

    Returns
    -------
    tuple of arrays, each of shape (C,)
    """
    printed = estimates.printed
    b = estimates.values[printed]
    total = s2[:, printed] + np.square(tau)[..., None]
    normal = prior.dist == "normal"
    centre = prior.params["mean"] if normal else float(b.mean())
    prior_precision = prior.params["sd"] ** -2 if normal else 0.0
    precision = (1 / total).sum(axis=-1) + prior_precision
    mean = centre + ((b - centre) / total).sum(axis=-1) / precision
    # Squares about the posterior mean: the textbook difference of two sums of squares cancels when one s is tiny.
    with np.errstate(over="ignore"):
        squares = ((b - mean[:, None]) ** 2 / total).sum(axis=-1) + prior_precision * (mean - centre) ** 2
    squares = np.minimum(squares, _MOST_SQUARES)
    log_p = -(np.log(2 * math.pi * total).sum(axis=-1) + squares + np.log(precision)) / 2
    log_p += math.log(prior_precision) / 2 if normal else math.log(2 * math.pi) / 2
    return log_p, mean, 1 / precision
