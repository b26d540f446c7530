"""Progress of long work as typed events, which a terminal, a log or a notebook shows in its own way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """A step that begins, or how far a step of many like pieces has come.

    Attributes
    ----------
    task
        What is being done, for a reader: ``"reading the panel"``, ``"draws"``.
    done, total
        Finished pieces and all of them; None where the step is not counted.

    Examples
    --------
    >>> str(Progress("draws", 1200, 12000))
    'draws 1200 of 12000'
    >>> str(Progress("reading the panel"))
    'reading the panel'
    """

    task: str
    done: int | None = None
    total: int | None = None

    @property
    def is_counted(self) -> bool:
        """Whether the step consists of like pieces that are counted."""
        return self.done is not None and self.total is not None

    def __str__(self) -> str:
        return f"{self.task} {self.done} of {self.total}" if self.is_counted else self.task


type OnProgress = Callable[[Progress], None]
"""Called with every event; what it returns is ignored."""


def ignore_progress(event: Progress) -> None:
    """Show nothing: the default of every function that reports its progress."""
