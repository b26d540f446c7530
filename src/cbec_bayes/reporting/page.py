"""The report of a reanalysis of printed tables: one HTML page and its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cbec_bayes.calibration.coverage import SCENARIOS
from cbec_bayes.checks.suite import CHECKS, title_of
from cbec_bayes.estimands import Summary
from cbec_bayes.jobs.answers import answer_sentences, answers
from cbec_bayes.jobs.calibrate import Shown
from cbec_bayes.jobs.difference_sentences import difference_sentences
from cbec_bayes.jobs.ensemble import Ensemble
from cbec_bayes.jobs.reanalysis import Reanalysis
from cbec_bayes.jobs.results import StudyResults
from cbec_bayes.jobs.study import StudyFits
from cbec_bayes.published.conclusions import conclude, prior_ranges
from cbec_bayes.published.estimates import SCENARIO_TEXTS
from cbec_bayes.published.printed import Coefficient, Paper
from cbec_bayes.replication import Replication, label_of, match_sentence
from cbec_bayes.reporting import figures
from cbec_bayes.reporting.calibration import calibration_figures, calibration_sentences
from cbec_bayes.reporting.checks import check_figures
from cbec_bayes.reporting.classical import jackknife_sentence
from cbec_bayes.reporting.ensemble import ensemble_figure, ensemble_sentences
from cbec_bayes.reporting.files import figure_files, table_files
from cbec_bayes.reporting.hierarchy import hierarchy_path, province_map, tau_sentence, unlearned_sentences
from cbec_bayes.reporting.reanalysis import MODEL_NAMES
from cbec_bayes.reporting.specifications import curve_files
from cbec_bayes.reporting.studytables import StudyTables, result_files, study_tables
from cbec_bayes.reporting.tables import ReportTable, interval, number, probability
from cbec_bayes.reporting.templating import render_template
from cbec_bayes.runtime.labels import GROUP_AVERAGE, GROUP_NEW, Origin
from cbec_bayes.specifications.conclusions import conclusion_sentences


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
        beside=tables.beside,
        classical=[_classical_part(one, tables.classical[name]) for name, one in found.classical.items()],
        pooled=_pooled_slope(found.analysis.paper),
        figures=drawn,
        hierarchical=[_hierarchical_part(name, found, tables, drawn) for name in found.hierarchical],
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
        "forest": figures.forest(analysis.effects, analysis.face_value, f"slope of {label}"),
        "path": figures.path(
            labels=path.labels,
            tau=path.tau,
            means=path.means,
            density=path.density,
            complete=path.complete,
            xlabel="sd of slopes between regions, τ",
        ),
        "sensitivity": figures.sensitivity(analysis.sensitivity, _panels(analysis), MODEL_NAMES, f"slope of {label}"),
    }
    for name, fits in found.hierarchical.items():
        drawn |= _figures_of_fits(name, fits, found.classical[name])
    for name, one in found.specified.items():
        exposure = label_of(found.classical[name])(one.exposure)
        for file, svg in curve_files(one.specifications, exposure, name).items():
            drawn[f"{file.removesuffix('.svg')}_{name}"] = str(svg)
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
        drawn[f"learned_{name}"] = figures.prior_posterior(fits.learned, title)
    path = hierarchy_path(name, fits, label_of(replication)(roles.exposure))
    return drawn | ({} if path is None else {f"path_{name}": path})


def _classical_part(replication: Replication, tables: Sequence[ReportTable]) -> dict[str, Any]:
    printed = replication.paper is not None
    return {
        "title": replication.study.title,
        "origin": replication.panel.origin,
        "printed": printed,
        "sentence": match_sentence(replication) if printed else "",
        "notes": replication.panel.notes,
        "convention": next(c.fit.convention for c in replication.columns if c.fit is not None),
        "jackknife": jackknife_sentence(replication),
        "tables": tables,
    }


def _hierarchical_part(name: str, found: StudyResults, tables: StudyTables, drawn: Mapping[str, str]) -> dict[str, Any]:
    fits, replication = found.hierarchical[name], found.classical[name]
    exposure = label_of(replication)(replication.panel.roles.exposure)
    return {
        "name": name,
        "title": replication.study.title,
        "origin": fits.origin,
        "specified": _specified_part(name, found, tables, drawn),
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


def answer(found: StudyResults) -> tuple[str, ...]:
    """Say what was found and how far to trust it: signs that are settled and those that are not, then sizes.

    Every sentence on a sign is made from answers.csv, or from a study's conclusions.csv.
    """
    analysis, result = found.analysis, found.analysis.result
    concluded = conclude(analysis.estimates, result, analysis.sensitivity, analysis.audit)
    sizes = [f"{g} {number(result.groups[g].mean, 2)} ({_ci(result.groups[g])})" for g in concluded.groups]
    new = result.new
    return (
        *answer_sentences(answers(analysis, found.ensemble)),
        *(_of_panel(name, found) for name in found.specified if _origin(name, found) is Origin.OBSERVED),
        f"Partial pooling of the printed slopes gives {', '.join(sizes)} under the headline's reading and prior; other "
        "readings and priors give other intervals.",
        f"A region that the table does not show could lie anywhere from {number(new.ci_low, 2)} to "
        f"{number(new.ci_high, 2)}, for {len(concluded.groups)} regions say little about how far regions differ: τ = "
        f"{number(result.tau.mean, 2)}, 95 % interval {interval(result.tau.ci_low, result.tau.ci_high)}.",
        f"The evidence is weaker than it looks: {concluded.contradicted} of {concluded.coefficients} coefficients have "
        "parentheses that cannot be the standard errors they are said to be.",
    )


def _origin(name: str, found: StudyResults) -> Origin:
    return found.classical[name].panel.origin


def _of_panel(name: str, found: StudyResults) -> str:
    """Say what an observed panel shows of the average slope under every specification."""
    one = found.specified[name]
    label = label_of(found.classical[name])
    own = one.conclusions[one.conclusions["group"] == GROUP_AVERAGE]
    outcome = label(found.classical[name].panel.roles.outcome)
    said = " ".join(conclusion_sentences(own, label(one.exposure)))
    return f"Observed statistics, with another outcome ({outcome}) and another exposure, say this. {said}"


def _ci(summary: Summary) -> str:
    return interval(summary.ci_low, summary.ci_high)


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
