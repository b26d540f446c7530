"""Replicated outcomes of panels too large for the effects of every unit and draw, and the levels they are held at."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.bayes import posterior
from cbec_bayes.bayes.fit import PanelFit, fit
from cbec_bayes.bayes.posterior import linear_predictor
from cbec_bayes.bayes.predictive import predictive_outcomes
from cbec_bayes.checks import replicable as room
from cbec_bayes.checks.severity import Severity
from cbec_bayes.checks.suite import CheckContext, CheckInputs, predictive_checks
from cbec_bayes.panel import Roles, make_panel
from cbec_bayes.panel.design import Design, make_design
from cbec_bayes.panel.within import means_by
from tests.support.members import panel


def of_nested_slopes(n_units: int, n_times: int, seed: int = 1) -> Design:
    rng = np.random.default_rng(seed)
    unit, time = np.divmod(np.arange(n_units * n_times), n_times)
    d = rng.normal(size=len(unit))
    slope = np.array([0.1, 0.4, 0.6])[unit % 3] + 0.3 * rng.normal(size=n_units)[unit]
    y = slope * d + rng.normal(size=n_units)[unit] + rng.normal(size=len(unit))
    frame = pd.DataFrame({"unit": [f"u{u}" for u in unit], "t": time, "g": [f"g{u % 3}" for u in unit], "y": y, "d": d})
    return make_design(
        make_panel(frame, Roles(outcome="y", exposure="d", controls=(), unit="unit", time="t", group="g"))
    )


def by_name(found: PanelFit) -> dict[str, bool | None]:
    return {result.name: result.passed for result in predictive_checks(CheckInputs(fit=found))}


@pytest.mark.slow
def test_a_large_panel_is_checked(monkeypatch):
    """The posterior holds no unit's effect; the right model passes, and one without slopes of units does not."""
    design = of_nested_slopes(2_600, 4)
    monkeypatch.setattr(room, "POINTWISE_MAX", 400 * design.n_obs)
    right, wrong = fit(design, "nested"), fit(design, "partial_pooling")
    assert "unit_effect" not in right.tree["posterior"].dataset
    assert by_name(right) == dict.fromkeys(["predictive_cells", "predictive_cells_new", "predictive_residuals"], True)
    severities = {one.name: one.severity for one in predictive_checks(CheckInputs(fit=wrong))}
    assert severities["predictive_cells"].rank < Severity.FINE.rank
    monkeypatch.setattr(room, "LEAST", 4_000)
    assert set(by_name(right).values()) == {None}
    assert room.replicable(right) is None


@pytest.mark.parametrize("model", ["partial_pooling", "nested", "correlated_effects", "group_variance"])
def test_what_is_drawn_again_is_the_posterior(model, monkeypatch):
    """Every kept coefficient has the posterior's mean and spread, and the scales are the posterior's own."""
    design = panel("unbalanced")
    whole = fit(design, model)
    monkeypatch.setattr(posterior, "POINTWISE_MAX", 100)
    found = fit(design, model)
    assert "unit_effect" not in found.tree["posterior"].dataset
    monkeypatch.setattr(posterior, "POINTWISE_MAX", 40_000_000)
    monkeypatch.setattr(room, "POINTWISE_MAX", 2_000 * design.n_obs)
    again = room.replicable(found, seed=7)
    held, drawn = (one.tree["posterior"].dataset for one in (whole, again))
    assert drawn.sizes["draw"] == 2_000
    assert set(drawn.data_vars) == set(held.data_vars)
    for name in ("slope", "group_slope", "control_slope", "unit_effect"):
        if name not in held:
            continue
        one, other = (values[name].to_numpy().reshape(-1, *values[name].shape[2:]) for values in (held, drawn))
        apart = np.abs(one.mean(axis=0) - other.mean(axis=0))
        assert np.all(apart <= 5 * one.std(axis=0) * np.sqrt(1 / 2_000 + 1 / 2_000) + 1e-12), name
    np.testing.assert_allclose(float(drawn["tau"].mean()), float(held["tau"].mean()), rtol=0.1)
    assert room.replicable(whole) is whole


@pytest.mark.parametrize("model", ["partial_pooling", "nested", "ar1"])
def test_levels_are_the_datas_own(model):
    design = panel("unbalanced")
    found = fit(design, model, draws=50)
    same, drawn = CheckContext(CheckInputs(fit=found)).same, predictive_outcomes(found, own_levels=False)
    own, levels, others = (means_by(design.unit, values.T) for values in (design.y[None], same, drawn))
    np.testing.assert_allclose(levels, np.tile(own, len(same)), atol=1e-10)
    assert np.abs(others - own).max() > 0.01
    # Changes within units are those that are drawn with levels.
    np.testing.assert_allclose(same.T - levels[design.unit], drawn.T - others[design.unit], atol=1e-10)


@pytest.mark.parametrize("model", ["partial_pooling", "ar1"])
def test_a_new_unit_is_at_the_level_of_another(model):
    """Beside the mean that its regressors give it, what some unit's mean leaves of those that its own give."""
    design = panel("unbalanced")
    found = fit(design, model, draws=50)
    posterior = found.tree["posterior"].dataset
    effects = {name: values.to_numpy().reshape(-1, *values.shape[2:]) for name, values in posterior.items()}
    effects["unit_effect"] = np.zeros_like(effects["unit_effect"])
    explained = means_by(design.unit, linear_predictor(found.blocks, effects).T)
    left = means_by(design.unit, design.y[:, None]) - explained
    new = means_by(design.unit, CheckContext(CheckInputs(fit=found)).new.T) - explained
    np.testing.assert_allclose(np.abs(new[:, None] - left).min(axis=1), 0, atol=1e-9)
    assert (np.abs(new - left) > 1e-6).mean() > 0.5


def test_levels_of_random_effects_are_drawn():
    design = panel("unbalanced")
    own = means_by(design.unit, design.y[:, None])
    found = fit(design, "correlated_effects", draws=50)
    assert np.abs(means_by(design.unit, CheckContext(CheckInputs(fit=found)).same.T) - own).max() > 0.01
    np.testing.assert_array_equal(predictive_outcomes(found), predictive_outcomes(found, own_levels=False))
