"""The summary-level model as a readable `pymc.Model`: the same density, for users who want to extend it.

It is also the independent check of the quadrature, and the engine for tables with so many standard errors known by
their stars alone that a product rule would not carry them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from cbec_bayes.bayes.model.prior import Prior, pymc_scale
from cbec_bayes.bayes.sampling.gates import SamplingDiagnostics
from cbec_bayes.bayes.sampling.nuts import sample
from cbec_bayes.estimands import Summary, pooling_factor_overall, summarise_draws
from cbec_bayes.published.between_shape import BetweenShape
from cbec_bayes.published.conditional import Problem, problem_of
from cbec_bayes.published.estimates import Estimates, ImpliedError, KnownError
from cbec_bayes.published.results import SummaryResult
from cbec_bayes.published.robust.solution import has_heavy_tails
from cbec_bayes.published.summary import resolve_unit
from cbec_bayes.published.summary_model import SummaryModel, between_shape
from cbec_bayes.runtime.errors import GateError, InputError
from cbec_bayes.runtime.progress import OnProgress, ignore_progress

Array = NDArray[np.float64]


def build_summary_pymc(estimates: Estimates, model: SummaryModel, *, unit: float | None = None) -> Any:
    """Build the model of MODEL.md section 5.

    Parameters
    ----------
    estimates, model, unit
        As in `cbec_bayes.published.summary.fit_summary`.

    Returns
    -------
    pymc.Model
        Variables ``slope`` (beta), ``between`` (tau), ``group_slope`` (dims group), ``new_group_slope``, ``se`` (dims
        printed), ``t_stat`` for standard errors that are known by their stars alone, and ``moderator_slope`` (dims
        moderator) where slopes are regressed on any. Where errors have a covariance, estimates and ``se`` are in the
        directions of its eigenvectors.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> printed = cb.heterogeneity(cb.load_paper())
    >>> estimates = cb.under_reading(printed, "coherent")
    >>> model = cb.build_summary_pymc(estimates, cb.load_summary_model("published_half_normal"), unit=1.24)
    >>> sorted(variable.name for variable in model.free_RVs)
    ['between', 'slope', 't_stat_0', 'z', 'z_new']
    """
    import pymc as pm
    import pytensor.tensor as pt

    model = model.resolved(resolve_unit(estimates, model, unit))
    printed = np.flatnonzero(estimates.printed)
    problem = problem_of(estimates, model.slope)
    n_groups, names = len(estimates.labels), estimates.terms.names if estimates.terms is not None else ()
    coords = {"group": list(estimates.labels), "printed": [estimates.labels[i] for i in printed]}
    with pm.Model(coords={**coords, "moderator": list(names)}) as pymc_model:
        values = pm.Data("estimate", problem.b, dims="printed")
        slope = _slope(model.slope)
        expected = slope * problem.x[:, 0] if names or problem.directions is not None else slope
        of_groups = pt.alloc(slope, n_groups)
        if names:
            change = _moderator(problem)
            expected, of_groups = expected + problem.x[:, 1:] @ change, of_groups + problem.columns[:, 1:] @ change
        between = _between(model.between)
        se = pm.Deterministic("se", _errors(problem), dims="printed")
        if has_heavy_tails(estimates, model):
            errors = [error for error in estimates.errors if error is not None]
            _heavy_tails((values, slope, between, se), between_shape(model), errors, printed)
        else:
            _normal(problem, (values, expected, slope, between, se), of_groups, printed)
    return pymc_model


def _normal(problem: Problem, parts: tuple[Any, Any, Any, Any, Any], of_groups: Any, printed: NDArray[np.intp]) -> None:
    """Add estimates and slopes of groups where all is normal; `of_groups` is what slopes of groups are about.

    b_r ~ N(beta_r, s_r^2) with beta_r ~ N(beta, tau^2) integrated out, then beta_r given b_r: the same density as b_r
    given beta_r, without the funnel that either parametrisation of it has (Lai, Domke and Sheldon, 2024).
    """
    import pymc as pm
    import pytensor.tensor as pt

    values, expected, slope, between, se = parts
    total = pt.sqrt(se**2 + between**2)
    pm.Normal("printed_estimate", expected, total, observed=values, dims="printed")
    z = pm.Normal("z", 0, 1, dims="group")
    own = (between / total) ** 2 * (values - expected) + between * se / total * z[printed]
    if problem.directions is not None:
        own = problem.directions @ own
    away = pt.set_subtensor((between * z)[printed], own)
    pm.Deterministic("group_slope", of_groups + away, dims="group")
    pm.Deterministic("new_group_slope", slope + between * pm.Normal("z_new", 0, 1))


def _moderator(problem: Problem) -> Any:
    """Add the change of a slope with one more unit of each moderator, sampled in units that suit the data."""
    import pymc as pm

    spread = problem.columns[problem.estimates.printed, 1:].std(axis=0)
    return pm.Deterministic("moderator_slope", pm.Flat("moderator_by_sd", dims="moderator") / spread, dims="moderator")


def _errors(problem: Problem) -> Any:
    import pytensor.tensor as pt

    if problem.directions is not None:
        return pt.constant(np.sqrt(problem.variances))
    return pt.stack(_standard_errors([error for error in problem.estimates.errors if error is not None]))


def _heavy_tails(
    parts: tuple[Any, Any, Any, Any],
    shape: BetweenShape,
    errors: list[KnownError | ImpliedError],
    printed: NDArray[np.intp],
) -> None:
    """Add slopes of groups, in units of tau from the common slope, and the t likelihoods of estimates."""
    import pymc as pm
    import pytensor.tensor as pt

    values, slope, between, se = parts
    z, z_new = pm.Flat("z", dims="group"), pm.Flat("z_new")
    pm.Potential("z_density", _log_shape(shape, z).sum() + _log_shape(shape, z_new))
    group_slope = pm.Deterministic("group_slope", slope + between * z, dims="group")
    pm.Deterministic("new_group_slope", slope + between * z_new)
    distance = (values - group_slope[printed]) / se
    log_p = [_log_t(distance[row], error.likelihood_df) for row, error in enumerate(errors)]
    pm.Potential("printed_estimate", pt.stack(log_p).sum() - pt.log(se).sum())


def _log_shape(shape: BetweenShape, z: Any) -> Any:
    """Return the log density of a slope's distance from the common one, in units of tau."""
    import pytensor.tensor as pt

    if shape.dist == "two_normals":
        share, ratio = shape.params["share"], shape.params["ratio"]
        narrow = _log_t(z, math.inf) + np.log1p(-share)
        wide = _log_t(z / ratio, math.inf) - np.log(ratio)
        return pt.logaddexp(narrow, wide + np.log(share)) if share > 0 else narrow
    return _log_t(z, shape.params.get("df", math.inf))


def _log_t(z: Any, df: float) -> Any:
    """Return the log density of Student's t; the constant is SciPy's, as PyTensor's log gamma is good to 1e-7 only."""
    import pytensor.tensor as pt

    if math.isinf(df):
        return -(z**2) / 2 + float(stats.norm.logpdf(0))
    return -(df + 1) / 2 * pt.log1p(z**2 / df) + float(stats.t.logpdf(0, df))


def _standard_errors(errors: list[KnownError | ImpliedError]) -> list[Any]:
    import pytensor.tensor as pt

    result = []
    for index, error in enumerate(errors):
        if isinstance(error, KnownError):
            result.append(pt.constant(error.se))
            continue
        result.append(abs(error.estimate) / _t_stat(f"t_stat_{index}", error))
    return result


def _t_stat(name: str, error: ImpliedError) -> Any:
    """Add |t| with its reference distribution truncated to the band (`pm.Truncated` has no usable Student-t cdf)."""
    import pymc as pm
    import pytensor.tensor as pt

    if math.isinf(error.q_high):
        t_stat = error.q_low + pm.HalfFlat(f"{name}_above")
        log_width = 0.0
    else:
        t_stat = pm.Uniform(name, error.q_low, error.q_high)
        log_width = math.log(error.q_high - error.q_low)
    # Kernel and constant by hand: PyTensor's log gamma is good to 1e-7 only, and the engines are held to 1e-8.
    if math.isinf(error.df):
        kernel, at_zero = -(t_stat**2) / 2, stats.norm.logpdf(0)
    else:
        kernel, at_zero = -(error.df + 1) / 2 * pt.log1p(t_stat**2 / error.df), stats.t.logpdf(0, error.df)
    pm.Potential(f"{name}_density", kernel + float(at_zero + log_width - error.log_mass))
    return t_stat


def _slope(prior: Prior) -> Any:
    import pymc as pm

    if prior.dist == "flat":
        return pm.Flat("slope")
    # In double precision: PyTensor takes the logarithm of a Python float in single.
    return pm.Normal("slope", np.float64(prior.params["mean"]), np.float64(prior.params["sd"]))


def _between(prior: Prior) -> Any:
    if prior.dist == "fixed":
        raise InputError(
            "the PyMC engine samples the scale between groups, and this model holds it fixed; use the quadrature"
        )
    return pymc_scale("between", prior)


def fit_pymc(
    estimates: Estimates,
    model: SummaryModel,
    *,
    unit: float | None = None,
    draws: int = 4000,
    seed: int = 1,
    contrasts: bool = True,
    on_progress: OnProgress = ignore_progress,
) -> tuple[SummaryResult, Any, SamplingDiagnostics]:
    """Sample the twin by nutpie and read the same numbers off it that `summarise` reads off the quadrature.

    `on_progress` is called with how many draws are made.

    Returns
    -------
    result, tree, diagnostics
        Summaries, the DataTree of draws, and the diagnostics (gates not yet enforced: call ``diagnostics.require()``).
    """
    pymc_model = build_summary_pymc(estimates, model, unit=unit)
    regressed = estimates.terms is not None and bool(estimates.terms.names)
    tree, diagnostics = sample(
        pymc_model,
        ("slope", "between", "group_slope", "new_group_slope", *(["moderator_slope"] if regressed else [])),
        draws=draws,
        tune=2000,
        seed=seed,
        target_accept=0.98,
        on_progress=on_progress,
    )
    posterior = tree["posterior"].dataset
    slope, tau = (posterior[name].to_numpy().ravel() for name in ("slope", "between"))
    group_slope = posterior["group_slope"].to_numpy().reshape(len(slope), -1)
    variance = posterior["se"].to_numpy().reshape(len(slope), -1) ** 2
    labels, directions = estimates.labels, problem_of(estimates, model.slope).directions
    pooling = np.full(len(labels), math.nan)
    if not has_heavy_tails(estimates, model):  # else the factors depend on scales that are not sampled
        shares = (variance / (variance + tau[:, None] ** 2)).mean(axis=0)
        pooling[estimates.printed] = shares if directions is None else directions**2 @ shares
    result = SummaryResult(
        labels=labels,
        groups={label: summarise_draws(group_slope[:, i]) for i, label in enumerate(labels)},
        common=summarise_draws(slope),
        new=summarise_draws(posterior["new_group_slope"].to_numpy()),
        tau=summarise_draws(tau),
        contrasts={
            (labels[i], labels[j]): summarise_draws(group_slope[:, i] - group_slope[:, j])
            for i, j in (combinations(range(len(labels)), 2) if contrasts else ())
        },
        pooling=dict(zip(labels, pooling.tolist(), strict=True)),
        pooling_overall=pooling_factor_overall(_away(estimates, posterior, group_slope, slope)),
        moderators=_moderators(estimates, posterior),
    )
    return result, tree, diagnostics


def _away(estimates: Estimates, posterior: Any, group_slope: Array, slope: Array) -> Array:
    """Return draws of how far the slopes of printed groups are from what is expected of them."""
    away = group_slope - slope[:, None]
    if estimates.terms is not None and estimates.terms.names:
        change = posterior["moderator_slope"].to_numpy().reshape(len(slope), -1)
        away = away - change @ estimates.terms.moderators.T
    return away[:, estimates.printed]


def _moderators(estimates: Estimates, posterior: Any) -> dict[str, Summary]:
    names = () if estimates.terms is None else estimates.terms.names
    return {name: summarise_draws(posterior["moderator_slope"].sel(moderator=name).to_numpy()) for name in names}


@dataclass(frozen=True, slots=True)
class Agreement:
    """The two engines side by side.

    Attributes
    ----------
    table
        Columns quantity, quadrature, sampled, mcse, difference (in Monte Carlo standard errors).
    worst
        Largest absolute difference.
    """

    table: pd.DataFrame
    worst: float

    def require(self) -> None:
        """Raise `GateError` where the engines differ by more than five Monte Carlo standard errors."""
        if not self.worst < AGREEMENT_MAX:
            raise GateError(f"quadrature and PyMC differ by {self.worst:.1f} Monte Carlo standard errors")


AGREEMENT_MAX = 5.0


def agreement(exact: SummaryResult, tree: Any) -> Agreement:
    """Compare posterior means and standard deviations of both engines in Monte Carlo standard errors.

    Parameters
    ----------
    exact
        From the quadrature.
    tree
        Draws of the twin, from `fit_pymc`.
    """
    import arviz_stats as az

    variables = ["slope", "between", "group_slope", *(["moderator_slope"] if exact.moderators else [])]
    posterior = tree["posterior"].dataset[variables]
    errors = {moment: az.mcse(posterior, method=moment) for moment in ("mean", "sd")}
    places: list[tuple[str, str, dict[str, str], Summary]] = [
        ("common slope", "slope", {}, exact.common),
        ("between-group scale", "between", {}, exact.tau),
        *((f"slope, {label}", "group_slope", {"group": label}, exact.groups[label]) for label in exact.labels),
        *((f"change, {name}", "moderator_slope", {"moderator": name}, one) for name, one in exact.moderators.items()),
    ]
    rows = []
    for name, variable, where, summary in places:
        draws = posterior[variable].sel(where)
        for moment, value, sampled in (
            ("mean", summary.mean, float(draws.mean())),
            ("sd", summary.sd, float(draws.std(ddof=1))),
        ):
            mcse = float(errors[moment][variable].sel(where))
            rows.append((f"{moment}: {name}", value, sampled, mcse, (sampled - value) / mcse))
    table = pd.DataFrame(rows, columns=["quantity", "quadrature", "sampled", "mcse", "difference"])
    return Agreement(table, float(table["difference"].abs().max()))
