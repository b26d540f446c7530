"""The command `specifications`: one question under many assumptions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cbec_bayes.commands.console import Found, Request, deliver
from cbec_bayes.commands.folders import fit_of, itself, read_from
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
    ExposureIfAny,
    FitFolderIfAny,
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
    OriginOfRows,
    Out,
    OutcomeIfAny,
    PanelFile,
    PriorScale,
    Quiet,
    Reduced,
    Rope,
    Scheduler,
    Sheet,
    SlopeOn,
    SlopeOnAt,
    StudyIfAny,
    TimeIfAny,
    TlsCa,
    TlsCert,
    TlsKey,
    UnitIfAny,
    Weights,
    WeightsKind,
    Where,
    Workers,
    cluster,
    exposures,
    names,
)
from cbec_bayes.commands.page_options import Figures
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import CI_PROB
from cbec_bayes.runtime.progress import OnProgress

if TYPE_CHECKING:
    from cbec_bayes.jobs.questions import Question
    from cbec_bayes.jobs.specifications import Specified
    from cbec_bayes.runtime.fanout import Executor


def specifications(
    folder: FitFolderIfAny = None,
    study: StudyIfAny = None,
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
    where: Where = None,
    missing: Missing = "",
    frequency: Frequency = None,
    dates: Dates = None,
    group_at: GroupAt = None,
    slope_on_at: SlopeOnAt = None,
    collinearity: Collinearity = "refuse",
    sheet: Sheet = None,
    encoding: Encoding = None,
    decimal: Decimal = None,
    origin: OriginOfRows = None,
    model: ModelIfAny = None,
    convention: Convention = "reghdfe",
    rope: Rope = None,
    prior_scale: PriorScale = 1.0,
    ci: Ci = CI_PROB,
    reduced: Reduced = False,
    figures: Figures = "",
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
    """Ask under which assumptions a slope holds; writes specifications.csv, mixture.csv, conclusions.csv, a figure."""
    from cbec_bayes.jobs.specifications import FILES, UNFINISHED, forget, specified_in, specify
    from cbec_bayes.panel.reading import Reading
    from cbec_bayes.reporting.pageoptions import image_formats
    from cbec_bayes.reporting.specifications import CURVES
    from cbec_bayes.specifications.lattice import BASE

    images = image_formats(figures)
    regressors = [*names(controls), *(control or ())]
    asked: dict[str, Any] = {"outcome": outcome, **exposures(exposure), "controls": regressors, "unit": unit}
    asked |= {"time": time, "group": group, "formula": formula, "lags": lags, "leads": leads}
    asked |= {"slope_on": slope_on or (), "weights": weights, "clusters": names(clusters)}
    read: dict[str, Any] = {"where": where, "missing": tuple(names(missing)), "frequency": frequency, "dates": dates}
    read |= {"group_at": group_at, "slope_on_at": slope_on_at, "sheet": sheet, "encoding": encoding}
    read |= {"decimal": decimal, "origin": origin}
    _one_source(folder, study, {"data": data, **asked}, read, weights_kind=weights_kind)
    reading = Reading(**read, collinearity=collinearity)
    asked |= {"weights_kind": weights_kind}
    if folder is not None and (rope, prior_scale, ci) != (None, 1.0, CI_PROB):
        raise InputError(
            "--rope, --prior-scale and --ci are taken from the fit: give them to fit, or name the panel by --data"
        )
    if model is not None and data is None:
        raise InputError(
            "--model chooses the priors for --data; leave it out with a fit or a study, which have their own"
        )
    model = model or BASE
    asked |= {"reading": reading, "model": model, "ssc": convention, "seed": 1 if seed is None else seed}
    place = out or folder
    more = {"rope": rope, "prior_scale": prior_scale, "ci": ci}
    question = _asks(folder, study, {**asked, "data": data, "folder": place}, given=seed, more=more, reduced=reduced)
    request = Request(
        command="specifications",
        out=place,
        quiet=quiet,
        as_json=as_json,
        fresh=fresh,
        names=(*FILES, *CURVES),
        reads=_reads(folder, study, data, model),
        fit=itself if folder is None else fit_of(folder),
        journals=[UNFINISHED],
        workers=workers,
        scheduler=cluster(scheduler, tls_ca, tls_cert, tls_key),
        keeps="specifications",
    )

    def find(executor: Executor, on_progress: OnProgress) -> Found:
        known = None if fresh or place is None else specified_in([place], question().content)
        found = known or specify(question(), kept_in=place, executor=executor, on_progress=on_progress)
        return replace(found_of_specifications(found, images), forget=lambda: None if place is None else forget(place))

    # What was weighed before is drawn again where a format is missing; another format needs no other results.
    missing_image = place is not None and any(not list(place.glob(f"specifications*.{one}")) for one in images)
    deliver(replace(request, fresh=fresh or missing_image), find, lambda: question().content)


def _one_source(
    folder: Path | None,
    study: str | None,
    panel: Mapping[str, Any],
    read: Mapping[str, Any],
    *,
    weights_kind: str,
) -> None:
    """Raise unless the panel is named in one way, and wholly."""
    from cbec_bayes.jobs.asked import asked_columns

    told = {name: "cluster" if name == "clusters" else name.replace("_", "-") for name in (*panel, *read)}
    given = [f"--{told[name]}" for name, value in panel.items() if value]
    ways = [f"--{told[name]}" for name, value in read.items() if value]
    if ways and panel["data"] is None:
        raise InputError(
            f"the settings of a fit or a study already say how its data are read; leave out {', '.join(ways)}"
        )
    sources = [*(["FOLDER"] if folder else []), *(["--study"] if study else []), *(given[:1])]
    if len(sources) > 1:
        raise InputError(f"name only one panel; {' and '.join(sources)} name several")
    if not sources:
        raise InputError(
            "no panel is named; give the FOLDER of a fit, --study NAME, or --data FILE with the names of its columns"
        )
    if given and panel["data"] is None:
        raise InputError("missing options: --data; give the file of the panel")
    if given:
        asked_columns(**{name: value for name, value in panel.items() if name != "data"}, weights_kind=weights_kind)


def _asks(
    folder: Path | None,
    study: str | None,
    asked: Mapping[str, Any],
    *,
    given: int | None,
    more: Mapping[str, Any],
    reduced: bool,
) -> Callable[[], Question]:
    """Return what reads the panel that was named."""
    from cbec_bayes.jobs.fit_settings import FitOptions
    from cbec_bayes.jobs.questions import question_of_file, question_of_folder, question_of_study

    options = FitOptions(**more)

    def question() -> Question:
        if folder is not None:
            return question_of_folder(folder, seed=given, reduced=reduced)
        if study is not None:
            return question_of_study(study, seed=asked["seed"], options=options, reduced=reduced)
        file = Path(str(asked["data"]))
        columns = {name: value for name, value in asked.items() if name != "data"}
        return question_of_file(file, **columns, options=options, reduced=reduced)

    return question


def _reads(folder: Path | None, study: str | None, data: Path | None, model: str) -> Callable[[], Sequence[Path]]:
    """Return what tells from which files and folders the results are made."""
    if folder is not None:
        return read_from(folder)

    def reads() -> Sequence[Path]:
        from cbec_bayes.jobs.fit_settings import model_files
        from cbec_bayes.jobs.inputs import read_by
        from cbec_bayes.panel.study import load_study

        if study is not None:
            return [*read_by(load_study(study)), *model_files(None)]
        return [Path(str(data)), *model_files(model)]

    return reads


def found_of_specifications(found: Specified, images: Sequence[str] = ()) -> Found:
    """Return what a command that weighs specifications prints, writes and leaves to others.

    Parameters
    ----------
    found
        The slopes under all specifications.
    images
        Formats in which the curve is written beside SVG.
    """
    from cbec_bayes.reporting.specifications import curve_files, curves

    tables = {
        "conclusions": found.conclusions,
        "mixture": found.mixture,
        "specifications": found.specifications,
        "sentences": list(found.sentences),
    }
    return Found(
        said="\n\n".join(found.sentences) + "\n",
        tables=tables,
        files={
            **found.files(),
            **curve_files(curves(found.specifications, found.exposure, prob=found.ci), images),
        },
        require=found.require,
        results=found.packed(),
    )
