"""Regressions with effects of further columns, as state^year or industry: both engines, against dense algebra."""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pyfixest
import pytest
from pyfixest.demeaners import MapDemeaner

from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.likelihood.elimination import make_collapsed, with_unit_terms
from cbec_bayes.bayes.model.blocks import blocks_for, coefficient_names
from cbec_bayes.bayes.model.carried import carried
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.classical.few import few_clusters
from cbec_bayes.classical.fits import NO_FACTORS, crv1, crv1_directly, quiet
from cbec_bayes.classical.regression import twfe
from cbec_bayes.panel import levels as levels_module
from cbec_bayes.panel import make_panel
from cbec_bayes.panel.design import Design, make_design
from cbec_bayes.panel.formula import read_formula
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import InputError
from tests.support.members import MEMBERS, member
from tests.support.twins import compiled, gap

EFFECTS = (
    "firm + state^year",
    "firm + year + industry",
    "firm + industry^year",
    "firm + year + industry + state^year",
    "firm + region^year + industry",
)
SHAPES = ("balanced", "unbalanced")


@functools.cache
def rows(name: str) -> pd.DataFrame:
    """Twenty-four firms of six states in three regions; firms change industry."""
    rng = np.random.default_rng(6)
    firm, year = np.divmod(np.arange(144), 6)
    state, industry = firm % 6, (firm // 3 + year // 2) % 3
    x = rng.normal(size=(144, 2)) + rng.normal(size=(3, 6))[industry, year][:, None]
    y = x @ [0.5, -0.2] + rng.normal(size=(6, 6))[state, year] + industry + rng.normal(size=144) + 0.1 * firm
    found = pd.DataFrame({"firm": [f"f{i:02d}" for i in firm], "year": 2010 + year, "x": x[:, 0], "z": x[:, 1], "y": y})
    found = found.assign(
        state=[f"s{s}" for s in state],
        region=[f"r{s % 3}" for s in state],
        industry=[f"i{k}" for k in industry],
        w=rng.gamma(2.0, size=144),
    )
    return found if name == "balanced" else found.sample(frac=0.85, random_state=1).sort_index()


def design_of(name: str, effects: str, weights: str | None = None) -> Design:
    formula = replace(read_formula(f"y ~ x + z | {effects}", group="region"), weights=weights)
    return make_design(make_panel(rows(name), formula))


def indicators(design: Design, effects: str, name: str) -> Array:
    """Indicators of every effect that the formula has, of the rows of a design, times roots of weights."""
    frame = rows(name).sort_values(["firm", "year"])
    parts = []
    for effect in effects.split(" + "):
        codes = frame[effect.split("^")].astype(str).agg(" ".join, axis=1)
        parts.append(pd.get_dummies(codes).to_numpy(dtype=float))
    return np.column_stack(parts) * design.root[:, None]


def basis_of(columns: Array) -> Array:
    u, s, _ = np.linalg.svd(columns, full_matrices=False)
    return u[:, s > 1e-9 * s[0]]


@pytest.mark.parametrize("weights", [None, "w"])
@pytest.mark.parametrize("effects", EFFECTS)
@pytest.mark.parametrize("name", SHAPES)
def test_what_effects_leave_is_that_of_indicators_written_out(name, effects, weights):
    design = design_of(name, effects, weights)
    basis = basis_of(indicators(design, effects, name))
    columns = design.scaled(np.column_stack([design.y, design.x]))
    left = columns - basis @ (basis.T @ columns)
    np.testing.assert_allclose(design.effects.within(np.column_stack([design.y, design.x])), left, atol=1e-9)
    assert design.effects.rank == basis.shape[1]
    free = design.n_obs - basis.shape[1]
    np.testing.assert_allclose(design.spread.within, np.linalg.norm(left, axis=0) / math.sqrt(free), rtol=1e-8)


@pytest.mark.parametrize("weights", [None, "w"])
@pytest.mark.parametrize("effects", EFFECTS)
@pytest.mark.parametrize("name", SHAPES)
def test_regressions_are_those_of_pyfixest(name, effects, weights):
    design = design_of(name, effects, weights)
    own = {
        "data": rows(name),
        "vcov": {"CRV1": "firm"},
        "fixef_rm": "none",
        **({"weights": weights} if weights else {}),
    }
    exact = MapDemeaner(fixef_tol=1e-13, fixef_maxiter=1_000_000)
    with quiet():
        bare = pyfixest.feols(f"y ~ x + z | {effects}", **own, demeaner=exact, ssc=NO_FACTORS)
    for way in (crv1, crv1_directly):
        slopes, ((_, root),), _ = way(design, (0, 1))
        np.testing.assert_allclose(slopes, bare.coef(), rtol=1e-8)
        np.testing.assert_allclose(root @ root.T, bare._vcov, rtol=1e-7, atol=1e-12)
    found = twfe(design, ssc="fixest")
    assert found.effects.startswith("unit+")
    if effects == "firm + year + industry":  # of sets that span each other pyfixest counts too many effects
        with quiet():
            told = pyfixest.feols(f"y ~ x + z | {effects}", **own, demeaner=exact, ssc=pyfixest.ssc(k_fixef="full"))
        factor = (design.n_obs - 1) / (design.n_obs - 2 - design.effects.rank) * 24 / 23
        np.testing.assert_allclose(told.se() ** 2, np.diag(bare._vcov) * factor, rtol=1e-8)
        np.testing.assert_allclose(twfe(design, ssc="areg").se, told.se(), rtol=1e-8)


@pytest.mark.parametrize("effects", EFFECTS)
@pytest.mark.parametrize("name", SHAPES)
def test_few_clusters_are_those_of_indicators_written_out(name, effects):
    design = design_of(name, effects)
    basis = basis_of(indicators(design, effects, name))
    left = design.x - basis @ (basis.T @ design.x)
    q = np.linalg.qr(np.column_stack([basis, left]))[0]
    residual = design.y - q @ (q.T @ design.y)
    bread, scores = np.linalg.inv(left.T @ left), []
    for unit in range(len(design.units)):
        own = design.unit == unit
        values, vectors = np.linalg.eigh(np.eye(own.sum()) - q[own] @ q[own].T)
        root = np.where(values > 1e-10, 1 / np.sqrt(np.maximum(values, 1e-10)), 0.0)
        scores.append(bread @ left[own].T @ ((vectors * root) @ (vectors.T @ residual[own])))
    found = few_clusters(design, bootstrapped=())
    np.testing.assert_allclose(found.cr2_se, np.linalg.norm(scores, axis=0), rtol=1e-7)


@pytest.mark.parametrize("weights", [None, "w"])
@pytest.mark.parametrize("effects", EFFECTS)
@pytest.mark.parametrize("name", SHAPES)
def test_the_density_is_that_of_indicators_written_out(name, effects, weights):
    """Of errors that are independent or AR(1), with slopes of groups pooled; flat effects integrated over the line."""
    design = design_of(name, effects, weights)
    flat = np.column_stack([indicators(design, effects, name), design.scaled(design.x)])
    for model in (MEMBERS["partial_pooling"], member(group_slope="pooled", correlation="ar1")):
        blocks = blocks_for(design, model)
        engine = make_collapsed(blocks)
        values = {"sigma": np.array([0.8, 1.1]), "tau": np.array([0.3, 0.9]), "rho": np.array([0.4, -0.2])}
        points = engine.point(values)
        value = engine.log_likelihood(points)
        dense = []
        for k in range(2):
            scales = {key: float(one[k]) for key, one in engine.scales(points).items()}
            when = np.asarray(design.times)[design.time]
            rho = scales.get("rho", 0.0)
            same = design.unit[:, None] == design.unit
            v = np.where(same, rho ** np.abs(when[:, None] - when), 0.0) / (1 - rho**2)
            v = v * scales["sigma"] ** 2 if "rho" in scales else np.eye(design.n_obs) * scales["sigma"] ** 2
            own = design.scaled((design.group[:, None] == np.arange(3)) * design.x[:, :1])
            root = np.linalg.cholesky(v + scales["tau"] ** 2 * own @ own.T)
            x, y = np.linalg.solve(root, flat), np.linalg.solve(root, design.scaled(design.y))
            basis = basis_of(x)
            left = y - basis @ (basis.T @ y)
            dense.append(-np.log(np.diag(root)).sum() - left @ left / 2 - _log_volume(x, flat) / 2)
        # What no scale is in is left out: which of the flat columns are kept.
        assert value[0] - value[1] == pytest.approx(dense[0] - dense[1], rel=1e-8)


def _log_volume(whitened: Array, columns: Array) -> float:
    """Log determinant of X'V^-1 X over that of X'X, in an orthonormal basis of the columns."""
    basis = basis_of(columns)
    turn = np.linalg.lstsq(columns, basis)[0]
    return float(np.linalg.slogdet((whitened @ turn).T @ (whitened @ turn))[1])


@pytest.mark.parametrize("effects", EFFECTS)
@pytest.mark.parametrize("name", SHAPES)
def test_limits_are_the_regressions_with_these_effects(name, effects):
    """L1: one slope; L2: each group's own regression, with effects of its own."""
    design = design_of(name, effects)
    for model, parts in (("complete_pooling", [design]), ("no_pooling", [design.of_group(g) for g in design.groups])):
        blocks = blocks_for(design, model)
        engine = make_collapsed(blocks)
        found = engine.conditional(np.full((1, len(engine.names)), math.log(0.7)))
        names = coefficient_names(blocks)
        slopes = ["slope"] if len(parts) == 1 else [f"group_total_slope[{g}]" for g in design.groups]
        for part, slope in zip(parts, slopes, strict=True):
            expected = twfe(part)
            k = names.index(slope)
            assert found.mean[0, k] == pytest.approx(expected.estimate[0], rel=1e-8)
            left = part.effects.within(part.x)
            variance = 0.49 * np.linalg.inv(left.T @ left)[0, 0]
            assert found.root[0, k] @ found.root[0, k] == pytest.approx(variance, rel=1e-8)


@pytest.mark.parametrize("effects", EFFECTS)
def test_the_two_engines_are_one_density(effects):
    blocks = with_unit_terms(blocks_for(design_of("unbalanced", effects), "partial_pooling"))
    own, engine = compiled(blocks), make_collapsed(blocks)
    for seed in range(2):
        assert gap(own, engine, own.random(seed)) == pytest.approx(0, abs=1e-8)


def test_what_the_effects_span_is_left_out_with_a_sentence():
    robust = load_panel_model("robust")
    spanned, beside = (carried(robust, design_of("balanced", f"firm + {e}^year")) for e in ("state", "industry"))
    assert spanned.model.choice("group_time_effect") == "off"
    assert any("has them already, without pooling" in sentence for sentence in spanned.left_out)
    assert beside.model.choice("group_time_effect") == "pooled"


def test_a_fit_has_the_effects_and_their_labels():
    found = fit(design_of("unbalanced", "firm + year + industry"), "partial_pooling", draws=100)
    posterior = found.posterior
    assert list(posterior["absorbed_level_1"].to_numpy()) == ["i0", "i1", "i2"]
    assert "absorbed_effect_1" in posterior


def test_levels_beyond_what_can_be_taken_out_are_refused(monkeypatch):
    monkeypatch.setattr(levels_module, "MOST_LEVELS", 20)
    with pytest.raises(InputError, match=r"state\^year has 36 levels, and at most 20 can be absorbed"):
        design_of("balanced", "firm + state^year")


def test_a_regressor_that_effects_span_is_named():
    frame = rows("balanced").assign(x=lambda d: (d["industry"] == "i1") * 1.0 + (d["state"] == "s1") * d["year"])
    with pytest.raises(InputError, match="'x' is a sum of effects, and does not vary beyond them"):
        make_panel(frame, read_formula("y ~ x + z | firm + state^year + industry"))
