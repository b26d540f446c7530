"""A cell of a classical table: what was printed, what the panel gives, and whether they match."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cbec_bayes.classical.describe import QUANTITIES, descriptive
from cbec_bayes.classical.regression import Regression
from cbec_bayes.classical.tables import FittedColumn
from cbec_bayes.panel import Panel
from cbec_bayes.published.audit.constant import CONSTANT_TERMS
from cbec_bayes.published.facts import paper_scheme, sample_of
from cbec_bayes.published.number import PrintedNumber
from cbec_bayes.published.printed import Coefficient, Paper, TableColumn
from cbec_bayes.published.readings import DfRange, coherent_readings, read_cell
from cbec_bayes.runtime.labels import Origin

NOT_PRINTED = "not in the paper"
_REPRESENTATION = 1e-9  # a number on the very edge of its rounding interval may fall off it by its binary form
READING_NOTES = {
    "se": "",
    "p": "read as a p-value: the stars contradict a standard error",
    "t": "read as a t statistic: the stars contradict a standard error",
    "": "no reading agrees with the stars; shown is the standard error",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell of a table, printed, replicated, or both.

    Attributes
    ----------
    table, column, term, quantity
        Its place.
    printed
        The number as printed; None where nothing is.
    replicated
        The same quantity computed from the panel; NaN where it cannot be.
    origin
        Origin of the replicated number.
    note
        What a reader must know.
    slack
        By how much the rounding of the inputs can move the replicated number.
    reading
        What a parenthesis is: ``se``, ``p`` or ``t``; blank elsewhere, and where no reading agrees with the stars.
    """

    table: str
    column: str
    term: str
    quantity: str
    printed: PrintedNumber | str | None
    replicated: float | str
    origin: Origin
    note: str = ""
    slack: float = 0.0
    reading: str = ""

    @property
    def match(self) -> str:
        """Whether the replicated number is the printed one.

        ``yes`` to its last digit, ``rounding`` where the rounding of the inputs allows it, ``no``, or blank where
        nothing is printed.
        """
        if self.printed is None:
            return ""
        if isinstance(self.printed, str) or isinstance(self.replicated, str):
            return "yes" if self.printed == self.replicated else "no"
        low, high = self.printed.interval.ends
        for slack, word in ((_REPRESENTATION * max(abs(low), abs(high)), "yes"), (self.slack, "rounding")):
            if low - slack <= self.replicated <= high + slack:
                return word
        return "no"


def is_constant(term: str) -> bool:
    """Whether a term is the constant, under any of the names that programs give it."""
    return term.lower() in CONSTANT_TERMS


def moment_cells(panel: Panel, paper: Paper | None, half_widths: Mapping[str, pd.Series]) -> Iterator[Cell]:
    """Yield the descriptive table's cells; `half_widths` are of rounding, by column that was published coarsely."""
    printed = paper.full_sample if paper is not None else {}
    rows = {row["term"]: row for row in descriptive(panel).to_dict("records")}
    table = next(iter(printed.values())).table if printed else "2"
    for term in (term for term in dict.fromkeys([*printed, *rows]) if term in rows):
        for quantity in QUANTITIES:
            number = getattr(printed[term], quantity) if term in printed else None
            slack = _rounding_slack(half_widths.get(term), quantity)
            note = f"rounding of the published inputs can move this by {slack:.2g}" if slack else ""
            value, origin = float(rows[term][quantity]), panel.origins[term]
            yield Cell(
                table=table,
                column="",
                term=term,
                quantity=quantity,
                printed=number,
                replicated=value,
                origin=origin,
                note=note,
                slack=slack,
            )


def _rounding_slack(half_widths: pd.Series | None, quantity: str) -> float:
    """Bound how far rounding moves a moment: the mean by its mean, the sd, a seminorm, by its root sum of squares."""
    if half_widths is None or quantity == "n_obs":
        return 0.0
    if quantity == "mean":
        return float(half_widths.mean())
    if quantity == "sd":
        return float(((half_widths**2).sum() / (len(half_widths) - 1)) ** 0.5)
    return float(half_widths.max())


def column_cells(column: FittedColumn, panel: Panel, paper: Paper | None) -> Iterator[Cell]:
    """Yield the cells of a regression column: those that are printed, or all where nothing is."""
    spec, fit, origin = column.spec, column.fit, panel.origin
    place: dict[str, Any] = {"table": spec.table, "column": spec.name, "origin": origin}
    printed = paper.columns[spec.key] if paper is not None and spec.printed else None
    if fit is None:
        yield from _unfitted(column, printed, origin)
        return
    note = "" if printed is not None or paper is None else NOT_PRINTED
    sample = sample_of(printed, paper, paper_scheme(paper.facts)) if printed is not None and paper is not None else None
    constant = "constant"
    if printed is not None:
        constant = next((term for term in printed.coefficients if is_constant(term)), constant)
    for term in (*spec.terms, constant):
        cell = printed.coefficients.get(term) if printed is not None else None
        if printed is not None and cell is None:
            continue
        value, se, p = _estimate(fit, term)
        yield Cell(
            **place,
            term=term,
            quantity="estimate",
            printed=cell.estimate if cell else None,
            replicated=value,
            note=note,
        )
        starred = cell is not None and (cell.stars or cell.parenthesis is not None)
        if paper is not None and cell is not None and starred and has_stars(paper):
            yield Cell(**place, term=term, quantity="stars", printed=cell.stars, replicated=stars_of(p, paper))
        if paper is None or cell is None or cell.parenthesis is None or sample is None:
            yield Cell(**place, term=term, quantity="parenthesis", printed=None, replicated=se, note=note)
            continue
        reading = cell_reading(cell, paper, sample.df)
        inside = p if reading == "p" else value / se if reading == "t" else se
        yield Cell(
            **place,
            term=term,
            quantity="parenthesis",
            printed=cell.parenthesis,
            replicated=inside,
            note=READING_NOTES[reading],
            reading=reading,
        )
    numbers = {"n_obs": float(fit.n_obs), "r2": fit.r2, "r2_within": fit.r2_within, "r2_adjusted": fit.r2_adjusted}
    shown = set(numbers) if paper is None else {"n_obs", "r2"} if printed is None else set(printed.numbers)
    for quantity, number in numbers.items():
        there = printed.numbers.get(quantity) if printed is not None else None
        if quantity in shown:
            yield Cell(**place, term="", quantity=quantity, printed=there, replicated=number, note=note)


def _unfitted(column: FittedColumn, printed: TableColumn | None, origin: Origin) -> Iterator[Cell]:
    """Keep every printed number of a column that its rows cannot carry, with the reason."""
    place: dict[str, Any] = {
        "table": column.spec.table,
        "column": column.spec.name,
        "origin": origin,
        "note": column.reason,
    }
    if printed is None:
        yield Cell(**place, term="", quantity="n_obs", printed=None, replicated=math.nan)
        return
    for term, cell in printed.coefficients.items():
        yield Cell(**place, term=term, quantity="estimate", printed=cell.estimate, replicated=math.nan)
        if cell.parenthesis is not None:
            yield Cell(**place, term=term, quantity="parenthesis", printed=cell.parenthesis, replicated=math.nan)
    for quantity, number in printed.numbers.items():
        yield Cell(**place, term="", quantity=quantity, printed=number, replicated=math.nan)


def _estimate(fit: Regression, term: str) -> tuple[float, float, float]:
    frame = fit.frame()
    row = frame.iloc[fit.terms.index(term) if term in fit.terms else -1]
    return float(row["estimate"]), float(row["se"]), float(row["p"])


def cell_reading(cell: Coefficient, paper: Paper, df: DfRange) -> str:
    """Return what a cell's parentheses are in the audit's coherent reading: ``se``, ``p``, ``t``, or blank for none.

    The reading that the paper claims comes first, then the others. Where the paper prints no stars at all there is
    nothing to contradict its claim.
    """
    claimed = paper.facts.claimed_reading
    if not has_stars(paper):
        return claimed
    found = coherent_readings(read_cell(cell, paper.facts.stars, df))
    zero = cell.parenthesis is not None and cell.parenthesis.value == 0
    possible = [reading for reading in found if not (zero and reading == "se")]
    return claimed if claimed in possible else next(iter(possible), "")


def has_stars(paper: Paper) -> bool:
    """Whether any coefficient of a paper carries stars."""
    return any(cell.stars for column in paper.columns.values() for cell in column.coefficients.values())


def stars_of(p: float, paper: Paper) -> str:
    """Return the stars that a p-value earns under a paper's levels."""
    earned = [symbol for symbol, level in paper.facts.stars.items() if p < float(level)]
    return earned[-1] if earned else ""
