"""The audit: a printed table's own arithmetic, checked in interval arithmetic.

`audit` runs every check of `CHECKS` on a paper and returns its findings; a new check is one file and one entry there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pandas as pd

from cbec_bayes.published.audit.constant import check_constant
from cbec_bayes.published.audit.finding import Context, Finding
from cbec_bayes.published.audit.fit import check_fit
from cbec_bayes.published.audit.moments import check_moments
from cbec_bayes.published.audit.samples import check_samples
from cbec_bayes.published.audit.stars import check_stars
from cbec_bayes.published.facts import paper_scheme, sample_of
from cbec_bayes.published.printed import Paper
from cbec_bayes.published.readings import Verdict

CHECKS: tuple[Callable[[Context], Iterable[Finding]], ...] = (
    check_stars,
    check_samples,
    check_constant,
    check_fit,
    check_moments,
)
COLUMNS = ("table", "column", "term", "check", "verdict", "detail", "quantity", "low", "high", "origin")


@dataclass(frozen=True, slots=True)
class Audit:
    """All findings on one paper, in the order of the checks."""

    findings: tuple[Finding, ...]

    def count(self, verdict: Verdict, check: str = "") -> int:
        """Return how many findings have a verdict, of one check or of all whose names begin with `check`."""
        return sum(f.verdict is verdict and f.check.startswith(check) for f in self.findings)

    def frame(self) -> pd.DataFrame:
        """Return the findings as the table that audit.csv holds; its numbers derive from printed ones alone."""
        rows = [
            (f.table, f.column, f.term, f.check, str(f.verdict), f.detail, f.quantity, *_ends(f), "printed")
            for f in self.findings
        ]
        return pd.DataFrame(rows, columns=list(COLUMNS))


def _ends(finding: Finding) -> tuple[float | None, float | None]:
    return (None, None) if finding.interval is None else finding.interval.ends


def audit(paper: Paper) -> Audit:
    """Check a paper's printed tables against themselves.

    Parameters
    ----------
    paper
        From `load_paper`.

    Returns
    -------
    Audit
        Findings with verdict, interval and sentence. A failing check is a result about the paper, not an error.
    """
    scheme = paper_scheme(paper.facts)
    samples = {key: sample_of(column, paper, scheme) for key, column in paper.columns.items()}
    context = Context(paper, scheme, samples)
    return Audit(tuple(finding for check in CHECKS for finding in check(context)))
