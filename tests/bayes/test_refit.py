"""A fit that is one of many: its draws are those of the full fit, and it carries what its gates need."""

from __future__ import annotations

import numpy as np
import pytest

from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.model.blocks import blocks_for
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.refit import refit
from cbec_bayes.bayes.sampling import importance
from cbec_bayes.bayes.sampling.gates import RHAT_MAX
from tests.support.members import member, panel


@pytest.mark.parametrize("model", ["partial_pooling", "ar1", "nested", "group_variance"])
def test_an_ordinary_fit_passes_its_gates(model):
    design = panel("balanced")
    found = refit(blocks_for(design, load_panel_model(model)), draws=400, seed=1)
    assert found.diagnostics.failures == ()
    assert found.diagnostics.khat is not None
    assert found.diagnostics.rhat is None
    assert found.diagnostics.khat == fit(design, load_panel_model(model), draws=100, chains=4).khat


def test_a_model_whose_scales_are_all_held_passes():
    held = Prior("fixed", {"value": 0.3})
    found = refit(
        blocks_for(panel("balanced"), member({"sigma": held, "tau": held}, group_slope="pooled")), draws=9, seed=1
    )
    assert found.points.shape == (9, 0)
    assert found.diagnostics.failures == ()


def test_a_chain_is_measured_where_importance_sampling_gives_up(monkeypatch):
    monkeypatch.setattr(importance, "_importance", lambda *_, **__: None)
    found = refit(blocks_for(panel("balanced"), load_panel_model("partial_pooling")), draws=400, seed=1)
    measured = found.diagnostics
    assert measured.failures == ()
    assert (measured.khat, measured.ess, measured.draws) == (None, None, 400)
    assert measured.rhat is not None
    assert measured.rhat < measured.rhat_max
    assert measured.rhat_max > RHAT_MAX
    assert measured.ebfmi is not None
    assert np.isfinite(measured.ebfmi)
