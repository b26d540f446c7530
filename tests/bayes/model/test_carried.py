"""What a panel cannot carry of a member is left out, each term with a plain sentence, and nothing else is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cbec_bayes.bayes.fit import MOST_SPREADS, fit
from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.model.blocks import blocks_for
from cbec_bayes.bayes.model.carried import CONTROLS, carried
from cbec_bayes.bayes.model.family import load_panel_model, panel_model_names
from cbec_bayes.panel.design import Design
from cbec_bayes.runtime.errors import InputError
from tests.support.members import panel
from tests.support.simulated import simulated
from tests.support.twins import small_panel

ROBUST = load_panel_model("robust")
SLOPES_OF_GROUPS = "Deviations of groups in the slope of the exposure are left out: "
CONTROLS_OF_GROUPS = "Deviations of groups in the slopes of the controls are left out: "
PERIODS_OF_GROUPS = "Effects of groups in periods are left out: "
SLOPES_OF_UNITS = "Deviations of units in the slope of the exposure are left out: "
TRENDS = "Linear trends of units are left out: "
CORRELATION = "Correlations of errors over time are left out: "
SPREAD = "Residual scales of groups are left out: "


def without(**choices: str):
    return ROBUST.reduced(**choices)


def told(design: Design) -> tuple[str, ...]:
    """The sentences about the robust member, whose rest a density can be made of."""
    found = carried(ROBUST, design)
    engine = make_collapsed(blocks_for(design, found.model))
    assert np.isfinite(engine.gradient(engine.start())[0])
    assert carried(found.model, design) == replace(found, left_out=())  # what is left is carried
    assert set(found.model.priors) == {"slope", "control_slope", *found.model.scales}
    return found.left_out


@pytest.mark.parametrize("name", ["public", "paper", "produc", "grunfeld", "unbalanced"])
@pytest.mark.parametrize("model", panel_model_names())
def test_a_panel_of_enough_rows_carries_every_member(name, model):
    chosen = load_panel_model(model)
    found = carried(chosen, panel(name))
    assert found.model == chosen
    assert found.left_out == ()


@pytest.mark.parametrize(("groups", "why"), [(0, "the panel has no groups"), (1, "the panel has one group")])
def test_terms_of_groups_need_two(groups, why):
    design = panel("unbalanced")
    alone = replace(design, group=None, groups=())
    if groups:
        alone = replace(alone, group=np.zeros(design.n_obs, dtype=np.intp), groups=("g",))
    found = carried(ROBUST, alone)
    assert found.model == ROBUST.without_groups()
    named = "slopes of the controls, effects of groups in periods and residual scales of groups are left out"
    first = "Deviations of groups in the slope of the exposure, deviations of groups in the"
    assert told(alone) == (f"{first} {named}: {why}.",)  # one sentence for one reason
    own = carried(load_panel_model("no_pooling"), alone)  # flat terms of groups need them too
    assert own.left_out == found.left_out


def test_a_member_without_what_is_lacking_is_as_it_was():
    model = load_panel_model("complete_pooling")
    alone = replace(panel("unbalanced"), group=None, groups=())
    assert carried(model, alone) == replace(carried(model, panel("balanced")), model=model)


def varying_in(design: Design, units: list[int], columns: list[int]) -> Design:
    """The panel with some regressors at their unit's mean in all other units."""
    x = design.x.copy()
    for k in columns:
        for unit in set(range(len(design.units))) - set(units):
            x[design.unit == unit, k] = x[design.unit == unit, k].mean()
    return replace(design, x=x)


def test_slopes_of_groups_need_an_exposure_that_varies_in_two():
    """As do those of controls; the group is named."""
    design = small_panel("balanced")  # units 0 to 2 are in the last group by name, west
    own = [unit for unit in range(9) if design.groups[design.group[design.unit == unit][0]] == "west"]
    assert told(varying_in(design, own, [0])) == (
        f"{SLOPES_OF_GROUPS}the exposure varies over time in units of only one group, west.",
        f"{SLOPES_OF_UNITS}the exposure varies over time in 3 units of 3 groups with 3 rows or more, which is too "
        "few to tell how slopes differ.",
    )
    assert told(varying_in(design, own, [1, 2])) == (
        f"{CONTROLS_OF_GROUPS}controls vary over time in units of only one group, west.",
    )
    assert told(design.keeping(["x0"])) == (f"{CONTROLS_OF_GROUPS}there are no controls.",)


def test_an_exposure_that_changes_in_few_units_tells_no_spread_of_slopes():
    """Zeros and ones that change in two units of each of two groups, beside a third without a change."""
    design = small_panel("balanced")
    x = design.x.copy()
    x[:, 0] = (design.time >= 3) & np.isin(design.unit, (0, 1, 3, 4))
    (sentence,) = told(replace(design, x=x))
    assert sentence.startswith(f"{SLOPES_OF_UNITS}the exposure varies over time in 4 units of 3 groups")
    x[:, 0] = (design.time >= 3) & np.isin(design.unit, (0, 1, 2, 3, 4, 5))
    assert told(replace(design, x=x)) == ()


def test_an_exposure_that_varies_in_no_unit():
    design = varying_in(small_panel("balanced"), [], [0])
    found = carried(ROBUST, design)  # there is no slope either, which fitting says
    assert found.left_out == (
        f"{SLOPES_OF_GROUPS}the exposure varies in no unit over time.",
        f"{SLOPES_OF_UNITS}the exposure varies in no unit over time.",
    )


def test_trends_and_correlations_need_units_of_three_rows():
    """A panel of two periods, and one in which one unit alone has more."""
    design = panel("balanced")
    two = design.rows(design.time < 2)
    assert told(two) == (
        f"{SLOPES_OF_UNITS}the exposure varies over time in no units of 3 groups with 3 rows or more, which is too "
        "few to tell how slopes differ.",
        f"{TRENDS}no unit has 3 rows or more, and fewer rows cannot separate it from the errors.",
        f"{CORRELATION}no unit has 3 rows or more, and fewer rows cannot separate it from the errors.",
        f"{SPREAD}g0, g1 and g2 have too few rows to estimate the size of their own errors.",
    )
    one = design.rows((design.time < 2) | (design.unit == 0))
    assert f"{TRENDS}only one unit has 3 rows or more, and fewer rows cannot separate it from the errors." in told(one)
    walk = load_panel_model("first_differences")  # of which two rows tell all there is
    assert carried(walk, two).model == walk


def test_few_units_of_three_rows_among_many_tell_nothing_of_all():
    design = small_panel("balanced")
    many = np.arange(40) % 9
    rows = np.concatenate(
        [np.flatnonzero((design.unit == u) & (design.time < (3 if k < 3 else 2))) for k, u in enumerate(many)]
    )
    unit = np.repeat(np.arange(40), [3 if k < 3 else 2 for k in range(40)])
    large = replace(
        design,
        y=design.y[rows],
        x=design.x[rows],
        unit=unit,
        time=design.time[rows],
        group=design.group[rows],
        units=tuple(f"u{k}" for k in range(40)),
        times=design.times[:3],
    )
    assert f"{TRENDS}only 3 of 40 units have 3 rows or more, and fewer rows cannot separate it from the errors." in (
        carried(ROBUST, large).left_out
    )


def test_effects_of_groups_in_periods_need_two_units_in_one():
    design = panel("balanced")
    alone = replace(design, group=design.unit.copy(), groups=design.units)
    assert told(alone) == (
        f"{PERIODS_OF_GROUPS}no group has two units in the same period, so that they cannot be told from the errors.",
        f"{SLOPES_OF_UNITS}the exposure varies over time in 12 units of 12 groups with 3 rows or more, which is too "
        "few to tell how slopes differ.",
        (
            f"{SPREAD}{', '.join(design.units[:3])} and 9 other groups have too few rows to estimate the size of "
            "their own errors."
        ),
    )


def test_a_correlation_needs_whole_periods_and_an_odd_step():
    design = panel("balanced")
    halved = replace(design, times=tuple(time / 2 for time in design.times))
    assert told(halved) == (
        f"{CORRELATION}the periods are not whole numbers, so that the time between two rows is not known.",
    )
    walk = load_panel_model("first_differences")
    assert carried(walk, halved).model == walk.choosing(correlation="off")
    doubled = replace(design, times=tuple(2 * time for time in design.times))
    assert told(doubled) == (
        f"{CORRELATION}all rows of a unit are an even number of periods apart, so that the sign of the "
        "correlation cannot be known; number the periods 1, 2, 3 if they follow each other.",
    )
    assert carried(walk, doubled).model == walk


def test_a_spread_by_group_needs_rows_in_each():
    design = panel("balanced")
    group = np.where(design.unit == 0, 2, design.unit % 2)
    assert told(replace(design, group=group)) == (
        f"{SPREAD}g2 has too few rows to estimate the size of its own errors.",
    )


def with_controls(count: int) -> Design:
    """A panel of 30 units in three groups with so many controls."""
    base = simulated()
    x = np.column_stack([base.x[:, 0], np.random.default_rng(4).normal(size=(base.n_obs, count))])
    return replace(base, x=x, terms=(base.terms[0], *(f"c{k}" for k in range(count))))


def test_spreads_over_groups_of_very_many_controls_are_left_out():
    assert told(with_controls(CONTROLS)) == ()
    (said,) = told(with_controls(CONTROLS + 1))
    assert said.startswith(
        f"{CONTROLS_OF_GROUPS}each of the {CONTROLS + 1} controls would have its own standard deviation"
    )
    assert carried(ROBUST, with_controls(CONTROLS + 1)).model == without(group_control_slope="off")


def test_a_member_with_too_many_spreads_is_refused_before_anything_is_sampled(monkeypatch):
    """Named in Python it is fitted as it is, or not at all: no term is taken from it without a word."""
    monkeypatch.setattr("cbec_bayes.bayes.fit.collapsed_of", None)
    with pytest.raises(InputError, match="a spread over groups for each of 41 controls, and more than 40 take hours"):
        fit(with_controls(MOST_SPREADS + 1), "robust")
