from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pyfixest as pf
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

from cbec_bayes.classical.batch import prepare
from cbec_bayes.classical.conventions import CONVENTIONS
from cbec_bayes.classical.fits import quiet
from cbec_bayes.classical.regression import twfe, without_singletons
from cbec_bayes.classical.tables import interacted
from cbec_bayes.panel.design import make_design
from cbec_bayes.runtime.errors import InputError
from tests.support.regressions import (
    CASES,
    PYFIXEST,
    R,
    clustered,
    design_of,
    dummies,
    dummy_ols,
    fit,
    golden,
    load,
    panel_of_case,
    random_design,
)


def columns_with_effects(design):
    """The regressors, every unit dummy and every time dummy but one: full rank on a connected panel."""
    return np.column_stack([design.x, dummies(design.unit, design.time)[:, :-1]])


@pytest.mark.parametrize("name", CASES)
def test_every_number_of_r_and_pyfixest(name):
    design, found = load(name), fit(name)
    case, theirs = R["cases"][name], PYFIXEST["cases"][name]
    plm, lm = case["plm"], case["lm_dummies"]
    assert (found.n_obs, found.n_units, found.n_times) == (case["nobs"], case["n_units"], case["n_times"])
    assert (found.outcome, list(found.terms), found.dropped) == (case["formula"].split(" ~ ")[0], case["slopes"], ())
    np.testing.assert_allclose(found.estimate, golden(plm["coef"], design), rtol=1e-9)
    np.testing.assert_allclose(found.estimate, golden(theirs["coef"], design), rtol=1e-9)
    assert found.rss == pytest.approx(plm["rss"], rel=1e-10)
    assert found.r2 == pytest.approx(plm["r2_overall"], rel=1e-12)
    assert found.r2 == pytest.approx(lm["r2"], rel=1e-12)
    assert found.r2_adjusted == pytest.approx(lm["r2_adj"], rel=1e-12)
    assert found.r2_adjusted == pytest.approx(theirs["r2_adj"], rel=1e-12)
    assert found.r2_within == pytest.approx(plm["r2_within"], rel=1e-11)
    assert found.r2_within_adjusted == pytest.approx(theirs["r2_within_adj"], rel=1e-11)
    # plm adjusts by all rows less one, we and fixest by what the effects leave.
    n, rank = case["nobs"], case["n_units"] + case["n_times"] - 1
    ours_as_plm = 1 - (1 - found.r2_within_adjusted) * (n - 1) / (n - rank)
    assert ours_as_plm == pytest.approx(plm["r2_within_adj"], rel=1e-11)


@pytest.mark.parametrize("name", CASES)
def test_the_direct_way_is_pyfixest(name):
    design = load(name)
    own, theirs = twfe(design, directly=True), twfe(design)
    np.testing.assert_allclose(own.vcov, theirs.vcov, rtol=1e-8, atol=1e-9 * np.abs(theirs.vcov).max())
    for field in ("estimate", "se", "df", "constant", "constant_se", "r2", "r2_adjusted", "r2_within", "rss"):
        np.testing.assert_allclose(getattr(own, field), getattr(theirs, field), rtol=1e-9, err_msg=field)


@pytest.mark.parametrize("name", CASES)
def test_the_constant_is_that_of_plm(name):
    theirs, ours = R["cases"][name]["plm"]["within_intercept"], fit(name, "plm")
    assert ours.constant == pytest.approx(theirs["value"], rel=1e-9)
    assert ours.constant_se == pytest.approx(theirs["se_HC0"], rel=1e-9)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("ssc", CONVENTIONS)
def test_the_constant_by_its_own_regression(ssc, name):
    """Put the means back and regress on a constant: what plm does, with the factor of the convention."""
    design, found = load(name), fit(name, ssc)
    y = design.effects.within(design.y) + design.y.mean()
    x = sm.add_constant(design.effects.within(design.x) + design.x.mean(axis=0))
    groups = {"groups": design.unit, "use_correction": False}
    pooled = sm.OLS(y, x).fit(cov_type="cluster", cov_kwds=groups)
    factor = CONVENTIONS[ssc].factor(design.n_obs, len(design.terms), len(design.units), design.effects.rank)
    assert found.constant == pytest.approx(pooled.params[0], rel=1e-8)
    assert found.constant_se == pytest.approx(np.sqrt(factor) * pooled.bse[0], rel=1e-8)
    np.testing.assert_allclose(found.estimate, pooled.params[1:], rtol=1e-8)
    np.testing.assert_allclose(found.se, np.sqrt(factor) * pooled.bse[1:], rtol=1e-8)


@settings(max_examples=25)
@given(st.integers(0, 2**16), st.sampled_from([1.0, 0.7, 0.5]), st.sampled_from(list(CONVENTIONS)))
def test_any_panel_is_the_dense_regression(seed, share, ssc):
    design = random_design(seed, 9, 7, n_terms=2, share=share)
    used = without_singletons(design) if CONVENTIONS[ssc].drop_singletons else design
    found = twfe(design, ssc=ssc)
    slopes, residual = dummy_ols(used)
    size = (used.n_obs, 2, len(used.units), used.effects.rank)
    np.testing.assert_allclose(found.estimate, slopes, rtol=1e-8, atol=1e-10)
    assert found.rss == pytest.approx(residual @ residual, rel=1e-9)
    if size[3] == size[2] + len(used.times) - 1:  # in one piece; pyfixest counts the effects of others otherwise
        np.testing.assert_allclose(found.vcov, CONVENTIONS[ssc].factor(*size) * clustered(used), rtol=1e-7, atol=1e-12)


def test_some_terms_only():
    design = load("produc")
    found = twfe(design, ["unemp", "log(pcap)"])
    assert found.terms == ("unemp", "log(pcap)")
    np.testing.assert_allclose(found.estimate, twfe(design.keeping(["log(pcap)", "unemp"])).estimate[::-1], rtol=1e-10)
    np.testing.assert_allclose(found.estimate, dummy_ols(design.keeping(["unemp", "log(pcap)"]))[0], rtol=1e-9)
    with pytest.raises(InputError, match="unknown regressor 'unempl'; did you mean 'unemp'"):
        twfe(design, ["unempl"])


@pytest.mark.parametrize("name", ["produc", "produc_unbalanced"])
def test_slopes_per_group_equal_interactions_by_hand(name):
    design = load(name)
    both = interacted(design)
    assert both.terms == (*(f"log(pcap)[{group}]" for group in design.groups), *design.terms[1:])
    found = twfe(both, ssc="fixest")

    frame = pd.DataFrame({"y": design.y, "unit": design.unit, "time": design.time})
    for group in design.groups:  # from the labels, not from the codes
        own = np.array([design.groups[code] == group for code in design.group])
        frame[f"d{group}"] = np.where(own, design.x[:, 0], 0.0)
    frame[["pc", "emp", "unemp"]] = design.x[:, 1:]
    slopes = [f"d{group}" for group in design.groups] + ["pc", "emp", "unemp"]
    with quiet():
        theirs = pf.feols(
            f"y ~ {' + '.join(slopes)} | unit + time",
            frame,
            vcov={"CRV1": "unit"},
            demeaner=pf.MapDemeaner(fixef_tol=1e-13, fixef_maxiter=1_000_000),
        )
    np.testing.assert_allclose(found.estimate, theirs.coef()[slopes], rtol=1e-9)
    np.testing.assert_allclose(found.se, theirs.se()[slopes], rtol=1e-9)

    groups = {"groups": design.unit, "use_correction": False}
    dense = sm.OLS(design.y, np.column_stack([frame[slopes], dummies(design.unit, design.time)[:, :-1]])).fit(
        cov_type="cluster", cov_kwds=groups
    )
    bare = twfe(both, ssc="plm")
    np.testing.assert_allclose(bare.estimate, dense.params[: len(slopes)], rtol=1e-7)
    np.testing.assert_allclose(bare.se, dense.bse[: len(slopes)], rtol=1e-7)


def test_slopes_per_group_need_groups():
    with pytest.raises(InputError, match="need groups"):
        interacted(load("grunfeld"))


@pytest.mark.parametrize("name", ["produc", "produc_unbalanced"])
def test_a_regression_per_group_is_that_of_the_subset_and_of_full_interaction(name):
    design, panel = load(name), panel_of_case(name)
    by_group = {group: twfe(design.of_group(group), ssc="plm") for group in design.groups}
    for group, found in by_group.items():
        subset = twfe(make_design(panel.of_group(group)), ssc="plm")
        np.testing.assert_allclose(found.estimate, subset.estimate, rtol=1e-12)
        np.testing.assert_allclose(found.vcov, subset.vcov, rtol=1e-11)
        assert found.n_obs == (design.group == design.groups.index(group)).sum()
    # Everything times the group: slopes, and a period effect of its own for each group.
    own = (design.group[:, None] == np.arange(len(design.groups))).astype(float)
    n = design.n_obs
    slopes = (own[:, :, None] * (design.x - design.x.mean(axis=0))[:, None, :]).reshape(n, -1)
    times = (own[:, :, None] * dummies(design.time, design.time)[:, None, : len(design.times)]).reshape(n, -1)
    units = dummies(design.unit, design.unit)[:, : len(design.units)]
    dense = np.linalg.lstsq(np.column_stack([slopes, units, times]), design.y, rcond=1e-12)[0]
    ours = np.array([by_group[group].estimate for group in design.groups])
    np.testing.assert_allclose(ours, dense[: slopes.shape[1]].reshape(ours.shape), rtol=1e-7)
    np.testing.assert_allclose(twfe(load("produc_region_2")).estimate, fit("produc_region_2").estimate)


def test_a_collinear_term_is_left_out():
    design = random_design(4, 8, 6, share=0.8)
    x = np.column_stack([design.x[:, 0], 2 * design.x[:, 0] + design.unit, design.x[:, 1], design.time])
    collinear = design.with_regressors(("a", "twice a", "b", "trend"), x)
    found = twfe(collinear)
    assert found.dropped == ("twice a", "trend")
    alone = twfe(design)
    np.testing.assert_allclose(found.estimate[[0, 2]], alone.estimate, rtol=1e-10)
    np.testing.assert_allclose(found.vcov[np.ix_([0, 2], [0, 2])], alone.vcov, rtol=1e-9)
    for values in (found.estimate, found.se, found.t, found.p, np.diag(found.vcov), *found.interval()):
        assert np.isnan(values).tolist() == [False, True, False, True]
    assert np.isnan(found.vcov[1]).all()
    for name in ("r2", "r2_adjusted", "r2_within", "r2_within_adjusted", "rss", "constant", "constant_se", "df"):
        assert getattr(found, name) == pytest.approx(getattr(alone, name), rel=1e-9), name
    frame = found.frame()
    assert frame["term"].tolist() == ["a", "twice a", "b", "trend", "(constant)"]
    assert frame["estimate"].isna().tolist() == [False, True, False, True, False]


def test_the_frame_has_a_row_per_term_and_one_for_the_constant():
    found = fit("grunfeld")
    frame = found.frame()
    assert frame.columns.tolist() == ["term", "estimate", "se", "t", "p", "ci_low", "ci_high"]
    assert frame["term"].tolist() == ["value", "capital", "(constant)"]
    assert frame["estimate"].tolist() == [*found.estimate, found.constant]
    assert frame["t"].tolist() == [*found.t, found.constant / found.constant_se]
    # t with 9 degrees of freedom has its 97.5 % point at 2.262157.
    np.testing.assert_allclose((frame["ci_high"] - frame["estimate"])[:2] / found.se, 2.262157, atol=1e-6)
    np.testing.assert_allclose(frame["estimate"] - frame["ci_low"], frame["ci_high"] - frame["estimate"])


def test_regressions_that_cannot_be_run():
    full = random_design(0, 4, 3, n_terms=8)
    with pytest.raises(InputError, match="12 rows are too few for 6 regressors and 6 unit and time effects"):
        twfe(full)
    assert np.isfinite(twfe(full, full.terms[:5]).se).all()
    absorbed = full.with_regressors(("a", "b"), np.column_stack([full.unit, full.time]))
    with pytest.raises(
        InputError, match="unit and period effects explain every regressor, so that no slope can be estimated: a, b"
    ):
        twfe(absorbed)
    one = design_of(full.y[:3], full.x[:3], ["only"] * 3, range(3))
    with pytest.raises(InputError, match="need two units or more; there is one, unit only"):
        twfe(one, ssc="fixest")
    with pytest.raises(InputError, match="unknown convention 'stata'"):
        twfe(full, ssc="stata")


@pytest.mark.parametrize("scale", [1e-8, 1e-4, 1e5, 1e8])
@pytest.mark.parametrize("name", ["grunfeld_unbalanced", "produc"])
def test_units_of_measurement_change_nothing(name, scale):
    """Columns of any size: pyfixest's tolerances are absolute, ours may not be."""
    design = load(name)
    plain = twfe(design)
    units = np.ones(len(design.terms))
    units[-1] = scale
    moved = twfe(replace(design, x=design.x * units, y=design.y * 1e5 + 1e7))
    np.testing.assert_allclose(moved.estimate, plain.estimate * 1e5 / units, rtol=1e-8)
    np.testing.assert_allclose(moved.se, plain.se * 1e5 / units, rtol=1e-8)
    assert moved.r2 == pytest.approx(plain.r2, rel=1e-9)


@pytest.mark.parametrize("ssc", CONVENTIONS)
def test_unconnected_pieces_count_their_own_effects(ssc):
    """Two panels side by side, no period in common: the batch and the regression count the same rank."""
    design = random_design(0, 8, 12)
    design = design.rows((design.unit < 4) == (design.time < 6))
    assert design.effects.rank == 8 + 12 - 2
    one = twfe(design, ssc=ssc)
    many = prepare(design, ssc=ssc).fit(design.y[None])
    np.testing.assert_allclose(many.se[0], one.se, rtol=1e-9)


def test_the_root_logger_is_left_alone():
    """pyfixest configures it as it is imported, after which other packages' lines would show."""
    code = (
        "import logging; from cbec_bayes.classical.fits import pyfixest; pyfixest(); pyfixest().feols; "
        "print(logging.getLogger().handlers, logging.getLogger().level)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] 30"
