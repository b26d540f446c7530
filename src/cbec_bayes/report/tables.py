"""Tables for people: numbers with sensible digits, as HTML cells and as Markdown; the CSV keeps every digit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cbec_bayes.spec import Origin


@dataclass(frozen=True, slots=True)
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
    """

    name: str
    caption: str
    origin: Origin
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    marks: tuple[tuple[str, ...], ...] = ()

    def mark(self, row: int, column: int) -> str:
        """Return the mark of a cell."""
        return self.marks[row][column] if self.marks else ""

    def markdown(self) -> str:
        """Return the table as Markdown with its caption and origin."""
        from tabulate import tabulate

        body = tabulate(self.rows, headers=self.columns, tablefmt="github", disable_numparse=True)
        return f"{self.caption} (Origin: {self.origin}.)\n\n{body}\n"


def number(value: Any, decimals: int = 3) -> str:
    """Write a number with a fixed number of decimals and a true minus sign; blank for a missing one."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return ""
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:.{decimals}f}"
    return f"−{text[1:]}" if text.startswith("-") and float(text) != 0 else text.lstrip("-")


def whole(value: Any) -> str:
    """Write a count; blank for a missing one."""
    return "" if value is None or value is pd.NA else f"{int(value)}"


def probability(value: float) -> str:
    """Write a probability with two decimals, never as 0 or 1."""
    if math.isnan(value):
        return ""
    if value > 0.995:
        return "> 0.99"
    return "< 0.01" if value < 0.005 else f"{value:.2f}"


def percent(share: float) -> str:
    """Write a share as a whole percentage."""
    return f"{100 * share:.0f} %"


def interval(low: float, high: float, decimals: int = 2) -> str:
    """Write an interval."""
    return f"{number(low, decimals)} to {number(high, decimals)}"


def unbroken(cell: str) -> str:
    """Keep a short cell on one line of a narrow page."""
    return cell.replace(" ", "\u00a0") if len(cell) <= 22 else cell
