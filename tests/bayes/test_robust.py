"""The member `robust`: both printed tables are its limits, and every term is gone where its scale is zero."""

from __future__ import annotations

import numpy as np
import pytest

from cbec_bayes.bayes.likelihood.collapsed import Collapsed
from cbec_bayes.bayes.model.blocks import coefficient_names, make_blocks
from cbec_bayes.bayes.model.family import PanelModel, load_panel_model
from cbec_bayes.classical.regression import twfe
from cbec_bayes.classical.tables import interacted
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array
from tests.support.members import assert_covariance, collapsed, panel

PANELS = ("balanced", "unbalanced", "grunfeld_unbalanced", "public")
ROBUST = load_panel_model("robust")
EXACT = 1e-8
WIDE = 1e4
"""A scale beside which nothing is left of a prior, in units of its own."""

OF_GROUPS, OF_UNITS = ("tau", "phi", "sigma_omega"), ("kappa", "xi")


def coefficients(
    design: Design, values: dict[str, float], wide: tuple[str, ...] = (), factor: float = WIDE
) -> tuple[dict[str, float], Array]:
    """Mean by name, and covariance, where scales are at values, in units of priors, at `factor`, or else at zero."""
    engine = collapsed(design, ROBUST)
    held = {"rho": 0.0}
    for one in engine.parameters:
        key = one.name.partition("[")[0]
        if key != "rho":
            held[one.name] = values.get(one.name, values.get(key, 0.0)) * one.prior.params["scale"]
        if key in wide:
            held[one.name] = factor * one.prior.params["scale"]
    found = engine.holding(held).conditional(np.zeros((1, 0)))
    names = coefficient_names(make_blocks(design, ROBUST))
    root = found.root[0, : len(names)]
    return dict(zip(names, found.mean[0], strict=False)), root @ root.T


def limit(design: Design, values: dict[str, float], wide: tuple[str, ...]) -> dict[str, float]:
    """Means where scales are without bound, which is approached at the rate of their inverse squares."""
    near, nearer = (coefficients(design, values, wide, factor)[0] for factor in (WIDE, 10 * WIDE))
    return {name: value + (value - near[name]) / 99 for name, value in nearer.items()}


@pytest.mark.parametrize("name", PANELS)
def test_l1_where_nothing_differs_it_is_the_two_way_regression(name):
    design = panel(name)
    mean, covariance = coefficients(design, {"sigma": 0.1})
    names = ["slope", *(f"control_slope[{term}]" for term in design.terms[1:])]
    np.testing.assert_allclose([mean[one] for one in names], twfe(design).estimate, rtol=EXACT)
    at = [list(mean).index(one) for one in names]
    x = design.effects.within(design.x)
    assert_covariance(covariance[np.ix_(at, at)], (0.1 * design.spread.within[0]) ** 2 * np.linalg.inv(x.T @ x), EXACT)


@pytest.mark.parametrize("name", PANELS)
def test_l2_where_groups_have_nothing_in_common_it_is_one_regression_for_each(name):
    design = panel(name)
    sigmas = {f"sigma[{group}]": 0.1 * (1 + r) for r, group in enumerate(design.groups)}
    mean = limit(design, sigmas, OF_GROUPS)
    for group in design.groups:
        found = [mean["slope"] + mean[f"group_slope[{group}]"]]
        for term in design.terms[1:]:
            found.append(mean[f"control_slope[{term}]"] + mean[f"group_control_slope[{term}][{group}]"])
        expected = twfe(design.of_group(group)).estimate
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7 * np.abs(expected).max())


@pytest.mark.parametrize("name", PANELS)
def test_l3_where_slopes_alone_have_nothing_in_common_it_is_the_interacted_regression(name):
    design = panel(name)
    mean = limit(design, {"sigma": 0.1}, ("tau",))
    found = [mean["slope"] + mean[f"group_slope[{group}]"] for group in design.groups]
    found += [mean[f"control_slope[{term}]"] for term in design.terms[1:]]
    np.testing.assert_allclose(found, twfe(interacted(design)).estimate, rtol=1e-6)


WITHOUT = {
    "group_slope": ("off", OF_GROUPS[:1]),
    "group_control_slope": ("off", OF_GROUPS[1:2]),
    "group_time_effect": ("off", OF_GROUPS[2:]),
    "unit_slope": ("off", OF_UNITS[:1]),
    "unit_trend": ("off", OF_UNITS[1:]),
    "correlation": ("off", ("rho",)),
    "spread": ("common", ()),
}
"""Every term that can be left out: what is chosen in its place, and the parameters that are zero then."""


def both(design: Design, model: PanelModel, lost: tuple[str, ...]) -> tuple[Collapsed, Collapsed]:
    """The robust member, some parameters at zero, and the member without them."""
    whole = collapsed(design, ROBUST)
    zero = {name: 0.0 for name in whole.names if name.partition("[")[0] in lost}
    return whole.holding(zero), collapsed(design, model)


@pytest.mark.parametrize("term", [*WITHOUT, "every term"])
@pytest.mark.parametrize("name", PANELS[:2])
def test_l9_without_variation_it_is_the_member_without_the_term(name, term):
    """Evidence included, at points of the other parameters."""
    lost = WITHOUT if term == "every term" else {term: WITHOUT[term]}
    model = ROBUST.choosing(**{key: choice for key, (choice, _) in lost.items()})
    engine, other = both(panel(name), model, tuple(one for _, own in lost.values() for one in own))
    rng = np.random.default_rng(2)
    points = np.array([one.start() for one in other.parameters]) + 0.3 * rng.standard_normal((4, len(other.names)))
    at = [other.names.index("sigma" if n not in other.names else n) for n in engine.names]
    np.testing.assert_allclose(engine.log_likelihood(points[:, at]), other.log_likelihood(points), rtol=EXACT)
