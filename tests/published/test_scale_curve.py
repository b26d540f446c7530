"""The distribution of a scale by panels of log tau, against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cbec_bayes.published.scale_curve import scale_curve

KNOWN = {
    "half-normal": (stats.halfnorm(scale=0.3), 1e-16, 3.0),
    "half-Cauchy": (stats.halfcauchy(scale=2.0), 1e-16, 1e16),
    "narrow": (stats.lognorm(0.01, scale=5.0), 4.5, 5.6),
}


@pytest.mark.parametrize("name", KNOWN)
def test_probabilities_and_quantiles_are_those_of_scipy(name):
    known, low, high = KNOWN[name]
    curve = scale_curve(lambda t: known.logpdf(np.exp(t)) + t, low, high)
    for p in (1e-4, 0.025, 0.5, 0.9, 0.9999):
        end = float(known.ppf(p))
        assert curve.cdf(end) == pytest.approx(p, abs=1e-10)
        assert curve.quantile(p) == pytest.approx(end, rel=1e-8)
    assert (curve.cdf(0.0), curve.cdf(low / 2), curve.cdf(2 * high)) == (0, 0, 1)
