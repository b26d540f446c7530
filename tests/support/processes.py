"""Processes of a test, found by a mark in their environment, which every descendant has, whoever its parent is now."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

MARK = "CBEC_BAYES_TEST_MARK"
"""Name in the environment; its value is of one test's own."""

needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found in /proc")


def marked(mark: str) -> set[int]:
    """Return the ids of the processes that run with a mark."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            held = path.read_bytes().split(b"\0")
            state = path.with_name("stat").read_text().rpartition(")")[2].split()[0]
        except OSError:  # it has ended, or is somebody else's
            continue
        if f"{MARK}={mark}".encode() in held and state != "Z":
            found.add(int(path.parent.name))
    return found


def wait_for(condition, patience: float = 60.0) -> bool:
    """Return whether something comes to be true while one is willing to wait."""
    until = time.monotonic() + patience
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def end_marked(mark: str) -> None:
    """End what a failed test has left."""
    for process in marked(mark):
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue
