"""The command line: thin, and quick to answer; the work is imported when a command runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cbec_bayes.commands.console import Found, deliver, plain_table, progress, resumable, show, spare
from cbec_bayes.runtime.errors import CbecBayesError, InputError, StoppedError
from cbec_bayes.runtime.progress import OnProgress, Progress

app = typer.Typer(
    name="cbec-bayes",
    help="Bayesian hierarchical reanalysis of two-way fixed-effects panels, and of the tables they are published in.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _model_names() -> list[str]:
    from cbec_bayes.bayes.model.family import panel_model_names

    return list(panel_model_names())


def _printed_model_names() -> list[str]:
    from cbec_bayes.published.summary_model import model_names

    return list(model_names())


def _study_names() -> list[str]:
    from cbec_bayes.panel.study import study_names

    return list(study_names())


def _conventions() -> list[str]:
    from cbec_bayes.classical.conventions import CONVENTIONS

    return list(CONVENTIONS)


def _columns(context: typer.Context) -> list[str]:
    """Return the columns of the panel named so far, but of those that are long to read."""
    from csv import reader

    try:
        with Path(context.params["data"]).open(encoding="utf-8-sig", newline="") as file:
            return next(reader(file), [])
    except (KeyError, TypeError, OSError, ValueError):
        return []


Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Folder to write to.")]
Seed = Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Seed of everything that is sampled.")]
FitFolder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Of a fit: what `fit --out FOLDER` wrote.")]
FitSeed = Annotated[
    int | None, typer.Option("--seed", metavar="N", min=0, help="Seed of everything random. Default: the fit's.")
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", metavar="N", help="Processes that share the work. Default: one per processor."),
]
Scheduler = Annotated[
    str | None,
    typer.Option("--scheduler", metavar="ADDRESS", help="Of a Dask scheduler, whose workers do it instead."),
]
StudyName = Annotated[
    str,
    typer.Option(
        "--study", metavar="NAME", help="One of `studies`, or a TOML file of one's own.", autocompletion=_study_names
    ),
]
Controls = Annotated[str, typer.Option("--controls", metavar="A,B", help="Further regressors, separated by commas.")]
Group = Annotated[
    str | None,
    typer.Option("--group", metavar="COLUMN", help="Groups of units whose slopes are pooled.", autocompletion=_columns),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print the results as JSON, and nothing else.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Compute again, even if nothing has changed since.")]


@app.command()
def run(
    study: StudyName = "paper",
    members: Annotated[
        int, typer.Option("--ensemble", metavar="N", min=0, help="Panels of the ensemble of reconstructions; 0: none.")
    ] = 100,
    out: Out = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    seed: Seed = 1,
    fresh: Fresh = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make the whole report of a study (the main job)."""
    from cbec_bayes.jobs.run import make_report, manifest, n_steps
    from cbec_bayes.panel.study import load_study
    from cbec_bayes.reporting.page import answer
    from cbec_bayes.runtime.fanout import open_executor

    folder = out or Path("reports")

    def find() -> Found:
        with resumable(folder, "panels of the ensemble"), progress(n_steps(), quiet) as on_progress:
            with open_executor(workers, scheduler) as executor:
                made = make_report(
                    study, folder, seed=seed, members=members, executor=executor, on_progress=on_progress
                )
            sentences = answer(made.analysis, made.ensemble)
            tables = {"answer": list(sentences), "effects": made.analysis.effects}
            return Found("\n\n".join(sentences) + "\n", tables, made.files, made.journal.remove)

    def depends() -> Mapping[str, Any]:
        return {**manifest(load_study(study), seed), "members": members}

    deliver("run", find, folder, depends, quiet=quiet, as_json=as_json, fresh=fresh)


@app.command()
def audit(
    tables: Annotated[
        Path | None,
        typer.Option(
            "--tables", metavar="DIR", help="Folder of printed tables as CSV (and paper.toml). Default: the paper's."
        ),
    ] = None,
    out: Out = None,
    seed: Seed = 1,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check a printed table's own arithmetic; writes audit.csv and readings.csv."""
    from cbec_bayes.panel.study import load_study
    from cbec_bayes.published.audit import audit as audit_paper
    from cbec_bayes.published.audit import readings_frame
    from cbec_bayes.published.printed import load_paper
    from cbec_bayes.published.readings import Verdict
    from cbec_bayes.replication import observed_rows
    from cbec_bayes.runtime.files import csv_text

    def find() -> Found:
        paper = load_paper(tables)
        observed = observed_rows(load_study("paper"), paper) if tables is None else None
        found = audit_paper(paper, observed)
        frame, readings = found.frame(), readings_frame(paper)
        shown = frame[(frame["verdict"] == "fail") & ~frame["check"].str.startswith(("stars_", "implied"))]
        counts = ", ".join(f"{found.count(verdict)} {verdict}" for verdict in Verdict)
        fails = plain_table(shown[["table", "column", "term", "check", "detail"]], "What fails") if len(shown) else ""
        files = {"audit.csv": csv_text(frame), "readings.csv": csv_text(readings)}
        return Found(f"{fails}\n{len(frame)} findings: {counts}.", {"audit": frame, "readings": readings}, files)

    deliver("audit", find, out, quiet=quiet, as_json=as_json)


@app.command()
def published(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="label, estimate, se; optionally stars, df.")],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            metavar="FILE",
            help="A model's name (see `models`) or TOML file.",
            autocompletion=_printed_model_names,
        ),
    ] = "published_half_normal",
    reading: Annotated[
        str, typer.Option("--reading", metavar="NAME", help="as_printed, coherent or stars.")
    ] = "as_printed",
    unit: Annotated[
        float | None, typer.Option("--unit", metavar="X", help="Unit of slope that the priors are scaled by.")
    ] = None,
    engine: Annotated[str, typer.Option("--engine", metavar="NAME", help="quadrature or pymc.")] = "quadrature",
    out: Out = None,
    seed: Seed = 1,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Pool the estimates of a printed table; writes effects.csv, contrasts.csv, sensitivity.csv, diagnostics.json."""
    from cbec_bayes.jobs.published import ENGINES, pool_file
    from cbec_bayes.runtime.errors import suggest

    if engine not in ENGINES:
        raise InputError(f"unknown engine '{engine}'; {suggest(engine, ENGINES)}")

    def find() -> Found:
        with progress(3, quiet) as on_progress:
            pooled = pool_file(
                file, model=model, reading=reading, unit=unit, engine=engine, seed=seed, on_progress=on_progress
            )
        title = f"Partial pooling of {file.name}: τ ~ {pooled.model.between}, β ~ {pooled.model.slope}"
        tables = {
            "effects": pooled.effects,
            "contrasts": pooled.contrasts,
            "diagnostics": pooled.diagnostics,
            "notes": list(pooled.notes),
        }
        said = "\n".join([plain_table(pooled.shown(), title), *pooled.notes])
        return Found(said, tables, pooled.files(), pooled.require)

    deliver("published", find, out, reads=[file], quiet=quiet, as_json=as_json)


@app.command()
def fit(
    data: Annotated[
        Path | None, typer.Option("--data", metavar="FILE", help="The panel: .csv, .parquet, .xlsx or .dta.")
    ] = None,
    outcome: Annotated[
        str | None, typer.Option("--outcome", metavar="COLUMN", help="What is explained.", autocompletion=_columns)
    ] = None,
    exposure: Annotated[
        str | None,
        typer.Option("--exposure", metavar="COLUMN", help="The regressor of interest.", autocompletion=_columns),
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option("--unit", metavar="COLUMN", help="Province, firm, person ...", autocompletion=_columns),
    ] = None,
    time: Annotated[
        str | None,
        typer.Option("--time", metavar="COLUMN", help="Year or other numeric period.", autocompletion=_columns),
    ] = None,
    controls: Controls = "",
    group: Group = None,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            metavar="NAME",
            help="A model's name (see `models`) or TOML file.",
            autocompletion=_model_names,
        ),
    ] = "partial_pooling",
    engine: Annotated[str, typer.Option("--engine", metavar="NAME", help="auto, collapsed or pymc.")] = "auto",
    convention: Annotated[
        str,
        typer.Option(
            "--convention",
            metavar="NAME",
            help="Of the clustered standard errors beside.",
            autocompletion=_conventions,
        ),
    ] = "reghdfe",
    moments: Annotated[
        Path | None,
        typer.Option("--moments", metavar="FILE", help="What `moments` wrote, in the place of the panel."),
    ] = None,
    out: Out = None,
    seed: Seed = 1,
    fresh: Fresh = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Fit a hierarchical model to a panel; writes effects.csv, classical.csv, posterior.nc, diagnostics.json."""
    from cbec_bayes.bayes.model.family import load_panel_model
    from cbec_bayes.jobs.fit import FittedPanel, content, fit_file, fit_moments_file, settings_of
    from cbec_bayes.runtime.receipts import content_digest

    named = {"--data": data, "--outcome": outcome, "--exposure": exposure, "--unit": unit, "--time": time}
    _one_panel(named, {"--controls": controls or None, "--group": group}, moments)
    asked: dict[str, Any] = {
        "outcome": outcome,
        "exposure": exposure,
        "controls": _names(controls),
        "unit": unit,
        "time": time,
        "group": group,
        "model": model,
        "engine": engine,
        "ssc": convention,
        "seed": seed,
    }

    def fitted(on_progress: OnProgress) -> FittedPanel:
        if moments is not None:
            return fit_moments_file(moments, model=model, seed=seed, on_progress=on_progress)
        return fit_file(Path(str(data)), **asked, on_progress=on_progress)

    def find() -> Found:
        with progress(3, quiet) as on_progress:
            found = fitted(on_progress)
        table = plain_table(found.shown(), f"{found.fit.model.name}: {found.fit.model.question}")
        tables = {"effects": found.effects, "diagnostics": found.diagnostics(), "notes": list(found.notes)}
        files = found.files() if out is not None else {}
        return Found("\n".join([table, *found.notes]), tables, files, found.fit.diagnostics.require)

    def depends() -> Mapping[str, Any]:
        if moments is None:
            return content(settings_of(Path(str(data)), **asked))
        held = content_digest(moments.read_bytes()) if moments.is_file() else ""
        return {"moments": held, "model": repr(load_panel_model(model)), "seed": seed}

    deliver("fit", find, out, depends, reads=[data, moments], quiet=quiet, as_json=as_json, fresh=fresh)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _one_panel(needed: Mapping[str, object], more: Mapping[str, object], moments: Path | None) -> None:
    """Raise unless there is a panel with its columns, or moments, which have their columns named."""
    if moments is None:
        missing = [name for name, value in needed.items() if value is None]
        if missing:
            raise InputError(f"missing option {', '.join(missing)}; or give --moments")
        return
    given = [name for name, value in {**needed, **more}.items() if value is not None]
    if given:
        raise InputError(f"moments have their columns already: leave out {', '.join(given)}")


@app.command()
def moments(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="A Parquet file or folder of them, read in batches; or any panel.")
    ],
    file: Annotated[Path, typer.Option("--out", metavar="FILE", help="File to write, by custom with the ending .nc.")],
    outcome: Annotated[str, typer.Option("--outcome", metavar="COLUMN", help="What is explained.")],
    exposure: Annotated[str, typer.Option("--exposure", metavar="COLUMN", help="The regressor of interest.")],
    unit: Annotated[str, typer.Option("--unit", metavar="COLUMN", help="Province, firm, person ...")],
    time: Annotated[str, typer.Option("--time", metavar="COLUMN", help="Year or other numeric period.")],
    controls: Controls = "",
    group: Group = None,
    least: Annotated[
        int, typer.Option("--min-units", metavar="N", min=1, help="Units that a cell needs, or nothing is written.")
    ] = 3,
    disclose: Annotated[bool, typer.Option("--disclose", help="Write them whatever they disclose.")] = False,
    between: Annotated[
        bool, typer.Option("--between/--no-between", help="Also what random unit effects need, by size of unit.")
    ] = True,
    workers: Workers = 1,
    scheduler: Scheduler = None,
    seed: Seed = 1,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Gather a panel's moments in one pass, to be fitted or shared without a row of it; writes one file."""
    from dataclasses import replace

    from cbec_bayes.jobs.moments import gather, moments_bytes, shareable
    from cbec_bayes.panel import Roles
    from cbec_bayes.runtime.fanout import open_executor
    from cbec_bayes.runtime.files import write_files

    roles = Roles(
        outcome=outcome, exposure=exposure, controls=tuple(_names(controls)), unit=unit, time=time, group=group
    )
    spare(file.parent, [file.name], [data, *(data.rglob("*") if data.is_dir() else ())])
    with progress(None, quiet) as on_progress, open_executor(workers, scheduler) as executor:
        found = gather(data, roles, executor=executor, on_progress=on_progress)
    found = found if between else replace(found, between=None)
    if not disclose:
        shareable(found, least)
    write_files(file.parent, {file.name: moments_bytes(found)})
    counts = {
        "rows": found.n_obs,
        "units": int(found.group_units.sum()),
        "periods": len(found.times),
        "groups": list(found.groups),
        "dropped": found.dropped,
        "between": found.between is not None,
        "origin": str(found.origin),
    }
    said = str(found)[0].upper() + str(found)[1:] + "."
    show(said, {"moments": counts}, file.parent, [file.name], quiet=quiet, as_json=as_json)


def _of_folder(folder: Path, seed: int | None) -> Callable[[], Mapping[str, Any]]:
    """Return what the results of a fit's folder depend on."""

    def depends() -> Mapping[str, Any]:
        from cbec_bayes.jobs.fit import content, read_settings

        held = read_settings(folder)
        return content(held if seed is None else {**held, "seed": seed})

    return depends


@app.command()
def check(
    folder: FitFolder,
    out: Out = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    seed: FitSeed = None,
    fresh: Fresh = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Try a fit: predictive checks, prior sensitivity, leave-one-out; writes checks.csv and a table per check."""
    from cbec_bayes.checks import checks_frame
    from cbec_bayes.jobs.folder import check_folder
    from cbec_bayes.reporting.checkfigures import check_files
    from cbec_bayes.runtime.fanout import open_executor

    def find() -> Found:
        with progress(None, quiet) as on_progress, open_executor(workers, scheduler) as executor:
            found = check_folder(folder, seed=seed, executor=executor, on_progress=on_progress)
        frame = checks_frame(found.results)
        lines = [f"{row['check']}: {row['passed']}. {row['text']}" for row in frame.to_dict("records")]
        files = {**found.files(), **check_files(found.results, found.exposure)}
        return Found("\n".join([f"Checks of {found.model}", "", *lines]), {"checks": frame}, files)

    deliver("check", find, out or folder, _of_folder(folder, seed), quiet=quiet, as_json=as_json, fresh=fresh)


@app.command()
def compare(
    folder: FitFolder,
    out: Out = None,
    seed: FitSeed = None,
    fresh: Fresh = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Set a fit beside its two limits and the classical regressions; writes compare.csv."""
    from cbec_bayes.jobs.folder import compare_folder
    from cbec_bayes.reporting.comparison import compare_table
    from cbec_bayes.runtime.files import csv_text

    def find() -> Found:
        with progress(None, quiet) as on_progress:
            found = compare_folder(folder, seed=seed, on_progress=on_progress)
        table = compare_table("compare", found)
        return Found(plain_table(table.frame(), table.caption), {"compare": found}, {"compare.csv": csv_text(found)})

    deliver("compare", find, out or folder, _of_folder(folder, seed), quiet=quiet, as_json=as_json, fresh=fresh)


@app.command()
def report(
    folder: FitFolder,
    out: Out = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    seed: FitSeed = None,
    fresh: Fresh = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make the report of a fit: effects, comparison and checks on one page; writes report.html and its parts."""
    from cbec_bayes.checks import checks_frame
    from cbec_bayes.jobs.folder import report_folder
    from cbec_bayes.reporting.panelpage import panel_answer, render_panel
    from cbec_bayes.runtime.fanout import open_executor

    def find() -> Found:
        with progress(None, quiet) as on_progress:
            with open_executor(workers, scheduler) as executor:
                found = report_folder(folder, seed=seed, executor=executor, on_progress=on_progress)
            on_progress(Progress("the page"))
            files = render_panel(found)
        sentences = panel_answer(found)
        tables = {
            "answer": list(sentences),
            "effects": found.fitted.effects,
            "compare": found.compared,
            "checks": checks_frame(found.checks.results),
        }
        return Found("\n\n".join(sentences) + "\n", tables, files)

    deliver("report", find, out or folder, _of_folder(folder, seed), quiet=quiet, as_json=as_json, fresh=fresh)


@app.command()
def calibrate(
    n: Annotated[
        int, typer.Option("--n", metavar="N", min=1, help="Replications of each model; a fifth where PyMC samples.")
    ] = 1_000,
    out: Out = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    seed: Seed = 1,
    fresh: Fresh = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Calibrate every model on simulated data, and measure who covers; writes sbc.csv, sbc_ranks.csv, coverage.csv."""
    from cbec_bayes.calibration.sbc import verdicts
    from cbec_bayes.jobs.calibrate import calibrate_all, digests, forget
    from cbec_bayes.reporting.calibration import calibration_figures
    from cbec_bayes.runtime.fanout import open_executor

    def find() -> Found:
        kept = resumable(out, "replications")
        with kept, progress(None, quiet) as on_progress, open_executor(workers, scheduler) as executor:
            found = calibrate_all(executor, n=n, seed=seed, kept_in=out, on_progress=on_progress)
        frame = verdicts(found.results)
        lines = []
        for (model, data_of), part in frame.groupby(["model", "data_of"], sort=False):
            name = model if model == data_of else f"{model}, wrong on purpose: data of {data_of}"
            missed = part.loc[part["passed"] == "no", "quantity"]
            said = "uniform" if missed.empty else f"not uniform: {', '.join(missed)}"
            lines.append(f"{name}: {part['replications'].iloc[0]} replications, ranks {said}")
        few = found.coverage[found.coverage["n_clusters"] == 3]
        shown = few.pivot_table(index="method", columns="scenario", values="coverage", sort=False)
        text = shown.map("{:.2f}".format).reset_index()
        title = "Coverage of 95 % intervals for the slope of the group with 3 units. Origin: simulated."
        figures = {f"{name}.svg": svg for name, svg in calibration_figures(found.shown()).items()}

        def require() -> None:
            if out is not None:
                forget(out)
            found.require()

        tables = {"sbc": frame, "coverage": found.coverage}
        return Found("\n".join([*lines, "", plain_table(text, title)]), tables, {**found.files(), **figures}, require)

    def depends() -> Mapping[str, Any]:
        return {"n": n, "seed": seed, **digests()}

    deliver("calibrate", find, out, depends, quiet=quiet, as_json=as_json, fresh=fresh)


@app.command()
def replicate(
    study: StudyName = "paper",
    few: Annotated[
        bool,
        typer.Option("--few/--no-few", help="Also the few-cluster methods: CR2, CRV3 and the wild cluster bootstrap."),
    ] = True,
    out: Out = None,
    seed: Seed = 1,
    fresh: Fresh = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compute a study's classical tables beside its printed cells; writes replication.csv, classical.csv, few.csv."""
    from cbec_bayes.jobs.run import input_hashes
    from cbec_bayes.panel.study import load_study
    from cbec_bayes.replication import match_sentence, shown_tables
    from cbec_bayes.replication import replicate as replicate_study
    from cbec_bayes.runtime.files import csv_text

    def find() -> Found:
        with progress(None, quiet) as on_progress:
            on_progress(Progress("regressions, jackknife and bootstrap" if few else "regressions"))
            found = replicate_study(load_study(study), few=few, seed=seed, on_progress=on_progress)
        shown = [plain_table(table, title) for title, table in shown_tables(found)]
        origin = f"Origin: {found.panel.origin}." + (f" {match_sentence(found)}" if found.paper else "")
        tables = {"replication": found.frame(), "classical": found.classical()}
        if few:
            tables["few"] = found.few_frame()
        files = {f"{name}.csv": csv_text(table) for name, table in tables.items()}
        return Found("\n".join([*shown, origin]), tables, files)

    def depends() -> Mapping[str, Any]:
        return {"inputs": input_hashes(load_study(study)), "few": few, "seed": seed}

    deliver("replicate", find, out, depends, quiet=quiet, as_json=as_json, fresh=fresh)


@app.command()
def reconstruct(
    study: StudyName = "paper",
    n: Annotated[
        int | None,
        typer.Option("--n", metavar="N", min=1, help="Members of an ensemble. Default: the one central panel."),
    ] = None,
    out: Out = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    seed: Seed = 1,
    fresh: Fresh = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Build panels that reproduce the printed numbers; writes the panels, record.csv and summary.csv."""
    from cbec_bayes.jobs.reconstruct import ensemble, ensemble_files, load_problem, summary_frame
    from cbec_bayes.jobs.reconstruct import reconstruct as reconstruct_one
    from cbec_bayes.jobs.run import input_hashes
    from cbec_bayes.panel.study import load_study
    from cbec_bayes.replication import match_sentence
    from cbec_bayes.runtime.fanout import open_executor

    def find() -> Found:
        problem = load_problem(load_study(study))
        with progress(None, quiet) as on_progress, open_executor(workers if n else 1, scheduler) as executor:
            if n is None:
                on_progress(Progress("the panel closest to what is observed"))
                found = [reconstruct_one(problem)]
            else:
                found = ensemble(problem, n, seed, executor=executor, on_progress=on_progress)
        lines = [f"Panel {number}: {match_sentence(one.replication)}" for number, one in enumerate(found, 1)]
        lines.append("Origin: reconstructed. Each panel is one of infinitely many that print the same numbers.")
        return Found("\n".join(lines), {"panels": summary_frame(found)}, ensemble_files(problem, found))

    def depends() -> Mapping[str, Any]:
        return {"inputs": input_hashes(load_study(study)), "n": n, "seed": seed}

    deliver("reconstruct", find, out, depends, quiet=quiet, as_json=as_json, fresh=fresh)


def _list(command: str, lines: dict[str, str], out: Path | None, *, quiet: bool, as_json: bool) -> None:
    """Print names with one line each, and write them as COMMAND.csv where asked."""
    import pandas as pd

    from cbec_bayes.runtime.files import csv_text

    frame = pd.DataFrame({"name": list(lines), "line": list(lines.values())})
    said = "\n".join(f"{key:24} {line}" for key, line in lines.items())
    found = Found(said, {command: frame}, {f"{command}.csv": csv_text(frame)})
    deliver(command, lambda: found, out, quiet=quiet, as_json=as_json)


@app.command()
def models(out: Out = None, seed: Seed = 1, as_json: Json = False, quiet: Quiet = False) -> None:
    """List the models, with the question each answers."""
    from cbec_bayes.bayes.model.family import load_panel_model, panel_model_names
    from cbec_bayes.published.summary_model import load_summary_model, model_names

    panels = {name: load_panel_model(name).question for name in panel_model_names()}
    printed = {name: load_summary_model(name).question for name in model_names()}
    _list("models", panels | printed, out, quiet=quiet, as_json=as_json)


@app.command()
def studies(out: Out = None, seed: Seed = 1, as_json: Json = False, quiet: Quiet = False) -> None:
    """List the studies."""
    from cbec_bayes.panel.study import load_study, study_names

    lines = {name: load_study(name).title for name in study_names()}
    _list("studies", lines, out, quiet=quiet, as_json=as_json)


@app.callback(invoke_without_command=True)
def _main(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        from importlib.metadata import version as package_version

        typer.echo(package_version("cbec_bayes"))
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: list[str] | None = None) -> None:
    """Run the program: exit status 0 done, 1 a gate of ours failed, 2 bad input (one line, no traceback)."""
    try:
        status: Any = app(args=arguments, standalone_mode=False)
    except StoppedError as stopped:
        typer.echo(f"interrupted: nothing was left half-written; {stopped}", err=True)
        status = stopped.exit_status
    except CbecBayesError as error:
        typer.echo(f"error: {error}", err=True)
        status = error.exit_status
    except (KeyboardInterrupt, typer.Abort):
        status = StoppedError.exit_status
    except BrokenPipeError:  # whoever read the output has had enough of it
        sys.stdout = None  # or Python would try to flush it
        status = 0
    except OSError as error:  # a full disk, say, where a temporary file was
        place = f"{error.filename}: " if error.filename else ""
        typer.echo(f"error: {place}{error.strerror or ' '.join(str(error).split())}", err=True)
        status = InputError.exit_status
        try:
            sys.stdout.flush()
        except OSError:  # it was the output that found no room: Python would try again, and say so
            sys.stdout = None
    except MemoryError as error:
        typer.echo(f"error: not enough memory{f' ({error})' if str(error) else ''}", err=True)
        status = InputError.exit_status
    except Exception as error:
        # The usage errors of the command-line library: their class is private to it, their message is not.
        if not hasattr(error, "format_message"):
            raise
        typer.echo(f"error: {error.format_message()}", err=True)
        status = 2
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
