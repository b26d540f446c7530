"""Combinations of terms are calibrated together, an error planted in one term is found there, and wrong members are."""

from __future__ import annotations

import numpy as np
import pytest

from cbec_bayes.bayes.model.blocks import blocks_for
from cbec_bayes.bayes.model.densities import resolve
from cbec_bayes.bayes.moments.lags import Autoregressive
from cbec_bayes.calibration import combinations, simulate
from cbec_bayes.calibration.combinations import (
    CHOICES,
    EVERY,
    FEWEST,
    calibrate_combinations,
    combination,
    judged,
    small_panel,
)
from cbec_bayes.calibration.sbc import DRAWS, LOG_LIKELIHOOD, calibrate, verdicts
from cbec_bayes.calibration.simulate import from_prior
from cbec_bayes.runtime.errors import GateError
from cbec_bayes.runtime.fanout import Serial

FEW = 32
SIMPLEST = {key: values[:1] for key, values in CHOICES.items()}


def test_a_few_combinations_are_calibrated():
    found = calibrate_combinations(Serial(), FEW, seed=5)
    found.require()
    table = found.verdicts()
    assert len(found.ranked) + found.failed == FEW
    assert found.combinations > FEW / 2
    assert {"slope", "tau", LOG_LIKELIHOOD} <= set(table["quantity"])
    assert (table[["z_mean", "z_square"]].abs() < 4.5).all(axis=None)


def regressed_alone(monkeypatch, n: int):
    monkeypatch.setattr(combinations, "REGRESSED", 1)
    return calibrate_combinations(Serial(), n, choices=SIMPLEST, seed=4).verdicts().set_index("quantity")


def test_slopes_on_characteristics_are_drawn_and_ranked(monkeypatch):
    table = regressed_alone(monkeypatch, 60)
    assert table.loc["covariate_slope[z]", "replications"] == 60
    assert (table["passed"] == "yes").all()
    assert (table[["z_mean", "z_square"]].abs() < 4.5).all(axis=None)


def test_slopes_on_characteristics_that_are_drawn_too_wide_are_found_out(monkeypatch):
    right = simulate._located
    monkeypatch.setattr(simulate, "_located", lambda block, priors, rng: 4 * right(block, priors, rng))
    assert regressed_alone(monkeypatch, 60).loc["covariate_slope[z]", "z_square"] > 4


def test_slopes_with_a_normal_prior_are_drawn_from_it():
    rng = np.random.default_rng(1)
    blocks = blocks_for(small_panel(rng, gaps=False, regressed=True), "partial_pooling")
    truths = np.array([from_prior(blocks, rng).truth["covariate_slope"][0] for _ in range(400)])
    expected = resolve(blocks.model, blocks.design)["covariate_slope"].params["sd"]
    assert truths.std() == pytest.approx(expected, rel=5 / np.sqrt(800))
    assert abs(truths.mean()) < 5 * expected / np.sqrt(400)
    truth = from_prior(blocks, rng).truth
    own = truth["slope"] + truth["group_slope"] + blocks.characteristics[:, 0] * truth["covariate_slope"][0]
    np.testing.assert_allclose(truth["group_total_slope"], own, rtol=1e-12)


def test_an_error_that_is_planted_is_found(monkeypatch):
    """The log determinant of correlated errors is taken twice, so that correlations are drawn too near to zero."""
    for name in ("log_det", "log_det_slope"):
        right = getattr(Autoregressive, name)
        monkeypatch.setattr(Autoregressive, name, lambda self, *given, right=right: 2 * right(self, *given))
    found = calibrate_combinations(Serial(), FEWEST + 10, choices=SIMPLEST | {"correlation": ("ar1",)}, seed=2)
    table = found.verdicts().set_index("quantity")
    assert table.loc["rho", "z_square"] > 4
    with pytest.raises(GateError, match=r"ranks of rho under \(all\) are not uniform"):
        found.require()


def test_data_of_the_headline_are_found_out_by_partial_pooling():
    """What units have of their own, and errors that are correlated, make intervals too narrow."""
    table = verdicts(calibrate(Serial(), [("partial_pooling", "robust", 60)], seed=3)).set_index("quantity")
    assert table.loc["sigma", "passed"] == "no"
    assert table.loc[LOG_LIKELIHOOD, "passed"] == "no"
    assert (table.filter(like="group_total_slope", axis=0)["passed"] == "no").sum() >= 2


def test_every_choice_is_drawn_and_every_second_panel_has_gaps():
    rng = np.random.default_rng(5)
    drawn = [combination(rng) for _ in range(60)]
    for key, values in CHOICES.items():
        assert {model.choice(key) for model in drawn} == set(values)
    for model in drawn:
        assert set(model.scales) <= set(model.priors)
    whole, part = small_panel(rng, gaps=False), small_panel(rng, gaps=True)
    assert np.ptp(np.bincount(whole.unit)) == 0
    assert np.ptp(np.bincount(part.unit)) > 0


def test_distances_are_in_monte_carlo_errors():
    """Of uniform ranks they are standard normal; of ranks that are biased or too wide they grow with the root of n."""
    rng = np.random.default_rng(6)
    uniform = {str(k): rng.integers(0, DRAWS + 1, 200).tolist() for k in range(400)}
    table = judged({EVERY: uniform})
    for name in ("z_mean", "z_square"):
        assert abs(table[name].mean()) < 4 / np.sqrt(400)
        assert abs(table[name].std() - 1) < 4 / np.sqrt(2 * 400)
    wide = {"wide": (DRAWS * rng.beta(2, 2, 400)).astype(int), "biased": (DRAWS * rng.beta(2, 1, 400)).astype(int)}
    found = judged({EVERY: wide}).set_index("quantity")
    assert found.loc["wide", "z_square"] < -6
    assert found.loc["biased", "z_mean"] > 6
    assert (found["passed"] == "no").all()


def test_replications_that_miss_a_gate_are_counted(monkeypatch):
    right = combinations.rank_truth

    def missing(blocks, simulated, seed):
        if len(blocks.design.y) == sum(combinations.GROUP_SIZES) * combinations.N_TIMES:
            raise GateError("missed")
        return right(blocks, simulated, seed)

    monkeypatch.setattr(combinations, "rank_truth", missing)
    found = calibrate_combinations(Serial(), 3, choices=SIMPLEST)
    assert (len(found.ranked), found.failed) == (1, 2)  # those without gaps
    with pytest.raises(GateError, match="2 of 3 replications missed a gate"):
        found.require()
