"""Tabulated slopes, Gauss rules and shared slices against closed forms, all nodes, and fits of their own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.published.estimates import Estimates, KnownError
from cbec_bayes.published.results import summarise
from cbec_bayes.published.robust import pairs
from cbec_bayes.published.robust.panels import panels_between, tabulated
from cbec_bayes.published.robust.shared import Shared
from cbec_bayes.published.summary import fit_summary
from cbec_bayes.published.summary_model import SummaryModel

DATA = Estimates(
    ("a", "b", "c"),
    np.array([0.5, 0.3, 0.2]),
    tuple(KnownError(s, "", df) for s, df in ((0.18, 4.0), (0.1, 8.0), (0.04, 12.0))),
)


def model(scale: float) -> SummaryModel:
    return SummaryModel("m", "", Prior("flat", {}), Prior("half_normal", {"scale": scale}), 1.0)


@pytest.mark.parametrize("df", [2.0, 5.0, 1e6])
def test_a_tabulated_density_is_its_distribution(df):
    panels = panels_between(-2e4, 2e4, np.array([0.3]), np.array([0.05]))
    known = stats.t(df, 0.3, 0.05)
    found = tabulated(panels, known.pdf(panels.nodes), math.inf, (0.3, 1.0))
    for q in (0.025, 0.4, 0.975):
        assert found.quantile(q) == pytest.approx(known.ppf(q), abs=1e-7)
        assert found.cdf(known.ppf(q)) == pytest.approx(q, abs=1e-7)
    assert found.lost < 1e-7


def test_the_gauss_rule_has_the_moments_of_its_measure():
    rng = np.random.default_rng(1)
    nodes, weights = rng.uniform(0, 1, 30), rng.dirichlet(np.ones(30), 4)
    x, w = pairs._gauss(nodes, weights)
    for power in range(16):
        np.testing.assert_allclose((w * x**power).sum(axis=1), weights @ nodes**power, rtol=1e-8)


def test_shared_slices_are_a_fit_of_its_own():
    shared = Shared()
    fit_summary(DATA, model(0.5), shared=shared)
    together, alone = (summarise(fit_summary(DATA, model(0.9), shared=one)) for one in (shared, None))
    for one, other in ((together.groups["a"], alone.groups["a"]), (together.tau, alone.tau)):
        np.testing.assert_allclose(one.numbers[:4], other.numbers[:4], atol=1e-6)


def test_other_estimates_share_nothing():
    shared = Shared()
    fit_summary(DATA, model(0.5), shared=shared)
    moved = Estimates(DATA.labels, DATA.values + 1, DATA.errors)
    found, alone = (fit_summary(moved, model(0.5), shared=one) for one in (shared, None))
    assert found.common().mean == pytest.approx(alone.common().mean, abs=1e-9)


def test_components_of_a_difference_have_its_moments():
    """The moments are sums over the nodes of (tau, beta); those of the components go through the Gauss rules."""
    found = fit_summary(DATA, model(0.5)).contrast(0, 1)
    mean = found.weights @ found.means
    assert mean == pytest.approx(found.mean, abs=1e-6)
    assert found.weights @ (found.variances + (found.means - mean) ** 2) == pytest.approx(found.sd**2, rel=1e-5)


def test_a_new_group_varies_by_the_common_slope_and_tau():
    posterior = fit_summary(DATA, model(0.5))
    squares = posterior.tau_sd() ** 2 + posterior.tau_mean() ** 2
    assert posterior.group(None).sd ** 2 == pytest.approx(posterior.common().sd ** 2 + squares, rel=1e-9)
