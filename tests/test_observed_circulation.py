"""The observed figures of the study `circulation`: whole, coherent, and what the datasheet says of them."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.panel import load_study_panel, study_frame
from cbec_bayes.panel.derived import index_of
from cbec_bayes.panel.entropy import load_system
from cbec_bayes.panel.regions import load_scheme
from cbec_bayes.panel.study import load_study
from cbec_bayes.runtime.files import asset_dir
from cbec_bayes.runtime.labels import Origin

KEYS = ["province", "year"]
PARTS = ("wholesale_retail", "transport", "catering")


def read(name: str) -> pd.DataFrame:
    return pd.read_csv(asset_dir("data") / "observed" / f"{name}.csv")


@pytest.fixture(scope="module")
def paper_rows() -> pd.DataFrame:
    """The rows of the paper with every observed column."""
    found = read("provinces")
    for name in ("circulation", "commerce", "population"):
        found = found.merge(read(name), on=KEYS)
    return found


@pytest.fixture(scope="module")
def datasheet() -> str:
    return re.sub(r"\s+", " ", (asset_dir("data") / "DATASHEET.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "years", "without"),
    [
        ("circulation", range(2014, 2023), []),
        ("commerce", range(2014, 2023), []),
        ("circulation_late", range(2019, 2024), []),
        ("population", range(2014, 2022), ["Tibet"]),
    ],
)
def test_each_table_is_balanced_and_has_no_holes(name, years, without):
    frame, units = read(name), load_scheme("four_regions").without(without).group_of
    assert frame.notna().all().all()
    assert not frame.duplicated(KEYS).any()
    assert (set(frame["province"]), set(frame["year"])) == (set(units), set(years))
    assert len(frame) == len(units) * len(years)


def test_parts_add_up_and_gdp_contains_them():
    for name, end in (("circulation", ""), ("circulation_late", "_late")):
        frame = read(name)
        np.testing.assert_allclose(
            frame[[f"{part}{end}" for part in PARTS]].sum(axis=1), frame[f"circulation{end}"], atol=1e-9
        )
        assert (frame[f"circulation{end}"] / frame[f"gdp{end}"]).between(0.05, 0.4).all()


def test_no_series_of_value_added_has_a_break():
    frame = read("circulation")
    for column in ("circulation", *PARTS, "gdp"):
        wide = frame.set_index(["year", "province"])[column].unstack("province")  # noqa: PD010
        assert (wide / wide.shift() - 1).dropna().abs().max(axis=None) < 0.43


def test_the_two_vintages_differ_as_the_datasheet_says(datasheet):
    both = read("circulation").merge(read("circulation_late"), on=KEYS)
    assert len(both) == 31 * 4
    gaps = {name: (both[f"{name}_late"] / both[name] - 1).abs() for name in (*PARTS, "gdp")}
    shown = ", ".join(f"{100 * gaps[name].median():.1f}" for name in (*PARTS, "gdp"))
    largest = ", ".join(f"{100 * gaps[name].max():.0f}" for name in (*PARTS, "gdp"))
    assert f"median gaps of {shown} % and largest of {largest} %" in datasheet


def test_zones_are_counted_by_three_rules():
    frame, older = read("commerce"), read("provinces")
    zones = frame.groupby("year")[["zones", "zones_acting", "zones_next_year"]].sum()
    assert zones["zones"].tolist() == [0, 1, 13, 13, 35, 59, 105, 105, 132]
    assert zones["zones_acting"].tolist() == [0, 1, 13, 13, 35, 35, 105, 105, 132]
    both = older.merge(frame, on=KEYS)
    assert (both["zones"] == both["pilot_zones"]).all()
    wide = frame.set_index(["year", "province"])[["zones", "zones_acting", "zones_next_year"]].unstack("province")  # noqa: PD010
    assert (wide.diff().dropna() >= 0).all(axis=None)
    np.testing.assert_array_equal(wide["zones_next_year"].iloc[1:], wide["zones"].iloc[:-1])
    assert frame.groupby("year")["free_trade_zone"].sum().tolist() == [1, 4, 4, 11, 12, 18, 21, 21, 21]
    assert set(frame["free_trade_zone"]) == {0, 1}


def test_volatile_indicators_are_volatile_where_the_datasheet_says():
    frame = read("commerce").set_index(["year", "province"])
    growth = {name: frame[name].unstack("province") for name in ("domain_names", "ecommerce_sales")}  # noqa: PD010
    growth = {name: wide / wide.shift() - 1 for name, wide in growth.items()}
    assert (growth["domain_names"].abs() > 0.5).sum(axis=None) == 73
    assert growth["ecommerce_sales"].loc[2015, "Qinghai"] == pytest.approx(9.66, abs=0.01)


def moments(values: pd.Series) -> np.ndarray:
    x = values.to_numpy()
    return np.array([x.mean(), x.std(ddof=1), x.min(), x.max()])


def candidates(frame: pd.DataFrame):
    """The set that the datasheet states: sums of parts, and other series, alone or over others, at powers of ten."""
    sums = ["+".join(some) for k in (1, 2, 3) for some in itertools.combinations(PARTS, k)]
    series = {name: frame[name.split("+")].sum(axis=1) for name in sums}
    series |= {n: frame[n] for n in ("gdp", "retail", "ecommerce_sales", "broadband_ports", "domain_names")}
    for name, values in series.items():
        for over in (None, "population", "gdp", "retail"):
            if over == name:
                continue
            ratio = values if over is None else values / frame[over]
            for power in range(-12, 13):
                yield (name, over, "", power), ratio * 10.0**power
                yield (name, over, "ln", power), np.log(ratio * 10.0**power)


def nearest(frame: pd.DataFrame, printed: np.ndarray) -> tuple[float, tuple, np.ndarray, int]:
    """The candidate whose four moments are nearest: root mean square of their gaps, over the printed sd."""
    found = [(key, moments(values)) for key, values in candidates(frame)]
    gaps = [float(np.sqrt(np.mean(((own - printed) / printed[1]) ** 2))) for _, own in found]
    best = int(np.argmin(gaps))
    return gaps[best], found[best][0], found[best][1], len(found)


def test_no_candidate_series_has_the_printed_moments_and_the_nearest_one_is_named(paper, paper_rows, datasheet):
    row = paper.full_sample["ci"]
    printed = np.array([float(cell.value) for cell in (row.mean, row.sd, row.min, row.max)])
    gap, key, own, tried = nearest(paper_rows, printed)
    assert key == ("transport", None, "", 1)
    assert gap > 0.2
    assert f"Of {tried:,} candidates".replace(",", " ") in datasheet
    shown = ", ".join(f"{value:.3f}" for value in own)
    assert f"({shown}) where ({', '.join(f'{value:g}' for value in printed)}) is printed, a distance of {gap:.2f}" in (
        datasheet
    )


def test_the_index_is_what_the_datasheet_shows_and_has_not_the_printed_moments(paper, datasheet):
    spec = load_study("circulation").panel
    assert spec is not None
    found = index_of(study_frame(spec), "cbec_observed", unit="province", time="year")
    assert found.weights["weight"].sum() == pytest.approx(1)
    for row in found.weights.to_dict("records"):
        assert f"{row['indicator']} {row['weight']:.3f}" in datasheet
    assert set(found.index["origin"]) == {"observed (index)"}
    row = paper.full_sample["cbec"]
    printed = np.array([float(cell.value) for cell in (row.mean, row.sd, row.min, row.max)])
    own = moments(found.index["value"])
    scale = own @ printed / (own @ own)
    gap = float(np.sqrt(np.mean(((scale * own - printed) / printed[1]) ** 2)))
    shown = ", ".join(f"{value:.3f}" for value in own)
    assert f"({shown}); at the best scale, {scale:.2f} times it, the distance" in datasheet
    assert f"from the printed ({', '.join(f'{value:g}' for value in printed)}) is {gap:.2f}" in datasheet


def test_every_indicator_of_table_1_is_there_or_named_as_missing():
    observed, whole = load_system("cbec_observed"), load_system("cbec")
    there = {indicator.label for indicator in observed.indicators}
    assert {one.label for one in whole.indicators} <= there | set(observed.missing)
    assert set(observed.missing) <= {one.label for one in whole.indicators}
    assert not there & set(observed.missing)


def test_the_panels_of_the_study_are_those_it_promises():
    spec = load_study("circulation").panel
    assert spec is not None
    panels = {name: load_study_panel(one) for name, one in spec.panels.items()}
    main, index = panels["main"], panels["index"]
    assert (main.n_obs, main.origin, len(main.units), main.times[-1]) == (240, Origin.OBSERVED, 30, 2021)
    assert (panels["to_2022"].n_obs, panels["from_2019"].n_obs) == (270, 90)
    assert index.origin is Origin.INDEX
    assert {name: one for name, one in index.origins.items() if one is not Origin.OBSERVED} == {
        "cbec_index": Origin.INDEX
    }
    levels = panels["trillion_yuan"].frame["circulation"]
    np.testing.assert_allclose(main.frame["ln_circulation"], np.log(levels), atol=1e-12)
    for part in PARTS:
        assert panels[part].roles.outcome == f"ln_{part}"
