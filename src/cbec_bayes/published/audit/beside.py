"""Do several numbers on one coefficient agree: its standard error, t, p, confidence interval, and F of the column?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

from cbec_bayes.published.audit.constant import CONSTANT_TERMS
from cbec_bayes.published.audit.finding import Context, Finding, span
from cbec_bayes.published.described import Described
from cbec_bayes.published.intervals import Interval
from cbec_bayes.published.printed import Coefficient, TableColumn
from cbec_bayes.published.readings import (
    NORMAL,
    DfRange,
    Verdict,
    critical_value,
    log_interval,
    p_interval,
)
from cbec_bayes.runtime.labels import CI_PROB

_QUANTITY = {"se": "standard_error", "t": "t_statistic", "p": "p_value"}
"""What the parentheses are, as a quantity of their own."""


def check_beside(context: Context) -> Iterator[Finding]:
    """Per coefficient with several numbers on its precision: each against its standard error. Per column: F = t²."""
    for key, column in context.paper.columns.items():
        described, df = context.described[key], context.samples[key].df
        for cell in column.coefficients.values():
            known = _known(cell, described)
            if len(known) > 1 or ("ci_low" in known and "ci_high" in known):
                yield from _against_each_other(cell, known, described=described, df=df)
        yield from _f_of_one(column, described)


def _known(cell: Coefficient, described: Described) -> dict[str, Interval]:
    """Return what is printed on a coefficient's precision, by quantity."""
    known = {name: number.interval for name, number in cell.beside.items()}
    if cell.parenthesis is not None:
        known.setdefault(_QUANTITY[described.reading], cell.parenthesis.interval)
    return known


def _statistic(cell: Coefficient, known: Mapping[str, Interval], described: Described) -> Interval | None:
    """Return |t| as the standard error gives it, or as it is printed."""
    se = known.get("standard_error")
    if se is None or se.high <= 0:
        return abs(known["t_statistic"]) if "t_statistic" in known else None
    estimate = cell.estimate.interval
    if described.is_ratio:
        if estimate.low <= 0:
            return None
        estimate = log_interval(estimate) * estimate
    return abs(estimate) / Interval(max(se.low, Fraction(0)), se.high)


def _against_each_other(
    cell: Coefficient, known: Mapping[str, Interval], *, described: Described, df: DfRange
) -> Iterator[Finding]:
    t = _statistic(cell, known, described)
    both = (df[0], max(df[1], NORMAL[1]))  # programs use the normal distribution too
    if t is not None and {"standard_error", "t_statistic"} <= set(known):
        printed = abs(known["t_statistic"])
        yield _finding(cell, "t_against_se", t, printed, quantity="t statistic")
    if t is not None and "p_value" in known:
        yield _finding(cell, "p_against_t", p_interval(t, both), known["p_value"], quantity="p-value")
    if {"ci_low", "ci_high"} <= set(known):
        yield from _interval_findings(cell, known, described=described, df=both)


def _interval_findings(
    cell: Coefficient, known: Mapping[str, Interval], *, described: Described, df: DfRange
) -> Iterator[Finding]:
    low, high, estimate = known["ci_low"], known["ci_high"], cell.estimate.interval
    if described.is_ratio:
        if min(low.low, estimate.low) <= 0:
            return
        low, high, estimate = log_interval(low), log_interval(high), log_interval(estimate)
    half = Interval(Fraction(1, 2), Fraction(1, 2))
    yield _finding(cell, "middle_of_interval", (low + high) * half, estimate, quantity="middle of the interval")
    se = known.get("standard_error")
    if se is None or se.high <= 0 or described.is_ratio:
        return
    quantile = Interval(*(Fraction(critical_value(1 - CI_PROB, d)) for d in (df[1], df[0])))
    implied = (high - low) * half / quantile
    yield _finding(cell, "interval_against_se", implied, se, quantity="standard error")


def _finding(cell: Coefficient, check: str, expected: Interval, printed: Interval, *, quantity: str) -> Finding:
    agree = expected.intersects(printed)
    words = f"What is printed beside {cell.estimate} implies a {quantity} of {span(expected)}"
    return Finding(
        table=cell.table,
        column=cell.column,
        term=cell.term,
        check=check,
        verdict=Verdict.PASS if agree else Verdict.FAIL,
        interval=expected,
        quantity=quantity,
        detail=f"{words}, as printed." if agree else f"{words}; printed is {span(printed)}.",
    )


def _f_of_one(column: TableColumn, described: Described) -> Iterator[Finding]:
    """With one regressor the F of the regression is its t squared, where both come from the same standard errors."""
    slopes = [cell for term, cell in column.coefficients.items() if term.lower() not in CONSTANT_TERMS]
    f = column.numbers.get("f_statistic")
    if f is None or len(slopes) != 1 or described.is_ratio:
        return
    t = _statistic(slopes[0], _known(slopes[0], described), described)
    if t is None:
        return
    expected = t * t
    agree = expected.intersects(f.interval)
    detail = f"With one regressor F is t² = {span(expected)}; printed is {f}"
    yield Finding(
        table=column.table,
        column=column.name,
        term="",
        check="f_against_t",
        verdict=Verdict.PASS if agree else Verdict.UNDETERMINED,
        interval=expected,
        quantity="F",
        detail=f"{detail}." if agree else f"{detail}, as a test of effects or of a first stage would explain.",
    )
