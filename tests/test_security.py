"""Nothing that is read is run: no pickle, no eval, no shell; labels stay text; an archive cannot fill the memory."""

from __future__ import annotations

import ast
import io
import math
import re
import zipfile
from pathlib import Path

import pandas as pd
import pytest

import cbec_bayes
from cbec_bayes.jobs.moments import gather
from cbec_bayes.jobs.moments_file import load_moments, moments_bytes
from cbec_bayes.panel import Roles, read_frame
from cbec_bayes.panel.bounds import MOST_UNPACKED
from cbec_bayes.runtime import files
from cbec_bayes.runtime.errors import InputError
from tests.support.bad_inputs import table

SOURCES = sorted(Path(cbec_bayes.__file__).parent.rglob("*.py"))
MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "subprocess", "ctypes", "code"}
BEGINS_PYTHON = {"trial.py": {"subprocess"}}
"""A module that begins a Python of ours, with arguments of its own (see the test of it)."""
NAMES = {"eval", "exec", "compile", "__import__", "breakpoint", "input"}
ATTRIBUTES = {"system", "popen", "spawnl", "execv", "read_pickle", "to_pickle", "allow_pickle", "query", "urlopen"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_source_runs_what_it_reads(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                assert not {name.name.partition(".")[0] for name in names} & MODULES - BEGINS_PYTHON.get(
                    path.name, set()
                )
            case ast.ImportFrom(module=str(module)):
                assert module.partition(".")[0] not in MODULES
            case ast.Call(func=ast.Name(id=name)):
                assert name not in NAMES
            case ast.Call(func=ast.Attribute(attr=name), keywords=keywords):
                assert name not in ATTRIBUTES
                given = {one.arg: one.value for one in keywords}
                assert "shell" not in given
                assert "allow_pickle" not in given or ast.unparse(given["allow_pickle"]) == "False"
                assert not (name == "eval" and isinstance(node.func, ast.Attribute))


def test_templates_escape():
    """All but the style and the figures: SVG, in which matplotlib has escaped the labels."""
    folder = Path(cbec_bayes.__file__).parent / "reporting"
    assert "autoescape=True" in (folder / "templating.py").read_text(encoding="utf-8")
    trusted = set()
    for template in (folder / "templates").iterdir():
        text = template.read_text(encoding="utf-8")
        assert "autoescape" not in text
        trusted |= set(re.findall(r"{{\s*([^}]*?)\s*\|\s*safe\s*}}", text))
        assert text.count("safe") == len(re.findall(r"\|\s*safe\s*}}", text))
    assert all(
        name == "style" or re.fullmatch(r"(figures|one(\.fits)?)\.\w+|figure|curve|path|forest|learned", name)
        for name in trusted
    )


def sheet(rows: int) -> bytes:
    """Return a workbook whose one sheet is far larger than the file: thousands of times."""
    content = io.BytesIO()
    pd.DataFrame({"city": ["a"], "y": [1.0]}).to_excel(content, index=False)
    small = zipfile.ZipFile(content)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for name in small.namelist():
            held = small.read(name)
            if name == "xl/worksheets/sheet1.xml":
                row = b'<row><c t="inlineStr"><is><t>' + b"x" * 1000 + b"</t></is></c></row>"
                held = held.replace(b"</sheetData>", row * rows + b"</sheetData>")
            packed.writestr(name, held)
    return out.getvalue()


def test_an_archive_may_not_unpack_to_more_than_memory_holds(tmp_path, monkeypatch):
    monkeypatch.setattr("cbec_bayes.panel.bounds.MOST_UNPACKED", 10**6)
    (tmp_path / "bomb.xlsx").write_bytes(sheet(2_000))
    assert (tmp_path / "bomb.xlsx").stat().st_size < 30_000
    with pytest.raises(InputError, match=r"bomb\.xlsx: would unpack to 2\.1 MB, more than 1 MB"):
        read_frame(tmp_path / "bomb.xlsx")
    (tmp_path / "fine.xlsx").write_bytes(sheet(0))
    assert list(read_frame(tmp_path / "fine.xlsx")) == ["city", "y"]
    assert MOST_UNPACKED >= 10**8


def test_a_long_column_of_one_value_may_not_fill_the_memory(tmp_path, monkeypatch):
    pd.DataFrame({"city": ["a"] * 10**6, "y": 1.0}).to_parquet(tmp_path / "long.parquet")
    assert (tmp_path / "long.parquet").stat().st_size < 10_000
    monkeypatch.setattr("cbec_bayes.panel.bounds.memory", lambda: 1e6)
    with pytest.raises(InputError, match=r"long\.parquet: would take 0\.016 GB of memory; `cbec-bayes moments` reads"):
        read_frame(tmp_path / "long.parquet")


def test_moments_may_not_fill_the_memory(tmp_path, monkeypatch):
    roles = Roles(outcome="y", exposure="d", controls=("x",), unit="city", time="year", group="region")
    (tmp_path / "m.nc").write_bytes(moments_bytes(gather([table()], roles)))
    monkeypatch.setattr("cbec_bayes.jobs.moments_file.memory", lambda: 1e3)
    with pytest.raises(InputError, match=r"m\.nc: would take .* GB of memory"):
        load_moments(tmp_path / "m.nc")


def test_memory_is_that_of_the_machine(monkeypatch):
    assert 1e8 < files.memory() < 1e15
    monkeypatch.delattr("os.sysconf")
    assert files.memory() == math.inf


def test_an_entity_of_a_sheet_is_not_followed(tmp_path):
    """Neither files of this machine nor a billion laughs."""
    content = io.BytesIO()
    pd.DataFrame({"city": ["a"], "y": [1.0]}).to_excel(content, index=False)
    (tmp_path / "secret").write_text("secret")
    small = zipfile.ZipFile(content)
    laughs = "".join(f'<!ENTITY l{k} "{f"&l{k - 1};" * 10}">' for k in range(1, 10))
    kind = f'<!DOCTYPE x [<!ENTITY l0 "ha">{laughs}<!ENTITY f SYSTEM "{(tmp_path / "secret").as_uri()}">]>'
    for entity in ("amp", "l9", "f"):
        with zipfile.ZipFile(out := io.BytesIO(), "w") as packed:
            for name in small.namelist():
                held = small.read(name).decode()
                if name == "xl/worksheets/sheet1.xml":
                    cell = f'<row><c t="inlineStr"><is><t>&{entity};</t></is></c></row></sheetData>'
                    held = kind + held.partition("?>")[2] if held.startswith("<?xml") else kind + held
                    held = held.replace("</sheetData>", cell)
                packed.writestr(name, held)
        (tmp_path / "x.xlsx").write_bytes(out.getvalue())
        try:
            found = read_frame(tmp_path / "x.xlsx").to_csv()
        except InputError:
            assert entity != "amp"  # the file is one that can be read, but for what its entities are
            continue
        assert "secret" not in found
        assert len(found) < 10_000
