"""The main job: a study's printed tables, what is observed about its question, and the ensemble of reconstructions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from cbec_bayes.jobs.calibrate import committed
from cbec_bayes.jobs.compare import side_by_side
from cbec_bayes.jobs.ensemble import MEMBERS, ensemble_job, summarise_ensemble
from cbec_bayes.jobs.events import EventOptions, EventStudy, event_study
from cbec_bayes.jobs.evidence import evidence
from cbec_bayes.jobs.inputs import manifest, together
from cbec_bayes.jobs.lattices import Lattices, lattices_of
from cbec_bayes.jobs.questions import Question, other_panels, scale_of
from cbec_bayes.jobs.reanalysis import Reanalysis, reanalyse
from cbec_bayes.jobs.reconstruct import load_problem
from cbec_bayes.jobs.results import StudyResults
from cbec_bayes.jobs.specifications import Specified
from cbec_bayes.jobs.specifications import specified as specified_of
from cbec_bayes.jobs.study import STUDY_MODELS, StudyFits, StudyQuestion
from cbec_bayes.panel.study import Published, Study, load_study
from cbec_bayes.published.printed import load_paper
from cbec_bayes.published.summary_model import load_summary_model
from cbec_bayes.replication import Replication, observed_rows, printed_coefficients, printed_numbers, replicate
from cbec_bayes.replication.alternatives import alternatives_frame
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.fanout import SERIAL, Executor, Job, fan_out_together
from cbec_bayes.runtime.files import asset_dir
from cbec_bayes.runtime.journal import Journal
from cbec_bayes.runtime.labels import Origin
from cbec_bayes.runtime.progress import OnProgress, Progress, ignore_progress
from cbec_bayes.runtime.receipts import program

STEPS = (
    "running the classical regressions",
    "reading the printed tables and fitting the models",
    "checking the models, every specification, and many panels that print the same tables",
    "weighing the specifications",
    "writing the report",
)

UNFINISHED = "unfinished-ensemble.jsonl"
"""What is kept of an ensemble that was interrupted, in the report's folder."""


Depth = Literal["whole", "printed", "brief"]
"""How much is done with a panel.

The first observed one is the report's evidence: every member, every check (``whole``). A panel that prints a table is
put to every check but those that leave out some of the data, for its residuals are made (``printed``). A second outcome
or exposure is asked about the headline and its limits, in the same way (``brief``).
"""

BRIEF = STUDY_MODELS[:4]
"""Members that are fitted to a panel of which the headline and its limits are asked."""


def depths(study: Study) -> dict[str, Depth]:
    """Return what is done with the panel of a study, and of each that is reported beside it, by name."""
    found: dict[str, Depth] = {}
    for one in together(study):
        if one.panel is not None and one.published is not None:
            found[one.name] = "printed"
        elif one.panel is not None:
            found[one.name] = "brief" if "whole" in found.values() else "whole"
    return found


def _models(depth: Depth, models: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in models if depth != "brief" or name in BRIEF)


def run_study(
    study: str | Path,
    out: Path,
    *,
    seed: int = 1,
    models: Sequence[str] = STUDY_MODELS,
    members: int = MEMBERS,
    reduced: bool = False,
    executor: Executor = SERIAL,
    on_progress: OnProgress = ignore_progress,
) -> StudyResults:
    """Compute everything that the report of a study shows.

    Parameters
    ----------
    study
        One of `cbec_bayes.panel.study.study_names()`, or a TOML file.
    out
        Folder that what is unfinished is kept in.
    seed
        Seed of everything that is sampled.
    models
        Members of the family that are fitted, the headline first.
    members
        Panels of the ensemble of reconstructions; none for 0.
    reduced
        Whether observed panels, too, are fitted under the reduced lattice of specifications alone; reconstructed ones
        always are, for their residuals are made.
    executor
        Who does the refits; see `cbec_bayes.runtime.fanout.open_executor`.
    on_progress
        Called with the name of each step as it begins; the last of `STEPS` is left to who makes the page.

    Raises
    ------
    InputError
        There is no such study, or nothing is printed in it.
    """
    chosen = load_study(study)
    if chosen.published is None:
        raise InputError(
            f"the study '{chosen.name}' has no printed tables to reanalyse; `cbec-bayes replicate --study {study}` "
            "makes its classical tables, and `cbec-bayes specifications` with the same study asks what survives"
        )
    load_summary_model(chosen.published.model)  # what cannot be read is refused before anything is computed
    on_progress(Progress(STEPS[0]))
    classical = {
        one.name: replicate(one, few=True, seed=seed, on_progress=on_progress)
        for one in together(chosen)
        if one.panel is not None
    }
    made = manifest(chosen, seed)
    journal = ensemble_journal(out, made, members)
    asked = _asked(chosen, classical, models, seed=seed, reduced=reduced)
    on_progress(Progress(STEPS[1]))
    printed = ReanalysisPiece(
        study=chosen.published,
        observed=observed_rows(chosen, load_paper(asset_dir("data") / "published" / chosen.published.tables)),
        seed=seed,
    )
    first = [one.member_job for one in asked.fits.values()]
    reading = Job(work=reanalysed, pieces=[printed], named="analysis of the printed tables")
    (analysis,), *fitted = fan_out_together(executor, [reading, *first], on_progress=on_progress)
    on_progress(Progress(STEPS[2]))
    second: list[Job[Any, Any]] = [one.headline_job(own) for one, own in zip(asked.fits.values(), fitted, strict=True)]
    second += [one.fitting for one in asked.lattices.values()]
    if members and chosen.panel is not None and chosen.panel.proxies:
        second.append(ensemble_job(load_problem(chosen), n=members, seed=seed, journal=journal))
    found = iter(fan_out_together(executor, second, on_progress=on_progress))
    hierarchical = {
        name: one.found(own, next(found)) for (name, one), own in zip(asked.fits.items(), fitted, strict=True)
    }
    raw = {name: next(found) for name in asked.lattices}
    panels = next(found, None)
    on_progress(Progress(STEPS[3]))
    third = [one.weighing(raw[name]) for name, one in asked.lattices.items()]
    tables = fan_out_together(executor, third, on_progress=on_progress)
    specified = {
        name: _required(specified_of(one, raw[name], parts))
        for (name, one), parts in zip(asked.lattices.items(), tables, strict=True)
    }
    events, no_events = _events({name: one for name, one in classical.items() if asked.depths[name] == "whole"}, seed)
    alternatives = _alternatives(classical)
    return StudyResults(
        analysis=analysis,
        classical=classical,
        hierarchical=hierarchical,
        compared={name: compare_study(classical[name], fits) for name, fits in hierarchical.items()},
        specified=specified,
        alternatives=alternatives,
        events=events,
        no_events=no_events,
        evidence=evidence(classical, specified, alternatives),
        ensemble=None if panels is None else summarise_ensemble(panels),
        calibration=committed(),
        manifest=made,
        journal=journal,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReanalysisPiece:
    """A piece of work: the printed tables of a study; see `cbec_bayes.jobs.reanalysis.reanalyse`."""

    study: Published
    observed: Mapping[str, pd.DataFrame]
    seed: int


def reanalysed(piece: ReanalysisPiece) -> Reanalysis:
    """Analyse the printed tables of a study."""
    return reanalyse(piece.study, observed=piece.observed, seed=piece.seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What is asked of every panel with several groups, by the name of its study; `depths` are of all panels."""

    depths: Mapping[str, Depth]
    fits: Mapping[str, StudyQuestion]
    lattices: Mapping[str, Lattices]


def _asked(
    chosen: Study, classical: Mapping[str, Replication], models: Sequence[str], *, seed: int, reduced: bool
) -> _Asked:
    """Return the questions about every panel, the one that takes longest first."""
    asked = depths(chosen)
    several = {name: one for name, one in classical.items() if len(one.design.groups) > 1}
    return _Asked(
        depths=asked,
        fits={
            name: study_question(
                one, models=_models(asked[name], models), leaving_out=asked[name] == "whole", seed=seed
            )
            for name, one in several.items()
        },
        lattices={name: lattices_of(panel_question(one, seed=seed, reduced=reduced)) for name, one in several.items()},
    )


def _alternatives(classical: Mapping[str, Replication]) -> dict[str, pd.DataFrame]:
    """Return the slope in each other panel of the studies that name some, by study."""
    named = {name: one.study for name, one in classical.items() if one.study.panel is not None}
    return {name: alternatives_frame(one) for name, one in named.items() if one.panel and one.panel.alternatives}


def _required(found: Specified) -> Specified:
    found.require()
    return found


def _events(studies: Mapping[str, Replication], seed: int) -> tuple[dict[str, EventStudy], dict[str, str]]:
    """Return the event study of each panel, or why its exposure is none that units adopt, by name."""
    found: dict[str, EventStudy] = {}
    why: dict[str, str] = {}
    for name, one in studies.items():
        assert one.study.panel is not None
        try:
            options = EventOptions(ssc=one.study.panel.convention, seed=seed)
            found[name] = event_study(one.design, options, labels=one.study.panel.labels)
        except InputError as error:
            why[name] = str(error)
        else:
            found[name].require()
    return found, why


def study_question(replication: Replication, *, models: Sequence[str], leaving_out: bool, seed: int) -> StudyQuestion:
    """Return what is asked of a study's panel, to be checked against the study's own columns."""
    panel = replication.study.panel
    assert panel is not None
    return StudyQuestion(
        design=replication.design,
        ssc=panel.convention,
        models=models,
        columns=[column.spec for column in replication.columns],
        printed=printed_numbers(replication),
        leaving_out=leaving_out,
        seed=seed,
    )


def panel_question(replication: Replication, *, seed: int, reduced: bool) -> Question:
    """Return the question about a study's panel under every specification."""
    panel = replication.study.panel
    assert panel is not None
    return Question(
        design=replication.design,
        base=None,
        ssc=panel.convention,
        seed=seed,
        logarithms=panel.logarithm,
        outcome_scale=scale_of(panel),
        alternatives=other_panels(panel),
        reduced=reduced or replication.panel.origin is Origin.RECONSTRUCTED,
        content={},
    )


def compare_study(replication: Replication, fits: StudyFits) -> pd.DataFrame:
    """Set a study's classical columns beside its hierarchical slopes; see `cbec_bayes.jobs.compare.side_by_side`."""
    effects = {str(model): part for model, part in fits.effects.groupby("model", sort=False)}
    return side_by_side(
        replication.design,
        [column.spec for column in replication.columns],
        replication.few,
        effects,
        next(iter(fits.questions)),
        printed={} if replication.paper is None else printed_coefficients(replication.paper),
    )


def ensemble_journal(out: Path, made: Mapping[str, Any], members: int) -> Journal:
    """Return what keeps the panels of an unfinished ensemble; those of another program or manifest are begun anew."""
    return Journal(out / UNFINISHED, json.dumps([made, members, program()]))
