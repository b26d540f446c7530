"""The main job: compute a study, render its report, write everything whole, with a manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cbec_bayes.checks.suite import CHECKS
from cbec_bayes.jobs.calibrate import FILES, FOLDER, committed
from cbec_bayes.jobs.compare import side_by_side
from cbec_bayes.jobs.ensemble import MEMBERS, Ensemble, run_ensemble
from cbec_bayes.jobs.reanalysis import STEPS as REANALYSIS_STEPS
from cbec_bayes.jobs.reanalysis import Reanalysis, reanalyse
from cbec_bayes.jobs.reconstruct import load_problem
from cbec_bayes.jobs.study import STUDY_MODELS, StudyFits, fit_models
from cbec_bayes.panel.study import Study, load_study
from cbec_bayes.published.printed import load_paper
from cbec_bayes.replication import Replication, observed_rows, printed_coefficients, printed_numbers, replicate
from cbec_bayes.reporting.page import render
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.fanout import SERIAL, Executor
from cbec_bayes.runtime.files import asset_dir, locked, sha256, write_files
from cbec_bayes.runtime.journal import Journal, code_digest
from cbec_bayes.runtime.progress import OnProgress, Progress, ignore_progress
from cbec_bayes.runtime.versions import versions

STEPS = (
    *REANALYSIS_STEPS,
    "running the classical regressions",
    "fitting and checking the models",
    "many panels that print the same tables",
    "writing the report",
)

UNFINISHED = "unfinished-ensemble.jsonl"
"""What is kept of an ensemble that was interrupted, in the report's folder."""


def together(study: Study) -> tuple[Study, ...]:
    """Return a study and the one that is shown beside it, if there is one; two of one name raise `InputError`."""
    if study.beside is None:
        return (study,)
    beside = load_study(study.beside)
    if beside.name == study.name:
        raise InputError(f"beside: that study is called '{study.name}' as well", file=study.path)
    return study, beside


def input_hashes(study: Study) -> dict[str, str]:
    """Return the SHA-256 of every file that a study's result depends on.

    By its path under the study's folder, or under data/ or models/ where it ships with the package.
    """
    data, models = asset_dir("data"), asset_dir("models")
    own: set[Path] = set()
    for one in together(study):
        own.add(one.path.parent.resolve() / one.path.name)
        if one.published is not None:
            tables = data / "published" / one.published.tables
            own |= {*tables.glob("*"), data / (load_paper(tables).facts.scheme or "")}
            named = (one.published.model, *one.published.sensitivity)
            own |= {models / f"{name.removesuffix('.toml')}.toml" for name in named}
        if one.panel is not None:
            own |= {models / f"{name}.toml" for name in STUDY_MODELS}
            own |= {data / name for name in (*one.panel.files, one.panel.scheme or "")}
    for kind in ("regions", "maps"):
        own |= set((data / kind).glob("*.csv"))
    own |= {data / FOLDER / name for name in FILES}
    own = {path for path in own if path.is_file()}
    hashes: dict[str, str] = {}
    for kind, root in (("data/", data), ("models/", models), ("", study.path.parent.resolve())):
        there = {path for path in own if path.is_relative_to(root)}
        hashes |= {f"{kind}{name}": digest for name, digest in sha256(there, root).items()}
        own -= there
    return hashes


def manifest(study: Study, seed: int) -> dict[str, Any]:
    """Return what is needed to make the same report again; no time, place or machine, so that it compares equal."""
    return {"study": study.name, "seed": seed, "versions": versions(), "inputs": input_hashes(study)}


def n_steps(models: Sequence[str] = STUDY_MODELS) -> int:
    """Return how many steps `run` has, at most, besides its counted pieces."""
    return len(STEPS) + 2 * (len(models) + len(CHECKS))


@dataclass(frozen=True, slots=True)
class Made:
    """A report that was made and not yet written.

    Attributes
    ----------
    analysis
        Of the printed tables.
    ensemble
        The headline on many reconstructions; None where there is none.
    files
        By name, the page first.
    journal
        Of what was unfinished, to be removed once the files are written.
    """

    analysis: Reanalysis
    ensemble: Ensemble | None
    files: Mapping[str, str]
    journal: Journal


def run(study: str | Path, out: Path, **options: Any) -> tuple[Reanalysis, list[Path]]:
    """Make the report of a study and write it; options are those of `make_report`.

    Returns
    -------
    analysis, paths
        The results, and the files written, the page first.
    """
    with locked(out):
        made = make_report(study, out, **options)
        written = write_files(out, made.files)
        made.journal.remove()
    return made.analysis, written


def make_report(
    study: str | Path,
    out: Path,
    *,
    seed: int = 1,
    models: Sequence[str] = STUDY_MODELS,
    members: int = MEMBERS,
    executor: Executor = SERIAL,
    on_progress: OnProgress = ignore_progress,
) -> Made:
    """Run a study and make its report.

    Parameters
    ----------
    study
        One of `cbec_bayes.panel.study.study_names()`, or a TOML file.
    out
        Folder that what is unfinished is kept in; the page will be ``reanalysis.html``, with tables and manifest
        beside it.
    seed
        Seed of everything that is sampled.
    models
        Members of the family that are fitted, the headline first.
    members
        Panels of the ensemble of reconstructions; none for 0.
    executor
        Who does the refits; see `cbec_bayes.runtime.fanout.open_executor`.
    on_progress
        Called with the name of each step as it begins.

    Raises
    ------
    InputError
        There is no such study, or nothing is printed in it.
    """
    chosen = load_study(study)
    if chosen.published is None:
        raise InputError(
            f"the study '{chosen.name}' has no printed tables to reanalyse; `cbec-bayes replicate --study {study}` "
            "makes its classical tables"
        )
    observed = observed_rows(chosen, load_paper(asset_dir("data") / "published" / chosen.published.tables))
    analysis = reanalyse(chosen.published, observed=observed, seed=seed, on_progress=on_progress)
    on_progress(Progress(STEPS[-4]))
    classical = {
        one.name: replicate(one, few=True, seed=seed, on_progress=on_progress)
        for one in together(chosen)
        if one.panel is not None
    }
    on_progress(Progress(STEPS[-3]))
    hierarchical = {
        name: fit_models(
            one.design,
            one.study.panel.convention,
            columns=[column.spec for column in one.columns],
            models=models,
            printed=printed_numbers(one),
            seed=seed,
            executor=executor,
            on_progress=on_progress,
        )
        for name, one in classical.items()
        if one.study.panel is not None and len(one.design.groups) > 1
    }
    compared = {name: compare_study(classical[name], fits) for name, fits in hierarchical.items()}
    on_progress(Progress(STEPS[-2]))
    made = manifest(chosen, seed)
    ensemble, journal = None, Journal(out / UNFINISHED, json.dumps([made, members, _ensemble_code()]))
    if members and chosen.panel is not None and chosen.panel.proxies:
        problem = load_problem(chosen)
        ensemble = run_ensemble(
            problem, executor, n=members, model=models[0], seed=seed, journal=journal, on_progress=on_progress
        )
    on_progress(Progress(STEPS[-1]))
    page = render(analysis, made, classical, hierarchical, compared, ensemble, committed())
    files = {
        "reanalysis.html": page.html,
        **page.files,
        "manifest.json": json.dumps(made, indent=1) + "\n",
    }
    return Made(analysis, ensemble, files, journal)


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


def _ensemble_code() -> str:
    from cbec_bayes import bayes, classical, reconstruction

    return code_digest(bayes, classical, reconstruction)
