"""Progress in a log: one plain line per step, nothing of short runs, and no sign that a terminal would act upon."""

from __future__ import annotations

import io
import sys

import pytest

from cbec_bayes.commands import console
from cbec_bayes.commands.steps import PATIENCE, STILL, VARIABLE, log_steps
from cbec_bayes.runtime.progress import Progress


@pytest.fixture(autouse=True)
def logged(monkeypatch):
    """Progress is wanted, which the other tests keep out of their logs."""
    monkeypatch.delenv(VARIABLE)


class Clock:
    """Seconds that pass when they are told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_each_step_is_one_line_in_order():
    lines: list[str] = []
    clock = Clock()
    tell = log_steps(lines.append, clock)
    tell(Progress("reading the panel"))
    assert lines == []  # it may still end at once
    clock.now = PATIENCE
    tell(Progress("fitting"))
    assert lines == ["reading the panel", "fitting"]
    for done in range(5):
        tell(Progress("refit", done, 4))
    tell(Progress("tables"))
    assert lines[2:] == ["refit (0 of 4)", "tables"]


def test_a_short_run_says_nothing():
    lines: list[str] = []
    tell = log_steps(lines.append, Clock())
    for task in ("reading", "fitting", "tables"):
        tell(Progress(task))
    assert lines == []


def test_a_long_step_says_how_far_it_is():
    lines: list[str] = []
    clock = Clock()
    tell = log_steps(lines.append, clock)
    for done in range(10):
        clock.now += STILL / 2 + 1
        tell(Progress("refit", done, 10))
    assert lines == [f"refit {'(0 of 10)' if done == 0 else f'{done} of 10'}" for done in range(0, 10, 2)]


def test_two_steps_of_one_name_that_are_not_counted_are_two_lines():
    lines: list[str] = []
    clock = Clock()
    tell = log_steps(lines.append, clock)
    clock.now = PATIENCE
    tell(Progress("fitting"))
    tell(Progress("fitting"))
    assert lines == ["fitting", "fitting"]


def test_what_goes_to_a_log_has_no_escape_sequence_and_no_carriage_return(monkeypatch):
    heard = io.StringIO()
    monkeypatch.setattr(sys, "stderr", heard)
    monkeypatch.setattr("cbec_bayes.commands.steps.PATIENCE", 0.0)
    with console.progress(3, quiet=False) as on_progress:
        on_progress(Progress("reading a\x1b[31m\rb\nc"))
        on_progress(Progress("refit", 1, 9))
        on_progress(Progress("writing"))
    assert heard.getvalue().splitlines() == ["reading a\\x1b[31m\\rb\\nc", "refit 1 of 9", "writing"]
    assert not set(heard.getvalue()) & {"\x1b", "\r"}


def test_a_quiet_run_and_a_run_without_a_stream_say_nothing(monkeypatch, capsys):
    monkeypatch.setattr("cbec_bayes.commands.steps.PATIENCE", 0.0)
    with console.progress(3, quiet=True) as on_progress:
        on_progress(Progress("reading"))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys, "stderr", None)
    with console.progress(3, quiet=False) as on_progress:
        on_progress(Progress("reading"))


def test_a_variable_of_the_environment_keeps_progress_out_of_a_log(monkeypatch, capsys):
    monkeypatch.setattr("cbec_bayes.commands.steps.PATIENCE", 0.0)
    for value, heard in (("0", ""), ("1", "reading\n")):
        monkeypatch.setenv(VARIABLE, value)
        with console.progress(3, quiet=False) as on_progress:
            on_progress(Progress("reading"))
        assert capsys.readouterr().err == heard
