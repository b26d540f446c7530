"""Columns that a study computes, and the panels that it names as alternatives."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.panel import load_study_panel, study_frame
from cbec_bayes.panel.derived import Derived, derive, origin_of
from cbec_bayes.panel.entropy import entropy_weights
from cbec_bayes.panel.study import MAIN, read_study
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import Origin

FRAME = pd.DataFrame(
    {"u": ["a", "a", "b", "b"], "t": [1, 2, 1, 2], "x": [1.0, 2, 3, 4], "z": [2.0, 0, 5, 5], "w": "no"}
)

SYSTEM = """
title = "an index"
normalisation = "pooled"
[[indicators]]
name = "x"
label = "x"
group = "g"
direction = "positive"
[[indicators]]
name = "z"
label = "z"
group = "g"
direction = "negative"
"""


def of(frame: pd.DataFrame = FRAME, **derived: Derived) -> pd.DataFrame:
    return derive(frame, derived, unit="u", time="t")


def test_a_logarithm_a_ratio_and_what_is_derived_of_them():
    found = of(share=Derived(ratio=("z", "x")), ln_x=Derived(log="x"), twice=Derived(ratio=("share", "x")))
    np.testing.assert_allclose(found["share"], FRAME["z"] / FRAME["x"], rtol=1e-15)
    np.testing.assert_allclose(np.exp(found["ln_x"]), FRAME["x"], rtol=1e-14)
    np.testing.assert_allclose(found["twice"], FRAME["z"] / FRAME["x"] ** 2, rtol=1e-15)
    assert list(FRAME.columns) == ["u", "t", "x", "z", "w"]


def test_an_index_is_that_of_its_system_over_the_rows_that_are_there(tmp_path):
    system = tmp_path / "own.toml"
    system.write_text(SYSTEM)
    for rows in (FRAME, FRAME.iloc[:3]):
        found = of(rows, index=Derived(index=str(system)))
        weights = entropy_weights(rows[["x", "z"]], direction=("positive", "negative"))
        np.testing.assert_allclose(found["index"], weights.terms.sum(axis=1), atol=1e-12)


@pytest.mark.parametrize(
    ("name", "how", "message"),
    [
        ("x", Derived(log="z"), "already has the name"),
        ("new", Derived(log="y"), "derived from 'y'"),
        ("new", Derived(log="z"), "a, 2: 'z' is not positive"),
        ("new", Derived(ratio=("x", "z")), "a, 2: 'z' is zero"),
        ("new", Derived(log="w"), "'w', which holds no numbers"),
    ],
)
def test_what_cannot_be_computed_is_named(name, how, message):
    with pytest.raises(InputError) as error:
        of(**{name: how})
    assert message in str(error.value)
    assert name in str(error.value)


def test_a_missing_cell_stays_missing():
    frame = FRAME.assign(x=[1.0, np.nan, 3, 4])
    assert of(frame, ln_x=Derived(log="x"))["ln_x"].isna().tolist() == [False, True, False, False]


def test_a_derived_column_is_as_observed_as_the_least_of_its_sources(tmp_path):
    system = tmp_path / "own.toml"
    system.write_text(SYSTEM)
    derived = {"share": Derived(ratio=("z", "x")), "ln": Derived(log="share"), "index": Derived(index=str(system))}
    assert origin_of("ln", derived, {}) is Origin.OBSERVED
    assert origin_of("ln", derived, {"x": Origin.SIMULATED, "z": Origin.RECONSTRUCTED}) is Origin.SIMULATED
    assert origin_of("index", derived, {}) is Origin.INDEX
    assert origin_of("index", derived, {"z": Origin.RECONSTRUCTED}) is Origin.RECONSTRUCTED
    assert origin_of("ln", derived, {"ln": Origin.PRINTED}) is Origin.PRINTED


STUDY = """
title = "t"
[panel]
files = ["observed/circulation.csv", "observed/commerce.csv"]
outcome = "ln_circulation"
exposure = "zones"
unit = "province"
time = "year"
without = ["Tibet"]
convention = "reghdfe"
first = 2014
last = 2021
[panel.derived]
ln_circulation = { log = "circulation" }
ln_late = { log = "circulation_late" }
[[panel.alternatives]]
name = "late"
label = "later vintage"
files = ["observed/circulation_late.csv", "observed/commerce.csv"]
outcome = "ln_late"
first = 2019
last = 2022
[[panel.alternatives]]
name = "levels"
label = "levels"
outcome = "circulation"
"""


def test_an_alternative_differs_in_what_it_names_and_in_nothing_else(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(STUDY)
    spec = read_study(path).panel
    assert spec is not None
    assert list(spec.panels) == [MAIN, "late", "levels"]
    assert [one.is_logarithm for one in spec.panels.values()] == [True, True, False]
    panels = {name: load_study_panel(one) for name, one in spec.panels.items()}
    assert [one.n_obs for one in panels.values()] == [240, 120, 240]
    assert all("Tibet" not in one.units for one in panels.values())
    assert "ln_late" not in study_frame(spec)
    levels = panels["levels"].frame
    np.testing.assert_allclose(np.log(levels["circulation"]), panels[MAIN].frame["ln_circulation"], atol=1e-14)


def test_a_unit_that_is_left_out_must_be_there(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(STUDY.replace('"Tibet"', '"Tibett"'))
    with pytest.raises(InputError, match="'Tibett', to be left out, does not occur in any file; did you mean 'Tibet'"):
        load_study_panel(path)
