"""What every control has is one variable in what is stored, and one for each control in a model's terms."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from cbec_bayes.bayes.fit import fit, restore
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.bayes.observations import points_of
from cbec_bayes.bayes.of_controls import stacked, unstacked
from cbec_bayes.bayes.predictive import predictive_outcomes
from cbec_bayes.estimands.prior_posterior import prior_posterior
from tests.support.twins import small_panel

MODEL = "partial_pooling_all"


@pytest.fixture(scope="module")
def found():
    return fit(small_panel("unbalanced"), MODEL, draws=200)


def test_the_posterior_has_the_names_of_controls_as_a_dimension(found):
    controls = list(found.design.terms[1:])
    assert len(controls) > 1
    posterior = found.tree["posterior"].dataset
    assert posterior["phi"].dims == ("chain", "draw", "coef")
    assert posterior["group_control_slope"].dims == ("chain", "draw", "coef", "group")
    assert list(posterior["phi"]["coef"].to_numpy()) == list(posterior["control_slope"]["coef"].to_numpy()) == controls
    assert found.tree["log_prior"]["phi"].dims == ("chain", "draw", "coef")
    assert not [name for name in posterior.data_vars if "[" in str(name)]


def test_each_control_has_the_draws_of_its_own_block(found):
    own = found.posterior
    scales = found.collapsed.scales(points_of(found.collapsed, found.tree["posterior"].dataset))
    for control in found.design.terms[1:]:
        np.testing.assert_allclose(own[f"phi[{control}]"].to_numpy().ravel(), scales[f"phi[{control}]"], rtol=1e-12)
        block = own[f"group_control_slope[{control}]"]
        assert block.dims == ("chain", "draw", "group")
        scaled = block.to_numpy().std() / np.sqrt((scales[f"phi[{control}]"] ** 2).mean())
        assert 0.1 < scaled < 10  # deviations of another control would have another scale
    assert {block.name for block in found.blocks.variables} < set(map(str, own.data_vars))


def test_stacking_is_undone_and_comes_in_any_order(found):
    own = found.posterior
    shuffled = own[sorted(map(str, own.data_vars), reverse=True)]
    for dataset in (own, shuffled):
        again = unstacked(stacked(dataset))
        assert set(again.data_vars) == set(own.data_vars)
        for name in own.data_vars:
            np.testing.assert_array_equal(again[name].to_numpy(), own[name].to_numpy())


def test_what_reads_a_posterior_finds_each_control(found):
    parameters = set(prior_posterior(found)["parameter"])
    assert {f"phi[{control}]" for control in found.design.terms[1:]} <= parameters
    assert np.isfinite(predictive_outcomes(found, draws=20, seed=1)).all()
    assert found.unlearned == tuple(name for name in found.priors if name in found.unlearned)
    assert all(f"phi[{control}]" in found._repr_html_() for control in found.design.terms[1:])


def test_a_stored_posterior_is_read_again_with_or_without_the_dimension(found):
    for tree in (found.tree, found.tree.copy()):
        if tree is not found.tree:
            tree["posterior"] = xr.DataTree(found.posterior)
        again = restore(
            found.design, load_panel_model(MODEL), tree, found.diagnostics.as_dict() | found.evidence.as_dict()
        )
        assert set(again.posterior.data_vars) == set(found.posterior.data_vars)


def test_a_control_may_have_brackets_in_its_name():
    draws = xr.DataArray(np.arange(8.0).reshape(2, 4), dims=("chain", "draw"))
    dataset = xr.Dataset({"phi[log[x]]": draws, "phi[z]": 2 * draws, "tau": draws, "sigma[east]": draws})
    found = stacked(dataset)
    assert list(found["phi"]["coef"].to_numpy()) == ["log[x]", "z"]
    assert set(found.data_vars) == {"phi", "tau", "sigma[east]"}
    np.testing.assert_array_equal(unstacked(found)["phi[log[x]]"], draws)
