"""The job behind `cbec-bayes calibrate`: ranks of every member, coverage, and the behaviour that produced them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cbec_bayes.bayes.model.family import panel_model_names
from cbec_bayes.calibration.behaviour import as_text, behaviour, differences
from cbec_bayes.calibration.coverage import coverage
from cbec_bayes.calibration.event_coverage import event_coverage, misses
from cbec_bayes.calibration.plan import plan
from cbec_bayes.calibration.sbc import Calibration, calibrate, verdicts
from cbec_bayes.runtime.errors import GateError, InputError
from cbec_bayes.runtime.fanout import Executor
from cbec_bayes.runtime.files import asset_dir, csv_text, read_toml
from cbec_bayes.runtime.journal import Journal
from cbec_bayes.runtime.progress import OnProgress, ignore_progress
from cbec_bayes.runtime.receipts import program

REPLICATIONS = 1_000
"""Replications of each member that the collapsed engine fits."""

TELLING = 100
"""Replications from which on a wrong model must be found out."""

MANIFEST = "calibration.json"
BEHAVIOUR = "behaviour.json"
FILES = ("sbc.csv", "sbc_ranks.csv", "coverage.csv", "event_coverage.csv", MANIFEST, BEHAVIOUR)
_JOURNAL = {name: f"unfinished-{name}.jsonl" for name in ("sbc", "coverage", "event_coverage")}
JOURNALS = tuple(_JOURNAL.values())
"""Files in which unfinished work is kept."""

FOLDER = "calibration"
"""Folder of the package's own results, under data/."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A calibration to be shown; see `committed` for the one that ships with the package.

    Attributes
    ----------
    sbc, ranks, coverage, events
        Its tables; see `Calibrated.files`.
    manifest
        Settings and digests.
    current
        Whether the code and the models at hand are those that produced it.
    """

    sbc: pd.DataFrame
    ranks: pd.DataFrame
    coverage: pd.DataFrame
    events: pd.DataFrame
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
    events
        The same of effects of staggered adoption; see `cbec_bayes.calibration.event_coverage.event_coverage`.
    manifest
        Settings, and digests of what produced the numbers.
    """

    results: tuple[Calibration, ...]
    coverage: pd.DataFrame
    events: pd.DataFrame
    manifest: Mapping[str, Any]

    def files(self) -> dict[str, str]:
        """Return the files to write, by name."""
        shown = self.shown()
        return {
            "sbc.csv": csv_text(shown.sbc),
            "sbc_ranks.csv": csv_text(shown.ranks.assign(origin="simulated")),
            "coverage.csv": csv_text(self.coverage, digits=6),
            "event_coverage.csv": csv_text(self.events, digits=6),
            MANIFEST: json.dumps(self.manifest, indent=1) + "\n",
            BEHAVIOUR: as_text(behaviour()),
        }

    def shown(self) -> Shown:
        """Return the tables that figures and reports are made of."""
        counts = pd.concat([one.counts() for one in self.results], ignore_index=True)
        return Shown(
            sbc=verdicts(self.results),
            ranks=counts,
            coverage=self.coverage,
            events=self.events,
            manifest=self.manifest,
            current=True,
        )

    def require(self) -> None:
        """Raise `GateError` where a right model fails, or a wrong one passes `TELLING` replications or more.

        So do intervals of effects of adoption; see `cbec_bayes.calibration.event_coverage.misses`.
        """
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
            *([f"replications that could not be fitted or missed a gate: {', '.join(lost)}"] if lost else []),
            *misses(self.events),
        ]
        if reasons:
            raise GateError(f"calibration failed: {'; '.join(reasons)}")


def digests() -> dict[str, str]:
    """Return digests of what the numbers depend on: how the code behaves, and the terms and priors of the models.

    See `cbec_bayes.calibration.behaviour`. Unfinished work asks for more, that the whole program be the same.
    """
    folder = asset_dir("models")
    models = {name: dict(read_toml(folder / f"{name}.toml")) for name in panel_model_names()}
    for model in models.values():
        for words in ("question", "assumes"):
            model.pop(words, None)
    return {"behaviour": _digest(as_text(behaviour())), "models": _digest(json.dumps(models, sort_keys=True))}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def calibrate_all(
    executor: Executor,
    *,
    n: int = REPLICATIONS,
    outcomes: int | None = None,
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
        Replications; see `cbec_bayes.calibration.plan.plan`.
    outcomes
        Outcomes of each scenario of the coverage study; default half of the replications.
    seed
        Seed of everything random.
    kept_in
        Folder in which results are kept as they come, so that the same call goes on after an interruption.
    on_progress
        Called with a line as each piece of work ends.

    Raises
    ------
    InputError
        Fewer than one replication or outcome is asked for.
    """
    if min(n, 1 if outcomes is None else outcomes) < 1:
        raise InputError(f"at least one replication and one outcome are needed; {n} and {outcomes} were asked for")
    planned = plan(n, outcomes)
    made = {
        "replications": n,
        "outcomes_per_scenario": planned.outcomes,
        "event_panels_per_scenario": planned.event_panels,
        "seed": seed,
        "produced_by": digests(),
    }
    what = json.dumps({**made, **program()})

    def journal(name: str) -> Journal | None:
        return None if kept_in is None else Journal(kept_in / _JOURNAL[name], what)

    def asked(name: str) -> dict[str, Any]:
        return {"seed": seed, "journal": journal(name), "on_progress": on_progress}

    ranks = calibrate(executor, planned.models, **asked("sbc"))
    covered = coverage(executor, planned.outcomes, **asked("coverage"))
    events = event_coverage(executor, planned.event_panels, **asked("event_coverage"))
    return Calibrated(tuple(ranks), covered, events, made)


def forget(kept_in: Path) -> None:
    """Remove what was kept of unfinished work, once the results are written."""
    for name in JOURNALS:
        Journal(kept_in / name, "").remove()


def committed() -> Shown | None:
    """Return the calibration that ships with the package; None where there is none."""
    folder = asset_dir("data") / FOLDER
    if not all((folder / name).is_file() for name in FILES):
        return None
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    sbc_table, ranks, covered, events = (pd.read_csv(folder / name) for name in FILES[:4])
    stored = (folder / BEHAVIOUR).read_text(encoding="utf-8")
    return Shown(
        sbc=sbc_table,
        ranks=ranks,
        coverage=covered,
        events=events,
        manifest=manifest,
        current=_is_current(manifest["produced_by"], stored),
    )


def _is_current(produced_by: Mapping[str, str], stored: str) -> bool:
    """Return whether results with these digests and this stored behaviour are those of the code and models at hand."""
    if produced_by.get("models") != digests()["models"] or produced_by.get("behaviour") != _digest(stored):
        return False
    return not differences(behaviour(), json.loads(stored))
