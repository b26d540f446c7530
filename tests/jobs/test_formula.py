"""Formulas through the commands and from Python: the same as columns that were computed beforehand."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pandas as pd
import pytest

import cbec_bayes as cb
from cbec_bayes.jobs.fit import fit_folder
from cbec_bayes.jobs.fit_settings import read_settings
from cbec_bayes.jobs.questions import question_of_folder
from cbec_bayes.runtime.errors import InputError
from tests.support.called import heard

FORMULA = "log(y) ~ x + log(z) + l(x, 1) | firm + year"
BEFOREHAND = ["--outcome", "ly", "--exposure", "x", "--controls", "lz,lag", "--unit", "firm", "--time", "year"]
QUICK = ["--model", "partial_pooling", "--no-neighbours", "--group", "region", "--quiet"]


def table() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    firm, year = np.divmod(np.arange(24 * 6), 6)
    found = pd.DataFrame({"firm": firm, "year": 2010 + year, "x": rng.normal(size=144), "z": rng.exponential(size=144)})
    found["y"] = np.exp(0.3 * found["x"] + rng.normal(size=24)[firm] + rng.normal(size=144))
    found["region"] = np.array(["a", "b", "c"])[firm % 3]
    found["ly"], found["lz"] = np.log(found["y"]), np.log(found["z"])
    found["lag"] = found.groupby("firm")["x"].shift(1)
    return found


@pytest.fixture
def program(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table().to_csv("p.csv", index=False)

    return partial(heard, capsys)


@pytest.mark.parametrize(
    "asked",
    [
        ["--formula", FORMULA],
        ["--formula", "log(y) ~ log(z) + x | year + firm", "--exposure", "x", "--unit", "firm", "--lags", "1"],
    ],
)
def test_a_fit_by_formula_is_that_of_columns_computed_beforehand(program, tmp_path, asked):
    assert program("fit", "--data", "p.csv", *asked, *QUICK, "--out", "one") == (0, "", "")
    assert program("fit", "--data", "p.csv", *BEFOREHAND, *QUICK, "--out", "two") == (0, "", "")
    one, two = (pd.read_csv(tmp_path / folder / "effects.csv") for folder in ("one", "two"))
    exact = ["n_units", "no_pooling", "no_pooling_se", "complete_pooling"]
    np.testing.assert_allclose(one[exact], two[exact], rtol=1e-8)
    np.testing.assert_allclose(one["mean"], two["mean"], atol=5 * np.hypot(one["mcse"], two["mcse"]).max())
    one, two = (pd.read_csv(tmp_path / folder / "ledger.csv") for folder in ("one", "two"))
    assert one["row"].tolist() == two["row"].tolist()
    assert one["reason"].unique().tolist() == ["'l(x, 1)' is of a period that is not there, or has no value then"]
    settings = read_settings(tmp_path / "one")
    assert settings["outcome"] is None
    again = fit_folder(tmp_path / "one")
    assert again.fit.design.terms[0] == "x"
    assert again.fit.design.terms == question_of_folder(tmp_path / "one").design.terms
    assert program("compare", "one", "--quiet") == (0, "", "")
    assert pd.read_csv(tmp_path / "one" / "compare.csv")["origin"].eq("observed").all()


def test_a_fit_of_before_there_were_formulas_is_read(program, tmp_path):
    assert program("fit", "--data", "p.csv", *BEFOREHAND, *QUICK, "--out", "o") == (0, "", "")
    path = tmp_path / "o" / "fit.json"
    held = json.loads(path.read_text())
    path.write_text(
        json.dumps({name: value for name, value in held.items() if name not in ("formula", "lags", "leads")})
    )
    assert read_settings(tmp_path / "o") == held
    for wrong in ({"formula": 1}, {"lags": "1"}, {"leads": None}, {"outcome": None}):
        path.write_text(json.dumps({**held, **wrong}))
        with pytest.raises(InputError, match="not the folder of a fit"):
            read_settings(tmp_path / "o")
    bare = {"outcome": None, "controls": [], "formula": "y ~ eval(x) | firm + year"}
    for wrong, message in (
        (bare, r"'eval\(x\)' cannot stand in a formula"),
        ({"lags": -1}, "--lags: between 0 and 50"),
    ):
        path.write_text(json.dumps({**held, **wrong}))
        with pytest.raises(InputError, match=message):
            fit_folder(tmp_path / "o")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["--formula", FORMULA, "--outcome", "y"], "names these columns already; leave out --outcome"),
        (["--formula", FORMULA, "--control", "z"], "names these columns already; leave out --controls"),
        (["--formula", FORMULA, "--controls", "z"], "names these columns already; leave out --controls"),
        (["--formula", "y ~ x"], "no effects: write | firm + year, or give --unit and --time"),
        (["--formula", "y ~ os.getcwd() | firm + year"], "'os.getcwd()' cannot stand in a formula"),
        (["--outcome", "y"], "missing options: --exposure, --unit, --time; give them, or a --formula"),
        ([*BEFOREHAND, "--lags", "-1"], "--lags: between 0 and 50"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_read(program, asked, message):
    for command in (["fit"], ["specifications"]):
        if command == ["specifications"] and "--control" in asked:
            continue
        status, out, err = program(*command, "--data", "none.csv", *asked)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert message in err


def test_moments_have_their_columns_already(program):
    status, _, err = program("fit", "--moments", "m.nc", "--formula", FORMULA, "--lags", "1")
    assert (status, err) == (2, "error: a file of moments already states its columns; leave out --formula, --lags\n")


def test_moments_by_formula_are_those_of_columns_computed_beforehand(program, tmp_path):
    formula = "log(y) ~ x + log(z) + x:z | firm + year"
    own = program("moments", "p.csv", "--formula", formula, "--group", "region", "--out", "one.nc", "--quiet")
    assert own == (0, "", "")
    table().assign(xz=lambda d: d["x"] * d["z"]).to_parquet(tmp_path / "q.parquet")
    asked = [*BEFOREHAND[:4], "--controls", "lz,xz", *BEFOREHAND[6:], "--group", "region"]
    assert program("moments", "q.parquet", *asked, "--out", "two.nc", "--quiet") == (0, "", "")
    one, two = (cb.load_moments(tmp_path / name) for name in ("one.nc", "two.nc"))
    assert (one.outcome, one.terms) == ("log(y)", ("x", "log(z)", "x:z"))
    np.testing.assert_allclose(one.within, two.within, rtol=1e-10, atol=1e-10)
    status, _, err = program("moments", "p.csv", "--formula", FORMULA, "--out", "three.nc")
    assert (status, "'l(x, 1)' needs other rows" in err) == (2, True)


def test_a_formula_and_a_frame_from_python(tmp_path):
    given = {"model": "partial_pooling", "draws": 100, "seed": 3}
    indexed = table().set_index(["firm", "year"])
    found = cb.fit("log(y) ~ x + log(z) + l(x, 1)", data=indexed, group="region", **given)
    panel = cb.make_panel(table(), cb.read_formula(FORMULA, group="region"))
    table().to_csv(tmp_path / "p.csv", index=False)
    others = table().assign(id=lambda d: -d["firm"], t=lambda d: d["year"] - 2000).set_index(["id", "t"])
    alone = cb.fit("log(y) ~ x | firm", data=indexed, **given)
    assert (alone.design.effect_names, len(alone.design.units), alone.design.times[0]) == ("unit", 24, 2010)
    asked = [
        cb.fit(FORMULA, data=others, group="region", **given),
        cb.fit(FORMULA, data=table(), group="region", **given),
        cb.fit(cb.read_formula(FORMULA, group="region"), data=tmp_path / "p.csv", **given),
        cb.fit(panel, **given),
        cb.fit(cb.make_design(panel), **given),
    ]
    slopes = found.tree["posterior"]["group_total_slope"].to_numpy()
    for other in asked:
        assert other.design.terms == ("x", "log(z)", "l(x, 1)")
        np.testing.assert_allclose(other.tree["posterior"]["group_total_slope"].to_numpy(), slopes, rtol=1e-6)


def test_what_a_fit_from_python_cannot_be_asked():
    with pytest.raises(InputError, match="a formula needs a data frame"):
        cb.fit(FORMULA)
    with pytest.raises(InputError, match="may be given with a formula only"):
        cb.fit(cb.make_panel(table(), cb.read_formula(FORMULA)), data=table())
    with pytest.raises(InputError, match="states these itself; leave out group"):
        cb.fit(cb.read_formula(FORMULA), data=table(), group="region")
    with pytest.raises(InputError, match="no effects: write"):
        cb.fit("y ~ x", data=table())
