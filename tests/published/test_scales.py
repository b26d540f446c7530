"""Printed estimates of any size, under priors of any size: the answer changes its unit, and nothing else."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.published.estimate_file import read_estimates
from cbec_bayes.published.estimates import Estimates, KnownError, under_reading
from cbec_bayes.published.mixture import Mixture
from cbec_bayes.published.number import PrintedNumber
from cbec_bayes.published.results import summarise
from cbec_bayes.published.summary import fit_summary
from cbec_bayes.published.summary_model import SummaryModel
from cbec_bayes.runtime.errors import InputError

VALUES, ERRORS = np.array([0.22, 0.751, 0.074]), np.array([0.08, 0.328, 0.109])


def estimates(values: np.ndarray, errors: np.ndarray) -> Estimates:
    labels = tuple(f"g{i}" for i in range(len(values)))
    return Estimates(labels, np.asarray(values), tuple(KnownError(float(s), "") for s in errors))


def model(scale: float, dist: str = "half_normal", slope: Prior | None = None) -> SummaryModel:
    return SummaryModel("m", "", slope or Prior("flat", {}), Prior(dist, {"scale": scale}), 1.0)


def numbers(values: np.ndarray, errors: np.ndarray, spec: SummaryModel, unit: float = 1.0) -> np.ndarray:
    """Return means, sds and ends of intervals in a unit, one row per slope, and tau's last."""
    found = summarise(fit_summary(estimates(values, errors), spec))
    every = [*found.groups.values(), found.common, found.new, *found.contrasts.values(), found.tau]
    return np.array([(one.mean / unit, one.sd / unit, one.ci_low / unit, one.ci_high / unit) for one in every])


@pytest.mark.parametrize("power", [-90, -40, 12, 90])
@pytest.mark.parametrize("dist", ["half_normal", "half_cauchy"])
def test_a_change_of_unit_changes_the_unit(power, dist):
    factor = 10.0**power
    slope = Prior("normal", {"mean": 0.1, "sd": 2.0})
    one = numbers(VALUES, ERRORS, model(0.5, dist, slope))
    other = numbers(VALUES * factor, ERRORS * factor, model(0.5 * factor, dist, slope.scaled(factor)), factor)
    np.testing.assert_allclose(other, one, rtol=1e-8, atol=1e-10)


def by_grid(values: np.ndarray, errors: np.ndarray, scale: float) -> tuple[float, float, float]:
    """Return mean and upper quartile of tau, and the upper end of the common slope's interval, by a grid of log tau.

    A flat prior of the slope, a half-normal one of tau: a sum over many values of tau, and nothing of the package.
    """
    log_tau = np.linspace(math.log(1e-25), math.log(scale) + 5, 400_001)
    total = errors[:, None] ** 2 + np.exp(2 * log_tau)
    precision = (1 / total).sum(axis=0)
    mean = (values[:, None] / total).sum(axis=0) / precision
    squares = ((values[:, None] - mean) ** 2 / total).sum(axis=0)
    log_p = -(np.log(total).sum(axis=0) + squares + np.log(precision)) / 2
    log_p += log_tau - (np.exp(log_tau) / scale) ** 2 / 2
    weights = np.exp(log_p - log_p.max())
    weights /= weights.sum()
    upper = np.exp(np.interp(0.75, np.cumsum(weights), log_tau))
    low, high = -1e3, 1e3
    for _ in range(60):
        middle = (low + high) / 2
        below = float(weights @ special.ndtr((middle - mean) * np.sqrt(precision)))
        low, high = (middle, high) if below < 0.975 else (low, middle)
    return float(weights @ np.exp(log_tau)), float(upper), low


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 0.5, 1e3, 1e6, 1e20, 1e60])
def test_a_prior_far_from_the_errors(scale):
    mean, upper, end = by_grid(VALUES, ERRORS, scale)
    posterior = fit_summary(estimates(VALUES, ERRORS), model(scale))
    assert posterior.tau_mean() == pytest.approx(mean, rel=1e-4)
    assert posterior.tau_quantile(0.75) == pytest.approx(upper, rel=1e-3)
    assert posterior.common().quantile(0.975) == pytest.approx(end, rel=1e-4)


def test_a_prior_below_what_squares_can_hold_pools_completely():
    found = summarise(fit_summary(estimates(VALUES, ERRORS), model(5e-309)))
    weights = ERRORS**-2 / (ERRORS**-2).sum()
    for one in (*found.groups.values(), found.common, found.new):
        assert one.mean == pytest.approx(weights @ VALUES, rel=1e-12)
        assert one.sd == pytest.approx((ERRORS**-2).sum() ** -0.5, rel=1e-12)
    assert [one.p_positive for one in found.contrasts.values()] == pytest.approx([0.5] * 3, rel=1e-14)
    assert found.tau.mean == pytest.approx(5e-309 * math.sqrt(2 / math.pi), rel=1e-6)


@pytest.mark.parametrize(
    "spec",
    [model(1e200), model(1.0, slope=Prior("normal", {"mean": 0.0, "sd": 1e-200}))],
    ids=["a scale whose square is infinite", "a slope whose precision is"],
)
def test_a_prior_whose_square_is_no_number_is_refused(spec):
    with pytest.raises(InputError, match="too large or too small to compute with"):
        fit_summary(estimates(VALUES, ERRORS), spec)


def test_an_outlier_keeps_what_is_printed():
    found = summarise(fit_summary(estimates(np.array([1e8, 2.0]), np.ones(2)), model(5e7)))
    for label, value in (("g0", 1e8), ("g1", 2.0)):
        one = found.groups[label]
        assert (one.mean - value, one.sd) == pytest.approx((0, 1), abs=1e-6)
        assert (one.ci_low - value, one.ci_high - value) == pytest.approx((-1.959964, 1.959964), abs=1e-6)


def test_estimates_of_very_different_sizes():
    found = summarise(
        fit_summary(estimates(np.array([1e90, 1e-90, 2e-90]), np.array([1e88, 1e-92, 1e-92])), model(1e90))
    )
    one = found.groups["g1"]
    assert (one.mean, one.sd) == pytest.approx((1e-90, 1e-92), rel=1e-9)
    assert found.common.mean == pytest.approx(1e90 / 3, rel=1e-3)


@given(
    st.lists(
        st.tuples(st.floats(0.01, 1), st.floats(-1e3, 1e3), st.floats(-40, 40), st.floats(-40, 40)),
        min_size=1,
        max_size=6,
    ),
    st.floats(0.001, 0.999),
)
@settings(max_examples=200, deadline=None)
def test_a_quantile_has_its_probability_below_it(parts, probability):
    weights, means, powers, sds = (np.array(column) for column in zip(*parts, strict=True))
    mixture = Mixture(weights / weights.sum(), means * 10.0**powers, 10.0 ** (2 * sds))
    found = mixture.quantile(probability)
    near = 1e-9 * max(abs(found), math.sqrt(mixture.variances.min()))
    assert mixture.cdf(found - near) <= probability + 1e-9
    assert mixture.cdf(found + near) >= probability - 1e-9


@pytest.mark.parametrize(
    "text", ["0e-999999999", "0e999999999", "1e101", "1e-101", "1e99999999999999999999999", "-0e-200"]
)
def test_numbers_beyond_reach_are_refused(text):
    with pytest.raises(ValueError, match="beyond 1e100 or below 1e-100"):
        PrintedNumber.parse(text)


@pytest.mark.parametrize("df", ["1e-50", "0.01", "0", "-1"])
def test_degrees_of_freedom_that_no_regression_has(df, tmp_path):
    (tmp_path / "t.csv").write_text(f"label,estimate,se,stars,df\na,1,,**,{df}\nb,1,1,*,3\n")
    with pytest.raises(InputError, match=r"row 2, column 'df': degrees of freedom must be at least 0\.1"):
        read_estimates(tmp_path / "t.csv")


def test_small_degrees_of_freedom_are_taken(tmp_path):
    (tmp_path / "t.csv").write_text("label,estimate,se,stars,df\na,1,,**,0.1\nb,1,1,*,3\n")
    found = under_reading(read_estimates(tmp_path / "t.csv"), "stars")
    assert np.isfinite(found.typical).all()
