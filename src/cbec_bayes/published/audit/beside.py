"""Do several numbers on one coefficient agree: its standard error, t, p, confidence interval, and F of the column?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

from cbec_bayes.published.audit.constant import CONSTANT_TERMS
from cbec_bayes.published.audit.finding import Context, Finding, p_span, span
from cbec_bayes.published.described import Described
from cbec_bayes.published.facts import tables_without_stars
from cbec_bayes.published.intervals import Interval
from cbec_bayes.published.printed import AS_QUANTITY, Coefficient, TableColumn
from cbec_bayes.published.readings import (
    NORMAL,
    DfRange,
    Verdict,
    critical_value,
    log_interval,
    p_band,
    p_interval,
    stars_word,
    t_statistics,
)
from cbec_bayes.runtime.labels import CI_PROB


def check_beside(context: Context) -> Iterator[Finding]:
    """Per coefficient with several numbers on its precision: each against its standard error. Per column: F = t²."""
    silent = tables_without_stars(context.paper)
    for key, column in context.paper.columns.items():
        described, df = context.described[key], context.samples[key].df
        has_stars = column.table not in silent
        for cell in column.coefficients.values():
            known = _known(cell, described)
            if has_stars and cell.parenthesis is None and {"ci_low", "ci_high"} <= set(known):
                yield from _stars_finding(cell, known, described=described, df=df)
            if len(known) > 1 or ("ci_low" in known and "ci_high" in known):
                yield from _against_each_other(cell, known, described=described, df=df)
        yield from _f_of_one(column, described)


def _known(cell: Coefficient, described: Described) -> dict[str, Interval]:
    """Return what is printed on a coefficient's precision, by quantity."""
    known = {name: number.interval for name, number in cell.beside.items()}
    if cell.parenthesis is not None:
        known.setdefault(AS_QUANTITY[described.reading], cell.parenthesis.interval)
    return known


def _statistics(cell: Coefficient, known: Mapping[str, Interval], described: Described) -> tuple[Interval, ...]:
    """Return |t| as the standard error gives it, in each way in which it may be tested, or as it is printed."""
    se = known.get("standard_error")
    if se is not None:
        return t_statistics(cell.estimate.interval, se, is_ratio=described.is_ratio)
    return (abs(known["t_statistic"]),) if "t_statistic" in known else ()


def _against_each_other(
    cell: Coefficient, known: Mapping[str, Interval], *, described: Described, df: DfRange
) -> Iterator[Finding]:
    ways = _statistics(cell, known, described)
    both = (df[0], max(df[1], NORMAL[1]))  # programs use the normal distribution too
    if ways and {"standard_error", "t_statistic"} <= set(known):
        yield _finding(cell, "t_against_se", ways, abs(known["t_statistic"]), quantity="t statistic")
    if ways and "p_value" in known:
        ps = tuple(p_interval(t, both) for t in ways)
        yield _finding(cell, "p_against_t", ps, known["p_value"], quantity="p-value")
    if {"ci_low", "ci_high"} <= set(known):
        yield from _interval_findings(cell, known, described=described, df=both)


def _interval_findings(
    cell: Coefficient, known: Mapping[str, Interval], *, described: Described, df: DfRange
) -> Iterator[Finding]:
    """Hold an interval against its estimate and its standard error.

    An estimate outside its interval is a fault; one beside the middle may have an interval from a bootstrap or a
    likelihood. The same explains lengths that differ a little; 90 and 99 % intervals explain others.
    """
    low, high, estimate = known["ci_low"], known["ci_high"], cell.estimate.interval
    if described.is_ratio:
        if min(low.low, estimate.low) <= 0:
            return
        low, high, estimate = log_interval(low), log_interval(high), log_interval(estimate)
    half = Interval(Fraction(1, 2), Fraction(1, 2))
    outside = estimate.high < low.low or estimate.low > high.high
    why = "" if outside else "as an interval from a bootstrap or a likelihood would explain"
    yield _finding(
        cell, "middle_of_interval", ((low + high) * half,), estimate, quantity="middle of the interval", why=why
    )
    se = known.get("standard_error")
    if se is None or se.high <= 0 or described.is_ratio:
        return
    implied = {prob: (high - low) * half / _quantile(prob, df) for prob in (CI_PROB, *OTHER_PROBS)}
    why = ""
    if other := next((prob for prob in OTHER_PROBS if implied[prob].intersects(se)), None):
        why = f"as a {other:.0%} interval would explain".replace("%", " %")
    elif implied[CI_PROB].low <= LARGEST_RATIO * se.high and se.low <= LARGEST_RATIO * implied[CI_PROB].high:
        why = "as an interval from a bootstrap would explain"
    yield _finding(cell, "interval_against_se", (implied[CI_PROB],), se, quantity="standard error", why=why)


def _stars_finding(
    cell: Coefficient, known: Mapping[str, Interval], *, described: Described, df: DfRange
) -> Iterator[Finding]:
    """Hold stars against an interval, where nothing else is printed on the precision of an estimate."""
    low, high, estimate = known["ci_low"], known["ci_high"], cell.estimate.interval
    if described.is_ratio:
        if min(low.low, estimate.low) <= 0:
            return
        low, high, estimate = log_interval(low), log_interval(high), log_interval(estimate)
    length = high - low
    if length.low <= 0:
        return
    band, per_length = p_band(cell.stars, described.stars), abs(estimate) * Interval(2, 2) / length
    found = {prob: _p_of_interval(per_length, prob, df) for prob in PROBS}
    agree = found[CI_PROB].intersects(band)
    other = next((prob for prob in OTHER_PROBS if found[prob].intersects(band)), None)
    stars = stars_word(cell.stars, described.stars)
    implied = f"The interval beside {cell.estimate} implies {p_span(found[CI_PROB])} if it is one of {CI_PROB:.0%}"
    ending = "they agree" if agree else "they contradict each other"
    if other and not agree:
        ending = f"an interval of {other:.0%} would explain it"
    yield Finding(
        table=cell.table,
        column=cell.column,
        term=cell.term,
        check="interval_against_stars",
        verdict=Verdict.PASS if agree else Verdict.UNDETERMINED if other else Verdict.FAIL,
        interval=found[CI_PROB],
        quantity="p-value",
        detail=f"{implied}, against {stars}: {ending}.".replace("%", " %"),
    )


def _p_of_interval(per_length: Interval, prob: float, df: DfRange) -> Interval:
    """Return the p-values of an estimate that is so many half lengths of its interval, at the ends of the range of df.

    An interval and a test have the same degrees of freedom, and between the ends the p-value moves one way.
    """
    ends = [p_interval(per_length * _quantile(prob, one), one) for one in ((df[0], df[0]), NORMAL)]
    return Interval(min(one.low for one in ends), max(one.high for one in ends))


OTHER_PROBS = (0.9, 0.99)
"""Other usual probabilities of intervals."""
PROBS = (CI_PROB, *OTHER_PROBS)
LARGEST_RATIO = Fraction(3, 2)
"""Ratio of the standard errors of an interval and of a table up to which a bootstrap may explain the difference."""


def _quantile(prob: float, df: DfRange) -> Interval:
    return Interval(*(Fraction(critical_value(1 - prob, d)) for d in (df[1], df[0])))


def _finding(
    cell: Coefficient, check: str, ways: Sequence[Interval], printed: Interval, *, quantity: str, why: str = ""
) -> Finding:
    """Return whether a number is one that the others imply in one of several ways; `why` explains where it is not."""
    expected = next((one for one in ways if one.intersects(printed)), ways[0])
    agree = expected.intersects(printed)
    words = f"What is printed beside {cell.estimate} implies a {quantity} of {span(expected)}"
    detail = f"{words}, as printed." if agree else f"{words}; printed is {span(printed)}{f', {why}' if why else ''}."
    return Finding(
        table=cell.table,
        column=cell.column,
        term=cell.term,
        check=check,
        verdict=Verdict.PASS if agree else Verdict.UNDETERMINED if why else Verdict.FAIL,
        interval=expected,
        quantity=quantity,
        detail=detail,
    )


def _f_of_one(column: TableColumn, described: Described) -> Iterator[Finding]:
    """With one regressor the F of the regression is its t squared, where both come from the same standard errors."""
    slopes = [cell for term, cell in column.coefficients.items() if term.lower() not in CONSTANT_TERMS]
    f = column.numbers.get("f_statistic")
    if f is None or len(slopes) != 1 or described.is_ratio:
        return
    ways = _statistics(slopes[0], _known(slopes[0], described), described)
    if not ways:
        return
    expected = ways[0] * ways[0]
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
