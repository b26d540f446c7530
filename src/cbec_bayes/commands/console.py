"""What every command does with a terminal: progress, what was found as text or JSON, what need not be made again."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cbec_bayes.commands.terminal import as_json, in_one_line, say
from cbec_bayes.runtime.errors import InputError, StoppedError
from cbec_bayes.runtime.progress import OnProgress, Progress, ignore_progress

if TYPE_CHECKING:
    import pandas as pd

    from cbec_bayes.runtime.cluster import Cluster
    from cbec_bayes.runtime.fanout import Executor


@contextmanager
def progress(n_steps: int | None, quiet: bool) -> Iterator[OnProgress]:
    """Show what runs, on a terminal only: the steps, and of many like pieces how fast they go and what is left."""
    if quiet or not sys.stderr.isatty():
        yield ignore_progress
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        ProgressColumn,
        SpinnerColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as ProgressBar
    from rich.text import Text

    class Rate(ProgressColumn):
        """Pieces per second; steps are not alike and have none."""

        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.2g}/s" if task.speed and task.fields.get("alike") else "")

    class Remaining(TimeRemainingColumn):
        """Time that is left, named."""

        def render(self, task: Task) -> Text:
            return Text("") if task.time_remaining is None else super().render(task) + Text(" left")

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        Rate(),
        Remaining(compact=True),
    )
    with ProgressBar(*columns, console=Console(stderr=True), transient=True) as bar:
        whole = bar.add_task("starting", total=n_steps)
        named, pieces, done = "", None, 0

        def on_progress(event: Progress) -> None:
            nonlocal named, pieces, done
            if pieces is not None and not (event.is_counted and event.task == named):
                bar.remove_task(pieces)
                pieces = None
            if not event.is_counted:
                bar.update(whole, description=in_one_line(event.task), completed=done)
                done += 1
                return
            named = event.task
            if pieces is None:
                pieces = bar.add_task(f"  {in_one_line(named)}", total=event.total, alike=True)
            bar.update(pieces, completed=event.done)

        yield on_progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked of a command, beside what its job is to do.

    Attributes
    ----------
    command
        Its name, and that of its receipt.
    out
        Folder to write to; None to write nothing.
    quiet, as_json
        Print nothing but errors; print the results as JSON, and nothing else.
    fresh
        Compute again even where nothing has changed.
    reads
        Files that nothing may be written over.
    workers, scheduler
        Of the executor; see `cbec_bayes.runtime.fanout.open_executor`.
    n_steps
        Steps of the job, where they are known.
    shows_progress
        Whether the job takes so long that its progress is worth showing.
    keeps
        What an interrupted run leaves in the folder, to go on from; blank for nothing.
    """

    command: str
    out: Path | None
    quiet: bool
    as_json: bool
    fresh: bool = True
    reads: Sequence[Path | None] = ()
    workers: int | None = 1
    scheduler: Cluster | None = None
    n_steps: int | None = None
    shows_progress: bool = True
    keeps: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a command found.

    Attributes
    ----------
    said
        For a reader, at a terminal.
    tables
        For a program: tables and other results by name.
    files
        To write, by name.
    require
        Raises where a gate of ours failed, once everything is written.
    results
        What another command can go on from; see `cbec_bayes.runtime.receipts.Receipt`.
    parts
        What other commands would have found and written on the way, by their names: they get receipts too.
    """

    said: str
    tables: Mapping[str, Any]
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    require: Callable[[], None] = lambda: None
    results: Any = None
    parts: Mapping[str, Found] = field(default_factory=dict)

    def receipts(self, command: str, content: Mapping[str, Any]) -> dict[str, str]:
        """Return the receipts of a command and of its parts as files; `content` is what they depend on."""
        from cbec_bayes.runtime import receipts

        files = {}
        for name, found in {**self.parts, command: self}.items():
            key = receipts.digest(name, content)
            own = receipts.make(key, found.files, said=found.said, found=plain(found.tables), results=found.results)
            files[receipts.file_of(name)] = own.text()
        return files


type Find = Callable[[Executor, OnProgress], Found]
"""A command's job and its words."""


def deliver(request: Request, find: Find, depends: Callable[[], Mapping[str, Any]] = dict) -> None:
    """Find, write and print; or, where what is in the folder was made of the same content, say so and print it.

    Parameters
    ----------
    request
        Where to, and how.
    find
        Called with an executor and with who is told of progress, where there is something to be done.
    depends
        Returns what the results depend on; see `cbec_bayes.runtime.receipts.digest`.
    """
    from cbec_bayes.runtime.files import locked

    if request.out is None:
        found = work(request, find)
        try:
            found.require()
        finally:
            show(request, found.said, plain(found.tables))
        return
    content = depends()
    if show_unchanged(request, content):
        return  # nothing is written, so that a folder that cannot be written to will do
    with locked(request.out) as recovered:
        if recovered:
            content = depends()
            if show_unchanged(request, content):
                return
        write(request, work(request, find), content)


def work(request: Request, find: Find) -> Found:
    """Call a job with an executor, and show its progress on a terminal."""
    from cbec_bayes.runtime.fanout import open_executor

    quiet = request.quiet or not request.shows_progress
    try:
        with (
            progress(request.n_steps, quiet) as on_progress,
            open_executor(request.workers, request.scheduler) as executor,
        ):
            return find(executor, on_progress)
    except KeyboardInterrupt:
        if request.keeps and request.out is not None:
            kept = f"finished {request.keeps} are kept in {request.out}: run the same command again to go on"
            raise StoppedError(kept) from None
        raise StoppedError("run the same command again to start over") from None


def show_unchanged(request: Request, content: Mapping[str, Any]) -> bool:
    """Print what an earlier run found where its receipt holds; return whether it does."""
    from cbec_bayes.runtime import receipts

    if request.out is None or request.fresh:
        return False
    kept = receipts.read(request.out, request.command, receipts.digest(request.command, content))
    if kept is not None:
        show(request, kept.said, kept.found, list(kept.files), unchanged=True)
    return kept is not None


def write(request: Request, found: Found, content: Mapping[str, Any]) -> None:
    """Write what was found, and its receipts where no gate failed; print it in any case."""
    from cbec_bayes.runtime.files import write_files

    assert request.out is not None
    written: list[str] = []
    try:
        spare(request.out, found.files, request.reads)
        write_files(request.out, found.files)
        written = list(found.files)
        found.require()
        write_files(request.out, found.receipts(request.command, content))
    finally:
        show(request, found.said, plain(found.tables), written)


def spare(out: Path, names: Iterable[str], reads: Sequence[Path | None]) -> None:
    """Raise where a result would be written over a file that it was made from."""
    own = {path.resolve() for path in reads if path is not None}
    for name in names:
        if (out / name).resolve() in own:
            raise InputError(
                "the result would be written over what it is made from; name another folder", file=out / name
            )


def show(
    request: Request, said: str, found: Mapping[str, Any], written: Sequence[str] = (), *, unchanged: bool = False
) -> None:
    """Print what was found, as text or as JSON alone, and where it was written."""
    paths = [] if request.out is None else [str(request.out / name) for name in written]
    if request.as_json:
        say(as_json({**found, "written": paths}))
        return
    if request.quiet:
        return
    say(said)
    if paths:
        several = len(paths) > MOST_LISTED
        listed = ", ".join(paths[:1] if several else paths) + (f" and {len(paths) - 1} more" if several else "")
        known = "Nothing has changed since they were made (--fresh makes them again)" if unchanged else "Written"
        say(in_one_line(f"{known}: {listed}"))


def plain(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return tables as what JSON can hold, one object per row; missing cells are null."""
    import pandas as pd

    return {
        name: json.loads(value.to_json(orient="records", double_precision=15))
        if isinstance(value, pd.DataFrame)
        else value
        for name, value in tables.items()
    }


MOST_LISTED = 12
"""Files that are listed one by one."""

WIDEST = 60
"""Characters of a cell in one line of a plain table."""


def plain_table(frame: pd.DataFrame, title: str) -> str:
    """Return a frame of texts as a plain table; sentences in it are broken, so that it fits into a terminal."""
    from tabulate import tabulate

    options: dict[str, Any] = {"tablefmt": "simple", "disable_numparse": True}
    cells = frame.map(lambda cell: in_one_line(cell) if isinstance(cell, str) else cell)
    headers = [in_one_line(str(name)) for name in frame.columns]
    if frame.size and cells.map(lambda cell: len(str(cell))).to_numpy().max() > WIDEST:
        options["maxcolwidths"] = WIDEST
    return f"{in_one_line(title)}\n\n{tabulate(cells.to_numpy().tolist(), headers=headers, **options)}\n"
