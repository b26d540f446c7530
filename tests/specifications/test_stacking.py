"""Weights: against a grid, ArviZ, the conditions of a maximum, and draws of the evidence."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from cbec_bayes.specifications.stacking import probabilities, stacked, stacking_weights


def densities(seed, n=30, k=3, apart=1.0):
    return apart * np.random.default_rng(seed).normal(size=(n, k)) - 3


def total(density, weight):
    return float(special.logsumexp(density, b=weight, axis=1).sum())


@pytest.mark.parametrize("seed", range(4))
def test_no_point_of_a_grid_is_better(seed):
    density = densities(seed)
    best = total(density, stacking_weights(density))
    steps = np.linspace(0, 1, 101)
    grid = [total(density, np.array([a, b, 1 - a - b])) for a in steps for b in steps if a + b <= 1 + 1e-12]
    assert best >= max(grid) - 1e-9
    assert best - max(grid) < 0.05


@pytest.mark.parametrize(("k", "apart"), [(2, 0.1), (10, 1.0), (40, 5.0), (40, 40.0)])
def test_the_conditions_of_a_maximum_hold(k, apart):
    """No member's gradient is above one, and those that have weight have a gradient of one."""
    density = densities(1, k=k, apart=apart)
    weight = stacking_weights(density)
    assert weight.sum() == pytest.approx(1)
    mixed = special.logsumexp(density, b=weight, axis=1)
    slope = np.exp(density - mixed[:, None]).mean(axis=0)
    assert slope.max() < 1 + 1e-4
    np.testing.assert_allclose(slope[weight > 0.01], 1, atol=1e-3)


def test_they_are_those_of_arviz():
    """`az.compare` stacks densities of rows; here each unit is a row, whose density hardly varies over draws."""
    import arviz as az
    import xarray as xr

    rng = np.random.default_rng(1)
    density = densities(3, n=40, k=3)
    compared = {}
    for k, column in enumerate(density.T):
        draws = xr.DataArray(column + 1e-5 * rng.normal(size=(4, 100, 40)), dims=("chain", "draw", "obs"))
        groups = {"log_likelihood": xr.Dataset({"y": draws}), "posterior": xr.Dataset({"a": draws[..., 0]})}
        compared[f"m{k}"] = xr.DataTree.from_dict(groups)
    weight = az.compare(compared, method="stacking")["weight"]
    np.testing.assert_allclose(stacking_weights(density), weight.loc[list(compared)], atol=5e-3)


def test_a_member_that_is_best_of_all_units_has_all_the_weight():
    density = densities(0)
    density[:, 1] = density.max(axis=1) + 0.5
    found = stacked(density, seed=1, replications=20)
    np.testing.assert_allclose(found.weight, [0, 1, 0])
    np.testing.assert_allclose(found.weight_se, 0, atol=1e-9)
    assert found.difference[1] == found.difference_se[1] == 0
    assert (found.difference[[0, 2]] < 0).all()


def test_standard_errors_are_those_of_sums_over_units():
    density = densities(5)
    found = stacked(density, seed=1, replications=10)
    best = density.sum(axis=0).argmax()
    apart = density[:, 0] - density[:, best]
    assert found.elpd_se[0] == pytest.approx(np.sqrt(30 * density[:, 0].var(ddof=1)))
    assert found.difference_se[0] == pytest.approx(np.sqrt(30 * apart.var(ddof=1)))
    holes = density.copy()
    holes[4, 2] = np.nan
    without = stacked(holes, seed=1, replications=10)
    assert without.n_units == 29
    np.testing.assert_allclose(without.weight, stacking_weights(np.delete(density, 4, axis=0)))


def test_weights_are_unsure_by_what_units_tell():
    """The bootstrap's standard error is that over panels of as many units, within a factor."""
    rng = np.random.default_rng(7)
    panels = [rng.normal(size=(40, 2)) for _ in range(60)]
    spread = np.std([stacking_weights(one)[0] for one in panels])
    said = np.median([stacked(one, seed=1, replications=60).weight_se[0] for one in panels[:12]])
    assert 0.5 < said / spread < 2


def test_probabilities_and_their_error():
    value, error = np.array([10.0, 11.0, 9.5, np.nan, 30.0]), np.array([0.1, 0.05, 0.2, np.nan, 0.1])
    flat = [("a",), ("a",), ("a",), ("a",), ("a", "b")]
    found = probabilities(value, error, flat)
    np.testing.assert_allclose(found.value[:3], special.softmax(value[:3]))
    assert np.isnan(found.value[3:]).all()
    draws = special.softmax(value[:3] + error[:3] * np.random.default_rng(1).normal(size=(20_000, 3)), axis=1)
    np.testing.assert_allclose(found.mcse[:3], draws.std(axis=0), rtol=0.1)
    assert np.isnan(probabilities(np.array([np.nan]), np.array([np.nan]), [("a",)]).value).all()
