from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cbec_bayes.panel import make_panel
from cbec_bayes.panel.collinear import identified
from cbec_bayes.panel.design import make_design
from cbec_bayes.panel.within import TwoWay
from cbec_bayes.runtime.errors import InputError
from tests.support.panels import GROUPED, ROLES, table
from tests.support.regressions import design_of, load, panel_of_case, random_design


def labels(design):
    """Rows in words, whatever the codes."""
    return [
        (design.units[u], design.times[t], design.groups[g])
        for u, t, g in zip(design.unit, design.time, design.group, strict=True)
    ]


def test_a_panel_becomes_arrays():
    frame = table()
    design = make_design(make_panel(frame, GROUPED))
    assert (design.outcome, design.terms, design.n_obs) == ("y", ("x", "z"), 12)
    np.testing.assert_array_equal(design.y, frame["y"])
    np.testing.assert_array_equal(design.x, frame[["x", "z"]])
    assert labels(design) == list(frame[["unit", "time", "group"]].itertuples(index=False, name=None))
    assert (design.effects.n_units, design.effects.n_times, design.effects.rank) == (4, 3, 6)
    assert make_design(make_panel(frame.assign(group="west"), GROUPED)).groups == ("west",)


def test_without_groups_there_are_no_codes():
    design = make_design(make_panel(table(), ROLES))
    assert design.group is None
    assert design.groups == ()
    assert design.rows(design.unit < 2).group is None
    with pytest.raises(InputError, match="unknown group 'west'"):
        design.of_group("west")


def test_some_terms_in_the_order_asked_for():
    design = load("produc")
    chosen = design.keeping(["unemp", "log(pc)"])
    assert chosen.terms == ("unemp", "log(pc)")
    np.testing.assert_array_equal(chosen.x, design.x[:, [3, 1]])
    assert chosen.effects is design.effects
    assert design.keeping(design.terms).terms == design.terms
    message = r"unknown regressor 'log\(pcp\)'; did you mean 'log\(pcap\)'\? there are log\(pcap\), log\(pc\), "
    with pytest.raises(InputError, match=message):
        design.keeping(["log(pcp)"])


def test_other_regressors_on_the_same_rows():
    design = random_design(0, 5, 4)
    other = design.with_regressors(["a"], design.x[:, :1] ** 2)
    assert other.terms == ("a",)
    np.testing.assert_array_equal(other.y, design.y)
    assert other.effects is design.effects


def test_a_group_is_what_the_panel_says_it_is():
    panel, design = panel_of_case("produc"), load("produc")
    for group in design.groups:
        ours, theirs = design.of_group(group), make_design(panel.of_group(group))
        assert (ours.units, ours.times, ours.groups) == (theirs.units, theirs.times, (group,))
        for name in ("y", "x", "unit", "time", "group"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
        np.testing.assert_allclose(ours.effects.within(ours.y), theirs.effects.within(theirs.y), atol=1e-14)
    assert load("produc_region_2").units == design.of_group("2").units
    with pytest.raises(InputError, match="unknown group '10'; did you mean '1'"):
        design.of_group("10")


@given(st.lists(st.booleans(), min_size=30, max_size=30))
def test_subsets_are_recoded_without_holes(kept):
    assume(any(kept))
    mask = np.array(kept)
    unit, time = np.divmod(np.arange(30), 5)
    design = design_of(np.arange(30.0), np.ones((30, 1)), 10 * unit, 2000 + time, [f"g{u % 3}" for u in unit])
    part = design.rows(mask)
    assert labels(part) == [row for row, keep in zip(labels(design), kept, strict=True) if keep]
    np.testing.assert_array_equal(part.y, design.y[mask])
    for code, names, before in (
        (part.unit, part.units, design.units),
        (part.time, part.times, design.times),
        (part.group, part.groups, design.groups),
    ):
        assert set(code) == set(range(len(names)))
        assert names == tuple(name for name in before if name in names)  # in the same order
    assert (part.effects.n_obs, part.effects.n_units, part.effects.n_times) == (
        mask.sum(),
        len(part.units),
        len(part.times),
    )
    np.testing.assert_array_equal(part.effects.unit, part.unit)


def test_a_design_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        load("grunfeld").y = np.zeros(200)


def kept_of(x, effects):
    return identified(x, effects.within(x))


@pytest.fixture(scope="module", params=[1.0, 0.6])
def example(request):
    design = random_design(1, 9, 8, n_terms=3, share=request.param)
    rng = np.random.default_rng(2)
    absorbed = rng.normal(size=9)[design.unit] + rng.normal(size=8)[design.time]
    return design.x, absorbed, design.effects


def test_of_a_collinear_set_the_last_is_left_out(example):
    x, absorbed, effects = example
    a, b, c = x.T
    assert kept_of(x, effects) == (0, 1, 2)
    assert kept_of(np.column_stack([a, b, 2 * a - b]), effects) == (0, 1)
    assert kept_of(np.column_stack([2 * a - b, b, a]), effects) == (0, 1)
    assert kept_of(np.column_stack([a, a, b]), effects) == (0, 2)
    assert kept_of(np.column_stack([a, -3 * a + absorbed, c, b]), effects) == (0, 2, 3)
    assert kept_of(np.column_stack([absorbed, a, b]), effects) == (1, 2)
    assert kept_of(absorbed[:, None], effects) == ()
    assert kept_of(x[:, :0], effects) == ()


@given(st.lists(st.integers(-8, 8), min_size=4, max_size=4), st.permutations(range(4)))
def test_units_of_measurement_do_not_matter(powers, order):
    design = random_design(3, 7, 6, n_terms=3, share=0.8)
    x = np.column_stack([design.x, design.x @ [1.0, -2.0, 0.5]])[:, order] * 10.0 ** np.array(powers)
    assert kept_of(x, design.effects) == (0, 1, 2)
    assert kept_of(x[:, :3] + 1e3 * 10.0 ** np.array(powers[:3]), design.effects) == (0, 1, 2)
    assert kept_of(x[:, :1] + 0 * x, design.effects) == (0,)


def test_collinear_is_a_share_of_the_spread(example):
    x, absorbed, effects = example
    a, b = x.T[:2]
    for share, kept in ((1e-6, (0, 1)), (1e-12, (0,))):
        assert kept_of(np.column_stack([a, a + share * b]), effects) == kept
        assert kept_of(np.column_stack([a, absorbed + share * b]), effects) == kept


def test_effects_of_disconnected_panels_absorb_more():
    # Unit 0 in periods 0-2, unit 1 in 3-5: a step between the two pieces is a unit effect and a time effect.
    unit, time = np.repeat([0, 0, 1, 1], 3), np.array([0, 1, 2] * 2 + [3, 4, 5] * 2)
    unit = unit * 2 + np.repeat([0, 1, 0, 1], 3)
    effects = TwoWay(np.unique(unit, return_inverse=True)[1], time)
    x = np.random.default_rng(0).normal(size=12)
    assert kept_of(np.column_stack([x, (time > 2) * 1.0]), effects) == (0,)


@pytest.mark.parametrize("value", [0.0, 0.1, 0.3, -7.0, 1e8 + 0.1, 1e-9])
def test_a_constant_is_collinear(value):
    for seed in range(10):  # whether rounding leaves a mean of equal numbers equal to them depends on how many
        design = random_design(seed, 7, 6, n_terms=1, share=0.8)
        constant = np.full(design.n_obs, value)
        assert kept_of(np.column_stack([constant, design.x]), design.effects) == (1,)
        assert kept_of(np.column_stack([design.x, constant]), design.effects) == (0,)
