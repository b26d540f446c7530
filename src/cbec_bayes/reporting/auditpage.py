"""The page of an audit: each table as it is printed, with marked cells, and the sentence of every mark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cbec_bayes.jobs.audit import AuditedPapers, AuditedTables
from cbec_bayes.published.audit import REPEATING
from cbec_bayes.published.audit.finding import Finding, Severity
from cbec_bayes.published.printed import Coefficient, TableColumn
from cbec_bayes.reporting.tables import ReportTable
from cbec_bayes.reporting.templating import render_template
from cbec_bayes.runtime.labels import Origin
from cbec_bayes.runtime.versions import versions

_MARKS = {Severity.FAULT: "fail", Severity.DOUBT: "fail", Severity.OPEN: "undetermined"}
_BESIDE = {"standard_error": "se", "t_statistic": "t", "p_value": "p", "ci_low": "interval", "ci_high": "to"}
_NUMBERS = {
    "n_obs": "Observations",
    "units": "Units",
    "periods": "Periods",
    "clusters": "Clusters",
    "df": "Degrees of freedom",
    "r2": "R2",
    "r2_within": "R2 within",
    "r2_adjusted": "Adjusted R2",
    "f_statistic": "F",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedTable:
    """A table as printed, and the sentences of its marks.

    Attributes
    ----------
    shown
        The table; a marked cell ends with the number of its sentence.
    sentences
        Number, severity and sentence, in the order of the numbers.
    """

    shown: ReportTable
    sentences: tuple[tuple[int, str, str], ...]


def render_audit(found: AuditedPapers) -> str:
    """Render what an audit found in one or more papers as one HTML page."""
    papers = [(one, _tables(one)) for one in found.papers]
    several = found.is_several
    return render_template(
        "audit.html.j2",
        papers=papers,
        several=several,
        summary=_summary(found) if several else None,
        versions=versions(),
    )


def _summary(found: AuditedPapers) -> ReportTable:
    frame = found.summary_frame().astype("string").fillna("")
    return ReportTable(
        name="audit_summary",
        caption="Every paper, with what contradicts its tables.",
        origin=Origin.PRINTED,
        columns=tuple(name.capitalize() for name in frame.columns),
        rows=tuple(tuple(row) for row in frame.to_numpy().tolist()),
    )


def _tables(one: AuditedTables) -> list[MarkedTable]:
    columns = list(one.paper.columns.values())
    named = dict.fromkeys(
        [*(c.table for c in columns), *(table for table, _ in one.paper.moments), *one.paper.correlations]
    )
    findings = [f for f in one.audit.findings if f.severity in _MARKS and not f.check.startswith(REPEATING)]
    return [_marked(one, table, [f for f in findings if f.table == table]) for table in named]


def _marked(one: AuditedTables, table: str, findings: Sequence[Finding]) -> MarkedTable:
    """Return a table whose cells are marked with the numbers of their findings."""
    order = sorted(findings, key=lambda finding: list(_MARKS).index(finding.severity))
    numbers = {id(finding): k for k, finding in enumerate(order, start=1)}
    heads, rows = _cells(one, table)
    shown, marks = [], []
    for term, label, cells in rows:
        own = [[f for f in order if f.term == term and _is_of(f, head)] for head in heads]
        shown.append(
            (label, *(_with_numbers(cell, [numbers[id(f)] for f in at]) for cell, at in zip(cells, own, strict=True)))
        )
        marks.append(("", *(_MARKS[at[0].severity] if at else "" for at in own)))
    return MarkedTable(
        shown=ReportTable(
            name=f"printed_audit_{one.name}_{table}".replace(" ", "_"),
            caption=f"Table {table} as printed.",
            origin=Origin.PRINTED,
            columns=("", *heads),
            rows=tuple(shown),
            marks=tuple(marks),
        ),
        sentences=tuple((numbers[id(f)], str(f.severity), _sentence(one, f)) for f in order),
    )


def _is_of(finding: Finding, head: str) -> bool:
    """Whether a finding is about a column; one between columns is about the last that it names."""
    return finding.column == head or finding.column.split(" to ")[-1] == head or finding.column == ""


def _with_numbers(cell: str, numbers: Sequence[int]) -> str:
    return f"{cell} [{', '.join(map(str, numbers))}]".strip() if numbers else cell


def _sentence(one: AuditedTables, finding: Finding) -> str:
    label = one.paper.facts.label(finding.term) if finding.term else ""
    place = ", ".join(filter(None, (finding.column, label)))
    return f"{place}: {finding.detail}" if place else finding.detail


type Row = tuple[str, str, list[str]]
"""Term, label and cells of a row; numbers of a whole column have no term."""


def _cells(one: AuditedTables, table: str) -> tuple[list[str], list[Row]]:
    """Return the heads and rows of a table as it is printed."""
    columns = [column for column in one.paper.columns.values() if column.table == table]
    if columns:
        return [column.name for column in columns], _regression(columns, one)
    if table in one.paper.correlations:
        return _correlations(one, table)
    moments = [row for (own, _), row in one.paper.moments.items() if own == table]
    cells = [
        (row.term, row.label, [str(x or "") for x in (row.n_obs, row.mean, row.sd, row.min, row.max)])
        for row in moments
    ]
    return ["Observations", "Mean", "Standard deviation", "Minimum", "Maximum"], cells


def _regression(columns: Sequence[TableColumn], one: AuditedTables) -> list[Row]:
    terms = {term: cell.label for column in columns for term, cell in column.coefficients.items()}
    rows: list[Row] = [
        (term, one.paper.facts.labels.get(term, label), [_printed(c.coefficients.get(term)) for c in columns])
        for term, label in terms.items()
    ]
    for quantity in dict.fromkeys(q for column in columns for q in column.texts):
        rows.append(("-", quantity.replace("_", " ").capitalize(), [c.texts.get(quantity, "") for c in columns]))
    for quantity in dict.fromkeys(q for column in columns for q in column.numbers):
        cells = [str(c.numbers.get(quantity, "")) for c in columns]
        rows.append(("-", _NUMBERS.get(quantity, quantity), cells))
    rows.append(("", "Whole column", ["" for _ in columns]))
    return rows


def _printed(cell: Coefficient | None) -> str:
    if cell is None:
        return ""
    below = f" ({cell.parenthesis})" if cell.parenthesis is not None else ""
    beside = "".join(f", {_BESIDE[quantity]} {number}" for quantity, number in cell.beside.items())
    return f"{cell.estimate}{cell.stars}{below}{beside}".replace(", to ", " to ")


def _correlations(one: AuditedTables, table: str) -> tuple[list[str], list[Row]]:
    pairs = one.paper.correlations[table]
    names = list(dict.fromkeys(name for pair in pairs for name in reversed(pair)))
    rows: list[Row] = [(i, i, [str(pairs.get((i, j)) or pairs.get((j, i)) or "") for j in names]) for i in names]
    return names, [*rows, ("", "Whole table", ["" for _ in names])]
