"""The joint posterior under heavy tails, and everything that is read off it: finite mixtures of normal distributions.

Given tau the density of the common slope is known at nodes, and between them as a sum of normal densities, one about
each node, whose weights follow from the values at the nodes. With the mixtures of the rows (`rows.py`) every slope is
then a finite mixture of normal distributions, as it is where everything is normal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from cbec_bayes.published.estimates import Estimates
from cbec_bayes.published.pooled import GroupNumbers
from cbec_bayes.published.quadrature import Array
from cbec_bayes.published.robust.existence import Orders, highest_power
from cbec_bayes.published.robust.group_tables import GroupTables, group_tables
from cbec_bayes.published.robust.mixed import SignedMixture, signed_mixture
from cbec_bayes.published.robust.pairs import Components, Points, components, points_of
from cbec_bayes.published.robust.panels import Tabulated, tabulated
from cbec_bayes.published.robust.row_terms import Terms, row_terms
from cbec_bayes.published.robust.rows import Rows
from cbec_bayes.published.robust.scales import Fineness, shape_rule
from cbec_bayes.published.robust.slices import MOST_KEPT, Slice, left_out
from cbec_bayes.published.robust.tau_rule import TauRule
from cbec_bayes.published.summary_model import SummaryModel, between_shape
from cbec_bayes.runtime.errors import GateError

_NEGLIGIBLE = 1e-12
_NEGLIGIBLE_PAIR = 1e-11

_CELLS = 2_000_000
"""Numbers that are laid out at a time."""

type GroupSlope = SignedMixture | Tabulated
"""The posterior of one slope."""


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
    _groups: dict[int | None, GroupSlope] = field(default_factory=dict, repr=False)
    _tables: list[GroupTables] = field(default_factory=list, repr=False)
    _pair_points: list[Points] = field(default_factory=list, repr=False)
    _components: dict[int | None, Components] = field(default_factory=dict, repr=False)
    _left_out: list[tuple[Array, Array]] = field(default_factory=list, repr=False)

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
        """Without a limit: each distribution knows its own, and has no mean where there is none."""
        return math.inf

    def common(self) -> SignedMixture:
        """Posterior of the common slope beta."""
        pairs = zip(self.weights, self.slices, strict=True)
        parts = [(weight * one.smooth, one.nodes, one.spacing**2) for weight, one in pairs]
        return signed_mixture(parts, self.orders.common, self._moments([one.common_moments for one in self.slices]))

    def _moments(self, of_slices: Sequence[tuple[float, float]]) -> tuple[float, float]:
        """Return mean and standard deviation of a number of which mean and variance are known given tau."""
        means, variances = np.array(of_slices).T
        mean = float(self.weights @ means)
        variance = float(self.weights @ (variances + (means - mean) ** 2))
        if variance < 0:
            raise GateError(
                "the variance of a slope is lost to rounding; use a unit nearer to the size of the estimates"
            )
        return mean, math.sqrt(variance)

    def coefficient(self, place: int) -> SignedMixture:
        """Posterior of a coefficient: the common slope is the only one, as moderators need normal distributions."""
        if place != 0:
            raise ValueError("there are no moderators")
        return self.common()

    def group(self, index: int | None) -> GroupSlope:
        """Posterior of a group's slope; `None` for a group not yet seen."""
        row = self._row(index)
        if row in self.tables.densities:
            moments = self._moments([self._given_tau(one, row) for one in self.slices])
            return tabulated(self.tables.panels, self.tables.densities[row], self.order(index), moments)
        if index not in self._groups:
            found = self._mixture(index)
            if len(self.labels) > MOST_KEPT:
                return found
            self._groups[index] = found
        return self._groups[index]

    @property
    def tables(self) -> GroupTables:
        """Densities of the slopes of rows with a t likelihood."""
        if not self._tables:
            self._tables.append(group_tables(self.rows, self.weights, self.slices))
        return self._tables[0]

    def _mixture(self, index: int | None) -> SignedMixture:
        row, order, typical = self._row(index), self.order(index), self._typical()
        parts = []
        for place, (weight, one) in enumerate(zip(self.weights, self.slices, strict=True)):
            least = _least(one, order, typical)
            if row is None:
                parts.append(self._of_new(one, weight, least))
            elif (seen := np.flatnonzero(weight * one.points > least / 1e3)).size:
                left = self._without(place, row)
                parts.append(_of_group(one, self._of_row(row)[place], left, (weight, seen, least)))
        return signed_mixture(parts, order, self._moments([self._given_tau(one, row) for one in self.slices]))

    def _without(self, place: int, row: int) -> tuple[Array, float]:
        """Return what `left_out` finds of one row, for one slice."""
        others = [row for row in range(len(self.rows.values)) if row not in self.tables.densities]
        if not self._left_out:
            self._left_out.extend(left_out(self.rows, one, others) for one in self.slices)
        without, held = self._left_out[place]
        return without[:, others.index(row)], float(held[others.index(row)])

    def _typical(self) -> tuple[float, float]:
        """Return a typical estimate and a typical standard error."""
        return float(np.median(self.rows.values)), float(np.median(self.rows.scales))

    def _given_tau(self, one: Slice, row: int | None) -> tuple[float, float]:
        """Return mean and variance of a group's slope given tau; `None` is a group without an estimate."""
        if row is None:
            mean, variance = one.common_moments
            return mean, variance + self._between(one.tau)
        return float(one.row_moments[0, row]), float(one.row_moments[1, row])

    def _between(self, tau: float) -> float:
        """Return the variance of a slope about the common one."""
        return tau**2 * between_shape(self.model).variance if tau > 0 else 0.0

    def _of_new(self, one: Slice, weight: float, least: Array) -> tuple[Array, Array, Array]:
        """Return weights, means and variances of the slope of a group not seen, given tau."""
        shape = shape_rule(between_shape(self.model), 1.0, self.fineness.mixing)
        weights = weight * np.outer(one.smooth, np.exp(shape.log_weights))
        node, inner = np.nonzero(np.abs(weights) > least[:, None])
        return weights[node, inner], one.nodes[node], one.spacing[node] ** 2 + one.tau**2 * shape.nodes[inner]

    def groups(self) -> GroupNumbers:
        """Return the numbers of all groups."""
        found = np.empty((len(self.labels), 5))
        for index in range(len(self.labels)):
            one = self.group(index)
            found[index] = one.mean, one.sd, *one.interval(), one.p_positive
            if len(self.labels) > MOST_KEPT:
                self._terms.clear()
        return GroupNumbers(*found.T)

    def contrast(self, first: int, second: int) -> SignedMixture:
        """Posterior of the difference between two groups' slopes."""
        rows = self._row(first), self._row(second)
        a, b = (self._together(row) for row in rows)
        points, parts = self._points().weight, []
        size = max(1, _CELLS // (a.weights.shape[1] * b.weights.shape[1]))
        for start in range(0, len(points), size):
            own = slice(start, start + size)
            weights = points[own, None, None] * a.weights[own, :, None] * b.weights[own, None, :]
            node, i, j = np.nonzero(weights > _NEGLIGIBLE_PAIR)
            weights, node = weights[node, i, j], node + start
            parts.append((weights, a.means[node, i] - b.means[node, j], a.variances[node, i] + b.variances[node, j]))
        order = min(self.order(first), self.order(second))
        return signed_mixture(parts, order, self._moments([self._difference(one, *rows) for one in self.slices]))

    def _points(self) -> Points:
        """Return the nodes of (tau, beta) that contrasts are summed over."""
        if not self._pair_points:
            self._pair_points.append(points_of(self.weights, self.slices))
        return self._pair_points[0]

    def _together(self, row: int | None) -> Components:
        """Return a group's slope given each of these nodes; `None` is a group without an estimate."""
        if row not in self._components:
            points = self._points()
            if row is None:
                shape = shape_rule(between_shape(self.model), 1.0, self.fineness.mixing)
                full = (len(points.weight), len(shape.nodes))
                means = np.broadcast_to(points.slope[:, None], full)
                weights = np.broadcast_to(np.exp(shape.log_weights), full)
                self._components[row] = Components(weights, means, np.outer(points.tau**2, shape.nodes))
            else:
                self._components[row] = components(self.rows, row, points, self.slices)
        return self._components[row]

    def _difference(self, one: Slice, first: int | None, second: int | None) -> tuple[float, float]:
        """Return mean and variance of the difference between two groups' slopes given tau."""
        apart, variance = np.zeros(len(one.nodes)), np.zeros(len(one.nodes))
        for row, sign in ((first, 1.0), (second, -1.0)):
            apart += 0.0 if row is None else sign * one.deviation[:, row]
            variance += self._between(one.tau) if row is None else one.variance[:, row]
        mean = float(one.points @ apart)
        return mean, float(one.points @ (variance + (apart - mean) ** 2))

    def _of_row(self, row: int) -> list[Terms]:
        """Return the inner nodes of a row given tau, for every slice; kept, as many numbers need them."""
        if row not in self._terms:
            self._terms[row] = [
                row_terms(self.rows, row, one.tau, one.implied).seen_from(
                    one.nodes[one.points > 1e-6 * _NEGLIGIBLE][::4]
                )
                for one in self.slices
            ]
        return self._terms[row]

    def pooling_factors(self) -> Array:
        """Posterior means of the weight of the common slope in each group's slope; NaN without an estimate.

        Given the scales of the mixtures that is s^2 / (s^2 + tau^2), as where everything is normal.
        """
        found = np.full(len(self.labels), math.nan)
        found[self.estimates.printed] = self.weights @ np.array([one.pooling for one in self.slices])
        return found

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
        return min(max(float(self.weights @ self.rule.below(upper)), 0.0), 1.0)

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


def _least(one: Slice, order: float, typical: tuple[float, float]) -> Array:
    """Return the least weight that counts at each node, (M,): far out less is enough to move a moment."""
    value, scale = typical
    far = (np.abs(one.nodes - value) + one.tau) / scale
    return np.asarray(_NEGLIGIBLE / (1 + far) ** highest_power(order))


def _of_group(
    one: Slice, terms: Terms, without: tuple[Array, float], counted: tuple[float, NDArray[np.intp], Array]
) -> tuple[Array, Array, Array]:
    """Return weights, means and variances of a group's slope given tau.

    `without` is from `left_out`; `counted` is the weight of the slice, which of its nodes count, and the least weight
    that counts at each node.
    """
    weight, seen, least = counted
    left, nodes, width = without[0][seen], one.nodes[seen], one.spacing[seen] ** 2
    precision = 1 / terms.total - without[1]  # what is left of each normal likelihood
    shrink = 1 + width[:, None] * precision
    possible = shrink > 0.05  # far out, where the square that is held leaves nothing
    shrink = np.where(possible, shrink, 1.0)
    distance = terms.value - nodes[:, None]
    log_factor = (terms.log_p - np.log(terms.total) / 2) - (np.log(shrink) + precision / shrink * distance**2) / 2
    log_factor = np.where(possible, log_factor, -math.inf)
    weights = left[:, None] * np.exp(log_factor - log_factor.max())
    weights *= weight / weights.sum()
    node, inner = np.nonzero(np.abs(weights) > least[seen, None])
    width, shrink, precision = width[node], shrink[node, inner], precision[inner]
    mean = nodes[node] + width * precision / shrink * distance[node, 0]
    pooling = terms.pooling[inner]
    return weights[node, inner], terms.offset[inner] + pooling * mean, terms.left[inner] + pooling**2 * width / shrink
