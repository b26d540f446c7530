"""The journal: an interrupted run goes on where it was, and a digest of code is of what the code does."""

from __future__ import annotations

import json
import sys
import types

import pytest

from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.fanout import Serial, fan_out
from cbec_bayes.runtime.journal import Journal, code_digest


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
