"""What commands write, and where: nothing of a user's is lost, nothing stale is left, and a folder can be passed on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.commands import program as cli
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.files import asset_dir
from cbec_bayes.runtime.folder import OutFolder
from cbec_bayes.runtime.manifest import FILE, read_manifest
from cbec_bayes.runtime.staging import digest_of
from tests.support.arguments import once
from tests.support.bad_inputs import COLUMNS, table
from tests.support.called import heard
from tests.support.studies import make_study

ROLES = [part for name, value in COLUMNS.items() for part in (f"--{name}", value)]
ROOT = Path(__file__).parents[2]
FIT = ["fit", *ROLES, "--model", "partial_pooling", "--no-neighbours", "-q"]
SLOPES = "label,estimate,se\na,0.1,0.2\nb,0.5,0.2\nc,0.4,0.1\n"
TABLES = "table,column,term,quantity,printed,stars\n1,a,x,estimate,0.50,\n1,a,x,parenthesis,0.40,\n"


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table().to_csv("panel.csv", index=False)
    Path("slopes.csv").write_text(SLOPES)
    return tmp_path


@pytest.fixture
def program(capsys):
    return lambda *arguments: heard(capsys, *once(arguments))


def refused(ran: tuple[int, str, str], said: str) -> None:
    status, out, err = ran
    assert (status, out, err.count("\n")) == (2, "", 1), out + err
    assert said in err


@pytest.mark.parametrize("there", [True, False])
def test_a_link_in_the_place_of_a_result_is_said_before_anything_is_computed(here, program, monkeypatch, there):
    Path("out").mkdir()
    Path("store").mkdir()
    Path("out/effects.csv").symlink_to("../store/effects.csv")
    if there:
        Path("store/effects.csv").write_text("mine")
    before = content(here)
    with monkeypatch.context() as held:
        held.setattr("cbec_bayes.jobs.published.pool_file", None)
        refused(program("published", "slopes.csv", "--out", "out"), "out/effects.csv: a link of this name is here")
    assert content(here) == before
    assert Path("out/effects.csv").is_symlink()
    Path("out/effects.csv").unlink()
    status, out, _ = program("published", "slopes.csv", "--out", "out")
    assert status == 0
    for name in out.split("Written: ")[1].strip().split(", "):
        assert Path(name).is_file()


def test_files_that_are_reported_exist_where_results_were_moved_into_a_store(here, program):
    """As git-annex does: files are moved into a store, made read-only, and linked to."""
    assert program("published", "slopes.csv", "--out", "out", "-q")[0] == 0
    for path in list(Path("out").glob("*.csv")):
        stored = here / "store" / path.name
        stored.parent.mkdir(exist_ok=True)
        path.rename(stored)
        stored.chmod(0o444)
        path.symlink_to(stored)
    before = content(here / "store")
    Path("slopes.csv").write_text(SLOPES.replace("0.5", "0.6"))
    status, out, _ = program("published", "slopes.csv", "--out", "out")
    assert (status, "kept" in out) == (0, False)
    assert content(here / "store") == before
    assert not any(path.is_symlink() for path in Path("out").iterdir())
    assert Path("out/effects.csv").read_bytes() != before["effects.csv"]


def test_a_study_does_not_lose_its_own_panel(here, program):
    make_study(here)
    Path("observed.csv").rename("classical.csv")
    study = Path("study.toml").read_text().replace("observed.csv", "classical.csv")
    Path("study.toml").write_text(study)
    before = content(here)
    for more in (["replicate", "--no-few", "--out", "."], ["replicate", "--no-few", "--out", here / "tables" / ".."]):
        refused(program(*more, "--study", "study.toml"), "would replace its own input")
    assert content(here) == before


def test_a_panel_that_is_called_as_a_result_of_a_later_command_is_spared(here, program):
    Path("panel.csv").rename("compare.csv")
    held = Path("compare.csv").read_bytes()
    assert program(*FIT, "--data", "compare.csv", "--out", ".")[0] == 0
    refused(program("compare", "."), "compare.csv: the result would replace its own input")
    assert Path("compare.csv").read_bytes() == held
    assert program("compare", ".", "--out", "beside", "-q")[0] == 0


def test_tables_are_not_mixed_with_what_the_audit_says_of_them(here, program):
    Path("tables").mkdir()
    Path("tables/one.csv").write_text(TABLES)
    refused(program("audit", "--tables", "tables", "--out", "tables"), "into the folder of its own input")
    assert content(here / "tables") == {"one.csv": TABLES.encode()}
    for _ in range(2):
        assert program("audit", "--tables", "tables", "--out", "tables/out", "-q")[0] == 0


def test_files_that_are_called_as_ours_were_stay(here, program):
    Path(".lock").write_text("mine")
    Path(".writing-thesis").mkdir()
    Path(".writing-thesis/a.tex").write_text("mine")
    Path(".written-thesis").mkdir()
    before = content(here)
    assert program("published", "slopes.csv", "--out", ".", "-q")[0] == 0
    assert before.items() <= content(here).items()
    assert Path(".written-thesis").is_dir()


def test_a_journal_that_is_a_link_is_not_followed(here, program, monkeypatch):
    monkeypatch.setattr("cbec_bayes.jobs.specifications.specify", None)
    Path("thesis.tex").write_text("mine")
    Path("out").mkdir()
    Path("out/unfinished-specifications.jsonl").symlink_to(here / "thesis.tex")
    asked = ("specifications", "--data", "panel.csv", *ROLES, "--out", "out")
    refused(program(*asked), "unfinished-specifications.jsonl: ")
    assert Path("thesis.tex").read_text() == "mine"


@pytest.mark.parametrize("kind", ["mine", "a posterior"])
def test_moments_are_written_over_moments_alone(here, program, kind):
    asked = ("moments", "panel.csv", *ROLES, "--disclose", "-q", "--out")
    Path("m.nc").write_text("mine")
    if kind == "a posterior":
        assert program(*FIT, "--data", "panel.csv", "--out", "fit")[0] == 0
        shutil.copy("fit/posterior.nc", "m.nc")
    held = Path("m.nc").read_bytes()
    refused(program(*asked, "m.nc"), "m.nc: `moments` did not write the file that has this name")
    assert Path("m.nc").read_bytes() == held
    for _ in range(2):
        assert program(*asked, "n.nc")[0] == 0
    Path("link.nc").symlink_to("n.nc")
    refused(program(*asked, "link.nc"), "link.nc: ")
    assert Path("link.nc").is_symlink()


def test_a_second_fit_leaves_nothing_of_the_first_beside_it(here, program):
    asked = (*FIT, "--data", "panel.csv", "--out", "out")
    assert program(*asked)[0] == 0
    assert program("compare", "out", "-q")[0] == 0
    Path("out/mine.txt").write_text("mine")
    assert program(*asked, "--fresh")[0] == 0
    assert Path("out/compare.csv").is_file()  # it is the same fit
    assert "Nothing has changed" in program("compare", "out")[1]
    assert program(*asked, "--seed", "2")[0] == 0
    left = {path.name for path in Path("out").iterdir()}
    assert not left & {"compare.csv", ".compare.receipt"}
    assert left == {FILE, ".fit.receipt", "mine.txt", *(name for name, _ in read_manifest(Path("out")).files())}
    refused(program("published", "slopes.csv", "--out", "out"), "`fit` made this file")
    assert program(*asked[:-1], "other", "--seed", "3")[0] == 0
    refused(program("compare", "other", "--out", "out"), "another fit is in this folder")


def test_what_was_edited_is_kept_and_named(here, program):
    asked = ("published", "slopes.csv", "--out", "out")
    assert program(*asked)[0] == 0
    Path("out/effects.csv").write_text("with a note of mine")
    status, out, _ = program(*asked)
    assert status == 0
    assert "Edited since they were written, and kept: out/effects.csv.edited\n" in out
    assert Path("out/effects.csv.edited").read_text() == "with a note of mine"
    Path("out/effects.csv").write_text("another")
    assert json.loads(program(*asked, "--json")[1])["kept"] == ["out/effects.csv.edited-2"]


def test_a_folder_that_is_passed_on_names_no_place_of_this_machine(here, program, tmp_path):
    shutil.copy(asset_dir("models") / "partial_pooling.toml", "mine.toml")
    asked = (*FIT, "--data", here / "panel.csv", "--model", here / "mine.toml", "--out", here / "out")
    assert program(*asked)[0] == 0
    assert program("compare", here / "out", "-q")[0] == 0
    place = str(tmp_path).encode()
    assert [name for name, held in content(here / "out").items() if place in held] == []
    held = json.loads(Path("out/fit.json").read_text())
    assert (held["data"], held["model"]) == ("../panel.csv", "../mine.toml")
    assert len(held["sha256"]) == len(held["model_sha256"]) == 64


def test_a_folder_goes_on_with_its_data_wherever_they_are(here, program):
    assert program(*FIT, "--data", "panel.csv", "--out", "out")[0] == 0
    first = program("compare", "out", "--json")
    assert first[0] == 0
    Path("elsewhere").mkdir()
    for name in ("panel.csv", "out"):
        shutil.move(name, "elsewhere")
    assert program("compare", "elsewhere/out")[1].endswith("elsewhere/out/differences.csv\n")
    assert "Nothing has changed" in program("compare", "elsewhere/out")[1]
    shutil.move("elsewhere/panel.csv", "elsewhere/out")
    again = program("compare", "elsewhere/out", "--fresh", "--json")
    assert json.loads(again[1])["compare"] == json.loads(first[1])["compare"]
    Path("elsewhere/out/panel.csv").unlink()
    refused(program("compare", "elsewhere/out"), "the fit's data is no longer there")


def test_a_fit_by_a_model_that_has_changed_is_not_checked_by_it(here, program):
    shutil.copy(asset_dir("models") / "partial_pooling.toml", "mine.toml")
    assert program(*FIT, "--data", "panel.csv", "--model", "mine.toml", "--out", "out")[0] == 0
    Path("mine.toml").write_text(Path("mine.toml").read_text() + "\n")
    refused(program("compare", "out"), "mine.toml: the model has changed since the fit")
    Path("mine.toml").unlink()
    refused(program("compare", "out"), "the fit's model is no longer there")


class VettedError(SystemExit):
    """Ends the program where it would begin to compute."""


INPUTS = {
    "run": (["--study", "study.toml"], {"study.toml", "observed.csv", "unknown.csv", "tables", "tables/scheme.csv"}),
    "replicate": (["--study", "study.toml"], {"study.toml", "observed.csv", "unknown.csv", "tables"}),
    "reconstruct": (["--study", "study.toml"], {"study.toml", "observed.csv", "unknown.csv", "tables"}),
    "audit": (["--tables", "tables"], {"tables"}),
    "published": (["slopes.csv", "--model", "summary.toml"], {"slopes.csv", "summary.toml"}),
    "fit": ([*ROLES, "--data", "panel.csv", "--model", "model.toml"], {"panel.csv", "model.toml"}),
    "check": (["fitted"], {"panel.csv", "model.toml", "fitted/fit.json", "fitted/posterior.nc"}),
    "compare": (["fitted"], {"panel.csv", "model.toml", "fitted/fit.json", "fitted/posterior.nc"}),
    "report": (["fitted"], {"panel.csv", "model.toml", "fitted/fit.json", "fitted/posterior.nc"}),
    "specifications": ([*ROLES, "--data", "panel.csv", "--model", "model.toml"], {"panel.csv", "model.toml"}),
    "events": ([*ROLES, "--data", "panel.csv"], {"panel.csv"}),
    "calibrate": ([], set()),
    "models": ([], set()),
    "studies": ([], set()),
}
"""What each command is asked, and some of what it then reads; `moments` writes one file and is tried above."""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    make_study(folder)
    table().to_csv(folder / "panel.csv", index=False)
    (folder / "slopes.csv").write_text(SLOPES)
    shutil.copy(asset_dir("models") / "partial_pooling.toml", folder / "model.toml")
    shutil.copy(asset_dir("models") / "published_half_normal.toml", folder / "summary.toml")
    asked = [*FIT, "--data", folder / "panel.csv", "--model", folder / "model.toml", "--out", folder / "fitted"]
    with pytest.raises(SystemExit):
        cli.main(once(asked))
    return folder


@pytest.mark.parametrize("command", [one.__name__ for one in cli.COMMANDS if one.__name__ != "moments"])
def test_every_command_names_what_it_reads_before_it_computes(inputs, monkeypatch, command):
    seen: list[OutFolder] = []

    def vet(self: OutFolder) -> None:
        seen.append(self)
        raise VettedError

    monkeypatch.chdir(inputs)
    monkeypatch.setattr(OutFolder, "vet", vet)
    monkeypatch.setattr("cbec_bayes.jobs.calibrate.digests", dict)  # of how the code behaves: seconds
    asked, expected = INPUTS[command]
    with pytest.raises(VettedError):
        cli.main(once([command, *asked, "--out", "nothing"]))
    (place,) = seen
    named = {path.resolve() for path in place.reads}
    assert {(inputs / name).resolve() for name in expected} <= named
    assert all(path.exists() for path in named)
    if command not in ("run", "replicate", "reconstruct", "audit", "events"):
        assert asset_dir("models").resolve() in named
    assert place.names
    assert not (inputs / "nothing").exists()


def test_a_folder_is_not_written_to_where_an_input_would_be_lost_by_another_name(here, program):
    """The list of files says that effects.csv is ours, and it is what is read."""
    assert program("published", "slopes.csv", "--out", "out", "-q")[0] == 0
    Path("out/effects.csv").write_text(SLOPES)
    Path("link.csv").hardlink_to("out/effects.csv")
    refused(program("published", "link.csv", "--out", "out"), "would replace its own input")
    assert Path("out/effects.csv").read_text() == SLOPES


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        (("report", "fit"), "figures/forest.svg"),
        (("report", "fit"), "tables/effects.md"),
        (("run", "--study", "public"), "figures/forest.svg"),
        (("run", "--study", "public"), "tables/answers.csv"),
        (("reconstruct", "--n", "1"), "panels/province_panel_1.csv"),
    ],
    ids=" ".join,
)
def test_a_file_in_a_sub_folder_is_said_before_anything_is_computed(asked, name, here, program, monkeypatch):
    if asked[0] == "report":
        assert program(*FIT, "--data", "panel.csv", "--out", "fit")[0] == 0
    own = Path("out", name)
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    monkeypatch.setattr("cbec_bayes.commands.console.work", lambda *_: pytest.fail("something was computed"))
    refused(program(*asked, "--out", "out"), f"{name}: a file of this name is here")
    assert content(here / "out") == {name: b"mine"}


@pytest.mark.parametrize("name", ["reports", "data/calibration"])
def test_what_is_committed_can_be_made_again_in_a_clone(name):
    """Its list of files is committed with it; without, its own files would be taken for somebody else's."""
    folder = ROOT / name
    made = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    listed = dict(read_manifest(folder).files())
    assert listed == {name: digest_of(path) for name, path in made.items() if not path.name.startswith(".")}


def test_the_report_of_a_fit_in_python_spares_what_it_did_not_make(tmp_path):
    import cbec_bayes as cb

    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"unit": np.repeat(np.arange(6), 5), "year": np.tile(np.arange(5), 6)})
    frame["d"] = rng.normal(size=30)
    frame["y"] = frame["d"] + rng.normal(size=30)
    panel = cb.make_panel(frame, cb.Roles(outcome="y", exposure="d", controls=(), unit="unit", time="year"))
    found = cb.fit(cb.make_design(panel), "complete_pooling", draws=200)
    (tmp_path / "effects.csv").write_text("mine")
    with pytest.raises(InputError, match=r"effects\.csv: a file of this name is here"):
        cb.report(found, tmp_path)
    assert content(tmp_path) == {"effects.csv": b"mine"}
