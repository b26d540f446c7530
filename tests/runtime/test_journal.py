"""The journal: an interrupted run goes on where it was."""

from __future__ import annotations

import json

import pytest

from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.fanout import Serial, fan_out
from cbec_bayes.runtime.journal import Journal


def refuse(seed: int) -> float:
    raise InputError(f"no such seed: {seed}")


class StoppedError(Exception):
    pass


def test_an_interrupted_run_goes_on_where_it_was(tmp_path):
    done: list[int] = []

    def work(piece: int) -> dict[str, float]:
        if piece == 3 and len(done) == 3:
            raise StoppedError
        done.append(piece)
        return {"root": piece**0.5, "nothing": float("nan")}

    def journal(what: str = "roots") -> Journal:
        return Journal(tmp_path / "roots.jsonl", what)

    with pytest.raises(StoppedError):
        fan_out(Serial(), work, range(5), journal=journal())
    with (tmp_path / "roots.jsonl").open("a") as file:
        file.write('[3, {"root": 1.7')  # cut short by the interruption
    done.append(-1)
    lines: list[str] = []
    found = fan_out(Serial(), work, range(5), journal=journal(), on_progress=lambda event: lines.append(str(event)))
    assert [one["root"] for one in found] == [piece**0.5 for piece in range(5)]
    assert done == [0, 1, 2, -1, 3, 4]
    assert lines == ["piece 3 of 5", "piece 4 of 5", "piece 5 of 5"]
    assert fan_out(Serial(), refuse, range(5), journal=journal()) is not None  # nothing is left to do
    with pytest.raises(InputError, match="no such seed"):  # results of other work are not taken for these
        fan_out(Serial(), refuse, range(5), journal=journal("squares"))


def test_a_journal_is_removed(tmp_path):
    journal = Journal(tmp_path / "deep" / "journal.jsonl", "x")
    fan_out(Serial(), float, [1], journal=journal)
    line = (tmp_path / "deep" / "journal.jsonl").read_text().splitlines()[1]
    assert json.loads(line.partition(" ")[2]) == [0, 1.0]
    journal.remove()
    journal.remove()
    assert journal.read() == {}


def test_a_line_in_which_anything_has_changed_is_no_result(tmp_path):
    journal = Journal(tmp_path / "j", "what")
    write = journal.open()
    for k in range(3):
        write(k, [0.25 * k])
    journal.close()
    whole = journal.path.read_bytes()
    second = whole.index(b"\n", whole.index(b"\n") + 1) + 1
    for k in range(len(whole)):
        journal.path.write_bytes(whole[:k] + bytes([whole[k] ^ 1]) + whole[k + 1 :])
        found = journal.read()
        assert found == {position: [0.25 * position] for position in found}
        assert len(found) < 3
        assert k < second or found[0] == [0.0]
