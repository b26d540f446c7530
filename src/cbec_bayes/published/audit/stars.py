"""Do the stars agree with the coefficient and its parentheses, under each thing the parentheses could be?"""

from __future__ import annotations

import math
from collections.abc import Iterator

from cbec_bayes.published.audit.finding import Context, Finding, p_span, span
from cbec_bayes.published.facts import Sample
from cbec_bayes.published.intervals import Interval
from cbec_bayes.published.printed import Coefficient, TableColumn
from cbec_bayes.published.readings import (
    ReadingResult,
    Verdict,
    best_verdict,
    coherent_readings,
    implied_se,
    judge,
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


def check_stars(context: Context) -> Iterator[Finding]:
    """Per cell: each reading, the single reading that would make it coherent, and the standard error implied instead.

    Per column: whether one reading makes all its cells coherent.
    """
    for key, column in context.paper.columns.items():
        sample = context.samples[key]
        cells = [cell for cell in column.coefficients.values() if cell.parenthesis is not None]
        readings = {cell.term: read_cell(cell, context.paper.facts.stars, sample.df) for cell in cells}
        for cell in cells:
            yield from _cell_findings(context, cell, readings[cell.term], sample)
        if len(cells) > 1:
            yield _column_finding(context, column, readings)


def _cell_findings(
    context: Context, cell: Coefficient, results: tuple[ReadingResult, ...], sample: Sample
) -> Iterator[Finding]:
    levels, claimed = context.paper.facts.stars, context.paper.facts.claimed_reading
    for result in results:
        check = f"stars_{result.reading}" + (f"_{result.reference}" if result.reference else "")
        yield Finding(
            table=cell.table,
            column=cell.column,
            term=cell.term,
            check=check,
            verdict=result.verdict,
            interval=result.p,
            quantity="p-value",
            detail=_reading_sentence(cell, result, sample, stars_word(cell.stars, levels)),
        )
    yield _single_reading(cell, results, claimed)
    if best_verdict(results, claimed) is not Verdict.PASS:
        yield _implied_se(context, cell, sample)


def _reading_sentence(cell: Coefficient, result: ReadingResult, sample: Sample, stars: str) -> str:
    printed = cell.parenthesis
    name = READING_NAMES[result.reading]
    if result.p is None:
        return f"({printed}) cannot be {name}."
    if result.reading == "p":
        return f"Read as {name}, ({printed}) is set against {stars}: {_ENDINGS[result.verdict]}."
    reference = _reference(result.reference, sample)
    if result.reading == "t" and result.verdict is Verdict.FAIL and signs_differ(cell):
        return f"Read as {name}, ({printed}) has another sign than {cell.estimate}."
    return (
        f"Read as {name}, ({printed}) beside {cell.estimate} gives {p_span(result.p)} ({reference}), "
        f"against {stars}: {_ENDINGS[result.verdict]}."
    )


def _reference(reference: str | None, sample: Sample) -> str:
    if reference == "normal":
        return "normal"
    low, high = sample.df
    return f"t with {low:g} degrees of freedom" if low == high else "t, degrees of freedom unknown"


def _single_reading(cell: Coefficient, results: tuple[ReadingResult, ...], claimed: str) -> Finding:
    coherent = coherent_readings(results)
    verdict = best_verdict(results, claimed)
    others = [READING_NAMES[reading] for reading in coherent if reading != claimed]
    if verdict is Verdict.PASS:
        detail = f"The stated reading, {READING_NAMES[claimed]}, agrees with the stars"
        detail += f"; so would {' or '.join(others)}." if others else "; no other reading does."
    elif verdict is Verdict.UNDETERMINED:
        detail = f"Rounding leaves open whether ({cell.parenthesis}) can be {READING_NAMES[claimed]}."
    elif not others:
        detail = f"No reading of ({cell.parenthesis}) agrees with {cell.estimate}{cell.stars}."
    else:
        only = "Only" if len(others) == 1 else "Either of"
        detail = (
            f"({cell.parenthesis}) cannot be {READING_NAMES[claimed]}, as stated, beside {cell.estimate}{cell.stars}. "
            f"{only} {' or '.join(others)} would agree."
        )
    p = next(result.p for result in results if result.reading == claimed and result.verdict is verdict)
    return Finding(
        table=cell.table,
        column=cell.column,
        term=cell.term,
        check="reading",
        verdict=verdict,
        interval=p,
        quantity="p-value",
        detail=detail,
    )


def _implied_se(context: Context, cell: Coefficient, sample: Sample) -> Finding:
    claimed = p_band(cell.stars, context.paper.facts.stars)
    interval = implied_se(cell.estimate.interval, claimed, sample.df)
    printed = cell.parenthesis
    is_se = context.paper.facts.claimed_reading == "se"
    verdict = judge(printed.interval, interval) if printed is not None and is_se else Verdict.UNDETERMINED
    low, high = interval.ends
    size = f"of at most {high:.3g}" if low == 0 and math.isfinite(high) else f"of {span(interval)}"
    detail = (
        f"{stars_word(cell.stars, context.paper.facts.stars).capitalize()} beside {cell.estimate} imply a standard "
        f"error {size} ({_reference('t', sample)}); printed is ({printed})."
    )
    return Finding(
        table=cell.table,
        column=cell.column,
        term=cell.term,
        check="implied_se",
        verdict=verdict,
        interval=interval,
        quantity="standard error",
        detail=detail,
    )


def _column_finding(context: Context, column: TableColumn, readings: dict[str, tuple[ReadingResult, ...]]) -> Finding:
    claimed = context.paper.facts.claimed_reading
    per_reading = {
        reading: [term for term, results in readings.items() if best_verdict(results, reading) is Verdict.FAIL]
        for reading in READING_NAMES
    }
    fitting = [reading for reading, against in per_reading.items() if not against]
    against = per_reading[claimed]
    n = len(readings)
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
    return Finding(
        table=column.table,
        column=column.name,
        term="",
        check="column_reading",
        verdict=Verdict.FAIL if against else Verdict.PASS,
        interval=Interval(len(against), len(against)),
        quantity="cells that contradict the stated reading",
        detail=detail,
    )
