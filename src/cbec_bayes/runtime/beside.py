"""A piece of work in a copy of this process, beside what this process goes on with.

A copy starts at once, with everything imported and read, where a new process of Python would first import for a second.
What it finds is the same as here; where a copy does not answer, the work is done here when it is asked for.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread, active_count

from cbec_bayes.runtime.fanout import cores

PATIENCE = 60.0
"""Seconds that are waited for a copy, when its result is wanted, before the work is done here."""

_ALLOWED: list[bool] = []


def allow_copies() -> None:
    """Allow copies of this process, which is then to be the program's own: a notebook's or a test's is none."""
    _ALLOWED.append(True)


@contextmanager
def beside[R](work: Callable[[], R]) -> Iterator[Callable[[], R] | None]:
    """Begin a piece of work beside what follows.

    Parameters
    ----------
    work
        Takes nothing from outside but what is in memory, writes nothing, and returns what can be pickled.

    Yields
    ------
    Callable or None
        Waits for what the work finds, and returns it, or raises what it raised. Nobody needs to call it: a copy that is
        still at work when the block is left is ended. None where no copy can be made: nothing was begun then.
    """
    heard = _copy(work) if _can_copy() else None
    if heard is None:
        yield None
        return
    child, pipe = heard
    try:
        yield lambda: _answer(pipe, work)
    finally:
        pipe.close()
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(child, 0)


def _can_copy() -> bool:
    """Return whether a copy can be made, and would have a processor of its own.

    Threads that are not Python's are not in a copy, and may leave a lock behind that it needs: no copy is made where
    there are any. Python's own threads are those of a progress bar, whose locks this work does not take.
    """
    if not _ALLOWED or not sys.platform.startswith("linux") or cores() < 2:
        return False
    try:
        names = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
    except OSError:
        return False
    return sum(name not in _READY for name in names) == active_count()


_READY = {"jemalloc_bg_thd"}
"""Threads whose library prepares for copies itself: that of the allocator that Arrow brings."""


def _copy[R](work: Callable[[], R]) -> tuple[int, Connection] | None:
    """Begin the work in a copy, and return the copy's number and the pipe that it will answer on; None for no copy."""
    here, there = Pipe()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads, of which `_can_copy` says
            child = os.fork()
    except OSError:  # no room for another process
        here.close()
        there.close()
        return None
    if child:
        there.close()
        return child, here
    status = 1
    try:
        here.close()
        _end_with(there)
        _send(there, work)
        status = 0
    finally:
        os._exit(status)  # what is buffered is the parent's to write


def _send[R](pipe: Connection, work: Callable[[], R]) -> None:
    try:
        found, error = work(), None
    except Exception as raised:
        found, error = None, raised
    pipe.send((found, error))


def _end_with(pipe: Connection) -> None:
    """End this copy once the other end of its pipe is closed, however the parent ends, which alone is interrupted."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        with suppress(EOFError, OSError):
            pipe.recv_bytes()
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def _answer[R](pipe: Connection, work: Callable[[], R]) -> R:
    """Return what a copy finds, or what is found here where it does not answer."""
    try:
        held = pipe.recv() if pipe.poll(PATIENCE) else None
    except (EOFError, OSError):  # it was killed
        held = None
    if held is None:
        return work()
    found: R
    found, error = held
    if error is not None:
        raise error
    return found
