"""The coverage study of event studies: its panels, its intervals, and what its gate finds out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.calibration.event_coverage import (
    EVENT_COVERAGE_COLUMNS,
    HIERARCHICAL,
    QUANTITIES,
    SANDWICH,
    SCENARIOS,
    EventPanel,
    event_coverage,
    intervals_of_events,
    misses,
    require_coverage,
    simulate_events,
)
from cbec_bayes.runtime.errors import GateError
from cbec_bayes.runtime.fanout import SERIAL
from cbec_bayes.runtime.journal import Journal

SMALL = replace(SCENARIOS[0], n_units=24)


def test_a_panel_is_told_by_its_seed_and_has_no_effect_before_adoption():
    design, effect = simulate_events(SCENARIOS[0], 7)
    again, _ = simulate_events(SCENARIOS[0], 7)
    other, _ = simulate_events(SCENARIOS[0], 8)
    assert (design.y == again.y).all()
    assert (design.y != other.y).any()
    assert (effect[design.x[:, 0] == 0] == 0).all()
    assert np.ptp(effect[design.x[:, 0] > 0]) > 0.5


def test_errors_have_the_correlation_of_the_scenario():
    design, effect = simulate_events(replace(SCENARIOS[2], n_units=4_000), 1)
    errors = (design.y - effect).reshape(4_000, 9)
    errors = errors - errors.mean(axis=0)
    gaps = [float(((errors[:, g:] - errors[:, : 9 - g]) ** 2).mean()) for g in (1, 2)]
    # Differences over g periods have the variance 2 (1 - rho^g).
    assert gaps == pytest.approx([2 * (1 - 0.6), 2 * (1 - 0.36)], rel=0.05)


def test_a_panel_has_the_intervals_of_every_estimator():
    rows = intervals_of_events(EventPanel(SMALL, 3))
    assert {row[0] for row in rows} == {"twfe", "sun_abraham", "gardner", "saturated", HIERARCHICAL, SANDWICH}
    assert {row[1] for row in rows} == set(QUANTITIES)
    for estimator, quantity, low, high, miss in rows:
        assert (estimator, quantity) != ("saturated", QUANTITIES[3])  # it has no leads
        assert low < miss < high


def test_a_posterior_that_misses_a_gate_is_counted(monkeypatch):
    def fail(*args, **options):
        raise GateError("no mode")

    monkeypatch.setattr("cbec_bayes.calibration.event_coverage.fit_events", fail)
    found = event_coverage(SERIAL, 2, scenarios=[SMALL])
    own = found[found["method"].isin([HIERARCHICAL, SANDWICH])]
    assert set(own["failed"]) == {2}
    assert set(own["replications"]) == {0}
    assert own["coverage"].isna().all()
    assert "no panel could be fitted: hierarchical, the effect mean after adoption (growing effects)" in misses(found)
    assert set(found.loc[~found.index.isin(own.index), "failed"]) == {0}


def test_numbers_of_a_row_are_those_of_its_intervals():
    asked = {"scenarios": [SMALL], "seed": 5}
    found = event_coverage(SERIAL, 3, **asked)
    assert tuple(found.columns) == EVENT_COVERAGE_COLUMNS
    rows = [row for k in range(3) for row in intervals_of_events(EventPanel(SMALL, 5 + k))]
    for row in found.to_dict("records"):
        own = np.array([one[2:] for one in rows if one[:2] == (row["method"], row["column"])])
        assert len(own) == row["replications"] == 3
        assert row["coverage"] == np.mean((own[:, 0] <= 0) & (own[:, 1] >= 0))
        assert row["bias"] == pytest.approx(own[:, 2].mean(), abs=1e-12)
        assert row["rmse"] == pytest.approx(np.sqrt((own[:, 2] ** 2).mean()), abs=1e-12)
        assert row["width_median"] == pytest.approx(np.median(own[:, 1] - own[:, 0]), abs=1e-12)


def test_an_interrupted_run_goes_on_with_the_same_numbers(tmp_path, monkeypatch):
    asked = {"scenarios": [SMALL], "seed": 5}
    whole = event_coverage(SERIAL, 3, **asked)
    done = []

    def until_the_third(piece):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(piece)
        return intervals_of_events(piece)

    monkeypatch.setattr("cbec_bayes.calibration.event_coverage.intervals_of_events", until_the_third)
    with pytest.raises(KeyboardInterrupt):
        event_coverage(SERIAL, 3, journal=Journal(tmp_path / "kept.jsonl", "this"), **asked)
    again = []
    monkeypatch.setattr(
        "cbec_bayes.calibration.event_coverage.intervals_of_events",
        lambda piece: again.append(piece) or intervals_of_events(piece),
    )
    found = event_coverage(SERIAL, 3, journal=Journal(tmp_path / "kept.jsonl", "this"), **asked)
    assert [piece.seed for piece in again] == [7]
    pd.testing.assert_frame_equal(found, whole)


@pytest.mark.nightly
def test_intervals_cover_and_the_two_way_coefficient_is_found_out():
    found = event_coverage(SERIAL, 40, scenarios=SCENARIOS[:1])
    assert tuple(found.columns) == EVENT_COVERAGE_COLUMNS
    require_coverage(found)


def table(coverage: dict[tuple[str, str], float], scenario: str = "growing effects") -> pd.DataFrame:
    rows = [(scenario, *key, 100, value) for key, value in coverage.items()]
    return pd.DataFrame(rows, columns=["scenario", "method", "column", "replications", "coverage"])


def test_the_gate_finds_out_who_does_not_cover():
    good = {("sun_abraham", QUANTITIES[0]): 0.93, (HIERARCHICAL, QUANTITIES[0]): 0.95, ("twfe", QUANTITIES[0]): 0.2}
    require_coverage(table(good))
    with pytest.raises(GateError, match="sun_abraham covers the effect mean after adoption in 70%"):
        require_coverage(table(good | {("sun_abraham", QUANTITIES[0]): 0.7}))
    with pytest.raises(GateError, match="hierarchical covers"):
        require_coverage(table(good | {(HIERARCHICAL, QUANTITIES[0]): 0.7}))
    with pytest.raises(GateError, match="not found out"):
        require_coverage(table(good | {("twfe", QUANTITIES[0]): 0.95}))
    require_coverage(table(good | {("twfe", QUANTITIES[0]): 0.95}).assign(replications=10))
    wrong = good | {(HIERARCHICAL, QUANTITIES[0]): 0.7, (SANDWICH, QUANTITIES[0]): 0.94}
    require_coverage(table(wrong, "wrong errors"))
    with pytest.raises(GateError, match="sd_ij covers"):
        require_coverage(table(wrong | {(SANDWICH, QUANTITIES[0]): 0.7}, "wrong errors"))
