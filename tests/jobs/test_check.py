"""Checks and comparisons that a receipt cannot keep are written all the same."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from cbec_bayes.checks import CheckResult, Severity
from cbec_bayes.commands import fitting
from cbec_bayes.commands import program as cli
from cbec_bayes.jobs.check import CheckedFit
from cbec_bayes.jobs.compare import Compared
from cbec_bayes.runtime.exact import unpack

OTHER = pd.DataFrame({"a": pd.Series(["x", None], dtype="string")})
"""A table with a column of a type that is not kept."""


def checked(table: pd.DataFrame) -> CheckedFit:
    return CheckedFit("nested", "x", (CheckResult("agreement", Severity.FINE, table, None, "All is well."),))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that is read as that of a fit."""
    monkeypatch.setattr(fitting, "content_of", lambda *_: dict)
    monkeypatch.setattr(fitting, "read_from", lambda *_: tuple)
    monkeypatch.setattr(fitting, "fit_of", lambda *_: None)
    monkeypatch.setattr("cbec_bayes.reporting.comparison.compare_table", lambda *_: SHOWN)
    return tmp_path


def compared(table: pd.DataFrame) -> Compared:
    return Compared(table=table, differences=pd.DataFrame(), said=())


class SHOWN:
    caption = "Compared."

    @staticmethod
    def frame() -> pd.DataFrame:
        return pd.DataFrame({"a": ["1"]})


@pytest.mark.parametrize("command", ["check", "compare"])
@pytest.mark.parametrize(("table", "kept"), [(OTHER, False), (pd.DataFrame({"n": [1]}, dtype="int32"), True)])
def test_what_was_computed_is_written_whether_or_not_a_receipt_can_keep_it(command, table, kept, folder, monkeypatch):
    monkeypatch.setattr("cbec_bayes.jobs.check.check_folder", lambda *_, **__: checked(table))
    monkeypatch.setattr("cbec_bayes.jobs.compare.compare_folder", lambda *_, **__: compared(table))
    with pytest.raises(SystemExit) as stopped:
        cli.main([command, str(folder), "-q"])
    assert not stopped.value.code
    written = {"check": {"checks.csv", "check_agreement.csv"}, "compare": {"compare.csv"}}[command]
    assert written <= {path.name for path in folder.iterdir()}
    line = (folder / f".{command}.receipt").read_text().splitlines()[0]
    results = json.loads(line)["results"]
    assert (results is not None) is kept
    if kept:
        found = unpack(results)
        found = found["results"][0]["table"] if command == "check" else found["table"]
        pd.testing.assert_frame_equal(found, table)
