"""Nothing that a user gives ends in a traceback, a hang, or a row that is silently lost."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.commands import program as cli
from tests.support.bad_inputs import CASES, COLUMNS, Case, table


def test_there_are_many_bad_inputs():
    assert len(CASES) >= 100
    assert len({one.name for one in CASES}) == len(CASES)


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.name)
def test_each_bad_input_is_refused_in_one_line_or_answered(one: Case, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one.write(tmp_path)
    given = {**COLUMNS, "data": "panel.csv", "seed": "3", **one.options}
    asked = [part for name, value in given.items() if value is not None for part in (f"--{name}", value)]
    with pytest.raises(SystemExit) as stopped:
        cli.main(["fit", *asked, "--out", "result"])
    heard = capsys.readouterr()
    status = int(stopped.value.code or 0)
    assert status == one.status, heard.err or heard.out
    if status == 0:
        assert one.said in heard.out
        assert heard.err == ""
        assert (tmp_path / "result" / "effects.csv").is_file()
        return
    assert heard.err.startswith("error: ")
    assert heard.err.count("\n") == 1
    assert one.said in heard.err
    assert not (tmp_path / "result").exists()


@pytest.mark.slow
def test_a_hundred_and_twenty_controls_are_fitted_without_a_word(tmp_path, capsys):
    """pandas warns of columns that are added one by one where there are a hundred of them."""
    frame = table(n_units=40, n_times=8)
    names = [f"c{k}" for k in range(120)]
    more = np.random.default_rng(2).normal(size=(len(frame), len(names))).round(3)
    pd.concat([frame, pd.DataFrame(more, columns=names)], axis=1).to_csv(tmp_path / "wide.csv", index=False)
    given = {**COLUMNS, "data": str(tmp_path / "wide.csv"), "controls": ",".join(names), "model": "partial_pooling"}
    asked = [part for name, value in given.items() for part in (f"--{name}", value)]
    with pytest.raises(SystemExit) as stopped:
        cli.main(["fit", *asked, "--no-neighbours", "--out", str(tmp_path / "out")])
    heard = capsys.readouterr()
    assert (stopped.value.code or 0, heard.err) == (0, "")
    found = pd.read_csv(tmp_path / "out" / "classical.csv")
    assert set(names) <= set(found["term"])
    for name in ("effects", "estimands"):
        assert (tmp_path / "out" / f"{name}.csv").is_file()
