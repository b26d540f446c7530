"""What ARCHITECTURE.md promises: a likelihood, a check, a table take one function or file, and one entry."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cbec_bayes.bayes.model.blocks import blocks_for
from cbec_bayes.bayes.model.family import load_panel_model, read_panel_model
from cbec_bayes.bayes.model.likelihoods import SAMPLED
from cbec_bayes.bayes.posterior import linear_predictor
from cbec_bayes.bayes.predictive import residuals
from cbec_bayes.bayes.pymc.twin import build_pymc
from cbec_bayes.checks import CheckResult, Severity, suite
from cbec_bayes.reporting.checkfigures import check_files
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.files import asset_dir
from tests.support.members import panel


@dataclass(frozen=True, slots=True)
class Laplace:
    """Residuals with the double exponential density."""

    name: ClassVar[str] = "laplace"
    parameters: ClassVar[tuple[str, ...]] = ()

    def add_parameters(self):
        return {}

    def observe(self, name, mean, sigma, parameters, **observed):
        import pymc as pm

        return pm.Laplace(name, mean, sigma, **observed)

    def draw_parameters(self, rng, size):
        return {}

    def residuals(self, parameters, shape, rng):
        return rng.laplace(size=shape)

    def log_density(self, y, mean, sigma, parameters):
        return stats.laplace.logpdf(y, mean, sigma)

    def information(self, parameters):
        return 1.0

    def weights(self, squares):
        return 1 / np.sqrt(np.maximum(squares, 1e-3))


def test_a_likelihood_is_a_file_and_an_entry(tmp_path, monkeypatch):
    text = (asset_dir("models") / "student_t.toml").read_text()
    (tmp_path / "laplace.toml").write_text(text.replace('"student_t"', '"laplace"'))
    with pytest.raises(InputError, match="unknown choice 'laplace'"):
        read_panel_model(tmp_path / "laplace.toml")
    monkeypatch.setitem(SAMPLED, "laplace", Laplace())
    model = read_panel_model(tmp_path / "laplace.toml")
    assert not model.is_gaussian
    design = panel("balanced")
    built = build_pymc(design, model)
    point = {name: np.full(np.shape(value), 0.3) for name, value in built.initial_point().items()}
    found = built.compile_logp(built.observed_RVs)(point)
    # Every coefficient is 0.3, but for those that are zero by convention, and log sigma too.
    blocks = blocks_for(design, model)
    effects = {"unit_effect": np.full((1, len(design.units)), 0.3)}
    for block in blocks.every:
        effects[block.name] = 0.3 * np.isin(np.arange(block.size), block.kept).reshape(1, *block.shape)
    mean = linear_predictor(blocks, effects)[0]
    assert float(found) == pytest.approx(stats.laplace.logpdf(design.y, mean, np.exp(0.3)).sum(), rel=1e-10)
    drawn = residuals(model, design, {"sigma": np.full(500, 2.0)}, np.random.default_rng(1))
    assert drawn.std() == pytest.approx(2 * np.sqrt(2), rel=0.02)


def test_a_check_is_a_function_and_an_entry(monkeypatch):
    def exposure_varies(tried: suite.CheckContext) -> CheckResult:
        spread = float(tried.fit.design.x[:, 0].std())
        table = pd.DataFrame({"spread": [spread], "origin": [str(tried.fit.design.origin)]})
        severity = Severity.FINE if spread > 0 else Severity.CHANGES
        return CheckResult("exposure_varies", severity, table, None, f"The exposure has a spread of {spread:.2f}.")

    entry = suite.Check(name="exposure_varies", title="Does the exposure vary?", run=exposure_varies)
    monkeypatch.setattr(suite, "CHECKS", [entry])
    found = suite.check(_small_fit())
    assert [result.name for result in found.results] == ["exposure_varies"]
    assert found["exposure_varies"].passed
    assert suite.title_of("exposure_varies") == "Does the exposure vary?"
    assert check_files(found.results, "x0") == {}


def _small_fit():
    from cbec_bayes.bayes.fit import fit

    return fit(panel("balanced"), "partial_pooling", draws=50)


def test_a_member_is_a_file(tmp_path):
    base = load_panel_model("partial_pooling")
    text = (asset_dir("models") / "partial_pooling.toml").read_text()
    (tmp_path / "mine.toml").write_text(text.replace('time_effect = "fixed"', 'time_effect = "fixed"  # as it was'))
    mine = read_panel_model(tmp_path / "mine.toml")
    assert replace(mine, name=base.name) == base
