"""The observed figures: whole, coherent with their own inputs, and the source of the paper's Table 2."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.panel import load_study_panel
from cbec_bayes.panel.regions import load_scheme
from cbec_bayes.panel.study import load_study
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.files import asset_dir
from cbec_bayes.runtime.labels import Origin


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return pd.read_csv(asset_dir("data") / "observed" / "provinces.csv")


def test_it_is_a_balanced_panel_without_holes(frame):
    assert len(frame) == 240
    assert frame.notna().all().all()
    assert not frame.duplicated(["province", "year"]).any()
    assert set(frame["province"]) == set(load_scheme("four_regions").without(["Tibet"]).group_of)
    assert set(frame["year"]) == set(range(2014, 2022))


def test_derived_columns_follow_from_their_inputs(frame):
    np.testing.assert_allclose(frame["lngdp"], np.log(frame["gdp_100m_yuan"]), atol=5.1e-7)
    np.testing.assert_allclose(frame["edu"], np.log(frame["students_per_100k"]), atol=5.1e-7)
    np.testing.assert_allclose(frame["rail"], frame["railway_km"] / frame["land_area_km2"], atol=5.1e-9)
    np.testing.assert_allclose(frame["rail_rounding"], 50 / frame["land_area_km2"], atol=5.1e-9)
    assert (frame["railway_km"] % 100 == 0).all()
    assert frame.groupby("province")["land_area_km2"].nunique().eq(1).all()


def test_pilot_zones_only_ever_grow(frame):
    wide = frame.set_index(["year", "province"])["pilot_zones"].unstack("province")  # noqa: PD010
    assert (wide.diff().dropna() >= 0).all().all()
    assert wide.sum(axis=1).tolist() == [0, 1, 13, 13, 35, 59, 105, 105]


@pytest.mark.parametrize("term", ["lngdp", "urban", "dfi", "edu"])
def test_four_controls_are_table_2_as_printed(frame, paper, term):
    row = paper.full_sample[term]
    values = frame[term]
    for printed, found in (
        (row.mean, values.mean()),
        (row.sd, values.std()),
        (row.min, values.min()),
        (row.max, values.max()),
    ):
        low, high = printed.interval.ends
        assert low <= found <= high, (term, str(printed), found)


def test_railway_density_is_table_2_as_far_as_its_rounding_allows(frame, paper):
    """Lengths are published to 100 km: the printed mean is not that of the rounded lengths, but one they allow."""
    row, values = paper.full_sample["rail"], frame["rail"]
    for printed, found in ((row.sd, values.std()), (row.min, values.min()), (row.max, values.max())):
        assert printed.interval.ends[0] <= found <= printed.interval.ends[1]
    low, high = ((frame["railway_km"] + e) / frame["land_area_km2"] for e in (-50, 50))
    assert values.mean() > row.mean.interval.ends[1]
    assert low.mean() <= row.mean.interval.ends[1]
    assert (round(low.mean(), 4), round(high.mean(), 4)) == (0.0289, 0.0305)


def test_retail_sales_break_between_2014_and_2015(frame):
    """Why the public study begins in 2015: 2014 is another vintage."""
    wide = frame.set_index(["province", "year"])["retail"].unstack("year")  # noqa: PD010
    growth = wide[2015] / wide[2014] - 1
    assert growth.min() < -0.3
    assert growth.max() > 0.5
    later = (wide[2016] / wide[2015] - 1).abs()
    assert later.max() < 0.3


def test_the_studies_say_where_their_columns_come_from():
    paper, public = load_study_panel("paper"), load_study_panel(load_study("public"))
    assert (paper.n_obs, paper.origin) == (240, Origin.RECONSTRUCTED)
    assert (public.n_obs, public.origin) == (210, Origin.OBSERVED)
    assert {c for c, o in paper.origins.items() if o is not Origin.OBSERVED} == {"ci", "cbec"}
    assert min(public.times) == 2015
    both = pd.read_csv(asset_dir("data") / "reconstructed" / "cbec_circulation.csv")
    assert set(both["origin"]) == {"reconstructed"}


def test_a_study_without_a_panel_has_none_to_load():
    with pytest.raises(InputError, match="only printed tables and no panel"):
        load_study_panel(replace(load_study("paper"), panel=None))
    with pytest.raises(InputError, match="unknown study 'papr'; did you mean 'paper'"):
        load_study_panel("papr")
