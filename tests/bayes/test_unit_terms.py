"""What units have of their own, in members of the family: any number of units, and limits that are other members."""

from __future__ import annotations

import numpy as np
import pytest

from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.likelihood.unit_errors import UnitErrors
from cbec_bayes.bayes.model import blocks as blocks_module
from cbec_bayes.bayes.model.blocks import make_blocks
from cbec_bayes.bayes.model.family import load_panel_model
from tests.support.members import panel


def points_of(engine, seed: int = 3, size: int = 4):
    return 0.5 * np.random.default_rng(seed).standard_normal((size, len(engine.names))) - 0.3


@pytest.mark.parametrize("name", ["balanced", "unbalanced", "grunfeld_unbalanced"])
def test_under_ar1_effects_of_many_units_are_integrated_out_unit_by_unit(name, monkeypatch):
    """Density, gradient and coefficients are those with an effect for each unit among the coefficients."""
    model, design = load_panel_model("ar1"), panel(name)
    few = make_collapsed(make_blocks(design, model))
    monkeypatch.setattr(blocks_module, "COEFFICIENTS_MAX", len(design.units) - 1)
    many = make_collapsed(make_blocks(design, model))
    assert (few.has_unit_effects, many.has_unit_effects) == (True, False)
    assert isinstance(many.errors, UnitErrors)
    assert many.names == few.names
    points = points_of(few)
    np.testing.assert_allclose(many.log_likelihood(points), few.log_likelihood(points), rtol=1e-10)
    for point in points:
        np.testing.assert_allclose(many.gradient(point)[1], few.gradient(point)[1], rtol=1e-8, atol=1e-8)
    found, expected, p = many.conditional(points), few.conditional(points), many.n_coefficients
    flat = make_blocks(design, model).n_flat
    at = np.r_[:flat, few.n_coefficients - (p - flat) : few.n_coefficients]
    sd = np.sqrt((expected.root[:, at] ** 2).sum(axis=2))
    np.testing.assert_allclose(found.mean / sd, expected.mean[:, at] / sd, atol=1e-8)
    np.testing.assert_allclose(np.sqrt((found.root**2).sum(axis=2)), sd, rtol=1e-8)
