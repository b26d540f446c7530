"""The posterior under heavy tails by deterministic quadrature over (beta, tau), refined until nothing changes.

    b_r ~ t_df_r(beta_r, s_r)    beta_r ~ shape(beta, tau)    beta, tau ~ priors            (MODEL.md section 5)

Given (beta, tau) the rows are independent, and each row's density is a finite mixture of normal densities
(`rows.py`). The density of (beta, tau) is therefore known at any point, and it is integrated by sums over nodes that
lie where its mass is (`tau_rule.py`, `common_rule.py`).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from cbec_bayes.published.between_shape import NORMAL
from cbec_bayes.published.estimates import Estimates
from cbec_bayes.published.quadrature import Array
from cbec_bayes.published.robust.existence import exists, highest_power, orders
from cbec_bayes.published.robust.panels import Tabulated
from cbec_bayes.published.robust.posterior import GroupSlope, RobustPosterior
from cbec_bayes.published.robust.rows import rows_of
from cbec_bayes.published.robust.scales import LEVELS, NORMAL_DF, Fineness
from cbec_bayes.published.robust.shared import Guide, Shared
from cbec_bayes.published.robust.tau_rule import Layout, TauRule, fixed_rule, tau_rule
from cbec_bayes.published.summary_model import SummaryModel, between_shape
from cbec_bayes.runtime.errors import GateError

_NEGLIGIBLE = 1e-13

MOST_INNER_NODES = 5_000
"""Nodes of the two scales of one estimate, its own and that of its group's slope, beyond which a fit takes minutes."""

MOST_COMPARED = 30
"""Groups whose numbers are compared between two levels."""


def has_heavy_tails(estimates: Estimates, model: SummaryModel) -> bool:
    """Return whether a likelihood, or the distribution between groups, is not normal."""
    errors = (error for error in estimates.errors if error is not None)
    return between_shape(model) != NORMAL or any(error.likelihood_df < NORMAL_DF for error in errors)


def solve(estimates: Estimates, model: SummaryModel, tolerance: float, shared: Shared | None = None) -> RobustPosterior:
    """Compute the posterior, see `cbec_bayes.published.summary.fit_summary`.

    Parameters
    ----------
    estimates
        Values, standard errors and degrees of freedom of R groups.
    model
        With priors in plain numbers.
    tolerance
        Largest change of a number, in posterior standard deviations or probability, when the rules are refined.
    shared
        What other posteriors of the same estimates have computed, and this one adds to.

    Raises
    ------
    GateError
        The numbers still changed by more at the finest rules; or tails are so heavy that a fit would take minutes.
    """
    _require_few_nodes(estimates, model)
    guide = (shared or Shared()).guide(estimates, model)
    between = model.between.dist, *model.between.params.items()
    if between not in guide.solved:
        guide.solved[between] = _refined(guide, model, tolerance)
    found = guide.solved[between]
    assert isinstance(found, RobustPosterior)
    return replace(found, model=model)


def _require_few_nodes(estimates: Estimates, model: SummaryModel) -> None:
    """Refuse two heavy tails at once that would take minutes, by a count of nodes before anything is computed."""
    rows = rows_of(estimates, model, LEVELS[0])
    count = len(rows.shape_at(0.0).nodes) * max(len(rule.nodes) for rule in rows.noise)
    if count > MOST_INNER_NODES:
        raise GateError(
            f"the tails of the estimates and of their groups are so heavy that each estimate has {count} nodes, more "
            f"than {MOST_INNER_NODES}; give [between_shape] or the estimates more degrees of freedom"
        )


def _refined(guide: Guide, model: SummaryModel, tolerance: float) -> RobustPosterior:
    """Solve at finer and finer levels, until no number changes."""
    layout, found = guide.layout(model), None
    for fineness in LEVELS:
        finer = _solve(guide, model, layout, fineness)
        if found is not None:
            finer = replace(finer, error=change(found, finer))
            if finer.error <= tolerance:
                return finer
        found = finer
    assert found is not None
    raise GateError(
        f"the result of the quadrature changed by {found.error:.1e} when refined; {tolerance:g} is required"
    )


def _solve(guide: Guide, model: SummaryModel, layout: Layout | None, fineness: Fineness) -> RobustPosterior:
    """Solve at one level of refinement."""
    estimates = guide.rough.estimates
    rows, order = rows_of(estimates, model, fineness), orders(guide.rough.errors, model)
    power = highest_power(order.tau)
    scale = float(np.median(rows.scales))
    rule = fixed_rule(model.between.params["value"]) if layout is None else tau_rule(layout, fineness.tau, power, scale)
    found = guide.slices_at(rows, rule, order)
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


def change(coarse: RobustPosterior, fine: RobustPosterior) -> float:
    """Return the largest change of any number: of probabilities, and of moments in posterior standard deviations.

    With more than `MOST_COMPARED` groups those with the lowest, highest and most precise estimates are compared.
    """
    changes = [abs(fine.log_evidence - coarse.log_evidence)]
    for name in (*_compared(fine.estimates), None, "common"):
        (a, b), order = (_mixture_of(one, name) for one in (coarse, fine)), _order_of(fine, name)
        low, high = b.rough_interval()
        changes += [abs(a.cdf(x) - b.cdf(x)) for x in (0.0, low, high)]
        changes += [b.lost] if isinstance(b, Tabulated) else []
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


def _mixture_of(posterior: RobustPosterior, name: int | str | None) -> GroupSlope:
    return posterior.common() if isinstance(name, str) else posterior.group(name)


def _order_of(posterior: RobustPosterior, name: int | str | None) -> float:
    return posterior.orders.common if isinstance(name, str) else posterior.order(name)


def _quartiles(posterior: RobustPosterior) -> Array:
    """Return values of tau near its quartiles and its 97.5 % quantile."""
    places = np.searchsorted(np.cumsum(posterior.weights), (0.25, 0.5, 0.75, 0.975))
    return posterior.tau[np.minimum(places, len(posterior.weights) - 1)]
