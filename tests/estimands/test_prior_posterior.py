"""Densities before and after the data: both are densities, the prior exact, and equal where nothing is learned."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.model.densities import draw
from cbec_bayes.estimands.prior_posterior import COLUMNS, prior_posterior
from tests.support.members import panel


@pytest.mark.parametrize("model", ["partial_pooling", "group_variance", "complete_pooling"])
def test_densities_of_the_scales(model):
    found = fit(panel("balanced"), model)
    table = prior_posterior(found)
    assert tuple(table.columns) == COLUMNS
    names = {"partial_pooling": ["sigma", "tau"], "complete_pooling": ["sigma"]}
    groups = [f"sigma[{group}]" for group in found.design.groups]
    assert list(table["parameter"].unique()) == names.get(model, [*groups, "tau"])
    for _, own in table.groupby("parameter"):
        assert np.trapezoid(own["posterior"], np.log(own["value"])) == pytest.approx(1, abs=0.02)
        assert (own[["prior", "posterior"]] >= 0).all(axis=None)
    own = table[table["parameter"] == table["parameter"].iloc[0]]
    scale = next(iter(found.priors[name] for name in ("sigma", "sigma[g0]") if name in found.priors)).params["scale"]
    expected = stats.halfnorm.pdf(own["value"], scale=scale) * own["value"]
    np.testing.assert_allclose(own["prior"], expected, rtol=1e-10)


def test_where_nothing_is_learned_the_two_agree():
    found = fit(panel("balanced"), "partial_pooling")
    tau = found.tree["posterior"]["tau"]
    tau.values[:] = draw(found.priors["tau"], np.random.default_rng(1), tau.shape)
    own = prior_posterior(found).query("parameter == 'tau'")
    gap = np.trapezoid(np.abs(own["prior"] - own["posterior"]), np.log(own["value"]))
    assert gap < 0.1
