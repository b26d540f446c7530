"""Receipts: what was made of the same content is not made again, and anything else is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.commands import program as cli
from cbec_bayes.jobs import fit as panelfit
from cbec_bayes.jobs.fit import fit_folder
from cbec_bayes.runtime import receipts
from tests.support.arguments import once
from tests.support.called import heard
from tests.support.simulated import simulated


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    design = simulated()
    frame = pd.DataFrame(design.x, columns=design.terms).assign(
        y=design.y,
        unit=np.array(design.units)[design.unit],
        year=np.array(design.times)[design.time],
        group=np.array(design.groups)[design.group],
    )
    frame.to_csv("panel.csv", index=False)
    Path("model.toml").write_text(Path(cli.__file__).parents[3].joinpath("models/ar1.toml").read_text())
    return tmp_path


@pytest.fixture
def program(capsys):
    return lambda *arguments: heard(capsys, *once(arguments))


ASKED = ("--data", "panel.csv", "--outcome", "y", "--exposure", "d", "--controls", "x", "--unit", "unit")
ASKED = (*ASKED, "--time", "year", "--group", "group", "--model", "partial_pooling", "--out", "out")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_same_content_is_not_fitted_again(folder, program, monkeypatch):
    status, out, _ = program("fit", *ASKED)
    assert status == 0
    assert "Written: " in out
    before = contents(folder / "out")

    def never(*_, **__):
        raise AssertionError("fitted again")

    monkeypatch.setattr(panelfit, "fit", never)
    status, again, _ = program("fit", *ASKED)
    assert status == 0
    assert again.split("Nothing has changed")[0] == out.split("Written: ")[0]
    assert contents(folder / "out") == before
    status, _, err = program("fit", *ASKED, "--fresh")
    assert status == cli.AT_FAULT
    assert "AssertionError: fitted again" in err


@pytest.mark.parametrize("change", ["data", "model", "seed", "a file", "a file is gone", "the receipt", "code"])
def test_other_content_is_fitted_again(folder, program, monkeypatch, change):
    model = ("--model", "model.toml")
    assert program("fit", *ASKED, *model)[0] == 0
    more: tuple[str, ...] = ()
    match change:
        case "data":
            text = Path("panel.csv").read_text()
            Path("panel.csv").write_text(text.replace("0.1", "0.2", 1))
        case "model":
            text = Path("model.toml").read_text()
            Path("model.toml").write_text(text.replace("scale = 1", "scale = 2").replace("scale = 0.5", "scale = 0.7"))
        case "seed":
            more = ("--seed", "2")
        case "a file":
            Path("out/effects.csv").write_text("edited")
        case "a file is gone":
            Path("out/posterior.nc").unlink()
        case "the receipt":
            Path("out/.fit.receipt").write_text("{")
        case "code":
            monkeypatch.setattr(receipts, "package_digest", lambda: "another")
    asked = []
    real = panelfit.fit
    monkeypatch.setattr(panelfit, "fit", lambda *given, **options: asked.append(1) or real(*given, **options))
    status, out, _ = program("fit", *ASKED, *model, *more)
    assert status == 0
    assert asked == [1]
    assert "Written: " in out
    assert "edited" not in Path("out/effects.csv").read_text()


def test_a_name_is_not_content(folder, program, monkeypatch):
    """The same model under another name is another file of settings, but data under the same name is what counts."""
    assert program("fit", *ASKED)[0] == 0
    Path("panel.csv").touch()
    monkeypatch.setattr(panelfit, "fit", None)
    assert "Nothing has changed" in program("fit", *ASKED)[1]


@pytest.mark.parametrize("model", ["partial_pooling", "ar1", "nested"])
def test_a_stored_fit_is_the_fit(folder, program, monkeypatch, model):
    assert program("fit", *ASKED, "--model", model)[0] == 0
    with monkeypatch.context() as patch:
        patch.setattr("cbec_bayes.jobs.fit_tables._tabulated", None)  # the tables are the receipt's
        again = fit_folder(folder / "out")
    Path("out/.fit.receipt").unlink()
    fresh = fit_folder(folder / "out")
    monkeypatch.setattr(panelfit, "fit", None)
    for name in ("effects", "classical", "contrasts", "ranks", "estimands"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(fresh, name), check_exact=True)
    assert again.notes == fresh.notes
    assert again.fit.priors == fresh.fit.priors
    assert again.fit.khat == fresh.fit.khat
    for group, node in fresh.fit.tree.children.items():
        for name, values in node.dataset.variables.items():
            stored = again.fit.tree[group].dataset.variables[name]
            np.testing.assert_array_equal(stored.to_numpy(), values.to_numpy(), err_msg=f"{group}/{name}")
            assert stored.dims == values.dims


def test_compare_of_a_folder_follows_its_fit(folder, program):
    program("fit", *ASKED)
    status, out, _ = program("compare", "out", "--json")
    assert status == 0
    first = json.loads(out)
    assert first["compare"][0]["group"] == "(all)"
    assert first["written"] == ["out/compare.csv", "out/differences.csv"]
    assert json.loads(program("compare", "out", "--json")[1]) == first
    assert "Nothing has changed" in program("compare", "out")[1]
    program("fit", *ASKED, "--seed", "3")
    assert "Written: " in program("compare", "out")[1]


def test_a_failed_gate_leaves_no_receipt(folder, program, monkeypatch):
    monkeypatch.setattr("cbec_bayes.bayes.sampling.gates.ESS_MIN", 1e9)
    for _ in range(2):
        status, out, err = program("fit", *ASKED, "--json")
        assert status == 1
        assert "bulk ESS" in err
        assert json.loads(out)["diagnostics"]["failures"]
    assert not Path("out/.fit.receipt").exists()
    assert Path("out/effects.csv").exists()
