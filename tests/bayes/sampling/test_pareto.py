"""Pareto-smoothed weights are ArviZ's: light and heavy tails, ties, few ratios and many, tails without a fit."""

from __future__ import annotations

import numpy as np
import pytest
from arviz_stats.base import array_stats

from cbec_bayes.bayes.sampling.pareto import pareto_smoothed
from cbec_bayes.bayes.sampling.weights import log_sum

KINDS = {
    "normal": lambda rng, n: rng.standard_normal(n),
    "heavy": lambda rng, n: 5 * rng.standard_t(3, n),
    "nearly equal": lambda rng, n: 1e-3 * rng.standard_normal(n),
    "far apart": lambda rng, n: 30 * rng.standard_normal(n),
    "tied": lambda rng, n: np.round(rng.standard_normal(n), 1),
    "bounded": lambda rng, n: -5 * rng.exponential(size=n),
}


@pytest.mark.parametrize("kind", KINDS)
def test_weights_and_shapes_are_those_of_arviz(kind):
    rng = np.random.default_rng(5)
    for n in (26, 200, 225, 226, 1_000, 4_000, *rng.integers(26, 6_000, size=40)):
        ratios = KINDS[kind](rng, n)
        expected, shape = array_stats.psislw(-ratios)
        found, own_shape = pareto_smoothed(ratios)
        np.testing.assert_allclose(found - log_sum(found), expected, rtol=0, atol=1e-11)
        np.testing.assert_allclose(own_shape, shape, rtol=0, atol=1e-11)


def test_a_tail_of_equal_ratios_stays_what_it_is():
    ratios = np.concatenate([np.linspace(-3, -1, 900), np.zeros(100)])
    found, shape = pareto_smoothed(ratios)
    assert np.isnan(shape)
    assert np.array_equal(found, ratios)


def test_too_few_ratios_are_refused():
    with pytest.raises(ValueError, match="24 ratios are too few"):
        pareto_smoothed(np.arange(24.0))
