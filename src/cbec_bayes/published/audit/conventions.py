"""Where the controls were observed: under which normalisation of the effects is a printed constant possible?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

import pandas as pd

from cbec_bayes.published.audit.constant import CONSTANT_TERMS, mean_in_part
from cbec_bayes.published.audit.finding import Context, Finding, span
from cbec_bayes.published.intervals import Interval
from cbec_bayes.published.printed import Coefficient, Moments, TableColumn
from cbec_bayes.published.readings import Verdict
from cbec_bayes.runtime.labels import Origin

UNIT, TIME = "unit", "time"
"""Columns of the observed rows beside those named as the printed terms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """A column whose constant and slopes are printed and whose controls were observed."""

    column: TableColumn
    constant: Coefficient
    slopes: Mapping[str, Coefficient]
    rows: pd.DataFrame
    moments: Mapping[str, Moments]
    outcome: str


def check_conventions(context: Context) -> Iterator[Finding]:
    """Per column with a constant and observed controls: the constant expected, and conventions that allow the printed.

    Three normalisations are tried: effects that average to zero over the rows (xtreg, areg, reghdfe), unit effects
    that do with time effects measured against one period (xtreg with period dummies), and both measured against one
    unit and period (dummies for everything). Outcome and unobserved regressors are bounded by the descriptive table.
    """
    moments, outcome = context.paper.full_sample, context.paper.facts.outcome
    if outcome is None:
        return
    for key, column in context.paper.columns.items():
        rows = context.observed.get(key)
        constant = next((c for term, c in column.coefficients.items() if term.lower() in CONSTANT_TERMS), None)
        slopes = {term: cell for term, cell in column.coefficients.items() if cell is not constant}
        if rows is None or constant is None or not any(term in rows.columns for term in slopes):
            continue
        case = _Case(column=column, constant=constant, slopes=slopes, rows=rows, moments=moments, outcome=outcome)
        bounded = (outcome, *(term for term in slopes if term not in rows.columns))
        if _is_sample(case) and all(_bounds_known(case, term) for term in bounded):
            yield _finding(case)


def _is_sample(case: _Case) -> bool:
    """Whether the observed rows are as many as the column says it has."""
    n_obs = case.column.numbers.get("n_obs")
    return len(case.rows) > 0 and (n_obs is None or int(n_obs.value) == len(case.rows))


def _bounds_known(case: _Case, term: str) -> bool:
    """Whether the descriptive table bounds a term's mean over these rows and over any of them."""
    row = case.moments.get(term)
    if row is None or row.min is None or row.max is None:
        return False
    return mean_in_part(row, len(case.rows)) is not None


def _is_balanced(case: _Case) -> bool:
    """Whether every unit is there in every period: effects that average to zero then do so in each period too."""
    return len(case.rows) == case.rows[UNIT].nunique() * case.rows[TIME].nunique()


def _finding(case: _Case) -> Finding:
    printed = case.constant.estimate.interval
    n = len(case.rows)
    outcome = _bounded(case, case.outcome, n)
    zero_mean = outcome - _explained(case, case.rows)
    possible = {"": _conventions(case, printed), "minus": _conventions(case, -printed)}
    text = str(case.constant.estimate)
    detail = (
        f"With the controls' observed means, effects that average to zero give a constant of {span(zero_mean)}; "
        f"printed is {text}. "
    )
    if possible[""]:
        verdict = Verdict.PASS
        detail += f"{text} is possible {_listed(possible[''])}."
    elif not _is_balanced(case) or _largest_residual(case) is None:
        verdict = Verdict.UNDETERMINED
        detail += f"{text} would need effects that are measured against a base unit or period, which is left open here"
        detail += " (the rows are not balanced)." if not _is_balanced(case) else " (no R2 is printed)."
    else:
        verdict = Verdict.FAIL
        detail += f"{text} is impossible under each of the usual normalisations of the effects"
        minus = str(-case.constant.estimate.value)
        detail += f"; {minus} would be possible {_listed(possible['minus'])}." if possible["minus"] else "."
    return Finding(
        table=case.column.table,
        column=case.column.name,
        term=case.constant.term,
        check="constant_conventions",
        verdict=verdict,
        interval=zero_mean,
        quantity="constant expected",
        detail=detail,
        origin=Origin.OBSERVED,
    )


def _listed(conventions: list[str]) -> str:
    return conventions[0] if len(conventions) == 1 else f"{', '.join(conventions[:-1])} or {conventions[-1]}"


def _conventions(case: _Case, constant: Interval) -> list[str]:
    """Return the normalisations under which a constant is possible, in words."""
    found = []
    n = len(case.rows)
    if (constant + _explained(case, case.rows)).intersects(_bounded(case, case.outcome, n)):
        found.append("where the effects average to zero")
    periods = []
    for period, rows in case.rows.groupby(TIME) if _is_balanced(case) else ():
        if (constant + _explained(case, rows)).intersects(_bounded(case, case.outcome, len(rows))):
            periods.append(f"{period:g}" if isinstance(period, float) else str(period))
    if periods:
        which = (
            f"any of {periods[0]} to {periods[-1]}" if len(periods) == case.rows[TIME].nunique() else ", ".join(periods)
        )
        found.append(f"where time effects are measured against {which}")
    residual = _largest_residual(case)
    if residual is not None:
        row = case.moments[case.outcome]
        assert row.min is not None
        assert row.max is not None
        fitted = Interval(row.min.interval.low - residual, row.max.interval.high + residual)
        cells = [
            f"{cell[UNIT]} in {cell[TIME]}"
            for cell, explained in _cells(case)
            if (constant + explained).intersects(fitted)
        ]
        if cells:
            share = (
                "any unit and period"
                if len(cells) == n
                else f"one of {len(cells)} of {n} units and periods, such as {cells[0]}"
            )
            found.append(f"where all effects are measured against {share}")
    return found


def _cells(case: _Case) -> Iterator[tuple[Mapping[str, object], Interval]]:
    for i in range(len(case.rows)):
        row = case.rows.iloc[i : i + 1]
        yield {str(name): value for name, value in row.iloc[0].items()}, _explained(case, row)


def _explained(case: _Case, rows: pd.DataFrame) -> Interval:
    """Return the sum of slope x mean over some rows, with the slopes within their rounding."""
    total = Interval(0, 0)
    for term, cell in case.slopes.items():
        if term in rows.columns:
            mean = Fraction(float(rows[term].mean()))
            total = total + cell.estimate.interval * Interval(mean, mean)
        else:
            total = total + cell.estimate.interval * _bounded(case, term, len(rows))
    return total


def _bounded(case: _Case, term: str, n_rows: int) -> Interval:
    mean = mean_in_part(case.moments[term], n_rows)
    assert mean is not None
    return mean


def _largest_residual(case: _Case) -> Fraction | None:
    """Bound one residual: its square is at most the sum of squares that the printed R2 leaves.

    The total sum of squares of these rows is at most that of numbers at both ends of the printed range.
    """
    r2 = case.column.numbers.get("r2")
    row = case.moments[case.outcome]
    if r2 is None:
        return None
    assert row.min is not None
    assert row.max is not None
    spread = row.max.interval.high - row.min.interval.low
    total = Fraction(len(case.rows)) * Fraction(spread) ** 2 / 4
    left = max(1 - Fraction(r2.interval.low), Fraction(0)) * total
    return Fraction(math.nextafter(math.sqrt(left), math.inf))
