"""The summary-level model given the between-group scale and the standard errors: all slopes are jointly normal."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.published.estimates import Estimates, ImpliedError
from cbec_bayes.published.quadrature import Rule, implied_rule, n_of_band

Array = NDArray[np.float64]

_BLOCK = 20_000
_MOST_NUMBERS = 500_000
"""Nodes at a time, and their variances at a time, whose arrays a processor's cache can hold."""

_MOST_SQUARES = 1e300
"""Sum of squares from which on all nodes are alike: none has a weight beside one with less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Estimates b = X gamma + u + e, u ~ N(0, tau^2), in directions in which the errors e are independent.

    The first column of X is of ones and its coefficient is the common slope beta; the others are moderators, whose
    coefficients have flat priors. A covariance V = Q L Q' of the errors serves every tau with one decomposition: the
    errors of Q'b are independent with variances L, and so is Q'u.

    Attributes
    ----------
    estimates, prior
        Data of R groups, and the prior of beta.
    columns
        X of all groups, shape (R, k).
    b, x
        The n estimates and their rows of X, in these directions, shapes (n,) and (n, k).
    directions
        Q, shape (n, n); None for the n estimates themselves.
    variances
        Variances of the errors in these directions, shape (n,); NaN where a standard error is known by its stars alone.
    """

    estimates: Estimates
    prior: Prior
    columns: Array
    b: Array
    x: Array
    directions: Array | None
    variances: Array

    @property
    def n_flat(self) -> int:
        """How many coefficients have a flat prior."""
        return int(self.columns.shape[1]) - (1 if self.prior.dist == "normal" else 0)

    @property
    def start(self) -> Array:
        """Coefficients that computations are relative to: those of equal slopes at the prior's mean, shape (k,)."""
        found = np.zeros(self.columns.shape[1])
        values = self.estimates.values
        found[0] = self.prior.params["mean"] if self.prior.dist == "normal" else values[self.estimates.printed].mean()
        return found


def problem_of(estimates: Estimates, prior: Prior) -> Problem:
    """Return the problem of estimates under a prior of the common slope."""
    printed, terms = estimates.printed, estimates.terms
    columns = np.ones((len(estimates.labels), 1))
    if terms is not None:
        columns = np.hstack([columns, terms.moderators])
    b, x = estimates.values[printed], columns[printed]
    implied = np.array([isinstance(error, ImpliedError) for error in estimates.errors])[printed]
    variances = np.where(implied, math.nan, estimates.typical[printed] ** 2)
    directions = None
    if terms is not None and terms.covariance is not None:
        variances, directions = np.linalg.eigh(terms.covariance)
        b, x = directions.T @ b, directions.T @ x
    return Problem(
        estimates=estimates, prior=prior, columns=columns, b=b, x=x, directions=directions, variances=variances
    )


def implied_errors(estimates: Estimates) -> list[ImpliedError]:
    """Return the standard errors that are known by their stars alone."""
    return [error for error in estimates.errors if isinstance(error, ImpliedError)]


def typical_error(estimates: Estimates) -> float:
    """Return the median standard error: the scale on which the posterior of tau varies."""
    return float(np.median(estimates.typical[estimates.printed]))


def error_rules(problem: Problem, tau: Array, n_nodes: int) -> dict[int, Rule]:
    """Return a rule for each standard error that is known by its stars alone, by its place among the estimates.

    There is one per value of `tau` (T,): nodes and log weights are of shape (T, n).
    """
    estimates, prior = problem.estimates, problem.prior
    typical = estimates.typical[estimates.printed]
    precision = 1 / (typical**2 + tau[:, None] ** 2)
    prior_precision = prior.params["sd"] ** -2 if prior.dist == "normal" else 0.0
    rules = {}
    for place, index in enumerate(np.flatnonzero(estimates.printed)):
        error = estimates.errors[index]
        if isinstance(error, ImpliedError):
            others = precision.sum(axis=1) - precision[:, place] + prior_precision
            scale = np.full_like(tau, error.typical)
            held = others > 0
            scale[held] = np.sqrt(tau[held] ** 2 + 1 / others[held])
            rules[place] = implied_rule(error, scale, n_nodes)
    return rules


def error_variances(problem: Problem, tau: Array, n_nodes: int) -> tuple[Array, Array]:
    """Return every combination of standard errors: s^2 of shape (T, C, n), and log weights of shape (T, C).

    Parameters
    ----------
    problem
        Estimates and the prior of beta.
    tau
        Between-group scale, shape (T,); the nodes follow it, their density does not depend on it.
    n_nodes
        Nodes per standard error that is known by its stars.
    """
    rules = error_rules(problem, tau, n_nodes)
    if not rules:
        return np.broadcast_to(problem.variances, (len(tau), 1, len(problem.variances))), np.zeros((len(tau), 1))
    sizes = [rule.nodes.shape[1] for rule in rules.values()]
    s2 = np.tile(problem.variances, (len(tau), math.prod(sizes), 1))
    log_weights = np.zeros(s2.shape[:2])
    places = np.unravel_index(np.arange(s2.shape[1]), sizes)
    for place, (index, rule) in zip(places, rules.items(), strict=True):
        s2[:, :, index] = rule.nodes[:, place] ** 2
        log_weights += rule.log_weights[:, place]
    return s2, log_weights


def n_combinations(estimates: Estimates, n_nodes: int) -> int:
    """Return C of `error_variances`, at every value of tau."""
    return math.prod(n_of_band(error, n_nodes) for error in implied_errors(estimates))


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodes:
    """J nodes (tau, s), with the slopes integrated out given each.

    Attributes
    ----------
    of
        Which of the values of tau that were asked for, shape (J,).
    variances
        Variances of the errors, shape (J, n).
    log_p
        Log density of the estimates, times the weight of s, shape (J,).
    mean, covariance
        Mean and covariance of the coefficients, shapes (J, k) and (J, k, k).
    """

    of: NDArray[np.intp]
    variances: Array
    log_p: Array
    mean: Array
    covariance: Array


def nodes_at(problem: Problem, tau: Array, n_nodes: int) -> Iterator[Nodes]:
    """Yield the nodes at values of tau (T,), a few thousand at a time; see `error_variances` and `conditional`."""
    n_each = n_combinations(problem.estimates, n_nodes)
    size = max(1, min(_BLOCK, _MOST_NUMBERS // len(problem.b)) // n_each)
    for first in range(0, len(tau), size):
        part = tau[first : first + size]
        s2, log_s = error_variances(problem, part, n_nodes)
        of = np.repeat(np.arange(len(part)), n_each)
        # Without a combination to choose the variances stay one row that is only looked at.
        s2 = s2[:, 0] if n_each == 1 else s2.reshape(len(of), -1)
        log_p, mean, covariance = conditional(problem, part[of], s2)
        yield Nodes(of=first + of, variances=s2, log_p=log_p + log_s.ravel(), mean=mean, covariance=covariance)


def log_marginal(problem: Problem, tau: Array, n_nodes: int) -> Array:
    """Return the log density of the estimates at values of tau, standard errors integrated out, shape (T,)."""
    n_each = n_combinations(problem.estimates, n_nodes)
    parts = [special.logsumexp(nodes.log_p.reshape(-1, n_each), axis=1) for nodes in nodes_at(problem, tau, n_nodes)]
    return np.concatenate(parts)


def conditional(problem: Problem, tau: float | Array, s2: Array) -> tuple[Array, Array, Array]:
    """Integrate the slopes out given tau and s: log p(b | tau, s), and mean and covariance of the coefficients.

    Parameters
    ----------
    problem
        Estimates and the prior of beta.
    tau
        Between-group scale, one or shape (C,).
    s2
        Variances of the errors, shape (C, n).

    Returns
    -------
    log_p, mean, covariance
        Arrays of shapes (C,), (C, k) and (C, k, k).
    """
    x, k = problem.x, problem.x.shape[1]
    prior_precision = problem.prior.params["sd"] ** -2 if problem.prior.dist == "normal" else 0.0
    total = s2 + np.square(tau)[..., None]
    left = problem.b - x @ problem.start
    inverse = 1 / total
    precision = (inverse @ (x[:, :, None] * x[:, None, :]).reshape(len(x), -1)).reshape(-1, k, k)
    precision[:, 0, 0] += prior_precision
    covariance, log_precision = _inverse(precision)
    shift = np.einsum("ckl,cl->ck", covariance, inverse @ (left[:, None] * x))
    # Squares about the posterior mean: the textbook difference of two sums of squares cancels when one s is tiny.
    with np.errstate(over="ignore"):
        squares = ((left - shift @ x.T) ** 2 / total).sum(axis=-1) + prior_precision * shift[:, 0] ** 2
    squares = np.minimum(squares, _MOST_SQUARES)
    log_p = -(np.log(2 * math.pi * total).sum(axis=-1) + squares + log_precision) / 2
    log_p += problem.n_flat * math.log(2 * math.pi) / 2 + (math.log(prior_precision) / 2 if prior_precision else 0.0)
    return log_p, problem.start + shift, covariance


def _inverse(precision: Array) -> tuple[Array, Array]:
    """Return the inverses of C matrices of order k, and the logs of their determinants."""
    if precision.shape[1] == 1:
        return 1 / precision, np.log(precision[:, 0, 0])
    scale = 1 / np.sqrt(np.diagonal(precision, axis1=1, axis2=2))  # moderators have units of their own
    scaled = precision * scale[:, :, None] * scale[:, None, :]
    log_determinant = np.linalg.slogdet(scaled)[1] - 2 * np.log(scale).sum(axis=1)
    return np.linalg.inv(scaled) * scale[:, :, None] * scale[:, None, :], log_determinant
