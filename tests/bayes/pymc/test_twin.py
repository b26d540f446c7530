"""The PyMC twin is the density of MODEL.md, whatever it is sampled in: at points to 1e-8, without sampling."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pymc as pm
import pytest
import xarray as xr
from scipy import stats

from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.likelihood.row_densities import row_densities
from cbec_bayes.bayes.model.blocks import coefficient_names, make_blocks
from cbec_bayes.bayes.model.densities import log_density, resolve
from cbec_bayes.bayes.model.family import PanelModel, load_panel_model, panel_model_names
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.model.terms import is_scale, unit_effects
from cbec_bayes.bayes.model.terms.group_slope import GroupSlope
from cbec_bayes.bayes.moments.lags import CORRELATIONS
from cbec_bayes.bayes.observations import GIVEN_EFFECTS, GIVEN_OTHERS, points_of
from cbec_bayes.bayes.pymc import twin
from cbec_bayes.bayes.pymc.twin import OUTCOME, build_pymc, fit_twin, pymc_of
from cbec_bayes.bayes.sampling.nuts import sample
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import GateError, InputError
from cbec_bayes.runtime.progress import Progress
from tests.support.members import member
from tests.support.roundtrip import assert_survives
from tests.support.twins import (
    Twin,
    blocks_of,
    coefficients,
    compiled,
    factorisation_gap,
    gap,
    log_density_of_coefficients,
    mvn,
    point_of,
    small_panel,
)

TOLERANCE = 1e-8
GAUSSIAN = tuple(
    name
    for name in panel_model_names()
    if (load_panel_model(name).choice("residual"), load_panel_model(name).choice("correlation")) == ("normal", "off")
)
OTHERS = tuple(name for name in panel_model_names() if name not in GAUSSIAN)
PANELS = ("balanced", "unbalanced")


VARIED = {
    "slope": Prior("normal", {"mean": 0.4, "sd": 0.3}),
    "control_slope": Prior("normal", {"mean": -0.1, "sd": 0.2}),
    "sigma": Prior("half_t", {"df": 4.0, "scale": 0.7}),
    "tau": Prior("half_cauchy", {"scale": 0.4}),
    "phi": Prior("exponential", {"mean": 0.3}),
    "sigma_omega": Prior("uniform", {"upper": 40.0}),
    "kappa": Prior("half_normal", {"scale": 0.2}),
    "sigma_mu": Prior("half_t", {"df": 2.5, "scale": 1.0}),
    "sigma_lambda": Prior("uniform", {"upper": 50.0}),
}
"""A prior of every family; where slopes are normal, no column is flat but the effects."""

HELD = {
    "sigma": Prior("fixed", {"value": 0.6}),
    "tau": Prior("fixed", {"value": 0.2}),
    "sigma_mu": Prior("fixed", {"value": 1.1}),
}


def with_priors(name: str, priors: Mapping[str, Prior]) -> PanelModel:
    model = load_panel_model(name)
    return replace(model, priors={key: priors.get(key, prior) for key, prior in model.priors.items()})


CASES = {
    **{f"{name}, {rows}": (load_panel_model(name), rows) for name in GAUSSIAN for rows in PANELS},
    **{
        f"{name}, other priors": (with_priors(name, VARIED), "unbalanced")
        for name in ("partial_pooling_all", "no_pooling", "correlated_effects", "nested")
    },
    **{f"{name}, held": (with_priors(name, HELD), "unbalanced") for name in ("correlated_effects", "group_variance")},
}


@pytest.mark.parametrize("case", CASES)
def test_the_two_engines_are_one_density(case):
    model, rows = CASES[case]
    blocks = blocks_of(model, small_panel(rows))
    collapsed = make_collapsed(blocks)
    plain, conditioned = compiled(blocks), compiled(blocks, conditioned=True)
    for seed in range(3):
        values = plain.random(seed)
        assert gap(plain, collapsed, values) == pytest.approx(0, abs=TOLERANCE)
        assert factorisation_gap(conditioned, collapsed, conditioned.random(seed)) == pytest.approx(0, abs=TOLERANCE)
        priors = resolve(model, blocks.design)
        for name, part in plain(values).items():
            if is_scale(name):
                written = log_density(priors[name], np.asarray(values[name]))[0].sum()
                assert part == pytest.approx(float(written), abs=TOLERANCE)


OF_UNITS = {
    "flat levels": {},
    "levels": {"unit_effect": "random"},
    "slopes and trends": {"unit_slope": "pooled", "unit_trend": "pooled"},
    "flat trends": {"unit_trend": "fixed"},
    "all with a scale": {"unit_effect": "random", "unit_slope": "pooled", "unit_trend": "pooled"},
}
"""What units have of their own beside correlated errors."""


CORRELATED = list(itertools.product(OF_UNITS, [name for name in CORRELATIONS if name != "off"], ["common", "by_group"]))


@pytest.mark.parametrize(
    ("terms", "correlation", "spread", "rows"),
    [(*one, PANELS[(k + k // 2 + k // 4) % 2]) for k, one in enumerate(CORRELATED)],
)
def test_the_two_engines_are_one_density_under_correlated_errors(terms, correlation, spread, rows):
    """With what units have of their own among the coefficients, and with it integrated out before."""
    model = member(correlation=correlation, spread=spread, group_slope="pooled", **OF_UNITS[terms])
    blocks = blocks_of(model, small_panel(rows))
    collapsed = make_collapsed(make_blocks(blocks.design, model))
    plain, conditioned = compiled(blocks), compiled(blocks, conditioned=True)
    for seed in range(3):
        values = plain.random(seed)
        joint = sum(part for name, part in plain(values).items() if not is_scale(name) and name != "rho")
        found = float(collapsed.log_likelihood(point_of(collapsed, values))[0])
        assert joint - log_density_of_coefficients(plain, values) == pytest.approx(found, abs=TOLERANCE)
        values = conditioned.random(seed)
        noise = stats.norm.logpdf(np.r_[values["location_z"], values["unit_effect_z"]]).sum()
        joint = sum(part for name, part in conditioned(values).items() if not is_scale(name) and name != "rho")
        found = float(collapsed.log_likelihood(point_of(collapsed, values))[0])
        assert joint - float(noise) == pytest.approx(found, abs=TOLERANCE)


def test_a_scale_of_effects_that_others_span_is_left_out():
    """Time effects of every group are flat, and span the random ones, whose scale no datum speaks of."""
    free = load_panel_model("no_pooling")
    model = replace(
        free.choosing(time_effect="random"), priors=free.priors | {"sigma_lambda": Prior("half_normal", {"scale": 1.0})}
    )
    assert "sigma_lambda" in model.scales
    assert "sigma_lambda" not in pymc_of(blocks_of(model, small_panel("balanced"))).named_vars


BREAKS: dict[str, Any] = {
    "a term is dropped": (GroupSlope, "mean", lambda term, block, b, at, design: 0 * b[at["group_code"]]),
    "a coefficient is another group's": (
        GroupSlope,
        "mean",
        lambda term, block, b, at, design: b[(at["group_code"] + 1) % 3] * at["exposure"],
    ),
    "unit effects have a prior": (
        twin,
        "unit_effects",
        lambda design, choices: replace(unit_effects(design, choices), scale="sigma"),
    ),
}


@pytest.mark.parametrize("broken", BREAKS)
def test_the_identity_can_fail(broken, monkeypatch):
    monkeypatch.setattr(*BREAKS[broken])
    blocks = blocks_of("partial_pooling", small_panel("unbalanced"))
    own = compiled(blocks)
    assert abs(gap(own, make_collapsed(blocks), own.random(0))) > 1e-3


def test_the_identity_sees_another_prior():
    blocks = blocks_of("partial_pooling", small_panel("balanced"))
    other = blocks_of(with_priors("partial_pooling", {"slope": VARIED["slope"]}), small_panel("balanced"))
    own = compiled(blocks)
    assert abs(gap(own, make_collapsed(other), own.random(0))) > 1e-3


VOLUMES = {name: load_panel_model(name) for name in OTHERS if name != "robust"} | {
    f"student_t, {correlation}": load_panel_model("student_t").choosing(correlation=correlation, spread="by_group")
    for correlation in CORRELATIONS
}


@pytest.mark.parametrize("name", VOLUMES)
def test_conditioned_variables_change_nothing_but_the_volume(name):
    """The Jacobian by differences, which are exact: given the scales, coefficients are affine in the variables."""
    model = VOLUMES[name]
    model = replace(model, priors={**model.priors, "slope": VARIED["slope"]})
    blocks = blocks_of(model, small_panel("unbalanced"))
    plain, conditioned = compiled(blocks), compiled(blocks, conditioned=True)
    names = [variable.name for variable in conditioned.model.deterministics]
    push = conditioned.model.compile_fn(
        conditioned.model.deterministics,
        inputs=conditioned.model.free_RVs,
        mode="FAST_COMPILE",
        on_unused_input="ignore",
    )

    def moved(values: Mapping[str, Any]) -> dict[str, Any]:
        free = {variable.name: np.asarray(values[variable.name]) for variable in conditioned.model.free_RVs}
        return free | dict(zip(names, push(free), strict=True))

    for seed in range(2):
        values = conditioned.random(seed)
        at = moved(values)
        columns = []
        for variable in ("location_z", "unit_effect_z"):
            for k in range(len(values[variable])):
                step = np.zeros(len(values[variable]))
                step[k] = 1.0
                there = moved(values | {variable: values[variable] + step})
                columns.append(
                    np.r_[
                        coefficients(blocks, there) - coefficients(blocks, at), there["unit_effect"] - at["unit_effect"]
                    ]
                )
        log_volume = float(np.linalg.slogdet(np.array(columns))[1])
        for block in blocks.flat:
            if len(block.kept) < block.columns.shape[1]:
                at[f"{block.name}_kept"] = np.ravel(at[block.name])[list(block.kept)]
        here, there = sum(conditioned(values).values()), sum(plain(at).values())
        assert here == pytest.approx(there + log_volume, abs=TOLERANCE)


def linear_predictor(own: Twin, values: Mapping[str, Any]) -> Array:
    return own.blocks.x @ coefficients(own.blocks, values) + values["unit_effect"][own.blocks.design.unit]


def test_ar1_residuals_have_the_stationary_covariance():
    design = small_panel("unbalanced")
    own = compiled(blocks_of("ar1", design))
    years = np.asarray(design.times)[design.time]
    assert any(np.diff(np.sort(years[design.unit == i])).max() > 1 for i in range(9))  # there are gaps
    for seed in range(4):
        values = own.random(seed)
        residual = design.y - linear_predictor(own, values)
        expected = 0.0
        for i in range(len(design.units)):
            mine = design.unit == i
            lag = np.abs(np.subtract.outer(years[mine], years[mine]))
            covariance = values["sigma"] ** 2 / (1 - values["rho"] ** 2) * values["rho"] ** lag
            expected += mvn(residual[mine], np.zeros(mine.sum()), covariance)
        parts = own(values)
        assert parts[twin.OUTCOME] == pytest.approx(expected, rel=1e-10, abs=TOLERANCE)
        assert parts["rho"] == pytest.approx(-math.log(2), abs=TOLERANCE)


def test_student_t_residuals_and_their_degrees_of_freedom():
    design = small_panel("unbalanced")
    own = compiled(blocks_of("student_t", design))
    for seed in range(4):
        values = own.random(seed) | {"nu": np.array([1.5, 4.0, 30.0, 200.0][seed])}
        expected = stats.t.logpdf(design.y, values["nu"], linear_predictor(own, values), values["sigma"]).sum()
        parts = own(values)
        assert parts[twin.OUTCOME] == pytest.approx(float(expected), abs=TOLERANCE)
        assert parts["nu"] == pytest.approx(float(stats.gamma.logpdf(values["nu"], 2, scale=10)), abs=TOLERANCE)


def test_times_of_ar1_are_whole_numbers():
    design = small_panel("unbalanced")
    halved = replace(design, times=tuple(time / 2 for time in design.times))
    with pytest.raises(InputError, match="whole numbers"):
        pymc_of(blocks_of("ar1", halved))


def test_a_user_gives_a_design_and_the_name_of_a_model():
    design = small_panel("balanced")
    point = {"sigma": 0.4, "tau": 0.2}
    own, other = (build_pymc(design), pymc_of(blocks_of("partial_pooling", design)))
    assert list(own.named_vars) == list(other.named_vars)
    logp = [
        m.compile_logp(mode="FAST_COMPILE")(
            {**m.initial_point(), **{f"{k}_log__": np.log(v) for k, v in point.items()}}
        )
        for m in (own, other)
    ]
    assert logp[0] == logp[1]
    alone = build_pymc(design.with_regressors(("time", *design.terms[1:]), design.x), "complete_pooling")
    assert alone.coords["coef"] == design.terms[1:]


def test_data_can_be_exchanged():
    design = small_panel("unbalanced")
    blocks = blocks_of("partial_pooling", design)
    own = compiled(blocks)
    values = own.random(0)
    before = own(values)
    y, exposure = -design.y, design.x[:, 0] + 1
    with own.model:
        pm.set_data({"outcome": y, "exposure": exposure})
    mean = linear_predictor(own, values) + values["slope"] + values["group_slope"][design.group]
    assert own(values) == before | {
        twin.OUTCOME: pytest.approx(float(stats.norm.logpdf(y, mean, values["sigma"]).sum()), rel=1e-10)
    }


def test_a_panel_without_groups_or_controls():
    design = small_panel("unbalanced").keeping(["x0"])
    alone = replace(design, group=None, groups=())
    blocks = blocks_of(load_panel_model("partial_pooling").without_groups(), alone)
    own = compiled(blocks)
    assert gap(own, make_collapsed(blocks), own.random(0)) == pytest.approx(0, abs=TOLERANCE)
    assert {"group", "coef"}.isdisjoint(own.model.coords)


def test_names_are_those_of_the_model():
    model = pymc_of(blocks_of("partial_pooling_all", small_panel("balanced")))
    assert {variable.name for variable in model.free_RVs} == {
        "slope",
        "control_slope",
        "time_effect_kept",
        "group_slope",
        "group_control_slope[x1]",
        "group_control_slope[x2]",
        "group_time_effect",
        "unit_effect",
        "sigma",
        "tau",
        "phi[x1]",
        "phi[x2]",
        "sigma_omega",
    }
    assert model.named_vars_to_dims["group_time_effect"] == ("group", "time")
    assert model.named_vars_to_dims["control_slope"] == ("coef",)
    assert model.coords["time"] == ("2014", "2015", "2016", "2017", "2018", "2019")


machine_code: list[object] = []


@pytest.fixture
def compiled_once(monkeypatch):
    """Compile but once a model that two tests sample, partial pooling of the unbalanced panel."""
    import nutpie

    compile_model = nutpie.compile_pymc_model

    def once(model):
        if not machine_code:
            machine_code.append(compile_model(model))
        return machine_code[0]

    monkeypatch.setattr(nutpie, "compile_pymc_model", once)


@pytest.mark.slow
def test_sampling_agrees_with_the_collapsed_posterior(tmp_path, compiled_once):
    import arviz as az

    blocks = blocks_of("partial_pooling", small_panel("unbalanced"))
    tree, diagnostics = fit_twin(blocks, draws=1000, tune=1000, chains=4, seed=3)
    diagnostics.require()

    # Exact means: the effects integrated out in closed form, the two scales by the trapezoidal rule.
    collapsed = make_collapsed(blocks)
    axes = np.meshgrid(np.linspace(-1.0, 1.0, 80), np.linspace(-9.0, 3.0, 240), indexing="ij")
    point = np.column_stack([axis.ravel() for axis in axes])
    density = collapsed.log_posterior(point)
    weight = np.exp(density - density.max())
    weight /= weight.sum()
    exact = weight @ collapsed.conditional(point).mean
    posterior = tree["posterior"].dataset
    sampled = dict(zip(coefficient_names(blocks), exact, strict=True))
    error = az.mcse(posterior[["slope", "group_slope", "sigma", "tau"]])
    scales = dict(zip(collapsed.names, weight @ np.exp(point), strict=True))
    for name in ("sigma", "tau"):
        assert float(posterior[name].mean()) == pytest.approx(scales[name], abs=5 * float(error[name]))
    assert float(posterior["slope"].mean()) == pytest.approx(sampled["slope"], abs=5 * float(error["slope"]))
    for group in blocks.design.groups:
        found = float(posterior["group_slope"].sel(group=group).mean())
        mcse = float(error["group_slope"].sel(group=group))
        assert found == pytest.approx(sampled[f"group_slope[{group}]"], abs=5 * mcse)
        total = posterior["group_total_slope"].sel(group=group)
        np.testing.assert_allclose(total, posterior["slope"] + posterior["group_slope"].sel(group=group))

    # Groups and names are those of the collapsed engine's tree.
    assert set(posterior.data_vars) == {
        "slope",
        "control_slope",
        "time_effect",
        "group_slope",
        "unit_effect",
        "sigma",
        "tau",
        "group_total_slope",
        "new_group_slope",
    }
    priors = resolve(blocks.model, blocks.design)
    for name, values in tree["log_prior"].dataset.items():
        np.testing.assert_allclose(
            values, log_density(priors[str(name)], posterior[name].to_numpy())[0], atol=TOLERANCE
        )
    densities, rows = row_densities(blocks, collapsed, points_of(collapsed, posterior))
    stored = tree["log_likelihood"].dataset["y"]
    assert tree["log_likelihood"].attrs["kind"] == GIVEN_OTHERS
    assert stored["obs"].to_numpy().tolist() == rows.tolist()
    np.testing.assert_allclose(stored.to_numpy().reshape(densities.shape), densities, atol=TOLERANCE)
    np.testing.assert_array_equal(tree["observed_data"].dataset["y"], blocks.design.y)
    assert (tree.attrs["origin"], tree.attrs["seed"], tree.attrs["engine"]) == ("simulated", 3, "pymc")
    tree.to_netcdf(tmp_path / "draws.nc", engine="h5netcdf")
    back = az.from_netcdf(tmp_path / "draws.nc")
    assert back.attrs["origin"] == "simulated"
    assert float(back["posterior"]["tau"].sum()) == float(posterior["tau"].sum())
    back.close()


@pytest.mark.parametrize("model", ["partial_pooling", "group_variance", "nested", "correlated_effects", "ar1"])
def test_row_densities_at_given_draws_are_those_that_the_collapsed_engine_stores(model):
    """Whoever drew the scales: here the collapsed engine did, under the twin's blocks."""
    design = small_panel("unbalanced")
    found = fit(design, model, draws=20, chains=2, seed=1)
    blocks = blocks_of(model, design)
    parts = {name: found.tree[name].to_dataset() for name in ("posterior", "observed_data")}
    parts["observed_data"] = parts["observed_data"].rename({design.outcome: OUTCOME}).drop_vars(["unit", "time"])
    groups = twin._of_rows(xr.DataTree.from_dict(parts), blocks, twin._integrated(blocks))
    xr.testing.assert_allclose(groups["log_likelihood"], found.tree["log_likelihood"].to_dataset(), rtol=1e-7)
    assert groups["log_likelihood"].attrs == found.tree["log_likelihood"].attrs
    xr.testing.assert_identical(groups["observed_data"], found.tree["observed_data"].to_dataset())


def test_other_members_have_densities_given_effects():
    """Nothing else is known in closed form, and the group says which they are."""
    design = small_panel("unbalanced")
    blocks = blocks_of("student_t", design)
    assert twin._integrated(blocks) is None
    coords = {"obs": np.arange(design.n_obs)}
    densities = np.random.default_rng(1).normal(size=(2, 5, design.n_obs))
    parts = {
        "observed_data": xr.Dataset({OUTCOME: ("obs", design.y)}, coords),
        "log_likelihood": xr.Dataset({OUTCOME: (("chain", "draw", "obs"), densities)}, coords),
    }
    group = twin._of_rows(xr.DataTree.from_dict(parts), blocks, None)["log_likelihood"]
    assert group.attrs["kind"] == GIVEN_EFFECTS
    np.testing.assert_array_equal(group[design.outcome], densities)
    assert group["unit"].to_numpy().tolist() == [design.units[u] for u in design.unit]


@pytest.mark.parametrize("stopped", ["early", "some chains"])
def test_an_interrupt_while_sampling_is_an_interrupt(monkeypatch, stopped):
    """nutpie keeps it to itself and returns what there is, which must not be taken for a posterior."""
    import nutpie
    import pymc as pm

    real = nutpie.sample

    def interrupted(compiled, **options):
        tree = real(compiled, **options | {"draws": 20, "tune": 20})
        if stopped == "some chains":
            tree["sample_stats"]["energy"].values[1:] = np.nan
        return tree

    monkeypatch.setattr(nutpie, "sample", interrupted)
    with pm.Model() as model:
        pm.Normal("x")
    with pytest.raises(KeyboardInterrupt):
        sample(model, ["x"], draws=20 if stopped == "some chains" else 40)


def test_sampling_says_how_far_it_is():
    """Draws of all chains, warm-up and all, from nutpie's own count: rate and remaining time follow from them."""
    import pymc as pm

    with pm.Model() as model:
        pm.Normal("x")
    said: list[Progress] = []
    sample(model, ["x"], draws=400, tune=300, chains=3, on_progress=said.append)
    first, *counts = said
    assert first == Progress("compiling the model", 0, 1)
    assert counts
    assert {(event.task, event.total) for event in counts} == {("draws", 3 * 700)}
    done = [event.done for event in counts]
    assert done == sorted(done)
    assert done[-1] <= 3 * 700


@pytest.mark.slow
def test_a_fit_that_diverged_can_be_written_and_read(tmp_path, compiled_once):
    """nutpie keeps the messages of its transitions as objects, which netCDF refuses."""
    blocks = blocks_of("partial_pooling", small_panel("unbalanced"))
    tree, diagnostics = fit_twin(blocks, draws=150, tune=10, chains=2, target_accept=0.3)
    assert diagnostics.divergences > 0
    with pytest.raises(GateError, match="divergent transitions"):
        diagnostics.require()
    assert int(tree["sample_stats"]["diverging"].sum()) == diagnostics.divergences
    assert_survives(tree, tmp_path / "tree.nc")
