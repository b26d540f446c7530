"""Regressions after a transformation within units: against dummies written out, pyfixest, and the Bayesian limits."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.classical.few import few_clusters
from cbec_bayes.classical.transformed import interacted, regress
from cbec_bayes.runtime.errors import InputError
from tests.support.members import conditional, member, panel
from tests.support.regressions import dummies

PANELS = ["balanced", "unbalanced", "public"]


@pytest.mark.parametrize("name", PANELS)
def test_with_levels_taken_out_it_is_the_regression_with_two_way_effects(name):
    design = panel(name)
    found, other = regress(design, "levels"), few_clusters(design, replications=9)
    np.testing.assert_allclose(found.estimate, other.regression.estimate, rtol=1e-8)
    np.testing.assert_allclose(found.cr2_se, other.cr2_se, rtol=1e-8)


def written_out(design, transformation):
    """Outcome, columns and clusters with every effect a column, regressors first."""
    when = np.asarray(design.times)[design.time]
    units = (design.unit[:, None] == np.arange(len(design.units))).astype(float)
    if transformation == "trends":
        return (
            design.y,
            np.column_stack([design.x, dummies(design.unit, design.time), units * when[:, None]]),
            design.unit,
        )
    rows = np.column_stack([design.y, design.x, design.time[:, None] == np.arange(len(design.times))]).astype(float)
    now, before = [], []
    for u in range(len(design.units)):
        own = sorted(np.flatnonzero(design.unit == u), key=lambda i: when[i])
        now += own[1:]
        before += own[:-1]
    gap = np.sqrt(when[now] - when[before])[:, None]
    left = (rows[now] - rows[before]) / gap
    return left[:, 0], left[:, 1:], design.unit[now]


def dense(y, x, cluster, k):
    """Slopes of the first k columns and CR2 by the full hat matrix; collinear columns share a pseudo-inverse."""
    inverse = np.linalg.pinv(x.T @ x, rcond=1e-12)
    slopes = inverse @ x.T @ y
    hat, residual = x @ inverse @ x.T, y - x @ slopes
    variance = np.zeros_like(inverse)
    for g in np.unique(cluster):
        at = cluster == g
        values, vectors = np.linalg.eigh(np.eye(at.sum()) - hat[np.ix_(at, at)])
        kept = values > 1e-9
        root = (vectors[:, kept] / np.sqrt(values[kept])) @ vectors[:, kept].T
        score = inverse @ x[at].T @ root @ residual[at]
        variance += np.outer(score, score)
    return slopes[:k], np.sqrt(np.diag(variance))[:k]


@pytest.mark.parametrize("transformation", ["trends", "differences"])
@pytest.mark.parametrize("name", ["balanced", "unbalanced"])
def test_it_equals_the_regression_with_every_effect_written_out(name, transformation):
    design = panel(name)
    found = regress(design, transformation)
    estimate, se = dense(*written_out(design, transformation), len(design.terms))
    np.testing.assert_allclose(found.estimate, estimate, rtol=1e-8)
    np.testing.assert_allclose(found.cr2_se, se, rtol=1e-7)


@pytest.mark.parametrize("name", PANELS)
def test_unit_trends_are_those_of_pyfixest(name):
    import pyfixest as pf

    design = panel(name)
    columns = {f"x{k}": column for k, column in enumerate(design.x.T)}
    frame = pd.DataFrame({"y": design.y, **columns, "unit": design.unit, "period": design.time})
    frame["when"] = design.elapsed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = pf.feols(f"y ~ {' + '.join(columns)} + i(unit, when) | unit + period", frame, fixef_tol=1e-13)
    np.testing.assert_allclose(regress(design, "trends").estimate, fit.coef()[list(columns)], rtol=1e-6)


@pytest.mark.parametrize(
    ("transformation", "terms"),
    [("trends", {"unit_trend": "fixed"}), ("differences", {"correlation": "random_walk"}), ("levels", {})],
)
@pytest.mark.parametrize("name", PANELS)
def test_a_member_with_the_same_assumptions_has_the_same_slopes(name, transformation, terms):
    """MODEL.md section 3: flat coefficients given any scale are those of the regression."""
    design = panel(name)
    mean, _ = conditional(design, member(**terms), np.array([-0.7]))
    slopes = [value for key, value in mean.items() if key == "slope" or key.startswith("control_slope")]
    np.testing.assert_allclose(regress(design, transformation).estimate, slopes, rtol=1e-8)


def test_slopes_by_group_are_those_of_each_group_and_a_collinear_term_has_none():
    design = panel("balanced")
    found = regress(interacted(design), "levels")
    assert found.terms[: len(design.groups)] == tuple(f"{design.terms[0]}[{group}]" for group in design.groups)
    constant = design.with_regressors(("x0", "level"), np.column_stack([design.x[:, 0], design.unit * 1.0]))
    spent = regress(constant, "differences")
    assert np.isnan(spent.estimate[1])
    assert np.isnan(spent.cr2_se[1])
    with pytest.raises(InputError, match="explain every regressor"):
        regress(constant.keeping(["level"]), "levels")
    with pytest.raises(InputError, match="two units"):
        regress(design.rows(design.unit == 0), "levels")
