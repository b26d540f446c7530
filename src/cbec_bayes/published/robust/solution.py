"""The posterior under heavy tails by deterministic quadrature over (beta, tau), refined until nothing changes.

    b_r ~ t_df_r(beta_r, s_r)    beta_r ~ shape(beta, tau)    beta, tau ~ priors            (MODEL.md section 5)

Given (beta, tau) the rows are independent, and each row's density is a finite mixture of normal densities
(`rows.py`). The density of (beta, tau) is therefore known at any point, and it is integrated by sums over nodes that
lie where its mass is (`tau_rule.py`, `common_rule.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from cbec_bayes.published.between_shape import NORMAL
from cbec_bayes.published.estimates import Estimates
from cbec_bayes.published.quadrature import Array
from cbec_bayes.published.robust.common_rule import find_modes, log_prior, slope_rule, starts
from cbec_bayes.published.robust.existence import Orders, exists, highest_power, orders
from cbec_bayes.published.robust.mixed import SignedMixture
from cbec_bayes.published.robust.posterior import MOST_KEPT, RobustPosterior, Slice
from cbec_bayes.published.robust.rows import Block, Rows, given, rows_of, slopes_given
from cbec_bayes.published.robust.scales import NORMAL_DF, Fineness
from cbec_bayes.published.robust.tau_rule import Layout, TauRule, fixed_rule, lay_out, tau_rule
from cbec_bayes.published.summary_model import SummaryModel, between_shape
from cbec_bayes.runtime.errors import GateError

LEVELS = (
    Fineness(0.24, 0.15, 3e-7, 14),
    Fineness(0.17, 0.12, 1e-7, 16),
    Fineness(0.13, 0.1, 1e-8, 22),
    Fineness(0.1, 0.08, 1e-9, 30),
    Fineness(0.07, 0.06, 1e-10, 40),
    Fineness(0.05, 0.045, 1e-11, 56),
)
"""Rules from coarse to fine."""

_ROUGH = Fineness(0.5, 0.3, 3e-2, 8)
"""Rules of the rows that show where the mass is."""

_NEGLIGIBLE = 1e-13

MOST_COMPARED = 30
"""Groups whose numbers are compared between two levels."""


def has_heavy_tails(estimates: Estimates, model: SummaryModel) -> bool:
    """Return whether a likelihood, or the distribution between groups, is not normal."""
    errors = (error for error in estimates.errors if error is not None)
    return between_shape(model) != NORMAL or any(error.likelihood_df < NORMAL_DF for error in errors)


def solve(estimates: Estimates, model: SummaryModel, tolerance: float) -> RobustPosterior:
    """Compute the posterior, see `cbec_bayes.published.summary.fit_summary`.

    Parameters
    ----------
    estimates
        Values, standard errors and degrees of freedom of R groups.
    model
        With priors in plain numbers.
    tolerance
        Largest change of a number, in posterior standard deviations or probability, when the rules are refined.

    Raises
    ------
    GateError
        The numbers still changed by more at the finest rules.
    """
    rough = rows_of(estimates, model, _ROUGH)
    seen: dict[float, Array] = {}
    layout = _layout(rough, seen)
    found: RobustPosterior | None = None
    for fineness in LEVELS:
        finer = _solve(rough, (layout, seen), fineness)
        if found is not None:
            finer = replace(finer, error=change(found, finer))
            if finer.error <= tolerance:
                return finer
        found = finer
    assert found is not None
    raise GateError(
        f"the result of the quadrature changed by {found.error:.1e} when refined; {tolerance:g} is required"
    )


def _layout(rough: Rows, seen: dict[float, Array]) -> Layout | None:
    """Find where the posterior of tau has its mass, and note the modes of the common slope at each tau in `seen`."""
    if rough.model.between.dist == "fixed":
        return None
    values, scales = rough.values, rough.scales

    def log_mass(tau: float) -> float:
        modes = find_modes(rough.at(tau), rough.model.slope, values, starts(values, scales))
        seen[tau] = modes.places
        return modes.log_mass

    largest = max(float(np.ptp(values)), float(np.median(scales)))
    return lay_out(rough.model.between, (float(np.median(scales)), largest), log_mass)


def _starts(rough: Rows, seen: dict[float, Array], tau: float) -> Array:
    """Return where the search for modes begins: at those for the nearest values of tau, on both sides."""
    if not seen:
        return starts(rough.values, rough.scales)
    known = np.array(sorted(seen))
    place = int(np.searchsorted(known, tau))
    near = known[max(place - 1, 0) : place + 1]
    return np.unique(np.concatenate([seen[float(one)] for one in near]))


def _solve(rough: Rows, laid_out: tuple[Layout | None, dict[float, Array]], fineness: Fineness) -> RobustPosterior:
    """Solve at one level of refinement."""
    layout, seen = laid_out
    estimates, model = rough.estimates, rough.model
    rows, order = rows_of(estimates, model, fineness), orders(rough.errors, model)
    power = highest_power(order.tau)
    scale = float(np.median(rough.scales))
    rule = fixed_rule(model.between.params["value"]) if layout is None else tau_rule(layout, fineness.tau, power, scale)
    found = [_slice((rough, _starts(rough, seen, float(tau))), rows, float(tau), order) for tau in rule.nodes]
    log_weight = np.array([log_mass for _, log_mass in found]) + rule.log_weights
    log_evidence = float(special.logsumexp(log_weight))
    weights = np.exp(log_weight - log_evidence)
    keep = np.flatnonzero(weights * (1 + rule.nodes / scale) ** power > _NEGLIGIBLE)
    return RobustPosterior(
        labels=estimates.labels,
        estimates=estimates,
        model=model,
        weights=weights[keep] / weights[keep].sum(),
        slices=tuple(found[place][0] for place in keep),
        rule=_kept(rule, keep),
        rows=rows,
        orders=order,
        log_evidence=log_evidence,
        error=math.inf,
        fineness=fineness,
    )


def _kept(rule: TauRule, keep: NDArray[np.intp]) -> TauRule:
    return replace(rule, nodes=rule.nodes[keep], log_weights=rule.log_weights[keep], u=rule.u[keep])


def _slice(guide: tuple[Rows, Array], rows: Rows, tau: float, order: Orders) -> tuple[Slice, float]:
    """Return the posterior given tau, and the log of its mass; `guide` has rough rows and where to look for modes."""
    prior, values = rows.model.slope, rows.values
    rough, start = guide
    blocks = rough.at(tau)
    modes = find_modes(blocks, prior, values, start)
    rule = slope_rule(blocks, prior, modes, rows.fineness.slope, highest_power(order.common))
    fine = rows.at(tau)
    log_rows, *slopes = slopes_given(fine, rule.nodes, len(values))
    log_p = log_rows.sum(axis=1) + log_prior(prior, rule.nodes)
    log_mass = float(special.logsumexp(log_p + rule.log_weights))
    points = np.exp(log_p + rule.log_weights - log_mass)
    best = int(np.argmax(log_p))
    kernel = _kernel(rule.nodes, rule.spacing)
    precision = given(fine, rule.nodes[best : best + 1], len(values)).precision[0]
    may_stay = _held(fine, precision, float(rule.spacing[best]))
    squares = (rule.nodes[:, None] - values) ** 2
    functions, held = _without(log_rows, log_p, may_stay, squares)
    solved = np.linalg.solve(kernel, np.column_stack([np.exp(log_p - log_p[best]), functions]))
    pooling, offset, within = _pooling(slopes, points)
    common, of_rows = _moments(rule.nodes, slopes, points)
    kept = len(values) if len(values) <= MOST_KEPT else 0
    return Slice(
        tau=tau,
        nodes=rule.nodes,
        spacing=rule.spacing,
        points=points,
        smooth=solved[:, 0] / solved[:, 0].sum(),
        without=solved[:, 1:],
        held=held,
        pooling=pooling,
        offset=offset,
        within=within,
        common_moments=common,
        row_moments=of_rows,
        deviation=slopes[1][:, :kept],
        variance=slopes[2][:, :kept],
        implied=rows.implied_at(tau),
    ), log_mass


def _kernel(nodes: Array, spacing: Array) -> Array:
    """Return the normal densities about every node at every node."""
    z = (nodes[:, None] - nodes) / spacing
    return np.asarray(np.exp(-(z**2) / 2) / (spacing * math.sqrt(2 * math.pi)))


def _held(blocks: list[Block], precision: Array, spacing: float) -> tuple[Array, NDArray[np.bool_]]:
    """Return a precision of each row's square that may stay in its function, and whether it is all of the likelihood.

    Where a row has one inner node its likelihood is the exponential of that square.
    """
    held = np.minimum(precision, 0.25 / spacing**2)
    single = np.zeros(len(precision), dtype=bool)
    for block in blocks:
        alone = np.isfinite(block.log_p).sum(axis=1) == 1
        single[block.rows] = alone
        held[block.rows[alone]] = 1 / (block.noise + block.spread)[alone, 0]
    return held, single


def _without(
    log_rows: Array, log_p: Array, held: tuple[Array, NDArray[np.bool_]], squares: Array
) -> tuple[Array, Array]:
    """Return for each row the density without its likelihood, at the nodes, and the precision that was held.

    All of a likelihood is taken out where that leaves the digits of what matters: an estimate far from the others, with
    a light tail, would leave a function whose large values cancel. There the square stays in.

    Parameters
    ----------
    log_rows, log_p
        Log likelihood of each row, shape (M, R), and of all with the prior, shape (M,).
    held
        From `_held`.
    squares
        Squared distances of the nodes from each estimate, shape (M, R).
    """
    precision, single = held
    all_out = log_p[:, None] - log_rows
    part_out = all_out - squares * precision / 2

    def lost(log_function: Array) -> Array:
        return np.asarray((log_p[:, None] - log_function).max(axis=0) + log_function.max(axis=0))

    stays = single | (lost(part_out) < lost(all_out) - math.log(1e3))
    log_function = np.where(stays, part_out, all_out)
    return np.exp(log_function - log_function.max(axis=0)), np.where(stays, precision, 0.0)


def _pooling(slopes: Sequence[Array], points: Array) -> tuple[Array, Array, float]:
    """Return expected pooling weights, expected deviations of slopes, and their expected variance between groups."""
    pooling, mean, variance = slopes
    between = mean.var(axis=1, ddof=1) if mean.shape[1] > 1 else np.zeros(len(points))
    return points @ pooling, points @ mean, float(points @ (between + variance.mean(axis=1)))


def _moments(nodes: Array, slopes: Sequence[Array], points: Array) -> tuple[tuple[float, float], Array]:
    """Return mean and variance given tau, of the common slope and of each group's, the latter of shape (2, R)."""
    _, deviation, variance = slopes
    centre = float(points @ nodes)
    middle = points @ deviation
    far = (nodes - centre)[:, None] + (deviation - middle)
    return (centre, float(points @ (nodes - centre) ** 2)), np.array([centre + middle, points @ (variance + far**2)])


def change(coarse: RobustPosterior, fine: RobustPosterior) -> float:
    """Return the largest change of any number: of probabilities, and of moments in posterior standard deviations.

    With more than `MOST_COMPARED` groups those with the lowest, highest and most precise estimates are compared.
    """
    changes = [abs(fine.log_evidence - coarse.log_evidence)]
    for name in (*_compared(fine.estimates), None, "common"):
        (a, b), order = (_mixture_of(one, name) for one in (coarse, fine)), _order_of(fine, name)
        low, high = b.rough_interval()
        changes += [abs(a.cdf(x) - b.cdf(x)) for x in (0.0, low, high)]
        scale = (b.sd if exists(2, order) else high - low) + 1e-9 * max(abs(low), abs(high))
        if exists(1, order):
            changes.append(abs(b.mean - a.mean) / scale)
        if exists(2, order):
            changes.append(abs(b.sd - a.sd) / scale)
    if fine.rule.layout is not None:
        changes += [abs(fine.tau_cdf(tau) - coarse.tau_cdf(tau)) for tau in _quartiles(fine)]
        if fine.orders.tau > 1:
            changes.append(abs(fine.tau_mean() - coarse.tau_mean()) / fine.tau_mean())
    return max(changes)


def _compared(estimates: Estimates) -> list[int]:
    """Return the groups that are compared."""
    places = np.flatnonzero(estimates.printed)
    if len(places) <= MOST_COMPARED:
        return [int(place) for place in places]
    third = MOST_COMPARED // 3
    by_value = places[np.argsort(estimates.values[places], kind="stable")]
    by_error = places[np.argsort(estimates.typical[places], kind="stable")]
    return sorted({int(place) for place in (*by_value[:third], *by_value[-third:], *by_error[:third])})


def _mixture_of(posterior: RobustPosterior, name: int | str | None) -> SignedMixture:
    return posterior.common() if isinstance(name, str) else posterior.group(name)


def _order_of(posterior: RobustPosterior, name: int | str | None) -> float:
    return posterior.orders.common if isinstance(name, str) else posterior.order(name)


def _quartiles(posterior: RobustPosterior) -> Array:
    """Return values of tau near its quartiles and its 97.5 % quantile."""
    places = np.searchsorted(np.cumsum(posterior.weights), (0.25, 0.5, 0.75, 0.975))
    return posterior.tau[np.minimum(places, len(posterior.weights) - 1)]
