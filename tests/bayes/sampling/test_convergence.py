"""R-hat and effective sizes of many quantities at once are those that ArviZ has of each."""

from __future__ import annotations

import arviz as az
import numpy as np
import pytest
from arviz_stats.base import array_stats

from cbec_bayes.bayes.sampling import convergence as module
from cbec_bayes.bayes.sampling.convergence import TAIL, convergence, worst
from cbec_bayes.panel.within import Array

AXES = {"chain_axis": 0, "draw_axis": 1}


def _chains(chains: int, draws: int) -> dict[str, Array]:
    """Return chains of many kinds: independent, sticky, alternating, far apart, of few values, with draws repeated."""
    rng = np.random.default_rng(chains * draws)
    noise = rng.standard_normal((chains, draws))
    sticky, alternating = noise.copy(), noise.copy()
    for t in range(1, draws):
        sticky[:, t] += 0.95 * sticky[:, t - 1]
        alternating[:, t] -= 0.8 * alternating[:, t - 1]
    picked = rng.integers(0, draws // 3, noise.shape)
    return {
        "independent": noise,
        "sticky": sticky,
        "alternating": alternating,
        "apart": noise + np.arange(chains)[:, None],
        "spreading": noise * (1 + np.arange(chains))[:, None],
        "skewed": np.exp(2 * noise),
        "few values": np.round(noise),
        "two values": (noise > 1).astype(float),
        "repeated": noise.ravel()[picked],
        "rising": noise + np.linspace(0, 3, draws),
    }


@pytest.mark.parametrize(("chains", "draws"), [(4, 1_000), (4, 250), (2, 101), (3, 7), (2, 4)])
def test_every_kind_of_chain_is_measured_as_arviz_does(chains: int, draws: int) -> None:
    cases = _chains(chains, draws)
    found = convergence(np.stack(list(cases.values())))
    tail = sorted((TAIL, 1 - TAIL))
    for k, (name, own) in enumerate(cases.items()):
        with np.errstate(invalid="ignore", divide="ignore"):
            rhat = float(array_stats.rhat(own, **AXES))
            bulk = float(array_stats.ess(own, method="bulk", **AXES))
            low_high = float(array_stats.ess(own, method="tail", prob=tail, **AXES))
        np.testing.assert_allclose(found.rhat[k], rhat, rtol=1e-10, err_msg=f"R-hat, {name}")
        np.testing.assert_allclose(found.bulk[k], bulk, rtol=1e-8, err_msg=f"bulk, {name}")
        np.testing.assert_allclose(found.tail[k], low_high, rtol=1e-8, err_msg=f"tail, {name}")


def test_the_tail_is_that_of_arviz_by_default() -> None:
    assert az.rcParams["stats.ci_prob"] == TAIL


def test_what_does_not_move_counts_in_full_and_has_no_rhat() -> None:
    found = convergence(np.stack([np.full((4, 50), 3.0), np.random.default_rng(1).standard_normal((4, 50))]))
    assert np.isnan(found.rhat[0])
    assert found.bulk[0] == found.tail[0] == 200
    assert np.isfinite(found.rhat[1])


def test_a_number_that_is_none_is_measured_by_none() -> None:
    draws = np.random.default_rng(2).standard_normal((2, 4, 50))
    draws[0, 1, 3] = np.nan
    found = convergence(draws)
    assert np.isnan([found.rhat[0], found.bulk[0], found.tail[0]]).all()
    assert np.isfinite([found.rhat[1], found.bulk[1], found.tail[1]]).all()


def test_pieces_do_not_change_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = np.stack(list(_chains(4, 100).values()))
    whole = convergence(draws)
    monkeypatch.setattr(module, "_CHUNK", 1_000)
    pieces = convergence(draws)
    for name in ("rhat", "bulk", "tail"):
        np.testing.assert_array_equal(getattr(pieces, name), getattr(whole, name))


@pytest.mark.parametrize("draws", [1, 2, 3])
def test_of_fewer_than_four_draws_nothing_is_told(draws):
    found = convergence(np.random.default_rng(1).normal(size=(2, 2, draws)))
    for measure in (found.rhat, found.bulk, found.tail):
        assert np.isnan(measure).all()
        assert np.isnan(worst(measure, np.max))
