"""Tables for people: numbers with sensible digits, as HTML cells and as Markdown; the CSV keeps every digit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cbec_bayes.runtime.labels import Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportTable:
    """A table of the report.

    Attributes
    ----------
    name
        File name without ending.
    caption
        One sentence above it.
    origin
        Where its numbers come from.
    columns
        Heads, one per column.
    rows
        Cells as text.
    marks
        Same shape as `rows`: ``""``, ``"pass"``, ``"fail"`` or ``"undetermined"``.
    notes
        Sentences below the table.
    """

    name: str
    caption: str
    origin: Origin
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    marks: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()

    def mark(self, row: int, column: int) -> str:
        """Return the mark of a cell."""
        return self.marks[row][column] if self.marks else ""

    def frame(self) -> pd.DataFrame:
        """Return the cells as a frame of texts."""
        return pd.DataFrame(list(self.rows), columns=list(self.columns))

    def markdown(self) -> str:
        """Return the table as Markdown with its caption and origin."""
        from tabulate import tabulate

        body = tabulate(self.rows, headers=self.columns, tablefmt="github", disable_numparse=True)
        below = "".join(f"\n{note}\n" for note in self.notes)
        return f"{self.caption} (Origin: {self.origin}.)\n\n{body}\n{below}"

    def latex(self) -> str:
        """Return the table as LaTeX with caption and origin; it needs the packages booktabs, and longtable if long."""
        columns = [_latex(name) for name in self.columns]
        frame = pd.DataFrame([[_latex(cell) for cell in row] for row in self.rows], columns=columns)
        # A short cell stays on one line; columns of sentences are paragraphs.
        widths = [max((len(row[k]) for row in self.rows), default=0) for k in range(len(columns))]
        layout = "".join("l" if width <= LONG_CELL else "p{0.45\\linewidth}" for width in widths)
        text: str = frame.style.hide(axis="index").to_latex(
            hrules=True,
            caption=_latex(f"{self.caption} (Origin: {self.origin}.)"),
            label=f"tab:{self.name}",
            column_format=layout,
            position_float=None if len(self.rows) > LONG_TABLE else "centering",
            environment="longtable" if len(self.rows) > LONG_TABLE else None,
        )
        return text + "".join(f"\n\\par\\noindent {_latex(note)}\n" for note in self.notes)


LONG_TABLE = 40
LONG_CELL = 40
"""Rows of a table, and signs of a cell, from which on LaTeX needs a longtable, or a paragraph."""

LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: "\\" + sign for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    "\N{MINUS SIGN}": "$-$",
    "\N{EN DASH}": "--",
    "\N{NO-BREAK SPACE}": "~",
    "\N{NOT EQUAL TO}": r"$\neq$",
    "\N{LESS-THAN OR EQUAL TO}": r"$\leq$",
    "\N{GREATER-THAN OR EQUAL TO}": r"$\geq$",
    "\N{PLUS-MINUS SIGN}": r"$\pm$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{INFINITY}": r"$\infty$",
    "\N{RIGHTWARDS ARROW}": r"$\rightarrow$",
    "\N{SUPERSCRIPT TWO}": "$^2$",
    "\N{GREEK SMALL LETTER BETA}": r"$\beta$",
    "\N{GREEK SMALL LETTER TAU}": r"$\tau$",
    "\N{GREEK SMALL LETTER SIGMA}": r"$\sigma$",
    "\N{LEFT DOUBLE QUOTATION MARK}": "``",
    "\N{RIGHT DOUBLE QUOTATION MARK}": "''",
    "\N{LEFT SINGLE QUOTATION MARK}": "`",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
}
"""What LaTeX must not, or cannot, read as it is."""


def _latex(text: str) -> str:
    return "".join(LATEX.get(sign, sign) for sign in text)


def number(value: Any, decimals: int = 3) -> str:
    """Write a number with a fixed number of decimals (below zero: tens) and a true minus; blank for a missing one."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return ""
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:.{decimals}f}" if decimals >= 0 else f"{round(value, decimals):.0f}"
    return f"−{text[1:]}" if text.startswith("-") and float(text) != 0 else text.lstrip("-")


def whole(value: Any) -> str:
    """Write a count; blank for a missing one."""
    return "" if value is None or value is pd.NA else f"{int(value)}"


def sampled_decimals(low: float, high: float, mcse: float) -> int:
    """Return the decimals of a posterior quantity: two digits of its standard deviation, but no more than are known.

    Parameters
    ----------
    low, high
        Ends of the 95 % interval.
    mcse
        Monte Carlo standard error, which is below the last digit; below zero decimals are tens.
    """
    return spread_decimals((high - low) / SDS_ACROSS, mcse)


SDS_ACROSS = 3.92
"""Standard deviations across a 95 % interval: enough to choose digits by, whatever the distribution."""


def spread_decimals(sd: float, mcse: float) -> int:
    """Return the decimals of a posterior quantity whose standard deviation is known; see `sampled_decimals`."""
    if not 0 < sd < math.inf:
        return 3
    digits = 1 - math.floor(math.log10(sd))
    return min(digits, math.floor(-math.log10(mcse))) if mcse > 0 else digits


def slope_decimals(effects: pd.DataFrame) -> int:
    """Return decimals of what is not sampled beside slopes: two digits of the smallest posterior sd of a slope."""
    smallest = float(effects["sd"].min())
    return 3 if not smallest > 0 else max(2, 1 - math.floor(math.log10(smallest)))


def sampled(mean: float, low: float, high: float, mcse: float) -> tuple[str, str]:
    """Write a posterior mean and its interval, both with `sampled_decimals`; blank where there is none."""
    if math.isnan(mean):
        return "", ""
    decimals = sampled_decimals(low, high, mcse)
    return number(mean, decimals), interval(low, high, decimals)


def with_interval(mean: float, low: float, high: float, mcse: float) -> str:
    """Write a posterior mean with its interval in brackets; a dash where there is none."""
    middle, ends = sampled(mean, low, high, mcse)
    return f"{middle} ({ends})" if middle else "–"


def probability(value: float) -> str:
    """Write a probability with two decimals, never as 0 or 1."""
    if math.isnan(value):
        return ""
    if value > 0.995:
        return "> 0.99"
    return "< 0.01" if value < 0.005 else f"{value:.2f}"


def probability_in_words(value: float) -> str:
    """Write a probability as `probability` does, for a sentence: above 0.99 in the place of a sign."""
    return probability(value).replace("> ", "above ").replace("< ", "below ")


def p_value(p: float) -> str:
    """Write a p-value with three decimals, never as 0; a dash where there is none."""
    text = number(p, 3)
    return "–" if not text else "< 0.001" if p < 0.0005 else text


def percent(share: float) -> str:
    """Write a share as a whole percentage."""
    return f"{100 * share:.0f} %"


def interval(low: float, high: float, decimals: int = 2) -> str:
    """Write an interval."""
    return f"{number(low, decimals)} to {number(high, decimals)}"


def unbroken(cell: str) -> str:
    """Keep a short cell on one line of a narrow page."""
    return cell.replace(" ", "\u00a0") if len(cell) <= 22 else cell
