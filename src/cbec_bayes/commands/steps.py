"""Progress in a log: one plain line per step, for what is written to a file or to another program."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from cbec_bayes.runtime.progress import OnProgress, Progress

PATIENCE = 2.0
"""Seconds from which on a log is told of steps: a run that ends before, as on bad input, has one line or none."""

STILL = 60.0
"""Seconds after which a step of many like pieces says again how far it has come."""


VARIABLE = "CBEC_BAYES_PROGRESS"
"""Variable of the environment that keeps progress out of logs where it is 0."""


def is_wanted() -> bool:
    """Return whether a log is to be told of progress."""
    return os.environ.get(VARIABLE, "") != "0"


def log_steps(write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> OnProgress:
    """Return what writes each step as one line when it begins.

    Steps of the first `PATIENCE` seconds are written together with the first one after them. A step of many like pieces
    is one line as well, and one more for every `STILL` seconds that it takes.

    Parameters
    ----------
    write
        Called with each line.
    clock
        Returns seconds.
    """
    began = clock()
    waiting: list[str] = []
    named, said = "", began

    def on_progress(event: Progress) -> None:
        nonlocal named, said
        now = clock()
        if event.task != named or not event.is_counted:
            waiting.append(f"{event.task} (0 of {event.total})" if event.done == 0 else str(event))
            named, said = event.task, now
        elif now - said >= STILL:
            waiting.append(str(event))
            said = now
        if now - began >= PATIENCE:
            for line in waiting:
                write(line)
            waiting.clear()

    return on_progress
