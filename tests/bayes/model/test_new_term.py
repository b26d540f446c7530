"""What ARCHITECTURE.md promises: a term of the model takes one class and one entry, here bends in paths of units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.bayes.before_data import before_data
from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.model.block import Block, make_block
from cbec_bayes.bayes.model.blocks import blocks_of_moments, coefficient_names, make_blocks
from cbec_bayes.bayes.model.family import PanelModel, load_panel_model, read_panel_model
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.model.terms import TERMS, parameters
from cbec_bayes.bayes.model.terms.term import Choices, Parameter, Term
from cbec_bayes.bayes.moments.gathering import Gathering
from cbec_bayes.bayes.predictive import predictive_outcomes
from cbec_bayes.calibration.simulate import from_prior
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.spread import Spread
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.files import asset_dir
from tests.support.members import dense, panel
from tests.support.twins import blocks_of, compiled, factorisation_gap, gap, small_panel

KEY = "unit_bend"
ZETA = '[priors.zeta]\ndist = "half_normal"\nscale = 0.2\n'


class UnitBend(Term):
    """q_i (t - mean of t)^2 with q_i ~ N(0, zeta^2)."""

    key = KEY
    label = "bends of units"
    variables = (KEY,)
    parameter = Parameter("zeta", "outcome")
    choices = ("off", "pooled")
    default = "off"

    def blocks(self, design: Design, choices: Choices) -> tuple[Block, ...]:
        if choices[KEY] == "off":
            return ()
        axes = {"unit": design.units}
        return (make_block(KEY, squared(design)[:, None], axes=axes, code=design.unit, scale="zeta"),)

    def mean(self, block: Block, effect: Any, data: Mapping[str, Any], design: Design) -> Any:
        return effect[data["unit_code"]] * data["squared"]

    def data(self, block: Block) -> dict[str, Any]:
        return {"squared": (block.regressors[:, 0], ("obs",))}

    def needs_rows(self, choice: str) -> bool:
        return choice != "off"

    def by_unit(self, choice: str) -> bool:
        return choice != "off"


def squared(design: Design) -> Array:
    return design.elapsed**2


@pytest.fixture(autouse=True)
def entry(monkeypatch):
    monkeypatch.setitem(TERMS, KEY, UnitBend())


ZETA_PRIOR = Prior("half_normal", {"scale": 0.2})


def with_bends(name: str, zeta: Prior = ZETA_PRIOR) -> PanelModel:
    base = load_panel_model(name)
    return replace(base.choosing(unit_bend="pooled"), priors=base.priors | {"zeta": zeta})


def test_a_model_file_with_the_new_term_loads(tmp_path, monkeypatch):
    text = (asset_dir("models") / "partial_pooling.toml").read_text()
    path = tmp_path / "bends.toml"
    path.write_text(f'{KEY} = "pooled"\n{text}\n{ZETA}')
    model = read_panel_model(path)
    assert model.scales == ("sigma", "tau", "zeta")
    assert model.choice(KEY) == "pooled"
    assert model == replace(with_bends("partial_pooling"), name="bends")
    assert model.has_unit_coefficients
    assert tuple(model.without_groups().priors) == ("slope", "control_slope", "sigma", "zeta")
    assert load_panel_model("partial_pooling").choice(KEY) == "off"
    assert not load_panel_model("partial_pooling").has_unit_coefficients
    assert tuple(parameters()) == (
        *("slope", "control_slope", "covariate_slope", "exposure_slope", "sigma", "tau", "phi"),
        *("sigma_omega", "kappa", "xi", "zeta", "sigma_mu", "sigma_lambda", "tau_beside"),
    )
    path.write_text(f'{KEY} = "polled"\n{text}\n{ZETA}')
    with pytest.raises(InputError, match="unit_bend: unknown choice 'polled'; did you mean 'pooled'"):
        read_panel_model(path)
    monkeypatch.delitem(TERMS, KEY)
    with pytest.raises(InputError, match="unit_bend: unknown key"):
        read_panel_model(path)


@pytest.mark.parametrize("rows", ["balanced", "unbalanced"])
@pytest.mark.parametrize("name", ["partial_pooling", "correlated_effects", "nested"])
def test_columns_and_collapsed_density_of_the_new_term(name, rows):
    design = panel(rows)
    model, base = with_bends(name), load_panel_model(name)
    blocks = make_blocks(design, model)
    written = dense(design, base)
    bends = squared(design)[:, None] * (design.unit[:, None] == np.arange(len(design.units)))
    at = [k for k, one in enumerate(coefficient_names(blocks)) if one.startswith(f"{KEY}[")]
    np.testing.assert_array_equal(blocks.x[:, at], bends)
    assert bool(blocks.eliminated) is (name == "nested")
    written = replace(
        written,
        z=np.column_stack([written.z, bends]),
        normal=(*written.normal, *(f"{KEY}[{unit}]" for unit in design.units)),
        scales=(*written.scales, *["zeta"] * len(design.units)),
        means=np.r_[written.means, np.zeros(len(design.units))],
    )
    engine = make_collapsed(blocks)
    points = np.log([[0.7, 1.3, 0.4, 0.9, 0.6][: len(engine.names)], [1.4, 0.2, 0.1, 0.5, 2.0][: len(engine.names)]])
    for point in points:
        scales = {one: float(value[0]) for one, value in engine.scales(point[None]).items()}
        found = float(engine.log_likelihood(point[None])[0])
        assert found == pytest.approx(written.log_likelihood(scales), rel=1e-9)


@pytest.mark.parametrize(("name", "rows"), [("partial_pooling", "balanced"), ("correlated_effects", "unbalanced")])
def test_the_two_engines_are_one_density_with_the_new_term(name, rows):
    blocks = blocks_of(with_bends(name), small_panel(rows))
    collapsed = make_collapsed(blocks)
    plain, conditioned = compiled(blocks), compiled(blocks, conditioned=True)
    for seed in range(3):
        assert gap(plain, collapsed, plain.random(seed)) == pytest.approx(0, abs=1e-8)
        assert factorisation_gap(conditioned, collapsed, conditioned.random(seed)) == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("name", ["partial_pooling", "correlated_effects", "nested"])
def test_without_variation_the_new_term_leaves_the_evidence_as_it_is(name):
    """At every point of the other scales, so that the integral over them is the same."""
    design = panel("unbalanced")
    without = make_collapsed(make_blocks(design, load_panel_model(name)))
    unit = float(design.spread.within[0])
    found = make_collapsed(make_blocks(design, with_bends(name, Prior("fixed", {"value": 1e-8 / unit}))))
    assert found.names == without.names
    points = np.random.default_rng(1).normal(-0.5, 0.7, (5, len(found.names)))
    np.testing.assert_allclose(found.log_posterior(points), without.log_posterior(points), rtol=1e-8)
    large = make_collapsed(make_blocks(design, with_bends(name, Prior("fixed", {"value": 0.3}))))
    assert (np.abs(large.log_posterior(points) - without.log_posterior(points)) > 0.1).all()


def test_the_new_term_is_simulated():
    design = replace(panel("balanced"), held_spread=Spread.of_ones(1 + len(panel("balanced").terms)))
    held = {"sigma": Prior("fixed", {"value": 1e-9}), "tau": Prior("fixed", {"value": 0.5})}
    model = with_bends("partial_pooling", Prior("fixed", {"value": 2.0}))
    model = replace(model, priors=model.priors | held)
    drawn = [from_prior(make_blocks(design, model), np.random.default_rng(seed)) for seed in range(40)]
    for one in drawn:
        mean = one.truth["group_slope"][design.group] * design.x[:, 0] + one.truth[KEY][design.unit] * squared(design)
        np.testing.assert_allclose(one.y, mean, atol=1e-7)
    assert np.std([one.truth[KEY] for one in drawn]) == pytest.approx(2.0, rel=0.15)


def test_a_fit_and_what_it_predicts_have_the_new_term():
    found = fit(panel("balanced"), with_bends("partial_pooling"), draws=100)
    posterior = found.tree["posterior"]
    assert {KEY, "zeta"} <= set(posterior.data_vars)
    assert posterior[KEY].dims == ("chain", "draw", "unit")
    before = before_data(found, 400, 1).tree["posterior"]
    spread = (before[KEY] / before["zeta"]).to_numpy().std()
    assert spread == pytest.approx(1, rel=0.1)
    same, new = (predictive_outcomes(found, new_units=new, draws=100) for new in (False, True))
    assert same.shape == new.shape == (100, found.design.n_obs)
    assert new.var(axis=0).mean() > same.var(axis=0).mean()


def test_moments_are_not_enough_for_the_new_term():
    design = panel("balanced")
    gathering = Gathering(design.outcome, design.terms, grouped=True)
    units, groups = (
        pd.Index(np.array(labels)[codes])
        for labels, codes in ((design.units, design.unit), (design.groups, design.group))
    )
    gathering.add(units, np.array(design.times)[design.time], np.column_stack([design.y, design.x]), groups)
    with pytest.raises(InputError, match="needs rows for its bends of units"):
        blocks_of_moments(gathering.close(), with_bends("partial_pooling"))
