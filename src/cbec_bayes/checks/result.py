"""What a check finds, and how statistics of the data are held against those of replicated data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cbec_bayes.checks.severity import Severity
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.distributions import normal_ppf
from cbec_bayes.runtime.labels import CI_PROB

CHECK_COLUMNS = ("check", "passed", "text", "severity")

WORDS = {True: "yes", False: "no", None: "not applicable"}
"""How `CheckResult.passed` is written."""

_SHOWN = 12  # rows of a table in a notebook

INTERVAL_END = float(normal_ppf((1 + CI_PROB) / 2))
"""Distance `Against.z` at which the interval of the replicates ends, 1.96."""

FAMILY_LEVEL = 0.05
"""Chance that a true model fails a check of many statistics."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """A check.

    Attributes
    ----------
    name
        Name of the check, and of its files.
    severity
        How much what was found matters; the rule stands in the docstring of the check.
    table
        What was found.
    figure
        Name of the drawing that shows the table; None where the table says it better.
    text
        One sentence.
    """

    name: str
    severity: Severity
    table: pd.DataFrame
    figure: str | None
    text: str

    @property
    def passed(self) -> bool | None:
        """Whether the answer stands; None where the check does not apply, or has nothing to judge."""
        return self.severity.passed

    def _repr_html_(self) -> str:
        more = len(self.table) - _SHOWN
        rest = f"<p>… and {more} more rows</p>" if more > 0 else ""
        shown = self.table.head(_SHOWN).to_html(index=False, float_format="{:.4g}".format, na_rep="")
        return f"<p><strong>{escape(self.name)}: {self.severity}.</strong> {escape(self.text)}</p>{shown}{rest}"


def checks_frame(results: Sequence[CheckResult]) -> pd.DataFrame:
    """Return one row per check: check, passed (yes, no, not applicable), text, severity."""
    rows = [(r.name, WORDS[r.passed], r.text, str(r.severity)) for r in results]
    return pd.DataFrame(rows, columns=list(CHECK_COLUMNS))


def by_severity(results: Sequence[CheckResult]) -> tuple[CheckResult, ...]:
    """Return the results, the severest first; those of one severity keep their order."""
    return tuple(sorted(results, key=lambda one: one.severity.rank))


def not_applying(name: str, columns: Sequence[str], why: str) -> CheckResult:
    """Return a check that does not apply, with an empty table of its columns."""
    return CheckResult(name, Severity.IDLE, pd.DataFrame(columns=list(columns)), None, why)


def counted(found: int, total: int, what: str) -> str:
    """Return ``none of 9 cells lies``, ``1 of 9 cells lies`` or ``2 of 9 cells lie``."""
    return f"{found or 'none'} of {total} {what} {'lie' if found > 1 else 'lies'}"


def there_are(count: int, what: str) -> str:
    """Return ``There are no groups``, ``There is one group`` or ``There are 2 groups``; `what` is in the singular."""
    return f"There is one {what}" if count == 1 else f"There are {count or 'no'} {what}s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """Statistics of the data against those of replicated data, each of shape (C,) for C statistics.

    Attributes
    ----------
    mean, sd, low, high
        Mean, standard deviation and ends of the replicates; the ends are of the equal-tailed interval.
    p
        Tail probability of each statistic: twice the smaller share of replicates on either side, never zero.
    z
        Distance from the replicates' median, in units in which the interval's end on that side is at 1.96: skewed
        distributions, as of standard errors, have two of them.
    limit
        What the largest distance of C stays below in 95 % of replicated data sets, their statistics taken together.
    """

    mean: Array
    sd: Array
    low: Array
    high: Array
    p: Array
    z: Array
    limit: float

    @property
    def outside(self) -> NDArray[np.bool_]:
        """Which statistics lie farther out than the farthest of a replicated data set would."""
        return np.abs(self.z) > self.limit


def against(replicated: Array, observed: Array) -> Against:
    """Hold statistics of the data, shape (C,), against those of S replicated data sets, shape (S, C).

    Notes
    -----
    Looking at C statistics and pointing at the most extreme one is itself a statistic, whose distribution the
    replicates have as well. So a true model fails one check in twenty whatever C is and however statistics depend on
    each other.
    """
    low, median, high = np.quantile(replicated, [(1 - CI_PROB) / 2, 0.5, (1 + CI_PROB) / 2], axis=0)

    def distance(values: Array) -> Array:
        gap = values - median
        return np.asarray(INTERVAL_END * gap / np.where(gap > 0, high - median, median - low))

    below, above = (replicated <= observed).sum(axis=0), (replicated >= observed).sum(axis=0)
    p = np.minimum(1.0, 2 * (1 + np.minimum(below, above)) / (1 + len(replicated)))
    farthest = np.abs(distance(replicated)).max(axis=1)
    return Against(
        mean=replicated.mean(axis=0),
        sd=replicated.std(axis=0, ddof=1),
        low=low,
        high=high,
        p=p,
        z=distance(observed),
        limit=float(np.quantile(farthest, 1 - FAMILY_LEVEL)),
    )
