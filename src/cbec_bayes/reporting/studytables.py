"""The tables of a study's report: for people, by the part of the page that shows them, and as results for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from cbec_bayes.jobs.answers import answers
from cbec_bayes.jobs.results import StudyResults
from cbec_bayes.jobs.study import StudyFits
from cbec_bayes.reporting.calibration import calibration_tables
from cbec_bayes.reporting.checks import check_tables
from cbec_bayes.reporting.classical import classical_tables
from cbec_bayes.reporting.comparison import compare_table
from cbec_bayes.reporting.ensemble import ensemble_tables
from cbec_bayes.reporting.events import event_section
from cbec_bayes.reporting.front import evidence_table
from cbec_bayes.reporting.hierarchy import hierarchy_tables
from cbec_bayes.reporting.reanalysis import reanalysis_tables
from cbec_bayes.reporting.spectables import specification_frames, specification_tables
from cbec_bayes.reporting.tables import ReportTable, slope_decimals
from cbec_bayes.runtime.files import csv_text
from cbec_bayes.runtime.labels import Origin

SAMPLED_DIGITS = 5
"""Significant digits of tables that come of draws."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyTables:
    """The tables of a page, each part's in the order in which it shows them.

    Attributes
    ----------
    printed
        Tables of the printed numbers.
    specified, classical, hierarchical, checks
        By study.
    events
        Effects by time since adoption, by study.
    evidence
        What observed panels say, where there are any.
    beside
        Classical and hierarchical slopes side by side, by study.
    ensemble, calibration
        Empty where there is none.
    """

    printed: Sequence[ReportTable]
    specified: Mapping[str, Sequence[ReportTable]]
    classical: Mapping[str, Sequence[ReportTable]]
    hierarchical: Mapping[str, Sequence[ReportTable]]
    checks: Mapping[str, Sequence[ReportTable]]
    events: Mapping[str, Sequence[ReportTable]]
    evidence: Sequence[ReportTable]
    beside: Mapping[str, ReportTable]
    ensemble: Sequence[ReportTable]
    calibration: Sequence[ReportTable]

    def by_name(self) -> dict[str, ReportTable]:
        """Return every table by its name."""
        of_studies = (
            *self.specified.values(),
            *self.classical.values(),
            *self.hierarchical.values(),
            *self.checks.values(),
            *self.events.values(),
        )
        beside = tuple(self.beside.values())
        parts = (self.evidence, self.printed, *of_studies, beside, self.ensemble, self.calibration)
        return {table.name: table for part in parts for table in part}


def study_tables(found: StudyResults) -> StudyTables:
    """Return the tables of a study's report."""
    digits = {name: slope_decimals(fits.effects) for name, fits in found.hierarchical.items()}
    return StudyTables(
        printed=reanalysis_tables(found.analysis),
        specified={name: specification_tables(name, one) for name, one in found.specified.items()},
        classical={name: classical_tables(one) for name, one in found.classical.items()},
        hierarchical={name: hierarchy_tables(name, fits, digits[name]) for name, fits in found.hierarchical.items()},
        checks={name: check_tables(name, fits, digits[name]) for name, fits in found.hierarchical.items()},
        events={name: event_section(one, name).tables for name, one in found.events.items()},
        evidence=[] if found.evidence.empty else [evidence_table(found.evidence)],
        beside={name: compare_table(f"{name}_compare", one, digits[name]) for name, one in found.compared.items()},
        ensemble=[] if found.ensemble is None else ensemble_tables(found.ensemble),
        calibration=[] if found.calibration is None else calibration_tables(found.calibration),
    )


def result_files(found: StudyResults) -> dict[str, str]:
    """Return the results as CSV: every digit of what is exact, `SAMPLED_DIGITS` of what comes of draws."""
    files = {f"tables/{name}.csv": csv_text(frame, SAMPLED_DIGITS) for name, frame in _sampled(found).items()}
    return files | {f"tables/{name}.csv": csv_text(frame) for name, frame in _exact(found).items()}


def _exact(found: StudyResults) -> dict[str, pd.DataFrame]:
    analysis = found.analysis
    frames = {
        "effects": analysis.effects,
        "contrasts": analysis.contrasts,
        "sensitivity": analysis.sensitivity,
        "audit": analysis.audit.frame(),
        "answers": answers(analysis, found.ensemble),
        "engines": analysis.agreement.table.assign(origin=str(Origin.PRINTED)),
    }
    for name, one in found.classical.items():
        frames |= {
            f"{name}_replication": one.frame(),
            f"{name}_classical": one.classical(),
            f"{name}_few": one.few_frame(),
        }
    frames |= {f"{name}_alternatives_classical": one for name, one in found.alternatives.items()}
    return frames


def _sampled(found: StudyResults) -> dict[str, pd.DataFrame]:
    frames = {f"{name}_compare": one for name, one in found.compared.items()}
    if len(found.evidence):
        frames["evidence"] = found.evidence
    if found.ensemble is not None:
        frames |= {
            "ensemble_panels": found.ensemble.panels,
            "ensemble_sizes": found.ensemble.sizes,
            "ensemble_conclusions": found.ensemble.conclusions,
        }
    if found.calibration is not None:
        frames |= {
            "calibration_sbc": found.calibration.sbc,
            "calibration_coverage": found.calibration.coverage,
            "calibration_event_coverage": found.calibration.events,
        }
    for name, fits in found.hierarchical.items():
        frames |= _of_fits(name, fits)
    for name, one in found.specified.items():
        frames |= specification_frames(name, one)
    for name, own in found.events.items():
        tables = {"events": own.events, "event_pretrends": own.pretrends, "event_weights": own.weights}
        frames |= {f"{name}_{table}": frame for table, frame in tables.items()}
    return frames


def _of_fits(name: str, fits: StudyFits) -> dict[str, pd.DataFrame]:
    return {
        f"{name}_hierarchical_effects": fits.effects,
        f"{name}_hierarchical_contrasts": fits.contrasts,
        f"{name}_differences": fits.differences,
        f"{name}_diagnostics": fits.diagnostics,
        f"{name}_unit_effects": fits.unit_effects,
        f"{name}_learned": fits.learned,
        f"{name}_path": fits.path.frame(fits.origin),
        f"{name}_member_checks": fits.member_checks.assign(origin=str(fits.origin)),
        **{f"{name}_check_{check.name}": check.table for check in fits.checks if len(check.table)},
    }
