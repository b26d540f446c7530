"""Moments of columns less levels and trends of units are those of residuals, and tell the same as the rows do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cbec_bayes.bayes.model import blocks as blocks_module
from cbec_bayes.bayes.model.blocks import Blocks, make_blocks
from cbec_bayes.bayes.moments import less_flat
from cbec_bayes.bayes.moments.coded import Coded
from cbec_bayes.bayes.moments.less_flat import moments_less_flat
from cbec_bayes.bayes.moments.unit_directions import Direction
from cbec_bayes.panel.design import Design
from cbec_bayes.runtime.errors import InputError
from tests.support.long_panels import long_panel
from tests.support.members import member, weighted

LEVELS = ("fixed", "random", "correlated")
TERMS = {"group_slope": "pooled", "group_control_slope": "pooled", "group_time_effect": "pooled"}


@pytest.mark.parametrize("has_groups", [False, True])
@pytest.mark.parametrize("levels", [False, True])
def test_moments_are_those_of_what_least_squares_leaves_of_each_unit(levels, has_groups, monkeypatch):
    monkeypatch.setattr(less_flat, "_LAID_OUT", 300)  # some units at a time
    design = weighted(long_panel(24, 7, gaps=True))
    root, elapsed = design.root, design.elapsed
    parts = [
        Coded(design.y[:, None]),
        Coded(design.x, design.group, 3),
        Coded(np.ones((design.n_obs, 1)), design.time, 7),
    ]
    flat = [Direction("unit_effect", None, root)] if levels else []
    flat.append(Direction("unit_trend", None, root * elapsed))
    names = tuple(map(str, range(14)))
    group = design.group if has_groups else np.zeros(design.n_obs, dtype=np.intp)
    found = moments_less_flat(parts, names, unit=design.unit, group=group, flat=flat, root=root)
    by_group = (design.x[:, :, None] * (design.group[:, None] == np.arange(3))[:, None]).reshape(design.n_obs, 6)
    columns = root[:, None] * np.column_stack([design.y, by_group, design.time[:, None] == np.arange(7)])
    left = columns.copy()
    for i in range(len(design.units)):
        rows = design.unit == i
        own = np.column_stack([one.regressor[rows] for one in flat])
        left[rows] -= own @ np.linalg.lstsq(own, left[rows], rcond=None)[0]
    size = np.abs(columns.T @ columns).max()
    np.testing.assert_allclose(found.inner(demean=True), left.T @ left, atol=1e-13 * size)
    np.testing.assert_allclose(found.inner(demean=False), columns.T @ columns, atol=1e-13 * size)


def both_ways(design: Design, levels: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Blocks, Blocks]:
    """The columns of a member with flat trends, laid out and by their moments."""
    terms = TERMS if design.groups else {}
    model = member(**terms, unit_effect=levels, unit_trend="fixed", correlation="ar1")
    laid_out = make_blocks(design, model)
    monkeypatch.setattr(blocks_module, "MANY_UNITS", 1)
    return laid_out, make_blocks(design, model)


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("kind", ["balanced", "gaps", "weights", "units of two groups", "without groups"])
def test_what_is_identified_is_what_the_rows_say(kind, levels, monkeypatch):
    design = long_panel(24, 7, gaps=kind != "balanced")
    if kind == "weights":
        design = weighted(design)
    elif kind == "units of two groups":
        design = replace(design, group=design.time % 3)
    elif kind == "without groups":
        design = replace(design, group=None, groups=())
    laid_out, by_moments = both_ways(design, levels, monkeypatch)
    assert by_moments.moments is not None
    assert [(one.name, one.kept) for one in by_moments.every] == [(one.name, one.kept) for one in laid_out.every]
    x = by_moments.design.scaled(np.column_stack([design.y, by_moments.x]))
    left = by_moments.flat_of_units().reduced(x)[0]
    np.testing.assert_allclose(by_moments.moments.inner(demean=True), left.T @ left, atol=1e-9)


@pytest.mark.parametrize("levels", LEVELS)
def test_an_exposure_on_a_straight_line_in_every_unit_is_named(levels, monkeypatch):
    design = long_panel(24, 7, gaps=True)
    slope = np.random.default_rng(1).normal(size=len(design.units))
    x = design.x.copy()
    x[:, 0] = slope[design.unit] * design.elapsed
    monkeypatch.setattr(blocks_module, "MANY_UNITS", 1)
    with pytest.raises(InputError, match="the slope slope is not identified"):
        make_blocks(replace(design, x=x), member(unit_effect=levels, unit_trend="fixed", correlation="ar1"))
