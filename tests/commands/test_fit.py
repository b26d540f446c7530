"""`cbec-bayes fit` on a panel of somebody else's: its files, its limits, its complaints."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.bayes.fit import fit
from cbec_bayes.classical.regression import twfe
from cbec_bayes.classical.tables import interacted
from cbec_bayes.estimands import UNIT_EFFECT_COLUMNS
from cbec_bayes.estimands.contrasts import ranks
from cbec_bayes.estimands.groups import effects, group_slopes, pooling_factors
from cbec_bayes.estimands.shrinkage import shrinkage_path
from cbec_bayes.jobs.fit import fit_folder
from cbec_bayes.jobs.fit_settings import read_settings
from cbec_bayes.jobs.fit_tables import netcdf_bytes
from cbec_bayes.runtime.errors import InputError
from tests.support.called import heard
from tests.support.regressions import load

PANEL = ["--outcome", "gross product", "--exposure", "pcap", "--controls", "pc,emp", "--unit", "州", "--time", "year"]
PANEL += ["--model", "partial_pooling"]


@pytest.fixture
def program(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = pd.read_csv(f"{Path(__file__).parents[1]}/golden/produc.csv")
    frame = frame.rename(columns={"gsp": "gross product", "state": "州"}).assign(
        region=frame["region"].map("r{}".format)
    )
    frame.iloc[:-7].to_csv("panel.csv", index=False)

    return partial(heard, capsys, "fit")


def test_fit_writes_its_tables(program, tmp_path):
    status, out, err = program("--data", "panel.csv", *PANEL, "--group", "region", "--out", "o")
    assert (status, err) == (0, "")
    assert "Priors, in the data's own units: slope ~ flat" in out
    effects = pd.read_csv(tmp_path / "o" / "effects.csv")
    assert tuple(effects.columns) == UNIT_EFFECT_COLUMNS
    assert list(effects["group"][-2:]) == ["(all)", "(new)"]
    assert effects["origin"].eq("observed").all()
    classical = pd.read_csv(tmp_path / "o" / "classical.csv")
    assert list(classical.columns[:10]) == ["column", "term", "estimate", "se", "df", "p", "n", "r2", "vcov", "ssc"]
    own = classical[classical["term"].eq("pcap") & classical["column"].eq("r6")]
    assert effects.set_index("group").loc["r6", "no_pooling"] == pytest.approx(own["estimate"].iloc[-1])
    diagnostics = json.loads((tmp_path / "o" / "diagnostics.json").read_text())
    assert {"engine", "rhat_max", "ess_bulk_min", "ess_tail_min", "divergences", "seconds", "draws"} <= set(diagnostics)
    assert diagnostics["failures"] == []
    assert (tmp_path / "o" / "posterior.nc").stat().st_size > 1000


def test_the_table_is_shown_before_the_posterior_is_written(program, capsys, tmp_path, monkeypatch):
    shown = []

    def written(tree):
        shown.append((capsys.readouterr().out, (tmp_path / "o" / "effects.csv").exists()))
        return netcdf_bytes(tree)

    monkeypatch.setattr("cbec_bayes.jobs.fit_tables.netcdf_bytes", written)
    status, after, _ = program("--data", "panel.csv", *PANEL, "--out", "o")
    assert status == 0
    assert "Priors, in the data's own units" in shown[0][0]
    assert not shown[0][1]
    assert after.startswith("Written: ")


def test_without_groups_there_is_one_slope(program, tmp_path):
    assert program("--data", "panel.csv", *PANEL, "--out", "o", "-q")[0] == 0
    effects = pd.read_csv(tmp_path / "o" / "effects.csv")
    assert list(effects["group"]) == ["(average)", "(all)", "(new)"]
    row = effects.iloc[0]
    assert row["mean"] == pytest.approx(row["complete_pooling"], abs=0.1 * row["sd"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--group", "regoin"], "did you mean 'region'?"),
        (["--model", "partial_poling"], "did you mean 'partial_pooling'?"),
        (["--engine", "stan"], "unknown engine 'stan'"),
        (["--convention", "rghdfe"], "did you mean 'reghdfe'?"),
        (["--group", "region", "--controls", "pc,pc"], "given as control and as control"),
    ],
)
def test_bad_input_is_one_line(program, tmp_path, arguments, message):
    options = dict(zip([*PANEL, *arguments][::2], [*PANEL, *arguments][1::2], strict=True))
    given = [part for option in options.items() for part in option]
    status, out, err = program("--data", "panel.csv", *given, "--out", "o")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert not (tmp_path / "o").exists()


def test_an_option_that_is_given_twice_is_refused(program, tmp_path):
    for twice, said in ((["--group", "region", "--group", "year"], "--group"), (["--unit", "x"], "--unit")):
        status, out, err = program("--data", "panel.csv", *PANEL, *twice, "--out", "o")
        assert (status, out, err) == (2, "", f"error: {said} is given 2 times; give it once\n")
    assert not (tmp_path / "o").exists()


def test_what_is_said_of_the_file_is_kept_with_the_fit(program, tmp_path):
    frame = pd.read_csv("panel.csv").rename(columns={"emp": "emp, in thousands"}).replace({"region": {"r6": "r/6"}})
    frame.loc[3, "pc"] = -99
    frame.to_csv("own.csv", index=False, sep=";", decimal=",", encoding="latin-1", errors="replace")
    frame.rename(columns={"州": "state"}).to_csv("own.csv", index=False, sep=";", decimal=",", encoding="latin-1")
    columns = [
        "--outcome",
        "gross product",
        "--exposure",
        "pcap",
        "--unit",
        "state",
        "--time",
        "year",
        "--group",
        "region",
    ]
    regressors = ["--controls", "pc", "--control", "emp, in thousands"]
    said = ["--encoding", "latin-1", "--missing", "-9,-99", "--where", "year >= 1975", "--frequency", "year"]
    status, out, err = program(
        "--data", "own.csv", *columns, *regressors, *said, "--model", "complete_pooling", "--out", "o"
    )
    assert (status, err) == (0, "")
    kept = frame[(frame["year"] >= 1975) & (frame["pc"] != -99)]
    assert f"{(frame['year'] >= 1975).sum()} of {len(frame)} rows meet --where year >= 1975" in out
    held = read_settings(tmp_path / "o")
    assert held["reading"] == {
        "encoding": "latin-1", "missing": ["-9", "-99"], "where": "year >= 1975", "frequency": "year"
    }  # fmt: skip
    assert held["controls"] == ["pc", "emp, in thousands"]
    assert fit_folder(tmp_path / "o").fit.design.n_obs == len(kept)
    for wrong in ({"where": 3}, {"frequency": "yearly"}, {"x": "y"}, [1], {"missing": "-9"}):
        (tmp_path / "o" / "fit.json").write_text(json.dumps(held | {"reading": wrong}))
        with pytest.raises(InputError, match="not the folder of a fit"):
            read_settings(tmp_path / "o")


def test_the_path_runs_from_one_table_to_the_other():
    design = load("produc")
    found = fit(design, "partial_pooling", draws=250)
    unit = float(design.spread.within[0] / design.spread.within[1])
    path = shrinkage_path(found, np.array([1e-5, 1e4]) * unit, draws=50)
    pooled, apart = twfe(design).estimate[0], twfe(interacted(design)).estimate[: len(design.groups)]
    np.testing.assert_allclose(path.means[0], pooled, atol=1e-6 * unit)
    np.testing.assert_allclose(path.means[-1], apart, atol=1e-5 * unit)


def test_effects_of_the_limits():
    whole = load("produc")
    design = whole.rows(whole.group < 4)
    complete, apart = (effects(fit(design, m, draws=250)) for m in ("complete_pooling", "no_pooling"))
    of = slice(1, 1 + len(design.groups))
    assert (complete["pooling_factor"][of] == 1).all()
    assert (apart["pooling_factor"][of] == 0).all()
    gap = ((apart["mean"] - apart["no_pooling"]) / apart["sd"])[of]
    assert gap.abs().max() < 0.2
    headline = fit(design, "partial_pooling", draws=250)
    factors = pooling_factors(headline)
    assert ((factors > 0) & (factors < 1)).all()
    slopes = group_slopes(headline)
    table = ranks(slopes.labels, slopes.groups)
    np.testing.assert_allclose(table.groupby("group")["probability"].sum(), 1)
    np.testing.assert_allclose(table.groupby("rank")["probability"].sum(), 1)
