"""What ArviZ makes of a fit, leave-one-out and power scaling, against least squares in closed form."""

from __future__ import annotations

import functools

import arviz as az
import numpy as np
import pytest
from scipy import stats

from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.observations import points_of
from cbec_bayes.bayes.posterior import pointwise
from tests.support.members import grouped, member
from tests.support.regressions import dummies, random_design

N_DRAWS = 8_000


@functools.cache
def design():
    """Rows enough per unit that none is influential; any warning of ArviZ would be an error."""
    return grouped(random_design(2, 15, 20), 3)


@functools.cache
def least_squares():
    """Residuals, leverages and the rank of the regression on all dummies."""
    x = np.column_stack([design().x, dummies(design().unit, design().time)])
    u, singular, _ = np.linalg.svd(x, full_matrices=False)
    u = u[:, singular > 1e-9 * singular[0]]
    return design().y - u @ (u.T @ design().y), (u**2).sum(axis=1), u.shape[1]


@functools.cache
def under(dist: str, number: float):
    """One slope for all, flat coefficients, and a half-normal or a fixed prior of the residual scale."""
    prior = Prior(dist, {"value" if dist == "fixed" else "scale": number})
    return fit(design(), member({"sigma": prior}), draws=N_DRAWS // 4, seed=1)


def draws_of(tree, group: str, name: str) -> np.ndarray:
    values = tree[group].dataset[name].to_numpy()
    return values.reshape(N_DRAWS, *values.shape[2:])


def test_leave_one_out_is_the_density_of_deleted_residuals():
    """With sigma held a row less its prediction from the others is e / (1 - h), normal with sigma^2 / (1 - h)."""
    total = design().spread.total[0] / design().spread.within[0]
    found = under("fixed", 0.7 * float(total))
    sigma = found.priors["sigma"].params["value"]
    residual, leverage, _ = least_squares()
    left = 1 - leverage
    exact = stats.norm.logpdf(residual / left, 0, sigma / np.sqrt(left))
    loo = az.loo(found.tree, pointwise=True)
    assert loo.n_data_points == design().n_obs
    assert float(np.max(loo.pareto_k)) < 0.7
    # The log density of a row has a posterior sd of some sqrt(h): its mean over draws errs by that over sqrt(S).
    errors = (np.asarray(loo.elpd_i).ravel() - exact) * np.sqrt(N_DRAWS / leverage)
    assert np.abs(errors).max() < 6
    assert loo.elpd == pytest.approx(exact.sum(), abs=0.1)
    seen = stats.norm.logpdf(residual, 0, sigma * np.sqrt(1 + leverage))
    assert loo.p == pytest.approx((seen - exact).sum(), abs=0.1)


SCALE = 0.07
"""Of a half-normal prior of sigma, in sd(y): so narrow that it matters beside 300 rows."""


@pytest.mark.parametrize("power", [0.8, 1.25])
@pytest.mark.parametrize("component", ["prior", "likelihood"])
def test_power_scaling_by_densities_given_effects_is_the_exact_posterior(component, power):
    """The mean of sigma under the prior, or the likelihood, to a power.

    By weights of the draws, and by summation over sigma: with n rows, rank p and residual sum of squares R the
    coefficients leave sigma^(p - power n) exp(-power R / (2 sigma^2)) of a likelihood to a power.
    """
    found = under("half_normal", SCALE)
    sigma = draws_of(found.tree, "posterior", "sigma")
    if component == "prior":
        log_density = draws_of(found.tree, "log_prior", "sigma")
        expected = stats.halfnorm.logpdf(sigma, scale=found.priors["sigma"].params["scale"])
        np.testing.assert_allclose(log_density, expected, rtol=1e-10)
    else:
        power = 1 + (power - 1) / 100  # all rows at once: a little is much
        effects = {name: draws_of(found.tree, "posterior", name) for name in found.tree["posterior"].data_vars}
        points = points_of(found.collapsed, found.tree["posterior"].dataset)
        log_density = pointwise(found.blocks, found.collapsed, points, effects).sum(axis=1)
    log_weights = (power - 1) * log_density
    weights = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    mean = weights @ sigma
    error = np.sqrt((weights**2) @ (sigma - mean) ** 2)

    residual, _, rank = least_squares()
    at = np.linspace(0.5, 1.5, 20_001) * sigma.mean()
    by_prior, by_rows = (power, 1.0) if component == "prior" else (1.0, power)
    scale = found.priors["sigma"].params["scale"]
    density = (rank - by_rows * design().n_obs) * np.log(at) - by_rows * (residual @ residual) / (2 * at**2)
    density = np.exp((total := density - by_prior * (at / scale) ** 2 / 2) - total.max())
    exact = (density @ at) / density.sum()
    assert mean == pytest.approx(exact, abs=4.5 * error)
    plain = np.exp((total := (rank - design().n_obs) * np.log(at) - (residual @ residual) / (2 * at**2)) - total.max())
    if component == "prior":  # and it is no small matter
        assert abs(exact - (plain @ at) / plain.sum()) > 4.5 * error


def test_arviz_finds_the_prior_that_matters():
    """The same posterior under a prior that conflicts with the rows, and under one that says little."""
    found = {}
    for scale in (0.05, 3.0):
        table = az.psense_summary(under("half_normal", scale).tree, var_names=["sigma"], round_to=6)
        found[scale] = float(table.loc["sigma", "prior"])
    assert found[0.05] > 0.05 > found[3.0]  # ArviZ calls a prior sensitive from .05
