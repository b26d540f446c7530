"""The PyMC twin is the same density as the quadrature: at points to 1e-8, and by sampling within Monte Carlo error."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.sampling.gates import SamplingDiagnostics
from cbec_bayes.published.conditional import conditional, problem_of
from cbec_bayes.published.estimates import Estimates, ImpliedError, KnownError, under_reading
from cbec_bayes.published.quadrature import log_density
from cbec_bayes.published.results import summarise
from cbec_bayes.published.summary import fit_summary
from cbec_bayes.published.summary_model import SummaryModel, load_summary_model
from cbec_bayes.published.terms import Terms
from cbec_bayes.published.twin import agreement, build_summary_pymc, fit_pymc
from cbec_bayes.runtime.errors import GateError, InputError

FLAT = Prior("flat", {})
NORMAL = Prior("normal", {"mean": 0.1, "sd": 0.7})
BETWEEN = {
    "half_normal": Prior("half_normal", {"scale": 0.6}),
    "half_t": Prior("half_t", {"df": 4.0, "scale": 0.6}),
    "half_cauchy": Prior("half_cauchy", {"scale": 0.6}),
    "exponential": Prior("exponential", {"mean": 0.3}),
    "uniform": Prior("uniform", {"upper": 12.0}),
}
ESTIMATES = Estimates(
    ("a", "b", "c", "d", "e"),
    np.array([0.22, 0.75, math.nan, -0.4, 0.3]),
    (
        KnownError(0.1, ""),
        ImpliedError(0.75, 1.5, 2.5, 5.0),
        None,
        ImpliedError(-0.4, 2.6, math.inf, math.inf),
        ImpliedError(0.3, 0.0, 1.6, 9.0),
    ),
)


@pytest.mark.parametrize("slope_prior", [FLAT, NORMAL], ids=["flat", "normal"])
@pytest.mark.parametrize("name", BETWEEN)
def test_the_two_engines_are_one_density(name, slope_prior):
    """For any slopes: log p(b | slopes, s) + log p(slopes | beta, tau) + priors, written out, is the twin's density.

    Where it holds for the group slopes as drawn, the collapsed likelihood is held too, for the identity of MODEL.md
    section 4: log p(b, slopes | tau, s) - log p(slopes | b, tau, s) = log p(b | tau, s).
    """
    from pymc.model.transform.conditioning import remove_value_transforms

    spec = SummaryModel("test", "", slope_prior, BETWEEN[name], 1.0)
    model = remove_value_transforms(build_summary_pymc(ESTIMATES, spec))
    slopes = model.replace_rvs_by_values([model["group_slope"], model["new_group_slope"]])
    density = model.compile_fn([model.logp(), *slopes], mode="FAST_COMPILE")
    printed = ESTIMATES.printed
    rng = np.random.default_rng(3)
    for _ in range(5):
        tau, slope, z, z_new = rng.uniform(0.01, 2), rng.normal(), rng.normal(size=5), rng.normal()
        q = {1: rng.uniform(1.5, 2.5), 3: 2.6 + rng.exponential(), 4: rng.uniform(0.2, 1.6)}
        named = {"t_stat_1": q[1], "t_stat_2_above": q[3] - 2.6, "t_stat_3": q[4]}
        log_p, group_slope, new = density({"slope": slope, "between": tau, "z": z, "z_new": z_new, **named})
        s = np.array([0.1, 0.75 / q[1], np.inf, 0.4 / q[3], 0.3 / q[4]])

        written = stats.norm.logpdf(ESTIMATES.values, group_slope, s)[printed].sum()
        written += stats.norm.logpdf([*group_slope, new], slope, tau).sum()
        jacobian = np.log(tau * s[printed] / np.hypot(s[printed], tau)).sum()  # d group_slope / d z
        jacobian += math.log(tau) * (2 if not printed.all() else 1)  # the group that was not printed, and the new one
        priors = float(log_density(spec.between, np.array(tau)))
        if slope_prior.dist == "normal":
            priors += float(stats.norm.logpdf(slope, slope_prior.params["mean"], slope_prior.params["sd"]))
        for index, value in q.items():
            error = ESTIMATES.errors[index]
            assert isinstance(error, ImpliedError)
            priors += log_t(value, error.df) - error.log_mass
        assert float(log_p) == pytest.approx(written + jacobian + priors, abs=1e-8)

        # beta integrated out as well, by its conditional density: the quadrature's integrand.
        log_b, mean, var = (
            x.item() for x in conditional(problem_of(ESTIMATES, slope_prior), tau, s[None, printed] ** 2)
        )
        noise = stats.norm.logpdf([*z, z_new]).sum()
        of_beta = stats.norm.logpdf(slope, mean, math.sqrt(var))
        beta_prior = 0.0 if slope_prior.dist == "flat" else stats.norm.logpdf(slope, 0.1, 0.7)
        assert float(log_p) - noise - of_beta == pytest.approx(log_b + priors - float(beta_prior), abs=1e-8)


TERMED = {
    "moderators": (("x", "w"), False),
    "a covariance": ((), True),
    "moderators and a covariance": (("x",), True),
}


@pytest.mark.parametrize("slope_prior", [FLAT, NORMAL], ids=["flat", "normal"])
@pytest.mark.parametrize("case", TERMED)
def test_the_two_engines_are_one_density_with_every_term(case, slope_prior):
    """log N(b | slopes, V) + log N(slopes | X gamma, tau^2) + priors, by dense algebra, is the twin's density."""
    from pymc.model.transform.conditioning import remove_value_transforms

    names, correlated = TERMED[case]
    estimates = termed(names, correlated=correlated)
    spec = SummaryModel("test", "", slope_prior, BETWEEN["half_t"], 1.0)
    model = remove_value_transforms(build_summary_pymc(estimates, spec))
    slopes = model.replace_rvs_by_values([model["group_slope"], model["new_group_slope"]])
    density = model.compile_fn([model.logp(), *slopes], mode="FAST_COMPILE")
    printed, x = estimates.printed, estimates.terms.moderators
    v = estimates.terms.covariance if correlated else np.diag(estimates.typical[printed] ** 2)
    spread = x[printed].std(axis=0)
    rng = np.random.default_rng(5)
    for _ in range(4):
        tau, slope, z, z_new = rng.uniform(0.01, 2), rng.normal(), rng.normal(size=5), rng.normal()
        by_sd = rng.normal(size=len(names))
        point = {"slope": slope, "between": tau, "z": z, "z_new": z_new}
        log_p, group_slope, new = density(point | ({"moderator_by_sd": by_sd} if names else {}))
        expected = slope + x @ (by_sd / spread)
        written = stats.multivariate_normal.logpdf(estimates.values[printed], group_slope[printed], v)
        written += stats.norm.logpdf([*group_slope, new], [*expected, slope], tau).sum()
        # d group_slope / d z: the root of tau^2 V (V + tau^2)^-1 for those printed, tau for the other and the new one.
        noise = tau**2 * v @ np.linalg.inv(v + tau**2 * np.eye(len(v)))
        jacobian = np.linalg.slogdet(noise)[1] / 2 + 2 * math.log(tau)
        priors = float(log_density(spec.between, np.array(tau)))
        beta_prior = 0.0
        if slope_prior.dist == "normal":
            beta_prior = float(stats.norm.logpdf(slope, slope_prior.params["mean"], slope_prior.params["sd"]))
        assert float(log_p) == pytest.approx(written + jacobian + priors + beta_prior, abs=1e-8)

        # All coefficients integrated out as well: the quadrature's integrand, in the units that are sampled.
        problem = problem_of(estimates, slope_prior)
        log_b, mean, covariance = conditional(problem, tau, problem.variances[None])
        gamma = np.array([slope, *(by_sd / spread)])
        of_gamma = stats.multivariate_normal.logpdf(gamma, mean[0], covariance[0])
        noise_z = stats.norm.logpdf([*z, z_new]).sum()
        assert float(log_p) - noise_z - of_gamma == pytest.approx(float(log_b[0]) + priors, abs=1e-8)


def termed(names: tuple[str, ...], *, correlated: bool) -> Estimates:
    """Return five groups, one without an estimate, with moderators and perhaps correlated errors."""
    rng = np.random.default_rng(2)
    values = np.array([0.22, 0.75, math.nan, -0.4, 0.3])
    there = ~np.isnan(values)
    root = rng.normal(0, 0.2, (4, 6))
    covariance = root @ root.T
    moderators = rng.normal(0, [1.0, 50.0][: len(names)], (5, len(names)))
    errors = np.full(5, math.nan)
    errors[there] = np.sqrt(np.diagonal(covariance))
    return Estimates(
        tuple("abcde"),
        values,
        tuple(None if math.isnan(s) else KnownError(float(s), "") for s in errors),
        Terms(names, moderators - moderators[there].mean(axis=0), covariance if correlated else None),
    )


@pytest.mark.slow
def test_sampling_agrees_with_moderators_and_a_covariance():
    estimates = termed(("x",), correlated=True)
    spec = load_summary_model("published_half_normal").resolved(1.0)
    exact = summarise(fit_summary(estimates, spec))
    sampled, tree, diagnostics = fit_pymc(estimates, spec, seed=2)
    diagnostics.require()
    engines = agreement(exact, tree)
    engines.require()
    assert len(engines.table) == 2 * 8
    assert sampled.pooling == pytest.approx(exact.pooling, abs=0.02, nan_ok=True)
    assert sampled.pooling_overall == pytest.approx(exact.pooling_overall, abs=0.05)
    assert sampled.moderators["x"].p_positive == pytest.approx(exact.moderators["x"].p_positive, abs=0.03)


def log_t(q: float, df: float) -> float:
    return float(stats.norm.logpdf(q) if math.isinf(df) else stats.t.logpdf(q, df))


def test_every_prior_is_an_ancestor_of_the_likelihood():
    from pytensor.graph.traversal import ancestors

    model = build_summary_pymc(ESTIMATES, SummaryModel("test", "", NORMAL, BETWEEN["half_t"], 1.0))
    above = set(ancestors([*model.observed_RVs, *model.potentials, model["group_slope"], model["new_group_slope"]]))
    assert {variable.name for variable in model.free_RVs} == {v.name for v in model.free_RVs if v in above}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reading", "name"),
    [
        ("coherent", "published_half_normal"),
        pytest.param("stars", "published_half_t", marks=pytest.mark.nightly),
    ],
)
def test_sampling_agrees_within_monte_carlo_error(printed_slopes, reading, name):
    estimates = under_reading(printed_slopes, reading)
    spec = load_summary_model(name).resolved(1.2377)
    posterior = fit_summary(estimates, spec)
    exact = summarise(posterior)
    sampled, tree, diagnostics = fit_pymc(estimates, spec, seed=4)
    diagnostics.require()
    engines = agreement(exact, tree)
    engines.require()
    assert len(engines.table) == 2 * 6
    # Probabilities of the sampled quantiles under the exact distribution, in Monte Carlo standard errors.
    for mixture, summary in ((posterior.group(0), sampled.groups["east"]), (posterior.group(None), sampled.new)):
        found = [mixture.cdf(summary.ci_low), mixture.cdf(summary.ci_high), summary.p_positive]
        for p, value in zip((0.025, 0.975, mixture.p_positive), found, strict=True):
            assert value == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / diagnostics.ess_tail_min))
    assert sampled.pooling == pytest.approx(exact.pooling, abs=0.02, nan_ok=True)
    assert sampled.pooling_overall == pytest.approx(exact.pooling_overall, abs=0.05)
    contrast = ("east", "central")
    assert sampled.contrasts[contrast].mean == pytest.approx(exact.contrasts[contrast].mean, abs=0.03)
    # A different prior must be seen as different: the gate can fail.
    other = summarise(fit_summary(estimates, load_summary_model("published_exponential").resolved(1.2377)))
    with pytest.raises(GateError, match="differ by"):
        agreement(other, tree).require()


def test_each_gate_of_the_sampler_closes():
    good = SamplingDiagnostics(
        engine="x",
        rhat_max=1.001,
        ess_bulk_min=900,
        ess_tail_min=900,
        divergences=0,
        ebfmi_min=0.9,
        seconds={},
        draws=4000,
    )
    good.require()
    assert good.as_dict()["rhat_max"] == 1.001
    bad = SamplingDiagnostics(
        engine="x",
        rhat_max=math.nan,
        ess_bulk_min=10,
        ess_tail_min=10,
        divergences=3,
        ebfmi_min=0.1,
        seconds={},
        draws=4000,
    )
    assert len(bad.failures) == 5


def test_a_fixed_scale_needs_no_sampling():
    spec = SummaryModel("test", "", FLAT, Prior("fixed", {"value": 0.1}), 1.0)
    with pytest.raises(InputError, match="holds it fixed; use the quadrature"):
        build_summary_pymc(ESTIMATES, spec)
