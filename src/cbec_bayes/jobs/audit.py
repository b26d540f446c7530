"""The job behind `cbec-bayes audit`: printed tables in, what their own arithmetic says of them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from cbec_bayes.jobs.inputs import read_by
from cbec_bayes.jobs.printed_files import read_printed_file
from cbec_bayes.panel.study import load_study
from cbec_bayes.published.audit import Audit, audit, readings_frame
from cbec_bayes.published.printed import Paper, load_paper
from cbec_bayes.published.reading.tables import Asked
from cbec_bayes.published.readings import Verdict
from cbec_bayes.published.stated import Facts, read_facts
from cbec_bayes.replication import observed_rows
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.files import asset_dir, csv_text

OWN_STUDY = "paper"
"""Study whose tables ship with the package, and whose observed regressors its audit uses."""

FILES = ("audit.csv", "readings.csv", "audit.html", "summary.csv", "*/audit.csv", "*/readings.csv")
"""Files that `audit` writes, by name or by pattern."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedTables:
    """What the audit of the printed tables of one paper finds.

    Attributes
    ----------
    name
        Name of the paper: that of its folder or file.
    paper, audit
        The tables and all findings.
    findings
        One row per finding: table, column, term, check, verdict, detail and more.
    readings
        What each parenthesis can be.
    counts
        Findings by verdict, each contradiction once, and without readings that nobody states.
    failures
        What contradicts the tables, faults before doubts, each once: severity, table, column, term, check, detail.
    summary
        All of it in one or two sentences.
    notes
        Sentences on how the files were read.
    saved
        The tables as they were read, as the files that can be read again; empty where they were read from these.
    """

    name: str
    paper: Paper
    audit: Audit
    findings: pd.DataFrame
    readings: pd.DataFrame
    counts: dict[Verdict, int]
    failures: pd.DataFrame
    summary: str
    notes: tuple[str, ...] = ()
    saved: Mapping[str, str] = field(default_factory=dict)

    def files(self) -> dict[str, str]:
        """Return the tables to write, by name."""
        return {"audit.csv": csv_text(self.findings), "readings.csv": csv_text(self.readings)}


@dataclass(frozen=True, slots=True)
class AuditedPapers:
    """What the audit finds in one or more papers.

    Attributes
    ----------
    papers
        Those that were read.
    refused
        The papers, among several, that could not be read: name and reason of each.
    """

    papers: tuple[AuditedTables, ...]
    refused: tuple[tuple[str, str], ...] = ()

    @property
    def is_several(self) -> bool:
        """Whether more than one paper was named."""
        return len(self.papers) + len(self.refused) > 1

    def summary_frame(self) -> pd.DataFrame:
        """Return one row per paper: its tables and cells, and how many faults, doubts and open checks it has."""
        rows = []
        for one in self.papers:
            severities = list(one.failures["severity"])
            cells = sum(len(column.coefficients) for column in one.paper.columns.values())
            tables = {column.table for column in one.paper.columns.values()} | {table for table, _ in one.paper.moments}
            counted = {"tables": len(tables | set(one.paper.correlations)), "coefficients": cells}
            found = {"faults": severities.count("fault"), "doubts": severities.count("doubt")}
            left = one.counts[Verdict.UNDETERMINED]
            rows.append({"paper": one.name, **counted, **found, "undetermined": left, "summary": one.summary})
        rows += [{"paper": name, "summary": f"Not read: {reason}."} for name, reason in self.refused]
        frame = pd.DataFrame(rows)
        whole = [name for name in frame.columns if name not in ("paper", "summary")]
        return frame.astype(dict.fromkeys(whole, "Int64"))

    def files(self) -> dict[str, str]:
        """Return the tables to write, by name; those of several papers are in folders of their own."""
        if not self.is_several:
            return self.papers[0].files()
        found = {f"{one.name}/{name}": text for one in self.papers for name, text in one.files().items()}
        return {**found, "summary.csv": csv_text(self.summary_frame())}


def read_by_audit(folder: Path | None = None) -> list[Path]:
    """Return the files and folders that an audit is made from; parameters are those of `audit_tables`."""
    return read_by(load_study(OWN_STUDY)) if folder is None else [folder, asset_dir("data") / "regions"]


def audit_tables(folder: Path | None = None) -> AuditedTables:
    """Audit the printed tables of a folder.

    Parameters
    ----------
    folder
        Folder of tables as CSV, and paper.toml; default the tables that ship with the package.

    Raises
    ------
    InputError
        A table cannot be read.
    """
    paper = load_paper(folder)
    observed = observed_rows(load_study(OWN_STUDY), paper) if folder is None else None
    return _audited(OWN_STUDY if folder is None else folder.name, paper, observed)


def audit_papers(paths: Sequence[Path], asked: Asked, facts: Path | None = None) -> AuditedPapers:
    """Audit papers, each a folder of CSV tables or a file of printed tables.

    Parameters
    ----------
    paths
        Folders and files; ``-`` is the standard input.
    asked
        What the user says of tables that do not say it themselves.
    facts
        A paper.toml for files that have none.

    Raises
    ------
    InputError
        A table cannot be read, or something in it may mean two things. Of several papers those that cannot be read are
        told, unless none can.
    """
    said = Facts() if facts is None else read_facts(facts)
    found: list[AuditedTables] = []
    refused: list[tuple[str, str]] = []
    for path in paths:
        try:
            read = read_printed_file(path, asked, said)
        except InputError as error:
            if len(paths) == 1 or (path is paths[-1] and not found):
                raise
            refused.append((path.name, error.message))
            continue
        one = replace(_audited(read.name, read.paper, None), notes=read.notes, saved=read.saved)
        names = [other.name for other in found]
        found.append(replace(one, name=f"{one.name} ({names.count(one.name) + 1})") if one.name in names else one)
    return AuditedPapers(tuple(found), tuple(refused))


def _audited(name: str, paper: Paper, observed: Mapping[str, pd.DataFrame] | None) -> AuditedTables:
    found = audit(paper, observed)
    columns = ("severity", "table", "column", "term", "check", "detail")
    faults = [(str(one.severity), *(getattr(one, name) for name in columns[1:])) for one in found.faults()]
    return AuditedTables(
        name=name,
        paper=paper,
        audit=found,
        findings=found.frame(),
        readings=readings_frame(paper),
        counts=found.told(),
        failures=pd.DataFrame(faults, columns=list(columns)),
        summary=found.summary(),
        notes=paper.notes,
    )
