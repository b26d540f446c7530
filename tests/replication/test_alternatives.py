"""The slope in every panel of a study: against pyfixest and least squares with dummies, from the files themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from linearmodels.panel import PanelOLS

from cbec_bayes.jobs.replicate import replicate_study
from cbec_bayes.panel.study import load_study
from cbec_bayes.replication.alternatives import (
    ALTERNATIVE_COLUMNS,
    WEIGHT_COLUMNS,
    alternatives_frame,
    alternatives_sentence,
    index_weights_frame,
    shown_alternatives,
)
from cbec_bayes.runtime.files import asset_dir
from cbec_bayes.runtime.labels import CI_PROB

CONTROLS = ("ln_gdp", "urban", "dfi", "edu", "rail")


@pytest.fixture(scope="module")
def found() -> pd.DataFrame:
    return alternatives_frame(load_study("circulation"))


@pytest.fixture(scope="module")
def as_linearmodels() -> pd.DataFrame:
    study = load_study("circulation")
    assert study.panel is not None
    tried = ("trillion_yuan", "zones_next_year", "per_head", "share_of_gdp", "transport")
    some = tuple(one for one in study.panel.alternatives if one.name in tried)
    return alternatives_frame(replace(study, panel=replace(study.panel, alternatives=some, convention="linearmodels")))


@pytest.fixture(scope="module")
def files() -> pd.DataFrame:
    """The files of the study, joined and transformed by pandas alone."""
    tables = [
        pd.read_csv(asset_dir("data") / "observed" / f"{name}.csv")
        for name in ("circulation", "commerce", "provinces", "population")
    ]
    joined = tables[0]
    for table in tables[1:]:
        joined = joined.merge(table, on=["province", "year"])
    logs = {f"ln_{name}": np.log(joined[name]) for name in ("circulation", "gdp", "transport")}
    logs["ln_per_head"] = np.log(joined["circulation"] / joined["population"])
    return joined.assign(**logs, share_of_gdp=joined["circulation"] / joined["gdp"], since=joined["year"] - 2014)


def row(found: pd.DataFrame, name: str, regression: str = "levels", vcov: str = "CR2") -> pd.Series:
    rows = found[(found["alternative"] == name) & (found["regression"] == regression) & (found["vcov"] == vcov)]
    assert len(rows) == 1
    return rows.iloc[0]


@pytest.mark.parametrize(
    ("name", "outcome", "exposure", "controls"),
    [
        ("main", "ln_circulation", "zones", CONTROLS),
        ("trillion_yuan", "circulation", "zones", CONTROLS),
        ("zones_next_year", "ln_circulation", "zones_next_year", CONTROLS),
        ("per_head", "ln_per_head", "zones", CONTROLS),
        ("share_of_gdp", "share_of_gdp", "zones", CONTROLS[1:]),
        ("transport", "ln_transport", "zones", CONTROLS),
    ],
)
def test_two_way_fixed_effects_are_those_of_linearmodels(
    found, as_linearmodels, files, name, outcome, exposure, controls
):
    table = files.set_index(["province", "year"])
    model = PanelOLS(table[outcome], table[[exposure, *controls]], entity_effects=True, time_effects=True)
    fitted = model.fit(cov_type="clustered", cluster_entity=True)
    own = row(as_linearmodels, name, vcov="linearmodels")
    assert own["estimate"] == pytest.approx(fitted.params[exposure], rel=1e-8)
    assert own["se"] == pytest.approx(fitted.std_errors[exposure], rel=1e-8)
    # The study's own convention has another factor for few clusters, and CR2 corrects for leverage.
    assert row(found, name, vcov="reghdfe")["estimate"] == pytest.approx(own["estimate"], rel=1e-10)
    assert row(found, name)["estimate"] == pytest.approx(own["estimate"], rel=1e-8)
    assert row(found, name, vcov="reghdfe")["se"] == pytest.approx(own["se"], rel=0.06)


def test_the_figures_tried_by_hand_come_out(found):
    """Two-way fixed effects with five controls: certain in yuan, not in logarithms, gone with trends of provinces."""
    main, yuan, trends = (
        row(found, "main", vcov="reghdfe"),
        row(found, "trillion_yuan", vcov="reghdfe"),
        row(found, "trillion_yuan", "trends"),
    )
    assert (round(main["estimate"], 4), round(yuan["estimate"], 4), round(trends["estimate"], 4)) == (
        0.0057,
        0.0338,
        -0.0048,
    )
    assert main["se"] == pytest.approx(0.0054, abs=0.0003)
    assert yuan["se"] == pytest.approx(0.0055, abs=0.0003)
    assert main["ci_low"] < 0 < main["ci_high"]
    assert yuan["ci_low"] > 0
    assert trends["ci_low"] < 0 < trends["ci_high"]


def test_trends_are_least_squares_with_a_line_for_each_province(found, files):
    for name, outcome in (("main", "ln_circulation"), ("trillion_yuan", "circulation")):
        province = pd.get_dummies(files["province"], dtype=float).to_numpy()
        year = pd.get_dummies(files["year"], dtype=float).to_numpy()
        x = np.column_stack(
            [files[["zones", *CONTROLS]], province, year, province * files["since"].to_numpy()[:, None]]
        )
        slope = np.linalg.lstsq(x / np.linalg.norm(x, axis=0), files[outcome].to_numpy())[0][0]
        expected = slope / np.linalg.norm(x[:, 0])
        assert row(found, name, "trends")["estimate"] == pytest.approx(expected, rel=1e-7)


def test_differences_are_least_squares_on_changes_with_year_effects(found, files):
    ordered = files.sort_values(["province", "year"])
    change = ordered.groupby("province")[["ln_circulation", "zones", *CONTROLS]].diff().assign(year=ordered["year"])
    change = change.dropna()
    x = np.column_stack([change[["zones", *CONTROLS]], pd.get_dummies(change["year"], dtype=float)])
    slope = np.linalg.lstsq(x, change["ln_circulation"].to_numpy())[0][0]
    assert row(found, "main", "differences")["estimate"] == pytest.approx(slope, rel=1e-8)


def test_the_table_is_whole_and_says_what_it_is(found):
    assert tuple(found.columns) == ALTERNATIVE_COLUMNS
    spec = load_study("circulation").panel
    assert spec is not None
    assert list(found["alternative"].unique()) == list(spec.panels)
    assert (found.groupby("alternative").size() == 4).all()
    assert found.notna().all(axis=None)
    of_index = found["exposure"] == "cbec_index"
    assert set(found.loc[of_index, "origin"]) == {"observed (index)"}
    assert set(found.loc[~of_index, "origin"]) == {"observed"}
    assert row(found, "to_2022")[["n_obs", "first", "last", "controls"]].tolist() == [270, 2014, 2022, "ln_gdp"]
    said = alternatives_sentence(found)
    assert said.startswith(
        f"16 panels ask the same question. The {100 * CI_PROB:g} % interval of the slope (CR2) lies "
    )
    assert "with trends of units above zero in 0 and below zero in 0" in said
    shown = shown_alternatives(found)
    assert len(shown) == 16
    assert shown.iloc[0]["panel"] == "main: as asked"


def test_a_slope_in_standard_deviations_is_that_of_residuals(found, files):
    """Of the outcome and the exposure less province and year means, which on a balanced panel is all that is left."""
    left = files[["circulation", "zones"]]
    means = [left.groupby(files[key]).transform("mean") for key in ("province", "year")]
    left = left - means[0] - means[1] + left.mean()
    one = row(found, "trillion_yuan")
    assert one["within_sd"] == pytest.approx(
        one["estimate"] * left["zones"].std() / left["circulation"].std(), rel=1e-9
    )


def test_weights_stand_beside_what_is_missing():
    table = index_weights_frame(load_study("circulation"))
    assert tuple(table.columns) == WEIGHT_COLUMNS
    own = table[table["alternative"] == "index"]
    there, lacking = own[~own["missing"].astype(bool)], own[own["missing"].astype(bool)]
    assert there["weight"].sum() == pytest.approx(1)
    assert (len(there), len(lacking)) == (5, 5)
    assert lacking["weight"].isna().all()
    assert set(table["origin"]) == {"observed (index)"}
    assert index_weights_frame(load_study("public")).empty


def test_only_a_study_with_alternatives_writes_them():
    several, one = replicate_study("circulation", few=False), replicate_study("public", few=False)
    assert set(several.files()) == {"replication.csv", "classical.csv", "alternatives.csv", "index_weights.csv"}
    assert set(one.files()) == {"replication.csv", "classical.csv"}
