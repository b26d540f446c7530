"""The joint posterior of the summary-level model and everything that is read off it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from cbec_bayes.published.conditional import nodes_at, typical_error
from cbec_bayes.published.estimates import Estimates
from cbec_bayes.published.mixture import Mixture
from cbec_bayes.published.pooled import GroupNumbers, one_by_one
from cbec_bayes.published.quadrature import finite, log_density
from cbec_bayes.published.summary_model import SummaryModel

Array = NDArray[np.float64]

_LEAST = math.ulp(0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryPosterior:
    """The joint posterior of the slopes of R groups as a set of J nodes (tau, s).

    Attributes
    ----------
    labels
        The R groups; the ones without an estimate are predicted.
    estimates
        Data that it was computed from.
    model
        Model with priors in plain numbers.
    weights
        Posterior weight of each node, shape (J,).
    tau
        Between-group scale, shape (J,).
    slope_mean, slope_var
        Mean and variance of the common slope given the node, shape (J,).
    variances
        Squared standard errors s^2, shape (J, R); infinite for a group without an estimate.
    log_evidence
        Log marginal likelihood of the estimates (up to the constant of a flat prior).
    error
        Largest change, in posterior standard deviations or probability, when the rules were last refined.
    level
        Step of the quadrature rule of tau, and nodes per standard error that is known by its stars.
    moment_order
        Moments of the common slope and of a new group's slope exist below this order.
    """

    labels: tuple[str, ...]
    estimates: Estimates
    model: SummaryModel
    weights: Array
    tau: Array
    slope_mean: Array
    slope_var: Array
    variances: Array
    log_evidence: float
    error: float
    level: tuple[float, int]
    moment_order: float

    @property
    def n_nodes(self) -> int:
        """How many nodes of the quadrature have weight."""
        return len(self.weights)

    def _loads(self, index: int | None) -> tuple[Array, Array, Array]:
        """Given a node, beta_r = A + B beta + N(0, v): return A, B, v; `None` is a group not seen."""
        t2 = self.tau**2
        if index is None or not self.estimates.printed[index]:
            return np.zeros_like(t2), np.ones_like(t2), t2
        s2 = self.variances[:, index]
        total = s2 + t2
        return t2 / total * self.estimates.values[index], s2 / total, np.minimum(s2, t2) * (np.maximum(s2, t2) / total)

    def common(self) -> Mixture:
        """Posterior of the common slope beta, the mean of the population of groups."""
        return Mixture(self.weights, self.slope_mean, self.slope_var)

    def group(self, index: int | None) -> Mixture:
        """Posterior of a group's slope; `None` for a group not yet seen."""
        a, b, v = self._loads(index)
        return Mixture(self.weights, a + b * self.slope_mean, v + b**2 * self.slope_var)

    def contrast(self, first: int, second: int) -> Mixture:
        """Posterior of the difference between two groups' slopes."""
        a, b, v = self._loads(first)
        c, d, u = self._loads(second)
        return Mixture(self.weights, a - c + (b - d) * self.slope_mean, v + u + (b - d) ** 2 * self.slope_var)

    def groups(self) -> GroupNumbers:
        """Return the numbers of all groups at once."""
        return one_by_one(self)

    def pooling_factors(self) -> Array:
        """Posterior means of s^2 / (s^2 + tau^2): 0 no pooling, 1 complete pooling (Gelman and Pardoe, 2006).

        NaN for a group without an estimate.
        """
        factors = [self.weights @ self._loads(index)[1] for index in range(len(self.labels))]
        return np.where(self.estimates.printed, factors, math.nan)

    def pooling_factor_overall(self) -> float:
        """Gelman and Pardoe's lambda: 1 - variance between groups of E(beta_r - beta) / E(variance of beta_r - beta).

        NaN with fewer than two printed groups.
        """
        printed = np.flatnonzero(self.estimates.printed)
        if len(printed) < 2:
            return math.nan
        loads = [self._loads(int(index)) for index in printed]
        means = np.array([a + (b - 1) * self.slope_mean for a, b, _ in loads])  # (R', J), E(beta_r - beta | node)
        slopes = np.array([b - 1 for _, b, _ in loads])
        noise = np.array([v for *_, v in loads])
        within = means.var(axis=0, ddof=1) + slopes.var(axis=0, ddof=1) * self.slope_var + noise.mean(axis=0)
        expected = float(self.weights @ within)
        if expected == 0:
            return 1.0
        return 1 - float((means @ self.weights).var(ddof=1)) / expected

    def tau_mean(self) -> float:
        """Posterior mean of the between-group scale; NaN where it does not exist."""
        return float(self.weights @ self.tau) if self.moment_order > 1 else math.nan

    def tau_sd(self) -> float:
        """Posterior standard deviation of the between-group scale; NaN where it does not exist."""
        if self.moment_order <= 2:
            return math.nan
        mean = self.tau_mean()
        return mean * math.sqrt(max(float(self.weights @ (self.tau / mean) ** 2) - 1, 0)) if mean > 0 else 0.0

    def tau_cdf(self, upper: float) -> float:
        """Posterior probability that tau is at most `upper`, by a quadrature rule of its own over (0, upper)."""
        if self.model.between.dist == "fixed":
            return float(self.model.between.params["value"] <= upper)
        if self.model.between.dist == "uniform":
            upper = min(upper, self.model.between.params["upper"])
        if upper <= 0:
            return 0.0
        rule = finite(upper, typical_error(self.estimates), self.level[0])
        log_prior = rule.log_weights + log_density(self.model.between, rule.nodes)
        blocks = nodes_at(self.estimates, self.model.slope, rule.nodes, self.level[1])
        total = special.logsumexp([special.logsumexp(nodes.log_p + log_prior[nodes.of]) for nodes in blocks])
        return min(float(np.exp(total - self.log_evidence)), 1.0)

    def tau_quantile(self, probability: float) -> float:
        """Return a posterior quantile of the between-group scale."""
        if self.model.between.dist == "fixed":
            return self.model.between.params["value"]
        order = np.argsort(self.tau)
        cumulative = np.cumsum(self.weights[order])
        guess = float(self.tau[order][min(int(np.searchsorted(cumulative, probability)), len(order) - 1)])
        low, high = guess / 2, guess * 2
        while self.tau_cdf(low) > probability:
            low /= 2
        while self.tau_cdf(high) < probability:
            high *= 2
        return float(
            optimize.brentq(lambda t: self.tau_cdf(t) - probability, low, high, xtol=max(1e-10 * guess, _LEAST))
        )
