"""What every command does with a terminal: progress, what was found as text or JSON, what need not be made again."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cbec_bayes.commands.steps import is_wanted, log_steps
from cbec_bayes.commands.terminal import as_json, complain, in_one_line, say
from cbec_bayes.runtime.errors import CbecBayesError, StoppedError
from cbec_bayes.runtime.progress import OnProgress, Progress, ignore_progress

if TYPE_CHECKING:
    import pandas as pd

    from cbec_bayes.runtime.cluster import Cluster
    from cbec_bayes.runtime.fanout import Executor
    from cbec_bayes.runtime.folder import OutFolder


@contextmanager
def progress(n_steps: int | None, quiet: bool) -> Iterator[OnProgress]:
    """Show what runs: the steps, and of many like pieces how fast they go and what is left; in a log plain lines."""
    if quiet or sys.stderr is None:
        yield ignore_progress
        return
    if not sys.stderr.isatty():
        yield log_steps(complain) if is_wanted() else ignore_progress
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
    names
        Files that may be written, by name or, in sub-folders, by pattern.
    reads
        Returns the files and folders that the results are made from; nothing is written over these.
    fit
        Returns, given what the results depend on, what the fit was asked for that they belong to; None where they
        belong to none.
    workers, scheduler
        Number of processes and address of the executor; see `cbec_bayes.runtime.fanout.open_executor`.
    n_steps
        Steps of the job, where they are known.
    shows_progress
        Whether the job takes so long that its progress is worth showing.
    keeps
        What an interrupted run leaves in the folder, to go on from; blank for nothing.
    journals
        Files in which it leaves that.
    parts
        Other commands whose files are written on the way.
    """

    command: str
    out: Path | None
    quiet: bool
    as_json: bool
    fresh: bool = True
    names: Sequence[str] = ()
    reads: Callable[[], Iterable[Path]] = tuple
    fit: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    workers: int | None = 1
    scheduler: Cluster | None = None
    n_steps: int | None = None
    shows_progress: bool = True
    keeps: str = ""
    journals: Sequence[str] = ()
    parts: Sequence[str] = ()

    def place(self, content: Mapping[str, Any]) -> OutFolder:
        """Return the folder, with what will be done there; `content` is what the results depend on."""
        from cbec_bayes.runtime.folder import OutFolder
        from cbec_bayes.runtime.receipts import asked_digest

        assert self.out is not None
        return OutFolder(
            path=self.out,
            commands=(self.command, *self.parts),
            names=self.names,
            reads=tuple(self.reads()),
            journals=self.journals,
            of="" if self.fit is None else asked_digest(self.fit(content)),
        )


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
    files_later
        Returns all of them where they take long to make: what was found is then shown before; None for `files`.
    require
        Raises where a gate of ours failed; everything is written all the same, but for receipts.
    forget
        Called once everything is written: removes what was kept of unfinished work.
    results
        What another command can go on from; see `cbec_bayes.runtime.receipts.Receipt`.
    parts
        What other commands would have found and written on the way, by their names: they get receipts too.
    content
        What a part depends on, where that is something else than what the command itself depends on.
    """

    said: str
    tables: Mapping[str, Any]
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    files_later: Callable[[], Mapping[str, str | bytes]] | None = None
    require: Callable[[], None] = lambda: None
    forget: Callable[[], None] = lambda: None
    results: Any = None
    parts: Mapping[str, Found] = field(default_factory=dict)
    content: Mapping[str, Any] | None = None

    def receipts(self, command: str, content: Mapping[str, Any]) -> dict[str, str]:
        """Return the receipts of a command and of its parts, by command; `content` is what they depend on."""
        from cbec_bayes.runtime import receipts

        texts = {}
        for name, found in {**self.parts, command: self}.items():
            key = receipts.digest(name, content if found.content is None else found.content)
            own = receipts.make(key, found.files, said=found.said, found=plain(found.tables), results=found.results)
            texts[name] = own.text()
        return texts

    def made(self, command: str) -> dict[str, Mapping[str, str | bytes]]:
        """Return the files of a command and of its parts, by command, each once."""
        parts = {name: found.files for name, found in self.parts.items()}
        elsewhere = {name for files in parts.values() for name in files}
        return {**parts, command: {name: held for name, held in self.files.items() if name not in elsewhere}}


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
    from cbec_bayes.runtime.staging import locked

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
        place = request.place(content)
        place.vet()
        write(request, place, work(request, find), content)


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


def write(request: Request, place: OutFolder, found: Found, content: Mapping[str, Any]) -> None:
    """Print what was found, whether a gate failed or not; write it, and its receipts where none did."""
    failed: CbecBayesError | None = None
    try:
        found.require()
    except CbecBayesError as error:
        failed = error
    show_said(request, found.said)
    written: list[str] = []
    kept: list[str] = []
    try:
        if found.files_later is not None:
            found = replace(found, files=found.files_later(), files_later=None)
        texts = {} if failed is not None else found.receipts(request.command, content)
        kept = place.write(found.made(request.command), texts)
        written = list(found.files)
        found.forget()
        if failed is not None:
            raise failed
    finally:
        show_written(request, plain(found.tables), written, kept=kept)


def show(
    request: Request, said: str, found: Mapping[str, Any], written: Sequence[str] = (), *, unchanged: bool = False
) -> None:
    """Print what was found, as text or as JSON alone, and where it was written."""
    show_said(request, said)
    show_written(request, found, written, unchanged=unchanged)


def show_said(request: Request, said: str) -> None:
    """Print what was found as text, unless JSON or nothing is asked for."""
    if not (request.as_json or request.quiet):
        say(said)


def show_written(
    request: Request,
    found: Mapping[str, Any],
    written: Sequence[str],
    *,
    kept: Sequence[str] = (),
    unchanged: bool = False,
) -> None:
    """Print where it was written, and what was kept of edited files; as JSON with what was found, which is one text."""
    paths = [] if request.out is None else [str(request.out / name) for name in written]
    if request.as_json:
        told = {
            **found,
            "written": paths,
            **({"kept": [str(request.out / name) for name in kept]} if kept and request.out else {}),
        }
        say(as_json(told))
        return
    if request.quiet:
        return
    if paths:
        several = len(paths) > MOST_LISTED
        listed = ", ".join(paths[:1] if several else paths) + (f" and {len(paths) - 1} more" if several else "")
        known = "Nothing has changed since they were made (--fresh makes them again)" if unchanged else "Written"
        say(in_one_line(f"{known}: {listed}"))
    if kept and request.out is not None:
        listed = ", ".join(str(request.out / name) for name in kept)
        say(in_one_line(f"Edited since they were written, and kept: {listed}"))


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
