"""Checks that are made of many fits: a fit that misses a gate is kept by name, without numbers and with the reason."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cbec_bayes.bayes.fit import fit
from cbec_bayes.checks.influence import INFLUENCE_COLUMNS, leave_out
from cbec_bayes.checks.sensitivity import SENSITIVITY_COLUMNS, between_group_prior
from cbec_bayes.checks.severity import Severity, severest
from cbec_bayes.reporting.checkfigures import draw
from cbec_bayes.runtime.errors import GateError
from cbec_bayes.runtime.labels import GROUP_AVERAGE
from tests.support.gates import DIVERGED, FEW, SAID, WIDE, missing_gates
from tests.support.simulated import fitted, simulated


@pytest.fixture(autouse=True)
def sampled_again(monkeypatch):
    """Every refit samples: draws of the fit that are weighted anew have no such gates to miss."""
    for module in ("influence", "sensitivity"):
        monkeypatch.setattr(f"cbec_bayes.checks.{module}.near_draws", lambda *_, **__: None)


NUMBERS = ["mean", "sd", "ci_low", "ci_high", "p_positive"]


def no_mode(*_, **__):
    raise GateError("the posterior of the scales has no mode")


# What is left out.


def test_refits_of_an_ordinary_panel_pass():
    result = leave_out(fitted(), "group")
    assert result.text.endswith(" 3 of 3 refits passed their gates.")
    assert tuple(result.table.columns) == INFLUENCE_COLUMNS
    assert set(result.table["gate"]) == {"passed"}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (WIDE, SAID["khat"]),
        (FEW, "the effective size 7 of the importance weights is below the 2000 draws asked for"),
        (DIVERGED, SAID["divergences"]),
    ],
)
def test_a_refit_that_misses_a_gate_has_a_reason_and_no_numbers(monkeypatch, changed, reason):
    ordinary = leave_out(fitted(), "group").table
    missing_gates(monkeypatch, {1}, changed)
    result = leave_out(fitted(), "group")
    marked = result.table["left_out"] == "g1"
    assert result.table[marked]["group"].tolist() == ["(all)", "g0", "g2"]
    assert set(result.table[marked]["gate"]) == {reason}
    assert result.table[marked][[*NUMBERS, "moved"]].isna().all().all()
    assert result.table[~marked].equals(ordinary[ordinary["left_out"] != "g1"])
    assert result.severity is Severity.KNOWING
    assert result.text.startswith("The model was fitted again without one group at a time. The largest change")
    assert result.text.endswith(f" 2 of 3 refits passed their gates; left out: g1 ({reason}).")
    svg = draw(result, "moves").svg()
    assert svg is not None
    assert "without each of 2" in svg


def one_unit_varies():
    """A panel in which the exposure moves in one unit alone, so that the others say nothing of its slope."""
    base = simulated()
    x = base.x.copy()
    x[:, 0] = np.where(base.unit == 3, x[:, 0], 0.0)
    design = replace(base, x=x, group=None, groups=())
    return fit(design.rows(design.unit < 8), "complete_pooling")


def test_a_unit_without_which_a_slope_is_not_identified_is_named():
    result = leave_out(one_unit_varies(), "unit")
    marked = result.table["left_out"] == "u3"
    (reason,) = set(result.table[marked]["gate"])
    assert "is not identified" in reason
    assert result.table[marked][[*NUMBERS, "moved"]].isna().all().all()
    assert set(result.table[~marked]["gate"]) == {"passed"}
    assert f"7 of 8 refits passed their gates; left out: u3 ({reason})." in result.text
    assert result.severity is Severity.WIDENS  # the slope is known by one unit about the panel, not about its refits


def test_a_search_without_a_mode_is_a_missed_gate(monkeypatch):
    monkeypatch.setattr("cbec_bayes.bayes.refit.draw_scales", no_mode)
    result = leave_out(fitted(), "group")
    assert result.severity is Severity.IDLE
    assert result.table["moved"].isna().all()
    assert result.text == (
        "No refit without a group can be used. 0 of 3 refits passed their gates; left out: g0, g1, g2 (the posterior "
        "of the scales has no mode)."
    )


@pytest.mark.parametrize("check", [lambda found: leave_out(found, "group"), between_group_prior])
def test_other_errors_are_not_swallowed(monkeypatch, check):
    def broken(*_, **__):
        raise ValueError("a mistake of ours")

    monkeypatch.setattr("cbec_bayes.bayes.refit.draw_scales", broken)
    with pytest.raises(ValueError, match="a mistake of ours"):
        check(fitted())


# Priors.


def test_refits_under_other_priors_pass():
    result = between_group_prior(fitted())
    assert result.text.endswith(" 8 of 8 refits passed their gates.")
    assert tuple(result.table.columns) == SENSITIVITY_COLUMNS
    assert set(result.table["gate"]) == {"passed"}


def test_a_prior_whose_refit_misses_a_gate_has_a_reason_and_no_numbers(monkeypatch):
    ordinary = between_group_prior(fitted()).table
    missing_gates(monkeypatch, {2}, WIDE)
    result = between_group_prior(fitted())
    label = ordinary["prior"].unique()[2]
    marked = result.table["prior"] == label
    assert result.table[marked]["group"].tolist() == ["g0", "g1", "g2", GROUP_AVERAGE, "(all)", "(new)"]
    assert result.table[marked][NUMBERS].isna().all().all()
    assert set(result.table[marked]["gate"]) == {SAID["khat"]}
    assert result.table[~marked].equals(ordinary[ordinary["prior"] != label])
    assert result.severity is severest([Severity.KNOWING, between_group_prior(fitted()).severity])
    assert result.text.startswith("Under 7 priors")
    assert result.text.endswith(f" 7 of 8 refits passed their gates; left out: {label} ({SAID['khat']}).")
    assert draw(result, "priors") is not None


def test_without_the_models_own_prior_nothing_is_measured(monkeypatch):
    missing_gates(monkeypatch, {0}, DIVERGED)
    result = between_group_prior(fitted())
    assert result.severity is Severity.IDLE
    assert "the model's own prior, and that refit cannot be used" in result.text
    assert SAID["divergences"] in result.text
