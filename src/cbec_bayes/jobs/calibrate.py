"""The job behind `cbec-bayes calibrate`: ranks of every member, coverage, and the digest of what produced them."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cbec_bayes.bayes.model.family import load_panel_model, panel_model_names
from cbec_bayes.calibration.coverage import coverage
from cbec_bayes.calibration.sbc import Calibration, calibrate, verdicts
from cbec_bayes.runtime.errors import GateError, InputError
from cbec_bayes.runtime.fanout import Executor, Journal, code_digest
from cbec_bayes.runtime.files import asset_dir, csv_text, sha256
from cbec_bayes.runtime.progress import OnProgress, ignore_progress

REPLICATIONS = 1_000
"""Replications of each member that the collapsed engine fits."""

WRONG = (("partial_pooling", "nested"), ("partial_pooling", "ar1"))
"""Fitted model and the model of its data: made wrong on purpose, to be found out."""

TELLING = 100
"""Replications from which on a wrong model must be found out."""

MANIFEST = "calibration.json"
FILES = ("sbc.csv", "sbc_ranks.csv", "coverage.csv", MANIFEST)
FOLDER = "calibration"
"""Folder of the package's own results, under data/."""

PRODUCERS = (
    *(f"bayes.model.{name}" for name in ("blocks", "densities", "family", "likelihoods.student_t", "prior")),
    *(f"bayes.moments.{name}" for name in ("by_unit", "coded", "lagged", "unit_slopes")),
    *(f"bayes.likelihood.{name}" for name in ("absorbed", "autoregressive", "collapsed", "conditional", "elimination")),
    *(f"bayes.likelihood.{name}" for name in ("independent", "normal_equations", "one_scale", "parameter", "rows")),
    "bayes.likelihood.unit_slope_errors",
    *(f"bayes.{name}" for name in ("sampling.importance", "posterior", "predictive", "fit")),
    *(f"bayes.pymc.{name}" for name in ("twin", "coordinates")),
    *(f"calibration.{name}" for name in ("simulate", "uniformity", "sbc", "coverage")),
    *(f"classical.{name}" for name in ("batch", "fewbatch", "conventions")),
    "estimands.groups",
    "panel.design",
    "panel.within",
)
"""Modules that the numbers depend on."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A calibration to be shown; see `committed` for the one that ships with the package.

    Attributes
    ----------
    sbc, ranks, coverage
        Its tables; see `Calibrated.files`.
    manifest
        Settings and digests.
    current
        Whether the code and the models at hand are those that produced it.
    """

    sbc: pd.DataFrame
    ranks: pd.DataFrame
    coverage: pd.DataFrame
    manifest: Mapping[str, Any]
    current: bool


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What `calibrate` finds.

    Attributes
    ----------
    results
        Ranks, model by model.
    coverage
        One row per scenario, column and method; see `cbec_bayes.calibration.coverage.coverage`.
    manifest
        Settings, and digests of what produced the numbers.
    """

    results: tuple[Calibration, ...]
    coverage: pd.DataFrame
    manifest: Mapping[str, Any]

    def files(self) -> dict[str, str]:
        """Return the files to write, by name."""
        shown = self.shown()
        return {
            "sbc.csv": csv_text(shown.sbc),
            "sbc_ranks.csv": csv_text(shown.ranks.assign(origin="simulated")),
            "coverage.csv": csv_text(self.coverage, digits=6),
            MANIFEST: json.dumps(self.manifest, indent=1) + "\n",
        }

    def shown(self) -> Shown:
        """Return the tables that figures and reports are made of."""
        counts = pd.concat([one.counts() for one in self.results], ignore_index=True)
        return Shown(verdicts(self.results), counts, self.coverage, self.manifest, current=True)

    def require(self) -> None:
        """Raise `GateError` where a right model fails, or a wrong one passes `TELLING` replications or more."""
        frame = verdicts(self.results)
        right = frame["model"] == frame["data_of"]
        failed = frame[right & (frame["passed"] == "no")]
        passed = [
            f"{model} fitted to data of {data_of}"
            for (model, data_of), part in frame[~right].groupby(["model", "data_of"])
            if (part["passed"] == "yes").all() and (part["replications"] >= TELLING).all()
        ]
        lost = [f"{one.model}: {one.failed}" for one in self.results if one.failed]
        reasons = [
            *(f"ranks of {r.quantity} under {r.model} are not uniform" for r in failed.itertuples()),
            *(f"{wrong} passes" for wrong in passed),
            *([f"replications that could not be fitted: {', '.join(lost)}"] if lost else []),
        ]
        if reasons:
            raise GateError(f"calibration failed: {'; '.join(reasons)}")


def plan(n: int) -> tuple[list[tuple[str, str, int]], int]:
    """Return model, model of its data and replications, and the outcomes per scenario of the coverage study.

    Members that PyMC samples and models that are wrong on purpose get a fifth of the replications, scenarios half.
    """
    few = max(1, n // 5)
    own = [(name, name, n if load_panel_model(name).is_gaussian else few) for name in panel_model_names()]
    return [*own, *((model, data_of, few) for model, data_of in WRONG)], max(1, n // 2)


def digests() -> dict[str, str]:
    """Return digests of the code and of the models that the numbers depend on."""
    modules = [importlib.import_module(f"cbec_bayes.{name}") for name in PRODUCERS]
    folder = asset_dir("models")
    models = sha256([folder / f"{name}.toml" for name in panel_model_names()], folder)
    return {"code": code_digest(*modules), "models": hashlib.sha256(json.dumps(models).encode()).hexdigest()}


def calibrate_all(
    executor: Executor,
    *,
    n: int = REPLICATIONS,
    seed: int = 1,
    kept_in: Path | None = None,
    on_progress: OnProgress = ignore_progress,
) -> Calibrated:
    """Calibrate every member and measure coverage.

    Parameters
    ----------
    executor
        From `cbec_bayes.runtime.fanout.open_executor`.
    n
        Replications; see `plan`.
    seed
        Of everything random.
    kept_in
        Folder in which results are kept as they come, so that the same call goes on after an interruption.
    on_progress
        Called with a line as each piece of work ends.

    Raises
    ------
    InputError
        Fewer than one replication is asked for.
    """
    if n < 1:
        raise InputError(f"at least one replication is needed, not {n}")
    models, outcomes = plan(n)
    made = {"replications": n, "outcomes_per_scenario": outcomes, "seed": seed, "produced_by": digests()}
    what = json.dumps(made)

    def journal(name: str) -> Journal | None:
        return None if kept_in is None else Journal(kept_in / f"unfinished-{name}.jsonl", what)

    ranks = calibrate(executor, models, seed=seed, journal=journal("sbc"), on_progress=on_progress)
    covered = coverage(executor, outcomes, seed=seed, journal=journal("coverage"), on_progress=on_progress)
    return Calibrated(tuple(ranks), covered, made)


def forget(kept_in: Path) -> None:
    """Remove what was kept of unfinished work, once the results are written."""
    for name in ("sbc", "coverage"):
        Journal(kept_in / f"unfinished-{name}.jsonl", "").remove()


def committed() -> Shown | None:
    """Return the calibration that ships with the package; None where there is none."""
    folder = asset_dir("data") / FOLDER
    if not all((folder / name).is_file() for name in FILES):
        return None
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    sbc_table, ranks, covered = (pd.read_csv(folder / name) for name in FILES[:3])
    return Shown(sbc_table, ranks, covered, manifest, manifest["produced_by"] == digests())
