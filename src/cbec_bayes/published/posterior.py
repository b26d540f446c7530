"""The joint posterior of the summary-level model and everything that is read off it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.published.conditional import Problem
from cbec_bayes.published.estimates import Estimates
from cbec_bayes.published.mixture import Mixture, Mixtures
from cbec_bayes.published.pooled import GroupNumbers
from cbec_bayes.published.scale_curve import ScaleCurve
from cbec_bayes.published.summary_model import SummaryModel
from cbec_bayes.runtime.labels import CI_PROB

Array = NDArray[np.float64]

_MOST_NUMBERS = 1_000_000
"""Numbers of nodes and groups that are laid out at a time."""


@dataclass(frozen=True, slots=True)
class Loads:
    """Given a node, slopes are A + B gamma + N(0, v): arrays of shapes (J, g), (J, g, k) and (J, g) for g groups."""

    a: Array
    b: Array
    v: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryPosterior:
    """The joint posterior of the slopes of R groups as a set of J nodes (tau, s).

    Attributes
    ----------
    problem
        Data that it was computed from.
    model
        Model with priors in plain numbers.
    weights
        Posterior weight of each node, shape (J,).
    tau
        Between-group scale, shape (J,).
    coefficients, covariance
        Mean and covariance of the coefficients given the node, shapes (J, k) and (J, k, k): the common slope, and what
        moderators have.
    variances
        Variances of the errors of the n estimates that are there, in the directions of the problem, shape (J, n).
    curve
        The distribution of tau; None for a fixed one.
    log_evidence
        Log marginal likelihood of the estimates (up to the constant of a flat prior).
    error
        Largest change, in posterior standard deviations or probability, when the rules were last refined.
    level
        Step of the quadrature rule of tau, and nodes per standard error that is known by its stars.
    moment_order
        Moments of the common slope and of a new group's slope exist below this order.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> printed = cb.heterogeneity(cb.load_paper())
    >>> estimates = cb.under_reading(printed, "coherent")
    >>> posterior = cb.fit_summary(estimates, cb.load_summary_model("published_half_normal"), unit=1.24)
    >>> round(cb.summarise(posterior).tau.mean, 2)
    0.31
    """

    problem: Problem
    model: SummaryModel
    weights: Array
    tau: Array
    coefficients: Array
    covariance: Array
    variances: Array
    curve: ScaleCurve | None
    log_evidence: float
    error: float
    level: tuple[float, int]
    moment_order: float

    @property
    def estimates(self) -> Estimates:
        """Data that it was computed from."""
        return self.problem.estimates

    @property
    def labels(self) -> tuple[str, ...]:
        """The R groups; the ones without an estimate are predicted."""
        return self.estimates.labels

    @property
    def n_nodes(self) -> int:
        """How many nodes of the quadrature have weight."""
        return len(self.weights)

    def _loads(self, groups: NDArray[np.intp]) -> Loads:
        """Return what the slopes of some groups are given a node."""
        t2 = self.tau[:, None] ** 2
        there = self.estimates.printed
        columns = self.problem.columns[groups]
        shape = (len(t2), len(groups))
        a, v = np.zeros(shape), np.broadcast_to(t2, shape).copy()
        b = np.broadcast_to(columns, (*shape, columns.shape[1])).copy()
        printed = there[groups]
        places = (np.cumsum(there) - 1)[groups[printed]]
        q = self.problem.directions
        if q is None:
            s2, values = self.variances[:, places], self.problem.b[places]
            total = s2 + t2
            a[:, printed] = t2 / total * values
            b[:, printed] *= (s2 / total)[:, :, None]
            v[:, printed] = np.minimum(s2, t2) * (np.maximum(s2, t2) / total)
            return Loads(a, b, v)
        of_estimates, of_errors = self._shares()
        a[:, printed] = (of_estimates * self.problem.b) @ q[places].T
        b[:, printed] = np.einsum("jn,nk,gn->jgk", of_errors, self.problem.x, q[places], optimize=True)
        v[:, printed] = self._noise() @ (q[places] ** 2).T
        return Loads(a, b, v)

    def _shares(self) -> tuple[Array, Array]:
        """Return tau^2 and L over their sum, each of shape (J, n)."""
        t2 = self.tau[:, None] ** 2
        total = self.variances + t2
        return t2 / total, self.variances / total

    def _noise(self) -> Array:
        """Return the variances of slopes given coefficients and estimates, in the directions, shape (J, n)."""
        t2 = self.tau[:, None] ** 2
        return np.minimum(self.variances, t2) * (np.maximum(self.variances, t2) / (self.variances + t2))

    def _mixtures(self, loads: Loads) -> Mixtures:
        if loads.b.shape[2] == 1:
            b = loads.b[:, :, 0]
            means = loads.a + b * self.coefficients
            return Mixtures(self.weights, means, loads.v + b**2 * self.covariance[:, 0])
        means = loads.a + np.einsum("jgk,jk->jg", loads.b, self.coefficients)
        variances = loads.v + np.einsum("jgk,jkl,jgl->jg", loads.b, self.covariance, loads.b, optimize=True)
        return Mixtures(self.weights, means, variances)

    def _blocks(self) -> Iterator[NDArray[np.intp]]:
        """Yield groups, as many at a time as can be laid out."""
        size = max(1, _MOST_NUMBERS // self.n_nodes)
        for first in range(0, len(self.labels), size):
            yield np.arange(first, min(first + size, len(self.labels)))

    def common(self) -> Mixture:
        """Posterior of the common slope beta, the mean of the population of groups."""
        return self.coefficient(0)

    def coefficient(self, index: int) -> Mixture:
        """Posterior of a coefficient: the common slope first, then those of the moderators in their units."""
        return Mixture(self.weights, self.coefficients[:, index], self.covariance[:, index, index])

    def group(self, index: int | None) -> Mixture:
        """Posterior of a group's slope; `None` for a group not yet seen, which is an average one."""
        if index is None:
            common = self.common()
            return Mixture(self.weights, common.means, self.tau**2 + common.variances)
        return self._mixtures(self._loads(np.array([index]))).of(0)

    def moments(self) -> tuple[Array, Array, Array]:
        """Return means, standard deviations and probabilities of positive values of all groups, each of shape (R,)."""
        parts = [self._mixtures(self._loads(block)) for block in self._blocks()]
        return (
            np.concatenate([part.mean for part in parts]),
            np.concatenate([part.sd for part in parts]),
            np.concatenate([part.p_positive for part in parts]),
        )

    def groups(self) -> GroupNumbers:
        """Return the numbers of all groups at once."""
        low, high = (1 - CI_PROB) / 2, (1 + CI_PROB) / 2
        parts = [self._mixtures(self._loads(block)) for block in self._blocks()]
        mean, sd, p_positive = self.moments()
        return GroupNumbers(
            mean=mean,
            sd=sd,
            ci_low=np.concatenate([part.quantile(low) for part in parts]),
            ci_high=np.concatenate([part.quantile(high) for part in parts]),
            p_positive=p_positive,
        )

    def contrast(self, first: int, second: int) -> Mixture:
        """Posterior of the difference between two groups' slopes."""
        one, other = self._loads(np.array([first])), self._loads(np.array([second]))
        v = one.v + other.v
        printed, q = self.estimates.printed, self.problem.directions
        if q is not None and printed[first] and printed[second]:  # what is left of their errors hangs together
            places = np.cumsum(printed) - 1
            v = (self._noise() @ (q[places[first]] - q[places[second]]) ** 2)[:, None]
        return self._mixtures(Loads(one.a - other.a, one.b - other.b, v)).of(0)

    def pooling_factors(self) -> Array:
        """Posterior means of s^2 / (s^2 + tau^2): 0 no pooling, 1 complete pooling (Gelman and Pardoe, 2006).

        With a covariance V of the errors they are the diagonal of V (V + tau^2)^-1: how much of a group's slope its own
        estimate does not tell. NaN for a group without an estimate.
        """
        found = np.full(len(self.labels), math.nan)
        factors = self.weights @ self._shares()[1]
        q = self.problem.directions
        found[self.estimates.printed] = factors if q is None else q**2 @ factors
        return found

    def pooling_factor_overall(self) -> float:
        """Gelman and Pardoe's lambda: 1 - variance between groups of E(beta_r - x_r gamma) / E(variance of the same).

        NaN with fewer than two printed groups.
        """
        printed = np.flatnonzero(self.estimates.printed)
        if len(printed) < 2:
            return math.nan
        loads = self._loads(printed)
        slopes = loads.b - self.problem.columns[printed]
        means = loads.a + np.einsum("jgk,jk->jg", slopes, self.coefficients)  # E(beta_r - x_r gamma | node)
        about = slopes - slopes.mean(axis=1, keepdims=True)
        of_coefficients = np.einsum("jgk,jkl,jgl->j", about, self.covariance, about, optimize=True)
        within = means.var(axis=1, ddof=1) + of_coefficients / (len(printed) - 1) + self._mean_noise(loads.v)
        expected = float(self.weights @ within)
        if expected == 0:
            return 1.0
        return 1 - float((self.weights @ means).var(ddof=1)) / expected

    def _mean_noise(self, v: Array) -> Array:
        """Return the expected variance between groups of what is left of their errors, shape (J,)."""
        q, n = self.problem.directions, v.shape[1]
        if q is None:
            return np.asarray(v.mean(axis=1))
        return np.asarray((v.sum(axis=1) - self._noise() @ q.sum(axis=0) ** 2 / n) / (n - 1))

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
        """Posterior probability that tau is at most `upper`."""
        return float(self.model.between.params["value"] <= upper) if self.curve is None else self.curve.cdf(upper)

    def tau_quantile(self, probability: float) -> float:
        """Return a posterior quantile of the between-group scale."""
        return self.model.between.params["value"] if self.curve is None else self.curve.quantile(probability)
