"""The job behind `cbec-bayes fit`, through the program: odd names, every file it writes, and what stops it."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.model.family import panel_model_names
from cbec_bayes.checks.suite import CHECKS
from cbec_bayes.classical.regression import twfe
from cbec_bayes.commands import program as cli
from cbec_bayes.estimands import UNIT_EFFECT_COLUMNS
from cbec_bayes.jobs import fit as panelfit
from cbec_bayes.jobs import fit_tables
from cbec_bayes.jobs import study as studyfit
from cbec_bayes.jobs.fit import fit_file
from cbec_bayes.jobs.study import StudyQuestion, fit_models
from cbec_bayes.panel import Roles, make_panel
from cbec_bayes.panel.design import make_design
from cbec_bayes.reporting.lines import slopes_as_lines
from cbec_bayes.runtime.errors import GateError, InputError
from cbec_bayes.runtime.files import asset_dir
from tests.support.arguments import once
from tests.support.members import panel
from tests.support.posteriors import assert_same_posterior

OUTCOME, EXPOSURE, CONTROL, UNIT, GROUP = "商业 流通", "cross-border (e-commerce), %", "人均GDP [log]", "省 份", "地区"
COLUMNS = ["--outcome", OUTCOME, "--exposure", EXPOSURE, "--unit", UNIT, "--time", "年", "--model", "partial_pooling"]
CLASSICAL = ["column", "term", "estimate", "se", "df", "p", "n", "r2", "vcov", "ssc"]
GROUPS = ["东部", "west, far", "north east"]


def table(n_units=15, n_times=7, seed=1):
    rng = np.random.default_rng(seed)
    unit, time = np.divmod(np.arange(n_units * n_times), n_times)
    level = rng.normal(size=n_units)[unit]
    x = rng.normal(size=len(unit)) + level
    d = rng.normal(size=len(unit)) + 0.5 * x
    slopes = np.array([0.2, 0.6, 1.0])[unit % 3]
    y = slopes * d - 0.4 * x + level + 0.1 * time + 0.3 * rng.normal(size=len(unit))
    frame = {
        UNIT: [f"省 {i}" for i in unit],
        "年": 2010 + time,
        GROUP: [GROUPS[i % 3] for i in unit],
        OUTCOME: y,
        EXPOSURE: d,
        CONTROL: x,
        "not used": "text",
    }
    return pd.DataFrame(frame).drop(index=[3, 40, 41]).reset_index(drop=True)


@pytest.fixture
def program(capsys, tmp_path, monkeypatch):
    """Run `cbec-bayes fit` in a folder that has the panel, 面板.csv: status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    table().to_csv("面板.csv", index=False)

    def run(*arguments: str, data: str = "面板.csv") -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stopped:
            cli.main(once(["fit", "--data", data, *arguments]))
        captured = capsys.readouterr()
        return int(stopped.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def design():
    roles = Roles(outcome=OUTCOME, exposure=EXPOSURE, controls=(CONTROL,), unit=UNIT, time="年", group=GROUP)
    return make_design(make_panel(table(), roles))


def test_every_file_of_a_fit_with_groups(program, tmp_path, design):
    begun = time.perf_counter()
    status, out, err = program(*COLUMNS, "--controls", CONTROL, "--group", GROUP, "--out", "结果", "--seed", "4")
    wall = time.perf_counter() - begun
    assert (status, err) == (0, "")
    names = [
        ".cbec_bayes",
        ".fit.receipt",
        "classical.csv",
        "contrasts.csv",
        "diagnostics.json",
        "effects.csv",
        "estimands.csv",
        "fit.json",
        "ledger.csv",
        "posterior.nc",
        "ranks.csv",
    ]
    assert sorted(path.name for path in (tmp_path / "结果").iterdir()) == names
    assert all(f"结果/{name}" in out for name in names[2:])
    assert "partial_pooling: How far do groups differ" in out
    assert "Intervals are 95 %, equal-tailed. Origin: observed." in out
    assert re.search(
        r"collapsed-importance: 4000 draws, smallest effective size \d+, Pareto k -?\d\.\d\d\. All gates passed\.", out
    )
    read = {
        name: pd.read_csv(tmp_path / "结果" / f"{name}.csv") for name in ("effects", "classical", "contrasts", "ranks")
    }

    effects = read["effects"]
    assert tuple(effects.columns) == UNIT_EFFECT_COLUMNS
    assert effects["group"].tolist() == ["(average)", *design.groups, "(all)", "(new)"]
    assert set(design.groups) == set(GROUPS)
    by_group = effects.set_index("group")
    for group, truth in zip(GROUPS, (0.2, 0.6, 1.0), strict=True):
        own = twfe(design.of_group(group))
        assert by_group.loc[group, "no_pooling"] == pytest.approx(own.estimate[0], rel=1e-8)
        assert by_group.loc[group, "no_pooling_se"] == pytest.approx(own.se[0], rel=1e-8)
        assert by_group.loc[group, "mean"] == pytest.approx(truth, abs=4 * by_group.loc[group, "sd"])
    np.testing.assert_allclose(effects["complete_pooling"], twfe(design).estimate[0], rtol=1e-8)
    assert by_group.loc["(all)", ["n_units", "n_obs"]].tolist() == [15, 102]

    classical = read["classical"]
    assert list(classical.columns[:10]) == CLASSICAL
    assert set(classical["column"]) == {"(all)", *GROUPS}
    assert set(classical["ssc"]) == {"reghdfe"}
    assert set(classical["term"]) >= {EXPOSURE, CONTROL}
    both = classical[classical["term"].eq(EXPOSURE) & classical["column"].eq("(all)")].iloc[-1]
    assert both["estimate"] == pytest.approx(twfe(design).estimate[0], rel=1e-8)
    assert both["n"] == 102

    contrasts = read["contrasts"]
    assert len(contrasts) == 3
    row = contrasts[contrasts["group"].eq(design.groups[0]) & contrasts["minus"].eq(design.groups[1])].iloc[0]
    difference = by_group.loc[design.groups[0], "mean"] - by_group.loc[design.groups[1], "mean"]
    assert row["mean"] == pytest.approx(difference, rel=1e-6)
    ranks = read["ranks"]
    assert list(ranks.columns) == ["group", "rank", "probability", "origin"]
    np.testing.assert_allclose(ranks.groupby("rank")["probability"].sum(), 1)
    assert ranks.set_index(["group", "rank"]).loc[("north east", 1), "probability"] > 0.9
    assert all(set(frame["origin"]) == {"observed"} for frame in read.values())

    with xr.open_datatree(tmp_path / "结果" / "posterior.nc", engine="h5netcdf") as tree:
        assert tree.attrs["origin"] == "observed"
        assert tree.attrs["seed"] == 4
        assert list(tree["observed_data"].data_vars) == [OUTCOME]
        assert tree["posterior"]["control_slope"]["coef"].to_numpy().tolist() == [CONTROL]
        means = tree["posterior"]["group_total_slope"].mean(("chain", "draw"))
        for group in GROUPS:
            error = by_group.loc[group, "sd"] / np.sqrt(4_000)
            assert by_group.loc[group, "mean"] == pytest.approx(float(means.sel(group=group)), abs=4.5 * error)

    diagnostics = json.loads((tmp_path / "结果" / "diagnostics.json").read_text())
    keys = {"engine", "rhat_max", "ess_bulk_min", "ess_tail_min", "divergences", "seconds", "draws"}
    assert keys <= set(diagnostics)
    assert diagnostics["draws"] == 4_000
    assert diagnostics["rhat_max"] < 1.01
    assert min(diagnostics["ess_bulk_min"], diagnostics["ess_tail_min"]) > 400
    assert diagnostics["ebfmi_min"] is None
    assert diagnostics["khat"] < 0.7
    assert (diagnostics["failures"], diagnostics["seed"], diagnostics["ci_prob"]) == ([], 4, 0.95)
    assert np.isfinite(diagnostics["log_evidence"])
    assert 0 < diagnostics["log_evidence_mcse"] < 0.05
    assert diagnostics["log_evidence_khat"] == diagnostics["khat"]
    assert diagnostics["log_evidence_note"] is None
    assert diagnostics["priors"]["tau"].startswith("half-normal(scale = ")
    assert set(diagnostics["seconds"]) == {"prepare", "sample", "effects"}
    assert min(diagnostics["seconds"].values()) > 0
    assert sum(diagnostics["seconds"].values()) < wall  # parts of the run, one after the other


def test_without_groups_the_slope_is_the_two_way_estimate(program, tmp_path, design):
    status, out, _ = program(*COLUMNS, "--controls", CONTROL, "--out", "o")
    assert status == 0
    assert "tau" not in out
    effects = pd.read_csv(tmp_path / "o" / "effects.csv").set_index("group")
    assert effects.index.tolist() == ["(average)", "(all)", "(new)"]
    expected = twfe(design).estimate[0]
    assert effects.loc["(all)", "mean"] == pytest.approx(expected, abs=0.08 * effects.loc["(all)", "sd"])
    assert effects.loc["(new)"].drop(["complete_pooling", "origin"]).isna().all()
    for name in ("contrasts", "ranks"):
        assert len(pd.read_csv(tmp_path / "o" / f"{name}.csv")) == 0
    assert set(pd.read_csv(tmp_path / "o" / "classical.csv")["column"]) == {"(all)"}


def test_nothing_is_written_unless_asked(program, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    status, out, _ = program(*COLUMNS, "--group", GROUP)
    assert (status, sorted(tmp_path.rglob("*"))) == (0, before)
    assert "东部" in out
    assert program(*COLUMNS, "--quiet") == (0, "", "")


def test_what_it_reads_does_not_matter(program, tmp_path):
    """Parquet holds the same numbers as CSV, and so do the results; a second run writes the same bytes."""
    arguments = [*COLUMNS, "--controls", CONTROL, "--group", GROUP, "--quiet", "--out"]
    table().to_parquet("panel.parquet")
    assert program(*arguments, "csv") == (0, "", "")
    assert program(*arguments, "parquet", data="panel.parquet") == (0, "", "")
    for name in ("effects.csv", "classical.csv", "contrasts.csv", "ranks.csv"):
        assert (tmp_path / "csv" / name).read_bytes() == (tmp_path / "parquet" / name).read_bytes()
    assert program(*arguments, "again", data="panel.parquet") == (0, "", "")
    for path in (tmp_path / "parquet").iterdir():
        if path.name not in ("diagnostics.json", ".fit.receipt", ".cbec_bayes"):  # they have seconds
            assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_a_seed_of_ones_own(program, tmp_path):
    for out, seed in (("a", "1"), ("b", "2")):
        program(*COLUMNS, "--group", GROUP, "--seed", seed, "--out", out, "-q")
    a, b = (pd.read_csv(tmp_path / out / "effects.csv") for out in ("a", "b"))
    assert not (a["mean"] == b["mean"]).any()
    np.testing.assert_array_equal(a["no_pooling"], b["no_pooling"])


def test_a_model_of_ones_own(program, tmp_path, design):
    text = (asset_dir("models") / "partial_pooling.toml").read_text()
    (tmp_path / "wide.toml").write_text(text.replace("scale = 0.5", "scale = 5"))
    assert program(*COLUMNS, "--group", GROUP, "--model", "wide.toml", "--out", "o", "-q")[0] == 0
    diagnostics = json.loads((tmp_path / "o" / "diagnostics.json").read_text())
    within = design.spread.within
    ratio = within[0] / within[1]
    assert diagnostics["priors"]["tau"] == f"half-normal(scale = {5 * ratio:.4g})"
    assert diagnostics["model"] == "wide"


def test_a_convention_of_ones_own(program, tmp_path, design):
    assert program(*COLUMNS, "--group", GROUP, "--convention", "plm", "--out", "o", "-q")[0] == 0
    assert set(pd.read_csv(tmp_path / "o" / "classical.csv")["ssc"]) == {"plm"}
    beside = pd.read_csv(tmp_path / "o" / "effects.csv").set_index("group")["no_pooling_se"]
    for group in GROUPS:
        own = twfe(design.of_group(group).keeping([EXPOSURE]), ssc="plm")
        assert beside[group] == pytest.approx(own.se[0], rel=1e-8)


def test_dropped_rows_are_in_the_ledger(program, tmp_path):
    frame = table()
    frame.loc[[5, 9], EXPOSURE] = np.nan
    frame.to_csv("holes.csv", index=False)
    status, out, _ = program(*COLUMNS, "--group", GROUP, "--out", "o", data="holes.csv")
    assert status == 0
    ledger = pd.read_csv(tmp_path / "o" / "ledger.csv")
    assert ledger["row"].tolist() == [7, 11]
    assert set(ledger["action"]) == {"dropped"}
    assert "2 rows" in out
    assert pd.read_csv(tmp_path / "o" / "effects.csv").set_index("group").loc["(all)", "n_obs"] == 100


def test_many_groups_are_not_contrasted(program, tmp_path, monkeypatch):
    monkeypatch.setattr(fit_tables, "MAX_CONTRASTED", 2)
    assert program(*COLUMNS, "--group", GROUP, "--out", "o", "-q")[0] == 0
    assert len(pd.read_csv(tmp_path / "o" / "effects.csv")) == 6
    assert len(pd.read_csv(tmp_path / "o" / "contrasts.csv")) == 0
    assert len(pd.read_csv(tmp_path / "o" / "ranks.csv")) == 0
    monkeypatch.setattr(fit_tables, "MAX_CONTRASTED", 3)
    assert program(*COLUMNS, "--group", GROUP, "--out", "p", "-q")[0] == 0
    assert len(pd.read_csv(tmp_path / "p" / "contrasts.csv")) == 3


def test_a_slope_in_common_has_nothing_to_contrast(program, tmp_path):
    """Groups that are all alike by assumption have no differences and no ranks."""
    assert program(*COLUMNS, "--group", GROUP, "--model", "complete_pooling", "--out", "o", "-q")[0] == 0
    effects = pd.read_csv(tmp_path / "o" / "effects.csv")
    assert np.ptp(effects["mean"][:4]) == 0
    assert len(pd.read_csv(tmp_path / "o" / "contrasts.csv")) == 0
    assert len(pd.read_csv(tmp_path / "o" / "ranks.csv")) == 0


@pytest.mark.slow
def test_the_other_engine(program, tmp_path, monkeypatch):
    """PyMC says the same within Monte Carlo error, and writes the same files."""
    monkeypatch.setattr(panelfit, "fit", functools.partial(fit, draws=1000))
    arguments = [*COLUMNS, "--controls", CONTROL, "--group", GROUP, "--quiet", "--out"]
    assert program(*arguments, "pymc", "--engine", "pymc") == (0, "", "")
    assert program(*arguments, "collapsed", "--engine", "collapsed") == (0, "", "")
    sampled, exact = (pd.read_csv(tmp_path / out / "effects.csv") for out in ("pymc", "collapsed"))
    for column in ("group", "n_units", "n_obs", "no_pooling", "no_pooling_se", "complete_pooling", "origin"):
        pd.testing.assert_series_equal(sampled[column], exact[column])
    np.testing.assert_array_less((sampled["mean"] - exact["mean"]).abs(), 0.15 * exact["sd"])
    np.testing.assert_allclose(sampled["sd"][:3], exact["sd"][:3], rtol=0.1)
    assert sampled["pooling_factor"][:3].isna().all()
    diagnostics = json.loads((tmp_path / "pymc" / "diagnostics.json").read_text())
    assert diagnostics["engine"] == "pymc-nutpie"
    assert diagnostics["khat"] is None
    assert diagnostics["ebfmi_min"] > 0.3
    assert diagnostics["failures"] == []
    assert (diagnostics["log_evidence"], diagnostics["log_evidence_mcse"]) == (None, None)
    assert diagnostics["log_evidence_note"] == "only the collapsed engine integrates the density"
    files = {out: sorted(path.name for path in (tmp_path / out).iterdir()) for out in ("pymc", "collapsed")}
    assert files["pymc"] == files["collapsed"]
    posteriors = []
    for out in ("collapsed", "pymc"):
        with xr.open_datatree(tmp_path / out / "posterior.nc", engine="h5netcdf") as tree:
            assert (tree.attrs["origin"], tree.attrs["seed"]) == ("observed", 1)
            assert not {"created_at", "sampling_time"} & {name for node in tree.subtree for name in node.attrs}
            posteriors.append(tree["posterior"].to_dataset().load())
    assert_same_posterior(*posteriors)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--outcome", "商业流通"], f"did you mean '{OUTCOME}'?"),
        (["--controls", "人均GDP"], f"did you mean '{CONTROL}'?"),
        (["--group", "not usd"], "did you mean 'not used'?"),
        (["--model", "partial pooling"], "unknown model 'partial pooling'; did you mean 'partial_pooling'?"),
        (["--model", "none.toml"], "none.toml: no such file"),
        (["--model", "bad.toml"], "bad.toml: residual: unknown choice 'nrmal'; did you mean 'normal'?"),
        (["--model", "published_half_t"], "unknown model 'published_half_t'"),
        (["--engine", "pymcc"], "unknown engine 'pymcc'; did you mean 'pymc'?"),
        (["--engine", "collapsed", "--model", "student_t"], "'student_t' cannot be collapsed"),
        (["--convention", "stata"], "unknown convention 'stata'"),
        (["--controls", OUTCOME], "given as outcome and as control"),
        (["--data", "none.csv"], "none.csv: no such file"),
        (["--data", "text.csv"], "text.csv, row 9"),
        (["--data", "empty.csv"], "empty.csv"),
        (["--data", "panel.json"], "panel.json"),
        (["--seed", "-1"], "Invalid value for '--seed'"),
        (["--controls", "twice"], "column 'twice'"),
        (["--time", UNIT], "given as unit and as time"),
    ],
)
def test_bad_input_is_one_line_status_2_and_nothing_written(program, tmp_path, arguments, message):
    frame = table().assign(twice=lambda f: 2 * f[EXPOSURE])
    frame.to_csv("面板.csv", index=False)
    cells = frame.astype(object)
    cells.loc[7, EXPOSURE] = "n.a.?"
    cells.to_csv("text.csv", index=False)
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "panel.json").write_text("{}")
    text = (asset_dir("models") / "partial_pooling.toml").read_text()
    (tmp_path / "bad.toml").write_text(text.replace('residual = "normal"', 'residual = "nrmal"'))
    before = sorted(tmp_path.rglob("*"))
    status, out, err = program(*COLUMNS, *arguments, "--out", "o")
    assert (status, out) == (2, "")
    assert message in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_failed_gate_is_status_1_and_still_writes(program, tmp_path, monkeypatch):
    """What did not converge is kept, with its diagnostics, for whoever wants to see why."""
    real = panelfit.fit

    def failing(*arguments, **options):
        found = real(*arguments, **options)
        return dataclasses.replace(found, diagnostics=dataclasses.replace(found.diagnostics, rhat_max=1.2))

    monkeypatch.setattr(panelfit, "fit", failing)
    status, out, err = program(*COLUMNS, "--group", GROUP, "--out", "o")
    assert status == 1
    assert "Gates missed: R-hat 1.200 is not below 1.01. Intervals" in out
    assert "All gates passed" not in out
    assert err == "error: the sampler did not converge: R-hat 1.200 is not below 1.01\n"
    assert (tmp_path / "o" / "effects.csv").is_file()
    diagnostics = json.loads((tmp_path / "o" / "diagnostics.json").read_text())
    assert diagnostics["failures"] == ["R-hat 1.200 is not below 1.01"]


def test_steps_are_named(tmp_path):
    table().to_csv(tmp_path / "p.csv", index=False)
    steps: list[str] = []
    found = fit_file(
        tmp_path / "p.csv",
        outcome=OUTCOME,
        exposure=EXPOSURE,
        controls=[],
        unit=UNIT,
        time="年",
        group=None,
        model="complete_pooling",
        on_progress=lambda event: steps.append(str(event)),
    )
    assert steps == ["reading the panel", "fitting", "tables"]
    shown = slopes_as_lines(found.shown())
    assert shown["group"].tolist() == ["average over units", "groups in general", "a group not seen"]
    assert shown["units"].tolist() == ["15", "15", ""]
    assert "nan" not in shown.to_string()


def test_a_study_is_fitted_by_several_models():
    steps: list[str] = []
    found = fit_models(
        StudyQuestion(design=panel("public"), ssc="reghdfe", models=("partial_pooling", "complete_pooling")),
        on_progress=lambda event: steps.append(str(event)),
    )
    names = ["partial_pooling", "complete_pooling"]
    assert [step for step in steps if step.startswith("member")] == [f"member {k} of 2" for k in range(3)]
    assert "part of the headline's checks 6 of 6" in steps
    assert [check.name for check in found.checks] == [check.name for check in CHECKS]
    assert list(found.questions) == names
    assert found.effects["model"].tolist() == ["partial_pooling"] * 7 + ["complete_pooling"] * 7
    assert found.diagnostics["model"].tolist() == names
    assert (found.diagnostics["khat"] < 0.7).all()
    assert len(found.contrasts) == 6
    assert found.path.tau.shape == found.tau_density.shape
    log_tau = np.log(found.path.tau)
    mass = np.trapezoid(found.tau_density, log_tau)
    assert mass == pytest.approx(1, abs=0.02)
    headline = fit(panel("public"), "partial_pooling").tree["posterior"]["tau"]
    assert found.tau.mean == pytest.approx(float(headline.mean()))
    assert np.sqrt(found.path.tau[0] * found.path.tau[-1]) == pytest.approx(float(headline.median()))
    assert found.priors["tau"].startswith("half-normal")


def test_a_study_stops_at_a_gate(monkeypatch):
    real = studyfit.fit

    def failing(*arguments, **options):
        found = real(*arguments, **options, draws=50)
        return dataclasses.replace(found, diagnostics=dataclasses.replace(found.diagnostics, divergences=3))

    monkeypatch.setattr(studyfit, "fit", failing)
    with pytest.raises(GateError, match="3 divergent transitions"):
        fit_models(
            StudyQuestion(design=panel("balanced"), ssc="reghdfe", models=("partial_pooling", "complete_pooling"))
        )


def test_the_report_fits_every_shipped_member():
    assert set(studyfit.STUDY_MODELS) == set(panel_model_names())
    assert studyfit.STUDY_MODELS[0] == "robust"


def test_engines_are_checked_before_anything_is_read(tmp_path):
    with pytest.raises(InputError, match="unknown engine"):
        fit_file(
            tmp_path / "none.csv",
            outcome="y",
            exposure="d",
            controls=[],
            unit="u",
            time="t",
            group=None,
            model="partial_pooling",
            engine="stan",
        )


def test_a_terminal_shows_the_ends_of_many_groups(program, tmp_path):
    rng = np.random.default_rng(1)
    unit, time = np.divmod(np.arange(60 * 2 * 6), 6)
    d = rng.normal(size=len(unit))
    y = (unit // 2) / 60 * d + 0.1 * rng.normal(size=len(unit))
    frame = pd.DataFrame({"unit": unit, "time": time, "y": y, "d": d, "g": [f"group {u // 2:02d}" for u in unit]})
    frame.to_csv("many.csv", index=False)
    asked = ["fit", "--data", "many.csv", "--outcome", "y", "--exposure", "d", "--unit", "unit", "--time", "time"]
    asked += [
        "--group",
        "g",
        "--model",
        "partial_pooling",
        "--no-neighbours",
    ]  # how many groups are shown is asked here
    with pytest.raises(SystemExit):
        cli.main([*asked, "--out", "many"])
    effects = pd.read_csv("many/effects.csv")
    assert len(effects) == 63
    found = panelfit.fit_folder(Path("many"))
    shown = found.shown()["group"].tolist()
    assert len(shown) == 2 * fit_tables.SHOWN_AT_ENDS + 3
    assert {"(average)", "group 59", "group 00", "(all)", "(new)"} <= set(shown)
    assert "group 30" not in shown
    assert any("smallest slopes of 60 groups" in note for note in found.notes)


def test_a_coefficient_per_unit_has_its_limit(program, monkeypatch):
    monkeypatch.setattr(panelfit, "MAX_UNITS", 10)
    status, _, err = program(*COLUMNS, "--group", GROUP, "--model", "ar1")
    assert status == 0, err  # effects of units are integrated out
    monkeypatch.setattr(panelfit.PanelModel, "has_unit_coefficients", True)
    status, _, err = program(*COLUMNS, "--group", GROUP, "--model", "ar1")
    assert status == 2
    assert "15 units are more than the 10 that fit into memory" in err


def test_groups_have_their_limit(program, monkeypatch, tmp_path):
    monkeypatch.setattr(panelfit, "MAX_GROUPS", 2)
    status, _, err = program(*COLUMNS, "--group", GROUP)
    assert status == 2
    assert "3 groups are more than the 2 that can be pooled; use coarser groups, or the model 'nested'" in err
    status, _, err = program(*COLUMNS, "--group", GROUP, "--model", "complete_pooling")
    assert status == 0, err
    moments_file = tmp_path / "moments.nc"
    with pytest.raises(SystemExit) as stopped:
        cli.main(
            [
                "moments",
                "面板.csv",
                *COLUMNS[:-2],
                "--group",
                GROUP,
                "--out",
                str(moments_file),
                "--quiet",
                "--disclose",
            ]
        )
    assert not stopped.value.code
    with pytest.raises(InputError, match="3 groups are more than the 2"):
        panelfit.fit_moments_file(moments_file, model="partial_pooling")


@pytest.mark.parametrize("name", ["effects.csv", "classical.csv"])
def test_a_result_is_not_written_over_the_panel_it_is_made_of(program, name, tmp_path):
    held = (tmp_path / "面板.csv").read_bytes()
    (tmp_path / name).write_bytes(held)
    status, _, err = program(*COLUMNS, "--group", GROUP, "--out", ".", data=name)
    assert status == 2
    assert f"{name}: the result would replace its own input; name another folder" in err
    assert (tmp_path / name).read_bytes() == held
    assert not (tmp_path / "posterior.nc").exists()
