"""Effects drawn given scales, against the dense formulas; the tree that holds them, against the model by hand."""

from __future__ import annotations

import dataclasses
import functools
import json
import time

import arviz as az
import numpy as np
import pytest
import xarray as xr
from scipy import stats

from cbec_bayes.bayes import posterior
from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.likelihood.rows import sigma_of_rows
from cbec_bayes.bayes.model.blocks import coefficient_names, labels_of, make_blocks
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.observations import points_of
from cbec_bayes.bayes.posterior import draw_effects, linear_predictor
from cbec_bayes.bayes.predictions import with_densities
from cbec_bayes.jobs.fit_tables import netcdf_bytes
from tests.support.members import MEMBERS, SHIPPED, by_name, collapsed, dense, grouped, member, panel, some_scales
from tests.support.regressions import random_design

DRAWS = 8_000
ERRORS = 5.5
"""Monte Carlo standard errors that one of thousands of numbers may be off."""

FIXED = """
kind = "panel"
question = "What are the effects at these scales?"
unit_effect = "{unit_effect}"
time_effect = "fixed"
group_slope = "pooled"
group_control_slope = "off"
group_time_effect = "off"
unit_slope = "off"
residual = "normal"
[priors]
slope.dist = "flat"
control_slope.dist = "flat"
sigma = {{ dist = "fixed", value = 0.6 }}
tau = {{ dist = "fixed", value = 0.4 }}
"""


@functools.cache
def fitted(model, name="unbalanced"):
    return fit(panel(name), model, draws=200, chains=2, seed=5)


def variables(model, name="unbalanced"):
    return fitted(model, name).tree["posterior"].dataset


def flattened(blocks, effects):
    """Draws of every kept coefficient, then of the unit effects, with the names of the dense formulas."""
    columns = [effects[b.name].reshape(len(effects[b.name]), -1)[:, list(b.kept)] for b in blocks.every]
    names = [*coefficient_names(blocks), *(f"unit_effect[{label}]" for label in blocks.design.units)]
    return np.column_stack([*columns, effects["unit_effect"]]), names


def assert_normal(draws, mean, covariance):
    """Means and covariances of draws, each within its own Monte Carlo error."""
    sd = np.sqrt(np.diag(covariance))
    np.testing.assert_array_less(np.abs(draws.mean(axis=0) - mean) / sd, ERRORS / np.sqrt(len(draws)))
    exact = covariance / np.outer(sd, sd)
    found = np.cov(draws.T) / np.outer(sd, sd)
    np.testing.assert_array_less(np.abs(found - exact), ERRORS * np.sqrt((1 + exact**2) / len(draws)))


@pytest.mark.parametrize("unit_effect", ["fixed", "random"])
def test_with_every_scale_held_draws_are_of_one_normal(tmp_path, unit_effect):
    """No scale is sampled (k = 0): what `conditional` says is the posterior."""
    extra = 'sigma_mu = { dist = "fixed", value = 0.9 }\n' if unit_effect == "random" else ""
    (tmp_path / "held.toml").write_text(FIXED.format(unit_effect=unit_effect) + extra)
    design = panel("unbalanced")
    blocks = make_blocks(design, load_panel_model(tmp_path / "held.toml"))
    engine = make_collapsed(blocks)
    assert engine.names == ()
    points = np.zeros((DRAWS, 0))
    sigma = sigma_of_rows(design, engine.sigmas, engine.scales(points))
    assert (sigma == 0.6 * design.spread.within[0]).all()
    draws, names = flattened(blocks, draw_effects(blocks, engine, points, 1))
    given = engine.conditional(points[:1])
    p = engine.n_coefficients
    assert_normal(draws[:, :p], given.mean[0], given.root[0] @ given.root[0].T)
    mean, covariance = dense(design, blocks.model).conditional(by_name(engine, points[:1]))
    assert_normal(draws, mean[names].to_numpy(), covariance.loc[names, names].to_numpy())


@pytest.mark.parametrize("model", MEMBERS)
@pytest.mark.parametrize("name", ["balanced", "unbalanced"])
def test_effects_and_unit_effects_are_jointly_those_of_the_dense_formulas(model, name):
    """Every covariance is there, that of unit effects with slopes too."""
    design = panel(name)
    blocks = make_blocks(design, MEMBERS[model])
    engine = make_collapsed(blocks)
    point = some_scales(engine, 2)
    points = np.tile(point, (DRAWS // 2, 1))
    draws, names = flattened(blocks, draw_effects(blocks, engine, points, 3))
    mean, covariance = dense(design, MEMBERS[model]).conditional(by_name(engine, point))
    assert_normal(draws, mean[names].to_numpy(), covariance.loc[names, names].to_numpy())


@pytest.mark.parametrize("unit_effect", ["fixed", "random"])
def test_unit_effects_are_about_mean_residuals(unit_effect):
    """Fixed: with the variance of a mean. Random: drawn to zero, the more so the fewer rows a unit has."""
    design = panel("unbalanced")
    blocks = make_blocks(design, member(unit_effect=unit_effect))
    engine = make_collapsed(blocks)
    point = some_scales(engine, 4)
    effects = draw_effects(blocks, engine, np.tile(point, (DRAWS, 1)), 2)
    residual = design.y - linear_predictor(blocks, effects | {"unit_effect": np.zeros_like(effects["unit_effect"])})
    scales = by_name(engine, point)
    sizes = np.bincount(design.unit)
    assert len(set(sizes)) > 1
    means = np.stack([residual[:, design.unit == i].mean(axis=1) for i in range(len(sizes))], axis=1)
    if unit_effect == "fixed":
        weight, sd = 1.0, scales["sigma"] / np.sqrt(sizes)
    else:
        weight = scales["sigma_mu"] ** 2 / (scales["sigma_mu"] ** 2 + scales["sigma"] ** 2 / sizes)
        sd = np.sqrt(weight / sizes) * scales["sigma"]
    noise = (effects["unit_effect"] - weight * means) / sd
    assert_normal(noise, np.zeros(len(sizes)), np.eye(len(sizes)))
    assert stats.kstest(noise.ravel(), "norm").pvalue > 1e-3


def test_draws_do_not_depend_on_how_they_are_chunked(monkeypatch):
    design = panel("unbalanced")
    blocks = make_blocks(design, MEMBERS["partial_pooling_all"])
    engine = make_collapsed(blocks)
    points = np.array([some_scales(engine, seed) for seed in range(37)])
    whole = draw_effects(blocks, engine, points, 1)
    monkeypatch.setattr("cbec_bayes.bayes.likelihood.conditional._CHUNK", 5 * engine.n_coefficients**2)
    parts = draw_effects(blocks, engine, points, 1)
    assert whole.keys() == parts.keys()
    for name, values in whole.items():
        np.testing.assert_allclose(parts[name], values, rtol=1e-9, atol=1e-12)
    other = draw_effects(blocks, engine, points, 2)
    assert not np.isclose(other["slope"], whole["slope"]).any()


def mean_by_hand(values, design):
    """MODEL.md section 2, one row after the other, from the variables of one draw by their labels."""
    found = []
    for i in range(design.n_obs):
        unit, period = design.units[design.unit[i]], f"{design.times[design.time[i]]:g}"
        group = design.groups[design.group[i]]
        d, x = design.x[i, 0], design.x[i, 1:]
        total = float(values["unit_effect"].sel(unit=unit))
        if "intercept" in values:
            total += float(values["intercept"])
        slope = values["group_total_slope"].sel(group=group) if "group_total_slope" in values else values["slope"]
        total += float(slope) * d
        for k, control in enumerate(design.terms[1:]):
            own = (
                values["group_total_control_slope"].sel(coef=control, group=group)
                if "group_total_control_slope" in values
                else values["control_slope"].sel(coef=control)
            )
            total += float(own) * x[k]
            if f"group_control_slope[{control}]" in values:
                total += float(values[f"group_control_slope[{control}]"].sel(group=group)) * x[k]
        if "unit_slope" in values:
            total += float(values["unit_slope"].sel(unit=unit)) * d
        if "unit_trend" in values:
            elapsed = np.array(design.times)[design.time]
            total += float(values["unit_trend"].sel(unit=unit)) * (elapsed[i] - elapsed.mean())
        if "time_effect" in values:
            total += float(values["time_effect"].sel(time=period))
        if "group_time_effect" in values:
            total += float(values["group_time_effect"].sel(group=group, time=period))
        for effect, codes in (("unit", design.unit), ("time", design.time)):
            if f"mundlak_{effect}" in values:
                same = codes == codes[i]
                means = {design.terms[k]: design.x[same, k].mean() for k in range(1, len(design.terms))}
                for r, label in enumerate(design.groups):
                    own = design.x[same, 0] * (design.group[same] == r)
                    means[f"{design.terms[0]}[{label}]"] = own.mean()
                for term, value in zip(
                    values[f"mundlak_{effect}_term"].to_numpy(), values[f"mundlak_{effect}"], strict=True
                ):
                    total += float(value) * means[str(term)]
        found.append(total)
    return np.array(found)


def given_effects(found):
    """The log density of every row given the effects, by the stored draws, shape (S, n)."""
    values = found.tree["posterior"].dataset
    effects = {name: v.to_numpy().reshape(-1, *v.shape[2:]) for name, v in found.posterior.data_vars.items()}
    return posterior.pointwise(found.blocks, found.collapsed, points_of(found.collapsed, values), effects)


@pytest.mark.parametrize("model", SHIPPED)
def test_densities_given_effects_by_hand(model):
    found = fitted(model)
    design, tree = found.design, found.tree
    values = found.posterior
    np.testing.assert_array_equal(tree["observed_data"]["y"], design.y)
    densities = given_effects(found).reshape(2, 200, -1)
    for chain, draw in ((0, 0), (0, 199), (1, 7)):
        one = values.isel(chain=chain, draw=draw)
        mean = mean_by_hand(one, design)
        labels = [design.groups[r] for r in design.group]
        sigma = one["sigma"].sel(group=labels).to_numpy() if "group" in one["sigma"].dims else float(one["sigma"])
        expected = stats.norm.logpdf(design.y, mean, sigma)
        np.testing.assert_allclose(densities[chain, draw], expected, rtol=1e-8, atol=1e-8)


def test_ar1_densities_given_effects_by_hand():
    """A row given the row before it in its unit; the first of a unit by itself. Gaps count."""
    found = fitted("ar1")
    design = found.design
    values = found.tree["posterior"].dataset.isel(chain=1, draw=3)
    residual = design.y - mean_by_hand(values, design)
    rho, sigma = float(values["rho"]), float(values["sigma"])
    expected = []
    for i in range(design.n_obs):
        times = np.asarray(design.times)[design.time]
        before = np.flatnonzero((design.unit == design.unit[i]) & (times < times[i]))
        if len(before) == 0:
            expected.append(stats.norm.logpdf(residual[i], 0, sigma / np.sqrt(1 - rho**2)))
            continue
        last = before[np.argmax(times[before])]
        carried = rho ** (times[i] - times[last])
        spread = sigma * np.sqrt((1 - carried**2) / (1 - rho**2))
        expected.append(stats.norm.logpdf(residual[i], carried * residual[last], spread))
    np.testing.assert_allclose(given_effects(found).reshape(2, 200, -1)[1, 3], expected, rtol=1e-8, atol=1e-8)


SCALAR = ()
DIMS = {
    "slope": SCALAR,
    "control_slope": ("coef",),
    "intercept": SCALAR,
    "mundlak_unit": ("mundlak_unit_term",),
    "mundlak_time": ("mundlak_time_term",),
    "unit_effect": ("unit",),
    "time_effect": ("time",),
    "group_slope": ("group",),
    "group_total_slope": ("group",),
    "new_group_slope": SCALAR,
    "group_total_control_slope": ("coef", "group"),
    "group_control_slope": ("coef", "group"),
    "group_time_effect": ("group", "time"),
    "unit_slope": ("unit",),
    "mean_unit_slope": SCALAR,
    "group_mean_unit_slope": ("group",),
    "unit_trend": ("unit",),
    "mean_unit_trend": SCALAR,
    "group_mean_unit_trend": ("group",),
    "xi": SCALAR,
    "tau": SCALAR,
    "phi": ("coef",),
    "kappa": SCALAR,
    "sigma_omega": SCALAR,
    "sigma_mu": SCALAR,
    "sigma_lambda": SCALAR,
}
TWO_WAY = {"control_slope", "unit_effect", "time_effect", "sigma"}
PARTIAL = TWO_WAY | {"slope", "group_slope", "group_total_slope", "new_group_slope", "tau"}
VARIABLES = {
    "complete_pooling": TWO_WAY | {"slope"},
    "no_pooling": {"group_total_slope", "group_total_control_slope", "group_time_effect", "unit_effect", "sigma"},
    "partial_pooling": PARTIAL,
    "partial_pooling_all": PARTIAL | {"group_control_slope", "phi", "group_time_effect", "sigma_omega"},
    "correlated_effects": PARTIAL | {"intercept", "mundlak_unit", "mundlak_time", "sigma_mu", "sigma_lambda"},
    "group_variance": PARTIAL,
    "regional": (PARTIAL - {"control_slope", "time_effect"}) | {"group_total_control_slope", "group_time_effect"},
    "nested": PARTIAL | {"unit_slope", "mean_unit_slope", "group_mean_unit_slope", "kappa"},
    "unit_trends": PARTIAL | {"unit_trend", "mean_unit_trend", "group_mean_unit_trend", "xi"},
}


@pytest.mark.parametrize("model", SHIPPED)
def test_variables_dimensions_and_coordinates(model):
    found = fitted(model)
    values, design = found.tree["posterior"].dataset, found.design
    assert set(values.data_vars) == VARIABLES[model]
    by_group = model in ("group_variance", "no_pooling", "regional")
    dims = DIMS | {"sigma": ("group",) if by_group else SCALAR}
    assert {name: values[name].dims for name in values.data_vars} == {
        name: ("chain", "draw", *dims[name]) for name in VARIABLES[model]
    }
    labels = {
        "chain": [0, 1],
        "draw": list(range(200)),
        "unit": list(design.units),
        "time": ["0", "1", "2", "3", "4"],
        "group": ["g0", "g1", "g2"],
        "coef": ["x1"],
    }
    for name, expected in labels.items():
        if name in values.coords:
            assert values[name].to_numpy().tolist() == expected
    used = {dim for name in VARIABLES[model] for dim in dims[name]}
    assert set(values.coords) == used | {"chain", "draw"}
    assert all(np.isfinite(values[name]).all() for name in values.data_vars)
    of_rows = {"log_likelihood", "observed_data", "constant_data"}
    assert set(found.tree.children) == {"posterior", "sample_stats", "log_prior"} | of_rows
    assert set(found.tree["log_prior"].data_vars) == {
        name.partition("[")[0] if name.startswith("phi") else name for name in found.collapsed.names
    }
    assert found.tree["sample_stats"]["lp"].shape == (2, 200)


def test_coefficients_that_are_zero_by_convention_are_zero():
    last = variables("partial_pooling")["time_effect"].isel(time=-1)
    assert (last == 0).all()
    assert (variables("partial_pooling")["time_effect"].isel(time=slice(0, -1)).std(("chain", "draw")) > 0).all()
    assert (variables("no_pooling")["group_time_effect"].isel(time=-1) == 0).all()
    assert (variables("partial_pooling_all")["group_time_effect"].std(("chain", "draw")) > 0).all()


def test_total_slopes_are_sums():
    for model in ("partial_pooling", "nested"):
        values = variables(model)
        xr.testing.assert_allclose(values["group_total_slope"], values["slope"] + values["group_slope"])


def test_a_new_group_has_the_slope_of_the_population():
    """The draw less the common slope, over tau, is standard normal, and has nothing to do with the groups seen."""
    values = fit(panel("unbalanced"), "partial_pooling", draws=1_000, seed=2).tree["posterior"].dataset
    z = ((values["new_group_slope"] - values["slope"]) / values["tau"]).to_numpy().ravel()
    assert stats.kstest(z, "norm").pvalue > 1e-3
    for name in ("slope", "tau"):
        assert abs(stats.spearmanr(z, values[name].to_numpy().ravel()).statistic) < 4 / np.sqrt(len(z))
    own = (values["group_slope"] / values["tau"]).to_numpy().reshape(-1, 3)
    assert max(abs(stats.spearmanr(z, own[:, r]).statistic) for r in range(3)) < 4 / np.sqrt(len(z))


@pytest.mark.parametrize("model", ["partial_pooling", "group_variance", "ar1"])
def test_lp_and_log_prior(model):
    """`lp` is the density that was sampled; `log_prior` has the priors of the scales themselves."""
    found = fitted(model)
    engine = found.collapsed
    values = found.tree["posterior"].dataset.isel(chain=1, draw=5)
    scales = []
    for name in engine.names:
        base, _, label = name.partition("[")
        own = values[base].sel(group=label[:-1]) if label else values[name]
        scales.append(float(own))
    point = [np.arctanh(s) if n == "rho" else np.log(s) for n, s in zip(engine.names, scales, strict=True)]
    lp = float(found.tree["sample_stats"]["lp"][1, 5])
    assert lp == pytest.approx(engine.log_posterior(np.array([point]))[0], rel=1e-9)
    for name, scale in zip(engine.names, scales, strict=True):
        if name != "rho":
            expected = stats.halfnorm(scale=engine.priors[name].params["scale"]).logpdf(scale)
            assert float(found.tree["log_prior"][name][1, 5]) == pytest.approx(expected, rel=1e-9)


def test_attributes():
    attrs = fitted("partial_pooling").tree.attrs
    assert attrs["origin"] == "simulated"
    assert attrs["engine"] == "collapsed"
    assert attrs["sampler"] == "importance"
    assert attrs["model"] == "partial_pooling"
    assert attrs["question"].startswith("How far do groups differ")
    assert attrs["seed"] == 5
    assert set(json.loads(attrs["priors"])) == {"sigma", "tau"}
    assert {"cbec_bayes", "numpy", "scipy", "arviz"} <= set(json.loads(attrs["versions"]))


def test_arviz_reads_it():
    """Errors are normal and units are seen often, so that no row is influential; any warning would be an error."""
    design = grouped(random_design(2, 15, 20), 3)
    tree = fit(design, "partial_pooling", draws=300, seed=1).tree
    table = az.summary(tree, var_names=["slope", "tau", "sigma", "group_slope"], round_to="none")
    draws = tree["posterior"].dataset
    assert table.loc["slope", "mean"] == pytest.approx(float(draws["slope"].mean()))
    assert table.loc["tau", "sd"] == pytest.approx(float(draws["tau"].std(ddof=1)), rel=1e-3)
    assert len(table) == 3 + draws.sizes["group"]
    assert float(az.ess(tree)["slope"]) > 0.7 * 1_200


def test_netcdf_there_and_back(tmp_path):
    tree = fitted("correlated_effects").tree
    (tmp_path / "p.nc").write_bytes(netcdf_bytes(tree))
    with xr.open_datatree(tmp_path / "p.nc", engine="h5netcdf") as back:
        xr.testing.assert_identical(back.load(), tree)


def test_the_same_seed_makes_the_same_file():
    def content(seed):
        return netcdf_bytes(fit(panel("balanced"), "partial_pooling", draws=50, seed=seed).tree)

    first = content(1)
    time.sleep(1.1)  # file formats like to write down when, in seconds
    assert content(1) == first
    assert content(2) != first


def test_what_does_not_fit_into_memory_is_left_out(monkeypatch):
    design = panel("unbalanced")
    whole = fit(design, "partial_pooling", draws=50, chains=2)
    monkeypatch.setattr(posterior, "POINTWISE_MAX", 100 * design.n_obs - 1)
    tree = fit(design, "partial_pooling", draws=50, chains=2).tree
    assert "log_likelihood" not in tree.children
    assert "unit_effect" not in tree["posterior"]
    expected = whole.tree["posterior"].to_dataset().drop_vars(["unit_effect", "unit"])
    xr.testing.assert_equal(tree["posterior"].to_dataset(), expected)
    monkeypatch.setattr(posterior, "POINTWISE_MAX", 100 * design.n_obs)
    assert "log_likelihood" in fit(design, "partial_pooling", draws=50, chains=2).tree.children
    monkeypatch.setattr(posterior, "POINTWISE_MAX", 100 * design.n_obs - 1)
    correlated = fit(design, "ar1", draws=50, chains=2).tree
    assert "unit_effect" not in correlated["posterior"]
    assert "log_likelihood" not in correlated.children


@pytest.mark.parametrize("name", ["partial_pooling", "ar1"])
def test_densities_of_rows_that_are_added_later_are_those_that_are_stored_at_once(name):
    design = panel("unbalanced")
    at_once = fit(design, name, draws=50, chains=2)
    without = fit(design, name, draws=50, chains=2, densities=False)
    assert "log_likelihood" not in without.tree.children
    later = with_densities(without)
    assert list(later.tree.children) == list(at_once.tree.children)
    for group, node in at_once.tree.children.items():
        xr.testing.assert_allclose(later.tree[group].to_dataset(), node.to_dataset(), rtol=1e-9, atol=1e-11)
    assert with_densities(at_once) is at_once


def test_densities_of_rows_are_added_where_every_scale_is_held():
    design, held = panel("unbalanced"), load_panel_model("partial_pooling")
    priors = {name: Prior("fixed", {"value": 0.5}) if name in held.scales else own for name, own in held.priors.items()}
    model = dataclasses.replace(held, priors=priors)
    at_once, without = (fit(design, model, draws=50, chains=2, densities=asked) for asked in (True, False))
    later = with_densities(without).tree["log_likelihood"].to_dataset()
    xr.testing.assert_allclose(later, at_once.tree["log_likelihood"].to_dataset(), rtol=1e-9)


def test_rows_may_come_in_any_order():
    """Units are first seen anywhere: residual scales by group reach the rows and units that they are of."""
    design = panel("unbalanced")
    order = np.random.default_rng(1).permutation(design.n_obs)
    model = member(spread="by_group")
    mixed = dataclasses.replace(
        design,
        y=design.y[order],
        x=design.x[order],
        unit=design.unit[order],
        time=design.time[order],
        group=design.group[order],
    )
    point = some_scales(collapsed(design, model), 1)[None]
    for one in (design, mixed):
        blocks = make_blocks(one, model)
        engine = make_collapsed(blocks)
        scales = by_name(engine, point)
        expected = [scales[f"sigma[{one.groups[r]}]"] for r in one.group]
        found = sigma_of_rows(one, engine.sigmas, engine.scales(point))
        np.testing.assert_allclose(found[0], expected)
        draws, names = flattened(blocks, draw_effects(blocks, engine, np.tile(point, (DRAWS, 1)), 6))
        mean, covariance = dense(design, model).conditional(scales)
        assert_normal(draws, mean[names].to_numpy(), covariance.loc[names, names].to_numpy())


def test_labels_of_a_block():
    blocks = make_blocks(panel("unbalanced"), MEMBERS["no_pooling"])
    labels = {block.name: labels_of(block) for block in blocks.every}
    assert labels["group_total_slope"] == ["g0", "g1", "g2"]
    assert labels["group_total_control_slope"] == ["x1, g0", "x1, g1", "x1, g2"]
    assert labels["group_time_effect"][:2] == ["g0, 0", "g0, 1"]
    assert labels_of(make_blocks(panel("unbalanced"), MEMBERS["complete_pooling"]).every[0]) == [""]
