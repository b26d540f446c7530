"""Tails and quantiles are those of scipy.stats, to the last bit, for whatever tests and intervals ask."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cbec_bayes.runtime import distributions as own

RNG = np.random.default_rng(20)
VALUES = np.concatenate([5 * RNG.standard_normal(300), [0.0, -0.0, 40.0, -40.0, 1e3, np.inf, -np.inf, np.nan]])
POSITIVE = np.abs(VALUES)
LEVELS = np.concatenate([RNG.uniform(size=301), [1e-12, 0.025, 0.05, 0.5, 0.975, 1e-300, np.nan]])
DF = np.concatenate([RNG.uniform(0.3, 80, size=300), [1, 2, 3, 4, 1, 2, 3, 4]])
LARGE = np.full(len(DF), np.inf)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (own.normal_cdf(VALUES), stats.norm.cdf(VALUES)),
        (own.normal_sf(VALUES), stats.norm.sf(VALUES)),
        (own.normal_ppf(LEVELS), stats.norm.ppf(LEVELS)),
        (own.normal_isf(LEVELS), stats.norm.isf(LEVELS)),
        (own.normal_logpdf(VALUES, 0.3, 1.7), stats.norm.logpdf(VALUES, 0.3, 1.7)),
        (own.t_cdf(VALUES, DF), stats.t.cdf(VALUES, DF)),
        (own.t_sf(VALUES, DF), stats.t.sf(VALUES, DF)),
        (own.t_sf(VALUES, LARGE), stats.t.sf(VALUES, LARGE)),
        (own.t_ppf(LEVELS, DF), stats.t.ppf(LEVELS, DF)),
        (own.t_isf(LEVELS, DF), stats.t.isf(LEVELS, DF)),
        (own.t_logpdf(VALUES, DF, scale=1.3), stats.t.logpdf(VALUES, DF, scale=1.3)),
        (own.chi2_cdf(POSITIVE, DF), stats.chi2.cdf(POSITIVE, DF)),
        (own.chi2_sf(POSITIVE, DF), stats.chi2.sf(POSITIVE, DF)),
        (own.chi2_ppf(LEVELS, DF), stats.chi2.ppf(LEVELS, DF)),
        (own.chi2_isf(LEVELS, DF), stats.chi2.isf(LEVELS, DF)),
        (own.f_sf(POSITIVE, DF, DF[::-1]), stats.f.sf(POSITIVE, DF, DF[::-1])),
    ],
)
def test_numbers_are_those_of_scipy_stats(found, expected):
    assert np.array_equal(found, expected, equal_nan=True)
