"""Commands that fit a panel and look at the fit: `fit`, `check`, `compare`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cbec_bayes.commands.console import Found, Request, deliver, plain_table
from cbec_bayes.commands.folders import content_of, fit_of, itself, places, read_from
from cbec_bayes.commands.options import (
    Ci,
    ClusteredBy,
    Collinearity,
    Control,
    Controls,
    Convention,
    Dates,
    Decimal,
    Encoding,
    Engine,
    ExposureIfAny,
    FitFolder,
    FitSeed,
    FormulaText,
    Frequency,
    Fresh,
    Group,
    GroupAt,
    Json,
    Lags,
    Leads,
    Missing,
    ModelIfAny,
    MomentsFile,
    Neighbours,
    OriginOfRows,
    Out,
    OutcomeIfAny,
    PanelFile,
    PriorScale,
    Quiet,
    Rope,
    Scheduler,
    Seed,
    Sheet,
    SlopeOn,
    SlopeOnAt,
    TimeIfAny,
    TlsCa,
    TlsCert,
    TlsKey,
    UnitIfAny,
    UnitSlopes,
    Weights,
    WeightsKind,
    Where,
    Workers,
    cluster,
    exposures,
    names,
)
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import CI_PROB
from cbec_bayes.runtime.progress import OnProgress

if TYPE_CHECKING:
    from cbec_bayes.jobs.check import CheckedFit
    from cbec_bayes.jobs.compare import Compared
    from cbec_bayes.jobs.fit_tables import FittedPanel
    from cbec_bayes.runtime.fanout import Executor


def fit(
    data: PanelFile = None,
    outcome: OutcomeIfAny = None,
    exposure: ExposureIfAny = None,
    unit: UnitIfAny = None,
    time: TimeIfAny = None,
    controls: Controls = "",
    control: Control = None,
    formula: FormulaText = None,
    lags: Lags = 0,
    leads: Leads = 0,
    weights: Weights = None,
    weights_kind: WeightsKind = "analytic",
    clusters: ClusteredBy = "",
    group: Group = None,
    slope_on: SlopeOn = None,
    model: ModelIfAny = None,
    engine: Engine = "auto",
    convention: Convention = "reghdfe",
    moments: MomentsFile = None,
    rope: Rope = None,
    prior_scale: PriorScale = 1.0,
    ci: Ci = CI_PROB,
    unit_slopes: UnitSlopes = False,
    neighbours: Neighbours = True,
    where: Where = None,
    missing: Missing = "",
    frequency: Frequency = None,
    group_at: GroupAt = None,
    slope_on_at: SlopeOnAt = None,
    dates: Dates = None,
    collinearity: Collinearity = "refuse",
    sheet: Sheet = None,
    encoding: Encoding = None,
    decimal: Decimal = None,
    origin: OriginOfRows = None,
    out: Out = None,
    seed: Seed = 1,
    fresh: Fresh = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Fit a hierarchical model to a panel; writes effects.csv, classical.csv, posterior.nc, diagnostics.json."""
    from cbec_bayes.jobs.asked import asked_columns

    named = {"--outcome": outcome, "--exposure": exposure, "--unit": unit, "--time": time, "--formula": formula}
    read = {"where": where, "missing": tuple(names(missing)), "frequency": frequency, "group_at": group_at}
    read |= {"collinearity": collinearity, "sheet": sheet, "encoding": encoding, "decimal": decimal}
    read |= {"slope_on_at": slope_on_at, "dates": dates, "origin": origin}
    regressors = [*names(controls), *(control or ())]
    further: dict[str, object] = {"--data": data, **named, "--controls": regressors or None, "--group": group}
    further |= {"--lags": lags or None, "--leads": leads or None, "--slope-on": slope_on or None}
    further |= {"--weights": weights, "--cluster": clusters or None}
    further |= {f"--{name.replace('_', '-')}": value for name, value in read.items() if name != "collinearity"}
    _one_panel(data, further, moments)
    request = Request(command="fit", out=out, quiet=quiet, as_json=as_json, fresh=fresh, n_steps=3)
    more = {"rope": rope, "prior_scale": prior_scale, "ci": ci, "unit_slopes": unit_slopes, "neighbours": neighbours}
    if moments is not None:
        _fit_moments(request, moments, {"model": model, "seed": seed}, more)
        return
    asked: dict[str, Any] = {"outcome": outcome, **exposures(exposure), "controls": regressors, "unit": unit}
    asked |= {"time": time, "group": group, "formula": formula, "lags": lags, "leads": leads}
    asked |= {"slope_on": slope_on or ()}
    asked |= {"weights": weights, "weights_kind": weights_kind, "clusters": names(clusters)}
    asked_columns(**asked)
    asked |= {"model": model, "engine": engine, "ssc": convention, "seed": seed}
    _fit_panel(request, Path(str(data)), {**asked, "read": read}, more)


def _one_panel(data: Path | None, of_panel: Mapping[str, object], moments: Path | None) -> None:
    """Raise unless there is a panel, or moments, which have their columns named."""
    if moments is None:
        if data is None:
            raise InputError("no panel is named; give --data FILE or --moments FILE")
        return
    given = [name for name, value in of_panel.items() if value not in (None, ())]
    if given:
        raise InputError(f"a file of moments already states its columns; leave out {', '.join(given)}")


def _fit_panel(request: Request, data: Path, asked: dict[str, Any], more: Mapping[str, Any]) -> None:
    from cbec_bayes.jobs.fit import fit_file
    from cbec_bayes.jobs.fit_settings import FitOptions, content, model_files, settings_of
    from cbec_bayes.jobs.fit_tables import FILES
    from cbec_bayes.panel.reading import Reading

    asked = {**asked, "options": FitOptions(**more), "folder": request.out}
    asked["reading"] = Reading(**asked.pop("read"))

    def depends() -> Mapping[str, Any]:
        return content(settings_of(data, **asked), request.out)

    def find(executor: Executor, on_progress: OnProgress) -> Found:
        return _found_of_fit(fit_file(data, **asked, on_progress=on_progress), written=request.out is not None)

    request = replace(request, names=FILES, reads=lambda: [data, *model_files(asked["model"])], fit=itself)
    deliver(request, find, depends)


def _fit_moments(request: Request, moments: Path, asked: dict[str, Any], more: Mapping[str, Any]) -> None:
    from cbec_bayes.jobs.fit import fit_moments_file
    from cbec_bayes.jobs.fit_settings import FitOptions, content_of_moments, model_files
    from cbec_bayes.jobs.fit_tables import FILES

    asked = {**asked, "options": FitOptions(**more)}

    def depends() -> Mapping[str, Any]:
        return content_of_moments(moments, **asked)

    def find(executor: Executor, on_progress: OnProgress) -> Found:
        found = fit_moments_file(moments, **asked, folder=request.out, on_progress=on_progress)
        return _found_of_fit(found, written=request.out is not None)

    request = replace(request, names=FILES, reads=lambda: [moments, *model_files(asked["model"])], fit=itself)
    deliver(request, find, depends)


def _found_of_fit(found: FittedPanel, *, written: bool) -> Found:
    from cbec_bayes.reporting.lines import slopes_as_lines
    from cbec_bayes.reporting.plain import in_natural_order

    shown = found.shown()
    if len(shown) == len(found.effects):  # of more groups those at the ends are shown, by their slopes
        shown = in_natural_order(shown)
    table = plain_table(slopes_as_lines(shown, found.options.ci), found.fit.design.terms[0])
    title = f"{found.fit.model.name}: {found.fit.model.question}"
    rest = [note for note in found.notes if note not in found.first]
    return Found(
        said="\n".join([title, "", *found.first, *([""] if found.first else []), table, *rest]),
        tables={"effects": found.effects, "diagnostics": found.diagnostics(), "notes": list(found.notes)},
        files_later=found.files if written else None,
        require=found.fit.diagnostics.require,
        results=found.packed() if written else None,
    )


def check(
    folder: FitFolder,
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
    """Try a fit: predictive checks, prior sensitivity, leave-one-out; writes checks.csv and a table per check."""
    from cbec_bayes.jobs.check import CHECK_FILES, check_folder
    from cbec_bayes.reporting.checkfigures import check_files

    request = Request(
        command="check",
        out=out or folder,
        quiet=quiet,
        as_json=as_json,
        fresh=fresh,
        names=CHECK_FILES,
        reads=read_from(folder),
        fit=fit_of(folder),
        workers=workers,
        scheduler=cluster(scheduler, tls_ca, tls_cert, tls_key),
    )

    def find(executor: Executor, on_progress: OnProgress) -> Found:
        reuse = places(request, folder)
        found = check_folder(folder, seed=seed, reuse=reuse, executor=executor, on_progress=on_progress)
        return found_of_checks(found, check_files(found.results, found.exposure))

    deliver(request, find, content_of(folder, seed))


def compare(
    folder: FitFolder,
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
    """Set a fit beside its limits, regressions and other specifications; writes compare.csv, differences.csv ..."""
    from cbec_bayes.jobs.compare import COMPARE_FILES, compare_folder
    from cbec_bayes.jobs.specifications import COMMAND, FILES
    from cbec_bayes.reporting.specifications import CURVES

    request = Request(
        command="compare",
        out=out or folder,
        quiet=quiet,
        as_json=as_json,
        fresh=fresh,
        names=[*COMPARE_FILES, *FILES, *CURVES],
        reads=read_from(folder),
        fit=fit_of(folder),
        workers=workers,
        scheduler=cluster(scheduler, tls_ca, tls_cert, tls_key),
        parts=(COMMAND,),
    )

    def find(executor: Executor, on_progress: OnProgress) -> Found:
        reuse = places(request, folder)
        found = compare_folder(folder, seed=seed, reuse=reuse, executor=executor, on_progress=on_progress)
        return replace(found_of_comparison(found), parts=parts_of_comparison(found, request, folder, seed))

    deliver(request, find, content_of(folder, seed))


def found_of_checks(found: CheckedFit, figures: Mapping[str, str | bytes]) -> Found:
    """Return what `check` prints, writes and leaves to others; figures are files by name."""
    from cbec_bayes.checks import by_severity, checks_frame

    lines = [f"{one.name}: {one.severity}. {one.text}" for one in by_severity(found.results)]
    return Found(
        said="\n".join([f"Checks of {found.model}", "", *lines]),
        tables={"checks": checks_frame(found.results)},
        files={**found.files(), **figures},
        results=found.packed(),
    )


def found_of_comparison(found: Compared) -> Found:
    """Return what `compare` prints, writes and leaves to others, but for specifications."""
    from cbec_bayes.reporting.comparison import compare_table

    table = compare_table("compare", found.table)
    return Found(
        said="\n".join([plain_table(table.frame(), table.caption), *found.said]),
        tables={"compare": found.table, "differences": found.differences, "answer": list(found.said)},
        files=found.files(),
        results=found.packed(),
    )


def parts_of_comparison(
    found: Compared, request: Request, folder: Path, seed: int | None, images: Sequence[str] = ()
) -> Mapping[str, Found]:
    """Return what `specifications` would have found, as a part of what compares a fit; nothing of a long panel.

    Parameters
    ----------
    found
        The comparison.
    request, folder, seed
        What the command was asked for.
    images
        Formats in which the curve is written beside SVG.
    """
    from cbec_bayes.commands.specifications import found_of_specifications
    from cbec_bayes.jobs.specifications import COMMAND, is_whole_known

    if found.specified is None:
        return {}
    reduced = not is_whole_known(places(request, folder), folder, seed)
    own = {**content_of(folder, seed)(), "reduced": reduced}
    return {COMMAND: replace(found_of_specifications(found.specified, images), content=own)}
