"""Predictive densities of what is left out, against dense formulas, sums over the scales, and the regression's own.

The oracles write a model out as y = X b + Z u + e (`tests.bayes.dense`); only the sums over grids use the collapsed
density, of the panel and of the panel without the part, which other tests hold to the dense one.
"""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, special, stats
from threadpoolctl import threadpool_limits

from cbec_bayes.bayes import loo
from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.loo import LeftOutPart, LooTask, leave_one_out, leave_out, leave_out_each_row, parts
from cbec_bayes.bayes.model import blocks as blocks_module
from cbec_bayes.bayes.model.blocks import make_blocks
from cbec_bayes.bayes.model.densities import RHO, log_density, resolve
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.sampling.weights import smoothed_weights
from cbec_bayes.runtime.errors import InputError
from tests.support.members import (
    HALF,
    MEMBERS,
    SMALL,
    by_name,
    dense,
    grouped,
    member,
    panel,
    rearranged,
    rows_covariance,
)
from tests.support.regressions import design_of, dummies, load, random_design

ERRORS = 4.5
"""Monte Carlo standard errors that a number may be off; seeds are fixed, so that a test fails always or never."""

RESAMPLED = 1.5
"""What resampling weighted points adds, at most, to the variance of independent draws."""

BEYOND = 200.0
"""Logarithm of a variance that is as good as infinite."""

COMPLETE = MEMBERS["complete_pooling"]
AR1 = load_panel_model("ar1")
EVERY = MEMBERS | {
    "ar1": AR1,
    "ar1, random units": replace(AR1.choosing(unit_effect="random"), priors={**AR1.priors, "sigma_mu": HALF}),
    "ar1, slopes of units": replace(AR1.choosing(unit_slope="pooled"), priors={**AR1.priors, "kappa": HALF}),
    "ar1, trends": member(correlation="ar1", unit_effect="random", unit_trend="pooled", unit_slope="pooled"),
    "ar1, flat trends": member(correlation="ar1", unit_trend="fixed", group_slope="pooled"),
}
"""The Gaussian members: those of `members`, and errors correlated over time about what units have of their own."""

SPARSE = "sparse"
EQUAL = 30
"""How often a point is repeated where all weights are to be equal."""


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Matrices are small: threads of BLAS would only wait for each other."""
    with threadpool_limits(1):
        yield


def a_panel(name):
    """A panel of `tests.support.members`, or one of which less than half of the cells are there."""
    return grouped(random_design(8, 16, 6, share=0.35), 3) if name == SPARSE else panel(name)


def some_points(engine, seed, size):
    """Points that the units of the data make plausible, shape (size, k)."""
    rng = np.random.default_rng(seed)
    columns = [
        np.arctanh(rng.uniform(-0.4, 0.9, size))
        if name == RHO
        else math.log(0.5 * engine.priors[name].params["scale"]) + 0.5 * rng.normal(size=size)
        for name in engine.names
    ]
    return np.stack(columns, axis=1)


def mask_of(design, rows):
    return np.isin(np.arange(design.n_obs), rows)


def many_draws(monkeypatch, *, refitted):
    """More draws than in earnest, so that an oracle can be held to more digits; all of them refits, where asked."""
    monkeypatch.setattr(loo, "POINTS", 4_000)
    monkeypatch.setattr(loo, "REFIT_DRAWS", 2_000)
    if refitted:
        monkeypatch.setattr(loo, "KHAT_MAX", -1e6)


def without_refits(monkeypatch):
    monkeypatch.setattr(loo, "KHAT_MAX", np.inf)


# Rows: two numbers of the inverse covariance are the ratio of two likelihoods.


def ends_and_middles(design):
    """The first, the middle and the last row of some units of two rows or more."""
    found = []
    for unit in (0, len(design.units) // 2, len(design.units) - 1):
        rows = np.flatnonzero(design.unit == unit)
        found += [rows[0], rows[len(rows) // 2], rows[-1]] if len(rows) > 1 else []
    return found


REAL = ("partial_pooling", "correlated_effects", "group_variance", "ar1")
ROW_CASES = [(name, model) for name in (*SMALL, SPARSE) for model in EVERY]
ROW_CASES += [(name, model) for name in ("grunfeld_unbalanced", "public") for model in REAL]


@pytest.mark.parametrize(("name", "model"), ROW_CASES)
def test_a_row_left_out_is_the_ratio_of_two_likelihoods(monkeypatch, name, model):
    """At one point, at different points with their weights, and where the others do not identify the model."""
    without_refits(monkeypatch)
    design = a_panel(name)
    blocks = make_blocks(design, EVERY[model])
    engine = make_collapsed(blocks)
    points = some_points(engine, 1, 30)
    different = leave_out_each_row(blocks, engine, points)
    equal = leave_out_each_row(blocks, engine, np.tile(points[0], (EQUAL, 1)))
    lost = np.flatnonzero(np.isnan(different.elpd))
    np.testing.assert_array_equal(np.isnan(equal.elpd), np.isnan(different.elpd))
    alone = (np.bincount(design.unit) == 1)[design.unit] & (EVERY[model].choice("unit_effect") == "fixed")
    assert np.isnan(different.elpd[alone]).all()
    rows = np.union1d(ends_and_middles(design), [i for i in lost if not alone[i]][:6]).astype(int)
    for i in rows:
        left = LeftOutPart(blocks, mask_of(design, i), True, points, 1)
        elpd, khat, _ = leave_out(left)
        assert elpd == pytest.approx(different.elpd[i], abs=1e-9, nan_ok=True)
        assert khat == pytest.approx(different.khat[i], abs=1e-6, nan_ok=True)
        elpd, khat, _ = leave_out(replace(left, points=np.tile(points[0], (EQUAL, 1))))
        assert elpd == pytest.approx(equal.elpd[i], abs=1e-9, nan_ok=True)
        assert np.isneginf(khat) or np.isnan(elpd)


def test_some_rows_alone_identify_a_coefficient():
    """The cases above have rows that are lost, and not all of them: of periods of a group, and of few units."""
    design = a_panel(SPARSE)
    lost = {}
    for model in ("partial_pooling", "group times fixed", "no_pooling", "random units"):
        blocks = make_blocks(design, EVERY[model])
        engine = make_collapsed(blocks)
        lost[model] = int(np.isnan(leave_out_each_row(blocks, engine, some_points(engine, 1, 30)).elpd).sum())
    alone = int((np.bincount(design.unit) == 1).sum())
    assert alone == 3
    assert lost["partial_pooling"] == alone
    assert lost["random units"] == 0
    assert alone < lost["group times fixed"] < lost["no_pooling"] < design.n_obs


def test_columns_that_are_not_laid_out_change_nothing(monkeypatch):
    """Of many columns only the moments are taken: those of all rows must not be taken for the others'."""
    without_refits(monkeypatch)
    design = panel("unbalanced")
    for model in ("partial_pooling", "nested", "group_variance", "correlated_effects", "random units, group times"):
        found = []
        for most in (blocks_module.LAID_OUT_MAX, 0):
            monkeypatch.setattr(blocks_module, "LAID_OUT_MAX", most)
            blocks = make_blocks(design, MEMBERS[model])
            assert (blocks.moments is None) == (most > 0)
            points = some_points(make_collapsed(blocks), 2, 1)
            parts_of = [(mask_of(design, 4), True), (design.unit == 2, False), (design.group == 1, False)]
            found.append([leave_out(LeftOutPart(blocks, *part, points, 1))[0] for part in parts_of])
        monkeypatch.undo()
        without_refits(monkeypatch)
        np.testing.assert_allclose(found[1], found[0], rtol=1e-8)


# Any part: dense formulas at one point.


def contrasts_of(design, mask, levels, model):
    """The orthonormal combinations of the rows left out that are predicted, shape (q, rows left out)."""
    if levels:
        return np.eye(int(mask.sum()))
    unit = design.unit[mask]
    found = []
    for u in np.unique(unit):
        own = np.flatnonzero(unit == u)
        if len(own) > 1:
            block = np.zeros((len(own) - 1, len(unit)))
            block[:, own] = linalg.helmert(len(own))
            if model.choice("unit_trend") == "fixed":
                trend = (block @ np.asarray(design.times)[design.time[mask]])[:, None]
                block = linalg.null_space(trend.T).T @ block
            found.append(block)
    return np.concatenate(found)


def from_the_others(written, scales, mask, contrasts):
    """Mean and covariance of contrasts by the normal equations of the others' rows; None where they are singular.

    Flat coefficients are least squares, pooled ones have a prior precision of 1 / scale^2. Of the flat columns only
    dummies of units that are left out as wholes may be without rows, and contrasts take them away. (They would take the
    means of a new group's units away as well, but a model with a coefficient that is anything is not asked.)
    """
    prior, residual = written.variances(scales)
    own = contrasts @ np.column_stack([written.x, written.z])[mask]
    there = np.r_[written.x[~mask].any(axis=0), np.ones(len(prior), dtype=bool)]
    k = int(there.sum()) - len(prior)
    lost = [name for name, kept in zip(written.flat, there, strict=False) if not kept]
    if not all(name.startswith(("unit_effect", "unit_trend")) for name in lost):
        return None
    assert np.abs(own[:, ~there]).max(initial=0) < 1e-12
    rows = np.column_stack([written.x, written.z])[~mask][:, there]
    size = np.linalg.norm(rows[:, :k], axis=0)
    if np.linalg.matrix_rank(rows[:, :k] / size, tol=1e-8) < k:
        return None
    pooled = np.column_stack([np.zeros((len(prior), k)), np.diag(1 / np.sqrt(prior))])
    q, r = np.linalg.qr(np.concatenate([rows / np.sqrt(residual[~mask])[:, None], pooled]))
    known = np.r_[written.y[~mask] / np.sqrt(residual[~mask]), np.zeros(len(prior))]
    weights = np.linalg.solve(r.T, own[:, there].T).T
    covariance = weights @ weights.T + (contrasts * residual[mask]) @ contrasts.T
    return weights @ (q.T @ known), covariance


def from_the_inverse_covariance(written, covariance, mask, contrasts):
    """The same from the inverse covariance of the others' rows and the contrasts, flat coefficients projected out."""
    turn = np.zeros((int((~mask).sum()) + len(contrasts), len(mask)))
    turn[: (~mask).sum(), ~mask] = np.eye(int((~mask).sum()))
    turn[(~mask).sum() :, mask] = contrasts
    x = turn @ written.x
    x = x[:, np.abs(x).max(axis=0) > 1e-12]
    root = np.linalg.cholesky(turn @ covariance @ turn.T)
    inverse = np.linalg.solve(root, np.eye(len(root)))
    q, _ = np.linalg.qr(inverse @ (x / np.linalg.norm(x, axis=0)))
    projected = inverse - q @ (q.T @ inverse)
    precision = projected.T @ projected
    at = np.arange(len(turn)) >= (~mask).sum()
    own = np.linalg.inv(precision[np.ix_(at, at)])
    y = turn @ written.y
    return y[at] - own @ (precision @ y)[at], own


def parts_of(design):
    """Rows of several units, whole units, and whole groups, with whether their units' levels are known."""
    some = np.r_[np.flatnonzero(design.unit == 2)[:2], np.flatnonzero(design.unit == 5)[-1]]
    middle = design.n_obs // 2
    yield from ((mask_of(design, rows), True) for rows in (0, middle, design.n_obs - 1, some))
    yield from ((np.isin(design.unit, units), False) for units in (0, 7, (3, 10)))
    yield from ((design.group == group, False) for group in range(len(design.groups)))


@pytest.mark.parametrize("model", EVERY)
@pytest.mark.parametrize("name", SMALL)
def test_any_part_left_out_has_the_dense_density(name, model):
    design = panel(name)
    blocks, written = make_blocks(design, EVERY[model]), dense(design, EVERY[model])
    engine = make_collapsed(blocks)
    point = some_points(engine, 5, 1)
    scales = by_name(engine, point[0])
    covariance = rows_covariance(design, written, scales, EVERY[model].choice("correlation"))
    for mask, levels in parts_of(design):
        contrasts = contrasts_of(design, mask, levels, EVERY[model])
        found, khat, _ = leave_out(LeftOutPart(blocks, mask, levels, np.tile(point, (3, 1)), 1))
        expected = from_the_others(written, scales, mask, contrasts)
        if expected is None:
            assert np.isnan(found)
            assert np.isnan(khat)
            continue
        changes = contrasts @ design.y[mask]
        if RHO not in scales:
            assert found == pytest.approx(stats.multivariate_normal(*expected).logpdf(changes), rel=1e-8, abs=1e-8)
        other = from_the_inverse_covariance(written, covariance, mask, contrasts)
        assert found == pytest.approx(stats.multivariate_normal(*other).logpdf(changes), rel=1e-8, abs=1e-8)
        assert np.isneginf(khat)


@pytest.mark.parametrize("model", ["partial_pooling", "random units", "everything correlated", "ar1"])
def test_a_unit_of_one_row_has_no_changes(model):
    design = a_panel(SPARSE)
    unit = int(np.flatnonzero(np.bincount(design.unit) == 1)[0])
    blocks = make_blocks(design, EVERY[model])
    points = some_points(make_collapsed(blocks), 1, 1)
    assert leave_out(LeftOutPart(blocks, design.unit == unit, False, points, 1))[0] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("model", ["no_pooling", "correlated_effects", "group times fixed"])
def test_flat_coefficients_of_a_group_predict_no_group_that_was_not_seen(model):
    """Its units they predict, from the group's others."""
    design, every = panel("balanced"), ("elpd", "khat", "p")
    groups = leave_one_out(LooTask(design, EVERY[model], "group", 1))
    assert all(np.isnan(groups[key]).all() and len(groups[key]) == 3 for key in every)
    units = leave_one_out(LooTask(design, EVERY[model], "unit", 1))
    assert np.isfinite(units["elpd"]).all()
    assert np.isnan(units["p"]).all()


def test_a_row_that_alone_identifies_something_is_not_predicted():
    """A period that one unit has alone, whatever its outcome; under random periods it is predicted."""
    base = panel("balanced")
    once = base.rows((base.time != 4) | (base.unit == 3))
    row = int(np.flatnonzero(once.time == 4)[0])
    for y in (once.y, once.y + 1e3 * (np.arange(once.n_obs) == row)):
        found = leave_one_out(LooTask(replace(once, y=y), MEMBERS["partial_pooling"], "row", 1))
        for key in ("elpd", "p"):
            np.testing.assert_array_equal(np.isnan(found[key]), np.arange(once.n_obs) == row)
    assert np.isfinite(leave_one_out(LooTask(once, MEMBERS["random times"], "row", 1))["elpd"]).all()
    # The unit that has the period, and its group, cannot be predicted either.
    for what, own in (("unit", once.unit), ("group", once.group)):
        found = leave_one_out(LooTask(once, MEMBERS["partial_pooling"], what, 1))["elpd"]
        np.testing.assert_array_equal(np.isnan(found), np.arange(len(found)) == own[row])


# The average over the scales.


def least_squares(design):
    """Leverages and residuals of the regression on regressors and dummies, and its degrees of freedom."""
    q, r = linalg.qr(np.column_stack([design.x, dummies(design.unit, design.time)]), mode="economic", pivoting=True)[:2]
    q = q[:, np.abs(np.diag(r)) > 1e-9 * np.abs(r[0, 0])]
    return np.sum(q**2, axis=1), design.y - q @ (q.T @ design.y), design.n_obs - q.shape[1]


@functools.cache
def one_scale(name, error=0.0):
    """A panel, a gross error in its fourth row, and what deleted residuals say of each row under one scale.

    Returns the design, elpd and p of every row, and their standard errors by a draw: reweighted, then refitted.
    """
    design = panel(name) if name in SMALL else grouped(random_design(5, 3, 4), 2)
    design = replace(design, y=design.y + error * design.y.std() * (np.arange(design.n_obs) == 3))
    leverage, residual, freedom = least_squares(design)
    prior = resolve(COMPLETE, design)["sigma"]
    sigma = np.exp(np.linspace(math.log(1e-4), math.log(50), 20_001)) * prior.params["scale"]

    def log_weights(squares, freedom):
        found = log_density(prior, sigma)[0] + (1 - freedom) * np.log(sigma) - squares / (2 * sigma**2)
        return found - special.logsumexp(found)

    squares = float(residual @ residual)
    rows = []
    for h, e in zip(leverage, residual, strict=True):
        density = stats.norm.logpdf(e / (1 - h), 0, sigma / np.sqrt(1 - h))
        beyond = 2 * stats.norm.sf(abs(e) / (sigma * np.sqrt(1 - h)))
        others, every = log_weights(squares - e**2 / (1 - h), freedom - 1), log_weights(squares, freedom)
        elpd = float(special.logsumexp(others + density))
        p = float(np.exp(others) @ beyond)
        ratio = elpd - density
        errors = [
            np.expm1(min(special.logsumexp(every + 2 * ratio), BEYOND)),
            np.exp(min(special.logsumexp(every + 2 * ratio, b=(beyond - p) ** 2), BEYOND)),
            np.expm1(special.logsumexp(others - 2 * ratio)),
            np.exp(others) @ (beyond - p) ** 2,
        ]
        rows.append((elpd, p, *errors))
    found = np.array(rows).T
    return design, found[:2], np.sqrt(found[2:4]), np.sqrt(found[4:])


@pytest.mark.parametrize("refitted", [False, True])
@pytest.mark.parametrize("name", SMALL)
def test_rows_under_one_scale_are_deleted_residuals(monkeypatch, name, refitted):
    """No collapsed density comes into it: e / (1 - h), its variance, and the scale given the other rows' squares."""
    many_draws(monkeypatch, refitted=refitted)
    design, (elpd, p), reweighted, again = one_scale(name)
    found = leave_one_out(LooTask(design, COMPLETE, "row", 3))
    assert np.isnan(found["khat"]).all() == refitted
    errors = again / math.sqrt(loo.REFIT_DRAWS) if refitted else reweighted / math.sqrt(loo.POINTS)
    tolerance = ERRORS * RESAMPLED**0.5 * errors
    assert np.median(tolerance, axis=1).max() < 0.015
    assert tolerance.max() < 0.15
    assert (np.abs(found["elpd"] - elpd) < tolerance[0] + 1e-4).all()
    assert (np.abs(found["p"] - p) < tolerance[1] + 1e-4).all()


def test_the_tail_of_a_gross_error_is_that_of_the_refit(monkeypatch):
    """In a panel of twelve rows the error makes the scale that it is measured by; without it it is far out."""
    many_draws(monkeypatch, refitted=False)
    design, (elpd, p), reweighted, again = one_scale("tiny", 100.0)
    found = {key: np.array(values) for key, values in leave_one_out(LooTask(design, COMPLETE, "row", 1)).items()}
    refitted = np.isnan(found["khat"])
    assert refitted[3]
    assert 0 < found["p"][3] < 1e-4
    errors = np.where(refitted, again / math.sqrt(loo.REFIT_DRAWS), reweighted / math.sqrt(loo.POINTS))
    for values, exact, error in zip((found["elpd"], found["p"]), (elpd, p), errors, strict=True):
        assert (np.abs(values - exact) < ERRORS * RESAMPLED**0.5 * error + 1e-4).all()


def axes_of(design, lowest=0.05):
    """Logarithms of a residual scale and of another scale, beyond which there is nothing of their densities."""
    sd = math.log(design.y.std(ddof=1))
    return np.linspace(math.log(lowest), math.log(4), 100) + sd, np.linspace(math.log(1e-4), math.log(12), 160) + sd


def over_two_scales(whole, others, at, constant, axes):
    """Log density of a part by two sums over a grid, and its standard errors by a draw: reweighted, then refitted.

    Parameters
    ----------
    whole, others
        Densities of all rows and of the others.
    at
        Positions of the scales of `others` among those of `whole`; the rest have the density that the prior gives them.
    constant
        Half the logarithm of the number of rows of every unit that is left out whole: from flat levels to contrasts.
    axes
        Logarithms of the scales of `whole`.
    """
    points = np.stack([mesh.ravel() for mesh in np.meshgrid(*axes, indexing="ij")], axis=1)
    density = whole.log_likelihood(points) - others.log_likelihood(points[:, at]) + constant
    prior = whole.log_prior(points) + points.sum(axis=1)
    rest = others.log_likelihood(points[:, at]) + prior
    edge = np.ones([len(axis) for axis in axes], dtype=bool)
    edge[1:-1, 1:-1] = False
    for found in (rest, rest + density):
        assert special.logsumexp(found[edge.ravel()]) - special.logsumexp(found) < math.log(1e-3)
    elpd = special.logsumexp(rest + density) - special.logsumexp(rest)
    far = density - elpd
    squares = special.log_softmax(rest + density) - 2 * far, special.log_softmax(rest) + 2 * far
    return elpd, np.sqrt(np.expm1([min(special.logsumexp(found), BEYOND) for found in squares]))


def to_contrasts(design, mask):
    units = np.unique(design.unit[mask])
    return float(np.log(np.bincount(design.unit)[units]).sum() / 2)


def compared(found, exact):
    """Hold what was found, of each part, against the sums; return how far it may be off."""
    again = np.isnan(found["khat"])
    draws = np.where(again, loo.REFIT_DRAWS, loo.POINTS)
    errors = np.array([one[1][int(refitted)] for one, refitted in zip(exact, again, strict=True)])
    tolerance = ERRORS * np.sqrt(RESAMPLED / draws) * errors + 1e-3
    apart = np.abs(found["elpd"] - np.array([one[0] for one in exact]))
    assert (apart < tolerance).all(), (apart / tolerance).max()
    return tolerance


@functools.cache
def summed(what):
    """Exact densities of the parts of a panel under partial pooling; of its rows, of every fifth."""
    design, model = panel("unbalanced"), MEMBERS["partial_pooling"]
    whole, found = make_collapsed(make_blocks(design, model)), []
    codes, labels = parts(make_blocks(design, model), what)
    chosen = range(0, len(labels), 5 if what == "row" else 1)
    for part in chosen:
        mask = codes == part
        others = make_collapsed(make_blocks(design.holding_spread().rows(~mask), model))
        constant = 0.0 if what == "row" else to_contrasts(design, mask)
        found.append(over_two_scales(whole, others, [0, 1], constant, axes_of(design)))
    return found, list(chosen)


@pytest.mark.parametrize("refitted", [False, True])
@pytest.mark.parametrize(("what", "most"), [("row", 0.02), ("unit", 0.05), ("group", 0.15)])
def test_two_scales_are_averaged_over(monkeypatch, what, most, refitted):
    """By importance sampling, by refits, and whichever of the two the Pareto shape decides upon."""
    many_draws(monkeypatch, refitted=refitted)
    exact, chosen = summed(what)
    answer = leave_one_out(LooTask(panel("unbalanced"), MEMBERS["partial_pooling"], what, 2))
    found = {key: np.array(values)[chosen] for key, values in answer.items()}
    assert not refitted or np.isnan(found["khat"]).all()
    assert np.median(compared(found, exact)) < most


@pytest.mark.parametrize("model", ["ar1", "ar1, random units", "group_variance", "random units"])
def test_refits_say_what_weights_say(monkeypatch, model):
    """Of the rows that need weights the most: density and tail, whatever the errors and the unit effects."""
    without_refits(monkeypatch)
    task = LooTask(panel("unbalanced"), EVERY[model], "row", 1)
    weighted = {key: np.array(values) for key, values in leave_one_out(task).items()}
    monkeypatch.setattr(loo, "KHAT_MAX", np.sort(weighted["khat"])[-6])
    again = {key: np.array(values) for key, values in leave_one_out(task).items()}
    changed = np.isnan(again["khat"])
    assert changed.sum() == 5
    # Over seeds their difference has a standard deviation of up to 0.18 (densities) and 0.025 (tails).
    for key, most in (("elpd", 0.3), ("p", 0.05)):
        np.testing.assert_array_equal(weighted[key][~changed], again[key][~changed])
        np.testing.assert_allclose(again[key][changed], weighted[key][changed], atol=most)
        assert (again[key][changed] != weighted[key][changed]).all()


def far_apart():
    """Two groups of which the second's outcomes are twenty times as large."""
    design = grouped(random_design(6, 14, 5, share=0.9), 2)
    return replace(design, y=np.where(design.group == 1, 20.0, 1.0) * design.y)


@pytest.mark.parametrize("refitted", [False, True])
def test_priors_are_those_of_all_rows(monkeypatch, refitted):
    """Whatever is left out: the others' own spread would make another prior of the scale, and another density."""
    if refitted:
        monkeypatch.setattr(loo, "KHAT_MAX", -1e6)
    design = far_apart()
    narrow = Prior("half_normal", {"scale": 0.02})
    model = member({"sigma": narrow, "tau": Prior("fixed", {"value": 0.1})}, group_slope="pooled")
    engines, made = [], loo.make_collapsed
    monkeypatch.setattr(loo, "make_collapsed", lambda blocks: engines.append(made(blocks)) or engines[-1])
    answer = leave_one_out(LooTask(design, model, "group", 4))
    assert len(engines) == 4
    own = resolve(model, design)
    assert resolve(model, design.rows(design.group == 0))["sigma"] != own["sigma"]
    assert all(engine.priors == {"sigma": own["sigma"]} for engine in engines)
    assert all(engine.fixed == {"tau": own["tau"].params["value"]} for engine in engines)
    assert np.isfinite(answer["elpd"]).all()


@pytest.mark.parametrize("refitted", [False, True])
def test_the_residual_scale_of_a_group_not_seen_has_its_prior(monkeypatch, refitted):
    """A scale for each of two groups, the slopes' spread held: the group that is left out takes its scale along."""
    many_draws(monkeypatch, refitted=refitted)
    design = grouped(random_design(6, 14, 5, share=0.9), 2)
    model = member({"tau": Prior("fixed", {"value": 0.3})}, group_slope="pooled", spread="by_group")
    whole, axis, exact = make_collapsed(make_blocks(design, model)), axes_of(design, 1e-3)[0], []
    for group in (0, 1):
        mask = design.group == group
        # Of one group the slope's deviation is no more than part of a flat slope.
        others = make_collapsed(make_blocks(design.holding_spread().rows(~mask), member()))
        exact.append(over_two_scales(whole, others, [1 - group], to_contrasts(design, mask), (axis, axis)))
    compared(
        {key: np.array(values) for key, values in leave_one_out(LooTask(design, model, "group", 1)).items()}, exact
    )


# Properties.

ROWS = st.sampled_from(sorted(EVERY))
SEEDS = st.integers(0, 2**32 - 1)


def small(seed, share=0.9):
    return grouped(random_design(seed % 97, 9, 5, share=share), 3)


def rows_at(design, model, shift=0.0):
    """Densities and tails of all rows at some points, whose outcome's unit is moved by a shift of its logarithm."""
    blocks = make_blocks(design, model)
    engine = make_collapsed(blocks)
    return leave_out_each_row(blocks, engine, some_points(engine, 3, 30) + shift * (np.array(engine.names) != RHO))


@settings(max_examples=20)
@given(ROWS, SEEDS)
def test_the_order_of_rows_does_not_matter(name, seed):
    design = small(seed)
    order = np.random.default_rng(seed).permutation(design.n_obs)
    found, again = rows_at(design, EVERY[name]), rows_at(rearranged(design, order), EVERY[name])
    np.testing.assert_allclose(again.elpd, found.elpd[order], atol=1e-8)
    np.testing.assert_allclose(again.p, found.p[order], atol=1e-8)
    assert np.nansum(again.elpd) == pytest.approx(np.nansum(found.elpd), abs=1e-7)


@settings(max_examples=4)
@given(st.sampled_from(["partial_pooling", "group_variance", "ar1"]), st.sampled_from(["row", "unit"]), SEEDS)
def test_nor_does_it_to_a_whole_answer(name, what, seed):
    """Points are drawn from densities that differ in the last digits alone."""
    design = small(seed, 1.0)
    order = np.random.default_rng(seed).permutation(design.n_obs)
    found, again = (
        leave_one_out(LooTask(d, EVERY[name], what, 1))["elpd"] for d in (design, rearranged(design, order))
    )
    assert sum(again) == pytest.approx(sum(found), abs=0.05)


@settings(max_examples=20)
@given(
    st.sampled_from([name for name, model in sorted(EVERY.items()) if model.choice("unit_effect") == "fixed"]), SEEDS
)
def test_levels_of_units_do_not_matter_where_effects_are_flat(name, seed):
    design = small(seed).holding_spread()
    levels = 5 * np.random.default_rng(seed).normal(size=len(design.units))
    found = rows_at(design, EVERY[name])
    again = rows_at(replace(design, y=design.y + levels[design.unit]), EVERY[name])
    np.testing.assert_allclose(again.elpd, found.elpd, atol=1e-8)
    np.testing.assert_allclose(again.p, found.p, atol=1e-8)


@settings(max_examples=20)
@given(ROWS, SEEDS)
def test_levels_of_new_units_do_not_matter_to_any_member(name, seed):
    """Of units that are left out whole; the others' levels are data where effects are random."""
    design, mask = small(seed).holding_spread(), small(seed).unit < 2
    levels = 5 * np.random.default_rng(seed).normal(size=len(design.units))
    moved = replace(design, y=design.y + np.where(mask, levels[design.unit], 0.0))
    found = []
    for each in (design, moved):
        blocks = make_blocks(each, EVERY[name])
        found.append(leave_out(LeftOutPart(blocks, mask, False, some_points(make_collapsed(blocks), 3, 1), 1))[0])
    assert found[1] == pytest.approx(found[0], abs=1e-7, nan_ok=True)


@settings(max_examples=20)
@given(ROWS, SEEDS, st.floats(-7, 7))
def test_the_unit_of_the_outcome_is_the_densities_jacobian(name, seed, log_unit):
    """Priors are in units of sd(y), so that the scales go along: log densities lose log a, tails nothing."""
    design = small(seed)
    found = rows_at(design, EVERY[name])
    again = rows_at(replace(design, y=math.exp(log_unit) * design.y), EVERY[name])
    np.testing.assert_allclose(again.elpd, found.elpd - log_unit, atol=1e-7)
    np.testing.assert_allclose(again.p, found.p, atol=1e-7)


@pytest.mark.parametrize("what", ["row", "unit", "group"])
def test_a_whole_answer_goes_along_with_the_unit_of_the_outcome(what):
    """A unit's changes are one fewer than its rows."""
    design = panel("unbalanced")
    found, again = (
        leave_one_out(LooTask(replace(design, y=a * design.y), MEMBERS["partial_pooling"], what, 1))
        for a in (1.0, 32.0)
    )
    codes, labels = parts(make_blocks(design, MEMBERS["partial_pooling"]), what)
    changes = np.bincount(codes, minlength=len(labels))
    if what != "row":
        changes = changes - [len(np.unique(design.unit[codes == part])) for part in range(len(labels))]
    np.testing.assert_allclose(np.add(again["elpd"], changes * math.log(32)), found["elpd"], atol=1e-4)
    np.testing.assert_array_equal(np.isnan(again["khat"]), np.isnan(found["khat"]))


@settings(max_examples=15)
@given(ROWS, SEEDS, st.floats(0, 30))
def test_tails_are_probabilities(name, seed, error):
    design = small(seed, 0.8)
    odd = replace(design, y=design.y + error * (np.arange(design.n_obs) == seed % design.n_obs))
    p = rows_at(odd, EVERY[name]).p
    predicted = ~np.isnan(p)
    assert predicted.sum() > 10
    assert ((p[predicted] >= 0) & (p[predicted] <= 1)).all()


def of_its_own_model(seed, n_units=50, n_times=8, rho=0.0):
    rng = np.random.default_rng(seed)
    unit, time = np.divmod(np.arange(n_units * n_times), n_times)
    x = rng.normal(size=(len(unit), 2)) + rng.normal(size=n_units)[unit, None]
    error = rng.normal(size=(n_units, n_times))
    for t in range(1, n_times):
        error[:, t] = rho * error[:, t - 1] + math.sqrt(1 - rho**2) * error[:, t]
    slopes = np.array([0.3, 0.5, 0.8, 0.6])[unit % 4]
    y = slopes * x[:, 0] - 0.2 * x[:, 1] + rng.normal(size=n_units)[unit] + 0.1 * time
    return grouped(design_of(y + 0.4 * error.ravel(), x, unit, time), 4)


@pytest.mark.parametrize(("model", "rho", "n_units"), [("partial_pooling", 0.0, 50), ("ar1", 0.7, 30)])
def test_tails_are_uniform_on_data_of_the_model(model, rho, n_units):
    """And are not where the model has the wrong scale."""
    design = of_its_own_model(3, n_units, rho=rho)
    found = np.array(leave_one_out(LooTask(design, EVERY[model], "row", 1))["p"])
    assert len(found) == 8 * n_units
    assert stats.kstest(found, "uniform").pvalue > 0.1
    held = replace(EVERY[model], priors={**EVERY[model].priors, "sigma": Prior("fixed", {"value": 0.1})})
    assert stats.kstest(leave_one_out(LooTask(design, held, "row", 1))["p"], "uniform").pvalue < 1e-4


def test_seeds():
    design, model = panel("unbalanced"), MEMBERS["partial_pooling"]
    for what in ("row", "unit", "group"):
        first, again, other = (leave_one_out(LooTask(design, model, what, seed))["elpd"] for seed in (1, 1, 2))
        assert first == again
        assert first != other


def test_where_all_scales_are_held_nothing_is_averaged_over():
    design = panel("unbalanced")
    priors = {name: Prior("fixed", {"value": 0.4}) for name in ("sigma", "tau")}
    model = member(priors, group_slope="pooled")
    written, scales = dense(design, model), make_collapsed(make_blocks(design, model)).fixed
    for what in ("row", "unit", "group"):
        found = leave_one_out(LooTask(design, model, what, 1))
        codes, _ = parts(make_blocks(design, model), what)
        for part in (0, 2):
            contrasts = contrasts_of(design, codes == part, what == "row", model)
            expected = from_the_others(written, scales, codes == part, contrasts)
            changes = contrasts @ design.y[codes == part]
            assert found["elpd"][part] == pytest.approx(stats.multivariate_normal(*expected).logpdf(changes), rel=1e-9)
            assert np.isneginf(found["khat"][part])
            if what == "row":
                z = (changes - expected[0])[0] / math.sqrt(expected[1][0, 0])
                assert found["p"][part] == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-9)


def test_parts_and_their_labels():
    design = panel("unbalanced")
    blocks = make_blocks(design, MEMBERS["partial_pooling"])
    codes, labels = parts(blocks, "row")
    assert list(codes) == list(range(design.n_obs))
    assert labels[:2] == tuple(f"{design.units[design.unit[i]]} {design.times[design.time[i]]:g}" for i in (0, 1))
    assert len(set(labels)) == design.n_obs
    assert parts(blocks, "unit") == (design.unit, design.units)
    assert parts(blocks, "group") == (design.group, design.groups)


def test_without_groups_there_is_none_to_leave_out():
    task = LooTask(load("grunfeld"), load_panel_model("partial_pooling"), "group", 1)
    assert leave_one_out(task) == {"elpd": [], "khat": [], "p": [], "note": []}
    assert np.isfinite(leave_one_out(replace(task, what="unit"))["elpd"]).all()


def test_what_cannot_be_collapsed_is_refused():
    with pytest.raises(InputError, match="'student_t' cannot be collapsed"):
        leave_one_out(LooTask(panel("balanced"), load_panel_model("student_t"), "row", 1))


# The weights.


def test_weights_of_ratios_that_do_not_differ_are_equal():
    for ratios in (np.zeros(40), np.full(40, -1e6), 700 + 1e-13 * np.arange(40)):
        weights, khat = smoothed_weights(ratios)
        np.testing.assert_array_equal(weights, 1 / 40)
        assert np.isneginf(khat)


@settings(max_examples=20)
@given(SEEDS, st.floats(0.01, 20), st.floats(-1e4, 1e4), st.integers(30, 2_000))
def test_weights_add_up_to_one(seed, spread, level, size):
    """They rank as the ratios do, and do not depend on their constant."""
    ratios = spread * np.random.default_rng(seed).normal(size=size)
    weights, khat = smoothed_weights(ratios + level)
    assert weights.sum() == pytest.approx(1, rel=1e-12)
    assert (weights >= 0).all()
    assert (np.diff(weights[np.argsort(ratios)]) >= -1e-9).all()
    again, same = smoothed_weights(ratios)
    np.testing.assert_allclose(weights, again, atol=1e-7)
    assert khat == pytest.approx(same, abs=1e-6)


def test_the_shape_is_that_of_the_ratios_tail():
    """Ratios of a Pareto tail of shape k; what is not in the tail keeps its weight."""
    rng = np.random.default_rng(2)
    for k in (0.3, 0.6, 0.9):
        ratios = -k * np.log(rng.uniform(size=20_000))
        weights, khat = smoothed_weights(ratios)
        assert khat == pytest.approx(k, abs=0.15)
        body = ratios < np.quantile(ratios, 0.9)
        raw = np.exp(ratios)[body]
        np.testing.assert_allclose(weights[body] / weights[body].sum(), raw / raw.sum(), rtol=1e-9)
