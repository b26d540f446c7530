"""The command `specifications`: one question under many assumptions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cbec_bayes.commands.console import Found, Request, deliver
from cbec_bayes.commands.options import (
    Controls,
    Convention,
    ExposureIfAny,
    FitFolderIfAny,
    FitSeed,
    Fresh,
    Group,
    Json,
    Model,
    Out,
    OutcomeIfAny,
    PanelFile,
    Quiet,
    Scheduler,
    StudyIfAny,
    TimeIfAny,
    TlsCa,
    TlsCert,
    TlsKey,
    UnitIfAny,
    Workers,
    cluster,
    names,
)
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.progress import OnProgress

if TYPE_CHECKING:
    from cbec_bayes.jobs.specifications import Question, Specified
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
    group: Group = None,
    model: Model = "robust",
    convention: Convention = "reghdfe",
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
    needed = {"--data": data, "--outcome": outcome, "--exposure": exposure, "--unit": unit, "--time": time}
    _one_source(folder, study, needed)
    asked: dict[str, Any] = {"outcome": outcome, "exposure": exposure, "controls": names(controls), "unit": unit}
    asked |= {"time": time, "group": group, "model": model, "ssc": convention, "seed": 1 if seed is None else seed}
    question = _asks(folder, study, data, asked, seed)
    place = out or folder
    request = Request(
        command="specifications",
        out=place,
        quiet=quiet,
        as_json=as_json,
        fresh=fresh,
        reads=[data],
        workers=workers,
        scheduler=cluster(scheduler, tls_ca, tls_cert, tls_key),
        keeps="specifications",
    )

    def find(executor: Executor, on_progress: OnProgress) -> Found:
        from cbec_bayes.jobs.specifications import specify

        found = specify(question(), kept_in=place, executor=executor, on_progress=on_progress)
        return _found_of_specifications(found, place)

    deliver(request, find, lambda: question().content)


def _one_source(folder: Path | None, study: str | None, needed: Mapping[str, object]) -> None:
    """Raise unless the panel is named in one way, and wholly."""
    given = [name for name, value in needed.items() if value is not None]
    sources = [*(["FOLDER"] if folder else []), *(["--study"] if study else []), *(given[:1])]
    if len(sources) > 1:
        raise InputError(f"a panel is named once: {' and '.join(sources)} name several")
    if not sources:
        raise InputError("no panel is named: give the FOLDER of a fit, --study, or --data with its columns")
    missing = [name for name in needed if name not in given]
    if given and missing:
        raise InputError(f"missing option {', '.join(missing)}")


def _asks(
    folder: Path | None, study: str | None, data: Path | None, asked: Mapping[str, Any], seed: int | None
) -> Callable[[], Question]:
    """Return what reads the panel that was named."""
    from cbec_bayes.jobs.specifications import question_of_file, question_of_folder, question_of_study

    def question() -> Question:
        if folder is not None:
            return question_of_folder(folder, seed=seed)
        if study is not None:
            return question_of_study(study, seed=asked["seed"])
        return question_of_file(Path(str(data)), **asked)

    return question


def _found_of_specifications(found: Specified, place: Path | None) -> Found:
    from cbec_bayes.jobs.specifications import forget
    from cbec_bayes.reporting.specifications import curve_files

    def require() -> None:
        if place is not None:
            forget(place)
        found.require()

    tables = {
        "conclusions": found.conclusions,
        "mixture": found.mixture,
        "specifications": found.specifications,
        "sentences": list(found.sentences),
    }
    files = {**found.files(), **curve_files(found.specifications, found.exposure)}
    return Found(said="\n\n".join(found.sentences) + "\n", tables=tables, files=files, require=require)
