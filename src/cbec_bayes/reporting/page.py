"""The report of a reanalysis of printed tables: one HTML page and its tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cbec_bayes.calibration import event_coverage
from cbec_bayes.calibration.coverage import SCENARIOS
from cbec_bayes.checks.suite import CHECKS, title_of
from cbec_bayes.jobs.calibrate import Shown
from cbec_bayes.jobs.difference_sentences import difference_sentences
from cbec_bayes.jobs.ensemble import Ensemble
from cbec_bayes.jobs.reanalysis import Reanalysis
from cbec_bayes.jobs.results import StudyResults
from cbec_bayes.jobs.study import StudyFits
from cbec_bayes.published.conclusions import prior_ranges
from cbec_bayes.published.estimates import SCENARIO_TEXTS
from cbec_bayes.published.printed import Coefficient, Paper
from cbec_bayes.replication import Replication, label_of, match_sentence
from cbec_bayes.reporting import figures
from cbec_bayes.reporting.calibration import calibration_figures, calibration_sentences
from cbec_bayes.reporting.checks import check_figures
from cbec_bayes.reporting.classical import jackknife_sentence
from cbec_bayes.reporting.ensemble import ensemble_figure, ensemble_sentences
from cbec_bayes.reporting.events import event_figure, event_section
from cbec_bayes.reporting.files import figure_files, table_files
from cbec_bayes.reporting.front import answer, evidence_figure, printed_details
from cbec_bayes.reporting.hierarchy import hierarchy_path, province_map, tau_sentence, unlearned_sentences
from cbec_bayes.reporting.reanalysis import MODEL_NAMES
from cbec_bayes.reporting.specifications import curves
from cbec_bayes.reporting.studytables import StudyTables, result_files, study_tables
from cbec_bayes.reporting.tables import interval, number, probability
from cbec_bayes.reporting.templating import render_template
from cbec_bayes.runtime.labels import GROUP_NEW


@dataclass(frozen=True, slots=True)
class Page:
    """A rendered report: the HTML text, and every file that goes with it by relative name."""

    html: str
    files: Mapping[str, str]


def render(found: StudyResults) -> Page:
    """Render the results of a study as a page, with the files that go with it: tables, figures and results."""
    tables, drawn = study_tables(found), _figures(found)
    html = render_template(
        "report.html.j2",
        analysis=found.analysis,
        facts=found.analysis.paper.facts,
        answer=answer(found),
        how_much_is_prior=how_much_is_prior(found.analysis),
        tables=tables.by_name(),
        pooled=_pooled_slope(found.analysis.paper),
        figures=drawn,
        panels=[_panel_part(name, found, tables, drawn) for name in found.classical],
        printed_details=printed_details(found),
        ensemble=_ensemble_part(found.ensemble, tables),
        calibration=_calibration_part(found.calibration, tables),
        scenario_texts=SCENARIO_TEXTS,
        manifest=found.manifest,
        number=number,
        probability=probability,
        interval=interval,
    )
    return Page(html, figure_files(drawn) | table_files(tables.by_name(), cells=True) | result_files(found))


def _figures(found: StudyResults) -> dict[str, str]:
    """Draw every figure of a study's report, by name."""
    analysis = found.analysis
    label, path = _exposure_label(analysis), analysis.path
    drawn = {
        "forest": figures.forest(analysis.effects, analysis.face_value, f"slope of {label}").svg(),
        "path": figures.path(
            labels=path.labels,
            tau=path.tau,
            means=path.means,
            density=path.density,
            complete=path.complete,
            xlabel="sd of slopes between regions, τ",
        ).svg(),
        "sensitivity": figures.sensitivity(
            analysis.sensitivity, _panels(analysis), MODEL_NAMES, f"slope of {label}"
        ).svg(),
    }
    for name, fits in found.hierarchical.items():
        drawn |= _figures_of_fits(name, fits, found.classical[name])
    for name, one in found.specified.items():
        exposure = label_of(found.classical[name])(one.exposure)
        for curve, drawing in curves(one.specifications, exposure, name).items():
            drawn[f"{curve}_{name}"] = drawing.svg()
    observed = evidence_figure(found.evidence)
    if observed is not None:
        drawn["evidence"] = observed
    drawn |= {f"events_{name}": event_figure(one, name) for name, one in found.events.items()}
    if found.ensemble is not None:
        drawn["ensemble"] = ensemble_figure(found.ensemble, label)
    if found.calibration is not None:
        drawn |= calibration_figures(found.calibration)
    return drawn


def _figures_of_fits(name: str, fits: StudyFits, replication: Replication) -> dict[str, str]:
    """Draw the checks of a study, what is learned of its scales, its units on a map, and its shrinkage path."""
    roles = replication.panel.roles
    drawn = check_figures(name, fits, roles.exposure)
    mapped = province_map(name, fits, roles.outcome)
    drawn |= {} if mapped is None else {f"map_{name}": mapped}
    if len(fits.learned):
        title = f"Scales before and after the data, {name}"
        drawn[f"learned_{name}"] = figures.prior_posterior(fits.learned, title).svg()
    path = hierarchy_path(name, fits, label_of(replication)(roles.exposure))
    return drawn | ({} if path is None else {f"path_{name}": path})


def _panel_part(name: str, found: StudyResults, tables: StudyTables, drawn: Mapping[str, str]) -> dict[str, Any]:
    """Return what the page shows of one panel: its regressions, and its hierarchical fits where it has groups."""
    replication = found.classical[name]
    printed = replication.paper is not None
    return {
        "name": name,
        "title": replication.study.title,
        "origin": replication.panel.origin,
        "printed": printed,
        "sentence": match_sentence(replication) if printed else "",
        "notes": replication.panel.notes,
        "convention": next(c.fit.convention for c in replication.columns if c.fit is not None),
        "jackknife": jackknife_sentence(replication),
        "classical": tables.classical[name],
        "beside": tables.beside.get(name),
        "specified": _specified_part(name, found, tables, drawn),
        "events": event_section(found.events[name], name) if name in found.events else None,
        "events_figure": drawn.get(f"events_{name}"),
        "no_events": found.no_events.get(name, ""),
        "fits": _fits_part(name, found, tables, drawn) if name in found.hierarchical else None,
    }


def _fits_part(name: str, found: StudyResults, tables: StudyTables, drawn: Mapping[str, str]) -> dict[str, Any]:
    fits, replication = found.hierarchical[name], found.classical[name]
    exposure = label_of(replication)(replication.panel.roles.exposure)
    return {
        "tau": tau_sentence(fits),
        "differ": difference_sentences(fits.differences, exposure, next(iter(fits.questions))),
        "priors": fits.priors,
        "tables": tables.hierarchical[name],
        "questions": fits.questions,
        "unlearned": unlearned_sentences(fits),
        "learned": drawn.get(f"learned_{name}"),
        "checks": tables.checks[name],
        "check_figures": _of_checks(name, fits, drawn, shown=True),
        "more_check_figures": _of_checks(name, fits, drawn, shown=False),
        "figure": drawn.get(f"path_{name}"),
        "path_gates": fits.path.gates,
        "map": drawn.get(f"map_{name}"),
    }


def _specified_part(
    name: str, found: StudyResults, tables: StudyTables, drawn: Mapping[str, str]
) -> dict[str, Any] | None:
    """Return what a study's slopes are under every specification: sentences, tables, and the curves."""
    if name not in found.specified:
        return None
    one = found.specified[name]
    curves = [svg for key, svg in drawn.items() if key.startswith("specifications") and key.endswith(f"_{name}")]
    return {"sentences": one.sentences, "tables": tables.specified[name], "curves": curves}


def _ensemble_part(ensemble: Ensemble | None, tables: StudyTables) -> dict[str, Any] | None:
    return None if ensemble is None else {"tables": tables.ensemble, "sentences": ensemble_sentences(ensemble)}


def _calibration_part(calibration: Shown | None, tables: StudyTables) -> dict[str, Any] | None:
    if calibration is None:
        return None
    return {
        "tables": tables.calibration,
        "sentences": calibration_sentences(calibration),
        "scenarios": SCENARIOS,
        "of_events": event_coverage.SCENARIOS,
        "manifest": calibration.manifest,
    }


def _of_checks(name: str, fits: StudyFits, drawn: Mapping[str, str], *, shown: bool) -> list[tuple[str, str]]:
    """Return title and drawing of the checks whose figures are shown at once, or folded away."""
    found = [(check.name, drawn.get(f"{check.name}_{name}")) for check in fits.checks]
    at_once = {check.name for check in CHECKS if check.shown}
    return [(title_of(check), svg) for check, svg in found if svg is not None and (check in at_once) is shown]


def how_much_is_prior(analysis: Reanalysis) -> str:
    """Say how far each group's slope moves between the priors, under the headline reading."""
    parts = [
        f"{one.group}: mean {interval(*one.means)}, width of the 95 % interval {interval(*one.widths)}"
        for one in prior_ranges(analysis.sensitivity, analysis.study.reading, analysis.result.labels)
    ]
    return "Between the priors, under the headline reading: " + "; ".join(parts) + "."


def _exposure_label(analysis: Reanalysis) -> str:
    facts = analysis.paper.facts
    return facts.label(facts.exposure or "")


def _panels(analysis: Reanalysis) -> list[str]:
    """Choose the groups of the sensitivity figure: a new group only where none of the labelled ones is predicted."""
    labels = list(analysis.result.labels)
    return labels if not analysis.estimates.printed.all() else [*labels, GROUP_NEW]


def _pooled_slope(paper: Paper) -> Coefficient | None:
    """Return the exposure's slope in the column whose rows the groups share out."""
    for partition in paper.facts.partitions:
        if partition.whole is not None and paper.facts.exposure is not None:
            return paper.columns[partition.whole].coefficients.get(paper.facts.exposure)
    return None
