"""Weights asked for on the command line, in a formula and from Python: one design, kept with the fit."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import cbec_bayes as cb
from cbec_bayes.jobs.asked import asked_columns, columns_of
from cbec_bayes.jobs.fit import fit_file
from cbec_bayes.jobs.fit_settings import OPTIONS, read_settings
from cbec_bayes.panel import make_panel
from cbec_bayes.panel.design import make_design
from cbec_bayes.runtime.errors import InputError
from tests.support.panels import GROUPED, table

COLUMNS = {"outcome": "y", "exposure": "x", "controls": ["z"], "unit": "unit", "time": "time", "group": "group"}


def frame() -> pd.DataFrame:
    rows = table(n_units=8, n_times=5)
    return rows.assign(w=np.random.default_rng(1).gamma(2.0, size=len(rows)), k=1 + np.arange(len(rows)) % 3)


def test_a_fit_keeps_its_weights(tmp_path):
    frame().to_csv(tmp_path / "panel.csv", index=False)
    asked = {**COLUMNS, "weights": "w", "model": "partial_pooling"}
    found = fit_file(tmp_path / "panel.csv", **asked, options=replace(OPTIONS, neighbours=False), folder=tmp_path)
    assert any("weights w of 'w', analytic" in note for note in found.panel.notes)
    settings = found.settings
    (tmp_path / "fit.json").write_text(json.dumps(settings), encoding="utf-8")
    read = read_settings(tmp_path)
    assert (read["weights"], read["weights_kind"]) == ("w", "analytic")
    roles = columns_of(read)
    expected = make_design(make_panel(frame(), replace(GROUPED, weights="w")))
    np.testing.assert_array_equal(make_design(cb.read_panel(tmp_path / "panel.csv", roles)).weight, expected.weight)
    del settings["weights"], settings["weights_kind"]  # of a version that knew none
    (tmp_path / "fit.json").write_text(json.dumps(settings), encoding="utf-8")
    assert read_settings(tmp_path)["weights"] is None
    for wrong in ({"clusters": 3}, {"clusters": [3]}, {"weights": 3}, {"weights_kind": None}):
        (tmp_path / "fit.json").write_text(json.dumps(settings | wrong), encoding="utf-8")
        with pytest.raises(InputError, match="not the folder of a fit"):
            read_settings(tmp_path)


@pytest.mark.parametrize(("column", "kind"), [("w", "analytic"), ("k", "frequency")])
def test_columns_a_formula_and_python_mean_the_same(column, kind):
    one = make_design(make_panel(frame(), asked_columns(**COLUMNS, weights=column, weights_kind=kind)))
    formula = asked_columns(formula="y ~ x + z | unit + time", group="group", weights=column, weights_kind=kind)
    two = make_design(make_panel(frame(), formula))
    fit = cb.fit(
        "y ~ x + z | unit + time",
        "partial_pooling",
        data=frame(),
        group="group",
        weights=column,
        weights_kind=kind,
        draws=100,
    )
    for other in (two, fit.design):
        np.testing.assert_array_equal(one.y, other.y)
        np.testing.assert_array_equal(one.root, other.root)


def test_what_weights_are_is_not_said_of_none():
    with pytest.raises(InputError, match="--weights-kind needs --weights"):
        asked_columns(**COLUMNS, weights_kind="frequency")
    with pytest.raises(InputError, match="unknown kind of weights"):
        asked_columns(**COLUMNS, weights="w", weights_kind="frequencies")


def test_moments_are_of_rows_without_weights():
    with pytest.raises(InputError, match="moments are of rows without weights"):
        cb.gather([frame()], replace(GROUPED, weights="w"))
    formula = replace(cb.read_formula("y ~ x + z | unit + time"), weights="w")
    with pytest.raises(InputError, match="moments are of rows without weights"):
        cb.gather([frame()], formula)
