"""The fits along a shrinkage path: their gates, and what becomes of one that misses them."""

from __future__ import annotations

import numpy as np
import pytest

from cbec_bayes.bayes import refit as refits
from cbec_bayes.bayes.fit import draw_scales, fit
from cbec_bayes.estimands.shrinkage import shrinkage_path
from cbec_bayes.reporting import figures
from cbec_bayes.runtime.labels import Origin
from tests.support.gates import DIVERGED, SAID, WIDE, missing_gates
from tests.support.members import panel

TAU = np.array([0.01, 0.1, 1.0])


@pytest.fixture(scope="module")
def found():
    return fit(panel("balanced"), "partial_pooling", draws=50)


def test_every_fit_of_an_ordinary_path_passes(found):
    path = shrinkage_path(found, TAU, draws=50)
    assert path.missed == {}
    assert path.gates == "3 of 3 fits along the path passed their gates."
    assert set(path.frame(Origin.SIMULATED)["gate"]) == {"passed"}


@pytest.mark.parametrize(("changed", "reason"), [(WIDE, SAID["khat"]), (DIVERGED, SAID["divergences"])])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_fit_that_misses_a_gate_has_no_numbers_and_the_reason(found, monkeypatch, changed, reason, at):
    whole = shrinkage_path(found, TAU, draws=50)
    missing_gates(monkeypatch, {at}, changed)
    path = shrinkage_path(found, TAU, draws=50)
    assert path.missed == {at: reason}
    assert "2 of 3 fits along the path passed their gates" in path.gates
    assert f"\N{GREEK SMALL LETTER TAU} = {TAU[at]:g} ({reason})" in path.gates
    others = np.arange(3) != at
    for name in ("means", "sds", "low", "high", "common"):
        values = getattr(path, name)
        assert np.isnan(values[at]).all()
        np.testing.assert_array_equal(values[others], getattr(whole, name)[others])
    frame = path.frame(Origin.SIMULATED)
    assert (frame.loc[frame["mean"].isna(), "gate"] == reason).all()
    assert (frame.loc[frame["mean"].notna(), "gate"] == "passed").all()
    drawn = figures.path(
        labels=path.labels, tau=TAU, means=path.means, density=np.ones(3), complete=path.complete, xlabel="τ"
    )
    assert "nan" not in drawn.svg().lower().replace("nance", "")


def test_draws_of_one_value_are_weighted_for_the_next(found, monkeypatch):
    """Slopes along the path are those of fits by themselves, up to what the other scales are not known by."""
    grid = np.geomspace(0.02, 2.0, 12)
    path = shrinkage_path(found, grid)
    apart = [shrinkage_path(found, grid[m : m + 1]) for m in range(len(grid))]
    for m, one in enumerate(apart):
        np.testing.assert_allclose(path.means[m], one.means[0], atol=0.05 * one.sds[0].min())
        np.testing.assert_allclose(path.sds[m], one.sds[0], rtol=0.1)
    counted = []
    monkeypatch.setattr(refits, "draw_scales", lambda *a, **k: counted.append(1) or draw_scales(*a, **k))
    shrinkage_path(found, grid)
    assert len(counted) < len(grid) / 2


def test_a_path_without_a_fit_that_passes_is_not_drawn(found, monkeypatch):
    missing_gates(monkeypatch, range(3), WIDE)
    path = shrinkage_path(found, TAU, draws=50)
    assert path.is_empty
    assert np.isnan(path.complete)
    assert "0 of 3 fits along the path passed their gates" in path.gates
