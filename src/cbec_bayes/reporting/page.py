"""The report of a reanalysis of printed tables: one HTML page and its tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from cbec_bayes.calibration.coverage import SCENARIOS
from cbec_bayes.checks.suite import CHECKS, title_of
from cbec_bayes.estimands import Summary
from cbec_bayes.jobs.calibrate import Shown
from cbec_bayes.jobs.ensemble import Ensemble
from cbec_bayes.jobs.reanalysis import Reanalysis
from cbec_bayes.jobs.study import StudyFits
from cbec_bayes.published.estimates import SCENARIO_TEXTS
from cbec_bayes.published.printed import Coefficient, Paper
from cbec_bayes.published.readings import Verdict
from cbec_bayes.replication import Replication, label_of, match_sentence
from cbec_bayes.reporting import figures
from cbec_bayes.reporting.calibration import calibration_figures, calibration_sentences, calibration_tables
from cbec_bayes.reporting.checks import check_figures, check_tables
from cbec_bayes.reporting.classical import classical_tables, jackknife_sentence
from cbec_bayes.reporting.comparison import compare_table
from cbec_bayes.reporting.ensemble import ensemble_figure, ensemble_sentences, ensemble_tables
from cbec_bayes.reporting.hierarchy import (
    hierarchy_path,
    hierarchy_tables,
    province_map,
    tau_sentence,
    unlearned_sentences,
)
from cbec_bayes.reporting.reanalysis import MODEL_NAMES, reanalysis_tables
from cbec_bayes.reporting.tables import interval, number, probability
from cbec_bayes.reporting.templating import render_template
from cbec_bayes.runtime.files import csv_text
from cbec_bayes.runtime.labels import GROUP_NEW, Origin

SAMPLED_DIGITS = 5
"""Significant digits of tables that come of draws."""


@dataclass(frozen=True, slots=True)
class Page:
    """A rendered report: the HTML text, and every file that goes with it by relative name."""

    html: str
    files: Mapping[str, str]


def render(
    analysis: Reanalysis,
    manifest: Mapping[str, object],
    classical: Mapping[str, Replication] | None = None,
    hierarchical: Mapping[str, StudyFits] | None = None,
    compared: Mapping[str, pd.DataFrame] | None = None,
    ensemble: Ensemble | None = None,
    calibration: Shown | None = None,
) -> Page:
    """Render a reanalysis.

    Parameters
    ----------
    analysis
        From `reanalyse`.
    manifest
        Versions, seed and hashes; shown at the end of the page.
    classical
        Classical tables by study: of this study's panel, and of the one shown beside it.
    hierarchical
        Fitted models by study.
    compared
        Classical and hierarchical slopes side by side, by study.
    ensemble
        The headline on many reconstructions.
    calibration
        That ships with the package.
    """
    label = analysis.paper.facts.label(analysis.paper.facts.exposure or "")
    replications = dict(classical or {})
    by_study = {name: classical_tables(one) for name, one in replications.items()}
    fitted = dict(hierarchical or {})
    digits = {name: _decimals(fits) for name, fits in fitted.items()}
    by_check = {name: check_tables(name, fits, digits[name]) for name, fits in fitted.items()}
    by_fit = {name: hierarchy_tables(name, fits, digits[name]) for name, fits in fitted.items()}
    beside = {name: compare_table(f"{name}_compare", one, digits[name]) for name, one in (compared or {}).items()}
    of_ensemble = [] if ensemble is None else ensemble_tables(ensemble)
    of_calibration = [] if calibration is None else calibration_tables(calibration)
    by_part = (
        *by_study.values(),
        *by_fit.values(),
        *by_check.values(),
        list(beside.values()),
        of_ensemble,
        of_calibration,
    )
    extra = [table for own in by_part for table in own]
    tables = {table.name: table for table in (*reanalysis_tables(analysis), *extra)}
    path = analysis.path
    drawn = {
        "forest": figures.forest(analysis.effects, analysis.face_value, f"slope of {label}"),
        "path": figures.path(
            path.labels, path.tau, path.means, path.density, path.complete, "sd of slopes between regions, τ"
        ),
        "sensitivity": figures.sensitivity(analysis.sensitivity, _panels(analysis), MODEL_NAMES, f"slope of {label}"),
    }
    for name, fits in fitted.items():
        exposure = replications[name].panel.roles.exposure
        drawn |= check_figures(name, fits, exposure)
        mapped = province_map(name, fits, replications[name].panel.roles.outcome)
        drawn |= {} if mapped is None else {f"map_{name}": mapped}
        if len(fits.learned):
            title = f"Scales before and after the data, {name}"
            drawn[f"learned_{name}"] = figures.prior_posterior(fits.learned, title)
        drawn[f"path_{name}"] = hierarchy_path(name, fits, label_of(replications[name])(exposure))
    if ensemble is not None:
        drawn["ensemble"] = ensemble_figure(ensemble, label)
    if calibration is not None:
        drawn |= calibration_figures(calibration)
    html = render_template(
        "report.html.j2",
        analysis=analysis,
        facts=analysis.paper.facts,
        answer=answer(analysis, ensemble),
        how_much_is_prior=how_much_is_prior(analysis),
        tables=tables,
        beside=list(beside.values()),
        classical=[
            {
                "title": one.study.title,
                "origin": one.panel.origin,
                "printed": one.paper is not None,
                "sentence": match_sentence(one) if one.paper is not None else "",
                "notes": one.panel.notes,
                "convention": next(c.fit.convention for c in one.columns if c.fit is not None),
                "jackknife": jackknife_sentence(one),
                "tables": by_study[name],
            }
            for name, one in replications.items()
        ],
        pooled=_pooled_slope(analysis.paper),
        figures=drawn,
        hierarchical=[
            {
                "name": name,
                "title": replications[name].study.title,
                "origin": fits.origin,
                "tau": tau_sentence(fits),
                "priors": fits.priors,
                "tables": by_fit[name],
                "questions": fits.questions,
                "unlearned": unlearned_sentences(fits),
                "learned": drawn.get(f"learned_{name}"),
                "checks": by_check[name],
                "check_figures": _of_checks(name, fits, drawn, shown=True),
                "more_check_figures": _of_checks(name, fits, drawn, shown=False),
                "figure": drawn[f"path_{name}"],
                "map": drawn.get(f"map_{name}"),
            }
            for name, fits in fitted.items()
        ],
        ensemble=None if ensemble is None else {"tables": of_ensemble, "sentences": ensemble_sentences(ensemble)},
        calibration=None
        if calibration is None
        else {
            "tables": of_calibration,
            "sentences": calibration_sentences(calibration),
            "scenarios": SCENARIOS,
            "manifest": calibration.manifest,
        },
        scenario_texts=SCENARIO_TEXTS,
        manifest=manifest,
        number=number,
        probability=probability,
        interval=interval,
    )
    files = {f"figures/{name}.svg": svg for name, svg in drawn.items()}
    files |= {f"tables/{name}.md": table.markdown() for name, table in tables.items()}
    files |= {f"tables/{name}.tex": table.latex() for name, table in tables.items()}
    files |= {
        f"tables/{name}.csv": csv_text(table.frame().assign(origin=table.origin)) for name, table in tables.items()
    }
    frames = {
        "effects": analysis.effects,
        "contrasts": analysis.contrasts,
        "sensitivity": analysis.sensitivity,
        "audit": analysis.audit.frame(),
        "engines": analysis.agreement.table.assign(origin=str(Origin.PRINTED)),
    }
    for name, one in replications.items():
        frames |= {
            f"{name}_replication": one.frame(),
            f"{name}_classical": one.classical(),
            f"{name}_few": one.few_frame(),
        }
    sampled: dict[str, pd.DataFrame] = {}
    sampled |= {f"{name}_compare": one for name, one in (compared or {}).items()}
    if ensemble is not None:
        sampled |= {
            "ensemble_panels": ensemble.panels,
            "ensemble_sizes": ensemble.sizes,
            "ensemble_conclusions": ensemble.conclusions,
        }
    if calibration is not None:
        sampled |= {"calibration_sbc": calibration.sbc, "calibration_coverage": calibration.coverage}
    for name, fits in fitted.items():
        sampled |= {
            f"{name}_hierarchical_effects": fits.effects,
            f"{name}_hierarchical_contrasts": fits.contrasts,
            f"{name}_diagnostics": fits.diagnostics,
            f"{name}_unit_effects": fits.unit_effects,
            f"{name}_learned": fits.learned,
            f"{name}_path": fits.path.frame(fits.origin),
            f"{name}_member_checks": fits.member_checks.assign(origin=str(fits.origin)),
            **{f"{name}_check_{check.name}": check.table for check in fits.checks if len(check.table)},
        }
    files |= {f"tables/{name}.csv": csv_text(frame, SAMPLED_DIGITS) for name, frame in sampled.items()}
    files |= {f"tables/{name}.csv": csv_text(frame) for name, frame in frames.items()}
    return Page(html, files)


def _decimals(fits: StudyFits) -> int:
    """Return decimals that show two digits of the smallest posterior standard deviation of a slope."""
    return max(2, 1 - math.floor(math.log10(fits.effects["sd"].min())))


def how_much_is_prior(analysis: Reanalysis) -> str:
    """Say how far each group's slope moves between the priors, under the headline reading."""
    table = analysis.sensitivity[analysis.sensitivity["reading"] == analysis.study.reading]
    parts = []
    for group in analysis.result.labels:
        rows = table[table["group"] == group]
        means, widths = rows["mean"], rows["ci_high"] - rows["ci_low"]
        parts.append(
            f"{group}: mean {number(means.min(), 2)} to {number(means.max(), 2)}, width of the 95 % interval "
            f"{number(widths.min(), 2)} to {number(widths.max(), 2)}"
        )
    return "Between the priors, under the headline reading: " + "; ".join(parts) + "."


def _of_checks(name: str, fits: StudyFits, drawn: Mapping[str, str], *, shown: bool) -> list[tuple[str, str]]:
    """Return title and drawing of the checks whose figures are shown at once, or folded away."""
    found = [(check.name, drawn.get(f"{check.name}_{name}")) for check in fits.checks]
    at_once = {check.name for check in CHECKS if check.shown}
    return [(title_of(check), svg) for check, svg in found if svg is not None and (check in at_once) is shown]


def answer(analysis: Reanalysis, ensemble: Ensemble | None = None) -> tuple[str, str, str]:
    """Say in three sentences what was found, and how far to trust it.

    Parameters
    ----------
    analysis
        Of the printed tables.
    ensemble
        The headline on many panels that print them.
    """
    result, printed = analysis.result, analysis.estimates.printed
    groups = [label for label, there in zip(result.labels, printed, strict=True) if there]
    claims = [f"{g} {number(result.groups[g].mean, 2)} ({_ci(result.groups[g])})" for g in groups]
    sure = [group for group in groups if result.groups[group].ci_low > 0]
    unsure = [group for group in groups if group not in sure]
    table = analysis.sensitivity
    trials = len(table.groupby(["reading", "model"]))
    firm = [f"{g} (in {((table['group'] == g) & (table['ci_low'] > 0)).sum()} of {trials})" for g in sure]
    verdict = f"the 95 % interval is above zero for {' and '.join(firm) or 'none'}"
    verdict += f", and reaches zero for {' and '.join(unsure)}" if unsure else ""
    verdict += f"; in brackets, how many of {trials} combinations of reading and prior agree" if sure else ""
    contradicted = analysis.audit.count(Verdict.FAIL, "reading")
    cells = sum(f.check == "reading" for f in analysis.audit.findings)
    new = result.new
    return (
        f"Partial pooling of the printed slopes gives {', '.join(claims)}: {verdict}.",
        f"A region that the table does not show could lie anywhere from {number(new.ci_low, 2)} to "
        f"{number(new.ci_high, 2)}, for {len(groups)} regions say little about how far regions differ: τ = "
        f"{number(result.tau.mean, 2)}, 95 % interval {interval(result.tau.ci_low, result.tau.ci_high)}.",
        f"The evidence is weaker than it looks: {contradicted} of {cells} coefficients have parentheses that cannot be "
        f"the standard errors they are said to be, and {_rest(ensemble)}.",
    )


def _rest(ensemble: Ensemble | None) -> str:
    """Say what the numbers of the first sentences rest on, and what else could be told from them."""
    if ensemble is None:
        return "every number here derives from the printed tables alone"
    found = ensemble.conclusions
    settled = found.loc[found["survives"] == "yes", "conclusion"].tolist()
    count = len(found)
    panels = ensemble.panels["panel"].nunique()
    return (
        f"of {count} conclusions that could be drawn from {panels} panels that print the same tables, only "
        f"{len(settled)} {'is' if len(settled) == 1 else 'are'} settled by what was printed"
        + (f": {'; '.join(settled)}" if settled else "")
    )


def _ci(summary: Summary) -> str:
    return interval(summary.ci_low, summary.ci_high)


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
