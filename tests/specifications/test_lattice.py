"""The lattice: its members, their priors, and what panels cannot carry of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.model.blocks import blocks_for
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.bayes.model.headline import headline
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.specifications.lattice import AXES, LOGARITHMS, lattice, lattice_base, specification
from tests.support.members import panel


def test_there_are_forty_members_and_no_two_are_alike():
    found = lattice(panel("public"))
    assert found.left_out == ()
    models = {tuple(sorted(one.model.every_choice.items())) for one in found.specifications}
    names = [one.name for one in found.specifications]
    assert len(found.specifications) == len(models) == len(set(names)) == 40
    assert names[0] == "plain"
    walks = [one for one in found.specifications if one.chosen["correlation"] == "random_walk"]
    assert {one.chosen["trends"] for one in walks} == {"off"}
    assert len(walks) == 8


def test_a_reduced_lattice_has_the_member_that_is_fitted_where_none_is_named():
    design = panel("public")
    eight, nine = (lattice(design, reduced=True, richest=richest).specifications for richest in (False, True))
    assert len(eight) == 8
    assert [one.name for one in nine if one not in eight] == ["ar1+trends+spread+unit_slope+controls"]
    assert nine[-1].model.every_choice == headline(design).model.every_choice
    assert lattice(design, richest=True) == lattice(design)
    # Two periods carry neither trends nor a correlation, and the richest member is what is left of all terms.
    short = design.rows(design.time < 2)
    there = lattice(short, reduced=True, richest=True).specifications
    assert headline(short).model.every_choice in [one.model.every_choice for one in there]


@pytest.mark.parametrize("position", range(0, 40, 3))
def test_each_member_has_a_prior_for_every_scale_and_a_density(position):
    design = panel("public")
    one = lattice(design).specifications[position]
    collapsed = make_collapsed(blocks_for(design, one.model))
    assert np.isfinite(collapsed.log_posterior(collapsed.start()[None])).all()
    assert set(one.model.scales) <= set(one.model.priors)


def test_members_say_what_they_assume_and_simple_ones_are_shipped_ones():
    base = lattice_base()
    plain = {axis: choices[0].value for axis, choices in AXES.items()}
    one = specification(base, plain | {"trends": "pooled"})
    assert "Wolfers" in one.assumes
    assert one.labels == ("trends of units",)
    assert one.model.every_choice == load_panel_model("unit_trends").every_choice
    assert specification(base, plain).model.every_choice == load_panel_model("partial_pooling").every_choice


def test_priors_of_the_member_that_was_fitted_hold_throughout():
    narrow = replace(load_panel_model("nested"), priors={"tau": Prior("exponential", {"mean": 0.1})})
    for one in lattice(panel("public"), narrow, LOGARITHMS).specifications:
        assert one.model.priors["tau"] == narrow.priors["tau"]
        assert one.outcome_scale == LOGARITHMS


def test_without_groups_nothing_is_by_group():
    design = replace(panel("public"), group=None, groups=())
    found = lattice(design)
    assert {(one.chosen["spread"], one.chosen["controls"]) for one in found.specifications} == {("common", "common")}
    assert len(found.specifications) == 10
    assert any("groups" in said for said in found.left_out)


def test_two_periods_tell_no_trend_and_no_correlation():
    design = panel("public")
    design = design.rows(design.time < 2)
    found = lattice(design)
    assert {one.chosen["trends"] for one in found.specifications} == {"off"}
    assert "ar1" not in {one.chosen["correlation"] for one in found.specifications}
    assert found.left_out
