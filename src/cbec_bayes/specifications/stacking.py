"""Weights of members: by what they predict of units left out (stacking), and by their evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, special

from cbec_bayes.panel.within import Array

REPLICATIONS = 200
"""Bootstrap samples of units from which the standard errors of weights come."""

_NOTHING, _FLOOR = 1e-6, 1e-300


@dataclass(frozen=True, slots=True, kw_only=True)
class Stacked:
    """Stacking weights of K members, and how their predictions differ.

    Attributes
    ----------
    weight, weight_se
        Adding up to one, and their standard errors over units, shape (K,).
    elpd, elpd_se
        Sum over units of the log densities of each member, and its standard error over units, shape (K,).
    difference, difference_se
        The same of the difference to the member with the largest sum; zero of that one.
    n_units
        Units that every member predicts: sums are over these.
    """

    weight: Array
    weight_se: Array
    elpd: Array
    elpd_se: Array
    difference: Array
    difference_se: Array
    n_units: int


def stacked(density: Array, *, seed: int, replications: int = REPLICATIONS) -> Stacked:
    """Weigh members by what they predict.

    Parameters
    ----------
    density
        Log densities of N units given the others under K members, shape (N, K). Units that a member does not predict,
        which have NaN, are left out under all.
    seed
        Seed of the bootstrap.
    replications
        Number of draws of the bootstrap.

    Notes
    -----
    The sums and their differences have the standard errors of sums over units that are exchangeable (Vehtari, Gelman
    and Gabry 2017). Weights are a non-linear function of few units: their standard errors come from a Bayesian
    bootstrap, which gives each unit a random share.
    """
    there = density[~np.isnan(density).any(axis=1)]
    n, k = there.shape
    if k == 0:
        none = np.zeros(0)
        parts = ("weight", "weight_se", "elpd", "elpd_se", "difference", "difference_se")
        return Stacked(**dict.fromkeys(parts, none), n_units=n)
    weight = stacking_weights(there)
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(n), size=replications) * n if n else np.zeros((0, n))
    again = np.array([stacking_weights(there, share, weight) for share in shares]).reshape(-1, k)
    best = int(there.sum(axis=0).argmax())
    apart = there - there[:, [best]]
    root = np.sqrt(n)

    def error(columns: Array) -> Array:
        return np.asarray(root * columns.std(axis=0, ddof=1)) if n > 1 else np.full(k, np.nan)

    return Stacked(
        weight=weight,
        weight_se=again.std(axis=0) if len(again) else np.full(k, np.nan),
        elpd=there.sum(axis=0),
        elpd_se=error(there),
        difference=apart.sum(axis=0),
        difference_se=error(apart),
        n_units=n,
    )


def stacking_weights(density: Array, share: Array | None = None, start: Array | None = None) -> Array:
    """Return the weights that maximise the sum over units of the log of the mixture's density.

    Parameters
    ----------
    density
        Log densities, shape (N, K), none missing.
    share
        How often each unit counts, shape (N,); default once.
    start
        Weights where the search begins, shape (K,).

    Returns
    -------
    ndarray
        Shape (K,), adding up to one (Yao, Vehtari, Simpson and Gelman 2018).

    Notes
    -----
    The sum is concave in the weights. Where they maximise it, each member's gradient, the mean over units of its share
    of the mixture's density, is at most one.
    """
    n, k = density.shape
    if k == 1 or n == 0:
        return np.full(k, 1 / k)
    relative = np.exp(density - density.max(axis=1, keepdims=True))
    counts = np.ones(n) if share is None else share
    counts = counts / counts.sum()

    def loss(weight: Array) -> tuple[float, Array]:
        mixed = np.maximum(relative @ weight, _FLOOR)
        return -float(counts @ np.log(mixed)), -np.asarray(relative.T @ (counts / mixed))

    even = np.full(k, 1 / k)
    begin = even if start is None else 0.9 * start + 0.1 * even
    search: Any = optimize.minimize  # whose types know of no gradient beside a value
    found = search(
        loss,
        begin,
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * k,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(k)},
        options={"ftol": 1e-13, "maxiter": 500},
    )
    weight = np.clip(found.x, 0.0, None)
    weight /= weight.sum()
    for _ in range(200):  # each step multiplies by the gradient, and raises the sum (expectation and maximisation)
        slope = -loss(weight)[1]
        if slope.max() < 1 + _NOTHING:
            break
        weight = weight * slope
    weight[weight < _NOTHING] = 0.0
    return np.asarray(weight / weight.sum())


@dataclass(frozen=True, slots=True)
class Probabilities:
    """Posterior probabilities of members that had equal ones before, and their Monte Carlo errors, shape (K,)."""

    value: Array
    mcse: Array


def probabilities(log_evidence: Array, mcse: Array, flat: Sequence[tuple[str, ...]]) -> Probabilities:
    """Return the probabilities of members from their evidence.

    Parameters
    ----------
    log_evidence, mcse
        Log evidence and its Monte Carlo error of K members, NaN where unknown, shape (K,).
    flat
        Names of the flat coefficients of each. Members are compared where these are those of most members; the others
        have NaN, because constants of flat priors, which do not exist, would be part of the comparison.
    """
    value, error = np.full((2, len(log_evidence)), np.nan)
    known = ~np.isnan(log_evidence)
    if not known.any():
        return Probabilities(value, error)
    kinds = [one for one, there in zip(flat, known, strict=True) if there]
    most = max(dict.fromkeys(kinds), key=kinds.count)
    at = np.flatnonzero(known & np.array([one == most for one in flat]))
    share = special.softmax(log_evidence[at])
    value[at] = share
    variance = mcse[at] ** 2
    # d log p_k / d log Z_j is 1 - p_k for j = k, and -p_j for the others.
    error[at] = share * np.sqrt(np.maximum((1 - 2 * share) * variance + float(share**2 @ variance), 0.0))
    return Probabilities(value, error)
