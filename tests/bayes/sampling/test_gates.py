"""The gates: what good draws are let through by, and what closes each of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cbec_bayes.bayes.sampling.gates import (
    RHAT_MAX,
    RefitDiagnostics,
    chain_diagnostics,
    rhat_limit,
    sentence,
)
from cbec_bayes.runtime.errors import GateError

WEIGHTED = RefitDiagnostics(draws=500, khat=0.3, ess=800.0)
SETTLED = {"divergences": 0, "ebfmi": 1.0}


def chain(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def test_importance_draws_pass_by_their_weights_alone():
    assert WEIGHTED.failures == ()
    assert replace(WEIGHTED, khat=-np.inf, ess=500.0).failures == ()
    WEIGHTED.require()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"khat": 1.2}, "Pareto k 1.20 is above 0.7"),
        ({"khat": float("nan")}, "Pareto k nan is above 0.7"),
        ({"ess": 499.0}, "the effective size 499 of the importance weights is below the 500 draws asked for"),
    ],
)
def test_each_gate_of_importance_draws_closes(changed, said):
    bad = replace(WEIGHTED, **changed)
    assert bad.failures == (said,)
    with pytest.raises(GateError, match=said):
        bad.require()


def test_a_chain_of_independent_draws_passes_however_short():
    """About one chain in a thousand may miss its limit, by its definition."""
    for draws, k in ((99, 3), (400, 2), (2_000, 1)):
        missed = sum(bool(chain_diagnostics(chain(1, draws, k, seed=seed), **SETTLED).failures) for seed in range(200))
        assert missed <= 2, (draws, k)


def test_the_limit_of_rhat_is_that_of_long_chains_where_they_are_long():
    assert rhat_limit(4_000, 2) == RHAT_MAX
    assert rhat_limit(400, 2) > rhat_limit(1_000, 2) > RHAT_MAX
    assert rhat_limit(400, 9) > rhat_limit(400, 1)


@pytest.mark.parametrize("draws", [99, 1_000])
def test_a_chain_whose_halves_differ_fails(draws):
    drifting = chain(1, draws, 2)
    drifting[0, draws // 2 :, 1] += 1.5
    (said,) = chain_diagnostics(drifting, **SETTLED).failures
    assert said.startswith("R-hat 1.")
    stuck = np.zeros((1, draws, 1))
    assert chain_diagnostics(stuck, **SETTLED).failures == (f"R-hat nan is not below {rhat_limit(draws, 1):.4g}",)


def test_several_chains_are_held_against_each_other():
    assert chain_diagnostics(chain(4, 500, 2), **SETTLED).failures == ()
    apart = chain(4, 500, 2) + 0.5 * np.arange(4)[:, None, None]
    first, second = chain_diagnostics(apart, **SETTLED).failures
    assert first.startswith("bulk ESS")
    assert second.startswith("R-hat")
    (short,) = chain_diagnostics(chain(2, 150, 1, seed=3), **SETTLED).failures[:1]
    assert short.endswith("is not above 400")


def test_divergences_and_energy_close_their_gates():
    found = chain_diagnostics(chain(1, 1_000, 2), divergences=3, ebfmi=0.2)
    assert found.failures == ("3 divergent transitions", "E-BFMI 0.20 is not above 0.3")
    assert chain_diagnostics(chain(1, 1_000, 2), divergences=0, ebfmi=float("nan")).failures != ()


def test_the_sentence_counts_and_names():
    assert sentence(31, {}) == "31 of 31 refits passed their gates."
    two = {"a": "Pareto k 1.20 is above 0.7", "b": "3 divergent transitions"}
    assert sentence(31, two) == (
        "29 of 31 refits passed their gates; left out: a (Pareto k 1.20 is above 0.7); b (3 divergent transitions)."
    )
    many = {f"u{i}": "x" for i in range(6)}
    assert sentence(6, many, "fits", tabled=True) == (
        "0 of 6 fits passed their gates; left out: u0, u1, u2, u3 and 2 more (x)."
    )
    assert sentence(6, many, "fits") == "0 of 6 fits passed their gates; left out: u0, u1, u2, u3, u4, u5 (x)."


def test_the_sentence_about_one_fit():
    assert sentence(1, {}) == "The one refit passed its gates."
    assert sentence(1, {}, "fits along the path") == "The one fit along the path passed its gates."
    assert sentence(1, {"a": "x"}, "fits along the path") == (
        "The one fit along the path did not pass its gates; left out: a (x)."
    )


def test_reasons_are_said_gate_by_gate():
    """Many fits that miss a gate by different numbers are one reason, which has the range of the numbers."""
    missed = {f"u{i}": RefitDiagnostics(draws=99, rhat=1.03 + i / 1e3, rhat_max=1.021).failures[0] for i in range(36)}
    assert sentence(40, missed, tabled=True) == (
        "4 of 40 refits passed their gates; left out: u0, u1, u2, u3 and 32 more "
        "(R-hat 1.030 to 1.065 is not below 1.021)."
    )
    said = [
        "; ".join(RefitDiagnostics(draws=4_000, khat=k, ess=n, divergences=d).failures)
        for k, n, d in ((1.2, 7.0, 2), (0.8, 900.0, 13), (float("nan"), 4_000.0, 0))
    ]
    assert sentence(3, dict(zip("abc", said, strict=True))) == (
        "0 of 3 refits passed their gates; left out: a, b (2 to 13 divergent transitions; Pareto k 0.80 to 1.20 is "
        "above 0.7; the effective size 7 to 900 of the importance weights is below the 4000 draws asked for); c "
        "(Pareto k nan is above 0.7)."
    )
    others = {"a": "the slope d[g1] is not identified", "b": "the slope d[g2] is not identified"}
    assert sentence(2, others).endswith("a (the slope d[g1] is not identified); b (the slope d[g2] is not identified).")
