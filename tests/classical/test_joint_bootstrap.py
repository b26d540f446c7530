"""The wild cluster bootstrap of equal slopes: of two groups that of their difference, else dense regressions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cbec_bayes.classical.fewbatch import draw_weights, prepare_few
from cbec_bayes.classical.group_slopes import CONTROLS, group_slopes
from cbec_bayes.classical.joint_bootstrap import FEWEST, joint_bootstrap, wald_of_equality
from cbec_bayes.runtime.errors import InputError
from tests.support.regressions import grouped


@pytest.mark.parametrize("n_units", [6, 20])
@pytest.mark.parametrize("share", [1.0, 0.8])
def test_of_two_groups_it_is_that_of_their_difference(n_units, share):
    """Draw by draw: the same weights give the p-value of `wild_p`, but for the sample, which counts here."""
    design = grouped(7, n_units, 6, 2, share)
    own = design.x[:, 0] * (design.group == 1)
    few = prepare_few(
        design.with_regressors(("x0", "own", "x1"), np.column_stack([design.x[:, 0], own, design.x[:, 1]]))
    )
    found = joint_bootstrap(group_slopes(design, "common"), replications=1_999, seed=5)
    theirs = few.wild_p(design.y[None], 1, 0.0, 1_999, 5)[0]
    assert found.draws == 2_000
    assert found.p == pytest.approx((1 + 1_999 * theirs) / 2_000, abs=1e-12)
    assert found.weights == ("webb" if n_units == 6 else "rademacher")


def dense_statistics(design, controls, weights):
    """Regress anew for every draw, with dummies of everything, and take the clustered Wald statistic."""
    n_groups = len(design.groups)
    own = np.eye(n_groups)[design.group]
    unit, time = np.eye(len(design.units))[design.unit], np.eye(len(design.times))[design.time]
    if controls == "common":
        rest = np.column_stack([design.x[:, 1:], unit, time])
    else:
        both = [own[:, [r]] * np.column_stack([design.x[:, 1:], time]) for r in range(n_groups)]
        rest = np.column_stack([*both, unit])

    def residual(columns, y):
        return y - columns @ np.linalg.lstsq(columns, y, rcond=1e-11)[0]

    d = residual(rest, own * design.x[:, :1])
    y = residual(rest, design.y)
    pooled = d.sum(axis=1)
    restricted = y - pooled * (pooled @ y) / (pooled @ pooled)
    estimates, variances = [], []
    for v in weights.T:
        outcome = residual(rest, restricted * v[design.unit])
        bread = np.linalg.inv(d.T @ d)
        slopes = bread @ (d.T @ outcome)
        left = outcome - d @ slopes
        scores = np.stack([bread @ d[design.unit == u].T @ left[design.unit == u] for u in range(len(design.units))])
        estimates.append(slopes)
        variances.append(scores.T @ scores)
    return wald_of_equality(np.array(estimates), np.array(variances))


@pytest.mark.parametrize("share", [1.0, 0.75])
@pytest.mark.parametrize("controls", CONTROLS)
def test_it_is_that_of_dense_regressions(controls, share):
    design = grouped(3, 15, 6, 3, share)
    weights = np.column_stack([np.ones(15), draw_weights(15, 199, 2)])
    theirs = dense_statistics(design, controls, weights)
    slopes = group_slopes(design, controls, ssc="fixest")
    found = joint_bootstrap(slopes, replications=199, seed=2)
    assert found.statistic == pytest.approx(theirs[0] / 2, rel=1e-8)
    assert found.p == pytest.approx((theirs >= theirs[0] * (1 - 1e-9)).mean(), abs=1e-12)


def test_the_statistic_is_the_wald_statistic_of_the_slopes():
    rng = np.random.default_rng(1)
    root = rng.normal(size=(4, 3, 5))
    variance, estimate = root @ root.transpose(0, 2, 1), rng.normal(size=(4, 3))
    contrast = np.array([[1.0, -1, 0], [0, 1, -1]])
    theirs = [
        g @ np.linalg.solve(contrast @ v @ contrast.T, g) for g, v in zip(estimate @ contrast.T, variance, strict=True)
    ]
    np.testing.assert_allclose(wald_of_equality(estimate, variance), theirs, rtol=1e-10)


def test_few_units_have_every_sign_vector():
    """Without Monte Carlo error, whatever the seed; turning all signs changes nothing, so that half are enough."""
    slopes = group_slopes(grouped(4, 9, 6, 2), "common")
    one, other = (joint_bootstrap(slopes, seed=seed) for seed in (1, 2))
    assert one == other
    assert (one.weights, one.draws, one.mcse) == ("all signs", 2**8, 0.0)
    assert one.p >= 1 / 2**8
    drawn = joint_bootstrap(slopes, replications=200, seed=1)
    assert drawn.weights == "webb"
    assert drawn.mcse > 0


def test_a_difference_is_found_and_none_is_not():
    design = grouped(11, 24, 8, 3)
    noise = np.random.default_rng(0).normal(size=design.n_obs)
    for gap, low, high in ((0.0, 0.02, 1.0), (1.0, 0.0, 0.02)):
        slopes = group_slopes(replace(design, y=(1 + gap * design.group) * design.x[:, 0] + noise), "common")
        assert low <= joint_bootstrap(slopes, replications=999).p <= high


def test_what_would_take_too_long_is_refused(monkeypatch):
    slopes = group_slopes(grouped(4, 12, 6, 2), "by group")
    monkeypatch.setattr("cbec_bayes.classical.joint_bootstrap.MAX_WORK", FEWEST)
    with pytest.raises(InputError, match="too long with 12 units"):
        joint_bootstrap(slopes)
