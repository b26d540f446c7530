"""Do the stars agree with the coefficient and its parentheses, as what these are stated to be?

Other readings of the parentheses are tried too, so that a reader sees which would agree; none of them is a failure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from cbec_bayes.published.audit.alternatives import Judged, explained
from cbec_bayes.published.audit.finding import Context, Finding, p_span, span
from cbec_bayes.published.facts import Sample, tables_without_stars
from cbec_bayes.published.intervals import Interval
from cbec_bayes.published.printed import Coefficient
from cbec_bayes.published.readings import (
    ReadingResult,
    Verdict,
    best_verdict,
    clusters_condition,
    coherent_readings,
    implied_se,
    judge,
    log_interval,
    p_band,
    read_cell,
    signs_differ,
    stars_word,
)

READING_NAMES = {"se": "a standard error", "p": "a p-value", "t": "a t statistic"}
_ENDINGS = {
    Verdict.PASS: "they agree",
    Verdict.FAIL: "they contradict each other",
    Verdict.UNDETERMINED: "rounding leaves both open",
}


@dataclass(frozen=True, slots=True)
class _Cell:
    """A coefficient with parentheses, every reading of them, and what is known of its column.

    Attributes
    ----------
    printed, judged, results
        The coefficient, its column, and each reading.
    explanation
        What would explain a contradiction; blank where nothing usual would.
    """

    printed: Coefficient
    judged: Judged
    results: tuple[ReadingResult, ...]
    explanation: str

    @property
    def claimed(self) -> str:
        """What the parentheses are stated to be."""
        return self.judged.described.reading

    @property
    def band(self) -> Interval:
        """The p-values that the stars claim."""
        return p_band(self.printed.stars, self.judged.described.stars)

    @property
    def stars(self) -> str:
        """The stars in words."""
        return stars_word(self.printed.stars, self.judged.described.stars)

    @property
    def sample(self) -> Sample:
        """The sample behind the column."""
        return self.judged.sample

    @property
    def verdict(self) -> Verdict:
        """The verdict on the stated reading."""
        found = best_verdict(self.results, self.claimed)
        return Verdict.UNDETERMINED if found is Verdict.FAIL and self.explanation else found

    @property
    def is_doubt(self) -> bool:
        """Whether one star more or less would do."""
        levels = self.judged.described.stars
        order = ["", *levels]
        at = order.index(self.printed.stars)
        beside = [p_band(order[k], levels) for k in (at - 1, at + 1) if 0 <= k < len(order)]
        own = [result.p for result in self.results if result.reading == self.claimed and result.p is not None]
        signed = self.claimed == "t" and signs_differ(self.printed, is_ratio=self.judged.described.is_ratio)
        return not signed and any(p.intersects(band) for p in own for band in beside)

    def finding(
        self, check: str, verdict: Verdict, interval: Interval | None, quantity: str, *, detail: str
    ) -> Finding:
        """Return a finding on this cell."""
        return Finding(
            table=self.printed.table,
            column=self.printed.column,
            term=self.printed.term,
            check=check,
            verdict=verdict,
            interval=interval,
            quantity=quantity,
            detail=detail,
            doubt=verdict is Verdict.FAIL and self.is_doubt,
        )


def check_stars(context: Context) -> Iterator[Finding]:
    """Per cell: each reading, the stated one, and the standard error that the stars imply where that one does not hold.

    Per column: whether the stated reading holds in all its cells. A table that knows no stars claims nothing by them.
    """
    silent = tables_without_stars(context.paper)
    columns = [
        Judged(column, context.described[key], context.samples[key])
        for key, column in context.paper.columns.items()
        if column.table not in silent
    ]
    tables = dict.fromkeys(one.column.table for one in columns)
    explanations: dict[str, str] = {}
    for table in tables:
        explanations |= explained([one for one in columns if one.column.table == table])
    for one in columns:
        said = one.described
        cells = [
            _Cell(
                cell,
                one,
                read_cell(cell, said.stars, one.sample.df, is_ratio=said.is_ratio),
                explanations.get(one.column.key, ""),
            )
            for cell in one.cells
        ]
        for cell in cells:
            yield from _cell_findings(cell)
        if len(cells) > 1:
            yield _column_finding(context, one, cells)


def _cell_findings(cell: _Cell) -> Iterator[Finding]:
    fails = cell.verdict is Verdict.FAIL
    for result in cell.results:
        check = f"stars_{result.reading}" + (f"_{result.reference}" if result.reference else "")
        verdict = result.verdict
        if verdict is Verdict.FAIL and not (fails and result.reading == cell.claimed):
            verdict = Verdict.NOT_THIS
        yield cell.finding(check, verdict, result.p, "p-value", detail=_reading_sentence(cell, result))
    yield _stated_reading(cell)
    if cell.verdict is not Verdict.PASS:
        yield _implied_se(cell)


def _reading_sentence(cell: _Cell, result: ReadingResult) -> str:
    printed, estimate = cell.printed.parenthesis, cell.printed.estimate
    name = READING_NAMES[result.reading]
    if result.p is None:
        return f"({printed}) cannot be {name}."
    ending = _ENDINGS[result.verdict]
    if result.reading == "p":
        return f"Read as {name}, ({printed}) is set against {cell.stars}: {ending}."
    ratio = cell.judged.described.is_ratio
    if result.reading == "t" and result.verdict is Verdict.FAIL and signs_differ(cell.printed, is_ratio=ratio):
        return f"Read as {name}, ({printed}) has another sign than {'the logarithm of ' if ratio else ''}{estimate}."
    if result.reference == "t" and result.verdict is Verdict.UNDETERMINED:
        condition = clusters_condition(result, cell.band, cell.sample.df)
        ending = f"they agree {condition}" if condition else ending
    against = " (a ratio, tested against one)" if ratio else ""
    return (
        f"Read as {name}, ({printed}) beside {estimate}{against} gives {p_span(result.p)} "
        f"({_reference(result.reference, cell.sample)}), against {cell.stars}: {ending}."
    )


def _reference(reference: str | None, sample: Sample) -> str:
    if reference == "normal":
        return "normal"
    low, high = sample.df
    if low == high:
        return f"t with {low:g} degrees of freedom"
    if low <= 1 and math.isinf(high):
        return "t, degrees of freedom unknown"
    return (
        f"t with {low:g} degrees of freedom or more"
        if math.isinf(high)
        else f"t, {low:g} to {high:g} degrees of freedom"
    )


def _condition(cell: _Cell) -> str:
    """Return with how many clusters the stated reading agrees, where it hangs on them."""
    for result in cell.results:
        if result.reading == cell.claimed and result.reference == "t":
            return clusters_condition(result, cell.band, cell.sample.df)
    return ""


def _stated_reading(cell: _Cell) -> Finding:
    printed, claimed = cell.printed, cell.claimed
    others = [READING_NAMES[reading] for reading in coherent_readings(cell.results) if reading != claimed]
    found = best_verdict(cell.results, claimed)
    condition = _condition(cell)
    if found is Verdict.PASS:
        detail = f"The stated reading, {READING_NAMES[claimed]}, agrees with the stars"
        detail += f" {condition}" if condition else ""
        detail += f"; so would {' or '.join(others)}." if others else "; no other reading does."
    elif found is Verdict.UNDETERMINED and condition:
        detail = f"The stated reading, {READING_NAMES[claimed]}, agrees with the stars {condition}."
    elif found is Verdict.UNDETERMINED:
        detail = f"Rounding leaves open whether ({printed.parenthesis}) can be {READING_NAMES[claimed]}."
    elif not others:
        detail = f"No reading of ({printed.parenthesis}) agrees with {printed.estimate}{printed.stars}."
    else:
        only = "Only" if len(others) == 1 else "Either of"
        detail = (
            f"({printed.parenthesis}) cannot be {READING_NAMES[claimed]}, as stated, beside "
            f"{printed.estimate}{printed.stars}. {only} {' or '.join(others)} would agree."
        )
    if found is Verdict.FAIL and cell.explanation:
        detail = f"Under the usual levels, {detail[0].lower()}{detail[1:]} {cell.explanation}"
    p = next(result.p for result in cell.results if result.reading == claimed and result.verdict is found)
    return cell.finding("reading", cell.verdict, p, "p-value", detail=detail)


def _implied_se(cell: _Cell) -> Finding:
    ratio = cell.judged.described.is_ratio
    estimate = cell.printed.estimate.interval
    if ratio and estimate.low > 0:
        estimate = log_interval(estimate) * estimate  # by the delta method
    interval = implied_se(estimate, cell.band, cell.sample.df)
    printed = cell.printed.parenthesis
    judged = printed is not None and cell.claimed == "se" and cell.verdict is Verdict.FAIL
    verdict = judge(printed.interval, interval) if judged and printed is not None else Verdict.UNDETERMINED
    low, high = interval.ends
    size = f"of at most {high:.3g}" if low == 0 and math.isfinite(high) else f"of {span(interval)}"
    detail = (
        f"{cell.stars.capitalize()} beside {cell.printed.estimate} imply a standard error {size} "
        f"({_reference('t', cell.sample)}); printed is ({printed})."
    )
    return cell.finding("implied_se", verdict, interval, "standard error", detail=detail)


def _column_finding(context: Context, one: Judged, cells: list[_Cell]) -> Finding:
    claimed = one.described.reading
    per_reading = {
        reading: [cell.printed.term for cell in cells if best_verdict(cell.results, reading) is Verdict.FAIL]
        for reading in READING_NAMES
    }
    fitting = [reading for reading, against in per_reading.items() if not against]
    against = per_reading[claimed]
    explanation = cells[0].explanation if against else ""
    n = len(cells)
    label = context.paper.facts.label
    if not against:
        detail = f"All {n} cells of the column can be read as {READING_NAMES[claimed]}, as stated."
    else:
        which = ", ".join(label(term) for term in against)
        detail = f"{len(against)} of {n} cells cannot be {READING_NAMES[claimed]}, as stated ({which}); "
        if fitting:
            detail += f"the column is coherent if all are {' or '.join(READING_NAMES[r] for r in fitting)}."
        else:
            detail += "no single reading makes the whole column coherent."
        detail += f" {explanation}" if explanation else ""
    failing = [cell for cell in cells if cell.printed.term in against]
    verdict = Verdict.PASS if not against else Verdict.UNDETERMINED if explanation else Verdict.FAIL
    return Finding(
        table=one.column.table,
        column=one.column.name,
        term="",
        check="column_reading",
        verdict=verdict,
        interval=Interval(len(against), len(against)),
        quantity="cells that contradict the stated reading",
        detail=detail,
        doubt=all(cell.is_doubt for cell in failing),
    )
