"""The job behind `cbec-bayes audit`: a folder of printed tables in, what their own arithmetic says of them out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cbec_bayes.jobs.inputs import read_by
from cbec_bayes.panel.study import load_study
from cbec_bayes.published.audit import audit, readings_frame
from cbec_bayes.published.printed import load_paper
from cbec_bayes.published.readings import JUDGED, Verdict
from cbec_bayes.replication import observed_rows
from cbec_bayes.runtime.files import asset_dir, csv_text

OWN_STUDY = "paper"
"""Study whose tables ship with the package, and whose observed regressors its audit uses."""


FILES = ("audit.csv", "readings.csv")
"""Files that `audit` writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedTables:
    """What the audit of printed tables finds.

    Attributes
    ----------
    findings
        One row per finding: table, column, term, check, verdict, detail and more.
    readings
        What each parenthesis can be.
    counts
        Findings by verdict, without readings that nobody states.
    failures
        What contradicts the tables, faults before doubts, each once: severity, table, column, term, check, detail.
    summary
        All of it in one or two sentences.
    notes
        Sentences on how the files were read.
    """

    findings: pd.DataFrame
    readings: pd.DataFrame
    counts: dict[Verdict, int]
    failures: pd.DataFrame
    summary: str
    notes: tuple[str, ...] = ()

    def files(self) -> dict[str, str]:
        """Return the files to write, by name."""
        return {"audit.csv": csv_text(self.findings), "readings.csv": csv_text(self.readings)}


def read_by_audit(folder: Path | None = None) -> list[Path]:
    """Return the files and folders that an audit is made from; parameters are those of `audit_tables`."""
    return read_by(load_study(OWN_STUDY)) if folder is None else [folder, asset_dir("data") / "regions"]


def audit_tables(folder: Path | None = None) -> AuditedTables:
    """Audit the printed tables of a folder.

    Parameters
    ----------
    folder
        Of tables as CSV, and paper.toml; default the tables that ship with the package.

    Raises
    ------
    InputError
        A table cannot be read.
    """
    paper = load_paper(folder)
    observed = observed_rows(load_study(OWN_STUDY), paper) if folder is None else None
    found = audit(paper, observed)
    columns = ("severity", "table", "column", "term", "check", "detail")
    faults = [(str(one.severity), *(getattr(one, name) for name in columns[1:])) for one in found.faults()]
    return AuditedTables(
        findings=found.frame(),
        readings=readings_frame(paper),
        counts={verdict: found.count(verdict) for verdict in JUDGED},
        failures=pd.DataFrame(faults, columns=list(columns)),
        summary=found.summary(),
        notes=paper.notes,
    )
