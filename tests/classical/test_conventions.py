from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from linearmodels.panel import PanelOLS
from pyfixest.utils.utils import get_ssc
from scipy import stats

from cbec_bayes.classical.conventions import CONVENTIONS, Convention, convention
from cbec_bayes.classical.regression import twfe, two_sided, without_singletons
from cbec_bayes.runtime.errors import InputError
from tests.support.regressions import (
    CASES,
    PYFIXEST,
    R,
    clustered,
    design_of,
    dummy_ols,
    fit,
    golden,
    load,
    random_design,
)

# Whose printed standard errors each preset must give, and where golden.json and pyfixest.json keep them.
SOURCES = {
    "plm": lambda name: R["cases"][name]["plm"]["vcovHC_arellano_group"]["HC0"],
    "plm_sss": lambda name: R["cases"][name]["plm"]["vcovHC_arellano_group"]["sss"],
    "areg": lambda name: R["cases"][name]["lm_dummies"]["vcovCL"]["HC1"],
    "fixest": lambda name: PYFIXEST["cases"][name]["se"],
    "reghdfe": lambda name: PYFIXEST["cases"][name]["se"],  # no golden case has a unit or period seen once
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("ssc", SOURCES)
def test_standard_errors_are_those_of_the_program(ssc, name):
    np.testing.assert_allclose(fit(name, ssc).se, golden(SOURCES[ssc](name), load(name)), rtol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_standard_errors_are_those_of_linearmodels(name):
    design, ours = load(name), fit(name, "linearmodels")
    index = pd.MultiIndex.from_arrays([design.unit, design.time])
    x = pd.DataFrame(design.x, index=index, columns=[f"x{k}" for k in range(design.x.shape[1])])
    model = PanelOLS(pd.Series(design.y, index=index, name="y"), x, entity_effects=True, time_effects=True)
    theirs = model.fit(cov_type="clustered", cluster_entity=True)
    np.testing.assert_allclose(ours.estimate, theirs.params, rtol=1e-8)
    np.testing.assert_allclose(ours.se, theirs.std_errors, rtol=1e-8)
    np.testing.assert_allclose(ours.p, theirs.pvalues, rtol=1e-6, atol=1e-14)
    assert ours.df == theirs.df_resid
    np.testing.assert_allclose(ours.interval(0.9)[0], theirs.conf_int(0.9)["lower"], rtol=1e-7)


def test_the_published_example_of_reghdfe():
    found = twfe(load("grunfeld"), ["capital"], ssc="reghdfe")
    assert round(found.se[0], 8) == PYFIXEST["reghdfe_example"]["published"] == 0.06328129
    example = R["reghdfe_example"]
    assert found.se[0] == pytest.approx(example["se_nonnested"], rel=1e-10)
    assert found.estimate[0] == pytest.approx(example["coef"], rel=1e-10)
    assert twfe(load("grunfeld"), ["capital"], ssc="plm").se[0] == pytest.approx(example["se_CR0"], rel=1e-10)
    assert twfe(load("grunfeld"), ["capital"], ssc="areg").se[0] == pytest.approx(example["se_lm_vcovCL_HC1"], rel=1e-9)


def test_the_printed_example_of_baltagi():
    # B. H. Baltagi, Econometric Analysis of Panel Data: Grunfeld, two-way within; errors not clustered.
    design, found = load("grunfeld"), fit("grunfeld")
    np.testing.assert_array_equal(found.estimate.round(6), [0.117716, 0.357916])
    within = design.effects.within(design.x)
    iid = np.sqrt(np.diag(found.rss / (200 - 2 - 29) * np.linalg.inv(within.T @ within)))
    np.testing.assert_array_equal(iid.round(6), [0.013751, 0.022719])
    assert abs(found.rss - 452150) < 5
    # Baltagi's R2 as handed down, .72015, is ours rounded up in its last digit.
    assert abs(found.r2_within - 0.72015) < 1e-5


SETTINGS = {
    f"k_{k}_G_{'on' if g else 'off'}": Convention(
        name="", k_adj="n-1", g_adj=g, k_fixef=k, df="clusters", drop_singletons=False, source=""
    )
    for k in ("none", "nonnested", "full")
    for g in (True, False)
} | {
    f"no_k_G_{'on' if g else 'off'}": Convention(
        name="", k_adj=None, g_adj=g, k_fixef="none", df="clusters", drop_singletons=False, source=""
    )
    for g in (True, False)
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_of_pyfixest(setting, name):
    design, values = load(name), PYFIXEST["cases"][name]["ssc"]
    assert set(SETTINGS) == set(values)
    size = (design.n_obs, len(design.terms), len(design.units), design.effects.rank)
    factor = SETTINGS[setting].factor(*size)
    assert factor == pytest.approx(values[setting]["factor"], rel=1e-13)
    # The same from what pyfixest printed with and without it, and by our own fit.
    printed, bare = (golden(values[key]["se"], design) for key in (setting, "no_k_G_off"))
    np.testing.assert_allclose((printed / bare) ** 2, factor, rtol=1e-9)
    np.testing.assert_allclose(twfe(design, ssc=SETTINGS[setting]).se, printed, rtol=1e-9)


@given(st.integers(2, 60), st.integers(2, 60), st.integers(1, 6), st.integers(1, 200), st.sampled_from(list(SETTINGS)))
def test_the_factor_is_that_of_pyfixest_at_any_size(n_units, n_times, n_slopes, free, setting):
    n_obs, ssc = n_units + n_times - 1 + n_slopes + free, SETTINGS[setting]
    theirs, _, df = get_ssc(
        ssc_dict={"k_adj": ssc.k_adj is not None, "k_fixef": ssc.k_fixef, "G_adj": ssc.g_adj, "G_df": "min"},
        N=n_obs,
        k=n_slopes,
        k_fe=n_units + n_times,
        k_fe_nested=n_units,
        n_fe=2,
        n_fe_fully_nested=1,
        G=n_units,
        vcov_sign=1,
        vcov_type="CRV",
    )
    size = (n_obs, n_slopes, n_units, n_units + n_times - 1)
    assert ssc.factor(*size) == pytest.approx(theirs[0], rel=1e-13)
    assert ssc.degrees(*size) == df


def test_factors_by_hand():
    # n = 100, K = 3, N = 10, T = 12.
    size = (100, 3, 10, 10 + 12 - 1)
    by_hand = {
        "reghdfe": 10 / 9 * 99 / (100 - 3 - 12),
        "fixest": 10 / 9 * 99 / (100 - 3 - 12),
        "areg": 10 / 9 * 99 / (100 - 3 - 21),
        "plm": 1,
        "plm_sss": 10 / 9 * 99 / (100 - 3),
        "linearmodels": 100 / (100 - 3 - 21),
    }
    degrees = {"reghdfe": 9, "fixest": 9, "areg": 9, "plm": 76, "plm_sss": 76, "linearmodels": 76}
    assert {name: ssc.factor(*size) for name, ssc in CONVENTIONS.items()} == pytest.approx(by_hand, rel=1e-14)
    assert {name: ssc.degrees(*size) for name, ssc in CONVENTIONS.items()} == degrees
    assert (
        Convention(
            name="", k_adj="n", g_adj=False, k_fixef="none", df="normal", drop_singletons=False, source=""
        ).degrees(*size)
        == math.inf
    )


@pytest.mark.parametrize("name", CASES)
def test_p_values_are_those_of_the_program(name):
    case, design = PYFIXEST["cases"][name], load(name)
    ours = fit(name, "fixest")
    assert ours.df == case["df_t"]
    np.testing.assert_allclose(ours.t, golden(case["tstat"], design), rtol=1e-8)
    np.testing.assert_allclose(ours.p, golden(case["p"], design), rtol=1e-7, atol=1e-15)  # theirs is 1 - cdf
    plm = R["cases"][name]["plm"]
    t = golden(plm["coef"], design) / golden(plm["vcovHC_arellano_group"]["HC0"], design)
    assert fit(name, "plm").df == fit(name, "plm_sss").df == plm["df_residual"]
    np.testing.assert_allclose(fit(name, "plm").p, 2 * stats.t.sf(np.abs(t), plm["df_residual"]), rtol=1e-6)


def test_p_values_by_hand():
    # One and two degrees of freedom have p in closed form: 1 - 2 atan(t) / pi and 1 - t / sqrt(t^2 + 2).
    t = np.array([[0.0, 1.0], [-2.5, 40.0]])
    np.testing.assert_allclose(two_sided(t, 1), 1 - 2 * np.arctan(np.abs(t)) / np.pi, rtol=1e-12)
    np.testing.assert_allclose(two_sided(t, 2), 1 - np.abs(t) / np.sqrt(t**2 + 2), rtol=1e-11)
    np.testing.assert_allclose(
        two_sided(t, math.inf), [[math.erfc(abs(v) / math.sqrt(2)) for v in row] for row in t], rtol=1e-12
    )
    normal = Convention(
        name="normal", k_adj=None, g_adj=False, k_fixef="none", df="normal", drop_singletons=False, source=""
    )
    found = twfe(load("grunfeld"), ssc=normal)
    np.testing.assert_allclose(found.interval(0.95)[1] - found.estimate, 1.959963984540054 * found.se)
    np.testing.assert_allclose(found.p, [math.erfc(t / math.sqrt(2)) for t in found.t], rtol=1e-10)


@pytest.mark.parametrize("share", [1.0, 0.6])
@pytest.mark.parametrize("ssc", CONVENTIONS)
def test_a_panel_with_more_periods_than_units(ssc, share):
    design = random_design(5, 5, 30, share=share)
    found, preset = twfe(design, ssc=ssc), CONVENTIONS[ssc]
    used = without_singletons(design) if preset.drop_singletons else design
    factor = preset.factor(used.n_obs, 2, 5, used.effects.rank)
    np.testing.assert_allclose(found.estimate, dummy_ols(used)[0], rtol=1e-9)
    np.testing.assert_allclose(found.vcov, factor * clustered(used), rtol=1e-8)


def with_singletons():
    """Unit 20 is seen once, with the only row but one of period 90; when it goes, so does the period, so does unit 21.

    Unit 21 has period 90 and one other, 0.
    """
    design = random_design(8, 6, 5)
    rng = np.random.default_rng(9)
    unit = np.append(design.unit, [20, 21, 21])
    time = np.append(design.time, [90, 90, 0])
    return design, design_of(
        np.append(design.y, rng.normal(size=3)), np.vstack([design.x, rng.normal(size=(3, 2))]), unit, time
    )


def test_rows_that_say_nothing_are_dropped_one_after_another():
    core, design = with_singletons()
    used = without_singletons(design)
    assert used.units == core.units
    assert used.times == core.times
    np.testing.assert_array_equal(used.y, core.y)
    reghdfe, fixest = twfe(design, ssc="reghdfe"), twfe(design, ssc="fixest")
    assert (reghdfe.n_obs, reghdfe.n_units, reghdfe.n_times) == (30, 6, 5)
    assert (fixest.n_obs, fixest.n_units, fixest.n_times) == (33, 8, 6)
    np.testing.assert_allclose(reghdfe.estimate, fixest.estimate, rtol=1e-9)
    assert reghdfe.rss == pytest.approx(fixest.rss, rel=1e-9)
    assert reghdfe.r2_within == pytest.approx(fixest.r2_within, rel=1e-9)
    assert abs(reghdfe.r2 - fixest.r2) > 1e-4
    # CR0 does not change either: all that does is the factor.
    size, less = (33, 2, 8, 13), (30, 2, 6, 10)
    ratio = CONVENTIONS["reghdfe"].factor(*less) / CONVENTIONS["fixest"].factor(*size)
    np.testing.assert_allclose(reghdfe.vcov, fixest.vcov * ratio, rtol=1e-9)
    assert (reghdfe.df, fixest.df) == (5, 7)


def test_without_singletons_nothing_is_dropped():
    design = load("produc_unbalanced")
    assert without_singletons(design) is design
    lone = design_of(np.arange(3.0), np.ones((3, 1)), [0, 1, 2], [0, 0, 1])
    with pytest.raises(InputError, match="has only one row"):
        without_singletons(lone)


def test_an_unknown_convention_is_answered_with_the_names():
    assert list(CONVENTIONS) == ["reghdfe", "fixest", "areg", "plm", "plm_sss", "linearmodels"]
    assert all(ssc.name == name and ssc.source for name, ssc in CONVENTIONS.items())
    assert [name for name, ssc in CONVENTIONS.items() if ssc.drop_singletons] == ["reghdfe"]
    assert convention("plm") is CONVENTIONS["plm"]
    with pytest.raises(InputError, match="unknown convention 'reghfde'; did you mean 'reghdfe'"):
        convention("reghfde")
