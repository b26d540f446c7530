"""The summary-level posterior against closed forms, independent integration, its limits, and a reference posterior."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.estimands import pooling_factor_overall
from cbec_bayes.published import summary as summary_module
from cbec_bayes.published.estimate_file import read_estimates
from cbec_bayes.published.estimates import (
    Estimates,
    ImpliedError,
    KnownError,
    PrintedEstimates,
    heterogeneity,
    under_reading,
)
from cbec_bayes.published.mixture import Mixture
from cbec_bayes.published.quadrature import finite, half_line, implied_rule, log_density, scale_line, scale_rule
from cbec_bayes.published.readings import critical_value, two_sided_p
from cbec_bayes.published.results import complete_pooling, contrasts_table, effects_table, sensitivity_table, summarise
from cbec_bayes.published.robust.posterior import RobustPosterior
from cbec_bayes.published.spread import typical_spread
from cbec_bayes.published.summary import TOLERANCE, conditional_slopes, fit_summary, resolve_unit
from cbec_bayes.published.summary_model import SummaryModel, load_summary_model
from cbec_bayes.runtime.errors import GateError, InputError
from cbec_bayes.runtime.files import asset_dir
from cbec_bayes.runtime.labels import GROUP_ALL, GROUP_NEW

FLAT = Prior("flat", {})
PRIORS = {
    "half_normal": Prior("half_normal", {"scale": 0.6}),
    "half_t": Prior("half_t", {"df": 4.0, "scale": 0.6}),
    "half_cauchy": Prior("half_cauchy", {"scale": 0.6}),
    "exponential": Prior("exponential", {"mean": 0.3}),
    "uniform": Prior("uniform", {"upper": 12.0}),
}
TRUE_DENSITY = {
    "half_normal": lambda t: 2 * stats.norm.pdf(t, scale=0.6),
    "half_t": lambda t: 2 * stats.t.pdf(t / 0.6, 4) / 0.6,
    "half_cauchy": lambda t: 2 / (math.pi * 0.6 * (1 + (t / 0.6) ** 2)),
    "exponential": lambda t: math.exp(-t / 0.3) / 0.3,
    "uniform": lambda t: 1 / 12,
}


def model(between: Prior, slope: Prior = FLAT) -> SummaryModel:
    return SummaryModel("test", "", slope, between, 1.0)


def fixed(tau: float, slope: Prior = FLAT) -> SummaryModel:
    return model(Prior("fixed", {"value": tau}), slope)


def known(values, errors, labels=None) -> Estimates:
    labels = labels or tuple("abcdefghijklmnop"[: len(values)])
    given_errors = tuple(None if math.isnan(v) else KnownError(s, "") for v, s in zip(values, errors, strict=True))
    return Estimates(tuple(labels), np.array(values, dtype=float), given_errors)


THREE = known([0.22, 0.751, 0.074], [0.08, 0.328, 0.109])


def gaussian(values, errors, tau, prior_mean, prior_sd):
    """Posterior of (beta_1 .. beta_R, beta) given tau by dense linear algebra on the joint normal; and log p(b)."""
    n = len(values)
    load = np.hstack([np.eye(n) * tau, np.ones((n, 1)) * prior_sd])  # b = load z + noise + prior_mean
    slopes = np.vstack([load, np.append(np.zeros(n), prior_sd)])
    cov = load @ load.T + np.diag(np.square(errors))
    gain = slopes @ load.T @ np.linalg.inv(cov)
    mean = prior_mean + gain @ (np.array(values) - prior_mean)
    posterior_cov = slopes @ slopes.T - gain @ load @ slopes.T
    log_p = stats.multivariate_normal.logpdf(values, np.full(n, prior_mean), cov)
    return mean, posterior_cov, float(log_p)


# --- closed forms -----------------------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.floats(-3, 3), st.floats(0.05, 3)), min_size=1, max_size=6),
    st.floats(0, 4),
    st.floats(-2, 2),
    st.floats(0.1, 5),
)
def test_given_tau_it_is_the_conjugate_normal(pairs, tau, prior_mean, prior_sd):
    values, errors = zip(*pairs, strict=True)
    mean, cov, log_p = gaussian(values, errors, tau, prior_mean, prior_sd)
    prior = Prior("normal", {"mean": prior_mean, "sd": prior_sd})
    posterior = fit_summary(known(values, errors), fixed(tau, prior))
    n = len(values)
    mixtures = [*(posterior.group(i) for i in range(n)), posterior.common()]
    assert [m.mean for m in mixtures] == pytest.approx(mean, abs=1e-9)
    assert [m.sd for m in mixtures] == pytest.approx(np.sqrt(np.diag(cov)), rel=1e-8, abs=1e-7)
    assert posterior.log_evidence == pytest.approx(log_p, abs=1e-8)
    if n > 1:
        contrast = posterior.contrast(0, 1)
        assert contrast.mean == pytest.approx(mean[0] - mean[1], abs=1e-9)
        variance = cov[0, 0] + cov[1, 1] - 2 * cov[0, 1]
        assert contrast.sd**2 == pytest.approx(variance, rel=1e-7, abs=1e-9)
    # The reference subtracts prior variances, which costs it digits.
    assert posterior.group(None).sd ** 2 == pytest.approx(cov[n, n] + tau**2, rel=1e-9, abs=1e-11 * prior_sd**2)


def test_no_variation_between_groups_is_complete_pooling():
    weights = 1 / np.array([0.08, 0.328, 0.109]) ** 2
    pooled = weights @ THREE.values / weights.sum()
    posterior = fit_summary(THREE, fixed(0.0))
    for mixture in (posterior.common(), *(posterior.group(i) for i in (0, 1, 2, None))):
        assert mixture.mean == pytest.approx(pooled, abs=1e-12)
        assert mixture.sd == pytest.approx(weights.sum() ** -0.5, rel=1e-12)
    assert complete_pooling(THREE) == pytest.approx(pooled, abs=1e-12)
    assert posterior.pooling_factor_overall() == 1


def test_unlimited_variation_is_no_pooling():
    posterior = fit_summary(THREE, fixed(1e7))
    for index in range(3):
        assert posterior.group(index).mean == pytest.approx(THREE.values[index], rel=1e-10)
        assert posterior.group(index).sd == pytest.approx(THREE.errors[index].se, rel=1e-10)
        assert posterior.pooling_factors()[index] == pytest.approx(0, abs=1e-10)


def test_the_path_between_the_limits_is_monotone_at_the_ends():
    tau = np.geomspace(1e-4, 1e4, 60)
    means, sds = conditional_slopes(THREE, fixed(0.0), tau)
    assert means[0] == pytest.approx([complete_pooling(THREE)] * 3, abs=1e-5)
    assert means[-1] == pytest.approx(THREE.values, abs=1e-6)
    distance = np.abs(means - THREE.values)
    for part in (distance[:15], distance[-15:]):
        assert (np.diff(part, axis=0) < 1e-12).all()
    assert (np.diff(sds[:15], axis=0) > 0).all()


# --- independent integration ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRIORS)
def test_against_adaptive_integration(name):
    """Every prior of tau: moments and evidence by dense linear algebra inside an adaptive integrator (QUADPACK)."""
    values, errors = [0.22, 0.751, 0.074], [0.08, 0.328, 0.109]
    upper = 12.0 if name == "uniform" else np.inf

    def integral(function):
        def integrand(tau):
            mean, cov, log_p = gaussian(values, errors, tau, 0.1, 0.8)
            return function(tau, mean, cov) * math.exp(log_p) * TRUE_DENSITY[name](tau)

        pieces = [(0, 0.05), (0.05, 0.2), (0.2, 1), (1, 4), (4, upper)]
        return sum(integrate.quad(integrand, a, b, epsabs=1e-13, epsrel=1e-11, limit=200)[0] for a, b in pieces)

    posterior = fit_summary(THREE, model(PRIORS[name], Prior("normal", {"mean": 0.1, "sd": 0.8})))
    evidence = integral(lambda *_: 1.0)
    assert posterior.error <= TOLERANCE
    assert posterior.log_evidence == pytest.approx(math.log(evidence), abs=1e-8)
    for index in range(4):
        mixture = posterior.group(index) if index < 3 else posterior.common()
        mean = integral(lambda _, m, __, i=index: m[i]) / evidence
        square = integral(lambda _, m, v, i=index: v[i, i] + m[i] ** 2) / evidence
        positive = integral(lambda _, m, v, i=index: stats.norm.cdf(m[i] / math.sqrt(v[i, i]))) / evidence
        assert mixture.mean == pytest.approx(mean, abs=1e-7)
        assert mixture.sd == pytest.approx(math.sqrt(square - mean**2), abs=1e-7)
        assert mixture.p_positive == pytest.approx(positive, abs=1e-7)
    assert posterior.tau_mean() == pytest.approx(integral(lambda t, *_: t) / evidence, abs=1e-7)
    below = integrate.quad(
        lambda t: math.exp(gaussian(values, errors, t, 0.1, 0.8)[2]) * TRUE_DENSITY[name](t), 0, 0.3, epsrel=1e-11
    )[0]
    assert posterior.tau_cdf(0.3) == pytest.approx(below / evidence, abs=1e-7)


@pytest.mark.parametrize("stars", ["", "*", "**", "***"])
def test_a_standard_error_implied_by_stars_against_nested_integration(stars):
    """p uniform in the band of the stars, s = |b| / t(p): the density integrated over p and tau by QUADPACK."""
    bands = {"": (0.1, 1.0), "*": (0.05, 0.1), "**": (0.01, 0.05), "***": (0.0, 0.01)}
    low, high = bands[stars]
    df = 9.0
    q_low, q_high = (
        (0.0 if high == 1 else critical_value(high, df)),
        (math.inf if low == 0 else critical_value(low, df)),
    )
    estimates = Estimates(
        ("a", "b"), np.array([0.5, -0.2]), (ImpliedError(0.5, q_low, q_high, df), KnownError(0.15, ""))
    )
    prior = Prior("normal", {"mean": 0.0, "sd": 1.0})
    posterior = fit_summary(estimates, model(Prior("half_normal", {"scale": 0.4}), prior))

    def inner(u):  # p = low + (high - low) u^df: s goes with p^(1 / df) towards p = 0
        s = 0.5 / critical_value(low + (high - low) * u**df, df)

        def integrand(tau):
            mean, _, log_p = gaussian([0.5, -0.2], [s, 0.15], tau, 0, 1)
            density = math.exp(log_p - 0.5 * (tau / 0.4) ** 2) * math.sqrt(2 / math.pi) / 0.4
            return density * np.array([1.0, *mean[:2]])

        return integrate.quad_vec(integrand, 0, 4, epsrel=1e-9)[0] * df * u ** (df - 1)

    evidence, *means = integrate.quad_vec(inner, 1e-3, 1, epsrel=1e-8)[0]
    assert posterior.log_evidence == pytest.approx(math.log(evidence), abs=1e-6)
    for index, mean in enumerate(means):
        assert posterior.group(index).mean == pytest.approx(mean / evidence, abs=1e-6)


def test_a_narrow_band_is_a_known_standard_error():
    q = 2.5
    narrow = Estimates(
        ("a", "b"), np.array([0.5, 0.1]), (ImpliedError(0.5, q, q * (1 + 1e-9), 9.0), KnownError(0.3, ""))
    )
    exact = known([0.5, 0.1], [0.5 / q, 0.3])
    a, b = (fit_summary(e, model(PRIORS["half_t"])) for e in (narrow, exact))
    for i in range(2):
        assert a.group(i).mean == pytest.approx(b.group(i).mean, abs=1e-8)
        assert a.group(i).interval() == pytest.approx(b.group(i).interval(), abs=1e-7)
    assert a.log_evidence == pytest.approx(b.log_evidence, abs=1e-6)


@pytest.mark.parametrize("name", PRIORS)
def test_rules_integrate_the_priors_to_one(name):
    """Every density times its rule has mass one and the right cumulative mass."""
    rule = scale_rule(PRIORS[name], scale_line(PRIORS[name], 0.1), 1 / 16)
    assert np.exp(rule.log_weights).sum() == pytest.approx(1, abs=1e-9)
    part = finite(0.5, 0.1).rule(1 / 16)
    mass = np.exp(part.log_weights + log_density(PRIORS[name], part.nodes)).sum()
    assert mass == pytest.approx(integrate.quad(TRUE_DENSITY[name], 0, 0.5)[0], abs=1e-10)


def test_rules_integrate_functions_with_known_integrals():
    half = half_line(2.0).rule(1 / 16)
    assert np.exp(half.log_weights - half.nodes) @ half.nodes**2 == pytest.approx(2, abs=1e-10)  # Gamma(3)
    part = finite(3.0, 0.01).rule(1 / 16)
    assert np.exp(part.log_weights) @ part.nodes**2 == pytest.approx(9, abs=1e-9)
    assert np.exp(part.log_weights) @ (1 / np.sqrt(part.nodes)) == pytest.approx(2 * math.sqrt(3), abs=1e-6)


@pytest.mark.parametrize(("q_low", "q_high"), [(0.0, 1.8), (1.8, 2.3), (3.2, math.inf)])
@pytest.mark.parametrize("df", [3.0, 9.0, math.inf])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 100.0])
def test_the_rule_of_an_implied_error_is_uniform_in_p(q_low, q_high, df, scale):
    rule = implied_rule(ImpliedError(1.0, q_low, q_high, df), scale, 48)
    weights = np.exp(rule.log_weights)
    assert weights.sum() == pytest.approx(1, abs=1e-6)
    p = np.array([two_sided_p(1 / s, df) for s in rule.nodes])
    low, high = two_sided_p(q_high, df) if q_high < math.inf else 0.0, two_sided_p(q_low, df)
    assert weights @ p == pytest.approx((low + high) / 2, abs=1e-6)
    assert weights @ p**2 == pytest.approx((high**3 - low**3) / (high - low) / 3, abs=1e-6)


# --- the reference posterior ------------------------------------------------------------------------------------------


def test_the_eight_schools_are_their_reference_posterior():
    """posteriordb, eight_schools: means within four Monte Carlo standard errors of the stored reference draws."""
    estimates = under_reading(read_estimates(asset_dir("data") / "published" / "eight_schools.csv"), "as_printed")
    result = summarise(fit_summary(estimates, load_summary_model("eight_schools")))
    assert result.common.mean == pytest.approx(4.4105, abs=4 * 0.033)
    assert result.common.sd == pytest.approx(3.309, abs=4 * 0.033)
    assert result.tau.mean == pytest.approx(3.6021, abs=4 * 0.032)
    assert result.tau.sd == pytest.approx(3.198, abs=4 * 0.05)
    reference = [6.151, 4.940, 3.906, 4.796, 3.614, 4.051, 6.317, 4.884]
    means = [summary.mean for summary in result.groups.values()]
    assert means == pytest.approx(reference, abs=4 * 0.055)
    # Our own value to nine digits, so that a change of the rules is seen.
    assert result.common.mean == pytest.approx(4.396820713833, abs=1e-9)
    assert result.tau.mean == pytest.approx(3.597705484098, abs=1e-9)


# --- invariance, order, existence -------------------------------------------------------------------------------------


@settings(max_examples=15)
@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(0.1, 1)), min_size=2, max_size=5),
    st.floats(0.01, 100),
    st.floats(-10, 10),
    st.sampled_from(["half_normal", "exponential", "uniform"]),
)
def test_shift_and_scale(pairs, scale, shift, name):
    """With a flat slope the result moves and stretches with the data, priors in automatic units included."""
    values, errors = (np.array(x) for x in zip(*pairs, strict=True))
    spec = SummaryModel("test", "", FLAT, PRIORS[name], "auto")
    one, other = (
        summarise(fit_summary(known(v, s), spec))
        for v, s in ((values, errors), (values * scale + shift, errors * scale))
    )
    for label in one.labels:
        a, b = one.groups[label], other.groups[label]
        assert b.mean == pytest.approx(a.mean * scale + shift, abs=1e-6 * (scale + abs(shift)))
        assert b.ci_high == pytest.approx(a.ci_high * scale + shift, abs=2e-6 * (scale + abs(shift)))
        assert other.pooling[label] == pytest.approx(one.pooling[label], abs=1e-6)
    assert other.tau.ci_high == pytest.approx(one.tau.ci_high * scale, rel=1e-5)


@settings(max_examples=15)
@example([(0.0, 0.125), (1.0, 0.109375)])
@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0.1, 1)), min_size=2, max_size=6))
def test_every_number_is_in_its_domain(pairs):
    values, errors = zip(*pairs, strict=True)
    result = summarise(fit_summary(known(values, errors), model(PRIORS["half_normal"])))
    for summary in (*result.groups.values(), result.common, result.new, result.tau, *result.contrasts.values()):
        assert 0 <= summary.p_positive <= 1
        assert summary.ci_low < summary.mean < summary.ci_high
        assert summary.sd > 0
    for label, value, se in zip(result.labels, values, errors, strict=True):
        low, high = sorted((value, result.common.mean))
        assert low - 0.35 <= result.groups[label].mean <= high + 0.35
        assert result.groups[label].sd < se * 1.2
        assert 0 < result.pooling[label] < 1
    assert -1e-9 <= result.pooling_overall <= 1 + 1e-9
    assert result.new.sd > result.common.sd


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(-6, 3)), min_size=1, max_size=6),
    st.floats(-4, 5),
    st.sampled_from(["half_normal", "half_t", "exponential", "uniform"]),
)
def test_scales_nine_orders_apart_are_solved(pairs, size, name):
    """Standard errors from 1e-6 to 1e3 beside estimates up to 1e5: the gate holds, a precise estimate stays."""
    values = np.array([value for value, _ in pairs]) * 10.0**size
    errors = 10.0 ** np.array([exponent for _, exponent in pairs])
    posterior = fit_summary(known(values, errors), SummaryModel("test", "", FLAT, PRIORS[name], "auto"))
    assert posterior.error <= TOLERANCE
    first = int(np.argmin(errors))
    mixture = posterior.group(first)
    assert abs(mixture.mean - values[first]) <= 3 * errors[first] + 1e-9 * abs(values[first])
    low, high = mixture.interval()
    assert low <= high


def test_a_group_that_was_not_printed_is_a_new_group():
    with_blank = known([0.22, 0.751, 0.074, math.nan], [0.08, 0.328, 0.109, math.nan])
    a, b = (fit_summary(e, model(PRIORS["half_t"])) for e in (with_blank, THREE))
    assert a.log_evidence == pytest.approx(b.log_evidence, abs=1e-12)
    assert a.group(3).interval() == pytest.approx(b.group(None).interval(), abs=1e-9)
    assert a.group(0).mean == pytest.approx(b.group(0).mean, abs=1e-12)
    gap = a.contrast(3, 3)  # two independent members of the same population
    assert gap.mean == pytest.approx(0, abs=1e-12)
    assert gap.sd**2 == pytest.approx(2 * float(a.weights @ a.tau**2), rel=1e-9)


def test_one_group_alone_says_nothing_about_tau():
    one = known([0.4], [0.2])
    posterior = fit_summary(one, model(PRIORS["half_normal"]))
    for q in (0.1, 0.5, 0.9):
        assert posterior.tau_quantile(q) == pytest.approx(stats.halfnorm.ppf(q, scale=0.6), abs=1e-7)
    assert math.isnan(posterior.pooling_factor_overall())
    assert posterior.group(0).mean == pytest.approx(0.4, abs=1e-9)


def test_moments_that_do_not_exist_are_not_given():
    two = known([0.1, 0.5], [0.2, 0.2])
    result = summarise(fit_summary(two, model(PRIORS["half_cauchy"])))
    assert math.isnan(result.new.sd)
    assert math.isnan(result.common.sd)
    assert math.isnan(result.tau.sd)
    assert not math.isnan(result.new.mean)
    assert math.isfinite(result.new.ci_low)
    assert math.isfinite(result.groups["a"].sd)
    alone = Estimates(("a",), np.array([0.1]), (ImpliedError(0.1, 0.0, 1.645, math.inf),))
    unheld = summarise(fit_summary(alone, model(PRIORS["half_normal"])))
    assert math.isnan(unheld.groups["a"].mean)
    assert unheld.groups["a"].ci_low < 0.1 < unheld.groups["a"].ci_high
    one = summarise(fit_summary(known([0.1], [0.2]), model(PRIORS["half_cauchy"])))
    assert math.isnan(one.new.mean)
    assert math.isfinite(one.new.ci_high)


def test_quantiles_invert_the_distribution(printed_slopes):
    estimates = under_reading(printed_slopes, "coherent")
    posterior = fit_summary(estimates, load_summary_model("published_wide"), unit=1.2)
    for mixture in (posterior.group(0), posterior.group(None), posterior.common(), posterior.contrast(0, 1)):
        for q in (0.001, 0.025, 0.5, 0.8, 0.999):
            assert mixture.cdf(mixture.quantile(q)) == pytest.approx(q, abs=1e-9)
    for q in (0.025, 0.5, 0.975):
        assert posterior.tau_cdf(posterior.tau_quantile(q)) == pytest.approx(q, abs=1e-7)


def test_the_pooling_factor_agrees_with_draws():
    rng = np.random.default_rng(5)
    posterior = fit_summary(THREE, model(PRIORS["half_normal"]))
    node = rng.choice(len(posterior.weights), size=200_000, p=posterior.weights)
    beta = rng.normal(posterior.coefficients[node, 0], np.sqrt(posterior.covariance[node, 0, 0]))
    draws = []
    for index in range(3):
        s2, t2 = posterior.variances[node, index], posterior.tau[node] ** 2
        w = t2 / (s2 + t2)
        draws.append(rng.normal(w * THREE.values[index] + (1 - w) * beta, np.sqrt(w * s2)) - beta)
    sampled = pooling_factor_overall(np.stack(draws, axis=1))
    assert posterior.pooling_factor_overall() == pytest.approx(sampled, abs=0.01)


def test_a_mixture_of_one_is_normal():
    one = Mixture(np.ones(1), np.array([2.0]), np.array([9.0]))
    assert (one.mean, one.sd, one.cdf(2.0)) == (2, 3, 0.5)
    assert one.interval() == pytest.approx((2 - 3 * 1.959964, 2 + 3 * 1.959964), abs=1e-5)


# --- gates and limits -------------------------------------------------------------------------------------------------


def test_the_accuracy_gate_can_fail(monkeypatch):
    monkeypatch.setattr(summary_module, "_LEVELS", ((2.0, 8), (1.5, 12)))
    with pytest.raises(GateError, match="the result of the quadrature changed by"):
        fit_summary(THREE, model(PRIORS["half_normal"]))


def test_many_implied_errors_are_one_rule_a_row():
    """Where a product rule over all of them has too many nodes, rows are taken as independent given beta and tau."""
    error = ImpliedError(0.5, 0.0, 1.645, math.inf)
    many = Estimates(tuple("abcdef"), np.full(6, 0.5), (error,) * 6)
    posterior = fit_summary(many, model(PRIORS["half_normal"]))
    assert isinstance(posterior, RobustPosterior)
    assert posterior.error <= TOLERANCE
    assert posterior.common().mean == pytest.approx(0.5, abs=1e-7)
    for index in range(6):
        assert posterior.group(index).mean == pytest.approx(0.5, abs=1e-7)


def test_the_unit_of_the_priors():
    spec = SummaryModel("test", "", FLAT, PRIORS["half_normal"], "auto")
    assert resolve_unit(THREE, spec) == THREE.spread == 2 * typical_spread(THREE.values, THREE.typical)
    assert resolve_unit(THREE, spec, 2.0) == 2.0
    assert resolve_unit(THREE, model(PRIORS["half_normal"])) == 1.0
    assert fit_summary(THREE, spec, unit=2.0).model.between.params == {"scale": 1.2}
    assert PRIORS["half_t"].scaled(2.0).params == {"df": 4.0, "scale": 1.2}
    with pytest.raises(InputError, match="must be positive"):
        fit_summary(THREE, spec, unit=0.0)


# --- tables -----------------------------------------------------------------------------------------------------------


def test_tables_of_the_paper(paper):
    printed: PrintedEstimates = heterogeneity(paper)
    assert printed.labels == ("east", "central", "west", "north-east")
    estimates = under_reading(printed, "coherent")
    result = summarise(fit_summary(estimates, load_summary_model("published_half_normal"), unit=1.2377))
    table = effects_table(printed, estimates, result).set_index("group")
    assert list(table.index) == ["east", "central", "west", "north-east", GROUP_ALL, GROUP_NEW]
    assert table.loc["east", "se_reading"].startswith("implied by the stars")
    assert table.loc["central", "no_pooling_se"] == 0.328
    assert table.loc["north-east", "se_reading"] == "not printed: predicted"
    assert (table.loc["east", "n_units"], table.loc["east", "n_obs"], table.loc[GROUP_ALL, "n_obs"]) == (10, 80, 216)
    assert (table["origin"] == "printed").all()
    assert table["complete_pooling"].nunique() == 1
    contrasts = contrasts_table(result)
    assert len(contrasts) == 6
    assert contrasts.iloc[0]["mean"] == pytest.approx(
        table.loc["east", "mean"] - table.loc["central", "mean"], abs=1e-9
    )


def test_readings_give_the_standard_errors_they_say(printed_slopes):
    kinds = {
        reading: [type(e).__name__ for e in under_reading(printed_slopes, reading).errors]
        for reading in ("as_printed", "coherent", "stars")
    }
    assert kinds == {
        "as_printed": ["KnownError"] * 3 + ["NoneType"],
        "coherent": ["ImpliedError", "KnownError", "KnownError", "NoneType"],
        "stars": ["ImpliedError"] * 3 + ["NoneType"],
    }
    east = under_reading(printed_slopes, "coherent").errors[0]
    assert isinstance(east, ImpliedError)
    low, high = east.interval
    assert (low, high) == pytest.approx((0.22 / critical_value(0.01, 9), 0.22 / critical_value(0.05, 9)))
    assert low < east.typical < high


def test_sensitivity_covers_every_reading_and_prior(printed_slopes):
    models = [load_summary_model(name) for name in ("published_half_normal", "published_exponential")]
    table = sensitivity_table(printed_slopes, models, unit=1.2377)
    assert len(table) == 3 * 2 * 7
    assert set(table["between_prior"]) == {"half-normal(scale = 0.6189)", "exponential(mean = 0.3094)"}
    # A prior that expects less variation pulls the central slope, the least certain one, further in.
    central = table[(table["group"] == "central") & (table["reading"] == "coherent")].set_index("model")["mean"]
    assert central["published_exponential"] < central["published_half_normal"]
