"""What would make a table coherent that contradicts what is usual: other levels of its stars, t statistics, or ratios.

A table that says what its stars and parentheses are is held to that. Where it does not, another usual convention under
which every cell agrees leaves its contradictions open, and the sentence says what to state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from cbec_bayes.published.described import Described
from cbec_bayes.published.facts import Sample
from cbec_bayes.published.printed import Coefficient, TableColumn
from cbec_bayes.published.readings import Verdict, best_verdict, read_cell
from cbec_bayes.published.stated import STARS_WITH_PLUS

OTHER_LEVELS: Mapping[str, Mapping[str, Fraction]] = {
    "* 5 %, ** 1 %, *** 0.1 %": {"*": Fraction(1, 20), "**": Fraction(1, 100), "***": Fraction(1, 1000)},
    "+ 10 %, * 5 %, ** 1 %, *** 0.1 %": STARS_WITH_PLUS,
    "* 10 %, ** 5 %, *** 1 %, + 15 %": {
        "+": Fraction(3, 20),
        "*": Fraction(1, 10),
        "**": Fraction(1, 20),
        "***": Fraction(1, 100),
    },
}
"""Other usual levels of stars."""

FEWEST = 3
"""Cells of a column from which on another reading, or another scale, of all of them is worth a sentence."""

_READINGS = {"t": "t statistics", "p": "p-values", "se": "standard errors"}


@dataclass(frozen=True, slots=True)
class Judged:
    """A column with what is known of it and its sample."""

    column: TableColumn
    described: Described
    sample: Sample

    @property
    def cells(self) -> list[Coefficient]:
        """Coefficients with parentheses."""
        return [cell for cell in self.column.coefficients.values() if cell.parenthesis is not None]

    def contradictions(self) -> int:
        """Return how many cells contradict what is stated, or usual."""
        said = self.described
        verdicts = (
            best_verdict(read_cell(cell, said.stars, self.sample.df, is_ratio=said.is_ratio), said.reading)
            for cell in self.cells
        )
        return sum(verdict is Verdict.FAIL for verdict in verdicts)

    def under(self, said: Described) -> Judged:
        """Return the column under something else that may be meant."""
        return replace(self, described=said)


def explained(columns: Sequence[Judged]) -> dict[str, str]:
    """Return, by column key, a sentence on what would make its contradictions vanish; only where something would.

    Parameters
    ----------
    columns
        The columns of one table.
    """
    against = [one for one in columns if one.contradictions()]
    if against and (sentence := _of_levels(columns)):
        return {one.column.key: sentence for one in columns}
    return {one.column.key: sentence for one in against if (sentence := _of_column(one))}


def _of_column(one: Judged) -> str:
    """Try another scale and other readings of all cells of a column, where the paper states none."""
    cells = one.cells
    if len(cells) < FEWEST:
        return ""
    said = one.described
    estimates = [cell.estimate.value for cell in cells]
    # Ratios near one with small standard errors contradict their stars nearly everywhere when tested against zero.
    most = 2 * one.contradictions() >= len(cells)
    may_be_ratios = not said.scale_stated and most and min(estimates) > 0 and max(estimates) > 1
    if may_be_ratios and not one.under(replace(said, is_ratio=True)).contradictions():
        return f'All {len(cells)} cells of the column agree if its estimates are ratios; then state scale = "ratio".'
    if said.reading_stated or not any(cell.stars for cell in cells):
        return ""
    for reading in ("t", "p"):
        other = one.under(replace(said, reading=reading))
        if reading != said.reading and not other.contradictions():
            return (
                f"All {len(cells)} cells of the column agree if the parentheses are {_READINGS[reading]}; then state "
                f'claimed_reading = "{reading}".'
            )
    return ""


def _of_levels(columns: Sequence[Judged]) -> str:
    """Try other levels of the stars of a whole table, where the paper states none."""
    if any(one.described.stars_stated for one in columns):
        return ""
    cells = [cell for one in columns for cell in one.cells]
    for name, levels in OTHER_LEVELS.items():
        if not _covers(levels, cells):
            continue
        if not any(one.under(replace(one.described, stars=levels)).contradictions() for one in columns):
            return f"All {len(cells)} cells of the table agree if its stars are {name}; then state them under [stars]."
    return ""


def _covers(levels: Mapping[str, Fraction], cells: Iterable[Coefficient]) -> bool:
    return all(cell.stars in levels for cell in cells if cell.stars)
