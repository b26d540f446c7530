"""Is the fit possible: within 0 to 1, no worse with more regressors, and no worse per group than pooled?"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from cbec_bayes.published.audit.constant import CONSTANT_TERMS
from cbec_bayes.published.audit.finding import Context, Finding
from cbec_bayes.published.intervals import Interval
from cbec_bayes.published.printed import TableColumn
from cbec_bayes.published.readings import Verdict
from cbec_bayes.published.stated import Partition

_ONE = Interval(1, 1)


def check_fit(context: Context) -> Iterator[Finding]:
    """R2 in [0, 1]; non-decreasing between nested columns of the same rows; per group against pooled."""
    columns = list(context.paper.columns.values())
    for column in columns:
        for quantity in ("r2", "r2_within", "r2_adjusted"):
            if quantity in column.numbers:
                yield _range(column, quantity)
    for first, second in combinations(columns, 2):
        for small, large in ((first, second), (second, first)):
            if _nested(small, large):
                yield from _monotone(small, large)
    for partition in context.paper.facts.partitions:
        yield from _split(context, partition)


def _range(column: TableColumn, quantity: str) -> Finding:
    number = column.numbers[quantity]
    allowed = Interval(-float("inf"), 1) if quantity == "r2_adjusted" else Interval(0, 1)
    possible = number.interval.intersects(allowed)
    detail = f"R2 of {number} is {'possible' if possible else 'outside what an R2 can be'}."
    verdict = Verdict.PASS if possible else Verdict.FAIL
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


def _slopes(column: TableColumn) -> set[str]:
    return {term for term in column.coefficients if term.lower() not in CONSTANT_TERMS}


def _nested(small: TableColumn, large: TableColumn) -> bool:
    """Whether one column adds regressors to another of the same table, rows and fixed effects."""
    same_rows = "n_obs" in small.numbers and (
        small.numbers["n_obs"].value == getattr(large.numbers.get("n_obs"), "value", None)
    )
    effects = ("unit_effects", "time_effects")
    same_effects = all(small.texts.get(e) == large.texts.get(e) for e in effects)
    return small.table == large.table and same_rows and same_effects and _slopes(small) < _slopes(large)


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
        detail = f"From column {small.name} to {large.name}, {added} regressors more, R2 goes from {a} to {b}: {end}."
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
    comparable = all("r2" in column.numbers and _slopes(column) == _slopes(whole) for column in (whole, *parts))
    if not comparable:
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
        f"Each regression per group leaves at least {float(unexplained.low):.2%} unexplained, the pooled one at most "
        f"{float(pooled.high):.2%}, yet on the same rows the former cannot fit worse: possible only if at least "
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
