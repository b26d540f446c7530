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

from cbec_bayes.bayes import blocks as blocks_module
from cbec_bayes.bayes import heldout
from cbec_bayes.bayes.blocks import make_blocks
from cbec_bayes.bayes.elimination import make_collapsed
from cbec_bayes.bayes.heldout import Left, Question, held_out, held_out_rows, left_out, parts
from cbec_bayes.bayes.importance import smoothed_weights
from cbec_bayes.bayes.priors import RHO, log_density, resolve
from cbec_bayes.errors import InputError
from cbec_bayes.family import load_panel_model
from cbec_bayes.spec import Prior
from tests.bayes import HALF, MEMBERS, SHIPPED, SMALL, by_name, dense, grouped, member, panel, rearranged
from tests.classical.cases import design_of, dummies, load, random_design

ERRORS = 4.5
"""Monte Carlo standard errors that a number may be off; seeds are fixed, so that a test fails always or never."""

RESAMPLED = 1.5
"""What resampling weighted points adds, at most, to the variance of independent draws."""

AR1 = load_panel_model("ar1")
EVERY = MEMBERS | {
    "ar1": AR1,
    "ar1, random units": replace(AR1, unit_effect="random", priors={**AR1.priors, "sigma_mu": HALF}),
}
"""The Gaussian members: those of `tests.bayes`, and errors correlated over time about either kind of unit effect."""

SPARSE = "sparse"
EQUAL = 30
"""How often a point is repeated where all weights are to be equal."""


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Matrices are small: threads of BLAS would only wait for each other."""
    with threadpool_limits(1):
        yield


def a_panel(name):
    """A panel of `tests.bayes`, or one of which less than half of the cells are there."""
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


def without_refits(monkeypatch):
    monkeypatch.setattr(heldout, "KHAT_MAX", np.inf)


# Rows: two numbers of the inverse covariance are the ratio of two likelihoods.


def ends_and_middles(design):
    """The first, the middle and the last row of some units of two rows or more."""
    found = []
    for unit in (0, len(design.units) // 2, len(design.units) - 1):
        rows = np.flatnonzero(design.unit == unit)
        found += [rows[0], rows[len(rows) // 2], rows[-1]] if len(rows) > 1 else []
    return found


ROW_CASES = [(name, model) for name in (*SMALL, SPARSE) for model in EVERY]
ROW_CASES += [(name, model) for name in ("grunfeld_unbalanced", "public") for model in (*SHIPPED, "ar1")]


@pytest.mark.parametrize(("name", "model"), ROW_CASES)
def test_a_row_left_out_is_the_ratio_of_two_likelihoods(monkeypatch, name, model):
    """At one point, at different points with their weights, and where the others do not identify the model."""
    without_refits(monkeypatch)
    design = a_panel(name)
    blocks = make_blocks(design, EVERY[model])
    engine = make_collapsed(blocks)
    points = some_points(engine, 1, 30)
    different = held_out_rows(blocks, engine, points)
    equal = held_out_rows(blocks, engine, np.tile(points[0], (EQUAL, 1)))
    lost = np.flatnonzero(np.isnan(different.elpd))
    np.testing.assert_array_equal(np.isnan(equal.elpd), np.isnan(different.elpd))
    alone = (np.bincount(design.unit) == 1)[design.unit] & (EVERY[model].unit_effect == "fixed")
    assert np.isnan(different.elpd[alone]).all()
    rows = np.union1d(ends_and_middles(design), [i for i in lost if not alone[i]][:6]).astype(int)
    for i in rows:
        left = Left(blocks, mask_of(design, i), True, points, 1)
        elpd, khat, _ = left_out(left)
        assert elpd == pytest.approx(different.elpd[i], abs=1e-9, nan_ok=True)
        assert khat == pytest.approx(different.khat[i], abs=1e-6, nan_ok=True)
        elpd, khat, _ = left_out(replace(left, points=np.tile(points[0], (EQUAL, 1))))
        assert elpd == pytest.approx(equal.elpd[i], abs=1e-9, nan_ok=True)
        assert np.isneginf(khat) or np.isnan(elpd)


def test_some_rows_alone_identify_a_coefficient():
    """The cases above have rows that are lost, and not all of them: of periods of a group, and of few units."""
    design = a_panel(SPARSE)
    lost = {}
    for model in ("partial_pooling", "group times fixed", "no_pooling", "random units"):
        blocks = make_blocks(design, EVERY[model])
        engine = make_collapsed(blocks)
        lost[model] = int(np.isnan(held_out_rows(blocks, engine, some_points(engine, 1, 30)).elpd).sum())
    alone = int((np.bincount(design.unit) == 1).sum())
    assert alone == 3
    assert lost["partial_pooling"] == alone
    assert lost["random units"] == 0
    assert alone < lost["group times fixed"] < lost["no_pooling"] < design.n_obs


def test_columns_that_are_not_laid_out_change_nothing(monkeypatch):
    """Of many columns only the moments are taken: those of all rows must not be taken for the others'."""
    without_refits(monkeypatch)
    design = panel("unbalanced")
    for model in ("partial_pooling", "nested", "group_variance", "correlated_effects", "everything random"):
        found = []
        for most in (blocks_module.LAID_OUT_MAX, 0):
            monkeypatch.setattr(blocks_module, "LAID_OUT_MAX", most)
            blocks = make_blocks(design, MEMBERS[model])
            assert (blocks.moments is None) == (most > 0)
            points = some_points(make_collapsed(blocks), 2, 1)
            parts_of = [(mask_of(design, 4), True), (design.unit == 2, False), (design.group == 1, False)]
            found.append([left_out(Left(blocks, *part, points, 1))[0] for part in parts_of])
        monkeypatch.undo()
        without_refits(monkeypatch)
        np.testing.assert_allclose(found[1], found[0], rtol=1e-8)


# Any part: dense formulas at one point.


def contrasts_of(design, mask, levels):
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
            found.append(block)
    return np.concatenate(found)


def from_the_others(written, scales, mask, contrasts):
    """Mean and covariance of contrasts by the normal equations of the others' rows; None where they are singular.

    Flat coefficients are least squares, pooled ones have a prior precision of 1 / scale^2. Of the flat columns only
    dummies of units that are left out as wholes may be without rows, and contrasts take them away.
    """
    prior, residual = written.variances(scales)
    own = contrasts @ np.column_stack([written.x, written.z])[mask]
    there = np.r_[written.x[~mask].any(axis=0), np.ones(len(prior), dtype=bool)]
    k = int(there.sum()) - len(prior)
    if np.abs(own[:, ~there]).max(initial=0) > 1e-12:
        return None
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


def rows_covariance(design, written, scales):
    """The covariance of the rows given flat coefficients."""
    prior, residual = written.variances(scales)
    when = np.asarray(design.times)[design.time]
    same = design.unit[:, None] == design.unit
    carried = scales.get(RHO, 0.0) ** np.abs(when[:, None] - when)
    return (written.z * prior) @ written.z.T + np.where(same, carried, 0.0) * np.sqrt(np.outer(residual, residual))


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
    covariance = rows_covariance(design, written, scales)
    for mask, levels in parts_of(design):
        contrasts = contrasts_of(design, mask, levels)
        found, khat, _ = left_out(Left(blocks, mask, levels, np.tile(point, (3, 1)), 1))
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
    assert left_out(Left(blocks, design.unit == unit, False, points, 1))[0] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("model", ["no_pooling", "correlated_effects", "group times fixed"])
def test_flat_coefficients_of_a_group_predict_no_group_that_was_not_seen(model):
    """Its units they predict, from the group's others."""
    design, every = panel("balanced"), ("elpd", "khat", "p")
    groups = held_out(Question(design, EVERY[model], "group", 1))
    assert all(np.isnan(groups[key]).all() and len(groups[key]) == 3 for key in every)
    units = held_out(Question(design, EVERY[model], "unit", 1))
    assert np.isfinite(units["elpd"]).all()
    assert np.isnan(units["p"]).all()


def test_a_row_that_alone_identifies_something_is_not_predicted():
    """A period that one unit has alone, whatever its outcome; under random periods it is predicted."""
    base = panel("balanced")
    once = base.rows((base.time != 4) | (base.unit == 3))
    row = int(np.flatnonzero(once.time == 4)[0])
    for y in (once.y, once.y + 1e3 * (np.arange(once.n_obs) == row)):
        found = held_out(Question(replace(once, y=y), MEMBERS["partial_pooling"], "row", 1))
        for values in found.values():
            np.testing.assert_array_equal(np.isnan(values), np.arange(once.n_obs) == row)
    assert np.isfinite(held_out(Question(once, MEMBERS["random times"], "row", 1))["elpd"]).all()
    # The unit that has the period, and its group, cannot be predicted either.
    for what, own in (("unit", once.unit), ("group", once.group)):
        found = held_out(Question(once, MEMBERS["partial_pooling"], what, 1))["elpd"]
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
    prior = resolve(MEMBERS["complete_pooling"], design)["sigma"]
    sigma = np.exp(np.linspace(math.log(1e-4), math.log(50), 20_001)) * prior.params["scale"]

    def weights(squares, freedom):
        found = log_density(prior, sigma)[0] + (1 - freedom) * np.log(sigma) - squares / (2 * sigma**2)
        return np.exp(found - special.logsumexp(found))

    squares = float(residual @ residual)
    rows = []
    for h, e in zip(leverage, residual, strict=True):
        density = stats.norm.pdf(e / (1 - h), 0, sigma / np.sqrt(1 - h))
        beyond = 2 * stats.norm.sf(abs(e) / (sigma * np.sqrt(1 - h)))
        others, every = weights(squares - e**2 / (1 - h), freedom - 1), weights(squares, freedom)
        mean, p = float(others @ density), float(others @ beyond)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(every > 0, mean / density, 0.0)
            of_weights = [every @ (ratio - 1) ** 2, every @ (ratio * (beyond - p)) ** 2]
        rows.append((math.log(mean), p, *of_weights, others @ (density / mean - 1) ** 2, others @ (beyond - p) ** 2))
    found = np.array(rows).T
    return design, found[:2], np.sqrt(found[2:4]), np.sqrt(found[4:])


@pytest.mark.parametrize("refitted", [False, True])
@pytest.mark.parametrize("name", SMALL)
def test_rows_under_one_scale_are_deleted_residuals(monkeypatch, name, refitted):
    """No collapsed density comes into it: e / (1 - h), its variance, and the scale given the other rows' squares."""
    design, (elpd, p), reweighted, again = one_scale(name)
    if refitted:
        monkeypatch.setattr(heldout, "KHAT_MAX", -1e6)
    found = held_out(Question(design, MEMBERS["complete_pooling"], "row", 3))
    assert np.isnan(found["khat"]).all() == refitted
    errors = again / math.sqrt(heldout.REFIT_DRAWS) if refitted else reweighted / math.sqrt(heldout.POINTS)
    tolerance = ERRORS * RESAMPLED**0.5 * errors
    assert np.median(tolerance[0]) < 0.02
    assert tolerance[0].max() < (0.1 if refitted else 0.2)
    assert (np.abs(found["elpd"] - elpd) < tolerance[0] + 1e-3).all()
    assert (np.abs(found["p"] - p) < tolerance[1] + 1e-4).all()


def test_the_tail_of_a_gross_error_is_that_of_the_refit():
    """In a panel of twelve rows the error makes the scale that it is measured by; without it it is far out."""
    design, (elpd, p), _, (by_density, _) = one_scale("tiny", 100.0)
    assert p[3] < 1e-9
    found = held_out(Question(design, MEMBERS["complete_pooling"], "row", 1))
    assert np.isnan(found["khat"][3])
    assert found["p"][3] < 1e-7
    assert found["elpd"][3] < -25
    ordinary = np.isfinite(found["khat"])
    assert ordinary.sum() > 5
    errors = ERRORS * RESAMPLED**0.5 * by_density[ordinary] / math.sqrt(heldout.POINTS)
    assert (np.abs(np.array(found["elpd"]) - elpd)[ordinary] < 2 * errors + 0.05).all()


AXES = (np.linspace(math.log(0.05), math.log(4), 80), np.linspace(math.log(1e-4), math.log(12), 160))


def over_two_scales(design, model, mask, levels):
    """Log density of a part by two sums over a grid, and its error by a draw: reweighted, then refitted.

    The scales that the others do not know have the density that the prior gives them.
    """
    whole = make_collapsed(make_blocks(design, model))
    others = make_collapsed(make_blocks(design.holding_spread().rows(~mask), model))
    assert len(whole.names) == 2
    sd = design.y.std(ddof=1)
    axes = [axis + math.log(sd) for axis in AXES]
    points = np.stack([mesh.ravel() for mesh in np.meshgrid(*axes, indexing="ij")], axis=1)
    at = [whole.names.index(name) for name in others.names]
    constant = 0.0 if levels else np.log(np.bincount(design.unit[mask])[np.unique(design.unit[mask])]).sum() / 2
    density = whole.log_likelihood(points) - others.log_likelihood(points[:, at]) + constant
    prior = whole.log_prior(points) + points.sum(axis=1)
    joint, rest = whole.log_likelihood(points) + prior, others.log_likelihood(points[:, at]) + prior
    for found in (joint, rest):
        edge = np.ones([len(axis) for axis in axes], dtype=bool)
        edge[1:-1, 1:-1] = False
        assert special.logsumexp(found[edge.ravel()]) - special.logsumexp(found) < math.log(1e-3)
    elpd = special.logsumexp(joint) - special.logsumexp(rest) + constant
    every, left = np.exp(joint - special.logsumexp(joint)), np.exp(rest - special.logsumexp(rest))
    return elpd, np.sqrt([every @ (np.exp(elpd - density) - 1) ** 2, left @ (np.exp(density - elpd) - 1) ** 2])


def compared(found, exact):
    """Hold what was found, of each part, against the sums; return how far it may be off."""
    again = np.isnan(found["khat"])
    draws = np.where(again, heldout.REFIT_DRAWS, heldout.POINTS)
    errors = np.array([one[1][int(refitted)] for one, refitted in zip(exact, again, strict=True)])
    tolerance = ERRORS * np.sqrt(RESAMPLED / draws) * errors + 2e-3
    apart = np.abs(found["elpd"] - np.array([one[0] for one in exact]))
    assert (apart < tolerance).all(), (apart / tolerance).max()
    return tolerance


@functools.cache
def summed(what):
    design, model = panel("unbalanced"), MEMBERS["partial_pooling"]
    codes, labels = parts(make_blocks(design, model), what)
    chosen = range(0, len(labels), 5) if what == "row" else range(len(labels))
    return [over_two_scales(design, model, codes == part, what == "row") for part in chosen], list(chosen)


@pytest.mark.parametrize("refitted", [False, True])
@pytest.mark.parametrize(("what", "most"), [("row", 0.06), ("unit", 0.15), ("group", 0.5)])
def test_two_scales_are_averaged_over(monkeypatch, what, most, refitted):
    """By importance sampling, by refits, and whichever of the two the Pareto shape decides upon."""
    exact, chosen = summed(what)
    if refitted:
        monkeypatch.setattr(heldout, "KHAT_MAX", -1e6)
    answer = held_out(Question(panel("unbalanced"), MEMBERS["partial_pooling"], what, 2))
    found = {key: np.array(values)[chosen] for key, values in answer.items()}
    assert not refitted or np.isnan(found["khat"]).all()
    assert np.median(compared(found, exact)) < most


def far_apart():
    """Two groups, the second's outcomes a hundred times the first's, under priors that say what all rows' spread is."""
    base = random_design(6, 14, 5, share=0.9)
    design = grouped(base, 2)
    return replace(design, y=np.where(design.group == 1, 20.0, 1.0) * design.y)


@pytest.mark.parametrize("refitted", [False, True])
def test_priors_are_those_of_all_rows(monkeypatch, refitted):
    """Whatever is left out; the others' own spread would make another prior of the scale, and another density."""
    design = far_apart()
    priors = {"sigma": Prior("half_normal", {"scale": 0.02}), "tau": Prior("half_normal", {"scale": 0.1})}
    model = member(priors, group_slope="pooled")
    engines = []
    made = heldout.make_collapsed
    monkeypatch.setattr(heldout, "make_collapsed", lambda blocks: engines.append(made(blocks)) or engines[-1])
    if refitted:
        monkeypatch.setattr(heldout, "KHAT_MAX", -1e6)
    answer = held_out(Question(design, model, "group", 4))
    assert len(engines) == 4
    own = make_collapsed(make_blocks(design, model)).priors
    assert own != make_collapsed(make_blocks(design.rows(design.group == 0), model.without_groups())).priors
    assert all(dict(engine.priors) == dict(own) for engine in engines)
    assert all(np.isfinite(answer["elpd"]))


@pytest.mark.parametrize("refitted", [False, True])
def test_the_residual_scale_of_a_group_not_seen_has_its_prior(monkeypatch, refitted):
    """A scale for each of two groups, the slopes' spread held: what is left out takes one of them along."""
    design = grouped(random_design(6, 14, 5, share=0.9), 2)
    model = member({"tau": Prior("fixed", {"value": 0.3})}, group_slope="pooled", residual="by_group")
    whole = make_collapsed(make_blocks(design, model))
    sd = design.y.std(ddof=1)
    axis = np.linspace(math.log(0.01), math.log(6), 160) + math.log(sd)
    step = axis[1] - axis[0]
    grid = np.stack([mesh.ravel() for mesh in np.meshgrid(axis, axis, indexing="ij")], axis=1)
    joint = special.logsumexp(whole.log_posterior(grid)) + 2 * math.log(step)
    if refitted:
        monkeypatch.setattr(heldout, "KHAT_MAX", -1e6)
    blocks, seeds = make_blocks(design, model), range(12)
    for group in (0, 1):
        mask = design.group == group
        point = np.repeat(axis[:, None], 2, axis=1)
        others = dense(design, replace(model, residual="normal"))
        kept = (~mask, others.x[~mask].any(axis=0))
        rows = replace(
            others, y=design.y[~mask], x=others.x[kept[0]][:, kept[1]], z=others.z[~mask], sigmas=("sigma",) * kept[0].sum()
        )
        tau = resolve(model, design)["tau"].params["value"]
        alone = [rows.log_likelihood({"sigma": s, "tau": tau}) for s in np.exp(axis)]
        alone += log_density(resolve(model, design)["sigma"], np.exp(axis))[0] + axis
        exact = joint - special.logsumexp(alone) - math.log(step)
        exact += np.log(np.bincount(design.unit[mask])[np.unique(design.unit[mask])]).sum() / 2
        exact += constant_of_units(design, blocks, others, mask)
        found = []
        for seed in seeds:
            drawn = heldout.draw_scales(whole, draws=400, chains=1, seed=seed).points[0]
            found.append(left_out(Left(blocks, mask, False, drawn, seed))[0])
        assert point.shape == (160, 2)
        assert special.logsumexp(found) - math.log(len(found)) == pytest.approx(exact, abs=0.1)
