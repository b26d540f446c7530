"""Heavy tails of pooled estimates against dense grids, one-dimensional integrals, limits, and themselves moved."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.published.between_shape import BetweenShape
from cbec_bayes.published.estimates import Estimates, ImpliedError, KnownError
from cbec_bayes.published.pooled import PooledPosterior
from cbec_bayes.published.results import summarise
from cbec_bayes.published.robust import solution
from cbec_bayes.published.robust.solution import solve
from cbec_bayes.published.summary import TOLERANCE, fit_summary
from cbec_bayes.published.summary_model import RobustModel, SummaryModel
from cbec_bayes.runtime.errors import GateError
from tests.support.heavy_tails import between_density, dense_posterior, student

FLAT = Prior("flat", {})
INF = math.inf
VALUES, ERRORS = [0.5, 0.3, 0.2, 1.4, 0.1], [0.18, 0.1, 0.04, 0.2, 0.1]
THOUSANDFOLD = [0.18, 2e-4, 0.04, 0.2]
T4 = BetweenShape("student_t", {"df": 4.0})
TWO = BetweenShape("two_normals", {"share": 0.1, "ratio": 5.0})


def half_normal(scale: float, shape: BetweenShape | None = None, slope: Prior = FLAT) -> SummaryModel:
    between = Prior("half_normal", {"scale": scale})
    if shape is None:
        return SummaryModel("test", "", slope, between, 1.0)
    return RobustModel("test", "", slope, between, 1.0, shape=shape)


def fixed(tau: float) -> SummaryModel:
    return SummaryModel("test", "", FLAT, Prior("fixed", {"value": tau}), 1.0)


def known(values, errors, dfs) -> Estimates:
    labels = tuple(f"g{i}" for i in range(len(values)))
    rows = zip(values, errors, dfs, strict=True)
    given = tuple(None if math.isnan(v) else KnownError(float(s), "", float(df)) for v, s, df in rows)
    return Estimates(labels, np.asarray(values, dtype=float), given)


def numbers(posterior: PooledPosterior) -> np.ndarray:
    """Return everything that tables show of a posterior."""
    found = summarise(posterior)
    every = [*found.groups.values(), found.common, found.new, found.tau, *found.contrasts.values()]
    table = [(one.mean, one.sd, one.ci_low, one.ci_high, one.p_positive) for one in every]
    return np.array([x for row in table for x in row] + [*found.pooling.values(), found.pooling_overall])


@pytest.mark.parametrize(
    ("errors", "dfs", "shape"),
    [
        (ERRORS[:3], [2, 2, 2], None),
        (ERRORS, [3, 10, INF, 2, 5], None),
        (ERRORS[:4], [INF] * 4, T4),
        (ERRORS[:4], [3, 5, INF, 5], TWO),
        (ERRORS[:4], [8, 3, 8, 8], BetweenShape("student_t", {"df": 3.0})),
        (ERRORS[:3], [2, 2, 2], BetweenShape("student_t", {"df": 2.0})),
        (THOUSANDFOLD, [2, 2, 2, 2], None),
    ],
    ids=[
        *("df-2", "mixed-df", "t-between", "two-normals"),
        *("t-both", "df-2-both", "thousandfold"),
    ],
)
def test_against_a_dense_grid(errors, dfs, shape):
    """A precise estimate with a heavy tail has a slope with two scales, of which the far one makes its deviation."""
    between = between_density(shape.dist, list(shape.params.values())) if shape else between_density("normal", ())
    values = VALUES[: len(errors)]
    dense = dense_posterior(values, errors, dfs, 0.3, between=between)
    posterior = fit_summary(known(values, errors, dfs), half_normal(0.3, shape))
    assert posterior.error <= TOLERANCE
    assert posterior.log_evidence == pytest.approx(dense.log_evidence, abs=3e-6)
    assert (posterior.common().mean, posterior.common().sd) == pytest.approx(dense.common, abs=1e-6)
    assert (posterior.tau_mean(), posterior.tau_sd()) == pytest.approx(dense.tau, abs=1e-6)
    for index, pair in enumerate(dense.groups):
        assert (posterior.group(index).mean, posterior.group(index).sd) == pytest.approx(pair, abs=1e-6)


@pytest.mark.parametrize("tau", [0.01, 0.3])
def test_two_estimates_given_tau_against_integrals_over_a_slope(tau):
    """With a flat prior the slope of one group has the density L_1(x) times that of b_2 about x: no beta, no lambda."""
    (b1, s1, df1), (b2, s2, df2) = (0.4, 0.1, 3.0), (0.1, 0.2, 5.0)
    posterior = fit_summary(known([b1, b2], [s1, s2], [df1, df2]), fixed(tau))
    x = np.linspace(-20, 20, 20_001)
    gap = np.linspace(-8, 8, 97) * tau * math.sqrt(2)
    step, gap_step = x[1] - x[0], gap[1] - gap[0]
    near = student(df1)((b1 - x) / s1)
    weight = stats.norm.pdf(gap, scale=tau * math.sqrt(2)) * gap_step
    other = np.zeros_like(x)
    joint_of_gap = np.zeros_like(gap)
    for place, (d, w) in enumerate(zip(gap, weight, strict=True)):
        density = student(df2)((b2 - x - d) / s2)
        other += w * density
        joint_of_gap[place] = w * (near * density).sum() * step
    density = near * other * step
    density /= density.sum()
    cumulative = np.cumsum(density) - density / 2
    group = posterior.group(0)
    for q in (0.1, 0.4, 0.6, 0.9):
        assert group.cdf(float(np.interp(q, cumulative, x))) == pytest.approx(q, abs=2e-5)
    assert group.mean == pytest.approx(float(density @ x), abs=2e-5)
    joint_of_gap /= joint_of_gap.sum()
    contrast = posterior.contrast(1, 0)
    assert contrast.mean == pytest.approx(float(joint_of_gap @ gap), abs=1e-6)
    assert contrast.sd**2 == pytest.approx(float(joint_of_gap @ (gap - joint_of_gap @ gap) ** 2), rel=2e-5)


@pytest.mark.parametrize("df", [1.0, 2.0, 4.0])
def test_one_estimate_given_tau_is_its_own_likelihood(df):
    posterior = fit_summary(known([0.4], [0.2], [df]), fixed(0.0))
    for q in (0.01, 0.3, 0.975):
        expected = 0.4 + 0.2 * stats.t.ppf(q, df)
        for mixture in (posterior.common(), posterior.group(0), posterior.group(None)):
            assert mixture.cdf(expected) == pytest.approx(q, abs=1e-6)
            assert mixture.quantile(q) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("shape", [None, BetweenShape("student_t", {"df": 1e8})], ids=["likelihood", "between"])
@pytest.mark.parametrize("slope", [FLAT, Prior("normal", {"mean": 0.1, "sd": 0.7})], ids=["flat", "normal"])
def test_many_degrees_of_freedom_are_the_normal_engine(shape, slope):
    values, errors = [*VALUES[:4], math.nan], [*ERRORS[:4], math.nan]
    dfs = [1e8 if shape is None else INF] * 5
    found = solve(known(values, errors, dfs), half_normal(0.3, shape, slope), TOLERANCE)
    normal = fit_summary(known(values, errors, [INF] * 5), half_normal(0.3, None, slope))
    np.testing.assert_allclose(numbers(found), numbers(normal), atol=2e-6)
    assert found.log_evidence == pytest.approx(normal.log_evidence, abs=1e-6)


@pytest.mark.parametrize(("share", "ratio"), [(0.0, 5.0), (1e-9, 5.0), (0.1, 1.0)])
def test_no_wide_part_is_the_normal_engine(share, ratio):
    shape = BetweenShape("two_normals", {"share": share, "ratio": ratio})
    data = known(VALUES, ERRORS, [INF] * 5)
    found, normal = fit_summary(data, half_normal(0.3, shape)), fit_summary(data, half_normal(0.3))
    np.testing.assert_allclose(numbers(found), numbers(normal), atol=2e-6)


def test_few_implied_errors_are_the_product_rule():
    """One inner rule a row is what a rule over all combinations of standard errors is."""
    errors = (ImpliedError(0.5, 1.8, 2.3, 9.0), KnownError(0.15, ""), ImpliedError(0.3, 2.6, INF, 9.0))
    data = Estimates(("a", "b", "c"), np.array([0.5, -0.2, 0.3]), errors)
    np.testing.assert_allclose(
        numbers(solve(data, half_normal(0.3), TOLERANCE)), numbers(fit_summary(data, half_normal(0.3))), atol=2e-6
    )


@pytest.mark.parametrize("shape", [None, TWO], ids=["normal", "two-normals"])
def test_order_shift_and_scale(shape):
    order, shift, scale = [3, 0, 4, 1, 2], -7.0, 250.0
    dfs = np.array([3, 8, INF, 4, 2])
    values, errors = np.array(VALUES), np.array(ERRORS)
    one = summarise(fit_summary(known(values, errors, dfs), half_normal(0.3, shape)))
    moved = known(values[order] * scale + shift, errors[order] * scale, dfs[order])
    other = summarise(fit_summary(moved, half_normal(0.3 * scale, shape)))
    for place, index in enumerate(order):
        a, b = one.groups[f"g{index}"], other.groups[f"g{place}"]
        assert (b.mean - shift) / scale == pytest.approx(a.mean, abs=1e-6)
        assert b.sd / scale == pytest.approx(a.sd, abs=1e-6)
        assert (b.ci_high - shift) / scale == pytest.approx(a.ci_high, abs=2e-6)
    assert other.tau.ci_high / scale == pytest.approx(one.tau.ci_high, abs=2e-6)


def test_an_estimate_far_off_is_let_go():
    """The mark of heavy tails: the farther one estimate is, the less it moves the others."""
    means = []
    for far in (1.0, 3.0, 30.0):
        data = known([0.0, 0.1, 0.2, 0.1, far], [0.1] * 5, [INF] * 4 + [3.0])
        means.append(fit_summary(data, half_normal(0.05)).group(0).mean)
    assert means[0] > means[1] > means[2]
    without = fit_summary(known([0.0, 0.1, 0.2, 0.1], [0.1] * 4, [INF] * 4), half_normal(0.05))
    assert means[2] == pytest.approx(without.group(0).mean, abs=2e-3)


def test_moments_that_do_not_exist_are_not_given():
    one = summarise(fit_summary(known([0.4], [0.2], [1.0]), half_normal(0.3)))
    assert math.isnan(one.common.mean)
    assert math.isnan(one.groups["g0"].mean)
    assert one.common.ci_low < 0.4 < one.common.ci_high
    assert math.isfinite(one.tau.mean)
    two = summarise(fit_summary(known([0.4], [0.2], [2.0]), half_normal(0.3)))
    assert two.common.mean == pytest.approx(0.4, abs=1e-5)
    assert math.isnan(two.common.sd)
    nu = BetweenShape("student_t", {"df": 2.0})
    new = summarise(fit_summary(known(VALUES, ERRORS, [INF] * 5), half_normal(0.3, nu)))
    assert math.isnan(new.new.sd)
    assert math.isfinite(new.common.sd)
    assert math.isfinite(new.groups["g0"].sd)


def test_quantiles_invert_the_distribution():
    posterior = fit_summary(known(VALUES, ERRORS, [2.0] * 5), half_normal(0.3, TWO))
    for mixture in (posterior.group(0), posterior.group(None), posterior.common(), posterior.contrast(0, 1)):
        for q in (0.001, 0.025, 0.5, 0.999):
            assert mixture.cdf(mixture.quantile(q)) == pytest.approx(q, abs=1e-9)
    for q in (0.025, 0.5, 0.975):
        assert posterior.tau_cdf(posterior.tau_quantile(q)) == pytest.approx(q, abs=1e-7)


def test_tau_of_one_estimate_has_its_prior():
    posterior = fit_summary(known([0.4], [0.2], [4.0]), half_normal(0.6))
    for q in (0.1, 0.5, 0.9):
        assert posterior.tau_quantile(q) == pytest.approx(stats.halfnorm.ppf(q, scale=0.6), abs=1e-6)
    assert math.isnan(posterior.pooling_factor_overall())


@pytest.mark.parametrize("between", [Prior("half_cauchy", {"scale": 0.2}), Prior("uniform", {"upper": 12.0})])
def test_other_priors_of_tau_against_a_sum_over_fixed_ones(between):
    """The evidence is the prior's average of the evidence given tau."""
    data = known(VALUES[:3], ERRORS[:3], [3.0] * 3)
    spec = SummaryModel("test", "", FLAT, between, 1.0)
    z = np.arange(-17.0, 6.5 if between.dist == "half_cauchy" else 17.0, 0.25)
    tau = np.exp(z) if between.dist == "half_cauchy" else 12 / (1 + np.exp(-z))
    if between.dist == "half_cauchy":
        weight = 2 / (math.pi * 0.2 * (1 + (tau / 0.2) ** 2)) * tau
    else:
        weight = tau * (1 - tau / 12) / 12
    given_tau = np.array([math.exp(fit_summary(data, fixed(float(one))).log_evidence) for one in tau])
    expected = math.log(float(weight @ given_tau) * 0.25)
    assert fit_summary(data, spec).log_evidence == pytest.approx(expected, abs=1e-5)


def test_the_accuracy_gate_can_fail(monkeypatch):
    coarse = solution.Fineness(0.9, 0.5, 1e-2, 6)
    monkeypatch.setattr(solution, "LEVELS", (coarse, solution.Fineness(0.8, 0.45, 1e-2, 6)))
    with pytest.raises(GateError, match="the result of the quadrature changed by"):
        fit_summary(known(VALUES, ERRORS, [3.0] * 5), half_normal(0.3))


def test_a_predicted_group_is_a_new_group():
    posterior = fit_summary(known([*VALUES, math.nan], [*ERRORS, math.nan], [3.0] * 6), half_normal(0.3))
    assert posterior.group(5).interval() == pytest.approx(posterior.group(None).interval(), abs=1e-9)
    assert posterior.contrast(5, 5).mean == pytest.approx(0, abs=1e-9)
    assert math.isnan(posterior.pooling_factors()[5])
