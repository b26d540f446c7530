"""The result type of the audit and what every check of it receives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import pandas as pd

from cbec_bayes.panel.regions import Scheme
from cbec_bayes.published.described import Described
from cbec_bayes.published.facts import Sample
from cbec_bayes.published.intervals import Interval
from cbec_bayes.published.printed import Paper, TableColumn
from cbec_bayes.published.readings import Verdict
from cbec_bayes.runtime.labels import Origin


class Severity(StrEnum):
    """How much a finding matters.

    A *fault* is a contradiction between printed numbers. A *doubt* contradicts what the table states, and a slip of one
    star or another usual convention would explain it. What is *open* needs something that the table does not say.
    """

    FAULT = "fault"
    DOUBT = "doubt"
    OPEN = "open"
    FINE = "fine"


_SEVERITIES = {Verdict.FAIL: Severity.FAULT, Verdict.UNDETERMINED: Severity.OPEN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check on one place of a printed table.

    Attributes
    ----------
    table, column, term
        The place; blank where a check concerns a whole column or table.
    check
        Name of the check.
    verdict
        Pass, fail, undetermined; or "not this one" for a reading that nobody states.
    interval
        What the check found for the quantity that `quantity` names, as an interval; None where nothing was computed.
    quantity
        What the interval is of, e.g. ``"p-value"``.
    detail
        One sentence for a reader.
    origin
        Printed, where nothing but the printed tables was used.
    doubt
        Whether a failure is a doubt, and no fault.
    """

    table: str
    column: str
    term: str
    check: str
    verdict: Verdict
    interval: Interval | None
    quantity: str
    detail: str
    origin: Origin = Origin.PRINTED
    doubt: bool = False

    @property
    def severity(self) -> Severity:
        """How much it matters."""
        if self.verdict is Verdict.FAIL and self.doubt:
            return Severity.DOUBT
        return _SEVERITIES.get(self.verdict, Severity.FINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """A paper with its scheme of groups and what is known of each column and its sample.

    Attributes
    ----------
    paper, scheme
        The paper and its scheme of groups.
    samples, described
        What is known of a column's sample, and of the column, by column key.
    observed
        Rows of a column's sample with the regressors that were observed, by column key: unit, time, and columns named
        as the printed terms. Empty where nothing was observed.
    """

    paper: Paper
    scheme: Scheme | None
    samples: Mapping[str, Sample]
    described: Mapping[str, Described]
    observed: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    def column_by_key(self, key: str) -> TableColumn:
        """Return a column by its ``"table: column"`` key."""
        return self.paper.columns[key]


def span(interval: Interval, digits: int = 3) -> str:
    """Write an interval for a sentence: ``"0.19 to 0.25"``, ``"at least 0.07"``, one number where the ends agree."""
    low, high = (f"{end:.{digits}g}" for end in interval.ends)
    if interval.high == float("inf"):
        return f"at least {low}"
    return low if low == high else f"{low} to {high}"


def p_span(interval: Interval) -> str:
    """Write a range of p-values for a sentence, with tiny ones as ``"below 0.0001"``."""
    low, high = interval.ends
    if high < 1e-4:
        return "p below 0.0001"
    low_text = "0" if low < 1e-4 else f"{low:.3g}"
    high_text = f"{high:.3g}"
    return f"p = {high_text}" if low_text == high_text else f"p between {low_text} and {high_text}"
