"""Is the same pair of an estimate and its parentheses printed in two places?"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from cbec_bayes.published.audit.finding import Context, Finding
from cbec_bayes.published.number import PrintedNumber
from cbec_bayes.published.printed import Coefficient
from cbec_bayes.published.readings import Verdict

FEWEST_DIGITS = 5
"""Digits of both numbers together from which on two equal pairs are worth a sentence: by chance one in 10,000."""


def check_repeats(context: Context) -> Iterator[Finding]:
    """Per table: pairs that stand in two rows of one column, or in different rows of two columns.

    The same row of two columns may well have the same numbers, where a regressor more changes nothing.
    """
    cells = [cell for column in context.paper.columns.values() for cell in column.coefficients.values()]
    kept = [cell for cell in cells if _digits(cell) >= FEWEST_DIGITS]
    pairs: dict[tuple[str, object, object], list[Coefficient]] = {}
    for cell in kept:
        assert cell.parenthesis is not None
        pairs.setdefault((cell.table, cell.estimate.value, cell.parenthesis.value), []).append(cell)
    for same in pairs.values():
        for first, second in combinations(same, 2):
            if first.term != second.term:
                yield _finding(context, first, second)


def significant_digits(number: PrintedNumber) -> int:
    """Return how many digits of a printed number count: those from the first that is not zero."""
    digits = number.value.as_tuple().digits
    return len(digits) if any(digits) else 0


def _digits(cell: Coefficient) -> int:
    if cell.parenthesis is None:
        return 0
    both = significant_digits(cell.estimate), significant_digits(cell.parenthesis)
    return sum(both) if all(both) else 0


def _finding(context: Context, first: Coefficient, second: Coefficient) -> Finding:
    label = context.paper.facts.label
    where = f"in the row '{label(first.term)}'"
    if first.column != second.column:
        where += f" of column {first.column}"
    return Finding(
        table=second.table,
        column=second.column,
        term=second.term,
        check="repeated_pair",
        verdict=Verdict.FAIL if first.column == second.column else Verdict.UNDETERMINED,
        interval=None,
        quantity="",
        detail=f"{second.estimate} ({second.parenthesis}) is also printed {where}; one of the two may be a copy.",
    )
