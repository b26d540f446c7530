"""Which member is fitted where none is named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.model import headline as module
from cbec_bayes.bayes.model.carried import carried
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.bayes.model.headline import headline
from tests.support.members import grouped, panel
from tests.support.moments import gather
from tests.support.regressions import random_design


def test_it_is_robust_as_far_as_the_panel_carries_it():
    design = panel("balanced")
    assert headline(design) == carried(load_panel_model("robust"), design)
    none = replace(design, group=None, groups=())
    told = headline(none)
    assert told.model.choice("spread") == "common"
    assert any("the panel has no groups" in sentence for sentence in told.left_out)


def test_a_fit_without_a_model_has_it_and_says_what_is_left_out():
    found = fit(replace(panel("balanced"), group=None, groups=()), draws=50, chains=2)
    assert found.model.name == "robust"
    assert found.left_out
    assert found.left_out[0] in found._repr_html_()


def test_of_moments_it_is_partial_pooling():
    told = headline(gather(panel("balanced")).close())
    assert told.model == load_panel_model("partial_pooling")
    assert told.left_out == (
        (
            "No model was named. The default 'robust' needs rows, which moments do not hold; the model fitted is "
            "'partial_pooling'."
        ),
    )


def test_terms_of_very_many_groups_are_left_out():
    design = grouped(random_design(3, 78, 12), 13)
    told = headline(design)
    assert [told.model.choice(key) for key in ("group_control_slope", "group_time_effect", "spread")] == [
        "off",
        "off",
        "common",
    ]
    assert told.model.choice("unit_trend") == "pooled"
    assert "they take long with 13 groups in 12 periods; --model robust includes them" in told.left_out[-1]
    assert set(told.model.priors) == {"slope", "control_slope", *told.model.scales}
    few = headline(design.rows(np.isin(design.group, range(12))))
    assert few.model.choice("spread") == "by_group"


def test_very_many_units_are_fitted_as_moments_are(monkeypatch):
    monkeypatch.setattr(module, "MAX_WORK", 100)
    told = headline(panel("balanced"))
    assert told.model == load_panel_model("partial_pooling")
    assert "'robust' takes long with 12 units in 5 periods; the model fitted is 'partial_pooling'." in told.left_out[0]


@pytest.mark.parametrize("name", ["balanced", "unbalanced"])
def test_the_bound_counts_about_the_coefficients_that_there_are(name):
    from cbec_bayes.bayes.model.blocks import blocks_for

    design = panel(name)
    told = headline(design)
    assert module._n_coefficients(told.model, design) == pytest.approx(
        blocks_for(design, told.model).n_coefficients, abs=3
    )
