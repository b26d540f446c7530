"""Commands that take a study: `run`, `replicate`, `reconstruct`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cbec_bayes.commands.console import Found, Request, deliver, plain_table
from cbec_bayes.commands.options import (
    MOST_PIECES,
    Fresh,
    Json,
    Out,
    Quiet,
    Scheduler,
    Seed,
    StudyName,
    TlsCa,
    TlsCert,
    TlsKey,
    Workers,
    cluster,
    seed_option,
)
from cbec_bayes.runtime.progress import OnProgress

if TYPE_CHECKING:
    from cbec_bayes.runtime.fanout import Executor


def run(
    study: StudyName = "paper",
    members: Annotated[
        int,
        typer.Option(
            "--ensemble",
            metavar="N",
            min=0,
            max=MOST_PIECES,
            help="Panels of the ensemble of reconstructions; 0: none.",
        ),
    ] = 30,
    out: Out = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    seed: Seed = 1,
    fresh: Fresh = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make the whole report of a study (the main job)."""
    from cbec_bayes.jobs.inputs import manifest
    from cbec_bayes.jobs.run import STEPS, UNFINISHED, run_study
    from cbec_bayes.panel.study import load_study
    from cbec_bayes.reporting.front import answer
    from cbec_bayes.reporting.studypage import STUDY_FILES, study_files

    folder = out or Path("reports")

    def find(executor: Executor, on_progress: OnProgress) -> Found:
        found = run_study(study, folder, seed=seed, members=members, executor=executor, on_progress=on_progress)
        files = study_files(found, on_progress=on_progress)
        sentences = answer(found)
        tables = {"answer": list(sentences), "effects": found.analysis.effects}
        said = "\n\n".join(sentences) + "\n"
        return Found(said=said, tables=tables, files=files, forget=found.journal.remove)

    request = Request(
        command="run",
        out=folder,
        quiet=quiet,
        as_json=as_json,
        fresh=fresh,
        names=STUDY_FILES,
        reads=_read_by(study),
        workers=workers,
        scheduler=cluster(scheduler, tls_ca, tls_cert, tls_key),
        n_steps=len(STEPS),
        keeps="panels of the ensemble",
        journals=[UNFINISHED],
    )
    deliver(request, find, lambda: {**manifest(load_study(study), seed), "members": members})


def replicate(
    study: StudyName = "paper",
    few: Annotated[
        bool,
        typer.Option("--few/--no-few", help="Also the few-cluster methods: CR2, CRV3 and the wild cluster bootstrap."),
    ] = True,
    out: Out = None,
    seed: Annotated[int, seed_option("Seed of the wild cluster bootstrap.")] = 1,
    fresh: Fresh = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compute a study's classical tables beside its printed cells; writes replication.csv, classical.csv, few.csv.

    For a study that names other panels it also writes alternatives.csv, the slope in each, and index_weights.csv.
    """
    from cbec_bayes.jobs.replicate import FILES, content, replicate_study
    from cbec_bayes.replication import match_sentence, shown_tables
    from cbec_bayes.replication.alternatives import alternatives_sentence, shown_alternatives

    def find(executor: Executor, on_progress: OnProgress) -> Found:
        done = replicate_study(study, few=few, seed=seed, on_progress=on_progress)
        found = done.replication
        shown = [plain_table(table, title) for title, table in shown_tables(found)]
        origin = f"Origin: {found.panel.origin}." + (f" {match_sentence(found)}" if found.paper else "")
        if len(done.alternatives):
            title = f"Slope in every panel of the study. {alternatives_sentence(done.alternatives)}"
            shown.append(plain_table(shown_alternatives(done.alternatives), title))
        return Found(said="\n".join([*shown, origin]), tables=done.tables(), files=done.files())

    request = Request(
        command="replicate",
        out=out,
        quiet=quiet,
        as_json=as_json,
        fresh=fresh,
        names=FILES,
        reads=_read_by(study),
    )
    deliver(request, find, lambda: content(study, few=few, seed=seed))


def reconstruct(
    study: StudyName = "paper",
    n: Annotated[
        int | None,
        typer.Option(
            "--n", metavar="N", min=1, max=MOST_PIECES, help="Members of an ensemble. Default: the one central panel."
        ),
    ] = None,
    out: Out = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    seed: Annotated[
        int,
        seed_option("Seed of an ensemble; the central panel has none."),
    ] = 1,
    fresh: Fresh = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Build panels that reproduce the printed numbers; writes the panels, record.csv and summary.csv."""
    from cbec_bayes.jobs.reconstruct import FILES, content, ensemble_files, reconstruct_study, summary_frame
    from cbec_bayes.replication import match_sentence

    def find(executor: Executor, on_progress: OnProgress) -> Found:
        problem, found = reconstruct_study(study, n, seed=seed, executor=executor, on_progress=on_progress)
        lines = [f"Panel {number}: {match_sentence(one.replication)}" for number, one in enumerate(found, 1)]
        lines.append("Origin: reconstructed. Each panel is one of infinitely many that print the same numbers.")
        files = ensemble_files(problem, found)
        return Found(said="\n".join(lines), tables={"panels": summary_frame(found)}, files=files)

    request = Request(
        command="reconstruct",
        out=out,
        quiet=quiet,
        as_json=as_json,
        fresh=fresh,
        names=FILES,
        reads=_read_by(study),
        workers=workers if n else 1,
        scheduler=cluster(scheduler, tls_ca, tls_cert, tls_key),
    )
    deliver(request, find, lambda: content(study, n, seed=seed))


def _read_by(study: str) -> Callable[[], Sequence[Path]]:
    """Return what tells from which files and folders the results of a study are made."""

    def reads() -> Sequence[Path]:
        from cbec_bayes.jobs.inputs import read_by
        from cbec_bayes.panel.study import load_study

        return read_by(load_study(study))

    return reads
