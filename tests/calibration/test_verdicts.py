"""What a calibration concludes, on ranks that are uniform and on ranks that are not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cbec_bayes.calibration.sbc import DRAWS, Calibration, verdicts
from cbec_bayes.calibration.verdicts import coverage_band, model_verdicts, rank_curves

N = 1_000


@pytest.fixture(scope="module")
def results() -> tuple[Calibration, ...]:
    """Two quantities of a right model, and one of a wrong one whose ranks pile up at the ends."""
    rng = np.random.default_rng(2)
    uniform = {name: rng.integers(DRAWS + 1, size=N) for name in ("slope", "tau")}
    piled = {"slope": np.floor(rng.beta(0.5, 0.5, size=N) * (DRAWS + 1)).astype(int)}
    return Calibration("right", "right", uniform, 0), Calibration("narrow", "wide", piled, 3)


def test_models_are_told_apart_by_what_they_miss(results):
    right, wrong = model_verdicts(verdicts(results))
    assert (right.model, right.is_right, right.missed) == ("right", True, ())
    assert (right.replications, right.quantities) == (N, 2)
    assert (wrong.model, wrong.data_of, wrong.is_right, wrong.missed) == ("narrow", "wide", False, ("slope",))
    assert wrong.smallest_p < 0.001 < right.smallest_p


def test_curves_are_distribution_functions_less_the_uniform_one(results):
    right, wrong = rank_curves(pd.concat([one.counts() for one in results], ignore_index=True))
    assert not right.outside.any()
    assert wrong.outside.all()
    ranks = results[0].ranks["tau"]
    by_hand = [(ranks < k).mean() - k / (DRAWS + 1) for k in range(1, DRAWS + 1)]
    np.testing.assert_allclose(right.differences[1], by_hand, atol=1e-12)
    assert (right.low <= 0).all()
    assert (right.high >= 0).all()


def test_the_band_of_a_coverage_is_two_standard_errors_of_a_share():
    low, high = coverage_band(400)
    assert (low + high) / 2 == pytest.approx(0.95)
    assert (high - low) / 4 == pytest.approx(stats.binom.std(400, 0.95) / 400)
