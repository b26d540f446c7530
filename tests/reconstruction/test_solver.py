from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import lsq_linear

from cbec_bayes.reconstruction.solver import solve


def circle(point):
    """Two curved targets in five unknowns."""
    values = np.array([point @ point - 4, point[0] * point[1] - 1])
    slope = np.vstack([2 * point, [point[1], point[0], 0, 0, 0]])
    return values, slope


def test_targets_are_met_within_bounds():
    low, high = np.full(5, -0.2), np.full(5, 1.9)
    found = solve(circle, np.ones(5), np.ones(5), low, high, n_wishes=0, pull=1e-6, tolerance=1e-6, max_iterations=500)
    assert found.worst < 1e-6
    assert (found.point >= low).all()
    assert (found.point <= high).all()
    assert found.iterations < 100


def test_the_reference_chooses_among_the_points_that_meet_the_targets():
    """One linear target x0 + x1 = 2: the nearest point to the reference is its projection."""

    def line(point):
        return np.array([100 * (point[0] + point[1] - 2)]), np.array([[100.0, 100.0]])

    found = solve(
        line,
        np.array([5.0, -5.0]),
        np.array([3.0, 0.0]),
        np.full(2, -9.0),
        np.full(2, 9.0),
        n_wishes=0,
        pull=1e-4,
        tolerance=0.0,
        max_iterations=4000,
    )
    assert found.point == pytest.approx([2.5, -0.5], abs=1e-5)


@given(st.integers(0, 10_000))
def test_linear_targets_under_bounds_are_least_squares(seed):
    """With linear residuals the result is that of SciPy's bounded linear least squares."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(3, 8)), rng.normal(size=3)
    low, high = np.full(8, -0.3), np.full(8, 0.4)
    pull = 1e-2
    found = solve(
        lambda x: (a @ x - b, a),
        np.zeros(8),
        np.zeros(8),
        low,
        high,
        n_wishes=0,
        pull=pull,
        tolerance=0.0,
        max_iterations=20_000,
    )
    stacked = np.vstack([a, np.sqrt(pull) * np.eye(8)])
    exact = lsq_linear(stacked, np.r_[b, np.zeros(8)], bounds=(low, high), method="bvls", tol=1e-14)
    reached = 0.5 * np.sum((stacked @ found.point - np.r_[b, np.zeros(8)]) ** 2)
    assert reached == pytest.approx(exact.cost, rel=1e-3, abs=1e-9)


def test_wishes_do_not_hold_up_the_solver():
    def wishing(point):
        values, slope = circle(point)
        return np.r_[values, point[2] - 50], np.vstack([slope, [0, 0, 1, 0, 0]])

    bounds = np.full(5, -9.0), np.full(5, 9.0)
    found = solve(wishing, np.ones(5), np.ones(5), *bounds, n_wishes=1, pull=0, tolerance=60, max_iterations=50)
    assert found.iterations == 1
    assert found.worst < 60 < abs(found.residuals).max() + 20
