"""Commands that take what was printed: `audit` and `published`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cbec_bayes.commands.console import Found, Request, deliver, plain_table
from cbec_bayes.commands.folders import itself
from cbec_bayes.commands.options import Json, Out, Quiet, Seed, SlopeOn
from cbec_bayes.commands.pooled_options import (
    Cluster,
    Correlation,
    Covariance,
    LeaveOneOut,
    PrintedEngine,
    PrintedModel,
)
from cbec_bayes.runtime.errors import InputError, suggest
from cbec_bayes.runtime.progress import OnProgress

if TYPE_CHECKING:
    from cbec_bayes.jobs.audit import AuditedPapers
    from cbec_bayes.runtime.fanout import Executor


def audit(
    papers: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE]...",
            help="Printed tables (txt, md, html, tex, xlsx, docx, csv; - is the standard input), or folders of CSV.",
        ),
    ] = None,
    tables: Annotated[
        Path | None,
        typer.Option(
            "--tables", metavar="DIR", help="Folder of printed tables as CSV (and paper.toml). Default: the paper's."
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option("--save", metavar="DIR", help="Write what was read as CSV and paper.toml to a new folder."),
    ] = None,
    facts: Annotated[
        Path | None, typer.Option("--facts", metavar="TOML", help="What a paper says elsewhere, as in paper.toml.")
    ] = None,
    parentheses: Annotated[
        str, typer.Option("--parentheses", metavar="NAME", help="What stands in parentheses: se, t, p, ci.")
    ] = "",
    brackets: Annotated[
        str, typer.Option("--brackets", metavar="NAME", help="What stands in brackets: se, t, p, ci.")
    ] = "",
    below: Annotated[
        str, typer.Option("--below", metavar="NAME", help="What stands below an estimate without brackets: se, t, p.")
    ] = "",
    out: Out = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check a printed table's own arithmetic; writes audit.csv, readings.csv and audit.html."""
    from cbec_bayes.jobs.audit import FILES, AuditedPapers, audit_papers, audit_tables, read_by_audit
    from cbec_bayes.published.reading.tables import asked_of
    from cbec_bayes.reporting.auditpage import render_audit

    if papers and tables is not None:
        raise InputError("the tables are named both by --tables and by FILE; name files and folders without --tables")
    asked = asked_of(parentheses=parentheses, brackets=brackets, below=below)

    def find(executor: Executor, on_progress: OnProgress) -> Found:
        found = audit_papers(papers, asked, facts) if papers else AuditedPapers((audit_tables(tables),))
        if save is not None:
            _save(save, found)
        return Found(
            said="\n".join(_said(found)),
            tables=_of_papers(found),
            files={**found.files(), "audit.html": render_audit(found)},
        )

    request = Request(
        command="audit",
        out=out,
        quiet=quiet,
        as_json=as_json,
        names=FILES,
        reads=lambda: [path for path in papers if str(path) != "-"] if papers else read_by_audit(tables),
        shows_progress=False,
    )
    deliver(request, find)


def _save(folder: Path, found: AuditedPapers) -> None:
    """Write the tables that were read to a new folder, one folder a paper where there are several."""
    from cbec_bayes.runtime.staging import write_files

    several = found.is_several
    files = {
        f"{one.name}/{name}" if several else name: text for one in found.papers for name, text in one.saved.items()
    }
    if not files:
        raise InputError(
            "--save has nothing to write, because the tables were read from CSV files in the long form already"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError("--save needs a new or an empty folder", file=folder)
    write_files(folder, files)


def _said(found: AuditedPapers) -> list[str]:
    """Return what a terminal shows: of one paper its contradictions, of several a line each."""
    if found.is_several:
        frame = found.summary_frame().drop(columns="summary").astype("string").fillna("")
        notes = [f"{one.name}: {note}" for one in found.papers for note in one.notes]
        notes += [f"{name} was not read: {reason}." for name, reason in found.refused]
        return [plain_table(frame, "Papers"), *notes]
    (one,) = found.papers
    fails = plain_table(one.failures, "What contradicts the tables") if len(one.failures) else ""
    counts = ", ".join(f"{count} {verdict}" for verdict, count in one.counts.items())
    return [line for line in (fails, one.summary, f"Checks: {counts}.", *one.notes) if line]


def _of_papers(found: AuditedPapers) -> dict[str, Any]:
    """Return what JSON has: tables and a summary; of several papers a list."""
    if not found.is_several:
        (one,) = found.papers
        return {"audit": one.findings, "readings": one.readings, "summary": one.summary, "notes": list(one.notes)}
    return {"summary": found.summary_frame(), **{one.name: one.findings for one in found.papers}}


def published(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="CSV of label, estimate, and se, vi, lower and upper, t or p; perhaps stars, df. Or printed tables.",
        ),
    ],
    model: PrintedModel = "published_half_normal",
    term: Annotated[
        str | None, typer.Option("--term", metavar="ROW", help="Row of printed tables whose columns are pooled.")
    ] = None,
    reading: Annotated[
        str, typer.Option("--reading", metavar="NAME", help="as_printed, coherent or stars.")
    ] = "as_printed",
    unit: Annotated[
        float | None, typer.Option("--unit", metavar="X", help="Unit of slope that the priors are scaled by.")
    ] = None,
    ci: Annotated[
        float, typer.Option("--interval", metavar="P", help="Probability of the intervals that FILE has.")
    ] = 0.95,
    engine: PrintedEngine = "quadrature",
    slope_on: SlopeOn = None,
    covariance: Covariance = None,
    cluster: Cluster = None,
    correlation: Correlation = None,
    leave_one_out: LeaveOneOut = False,
    out: Out = None,
    seed: Seed = 1,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Pool estimates, also in the classical ways; writes effects.csv, classical_pooling.csv and more."""
    from cbec_bayes.jobs.pooled_terms import columns_asked
    from cbec_bayes.jobs.printed_files import as_file
    from cbec_bayes.jobs.published import ENGINES

    if engine not in ENGINES:
        raise InputError(f"unknown engine '{engine}'; {suggest(engine, ENGINES)}")
    asked: dict[str, Any] = {"model": model, "term": term, "reading": reading, "unit": unit, "ci_prob": ci}
    asked |= {"engine": engine, "seed": seed, "slope_on": columns_asked(slope_on), "cluster": cluster}
    asked |= {"covariance": None if covariance is None else str(covariance), "correlation": correlation}
    asked |= {"leave_one_out": leave_one_out}
    with as_file(file) as place:
        _pool(place, asked, _Told(out=out, as_json=as_json, quiet=quiet, copied=place != file))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """Where `published` writes and what it prints, and whether the estimates came from the standard input."""

    out: Path | None
    as_json: bool
    quiet: bool
    copied: bool


def _pool(file: Path, asked: dict[str, Any], told: _Told) -> None:
    """Pool the estimates of a file, write and print what was found."""
    from cbec_bayes.commands.pooled import pooled_content, pooled_settings
    from cbec_bayes.jobs.fit_settings import model_files
    from cbec_bayes.jobs.pooled_settings import arguments
    from cbec_bayes.jobs.published import FILES, pool_file
    from cbec_bayes.reporting.lines import slopes_as_lines

    def find(executor: Executor, on_progress: OnProgress) -> Found:
        pooled = pool_file(file, **arguments(asked), on_progress=on_progress)
        kept = pooled.tables()
        title = f"Partial pooling of {'the standard input' if told.copied else file.name}: {kept.priors}"
        tables = {
            "effects": pooled.effects,
            "contrasts": pooled.contrasts,
            "classical_pooling": pooled.classical.table,
            "small_studies": pooled.classical.small_studies,
            "diagnostics": pooled.diagnostics,
            **kept.further,
            "notes": list(pooled.notes),
        }
        said = "\n".join([plain_table(slopes_as_lines(pooled.effects), title), *pooled.notes])
        files = {**pooled.files(), **pooled_settings(file, asked, told.out, copied=told.copied)}
        return Found(said=said, tables=tables, files=files, require=pooled.require, results=kept.kept())

    covariance = asked["covariance"]
    request = Request(
        command="published",
        out=told.out,
        quiet=told.quiet,
        as_json=told.as_json,
        names=FILES,
        reads=lambda: [file, *model_files(asked["model"]), *([] if covariance is None else [Path(covariance)])],
        fit=itself,
        n_steps=3,
    )
    deliver(request, find, lambda: pooled_content(file, asked, told.out, copied=told.copied))
