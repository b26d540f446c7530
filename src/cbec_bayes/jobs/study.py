"""Every member of the family fitted to a study's panel, and the headline's checks: what the report shows of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from cbec_bayes.bayes.fit import PanelFit, fit
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.checks import CHECK_COLUMNS, CheckResult, checks_frame
from cbec_bayes.checks.cells import Place
from cbec_bayes.checks.suite import (
    CHECKS,
    CheckInputs,
    checks_asked,
    pieces_of_checks,
    predictive_checks,
    run_checks,
)
from cbec_bayes.classical.equal_slopes import EqualityOptions
from cbec_bayes.classical.tables import ColumnSpec
from cbec_bayes.estimands import Summary, summarise_draws
from cbec_bayes.estimands.contrasts import contrasts
from cbec_bayes.estimands.groups import effects as effects_of
from cbec_bayes.estimands.prior_posterior import prior_posterior
from cbec_bayes.estimands.shrinkage import ShrinkagePath, shrinkage_path
from cbec_bayes.jobs.differences import differences
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.fanout import SERIAL, Executor, Job, fan_out_together
from cbec_bayes.runtime.labels import Origin
from cbec_bayes.runtime.progress import OnProgress, ignore_progress

STUDY_MODELS = (
    "robust",
    "partial_pooling",
    "complete_pooling",
    "no_pooling",
    "partial_pooling_all",
    "regional",
    "nested",
    "group_variance",
    "correlated_effects",
    "ar1",
    "unit_trends",
    "first_differences",
    "student_t",
)
"""Members that a study's report fits, the headline first."""

DIAGNOSTICS = ("engine", "draws", "ess_bulk_min", "ess_tail_min", "rhat_max", "khat", "divergences")
"""What is told of how each member was sampled."""

PATH_POINTS = 30
"""Values of the between-group scale on a path, each of which takes a fit: neighbours differ by a third."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyFits:
    """Every member fitted to one study's panel.

    Attributes
    ----------
    origin
        Origin of the panel.
    questions
        Model to the question that it answers.
    effects
        effects.csv of every model, with a column `model`.
    contrasts, differences
        Contrasts and differences of the headline model; the second says whether slopes differ, by tests too, see
        `cbec_bayes.jobs.differences.differences`.
    diagnostics
        One row per model: model, engine, draws, ess_bulk_min, ess_tail_min, rhat_max, khat, divergences, origin.
    path
        From complete to no pooling under the headline model.
    tau_density
        Posterior density of log tau at the path's values, shape (M,).
    tau
        Posterior summary of the headline's between-group scale.
    priors
        Priors of the headline model, in the data's own units.
    unlearned
        Model to the scales of which the data say nothing; see `cbec_bayes.bayes.fit.PanelFit.unlearned`.
    checks
        Checks of the headline model.
    member_checks
        One row per model and predictive check: model, check, passed, text, severity.
    unit_effects
        Unit effects of the headline model, about their mean: unit, mean, sd, ci_low, ci_high, p_positive, origin.
    learned
        Densities of the headline's scales before and after the data; see `prior_posterior`.
    """

    origin: Origin
    questions: Mapping[str, str]
    effects: pd.DataFrame
    contrasts: pd.DataFrame
    differences: pd.DataFrame
    diagnostics: pd.DataFrame
    path: ShrinkagePath
    tau_density: Array
    tau: Summary
    priors: Mapping[str, str]
    unlearned: Mapping[str, tuple[str, ...]]
    checks: tuple[CheckResult, ...]
    member_checks: pd.DataFrame
    unit_effects: pd.DataFrame
    learned: pd.DataFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberPiece:
    """A piece of work: one member, fitted and put to the predictive checks.

    Attributes
    ----------
    design
        With groups.
    name
        The member.
    ssc
        Convention of the clustered standard errors.
    columns, printed
        As in `StudyQuestion`.
    seed
        Seed of everything random.
    leads
        Whether it is the headline, which is checked by who asks for it.
    """

    design: Design
    name: str
    ssc: str
    columns: Sequence[ColumnSpec] | None
    printed: Mapping[Place, float]
    seed: int
    leads: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """What is shown of a member.

    Attributes
    ----------
    name, question
        The member.
    effects
        effects.csv, with a column `model`.
    checks
        The predictive checks; empty of the headline.
    diagnostics
        How it was sampled, by `DIAGNOSTICS`.
    unlearned
        Scales of which the data say nothing.
    fit
        The fit, of the headline and of members that PyMC samples: others are compared with their densities. None of the
        rest, which would only be carried from one process to another.
    """

    name: str
    question: str
    effects: pd.DataFrame
    checks: tuple[CheckResult, ...]
    diagnostics: tuple[object, ...]
    unlearned: tuple[str, ...]
    fit: PanelFit | None


def fit_member(piece: MemberPiece) -> Member:
    """Fit a member and put it to the predictive checks.

    Raises
    ------
    GateError
        The fit missed one of its gates.
    """
    found = fit(piece.design, piece.name, seed=piece.seed)
    found.diagnostics.require()
    inputs = CheckInputs(fit=found, ssc=piece.ssc, columns=piece.columns, printed=piece.printed, seed=piece.seed)
    return Member(
        name=piece.name,
        question=found.model.question,
        effects=effects_of(found, piece.ssc).assign(model=piece.name),
        checks=() if piece.leads else predictive_checks(inputs),
        diagnostics=tuple(getattr(found.diagnostics, field) for field in DIAGNOSTICS),
        unlearned=found.unlearned,
        fit=found if piece.leads or found.collapsed is None else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadlinePiece:
    """A piece of work: some of what is found of the headline once every member is fitted.

    Attributes
    ----------
    trial
        The headline, and what it is tried against.
    what
        One of `DESCRIBED` and `PATH`, or of `cbec_bayes.checks.suite.pieces_of_checks`.
    leaving_out
        As in `StudyQuestion`.
    """

    trial: CheckInputs
    what: str
    leaving_out: bool


DESCRIBED, PATH = "described", "path"
"""Pieces of the headline that are no checks: its tables, and the path from complete to no pooling."""


def headline_piece(piece: HeadlinePiece) -> Any:
    """Find what a piece asks of the headline: checks in their order, the path with its density, or tables by name."""
    trial = piece.trial
    found, seed = trial.fit, trial.seed
    if piece.what == PATH:
        return posterior_path(found, seed=seed)
    if piece.what != DESCRIBED:
        return run_checks(trial, leaving_out=piece.leaving_out, piece=piece.what)
    tau = found.tree["posterior"]["tau"].to_numpy().ravel()
    return {
        "contrasts": contrasts(found),
        "differences": differences(found, EqualityOptions(ssc=trial.ssc, seed=seed)),
        "tau": summarise_draws(tau, ess=min(found.diagnostics.ess_bulk_min, found.diagnostics.ess_tail_min)),
        "unit_effects": unit_effects(found),
        "learned": prior_posterior(found),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyQuestion:
    """What is asked of one study's panel.

    Attributes
    ----------
    design
        With groups.
    ssc
        Convention of the clustered standard errors.
    models
        Names; the first, the headline, must pool group slopes.
    columns, printed
        Columns of the classical tables that the checks make again, and what is printed in them.
    leaving_out
        Whether the headline's checks leave out units, groups and rows as well; see
        `cbec_bayes.checks.suite.run_checks`.
    seed
        Seed of everything random.
    """

    design: Design
    ssc: str
    models: Sequence[str] = STUDY_MODELS
    columns: Sequence[ColumnSpec] | None = None
    printed: Mapping[Place, float] = field(default_factory=dict)
    leaving_out: bool = True
    seed: int = 1

    @property
    def member_job(self) -> Job[MemberPiece, Member]:
        """Every member, what takes longest first."""
        pieces = [
            MemberPiece(
                design=self.design,
                name=name,
                ssc=self.ssc,
                columns=self.columns,
                printed=self.printed,
                seed=self.seed,
                leads=name == self.models[0],
            )
            for name in sorted(self.models, key=lambda name: load_panel_model(name).is_gaussian)
        ]
        return Job(work=fit_member, pieces=pieces, named="member")

    def headline_job(self, members: Sequence[Member]) -> Job[HeadlinePiece, Any]:
        """Return what is found of the headline, which the members are fitted for, in pieces."""
        by_name = {one.name: one.fit for one in members}
        headline = by_name[self.models[0]]
        assert headline is not None
        trial = CheckInputs(
            fit=headline,
            ssc=self.ssc,
            columns=self.columns,
            printed=self.printed,
            members=self.models,
            others={name: one for name, one in by_name.items() if one is not None and one.collapsed is None},
            seed=self.seed,
        )
        what = (*reversed(pieces_of_checks(leaving_out=self.leaving_out)), PATH, DESCRIBED)
        pieces = [HeadlinePiece(trial=trial, what=one, leaving_out=self.leaving_out) for one in what]
        return Job(work=headline_piece, pieces=pieces, named="part of the headline's checks")

    def found(self, members: Sequence[Member], parts: Sequence[Any]) -> StudyFits:
        """Return everything, from what the pieces of both jobs found."""
        by_name = {one.name: one for one in members}
        ordered = [by_name[name] for name in self.models]
        headline, origin = ordered[0].fit, str(self.design.origin)
        assert headline is not None
        *tried, (path, density), described = parts
        results = {one.name: one for part in tried for one in part}
        checks = tuple(results[one.name] for one in checks_asked(leaving_out=self.leaving_out))
        return StudyFits(
            origin=self.design.origin,
            questions={one.name: one.question for one in ordered},
            effects=pd.concat([one.effects for one in ordered], ignore_index=True),
            diagnostics=pd.DataFrame(
                [(one.name, *one.diagnostics, origin) for one in ordered], columns=["model", *DIAGNOSTICS, "origin"]
            ),
            path=path,
            tau_density=density,
            priors={name: str(prior) for name, prior in headline.priors.items()},
            unlearned={one.name: one.unlearned for one in ordered},
            checks=checks,
            member_checks=_predictive_checks(ordered, checks),
            **described,
        )


def fit_models(
    question: StudyQuestion, *, executor: Executor = SERIAL, on_progress: OnProgress = ignore_progress
) -> StudyFits:
    """Fit several members to one design, and try the first of them, the headline.

    Parameters
    ----------
    question
        What is asked.
    executor
        Who does it; see `cbec_bayes.runtime.fanout.open_executor`.
    on_progress
        Called as each member is fitted, and as each part of the headline's checks ends.

    Raises
    ------
    GateError
        A fit missed one of its gates.
    """
    (members,) = fan_out_together(executor, [question.member_job], on_progress=on_progress)
    (parts,) = fan_out_together(executor, [question.headline_job(members)], on_progress=on_progress)
    return question.found(members, parts)


def _predictive_checks(members: Sequence[Member], of_headline: Sequence[CheckResult]) -> pd.DataFrame:
    """Return the predictive checks of every member, those of the headline among all of its own."""
    predictive = {check.name for check in CHECKS if check.predictive}
    shared = [one for one in of_headline if one.name in predictive]
    frames = [checks_frame(one.checks or shared).assign(model=one.name) for one in members]
    return pd.concat(frames, ignore_index=True)[["model", *CHECK_COLUMNS]]


def unit_effects(found: PanelFit) -> pd.DataFrame:
    """Summarise unit effects about their mean, draw by draw: only their differences are known under flat effects."""
    drawn = found.tree["posterior"]["unit_effect"].to_numpy()
    values = drawn.reshape(-1, drawn.shape[-1])
    values = values - values.mean(axis=1, keepdims=True)
    rows = [(unit, *summarise_draws(values[:, i]).numbers) for i, unit in enumerate(found.design.units)]
    columns = ["unit", "mean", "sd", "ci_low", "ci_high", "p_positive"]
    return pd.DataFrame(rows, columns=columns).assign(origin=str(found.design.origin))


def posterior_path(found: PanelFit, *, seed: int = 1) -> tuple[ShrinkagePath, Array]:
    """Return the path from complete to no pooling about the median of tau, and the density of log tau on it."""
    tau = found.tree["posterior"]["tau"].to_numpy().ravel()
    unit = float(np.median(tau))
    grid = np.geomspace(unit / 50, unit * 50, PATH_POINTS)
    return shrinkage_path(found, grid, seed=seed), np.asarray(stats.gaussian_kde(np.log(tau))(np.log(grid)))
