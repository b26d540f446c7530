"""Panels whose two unknown columns reproduce what was printed: one, or an ensemble."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from cbec_bayes.classical.conventions import convention
from cbec_bayes.jobs.inputs import input_hashes
from cbec_bayes.panel import Panel, panel_of, read_frame, study_frame
from cbec_bayes.panel.design import Design, make_design
from cbec_bayes.panel.study import PanelSpec, Study, load_study
from cbec_bayes.published.printed import Paper, load_paper
from cbec_bayes.reconstruction.solver import Solution, solve
from cbec_bayes.reconstruction.start import Start, starts
from cbec_bayes.reconstruction.system import System, make_system
from cbec_bayes.reconstruction.targets import bounds, targets_of
from cbec_bayes.replication import Replication, paper_columns, replicate
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.fanout import SERIAL, Executor, fan_out
from cbec_bayes.runtime.files import asset_dir, csv_text
from cbec_bayes.runtime.labels import Origin
from cbec_bayes.runtime.progress import OnProgress, Progress, ignore_progress

_DECIMALS = 9  # railway density varies so little that its slopes feel the seventh
_PULL = 2.5e-3  # towards the start, while targets are being met
_CLOSER = 0.1  # towards the proxies, once they are
_TOLERANCE = 0.9  # of the half-width of each rounding: what is met prints the same digits
_ITERATIONS = 1_500
_CLOSER_ITERATIONS = 3_000
_REDRAWS = 8  # of an ensemble's targets and proxies, where the first cannot be met together


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconstruction:
    """One panel built to reproduce the printed numbers.

    Attributes
    ----------
    columns
        unit, time, outcome, exposure: what was unknown, to nine decimals.
    replication
        The classical tables of that panel beside the printed cells: its record.
    seed
        None for the central one, else the seed of its targets and proxies.
    worst
        Largest distance from a target, in half-widths of its rounding.
    distance
        Root mean square distance from the proxies, over outcome and exposure in their own units.
    iterations, seconds
        Iterations and seconds of the solver.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> found = cb.reconstruct(cb.load_problem(cb.load_study("paper")), seed=1)
    >>> found.worst < 1
    True
    """

    columns: pd.DataFrame
    replication: Replication
    seed: int | None
    worst: float
    distance: float
    iterations: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Problem:
    """What every reconstruction of a study shares.

    Attributes
    ----------
    study, spec, paper
        What is asked and what is printed.
    frame
        Observed columns, n rows.
    design
        Observed controls with the exposure's and the outcome's places empty (zeros).

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> cb.load_problem(cb.load_study("paper")).spec.controls
    ('lngdp', 'urban', 'dfi', 'edu', 'rail')
    """

    study: Study
    spec: PanelSpec
    paper: Paper
    frame: pd.DataFrame
    design: Design


def load_problem(study: Study) -> Problem:
    """Read a study's observed columns and its printed tables.

    Raises
    ------
    InputError
        The study has no printed tables, no panel, or no proxies; an observed column is missing.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> problem = cb.load_problem(cb.load_study("paper"))
    >>> problem.design.n_obs
    240
    """
    spec = study.panel
    if study.published is None or spec is None:
        raise InputError(
            f"the study '{study.name}' has no printed tables or no panel: so that nothing can be reconstructed"
        )
    for key in ("weights", "cluster", "absorb"):
        if getattr(spec, key):
            raise InputError(
                f"the study '{study.name}' names panel.{key}: a reconstruction takes no weights, no "
                "clusters other than units, and no effects beside those of units and periods"
            )
    for role in ("outcome", "exposure"):
        if not spec.proxies.get(role):
            raise InputError(
                f"the study '{study.name}' names no observed column that stands in for its {role}; name one "
                "under panel.proxies"
            )
    files = tuple(name for name in spec.files if _is_observed(name, spec))
    frame = study_frame(spec, files)
    for column in (*spec.controls, *spec.proxies["outcome"], *spec.proxies["exposure"]):
        if column not in frame.columns:
            raise InputError(f"no such observed column in the study '{study.name}'", column=column)
    for column in (*spec.proxies["outcome"], *spec.proxies["exposure"]):
        values = pd.to_numeric(frame[column], errors="coerce")
        if values.isna().any() or values.nunique() < 2:
            raise InputError("a proxy must be a column of numbers that vary, without missing cells", column=column)
    panel = _stand_in(spec, frame)
    keys = [spec.unit, spec.time]
    ordered = panel.frame[keys].merge(frame, on=keys, how="left")  # rows in the order of the design
    paper = load_paper(asset_dir("data") / "published" / study.published.tables)
    return Problem(study, spec, paper, ordered, make_design(panel))


def _is_observed(name: str, spec: PanelSpec) -> bool:
    """Whether a file of the study has neither unknown column; the reconstruction itself may not be there yet."""
    path = asset_dir("data") / name
    return path.is_file() and not {spec.outcome, spec.exposure} & set(read_frame(path).columns)


def _stand_in(spec: PanelSpec, frame: pd.DataFrame) -> Panel:
    """Return the panel with noise for the unknown columns, which no result depends on, so that its checks can run."""
    rng = np.random.default_rng(0)
    noise = {name: rng.normal(size=len(frame)) for name in (spec.outcome, spec.exposure)}
    return panel_of(spec, frame.assign(**noise))


def reconstruct(problem: Problem, seed: int | None = None) -> Reconstruction:
    """Find an outcome and an exposure that reproduce the printed numbers on the observed controls.

    Parameters
    ----------
    problem
        From `load_problem`.
    seed
        None aims at the printed numbers themselves and stays close to the study's proxies. Otherwise targets are drawn
        within their rounding and proxies are varied, so that each seed gives another panel.

    Returns
    -------
    Reconstruction
        The one, among several starting points, that ends closest to the proxies and meets every target (for an ensemble
        the first of them). Where none meets every target, the one that misses least. Its record says what it does not
        meet.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> problem = cb.load_problem(cb.load_study("paper"))
    >>> found = cb.reconstruct(problem, seed=1)
    >>> list(found.columns)
    ['province', 'year', 'ci', 'cbec', 'origin']
    """
    with threadpool_limits(limits=1):  # the matrices are small: threads would cost more than they bring
        return _reconstruct(problem, seed)


def _reconstruct(problem: Problem, seed: int | None) -> Reconstruction:
    begun = time.perf_counter()
    best: _Candidate | None = None
    iterations = 0
    rng = None if seed is None else np.random.default_rng(seed)
    for candidate in _candidates(problem, rng):
        iterations += candidate.solution.iterations
        if best is None or candidate.better_than(best):
            best = candidate
        if rng is not None and best.solution.worst < 1:
            break
    assert best is not None
    spec, n = problem.spec, problem.design.n_obs
    unknown = {spec.outcome: best.solution.point[:n], spec.exposure: best.solution.point[n:]}
    columns = problem.frame[[spec.unit, spec.time]].assign(
        **{name: values.round(_DECIMALS) for name, values in unknown.items()}, origin=str(Origin.RECONSTRUCTED)
    )
    panel = panel_of(_reconstructed(spec), problem.frame.assign(**columns[list(unknown)]))
    record = replicate(problem.study, panel=panel)
    return Reconstruction(
        columns=columns,
        replication=record,
        seed=seed,
        worst=best.solution.worst,
        distance=best.distance,
        iterations=iterations,
        seconds=time.perf_counter() - begun,
    )


@dataclass(frozen=True, slots=True)
class _Candidate:
    solution: Solution
    distance: float

    def better_than(self, other: _Candidate) -> bool:
        if self.solution.worst < 1 and other.solution.worst < 1:
            return self.distance < other.distance
        return self.solution.worst < other.solution.worst


def _candidates(problem: Problem, rng: np.random.Generator | None) -> Iterator[_Candidate]:
    spec, design = problem.spec, problem.design
    columns = paper_columns(problem.paper, design)
    proxies = tuple(spec.proxies["outcome"]), tuple(spec.proxies["exposure"])
    for _ in range(1 if rng is None else _REDRAWS):
        targets = targets_of(problem.paper, columns, design, rng)
        system = make_system(design, targets, convention(spec.convention))
        moments = targets.outcome, targets.exposure
        for start in starts(problem.frame, proxies, moments, unit=design.unit, group=design.group, rng=rng):
            yield _solve(system, start, closer=rng is None)


def _reconstructed(spec: PanelSpec) -> PanelSpec:
    origins = {**spec.origins, spec.outcome: Origin.RECONSTRUCTED, spec.exposure: Origin.RECONSTRUCTED}
    return replace(spec, origins=origins)


def _solve(system: System, start: Start, *, closer: bool) -> _Candidate:
    """Meet the targets; then, where asked, move towards the proxies as far as the targets allow."""
    low, high = (
        np.concatenate(parts)
        for parts in zip(
            bounds(system.targets.outcome, start.outcome), bounds(system.targets.exposure, start.exposure), strict=True
        )
    )
    begin = np.clip(np.concatenate([start.outcome, start.exposure]), low, high)
    reference = np.clip(np.concatenate([start.outcome_proxy, start.exposure_proxy]), low, high)
    found = solve(
        system.residuals,
        begin,
        begin,
        low,
        high,
        n_wishes=system.n_wishes,
        pull=_PULL,
        tolerance=_TOLERANCE,
        max_iterations=_ITERATIONS,
    )
    if closer and found.worst < 1:
        nearer = solve(
            system.residuals,
            found.point,
            reference,
            low,
            high,
            n_wishes=system.n_wishes,
            pull=_CLOSER,
            tolerance=0.0,
            max_iterations=_CLOSER_ITERATIONS,
        )
        found = replace(nearer if nearer.worst < 1 else found, iterations=found.iterations + nearer.iterations)
    return _Candidate(found, float(np.sqrt(np.mean((found.point - reference) ** 2))))


def reconstruct_study(
    study: str | Path,
    n: int | None = None,
    *,
    seed: int = 1,
    executor: Executor = SERIAL,
    on_progress: OnProgress = ignore_progress,
) -> tuple[Problem, list[Reconstruction]]:
    """Return what the reconstructions of a study share, and the reconstructions: the central one, or an ensemble.

    Parameters
    ----------
    study
        One of `cbec_bayes.panel.study.study_names()`, or a TOML file.
    n
        Members of an ensemble; None for the one central panel, in which nothing is random.
    seed
        Seed of an ensemble.
    executor, on_progress
        As in `cbec_bayes.runtime.fanout.fan_out`.

    Raises
    ------
    InputError
        There is no such study, or nothing to reconstruct; see `load_problem`.
    """
    problem = load_problem(load_study(study))
    if n is not None:
        return problem, ensemble(problem, n, seed, executor=executor, on_progress=on_progress)
    on_progress(Progress("the panel closest to what is observed"))
    return problem, [reconstruct(problem)]


def content(study: str | Path, n: int | None, *, seed: int) -> dict[str, Any]:
    """Return what the reconstructions of a study depend on; `seed` is nothing that the central one depends on."""
    return {"inputs": input_hashes(load_study(study)), "n": n, "seed": None if n is None else seed}


def ensemble(
    problem: Problem, n: int, seed: int = 1, *, executor: Executor = SERIAL, on_progress: OnProgress = ignore_progress
) -> list[Reconstruction]:
    """Return n distinct reconstructions, with seeds that follow from `seed` and the member's number alone.

    The executor's workers share them, and they are the same whoever does the work.
    """
    return fan_out(executor, partial(reconstruct, problem), seeds_of(n, seed), on_progress=on_progress, named="panel")


def seeds_of(n: int, seed: int) -> list[int]:
    """Return the seed of each of n members."""
    return [int(child.generate_state(1)[0]) for child in np.random.SeedSequence(seed).spawn(n)]


def record_frame(reconstructions: Sequence[Reconstruction]) -> pd.DataFrame:
    """Return every member's cells, one below the other: panel, then the columns of replication.csv."""
    frames = [r.replication.frame().assign(panel=i) for i, r in enumerate(reconstructions, 1)]
    frame = pd.concat(frames, ignore_index=True)
    return frame[["panel", *(name for name in frame.columns if name != "panel")]]


def summary_frame(reconstructions: Sequence[Reconstruction]) -> pd.DataFrame:
    """Return one row per member: panel, seed, cells met and not, how far from the worst target, iterations."""
    rows = [
        (i, r.seed, *r.replication.counts().values(), r.worst, r.distance, r.iterations, str(Origin.RECONSTRUCTED))
        for i, r in enumerate(reconstructions, 1)
    ]
    names = ["panel", "seed", "met", "met_within_rounding", "not_met", "worst_in_half_widths", "distance"]
    names += ["iterations", "origin"]
    return pd.DataFrame(rows, columns=names).astype({"seed": "Int64"})


FILES = ("panels/*.csv", "record.csv", "summary.csv")
"""Files that `reconstruct` writes, by name or by pattern."""


def ensemble_files(problem: Problem, reconstructions: Sequence[Reconstruction]) -> dict[str, str]:
    """Return the files to write, by name: every panel, the cell-by-cell record, one row per panel."""
    stem = Path(next((name for name in problem.spec.files if not _is_observed(name, problem.spec)), "panel")).stem
    digits = len(str(len(reconstructions)))
    files = {
        f"panels/{stem}_{i:0{digits}d}.csv": r.columns.to_csv(index=False, lineterminator="\n")
        for i, r in enumerate(reconstructions, 1)
    }
    return {
        **files,
        "record.csv": csv_text(record_frame(reconstructions)),
        "summary.csv": csv_text(summary_frame(reconstructions)),
    }
