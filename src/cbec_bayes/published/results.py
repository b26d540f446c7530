"""From a posterior of the summary-level model, whichever engine made it, to the tables that leave the program."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations

import numpy as np
import pandas as pd

from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.estimands import CONTRAST_COLUMNS, Summary, effects_frame
from cbec_bayes.published.estimates import (
    Estimates,
    ImpliedError,
    KnownError,
    PrintedEstimates,
    Scenario,
    available_readings,
    under_reading,
)
from cbec_bayes.published.pooled import Distribution, PooledPosterior, RegressedPosterior
from cbec_bayes.published.robust.shared import Shared
from cbec_bayes.published.summary import fit_summary, resolve_unit
from cbec_bayes.published.summary_model import RobustModel, SummaryModel
from cbec_bayes.runtime.errors import GateError
from cbec_bayes.runtime.labels import GROUP_ALL, GROUP_NEW, GROUP_TAU, Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryResult:
    """What is read off a posterior, by quadrature or from draws.

    Attributes
    ----------
    labels
        The R groups.
    groups
        Label to summary of the group's slope.
    common, new
        Summaries of the common slope and of the slope of a group not seen.
    tau
        Summary of the between-group scale (its `p_positive` is 1 by construction).
    contrasts
        (group, other) to summary of the difference of their slopes.
    pooling
        Label to pooling factor; NaN for a predicted group.
    pooling_overall
        Gelman and Pardoe's factor for all groups.
    moderators
        Name to summary of the change of the slope with one more unit of what slopes are regressed on.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> printed = cb.heterogeneity(cb.load_paper())
    >>> estimates = cb.under_reading(printed, "coherent")
    >>> posterior = cb.fit_summary(estimates, cb.load_summary_model("published_half_normal"), unit=1.24)
    >>> result = cb.summarise(posterior)
    >>> round(result.tau.mean, 2)
    0.31
    """

    labels: tuple[str, ...]
    groups: Mapping[str, Summary]
    common: Summary
    new: Summary
    tau: Summary
    contrasts: Mapping[tuple[str, str], Summary]
    pooling: Mapping[str, float]
    pooling_overall: float
    moderators: Mapping[str, Summary] = field(default_factory=dict)


def summarise(posterior: PooledPosterior, *, contrasts: bool = True) -> SummaryResult:
    """Read every number off a posterior found by quadrature; the contrasts, of which there are many, on request.

    A mean or standard deviation that does not exist (heavy-tailed prior, few groups) is NaN; quantiles and
    probabilities always exist.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> printed = cb.heterogeneity(cb.load_paper())
    >>> estimates = cb.under_reading(printed, "coherent")
    >>> posterior = cb.fit_summary(estimates, cb.load_summary_model("published_half_normal"), unit=1.24)
    >>> round(cb.summarise(posterior).common.mean, 2)
    0.25
    """
    labels = posterior.labels
    order = posterior.moment_order
    own = math.inf if order > 0 else 0.0  # printed groups are held by their own estimates
    printed = posterior.estimates.printed
    pairs = combinations(range(len(labels)), 2) if contrasts else ()
    tau_low, tau_high = (posterior.tau_quantile(q) for q in (0.025, 0.975))
    return SummaryResult(
        labels=labels,
        groups=_summaries(posterior, own, order),
        common=summarise_common(posterior),
        new=_summary(posterior.group(None), order),
        tau=Summary(mean=posterior.tau_mean(), sd=posterior.tau_sd(), ci_low=tau_low, ci_high=tau_high, p_positive=1.0),
        contrasts={
            (labels[i], labels[j]): _summary(posterior.contrast(i, j), own if printed[i] and printed[j] else order)
            for i, j in pairs
        },
        pooling=dict(zip(labels, posterior.pooling_factors().tolist(), strict=True)),
        pooling_overall=posterior.pooling_factor_overall(),
        moderators=_moderators(posterior),
    )


def summarise_common(posterior: PooledPosterior) -> Summary:
    """Read the common slope off a posterior."""
    order = posterior.moment_order if posterior.model.slope.dist == "flat" else math.inf
    return _summary(posterior.common(), order)


def _moderators(posterior: PooledPosterior) -> dict[str, Summary]:
    """Summarise the coefficients of what slopes are regressed on, where they are."""
    terms = posterior.estimates.terms
    if terms is None or not isinstance(posterior, RegressedPosterior):
        return {}
    return {
        name: _summary(posterior.coefficient(1 + place), posterior.moment_order)
        for place, name in enumerate(terms.names)
    }


def _summaries(posterior: PooledPosterior, own: float, order: float) -> dict[str, Summary]:
    """Summarise the slope of every group; `own` and `order` limit the moments of printed and of predicted ones."""
    numbers = posterior.groups()
    limit = np.where(posterior.estimates.printed, own, order)
    mean, sd = np.where(limit > 1, numbers.mean, math.nan), np.where(limit > 2, numbers.sd, math.nan)
    columns = (column.tolist() for column in (mean, sd, numbers.ci_low, numbers.ci_high, numbers.p_positive))
    return {
        label: Summary(mean=m, sd=s, ci_low=low, ci_high=high, p_positive=p)
        for label, m, s, low, high, p in zip(posterior.labels, *columns, strict=True)
    }


def _summary(distribution: Distribution, order: float) -> Summary:
    low, high = distribution.interval()
    mean = distribution.mean if order > 1 else math.nan
    sd = distribution.sd if order > 2 else math.nan
    return Summary(mean=mean, sd=sd, ci_low=low, ci_high=high, p_positive=distribution.p_positive)


def complete_pooling(estimates: Estimates) -> float:
    """Return the pooled estimate: the mean weighted by precision, averaged over standard errors that are uncertain.

    It is one slope for all groups, whatever these are regressed on.
    """
    if estimates.terms is not None:
        estimates = replace(estimates, terms=estimates.terms.without_moderators())
    model = SummaryModel("complete_pooling", "", Prior("flat", {}), Prior("fixed", {"value": 0.0}), 1.0)
    posterior = fit_summary(estimates, model)
    return posterior.common().mean if posterior.moment_order > 1 else math.nan


def effects_table(printed: PrintedEstimates, estimates: Estimates, result: SummaryResult) -> pd.DataFrame:
    """Return effects.csv: one row per group, one for the common slope, one for a group not yet seen.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> printed = cb.heterogeneity(cb.load_paper())
    >>> estimates = cb.under_reading(printed, "coherent")
    >>> posterior = cb.fit_summary(estimates, cb.load_summary_model("published_half_normal"), unit=1.24)
    >>> cb.effects_table(printed, estimates, cb.summarise(posterior))[["group", "no_pooling", "mean", "sd"]].round(2)
            group  no_pooling  mean    sd
    0        east        0.22  0.22  0.08
    1     central        0.75  0.43  0.28
    2        west        0.07  0.11  0.10
    3  north-east         NaN  0.25  0.48
    4       (all)         NaN  0.25  0.26
    5       (new)         NaN  0.25  0.48
    """
    pooled = complete_pooling(estimates)
    origin = str(Origin.PRINTED)
    rows: list[dict[str, object]] = []
    for row, value, error in zip(printed.rows, estimates.values, estimates.errors, strict=True):
        rows.append(
            {
                "group": row.label,
                "n_units": row.n_units,
                "n_obs": row.n_obs,
                "no_pooling": value,
                "no_pooling_se": error.se if isinstance(error, KnownError) else None,
                "complete_pooling": pooled,
                **asdict(result.groups[row.label]),
                "pooling_factor": result.pooling[row.label],
                "origin": origin,
            }
        )
    for group, summary, factor in (
        (GROUP_ALL, result.common, result.pooling_overall),
        (GROUP_NEW, result.new, math.nan),
    ):
        rows.append(
            {
                "group": group,
                "n_units": _total([row.n_units for row in printed.rows if row.estimate])
                if group == GROUP_ALL
                else None,
                "n_obs": _total([row.n_obs for row in printed.rows if row.estimate]) if group == GROUP_ALL else None,
                "complete_pooling": pooled,
                **asdict(summary),
                "pooling_factor": factor,
                "origin": origin,
            }
        )
    frame = effects_frame(rows)
    frame["se_reading"] = [*(_se_reading(error) for error in estimates.errors), "", ""]
    return frame


def _total(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _se_reading(error: KnownError | ImpliedError | None) -> str:
    if error is None:
        return "not printed: predicted"
    if isinstance(error, KnownError):
        return error.reading
    low, high = error.interval
    return f"{error.reading}: " + (f"{low:.3g} to {high:.3g}" if math.isfinite(high) else f"at least {low:.3g}")


def contrasts_table(result: SummaryResult) -> pd.DataFrame:
    """Return contrasts.csv: the difference between every two groups, with the probability that it is positive.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> printed = cb.heterogeneity(cb.load_paper())
    >>> estimates = cb.under_reading(printed, "coherent")
    >>> posterior = cb.fit_summary(estimates, cb.load_summary_model("published_half_normal"), unit=1.24)
    >>> cb.contrasts_table(cb.summarise(posterior))[["group", "minus", "mean"]].round(2).head(3)
      group       minus  mean
    0  east     central -0.22
    1  east        west  0.10
    2  east  north-east -0.04
    """
    rows = [
        {"group": first, "minus": second, **asdict(summary), "origin": str(Origin.PRINTED)}
        for (first, second), summary in result.contrasts.items()
    ]
    return pd.DataFrame(rows, columns=list(CONTRAST_COLUMNS))


def sensitivity_table(
    printed: PrintedEstimates,
    models: Sequence[SummaryModel],
    *,
    unit: float | None = None,
    readings: Sequence[Scenario] | None = None,
    other_units: Sequence[float] = (),
    on_miss: Callable[[str, str], None] | None = None,
    shared: Shared | None = None,
) -> pd.DataFrame:
    """Return sensitivity.csv: every reading of the standard errors under every model.

    Parameters
    ----------
    printed
        The estimates.
    models
        Models to hold side by side; usually they differ in the prior of the between-group scale.
    unit
        Unit of the priors; default each model's own.
    readings
        Readings of the parentheses; default all that the source allows.
    other_units
        Factors, each of which multiplies the unit of the first model for further rows.
    on_miss
        Called with the name of a model whose quadrature misses its gate, and how; the model then has no rows of that
        reading. Without it the error is raised.
    shared
        What fits of the same estimates have computed already, see `fit_summary`.

    Returns
    -------
    pandas.DataFrame
        One row per reading, model, unit and group, for the common slope, a new group, and tau (`group` = ``"(tau)"``).
        ``unit`` is what the priors of the model were multiplied by.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> printed = cb.heterogeneity(cb.load_paper())
    >>> models = [cb.load_summary_model(name) for name in ("published_half_normal", "published_wide")]
    >>> table = cb.sensitivity_table(printed, models, unit=1.24, readings=["coherent"])
    >>> table.loc[table["group"] == "central", ["model", "mean"]].round(2)
                       model  mean
    1  published_half_normal  0.43
    8         published_wide  0.53
    """
    rows: list[dict[str, object]] = []
    shared = shared or Shared()
    for reading in available_readings(printed) if readings is None else readings:
        estimates = under_reading(printed, reading)
        usable = [model for model in models if estimates.terms is None or not isinstance(model, RobustModel)]
        for model, factor in (*((model, 1.0) for model in usable), *((models[0], factor) for factor in other_units)):
            found = factor * resolve_unit(estimates, model, unit)
            resolved = model.resolved(found)
            try:
                result = summarise(fit_summary(estimates, resolved, shared=shared), contrasts=False)
            except GateError as error:
                if on_miss is None:
                    raise
                on_miss(model.name, str(error))
                continue
            alike = {"reading": reading, "model": model.name, "between_prior": str(resolved.between)}
            rows += [
                {**alike, "group": group, **asdict(summary), "origin": str(Origin.PRINTED), "unit": found}
                for group, summary in _all_slopes(result).items()
            ]
    return pd.DataFrame(rows)


def _all_slopes(result: SummaryResult) -> dict[str, Summary]:
    return {**result.groups, GROUP_ALL: result.common, GROUP_NEW: result.new, GROUP_TAU: result.tau}
