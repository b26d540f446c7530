"""Simultaneous bands: their level, against arviz-stats, and what they find."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cbec_bayes.calibration.sbc import DRAWS, LEVEL
from cbec_bayes.calibration.uniformity import band, uniformity

LARGEST = DRAWS


def test_the_band_is_that_of_arviz():
    """Of continuous values arviz-stats' band at the same points; its level is simulated with 2,000 samples."""
    from arviz_stats.ecdf_utils import get_pointwise_confidence_band, simulate_confidence_bands

    n, prob = 250, 0.9
    at = np.arange(1, LARGEST + 1) / (LARGEST + 1)
    pointwise = simulate_confidence_bands(n, 1, at, prob, 2_000, np.random.default_rng(1))
    low, high = band(n, LARGEST, prob)
    theirs = get_pointwise_confidence_band(pointwise, n, at)
    np.testing.assert_allclose(low, theirs[0] - at, atol=1.5 / n)
    np.testing.assert_allclose(high, theirs[1] - at, atol=1.5 / n)


def test_p_values_of_uniform_ranks_are_uniform():
    rng = np.random.default_rng(2)
    p = np.array([uniformity(rng.integers(0, LARGEST + 1, 300), LARGEST).p for _ in range(400)])
    for level in (0.01, 0.05, 0.2, 0.5):
        assert stats.binomtest(int((p <= level).sum()), len(p), level).pvalue > 1e-3


def test_a_sample_leaves_the_band_if_its_p_value_is_small():
    rng = np.random.default_rng(3)
    low, high = band(300, LARGEST, 0.95)
    agree = 0
    for _ in range(200):
        found = uniformity(rng.integers(0, LARGEST + 1, 300), LARGEST)
        inside = bool(((found.difference >= low - 1e-12) & (found.difference <= high + 1e-12)).all())
        agree += inside == (found.p > 0.05)
    assert agree >= 195


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: rng.beta(1.3, 1, 1_000),  # biased
        lambda rng: rng.beta(1.3, 1.3, 1_000),  # posterior too wide
        lambda rng: rng.beta(0.8, 0.8, 1_000),  # too narrow
        lambda rng: np.where(rng.random(1_000) < 0.05, 0.0, rng.random(1_000)),  # a spike at one end
    ],
    ids=["bias", "wide", "narrow", "spike"],
)
def test_what_is_not_uniform_is_found(draw):
    ranks = (draw(np.random.default_rng(4)) * (LARGEST + 1)).astype(np.int64)
    assert uniformity(ranks, LARGEST).p < 1e-3


REPLICATIONS = 1_000
QUANTITIES = 115
"""Of the calibration that ships with the package: replications of a member, and quantities of all members."""


def ranks_of_a_normal_mean(rng: np.random.Generator, inflated: float) -> np.ndarray:
    """Ranks of a normal mean among draws of its posterior, whose standard deviation is wrong by a factor.

    The mean is standard normal and seen with a variance of 1/3, so that its posterior is N(3 y / 4, 1 / 4).
    """
    mean = rng.standard_normal(REPLICATIONS)
    y = mean + rng.standard_normal(REPLICATIONS) / np.sqrt(3)
    draws = 0.75 * y[:, None] + inflated * 0.5 * rng.standard_normal((REPLICATIONS, LARGEST))
    return (draws < mean[:, None]).sum(axis=1)


@pytest.mark.parametrize(
    ("inflated", "found"), [(1.0, False), (1.3, True), (0.75, True)], ids=["right", "wide", "narrow"]
)
def test_a_posterior_too_wide_or_too_narrow_is_found_with_near_certainty(inflated, found):
    """At the calibration's own level for one of all its quantities, .05 / 115, and with its thousand replications.

    All of 59 samples have the verdict: were its probability .95 or less, that would have a probability below .05. With
    200 replications a factor of 1.3 would be found in one sample of nine, with 25 in none.
    """
    rng = np.random.default_rng(5)
    p = np.array([uniformity(ranks_of_a_normal_mean(rng, inflated), LARGEST).p for _ in range(59)])
    assert ((p <= LEVEL / QUANTITIES) == found).all()
