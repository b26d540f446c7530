"""The two-way coefficient as a weighted sum of effects."""

from __future__ import annotations

import numpy as np
import pytest

from cbec_bayes.classical.events.paths import fit_saturated
from cbec_bayes.classical.events.weights import two_way_weights
from cbec_bayes.classical.regression import twfe
from cbec_bayes.panel.adoption import adoption_of
from tests.support.staggered import growing, staggered

ROWS = pytest.mark.parametrize("drop", [0.0, 0.2], ids=["balanced", "unbalanced"])


@ROWS
def test_weights_add_up_to_one_and_to_the_coefficient_where_there_is_no_noise(drop):
    adoption = adoption_of(staggered(noise=0.0, drop=drop))
    found = two_way_weights(adoption)
    assert found.weight.sum() == pytest.approx(1, abs=1e-12)
    first = np.asarray(adoption.cohorts)[adoption.cohort[adoption.design.unit]]
    effects = growing(first, adoption.event_time)
    coefficient = twfe(adoption.design).estimate[0]
    assert float(found.row_weight @ effects) == pytest.approx(coefficient, abs=1e-10)
    assert coefficient != pytest.approx(effects[adoption.treated].mean(), rel=0.02)


@ROWS
def test_weighted_saturated_estimates_are_the_coefficient_whatever_the_noise(drop):
    adoption = adoption_of(staggered(drop=drop))
    found = two_way_weights(adoption)
    saturated = fit_saturated(adoption, "reghdfe", leads=False)
    coefficient = twfe(adoption.design).estimate[0]
    assert float(found.weight @ saturated.estimate) == pytest.approx(coefficient, abs=1e-10)


def test_early_cohorts_have_negative_weights_late_where_all_adopt():
    found = two_way_weights(adoption_of(staggered(cohorts=(2002, 2002, 2003, 2009), control=None)))
    assert found.n_negative > 0
    assert found.negative_sum < 0
    negative = found.weight < 0
    assert set(found.cells.cohort[negative]) == {0}
    assert found.spread_for_zero(1.0) > 0


def test_one_cohort_has_equal_weights_and_no_spread():
    found = two_way_weights(adoption_of(staggered(cohorts=(2004, 0), control=None)))
    rows = found.cells.rows / found.cells.rows.sum()
    assert found.weight == pytest.approx(rows, abs=1e-12)
    assert found.spread_for_zero(1.0) > 1e6


def test_the_spread_for_zero_is_reached_by_effects_along_the_weights():
    """Of de Chaisemartin and D'Haultfoeuille's (2020) bound: the mean is zero and the coefficient as it is."""
    found = two_way_weights(adoption_of(staggered()))
    shares = found.cells.rows / found.cells.rows.sum()
    relative = found.weight / shares
    effects = (relative - 1) / float(shares @ (relative - 1) ** 2)
    assert float(shares @ effects) == pytest.approx(0, abs=1e-12)
    assert float(found.weight @ effects) == pytest.approx(1, abs=1e-12)
    spread = float(np.sqrt(shares @ effects**2))
    assert found.spread_for_zero(1.0) == pytest.approx(spread, rel=1e-12)
