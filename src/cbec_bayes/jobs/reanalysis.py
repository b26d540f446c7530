"""The reanalysis of one paper from its printed tables alone: everything that the report shows, computed once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cbec_bayes.panel.study import Published
from cbec_bayes.published.audit import Audit, audit
from cbec_bayes.published.estimates import SCENARIOS, Estimates, PrintedEstimates, heterogeneity, under_reading
from cbec_bayes.published.pooled import PooledPosterior
from cbec_bayes.published.printed import Paper, load_paper
from cbec_bayes.published.readings import critical_value
from cbec_bayes.published.results import (
    SummaryResult,
    contrasts_table,
    effects_table,
    sensitivity_table,
    summarise,
)
from cbec_bayes.published.shrinkage import PooledPath, pooled_path
from cbec_bayes.published.summary import fit_summary
from cbec_bayes.published.summary_model import SummaryModel, load_summary_model
from cbec_bayes.published.twin import Agreement, agreement, fit_pymc
from cbec_bayes.runtime.errors import InputError, suggest
from cbec_bayes.runtime.files import asset_dir
from cbec_bayes.runtime.labels import CI_PROB
from cbec_bayes.runtime.progress import OnProgress, Progress, ignore_progress

PATH_POINTS = 60
"""Values of the between-group scale on the path from complete to no pooling."""

STEPS = (
    "reading the printed tables",
    "auditing them",
    "pooling the slopes",
    "trying other readings and priors",
    "checking one engine against the other",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reanalysis:
    """Everything computed from one paper's printed tables.

    Attributes
    ----------
    study, paper, audit
        What was asked, what was printed, and what the audit found.
    printed, estimates
        The slopes by group as printed, and with the standard errors of the study's reading.
    unit
        Unit of the priors: sd(outcome) / sd(exposure).
    model
        Headline model, priors in plain numbers.
    sensitivity_models
        Models that it is held against, as in their files.
    posterior, result
        The exact posterior, and what is read off it.
    effects, contrasts, sensitivity, face_value
        Tables; `face_value` has the printed slopes with the intervals that their parentheses give as standard errors.
    path
        From complete to no pooling.
    agreement, diagnostics
        The PyMC twin against the quadrature, and how well it was sampled.
    seconds
        Wall time per step.
    """

    study: Published
    paper: Paper
    audit: Audit
    printed: PrintedEstimates
    estimates: Estimates
    unit: float
    model: SummaryModel
    sensitivity_models: tuple[SummaryModel, ...]
    posterior: PooledPosterior
    result: SummaryResult
    effects: pd.DataFrame
    contrasts: pd.DataFrame
    sensitivity: pd.DataFrame
    face_value: pd.DataFrame
    path: PooledPath
    agreement: Agreement
    diagnostics: dict[str, Any]
    seconds: dict[str, float]


def prior_unit(paper: Paper) -> float:
    """Return sd(outcome) / sd(exposure) of the printed descriptive table: the slope of one sd per sd.

    Raises
    ------
    InputError
        The paper prints no such standard deviations.
    """
    facts, moments = paper.facts, paper.full_sample
    outcome, exposure = (moments.get(term or "") for term in (facts.outcome, facts.exposure))
    if outcome is None or exposure is None or outcome.sd is None or exposure.sd is None:
        raise InputError("the descriptive table has no standard deviation of the outcome and the exposure")
    return float(outcome.sd) / float(exposure.sd)


def reanalyse(
    study: Published,
    *,
    observed: Mapping[str, pd.DataFrame] | None = None,
    seed: int = 1,
    on_progress: OnProgress = ignore_progress,
) -> Reanalysis:
    """Run the reanalysis of a study's printed tables.

    Parameters
    ----------
    study
        The printed tables of a study, from `load_study`.
    observed
        Regressors that were observed, for the audit; see `cbec_bayes.published.audit.audit`.
    seed
        Seed of the PyMC twin; everything else is deterministic.
    on_progress
        Called with the name of each step as it begins.

    Raises
    ------
    GateError
        The quadrature, the sampler, or the agreement of the two missed its gate.
    """
    if study.reading not in SCENARIOS:
        raise InputError(f"unknown reading '{study.reading}'; {suggest(study.reading, SCENARIOS)}")
    reading = next(scenario for scenario in SCENARIOS if scenario == study.reading)
    clock = _Clock(on_progress)
    clock.begin(STEPS[0])
    paper = load_paper(asset_dir("data") / "published" / study.tables)
    printed, unit = heterogeneity(paper), prior_unit(paper)
    estimates = under_reading(printed, reading)
    model = load_summary_model(study.model).resolved(unit)
    # Where none is named, the headline's own prior is tried under every reading.
    others = tuple(load_summary_model(name) for name in study.sensitivity or (study.model,))
    clock.begin(STEPS[1])
    findings = audit(paper, observed)
    clock.begin(STEPS[2])
    posterior = fit_summary(estimates, model)
    result = summarise(posterior)
    path = pooled_path(estimates, model, posterior, (unit / 200, unit * 8), PATH_POINTS)
    clock.begin(STEPS[3])
    sensitivity = sensitivity_table(printed, others, unit=unit)
    clock.begin(STEPS[4])
    _, tree, diagnostics = fit_pymc(estimates, model, seed=seed, on_progress=on_progress)
    diagnostics.require()
    engines = agreement(result, tree)
    engines.require()
    clock.end()
    return Reanalysis(
        study=study,
        paper=paper,
        audit=findings,
        printed=printed,
        estimates=estimates,
        unit=unit,
        model=model,
        sensitivity_models=others,
        posterior=posterior,
        result=result,
        effects=effects_table(printed, estimates, result),
        contrasts=contrasts_table(result),
        sensitivity=sensitivity,
        face_value=face_value_table(printed),
        path=path,
        agreement=engines,
        diagnostics=diagnostics.as_dict(),
        seconds=clock.seconds,
    )


class _Clock:
    def __init__(self, on_progress: OnProgress) -> None:
        self.on_progress, self.seconds = on_progress, dict[str, float]()
        self._name, self._start = "", 0.0

    def begin(self, name: str) -> None:
        self.end()
        self.on_progress(Progress(name))
        self._name, self._start = name, time.perf_counter()

    def end(self) -> None:
        if self._name:
            self.seconds[self._name] = time.perf_counter() - self._start


def face_value_table(printed: PrintedEstimates) -> pd.DataFrame:
    """Return the printed slopes with the intervals that their parentheses give when read as standard errors."""
    rows: list[tuple[str, float | None, float | None, float | None]] = []
    for row in printed.rows:
        if row.estimate is None or row.parenthesis is None:
            rows.append((row.label, None, None, None))
            continue
        half = critical_value(1 - CI_PROB, row.df) * float(row.parenthesis)
        rows.append((row.label, float(row.estimate), float(row.estimate) - half, float(row.estimate) + half))
    return pd.DataFrame(rows, columns=["group", "estimate", "low", "high"])
