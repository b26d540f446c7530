"""The hierarchical model of printed estimates, solved by quadrature: a finite mixture of normal distributions.

    b_r ~ N(beta_r, s_r^2)    beta_r ~ N(beta, tau^2)    beta, tau ~ priors            (MODEL.md section 5)

Given tau and the standard errors s every slope is normal with known mean and variance (Lindley and Smith, 1972), and
so is every contrast and the slope of a group not seen. Only tau is left, and any s known by its stars alone: they are
integrated by deterministic quadrature. The posterior is therefore a weighted set of *nodes* (tau, s), and every number
read off it (moments, quantiles, probabilities) is exact up to the quadrature error, which is measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import special

from cbec_bayes.bayes.model.densities import tail_index
from cbec_bayes.bayes.model.prior import FAMILIES, Prior
from cbec_bayes.published.conditional import (
    Problem,
    implied_errors,
    log_marginal,
    n_combinations,
    nodes_at,
    problem_of,
    typical_error,
)
from cbec_bayes.published.estimates import Estimates
from cbec_bayes.published.mixture import Mixture
from cbec_bayes.published.pooled import PooledPosterior
from cbec_bayes.published.posterior import SummaryPosterior
from cbec_bayes.published.quadrature import LARGEST_SCALE, Line, log_density, scale_line, scale_rule, window
from cbec_bayes.published.robust.shared import Shared
from cbec_bayes.published.robust.solution import has_heavy_tails, solve
from cbec_bayes.published.scale_curve import ScaleCurve, scale_curve
from cbec_bayes.published.summary_model import SummaryModel
from cbec_bayes.runtime.errors import GateError, InputError

Array = NDArray[np.float64]

TOLERANCE = 1e-6
_MAX_NODES = 5_000_000
_NEGLIGIBLE = math.log(1e-12)
_MARGIN = 15.0
"""By how much deeper than what is negligible the ends of a narrow line lie."""

_FEW = 12
"""Up to so many estimates the posterior of tau is as wide as the whole line, within the refinement of the steps."""

_MOST_COMBINATIONS = 5_000
"""Combinations of standard errors that stars imply beyond which a line is not cut: cutting costs as much as a fit."""

_WIDTH = 8.0
"""Length of a line in y below which steps become smaller, so that there are always 48 of them at least."""

_ANY = Line(1.0, math.inf, 0.0, 0.0)
"""Stands for the line of a fixed scale, which is not integrated."""


class HeavyTailsError(InputError):
    """Moderators or a covariance are asked for where not everything is normal."""


# Step of the rule of tau and nodes per implied standard error, from coarse to fine.
_LEVELS = ((1 / 6, 8), (1 / 8, 12), (1 / 12, 18), (1 / 16, 26), (1 / 32, 36), (1 / 64, 48), (1 / 128, 64))


def resolve_unit(estimates: Estimates, model: SummaryModel, unit: float | None = None) -> float:
    """Return the number that the model's priors are multiplied by: `unit`, else the model's own, else the spread."""
    if unit is not None:
        return unit
    return float(model.unit) if not isinstance(model.unit, str) else estimates.spread


def fit_summary(
    estimates: Estimates, model: SummaryModel, *, unit: float | None = None, shared: Shared | None = None
) -> PooledPosterior:
    """Compute the posterior of the group slopes from printed estimates alone.

    Where all given tau and the standard errors is normal, and few of these are known by their stars alone, it is
    integrated over them; else over tau and the common slope (`cbec_bayes.published.robust`).

    Parameters
    ----------
    estimates
        Values and standard errors of R groups.
    model
        Priors.
    unit
        Overrides the model's unit of slope.
    shared
        What posteriors of the same estimates with heavy tails share; fits that are given the same one take less time.

    Returns
    -------
    PooledPosterior
        Exact to `TOLERANCE` in posterior standard deviations and in probability.

    Raises
    ------
    InputError
        A prior's scale is so large or so small that its square is no number; or heavy tails, or many standard errors
        that are known by their stars alone, meet moderators or a covariance.
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
    normal = None if has_heavy_tails(estimates, resolved) else _fit_normal(estimates, resolved)
    if normal is not None:
        return normal
    if estimates.terms is not None:
        raise HeavyTailsError(
            "moderators and covariances of estimates need normal distributions and standard errors that are known"
        )
    return solve(estimates, resolved, TOLERANCE, shared)


def _fit_normal(estimates: Estimates, resolved: SummaryModel) -> SummaryPosterior | None:
    """Integrate over tau and implied standard errors; None where these have too many combinations."""
    problem = problem_of(estimates, resolved.slope)
    if resolved.between.dist == "fixed" and not implied_errors(estimates):
        return replace(_solve(problem, resolved, _LEVELS[0], _ANY), error=0.0)
    line = _line(problem, resolved) if n_combinations(estimates, _LEVELS[0][1]) <= _MAX_NODES else _ANY
    posterior: SummaryPosterior | None = None
    for level in _LEVELS:
        if posterior is not None and posterior.error <= TOLERANCE:
            break
        if n_combinations(estimates, level[1]) > _MAX_NODES or _n_nodes(estimates, resolved, line, level) > _MAX_NODES:
            return None
        finer = _solve(problem, resolved, level, line)
        if posterior is not None:
            finer = replace(finer, error=_change(posterior, finer))
        posterior = finer
    assert posterior is not None
    if not posterior.error <= TOLERANCE:
        raise GateError(
            f"the result of the quadrature changed by {posterior.error:.1e} when refined; {TOLERANCE:g} is required"
        )
    return replace(posterior, curve=_curve(posterior))


def _require_computable(model: SummaryModel) -> None:
    """Raise `InputError` where the square of a prior's scale, or its inverse, is beyond what a float can be."""
    for name, prior in (("the common slope", model.slope), ("the scale between groups", model.between)):
        sizes = [abs(prior.params[key]) for key, scaled in FAMILIES[prior.dist].items() if scaled]
        # A small scale between groups leaves the rest as it is; a small one of the slope is divided by.
        least = 1 / LARGEST_SCALE if name == "the common slope" and prior.dist == "normal" else 0.0
        if max(sizes, default=0.0) > LARGEST_SCALE or prior.params.get("sd", 1.0) < least:
            raise InputError(
                f"the prior of {name}, {prior}, is too large or too small to compute with; choose another "
                "unit of the priors"
            )


def _line(problem: Problem, model: SummaryModel) -> Line:
    """Return what tau is integrated along: of many estimates the part where the posterior is, which is narrow."""
    if model.between.dist == "fixed":
        return _ANY
    estimates = problem.estimates
    typical = typical_error(estimates)
    line = scale_line(model.between, typical)
    if len(problem.b) <= _FEW or n_combinations(estimates, _LEVELS[0][1]) > _MOST_COMBINATIONS:
        return line
    powers = _powers(_moment_order(problem, model))

    def log_mass(y: Array) -> Array:
        at = line.at(y)
        log_p = log_marginal(problem, at.nodes, _LEVELS[0][1])
        return log_p + at.log_weights + log_density(model.between, at.nodes) + powers * np.log1p(at.nodes / typical)

    return window(log_mass, line, -_NEGLIGIBLE + _MARGIN)


def _step(line: Line, level: tuple[float, int]) -> float:
    """Return the step along a line: that of the level, less where the whole line is narrow."""
    return level[0] * min(1.0, (line.high - line.low) / _WIDTH)


def _n_nodes(estimates: Estimates, model: SummaryModel, line: Line, level: tuple[float, int]) -> int:
    n_tau = len(scale_rule(model.between, line, _step(line, level)).nodes)
    return n_tau * n_combinations(estimates, level[1])


def _moment_order(problem: Problem, model: SummaryModel) -> float:
    """Order below which moments of beta exist: tail of the prior of tau times tail tau^-(n - k) of the likelihood.

    The k coefficients are those with a flat prior. 0 where not even a printed group's own slope has a mean.
    """
    n_printed = len(problem.b)
    if problem.n_flat and n_printed == 1 and any(error.q_low == 0 for error in implied_errors(problem.estimates)):
        return 0.0  # the one standard error has no upper bound and no mean, and nothing else holds the slope
    return tail_index(model.between) + n_printed - problem.n_flat


def _powers(order: float) -> Array:
    """Return the powers of tau whose moments exist, and none of which may be cut, shape (K, 1)."""
    return np.arange(3.0 if order > 2 else 2.0 if order > 1 else 1.0)[:, None]


def _solve(problem: Problem, model: SummaryModel, level: tuple[float, int], line: Line) -> SummaryPosterior:
    """Solve at one level of refinement; nodes of negligible weight are dropped as they come."""
    typical = typical_error(problem.estimates)
    rule = scale_rule(model.between, line, _step(line, level))
    order = _moment_order(problem, model)
    # A node counts by its weight, and by its weight times each of the moments that are read off it.
    powers = _powers(order)
    parts: list[tuple[Array, ...]] = []
    largest = np.full((len(powers), 1), -math.inf)

    def count(log_weight: Array, tau: Array) -> Array:
        moments = log_weight + powers * np.log1p(tau / typical)
        largest[:] = np.maximum(largest, moments.max(axis=1, keepdims=True))
        return np.asarray((moments >= largest + _NEGLIGIBLE).any(axis=0))

    known = not implied_errors(problem.estimates)
    for nodes in nodes_at(problem, rule.nodes, level[1]):
        tau = rule.nodes[nodes.of]
        log_weight = nodes.log_p + rule.log_weights[nodes.of]
        keep = count(log_weight, tau)
        variances = nodes.variances[:0] if known else nodes.variances[keep]
        parts.append((log_weight[keep], tau[keep], nodes.mean[keep], nodes.covariance[keep], variances))
    log_weight, taus, mean, covariance, variances = (np.concatenate(column) for column in zip(*parts, strict=True))
    keep = count(log_weight, taus)
    log_evidence = float(special.logsumexp(log_weight[keep]))
    shape = (int(keep.sum()), len(problem.b))
    return SummaryPosterior(
        problem=problem,
        model=model,
        weights=np.exp(log_weight[keep] - log_evidence),
        tau=taus[keep],
        coefficients=mean[keep],
        covariance=covariance[keep],
        variances=np.broadcast_to(problem.variances, shape) if known else variances[keep],
        curve=None,
        log_evidence=log_evidence,
        error=math.inf,
        level=level,
        moment_order=order,
    )


def _curve(posterior: SummaryPosterior) -> ScaleCurve | None:
    """Return the distribution of tau; None for a fixed one."""
    if posterior.model.between.dist == "fixed":
        return None
    tau = posterior.tau[posterior.tau > 0]
    density = partial(
        _log_density, posterior.problem, posterior.model.between, posterior.level[1], posterior.log_evidence
    )
    return scale_curve(density, float(tau.min()), float(tau.max()))


def _log_density(problem: Problem, between: Prior, n_nodes: int, log_evidence: float, log_tau: Array) -> Array:
    """Return the log posterior density of log tau."""
    tau = np.exp(log_tau)
    return log_marginal(problem, tau, n_nodes) + log_density(between, tau) + log_tau - log_evidence


def _change(coarse: SummaryPosterior, fine: SummaryPosterior) -> float:
    """Return the largest change of any number: of probabilities, and of moments in posterior standard deviations."""
    changes = [abs(fine.log_evidence - coarse.log_evidence)]
    for a, b in ((coarse.group(None), fine.group(None)), *_coefficients(coarse, fine)):
        changes.append(_largest((a.mean, a.sd, a.p_positive), (b.mean, b.sd, b.p_positive), fine.moment_order))
    changes.append(_largest(coarse.moments(), fine.moments(), fine.moment_order))
    if fine.moment_order > 1 and fine.model.between.dist != "fixed":
        changes.append(abs(fine.tau_mean() - coarse.tau_mean()) / fine.tau_mean())
    return max(changes)


def _coefficients(coarse: SummaryPosterior, fine: SummaryPosterior) -> Iterator[tuple[Mixture, Mixture]]:
    for index in range(fine.coefficients.shape[1]):
        yield coarse.coefficient(index), fine.coefficient(index)


def _largest(coarse: Sequence[float | Array], fine: Sequence[float | Array], order: float) -> float:
    """Return the largest change of means, standard deviations and probabilities, as far as they exist."""
    (mean, sd, p), (finer_mean, finer_sd, finer_p) = coarse, fine
    scale = finer_sd + 1e-9 * np.abs(finer_mean)  # double precision allows no more
    changes = [np.abs(finer_p - p)]
    if order > 1:
        changes.append(np.abs(finer_mean - mean) / scale)
    if order > 2:
        changes.append(np.abs(finer_sd - sd) / scale)
    return float(np.max(changes))


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
