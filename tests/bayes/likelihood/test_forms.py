"""Variances of sums of coefficients as products of matrices, against each covariance by itself."""

from __future__ import annotations

import numpy as np
import pytest

from cbec_bayes.bayes.likelihood import forms
from cbec_bayes.bayes.likelihood.forms import Forms


def covariances(seed, n, p, q, *, spread=1.0):
    """Roots of covariances whose scales differ between coefficients and between points."""
    rng = np.random.default_rng(seed)
    scales = np.exp(spread * rng.normal(size=(n, p, 1)))
    return scales * rng.normal(size=(n, p, q))


@pytest.mark.parametrize(("n", "p", "q"), [(1, 1, 1), (7, 4, 4), (200, 6, 6), (30, 5, 9), (3, 8, 8)])
def test_forms_are_those_of_every_covariance(n, p, q):
    root = covariances(1, n, p, q)
    rng = np.random.default_rng(2)
    one, other = rng.normal(size=(2, 11, p))
    found = Forms(root)
    covariance = root @ np.swapaxes(root, 1, 2)
    np.testing.assert_allclose(found(one, one), np.einsum("mi,sij,mj->sm", one, covariance, one), rtol=1e-9)
    mixed = np.einsum("mi,sij,mj->sm", one, covariance, other)
    np.testing.assert_allclose(found(one, other), mixed, rtol=1e-9, atol=1e-9 * np.abs(mixed).max())


def test_blocks_of_loadings_change_nothing(monkeypatch):
    root = covariances(3, 5, 4, 4)
    loadings = np.random.default_rng(4).normal(size=(23, 4))
    whole = Forms(root)(loadings, loadings)
    monkeypatch.setattr(forms, "_CHUNK", 10)
    np.testing.assert_allclose(Forms(root)(loadings, loadings), whole, rtol=1e-13)


def test_coefficients_that_are_nearly_collinear_cost_few_digits():
    """Two coefficients whose sum is known a million times better than either, and what is asked is their sum."""
    rng = np.random.default_rng(5)
    size = np.exp(rng.normal(size=(40, 1)))
    one, noise = size * rng.normal(size=(40, 3)), 1e-6 * size * rng.normal(size=(40, 3))
    root = np.stack([one + noise, -one, size * rng.normal(size=(40, 3))], axis=1)
    sums = np.array([[1.0, 1.0, 0.0]])
    exact = (noise**2).sum(axis=1)
    np.testing.assert_allclose(Forms(root)(sums, sums)[:, 0], exact, rtol=1e-8)


def test_a_coefficient_that_is_known_adds_nothing():
    root = covariances(6, 10, 4, 4)
    root[:, 2] = 0.0
    loadings = np.random.default_rng(7).normal(size=(5, 4))
    expected = ((loadings @ root) ** 2).sum(axis=2)
    np.testing.assert_allclose(Forms(root)(loadings, loadings), expected, rtol=1e-10)
