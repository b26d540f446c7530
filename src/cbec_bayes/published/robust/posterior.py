"""The joint posterior under heavy tails, and everything that is read off it: finite mixtures of normal distributions.

Given tau the density of the common slope is known at nodes, and between them as a sum of normal densities, one about
each node, whose weights follow from the values at the nodes. With the mixtures of the rows (`rows.py`) every slope is then
a finite mixture of normal distributions, as it is where everything is normal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from scipy import optimize

from cbec_bayes.published.estimates import Estimates
from cbec_bayes.published.mixture import Mixture
from cbec_bayes.published.quadrature import Array
from cbec_bayes.published.robust.existence import Orders
from cbec_bayes.published.robust.row_terms import Terms, row_terms
from cbec_bayes.published.robust.rows import Rows
from cbec_bayes.published.robust.scales import Fineness, shape_rule
from cbec_bayes.published.robust.tau_rule import TauRule
from cbec_bayes.published.summary_model import SummaryModel, between_shape

_NEGLIGIBLE = 1e-13
_NEGLIGIBLE_PAIR = 1e-10


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """The posterior given one value of tau.

    Attributes
    ----------
    tau
        Between-group scale.
    nodes, spacing
        Values of the common slope, and the standard deviation of the normal density about each, shape (M,).
    points
        Posterior weight of each node given tau, shape (M,); sums over them integrate.
    smooth
        Weights of the normal densities whose sum is the density of the common slope given tau, shape (M,).
    without
        The same for each row, whose likelihood is taken out of the density but for the exponential of a square about
        the estimate, shape (M, R).
    held
        Precision of that square, shape (R,); zero where all of the likelihood is out.
    pooling, offset
        Expected weight of the common slope in each group's slope, and expected group's slope less the common one,
        shape (R,).
    within
        Expected variance between the groups' slopes.
    """

    tau: float
    nodes: Array
    spacing: Array
    points: Array
    smooth: Array
    without: Array
    held: Array
    pooling: Array
    offset: Array
    within: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RobustPosterior:
    """The joint posterior of the slopes of R groups, as slices of tau.

    Attributes
    ----------
    labels
        The groups; the ones without an estimate are predicted.
    estimates, model
        Data that it was computed from, and the model with priors in plain numbers.
    weights
        Posterior weight of each slice, shape (J,).
    slices
        What holds given tau.
    rule
        Nodes of tau, of which the slices are those with weight.
    rows
        The rows with their rules.
    orders
        Which moments exist.
    log_evidence
        Log marginal likelihood of the estimates (up to the constant of a flat prior).
    error
        Largest change, in posterior standard deviations or probability, when the rules were last refined.
    fineness
        How fine the rules are.
    """

    labels: tuple[str, ...]
    estimates: Estimates
    model: SummaryModel
    weights: Array
    slices: tuple[Slice, ...]
    rule: TauRule
    rows: Rows
    orders: Orders
    log_evidence: float
    error: float
    fineness: Fineness
    _terms: dict[int, list[Terms]] = field(default_factory=dict, repr=False)

    @property
    def tau(self) -> Array:
        """Between-group scale of every slice, shape (J,)."""
        return np.array([one.tau for one in self.slices])

    @property
    def n_nodes(self) -> int:
        """Number of nodes of tau and the common slope together."""
        return sum(len(one.nodes) for one in self.slices)

    def _row(self, index: int | None) -> int | None:
        """Return which of the rows with an estimate a group is."""
        if index is None or not self.estimates.printed[index]:
            return None
        return int(self.estimates.printed[:index].sum())

    def order(self, index: int | None) -> float:
        """Moments of a group's slope exist below this order; `None` is a group not seen."""
        row = self._row(index)
        return self.orders.new if row is None else self.orders.groups[row]

    @property
    def moment_order(self) -> float:
        """Moments of the common slope exist below this order."""
        return self.orders.common

    def common(self) -> Mixture:
        """Posterior of the common slope beta."""
        weights = [weight * one.smooth for weight, one in zip(self.weights, self.slices, strict=True)]
        nodes, spacing = ([getattr(one, name) for one in self.slices] for name in ("nodes", "spacing"))
        return _mixture(np.concatenate(weights), np.concatenate(nodes), np.concatenate(spacing) ** 2)

    def group(self, index: int | None) -> Mixture:
        """Posterior of a group's slope; `None` for a group not yet seen."""
        row = self._row(index)
        parts = []
        for place, one in enumerate(self.slices):
            if row is None:
                shape = shape_rule(between_shape(self.model), 1.0, self.fineness.mixing)
                weights = np.outer(one.smooth, np.exp(shape.log_weights))
                means = np.broadcast_to(one.nodes[:, None], weights.shape)
                variances = one.spacing[:, None] ** 2 + one.tau**2 * shape.nodes
            else:
                weights, means, variances = _of_group(one, row, self._of_row(row)[place])
            weights = self.weights[place] * weights / weights.sum()
            keep = np.abs(weights) > _NEGLIGIBLE
            parts.append((weights[keep], means[keep], variances[keep]))
        return _mixture(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def contrast(self, first: int, second: int) -> Mixture:
        """Posterior of the difference between two groups' slopes."""
        parts = []
        for place, (weight, one) in enumerate(zip(self.weights, self.slices, strict=True)):
            points = weight * one.points
            keep = points > _NEGLIGIBLE_PAIR
            a, b = (self._given_points(index, place, keep) for index in (first, second))
            weights = points[keep, None, None] * a[0][:, :, None] * b[0][:, None, :]
            inside = weights > _NEGLIGIBLE_PAIR
            means = a[1][:, :, None] - b[1][:, None, :]
            variances = a[2][:, :, None] + b[2][:, None, :]
            parts.append((weights[inside], means[inside], np.broadcast_to(variances, weights.shape)[inside]))
        return _mixture(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _given_points(self, index: int, place: int, keep: Array) -> tuple[Array, Array, Array]:
        """Return weights, means and variances of a group's slope given nodes (tau, beta), each of shape (M, K)."""
        one, row = self.slices[place], self._row(index)
        nodes = one.nodes[keep]
        if row is None:
            shape = shape_rule(between_shape(self.model), 1.0, self.fineness.mixing)
            full = (len(nodes), len(shape.nodes))
            means = np.broadcast_to(nodes[:, None], full)
            return np.broadcast_to(np.exp(shape.log_weights), full), means, (one.tau**2 * shape.nodes)[None]
        terms = self._of_row(row)[place]
        return terms.weights(nodes), terms.offset + terms.pooling * nodes[:, None], terms.left[None]

    def _of_row(self, row: int) -> list[Terms]:
        """Return the inner nodes of a row given tau, for every slice; kept, as many numbers need them."""
        if row not in self._terms:
            self._terms[row] = [row_terms(self.rows, row, one.tau) for one in self.slices]
        return self._terms[row]

    def pooling_factor(self, index: int) -> float:
        """Posterior mean of the weight of the common slope in a group's slope: 0 no pooling, 1 complete pooling.

        Given the scales of the mixtures that is s^2 / (s^2 + tau^2), as where everything is normal.
        """
        row = self._row(index)
        return float(self.weights @ [one.pooling[row] for one in self.slices]) if row is not None else 1.0

    def pooling_factor_overall(self) -> float:
        """Gelman and Pardoe's lambda; NaN with fewer than two estimates."""
        if int(self.estimates.printed.sum()) < 2:
            return math.nan
        expected = float(self.weights @ [one.within for one in self.slices])
        if expected == 0:
            return 1.0
        means = self.weights @ np.array([one.offset for one in self.slices])
        return 1 - float(means.var(ddof=1)) / expected

    def tau_mean(self) -> float:
        """Posterior mean of the between-group scale; NaN where it does not exist."""
        return float(self.weights @ self.tau) if self.orders.tau > 1 else math.nan

    def tau_sd(self) -> float:
        """Posterior standard deviation of the between-group scale; NaN where it does not exist."""
        if self.orders.tau <= 2:
            return math.nan
        return math.sqrt(max(float(self.weights @ (self.tau - self.tau_mean()) ** 2), 0.0))

    def tau_cdf(self, upper: float) -> float:
        """Posterior probability that tau is at most `upper`."""
        kept = np.isin(self.rule.nodes, self.tau)
        return min(max(float(self.weights @ self.rule.below(upper)[kept]), 0.0), 1.0)

    def tau_quantile(self, probability: float) -> float:
        """Return a posterior quantile of the between-group scale."""
        if self.rule.layout is None:
            return float(self.rule.nodes[0])
        tau = self.tau
        place = min(int(np.searchsorted(np.cumsum(self.weights), probability)), len(tau) - 1)
        low, high = tau[place] / 2, tau[place] * 2
        while self.tau_cdf(low) > probability:
            low /= 2
        while self.tau_cdf(high) < probability:
            high *= 2
        return float(optimize.brentq(lambda t: self.tau_cdf(t) - probability, low, high, xtol=1e-11 * tau[place]))


def _of_group(one: Slice, row: int, terms: Terms) -> tuple[Array, Array, Array]:
    """Return weights (up to a factor), means and variances of a group's slope given tau, each of shape (M, K)."""
    precision = 1 / terms.total - one.held[row]  # what is left of each normal likelihood
    variance = one.spacing[:, None] ** 2
    shrink = 1 + variance * precision
    possible = shrink > 0.05  # far out, where the square that is held leaves nothing
    shrink = np.where(possible, shrink, 1.0)
    distance = terms.value - one.nodes[:, None]
    log_factor = terms.log_p - np.log(terms.total) / 2 - np.log(shrink) / 2 - precision / shrink * distance**2 / 2
    log_factor = np.where(possible, log_factor, -math.inf)
    with np.errstate(divide="ignore"):
        log_size = log_factor + np.log(np.abs(one.without[:, row]))[:, None]
    weights = np.sign(one.without[:, row])[:, None] * np.exp(log_size - log_size.max())
    mean = one.nodes[:, None] + variance * precision / shrink * distance
    return weights, terms.offset + terms.pooling * mean, terms.left + terms.pooling**2 * variance / shrink


def _mixture(weights: Array, means: Array, variances: Array) -> Mixture:
    keep = np.abs(weights) > _NEGLIGIBLE
    return Mixture(weights[keep] / weights[keep].sum(), means[keep], variances[keep])
