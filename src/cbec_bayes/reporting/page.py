"""The report of a reanalysis of printed tables: one HTML page and its tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from cbec_bayes.calibration.coverage import SCENARIOS
from cbec_bayes.calibration.job import Shown
from cbec_bayes.checks.suite import CHECKS, title_of
from cbec_bayes.ensemble import Ensemble
from cbec_bayes.estimands import Summary
from cbec_bayes.files import csv_text
from cbec_bayes.published.audit import Audit
from cbec_bayes.published.estimates import SCENARIO_TEXTS
from cbec_bayes.published.printed import Coefficient, Paper
from cbec_bayes.published.readings import Verdict
from cbec_bayes.published.reanalysis import Reanalysis
from cbec_bayes.replication import Replication, label_of, match_sentence
from cbec_bayes.reporting import figures
from cbec_bayes.reporting.calibration import calibration_figures, calibration_sentences, calibration_tables
from cbec_bayes.reporting.checks import check_figures, check_tables
from cbec_bayes.reporting.classical import classical_tables, jackknife_sentence
from cbec_bayes.reporting.comparison import compare_table
from cbec_bayes.reporting.drawing import GROUP_TITLES
from cbec_bayes.reporting.ensemble import ensemble_figure, ensemble_sentences, ensemble_tables
from cbec_bayes.reporting.hierarchy import (
    hierarchy_path,
    hierarchy_tables,
    province_map,
    tau_sentence,
    unlearned_sentences,
)
from cbec_bayes.reporting.tables import ReportTable, interval, number, probability, whole
from cbec_bayes.reporting.templating import render_template
from cbec_bayes.spec import GROUP_ALL, GROUP_NEW, Origin
from cbec_bayes.studyfit import StudyFits

MODEL_NAMES = {
    "published_half_normal": "half-normal",
    "published_half_t": "half-t",
    "published_exponential": "exponential",
    "published_wide": "wide uniform",
}


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
    tables = {table.name: table for table in (*_tables(analysis), *extra)}
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
                "answers": fits.answers,
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


def _audit_counts(audit: Audit) -> ReportTable:
    def count(check: str, verdict: Verdict) -> str:
        return str(sum(f.check == check and f.verdict is verdict for f in audit.findings))

    checks = dict.fromkeys(finding.check for finding in audit.findings)
    return ReportTable(
        "audit_counts",
        "How often each check passes, fails, or is left open.",
        Origin.PRINTED,
        ("Check", "Pass", "Fail", "Undetermined"),
        tuple((check, *(count(check, verdict) for verdict in Verdict)) for check in checks),
    )


def _audit_findings(analysis: Reanalysis) -> ReportTable:
    """Everything that failed or is worth a sentence, without the repeats of single readings."""
    label = analysis.paper.facts.label
    rows = tuple(
        (
            f"Table {f.table}" + (f" {f.column}" if f.column else ""),
            label(f.term) if f.term else "",
            str(f.verdict),
            f.detail,
            str(f.origin),
        )
        for f in analysis.audit.findings
        if not f.check.startswith(("stars_", "implied_", "column_"))
        and (f.verdict is Verdict.FAIL or f.check == "r2_split")
    )
    return ReportTable(
        "audit_findings",
        "The findings that matter, each with what it rests on: printed numbers alone, or observed controls too.",
        Origin.PRINTED,
        ("Place", "Term", "Verdict", "In words", "Origin"),
        rows,
        tuple(("", "", row[2], "", "") for row in rows),
    )


def _tables(analysis: Reanalysis) -> list[ReportTable]:
    return [
        *_printed_tables(analysis.paper, analysis.audit),
        _effects(analysis),
        _contrasts(analysis),
        _sensitivity(analysis),
        _audit_findings(analysis),
        _audit_counts(analysis.audit),
        _audit_table(analysis),
        _engines(analysis),
    ]


def _printed_tables(paper: Paper, audit: Audit) -> list[ReportTable]:
    """Show the regression tables as printed; a cell is marked by what the audit finds of its parentheses."""
    verdicts = {(f.table, f.column, f.term): f.verdict for f in audit.findings if f.check == "reading"}
    tables = [_moments_table(paper)] if paper.full_sample else []
    for table in dict.fromkeys(column.table for column in paper.columns.values()):
        columns = [column for column in paper.columns.values() if column.table == table]
        longest = max(columns, key=lambda column: len(column.coefficients))
        terms = list(dict.fromkeys(term for column in (longest, *columns) for term in column.coefficients))
        rows, marks = [], []
        for term in terms:
            cells = [column.coefficients.get(term) for column in columns]
            text = [
                "" if c is None else f"{c.estimate}{c.stars}" + (f" ({c.parenthesis})" if c.parenthesis else "")
                for c in cells
            ]
            rows.append((paper.facts.label(term), *text))
            marks.append(("", *(str(verdicts.get((table, column.name, term), "")) for column in columns)))
        for quantity, name in (("n_obs", "Observations"), ("r2", "Goodness of fit")):
            rows.append((name, *(str(column.numbers.get(quantity, "")) for column in columns)))
            marks.append(("",) * (len(columns) + 1))
        tables.append(
            ReportTable(
                f"printed_table{table}",
                f"Table {table} as printed.",
                Origin.PRINTED,
                ("", *(column.name for column in columns)),
                tuple(rows),
                tuple(marks),
            )
        )
    return tables


def _moments_table(paper: Paper) -> ReportTable:
    rows = paper.full_sample.values()
    cells = [
        (paper.facts.label(row.term), *(str(x or "") for x in (row.n_obs, row.mean, row.sd, row.min, row.max)))
        for row in rows
    ]
    table = next(iter(rows)).table
    return ReportTable(
        f"printed_table{table}",
        f"Table {table} as printed.",
        Origin.PRINTED,
        ("", "Observations", "Mean", "Standard deviation", "Minimum", "Maximum"),
        tuple(cells),
    )


def _effects(analysis: Reanalysis) -> ReportTable:
    rows = []
    for row in analysis.effects.to_dict("records"):
        printed = next((p for p in analysis.printed.rows if p.label == row["group"]), None)
        as_printed = "" if printed is None or printed.estimate is None else f"{printed.estimate}{printed.stars}"
        if printed is not None and printed.parenthesis is not None:
            as_printed += f" ({printed.parenthesis})"
        rows.append(
            (
                GROUP_TITLES.get(row["group"], row["group"]),
                whole(row["n_units"]),
                as_printed or "not printed",
                row["se_reading"] or "–",
                number(row["mean"], 2),
                interval(row["ci_low"], row["ci_high"]),
                probability(row["p_positive"]),
                number(row["pooling_factor"], 2) or "–",
            )
        )
    return ReportTable(
        "effects",
        "Slope of the exposure by region: as printed, and after partial pooling with a 95 % equal-tailed credible "
        "interval, the probability of a positive slope, and the pooling factor (0 keeps the printed slope, 1 replaces "
        "it by the mean).",
        Origin.PRINTED,
        (
            "Region",
            "Provinces",
            "As printed",
            "Standard error taken from",
            "Mean",
            "95 % interval",
            "P(slope > 0)",
            "Pooling",
        ),
        tuple(rows),
    )


def _contrasts(analysis: Reanalysis) -> ReportTable:
    rows = tuple(
        (
            f"{row['group']} − {row['minus']}",
            number(row["mean"], 2),
            interval(row["ci_low"], row["ci_high"]),
            probability(row["p_positive"]),
        )
        for row in analysis.contrasts.to_dict("records")
    )
    return ReportTable(
        "contrasts",
        "Differences between regions after partial pooling, with 95 % intervals.",
        Origin.PRINTED,
        ("Difference", "Mean", "95 % interval", "P(difference > 0)"),
        rows,
    )


def _sensitivity(analysis: Reanalysis) -> ReportTable:
    table = analysis.sensitivity
    groups = [*analysis.result.labels, GROUP_ALL, GROUP_NEW]
    rows = []
    for (reading, model), part in table.groupby(["reading", "model"], sort=False):
        by_group = {row["group"]: row for row in part.to_dict("records")}
        cells = [
            f"{number(row['mean'], 2)} ({interval(row['ci_low'], row['ci_high'])})"
            for row in (by_group[group] for group in ("(tau)", *groups))
        ]
        rows.append((str(reading).replace("_", " "), MODEL_NAMES.get(str(model), str(model)), *cells))
    heads = [GROUP_TITLES.get(group, group) for group in groups]
    return ReportTable(
        "sensitivity",
        "Posterior mean and 95 % interval under every reading of the parentheses and every prior of τ.",
        Origin.PRINTED,
        ("Reading", "Prior of τ", "τ", *heads),
        tuple(rows),
    )


def _audit_table(analysis: Reanalysis) -> ReportTable:
    frame = analysis.audit.frame()
    rows = tuple(
        (
            *(str(r[key]) for key in ("table", "column")),
            analysis.paper.facts.label(r["term"]),
            *(str(r[key]) for key in ("check", "verdict", "detail", "origin")),
        )
        for r in frame.to_dict("records")
    )
    marks = tuple(("", "", "", "", row[4], "", "") for row in rows)
    return ReportTable(
        "audit",
        f"All {len(rows)} findings of the audit.",
        Origin.PRINTED,
        ("Table", "Column", "Term", "Check", "Verdict", "In words", "Origin"),
        rows,
        marks,
    )


def _engines(analysis: Reanalysis) -> ReportTable:
    def row(r: pd.Series) -> tuple[str, ...]:
        return (
            str(r["quantity"]),
            number(r["quadrature"], 4),
            number(r["sampled"], 4),
            number(r["mcse"], 4),
            number(r["difference"], 1),
        )

    return ReportTable(
        "engines",
        "The same posterior by two engines; the difference is in Monte Carlo standard errors of the sampled one.",
        Origin.PRINTED,
        ("Quantity", "Quadrature", "PyMC, nutpie", "Standard error", "Difference"),
        tuple(row(r) for _, r in analysis.agreement.table.iterrows()),
    )
