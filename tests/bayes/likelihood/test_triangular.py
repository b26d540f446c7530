"""Stacks of triangular systems."""

from __future__ import annotations

import numpy as np
import pytest

from cbec_bayes.bayes.likelihood.triangular import forward, squared


@pytest.mark.parametrize(("p", "q"), [(1, 1), (3, 1), (7, 5), (12, 0), (17, 3), (20, 1), (43, 9)])
def test_the_solution_is_that_of_the_general_solver(p, q):
    rng = np.random.default_rng(1)
    root = np.tril(rng.normal(size=(20, p, p))) + 3 * np.eye(p)
    right = rng.normal(size=(20, p, q))
    kept = right.copy()
    np.testing.assert_allclose(forward(root, right), np.linalg.solve(root, right), rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(right, kept)


def test_what_stands_above_the_diagonal_is_not_looked_at():
    root = np.array([[[2.0, np.nan], [1.0, 4.0]]])
    np.testing.assert_allclose(forward(root, np.array([[[2.0], [5.0]]])), [[[1.0], [1.0]]])
    rng = np.random.default_rng(2)
    root, right = np.tril(rng.normal(size=(2, 23, 23))) + 3 * np.eye(23), rng.normal(size=(2, 23, 4))
    hidden = np.where(np.tri(23, dtype=bool), root, np.nan)
    np.testing.assert_array_equal(forward(hidden, right), forward(root, right))


def test_one_right_hand_side_for_every_system():
    root = np.array([[[2.0]], [[4.0]]])
    found = forward(root, np.broadcast_to(np.eye(1), root.shape))
    np.testing.assert_allclose(found[:, 0, 0], [0.5, 0.25])


@pytest.mark.parametrize(("n", "q"), [(1, 1), (5, 3), (3, 8), (0, 2)])
def test_squares_are_products_with_the_transpose(n, q):
    columns = np.random.default_rng(3).normal(size=(6, n, q))
    kept = columns.copy()
    np.testing.assert_allclose(squared(columns), np.einsum("sni,snj->sij", columns, columns), rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(columns, kept)
