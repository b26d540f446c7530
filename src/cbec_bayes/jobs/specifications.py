"""The job behind `cbec-bayes specifications`: a panel in, its slopes under every member of the lattice out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.jobs.fit_settings import read_settings
from cbec_bayes.jobs.lattices import Lattices, lattices_of, tables_of
from cbec_bayes.jobs.questions import Question, content_of_question
from cbec_bayes.panel.study import MAIN
from cbec_bayes.runtime import receipts
from cbec_bayes.runtime.errors import GateError
from cbec_bayes.runtime.exact import named_texts_in, pack_or_none, table_in, texts_in, unpack
from cbec_bayes.runtime.fanout import SERIAL, Executor, fan_out_together
from cbec_bayes.runtime.files import csv_text
from cbec_bayes.runtime.journal import Journal
from cbec_bayes.runtime.labels import CI_PROB
from cbec_bayes.runtime.progress import OnProgress, Progress, ignore_progress
from cbec_bayes.specifications.conclusions import (
    ABOUT_WEIGHTS,
    CONCLUSION_COLUMNS,
    alternative_sentences,
    conclusion_sentences,
)
from cbec_bayes.specifications.lattice import ALTERNATIVE, OUTCOME_SCALE
from cbec_bayes.specifications.members import DRAWS, Member
from cbec_bayes.specifications.mixture import MIXTURE_COLUMNS
from cbec_bayes.specifications.tables import SPECIFICATION_COLUMNS

COMMAND = "specifications"
"""That writes these results, and leaves a receipt of its name."""

FILES = ("specifications.csv", "mixture.csv", "conclusions.csv")
"""Tables that are written; figures come beside."""

UNFINISHED = "unfinished-specifications.jsonl"
"""Where finished members are kept until all are."""


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
    alternatives
        Name of each other panel that was asked to what differs in it.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> fit = cb.fit("sales ~ price + wage | firm + year", "partial_pooling", data=frame, group="sector")
    >>> specified = cb.weigh_specifications(fit)
    >>> sorted(specified.files())
    ['conclusions.csv', 'mixture.csv', 'specifications.csv']
    """

    exposure: str
    ci: float = CI_PROB
    specifications: pd.DataFrame
    mixture: pd.DataFrame
    conclusions: pd.DataFrame
    left_out: tuple[str, ...]
    missed: Mapping[str, str]
    alternatives: Mapping[str, str]

    @property
    def of_main(self) -> Specified:
        """What was found in the main panel alone."""
        tables = {name: getattr(self, name) for name in ("specifications", "mixture", "conclusions")}
        return replace(self, **{name: table[table[ALTERNATIVE] == MAIN] for name, table in tables.items()})

    @property
    def sentences(self) -> tuple[str, ...]:
        """What is found, conclusions first, and what it does not say."""
        n = int(self.specifications[["member", OUTCOME_SCALE, ALTERNATIVE]].drop_duplicates().shape[0])
        found = [
            *conclusion_sentences(self.conclusions, self.exposure, self.ci),
            *alternative_sentences(self.conclusions, self.alternatives, self.ci),
            ABOUT_WEIGHTS,
        ]
        if len(set(self.of_main.conclusions[OUTCOME_SCALE])) > 1:
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
        Number of draws of the scales of each member.
    on_progress
        Called with how many members are fitted.
    """
    asked = lattices_of(question, draws=draws)
    what = json.dumps({**question.content, "draws": draws, **receipts.program()}, default=str)
    journal = None if kept_in is None else Journal(kept_in / UNFINISHED, what)
    (raw,) = fan_out_together(executor, [replace(asked.fitting, journal=journal)], on_progress=on_progress)
    on_progress(Progress("weighing the specifications"))
    weighing = asked.weighing(raw)
    return specified(asked, raw, [tables_of(piece) for piece in weighing.pieces])


def specified(
    asked: Lattices,
    raw: Sequence[Mapping[str, Any]],
    parts: Sequence[tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]],
) -> Specified:
    """Return the answer to a question, from what the pieces of `Lattices.fitting` and `Lattices.weighing` found."""
    question = asked.question
    specifications, mixture, concluded = (pd.concat(frames, ignore_index=True) for frames in zip(*parts, strict=True))
    return Specified(
        exposure=question.design.terms[0],
        ci=question.ci,
        specifications=specifications,
        mixture=mixture,
        conclusions=concluded,
        left_out=tuple(dict.fromkeys(said for _, found in asked.lattices for said in found.left_out)),
        missed={_name_of(one): one.gate for one in asked.members(raw) if not one.passed},
        alternatives={one.name: one.label for one in question.alternatives},
    )


def weigh_specifications(
    found: PanelFit,
    ssc: str = "reghdfe",
    *,
    reduced: bool = True,
    ci: float = CI_PROB,
    seed: int = 1,
    executor: Executor = SERIAL,
    on_progress: OnProgress = ignore_progress,
) -> Specified:
    """Fit the members of the lattice to the panel of a fit, weigh them, and say what holds under all.

    Parameters
    ----------
    found
        A fitted model, whose priors hold throughout.
    ssc
        Convention of the clustered standard errors.
    reduced
        Whether only the eight specifications are fitted that move slopes most, and the one with every term.
    ci
        Probability of the intervals.
    seed
        Seed of everything random.
    executor
        Who fits the members; see `cbec_bayes.runtime.fanout.open_executor`.
    on_progress
        Called with how many members are fitted.

    Returns
    -------
    Specified
        Its sentences and its tables; `cbec_bayes.plot_specifications` draws it.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> fit = cb.fit("sales ~ price + wage | firm + year", "partial_pooling", data=frame, group="sector")
    >>> specified = cb.weigh_specifications(fit)
    >>> int((specified.specifications["group"] == "(average)").sum())
    9
    """
    question = Question(
        design=found.design,
        base=found.model,
        ssc=ssc,
        seed=seed,
        reduced=reduced,
        ci=ci,
        content={},  # nothing is kept of unfinished work
    )
    return specify(question, executor=executor, on_progress=on_progress)


def _name_of(member: Member) -> str:
    one = member.specification
    return one.name if one.alternative == MAIN else f"{one.name} of {one.alternative}"


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
    return specified_in(places, content_of_question(read_settings(folder, seed=seed), folder, reduced=reduced))


def specified_in(places: Sequence[Path], asked: Mapping[str, Any]) -> Specified | None:
    """Return the answer to a question that lies in one of several folders; None where no receipt of it holds.

    Parameters
    ----------
    places
        Folders, in the order in which they are looked into.
    asked
        The content of the question.
    """
    for packed in receipts.results(places, COMMAND, asked):
        try:
            held = unpack(packed)
            return Specified(
                exposure=str(held["exposure"]),
                ci=float(held["ci"]),
                specifications=table_in(held["specifications"], SPECIFICATION_COLUMNS),
                mixture=table_in(held["mixture"], MIXTURE_COLUMNS),
                conclusions=table_in(held["conclusions"], CONCLUSION_COLUMNS),
                left_out=texts_in(held["left_out"]),
                missed=named_texts_in(held["missed"]),
                alternatives=named_texts_in(held["alternatives"]),
            )
        except (KeyError, TypeError, ValueError):
            continue
    return None


def forget(kept_in: Path) -> None:
    """Remove what was kept of unfinished work, once the results are written."""
    Journal(kept_in / UNFINISHED, "").remove()
