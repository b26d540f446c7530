"""The job behind `cbec-bayes report` of a folder of pooled estimates: everything that its page shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cbec_bayes.jobs.pooled_methods import has_t_likelihood, methods_sentences, name_of_tau
from cbec_bayes.jobs.pooled_settings import arguments, content, file_of, options_of, read_pooled
from cbec_bayes.jobs.pooled_tables import PooledTables, tables_of
from cbec_bayes.jobs.published import pool_file, read_for_pooling
from cbec_bayes.published.estimates import Estimates
from cbec_bayes.published.readings import critical_value
from cbec_bayes.published.results import complete_pooling
from cbec_bayes.published.shrinkage import PooledPath, pooled_path
from cbec_bayes.published.summary import HeavyTailsError, fit_summary
from cbec_bayes.published.summary_model import SummaryModel, between_shape
from cbec_bayes.runtime import receipts
from cbec_bayes.runtime.errors import GateError
from cbec_bayes.runtime.labels import CI_PROB
from cbec_bayes.runtime.progress import OnProgress, Progress, ignore_progress

PATH_POINTS = 41
PATH_REACH = 30.0
"""Points of a path, and how far it reaches on both sides of the posterior median of tau, as a factor."""

MOST_IN_PATH = 20
"""Groups up to which a path is drawn: more lines cannot be told apart."""

REGION_POINTS = 21


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedPooling:
    """Everything that the page of pooled estimates shows.

    Attributes
    ----------
    name
        Name of the file of estimates.
    tables
        What `published` found.
    own
        Columns group, estimate, se, low, high: the estimates as given, with intervals by their standard errors.
    region
        Columns se, low, high: where estimates would lie with probability 95 % if all slopes were `centre`.
    centre
        The slope under complete pooling.
    methods
        How the estimates were pooled, in sentences.
    tau_name
        What τ is called.
    of_t
        Whether an estimate has a t likelihood.
    path
        None for more than `MOST_IN_PATH` groups, and where tau is fixed.
    settings
        As pooled.json holds them.
    """

    name: str
    tables: PooledTables
    own: pd.DataFrame
    region: pd.DataFrame
    centre: float
    methods: tuple[str, ...]
    tau_name: str
    of_t: bool
    path: PooledPath | None
    settings: Mapping[str, Any]


def report_pooled(
    folder: Path, *, reuse: Sequence[Path] = (), on_progress: OnProgress = ignore_progress
) -> ReportedPooling:
    """Compute everything that the page of a folder of pooled estimates shows.

    Parameters
    ----------
    folder
        That `published` wrote to.
    reuse
        Folders in which `published` may have left its tables, which are then read and not computed again.
    on_progress
        Called with the name of each step.

    Raises
    ------
    InputError
        The folder is not one of `published`; the estimates are no longer there, or have changed.
    GateError
        A gate was missed.
    """
    settings = read_pooled(folder)
    file, asked = file_of(settings, folder), arguments(options_of(settings, folder))
    tables = _kept(reuse, content(settings, folder))
    if tables is None:
        found = pool_file(file, **asked, on_progress=on_progress)
        found.require()
        tables = found.tables()
    on_progress(Progress("figures"))
    estimates, model = read_for_pooling(file, **asked)
    centre = complete_pooling(estimates)
    own = own_estimates(estimates)
    return ReportedPooling(
        name=file.name,
        tables=tables,
        own=own,
        region=_region(own, centre),
        centre=centre,
        methods=methods_sentences(estimates, model, settings["options"]),
        tau_name=name_of_tau(between_shape(model)),
        of_t=has_t_likelihood(estimates),
        path=path_about_the_median(estimates, model),
        settings=settings,
    )


def _kept(places: Sequence[Path], asked: Mapping[str, Any]) -> PooledTables | None:
    for packed in receipts.results(places, "published", asked):
        try:
            return tables_of(packed)
        except (KeyError, TypeError, ValueError):
            continue
    return None


def own_estimates(estimates: Estimates) -> pd.DataFrame:
    """Return the estimates as given, with the intervals that their standard errors and degrees of freedom give them."""
    dfs = [math.inf if error is None else error.likelihood_df for error in estimates.errors]
    half = np.array([critical_value(1 - CI_PROB, df) for df in dfs]) * estimates.typical
    numbers = estimates.values  # noqa: PD011 - of estimates
    frame = pd.DataFrame(
        {
            "group": estimates.labels,
            "estimate": numbers,
            "se": estimates.typical,
            "low": numbers - half,
            "high": numbers + half,
        }
    )
    return frame[estimates.printed].reset_index(drop=True)


def _region(own: pd.DataFrame, centre: float) -> pd.DataFrame:
    """Return the triangle of a funnel plot: where 95 % of estimates would lie if all slopes were the same."""
    se = np.linspace(0.0, float(own["se"].max()) * 1.05, REGION_POINTS)
    half = critical_value(1 - CI_PROB, math.inf) * se
    return pd.DataFrame({"se": se, "low": centre - half, "high": centre + half})


def path_about_the_median(estimates: Estimates, model: SummaryModel) -> PooledPath | None:
    """Return the path from complete to no pooling about the posterior median of tau, where there is one to draw.

    Parameters
    ----------
    estimates
        Under one reading.
    model
        With priors in plain numbers.
    """
    if not 2 <= int(estimates.printed.sum()) <= MOST_IN_PATH or model.between.dist == "fixed":
        return None
    try:
        posterior = fit_summary(estimates, model)
        middle = posterior.tau_quantile(0.5)
        ends = middle / PATH_REACH, middle * PATH_REACH
        return pooled_path(estimates, model, posterior, ends, PATH_POINTS)
    except (HeavyTailsError, GateError):
        return None
