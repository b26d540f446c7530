"""Units left out by weights and by draws that are moved: against an integral over the scale, and refits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import special, stats

from cbec_bayes.bayes import whole_units
from cbec_bayes.bayes.fit import draw_scales
from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.likelihood.unit_densities import unit_densities
from cbec_bayes.bayes.model.blocks import make_blocks
from cbec_bayes.bayes.whole_units import leave_out_units
from tests.support.members import member, panel

ERRORS = 4.5
"""Monte Carlo standard errors that a number may be off; seeds are fixed."""


def one_scale(error):
    """A panel with one unit that moves far more than the others, and the densities given sigma on a fine grid."""
    base = panel("balanced")
    shock = error * (base.unit == 3) * np.where(base.time % 2 == 0, 1.0, -1.0)
    blocks = make_blocks(replace(base, y=base.y + shock).holding_spread(), member())
    collapsed = make_collapsed(blocks)
    grid = np.linspace(-5, 6, 8_001)[:, None]
    posterior, own = collapsed.log_posterior(grid), unit_densities(blocks, collapsed, grid)
    exact = special.logsumexp(posterior) - special.logsumexp(posterior[:, None] - own, axis=0)
    return blocks, collapsed, exact


@pytest.mark.parametrize("error", [0.0, 1.5, 5.0])
def test_each_unit_has_its_integral_over_the_scale(error):
    blocks, collapsed, exact = one_scale(error)
    points = draw_scales(collapsed, draws=2_000, chains=1, seed=3).points[0]
    found = leave_out_units(blocks, collapsed, points, 5)
    assert found.khat.max() < 0.7
    assert bool(found.moved[3]) == (error == 5.0)
    np.testing.assert_array_less(np.abs(found.elpd - exact) / found.error, 1.5 * ERRORS)
    assert abs(found.elpd.sum() - exact.sum()) < 1.5 * ERRORS * found.mcse


def test_a_unit_that_cannot_be_reached_is_unsure():
    """Beyond a few moves: the shape says so, which asks for a refit."""
    blocks, collapsed, _ = one_scale(30.0)
    points = draw_scales(collapsed, draws=500, chains=1, seed=3).points[0]
    found = leave_out_units(blocks, collapsed, points, 5)
    assert np.flatnonzero(found.khat > 0.7).tolist() == [3]


def test_the_error_of_the_sum_is_that_over_draws():
    blocks, collapsed, _ = one_scale(1.5)
    sums, said = [], []
    for seed in range(40):
        points = draw_scales(collapsed, draws=300, chains=1, seed=seed).points[0]
        found = leave_out_units(blocks, collapsed, points, seed)
        sums.append(found.elpd.sum())
        said.append(found.mcse)
    assert 0.4 < np.std(sums) / np.median(said) < 2.0


def test_the_ratio_of_two_integrals_is_found_from_draws_of_both():
    """Normal densities whose integrals have a known ratio: p = exp(a x - c) moves N(a, 1) to N(0, 1)."""
    rng = np.random.default_rng(1)
    a, exact = 1.5, 0.7
    with_it, without = rng.normal(a, 1, 20_000), rng.normal(0, 1, 20_000)

    def density(x):
        return a * x - a**2 / 2 + exact

    found, error = whole_units._bridged(density(with_it), density(without), np.full(20_000, 1 / 20_000))
    assert abs(found - exact) < ERRORS * error
    assert error < 0.02
    again = [
        whole_units._bridged(density(rng.normal(a, 1, 500)), density(rng.normal(0, 1, 500)), np.full(500, 1 / 500))
        for _ in range(200)
    ]
    values, errors = np.array(again).T
    assert np.std(values) == pytest.approx(np.median(errors), rel=0.2)
    assert stats.norm.sf(abs(values.mean() - exact) / (values.std() / np.sqrt(200))) > 1e-5


def test_seeds_are_all_that_is_random():
    blocks, collapsed, _ = one_scale(30.0)
    points = draw_scales(collapsed, draws=200, chains=1, seed=3).points[0]
    first, second, other = (leave_out_units(blocks, collapsed, points, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.elpd, second.elpd)
    assert first.elpd[3] != other.elpd[3]
