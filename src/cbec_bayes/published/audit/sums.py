"""Do a direct and an indirect effect make the total one?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from cbec_bayes.published.audit.finding import Context, Finding, span
from cbec_bayes.published.printed import Coefficient
from cbec_bayes.published.readings import Verdict

_PARTS = {
    "direct": re.compile(r"\b(?:direct|dir)(?![a-z]*irect)", re.IGNORECASE),
    "indirect": re.compile(r"\b(?:indirect|ind|spill-?\s?overs?|spill)", re.IGNORECASE),
    "total": re.compile(r"\b(?:total|tot)", re.IGNORECASE),
}
"""What an effect is called; the rest of the name says of what it is an effect."""


def check_sums(context: Context) -> Iterator[Finding]:
    """Per three rows of a column, or three columns of a row, that name a direct, an indirect and a total effect."""
    columns = list(context.paper.columns.values())
    for column in columns:
        for parts in _triples(column.coefficients):
            yield _finding(parts)
    for table in dict.fromkeys(column.table for column in columns):
        own = [column for column in columns if column.table == table]
        for term in dict.fromkeys(term for column in own for term in column.coefficients):
            cells = {c.name: c.coefficients[term] for c in own if term in c.coefficients}
            for parts in _triples(cells):
                yield _finding(parts)


def _triples(cells: Mapping[str, Coefficient]) -> Iterator[dict[str, Coefficient]]:
    """Yield the cells by part whose names differ in the part alone."""
    found: dict[str, dict[str, Coefficient]] = {}
    for name, cell in cells.items():
        for part, form in _PARTS.items():
            if form.search(name):
                found.setdefault(form.sub("", name, count=1).strip().lower(), {})[part] = cell
    yield from (parts for parts in found.values() if len(parts) == len(_PARTS))


def _finding(parts: Mapping[str, Coefficient]) -> Finding:
    direct, indirect, total = (parts[name].estimate for name in _PARTS)
    expected = direct.interval + indirect.interval
    agree = expected.intersects(total.interval)
    place = parts["total"]
    sentence = f"The direct effect {direct} and the indirect effect {indirect} make {span(expected)}"
    return Finding(
        table=place.table,
        column=place.column,
        term=place.term,
        check="effects_sum",
        verdict=Verdict.PASS if agree else Verdict.FAIL,
        interval=expected,
        quantity="total effect",
        detail=f"{sentence}, which the total {total} is." if agree else f"{sentence}, not the total {total}.",
    )
