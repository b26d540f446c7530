"""Tests that nothing happens before adoption: all leads at once, with clustered covariances and small-sample limits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cbec_bayes.classical.batch import prepare
from cbec_bayes.classical.events.paths import SUN_ABRAHAM, TWFE, EffectPath, event_columns, with_columns
from cbec_bayes.classical.few import MOST_CLUSTERS
from cbec_bayes.classical.group_slopes import GroupSlopes, SlopeBlock, covariance_of
from cbec_bayes.classical.linearised import bias_reduced, period_columns, span
from cbec_bayes.classical.wald import WaldTest, wald_test
from cbec_bayes.panel.adoption import Adoption, cells_of
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.distributions import f_sf

CLUSTERED, BIAS_REDUCED = "CRV1", "CR2"


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrendTest:
    """A test that all effects before adoption are zero.

    Attributes
    ----------
    estimator
        Whose effects.
    vcov
        ``CRV1``, with an F test of the number of units less one, or ``CR2``, with the approximate Hotelling test.
    leads
        Event times that are tested.
    test
        The result.
    """

    estimator: str
    vcov: str
    leads: tuple[int, ...]
    test: WaldTest


def clustered_test(path: EffectPath, n_units: int) -> PretrendTest:
    """Test the leads of a path by a clustered Wald test, with as many degrees of freedom as units less one.

    Effects that are not identified are left out of the test.
    """
    leads = [k for k, e in enumerate(path.event_times) if e < 0 and np.isfinite(path.covariance[k, k])]
    q = len(leads)
    if not 0 < q < n_units - 1:
        reason = "there is no period before the reference" if q == 0 else f"{n_units} units are too few for {q} leads"
        return _none(path.estimator, CLUSTERED, q, reason)
    own, covariance = path.estimate[leads], path.covariance[np.ix_(leads, leads)]
    statistic = float(own @ np.linalg.pinv(covariance, hermitian=True) @ own) / q
    df2 = n_units - 1.0
    test = WaldTest(statistic=statistic, df=q, df2=df2, p=float(f_sf(statistic, q, df2)))
    return PretrendTest(
        estimator=path.estimator, vcov=CLUSTERED, leads=tuple(path.event_times[k] for k in leads), test=test
    )


def bias_reduced_test(adoption: Adoption, estimator: str, ssc: str) -> PretrendTest:
    """Test the leads of ``twfe`` or ``sun_abraham`` by the approximate Hotelling test with CR2.

    Parameters
    ----------
    adoption
        The rows.
    estimator
        Whose leads.
    ssc
        Convention, which says which rows are used.
    """
    columns, weights = _leads_of(adoption, estimator)
    design = with_columns(adoption, columns)
    q = len(weights)
    if q == 0:
        return _none(estimator, BIAS_REDUCED, 0, "there is no period before the reference")
    if len(design.units) > MOST_CLUSTERS:
        return _none(estimator, BIAS_REDUCED, q, f"more than {MOST_CLUSTERS} units need no small-sample test")
    prepared = prepare(design, ssc=ssc)
    kept = [k for k in prepared.kept if k < columns.shape[1]]
    told = ~(np.delete(weights, kept, axis=1) != 0).any(axis=1)
    if not told.any():
        return _none(estimator, BIAS_REDUCED, q, "no lead is identified")
    solve = weights[np.ix_(told, kept)] @ prepared.solve[[prepared.kept.index(k) for k in kept]]
    left = prepared.effects.within(design.y[prepared.rows])
    unit = prepared.effects.unit
    basis = span(prepared.within, period_columns(prepared.effects))
    block = SlopeBlock(
        at=np.arange(len(solve)),
        units=design.unit[prepared.rows[np.unique(unit, return_index=True)[1]]],
        unit=unit,
        solve=solve,
        residual=left - prepared.within @ (prepared.solve @ left),
        basis=basis,
        reduced=np.nan_to_num(bias_reduced(solve, basis, unit)[0]),
        factor=prepared.factor,
    )
    leads = tuple(e for e, there in zip(adoption.leads, told, strict=True) if there)
    slopes = GroupSlopes(
        controls="common",
        groups=tuple(map(str, leads)),
        estimate=solve @ left,
        covariance=covariance_of((block,), len(solve)),
        blocks=(block,),
        n_clusters=prepared.effects.n_units,
        left_out={},
    )
    return PretrendTest(estimator=estimator, vcov=BIAS_REDUCED, leads=leads, test=wald_test(slopes, np.eye(len(solve))))


def _leads_of(adoption: Adoption, estimator: str) -> tuple[Array, Array]:
    """Return columns of the regression, shape (n, m), and the weights that make its leads of them, (q, m)."""
    if estimator == TWFE:
        times = (*adoption.lags, *adoption.leads)
        return event_columns(adoption, times), np.eye(len(times))[len(adoption.lags) :]
    assert estimator == SUN_ABRAHAM
    cells = cells_of(adoption, leads=True)
    weights = [cells.shares(cells.event_time == e) for e in adoption.leads]
    return cells.columns, np.array(weights).reshape(len(weights), cells.size)


def _none(estimator: str, vcov: str, q: int, reason: str) -> PretrendTest:
    test = WaldTest(statistic=math.nan, df=q, df2=math.nan, p=math.nan, reason=reason)
    return PretrendTest(estimator=estimator, vcov=vcov, leads=(), test=test)
