"""The command line: thin, and quick to answer; the work is imported when a command runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cbec_bayes.errors import CbecBayesError, InputError

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(
    name="cbec-bayes",
    help="Bayesian hierarchical reanalysis of two-way fixed-effects panels, and of the tables they are published in.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

INTERRUPTED = 130

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
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]


@contextmanager
def _progress(n_steps: int | None, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Show which step runs and for how long, on a terminal only; without a number of steps, only which."""
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=n_steps)
        done = -1

        def step(name: str) -> None:
            nonlocal done
            done += 1
            bar.update(task, description=name, completed=done)

        yield step


def _print_table(frame: pd.DataFrame, title: str) -> None:
    """Print a frame of texts as a plain table."""
    from tabulate import tabulate

    typer.echo(f"{title}\n")
    typer.echo(
        tabulate(frame.to_numpy().tolist(), headers=list(frame.columns), tablefmt="simple", disable_numparse=True)
    )
    typer.echo("")


def _say_written(paths: list[Path], quiet: bool) -> None:
    if not quiet and paths:
        typer.echo("Written: " + ", ".join(str(path) for path in paths))


@app.command()
def run(
    study: Annotated[str, typer.Option("--study", metavar="NAME", help="Which study; see `studies`.")] = "paper",
    members: Annotated[
        int, typer.Option("--ensemble", metavar="N", min=0, help="Panels of the ensemble of reconstructions; 0: none.")
    ] = 100,
    out: Out = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    seed: Seed = 1,
    quiet: Quiet = False,
) -> None:
    """Make the whole report of a study (the main job)."""
    from cbec_bayes.fanout import executor
    from cbec_bayes.report.page import answer
    from cbec_bayes.run import n_steps
    from cbec_bayes.run import run as run_study

    with _progress(n_steps(members), quiet) as step, executor(workers, scheduler) as run_by:
        analysis, paths = run_study(study, out or Path("reports"), seed=seed, members=members, run_by=run_by, step=step)
    if not quiet:
        typer.echo("\n\n".join(answer(analysis)) + "\n")
        typer.echo(f"Written: {paths[0]} and {len(paths) - 1} files beside it")


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
    quiet: Quiet = False,
) -> None:
    """Check a printed table's own arithmetic; writes audit.csv and readings.csv."""
    from cbec_bayes.files import csv_text, write_files
    from cbec_bayes.published.audit import audit as audit_paper
    from cbec_bayes.published.audit import readings_frame
    from cbec_bayes.published.printed import load_paper
    from cbec_bayes.published.readings import Verdict
    from cbec_bayes.replication import observed_rows
    from cbec_bayes.spec import load_study

    paper = load_paper(tables)
    observed = observed_rows(load_study("paper"), paper) if tables is None else None
    found = audit_paper(paper, observed)
    frame = found.frame()
    if not quiet:
        shown = frame[(frame["verdict"] == "fail") & ~frame["check"].str.startswith(("stars_", "implied"))]
        counts = ", ".join(f"{found.count(verdict)} {verdict}" for verdict in Verdict)
        if len(shown):
            _print_table(shown[["table", "column", "term", "check", "detail"]], "What fails")
        typer.echo(f"{len(frame)} findings: {counts}.")
    if out is not None:
        files = {
            "audit.csv": csv_text(frame),
            "readings.csv": csv_text(readings_frame(paper)),
        }
        _say_written(write_files(out, files), quiet)


@app.command()
def published(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="label, estimate, se; optionally stars, df.")],
    model: Annotated[
        str, typer.Option("--model", metavar="FILE", help="A model's name (see `models`) or TOML file.")
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
    quiet: Quiet = False,
) -> None:
    """Pool the estimates of a printed table; writes effects.csv, contrasts.csv, sensitivity.csv, diagnostics.json."""
    from cbec_bayes.files import write_files
    from cbec_bayes.published.job import ENGINES, pool_file
    from cbec_bayes.spec import suggest

    if engine not in ENGINES:
        raise InputError(f"unknown engine '{engine}'; {suggest(engine, ENGINES)}")
    with _progress(3, quiet) as step:
        pooled = pool_file(file, model=model, reading=reading, unit=unit, engine=engine, seed=seed, step=step)
    if not quiet:
        _print_table(
            pooled.shown(), f"Partial pooling of {file.name}: τ ~ {pooled.model.between}, β ~ {pooled.model.slope}"
        )
        for note in pooled.notes:
            typer.echo(note)
    if out is not None:
        _say_written(write_files(out, pooled.files()), quiet)
    pooled.require()


@app.command()
def fit(
    data: Annotated[Path, typer.Option("--data", metavar="FILE", help="The panel: .csv, .parquet, .xlsx or .dta.")],
    outcome: Annotated[str, typer.Option("--outcome", metavar="COLUMN", help="What is explained.")],
    exposure: Annotated[str, typer.Option("--exposure", metavar="COLUMN", help="The regressor of interest.")],
    unit: Annotated[str, typer.Option("--unit", metavar="COLUMN", help="Province, firm, person ...")],
    time: Annotated[str, typer.Option("--time", metavar="COLUMN", help="Year or other numeric period.")],
    controls: Annotated[
        str, typer.Option("--controls", metavar="A,B", help="Further regressors, separated by commas.")
    ] = "",
    group: Annotated[
        str | None, typer.Option("--group", metavar="COLUMN", help="Groups of units whose slopes are pooled.")
    ] = None,
    model: Annotated[
        str, typer.Option("--model", metavar="NAME", help="A model's name (see `models`) or TOML file.")
    ] = "partial_pooling",
    engine: Annotated[str, typer.Option("--engine", metavar="NAME", help="auto, collapsed or pymc.")] = "auto",
    convention: Annotated[
        str, typer.Option("--convention", metavar="NAME", help="Of the clustered standard errors beside.")
    ] = "reghdfe",
    out: Out = None,
    seed: Seed = 1,
    quiet: Quiet = False,
) -> None:
    """Fit a hierarchical model to a panel; writes effects.csv, classical.csv, posterior.nc, diagnostics.json."""
    from cbec_bayes.files import write_files
    from cbec_bayes.panelfit import fit_file

    with _progress(3, quiet) as step:
        found = fit_file(
            data,
            outcome=outcome,
            exposure=exposure,
            controls=[name.strip() for name in controls.split(",") if name.strip()],
            unit=unit,
            time=time,
            group=group,
            model=model,
            engine=engine,
            how=convention,
            seed=seed,
            step=step,
        )
    if not quiet:
        _print_table(found.shown(), f"{found.fit.model.name}: {found.fit.model.answers}")
        for note in found.notes:
            typer.echo(note)
    if out is not None:
        _say_written(write_files(out, found.files()), quiet)
    found.fit.diagnostics.require()


@app.command()
def check(
    folder: FitFolder,
    out: Out = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    seed: FitSeed = None,
    quiet: Quiet = False,
) -> None:
    """Try a fit: predictive checks, prior sensitivity, leave-one-out; writes checks.csv and a table per check."""
    from cbec_bayes.checks import checks_frame
    from cbec_bayes.fanout import executor
    from cbec_bayes.files import write_files
    from cbec_bayes.folderjobs import check_folder
    from cbec_bayes.report.checkfigures import draw
    from cbec_bayes.report.checks import TITLES

    with _progress(None, quiet) as step, executor(workers, scheduler) as run_by:
        found = check_folder(folder, seed=seed, run_by=run_by, step=step)
    if not quiet:
        frame = checks_frame(found.results)
        typer.echo(f"Checks of {found.model}\n")
        for row in frame.to_dict("records"):
            typer.echo(f"{row['check']}: {row['passed']}. {row['text']}")
    drawn = {f"check_{r.name}.svg": draw(r, TITLES.get(r.name, r.name), found.exposure) for r in found.results}
    figures = {name: svg for name, svg in drawn.items() if svg is not None}
    _say_written(write_files(out or folder, {**found.files(), **figures}), quiet)


@app.command()
def compare(
    folder: FitFolder,
    out: Out = None,
    seed: FitSeed = None,
    quiet: Quiet = False,
) -> None:
    """Set a fit beside its two limits and the classical regressions; writes compare.csv."""
    from cbec_bayes.files import csv_text, write_files
    from cbec_bayes.folderjobs import compare_folder
    from cbec_bayes.report.comparison import compare_table

    with _progress(4, quiet) as step:
        found = compare_folder(folder, seed=seed, step=step)
    if not quiet:
        table = compare_table("compare", found)
        _print_table(table.frame(), table.caption)
    _say_written(write_files(out or folder, {"compare.csv": csv_text(found)}), quiet)


@app.command()
def report(
    folder: FitFolder,
    out: Out = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    seed: FitSeed = None,
    quiet: Quiet = False,
) -> None:
    """Make the report of a fit: effects, comparison and checks on one page; writes report.html and its parts."""
    from cbec_bayes.fanout import executor
    from cbec_bayes.files import write_files
    from cbec_bayes.folderjobs import report_folder
    from cbec_bayes.report.panelpage import decimals, panel_answer, render_panel

    with _progress(None, quiet) as step, executor(workers, scheduler) as run_by:
        found = report_folder(folder, seed=seed, run_by=run_by, step=step)
        step("the page")
        files = render_panel(found)
    if not quiet:
        typer.echo("\n\n".join(panel_answer(found, decimals(found.fitted.effects))) + "\n")
    paths = write_files(out or folder, files)
    if not quiet:
        typer.echo(f"Written: {paths[0]} and {len(paths) - 1} files beside it")


@app.command()
def calibrate(
    n: Annotated[
        int, typer.Option("--n", metavar="N", min=1, help="Replications of each model; a fifth where PyMC samples.")
    ] = 1_000,
    out: Out = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    seed: Seed = 1,
    quiet: Quiet = False,
) -> None:
    """Calibrate every model on simulated data, and measure who covers; writes sbc.csv, sbc_ranks.csv, coverage.csv."""
    from cbec_bayes.calibration.job import calibrate_all, forget, n_pieces
    from cbec_bayes.calibration.sbc import verdicts
    from cbec_bayes.fanout import executor
    from cbec_bayes.files import write_files
    from cbec_bayes.report.calibration import calibration_figures

    with _progress(n_pieces(n), quiet) as step, executor(workers, scheduler) as run_by:
        found = calibrate_all(run_by, n=n, seed=seed, kept_in=out, step=step)
    if not quiet:
        frame = verdicts(found.results)
        for (model, data_of), part in frame.groupby(["model", "data_of"], sort=False):
            name = model if model == data_of else f"{model}, wrong on purpose: data of {data_of}"
            missed = part.loc[part["passed"] == "no", "quantity"]
            said = "uniform" if missed.empty else f"not uniform: {', '.join(missed)}"
            typer.echo(f"{name}: {part['replications'].iloc[0]} replications, ranks {said}")
        few = found.coverage[found.coverage["n_clusters"] == 3]
        shown = few.pivot_table(index="method", columns="scenario", values="coverage", sort=False)
        text = shown.map("{:.2f}".format).reset_index()
        typer.echo("")
        _print_table(text, "Coverage of 95 % intervals for the slope of the group with 3 units. Origin: simulated.")
    if out is not None:
        figures = {f"{name}.svg": svg for name, svg in calibration_figures(found.shown()).items()}
        _say_written(write_files(out, {**found.files(), **figures}), quiet)
        forget(out)
    found.require()


@app.command()
def replicate(
    study: Annotated[str, typer.Option("--study", metavar="NAME", help="Which study; see `studies`.")] = "paper",
    few: Annotated[
        bool,
        typer.Option("--few/--no-few", help="Also the few-cluster methods: CR2, CRV3 and the wild cluster bootstrap."),
    ] = True,
    out: Out = None,
    seed: Seed = 1,
    quiet: Quiet = False,
) -> None:
    """Compute a study's classical tables beside its printed cells; writes replication.csv, classical.csv, few.csv."""
    from cbec_bayes.files import csv_text, write_files
    from cbec_bayes.replication import match_sentence, shown_tables
    from cbec_bayes.replication import replicate as replicate_study
    from cbec_bayes.spec import load_study

    with _progress(1, quiet) as step:
        step("regressions, jackknife and bootstrap" if few else "regressions")
        found = replicate_study(load_study(study), few=few, seed=seed)
    if not quiet:
        for title, table in shown_tables(found):
            _print_table(table, title)
        typer.echo(f"Origin: {found.panel.origin}." + (f" {match_sentence(found)}" if found.paper else ""))
    if out is not None:
        files = {"replication.csv": csv_text(found.frame()), "classical.csv": csv_text(found.classical())}
        if few:
            files["few.csv"] = csv_text(found.few_frame())
        _say_written(write_files(out, files), quiet)


@app.command()
def reconstruct(
    study: Annotated[str, typer.Option("--study", metavar="NAME", help="Which study; see `studies`.")] = "paper",
    n: Annotated[
        int | None,
        typer.Option("--n", metavar="N", min=1, help="Members of an ensemble. Default: the one central panel."),
    ] = None,
    out: Out = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    seed: Seed = 1,
    quiet: Quiet = False,
) -> None:
    """Build panels that reproduce the printed numbers; writes the panels, record.csv and summary.csv."""
    from cbec_bayes.fanout import executor
    from cbec_bayes.files import write_files
    from cbec_bayes.reconstruction.job import ensemble, ensemble_files, load_problem
    from cbec_bayes.reconstruction.job import reconstruct as reconstruct_one
    from cbec_bayes.replication import match_sentence
    from cbec_bayes.spec import load_study

    problem = load_problem(load_study(study))
    with _progress(n or 1, quiet) as step, executor(workers if n else 1, scheduler) as run_by:
        if n is None:
            step("the panel closest to what is observed")
            found = [reconstruct_one(problem)]
        else:
            found = ensemble(problem, n, seed, run_by=run_by, step=step)
    if not quiet:
        for number, one in enumerate(found, 1):
            typer.echo(f"Panel {number}: {match_sentence(one.replication)}")
        typer.echo("Origin: reconstructed. Each panel is one of infinitely many that print the same numbers.")
    if out is not None:
        _say_written(write_files(out, ensemble_files(problem, found)), quiet)


def _list(name: str, lines: dict[str, str], out: Path | None, quiet: bool) -> None:
    """Print names with one line each, and write them as NAME.csv where asked."""
    import pandas as pd

    from cbec_bayes.files import csv_text, write_files

    if not quiet:
        for key, line in lines.items():
            typer.echo(f"{key:24} {line}")
    if out is not None:
        frame = pd.DataFrame({"name": list(lines), "line": list(lines.values())})
        _say_written(write_files(out, {f"{name}.csv": csv_text(frame)}), quiet)


@app.command()
def models(out: Out = None, seed: Seed = 1, quiet: Quiet = False) -> None:
    """List the models, with the question each answers."""
    from cbec_bayes.family import load_panel_model, panel_model_names
    from cbec_bayes.spec import load_summary_model, model_names

    panels = {name: load_panel_model(name).answers for name in panel_model_names()}
    printed = {name: load_summary_model(name).answers for name in model_names()}
    _list("models", panels | printed, out, quiet)


@app.command()
def studies(out: Out = None, seed: Seed = 1, quiet: Quiet = False) -> None:
    """List the studies."""
    from cbec_bayes.spec import load_study, study_names

    _list("studies", {name: load_study(name).title for name in study_names()}, out, quiet)


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
    except CbecBayesError as error:
        typer.echo(f"error: {error}", err=True)
        status = error.exit_status
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except Exception as error:
        # The usage errors of the command-line library: their class is private to it, their message is not.
        if not hasattr(error, "format_message"):
            raise
        typer.echo(f"error: {error.format_message()}", err=True)
        status = 2
    if status == INTERRUPTED:
        typer.echo("interrupted: nothing was left half-written; run the same command again to start over", err=True)
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
