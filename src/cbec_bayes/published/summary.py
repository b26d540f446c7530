"""The hierarchical model of printed estimates, solved by quadrature: a finite mixture of normal distributions.

    b_r ~ N(beta_r, s_r^2)    beta_r ~ N(beta, tau^2)    beta, tau ~ priors            (MODEL.md section 5)

Given tau and the standard errors s every slope is normal with known mean and variance (Lindley and Smith, 1972), and
so is every contrast and the slope of a group not seen. Only tau is left, and any s known by its stars alone: they are
integrated by deterministic quadrature. The posterior is therefore a weighted set of *nodes* (tau, s), and every number
read off it (moments, quantiles, probabilities) is exact up to the quadrature error, which is measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from cbec_bayes.errors import GateError, InputError
from cbec_bayes.published.estimates import Estimates, ImpliedError, KnownError
from cbec_bayes.published.quadrature import Rule, finite, implied_rule, log_density, scale_rule, tail_index
from cbec_bayes.spec import CI_PROB, Prior, SummaryModel

Array = NDArray[np.float64]

TOLERANCE = 1e-6
_TARGET = 1e-7
_MAX_NODES = 25_000_000
_NEGLIGIBLE = math.log(1e-14)


@dataclass(frozen=True, slots=True)
class Mixture:
    """A finite mixture of normal distributions: `weights` (sum 1), `means` and `variances`, each of shape (J,)."""

    weights: Array
    means: Array
    variances: Array

    @property
    def mean(self) -> float:
        """Mean."""
        return float(self.weights @ self.means)

    @property
    def sd(self) -> float:
        """Standard deviation."""
        return math.sqrt(float(self.weights @ (self.variances + (self.means - self.mean) ** 2)))

    def cdf(self, x: float) -> float:
        """Probability of a value of at most `x`."""
        return float(self.weights @ special.ndtr((x - self.means) / np.sqrt(self.variances)))

    @property
    def p_positive(self) -> float:
        """Probability of a positive value."""
        return float(self.weights @ special.ndtr(self.means / np.sqrt(self.variances)))

    def pdf(self, x: Array) -> Array:
        """Return the density at the points `x` of shape (M,)."""
        scale = np.sqrt(self.variances)
        density = [
            float(self.weights @ (np.exp(-(((point - self.means) / scale) ** 2) / 2) / scale)) for point in np.ravel(x)
        ]
        return np.array(density) / math.sqrt(2 * math.pi)

    def quantile(self, probability: float) -> float:
        """Return the value below which lies a probability strictly between 0 and 1."""
        scale = np.sqrt(self.variances)
        z = float(special.ndtri(probability))
        ends = self.means + z * scale  # the mixture's quantile lies between its components' quantiles
        low, high = float(ends.min()), float(ends.max())
        if high - low <= 4e-15 * max(abs(low), abs(high)):
            return low
        # Far components of no weight make the bracket wide; start from the normal approximation and open up.
        centre, half = self.mean + z * self.sd, self.sd
        while half < high - low:
            a, b = max(low, centre - half), min(high, centre + half)
            if a < b and self.cdf(a) <= probability <= self.cdf(b):
                low, high = a, b
                break
            half *= 4
        tolerance = max(self.sd, abs(high)) * 1e-12
        return float(optimize.brentq(lambda x: self.cdf(x) - probability, low, high, xtol=tolerance, rtol=1e-12))

    def interval(self, prob: float = CI_PROB) -> tuple[float, float]:
        """Return the equal-tailed interval."""
        return self.quantile((1 - prob) / 2), self.quantile((1 + prob) / 2)


@dataclass(frozen=True, slots=True)
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
    steps
        Steps of the quadrature rules of tau and of the standard errors.
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
    steps: tuple[float, float]
    moment_order: float

    def _loads(self, index: int | None) -> tuple[Array, Array, Array]:
        """Given a node, beta_r = A + B beta + N(0, v): return A, B, v; `None` is a group not seen."""
        t2 = self.tau**2
        if index is None or not self.estimates.printed[index]:
            return np.zeros_like(t2), np.ones_like(t2), t2
        s2 = self.variances[:, index]
        total = s2 + t2
        return t2 / total * self.estimates.values[index], s2 / total, s2 * t2 / total

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
        return Mixture(
            self.weights, a - c + (b - d) * self.slope_mean, v + u + (b - d) ** 2 * self.slope_var
        )

    def pooling_factor(self, index: int) -> float:
        """Posterior mean of s^2 / (s^2 + tau^2): 0 no pooling, 1 complete pooling (Gelman and Pardoe, 2006)."""
        return float(self.weights @ self._loads(index)[1])

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
        return math.sqrt(max(float(self.weights @ self.tau**2) - self.tau_mean() ** 2, 0))

    def tau_cdf(self, upper: float) -> float:
        """Posterior probability that tau is at most `upper`, by a quadrature rule of its own over (0, upper)."""
        if self.model.between.dist == "fixed":
            return float(self.model.between.params["value"] <= upper)
        if self.model.between.dist == "uniform":
            upper = min(upper, self.model.between.params["upper"])
        if upper <= 0:
            return 0.0
        s2, log_s = _standard_errors(self.estimates, self.steps[1])
        rule = finite(upper, _typical_error(self.estimates), self.steps[0])
        log_prior = rule.log_weights + log_density(self.model.between, rule.nodes)
        total = -math.inf
        for tau, log_weight in zip(rule.nodes, log_prior, strict=True):
            log_joint, *_ = _given(self.estimates, self.model.slope, tau, s2)
            total = np.logaddexp(total, log_weight + special.logsumexp(log_joint + log_s))
        return min(float(np.exp(total - self.log_evidence)), 1.0)

    def tau_quantile(self, probability: float) -> float:
        """Return a posterior quantile of the between-group scale."""
        if self.model.between.dist == "fixed":
            return self.model.between.params["value"]
        order = np.argsort(self.tau)
        cumulative = np.cumsum(self.weights[order])
        guess = float(self.tau[order][np.searchsorted(cumulative, probability)])
        low, high = guess / 2, guess * 2
        while self.tau_cdf(low) > probability:
            low /= 2
        while self.tau_cdf(high) < probability:
            high *= 2
        return float(optimize.brentq(lambda t: self.tau_cdf(t) - probability, low, high, xtol=1e-10 * guess))


# Steps of the rules of tau and of the standard errors, from coarse to fine.
_LEVELS = ((1 / 6, 0.6), (1 / 8, 0.45), (1 / 12, 0.35), (1 / 16, 0.25), (1 / 32, 0.18), (1 / 64, 0.12), (1 / 128, 0.1))


def resolve_unit(estimates: Estimates, model: SummaryModel, unit: float | None = None) -> float:
    """Return the number that the model's priors are multiplied by: `unit`, else the model's own, else the spread."""
    if unit is not None:
        return unit
    return float(model.unit) if not isinstance(model.unit, str) else estimates.spread


def fit_summary(estimates: Estimates, model: SummaryModel, *, unit: float | None = None) -> SummaryPosterior:
    """Compute the posterior of the group slopes from printed estimates alone.

    Parameters
    ----------
    estimates
        Values and standard errors of R groups.
    model
        Priors.
    unit
        Overrides the model's unit of slope.

    Returns
    -------
    SummaryPosterior
        Exact to `TOLERANCE` in posterior standard deviations and in probability.

    Raises
    ------
    InputError
        More standard errors are known by their stars alone than a product rule can carry.
    GateError
        The quadrature did not reach `TOLERANCE`.
    """
    unit = resolve_unit(estimates, model, unit)
    if not unit > 0:
        raise InputError(f"the unit of the priors must be positive, not {unit:g}")
    resolved = model.resolved(unit)
    posterior = _solve(estimates, resolved, _LEVELS[0])
    if resolved.between.dist == "fixed" and not _implied(estimates):
        return replace(posterior, error=0.0)
    for steps in _LEVELS[1:]:
        if posterior.error < _TARGET:
            break
        size = _n_nodes(estimates, resolved, steps)
        if size > _MAX_NODES and posterior.error <= TOLERANCE:
            break
        if size > _MAX_NODES:
            raise InputError(
                f"{len(_implied(estimates))} standard errors are known by their stars alone, too many for exact "
                "quadrature; use --engine pymc"
            )
        finer = _solve(estimates, resolved, steps)
        posterior = replace(finer, error=float(np.max(np.abs(_numbers(finer) - _numbers(posterior)))))
    if not posterior.error <= TOLERANCE:
        raise GateError(f"the quadrature changed by {posterior.error:.1e} when refined; {TOLERANCE:g} is required")
    return posterior


def _implied(estimates: Estimates) -> list[ImpliedError]:
    return [error for error in estimates.errors if isinstance(error, ImpliedError)]


def _typical_error(estimates: Estimates) -> float:
    known = [
        error.se if isinstance(error, KnownError) else error.typical
        for error in estimates.errors
        if error is not None
    ]
    return float(np.median(known))


def _error_rules(estimates: Estimates, step: float) -> list[Rule]:
    """One rule per group; a known standard error is one node, a missing one a node at infinity."""
    rules = []
    for error in estimates.errors:
        if isinstance(error, ImpliedError):
            rules.append(implied_rule(error, step))
        else:
            se = math.inf if error is None else error.se
            rules.append(Rule(np.array([se]), np.zeros(1)))
    return rules


def _n_nodes(estimates: Estimates, model: SummaryModel, steps: tuple[float, float]) -> int:
    sizes = [len(rule.nodes) for rule in _error_rules(estimates, steps[1])]
    return math.prod(sizes) * len(scale_rule(model.between, _typical_error(estimates), steps[0]).nodes)


def _standard_errors(estimates: Estimates, step: float) -> tuple[Array, Array]:
    """Return every combination of standard errors: s^2 of shape (C, R), and log weights of shape (C,)."""
    rules = _error_rules(estimates, step)
    grids = np.meshgrid(*(rule.nodes for rule in rules), indexing="ij")
    weights = np.meshgrid(*(rule.log_weights for rule in rules), indexing="ij")
    s = np.stack([grid.ravel() for grid in grids], axis=-1)
    return s**2, np.sum([weight.ravel() for weight in weights], axis=0)


def _given(estimates: Estimates, prior: Prior, tau: float, s2: Array) -> tuple[Array, Array, Array]:
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


def _moment_order(estimates: Estimates, model: SummaryModel) -> float:
    """Order below which moments of beta exist: tail of the prior of tau times tail tau^-(R - 1) of the likelihood."""
    flat = model.slope.dist == "flat"
    n_printed = int(estimates.printed.sum())
    if flat and n_printed == 1 and any(error.q_low == 0 for error in _implied(estimates)):
        return 1.0  # the one standard error has no upper bound, and its own mean does not exist
    return tail_index(model.between) + n_printed - (1 if flat else 0)


def _solve(estimates: Estimates, model: SummaryModel, steps: tuple[float, float]) -> SummaryPosterior:
    """Solve at one level of refinement; nodes of negligible weight are dropped as they come."""
    s2, log_s = _standard_errors(estimates, steps[1])
    typical = _typical_error(estimates)
    rule = scale_rule(model.between, typical, steps[0])
    order = _moment_order(estimates, model)
    # A node counts by its weight times the highest moment that is read off it.
    power = 2 if order > 2 else 1 if order > 1 else 0
    parts: list[tuple[Array, Array, Array, Array, Array]] = []
    largest = -math.inf
    for tau, log_tau in zip(rule.nodes, rule.log_weights, strict=True):
        log_joint, mean, var = _given(estimates, model.slope, float(tau), s2)
        log_weight = log_joint + log_tau + log_s
        log_size = log_weight + power * math.log1p(tau / typical)
        largest = max(largest, float(log_size.max()))
        keep = np.flatnonzero(log_size > largest + _NEGLIGIBLE)
        parts.append((log_weight[keep], np.full(len(keep), tau), mean[keep], var[keep], s2[keep]))
    log_weight, taus, mean, var, variances = (np.concatenate(column) for column in zip(*parts, strict=True))
    keep = log_weight + power * np.log1p(taus / typical) > largest + _NEGLIGIBLE
    log_evidence = float(special.logsumexp(log_weight[keep]))
    return SummaryPosterior(
        estimates.labels,
        estimates,
        model,
        np.exp(log_weight[keep] - log_evidence),
        taus[keep],
        mean[keep],
        var[keep],
        variances[keep],
        log_evidence,
        math.inf,
        steps,
        order,
    )


def _numbers(posterior: SummaryPosterior) -> Array:
    """Return the numbers whose stability is the measure of accuracy, each on a scale of one."""
    indices: Sequence[int | None] = (*range(len(posterior.labels)), None)
    mixtures = [posterior.group(index) for index in indices] + [posterior.common()]
    scale = min(mixture.sd for mixture in mixtures)
    numbers = [posterior.log_evidence]
    for mixture in mixtures:
        numbers.append(mixture.p_positive)
        if posterior.moment_order > 1:
            numbers.append(mixture.mean / scale)
        if posterior.moment_order > 2:
            numbers.append(mixture.sd / scale)
    if posterior.moment_order > 1:
        numbers.append(posterior.tau_mean() / scale)
    return np.array(numbers)


def conditional_slopes(
    estimates: Estimates, model: SummaryModel, tau: Array, *, unit: float | None = None
) -> tuple[Array, Array]:
    """Return the path from complete to no pooling: mean and sd of every group's slope at given values of tau.

    Parameters
    ----------
    estimates, model, unit
        As in `fit_summary`; the prior of tau plays no part.
    tau
        Values of the between-group scale, shape (M,).

    Returns
    -------
    mean, sd
        Each of shape (M, R).
    """
    means, sds = [], []
    resolved = model.resolved(resolve_unit(estimates, model, unit))
    for value in tau:
        fixed = replace(resolved, between=Prior("fixed", {"value": float(value)}))
        posterior = fit_summary(estimates, fixed)
        mixtures = [posterior.group(index) for index in range(len(estimates.labels))]
        means.append([mixture.mean for mixture in mixtures])
        sds.append([mixture.sd for mixture in mixtures])
    return np.array(means), np.array(sds)
