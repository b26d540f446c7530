"""The job behind `cbec-bayes report` of a folder of pooled estimates: everything that its page shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cbec_bayes.jobs.pooled_settings import arguments, content, file_of, options_of, read_pooled
from cbec_bayes.jobs.pooled_tables import PooledTables, tables_of
from cbec_bayes.jobs.published import pool_file, read_for_pooling
from cbec_bayes.published.estimates import Estimates
from cbec_bayes.published.readings import critical_value
from cbec_bayes.published.results import complete_pooling
from cbec_bayes.published.summary import HeavyTailsError, conditional_slopes, fit_summary
from cbec_bayes.published.summary_model import SummaryModel
from cbec_bayes.runtime import receipts
from cbec_bayes.runtime.errors import GateError
from cbec_bayes.runtime.labels import CI_PROB
from cbec_bayes.runtime.progress import OnProgress, Progress, ignore_progress

type Array = NDArray[np.float64]

PATH_POINTS = 41
PATH_REACH = 30.0
"""Points of a path, and how far it reaches on both sides of the posterior median of tau, as a factor."""

MOST_IN_PATH = 20
"""Groups up to which a path is drawn: more lines cannot be told apart."""

REGION_POINTS = 21


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledPath:
    """Slopes of groups as tau goes from complete to no pooling.

    Attributes
    ----------
    labels
        R groups with an estimate.
    tau
        Shape (M,).
    means
        Conditional posterior means, shape (M, R).
    density
        Posterior density of log tau, shape (M,).
    complete
        Slope under complete pooling.
    """

    labels: tuple[str, ...]
    tau: Array
    means: Array
    density: Array
    complete: float


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
        path=pooled_path(estimates, model),
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
    """Return the estimates as given, with the intervals that their standard errors give them."""
    half = critical_value(1 - CI_PROB, math.inf) * estimates.typical
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


def pooled_path(estimates: Estimates, model: SummaryModel) -> PooledPath | None:
    """Return the path from complete to no pooling about the posterior median of tau, exact at each of its values.

    Parameters
    ----------
    estimates
        Under one reading.
    model
        With priors in plain numbers.
    """
    printed = np.flatnonzero(estimates.printed)
    if not 2 <= len(printed) <= MOST_IN_PATH or model.between.dist == "fixed":
        return None
    try:
        posterior = fit_summary(estimates, model)
        middle = posterior.tau_quantile(0.5)
        edges = np.geomspace(middle / PATH_REACH, middle * PATH_REACH, PATH_POINTS + 1)
        tau = np.sqrt(edges[1:] * edges[:-1])
        means, _ = conditional_slopes(estimates, model, tau)
        shares = np.diff([posterior.tau_cdf(float(edge)) for edge in edges])
    except (HeavyTailsError, GateError):
        return None
    return PooledPath(
        labels=tuple(estimates.labels[k] for k in printed),
        tau=tau,
        means=means[:, printed],
        density=np.maximum(shares, 0.0) / np.diff(np.log(edges)),
        complete=complete_pooling(estimates),
    )
