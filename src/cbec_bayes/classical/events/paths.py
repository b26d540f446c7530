"""Effects by event time from one regression each: two-way, Sun and Abraham's, and the saturated regression."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cbec_bayes.classical.regression import Regression, twfe
from cbec_bayes.panel.adoption import Adoption, Cells, cells_of
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array

TWFE, SUN_ABRAHAM, GARDNER, SATURATED = "twfe", "sun_abraham", "gardner", "saturated"
ESTIMATORS = (TWFE, SUN_ABRAHAM, GARDNER, SATURATED)
"""Classical estimators, in the order in which tables have them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectPath:
    """What an estimator says of effects by event time, and of all treated rows together.

    Attributes
    ----------
    estimator
        One of `ESTIMATORS`.
    event_times
        The k event times that it has effects of, in order; the reference is not among them.
    estimate, covariance
        Shapes (k,) and (k, k), clustered by unit; NaN where an effect is not identified.
    average, average_se
        Mean effect over treated rows, and its clustered standard error. For ``twfe`` it is the coefficient of a
        regression on adoption alone, which need not be such a mean.
    df
        Degrees of freedom of t.
    """

    estimator: str
    event_times: tuple[int, ...]
    estimate: Array
    covariance: Array
    average: float
    average_se: float
    df: float

    @property
    def se(self) -> Array:
        """Clustered standard errors, shape (k,)."""
        return np.sqrt(np.diag(self.covariance))


@dataclass(frozen=True, slots=True)
class SaturatedFit:
    """A regression with a coefficient for each cell of cohort and event time, and where asked of group.

    Attributes
    ----------
    cells
        The m cells.
    regression
        Whose first m terms are the cells; the controls follow.
    """

    cells: Cells
    regression: Regression

    @property
    def estimate(self) -> Array:
        """Effects of the cells, shape (m,); NaN where they are not identified."""
        return self.regression.estimate[: self.cells.size]

    @property
    def covariance(self) -> Array:
        """Clustered covariance of the effects, shape (m, m)."""
        return self.regression.vcov[: self.cells.size, : self.cells.size]


def fit_saturated(adoption: Adoption, ssc: str, *, leads: bool, by_group: bool = False) -> SaturatedFit:
    """Regress the outcome on indicators of all cells, controls, unit and period effects.

    Parameters
    ----------
    adoption
        The rows.
    ssc
        Convention of the clustered standard errors.
    leads
        Whether cells before the reference have coefficients as well: with them it is the regression of Sun and Abraham
        (2021), without them that of Wooldridge (2021).
    by_group
        Whether cells are by group as well.
    """
    cells = cells_of(adoption, leads=leads, by_group=by_group)
    return SaturatedFit(cells, twfe(with_columns(adoption, cells.columns), ssc=ssc))


def twfe_path(adoption: Adoption, ssc: str) -> EffectPath:
    """Return the event study by two-way fixed effects: a coefficient for each lead and lag, whatever the cohort.

    Notes
    -----
    Where effects differ between cohorts, a coefficient mixes the effects of other event times (Sun and Abraham 2021).
    """
    times = (*adoption.leads, *adoption.lags)
    dynamic = twfe(with_columns(adoption, event_columns(adoption, times)), ssc=ssc)
    static = twfe(adoption.design, ssc=ssc)
    k = len(times)
    return EffectPath(
        estimator=TWFE,
        event_times=times,
        estimate=dynamic.estimate[:k],
        covariance=dynamic.vcov[:k, :k],
        average=float(static.estimate[0]),
        average_se=float(static.se[0]),
        df=dynamic.df,
    )


def path_of_cells(estimator: str, fit: SaturatedFit, group: int | None = None) -> EffectPath:
    """Return effects by event time as means over the cells of each event time, weighted by their rows.

    Parameters
    ----------
    estimator
        Name of it.
    fit
        The regression.
    group
        Code of the group whose cells count; None for all.
    """
    cells = fit.cells
    own = np.ones(cells.size, dtype=bool) if group is None else cells.group == group
    times = tuple(int(e) for e in np.unique(cells.event_time[own]))
    weights = np.stack(
        [cells.shares(own & (cells.event_time == e)) for e in times] + [cells.shares(own & cells.is_treated)]
    )
    estimate, covariance = combined(weights, fit.estimate, fit.covariance)
    return EffectPath(
        estimator=estimator,
        event_times=times,
        estimate=estimate[:-1],
        covariance=covariance[:-1, :-1],
        average=float(estimate[-1]),
        average_se=math.sqrt(covariance[-1, -1]),
        df=fit.regression.df,
    )


def combined(weights: Array, estimate: Array, covariance: Array) -> tuple[Array, Array]:
    """Return sums of estimates, shape (q,), and their covariance, for weights of shape (q, m).

    A sum is NaN where an estimate with a weight is, and not where one without a weight is.
    """
    known = np.isfinite(estimate)
    sums = weights[:, known] @ estimate[known]
    found = weights[:, known] @ covariance[np.ix_(known, known)] @ weights[:, known].T
    lost = (weights[:, ~known] != 0).any(axis=1)
    sums[lost], found[lost], found[:, lost] = np.nan, np.nan, np.nan
    return sums, found


def event_columns(adoption: Adoption, event_times: Sequence[int]) -> Array:
    """Return indicators of event times, whatever the cohort, shape (n, k); zero for units without a cohort."""
    there = (adoption.event_time[:, None] == np.array(event_times)) & adoption.has_cohort[:, None]
    return np.asarray(there, dtype=float)


def with_columns(adoption: Adoption, columns: Array) -> Design:
    """Return the design with other columns in the place of adoption, the controls after them."""
    design = adoption.design
    names = tuple(f"{design.terms[0]}[{k}]" for k in range(columns.shape[1]))
    return design.with_regressors((*names, *adoption.controls), np.column_stack([columns, design.x[:, 1:]]))
