"""The job behind `cbec-bayes published`: one CSV of estimates in, every table out."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from cbec_bayes.jobs.classical_pooling import (
    CLASSICAL,
    REGRESSION,
    SMALL,
    ClassicalPooling,
    classical_pooling,
    classical_sentences,
)
from cbec_bayes.jobs.pooled_further import FURTHER, further_tables
from cbec_bayes.jobs.pooled_methods import slopes_sentence
from cbec_bayes.jobs.pooled_notes import dominance_notes
from cbec_bayes.jobs.pooled_sentences import pooled_sentences
from cbec_bayes.jobs.pooled_settings import SETTINGS
from cbec_bayes.jobs.pooled_tables import PooledTables
from cbec_bayes.jobs.pooled_terms import NOTHING, AskedTerms, with_terms
from cbec_bayes.jobs.printed_files import COPIES, is_printed_table, read_printed_file
from cbec_bayes.published.between_shape import NORMAL
from cbec_bayes.published.estimate_file import is_workbook_of_estimates, read_estimates
from cbec_bayes.published.estimates import (
    SCENARIOS,
    Estimates,
    ImpliedError,
    PrintedEstimates,
    under_reading,
)
from cbec_bayes.published.from_tables import estimates_of_term
from cbec_bayes.published.reading.tables import Asked
from cbec_bayes.published.results import SummaryResult, contrasts_table, effects_table, sensitivity_table, summarise
from cbec_bayes.published.robust.pairs import too_heavy_for_pairs
from cbec_bayes.published.robust.shared import Shared
from cbec_bayes.published.robust.solution import has_heavy_tails
from cbec_bayes.published.stated import Facts
from cbec_bayes.published.summary import TOLERANCE, fit_summary, resolve_unit
from cbec_bayes.published.summary_model import SummaryModel, between_shape, load_summary_model, model_names
from cbec_bayes.runtime.errors import GateError, InputError, suggest
from cbec_bayes.runtime.files import csv_text
from cbec_bayes.runtime.labels import CI_PROB, Origin, level
from cbec_bayes.runtime.progress import OnProgress, Progress, ignore_progress

ENGINES = ("quadrature", "pymc")
MAX_CONTRASTED = 40
"""Every two groups are contrasted up to this many groups: 780 pairs."""

MOST_ROBUST = 100
"""Estimates up to which sensitivity.csv has models whose slopes are not normal between groups: seconds for each."""

FARTHEST_UNIT = 1e4
"""How far the unit of the priors may be from the spread of the estimates for these models to be tried."""

OTHER_UNITS = (0.5, 2.0)
"""By how much the unit of the priors is multiplied for further rows of sensitivity.csv."""

FILES = (
    *("effects.csv", "contrasts.csv", "sensitivity.csv", "diagnostics.json", *FURTHER),
    *(CLASSICAL, SMALL, REGRESSION, SETTINGS, *COPIES),
)
"""Files that `published` may write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledFile:
    """What `published` finds.

    Attributes
    ----------
    model
        Model with priors in plain numbers.
    estimates, result
        Data and what was read off the posterior.
    effects, contrasts, sensitivity
        Tables.
    classical
        The classical answers to the same estimates.
    diagnostics
        What diagnostics.json holds.
    further
        Tables that answer one question more, by name; see `cbec_bayes.jobs.pooled_further`.
    told
        Sentences on the further tables.
    notes
        Sentences that a user should read, those of `told` too.
    failures
        Gates that were missed.
    """

    model: SummaryModel
    estimates: Estimates
    result: SummaryResult
    effects: pd.DataFrame
    contrasts: pd.DataFrame
    sensitivity: pd.DataFrame
    classical: ClassicalPooling
    diagnostics: dict[str, Any]
    further: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    told: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    failures: tuple[str, ...] = field(default=())

    def files(self) -> dict[str, str]:
        """Return the files to write, by name."""
        frames = {"effects": self.effects, "contrasts": self.contrasts, "sensitivity": self.sensitivity}
        frames |= self.further
        files = {f"{name}.csv": csv_text(frame) for name, frame in frames.items()}
        files |= {name: csv_text(frame) for name, frame in self.classical.frames().items()}
        return {**files, "diagnostics.json": json.dumps(self.diagnostics, indent=1) + "\n"}

    def tables(self) -> PooledTables:
        """Return the tables and sentences, without the posterior."""
        normal = not has_heavy_tails(self.estimates, self.model)
        told = (*self.told, *classical_sentences(self.classical, self.result.common, normal=normal))
        regression = self.classical.regression
        further = dict(self.further) | ({} if regression is None else {"classical_regression": regression})
        return PooledTables(
            effects=self.effects,
            contrasts=self.contrasts,
            sensitivity=self.sensitivity,
            classical=self.classical.table,
            small_studies=self.classical.small_studies,
            further=further,
            priors=f"τ ~ {self.model.between}, β ~ {self.model.slope}",
            answer=(*pooled_sentences(self.estimates, self.result, between_shape(self.model)), *told),
            notes=tuple(note for note in self.notes if note not in told),
        )

    def require(self) -> None:
        """Raise `GateError` where a gate was missed."""
        if self.failures:
            raise GateError("; ".join(self.failures))


def _text(value: Any) -> str:
    return "" if pd.isna(value) else f"{float(value):.4g}"


def pool_file(
    file: Path,
    *,
    model: str | Path,
    term: str | None = None,
    reading: str = "as_printed",
    unit: float | None = None,
    ci_prob: float = CI_PROB,
    engine: str = "quadrature",
    seed: int = 1,
    terms: AskedTerms = NOTHING,
    on_progress: OnProgress = ignore_progress,
) -> PooledFile:
    """Pool the estimates of a CSV file.

    Parameters
    ----------
    file
        A file of estimates, see `cbec_bayes.published.estimate_file.read_estimates`; or printed tables, of which one
        row is pooled over its columns, see `cbec_bayes.jobs.printed_files`.
    model
        Name or TOML file of a summary-level model.
    term
        Row of printed tables that is pooled; default the exposure that paper.toml names, or the only row.
    reading
        ``as_printed``, ``coherent`` or ``stars``.
    unit
        Unit of slope that the priors are scaled by; default the model's own.
    ci_prob
        Probability of the intervals that a file gives in the place of standard errors.
    engine
        ``quadrature`` (exact) or ``pymc``.
    seed
        Seed of the sampler.
    terms
        Further terms of the model, and further tables.
    on_progress
        Called with the name of each step.

    Raises
    ------
    InputError
        The file, the model or the reading cannot be used.
    GateError
        The quadrature did not reach its accuracy.
    """
    if unit is not None and not 0 < unit < float("inf"):
        raise InputError(f"--unit must be a positive number, not {unit}")
    on_progress(Progress("reading"))
    spec = load_summary_model(model)
    printed = _printed(file, term, ci_prob, terms)
    estimates = _under(printed, reading, file)
    resolved = spec.resolved(resolve_unit(estimates, spec, unit))
    on_progress(Progress("pooling"))
    shared = Shared()
    result, found, failures = _fitted(estimates, resolved, engine, seed=seed, shared=shared, on_progress=on_progress)
    on_progress(Progress("trying other readings and priors"))
    sensitivity, lacking = _sensitivity(printed, estimates, spec, unit=unit, shared=shared)
    classical = classical_pooling(estimates)
    further, told = further_tables(printed, estimates, resolved, result, terms)
    diagnostics = {
        **found,
        "model": spec.name,
        "slope_prior": str(resolved.slope),
        "between_prior": str(resolved.between),
        "reading": reading,
        "between": {"mean": result.tau.mean, "sd": result.tau.sd, "ci": [result.tau.ci_low, result.tau.ci_high]},
        "ci_prob": CI_PROB,
        "seed": seed,
        "origin": str(Origin.PRINTED),
    }
    return PooledFile(
        model=resolved,
        estimates=estimates,
        result=result,
        effects=effects_table(printed, estimates, result),
        contrasts=contrasts_table(result),
        sensitivity=sensitivity,
        classical=classical,
        diagnostics=_no_nan(diagnostics),
        further=further,
        told=told,
        notes=(
            *printed.notes,
            *_notes(estimates, result),
            *_notes_on_pairs(estimates, resolved, engine),
            *classical_sentences(classical, result.common, normal=not has_heavy_tails(estimates, resolved)),
            *_df_notes(printed, estimates, resolved),
            *dominance_notes(estimates, result, automatic=unit is None and isinstance(spec.unit, str)),
            *told,
            *lacking,
        ),
        failures=failures,
    )


def read_for_pooling(
    file: Path,
    *,
    model: str | Path,
    reading: str,
    term: str | None,
    unit: float | None,
    ci_prob: float,
    terms: AskedTerms = NOTHING,
    **_: Any,
) -> tuple[Estimates, SummaryModel]:
    """Return the estimates of a file under a reading, and the model with priors in plain numbers; as in `pool_file`."""
    spec = load_summary_model(model)
    estimates = _under(_printed(file, term, ci_prob, terms), reading, file)
    return estimates, spec.resolved(resolve_unit(estimates, spec, unit))


def _under(printed: PrintedEstimates, reading: str, file: Path) -> Estimates:
    if reading not in SCENARIOS:
        raise InputError(f"unknown reading '{reading}'; {suggest(reading, SCENARIOS)}")
    try:
        return under_reading(printed, next(scenario for scenario in SCENARIOS if scenario == reading))
    except InputError as error:
        raise InputError(error.message, file=file) from None


def _fitted(
    estimates: Estimates, model: SummaryModel, engine: str, *, seed: int, shared: Shared, on_progress: OnProgress
) -> tuple[SummaryResult, dict[str, Any], tuple[str, ...]]:
    """Return what an engine finds, what diagnostics.json says of it, and the gates that it missed."""
    few = len(estimates.labels) <= MAX_CONTRASTED and (engine == "pymc" or not too_heavy_for_pairs(estimates, model))
    if engine == "pymc":
        from cbec_bayes.published.twin import fit_pymc

        result, _, sampled = fit_pymc(estimates, model, seed=seed, contrasts=few, on_progress=on_progress)
        return result, sampled.as_dict(), sampled.failures
    start = time.perf_counter()
    try:
        posterior = fit_summary(estimates, model, shared=shared)
    except GateError as error:
        raise GateError(f"{error}; --engine pymc samples the same model") from None
    result = summarise(posterior, contrasts=few)
    found = {
        "engine": "quadrature",
        "rhat_max": None,
        "ess_bulk_min": None,
        "ess_tail_min": None,
        "divergences": None,
        "seconds": {"fit": time.perf_counter() - start},
        "draws": None,
        "nodes": posterior.n_nodes,
        "quadrature_error": posterior.error,
        "quadrature_tolerance": TOLERANCE,
    }
    return result, found, ()


def _printed(file: Path, term: str | None, ci_prob: float, terms: AskedTerms) -> PrintedEstimates:
    """Read estimates: a row of printed tables, or a file with one estimate a row."""
    if term is None and (not is_printed_table(file) or is_workbook_of_estimates(file)):
        return with_terms(read_estimates(file, ci_prob=ci_prob), file, terms, is_file=True)
    read = read_printed_file(file, Asked(), Facts())
    try:
        found = estimates_of_term(read.paper, term)
    except InputError as error:
        raise InputError(error.message, file=file) from None
    return with_terms(replace(found, notes=(*found.notes, *read.notes)), file, terms, is_file=False)


def _sensitivity(
    printed: PrintedEstimates, estimates: Estimates, spec: SummaryModel, *, unit: float | None, shared: Shared
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Hold the model asked for against those that ship with the package; a model that misses its gate is left out."""
    others = [load_summary_model(name) for name in model_names() if name.startswith("published_")]
    models = [spec, *(other for other in others if other.name != spec.name)]
    notes: dict[str, str] = {}
    far = not 1 / FARTHEST_UNIT < resolve_unit(estimates, spec, unit) / estimates.spread < FARTHEST_UNIT
    if far or int(estimates.printed.sum()) > MOST_ROBUST:
        for name in [one.name for one in models[1:] if between_shape(one) != NORMAL]:
            many = f"for more than {MOST_ROBUST} estimates"
            why = f"which takes long {'with such a unit' if far else many}; --model {name} fits it"
            notes[name] = f"sensitivity.csv lacks the model '{name}', {why}."

    def missed(name: str, why: str) -> None:
        notes[name] = f"sensitivity.csv lacks numbers of the model '{name}': {why}."

    tried = [model for model in models if model.name not in notes]
    table = sensitivity_table(printed, tried, unit=unit, other_units=OTHER_UNITS, on_miss=missed, shared=shared)
    return table, tuple(notes.values())


def _notes(estimates: Estimates, result: SummaryResult) -> tuple[str, ...]:
    notes = [
        f"Between-group scale τ: mean {_text(result.tau.mean) or 'undefined'}, "
        f"{level(CI_PROB)} interval {_text(result.tau.ci_low)} to {_text(result.tau.ci_high)}. Origin: printed."
    ]
    if len(estimates.labels) > MAX_CONTRASTED:
        notes.append(
            f"contrasts.csv is left empty: it would have a row for every two of {len(estimates.labels)} groups."
        )
    n_printed = int(estimates.printed.sum())
    if n_printed < 5:
        notes.append(
            f"{n_printed} {'estimate says' if n_printed == 1 else 'estimates say'} little about τ: its prior matters, "
            "see sensitivity.csv."
        )
    if any(isinstance(error, ImpliedError) for error in estimates.errors):
        notes.append("Standard errors that the stars imply were integrated over; see se_reading in effects.csv.")
    return tuple(notes)


def _notes_on_pairs(estimates: Estimates, model: SummaryModel, engine: str) -> tuple[str, ...]:
    few = len(estimates.labels) <= MAX_CONTRASTED
    if not few or engine == "pymc" or not too_heavy_for_pairs(estimates, model):
        return ()
    return (
        "contrasts.csv is left empty: where both the estimates and their groups have t distributions a difference has "
        "too many nodes; --engine pymc samples it.",
    )


def _df_notes(printed: PrintedEstimates, estimates: Estimates, model: SummaryModel) -> tuple[str, ...]:
    """Say which likelihood estimates with degrees of freedom have, and how slopes are distributed if not normally."""
    shape = between_shape(model)
    notes = [] if shape == NORMAL else [slopes_sentence(estimates, model, shape)]
    if not printed.t_likelihood or all(math.isinf(row.df) for row in printed.rows if row.estimate is not None):
        return tuple(notes)
    if any(error is not None and math.isfinite(error.likelihood_df) for error in estimates.errors):
        notes.append("Estimates with degrees of freedom have a t likelihood.")
    else:
        notes.append(
            "With moderators or a covariance all likelihoods are normal: the column of degrees of freedom is ignored, "
            "but where a standard error comes from an interval, a p-value or stars."
        )
    return tuple(notes)


def _no_nan(value: Any) -> Any:
    """Replace NaN, which JSON has not, by null."""
    if isinstance(value, dict):
        return {key: _no_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_no_nan(item) for item in value]
    return None if isinstance(value, float) and value != value else value
