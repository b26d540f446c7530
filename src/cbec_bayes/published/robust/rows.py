"""Rows of estimates given the between-group scale: each marginal density is a finite mixture of normal densities.

    b_r | beta, tau, k ~ N(beta, noise_rk + spread_rk)    with probability p_rk

where k counts the nodes of what is mixed over: the scale lambda of a t likelihood and the standard error where only
stars tell it (`noise` = s^2 / lambda), and the variance of the slope in units of tau^2 (`spread`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.published.conditional import error_rules, problem_of
from cbec_bayes.published.estimates import Estimates, ImpliedError, StandardError
from cbec_bayes.published.quadrature import Array, Rule
from cbec_bayes.published.robust.scales import Fineness, mixing_rule, rounded_up, shape_rule
from cbec_bayes.published.summary_model import SummaryModel, between_shape

_CELLS = 4_000_000
"""Numbers that are laid out at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Rows with the same number K of inner nodes, given tau.

    Attributes
    ----------
    rows
        Which of the rows with an estimate, shape (B,).
    values
        Their estimates, shape (B,).
    noise, spread
        Variance of the estimate about its group's slope, and of this about the common slope, shape (B, K).
    log_p
        Log probability of each inner node, shape (B, K); -inf for one that only fills the table.
    """

    rows: NDArray[np.intp]
    values: Array
    noise: Array
    spread: Array
    log_p: Array


@dataclass(frozen=True, slots=True)
class Given:
    """What the rows say about M values of the common slope; each array has shape (M, R).

    Attributes
    ----------
    log_density
        Log density of the estimate.
    precision
        Expected 1 / (noise + spread), given the estimate.
    score, curvature
        First derivative of the log density in the common slope, and the second one.
    """

    log_density: Array
    precision: Array
    score: Array
    curvature: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The R rows that have an estimate, with the rules of their scales.

    Attributes
    ----------
    values
        Estimates, shape (R,).
    estimates
        All rows, with those that have no estimate.
    model
        Priors in plain numbers, and the shape of the distribution between groups.
    noise
        Rules of s^2 / lambda, one per row; of 1 / lambda where s is known by its stars alone.
    fineness
        How fine the rules are.
    squares
        Largest squared distance from the common slope that matters: relative to tau^2 at most, and always.
    """

    values: Array
    estimates: Estimates
    model: SummaryModel
    noise: Sequence[Rule]
    fineness: Fineness
    squares: tuple[float, float]

    @property
    def errors(self) -> list[StandardError]:
        """Standard errors of the rows."""
        return [error for error in self.estimates.errors if error is not None]

    @property
    def scales(self) -> Array:
        """One standard error per row, shape (R,)."""
        return self.estimates.typical[self.estimates.printed]

    def at(self, tau: float) -> list[Block]:
        """Return the mixtures given a value of tau, in blocks of rows with about as many nodes."""
        shape, implied = self.shape_at(tau), self.implied_at(tau)
        noise = [self.noise_of(row, implied) for row in range(len(self.values))]
        order = sorted(range(len(noise)), key=lambda r: len(noise[r].nodes))
        blocks, first = [], 0
        while first < len(order):
            least, last = len(noise[order[first]].nodes), first
            while last < len(order) and len(noise[order[last]].nodes) <= 1.3 * least:
                last += 1
            blocks.append(self._block(order[first:last], [noise[r] for r in order[first:last]], shape, tau))
            first = last
        return blocks

    def shape_at(self, tau: float) -> Rule:
        """Return the rule of a slope's variance in units of tau^2."""
        most, least = self.squares
        reach = float(np.ptp(self.values)) + 30 * float(self.scales.max())
        squares = max(min((reach / max(tau, reach * 1e-12)) ** 2, most), least)
        return shape_rule(between_shape(self.model), rounded_up(squares), self.fineness.mixing)

    def implied_at(self, tau: float) -> dict[int, Rule]:
        """Return rules of the standard errors that stars tell, by row."""
        if not any(isinstance(error, ImpliedError) for error in self.errors):
            return {}
        rules = error_rules(problem_of(self.estimates, self.model.slope), np.array([tau]), self.fineness.implied)
        return {row: Rule(rule.nodes[0], rule.log_weights[0]) for row, rule in rules.items()}

    def noise_of(self, row: int, implied: Mapping[int, Rule]) -> Rule:
        """Return the rule of one row's s^2 / lambda, given those of `implied_at`."""
        own = self.noise[row]
        if row not in implied:
            return own
        s2, log_p = implied[row].nodes ** 2, implied[row].log_weights
        return Rule(np.outer(s2, own.nodes).ravel(), np.add.outer(log_p, own.log_weights).ravel())

    def _block(self, rows: list[int], noise: list[Rule], shape: Rule, tau: float) -> Block:
        n_rows, width = len(rows), max(len(rule.nodes) for rule in noise)
        nodes, log_p = np.ones((n_rows, width)), np.full((n_rows, width), -math.inf)
        for place, rule in enumerate(noise):
            nodes[place, : len(rule.nodes)], log_p[place, : len(rule.nodes)] = rule.nodes, rule.log_weights
        full = (n_rows, width, len(shape.nodes))
        return Block(
            rows=np.array(rows),
            values=self.values[rows],
            noise=np.broadcast_to(nodes[:, :, None], full).reshape(n_rows, -1),
            spread=np.broadcast_to(tau**2 * shape.nodes, full).reshape(n_rows, -1),
            log_p=(log_p[:, :, None] + shape.log_weights).reshape(n_rows, -1),
        )


def rows_of(estimates: Estimates, model: SummaryModel, fineness: Fineness) -> Rows:
    """Lay out the rules of the likelihoods' scales, which do not depend on tau."""
    printed = estimates.printed
    values, scales = estimates.values[printed], estimates.typical[printed]
    errors = [error for error in estimates.errors if error is not None]
    far = np.abs(values - np.median(values)).max() + np.abs(values - np.median(values))
    if model.between.dist == "fixed":  # a slope may lie as far from its estimate as tau lets it
        far = far + 3 * model.between.params["value"]
    heavy, typical = _reach(errors, model), float(np.median(scales))
    rules = []
    for error, distance, scale in zip(errors, far, scales, strict=True):
        rule = mixing_rule(
            error.likelihood_df, rounded_up(((3 * distance + heavy * typical) / scale) ** 2), fineness.mixing
        )
        factor = 1.0 if isinstance(error, ImpliedError) else scale**2
        rules.append(Rule(factor / rule.nodes, rule.log_weights))
    # Variances of slopes far above tau^2 have weight only where an estimate lies farther off than its own likelihood
    # allows.
    furthest = float((far / scales).max())
    tail = 2 / min(between_shape(model).tail_index, 1e6)
    most = math.exp(min(tail * (25 + furthest**2 / 2), 55.0))
    return Rows(
        values=values, estimates=estimates, model=model, noise=rules, fineness=fineness, squares=(most, heavy**2)
    )


def row_df(error: StandardError) -> float:
    """Return nu where the density of an estimate falls as distance^-(nu + 1), its slope and tau being given."""
    open_band = isinstance(error, ImpliedError) and error.q_low == 0  # s has a tail of its own, as 1 / s^2
    return min(error.likelihood_df, 1.0 if open_band else math.inf)


def tail_exponent(errors: Sequence[StandardError], between: float) -> float:
    """Return p where the posterior of a flat common slope, given tau, falls as distance^-(p + 1)."""
    return sum(min(row_df(error), between) + 1 for error in errors) - 1


def _reach(errors: Sequence[StandardError], model: SummaryModel) -> float:
    """Return how many scales from an estimate the tails still matter, for the moments that exist too."""
    exponent = tail_exponent(errors, between_shape(model).tail_index)
    power = 2 if exponent > 2 else 1 if exponent > 1 else 0
    return float(10.0 ** min(8.0 / (exponent - power), 8.0))


def given(blocks: Sequence[Block], slope: Array, n_rows: int) -> Given:
    """Evaluate the rows at values of the common slope, shape (M,)."""
    found = [np.empty((len(slope), n_rows)) for _ in range(4)]
    for block, part, log_terms, distance in _terms(blocks, slope):
        variance = block.noise + block.spread
        top = log_terms.max(axis=2, keepdims=True)
        share = np.exp(log_terms - top)
        total = share.sum(axis=2)
        share /= total[:, :, None]
        precision = np.einsum("mbk,bk->mb", share, 1 / variance)
        squares = np.einsum("mbk,bk->mb", share, 1 / variance**2)
        place = np.ix_(part, block.rows)
        found[0][place] = np.log(total) + top[:, :, 0]
        found[1][place] = precision
        found[2][place] = precision * distance
        found[3][place] = (squares - precision**2) * distance**2 - precision
    return Given(found[0], found[1], found[2], found[3])


def log_density(blocks: Sequence[Block], slope: Array, n_rows: int) -> Array:
    """Return the log density of every estimate at values of the common slope (M,): shape (M, R)."""
    found = np.empty((len(slope), n_rows))
    for block, part, log_terms, _ in _terms(blocks, slope):
        top = log_terms.max(axis=2, keepdims=True)
        found[np.ix_(part, block.rows)] = np.log(np.exp(log_terms - top).sum(axis=2)) + top[:, :, 0]
    return found


def slopes_given(blocks: Sequence[Block], slope: Array, n_rows: int) -> tuple[Array, Array, Array, Array]:
    """Return what holds of each group's slope given values of the common slope (M,), each of shape (M, R).

    Returns
    -------
    log_density, pooling, mean, variance
        Log density of the estimate; expected weight of the common slope; mean and variance of the group's slope less
        the common one.
    """
    found = [np.empty((len(slope), n_rows)) for _ in range(4)]
    for block, part, log_terms, distance in _terms(blocks, slope):
        variance = block.noise + block.spread
        gain, left = block.spread / variance, block.noise / variance * block.spread
        top = log_terms.max(axis=2, keepdims=True)
        share = np.exp(log_terms - top)
        total = share.sum(axis=2)
        share /= total[:, :, None]
        place = np.ix_(part, block.rows)
        found[0][place] = np.log(total) + top[:, :, 0]
        expected = np.einsum("mbk,bk->mb", share, gain)
        found[1][place] = 1 - expected
        found[2][place] = expected * distance
        spread = np.einsum("mbk,bk->mb", share, gain**2) - expected**2
        found[3][place] = np.einsum("mbk,bk->mb", share, left) + spread * distance**2
    return found[0], found[1], found[2], found[3]


def _terms(blocks: Sequence[Block], slope: Array) -> Iterator[tuple[Block, NDArray[np.intp], Array, Array]]:
    """Yield, a few values of the slope at a time, the log densities of every inner node, and b - beta."""
    for block in blocks:
        variance = block.noise + block.spread
        log_factor = block.log_p - np.log(2 * math.pi * variance) / 2
        size = max(1, _CELLS // variance.size)
        for first in range(0, len(slope), size):
            part = np.arange(first, min(first + size, len(slope)))
            distance = block.values - slope[part, None]
            yield block, part, log_factor - (distance**2)[:, :, None] / (2 * variance), distance


def prior_precision(prior: Prior) -> tuple[float, float]:
    """Return mean and precision of the prior of the common slope; zero and zero where it is flat."""
    if prior.dist != "normal":
        return 0.0, 0.0
    return prior.params["mean"], prior.params["sd"] ** -2
