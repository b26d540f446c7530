"""The evidence of members: quadrature over their scales, a closed form, members that are one another's limits."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from scipy import special

from cbec_bayes.bayes.fit import fit, restore
from cbec_bayes.bayes.model.densities import log_density, resolve
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.sampling import importance
from tests.support.members import HALF, MEMBERS, dense, member, panel

ERRORS = 4.5
"""Monte Carlo standard errors that a number may be off; seeds are fixed, so that a test fails always or never."""

TWO_SCALES = {
    "one slope": MEMBERS["complete_pooling"],
    "slopes pooled": MEMBERS["partial_pooling"],
    "random units": MEMBERS["random units"],
    "units' slopes pooled": member(unit_slope="pooled"),
    "group times pooled": member(group_time_effect="pooled"),
    "long tails": member({"sigma": Prior("half_cauchy", {"scale": 0.5}), "tau": HALF}, group_slope="pooled"),
}


def log_posterior(written, priors, names, logs):
    """Likelihood by the covariance of all rows, times priors, times scales: a density of logarithms of scales."""
    scales = dict(zip(names, np.exp(logs), strict=True))
    terms = [float(log_density(priors[name], np.array(scales[name]))[0]) for name in names]
    return written.log_likelihood(scales) + sum(terms) + logs.sum()


@functools.cache
def by_quadrature(name, model, steps):
    """The trapezoid rule in logarithms of scales, where the density is smooth and goes to zero on all sides."""
    design, spec = panel(name), TWO_SCALES[model]
    written, priors = dense(design, spec), resolve(spec, design)
    names = ["sigma", *(scale for scale in spec.scales if scale != "sigma")]
    centre = math.log(0.5 * design.spread.within[0])
    axes = [np.arange(centre - 2.5, centre + 1.5, 0.05 * steps)]
    for scale in names[1:]:
        top = math.log(priors[scale].params["scale"])
        axes.append(np.arange(top - 16, top + 2.5, 0.15 * steps))
    values = []
    for points in np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(names)):
        values.append(log_posterior(written, priors, names, points))
    return float(special.logsumexp(values)) + sum(math.log(axis[1] - axis[0]) for axis in axes)


@pytest.mark.parametrize("model", TWO_SCALES)
def test_the_evidence_is_the_integral_over_the_scales(model):
    found = fit(panel("unbalanced"), TWO_SCALES[model], draws=1_000, seed=3)
    assert 0 < found.log_evidence_mcse < 0.02
    exact = by_quadrature("unbalanced", model, 1)
    assert by_quadrature("unbalanced", model, 1.5) == pytest.approx(exact, abs=1e-3 * found.log_evidence_mcse)
    assert found.log_evidence == pytest.approx(exact, abs=ERRORS * found.log_evidence_mcse)


def test_the_evidence_where_nutpie_samples_is_the_same(monkeypatch):
    monkeypatch.setattr(importance, "_importance", lambda *_, **__: None)
    found = fit(panel("unbalanced"), "partial_pooling", draws=500, seed=3)
    assert found.diagnostics.engine == "collapsed-nutpie"
    assert 0 < found.log_evidence_mcse < 0.1
    exact = by_quadrature("unbalanced", "slopes pooled", 1)
    assert found.log_evidence == pytest.approx(exact, abs=ERRORS * found.log_evidence_mcse)


def test_a_uniform_prior_of_sigma_has_a_closed_form():
    """With f degrees of freedom and sum of squares R, sigma^-f exp(-R / (2 sigma^2)) integrates to a gamma function."""
    design = panel("balanced")
    upper = 1e3
    spec = member({"sigma": Prior("uniform", {"upper": upper})})
    found = fit(design, spec, draws=1_000, seed=1)
    written = dense(design, spec)
    free = len(written.y) - written.x.shape[1]
    q, triangle = np.linalg.qr(written.x)
    left = written.y - q @ (q.T @ written.y)
    squares = float(left @ left)
    log_volume = float(np.log(np.abs(np.diag(triangle))).sum())
    exact = -free / 2 * math.log(2 * math.pi) - log_volume - math.log(2 * upper * design.spread.within[0])
    exact += math.lgamma((free - 1) / 2) - (free - 1) / 2 * math.log(squares / 2)
    assert found.log_evidence == pytest.approx(exact, abs=ERRORS * found.log_evidence_mcse)


def test_where_every_scale_is_held_the_evidence_is_the_likelihood():
    design = panel("unbalanced")
    held = {"sigma": Prior("fixed", {"value": 0.6}), "tau": Prior("fixed", {"value": 0.4})}
    spec = member(held, group_slope="pooled")
    found = fit(design, spec, draws=100, seed=1)
    scales = {name: prior.params["value"] for name, prior in resolve(spec, design).items() if prior.dist == "fixed"}
    assert found.log_evidence == pytest.approx(dense(design, spec).log_likelihood(scales), rel=1e-10)
    assert found.log_evidence_mcse == 0
    assert found.evidence.khat is None


def test_a_term_that_is_held_at_nothing_changes_no_evidence():
    """Limit L9: slopes of groups with a scale of zero are one slope for all."""
    design = panel("unbalanced")
    nothing = member({"tau": Prior("fixed", {"value": 1e-9})}, group_slope="pooled")
    one, other = (fit(design, spec, draws=1_000, seed=2) for spec in (nothing, MEMBERS["complete_pooling"]))
    error = math.hypot(one.log_evidence_mcse, other.log_evidence_mcse)
    assert one.log_evidence == pytest.approx(other.log_evidence, abs=ERRORS * error)


def test_members_with_the_same_flat_coefficients_are_compared():
    """On public statistics correlated errors are by far the likeliest, and any other term improves on the headline."""
    design = panel("public")
    models = ("partial_pooling", "ar1", "group_variance", "nested")
    found = {model: fit(design, model, draws=500, seed=1).log_evidence for model in models}
    assert found["partial_pooling"] == pytest.approx(102.25, abs=0.1)
    assert found["ar1"] - found["partial_pooling"] == pytest.approx(37.25, abs=0.1)
    assert found["group_variance"] > found["partial_pooling"] + 4
    assert found["nested"] > found["partial_pooling"] + 4


def test_another_seed_finds_the_same():
    one, other = (fit(panel("public"), "ar1", draws=500, seed=seed) for seed in (1, 2))
    error = math.hypot(one.log_evidence_mcse, other.log_evidence_mcse)
    assert one.log_evidence != other.log_evidence
    assert one.log_evidence == pytest.approx(other.log_evidence, abs=ERRORS * error)


def test_a_fit_that_is_read_back_knows_its_evidence():
    design = panel("balanced")
    found = fit(design, "partial_pooling", draws=200, seed=1)
    entries = found.diagnostics.as_dict() | found.evidence.as_dict()
    assert restore(design, load_panel_model("partial_pooling"), found.tree, entries).evidence == found.evidence
