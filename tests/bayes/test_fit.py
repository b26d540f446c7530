"""Whole fits: exact against integration on a grid, through their gates on both studies, and down to tiny panels."""

from __future__ import annotations

import functools
from dataclasses import replace

import arviz as az
import numpy as np
import pytest
from scipy import stats

from cbec_bayes.bayes.fit import _distance, fit
from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.model.blocks import coefficient_names, make_blocks
from cbec_bayes.bayes.model.family import load_panel_model, panel_model_names
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.classical.regression import twfe
from cbec_bayes.classical.tables import interacted
from cbec_bayes.estimands.groups import effects, pooling_factors
from cbec_bayes.estimands.shrinkage import shrinkage_path
from cbec_bayes.jobs.fit_tables import netcdf_bytes
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import Origin
from tests.support.members import SHIPPED, UNBALANCED, grouped, member, panel
from tests.support.posteriors import assert_same_posterior
from tests.support.regressions import design_of, load, random_design

GAUSSIAN = (*SHIPPED, "ar1", "first_differences")
ERRORS = 4.5
"""Monte Carlo standard errors that a number may be off; seeds are fixed, so that a test fails always or never."""


def posterior(found):
    return found.tree["posterior"].dataset


def flat_draws(found, name):
    values = posterior(found)[name].to_numpy()
    return values.reshape(-1, *values.shape[2:])


def simulated(tau, *, seed=1, n_groups=8, n_units=64, n_times=8):
    """Groups whose slopes have a spread of tau, about 1; noise of sd 1/2."""
    rng = np.random.default_rng(seed)
    unit, time = np.divmod(np.arange(n_units * n_times), n_times)
    slopes = 1 + tau * (z := rng.normal(size=n_groups)) / z.std(ddof=1)
    x = rng.normal(size=(len(unit), 1)) + rng.normal(size=n_units)[unit, None]
    y = slopes[unit % n_groups] * x[:, 0] + rng.normal(size=n_units)[unit] + rng.normal(size=n_times)[time]
    return grouped(design_of(y + 0.5 * rng.normal(size=len(unit)), x, unit, time), n_groups)


def on_a_grid(design, model, size=70):
    """Moments of everything, and the distribution functions of the two scales, by summation over their logarithms."""
    blocks = make_blocks(design, model)
    engine = make_collapsed(blocks)
    assert len(engine.names) == 2
    sd, left = design.y.std(ddof=1), float(design.spread.within[0])
    axes = [
        np.linspace(np.log(0.4 * left), np.log(3 * left), size),
        np.linspace(np.log(1e-4 * sd), np.log(8 * sd), 2 * size),
    ]
    points = np.stack([mesh.ravel() for mesh in np.meshgrid(*axes, indexing="ij")], axis=1)
    density = engine.log_posterior(points)
    weights = np.exp(density - density.max())
    weights /= weights.sum()
    edge = np.ones((size, 2 * size), dtype=bool)
    edge[1:-1, 1:-1] = False
    assert weights[edge.ravel()].sum() < 1e-3
    given = engine.conditional(points)
    variances = np.einsum("sij,sij->si", given.root, given.root)
    found = {}
    for k, name in enumerate(coefficient_names(blocks)):
        found[name] = mixture(weights, given.mean[:, k], variances[:, k])
    if "slope" in found:
        for k, name in enumerate(coefficient_names(blocks)):
            if name.startswith("group_slope["):
                rows = given.root[:, 0] + given.root[:, k]
                total = mixture(weights, given.mean[:, 0] + given.mean[:, k], np.einsum("si,si->s", rows, rows))
                found[name.replace("group_slope", "group_total_slope")] = total
    for k, name in enumerate(engine.names):
        found[name] = mixture(weights, np.exp(points[:, k]), 0.0)
    marginals = weights.reshape(size, -1).sum(axis=1), weights.reshape(size, -1).sum(axis=0)
    return found, {n: (a, np.cumsum(m) - m / 2) for n, a, m in zip(engine.names, axes, marginals, strict=True)}


def mixture(weights, means, variances):
    """Mean, variance and fourth central moment of a mixture of normals."""
    mean = weights @ means
    off = means - mean
    return mean, weights @ (off**2 + variances), weights @ (off**4 + 6 * off**2 * variances + 3 * variances**2)


@pytest.mark.parametrize(
    "model",
    [load_panel_model("partial_pooling"), member(unit_effect="random", group_slope="off")],
    ids=lambda m: m.name,
)
def test_a_fit_is_the_integral(model):
    """Nothing is approximate but for the number of draws."""
    design = panel("unbalanced")
    exact, marginals = on_a_grid(design, model)
    found = fit(design, model, draws=2_500, seed=11)
    ess = found.diagnostics.ess_bulk_min
    assert ess > 3_000
    compared = 0
    for name, (mean, variance, fourth) in exact.items():
        base, _, label = name.partition("[")
        values = posterior(found)[base]
        if label:
            values = values.sel({values.dims[-1]: label[:-1]})
        draws = values.to_numpy().ravel()
        assert draws.mean() == pytest.approx(mean, abs=ERRORS * np.sqrt(variance / ess)), name
        assert draws.var() == pytest.approx(variance, abs=ERRORS * np.sqrt((fourth - variance**2) / ess)), name
        compared += 1
    assert compared == len(exact) > 5
    for name, (axis, cumulative) in marginals.items():
        draws = np.log(flat_draws(found, name))
        for p in (0.05, 0.25, 0.5, 0.75, 0.95):
            at = np.interp(np.quantile(draws, p), axis, cumulative)
            assert at == pytest.approx(p, abs=ERRORS * np.sqrt(p * (1 - p) / ess) + 1e-3), (name, p)


@functools.cache
def studied(model, name):
    return fit(panel(name), model, draws=500)


@pytest.mark.parametrize("name", ["paper", "public"])
@pytest.mark.parametrize("model", GAUSSIAN)
def test_every_gaussian_member_passes_its_gates_on_both_studies(model, name):
    found = studied(model, name).diagnostics
    assert found.failures == ()
    found.require()
    assert found.draws == 2_000
    assert found.ess_bulk_min > 0.7 * found.draws
    assert found.khat < 0.7
    assert found.engine == "collapsed-importance"
    assert found.divergences == 0
    assert set(found.seconds) == {"prepare", "sample", "effects"}
    assert studied(model, name).khat == found.khat


def test_the_diagnostics_are_those_of_the_draws():
    found = studied("partial_pooling", "public")
    names = ["slope", "control_slope", "group_slope", "group_total_slope", "new_group_slope", "sigma", "tau"]
    values = posterior(found)[names].assign(kept=posterior(found)["time_effect"].isel(time=slice(0, -1), drop=True))
    values = values.rename_dims(time="kept_time").drop_vars("time")
    for measured, reduce, expected in (
        (az.ess(values, method="bulk"), min, found.diagnostics.ess_bulk_min),
        (az.ess(values, method="tail"), min, found.diagnostics.ess_tail_min),
        (az.rhat(values), max, found.diagnostics.rhat_max),
    ):
        assert reduce(float(reduce(measured[n].to_numpy().ravel())) for n in measured) == pytest.approx(expected)


def test_seeds():
    """Of the scales, and of what is drawn given them."""
    design = panel("balanced")
    fits = [fit(design, "partial_pooling", draws=50, seed=seed) for seed in (1, 1, 2)]
    for name in ("sigma", "tau", "slope", "unit_effect", "new_group_slope"):
        first, again, other = (flat_draws(found, name) for found in fits)
        np.testing.assert_array_equal(first, again)
        assert not np.isin(other, first).any()


def test_draws_chains_and_origin():
    found = fit(replace(panel("balanced"), origin=Origin.RECONSTRUCTED), "partial_pooling", draws=30, chains=3)
    assert posterior(found)["slope"].shape == (3, 30)
    assert found.diagnostics.draws == 90
    assert found.tree.attrs["origin"] == "reconstructed"
    assert found.model.name == "partial_pooling"
    assert found.collapsed is not None
    assert set(found.priors) == {"slope", "control_slope[x1]", "sigma", "tau"}


def test_complete_pooling_is_table_3():
    """Flat priors: the posterior mean is the two-way estimate, whatever the residual scale."""
    found = studied("complete_pooling", "public")
    expected = twfe(panel("public"))
    draws = flat_draws(found, "slope")
    assert draws.mean() == pytest.approx(expected.estimate[0], abs=ERRORS * draws.std() / np.sqrt(2_000))


def test_no_pooling_is_table_4():
    found = studied("no_pooling", "public")
    draws = flat_draws(found, "group_total_slope")
    for r, group in enumerate(found.design.groups):
        expected = twfe(panel("public").of_group(group)).estimate[0]
        assert draws[:, r].mean() == pytest.approx(expected, abs=ERRORS * draws[:, r].std() / np.sqrt(1_400))


@pytest.mark.parametrize("model", GAUSSIAN)
def test_without_groups_a_model_is_its_common_slope(model):
    design = load("grunfeld")
    assert design.groups == ()
    found = fit(design, model, draws=100)
    values = posterior(found)
    assert not {name for name in values.data_vars if "group" in name or name == "tau"}
    assert not found.model.uses_groups
    assert found.model.name == model
    if model not in ("nested", "ar1", "first_differences", "unit_trends"):  # those weigh rows otherwise
        draws = flat_draws(found, "slope")
        assert draws.mean() == pytest.approx(twfe(design).estimate[0], abs=ERRORS * draws.std() / np.sqrt(300))


@pytest.mark.parametrize("model", ["partial_pooling", "no_pooling", "group_variance"])
def test_one_group_is_no_group(model):
    design = load("grunfeld")
    one = replace(design, group=np.zeros(design.n_obs, dtype=np.intp), groups=("all of them",))
    found = fit(one, model, draws=50)
    assert (found.design.group, found.design.groups) == (None, ())
    np.testing.assert_array_equal(flat_draws(found, "slope"), flat_draws(fit(design, model, draws=50), "slope"))


@pytest.mark.parametrize("name", UNBALANCED)
def test_unbalanced_panels(name):
    found = fit(panel(name), "partial_pooling", draws=250)
    assert found.khat < 0.7
    assert found.diagnostics.ess_bulk_min > 600


@pytest.mark.parametrize("shape", [(2, 2, 0), (2, 2, 2), (2, 3, 2), (4, 2, 2), (3, 3, 3)], ids=str)
@pytest.mark.parametrize("model", GAUSSIAN)
def test_tiny_panels_are_fitted_or_refused(model, shape):
    """Priors of scales are proper, so that few rows are enough wherever the slopes are identified."""
    n_units, n_times, n_groups = shape
    rng = np.random.default_rng(0)
    unit, time = np.divmod(np.arange(n_units * n_times), n_times)
    design = design_of(rng.normal(size=len(unit)), rng.normal(size=(len(unit), 1)), unit, time)
    design = grouped(design, n_groups) if n_groups else design
    if model in ("no_pooling", "regional") and n_units < 2 * n_groups:  # effects of groups in periods take every row
        with pytest.raises(InputError, match=r"the slope (group_total_slope\[g\d\]|slope) is not identified"):
            fit(design, model, draws=50)
        return
    found = fit(design, model, draws=50)
    assert found.diagnostics.engine == "collapsed-importance"
    assert found.khat < 0.7
    assert all(np.isfinite(values).all() for values in posterior(found).data_vars.values())


def test_too_few_rows_for_the_regressors_are_refused():
    rng = np.random.default_rng(0)
    unit, time = np.divmod(np.arange(4), 2)
    design = design_of(rng.normal(size=4), rng.normal(size=(4, 2)), unit, time)
    with pytest.raises(InputError, match=r"the slope control_slope\[x1\] is not identified"):
        fit(design, "complete_pooling")


def test_an_outcome_that_leaves_no_error_is_refused():
    design = panel("balanced")
    with pytest.raises(InputError, match="nothing is left to estimate from"):
        fit(replace(design, y=np.ones(design.n_obs)), "partial_pooling")


def test_groups_that_are_all_alike():
    """The spread of slopes between groups is close to none: below what its prior says, and consistent with zero."""
    found = fit(simulated(0.0), "partial_pooling", draws=500)
    tau = flat_draws(found, "tau")
    assert np.median(tau) < 0.06
    assert np.quantile(tau, 0.05) < 0.01
    groups = flat_draws(found, "group_total_slope")
    assert np.abs(groups.mean(axis=0) - 1).max() < 0.1


@pytest.mark.parametrize("truth", [0.3, 2.0])
def test_groups_that_differ(truth):
    design = simulated(truth)
    found = fit(design, "partial_pooling", draws=500)
    tau = flat_draws(found, "tau")
    low, high = np.quantile(tau, [0.025, 0.975])
    assert low < truth < high
    assert truth / 1.5 < np.median(tau) < truth * 1.5
    groups = flat_draws(found, "group_total_slope").mean(axis=0)
    own = np.array([twfe(design.of_group(group)).estimate[0] for group in design.groups])
    assert np.corrcoef(groups, own)[0, 1] > 0.98
    assert groups.std() < own.std() * 1.02


@pytest.mark.parametrize(
    "prior",
    [
        Prior("half_t", {"df": 3.0, "scale": 0.5}),
        Prior("half_cauchy", {"scale": 0.5}),
        Prior("exponential", {"mean": 0.5}),
        Prior("uniform", {"upper": 3.0}),
    ],
    ids=lambda prior: prior.dist,
)
def test_every_family_of_scale(prior):
    """With enough groups the prior of tau hardly matters, and the density is sampled all the same."""
    found = fit(simulated(0.3), member({"tau": prior, "sigma": prior}, group_slope="pooled"), draws=250)
    assert found.khat < 0.7
    assert 0.2 < np.median(flat_draws(found, "tau")) < 0.45
    assert np.median(flat_draws(found, "sigma")) == pytest.approx(0.5, abs=0.05)


def test_one_column_by_another_unit():
    """Priors follow the data's units: slopes and their spread change with them, and nothing else does."""
    design = panel("unbalanced")
    base = fit(design, "partial_pooling", draws=100)
    other = fit(replace(design, y=1e6 * design.y, x=design.x * np.array([1e-3, 1.0])), "partial_pooling", draws=100)
    for name, factor in (("slope", 1e9), ("tau", 1e9), ("sigma", 1e6), ("control_slope", 1e6)):
        np.testing.assert_allclose(flat_draws(other, name), factor * flat_draws(base, name), rtol=1e-4)


def test_unknown_engine():
    with pytest.raises(InputError, match="unknown engine 'stan'; there are auto, collapsed, pymc"):
        fit(panel("balanced"), "partial_pooling", engine="stan")


def test_unknown_model():
    with pytest.raises(InputError, match="did you mean 'partial_pooling'"):
        fit(panel("balanced"), "partial_poling")


def test_a_model_that_cannot_be_collapsed():
    with pytest.raises(InputError, match="'student_t' cannot be collapsed; the PyMC engine fits them"):
        fit(panel("balanced"), "student_t", engine="collapsed")


@pytest.mark.parametrize("model", [name for name in panel_model_names() if load_panel_model(name).uses_groups])
def test_a_model_that_needs_groups_says_so(model):
    """`fit` reduces it; whoever lays out its columns without that is told."""
    with pytest.raises(InputError, match=f"the model '{model}' needs two groups or more"):
        make_blocks(load("grunfeld"), load_panel_model(model))


@pytest.mark.parametrize("engine", ["auto", "pymc"])
@pytest.mark.parametrize("residual", ["normal", "student_t"])
def test_which_engine_fits(monkeypatch, engine, residual):
    """PyMC's twin fits what is asked of it, and what cannot be collapsed; it is given what was asked."""
    from cbec_bayes.bayes.pymc import twin

    asked = {}

    def stand_in(blocks, **options):
        asked.update(options, blocks=blocks)
        return "tree", "diagnostics"

    monkeypatch.setattr(twin, "fit_twin", stand_in)
    model = member(group_slope="pooled", residual=residual)
    found = fit(panel("balanced"), model, engine=engine, draws=20, chains=2, seed=9)
    if engine == "auto" and residual == "normal":
        assert asked == {}
        return
    assert (found.tree, found.diagnostics, found.collapsed) == ("tree", "diagnostics", None)
    assert callable(asked.pop("on_progress"))
    assert asked == {"blocks": found.blocks, "draws": 20, "chains": 2, "seed": 9}


def test_exposure_alone():
    """No controls: nothing of theirs is in the posterior."""
    found = fit(grouped(random_design(3, 12, 6, n_terms=1), 3), "partial_pooling_all", draws=100)
    assert not {name for name in posterior(found).data_vars if "control" in name or "phi" in name}
    assert found.khat < 0.7


def fixed(value):
    return Prior("fixed", {"value": value})


@pytest.mark.parametrize(
    "priors",
    [{"sigma": fixed(0.5), "tau": fixed(0.4)}, {"tau": fixed(0.4)}, {"sigma": fixed(0.3)}, {"tau": fixed(0.0)}],
    ids=str,
)
def test_scales_may_be_held(priors):
    design = panel("unbalanced")
    found = fit(design, member(priors, group_slope="pooled"), draws=250)
    assert found.diagnostics.ess_bulk_min > 700
    assert_held(found, priors)
    factors = pooling_factors(found)
    assert ((factors >= 0) & (factors <= 1)).all()
    if priors.get("tau") == fixed(0.0):
        np.testing.assert_allclose(factors, 1)
        np.testing.assert_array_equal(flat_draws(found, "group_slope"), 0)


@pytest.mark.nightly
def test_the_twin_holds_scales_too():
    priors = {"sigma": fixed(0.5), "tau": fixed(0.4)}
    model = member(priors, group_slope="pooled")
    assert_held(fit(panel("unbalanced"), model, engine="pymc", draws=50, chains=2), priors)


def assert_held(found, priors):
    """Every draw of a scale that its prior holds is the prior's value, in the units of the data."""
    design = found.design
    sd_y, sd_d = design.spread.within[:2]
    for name, prior in priors.items():
        value = prior.params["value"] * (sd_y if name == "sigma" else sd_y / sd_d)
        draws = posterior(found)[name].to_numpy()
        assert draws.shape == posterior(found)["slope"].shape
        np.testing.assert_allclose(draws, value, rtol=1e-12)


@pytest.mark.parametrize("upper", [0.01, 0.1])
def test_a_uniform_prior_may_end_below_what_the_data_want(upper):
    prior = {"tau": Prior("uniform", {"upper": upper}), "sigma": Prior("uniform", {"upper": 0.2})}
    found = fit(panel("unbalanced"), member(prior, group_slope="pooled"), draws=250)
    assert float(found.tree["posterior"]["tau"].max()) <= found.priors["tau"].params["upper"]


@pytest.mark.parametrize("names", [("gdp/capita", ("d", "x")), ("y", ("d/e", "x/y")), ("obs", ("d", "x"))], ids=str)
def test_any_name_of_a_column(names):
    outcome, terms = names
    found = fit(replace(panel("unbalanced"), outcome=outcome, terms=terms), "partial_pooling_all", draws=20)
    assert found.tree["observed_data"].data_vars
    assert netcdf_bytes(found.tree)


def test_the_path_with_a_scale_per_group_reaches_both_ends():
    """The ends are members without tau: one slope for all, and one for each group; all have a residual scale per group.

    Slopes differ from theirs by the Monte Carlo error of the residual scales alone, here of some 1/60 of their sd.
    """
    design = panel("produc_unbalanced")
    unit = float(design.spread.within[0] / design.spread.within[1])
    path = shrinkage_path(fit(design, "group_variance", draws=20), np.array([1e-5, 500]) * unit, draws=2_000)
    one = flat_draws(fit(design, member(spread="by_group")), "slope")
    each = flat_draws(fit(design, member(spread="by_group", group_slope="fixed")), "group_total_slope")
    for means, sds, draws in ((path.means[0], path.sds[0], one[:, None]), (path.means[1], path.sds[1], each)):
        sd = draws.std(axis=0)
        np.testing.assert_allclose((means - draws.mean(axis=0)) / sd, 0, atol=ERRORS * np.sqrt(1 / 4_000 + 1 / 2_000))
        np.testing.assert_allclose(sds / sd, 1, atol=0.1)
    assert (np.abs(path.means[1] - path.means[0]) > 2 * path.sds[0]).any()


def test_the_path_under_equal_residual_scales_ends_at_the_two_regressions():
    """With every group's residual scale held at one value, the ends are least squares: no Monte Carlo error is left."""
    design = panel("produc_unbalanced")
    unit = float(design.spread.within[0] / design.spread.within[1])
    model = member({"sigma": fixed(0.1)}, spread="by_group", group_slope="pooled")
    path = shrinkage_path(fit(design, model, draws=20), np.array([1e-5, 500]) * unit, draws=20)
    np.testing.assert_allclose(path.means[0], twfe(design).estimate[0], atol=1e-6 * unit)
    own = twfe(interacted(design)).estimate[: len(design.groups)]
    np.testing.assert_allclose(path.means[1], own, atol=1e-5 * unit)


def test_a_residual_scale_of_zero_is_refused():
    with pytest.raises(InputError, match="sigma cannot be fixed at 0"):
        fit(panel("unbalanced"), member({"sigma": fixed(0.0)}, group_slope="pooled"))


def test_unit_effects_may_be_held_at_zero():
    model = member({"sigma_mu": fixed(0.0)}, unit_effect="random", group_slope="pooled")
    found = fit(panel("unbalanced"), model, draws=50)
    np.testing.assert_array_equal(found.tree["posterior"]["unit_effect"].to_numpy(), 0)


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["paper", "public"])
def test_both_engines_sample_the_same_posterior_of_both_studies(name):
    """tests/jobs/test_fit.py has a smaller panel for `make test`."""
    twin = fit(panel(name), "partial_pooling", engine="pymc", draws=1000, seed=5)
    twin.diagnostics.require()
    assert_same_posterior(posterior(studied("partial_pooling", name)), posterior(twin))


def test_the_distance_from_a_prior_is_that_of_kolmogorov():
    draws = np.random.default_rng(6).standard_t(4, size=300)
    assert _distance(np.sort(stats.norm.cdf(draws))) == stats.kstest(draws, "norm").statistic


@pytest.mark.parametrize("name", ["paper", "public"])
def test_a_scale_that_no_datum_speaks_of_is_named(name):
    assert studied("correlated_effects", name).unlearned == ("sigma_lambda",)
    assert studied("partial_pooling", name).unlearned == ()


@pytest.mark.parametrize("power", [8, -8, 20, -20])
@pytest.mark.parametrize("what", ["outcome", "exposure"])
def test_a_unit_is_a_unit(power, what):
    """Affine rescaling of a column rescales the slopes, and nothing else, over forty powers of ten."""
    design = panel("balanced")
    size = 10.0**power
    scaled = replace(design, y=design.y * size) if what == "outcome" else replace(design, x=design.x * size)
    back = 1 / size if what == "outcome" else size
    one, two = (effects(fit(each, "partial_pooling", draws=50)) for each in (design, scaled))
    for column in ("no_pooling", "no_pooling_se", "complete_pooling", "mean", "sd", "ci_low", "ci_high", "mcse"):
        np.testing.assert_allclose(two[column] * back, one[column], rtol=1e-6)
    for column in ("p_positive", "pooling_factor"):
        np.testing.assert_allclose(two[column], one[column], rtol=1e-6)


def test_a_fit_is_printed_in_a_few_lines():
    found = fit(simulated(0.3, n_groups=14, n_units=28, n_times=4), "partial_pooling", draws=100)
    lines = str(found).splitlines()
    assert repr(found) == str(found)
    assert lines[0].startswith("partial_pooling: ")
    assert lines[1].startswith("Design of 112 rows, 28 units, 4 periods")
    slopes = [line for line in lines if "group_total_slope[" in line]
    assert len(slopes) == 12
    assert any("... and 2 more of group_total_slope" in line for line in lines)
    drawn = flat_draws(found, "slope")
    own = next(line.split() for line in lines if line.split()[0] == "slope")
    expected = [drawn.mean(), drawn.std(ddof=1), *np.quantile(drawn, [0.025, 0.975])]
    assert [float(cell) for cell in own[1:]] == pytest.approx(expected, rel=1e-3)
    assert lines[-1].startswith("Intervals are 95 %, equal-tailed. ")
