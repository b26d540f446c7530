"""Numbers are written with as many digits as the draws carry, and no more."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbec_bayes.estimands import summarise_draws
from cbec_bayes.reporting.tables import number, sampled, sampled_decimals, with_interval


@pytest.mark.parametrize("kind", ["normal", "t of 4", "exponential", "two apart"])
@pytest.mark.parametrize("scale", [0.013, 0.24, 0.9, 70.0])
def test_the_monte_carlo_error_is_below_the_last_digit(kind, scale):
    rng = np.random.default_rng(1)
    shape = (400, 1_000)
    draws = (
        scale
        * {
            "normal": rng.normal(size=shape),
            "t of 4": rng.standard_t(4, size=shape),
            "exponential": rng.exponential(size=shape),
            "two apart": rng.normal(size=shape) + 2 * rng.choice([-1, 1], size=shape),
        }[kind]
    )
    found = [summarise_draws(one) for one in draws]
    between = np.std([(one.mean, one.ci_low, one.ci_high) for one in found], axis=0).max()
    said = float(np.mean([one.mcse for one in found]))
    assert said == pytest.approx(between, rel=0.35)
    for one in found[:20]:
        decimals = sampled_decimals(one.ci_low, one.ci_high, one.mcse)
        assert one.mcse < 10.0**-decimals <= 100 * one.mcse


@given(st.floats(1e-8, 1e8), st.floats(1e-9, 1e8))
def test_decimals_follow_the_scale_and_the_error(width, mcse):
    decimals = sampled_decimals(0, width, mcse)
    assert 10.0**-decimals >= mcse * (1 - 1e-9)
    assert 10.0**-decimals >= width / 3.92 / 100 * (1 - 1e-9)
    assert decimals == min(sampled_decimals(0, width, 0.0), math.floor(-math.log10(mcse)))


def test_how_numbers_are_written():
    assert sampled(0.2468, -0.1234, 0.6321, 0.02) == ("0.2", "−0.1 to 0.6")
    assert sampled(0.2468, -0.1234, 0.6321, 0.002) == ("0.25", "−0.12 to 0.63")
    assert sampled(0.2468, 0.2031, 0.2905, 0.0002) == ("0.247", "0.203 to 0.290")
    assert sampled(math.nan, math.nan, math.nan, math.nan) == ("", "")
    assert with_interval(math.nan, math.nan, math.nan, math.nan) == "–"
    assert with_interval(1234.0, 100.0, 2_500.0, 0.0) == "1230 (100 to 2500)"
    assert number(-0.04, 1) == "0.0"
    assert number(-12.0, -1) == "−10"
    assert with_interval(2.0, 2.0, 2.0, 0.0) == "2.000 (2.000 to 2.000)"  # nothing is unsure
