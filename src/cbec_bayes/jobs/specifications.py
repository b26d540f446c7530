"""The job behind `cbec-bayes specifications`: a panel in, its slopes under every member of the lattice out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cbec_bayes.bayes.model.family import PanelModel, load_panel_model
from cbec_bayes.jobs.asked import columns_of
from cbec_bayes.jobs.fit_settings import (
    OPTIONS,
    FitOptions,
    asked_model,
    content,
    data_of,
    model_of,
    options_of,
    read_settings,
    reading_of,
    settings_of,
)
from cbec_bayes.jobs.inputs import input_hashes
from cbec_bayes.panel import load_study_panel, read_panel
from cbec_bayes.panel.design import Design, make_design
from cbec_bayes.panel.study import load_study
from cbec_bayes.runtime import receipts
from cbec_bayes.runtime.errors import GateError, InputError
from cbec_bayes.runtime.exact import pack_or_none, unpack
from cbec_bayes.runtime.fanout import SERIAL, Executor, fan_out
from cbec_bayes.runtime.files import csv_text
from cbec_bayes.runtime.journal import Journal
from cbec_bayes.runtime.labels import CI_PROB
from cbec_bayes.runtime.progress import OnProgress, Progress, ignore_progress
from cbec_bayes.specifications.conclusions import ABOUT_WEIGHTS, conclusion_sentences, conclusions
from cbec_bayes.specifications.lattice import LEVELS, LOGARITHMS, Lattice, lattice, lattice_base
from cbec_bayes.specifications.members import DRAWS, Member, MemberTask, fit_member, member_of
from cbec_bayes.specifications.mixture import mixture_frame
from cbec_bayes.specifications.tables import Weighed, classical_slopes, specifications_frame, weigh

COMMAND = "specifications"
"""That writes these results, and leaves a receipt of its name."""

FILES = ("specifications.csv", "mixture.csv", "conclusions.csv")
"""Tables that are written; figures come beside."""

UNFINISHED = "unfinished-specifications.jsonl"
"""Where finished members are kept until all are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A panel of which the slopes under all specifications are asked.

    Attributes
    ----------
    design
        Its rows.
    base
        Member whose priors hold throughout; None for those that ship.
    ssc
        Convention of the clustered standard errors beside.
    seed
        Of everything random.
    logarithms
        Whether the logarithm of the outcome is asked about as well.
    reduced
        Whether the lattice is the reduced one, of eight members.
    ci
        Probability of the intervals.
    content
        What the answer depends on.
    """

    design: Design
    base: PanelModel | None
    ssc: str
    seed: int
    logarithms: bool = False
    reduced: bool = False
    ci: float = CI_PROB
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Specified:
    """The slopes of a panel under every member of the lattice.

    Attributes
    ----------
    exposure
        The regressor.
    ci
        Probability of the intervals.
    specifications, mixture, conclusions
        The tables of the files of these names.
    left_out
        Sentences about terms that the panel cannot carry.
    missed
        Members that missed a gate, and which.
    """

    exposure: str
    ci: float = CI_PROB
    specifications: pd.DataFrame
    mixture: pd.DataFrame
    conclusions: pd.DataFrame
    left_out: tuple[str, ...]
    missed: Mapping[str, str]

    @property
    def sentences(self) -> tuple[str, ...]:
        """What is found, conclusions first, and what it does not say."""
        n = int(self.specifications[["member", "outcome_scale"]].drop_duplicates().shape[0])
        found = [*conclusion_sentences(self.conclusions, self.exposure, self.ci), ABOUT_WEIGHTS]
        if len(set(self.conclusions["outcome_scale"])) > 1:
            found.append(
                "Slopes of the outcome and of its logarithm have different units, and their predictions are not "
                "comparable: each scale has weights of its own."
            )
        found += self.left_out
        if self.missed:
            named = "; ".join(f"{name}: {why}" for name, why in self.missed.items())
            found.append(f"{len(self.missed)} of {n} specifications missed a gate and have no weight ({named}).")
        return tuple(found)

    def files(self) -> dict[str, str | bytes]:
        """Return the tables as files, by name."""
        tables = (self.specifications, self.mixture, self.conclusions)
        return {name: csv_text(table) for name, table in zip(FILES, tables, strict=True)}

    def packed(self) -> Any:
        """Return everything as a receipt keeps it; `specified_of_receipts` reads it."""
        return pack_or_none({field.name: getattr(self, field.name) for field in fields(self)})

    def require(self) -> None:
        """Raise `GateError` where no member passed its gates."""
        if self.conclusions.empty:
            raise GateError("no specification passed its gates")


def question_of_folder(folder: Path, *, seed: int | None = None, reduced: bool = False) -> Question:
    """Return the question about the fit of a folder, with the options of the fit; errors as `read_settings`."""
    settings = read_settings(folder, seed=seed)
    options = options_of(settings)
    return Question(
        design=_design_of(data_of(settings, folder), settings),
        base=options.of(asked_model(model_of(settings, folder))),
        ssc=settings["ssc"],
        seed=settings["seed"],
        reduced=reduced,
        ci=options.ci,
        content=content_of_question(settings, folder, reduced=reduced),
    )


def content_of_question(settings: Mapping[str, Any], folder: Path | None, *, reduced: bool) -> dict[str, Any]:
    """Return what the answer about a panel depends on: as `cbec_bayes.jobs.fit_settings.content`, and which lattice."""
    return {**content(settings, folder), "reduced": reduced}


def question_of_file(
    file: Path,
    *,
    ssc: str,
    seed: int,
    model: str,
    folder: Path | None = None,
    options: FitOptions = OPTIONS,
    reduced: bool = False,
    **asked: Any,
) -> Question:
    """Return the question about a file's panel.

    Parameters
    ----------
    file
        The panel.
    ssc, seed
        As in `Question`.
    model
        Name or file of the member whose priors hold throughout.
    folder
        That the results are for.
    options
        Of these the width of the priors and the probability of the intervals count.
    reduced
        As in `Question`.
    **asked
        Names of columns, as for `cbec_bayes.jobs.fit.fit_file`.
    """
    settings = settings_of(
        file, model=model, ssc=ssc, seed=seed, engine="auto", folder=folder, options=options, **asked
    )
    return Question(
        design=_design_of(file, settings),
        base=options.of(load_panel_model(model)),
        ssc=ssc,
        seed=seed,
        reduced=reduced,
        ci=options.ci,
        content=content_of_question(settings, folder, reduced=reduced),
    )


def question_of_study(
    study: str | Path, *, seed: int, options: FitOptions = OPTIONS, reduced: bool = False
) -> Question:
    """Return the question about a study's panel; a study of printed tables alone raises `InputError`."""
    options.require()
    found = load_study(study)
    if found.panel is None:
        raise InputError("the study has printed tables alone, and no panel", file=found.path)
    return Question(
        design=make_design(load_study_panel(found)),
        base=None if options.prior_scale == 1 else options.widened(lattice_base()),
        ssc=found.panel.convention,
        seed=seed,
        logarithms=found.panel.logarithm,
        reduced=reduced,
        ci=options.ci,
        content={"inputs": input_hashes(found), "seed": seed, "reduced": reduced}
        | {"ci": options.ci, "prior_scale": options.prior_scale},
    )


def _design_of(file: Path, settings: Mapping[str, Any]) -> Design:
    return make_design(read_panel(file, columns_of(settings), reading=reading_of(settings)))


def specify(
    question: Question,
    *,
    kept_in: Path | None = None,
    executor: Executor = SERIAL,
    draws: int = DRAWS,
    on_progress: OnProgress = ignore_progress,
) -> Specified:
    """Fit every member of the lattice to a panel, weigh them, and say what holds under all.

    Parameters
    ----------
    question
        The panel.
    kept_in
        Folder in which finished members are kept until all are, so that an interrupted run goes on; None for nowhere.
    executor
        Who fits the members; see `cbec_bayes.runtime.fanout.open_executor`.
    draws
        Of the scales of each member.
    on_progress
        Called with how many members are fitted.
    """
    lattices = _lattices(question)
    tasks = [
        MemberTask(one, design, question.seed, draws) for design, found in lattices for one in found.specifications
    ]
    what = json.dumps({**question.content, "draws": draws, **receipts.program()}, default=str)
    journal = None if kept_in is None else Journal(kept_in / UNFINISHED, what)
    raw = fan_out(executor, fit_member, tasks, journal=journal, on_progress=on_progress, named="specification")
    on_progress(Progress("weighing the specifications"))
    members = [
        member_of(task.specification, found, len(task.design.units)) for task, found in zip(tasks, raw, strict=True)
    ]
    parts, start = [], 0
    for design, found in lattices:
        own = members[start : start + len(found.specifications)]
        start += len(own)
        parts.append(_tables(question, design, own))
    specifications, mixture, concluded = (pd.concat(frames, ignore_index=True) for frames in zip(*parts, strict=True))
    return Specified(
        exposure=question.design.terms[0],
        ci=question.ci,
        specifications=specifications,
        mixture=mixture,
        conclusions=concluded,
        left_out=tuple(dict.fromkeys(said for _, found in lattices for said in found.left_out)),
        missed={one.specification.name: one.gate for one in members if not one.passed},
    )


def specified_of_receipts(places: Sequence[Path], folder: Path, *, seed: int | None = None) -> Specified | None:
    """Return what `specifications` or `report` found of a fit's panel, of the whole lattice if there is; None if not.

    Parameters
    ----------
    places
        Folders, in the order in which they are looked into.
    folder, seed
        As in `question_of_folder`; what the answer must be of.
    """
    found = (_kept(places, folder, seed, reduced=reduced) for reduced in (False, True)) if places else ()
    return next((one for one in found if one is not None), None)


def is_whole_known(places: Sequence[Path], folder: Path, seed: int | None) -> bool:
    """Return whether the answer of the whole lattice about the panel of a fit lies in one of several folders."""
    return bool(places) and _kept(places, folder, seed, reduced=False) is not None


def _kept(places: Sequence[Path], folder: Path, seed: int | None, *, reduced: bool) -> Specified | None:
    asked = content_of_question(read_settings(folder, seed=seed), folder, reduced=reduced)
    for packed in receipts.results(places, COMMAND, asked):
        try:
            return Specified(**unpack(packed))
        except (KeyError, TypeError, ValueError):
            continue
    return None


def forget(kept_in: Path) -> None:
    """Remove what was kept of unfinished work, once the results are written."""
    Journal(kept_in / UNFINISHED, "").remove()


def _lattices(question: Question) -> Sequence[tuple[Design, Lattice]]:
    """Return the designs, of each scale of the outcome one, and their lattices."""
    design = question.design
    found = [(design, lattice(design, question.base, LEVELS, reduced=question.reduced))]
    if question.logarithms:
        if not (design.y > 0).all():
            raise InputError(f"{design.outcome} is not positive throughout, so that it has no logarithm")
        logged = replace(design, y=np.log(design.y))
        found.append((logged, lattice(logged, question.base, LOGARITHMS, reduced=question.reduced)))
    return found


def _tables(
    question: Question, design: Design, members: Sequence[Member]
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    weighed: Weighed = weigh(members, seed=question.seed)
    return (
        specifications_frame(weighed, classical_slopes(design, members), design.origin, question.ci),
        mixture_frame(members, weighed.weight, design, question.ssc, question.ci),
        conclusions(members, weighed.weight, design.origin, question.ci),
    )
