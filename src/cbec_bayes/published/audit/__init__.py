"""The audit: a printed table's own arithmetic, checked in interval arithmetic.

`audit` runs every check of `CHECKS` on a paper and returns its findings; a new check is one file and one entry there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from cbec_bayes.published.audit.beside import check_beside
from cbec_bayes.published.audit.constant import check_constant
from cbec_bayes.published.audit.conventions import check_conventions
from cbec_bayes.published.audit.correlations import check_correlations
from cbec_bayes.published.audit.finding import Context, Finding, Severity
from cbec_bayes.published.audit.fit import check_fit
from cbec_bayes.published.audit.integers import check_integers
from cbec_bayes.published.audit.moments import check_moments
from cbec_bayes.published.audit.repeats import check_repeats
from cbec_bayes.published.audit.samples import check_samples
from cbec_bayes.published.audit.stars import check_stars
from cbec_bayes.published.audit.sums import check_sums
from cbec_bayes.published.described import describe
from cbec_bayes.published.facts import paper_scheme, sample_of, tables_without_stars
from cbec_bayes.published.printed import Paper
from cbec_bayes.published.readings import (
    JUDGED,
    Verdict,
    best_verdict,
    coherent_readings,
    implied_se,
    p_band,
    read_cell,
)
from cbec_bayes.published.stated import READINGS

CHECKS: tuple[Callable[[Context], Iterable[Finding]], ...] = (
    check_stars,
    check_samples,
    check_constant,
    check_conventions,
    check_fit,
    check_moments,
    check_integers,
    check_beside,
    check_sums,
    check_repeats,
    check_correlations,
)
COLUMNS = ("table", "column", "term", "check", "verdict", "detail", "quantity", "low", "high", "origin", "severity")
REPEATING = ("stars_", "implied_", "column_")
"""Checks that say again, in other words, what the finding on a cell's stated reading says."""


@dataclass(frozen=True, slots=True)
class Audit:
    """All findings on one paper, in the order of the checks.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> list(cb.audit(cb.load_paper()).frame().columns[:5])
    ['table', 'column', 'term', 'check', 'verdict']
    """

    findings: tuple[Finding, ...]

    def count(self, verdict: Verdict, check: str = "") -> int:
        """Return how many findings have a verdict, of one check or of all whose names begin with `check`."""
        return sum(f.verdict is verdict and f.check.startswith(check) for f in self.findings)

    def counts(self) -> dict[str, dict[Verdict, int]]:
        """Return how many findings of each check have each verdict, in the order of the checks."""
        found = {finding.check: dict.fromkeys(Verdict, 0) for finding in self.findings}
        for finding in self.findings:
            found[finding.check][finding.verdict] += 1
        return found

    def frame(self) -> pd.DataFrame:
        """Return the findings as the table that audit.csv holds."""
        rows = [
            (
                *(f.table, f.column, f.term, f.check, str(f.verdict), f.detail, f.quantity),
                *_ends(f),
                *(str(f.origin), str(f.severity)),
            )
            for f in self.findings
        ]
        return pd.DataFrame(rows, columns=list(COLUMNS))

    def _repr_html_(self) -> str:
        counts = ", ".join(f"{self.count(verdict)} {verdict}" for verdict in JUDGED)
        frame = self.frame()
        failed = frame.loc[frame["verdict"] == str(Verdict.FAIL), ["table", "column", "term", "check", "detail"]]
        if failed.empty:
            return f"<p>{self.summary()}</p>"
        return f"<p>{self.summary()} Findings: {counts}. Those that fail:</p>{failed.to_html(index=False)}"

    def faults(self) -> tuple[Finding, ...]:
        """Return what contradicts the tables or what they state, faults before doubts; each contradiction once.

        Single readings, implied standard errors and sums over columns repeat what the cell's own finding says.
        """
        failed = [f for f in self.findings if f.verdict is Verdict.FAIL and not f.check.startswith(REPEATING)]
        return tuple(sorted(failed, key=lambda finding: finding.severity is not Severity.FAULT))

    def told(self) -> dict[Verdict, int]:
        """Return how many findings have each verdict on what is stated, each contradiction once; see `faults`."""
        verdicts = [f.verdict for f in self.findings if not f.check.startswith(REPEATING)]
        return {verdict: verdicts.count(verdict) for verdict in JUDGED}

    def summary(self) -> str:
        """Return one or two sentences on everything that was found."""
        found = self.faults()
        faults = sum(one.severity is Severity.FAULT for one in found)
        left = self.told()[Verdict.UNDETERMINED]
        opened = f" {left} {'check is' if left == 1 else 'checks are'} left open." if left else ""
        if not found:
            return f"No fault was found: nothing that is printed contradicts what the tables state.{opened}"
        doubts = len(found) - faults
        counted = [f"{n} {word}{'' if n == 1 else 's'}" for n, word in ((faults, "fault"), (doubts, "doubt")) if n]
        return f"The tables contradict themselves in {len(found)} places: {' and '.join(counted)}.{opened}".replace(
            "in 1 places", "in 1 place"
        )


def _ends(finding: Finding) -> tuple[float | None, float | None]:
    return (None, None) if finding.interval is None else finding.interval.ends


def audit(paper: Paper, observed: Mapping[str, pd.DataFrame] | None = None) -> Audit:
    """Check a paper's printed tables against themselves.

    Parameters
    ----------
    paper
        From `load_paper`.
    observed
        Rows of each column's sample with the regressors that were observed, by column key; see `Context`.

    Returns
    -------
    Audit
        Findings with verdict, interval and sentence. A failing check is a result about the paper, not an error.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> found = cb.audit(cb.load_paper()).frame()
    >>> found.loc[(found["check"] == "reading") & (found["verdict"] == "fail"), ["table", "column", "term"]].head(2)
       table column  term
    5      3    (1)  cbec
    19     3    (2)  cbec
    """
    scheme = paper_scheme(paper.facts)
    samples = {key: sample_of(column, paper, scheme) for key, column in paper.columns.items()}
    described = {key: describe(column, paper.facts) for key, column in paper.columns.items()}
    context = Context(paper=paper, scheme=scheme, samples=samples, described=described, observed=observed or {})
    return Audit(tuple(finding for check in CHECKS for finding in check(context)))


def readings_frame(paper: Paper) -> pd.DataFrame:
    """Return, per cell, which readings of its parentheses agree with its stars and what its stars imply instead.

    Columns: table, column, term, estimate, parenthesis, stars, df, se, p, t (verdicts), coherent, implied_se_low,
    implied_se_high, origin. A reading that nobody states is "not this one" where it does not agree. Tables that print
    no stars and state no levels of them are left out.
    """
    scheme = paper_scheme(paper.facts)
    rows = []
    silent = tables_without_stars(paper)
    for column in paper.columns.values():
        if column.table in silent:
            continue
        df = sample_of(column, paper, scheme).df
        said = describe(column, paper.facts)
        for cell in column.coefficients.values():
            if cell.parenthesis is None:
                continue
            results = read_cell(cell, said.stars, df, is_ratio=said.is_ratio)
            verdicts = {reading: best_verdict(results, reading) for reading in READINGS}
            for other in READINGS:
                if other != said.reading and verdicts[other] is Verdict.FAIL:
                    verdicts[other] = Verdict.NOT_THIS
            implied = implied_se(cell.estimate.interval, p_band(cell.stars, said.stars), df)
            rows.append(
                {
                    "table": cell.table,
                    "column": cell.column,
                    "term": cell.term,
                    "estimate": cell.estimate.text,
                    "parenthesis": cell.parenthesis.text,
                    "stars": cell.stars,
                    "df": df[0] if df[0] == df[1] else None,
                    **{reading: str(verdict) for reading, verdict in verdicts.items()},
                    "coherent": " ".join(coherent_readings(results)) or "none",
                    "implied_se_low": implied.ends[0],
                    "implied_se_high": implied.ends[1],
                    "origin": "printed",
                }
            )
    return pd.DataFrame(rows)
