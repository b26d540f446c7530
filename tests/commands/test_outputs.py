"""What commands write: a folder can be passed on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from cbec_bayes.commands import program as cli
from cbec_bayes.runtime.files import asset_dir
from tests.support.bad_inputs import COLUMNS, table

ROLES = [part for name, value in COLUMNS.items() for part in (f"--{name}", value)]
FIT = ["fit", *ROLES, "--model", "partial_pooling", "--no-neighbours", "-q"]


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table().to_csv("panel.csv", index=False)
    return tmp_path


@pytest.fixture
def program(capsys):
    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stopped:
            cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return int(stopped.value.code or 0), captured.out, captured.err

    return run


def refused(ran: tuple[int, str, str], said: str) -> None:
    status, out, err = ran
    assert (status, out, err.count("\n")) == (2, "", 1), out + err
    assert said in err


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
    assert program("compare", "elsewhere/out")[1].endswith("elsewhere/out/compare.csv\n")
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
