"""What a store has of every row: its density given all others, by brute force and by ArviZ; labels and regressors."""

from __future__ import annotations

import functools
import warnings
from dataclasses import replace

import arviz as az
import numpy as np
import pytest
import xarray as xr
from scipy import stats

from cbec_bayes.bayes import loo, observations, posterior
from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.loo import LeftOutPart, leave_out, leave_out_each_row
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.observations import GIVEN_EFFECTS, GIVEN_OTHERS, points_of
from tests.support.members import HALF, MEMBERS, by_name, dense, grouped, member, panel, rows_covariance
from tests.support.regressions import random_design

AR1 = load_panel_model("ar1")
EVERY = dict(MEMBERS) | {
    "ar1": AR1,
    "ar1, random units": replace(AR1.choosing(unit_effect="random"), priors={**AR1.priors, "sigma_mu": HALF}),
}
DRAWS, CHAINS = 60, 2


@functools.cache
def a_panel(name):
    """A panel of `tests.support.members`, or one of which less than half of the cells are there."""
    return grouped(random_design(8, 16, 6, share=0.35), 3) if name == "sparse" else panel(name)


@functools.cache
def fitted(model, name, draws=DRAWS, chains=CHAINS):
    return fit(a_panel(name), EVERY[model], draws=draws, chains=chains, seed=5)


def deleted(design, written, scales, row, correlation):
    """The log density of a row by generalised least squares of the others; None where they do not identify it."""
    others = np.arange(design.n_obs) != row
    covariance = rows_covariance(design, written, scales, correlation)
    x = written.x[others]
    if np.linalg.matrix_rank(x / np.maximum(np.linalg.norm(x, axis=0), 1e-300)) < x.shape[1]:
        return None
    root = np.linalg.cholesky(covariance[np.ix_(others, others)])
    q, r = np.linalg.qr(np.linalg.solve(root, x))
    known = np.linalg.solve(root, written.y[others])
    across = np.linalg.solve(root, covariance[others, row])
    coefficients = np.linalg.solve(r, q.T @ known)
    own = np.linalg.solve(r.T, written.x[row] - x.T @ np.linalg.solve(root.T, across))
    mean = written.x[row] @ coefficients + across @ (known - q @ (r @ coefficients))
    variance = covariance[row, row] - across @ across + own @ own
    return stats.norm.logpdf(written.y[row], mean, np.sqrt(variance))


@pytest.mark.parametrize("name", ["unbalanced", "sparse"])
@pytest.mark.parametrize("model", EVERY)
def test_densities_are_those_of_least_squares_without_the_row(model, name):
    found, correlation = fitted(model, name), EVERY[model].choice("correlation")
    design, written = found.design, dense(found.design, EVERY[model])
    if "log_likelihood" not in found.tree.children:
        scales = by_name(found.collapsed, points_of(found.collapsed, found.tree["posterior"].dataset)[:1])
        assert {deleted(design, written, scales, row, correlation) for row in range(design.n_obs)} == {None}
        return
    group = found.tree["log_likelihood"].dataset
    points = points_of(found.collapsed, found.tree["posterior"].dataset).reshape(CHAINS, DRAWS, -1)
    rows = group["obs"].to_numpy().tolist()
    assert group.attrs["rows_left_out"] == design.n_obs - len(rows)
    assert np.isfinite(group["y"]).all()
    for chain, draw in ((0, 1), (1, DRAWS - 1)):
        scales = by_name(found.collapsed, points[chain, draw][None])
        expected = [deleted(design, written, scales, row, correlation) for row in range(design.n_obs)]
        assert rows == [row for row, density in enumerate(expected) if density is not None]
        stored = group["y"].isel(chain=chain, draw=draw)
        np.testing.assert_allclose(stored, [expected[row] for row in rows], rtol=1e-7, atol=1e-7)


def test_some_rows_identify_a_coefficient_alone():
    """The cases above have some that lose rows, not all of them: units of one row, and periods of a group."""
    alone = int((np.bincount(a_panel("sparse").unit) == 1).sum())
    lost = {m: fitted(m, "sparse").tree["log_likelihood"].attrs["rows_left_out"] for m in ("ar1", "group times fixed")}
    assert lost["ar1"] == alone == 3
    assert alone < lost["group times fixed"] < a_panel("sparse").n_obs


@pytest.mark.parametrize("model", ["partial_pooling", "group_variance", "nested", "random units", "ar1"])
def test_arviz_agrees_with_our_own_rows_left_out(model):
    """Of the same draws: only the length of the tail that is smoothed may differ."""
    found = fitted(model, "unbalanced", 1_000, 2)
    points = points_of(found.collapsed, found.tree["posterior"].dataset)
    own = leave_out_each_row(found.blocks, found.collapsed, points)
    with warnings.catch_warnings():
        # The shape of a row may lie just above the limit, for both alike.
        warnings.filterwarnings("ignore", "Estimated shape parameter of Pareto distribution", UserWarning)
        theirs = az.loo(found.tree, pointwise=True)
    there = ~np.isnan(own.elpd)
    np.testing.assert_allclose(theirs.elpd_i.to_numpy().ravel(), own.elpd[there], atol=0.01)
    assert theirs.elpd == pytest.approx(own.elpd[there].sum(), abs=0.1)
    assert theirs.n_data_points == there.sum()


@pytest.mark.parametrize("model", ["partial_pooling", "ar1"])
def test_arviz_agrees_with_refits_without_the_row(monkeypatch, model):
    monkeypatch.setattr(loo, "KHAT_MAX", -1e6)
    found = fitted(model, "unbalanced", 1_000, 2)
    points = points_of(found.collapsed, found.tree["posterior"].dataset)
    theirs = az.loo(found.tree, pointwise=True)
    n = found.design.n_obs
    rows = found.tree["log_likelihood"]["obs"].to_numpy().tolist()
    for row in (0, n // 2, n - 1):
        elpd, khat, again = leave_out(LeftOutPart(found.blocks, np.arange(n) == row, True, points, 7))
        assert np.isnan(khat)
        assert again is not None
        assert float(theirs.elpd_i[rows.index(row)]) == pytest.approx(elpd, abs=0.06)


def test_arviz_ranks_members_by_what_they_predict():
    """On public statistics rows are predicted far better where errors are correlated, which densities given effects and
    the row before had the other way round."""
    trees = {model: fit(panel("public"), model, draws=500, seed=1).tree for model in ("partial_pooling", "ar1")}
    elpd = {model: float(az.loo(tree).elpd) for model, tree in trees.items()}
    assert elpd["ar1"] == pytest.approx(242.7, abs=0.5)
    assert elpd["partial_pooling"] == pytest.approx(160.1, abs=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compared = az.compare(trees)
    assert compared.index[0] == "ar1"


def test_rows_have_a_unit_a_time_and_their_regressors(tmp_path):
    found = fitted("partial_pooling", "unbalanced")
    design = found.design
    units = [design.units[u] for u in design.unit]
    times = [f"{design.times[t]:g}" for t in design.time]
    for name in ("observed_data", "log_likelihood", "constant_data"):
        group = found.tree[name].dataset
        assert group["unit"].dims == group["time"].dims == ("obs",)
        assert not {"unit", "time"} & set(group.indexes)
        rows = group["obs"].to_numpy()
        assert group["unit"].to_numpy().tolist() == [units[i] for i in rows]
        assert group["time"].to_numpy().tolist() == [times[i] for i in rows]
    data = found.tree["constant_data"].dataset
    np.testing.assert_array_equal(data["exposure"], design.x[:, 0])
    np.testing.assert_array_equal(data["controls"].sel(coef="x1"), design.x[:, 1])
    found.tree.to_netcdf(tmp_path / "p.nc", engine="h5netcdf")
    with xr.open_datatree(tmp_path / "p.nc", engine="h5netcdf") as back:
        xr.testing.assert_identical(back.load(), found.tree)


def test_a_panel_without_controls_has_none():
    found = fit(grouped(random_design(3, 12, 5, n_terms=1), 3), "partial_pooling", draws=20, chains=2, seed=1)
    assert list(found.tree["constant_data"].data_vars) == ["exposure"]


def test_what_would_take_too_long_is_left_out(monkeypatch):
    design = a_panel("unbalanced")
    whole = fitted("partial_pooling", "unbalanced").tree
    work = DRAWS * CHAINS * design.n_obs * fitted("partial_pooling", "unbalanced").collapsed.n_coefficients
    for most, there in ((work, True), (work - 1, False)):
        monkeypatch.setattr(observations, "WORK_MAX", most)
        tree = fit(design, "partial_pooling", draws=DRAWS, chains=CHAINS, seed=5).tree
        assert ("log_likelihood" in tree.children) == there
        xr.testing.assert_identical(tree["posterior"].to_dataset(), whole["posterior"].to_dataset())
        assert "unit" in tree["observed_data"].coords


def test_labels_of_rows_that_do_not_fit_into_memory_are_left_out(monkeypatch):
    design = a_panel("unbalanced")
    monkeypatch.setattr(posterior, "POINTWISE_MAX", DRAWS * CHAINS * design.n_obs - 1)
    tree = fit(design, "partial_pooling", draws=DRAWS, chains=CHAINS, seed=5).tree
    assert set(tree.children) == {"posterior", "sample_stats", "log_prior", "observed_data"}
    assert set(tree["observed_data"].coords) == {"obs"}


def test_the_kind_of_a_density_is_said():
    group = fitted("partial_pooling", "unbalanced").tree["log_likelihood"]
    assert group.attrs["kind"] == GIVEN_OTHERS
    assert "given all other rows" in group.attrs["comment"]


def test_where_every_scale_is_held_densities_are_given_the_effects():
    """Those given the others are then one number each, of which ArviZ makes nothing."""
    held = member({"sigma": Prior("fixed", {"value": 0.5})})
    found = fit(a_panel("balanced"), held, draws=DRAWS, chains=CHAINS, seed=5)
    group = found.tree["log_likelihood"]
    assert group.attrs["kind"] == GIVEN_EFFECTS
    assert group["y"].shape == (CHAINS, DRAWS, found.design.n_obs)
    assert (group["y"].std(("chain", "draw")) > 0).all()
