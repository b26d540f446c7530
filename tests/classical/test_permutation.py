"""Permutations of groups over units: slopes under any grouping are those of regressions, and p-values are shares."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from cbec_bayes.classical.group_slopes import CONTROLS, group_slopes
from cbec_bayes.classical.joint_bootstrap import wald_of_equality
from cbec_bayes.classical.permutation import permutation_test, slopes_under, unit_moments
from cbec_bayes.panel.within import sums_by
from cbec_bayes.runtime.errors import InputError
from tests.support.regressions import grouped


def crv1(slopes):
    """The clustered covariance without factor."""
    found = np.zeros((len(slopes.groups),) * 2)
    for block in slopes.blocks:
        scores = sums_by(block.unit, (block.solve * block.residual).T, len(block.units))
        found[np.ix_(block.at, block.at)] = scores.T @ scores
    return found


@pytest.mark.parametrize("share", [1.0, 0.7])
@pytest.mark.parametrize("controls", CONTROLS)
def test_slopes_under_any_grouping_are_those_of_the_regressions(controls, share):
    design = grouped(3, 16, 7, 3, share)
    moments = unit_moments(design)
    rng = np.random.default_rng(4)
    labels = np.stack([design.group_of_unit, *(rng.permutation(design.group_of_unit) for _ in range(5))])
    estimate, variance = slopes_under(moments, labels, 3, controls)
    for b, own in enumerate(labels):
        slopes = group_slopes(replace(design, group=own[design.unit]), controls)
        np.testing.assert_allclose(estimate[b], slopes.estimate, rtol=1e-8)
        theirs = crv1(slopes)
        np.testing.assert_allclose(variance[b], theirs, rtol=1e-8, atol=1e-9 * theirs.max())


def test_units_of_groups_that_are_not_compared_keep_theirs():
    """With a group of one unit, whose exposure is a control, common slopes of the others are as in the regression."""
    design = grouped(1, 13, 6, 3)
    alone = np.where(design.group_of_unit == 2, 3, design.group_of_unit)
    alone[2] = 2
    design = replace(design, group=alone[design.unit], groups=("a", "b", "solo", "c"))
    slopes = group_slopes(design, "common")
    assert slopes.groups == ("a", "b", "c")
    moments = unit_moments(design, apart=[2])
    assert (moments.group == -1).sum() == 1
    relabelled = np.select([moments.group == 3], [2], moments.group)
    estimate, variance = slopes_under(moments, relabelled[None], 3, "common")
    np.testing.assert_allclose(estimate[0], slopes.estimate, rtol=1e-8)
    np.testing.assert_allclose(variance[0], crv1(slopes), rtol=1e-8, atol=1e-12)
    found, _ = permutation_test(moments, [0, 1, 3], "common", permutations=99)
    assert found.draws == 100


@pytest.mark.parametrize("controls", CONTROLS)
def test_drawn_p_values_are_those_of_all_relabellings(controls):
    design = grouped(6, 8, 6, 2)
    design = replace(design, y=design.y + 0.8 * (design.group == 1) * design.x[:, 0])
    moments = unit_moments(design)
    every = np.array(sorted(set(permutations(design.group_of_unit))))
    assert len(every) == 70
    estimate, variance = slopes_under(moments, every, 2, controls)
    sample = int(np.flatnonzero((every == design.group_of_unit).all(axis=1))[0])
    wald = wald_of_equality(estimate, variance)
    gap = np.abs(estimate[:, 0] - estimate[:, 1])
    found, raw = permutation_test(moments, [0, 1], controls, permutations=9_999, seed=3)
    for test, statistic in ((found, wald), (raw, gap)):
        share = (statistic >= statistic[sample] * (1 - 1e-9)).mean()
        assert test.statistic == pytest.approx(statistic[sample], rel=1e-8)
        assert abs(test.p - share) < 4 * np.sqrt(share * (1 - share) / 9_999) + 1e-4
        assert test.mcse == pytest.approx(np.sqrt(test.p * (1 - test.p) / 10_000))


def test_the_same_seed_gives_the_same_and_the_sample_counts():
    moments = unit_moments(grouped(2))
    one, other, third = (permutation_test(moments, [0, 1, 2], "common", permutations=199, seed=s)[0] for s in (1, 1, 2))
    assert one == other
    assert one.p != third.p
    assert one.p >= 1 / 200
    assert permutation_test(moments, [0, 2], "common", permutations=99)[1] is not None


def test_an_exposure_that_few_units_have():
    """A dummy that three units have leaves most relabellings of three groups without a slope; half do not."""
    design = grouped(5, 21, 6, 3)
    rare, half = (
        design.with_regressors(("x0",), ((design.unit < n) & (design.time > 2)).astype(float)[:, None]) for n in (3, 11)
    )
    with pytest.raises(InputError, match="after most random reassignments some group has no slope"):
        permutation_test(unit_moments(rare), [0, 1, 2], "by group", permutations=299)
    found, _ = permutation_test(unit_moments(half), [0, 1, 2], "by group", permutations=299)
    assert 0 < found.p <= 1


def test_what_would_take_too_long_is_refused(monkeypatch):
    monkeypatch.setattr("cbec_bayes.classical.permutation.MAX_WORK", 1e5)
    for controls in CONTROLS:
        with pytest.raises(InputError, match="too long with 15 units and 3 groups"):
            permutation_test(unit_moments(grouped()), [0, 1, 2], controls)
