"""What a program prints of one regression, such as Stata's, R's or statsmodels', as rows of a table."""

from __future__ import annotations

import re
from collections.abc import Sequence

from cbec_bayes.published.reading.cells import read_cell_text
from cbec_bayes.published.reading.notes import NOTE_LINE
from cbec_bayes.published.stars import split_stars

_HEAD = re.compile(
    r"(?:^|\|)\s*(?P<estimate>coef\w*\.?|estimate|odds ratio|haz(?:\.|ard) ratio|irr|rrr)"
    r"\s+(?:robust\s+)?std\.?\s*err\w*\.?"
    r"\s+(?P<test>[tz])(?: value)?\s+p(?:r\()?>\s?\|[tz]\|\)?(?P<interval>\s+\[.*)?\s*$",
    re.IGNORECASE,
)
_RULE = re.compile(r"[-=+\s]*")
_STARS = re.compile(r"\*{1,3}|\.")
_COUNTS = (
    ("N", re.compile(r"(?:No\. Observations:|Number of obs\s*=)\s*([\d,]+)")),
    ("R2", re.compile(r"(?<!Adj )(?<!Adj\. )(?<!Adjusted )(?<!Pseudo )R-squared:?\s*=?\s*(\d?\.\d+)")),
    ("Adjusted R2", re.compile(r"Adj(?:usted|\.)? R-squared:?\s*=?\s*(-?\d?\.\d+)")),
    ("Clusters", re.compile(r"adjusted for ([\d,]+) clusters")),
)
_DF = re.compile(r"Residual standard error: .* on (\d+) degrees|Df Residuals:\s+(\d+)")
_ROBUST = re.compile(r"Covariance Type:\s+(?!nonrobust)\w+")


def rows_of_output(lines: Sequence[str]) -> tuple[list[list[str]], list[str]] | None:
    """Return the rows of a regression's table and the notes below it; None where the lines are no such output.

    Degrees of freedom are those of independent errors: they are left out where errors are said to be others.

    Parameters
    ----------
    lines
        The lines as they are printed.
    """
    heads = [(k, match) for k, line in enumerate(lines) if (match := _HEAD.search(line))]
    if len(heads) != 1:
        return None
    at, head = heads[0]
    beside = ["Std. Err.", head["test"], "P"] + (["lower", "upper"] if head["interval"] else [])
    rows = [["", head["estimate"], *beside]]
    for line in lines[at + 1 :]:
        if _RULE.fullmatch(line):
            if len(rows) > 1:
                break
            continue
        if row := _row(line, len(beside) + 1):
            rows.append(row)
    text = "\n".join(lines)
    for label, form in _COUNTS:
        if match := form.search(text):
            rows.append([label, match[1]])
    df = _DF.search(text)
    if df and not _ROBUST.search(text):
        rows.append(["df", df[1] or df[2]])
    return rows, [line.strip() for line in lines[at:] if NOTE_LINE.match(line)]


def _row(line: str, width: int) -> list[str]:
    """Return the label and the numbers of a line; nothing where it has other than `width` numbers."""
    words = re.sub(r"<\s+(?=\d)", "<", line.replace("|", " ")).split()
    stars = words.pop() if words and _STARS.fullmatch(words[-1]) else ""
    if words and not stars:
        words[-1], stars = split_stars(words[-1])
    label, numbers = words[:-width], words[-width:]
    if not label or not all(read_cell_text(word.lstrip("<")).number for word in numbers):
        return []
    numbers[0] += stars.rstrip(".")
    return [" ".join(label), *numbers]
