"""The job behind `cbec-bayes replicate`: a study's classical tables from its panel, beside its printed cells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cbec_bayes.jobs.inputs import input_hashes
from cbec_bayes.panel.study import load_study
from cbec_bayes.replication import Replication, replicate
from cbec_bayes.runtime.files import csv_text
from cbec_bayes.runtime.progress import OnProgress, Progress, ignore_progress

FILES = ("replication.csv", "classical.csv", "few.csv")
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
    """

    replication: Replication
    few: bool

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return the tables, by name."""
        found = self.replication
        tables = {"replication": found.frame(), "classical": found.classical()}
        return tables | ({"few": found.few_frame()} if self.few else {})

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
        Of the bootstrap.
    on_progress
        Called with how much is done.
    """
    on_progress(Progress("regressions, jackknife and bootstrap" if few else "regressions"))
    return ReplicatedStudy(replicate(load_study(study), few=few, seed=seed, on_progress=on_progress), few)


def content(study: str | Path, *, few: bool, seed: int) -> dict[str, Any]:
    """Return what the tables depend on; without the bootstrap nothing is random, and `seed` is none of it."""
    return {"inputs": input_hashes(load_study(study)), "few": few, "seed": seed if few else None}
