"""The job behind `cbec-bayes replicate`: a study's classical tables from its panel, beside its printed cells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cbec_bayes.jobs.inputs import input_hashes
from cbec_bayes.panel.study import load_study
from cbec_bayes.replication import Replication, replicate
from cbec_bayes.replication.alternatives import alternatives_frame, index_weights_frame
from cbec_bayes.runtime.files import csv_text
from cbec_bayes.runtime.progress import OnProgress, Progress, ignore_progress

FILES = ("replication.csv", "classical.csv", "few.csv", "alternatives.csv", "index_weights.csv")
"""Files that `replicate` may write."""


@dataclass(frozen=True, slots=True)
class ReplicatedStudy:
    """What `replicate` finds.

    Attributes
    ----------
    replication
        The classical tables, cell by cell.
    few
        Whether the few-cluster methods were run.
    alternatives, index_weights
        The slope in every panel of the study, and the weights of the indices in them; empty where there is one panel.
    """

    replication: Replication
    few: bool
    alternatives: pd.DataFrame
    index_weights: pd.DataFrame

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return the tables, by name."""
        found = self.replication
        tables = {"replication": found.frame(), "classical": found.classical()}
        more = {"alternatives": self.alternatives, "index_weights": self.index_weights}
        return tables | ({"few": found.few_frame()} if self.few else {}) | {k: v for k, v in more.items() if len(v)}

    def files(self) -> dict[str, str]:
        """Return the files to write, by name."""
        return {f"{name}.csv": csv_text(table) for name, table in self.tables().items()}


def replicate_study(
    study: str | Path, *, few: bool = True, seed: int = 1, on_progress: OnProgress = ignore_progress
) -> ReplicatedStudy:
    """Compute a study's classical tables; see `cbec_bayes.replication.replicate`, whose errors are these.

    Parameters
    ----------
    study
        One of `cbec_bayes.panel.study.study_names()`, or a TOML file.
    few
        Whether to run the few-cluster methods, of which the wild cluster bootstrap is random.
    seed
        Seed of the bootstrap.
    on_progress
        Called with how much is done.
    """
    on_progress(Progress("regressions, jackknife and bootstrap" if few else "regressions"))
    found = load_study(study)
    replication = replicate(found, few=few, seed=seed, on_progress=on_progress)
    several = found.panel is not None and bool(found.panel.alternatives)
    others = alternatives_frame(found) if several else pd.DataFrame()
    return ReplicatedStudy(replication, few, others, index_weights_frame(found) if several else pd.DataFrame())


def content(study: str | Path, *, few: bool, seed: int) -> dict[str, Any]:
    """Return what the tables depend on; without the bootstrap nothing is random, and `seed` is none of it."""
    return {"inputs": input_hashes(load_study(study)), "few": few, "seed": seed if few else None}
