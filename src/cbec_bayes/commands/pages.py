"""The command `report`: the page of a fit, with its figures and its tables in the formats that are asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cbec_bayes.commands.console import Find, Found, Request, deliver
from cbec_bayes.commands.fitting import found_of_checks, found_of_comparison, parts_of_comparison
from cbec_bayes.commands.folders import content_of, fit_of, places, read_from
from cbec_bayes.commands.options import (
    FitSeed,
    Fresh,
    Json,
    Out,
    Quiet,
    Scheduler,
    TlsCa,
    TlsCert,
    TlsKey,
    Workers,
    cluster,
)
from cbec_bayes.commands.page_options import Figures, Labels, ReportFolder, TableFormats
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.progress import OnProgress, Progress

if TYPE_CHECKING:
    from cbec_bayes.reporting.pageoptions import PageOptions
    from cbec_bayes.runtime.fanout import Executor


def report(
    folder: ReportFolder,
    label: Labels = None,
    figures: Figures = "",
    tables: TableFormats = "",
    out: Out = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    seed: FitSeed = None,
    fresh: Fresh = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make the page of a fit, with comparison and checks, or of pooled estimates; writes report.html and its parts."""
    from cbec_bayes.jobs.pooled_settings import is_pooled
    from cbec_bayes.reporting.pageoptions import page_options

    asked = page_options(label or (), figures, tables)
    if is_pooled(folder):
        from cbec_bayes.commands.pooled import report_of_pooled

        if seed is not None:
            raise InputError(
                "--seed has no effect on a page of pooled estimates; run `published --seed N` again where "
                "they are sampled"
            )
        report_of_pooled(folder, asked, out=out, fresh=fresh, as_json=as_json, quiet=quiet)
        return
    from cbec_bayes.jobs.check import CHECK_FILES
    from cbec_bayes.jobs.compare import COMPARE_FILES
    from cbec_bayes.jobs.specifications import FILES
    from cbec_bayes.reporting.panelpage import PAGE_FILES
    from cbec_bayes.reporting.specifications import CURVES

    request = Request(
        command="report",
        out=out or folder,
        quiet=quiet,
        as_json=as_json,
        fresh=fresh,
        names=[*PAGE_FILES, *COMPARE_FILES, *CHECK_FILES, *FILES, *CURVES],
        reads=read_from(folder),
        fit=fit_of(folder),
        workers=workers,
        scheduler=cluster(scheduler, tls_ca, tls_cert, tls_key),
        parts=("check", "compare", "specifications"),
    )
    _require_labels(asked, folder)
    deliver(request, _report_of(request, folder, seed, asked), _of_report(request, folder, seed, asked))


def _require_labels(asked: PageOptions, folder: Path) -> None:
    """Raise where a label is of no column of the fit; the terms of a formula are known only once it is read."""
    from cbec_bayes.jobs.fit_settings import read_settings

    if not asked.labels:
        return
    settings = read_settings(folder)
    if settings["formula"] is None:
        one = [settings[name] for name in ("outcome", "exposure", "unit", "time", "group")]
        asked.require_columns([name for name in (*one, *settings["further"], *settings["controls"]) if name])


def _report_of(request: Request, folder: Path, seed: int | None, asked: PageOptions) -> Find:
    """Return what makes the report of a fit's folder, and with it all that `check` and `compare` would leave there."""
    from cbec_bayes.checks import checks_frame
    from cbec_bayes.jobs.report import report_folder
    from cbec_bayes.reporting.panelpage import in_words, render_panel
    from cbec_bayes.reporting.panelwords import panel_answer

    def find(executor: Executor, on_progress: OnProgress) -> Found:
        reuse = places(request, folder)
        found = report_folder(folder, seed=seed, reuse=reuse, executor=executor, on_progress=on_progress)
        on_progress(Progress("the page"))
        page = render_panel(found, asked)
        drawn = {result.name: page.get(f"figures/{result.name}.svg") for result in found.checks.results}
        figures = {f"check_{name}.svg": svg for name, svg in drawn.items() if svg is not None}
        own = content_of(folder, seed)()
        parts = {
            "check": replace(found_of_checks(found.checks, figures), content=own),
            "compare": replace(found_of_comparison(found.compared), content=own),
            **parts_of_comparison(found.compared, request, folder, seed, asked.images),
        }
        sentences = panel_answer(in_words(found, asked), asked)
        tables = {
            "answer": list(sentences),
            "effects": found.fitted.effects,
            "compare": found.compared.table,
            "differences": found.compared.differences,
            "checks": checks_frame(found.checks.results),
        }
        files = {**page, **{name: content for part in parts.values() for name, content in part.files.items()}}
        return Found(said="\n\n".join(sentences) + "\n", tables=tables, files=files, parts=parts)

    return find


def _of_report(request: Request, folder: Path, seed: int | None, asked: PageOptions) -> Callable[[], Mapping[str, Any]]:
    """Return what tells what the report of a fit's folder depends on: also whether all specifications are known."""

    def depends() -> Mapping[str, Any]:
        from cbec_bayes.jobs.specifications import is_whole_known

        known = is_whole_known(places(request, folder), folder, seed)
        return {**content_of(folder, seed)(), "whole_lattice": known, **asked.content()}

    return depends
