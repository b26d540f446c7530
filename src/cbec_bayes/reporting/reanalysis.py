"""The tables of a reanalysis of printed numbers: what is printed, what the audit finds, what pooling makes of it."""

from __future__ import annotations

import pandas as pd

from cbec_bayes.jobs.reanalysis import Reanalysis
from cbec_bayes.published.audit import Audit
from cbec_bayes.published.printed import Paper
from cbec_bayes.published.readings import Verdict
from cbec_bayes.reporting.drawing import GROUP_TITLES
from cbec_bayes.reporting.tables import ReportTable, interval, number, probability, whole
from cbec_bayes.runtime.labels import GROUP_ALL, GROUP_NEW, GROUP_TAU, Origin

MODEL_NAMES = {
    "published_half_normal": "half-normal",
    "published_half_t": "half-t",
    "published_exponential": "exponential",
    "published_wide": "wide uniform",
}


def _audit_counts(audit: Audit) -> ReportTable:
    return ReportTable(
        name="audit_counts",
        caption="How often each check passes, fails, or is left open, and how often an unstated reading does not hold.",
        origin=Origin.PRINTED,
        columns=("Check", "Pass", "Fail", "Undetermined", "Not this one"),
        rows=tuple((check, *(str(counts[verdict]) for verdict in Verdict)) for check, counts in audit.counts().items()),
    )


def _audit_findings(analysis: Reanalysis) -> ReportTable:
    """Return every finding that failed, and how R2 splits, without the repeats of single readings."""
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
        name="audit_findings",
        caption=(
            "The findings that matter, each with what it rests on: printed numbers alone, or observed controls too."
        ),
        origin=Origin.PRINTED,
        columns=("Place", "Term", "Verdict", "In words", "Origin"),
        rows=rows,
        marks=tuple(("", "", row[2], "", "") for row in rows),
    )


def reanalysis_tables(analysis: Reanalysis) -> list[ReportTable]:
    """Return every table of a reanalysis of printed numbers."""
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
                name=f"printed_table{table}",
                caption=f"Table {table} as printed.",
                origin=Origin.PRINTED,
                columns=("", *(column.name for column in columns)),
                rows=tuple(rows),
                marks=tuple(marks),
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
        name=f"printed_table{table}",
        caption=f"Table {table} as printed.",
        origin=Origin.PRINTED,
        columns=("", "Observations", "Mean", "Standard deviation", "Minimum", "Maximum"),
        rows=tuple(cells),
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
        name="effects",
        caption=(
            "Slope of the exposure by region: as printed, and after partial pooling with a 95 % equal-tailed credible "
            "interval and the probability of a positive slope. The pooling factor is 0 where the printed slope is "
            "kept, and 1 where the mean replaces it."
        ),
        origin=Origin.PRINTED,
        columns=(
            "Region",
            "Provinces",
            "As printed",
            "Standard error taken from",
            "Mean",
            "95 % interval",
            "P(slope > 0)",
            "Pooling",
        ),
        rows=tuple(rows),
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
        name="contrasts",
        caption="Differences between regions after partial pooling, with 95 % intervals.",
        origin=Origin.PRINTED,
        columns=("Difference", "Mean", "95 % interval", "P(difference > 0)"),
        rows=rows,
    )


def _sensitivity(analysis: Reanalysis) -> ReportTable:
    table = analysis.sensitivity
    groups = [*analysis.result.labels, GROUP_ALL, GROUP_NEW]
    rows = []
    for (reading, model), part in table.groupby(["reading", "model"], sort=False):
        by_group = {row["group"]: row for row in part.to_dict("records")}
        cells = [
            f"{number(row['mean'], 2)} ({interval(row['ci_low'], row['ci_high'])})"
            for row in (by_group[group] for group in (GROUP_TAU, *groups))
        ]
        rows.append((str(reading).replace("_", " "), MODEL_NAMES.get(str(model), str(model)), *cells))
    heads = [GROUP_TITLES.get(group, group) for group in groups]
    return ReportTable(
        name="sensitivity",
        caption="Posterior mean and 95 % interval under every reading of the parentheses and every prior of τ.",
        origin=Origin.PRINTED,
        columns=("Reading", "Prior of τ", "τ", *heads),
        rows=tuple(rows),
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
    marks = tuple(("", "", "", "", "" if row[4] == Verdict.NOT_THIS else row[4], "", "") for row in rows)
    return ReportTable(
        name="audit",
        caption=f"All {len(rows)} findings of the audit.",
        origin=Origin.PRINTED,
        columns=("Table", "Column", "Term", "Check", "Verdict", "In words", "Origin"),
        rows=rows,
        marks=marks,
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
        name="engines",
        caption=(
            "The same posterior by two engines; the difference is in Monte Carlo standard errors of the sampled one."
        ),
        origin=Origin.PRINTED,
        columns=("Quantity", "Quadrature", "PyMC, nutpie", "Standard error", "Difference"),
        rows=tuple(row(r) for _, r in analysis.agreement.table.iterrows()),
    )
