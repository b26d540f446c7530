"""The page of pooled estimates, and what the commands about them depend on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cbec_bayes.commands.console import Found, Request, deliver
from cbec_bayes.commands.folders import itself, places
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.opening import read_bytes
from cbec_bayes.runtime.progress import OnProgress, Progress

if TYPE_CHECKING:
    from cbec_bayes.reporting.pageoptions import PageOptions
    from cbec_bayes.runtime.fanout import Executor


def pooled_settings(file: Path, asked: Mapping[str, Any], out: Path | None, *, copied: bool) -> dict[str, str | bytes]:
    """Return pooled.json by its name, and the file of estimates where the folder gets a copy of it."""
    from cbec_bayes.jobs.pooled_settings import SETTINGS, settings_of, text_of

    settings: dict[str, str | bytes] = {SETTINGS: text_of(settings_of(file, asked, out, copied=copied))}
    return {**settings, file.name: read_bytes(file)} if copied else settings


def pooled_content(file: Path, asked: Mapping[str, Any], out: Path | None, *, copied: bool) -> Mapping[str, Any]:
    """Return what pooling depends on, as content."""
    from cbec_bayes.jobs.pooled_settings import content, settings_of

    return content(settings_of(file, asked, out, copied=copied), out)


def report_of_pooled(
    folder: Path, asked: PageOptions, *, out: Path | None, fresh: bool, as_json: bool, quiet: bool
) -> None:
    """Make the page of a folder that `published` wrote to; writes report.html, figures and tables."""
    from cbec_bayes.jobs.pooled_report import report_pooled
    from cbec_bayes.jobs.pooled_settings import content, files_of, read_pooled
    from cbec_bayes.reporting.poolpage import PAGE_FILES, render_pooled

    if asked.labels:
        raise InputError("--label applies to the columns of a fit only; pooled estimates have the labels of their file")
    request = Request(
        command="report",
        out=out or folder,
        quiet=quiet,
        as_json=as_json,
        fresh=fresh,
        names=PAGE_FILES,
        reads=lambda: files_of(read_pooled(folder), folder),
        fit=itself,
        n_steps=2,
    )

    def find(executor: Executor, on_progress: OnProgress) -> Found:
        found = report_pooled(folder, reuse=places(request, folder), on_progress=on_progress)
        on_progress(Progress("the page"))
        tables = {
            "answer": list(found.tables.answer),
            "effects": found.tables.effects,
            "notes": list(found.tables.notes),
        }
        return Found(said="\n\n".join(found.tables.answer) + "\n", tables=tables, files=render_pooled(found, asked))

    deliver(request, find, lambda: {**content(read_pooled(folder), folder), **asked.content()})
