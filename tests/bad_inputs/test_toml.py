"""Every entry of every TOML file that is read, replaced by what it may not be: refused, naming the file."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from cbec_bayes.bayes.model.family import read_panel_model
from cbec_bayes.panel.entropy import load_system
from cbec_bayes.panel.study import read_study
from cbec_bayes.published.printed import load_paper
from cbec_bayes.published.summary_model import read_summary_model
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.files import asset_dir, is_inside

DATA, MODELS = asset_dir("data"), asset_dir("models")


def load_sidecar(path: Path) -> object:
    for table in (DATA / "published" / "cbec_circulation").glob("*.csv"):
        shutil.copy(table, path.parent)
    return load_paper(path.parent)


FILES: dict[str, tuple[Path, Callable[[Path], object]]] = {
    "paper": (DATA / "published" / "cbec_circulation" / "paper.toml", load_sidecar),
    "study": (DATA / "studies" / "paper.toml", read_study),
    "indicators": (DATA / "indicators" / "cbec.toml", load_system),
    "panel model": (MODELS / "nested.toml", read_panel_model),
    "summary model": (MODELS / "published_half_normal.toml", read_summary_model),
}

BAD: tuple[Any, ...] = (
    *(True, 0, -1, 10**400, 1e308, float("nan"), float("inf"), "", "x", "../../x.csv", "/x.csv", "C:\\x.csv"),
    *([], [3], [[]], ["x", 3], [""], {}, {"x": 3}, {"x": {"x": []}}, [{"x": 1}], date(2020, 1, 1)),
)


def toml(value: Any) -> str:
    """Return a value as inline TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, float | date):
        return str(value)
    return json.dumps(value, ensure_ascii=False)


def changed(held: Any) -> Iterator[tuple[str, Any]]:
    """Yield where and what: each entry by each bad value, each entry left out, an entry added to each table."""
    if isinstance(held, dict):
        yield "(added)", {**held, "added": 1}
    for key, value in held.items() if isinstance(held, dict) else enumerate(held):

        def put(new: Any, key: Any = key) -> Any:
            copy = dict(held) if isinstance(held, dict) else list(held)
            copy[key] = new
            return copy

        for bad in BAD:
            yield f"{key} = {str(bad)[:20]!r}", put(bad)
        if isinstance(held, dict):
            yield f"{key} left out", {name: one for name, one in held.items() if name != key}
        if isinstance(value, dict | list):
            for where, whole in changed(value):
                yield f"{key}.{where}", put(whole)


@pytest.mark.parametrize("name", FILES)
def test_every_entry_has_a_type(name, tmp_path):
    source, load = FILES[name]
    held = tomllib.loads(source.read_text(encoding="utf-8"))
    path = tmp_path / source.name
    refused: dict[str, str] = {}
    for where, whole in changed(held):
        path.write_text(
            "\n".join(f"{json.dumps(key)} = {toml(value)}" for key, value in whole.items()), encoding="utf-8"
        )
        try:
            load(path)
        except InputError as error:
            refused[where] = str(error)
        except Exception as error:
            pytest.fail(f"{where}: {error!r}")
    assert len(refused) > 100
    for where, said in refused.items():
        assert str(tmp_path) in said, where
        assert "\n" not in said, where


@pytest.mark.parametrize("name", ["a.csv", "a/b.csv", "a\\b.csv", "a..b", "省.csv"])
def test_paths_that_stay_in_the_folder_are_taken(name):
    assert is_inside(name)


@pytest.mark.parametrize(
    "name", ["/a", "../a", "a/../../b", "a\\..\\..\\b", "C:\\a", "C:a", "\\\\host\\a", "//host/a", ".."]
)
def test_paths_that_lead_out_of_the_folder_are_refused(name, tmp_path):
    assert not is_inside(name)
    study = (DATA / "studies" / "paper.toml").read_text(encoding="utf-8")
    for old in ('"observed/provinces.csv"', '"cbec_circulation"', '"four_regions"'):
        assert old in study
        (tmp_path / "study.toml").write_text(study.replace(old, json.dumps(name), 1), encoding="utf-8")
        with pytest.raises(InputError, match="lies outside the folder of this file"):
            read_study(tmp_path / "study.toml")
