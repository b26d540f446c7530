"""Commands that take what was printed: `audit` and `published`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cbec_bayes.commands.console import Found, Request, deliver, plain_table
from cbec_bayes.commands.options import Json, Out, PrintedEngine, PrintedModel, Quiet, Seed
from cbec_bayes.runtime.errors import InputError, suggest
from cbec_bayes.runtime.progress import OnProgress

if TYPE_CHECKING:
    from cbec_bayes.runtime.fanout import Executor


def audit(
    tables: Annotated[
        Path | None,
        typer.Option(
            "--tables", metavar="DIR", help="Folder of printed tables as CSV (and paper.toml). Default: the paper's."
        ),
    ] = None,
    out: Out = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check a printed table's own arithmetic; writes audit.csv and readings.csv."""
    from cbec_bayes.jobs.audit import FILES, audit_tables, read_by_audit

    def find(executor: Executor, on_progress: OnProgress) -> Found:
        found = audit_tables(tables)
        fails = plain_table(found.failures, "What contradicts the tables") if len(found.failures) else ""
        counts = ", ".join(f"{count} {verdict}" for verdict, count in found.counts.items())
        said = [fails, found.summary, f"Checks: {counts}.", *found.notes]
        return Found(
            said="\n".join(line for line in said if line),
            tables={"audit": found.findings, "readings": found.readings},
            files=found.files(),
        )

    request = Request(
        command="audit",
        out=out,
        quiet=quiet,
        as_json=as_json,
        names=FILES,
        reads=lambda: read_by_audit(tables),
        shows_progress=False,
    )
    deliver(request, find)


def published(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.csv", help="label, estimate, and se, vi, lower and upper, t or p; optionally stars, df."
        ),
    ],
    model: PrintedModel = "published_half_normal",
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
    out: Out = None,
    seed: Seed = 1,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Pool the estimates of a printed table; writes effects.csv, contrasts.csv, sensitivity.csv, diagnostics.json."""
    from cbec_bayes.jobs.fit_settings import model_files
    from cbec_bayes.jobs.published import ENGINES, FILES, pool_file

    if engine not in ENGINES:
        raise InputError(f"unknown engine '{engine}'; {suggest(engine, ENGINES)}")

    def find(executor: Executor, on_progress: OnProgress) -> Found:
        pooled = pool_file(
            file,
            model=model,
            reading=reading,
            unit=unit,
            ci_prob=ci,
            engine=engine,
            seed=seed,
            on_progress=on_progress,
        )
        title = f"Partial pooling of {file.name}: τ ~ {pooled.model.between}, β ~ {pooled.model.slope}"
        tables = {
            "effects": pooled.effects,
            "contrasts": pooled.contrasts,
            "diagnostics": pooled.diagnostics,
            "notes": list(pooled.notes),
        }
        said = "\n".join([plain_table(pooled.shown(), title), *pooled.notes])
        return Found(said=said, tables=tables, files=pooled.files(), require=pooled.require)

    request = Request(
        command="published",
        out=out,
        quiet=quiet,
        as_json=as_json,
        names=FILES,
        reads=lambda: [file, *model_files(model)],
        n_steps=3,
    )
    deliver(request, find)
