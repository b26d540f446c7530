"""What every command does with a terminal: progress, what was found as text or JSON, what need not be made again."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from cbec_bayes.runtime.errors import InputError, StoppedError
from cbec_bayes.runtime.progress import OnProgress, Progress, ignore_progress

if TYPE_CHECKING:
    import pandas as pd


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
        TextColumn("{task.description}"),
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
                bar.update(whole, description=event.task, completed=done)
                done += 1
                return
            named = event.task
            if pieces is None:
                pieces = bar.add_task(f"  {named}", total=event.total, alike=True)
            bar.update(pieces, completed=event.done)

        yield on_progress


@dataclass(frozen=True, slots=True)
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
    """

    said: str
    tables: Mapping[str, Any]
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    require: Callable[[], None] = lambda: None


def deliver(
    command: str,
    find: Callable[[], Found],
    out: Path | None = None,
    depends: Callable[[], Mapping[str, Any]] = dict,
    *,
    reads: Sequence[Path | None] = (),
    quiet: bool,
    as_json: bool,
    fresh: bool = True,
) -> None:
    """Find, print and write; or, where what is in the folder was made of the same content, say so and print it."""
    from cbec_bayes.runtime import receipts
    from cbec_bayes.runtime.files import locked, write_files

    def unchanged(key: str) -> bool:
        kept = receipts.read(out, command, key) if out is not None and not fresh else None
        if kept is not None:
            show(kept.said, kept.found, out, list(kept.files), quiet=quiet, as_json=as_json, unchanged=True)
        return kept is not None

    def key_of() -> str:
        return receipts.digest(command, depends()) if out is not None else ""

    key = key_of()
    if unchanged(key):
        return  # nothing is written, so that a folder that cannot be written to will do
    with nullcontext(False) if out is None else locked(out) as recovered:
        if recovered:
            key = key_of()
            if unchanged(key):
                return
        try:
            found = find()
        except KeyboardInterrupt:
            raise StoppedError("run the same command again to start over") from None
        receipt = receipts.make(key, found.files, found.said, {k: _plain(v) for k, v in found.tables.items()})
        written: list[str] = []
        try:
            if out is not None:
                spare(out, found.files, reads)
                write_files(out, found.files)
                written = list(found.files)
            found.require()
            if out is not None:
                write_files(out, {receipts.file_of(command): receipt.text()})
        finally:
            show(receipt.said, receipt.found, out, written, quiet=quiet, as_json=as_json)


def spare(out: Path, names: Iterable[str], reads: Sequence[Path | None]) -> None:
    """Raise where a result would be written over a file that it was made from."""
    own = {path.resolve() for path in reads if path is not None}
    for name in names:
        if (out / name).resolve() in own:
            raise InputError(
                "the result would be written over what it is made from; name another folder", file=out / name
            )


def show(
    said: str,
    found: Mapping[str, Any],
    out: Path | None,
    written: list[str],
    *,
    quiet: bool,
    as_json: bool,
    unchanged: bool = False,
) -> None:
    """Print what was found, as text or as JSON alone, and where it was written."""
    if as_json:
        paths = [str(out / name) for name in written] if out is not None else []
        typer.echo(json.dumps({**found, "written": paths}, indent=1, ensure_ascii=False, allow_nan=False))
        return
    if quiet:
        return
    typer.echo(said)
    if out is not None and written:
        several = f" and {len(written) - 1} more" if len(written) > 12 else ""
        names = written[:1] if several else written
        paths_text = ", ".join(str(out / name) for name in names) + several
        if unchanged:
            typer.echo(f"Nothing has changed since they were made (--fresh makes them again): {paths_text}")
        else:
            typer.echo(f"Written: {paths_text}")


def _plain(value: Any) -> Any:
    """Return a table as what JSON can hold, one object per row; missing cells are null."""
    import pandas as pd

    return (
        json.loads(value.to_json(orient="records", double_precision=15)) if isinstance(value, pd.DataFrame) else value
    )


WIDEST = 60
"""Characters of a cell in one line of a plain table."""


def plain_table(frame: pd.DataFrame, title: str) -> str:
    """Return a frame of texts as a plain table; sentences in it are broken, so that it fits into a terminal."""
    from tabulate import tabulate

    options: dict[str, Any] = {"tablefmt": "simple", "disable_numparse": True}
    if frame.size and frame.map(lambda cell: len(str(cell))).to_numpy().max() > WIDEST:
        options["maxcolwidths"] = WIDEST
    return f"{title}\n\n{tabulate(frame.to_numpy().tolist(), headers=list(frame.columns), **options)}\n"


@contextmanager
def resumable(out: Path | None, what: str) -> Iterator[None]:
    """Say, where it is interrupted, what the same command need not do again."""
    try:
        yield
    except KeyboardInterrupt:
        if out is None:
            raise
        raise StoppedError(f"finished {what} are kept in {out}: run the same command again to go on") from None
