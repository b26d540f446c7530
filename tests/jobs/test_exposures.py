"""Several exposures, from the commands, by a formula and from Python."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import cbec_bayes as cb
from cbec_bayes.commands import program as cli
from cbec_bayes.jobs.fit import fit_folder
from cbec_bayes.jobs.report import report_fit
from cbec_bayes.panel import Roles
from cbec_bayes.panel.formula import label, read_formula
from cbec_bayes.reporting.paneltables import panel_tables
from cbec_bayes.runtime.errors import InputError

BOTH = ["--exposure", "x", "--exposure", "v"]
KEYS = ["--unit", "firm", "--time", "year", "--group", "region"]
QUICK = ["--model", "partial_pooling", "--no-neighbours", "--quiet"]


def table() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    firm, year = np.divmod(np.arange(24 * 6), 6)
    found = pd.DataFrame({"firm": firm, "year": 2010 + year, "region": np.array(list("abcd"))[firm % 4]})
    found = found.assign(**{name: rng.normal(size=144) for name in ("x", "v", "w")})
    slopes = np.array([0.2, 0.6, 1.0, 1.4])[firm % 4]
    found["y"] = slopes * found["x"] - slopes * found["v"] + rng.normal(size=24)[firm] + 0.5 * rng.normal(size=144)
    return found


@pytest.fixture
def program(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table().to_csv("p.csv", index=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stopped:
            cli.main(list(arguments))
        captured = capsys.readouterr()
        return int(stopped.value.code or 0), captured.out, captured.err

    return run


def test_option_and_formula_write_the_same_table(program, tmp_path):
    columns = ["--outcome", "y", *BOTH, "--control", "w", *KEYS]
    formula = ["--formula", "y ~ w + v + x | firm + year", *BOTH, "--group", "region"]
    assert program("fit", "--data", "p.csv", *columns, *QUICK, "--out", "one") == (0, "", "")
    assert program("fit", "--data", "p.csv", *formula, *QUICK, "--out", "two") == (0, "", "")
    one, two = (pd.read_csv(tmp_path / folder / "effects_of_exposures.csv") for folder in ("one", "two"))
    pd.testing.assert_frame_equal(one, two)
    assert one["exposure"].unique().tolist() == ["x", "v"]
    first = pd.read_csv(tmp_path / "one" / "effects.csv")
    pd.testing.assert_series_equal(one["mean"][: len(first)], first["mean"])
    settings = json.loads((tmp_path / "one" / "fit.json").read_text())
    assert (settings["exposure"], settings["further"], settings["controls"]) == ("x", ["v"], ["w"])
    again = fit_folder(tmp_path / "one")
    exact = ["no_pooling", "no_pooling_se", "complete_pooling", "mean", "sd", "ci_low", "ci_high", "pooling_factor"]
    np.testing.assert_allclose(again.effects_of_exposures[exact], one[exact], rtol=1e-6)
    assert any("effects_of_exposures.csv has those of v as well" in note for note in again.notes)
    tables = panel_tables(report_fit(again), 3)
    shown = tables["effects_of_exposures"].rows
    assert [row[1] for row in shown[1:5]] == list("abcd")
    assert {row[0] for row in shown} == {"x", "v"}


def test_from_python():
    found = cb.fit("y ~ x + v + w | firm + year", "partial_pooling", data=table(), group="region", exposure=["x", "v"])
    assert found.design.exposures == ("x", "v")
    assert found.design.controls == ("w",)
    assert "exposure x, v; controls w" in str(found.design)


def test_exposures_come_first_and_lags_are_of_the_first():
    found = read_formula("y ~ w + v + x | firm + year", exposure=["x", "v"], lags=1)
    assert [label(term) for term in found.terms] == ["x", "v", "l(x, 1)", "w"]
    assert found.n_exposures == 2
    with pytest.raises(InputError, match="names x twice"):
        read_formula("y ~ x + v | firm + year", exposure=["x", "x"])
    with pytest.raises(InputError, match="given as exposure and as control"):
        Roles(outcome="y", exposure="x", further=("w",), controls=("w",), unit="u", time="t")


def test_moments_have_one_exposure(program):
    code, _, said = program("moments", "p.csv", "--outcome", "y", *BOTH, *KEYS, "--out", "m.nc")
    assert code == 2
    assert "moments have one exposure" in said
