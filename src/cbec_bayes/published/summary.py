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
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from cbec_bayes.bayes.model.densities import tail_index
from cbec_bayes.bayes.model.prior import FAMILIES, Prior
from cbec_bayes.published.conditional import implied_errors, n_combinations, nodes_at, typical_error
from cbec_bayes.published.estimates import Estimates
from cbec_bayes.published.posterior import SummaryPosterior
from cbec_bayes.published.quadrature import LARGEST_SCALE, scale_rule
from cbec_bayes.published.summary_model import SummaryModel
from cbec_bayes.runtime.errors import GateError, InputError

Array = NDArray[np.float64]

TOLERANCE = 1e-6
_MAX_NODES = 25_000_000
_NEGLIGIBLE = math.log(1e-12)


class TooManyNodesError(InputError):
    """More standard errors are known by their stars alone than a product rule can carry."""


# Step of the rule of tau and nodes per implied standard error, from coarse to fine.
_LEVELS = ((1 / 6, 8), (1 / 8, 12), (1 / 12, 18), (1 / 16, 26), (1 / 32, 36), (1 / 64, 48), (1 / 128, 64))


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
        More standard errors are known by their stars alone than a product rule can carry, or a prior's scale is so
        large or so small that its square is no number.
    GateError
        The quadrature did not reach `TOLERANCE`.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> printed = cb.heterogeneity(cb.load_paper())
    >>> estimates = cb.under_reading(printed, "coherent")
    >>> posterior = cb.fit_summary(estimates, cb.load_summary_model("published_half_normal"), unit=1.24)
    >>> posterior.labels
    ('east', 'central', 'west', 'north-east')
    """
    unit = resolve_unit(estimates, model, unit)
    if not unit > 0:
        raise InputError(f"the unit of the priors must be positive, not {unit:g}")
    resolved = model.resolved(unit)
    _require_computable(resolved)
    posterior: SummaryPosterior | None = None
    exact = resolved.between.dist == "fixed" and not implied_errors(estimates)
    for level in _LEVELS:
        if posterior is not None and posterior.error <= TOLERANCE:
            break
        if _n_nodes(estimates, resolved, level) > _MAX_NODES:
            raise TooManyNodesError(
                f"{len(implied_errors(estimates))} standard errors are known by their stars alone, too many for exact "
                "quadrature; use --engine pymc"
            )
        finer = _solve(estimates, resolved, level)
        if exact:
            return replace(finer, error=0.0)
        if posterior is not None:
            finer = replace(finer, error=_change(posterior, finer))
        posterior = finer
    assert posterior is not None
    if not posterior.error <= TOLERANCE:
        raise GateError(f"the quadrature changed by {posterior.error:.1e} when refined; {TOLERANCE:g} is required")
    return posterior


def _require_computable(model: SummaryModel) -> None:
    """Raise `InputError` where the square of a prior's scale, or its inverse, is beyond what a float can be."""
    for name, prior in (("the common slope", model.slope), ("the scale between groups", model.between)):
        sizes = [abs(prior.params[key]) for key, scaled in FAMILIES[prior.dist].items() if scaled]
        # A small scale between groups leaves the rest as it is; a small one of the slope is divided by.
        least = 1 / LARGEST_SCALE if name == "the common slope" and prior.dist == "normal" else 0.0
        if max(sizes, default=0.0) > LARGEST_SCALE or prior.params.get("sd", 1.0) < least:
            raise InputError(
                f"the prior of {name}, {prior}, is beyond what can be computed with; another unit of the priors helps"
            )


def _n_nodes(estimates: Estimates, model: SummaryModel, level: tuple[float, int]) -> int:
    n_tau = len(scale_rule(model.between, typical_error(estimates), level[0]).nodes)
    return n_tau * n_combinations(estimates, level[1])


def _moment_order(estimates: Estimates, model: SummaryModel) -> float:
    """Order below which moments of beta exist: tail of the prior of tau times tail tau^-(R - 1) of the likelihood.

    0 where not even a printed group's own slope has a mean.
    """
    flat = model.slope.dist == "flat"
    n_printed = int(estimates.printed.sum())
    if flat and n_printed == 1 and any(error.q_low == 0 for error in implied_errors(estimates)):
        return 0.0  # the one standard error has no upper bound and no mean, and nothing else holds the slope
    return tail_index(model.between) + n_printed - (1 if flat else 0)


def _solve(estimates: Estimates, model: SummaryModel, level: tuple[float, int]) -> SummaryPosterior:
    """Solve at one level of refinement; nodes of negligible weight are dropped as they come."""
    typical = typical_error(estimates)
    rule = scale_rule(model.between, typical, level[0])
    order = _moment_order(estimates, model)
    # A node counts by its weight, and by its weight times each of the moments that are read off it.
    powers = np.arange(3 if order > 2 else 2 if order > 1 else 1)[:, None]
    parts: list[tuple[Array, Array, Array, Array, Array]] = []
    largest = np.full((len(powers), 1), -math.inf)

    def count(log_weight: Array, tau: Array) -> Array:
        moments = log_weight + powers * np.log1p(tau / typical)
        largest[:] = np.maximum(largest, moments.max(axis=1, keepdims=True))
        return np.asarray((moments >= largest + _NEGLIGIBLE).any(axis=0))

    for nodes in nodes_at(estimates, model.slope, rule.nodes, level[1]):
        tau = rule.nodes[nodes.of]
        log_weight = nodes.log_p + rule.log_weights[nodes.of]
        keep = count(log_weight, tau)
        parts.append((log_weight[keep], tau[keep], nodes.mean[keep], nodes.var[keep], nodes.variances[keep]))
    log_weight, taus, mean, var, variances = (np.concatenate(column) for column in zip(*parts, strict=True))
    keep = count(log_weight, taus)
    log_evidence = float(special.logsumexp(log_weight[keep]))
    return SummaryPosterior(
        labels=estimates.labels,
        estimates=estimates,
        model=model,
        weights=np.exp(log_weight[keep] - log_evidence),
        tau=taus[keep],
        slope_mean=mean[keep],
        slope_var=var[keep],
        variances=variances[keep],
        log_evidence=log_evidence,
        error=math.inf,
        level=level,
        moment_order=order,
    )


def _change(coarse: SummaryPosterior, fine: SummaryPosterior) -> float:
    """Return the largest change of any number: of probabilities, and of moments in posterior standard deviations."""
    indices: Sequence[int | None] = (*range(len(fine.labels)), None)
    pairs = [(coarse.common(), fine.common()), *((coarse.group(i), fine.group(i)) for i in indices)]
    changes = [abs(fine.log_evidence - coarse.log_evidence)]
    for a, b in pairs:
        scale = b.sd + 1e-9 * abs(b.mean)  # double precision allows no more
        changes.append(abs(b.p_positive - a.p_positive))
        if fine.moment_order > 1:
            changes.append(abs(b.mean - a.mean) / scale)
        if fine.moment_order > 2:
            changes.append(abs(b.sd - a.sd) / scale)
    if fine.moment_order > 1 and fine.model.between.dist != "fixed":
        changes.append(abs(fine.tau_mean() - coarse.tau_mean()) / fine.tau_mean())
    return max(changes)


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
