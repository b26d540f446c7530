"""What a posterior's file has for ArviZ's plots of predictions and priors."""

from __future__ import annotations

import functools

import arviz_plots
import numpy as np
import pytest
import xarray as xr
from scipy import stats

from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.model.densities import cumulative
from cbec_bayes.bayes.predictions import with_predictions
from cbec_bayes.bayes.predictive import predictive_outcomes
from cbec_bayes.jobs.fit_tables import netcdf_bytes
from cbec_bayes.jobs.kept import read_tree
from tests.support.members import grouped
from tests.support.regressions import random_design


@functools.cache
def found(name: str = "partial_pooling", draws: int = 1_000):
    return fit(grouped(random_design(3, 12, 8, share=0.9), 3), name, draws=draws, seed=4)


@functools.cache
def predicted():
    return with_predictions(found(), seed=4)


def test_outcomes_are_those_of_the_predictive_draws():
    tree, design = predicted().tree, found().design
    after = tree["posterior_predictive"].dataset[design.outcome]
    assert after.dims == ("chain", "draw", "obs")
    assert after.shape == (4, 250, design.n_obs)
    many = predictive_outcomes(found(), draws=1_000, seed=4)
    np.testing.assert_array_equal(after.to_numpy().reshape(1_000, -1), many)
    assert list(after["unit"].to_numpy()) == [design.units[unit] for unit in design.unit]


@pytest.mark.parametrize(("chains", "draws"), [(4, 1_000), (4, 999), (3, 250), (2, 777), (1, 400)])
def test_draws_chosen_evenly_come_from_their_own_chain(chains, draws):
    per_chain = min(250, draws)
    at = np.unique(np.linspace(0, chains * draws - 1, chains * per_chain).round().astype(int))
    assert at.shape == (chains * per_chain,)
    np.testing.assert_array_equal(at // draws, np.repeat(np.arange(chains), per_chain))


def test_draws_of_a_scale_follow_its_prior():
    drawn = predicted().tree["prior"].dataset
    for name in ("tau", "sigma"):
        own = drawn[name].to_numpy().ravel()
        prior = found().priors[name]
        assert stats.kstest(own, lambda x, prior=prior: cumulative(prior, x)).pvalue > 1e-4
    assert "slope" not in drawn  # its prior is flat
    assert "group_slope" in drawn


def test_what_is_before_the_data_is_wider_than_after():
    tree, outcome = predicted().tree, found().design.outcome
    before, after = (
        tree[group].dataset[outcome].std(("chain", "draw")).mean()
        for group in ("prior_predictive", "posterior_predictive")
    )
    assert before > after


def test_few_draws_and_moments_have_no_such_groups():
    few = fit(found().design, "partial_pooling", draws=20, chains=2, seed=1)
    assert with_predictions(few) is few


def test_arviz_plots_them_from_the_file(tmp_path):
    (tmp_path / "posterior.nc").write_bytes(netcdf_bytes(predicted().tree))
    tree = read_tree(tmp_path / "posterior.nc")
    arviz_plots.plot_ppc_dist(tree, backend="none", num_samples=20)
    arviz_plots.plot_ppc_dist(tree, backend="none", group="prior_predictive", num_samples=20)
    # ArviZ gives the name of our dimension, group, to one of its own there: it takes variables without it.
    scales = xr.DataTree.from_dict({name: tree[name].dataset[["tau", "sigma"]] for name in ("prior", "posterior")})
    with xr.set_options(use_new_combine_kwarg_defaults=True):  # it leaves a default to xarray that is to change
        arviz_plots.plot_prior_posterior(scales, backend="none")
