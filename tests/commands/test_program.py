"""The program as a user runs it: what each command writes, and one clear line for every bad input."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.commands import console
from cbec_bayes.estimands import EFFECT_COLUMNS
from cbec_bayes.jobs import published as job
from cbec_bayes.jobs.inputs import input_hashes
from cbec_bayes.panel.study import load_study
from cbec_bayes.runtime.files import asset_dir
from cbec_bayes.runtime.progress import Progress
from tests.support.called import heard
from tests.support.studies import make_study

GOOD = "label,estimate,se\neast,0.22,0.08\ncentral,0.751,0.328\nwest,0.074,0.109\nnorth-east,,\n"
STARRED = "label,estimate,se,stars,df\neast,0.22,0.259,**,9\ncentral,0.751,0.328,*,5\nwest,0.074,0.109,,10\n"


@pytest.fixture
def program(capsys, tmp_path, monkeypatch):
    """Run the program in an empty folder: status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    return partial(heard, capsys)


def test_published_writes_its_tables(program, tmp_path):
    (tmp_path / "in.csv").write_text(GOOD)
    status, out, err = program("published", "in.csv", "--out", "here")
    assert (status, err) == (0, "")
    assert "partial pooling" in out.lower()
    effects = pd.read_csv(tmp_path / "here" / "effects.csv")
    assert tuple(effects.columns[: len(EFFECT_COLUMNS)]) == EFFECT_COLUMNS
    assert list(effects["group"]) == ["east", "central", "west", "north-east", "(all)", "(new)"]
    by_group = effects.set_index("group")
    assert by_group.loc["north-east", "mean"] == pytest.approx(by_group.loc["(new)", "mean"], abs=1e-9)
    assert np.isnan(by_group.loc["north-east", "no_pooling"])
    assert (effects["ci_low"] < effects["mean"]).all()
    assert (effects["mean"] < effects["ci_high"]).all()
    diagnostics = json.loads((tmp_path / "here" / "diagnostics.json").read_text())
    assert {"engine", "rhat_max", "ess_bulk_min", "ess_tail_min", "divergences", "seconds", "draws"} <= set(diagnostics)
    assert diagnostics["quadrature_error"] <= 1e-6
    assert (diagnostics["origin"], diagnostics["between_prior"][:11]) == ("printed", "half-normal")
    sensitivity = pd.read_csv(tmp_path / "here" / "sensitivity.csv")
    assert sensitivity["model"].nunique() == 5
    assert set(sensitivity["reading"]) == {"as_printed"}


def test_published_reads_stars(program, tmp_path, monkeypatch):
    (tmp_path / "in.csv").write_text(STARRED)
    frames, tables, every_reading = {}, [], job._sensitivity

    def once(*asked, **named):
        """Compute for the first reading alone what is the same for the second: the table of all readings."""
        if not tables:
            tables.append(every_reading(*asked, **named))
        return tables[0]

    monkeypatch.setattr(job, "_sensitivity", once)
    for reading in ("as_printed", "coherent"):
        status, *_ = program("published", "in.csv", "--reading", reading, "--unit", "1.2377", "--out", reading, "-q")
        assert status == 0
        frames[reading] = pd.read_csv(tmp_path / reading / "effects.csv").set_index("group")
    assert frames["as_printed"].loc["east", "no_pooling_se"] == 0.259
    assert frames["coherent"].loc["east", "se_reading"].startswith("implied by the stars")
    assert frames["coherent"].loc["east", "sd"] < frames["as_printed"].loc["east", "sd"]


@pytest.mark.slow
def test_a_reading_with_many_implied_errors_is_pooled(program, tmp_path):
    rows = [f"g{i},0.{i + 1},0.0{i + 3},***" for i in range(9)]
    (tmp_path / "in.csv").write_text("label,estimate,se,stars\n" + "\n".join(rows) + "\n")
    status, _, err = program("published", "in.csv", "--reading", "stars", "--out", "o")
    assert (status, err) == (0, "")
    found = pd.read_csv(tmp_path / "o" / "sensitivity.csv")
    assert "stars" in set(found["reading"])
    assert found["mean"].notna().all()


def test_many_groups(program, tmp_path):
    rng = np.random.default_rng(2)
    truth = rng.normal(1, 0.3, size=60)
    rows = [f"g{i},{rng.normal(t, 0.2):.3f},0.200" for i, t in enumerate(truth)]
    (tmp_path / "in.csv").write_text("label,estimate,se\n" + "\n".join(rows) + "\n")
    status, out, _ = program("published", "in.csv", "--out", "o")
    assert status == 0
    assert "contrasts.csv is left empty" in out
    assert len(pd.read_csv(tmp_path / "o" / "contrasts.csv")) == 0
    effects = pd.read_csv(tmp_path / "o" / "effects.csv").set_index("group")
    inside = [effects.loc[f"g{i}", "ci_low"] <= t <= effects.loc[f"g{i}", "ci_high"] for i, t in enumerate(truth)]
    assert 0.87 <= np.mean(inside) <= 1  # 95 % of 60, within three binomial standard errors
    between = json.loads((tmp_path / "o" / "diagnostics.json").read_text())["between"]["ci"]
    assert between[0] < 0.3 < between[1]


def test_published_on_the_eight_schools(program, tmp_path):
    file = asset_dir("data") / "published" / "eight_schools.csv"
    status, out, _ = program("published", str(file), "--model", "eight_schools", "--out", "o")
    assert status == 0
    effects = pd.read_csv(tmp_path / "o" / "effects.csv").set_index("group")
    diagnostics = json.loads((tmp_path / "o" / "diagnostics.json").read_text())
    assert effects.loc["(all)", "mean"] == pytest.approx(4.41, abs=0.03)
    assert diagnostics["between"]["mean"] == pytest.approx(3.60, abs=0.03)
    assert "half-cauchy(scale = 5)" in out


@pytest.mark.slow
def test_published_by_the_other_engine(program, tmp_path):
    (tmp_path / "in.csv").write_text(GOOD)
    status, *_ = program("published", "in.csv", "--engine", "pymc", "--seed", "3", "--out", "o", "-q")
    assert status == 0
    sampled = pd.read_csv(tmp_path / "o" / "effects.csv").set_index("group")
    program("published", "in.csv", "--out", "q", "-q")
    exact = pd.read_csv(tmp_path / "q" / "effects.csv").set_index("group")
    assert sampled["mean"].to_numpy() == pytest.approx(exact["mean"].to_numpy(), abs=0.05)
    diagnostics = json.loads((tmp_path / "o" / "diagnostics.json").read_text())
    assert diagnostics["engine"] == "pymc-nutpie"
    assert diagnostics["rhat_max"] < 1.01


def test_a_failed_gate_is_exit_status_1_and_still_writes(program, tmp_path, monkeypatch):
    (tmp_path / "in.csv").write_text(GOOD)
    real = job.pool_file

    def failing(*args, **kwargs):
        import dataclasses

        return dataclasses.replace(real(*args, **kwargs), failures=("R-hat 1.200 is not below 1.01",))

    monkeypatch.setattr(job, "pool_file", failing)
    status, _, err = program("published", "in.csv", "--out", "o")
    assert (status, err) == (1, "error: R-hat 1.200 is not below 1.01\n")
    assert (tmp_path / "o" / "effects.csv").is_file()


def test_audit_of_the_paper(program, tmp_path):
    status, out, err = program("audit", "--out", "o")
    assert (status, err) == (0, "")
    assert "The tables contradict themselves in 13 places: 6 faults and 7 doubts." in out
    frame = pd.read_csv(tmp_path / "o" / "audit.csv", dtype=str)
    assert list(frame.columns[:6]) == ["table", "column", "term", "check", "verdict", "detail"]
    assert set(frame["verdict"]) == {"pass", "fail", "undetermined", "not this one"}
    assert len(pd.read_csv(tmp_path / "o" / "readings.csv")) == 30


def test_audit_of_another_table(program, tmp_path):
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "a.csv").write_text(
        "table,column,term,quantity,printed,stars\n1,a,x,estimate,0.50,***\n1,a,x,parenthesis,0.40,\n"
    )
    status, out, _ = program("audit", "--tables", "t")
    assert status == 0
    assert "No reading of (0.40) agrees with 0.50***" in out
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "in.csv: the file is empty"),
        ("label,estimate\na,1\n", "in.csv, row 1, column 'se': the column is missing"),
        ("label,estimate,se\na,1,-0.1\n", "in.csv, row 2, column 'se': negative standard error -0.1"),
        ("label,estimate,se\na,1,0.00\n", "says that the estimate is known exactly"),
        ("label,estimate,se\na,x,0.1\n", "in.csv, row 2, column 'estimate': 'x' is not a number"),
        ("label,estimate,se\na,1,0.1\na,2,0.1\n", "in.csv, row 3, column 'label': 'a' is listed twice"),
        ("label,estimate,se\n,1,0.1\n", "row 2, column 'label': the cell is blank"),
        ("label,estimate,se\n(new),1,0.1\n", "cannot name a group"),
        ("label,estimate,se\n(average),1,0.1\n", "cannot name a group"),
        ("label,estimate,se\na,,0.1\n", "row 2, column 'estimate': blank, but it has a standard error"),
        ("label,estimate,se\na,1,\n", "row 2, column 'se': blank, and there is no column of stars"),
        ("label,estimate,se,stars\na,0,,*\n", "stars imply nothing"),
        ("label,estimate,se,stars\na,1,0.1,x\n", "unknown stars 'x'"),
        ("label,estimate,se,df\na,1,0.1,0\n", "degrees of freedom must be at least 0.1"),
        ("label,estimate,se,n_obs\na,1,0.1,1.5\n", "column 'n_obs': '1.5' is not a whole number"),
        ("label,estimate,se\na,,\nb,,\n", "every estimate is blank"),
        ("label,estimate,se\na,1\n", "row 2: the row has 2 cells, and the header has 3"),
    ],
)
def test_bad_estimates_are_one_line_status_2_and_nothing_written(program, tmp_path, content, message):
    (tmp_path / "in.csv").write_text(content)
    status, out, err = program("published", "in.csv", "--out", "o")
    assert status == 2
    assert err.startswith("error: in.csv")
    assert err.count("\n") == 1
    assert message in err
    assert out == ""
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["published", "none.csv"], "none.csv: no such file"),
        (["published", "in.csv", "--model", "eigth_schools"], "did you mean 'eight_schools'?"),
        (["published", "in.csv", "--model", "bad.toml"], "bad.toml: between.scale: must be positive, not -1"),
        (["published", "in.csv", "--reading", "stars"], "uses stars; add a column"),
        (["published", "in.csv", "--reading", "star"], "did you mean 'stars'?"),
        (["published", "in.csv", "--unit", "-1"], "--unit must be a positive number"),
        (["published", "in.csv", "--engine", "stan"], "unknown engine 'stan'"),
        (["published"], "Missing argument"),
        (["published", "in.csv", "--nothing"], "No such option"),
        (["audit", "--tables", "none"], "none: no such folder"),
        (["audit", "--tables", "t"], "column 'printed': negative standard error -0.40"),
        (["run", "--study", "papr"], "did you mean 'paper'?"),
        (["run", "--study", "public"], "has no printed tables to reanalyse; `cbec-bayes replicate --study public`"),
        (["replicate", "--study", "papr"], "did you mean 'paper'?"),
        (
            ["reconstruct", "--study", "public"],
            "has no printed tables or no panel: so that nothing can be reconstructed",
        ),
        (["reconstruct", "--n", "0"], "Invalid value for '--n'"),
        (["rn"], "No such command 'rn'"),
    ],
)
def test_bad_arguments_are_one_line_and_status_2(program, tmp_path, arguments, message):
    (tmp_path / "in.csv").write_text(GOOD)
    (tmp_path / "bad.toml").write_text(
        'kind = "published"\nquestion = "x"\n[slope]\ndist = "flat"\n[between]\ndist = "half_normal"\nscale = -1\n'
    )
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "a.csv").write_text(
        "table,column,term,quantity,printed,stars\n1,a,x,estimate,0.50,\n1,a,x,parenthesis,-0.40,\n"
    )
    before = sorted(tmp_path.rglob("*"))
    extra = ["--out", "o"] if arguments[0] != "rn" else []
    status, out, err = program(*arguments, *extra)
    assert status == 2
    assert message in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert out == ""
    assert sorted(tmp_path.rglob("*")) == before


def test_an_unknown_region_is_bad_input(program, tmp_path):
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "a.csv").write_text("table,column,term,quantity,printed,stars\n1,South,x,estimate,0.5,\n")
    (tmp_path / "t" / "paper.toml").write_text('[panel]\nscheme = "four_regions"\n[groups]\n"1: South" = "south"\n')
    status, _, err = program("audit", "--tables", "t", "--out", "o")
    assert status == 2
    assert "unknown region 'south'" in err
    assert not (tmp_path / "o").exists()


def test_lists(program):
    status, out, _ = program("models")
    assert status == 0
    assert {line.split()[0] for line in out.splitlines()} >= {"eight_schools", "published_half_normal"}
    assert program("models", "--out", "o", "--quiet") == (0, "", "")
    assert list(pd.read_csv("o/models.csv").columns) == ["name", "line"]
    status, out, _ = program("studies")
    assert status == 0
    assert {line.split()[0] for line in out.splitlines()} >= {"circulation", "paper", "public"}
    assert program("--version")[:2] == (0, "0.1.0\n")


def test_replicate_the_paper(program, tmp_path):
    status, out, err = program("replicate", "--no-few", "--out", "o")
    assert (status, err) == (0, "")
    assert "0.408** [= 0.408**]" in out
    assert "(p = 0.016) [= 0.016]" in out
    assert re.search(r"\(0\.08\d\) \[≠ 0\.259\]", out)
    assert "Origin: reconstructed. 90 of 95 printed numbers" in out
    frame = pd.read_csv(tmp_path / "o" / "replication.csv", dtype=str)
    columns = ["table", "column", "term", "quantity", "printed", "replicated", "match", "origin"]
    assert list(frame.columns[:8]) == columns
    assert sorted(path.name for path in (tmp_path / "o").glob("*.csv")) == ["classical.csv", "replication.csv"]


def test_replicate_the_public_study(program, tmp_path):
    status, out, _ = program("replicate", "--study", "public", "--out", "o")
    assert status == 0
    assert "Origin: observed." in out
    few = pd.read_csv(tmp_path / "o" / "few.csv")
    assert set(few["origin"]) == {"observed"}
    assert set(few["vcov"]) == {"CRV1", "CR2", "CRV3", "wild bootstrap (webb)", "wild bootstrap (rademacher)"}
    north_east = few[(few["column"] == "north-east") & (few["term"] == "pilot_zones")]
    assert set(north_east["n_clusters"]) == {3}
    first = (tmp_path / "o" / "few.csv").read_bytes()
    assert program("replicate", "--study", "public", "--out", "again", "--quiet") == (0, "", "")
    assert (tmp_path / "again" / "few.csv").read_bytes() == first


def test_replicate_a_study_with_other_panels(program, tmp_path):
    status, out, _ = program("replicate", "--study", "circulation", "--no-few", "--out", "o")
    assert status == 0
    assert "Slope in every panel of the study. 16 panels ask the same question" in out
    assert re.search(r"trillion_yuan: outcome in trillion yuan +0\.0338 \(0\.0066\) +-0\.00483 \(0\.0052\)", out)
    table = pd.read_csv(tmp_path / "o" / "alternatives.csv")
    assert set(table["origin"]) == {"observed", "observed (index)"}
    assert set(pd.read_csv(tmp_path / "o" / "index_weights.csv")["alternative"]) == {"index", "index_trillion_yuan"}


def test_a_study_of_ones_own(program, tmp_path):
    """A TOML anywhere, files beside it; a result depends on each, and names none by its place on the machine."""
    folder = tmp_path / "mine"
    folder.mkdir()
    study = make_study(folder)
    status, out, _ = program("replicate", "--study", "mine/study.toml", "--no-few", "--out", "o")
    assert status == 0
    assert "Origin: simulated." in out
    assert set(pd.read_csv(tmp_path / "o" / "replication.csv")["match"].dropna()) == {"yes"}
    hashes = input_hashes(study)
    own = {"study.toml", "observed.csv", "unknown.csv", "tables/tables.csv", "tables/paper.toml", "tables/scheme.csv"}
    assert {name for name in hashes if not name.startswith(("data/", "models/"))} == own
    assert input_hashes(load_study("mine/study.toml")) == hashes
    scheme = folder / "tables" / "scheme.csv"
    scheme.write_text(scheme.read_text() + "another,south\n")
    assert {name for name, digest in input_hashes(study).items() if digest != hashes[name]} == {"tables/scheme.csv"}
    below, toml = folder / "tables" / "below", folder / "tables" / "paper.toml"
    below.mkdir()
    scheme.rename(below / "scheme.csv")
    for path in (toml, folder / "study.toml"):
        path.write_text(path.read_text().replace("scheme.csv", "below/scheme.csv"))
    assert "tables/below/scheme.csv" in input_hashes(load_study("mine/study.toml"))
    own = (folder / "study.toml").read_text()
    (folder / "study.toml").write_text(own.replace('scheme = "tables/below/scheme.csv"\n', ""))
    assert load_study("mine/study.toml").panel.scheme is None
    assert "tables/below/scheme.csv" in input_hashes(load_study("mine/study.toml"))  # which paper.toml names too
    text = (folder / "study.toml").read_text()
    for line, message in (
        ('beside = "sub/study.toml"', "there is a study called 'study' already"),
        ('beside = "no.toml"', "no.toml: no such file"),
        ('tables = "no"', "no: no such folder"),
        ('model = "no.toml"', "no.toml: no such file"),
    ):
        key = line.split(" = ")[0]
        kept = "".join(f"{row}\n" for row in text.splitlines() if not row.startswith(f"{key} = "))
        changed = f"{line}\n{kept}" if key == "beside" else kept.replace("[published]", f"[published]\n{line}")
        (folder / "sub").mkdir(exist_ok=True)
        (folder / "sub" / "study.toml").write_text(text)
        (folder / "study.toml").write_text(changed)
        status, _, err = program("run", "--study", "mine/study.toml", "--ensemble", "0", "--out", "o")
        assert (status, message in err, err.count("\n")) == (2, True, 1), err


def test_tables_in_a_folder_named_from_where_one_stands(program, tmp_path):
    """Their own scheme lies among them, and is no table."""
    make_study(tmp_path)
    for folder in (str(tmp_path / "tables"), "tables", "./tables/"):
        status, _, err = program("audit", "--tables", folder, "--out", "o")
        assert (status, err) == (0, ""), err
        details = pd.read_csv(tmp_path / "o" / "audit.csv")["detail"]
        assert details.str.contains("72 = 12 units of north × 6 periods").any()


def test_reconstruct(program, tmp_path):
    status, out, err = program("reconstruct", "--n", "2", "--seed", "2", "--out", "o")
    assert (status, err) == (0, "")
    assert out.count("90 of 95 printed numbers") == 2
    assert "one of infinitely many" in out
    summary = pd.read_csv(tmp_path / "o" / "summary.csv")
    assert summary[["met", "met_within_rounding", "not_met"]].to_numpy().tolist() == [[90, 1, 4]] * 2
    record = pd.read_csv(tmp_path / "o" / "record.csv", dtype=str)
    assert list(record.groupby("panel").size()) == [len(record) // 2] * 2
    panel = pd.read_csv(tmp_path / "o" / "panels" / "cbec_circulation_1.csv")
    assert list(panel.columns) == ["province", "year", "ci", "cbec", "origin"]


def test_help_and_errors_from_a_shell():
    shown = subprocess.run([sys.executable, "-m", "cbec_bayes", "--help"], capture_output=True, text=True)
    assert shown.returncode == 0
    assert "published" in shown.stdout
    bad = subprocess.run([sys.executable, "-m", "cbec_bayes", "published", "none.csv"], capture_output=True, text=True)
    assert (bad.returncode, bad.stdout, bad.stderr) == (2, "", "error: none.csv: no such file\n")


def test_an_interrupt_leaves_nothing(program, tmp_path, monkeypatch):
    (tmp_path / "in.csv").write_text(GOOD)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(job, "pool_file", interrupted)
    status, _, err = program("published", "in.csv", "--out", "o")
    assert status == 130
    assert "nothing was left half-written" in err
    assert not (tmp_path / "o").exists()


def test_json_is_all_that_is_printed(program, tmp_path):
    (tmp_path / "in.csv").write_text(GOOD)
    status, out, err = program("published", "in.csv", "--json", "--out", "o")
    assert (status, err) == (0, "")
    found = json.loads(out)
    effects = pd.read_csv(tmp_path / "o" / "effects.csv")
    assert [row["group"] for row in found["effects"]] == list(effects["group"])
    assert [row["mean"] for row in found["effects"]] == pytest.approx(list(effects["mean"]), rel=1e-9)
    assert found["effects"][3]["no_pooling"] is None
    assert "o/effects.csv" in found["written"]
    assert found["diagnostics"]["origin"] == "printed"
    for command in ("models", "studies", "audit"):
        assert json.loads(program(command, "--json")[1])[command]


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("fit --model ne", {"nested"}),
        ("published a.csv --model published_e", {"published_exponential"}),
        ("run --study pub", {"public"}),
        ("fit --convention plm_", {"plm_sss"}),
        ("fit --data panel.csv --outcome inv", {"invest", "investment"}),
        ("fit --data none.csv --outcome inv", set()),
    ],
)
def test_completion(tmp_path, typed, offered):
    (tmp_path / "panel.csv").write_text("invest,investment,value\n1,2,3\n")
    words = f"cbec-bayes {typed}"
    shell = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1), "_CBEC_BAYES_COMPLETE": "complete_bash"}
    done = subprocess.run(
        [Path(sys.executable).with_name("cbec-bayes")],
        env=os.environ | shell,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert set(done.stdout.split()) == offered


def test_progress_is_drawn_on_a_terminal_only(capsys, monkeypatch):
    with console.progress(3, quiet=False) as on_progress:
        on_progress(Progress("reading"))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with console.progress(3, quiet=True) as on_progress:
        on_progress(Progress("reading"))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with console.progress(3, quiet=False) as on_progress:
        on_progress(Progress("reading"))
        for done in range(5):
            on_progress(Progress("refit", done, 4))
        on_progress(Progress("writing"))
    shown = capsys.readouterr().err
    assert "refit" in shown or "writing" in shown


def test_an_interrupt_says_what_is_kept(program, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("cbec_bayes.jobs.calibrate.calibrate", interrupted)
    status, _, err = program("calibrate", "--n", "2", "--out", "o", "--workers", "1")
    assert status == 130
    assert "finished replications are kept in o: run the same command again to go on" in err
    assert "start over" in program("calibrate", "--n", "2", "--workers", "1")[2]


HEAVY = ("dask", "distributed", "arviz_base", "arviz_stats", "scipy.stats", "matplotlib", "pymc", "pyfixest")
"""What a small fit, and pooled estimates, do without: each takes about as long to import as they take to run."""

LISTED = f"""import sys
from threadpoolctl import threadpool_info
from cbec_bayes.commands.program import main
try:
    main()
except SystemExit as ended:
    heavy = sorted(name for name in {HEAVY} if sys.modules.get(name) is not None)
    print(ended.code, heavy, sorted({{one["num_threads"] for one in threadpool_info()}}))
"""


def listed(arguments: list[str], folder: Path) -> str:
    """Run the program in a process that knows nothing of threads, and say which heavy modules it has, and threads."""
    env = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", LISTED, *arguments], cwd=folder, capture_output=True, text=True, check=True, env=env
    )
    return done.stdout.splitlines()[-1] if done.stdout else done.stderr


def test_a_fit_imports_no_more_than_it_needs_and_has_one_thread(tmp_path):
    rows = [(u, t, (u * 7 + t * t * 3) % 11 + 0.1 * t, (u * t * 5 + t) % 13) for u in range(6) for t in range(6)]
    lines = ["unit,year,y,x", *(",".join(map(str, row)) for row in rows)]
    (tmp_path / "p.csv").write_text("\n".join(lines) + "\n")
    asked = ["fit", "--data", "p.csv", "--outcome", "y", "--exposure", "x", "--unit", "unit", "--time", "year"]
    assert listed([*asked, "--quiet", "--out", "o"], tmp_path) == "0 [] [1]"
    assert (tmp_path / "o" / "posterior.nc").is_file()


def test_pooled_estimates_import_no_more_than_they_need(tmp_path):
    schools = asset_dir("data") / "published" / "eight_schools.csv"
    assert listed(["published", str(schools), "--quiet", "--out", "o"], tmp_path) == "0 [] [1]"
