"""The lattices that a question is about, as pieces of work: their members to be fitted, and the tables of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd

from cbec_bayes.jobs.questions import Question
from cbec_bayes.panel.design import Design
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.fanout import Job
from cbec_bayes.specifications.conclusions import conclusions
from cbec_bayes.specifications.lattice import LOGARITHMS, Lattice, lattice
from cbec_bayes.specifications.members import DRAWS, Member, MemberTask, fit_member, member_of
from cbec_bayes.specifications.mixture import mixture_frame
from cbec_bayes.specifications.tables import classical_slopes, specifications_frame, weigh


@dataclass(frozen=True, slots=True, kw_only=True)
class WeighingPiece:
    """A piece of work: the tables of one lattice, whose members are fitted.

    Attributes
    ----------
    members
        The fitted members.
    design
        That they are fitted to.
    ssc, seed, ci
        As in `cbec_bayes.jobs.questions.Question`.
    rope
        Half the width of what counts as zero, in the units of the slope; None for that of the design.
    """

    members: Sequence[Member]
    design: Design
    ssc: str
    seed: int
    ci: float
    rope: float | None


def tables_of(piece: WeighingPiece) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return the rows of specifications.csv, mixture.csv and conclusions.csv that are about one lattice."""
    weighed = weigh(piece.members, seed=piece.seed)
    classical = classical_slopes(piece.design, piece.members)
    return (
        specifications_frame(weighed, classical, piece.design.origin, piece.ci),
        mixture_frame(piece.members, weighed.weight, piece.design, piece.ssc, prob=piece.ci, rope=piece.rope),
        conclusions(piece.members, weighed.weight, piece.design.origin, piece.ci),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lattices:
    """The members of every lattice that a question is about, to be fitted and weighed.

    Attributes
    ----------
    question
        The panel.
    lattices
        The designs, of each scale of the outcome and each other panel one, and their lattices.
    tasks
        Every member, in order.
    """

    question: Question
    lattices: Sequence[tuple[Design, Lattice]]
    tasks: Sequence[MemberTask]

    @property
    def fitting(self) -> Job[MemberTask, dict[str, Any]]:
        """Every member as a piece of work."""
        return Job(work=fit_member, pieces=self.tasks, named="specification")

    def members(self, raw: Sequence[Mapping[str, Any]]) -> list[Member]:
        """Return the members from what the pieces of `fitting` found."""
        found = zip(self.tasks, raw, strict=True)
        return [member_of(task.specification, one, len(task.design.units)) for task, one in found]

    def weighing(
        self, raw: Sequence[Mapping[str, Any]]
    ) -> Job[WeighingPiece, tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]]:
        """Return every lattice as a piece of work, given what the pieces of `fitting` found."""
        asked, members = self.question, iter(self.members(raw))
        pieces = [
            WeighingPiece(
                members=list(islice(members, len(found.specifications))),
                design=design,
                ssc=asked.ssc,
                seed=asked.seed,
                ci=asked.ci,
                rope=asked.rope if design is asked.design else None,  # a width of levels is none of logarithms
            )
            for design, found in self.lattices
        ]
        return Job(work=tables_of, pieces=pieces, named="lattice")


def lattices_of(question: Question, *, draws: int = DRAWS) -> Lattices:
    """Return the lattices that a question is about; `draws` are those of the scales of each member."""
    design = question.design
    which: dict[str, Any] = {"reduced": question.reduced, "richest": True}
    found = [(design, lattice(design, question.base, question.outcome_scale, **which))]
    if question.logarithms:
        if not (design.y > 0).all():
            raise InputError(f"{design.outcome} has values of zero or below, which have no logarithm")
        logged = replace(design, y=np.log(design.y))
        found.append((logged, lattice(logged, question.base, LOGARITHMS, **which)))
    for one in question.alternatives:
        members = lattice(one.design, question.base, one.outcome_scale, reduced=True, alternative=one.name)
        found.append((one.design, members))
    tasks = [MemberTask(member, on, question.seed, draws) for on, one in found for member in one.specifications]
    return Lattices(question=question, lattices=found, tasks=tasks)
