"""The job behind `cbec-bayes events`: effects of staggered adoption by event time, under several estimators."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from cbec_bayes.bayes.events.fit import EventFit, evidence_without_leads, fit_events
from cbec_bayes.bayes.events.model import CORRELATIONS, INDEPENDENT, PLACEBO
from cbec_bayes.classical.conventions import convention
from cbec_bayes.estimands.events import event_effects, step_scales
from cbec_bayes.estimands.summary import Summary
from cbec_bayes.jobs.asked import asked_columns
from cbec_bayes.jobs.event_estimators import Classical, classical_estimators
from cbec_bayes.jobs.event_sentences import event_sentences
from cbec_bayes.jobs.event_tables import (
    events_frame,
    path_rows,
    placebo_rows,
    posterior_rows,
    pretrend_row,
    pretrends_frame,
    weights_frame,
)
from cbec_bayes.jobs.inputs import input_hashes
from cbec_bayes.panel import load_study_panel, read_panel
from cbec_bayes.panel.adoption import Adoption, adoption_of
from cbec_bayes.panel.design import Design, make_design
from cbec_bayes.panel.reading import READING, Reading
from cbec_bayes.panel.study import load_study
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import GateError, InputError, suggest
from cbec_bayes.runtime.files import csv_text
from cbec_bayes.runtime.labels import CI_PROB
from cbec_bayes.runtime.opening import file_digest
from cbec_bayes.runtime.progress import OnProgress, Progress, ignore_progress

TABLES = ("events.csv", "pretrends.csv", "weights.csv")
"""Tables that `events` writes."""


@dataclass(frozen=True, slots=True)
class EventOptions:
    """What an event study may be asked for beside its panel.

    Attributes
    ----------
    ssc
        Convention of the clustered standard errors.
    seed
        Seed of everything random.
    ci
        Probability of the intervals.
    errors
        Whether the hierarchical model has independent errors or correlated ones, ``ar1``.
    prior_scale
        Factor of the priors of its scales.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> cb.EventOptions(ci=0.9, errors="independent").ci
    0.9
    """

    ssc: str = "reghdfe"
    seed: int = 1
    ci: float = CI_PROB
    errors: str = "ar1"
    prior_scale: float = 1.0

    def require(self) -> None:
        """Raise `InputError` where one of them makes no sense."""
        convention(self.ssc)
        if self.errors not in CORRELATIONS:
            raise InputError(f"unknown errors '{self.errors}'; {suggest(self.errors, tuple(CORRELATIONS))}")
        if not 0 < self.prior_scale < math.inf:
            raise InputError(f"--prior-scale is a factor and must be a positive number, not {self.prior_scale:g}")
        if not 0 < self.ci < 1:
            raise InputError(f"--ci is a probability and must lie between 0 and 1, as 0.95 does, not {self.ci:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventStudy:
    """What an event study finds.

    Attributes
    ----------
    adoption
        The rows that effects are learned from, and the cohorts.
    options
        What was asked for.
    events, pretrends, weights
        The tables; see `cbec_bayes.jobs.event_tables`.
    notes
        Sentences on what was left out, and on what the estimates rest on.
    scales
        Posterior of the scales of the hierarchical model, and of the correlation of its errors, by name.
    failure
        Why the hierarchical model was not sampled well; blank where it was, or where there is none.
    labels
        Column to what people call it; a column that is not among them is called by its name.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> roles = cb.Roles(outcome="sales", exposure="law", unit="firm", time="year")
    >>> study = cb.event_study(cb.make_design(cb.make_panel(frame, roles)))
    >>> sorted(study.tables())
    ['events', 'pretrends', 'weights']
    """

    adoption: Adoption
    options: EventOptions
    events: pd.DataFrame
    pretrends: pd.DataFrame
    weights: pd.DataFrame
    notes: tuple[str, ...]
    scales: Mapping[str, Summary] = field(default_factory=dict)
    failure: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def label(self, column: str) -> str:
        """Return what people call a column."""
        return self.labels.get(column, column)

    def require(self) -> None:
        """Raise `GateError` where the hierarchical model missed one of its gates."""
        if self.failure:
            raise GateError(f"the hierarchical event study: {self.failure}")

    @property
    def sentences(self) -> tuple[str, ...]:
        """What holds under all estimators, in plain sentences, and then the notes."""
        return event_sentences(
            self.adoption,
            self.events,
            self.pretrends,
            self.weights,
            outcome=self.label(self.adoption.design.outcome),
            prob=self.options.ci,
        )

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return the tables by name."""
        return {"events": self.events, "pretrends": self.pretrends, "weights": self.weights}

    def files(self) -> dict[str, str]:
        """Return the tables as files, by name."""
        return {f"{name}.csv": csv_text(table) for name, table in self.tables().items()}


def event_study(
    design: Design,
    options: EventOptions | None = None,
    *,
    labels: Mapping[str, str] | None = None,
    on_progress: OnProgress = ignore_progress,
) -> EventStudy:
    """Estimate effects of adoption by event time.

    Parameters
    ----------
    design
        A panel whose first regressor is the exposure: a unit adopts in the first period in which it is positive.
    options
        What else is asked for.
    labels
        Column to what people call it, for sentences, the figure and the page.
    on_progress
        Called with the name of each step.

    Raises
    ------
    InputError
        The exposure cannot be read as adoption, or no regression can be run; see
        `cbec_bayes.panel.adoption.adoption_of`.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> roles = cb.Roles(outcome="sales", exposure="law", unit="firm", time="year")
    >>> study = cb.event_study(cb.make_design(cb.make_panel(frame, roles)))
    >>> print(study.sentences[0])
    10 of 12 units adopt between 2013 and 2016, in 4 cohorts; 2 are not treated in the 8 periods that are compared.
    """
    options = options or EventOptions()
    options.require()
    adoption = adoption_of(design)
    on_progress(Progress("regressions"))
    classical = classical_estimators(adoption, options.ssc)
    rows = [row for path in classical.paths for row in path_rows(adoption, path, prob=options.ci)]
    for group, path in classical.of_groups:
        rows += path_rows(adoption, path, group=group, prob=options.ci)
    pretrends = [pretrend_row(one) for one in classical.tests]
    on_progress(Progress("hierarchical model"))
    posterior = _posterior(adoption, classical, options, on_progress)
    origin = adoption.design.origin
    return EventStudy(
        adoption=adoption,
        options=posterior.options,
        events=events_frame([*rows, *posterior.rows], origin),
        pretrends=pretrends_frame([*pretrends, *posterior.pretrends], origin),
        weights=weights_frame(adoption, classical.weights, classical.saturated, posterior.cells),
        notes=(*adoption.notes, *classical.notes, *posterior.notes),
        scales=posterior.scales,
        failure=posterior.failure,
        labels=labels or {},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Posterior:
    """What the hierarchical model says: rows of the tables, moments of cells, and why it may be missing."""

    options: EventOptions
    rows: Sequence[dict[str, object]] = ()
    pretrends: Sequence[dict[str, object]] = ()
    cells: tuple[Array, Array] | None = None
    scales: Mapping[str, Summary] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    failure: str = ""


def _posterior(adoption: Adoption, classical: Classical, options: EventOptions, on_progress: OnProgress) -> _Posterior:
    """Fit the hierarchical model; where errors cannot be correlated, or nothing can be fitted, a note says why."""
    if classical.saturated is not None and classical.saturated.regression.is_exact:
        note = (
            "There is no hierarchical model: effects of cells, units and periods explain the outcome without an error."
        )
        return _Posterior(options=options, notes=(note,))
    sampling: dict[str, Any] = {"prior_scale": options.prior_scale, "seed": options.seed, "on_progress": on_progress}
    notes: tuple[str, ...] = ()
    try:
        try:
            fit = fit_events(adoption, options.errors, **sampling)
        except InputError as error:
            if options.errors == INDEPENDENT:
                raise
            notes = (f"Errors of the hierarchical model are independent: {error.message}.",)
            options = replace(options, errors=INDEPENDENT)
            fit = fit_events(adoption, INDEPENDENT, **sampling)
        factor = _factor(fit, options.seed)
    except InputError as error:
        return _Posterior(options=options, notes=(f"There is no hierarchical model: {error.message}.",))
    except GateError as error:
        return _Posterior(options=options, notes=notes, failure=str(error))
    scales = step_scales(fit, prob=options.ci)
    found = event_effects(fit, classical.weights.cells, prob=options.ci)
    return _Posterior(
        options=options,
        rows=posterior_rows(adoption, found.effects),
        pretrends=placebo_rows(scales[PLACEBO], factor) if PLACEBO in scales else (),
        cells=(found.cell_mean, found.cell_sd),
        scales=scales,
        notes=notes,
        failure="; ".join(fit.diagnostics.failures),
    )


def _factor(fit: EventFit, seed: int) -> tuple[float, float] | None:
    """Return the log Bayes factor of no effects before adoption against some, and its Monte Carlo error."""
    if PLACEBO not in fit.collapsed.names:
        return None
    none, some = evidence_without_leads(fit, seed=seed), fit.evidence
    if none.value is None or some.value is None:
        return None
    return none.value - some.value, math.hypot(none.mcse or 0.0, some.mcse or 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventQuestion:
    """A panel of which an event study is asked.

    Attributes
    ----------
    design
        Its rows.
    options
        What else is asked for.
    content
        What the answer depends on.
    labels
        Column to what people call it.
    """

    design: Design
    options: EventOptions
    content: Mapping[str, Any]
    labels: Mapping[str, str] = field(default_factory=dict)


def question_of_file(file: Path, *, options: EventOptions, reading: Reading = READING, **asked: Any) -> EventQuestion:
    """Return the question about a file's panel; columns are named as for `cbec_bayes.jobs.asked.asked_columns`."""
    options.require()
    panel = read_panel(file, asked_columns(**asked), reading=reading)
    content = {"sha256": file_digest(file), **asked, "reading": reading.as_dict(), **_content(options)}
    return EventQuestion(design=make_design(panel), options=options, content=content)


def question_of_study(study: str | Path, *, options: EventOptions) -> EventQuestion:
    """Return the question about a study's panel; a study of printed tables alone raises `InputError`."""
    options.require()
    found = load_study(study)
    if found.panel is None:
        raise InputError("the study has only printed tables and no panel", file=found.path)
    content = {"inputs": input_hashes(found), **_content(options)}
    design = make_design(load_study_panel(found))
    return EventQuestion(design=design, options=options, content=content, labels=found.panel.labels)


def _content(options: EventOptions) -> dict[str, Any]:
    return asdict(options)
