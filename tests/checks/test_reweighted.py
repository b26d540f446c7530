"""Refits that are draws of the fit by their weights: they say what sampling again says, and give way to it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from cbec_bayes.bayes import refit as refit_module
from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.model.blocks import blocks_for
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.refit import Nearby, refit_scales
from cbec_bayes.bayes.sampling.gates import ESS_MIN, KHAT_MAX
from cbec_bayes.bayes.sampling.importance import sample_density
from cbec_bayes.checks.influence import leave_out
from cbec_bayes.checks.refits import Refitted, near_draws, refit_slopes
from cbec_bayes.checks.sensitivity import between_group_prior
from tests.support.simulated import fitted, simulated

NUMBERS = ["mean", "sd", "ci_low", "ci_high"]


@pytest.fixture(scope="module")
def found():
    return fitted()


@pytest.fixture(scope="module")
def near(found):
    return near_draws(found)


def test_draws_of_the_fit_itself_have_equal_weights(found, near):
    again = refit_scales(found.blocks, draws=500, seed=1, near=near)
    assert again.is_reweighted
    assert again.diagnostics.khat == -math.inf
    assert again.ess == 500
    assert {tuple(point) for point in again.points} <= {tuple(point) for point in near.points}


@pytest.mark.parametrize("factor", [0.5, 1.0])
@pytest.mark.parametrize("part", ["all rows", "without a unit"])
def test_slopes_are_those_of_a_refit_up_to_monte_carlo_error(found, near, factor, part):
    """Both know the slopes given the scales exactly, so that their means differ by what scales are not known by."""
    model, design = found.model, found.design.holding_spread()
    own = model.priors["tau"].params["scale"]
    model = replace(model, priors={**model.priors, "tau": Prior("half_normal", {"scale": factor * own})})
    design = design if part == "all rows" else design.rows(design.unit != 2)
    weighed, sampled = (refit_slopes(Refitted(design, model, 1, one)) for one in (near, None))
    assert weighed.khat <= KHAT_MAX
    assert math.isnan(sampled.khat)
    assert weighed.gate == sampled.gate == "passed"
    for name, numbers in sampled.slopes.items():
        error = numbers[1] / math.sqrt(ESS_MIN)
        np.testing.assert_allclose(weighed.slopes[name][0], numbers[0], atol=4 * error)
        np.testing.assert_allclose(weighed.slopes[name][1], numbers[1], rtol=0.12)


def test_weights_are_the_ratio_of_the_densities(found, near):
    """Scales that the weights make likelier are those of the other density: their mean is found by quadrature."""
    model = found.model
    held = dict.fromkeys(("tau",), Prior("half_normal", {"scale": 0.3 * model.priors["tau"].params["scale"]}))
    blocks = blocks_for(found.design, replace(model, priors={**model.priors, **held}))
    many = Nearby.of(found.collapsed, near.points, near.ess)
    again = refit_scales(blocks, draws=1_000, seed=2, near=many)
    expected = refit_scales(blocks, draws=20_000, seed=3)
    at = again.collapsed.names.index("tau")
    error = expected.points[:, at].std() / math.sqrt(min(again.ess, 1_000))
    assert again.is_reweighted
    assert abs(again.points[:, at].mean() - expected.points[:, at].mean()) < 4 * error


def test_where_the_fit_lies_elsewhere_the_model_is_sampled(found, near):
    """An outcome with ten times the errors has other scales than the draws have; those that remain are sampled."""
    design = replace(found.design, y=found.design.y + 10 * np.random.default_rng(1).normal(size=found.design.n_obs))
    again = refit_scales(blocks_for(design, found.model), draws=1_000, seed=1, near=near)
    expected = refit_scales(blocks_for(design, found.model), draws=4_000, seed=2)
    assert not again.is_reweighted
    again.diagnostics.require()
    error = expected.points.std(axis=0) / math.sqrt(1_000)
    assert (np.abs(again.points.mean(axis=0) - expected.points.mean(axis=0)) < 5 * error).all()


def test_scales_of_another_name_are_sampled(found, near):
    blocks = blocks_for(found.design, replace(found.model, name="other").choosing(group_slope="off"))
    again = refit_scales(blocks, draws=500, seed=1, near=near)
    assert not again.is_reweighted
    assert set(again.collapsed.names) < set(near.names)


def test_tables_say_which_refits_weigh_the_draws(found, monkeypatch):
    weighed = leave_out(found, "unit").table
    monkeypatch.setattr(refit_module, "_reweighted", lambda *_, **__: None)
    sampled = leave_out(found, "unit").table
    assert sampled["khat"].isna().all()
    there = weighed["khat"].notna()
    assert there.groupby(weighed["left_out"]).all().sum() > len(found.design.units) / 2
    assert (weighed[there]["khat"] <= KHAT_MAX).all()
    sds = sampled["sd"].to_numpy()
    for name in NUMBERS:
        assert (np.abs(weighed[name] - sampled[name]).to_numpy() < 0.35 * sds).all()


def test_the_text_says_how_many(found):
    result = leave_out(found, "unit")
    count = int(result.table.groupby("left_out")["khat"].first().notna().sum())
    assert f" {count} of them reuse the draws of the fit with new weights." in result.text


def test_a_wider_prior_is_sampled_from_a_proposal_about_the_draws(found, monkeypatch):
    """The tails of the fit's draws are too short for it: with weights its sd was a tenth too small."""
    again = between_group_prior(found).table
    monkeypatch.setattr("cbec_bayes.checks.sensitivity.near_draws", lambda *_, **__: None)
    expected = between_group_prior(found).table
    assert again[["prior", "group"]].equals(expected[["prior", "group"]])
    np.testing.assert_allclose(again["mean"], expected["mean"], atol=0.1 * expected["sd"].min())
    np.testing.assert_allclose(again["sd"], expected["sd"], rtol=0.06)


def test_a_poor_first_proposal_is_given_up(found):
    """Draws of a density that lies elsewhere lead to the same draws as none."""
    collapsed = found.collapsed
    far = near_draws(found).points + 8.0
    parts = collapsed.log_posterior, collapsed.gradient, collapsed.start()
    both = [sample_density(*parts, draws=1_000, chains=1, seed=1, near=one) for one in (far, None)]
    assert [one.method for one in both] == ["importance"] * 2
    error = both[1].points.std(axis=(0, 1)) / math.sqrt(1_000)
    assert (np.abs(both[0].points.mean(axis=(0, 1)) - both[1].points.mean(axis=(0, 1))) < 5 * error).all()


def test_a_fit_of_other_engines_has_no_draws_to_weigh():
    sampled = replace(fit(simulated(), "complete_pooling", draws=100), collapsed=None)
    assert near_draws(sampled) is None
