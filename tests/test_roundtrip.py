"""What is written is what is read: every group of every fit's tree, bit for bit, of fits that went wrong too."""

from __future__ import annotations

import pytest

from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.sampling.nuts import sample
from cbec_bayes.published.estimates import under_reading
from cbec_bayes.published.summary_model import load_summary_model
from cbec_bayes.published.twin import build_summary_pymc
from tests.support.members import panel
from tests.support.roundtrip import assert_survives


@pytest.mark.parametrize("model", ["partial_pooling", "no_pooling", "ar1", "nested", "group_variance"])
def test_the_tree_of_a_fit_is_read_back_bit_for_bit(model, tmp_path):
    assert_survives(fit(panel("unbalanced"), model, draws=60).tree, tmp_path / "tree.nc")


@pytest.mark.slow
def test_the_tree_of_a_fit_that_diverged_is_read_back_bit_for_bit(printed_slopes, tmp_path):
    estimates = under_reading(printed_slopes, "coherent")
    model = build_summary_pymc(estimates, load_summary_model("published_half_normal"), unit=1.2377)
    tree, diagnostics = sample(model, ("slope", "between"), draws=500, tune=200, chains=2, seed=1, target_accept=0.6)
    assert diagnostics.divergences > 0
    assert_survives(tree, tmp_path / "tree.nc")
