"""The command `events`: effects of staggered adoption by event time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cbec_bayes.commands.console import Found, Request, deliver
from cbec_bayes.commands.options import (
    Ci,
    Collinearity,
    Control,
    Controls,
    Convention,
    Decimal,
    Encoding,
    Errors,
    ExposureIfAny,
    FormulaText,
    Frequency,
    Fresh,
    Group,
    GroupAt,
    Json,
    Missing,
    OriginOfRows,
    Out,
    OutcomeIfAny,
    PanelFile,
    PriorScale,
    Quiet,
    Seed,
    Sheet,
    StudyIfAny,
    TimeIfAny,
    UnitIfAny,
    Where,
    names,
)
from cbec_bayes.commands.page_options import Figures
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import CI_PROB
from cbec_bayes.runtime.progress import OnProgress

if TYPE_CHECKING:
    from cbec_bayes.jobs.events import EventQuestion, EventStudy
    from cbec_bayes.runtime.fanout import Executor


def events(
    study: StudyIfAny = None,
    data: PanelFile = None,
    outcome: OutcomeIfAny = None,
    exposure: ExposureIfAny = None,
    unit: UnitIfAny = None,
    time: TimeIfAny = None,
    controls: Controls = "",
    control: Control = None,
    formula: FormulaText = None,
    group: Group = None,
    convention: Convention = "reghdfe",
    errors: Errors = "ar1",
    prior_scale: PriorScale = 1.0,
    ci: Ci = CI_PROB,
    figures: Figures = "",
    where: Where = None,
    missing: Missing = "",
    frequency: Frequency = None,
    group_at: GroupAt = None,
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
    """Estimate effects by time since adoption; writes events.csv, pretrends.csv, weights.csv, events.html, a figure."""
    from cbec_bayes.jobs.events import EventOptions
    from cbec_bayes.reporting.events import EVENT_FILES
    from cbec_bayes.reporting.pageoptions import image_formats

    if exposure is not None and len(exposure) > 1:
        raise InputError("an event study has one exposure: name one, and the others as controls")
    images = image_formats(figures)
    first = None if exposure is None else exposure[0]
    asked: dict[str, Any] = {"outcome": outcome, "exposure": first, "unit": unit, "time": time, "group": group}
    asked |= {"controls": [*names(controls), *(control or ())], "formula": formula}
    read = {"where": where, "missing": tuple(names(missing)), "frequency": frequency, "group_at": group_at}
    read |= {"collinearity": collinearity, "sheet": sheet, "encoding": encoding, "decimal": decimal}
    read |= {"origin": origin}
    _one_source(study, data, asked | {name: value for name, value in read.items() if name != "collinearity"})
    options = EventOptions(ssc=convention, seed=seed, ci=ci, errors=errors, prior_scale=prior_scale)
    question = _asks(study, data, asked, read, options)
    request = Request(
        command="events",
        out=out,
        quiet=quiet,
        as_json=as_json,
        fresh=fresh,
        names=EVENT_FILES,
        reads=_reads(study, data),
    )

    def find(executor: Executor, on_progress: OnProgress) -> Found:
        from cbec_bayes.jobs.events import event_study

        one = question()
        return _found(event_study(one.design, one.options, labels=one.labels, on_progress=on_progress), images)

    deliver(request, find, lambda: {**question().content, **({"images": images} if images else {})})


def _one_source(study: str | None, data: Path | None, panel: dict[str, Any]) -> None:
    """Raise unless the panel is named in one way, and wholly."""
    from cbec_bayes.jobs.asked import COLUMNS, asked_columns

    given = [f"--{name.replace('_', '-')}" for name, value in panel.items() if value]
    if study is not None:
        if data is not None or given:
            more = "--data" if data is not None else given[0]
            raise InputError(f"name only one panel; --study and {more} name two")
        return
    if data is None:
        raise InputError("no panel is named; give --study NAME, or --data FILE with the names of its columns")
    asked_columns(**{name: value for name, value in panel.items() if name in COLUMNS})


def _asks(
    study: str | None, data: Path | None, asked: dict[str, Any], read: dict[str, Any], options: Any
) -> Callable[[], EventQuestion]:
    """Return what reads the panel that was named."""
    from cbec_bayes.jobs.events import question_of_file, question_of_study
    from cbec_bayes.panel.reading import Reading

    def question() -> EventQuestion:
        if study is not None:
            return question_of_study(study, options=options)
        return question_of_file(Path(str(data)), options=options, reading=Reading(**read), **asked)

    return question


def _reads(study: str | None, data: Path | None) -> Callable[[], Sequence[Path]]:
    """Return what tells from which files and folders the results are made."""

    def reads() -> Sequence[Path]:
        from cbec_bayes.jobs.inputs import read_by
        from cbec_bayes.panel.study import load_study

        return [Path(str(data))] if study is None else read_by(load_study(study))

    return reads


def _found(found: EventStudy, images: Sequence[str]) -> Found:
    from cbec_bayes.reporting.events import event_files

    return Found(
        said="\n\n".join([*found.sentences, *found.notes, f"Origin: {found.adoption.design.origin}."]) + "\n",
        tables={**found.tables(), "sentences": list(found.sentences), "notes": list(found.notes)},
        files={**found.files(), **event_files(found, images)},
        require=found.require,
    )
