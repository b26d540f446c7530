"""The command `calibrate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
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
    TlsCa,
    TlsCert,
    TlsKey,
    Workers,
    cluster,
)
from cbec_bayes.runtime.progress import OnProgress

if TYPE_CHECKING:
    from cbec_bayes.calibration.sbc import Calibration
    from cbec_bayes.jobs.calibrate import Calibrated
    from cbec_bayes.runtime.fanout import Executor


def calibrate(
    n: Annotated[
        int,
        typer.Option(
            "--n",
            metavar="N",
            min=1,
            max=MOST_PIECES,
            help="Replications of each model; a fifth where PyMC samples.",
        ),
    ] = 1_000,
    outcomes: Annotated[
        int | None,
        typer.Option(
            "--outcomes",
            metavar="N",
            min=1,
            max=MOST_PIECES,
            help="Outcomes of each scenario in which coverage is measured. Default: half of --n.",
        ),
    ] = None,
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
    """Calibrate every model on simulated data, and measure who covers; of slopes and of effects of adoption."""
    from cbec_bayes.jobs.calibrate import FILES, JOURNALS, calibrate_all, digests, forget
    from cbec_bayes.reporting.calibration import FIGURES
    from cbec_bayes.runtime.files import asset_dir

    def find(executor: Executor, on_progress: OnProgress) -> Found:
        found = calibrate_all(executor, n=n, outcomes=outcomes, seed=seed, kept_in=out, on_progress=on_progress)

        return replace(_found_of_calibration(found), forget=lambda: None if out is None else forget(out))

    request = Request(
        command="calibrate",
        out=out,
        quiet=quiet,
        as_json=as_json,
        fresh=fresh,
        names=(*FILES, *(f"{name}.svg" for name in FIGURES)),
        reads=lambda: [asset_dir("models")],
        journals=JOURNALS,
        workers=workers,
        scheduler=cluster(scheduler, tls_ca, tls_cert, tls_key),
        keeps="replications",
    )
    deliver(request, find, lambda: {"n": n, "outcomes": outcomes, "seed": seed, **digests()})


def _found_of_calibration(found: Calibrated) -> Found:
    from cbec_bayes.calibration.sbc import verdicts
    from cbec_bayes.reporting.calibration import calibration_figures

    frame = verdicts(found.results)
    few = found.coverage[found.coverage["n_clusters"] == 3]
    shown = few.pivot_table(index="method", columns="scenario", values="coverage", sort=False)
    text = shown.map("{:.2f}".format).reset_index()
    title = "Coverage of 95 % intervals for the slope of the group with 3 units. Origin: simulated."
    figures = {f"{name}.svg": svg for name, svg in calibration_figures(found.shown()).items()}
    return Found(
        said="\n".join([*lines_of(found.results), "", plain_table(text, title), "", _said_of_events(found)]),
        tables={"sbc": frame, "coverage": found.coverage, "event_coverage": found.events},
        files={**found.files(), **figures},
        require=found.require,
    )


def _said_of_events(found: Calibrated) -> str:
    """Return the table of who covers the mean effect after adoption, by method and scenario."""
    own = found.events[found.events["column"] == found.events["column"].iloc[0]]
    shown = own.pivot_table(index="method", columns="scenario", values="coverage", sort=False, dropna=False)
    title = "Coverage of 95 % intervals for the mean effect after staggered adoption. Origin: simulated."
    return plain_table(shown.map("{:.2f}".format).reset_index(), title)


def lines_of(results: Sequence[Calibration]) -> list[str]:
    """Say of every model how many replications passed their gates, and whether the ranks of these are uniform."""
    from cbec_bayes.calibration.sbc import verdicts

    frame = verdicts(results)
    lines = []
    for one in results:
        model, data_of = one.model, one.data_of
        name = model if model == data_of else f"{model}, wrong on purpose: data of {data_of}"
        part = frame[(frame["model"] == model) & (frame["data_of"] == data_of)]
        missed = part.loc[part["passed"] == "no", "quantity"]
        verdict = "ranks uniform" if missed.empty else f"ranks not uniform: {', '.join(missed)}"
        passed = 0 if part.empty else int(part["replications"].iloc[0])
        count = f"{passed} of {passed + one.failed} replications passed their gates"
        lines.append(f"{name}: {count}, {verdict if passed else 'none is ranked'}")
    return lines
