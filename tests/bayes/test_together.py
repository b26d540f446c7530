"""Weights and several exposures at once: both engines are still one density."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.model.terms import is_scale
from tests.support.members import grouped, member, weighted
from tests.support.regressions import random_design
from tests.support.twins import blocks_of, compiled, log_density_of_coefficients, point_of


@pytest.mark.parametrize("shape", ["balanced", "unbalanced"])
@pytest.mark.parametrize(
    "terms",
    [{}, {"correlation": "ar1", "unit_trend": "pooled", "spread": "by_group"}, {"unit_effect": "random"}],
    ids=["alone", "ar1", "random"],
)
def test_the_two_engines_are_one_density(terms, shape):
    design = weighted(grouped(random_design(5, 13, 6, share=1.0 if shape == "balanced" else 0.85), 4))
    design = replace(design, n_exposures=2)
    blocks = blocks_of(member(group_slope="pooled", **terms), design)
    twin, engine = compiled(blocks), make_collapsed(blocks)
    assert {"tau", f"tau_beside[{design.exposures[1]}]"} <= set(engine.names)
    for seed in (1, 2):
        values = twin.random(seed)
        joint = sum(part for name, part in twin(values).items() if not is_scale(name) and name != "rho")
        found = float(engine.log_likelihood(point_of(engine, values))[0])
        assert joint - log_density_of_coefficients(twin, values) == pytest.approx(found, abs=1e-8)
