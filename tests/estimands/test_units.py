"""The average over the units that are there, and slopes of units: what finitely many units say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.likelihood.elimination import with_unit_terms
from cbec_bayes.bayes.model.blocks import make_blocks
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.pymc import twin
from cbec_bayes.estimands.groups import effects, group_slopes, slope_quantities, unit_averages, unit_slopes
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import GROUP_AVERAGE
from tests.support.members import dense, member, panel

MEMBERS = {
    "one slope": {"group_slope": "pooled"},
    "one slope, a sigma per group": {"group_slope": "pooled", "residual": "by_group"},
    "slopes of groups flat": {"group_slope": "fixed"},
    "one slope of groups": {},
    "random units": {"group_slope": "pooled", "unit_effect": "random"},
    "with trends": {"group_slope": "pooled", "unit_trend": "pooled", "residual": "by_group"},
}
"""Each mechanism that integrates slopes of units out, and each way in which groups have slopes."""

HELD = {"sigma": 0.4, "tau": 0.3, "kappa": 0.5, "sigma_mu": 0.6, "xi": 0.1}


def uneven(name):
    """Groups of 2, 4 and 6 units."""
    design = panel(name)
    return replace(design, group=np.repeat([0, 1, 2], [2, 4, 6])[design.unit])


def held(name, model):
    """A fit whose scales are known, and all its coefficients, those of units too, in one dense normal posterior."""
    design = uneven(name)
    spec = member(unit_slope="pooled", **MEMBERS[model])
    spec = replace(spec, priors=spec.priors | {s: Prior("fixed", {"value": HELD[s]}) for s in spec.scales})
    found = fit(design, spec, draws=500, seed=2)
    assert found.collapsed.names == ()
    return found, *dense(design, spec).conditional(dict(found.collapsed.fixed))


def loading(design, names, units):
    """The mean slope of some units as a sum of coefficients."""
    found = np.zeros(len(names))
    for i in units:
        group = design.groups[design.group_of_unit[i]]
        own = {"slope", f"group_slope[{group}]", f"group_total_slope[{group}]", f"unit_slope[{design.units[i]}]"}
        found += [name in own for name in names]
    return found / len(units)


@pytest.mark.parametrize("model", MEMBERS)
@pytest.mark.parametrize("name", ["balanced", "unbalanced"])
def test_averages_over_units_are_those_of_one_dense_posterior(name, model):
    found, mean, covariance = held(name, model)
    design = found.design
    averages = unit_averages(found) | {GROUP_AVERAGE: slope_quantities(found)[GROUP_AVERAGE]}
    units = {g: np.flatnonzero(design.group_of_unit == r) for r, g in enumerate(design.groups)}
    units[GROUP_AVERAGE] = np.arange(len(design.units))
    table = effects(found).set_index("group")
    for label, own in units.items():
        load = loading(design, mean.index, own)
        expected = float(load @ mean), float(np.sqrt(load @ covariance.to_numpy() @ load))
        assert averages[label].mean[0] == pytest.approx(expected[0], rel=1e-8)
        assert averages[label].sd[0] == pytest.approx(expected[1], rel=1e-8)
        row = table.loc[label]
        assert (row["units_mean"], row["units_sd"]) == pytest.approx(expected, rel=1e-8)
        assert row["units_ci_high"] - row["units_mean"] == pytest.approx(1.959964 * expected[1], rel=1e-5)
    for label in design.groups:  # finitely many units are known better than what they are drawn from
        assert table.loc[label, "units_sd"] < table.loc[label, "sd"]


@pytest.mark.parametrize("model", ["one slope", "with trends"])
def test_draws_of_averages_are_those_of_the_units(model):
    found = held("unbalanced", model)[0]
    slopes, design = group_slopes(found), found.design
    own = found.tree["posterior"]["unit_slope"].to_numpy().reshape(-1, len(design.units))
    every = slopes.groups[:, design.group_of_unit] + own
    for r in range(len(design.groups)):
        np.testing.assert_allclose(slopes.of_units[:, r], every[:, design.group_of_unit == r].mean(axis=1))
    np.testing.assert_allclose(slopes.average, every.mean(axis=1))


@pytest.mark.parametrize("model", ["one slope", "random units"])
def test_slopes_of_units_are_those_of_one_dense_posterior(model):
    found, mean, covariance = held("unbalanced", model)
    design, table = found.design, unit_slopes(found)
    assert table["unit"].tolist() == list(design.units)
    assert table["group"].tolist() == [design.groups[r] for r in design.group_of_unit]
    for i, row in table.iterrows():
        load = loading(design, mean.index, [i])
        sd = float(np.sqrt(load @ covariance.to_numpy() @ load))
        assert row["mean"] == pytest.approx(load @ mean, abs=4.5 * sd / np.sqrt(2_000))
        assert row["sd"] == pytest.approx(sd, rel=4.5 / np.sqrt(2 * 2_000))
    narrow = unit_slopes(found, 0.5)
    np.testing.assert_allclose(narrow["ci_high"] - narrow["ci_low"], 2 * 0.6745 * table["sd"], rtol=0.2)


def test_the_twins_posterior_has_the_same_averages():
    """What PyMC draws of units is averaged by group and in all, as the collapsed engine's draws are."""
    design = uneven("unbalanced")
    own = np.random.default_rng(1).normal(size=(2, 30, len(design.units)))
    drawn = xr.Dataset({"unit_slope": (("chain", "draw", "unit"), own)}, {"unit": list(design.units)})
    blocks = with_unit_terms(make_blocks(design, load_panel_model("nested")))
    found = twin._posterior(drawn, {}, blocks, seed=1)
    np.testing.assert_allclose(found["mean_unit_slope"], own.mean(axis=2))
    for r, group in enumerate(design.groups):
        expected = own[:, :, design.group_of_unit == r].mean(axis=2)
        np.testing.assert_allclose(found["group_mean_unit_slope"].sel(group=group), expected)


def test_without_groups_the_average_has_the_units_deviations():
    design = replace(uneven("unbalanced"), group=None, groups=())
    found = fit(design, "nested", draws=100, seed=1)
    table = effects(found).set_index("group")
    assert table.index.tolist() == ["(average)", "(all)", "(new)"]
    assert table.loc["(average)", "units_sd"] == table.loc["(average)", "sd"] < table.loc["(all)", "sd"]
    assert set(unit_slopes(found)["group"]) == {""}


def test_a_member_without_slopes_of_units_has_no_table_of_them():
    with pytest.raises(
        InputError,
        match=(
            "the posterior of 'partial_pooling' does not contain slopes of units; fit a member that has them, "
            "such as 'nested'"
        ),
    ):
        unit_slopes(fit(uneven("balanced"), "partial_pooling", draws=20))
