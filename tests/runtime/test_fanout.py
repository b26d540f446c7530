"""Fan-out: the same numbers whoever does the work, resumed where it was interrupted, errors that name what happened."""

from __future__ import annotations

import json
import os
import sys
import types

import numpy as np
import pytest

from cbec_bayes.runtime.errors import GateError, InputError
from cbec_bayes.runtime.fanout import Journal, Serial, code_digest, fan_out, open_executor


def summed(seed: int) -> float:
    """Work whose last digits depend on how many threads a matrix product has."""
    matrix = np.random.default_rng(seed).standard_normal((150, 150))
    return float((matrix @ matrix @ matrix).sum())


def die(seed: int) -> float:
    os._exit(seed)


def refuse(seed: int) -> float:
    raise InputError(f"no such seed: {seed}")


@pytest.mark.slow
def test_the_numbers_do_not_depend_on_who_does_the_work():
    alone = fan_out(Serial(), summed, range(6))
    with open_executor(2) as two:
        assert fan_out(two, summed, range(6)) == alone
        assert fan_out(two, summed, range(5, -1, -1)) == alone[::-1]
        with pytest.raises(InputError, match="no such seed: 3"):
            fan_out(two, refuse, [3])


@pytest.mark.slow
def test_a_worker_that_dies_is_reported_in_one_line():
    with open_executor(2) as two, pytest.raises(GateError, match="a worker process was killed"):
        fan_out(two, die, [3])


def test_one_worker_is_this_process():
    with open_executor(1) as one:
        assert one == Serial()


@pytest.mark.parametrize("workers", [0, -1])
def test_no_workers(workers):
    with pytest.raises(InputError, match="at least one worker"), open_executor(workers):
        pass


def test_no_scheduler(monkeypatch):
    monkeypatch.setattr("cbec_bayes.runtime.fanout.PATIENCE", "100ms")
    with (
        pytest.raises(InputError, match="no Dask scheduler answers at 'nowhere:0'"),
        open_executor(scheduler="nowhere:0"),
    ):
        pass


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
    assert json.loads((tmp_path / "deep" / "journal.jsonl").read_text().splitlines()[1]) == [0, 1.0]
    journal.remove()
    journal.remove()
    assert journal.read() == {}


SOURCE = '''"""A module."""
import math


def area(radius):
    """Return the area."""
    # pi r squared
    return math.pi * radius ** 2
'''


def module(tmp_path, source: str) -> types.SimpleNamespace:
    path = tmp_path / "folder" / "module.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(source)
    return types.SimpleNamespace(__file__=str(path))


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("# pi r squared", "# nothing", True),
        ('"""Return the area."""', '"""Another docstring."""', True),
        ("    # pi r squared\n", "", True),
        ("math.pi * radius ** 2", "math.pi*radius**2", True),
        ("radius ** 2", "radius ** 3", False),
        ("import math", "import math as math", False),
        ("    return", "    if radius: return", False),
    ],
)
def test_a_digest_is_of_what_code_does(tmp_path, old, new, same):
    before = code_digest(module(tmp_path, SOURCE))
    assert old in SOURCE
    assert (code_digest(module(tmp_path, SOURCE.replace(old, new))) == before) is same


def test_a_digest_covers_every_module_of_a_package():
    import cbec_bayes.calibration as package
    from cbec_bayes.calibration import uniformity

    assert code_digest(package) != code_digest(uniformity)
    assert sys.modules["cbec_bayes.calibration"] is package
