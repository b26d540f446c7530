"""Gardner's two stages: effects of units and periods from untreated rows alone, then means of what they leave."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.classical.events.paths import GARDNER, EffectPath, event_columns
from cbec_bayes.classical.linearised import sum_by
from cbec_bayes.panel.adoption import Adoption
from cbec_bayes.panel.within import Array, Codes, means_by, sums_by

_SINGULAR = 1e-11
_UNSPANNED = 1e-8


def gardner_path(adoption: Adoption) -> EffectPath:
    """Return effects by event time by Gardner's (2022) two stages.

    Parameters
    ----------
    adoption
        The rows. Every unit has untreated rows.

    Returns
    -------
    EffectPath
        Effects before adoption are means of residuals of the first stage, which used these very rows: they are nearer
        to zero than those of other estimators. An effect is NaN where untreated rows do not tell the period effect of
        one of its rows.

    Notes
    -----
    The first stage regresses the outcome of untreated rows on unit effects, period effects and controls. The second
    takes means, by event time, of what its predictions leave of all rows. Both are one linear system of moments, so
    that the covariance, clustered by unit, has the uncertainty of the first stage in it. As in did2s (Butts and Gardner
    2022) it carries no small-sample factor; the reference of t is the number of units less one.
    """
    design = adoption.design
    times = (*adoption.leads, *adoption.lags)
    estimate, scores = two_stages(adoption, event_columns(adoption, times))
    average, own = two_stages(adoption, design.x[:, :1])
    return EffectPath(
        estimator=GARDNER,
        event_times=times,
        estimate=estimate,
        covariance=scores.T @ scores,
        average=float(average[0]),
        average_se=math.sqrt(float(own[:, 0] @ own[:, 0])),
        df=len(design.units) - 1.0,
    )


def two_stages(adoption: Adoption, columns: Array) -> tuple[Array, Array]:
    """Return coefficients of second-stage columns, shape (q,), and what each unit adds to their error, (N, q).

    Parameters
    ----------
    adoption
        The rows.
    columns
        Columns of the second stage, which are zero together in no two rows: indicators, shape (n, q).
    """
    design = adoption.design
    untreated = ~adoption.treated
    first = _FirstStage.of(design.unit, _regressors(adoption), untreated)
    left = design.y - first.predicted(design.y)
    rows = columns.sum(axis=0)
    estimate = columns.T @ left / rows
    # Residuals of the second stage, and those of the first carried over by what predictions take from untreated rows.
    own = sum_by(design.unit, columns * (left - columns @ estimate)[:, None])
    carried = first.taken(columns) * left[untreated, None]
    scores = (own - sums_by(design.unit[untreated], carried, len(design.units))) / rows
    lost = columns[first.unspanned].any(axis=0)
    estimate[lost], scores[:, lost] = np.nan, np.nan
    return estimate, scores


def _regressors(adoption: Adoption) -> Array:
    """Return the dummies of periods and the controls about their means, shape (n, T + K)."""
    design = adoption.design
    periods = (design.effects.time[:, None] == np.arange(design.effects.n_times)).astype(float)
    controls = design.x[:, 1:]
    spread = np.linalg.norm(design.effects.within(controls), axis=0)
    return np.column_stack([periods, (controls - controls.mean(axis=0)) / np.where(spread > 0, spread, 1.0)])


class _FirstStage:
    """The regression of untreated rows, as a linear map from their outcomes to predictions of all rows.

    Unit effects are taken out by means over each unit's untreated rows, so that only periods and controls are solved
    for.
    """

    def __init__(self, unit: Codes, untreated: NDArray[np.bool_], outer: Array, solve: Array) -> None:
        self.unit, self.untreated, self.outer, self.solve = unit, untreated, outer, solve
        self.unspanned = np.zeros(len(unit), dtype=bool)

    @classmethod
    def of(cls, unit: Codes, z: Array, untreated: NDArray[np.bool_]) -> _FirstStage:
        """Prepare the map for regressors z, shape (n, p)."""
        own = z[untreated]
        means = means_by(unit[untreated], own)
        inner, outer = own - means[unit[untreated]], z - means[unit]
        left, values, right = np.linalg.svd(inner, full_matrices=False)
        there = values > _SINGULAR * values.max(initial=1.0)
        basis = right[there]
        found = cls(unit, untreated, outer, (basis.T / values[there]) @ left[:, there].T)
        found.unspanned = np.linalg.norm(outer - outer @ basis.T @ basis, axis=1) > _UNSPANNED
        return found

    def predicted(self, y: Array) -> Array:
        """Return predictions of all rows, shape (n,), from the outcome, of which untreated rows count."""
        own = y[self.untreated]
        means = means_by(self.unit[self.untreated], own[:, None])[:, 0]
        slopes = self.solve @ (own - means[self.unit[self.untreated]])
        return np.asarray(means[self.unit] + self.outer @ slopes)

    def taken(self, columns: Array) -> Array:
        """Return what sums of predictions over columns, shape (n, q), take from each untreated row, (rows, q).

        Left out is what they take through unit effects: it is the same for all untreated rows of a unit, whose
        residuals add up to nothing, and units are the clusters.
        """
        return np.asarray(self.solve.T @ (self.outer.T @ columns))
