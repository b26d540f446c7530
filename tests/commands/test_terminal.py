"""What reaches a terminal: no sign that it would act upon, in the signs that it has, and one line where one is due."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import unicodedata
import warnings
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbec_bayes.commands import console, terminal
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.files import read_rows, read_toml
from cbec_bayes.runtime.labels import NO_GROUPS, fault_of_group, fault_of_name, fault_of_text
from tests.support.bad_inputs import COLUMNS, table
from tests.support.called import heard

ACTED_UPON = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff]")
"""Signs that no terminal is to be sent, written out again here."""

ANY = st.text(st.characters(codec=None), max_size=30)
ODD = st.text(
    st.sampled_from(["\x1b", "\x07", "\r", "\x9b", "\x7f", "\u202e", "\u2066", "\udcff", "\n", "\t", "a", "省"])
)


@given(ANY | ODD)
def test_what_is_shown_has_nothing_to_act_upon(text):
    assert not ACTED_UPON.search(terminal.shown(text))
    assert not re.search(r"[\n\t]", terminal.in_one_line(text))
    assert not ACTED_UPON.search(terminal.in_one_line(text))


@given(st.text(st.characters(exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp"))))
def test_what_has_none_is_shown_as_it_is(text):
    assert terminal.shown(text) == terminal.in_one_line(text) == text


@given(st.lists(ANY | ODD))
def test_json_is_shown_without_them_and_loses_none(texts):
    shown = terminal.as_json({"texts": texts})
    assert not ACTED_UPON.search(shown)
    assert json.loads(shown) == {"texts": texts}


@given(st.lists(ANY | ODD, min_size=1, max_size=3))
def test_a_table_is_shown_without_them(texts):
    shown = console.plain_table(pd.DataFrame({"a": pd.Series(texts, dtype=object)}), texts[0])
    assert not ACTED_UPON.search(shown)


@given(ANY | ODD)
@settings(max_examples=50)
def test_a_name_that_is_taken_can_be_seen(name):
    """A name has a fault where a sign of it is invisible, but for the two that join letters; no other has one."""
    hidden = {sign for sign in name if unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp")} - {
        "\u200c",
        "\u200d",
    }
    assert bool(fault_of_name(name)) == bool(hidden)
    if ACTED_UPON.search(name):
        assert fault_of_text(name)
        assert fault_of_group(name)


def test_names_of_rows_that_are_no_group_are_refused():
    assert all("cannot name a group" in fault_of_group(name) for name in NO_GROUPS)
    assert not any(fault_of_name(name) for name in NO_GROUPS)


@given(label=ANY | ODD)
@settings(max_examples=40, deadline=None)
def test_text_of_a_file_is_kept_or_refused(label, tmp_path_factory):
    """By any reader: what comes back is what was written, or an error that can be shown in one line."""
    folder = tmp_path_factory.mktemp("text")
    written = '"' + label.replace('"', '""') + '"'
    (folder / "t.csv").write_bytes(f"name,value\n{written},1\n".encode("utf-8", "surrogatepass"))
    text = json.dumps(label)
    (folder / "t.toml").write_bytes(f"{text} = {text}\n".encode("utf-8", "surrogatepass"))
    for read in (
        lambda: read_rows(folder / "t.csv", required=("name", "value"))[0]["name"],
        lambda: next(iter(read_toml(folder / "t.toml").values())),
    ):
        try:
            found = read()
        except InputError as error:
            found = terminal.in_one_line(str(error))
        assert not ACTED_UPON.search(found)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_a_terminal_of_few_signs_is_spelled_to(encoding, monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    terminal.open_terminal(debug=True)
    terminal.say("τ ≥ 0.5 − 東 é")
    said = written.getvalue().decode(encoding)
    expected = {
        "utf-8": "τ ≥ 0.5 − 東 é\n",
        "cp1252": "tau >= 0.5 - \\u6771 é\n",
        "ascii": "tau >= 0.5 - \\u6771 \\xe9\n",
    }
    assert said == expected[encoding]


def run(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "cbec_bayes", *arguments],
        capture_output=True,
        cwd=folder,
        env=os.environ | environment,
        check=False,
    )


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_windows_redirection(tmp_path, encoding):
    (tmp_path / "in.csv").write_text("label,estimate,se\n東,1,1\nb,2,1\n", encoding="utf-8")
    as_json, refused = (
        run(*asked, folder=tmp_path, PYTHONIOENCODING=encoding)
        for asked in (["published", "in.csv", "--json"], ["published", "none\u4e1c.csv"])
    )
    assert (as_json.returncode, as_json.stderr) == (0, b"")
    assert json.loads(as_json.stdout)["effects"][0]["group"] == "東"
    assert (refused.returncode, refused.stderr.strip()) == (2, b"error: none\\u4e1c.csv: no such file")


@pytest.fixture
def program(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    return partial(heard, capsys)


@pytest.mark.parametrize("name", ["a\x1b[31m", "a\nb", "a\u202eb", "a\x9b", "省", "a\udcffb", "a b", "a\tb"], ids=ascii)
def test_any_name_of_a_file_goes_in_and_out(name, program, tmp_path):
    """Folders and files keep it; the terminal is shown it in one line."""
    (tmp_path / name).mkdir()
    row = "3,(1),d,estimate,0.5,**\n3,(1),d,parenthesis,0.2,\n"
    (tmp_path / name / "t.csv").write_text(f"table,column,term,quantity,printed,stars\n{row}")
    status, out, err = program("audit", "--tables", name, "--out", f"{name} out")
    assert (status, err) == (0, "")
    assert (tmp_path / f"{name} out" / "audit.csv").is_file()
    assert not ACTED_UPON.search(out)
    assert len(out.split("Written: ")[1].splitlines()) == 1
    status, out, err = program("audit", "--tables", f"{name} none", "--out", name)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert not ACTED_UPON.search(err)


def test_a_fault_of_the_program_is_one_line_and_a_way_to_report_it(program, monkeypatch, tmp_path):
    (tmp_path / "in.csv").write_text("label,estimate,se\na,1,1\nb,2,1\n")

    def fails(*_: object, **__: object) -> None:
        raise ZeroDivisionError("one\ntwo \x1b[31m")

    monkeypatch.setattr("cbec_bayes.jobs.published.pool_file", fails)
    status, out, err = program("published", "in.csv")
    assert (status, out, err.count("\n")) == (70, "", 1)
    assert "ZeroDivisionError: one two \\x1b[31m" in err
    assert "please report it" in err
    assert "--debug" in err
    for asked, variable in ((["--debug", "published"], "0"), (["published"], "1")):
        monkeypatch.setenv("CBEC_BAYES_DEBUG", variable)
        status, _, err = program(*asked, "in.csv")
        assert status == 70
        assert "Traceback (most recent call last)" in err
        assert "\x1b" not in err
        assert "please report it" in err.splitlines()[-1]


class Ours(UserWarning):
    """A warning of ours, as far as its module says."""


Ours.__module__ = "cbec_bayes.somewhere"


def test_warnings_of_libraries_are_kept_and_ours_are_not(capsys, monkeypatch):
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        terminal.keep_warnings()
        warnings.warn("of a library\nin two lines", RuntimeWarning, stacklevel=1)
        assert capsys.readouterr().err == ""
        warnings.warn("of ours\nin two lines", Ours, stacklevel=1)
        assert capsys.readouterr().err == "note: of ours\\nin two lines\n"


def test_moments_of_a_dataset_in_folders(program, tmp_path):
    """A part that is a folder of the same ending is not read as a file, and what is in it is."""
    for k, rows in enumerate((slice(None, 30), slice(30, None))):
        (tmp_path / "waves" / f"wave{k}.parquet").mkdir(parents=True)
        table()[rows].to_parquet(tmp_path / "waves" / f"wave{k}.parquet" / "part.parquet")
    roles = [part for name, value in COLUMNS.items() for part in (f"--{name}", value)]
    status, out, err = program("moments", "waves", *roles, "--out", "m.nc")
    assert (status, err) == (0, "")
    assert "60 rows of 12 units" in out
