"""A process that imports everything once and does each piece of work in a child, which harms nothing but itself.

A child may be killed, may end itself, or may never end; what it took of time and memory is known; and thousands of runs
of the program cost no more than what they do. `ForkServer` is the side of the test.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parents[2]

MOST = 2**31
"""Bytes of memory that a piece of work may take."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended.

    Attributes
    ----------
    status
        Its exit status; below zero the signal that ended it, and None where it was ended for taking too long.
    seconds, memory
        That it took, with the processes that it began: by the clock, and at most, in bytes.
    left
        Whether a process was left behind.
    out, err
        What it wrote.
    """

    status: int | None
    seconds: float
    memory: int
    left: bool
    out: str
    err: str


class ForkServer:
    """Runs the program, or functions of tests.support.fuzz, in children of one process; a context manager."""

    def __enter__(self) -> Self:
        places = [str(ROOT), *filter(None, sys.path)]
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._server = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.support.forks"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **threads, "PYTHONPATH": os.pathsep.join(places)},
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.stdin.close()
        self._server.wait(30)
        self._server.stdout.close()

    def __call__(self, name: str, folder: Path, patience: float, *asked: Any) -> Ended:
        """Do a piece of work in a folder, and wait for its end.

        Parameters
        ----------
        name
            A function of tests.support.fuzz.
        folder
            In which it works.
        patience
            Seconds that it may take.
        *asked
            Its arguments, as JSON can hold them.
        """
        line = json.dumps([name, str(folder), patience, asked]).encode() + b"\n"
        self._server.stdin.write(line)
        self._server.stdin.flush()
        return Ended(**json.loads(self._server.stdout.readline()))


def serve(work: Callable[[str, list[Any]], int]) -> None:
    """Do what each line of the standard input asks for, in a child each, and say how it ended."""
    for line in sys.stdin.buffer:
        name, folder, patience, asked = json.loads(line)
        outputs = [os.memfd_create(name) for name in ("out", "err")]
        begun = time.monotonic()
        child = os.fork()
        if child == 0:
            _as_a_program(folder, outputs)
            _end(partial(work, name, asked))
        status, used = _ended(child, begun + patience)
        left = _end_group(child)
        texts = [_text(output) for output in outputs]
        seconds = time.monotonic() - begun
        print(
            json.dumps(dict(zip(Ended.__slots__, (status, seconds, 1024 * used, left, *texts), strict=True))),
            flush=True,
        )


def _as_a_program(folder: str, outputs: list[int]) -> None:
    """Begin a child as the system begins a program: in a folder and a group of its own, with its own output."""
    os.setsid()
    os.chdir(folder)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for k, output in enumerate(outputs, 1):
        os.dup2(output, k)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(k, mode, encoding="utf-8") for k, mode in enumerate(("r", "w", "w")))
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2 * MOST,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _end(work: Callable[[], int]) -> None:
    status = 99
    try:
        status = work()
    except SystemExit as stopped:
        status = stopped.code if isinstance(stopped.code, int) else int(stopped.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(status)


def _ended(child: int, until: float) -> tuple[int | None, int]:
    """Wait for a child, or end it; return its exit status, None where it was ended, and its memory in kibibytes."""
    pause = 0.002
    while True:
        found, status, used = os.wait4(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status), used.ru_maxrss
        if time.monotonic() > until:
            os.killpg(child, signal.SIGKILL)
            _, _, used = os.wait4(child, 0)
            return None, used.ru_maxrss
        time.sleep(pause)
        pause = min(2 * pause, 0.05)


def _end_group(child: int) -> bool:
    """End the processes that a child left, and return whether there were any."""
    for _ in range(100):
        try:
            os.killpg(child, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.02)  # they may be about to end
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    return True


def _text(output: int) -> str:
    os.lseek(output, 0, os.SEEK_SET)
    with open(output, "rb") as file:
        return file.read(10**6).decode(errors="replace")


if __name__ == "__main__":
    from tests.support import fuzz

    fuzz.prepare()
    try:
        serve(fuzz.work)
    finally:
        shutil.rmtree(fuzz.made())
