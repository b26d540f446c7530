"""Slopes of groups regressed on moderators, and how much of the variance between groups these explain."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd

from cbec_bayes.estimands import SLOPE_ON_COLUMNS, Summary
from cbec_bayes.published.estimates import Estimates
from cbec_bayes.published.results import SummaryResult
from cbec_bayes.published.summary import fit_summary
from cbec_bayes.published.summary_model import SummaryModel
from cbec_bayes.published.terms import StatedTerms
from cbec_bayes.runtime.labels import Origin

COLUMNS = (*SLOPE_ON_COLUMNS, "origin")
"""Columns of slope_regression.csv, of those that a fit of a panel has; see `meta_regression`."""


@dataclass(frozen=True, slots=True)
class MetaRegression:
    """What slopes of groups have to do with moderators: a row for each (`COLUMNS`), and sentences."""

    table: pd.DataFrame
    said: tuple[str, ...]


def meta_regression(
    stated: StatedTerms, estimates: Estimates, model: SummaryModel, result: SummaryResult
) -> MetaRegression:
    """Return the regression of the groups' slopes on moderators.

    Parameters
    ----------
    stated
        The moderators in their own units.
    estimates, model
        The estimates with them, and the model with priors in plain numbers.
    result
        What either engine finds for these estimates under this model.

    Notes
    -----
    ``mean`` to ``p_positive`` are of the change of the slope with one more unit of a moderator, whose prior is flat.
    ``tau_with`` and ``tau_without`` are posterior means of two fits with the same priors, with the moderators and
    without. ``explained`` is 1 - tau_with^2 / tau_without^2, of all moderators together; it is below zero where they
    explain less than they cost.
    """
    assert estimates.terms is not None
    without = fit_summary(replace(estimates, terms=estimates.terms.without_moderators()), model)
    tau_with, tau_without = result.tau.mean, without.tau_mean()
    explained = 1 - tau_with**2 / tau_without**2 if tau_without > 0 else np.nan
    measured = stated.measured[estimates.printed]
    shared = {"n_groups": len(measured), "tau_with": tau_with, "tau_without": tau_without, "explained": explained}
    rows, said = [], []
    for k, name in enumerate(stated.names):
        summary = result.moderators[name]
        own = {"covariate_mean": measured[:, k].mean(), "covariate_sd": measured[:, k].std(ddof=1)}
        rows.append({"covariate": name, **asdict(summary), **own, **shared, "origin": str(Origin.PRINTED)})
        said.append(_sentence(name, summary))
    said.append(_explained(stated.names, tau_with, tau_without, float(explained)))
    return MetaRegression(pd.DataFrame(rows, columns=list(COLUMNS)), tuple(said))


def _sentence(name: str, change: Summary) -> str:
    """Say whether the slope changes with a moderator."""
    interval = f"{change.mean:.3g} ({change.ci_low:.3g} to {change.ci_high:.3g})".replace("-", "\u2212")
    numbers = f"{interval} with one more of it"
    if change.ci_low > 0 or change.ci_high < 0:
        verb = "rises" if change.mean > 0 else "falls"
        return f"The slope {verb} with {name}: it changes by {numbers}."
    return f"Whether the slope rises with {name} is not settled: it changes by {numbers}."


def _explained(names: tuple[str, ...], tau_with: float, tau_without: float, explained: float) -> str:
    """Say how much of the variance of slopes between groups moderators explain."""
    listed = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    explain, they = ("explains", "it") if len(names) == 1 else ("explain", "they")
    if not np.isfinite(explained):
        return f"What {listed} {explain} of the differences between slopes of groups has no mean under this prior."
    share = f"{explained:.0%} of their variance" if explained > 0 else "nothing of their variance"
    return (
        f"The standard deviation of slopes between groups is {tau_with:.3g} with {listed} and {tau_without:.3g} "
        f"without (posterior means of two fits): {they} {explain} {share}."
    )
