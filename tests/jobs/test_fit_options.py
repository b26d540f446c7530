"""What a fit may be asked for beside its model: a half-width, wider priors, a level of intervals, slopes of units."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.commands import program as cli
from cbec_bayes.estimands.groups import unit_slopes
from cbec_bayes.jobs.fit import fit_file, fit_folder, fit_moments_file
from cbec_bayes.jobs.fit_settings import FitOptions, content, read_settings
from cbec_bayes.jobs.moments_file import moments_bytes
from cbec_bayes.panel.design import make_design
from cbec_bayes.runtime.errors import InputError
from tests.support.moments import gather
from tests.support.panels import table

ROLES = {"outcome": "y", "exposure": "x", "controls": ["z"], "unit": "unit", "time": "time", "group": "group"}
COLUMNS = [text for name, value in ROLES.items() for text in (f"--{name}", "z" if name == "controls" else value)]


def write(folder):
    path = folder / "panel.csv"
    table(8, 6, seed=2).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    path = write(tmp_path_factory.mktemp("panel"))

    @cache
    def found(options=None, model="partial_pooling"):
        return fit_file(path, **ROLES, model=model, seed=3, options=options or FitOptions(), folder=path.parent)

    return found


def test_every_interval_of_the_fits_own_tables_has_the_probability(fitted):
    usual, narrow = fitted(), fitted(FitOptions(ci=0.5))
    for name in ("effects", "contrasts", "estimands"):
        one, two = getattr(usual, name).dropna(subset=["mean"]), getattr(narrow, name).dropna(subset=["mean"])
        np.testing.assert_array_equal(one["mean"], two["mean"])
        assert (two["ci_low"] > one["ci_low"]).all()
        assert (two["ci_high"] < one["ci_high"]).all()
    known = narrow.effects.dropna(subset=["units_mean"])
    np.testing.assert_array_equal(known["units_ci_low"], known["ci_low"])
    own = narrow.classical.dropna(subset=["ci_low"])
    half = own["se"] * stats.t.ppf(0.75, own["df"])
    np.testing.assert_allclose(own["ci_high"] - own["estimate"], half, rtol=1e-10)
    assert (narrow.diagnostics()["ci_prob"], usual.diagnostics()["ci_prob"]) == (0.5, 0.95)
    assert any("Intervals are 50 %, equal-tailed" in note for note in narrow.notes)


def test_the_half_width_is_a_tenth_of_the_ratio_within_unless_it_is_given(fitted):
    usual, given = fitted(), fitted(FitOptions(rope=0.25))
    within = usual.fit.design.spread.within
    np.testing.assert_allclose(usual.estimands["rope_half_width"], 0.1 * within[0] / within[1], rtol=1e-12)
    assert set(given.estimands["rope_half_width"]) == {0.25}
    draws = given.fit.tree["posterior"]["slope"].to_numpy()
    row = given.estimands.set_index("estimand").loc["(all)"]
    assert row["p_rope"] == pytest.approx((np.abs(draws) < 0.25).mean(), abs=4.5 * 0.5 / np.sqrt(draws.size))


def test_the_factor_widens_scales_between_groups_and_units_alone(fitted):
    usual, wide = fitted(), fitted(FitOptions(prior_scale=3.0))
    found, before = wide.fit.priors, usual.fit.priors
    assert found["tau"].params["scale"] == pytest.approx(3 * before["tau"].params["scale"], rel=1e-12)
    assert found["sigma"] == before["sigma"]
    assert any("units are 3 times those of the model" in note for note in wide.notes)
    assert not any("times those of the model" in note for note in usual.notes)


@pytest.mark.parametrize("name", ["partial_pooling_all", "nested", "unit_trends", "correlated_effects"])
def test_which_scales_are_widened(name):
    model = load_panel_model(name)
    found = model.widened(2.0)
    before = model.with_prior_of("covariate_slope").priors
    changed = {key for key, prior in found.priors.items() if prior != before[key]}
    assert changed == {*model.scales, "covariate_slope"} - {"sigma", "sigma_mu", "sigma_lambda"}
    assert all(found.priors[key] == before[key].scaled(2.0) for key in changed)


def test_the_factor_widens_the_slope_on_a_characteristic(tmp_path):
    rng = np.random.default_rng(8)
    unit, time = np.divmod(np.arange(120), 6)
    frame = pd.DataFrame({"unit": unit, "time": time, "group": unit % 4, "income": (unit % 4) ** 2.0})
    frame = frame.assign(x=rng.normal(size=120), y=rng.normal(size=120))
    frame.to_csv(tmp_path / "p.csv", index=False)
    asked = {"outcome": "y", "exposure": "x", "unit": "unit", "time": "time", "group": "group", "slope_on": ["income"]}
    asked |= {"model": "partial_pooling"}
    usual, wide = (
        fit_file(tmp_path / "p.csv", **asked, options=FitOptions(prior_scale=factor, neighbours=False)).fit
        for factor in (1.0, 4.0)
    )
    assert usual.priors["covariate_slope"].params["sd"] * 4 == wide.priors["covariate_slope"].params["sd"]
    spread = [float(found.posterior["covariate_slope"].std()) for found in (usual, wide)]
    assert spread[1] > spread[0]
    plain = fit_file(
        tmp_path / "p.csv",
        **{**asked, "slope_on": []},
        options=FitOptions(prior_scale=4.0, neighbours=False),
    ).fit
    assert "covariate_slope" not in plain.priors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ci", "1"], "--ci is a probability and must lie between 0 and 1, as 0.95 does, not 1"),
        (["--ci", "0"], "--ci is a probability"),
        (["--ci", "nan"], "--ci is a probability"),
        (["--rope", "0"], "--rope is a half-width and must be a positive number, not 0"),
        (["--rope", "inf"], "--rope is a half-width"),
        (["--prior-scale", "-1"], "--prior-scale is a factor and must be a positive number, not -1"),
        (["--unit-slopes", "--model", "ar1"], "--unit-slopes: the model 'ar1' has no slopes of units; 'nested' has"),
    ],
)
def test_an_option_that_makes_no_sense_is_one_line(tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["fit", "--data", str(write(tmp_path)), *COLUMNS, *arguments, "--out", str(tmp_path / "o")])
    captured = capsys.readouterr()
    assert (stopped.value.code, captured.out, captured.err.count("\n")) == (2, "", 1)
    assert message in captured.err
    assert not (tmp_path / "o").exists()


def test_a_folder_keeps_what_was_asked_for(tmp_path, capsys):
    asked = ["--ci", "0.8", "--rope", "0.2", "--prior-scale", "2", "--unit-slopes", "--model", "nested"]
    out = tmp_path / "o"
    with pytest.raises(SystemExit) as stopped:
        cli.main(["fit", "--data", str(write(tmp_path)), *COLUMNS, *asked, "--out", str(out), "-q"])
    assert not stopped.value.code, capsys.readouterr().err
    held = json.loads((out / "fit.json").read_text(encoding="utf-8"))
    assert {name: held[name] for name in ("ci", "rope", "prior_scale", "unit_slopes")} == {
        "ci": 0.8,
        "rope": 0.2,
        "prior_scale": 2.0,
        "unit_slopes": True,
    }
    again = fit_folder(out)
    assert again.options == FitOptions(rope=0.2, prior_scale=2.0, ci=0.8, unit_slopes=True)
    written = pd.read_csv(out / "unit_slopes.csv", keep_default_na=False)
    assert list(written.columns) == ["unit", "group", "mean", "sd", "ci_low", "ci_high", "p_positive", "origin"]
    expected = unit_slopes(again.fit, 0.8)
    assert written["unit"].tolist() == list(again.fit.design.units) == expected["unit"].tolist()
    np.testing.assert_allclose(written[["mean", "ci_low", "ci_high"]], expected[["mean", "ci_low", "ci_high"]])


def test_what_was_asked_for_is_what_a_receipt_is_for(tmp_path):
    settings = {"model": "partial_pooling", "data": "x", **{"rope": None, "prior_scale": 1.0, "ci": 0.95}}
    assert content(settings) != content({**settings, "ci": 0.9})


def test_old_settings_get_the_defaults_and_invalid_ones_are_refused(tmp_path, fitted):
    path = write(tmp_path).with_name("fit.json")
    settings = dict(fitted().settings)
    older = {
        name: value for name, value in settings.items() if name not in ("rope", "prior_scale", "ci", "unit_slopes")
    }
    path.write_text(json.dumps(older), encoding="utf-8")
    assert read_settings(tmp_path) == settings
    for wrong in ({"ci": "0.9"}, {"rope": True}, {"unit_slopes": 1}, {"prior_scale": None}):
        path.write_text(json.dumps(settings | wrong), encoding="utf-8")
        with pytest.raises(InputError, match="not the folder of a fit"):
            read_settings(tmp_path)


def test_moments_take_them_too(tmp_path, fitted):
    options = FitOptions(rope=0.2, prior_scale=2.0, ci=0.8)
    rows = fitted(options)
    file = tmp_path / "moments.nc"
    file.write_bytes(moments_bytes(gather(make_design(rows.panel)).close()))
    found = fit_moments_file(file, model="partial_pooling", seed=3, options=options)
    assert found.settings["ci"] == 0.8
    numbers = ["mean", "sd", "ci_low", "ci_high", "units_ci_low"]
    ours, theirs = (
        one.effects.set_index("group")[numbers] for one in (found, rows)
    )  # groups may come in another order
    np.testing.assert_allclose(ours, theirs.loc[ours.index], rtol=1e-6, atol=1e-9)
    shares = rows.estimands.set_index("estimand")["p_rope"]
    np.testing.assert_allclose(found.estimands["p_rope"], shares[found.estimands["estimand"]], atol=1e-6)
    with pytest.raises(InputError, match="moments hold no single unit"):
        fit_moments_file(file, model="nested", options=FitOptions(unit_slopes=True))
