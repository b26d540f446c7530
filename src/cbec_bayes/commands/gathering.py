"""The command `moments`: a panel's moments, to be fitted or shared without a row of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cbec_bayes.commands.console import Found, Request, show, work
from cbec_bayes.commands.options import (
    Control,
    Controls,
    Dates,
    Decimal,
    Encoding,
    ExposureIfAny,
    FormulaText,
    Frequency,
    Group,
    Json,
    Missing,
    OriginOfRows,
    OutcomeIfAny,
    Quiet,
    Scheduler,
    Sheet,
    TimeIfAny,
    TlsCa,
    TlsCert,
    TlsKey,
    UnitIfAny,
    Where,
    Workers,
    cluster,
    exposures,
    names,
)
from cbec_bayes.runtime.progress import OnProgress

if TYPE_CHECKING:
    from cbec_bayes.bayes.moments.panel_moments import PanelMoments
    from cbec_bayes.runtime.fanout import Executor


def moments(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="A Parquet file or folder of them, read in batches; or any panel.")
    ],
    file: Annotated[Path, typer.Option("--out", metavar="FILE", help="File to write, by custom with the ending .nc.")],
    outcome: OutcomeIfAny = None,
    exposure: ExposureIfAny = None,
    unit: UnitIfAny = None,
    time: TimeIfAny = None,
    controls: Controls = "",
    control: Control = None,
    formula: FormulaText = None,
    group: Group = None,
    where: Where = None,
    missing: Missing = "",
    frequency: Frequency = None,
    dates: Dates = None,
    sheet: Sheet = None,
    encoding: Encoding = None,
    decimal: Decimal = None,
    origin: OriginOfRows = None,
    least: Annotated[
        int,
        typer.Option(
            "--min-units", metavar="N", min=1, help="Least number of units in a cell; with fewer, nothing is written."
        ),
    ] = 3,
    disclose: Annotated[
        bool, typer.Option("--disclose", help="Write the file even if cells have too few units.")
    ] = False,
    between: Annotated[
        bool, typer.Option("--between/--no-between", help="Also write what random unit effects need, by size of unit.")
    ] = True,
    workers: Workers = 1,
    scheduler: Scheduler = None,
    tls_ca: TlsCa = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Gather a panel's moments in one pass, to be fitted or shared without a row of it; writes one file."""
    from cbec_bayes.jobs.asked import asked_columns
    from cbec_bayes.jobs.moments import prepare_moments, require_place
    from cbec_bayes.jobs.moments_file import moments_bytes
    from cbec_bayes.panel.reading import Reading
    from cbec_bayes.runtime.staging import write_files

    regressors = [*names(controls), *(control or ())]
    columns: dict[str, Any] = {"outcome": outcome, **exposures(exposure), "controls": regressors, "unit": unit}
    roles = asked_columns(**columns, time=time, group=group, formula=formula)
    read: dict[str, Any] = {"where": where, "missing": tuple(names(missing)), "frequency": frequency, "dates": dates}
    reading = Reading(**read, sheet=sheet, encoding=encoding, decimal=decimal, origin=origin)
    require_place(file, data)

    def find(executor: Executor, on_progress: OnProgress) -> Found:
        found = prepare_moments(
            data,
            roles,
            reading=reading,
            between=between,
            least=None if disclose else least,
            executor=executor,
            on_progress=on_progress,
        )
        said = str(found)[0].upper() + str(found)[1:] + "."
        return Found(said=said, tables={"moments": _counts(found)}, files={file.name: moments_bytes(found)})

    request = Request(
        command="moments",
        out=file.parent,
        quiet=quiet,
        as_json=as_json,
        workers=workers,
        scheduler=cluster(scheduler, tls_ca, tls_cert, tls_key),
    )
    found = work(request, find)
    require_place(file, data)
    write_files(file.parent, found.files)
    show(request, found.said, found.tables, [file.name])


def _counts(found: PanelMoments) -> dict[str, Any]:
    return {
        "rows": found.n_obs,
        "units": int(found.group_units.sum()),
        "periods": len(found.times),
        "groups": list(found.groups),
        "dropped": found.dropped,
        "between": found.between is not None,
        "origin": str(found.origin),
    }
