"""The main job: a study's printed tables, what is observed about its question, and the ensemble of reconstructions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from cbec_bayes.checks.suite import checks_asked
from cbec_bayes.jobs.calibrate import committed
from cbec_bayes.jobs.compare import side_by_side
from cbec_bayes.jobs.ensemble import MEMBERS, run_ensemble
from cbec_bayes.jobs.events import EventOptions, EventStudy, event_study
from cbec_bayes.jobs.evidence import evidence
from cbec_bayes.jobs.inputs import manifest, together
from cbec_bayes.jobs.questions import Question, other_panels, scale_of
from cbec_bayes.jobs.reanalysis import STEPS as REANALYSIS_STEPS
from cbec_bayes.jobs.reanalysis import reanalyse
from cbec_bayes.jobs.reconstruct import load_problem
from cbec_bayes.jobs.results import StudyResults
from cbec_bayes.jobs.specifications import Specified, specify
from cbec_bayes.jobs.study import STUDY_MODELS, StudyFits, fit_models
from cbec_bayes.panel.study import Study, load_study
from cbec_bayes.published.printed import load_paper
from cbec_bayes.replication import Replication, observed_rows, printed_coefficients, printed_numbers, replicate
from cbec_bayes.replication.alternatives import alternatives_frame
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.fanout import SERIAL, Executor
from cbec_bayes.runtime.files import asset_dir
from cbec_bayes.runtime.journal import Journal
from cbec_bayes.runtime.labels import Origin
from cbec_bayes.runtime.progress import OnProgress, Progress, ignore_progress
from cbec_bayes.runtime.receipts import program

STEPS = (
    *REANALYSIS_STEPS,
    "running the classical regressions",
    "fitting and checking the models",
    "every specification",
    "effects by time since adoption",
    "many panels that print the same tables",
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


def n_steps(study: Study) -> int:
    """Return how many steps `run` has, at most, besides its counted pieces."""
    asked = depths(study).values()
    return len(STEPS) + sum(len(checks_asked(leaving_out=depth == "whole")) + 1 for depth in asked)  # 1: the weights


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
    observed = observed_rows(chosen, load_paper(asset_dir("data") / "published" / chosen.published.tables))
    analysis = reanalyse(chosen.published, observed=observed, seed=seed, on_progress=on_progress)
    on_progress(Progress(STEPS[-6]))
    classical = {
        one.name: replicate(one, few=True, seed=seed, on_progress=on_progress)
        for one in together(chosen)
        if one.panel is not None
    }
    on_progress(Progress(STEPS[-5]))
    options: dict[str, Any] = {"seed": seed, "executor": executor, "on_progress": on_progress}
    asked = depths(chosen)
    hierarchical = {
        name: fit_study(
            one,
            one.study.panel.convention,
            models=_models(asked[name], models),
            leaving_out=asked[name] == "whole",
            **options,
        )
        for name, one in classical.items()
        if one.study.panel is not None and len(one.design.groups) > 1
    }
    compared = {name: compare_study(classical[name], fits) for name, fits in hierarchical.items()}
    on_progress(Progress(STEPS[-4]))
    specified = {name: specify_study(classical[name], reduced=reduced, **options) for name in hierarchical}
    on_progress(Progress(STEPS[-3]))
    events, no_events = _events({name: one for name, one in classical.items() if asked[name] == "whole"}, seed)
    on_progress(Progress(STEPS[-2]))
    made = manifest(chosen, seed)
    ensemble, journal = None, ensemble_journal(out, made, members)
    if members and chosen.panel is not None and chosen.panel.proxies:
        ensemble = run_ensemble(load_problem(chosen), n=members, journal=journal, **options)
    alternatives = {
        name: alternatives_frame(one.study)
        for name, one in classical.items()
        if one.study.panel is not None and one.study.panel.alternatives
    }
    return StudyResults(
        analysis=analysis,
        classical=classical,
        hierarchical=hierarchical,
        compared=compared,
        specified=specified,
        alternatives=alternatives,
        events=events,
        no_events=no_events,
        evidence=evidence(classical, specified, alternatives),
        ensemble=ensemble,
        calibration=committed(),
        manifest=made,
        journal=journal,
    )


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


def fit_study(replication: Replication, ssc: str, **options: Any) -> StudyFits:
    """Fit the family to a study's panel, and check it against the study's own columns; options are of `fit_models`."""
    columns = [column.spec for column in replication.columns]
    return fit_models(replication.design, ssc, columns=columns, printed=printed_numbers(replication), **options)


def specify_study(replication: Replication, *, seed: int, reduced: bool, **options: Any) -> Specified:
    """Fit a study's panel under every specification; options are of `cbec_bayes.jobs.specifications.specify`."""
    panel = replication.study.panel
    assert panel is not None
    question = Question(
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
    found = specify(question, **options)
    found.require()
    return found


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
