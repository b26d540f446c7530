"""The multivariate t distribution is SciPy's, draws and densities, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from cbec_bayes.bayes.sampling.multivariate_t import MultivariateT


@pytest.mark.parametrize("k", [1, 2, 7, 14])
def test_draws_and_densities_are_those_of_scipy(k):
    rng = np.random.default_rng(k)
    mixing = rng.standard_normal((k, k))
    centre, spread = rng.standard_normal(k), mixing @ mixing.T + 0.1 * np.eye(k)
    own = MultivariateT(centre, spread, 6)
    scipys = stats.multivariate_t(centre, spread, df=6, seed=np.random.default_rng(3))
    drawn = own.draw(400, np.random.default_rng(3))
    assert np.array_equal(drawn, np.reshape(scipys.rvs(400), (400, k)))
    assert np.array_equal(own.log_density(drawn), scipys.logpdf(drawn))


def test_a_singular_spread_has_no_density():
    with pytest.raises(np.linalg.LinAlgError, match="singular"):
        MultivariateT(np.zeros(2), np.ones((2, 2)), 6).log_density(np.zeros((1, 2)))
