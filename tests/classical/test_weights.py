"""Regressions of rows with weights: pyfixest's numbers, and CR2, bootstrap and tests written out on scaled rows."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pyfixest
import pytest
from pyfixest.demeaners import MapDemeaner

from cbec_bayes.classical.batch import prepare
from cbec_bayes.classical.equal_slopes import EqualityOptions, equality_rows
from cbec_bayes.classical.few import few_clusters
from cbec_bayes.classical.fewbatch import draw_weights, prepare_few
from cbec_bayes.classical.fits import quiet
from cbec_bayes.classical.group_slopes import group_slopes
from cbec_bayes.classical.permutation import slopes_under, unit_moments
from cbec_bayes.classical.regression import twfe
from cbec_bayes.classical.transformed import regress
from cbec_bayes.classical.wald import contrasts_of, wald_test
from cbec_bayes.panel import Roles, make_panel
from cbec_bayes.panel.design import Design, make_design
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import InputError
from tests.support.regressions import FOLDER

ROLES = Roles(outcome="y", exposure="x", controls=("z",), unit="unit", time="time", group="group", weights="w")
COPIES = replace(ROLES, weights="k", weights_kind="frequency")
EXACT = 1e-8


def rows(name: str) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    found = pd.DataFrame([(f"u{i:02d}", 2000 + t) for i in range(15) for t in range(8)], columns=["unit", "time"])
    found["group"] = np.where(found["unit"] < "u08", "east", "west")
    found = found.assign(x=rng.normal(size=120), z=rng.normal(size=120) + 5.0)
    found["w"], found["k"] = 3 * rng.gamma(2.0, size=120), rng.integers(1, 5, 120)
    found["y"] = 0.5 * found["x"] + 0.2 * found["z"] + rng.normal(size=120) / np.sqrt(found["w"]) + 10.0
    return found if name == "balanced" else found.sample(frac=0.8, random_state=1).sort_index()


def design_of(name: str, roles: Roles = ROLES) -> Design:
    return make_design(make_panel(rows(name), roles))


@pytest.mark.parametrize("directly", [False, True])
@pytest.mark.parametrize("kind", ["analytic", "frequency"])
@pytest.mark.parametrize("name", ["balanced", "unbalanced"])
def test_numbers_are_those_of_pyfixest(name, kind, directly):
    roles, own = (ROLES, "aweights") if kind == "analytic" else (COPIES, "fweights")
    found = twfe(design_of(name, roles), ssc="fixest", directly=directly)
    with quiet():
        expected = pyfixest.feols(
            "y ~ x + z | unit + time",
            data=rows(name),
            weights=roles.weights,
            weights_type=own,
            vcov={"CRV1": "unit"},
            ssc=pyfixest.ssc(k_adj=True, k_fixef="nonnested", G_adj=True, G_df="min"),
            fixef_rm="none",
            demeaner=MapDemeaner(fixef_tol=1e-13, fixef_maxiter=100_000),
        )
    np.testing.assert_allclose(found.estimate, expected.coef(), rtol=EXACT)
    np.testing.assert_allclose(found.se, expected.se(), rtol=EXACT)
    np.testing.assert_allclose(found.p, expected.pvalue(), rtol=EXACT)
    assert found.n_obs == expected._N
    assert found.r2 == pytest.approx(expected._r2, rel=EXACT)
    assert found.r2_adjusted == pytest.approx(expected._adj_r2, rel=EXACT)
    assert found.r2_within == pytest.approx(expected._r2_within, rel=EXACT)


def laid_out(design: Design) -> tuple[Array, Array]:
    """Rows times the roots of their weights: the outcome, and regressors beside indicators of units and periods."""
    own = design.unit[:, None] == np.arange(len(design.units))
    columns = np.column_stack([design.x, own, design.time[:, None] == np.arange(1, len(design.times))])
    return design.y * design.root, columns * design.root[:, None]


def bias_reduced(x: Array, y: Array, cluster: Array) -> Array:
    """CR2 standard errors with the identity for a working model, every column laid out."""
    q, r = np.linalg.qr(x)
    residual = y - q @ (q.T @ y)
    meat = np.zeros((x.shape[1],) * 2)
    for code in np.unique(cluster):
        own = cluster == code
        values, vectors = np.linalg.eigh(np.eye(own.sum()) - q[own] @ q[own].T)
        root = np.where(values > 1e-10, 1 / np.sqrt(np.maximum(values, 1e-10)), 0.0)
        score = q[own].T @ ((vectors * root) @ (vectors.T @ residual[own]))
        meat += np.outer(score, score)
    back = np.linalg.inv(r)
    return np.sqrt(np.diag(back @ meat @ back.T))


@pytest.mark.parametrize("name", ["balanced", "unbalanced"])
def test_methods_for_few_clusters_are_those_of_scaled_rows(name):
    design = design_of(name)
    y, x = laid_out(design)
    found = few_clusters(design, replications=999)
    np.testing.assert_allclose(found.cr2_se, bias_reduced(x, y, design.unit)[:2], rtol=EXACT)
    slopes = []
    for u in range(len(design.units)):
        keep = design.unit != u
        columns = x[keep][:, np.abs(x[keep]).max(axis=0) > 0]
        slopes.append(np.linalg.lstsq(columns, y[keep])[0][:2])
    left = np.array(slopes) - found.regression.estimate
    n = len(slopes)
    np.testing.assert_allclose(found.crv3_se, np.sqrt((n - 1) / n * (left**2).sum(axis=0)), rtol=EXACT)
    trends = regress(design, "trends")
    own = x[:, 2 : 2 + len(design.units)] * design.elapsed[:, None]
    u, d, _ = np.linalg.svd(np.column_stack([x[:, 2:], own]), full_matrices=False)
    basis = u[:, d > 1e-9 * d[0]]
    left_x, left_y = (one - basis @ (basis.T @ one) for one in (x[:, :2], y))
    np.testing.assert_allclose(trends.estimate, np.linalg.lstsq(left_x, left_y)[0], rtol=EXACT)


@pytest.mark.parametrize("name", ["balanced", "unbalanced"])
def test_the_bootstrap_is_that_of_scaled_rows(name):
    """Draw by draw, every regression run again on what the weights make of the restricted residuals."""
    design = design_of(name)
    y, x = laid_out(design)
    prepared = prepare_few(design)
    p = prepared.wild_p(design.y[None], 0, 0.0, 199, 3)[0]
    draws = draw_weights(len(design.units), 199, 3)
    restricted = x[:, 1:] @ np.linalg.lstsq(x[:, 1:], y)[0]
    q, r = np.linalg.qr(x[:, ::-1])  # the exposure last: its slope is the last of R's

    def statistic(outcome: Array) -> float:
        slope = (q[:, -1] @ outcome) / r[-1, -1]
        residual = outcome - q @ (q.T @ outcome)
        score = np.bincount(design.unit, q[:, -1] * residual) / r[-1, -1]
        return abs(slope) / float(np.sqrt(score @ score))

    sample = statistic(y)
    every = [statistic(restricted + (y - restricted) * one[design.unit]) for one in draws.T]
    assert p == pytest.approx(np.mean(np.array(every) > sample * (1 + 1e-9)), abs=1e-12)


@pytest.mark.parametrize("name", ["balanced", "unbalanced"])
def test_outcomes_at_once_are_one_after_the_other(name):
    design = design_of(name)
    fit, one = prepare(design).fit(design.y[None]), twfe(design)
    for own in ("estimate", "se", "constant", "constant_se", "r2", "r2_within"):
        np.testing.assert_allclose(np.ravel(getattr(fit, own)), np.ravel(getattr(one, own)), rtol=EXACT)


def interacted(design: Design, group: Array) -> Design:
    own = design.x[:, :1] * (group[:, None] == np.arange(2))
    return design.with_regressors(("east", "west", "z"), np.column_stack([own, design.x[:, 1]]))


@pytest.mark.parametrize("roles", [ROLES, COPIES], ids=["analytic", "frequency"])
def test_slopes_of_groups_and_the_wald_test_are_those_of_the_interacted_regression(roles):
    """The statistic of two groups is the square of the t of their difference, CR2 on scaled rows."""
    design = design_of("unbalanced", roles)
    slopes = group_slopes(design, "common")
    assert design.group is not None
    y, x = laid_out(interacted(design, design.group))
    np.testing.assert_allclose(slopes.estimate, np.linalg.lstsq(x, y)[0][:2], rtol=EXACT)
    np.testing.assert_allclose(np.sqrt(np.diag(slopes.covariance)), bias_reduced(x, y, design.unit)[:2], rtol=EXACT)
    both = x.copy()
    both[:, 1] += both[:, 0]  # the slope of the first column is then the difference
    t = np.linalg.lstsq(both, y)[0][0] / bias_reduced(both, y, design.unit)[0]
    assert wald_test(slopes, contrasts_of(2)).statistic == pytest.approx(t**2, rel=EXACT)


@pytest.mark.parametrize("roles", [ROLES, COPIES], ids=["analytic", "frequency"])
def test_slopes_under_other_groups_are_those_of_the_regression_on_them(roles):
    design = design_of("unbalanced", roles)
    moments = unit_moments(design)
    labels = np.random.default_rng(4).permutation(design.group_of_unit)
    estimate, variance = slopes_under(moments, labels[None], 2, "common")
    found = twfe(interacted(design, labels[design.unit]), ssc="reghdfe")
    np.testing.assert_allclose(estimate[0], found.estimate[:2], rtol=1e-7)
    factor = found.vcov[:2, :2] / variance[0]
    np.testing.assert_allclose(factor, factor[0, 0], rtol=1e-6)


@pytest.mark.parametrize("roles", [ROLES, COPIES], ids=["analytic", "frequency"])
def test_every_test_of_equal_slopes_has_a_number(roles):
    found = equality_rows(
        design_of("balanced", roles), EqualityOptions(replications=99, permutations=99, pair_permutations=99)
    )
    assert {row["test"] for row in found if np.isfinite(row.get("p", np.nan))} >= {
        "wald",
        "wild_bootstrap",
        "permutation",
    }


def test_constant_weights_give_the_numbers_without():
    frame = rows("unbalanced").assign(w=4.0)
    weighted, plain = (make_design(make_panel(frame, replace(ROLES, weights=own))) for own in ("w", None))
    ones = np.ones(len(frame))
    for own in (weighted, replace(plain, weight=ones, effects=replace(plain.effects, weight=ones))):
        one, other = few_clusters(own, replications=99), few_clusters(plain, replications=99)
        np.testing.assert_allclose(one.regression.se, other.regression.se, rtol=1e-10)
        np.testing.assert_allclose(one.cr2_se, other.cr2_se, rtol=1e-10)
        np.testing.assert_allclose(one.wild_p, other.wild_p, rtol=1e-10)
        assert one.regression.constant == pytest.approx(other.regression.constant, rel=1e-10)


@pytest.mark.parametrize("roles", [ROLES, COPIES], ids=["analytic", "frequency"])
def test_first_differences_are_left_out_with_a_sentence(roles):
    with pytest.raises(InputError, match="regression of first differences is left out"):
        regress(design_of("balanced", roles), "differences")


GOLDEN = json.loads((FOLDER / "weights.json").read_text(encoding="utf-8"))["cases"]


@pytest.mark.parametrize("label", GOLDEN)
def test_numbers_are_those_of_lm_and_clubsandwich_in_r(label):
    """CR2 of rows times the roots of weights, and its degrees of freedom; tests/golden/make_weights.R made them."""
    case = GOLDEN[label]
    frame = pd.read_csv(FOLDER / "produc.csv")
    frame = frame[(np.arange(len(frame)) + 1) % int(case["every"]) != 0]
    frame = frame.assign(copies=1 + frame["year"] % 3)
    weights = "emp" if case["kind"] == "analytic" else "copies"
    columns = Roles(outcome="gsp", exposure="pcap", controls=("pc", "unemp"), unit="state", time="year")
    design = make_design(make_panel(frame, replace(columns, weights=weights, weights_kind=case["kind"])))
    found = few_clusters(design, ssc="fixest", bootstrapped=())
    assert found.regression.n_obs == case["nobs"]
    np.testing.assert_allclose(found.regression.estimate, list(case["coef"].values()), rtol=1e-7)
    np.testing.assert_allclose(found.cr2_se, list(case["se"].values()), rtol=1e-7)
    np.testing.assert_allclose(found.cr2_df, list(case["df"].values()), rtol=1e-6)
    assert found.regression.r2 == pytest.approx(case["r_squared"], rel=1e-8)
    assert found.regression.r2_adjusted == pytest.approx(case["adj_r_squared"], rel=1e-8)
