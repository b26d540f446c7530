"""Slopes regressed on characteristics of groups, from the commands and from Python."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pandas as pd
import pytest

import cbec_bayes as cb
from cbec_bayes.jobs.fit import fit_file, fit_folder
from cbec_bayes.jobs.report import report_fit
from cbec_bayes.reporting.panelpage import render_panel
from cbec_bayes.reporting.panelwords import panel_answer
from cbec_bayes.runtime.errors import InputError
from tests.support.called import heard

INCOME = {"a": 2.0, "b": 5.0, "c": 3.5, "d": 9.0}
QUICK = ["--model", "partial_pooling", "--no-neighbours", "--group", "region", "--quiet"]
COLUMNS = ["--outcome", "y", "--exposure", "x", "--controls", "w", "--unit", "firm", "--time", "year"]


def table() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    firm, year = np.divmod(np.arange(24 * 6), 6)
    found = pd.DataFrame({"firm": firm, "year": 2010 + year, "region": np.array(list("abcd"))[firm % 4]})
    found["income"] = found["region"].map(INCOME)
    found = found.assign(**{name: rng.normal(size=144) for name in ("x", "w")})
    found["y"] = (0.5 + 0.2 * found["income"]) * found["x"] + rng.normal(size=24)[firm] + 0.5 * rng.normal(size=144)
    return found


@pytest.fixture
def program(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table().to_csv("p.csv", index=False)

    return partial(heard, capsys)


def test_option_and_formula_write_the_same_table(program, tmp_path):
    formula = ["--formula", "y ~ x*income + w | firm + year"]
    assert program("fit", "--data", "p.csv", *COLUMNS, "--slope-on", "income", *QUICK, "--out", "one") == (0, "", "")
    assert program("fit", "--data", "p.csv", *formula, *QUICK, "--out", "two") == (0, "", "")
    one, two = (pd.read_csv(tmp_path / folder / "slope_regression.csv") for folder in ("one", "two"))
    pd.testing.assert_frame_equal(one, two)
    row = one.iloc[0]
    assert row["covariate"] == "income"
    assert row["ci_low"] < 0.2 < row["ci_high"]
    assert row["n_groups"] == 4
    assert (row["gate"], row["origin"]) == ("passed", "observed")
    effects = pd.read_csv(tmp_path / "one" / "effects.csv")
    assert effects["group"].tolist() == ["(average)", *"abcd", "(all)", "(new)"]
    assert json.loads((tmp_path / "one" / "fit.json").read_text())["slope_on"] == ["income"]
    again = fit_folder(tmp_path / "one")
    pd.testing.assert_frame_equal(again.slope_regression.table, one, check_dtype=False, rtol=1e-6)


def test_from_python():
    data = table()
    found = cb.fit("y ~ x + w | firm + year", "partial_pooling", data=data, group="region", slope_on=["income"])
    other = cb.fit("y ~ x*income + w | firm + year", "partial_pooling", data=data, group="region")
    np.testing.assert_array_equal(found.posterior["covariate_slope"], other.posterior["covariate_slope"])
    assert list(found.posterior["covariate"].to_numpy()) == ["income"]


def test_a_model_that_pools_no_slopes_refuses(program):
    for model in ("complete_pooling", "no_pooling"):
        own = [*QUICK[2:], "--model", model]
        code, _, said = program("fit", "--data", "p.csv", *COLUMNS, "--slope-on", "income", *own, "--out", "o")
        assert code == 2
        assert f"the model '{model}' does not pool slopes of groups" in said
        assert said.count("\n") == 1


def test_moments_have_none(program):
    code, _, said = program("fit", "--moments", "m.nc", "--slope-on", "income", "--out", "o")
    assert code == 2
    assert "leave out --slope-on" in said


def test_the_page_has_the_table_and_the_sentence(tmp_path):
    table().to_csv(tmp_path / "p.csv", index=False)
    asked = {"outcome": "y", "exposure": "x", "controls": ["w"], "unit": "firm", "time": "year", "group": "region"}
    fitted = fit_file(tmp_path / "p.csv", **asked, slope_on=["income"], model="partial_pooling")
    assert any(note.startswith("The slope of x rises with income") for note in fitted.notes)
    found = report_fit(fitted)
    assert any(one.startswith("The slope of x rises with income") for one in panel_answer(found))
    page = render_panel(found)
    assert "Slopes of groups regressed on characteristics" in str(page["report.html"])
    with pytest.raises(InputError, match="varies within 4 groups"):
        fit_file(tmp_path / "p.csv", **asked | {"controls": []}, slope_on=["w"])
