"""Fan-out: the same numbers whoever does the work, errors that name what happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cbec_bayes.runtime.errors import GateError, InputError
from cbec_bayes.runtime.fanout import Job, Serial, fan_out, fan_out_together, open_executor
from cbec_bayes.runtime.journal import Journal
from tests.support.processes import MARK, end_marked, marked, needs_proc, wait_for


def summed(seed: int) -> float:
    """Work whose last digits depend on how many threads a matrix product has."""
    matrix = np.random.default_rng(seed).standard_normal((150, 150))
    return float((matrix @ matrix @ matrix).sum())


def doubled(number: int) -> int:
    return 2 * number


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
def test_jobs_side_by_side_find_what_they_find_alone(tmp_path):
    """Results stand by job and piece, whoever ends first, and a job goes on from its own journal."""
    journal = Journal(tmp_path / "kept.jsonl", "these sums")
    journal.open()(1, 8.0)
    journal.close()
    jobs = [
        Job(work=summed, pieces=[2, 0], named="sum"),
        Job(work=doubled, pieces=[3, 9, 5], journal=journal, named="double"),
        Job(work=doubled, pieces=[]),
    ]
    alone = fan_out(Serial(), summed, [2, 0])
    steps: list[str] = []
    with open_executor(2) as two:
        assert fan_out_together(two, jobs, on_progress=lambda event: steps.append(str(event))) == [
            alone,
            [6, 8.0, 10],
            [],
        ]
    assert steps[:3] == ["sum 0 of 2", "double 1 of 3", "piece 0 of 0"]
    assert sorted(steps[3:]) == ["double 2 of 3", "double 3 of 3", "sum 1 of 2", "sum 2 of 2"]
    assert sorted(journal.read().items()) == [(0, 6), (1, 8.0), (2, 10)]


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


def wait_long(folder: str) -> None:
    """Say that one has begun, and take longer than any test."""
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(600)


def wait_long_below(folder: str) -> None:
    """Have a process of this one's own do it, too."""
    with open_executor(2) as two:
        fan_out(two, wait_long, [folder, folder])


WAITING = """
import sys
from cbec_bayes.runtime.errors import StoppedError
from cbec_bayes.runtime.fanout import fan_out, open_executor
from tests.runtime import test_fanout

try:
    with open_executor(2) as two:
        fan_out(two, getattr(test_fanout, sys.argv[1]), [sys.argv[2]] * 2)
except KeyboardInterrupt:
    sys.exit(StoppedError.exit_status)
"""
"""Two pieces of work that would take minutes."""


@pytest.fixture
def waiting(tmp_path):
    """Return what starts such work in a process, and waits until so many pieces of it have begun."""
    begun = tmp_path / "begun"
    begun.mkdir()
    mark, every = str(tmp_path), []

    def start(work: str, pieces: int) -> subprocess.Popen[bytes]:
        started = subprocess.Popen(
            [sys.executable, "-c", WAITING, work, str(begun)],
            env={**os.environ, MARK: mark, "OMP_NUM_THREADS": "1"},
            cwd=Path(__file__).parents[2],
            stderr=subprocess.PIPE,
        )
        every.append(started)
        assert wait_for(lambda: len(list(begun.iterdir())) >= pieces)
        assert len(marked(mark)) > pieces
        return started

    yield start
    end_marked(mark)
    for started in every:
        started.communicate()


@needs_proc
@pytest.mark.nightly
@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGABRT])
def test_workers_end_with_their_parent_whatever_ends_it(by, waiting, tmp_path):
    parent = waiting("wait_long", 2)
    parent.send_signal(by)
    assert parent.wait(30) == (130 if by == signal.SIGINT else -by)
    assert wait_for(lambda: not marked(str(tmp_path)), 10), "processes outlive their parent"
    said = parent.stderr.read()  # of a kill, Python's own tracker of semaphores says that it has cleaned up
    assert said == b"" if by == signal.SIGINT else b"Traceback" not in said


@needs_proc
@pytest.mark.nightly
def test_workers_of_workers_end_too(waiting, tmp_path):
    parent = waiting("wait_long_below", 4)
    parent.kill()
    parent.wait(30)
    assert wait_for(lambda: not marked(str(tmp_path)), 10), "processes outlive their parent"


@needs_proc
@pytest.mark.nightly
def test_an_interruption_at_the_terminal_is_answered_by_the_parent_alone(waiting, tmp_path):
    """There it reaches every process of the group, and workers would print what they were at."""
    parent = waiting("wait_long", 2)
    for process in sorted(marked(str(tmp_path)), key=lambda each: each == parent.pid):
        os.kill(process, signal.SIGINT)
    assert parent.wait(30) == 130
    assert wait_for(lambda: not marked(str(tmp_path)), 10)
    assert parent.stderr.read() == b""


@pytest.mark.nightly
def test_work_that_is_no_longer_wanted_is_not_waited_for(tmp_path):
    with pytest.raises(ValueError, match="enough"):
        want_the_first_alone(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["first"]


def want_the_first_alone(folder: Path) -> None:
    with open_executor(2) as two:
        for _ in two.each(wait_long_after_the_first, [(0, str(folder)), (1, str(folder))]):
            raise ValueError("enough")


def wait_long_after_the_first(folder: str) -> None:
    try:
        (Path(folder) / "first").touch(exist_ok=False)
    except FileExistsError:
        time.sleep(60)
        (Path(folder) / "second").touch()
