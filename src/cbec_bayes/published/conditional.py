"""The summary-level model given the between-group scale and the standard errors: all slopes are jointly normal."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.published.estimates import Estimates, ImpliedError, KnownError
from cbec_bayes.published.quadrature import Rule, implied_rule
from cbec_bayes.spec import Prior

Array = NDArray[np.float64]


def implied_errors(estimates: Estimates) -> list[ImpliedError]:
    """Return the standard errors that are known by their stars alone."""
    return [error for error in estimates.errors if isinstance(error, ImpliedError)]


def typical_error(estimates: Estimates) -> float:
    """Return the median standard error: the scale on which the posterior of tau varies."""
    known = [
        error.se if isinstance(error, KnownError) else error.typical for error in estimates.errors if error is not None
    ]
    return float(np.median(known))


def error_rules(estimates: Estimates, step: float) -> list[Rule]:
    """One rule per group; a known standard error is one node, a missing one a node at infinity."""
    rules = []
    for error in estimates.errors:
        if isinstance(error, ImpliedError):
            rules.append(implied_rule(error, step))
        else:
            se = math.inf if error is None else error.se
            rules.append(Rule(np.array([se]), np.zeros(1)))
    return rules


def standard_errors(estimates: Estimates, step: float) -> tuple[Array, Array]:
    """Return every combination of standard errors: s^2 of shape (C, R), and log weights of shape (C,)."""
    rules = error_rules(estimates, step)
    grids = np.meshgrid(*(rule.nodes for rule in rules), indexing="ij")
    weights = np.meshgrid(*(rule.log_weights for rule in rules), indexing="ij")
    s = np.stack([grid.ravel() for grid in grids], axis=-1)
    return s**2, np.sum([weight.ravel() for weight in weights], axis=0)


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
    centre = float(b.mean()) if prior.dist == "flat" else prior.params["mean"]
    total = s2[:, printed] + tau**2
    precision = (1 / total).sum(axis=-1)
    score = ((b - centre) / total).sum(axis=-1)
    log_p = -np.log(2 * math.pi * total).sum(axis=-1) / 2 - ((b - centre) ** 2 / total).sum(axis=-1) / 2
    if prior.dist == "flat":
        log_p = log_p + math.log(2 * math.pi) / 2
    else:
        precision = precision + prior.params["sd"] ** -2
        log_p = log_p - math.log(prior.params["sd"])
    return log_p - np.log(precision) / 2 + score**2 / precision / 2, centre + score / precision, 1 / precision
