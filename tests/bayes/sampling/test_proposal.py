"""The bent proposal: its map and its density, and how well it meets skewed and heavy shapes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from cbec_bayes.bayes.sampling.proposal import Bend, Proposal, proposal_of

BEND = Bend(np.array([1.0, -30.0]), np.array([2.0, 0.1]), np.array([-0.7, 1.2]), np.array([0.6, 1.4]))
SPREAD = np.array([[1.0, 0.6], [0.6, 2.0]])


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=2))
def test_the_map_there_and_back(z):
    x = BEND.bent(np.array([z]))
    np.testing.assert_allclose(BEND.straight(x)[0][0], z, rtol=1e-9, atol=1e-9)


def test_the_slope_of_the_map_is_that_of_differences():
    x = BEND.bent(np.array([[0.3, -1.1], [2.0, 4.0]]))
    step = 1e-6
    below, above = (BEND.straight(x + sign * step * BEND.scale)[0] for sign in (-1, 1))
    expected = np.log((above - below) / (2 * step * BEND.scale)).sum(axis=1)
    np.testing.assert_allclose(BEND.straight(x)[1], expected, rtol=1e-7)


def test_without_skew_and_tail_the_map_is_a_line():
    bend = Bend(np.array([3.0]), np.array([0.5]), np.zeros(1), np.ones(1))
    z = np.linspace(-5, 5, 11)[:, None]
    np.testing.assert_allclose(bend.bent(z), 3 + z / 2, rtol=1e-12)
    np.testing.assert_allclose(bend.straight(3 + z / 2)[1], np.log(2.0), rtol=1e-12)


@pytest.mark.parametrize("bend", [None, BEND])
def test_the_density_of_a_point_is_the_one_that_its_draw_came_with(bend):
    found = Proposal(np.array([0.4, -1.0]), SPREAD, bend)
    x, density = found.draw(50, np.random.default_rng(2))
    np.testing.assert_allclose(found.log_density(x), density, rtol=1e-9)


@pytest.mark.parametrize(
    "bend", [None, Bend(*(values[:1] for values in (BEND.location, BEND.scale, BEND.skew, BEND.tail)))]
)
def test_the_density_integrates_to_one(bend):
    """Over the quantiles between which the draws lie, by the density that comes with each draw."""
    found = Proposal(np.array([0.4]), np.array([[1.3]]), bend)
    x, density = found.draw(200_000, np.random.default_rng(1))
    order = np.argsort(x[:, 0])
    inner = order[2_000:-2_000]
    mass = integrate.trapezoid(np.exp(density[inner]), x[inner, 0])
    assert mass == pytest.approx(0.98, abs=4.5 * np.sqrt(0.98 * 0.02 / len(x)))


def skewed(rng, n):
    """Correlated columns: a normal one, the logarithm of a half-normal one, one with a long tail to both sides."""
    normal = rng.multivariate_normal(np.zeros(3), [[1, 0.5, 0.3], [0.5, 1, 0.0], [0.3, 0.0, 1]], size=n)
    half = np.log(stats.halfnorm.ppf(stats.norm.cdf(normal[:, 1])))
    return np.column_stack([normal[:, 0], half, stats.t(3).ppf(stats.norm.cdf(normal[:, 2]))])


def test_shapes_are_found_from_draws():
    points = skewed(np.random.default_rng(2), 4_000)
    found = proposal_of(points, np.full(len(points), 1 / len(points)), bends=True)
    assert found.bend is not None
    assert abs(found.bend.skew[0]) < 0.1
    assert found.bend.skew[1] < -0.3
    assert found.bend.tail[2] < 0.8
    drawn, _ = found.draw(20_000, np.random.default_rng(3))
    for column in range(3):
        inner = np.quantile(points[:, column], [0.1, 0.5, 0.9])
        share = [(drawn[:, column] < at).mean() for at in inner]
        np.testing.assert_allclose(share, [0.1, 0.5, 0.9], atol=0.04)  # the proposal is a little wider on purpose


def test_weights_count():
    """Draws of a wide density, weighted to a narrow one, give the narrow one's centre and spread."""
    rng = np.random.default_rng(4)
    points = rng.normal(0.0, 3.0, size=(20_000, 1))
    ratios = stats.norm.logpdf(points[:, 0], 1.0, 0.5) - stats.norm.logpdf(points[:, 0], 0.0, 3.0)
    weights = np.exp(ratios) / np.exp(ratios).sum()
    found = proposal_of(points, weights, bends=False, inflation=1.0)
    assert found.centre[0] == pytest.approx(1.0, abs=0.05)
    assert found.spread[0, 0] * 6 / 4 == pytest.approx(0.25, rel=0.1)
    bent = proposal_of(points, weights, bends=True)
    drawn, _ = bent.draw(20_000, rng)
    assert np.median(drawn) == pytest.approx(1.0, abs=0.05)
