"""Interpolation at Chebyshev nodes: exact for polynomials, fast for smooth functions, with derivatives."""

from __future__ import annotations

import numpy as np
import pytest

from cbec_bayes.bayes.likelihood.chebyshev import interpolate, nodes_of

LOW, HIGH, NODES = np.array([-0.4, 0.1, 2.0]), np.array([0.5, 0.9, 7.0]), (4, 5, 3)


def grid() -> np.ndarray:
    axes = [nodes_of(a, b, n) for a, b, n in zip(LOW, HIGH, NODES, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(NODES))


def polynomials(x: np.ndarray) -> np.ndarray:
    """Of degrees below the nodes of each variable."""
    a, b, c = x.T
    return np.column_stack([1 + a**3 * b**4 * c**2, a - 2 * b * c, np.full(len(x), 3.0)])


def slopes(x: np.ndarray) -> np.ndarray:
    a, b, c = x
    one = [3 * a**2 * b**4 * c**2, 4 * a**3 * b**3 * c**2, 2 * a**3 * b**4 * c]
    return np.column_stack([one, [1, -2 * c, -2 * b], np.zeros(3)])


def test_polynomials_are_exact_and_so_are_their_derivatives():
    table = interpolate(LOW, HIGH, NODES, polynomials(grid()))
    x = LOW + (HIGH - LOW) * np.random.default_rng(1).random((20, 3))
    np.testing.assert_allclose(table.values(x), polynomials(x), rtol=1e-12, atol=1e-12)
    for point in x[:5]:
        np.testing.assert_allclose(table.slopes(point), slopes(point), rtol=1e-10, atol=1e-11)


def test_outside_the_box_it_is_that_of_the_nearest_point():
    table = interpolate(LOW, HIGH, NODES, polynomials(grid()))
    x = np.array([[0.9, 0.5, 3.0]])
    np.testing.assert_allclose(table.values(x), polynomials(np.array([[HIGH[0], 0.5, 3.0]])), rtol=1e-12)
    assert table.position(x)[0, 0] > 1


@pytest.mark.parametrize("n", [4, 6, 8])
def test_errors_fall_as_the_nearest_pole_says(n):
    """1 / (1 + x) on [1, 3] has its pole at -1, three half boxes from the middle: (3 + sqrt 8)^-n."""
    table = interpolate(np.array([1.0]), np.array([3.0]), [n], 1 / (1 + nodes_of(1, 3, n))[:, None])
    x = np.linspace(1, 3, 101)[:, None]
    error = np.abs(table.values(x)[:, 0] - 1 / (1 + x[:, 0])).max()
    assert error < 2 * (3 + np.sqrt(8)) ** -n
    assert error > 0.01 * (3 + np.sqrt(8)) ** -n
