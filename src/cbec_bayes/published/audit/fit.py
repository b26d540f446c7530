"""Is the fit possible: within 0 to 1, no worse with more regressors, no worse per group than pooled, well adjusted?"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations

from cbec_bayes.published.audit.constant import CONSTANT_TERMS
from cbec_bayes.published.audit.finding import Context, Finding
from cbec_bayes.published.described import Described, is_numbered
from cbec_bayes.published.intervals import Interval
from cbec_bayes.published.printed import TableColumn
from cbec_bayes.published.readings import Verdict
from cbec_bayes.published.stated import Partition

_ONE = Interval(1, 1)


def check_fit(context: Context) -> Iterator[Finding]:
    """R2 in [0, 1]; non-decreasing between comparable nested columns; per group against pooled; adjusted against R2."""
    columns = list(context.paper.columns.values())
    for column in columns:
        for quantity in ("r2", "r2_within", "r2_adjusted"):
            if quantity in column.numbers:
                yield _range(column, quantity, context.described[column.key])
    for column in columns:
        yield from _adjusted(column, context.described[column.key])
    for first, second in combinations(columns, 2):
        for small, large in ((first, second), (second, first)):
            if _nested(small, large) and _comparable(context, small, large):
                yield from _monotone(small, large)
    for partition in context.paper.facts.partitions:
        yield from _split(context, partition)


def _range(column: TableColumn, quantity: str, described: Described) -> Finding:
    """Least squares has an R2 from 0 to 1; two-stage least squares, and no constant, may lead below zero."""
    number = column.numbers[quantity]
    linear = described.is_linear
    below = number.interval.high < 0 and quantity != "r2_adjusted"
    if number.interval.low > 1 or (below and linear):
        verdict, detail = Verdict.FAIL, f"R2 of {number} is outside what an R2 can be."
    elif below and linear is None:
        verdict = Verdict.UNDETERMINED
        detail = f"R2 of {number} is possible for 2SLS or without a constant; the column does not say its estimator."
    else:
        verdict, detail = Verdict.PASS, f"R2 of {number} is possible."
    return Finding(
        table=column.table,
        column=column.name,
        term="",
        check=f"{quantity}_range",
        verdict=verdict,
        interval=number.interval,
        quantity="R2",
        detail=detail,
    )


def _adjusted(column: TableColumn, described: Described) -> Iterator[Finding]:
    """Hold the adjusted R2 against 1 - (1 - R2) (n - 1) / (n - k - 1), where k is at least the printed slopes.

    Absorbed effects and regressors that are not shown make k larger and the adjusted R2 smaller, never larger.
    """
    numbers = column.numbers
    if not {"r2", "r2_adjusted", "n_obs"} <= set(numbers):
        return
    n, k = int(numbers["n_obs"].value), max(len(_slopes(column)), 1)
    if n <= k + 1:
        return
    factor = Fraction(n - 1, n - k - 1)
    largest = _ONE - (_ONE - numbers["r2"].interval) * Interval(factor, factor)
    printed = numbers["r2_adjusted"]
    named = f"R2 of {numbers['r2']} over {n} rows with {k} regressors or more"
    if printed.interval.low <= largest.high:
        verdict, detail = Verdict.PASS, f"{named} allows an adjusted R2 of {printed}."
    else:
        above = printed.interval.low > numbers["r2"].interval.high
        verdict = Verdict.FAIL
        detail = f"{named} allows an adjusted R2 of at most {float(largest.high):.4g}, not {printed}"
        detail += "; it cannot be above R2." if above else "."
        if any(described.effects.values()):  # R2 within units beside an adjusted one over all
            verdict = Verdict.UNDETERMINED
            detail = f"{detail[:-1]}, unless R2 is that within units and the adjusted one is not."
    yield Finding(
        table=column.table,
        column=column.name,
        term="",
        check="r2_adjusted_against_r2",
        verdict=verdict,
        interval=largest,
        quantity="largest adjusted R2",
        detail=detail,
    )


def _slopes(column: TableColumn) -> set[str]:
    return {term for term in column.coefficients if term.lower() not in CONSTANT_TERMS}


def _nested(small: TableColumn, large: TableColumn) -> bool:
    """Whether one column adds regressors to another of the same table and rows."""
    same_rows = "n_obs" in small.numbers and (
        small.numbers["n_obs"].value == getattr(large.numbers.get("n_obs"), "value", None)
    )
    return small.table == large.table and same_rows and _slopes(small) < _slopes(large)


def _comparable(context: Context, one: TableColumn, other: TableColumn) -> bool:
    """Whether two columns are known to explain the same outcome by least squares, with the same effects and rows.

    Where nothing is said of outcomes, columns whose heads are numbers alone are models of one outcome.
    """
    a, b = context.described[one.key], context.described[other.key]
    same = a.outcome == b.outcome and a.estimator == b.estimator and a.effects == b.effects and a.sample == b.sample
    known = a.outcome is not None or (is_numbered(one.name) and is_numbered(other.name))
    return same and known and a.is_linear is not False


def _monotone(small: TableColumn, large: TableColumn) -> Iterator[Finding]:
    for quantity in ("r2", "r2_within"):
        if quantity not in small.numbers or quantity not in large.numbers:
            continue
        a, b = small.numbers[quantity], large.numbers[quantity]
        gain = b.interval - a.interval
        added = len(_slopes(large) - _slopes(small))
        if gain.low >= 0:
            verdict, end = Verdict.PASS, "it does not fall"
        elif gain.high < 0:
            verdict, end = Verdict.FAIL, "on the same rows it cannot fall"
        else:
            verdict, end = Verdict.UNDETERMINED, "rounding leaves open whether it falls"
        more = f"{added} regressor{'' if added == 1 else 's'} more"
        detail = f"From column {small.name} to {large.name}, {more}, R2 goes from {a} to {b}: {end}."
        columns = f"{small.name} to {large.name}"
        yield Finding(
            table=small.table,
            column=columns,
            term="",
            check=f"{quantity}_nested",
            verdict=verdict,
            interval=gain,
            quantity="gain in R2",
            detail=detail,
        )


def _split(context: Context, partition: Partition) -> Iterator[Finding]:
    """Bound the variation of the outcome within groups.

    The pooled regression is one of the choices open to the regressions per group, so on their rows the sums of squared
    residuals obey sum over r of (1 - R2_r) TSS_r <= (1 - R2) TSS. The share of the outcome's variation that lies within
    groups is therefore at most (1 - R2) / min over r of (1 - R2_r).
    """
    if partition.whole is None:
        return
    whole = context.column_by_key(partition.whole)
    parts = [context.column_by_key(key) for key in partition.parts]
    columns = (whole, *parts)
    comparable = all("r2" in column.numbers and _slopes(column) == _slopes(whole) for column in columns)
    estimators = {context.described[column.key].estimator for column in columns}
    if not comparable or len(estimators) > 1 or any(context.described[c.key].is_linear is False for c in columns):
        return
    unexplained = min(((_ONE - part.numbers["r2"].interval) for part in parts), key=lambda i: i.low)
    pooled = _ONE - whole.numbers["r2"].interval
    if pooled.high < 0:
        return  # an impossible R2 is reported as such; nothing follows from it
    heads = " + ".join(part.name for part in parts)
    if unexplained.low <= 0 or pooled.high >= unexplained.low:
        detail = "The fits per group are no worse than the pooled fit, whatever the variation within groups."
        yield Finding(
            table=parts[0].table,
            column=heads,
            term="",
            check="r2_split",
            verdict=Verdict.PASS,
            interval=None,
            quantity="",
            detail=detail,
        )
        return
    between = _ONE - pooled / unexplained
    least = Interval(max(between.low, 0), 1)
    detail = (
        f"Each regression per group leaves at least {float(unexplained.low):.2%} unexplained, and the pooled one at "
        f"most {float(pooled.high):.2%}. On the same rows regressions per group cannot fit worse: possible only if "
        "at least "
        f"{float(least.low):.0%} of the outcome's variation lies between the groups."
    )
    yield Finding(
        table=parts[0].table,
        column=heads,
        term="",
        check="r2_split",
        verdict=Verdict.UNDETERMINED,
        interval=least,
        quantity="share of variation between groups",
        detail=detail,
    )
