"""Whether slopes differ, for people: the tests of all groups at once, and every pair."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from cbec_bayes.classical.equal_slopes import JOINT_TESTS, PERMUTED, WALD
from cbec_bayes.classical.group_slopes import CONTROLS
from cbec_bayes.jobs.difference_sentences import TITLES, tau_text
from cbec_bayes.jobs.differences import EVIDENCE, POSTERIOR, TAU, WITHIN_ROPE
from cbec_bayes.reporting.tables import ReportTable, interval, number, p_value, probability, with_interval
from cbec_bayes.runtime.labels import CI_PROB, GROUP_ALL, Origin, level

_CONTROLS: Mapping[str, str] = {"common": "in common", "by group": "by group", "": "–"}


def difference_tables(name: str, frame: pd.DataFrame, digits: int = 3, prob: float = CI_PROB) -> list[ReportTable]:
    """Return what `cbec_bayes.jobs.differences.differences` found as tables; none where there is nothing to compare.

    Parameters
    ----------
    name
        Name of the first table; that of the pairs is beside it.
    frame
        With columns `DIFFERENCE_COLUMNS`.
    digits
        Decimals of what is not sampled.
    prob
        Probability of the intervals.
    """
    if frame.empty:
        return []
    tables = [_joint_table(f"{name}differences", frame, prob)]
    pairs = _pairs_table(f"{name}difference_pairs", frame, digits, prob)
    return [*tables, pairs] if pairs.rows else tables


def _joint_table(name: str, frame: pd.DataFrame, prob: float) -> ReportTable:
    """Return the tests that all slopes are equal, and what the posterior says of all at once."""
    joint = frame[(frame["groups"] == GROUP_ALL) & frame["test"].isin(JOINT_TESTS)]
    rows = [
        (
            f"{TITLES[str(row['test'])]}{f' ({row["vcov"]})' if row['vcov'] else ''}",
            _CONTROLS[str(row["controls"])],
            number(row["statistic"], 2) or "–",
            _degrees(row),
            p_value(row["p"]),
            str(row["note"]),
        )
        for row in joint.to_dict("records")
    ]
    for row in frame[frame["test"].isin([TAU, WITHIN_ROPE, EVIDENCE])].to_dict("records"):
        rows.append((*_of_posterior(row, level(prob)), str(row["note"])))
    return ReportTable(
        name=name,
        caption=(
            "Do the slopes differ? The first rows are tests that all slopes are equal, with slopes of controls and "
            "effects of periods in common or by group. They are the Wald test with bias-reduced covariances and the "
            "approximate Hotelling distribution, the wild cluster bootstrap with residuals under one slope, and "
            "permutations of units between groups. The last rows are the posterior of the standard deviation between "
            "groups, the probability that all slopes are practically equal, and the log Bayes factor of one slope "
            "against several."
        ),
        origin=_origin(frame),
        columns=("Test", "Controls", "Statistic", "Degrees of freedom", "p", "Note"),
        rows=tuple(rows),
    )


def _of_posterior(row: Mapping[Hashable, Any], ci: str) -> tuple[str, str, str, str, str]:
    """Return the cells of a row of the posterior, but for its note."""
    if row["test"] == TAU:
        mean, ends = tau_text(row["estimate"], row["ci_low"], row["ci_high"])
        value = "–" if math.isnan(row["estimate"]) else f"{mean} ({ends})"
        return (f"posterior of τ, mean ({ci} interval)", "–", value, "–", "–")
    if row["test"] == WITHIN_ROPE:
        return ("P(all slopes practically equal)", "–", probability(row["probability"]) or "–", "–", "–")
    value = number(row["statistic"], 2)
    return ("log Bayes factor", "–", f"{value} (± {row['mcse']:.1g})" if value else "–", "–", "–")


def _pairs_table(name: str, frame: pd.DataFrame, digits: int, prob: float) -> ReportTable:
    """Return a row for each pair of groups: its difference under each assumption, p-values, and the posterior."""
    pairs = frame[frame["minus"] != ""]
    cells = {
        (row["groups"], row["test"], row["controls"]): row
        for row in pairs.to_dict("records")  # one row for each
    }
    rows = []
    for pair, first, second in dict.fromkeys(zip(pairs["groups"], pairs["group"], pairs["minus"], strict=True)):
        own: list[str] = []
        for controls in CONTROLS:
            wald, permuted = (cells.get((pair, test, controls)) for test in (WALD, PERMUTED))
            own += [_difference(wald, digits), _p_of(wald, "p"), _p_of(wald, "p_holm"), _p_of(permuted, "p_holm")]
        posterior = cells.get((pair, POSTERIOR, ""))
        own += ["–", "–"] if posterior is None else [_posterior(posterior), probability(posterior["probability"])]
        rows.append((f"{first} − {second}", *own))
    ci = level(prob)
    heads = [
        f"{head}, controls {_CONTROLS[controls]}"
        for controls in CONTROLS
        for head in (f"Difference ({ci} interval)", "p", "p (Holm)", "Permutation p (Holm)")
    ]
    return ReportTable(
        name=name,
        caption=(
            "Every two groups: the difference of their slopes with its interval (CR2), its p-value by the Wald test, "
            "and p-values with Holm's correction for all pairs, also of permutations; the posterior difference, and "
            "the probability that the first slope is larger."
        ),
        origin=_origin(frame),
        columns=("Pair", *heads, f"Posterior ({ci} interval)", "P(difference > 0)"),
        rows=tuple(rows),
    )


def _difference(row: Mapping[Hashable, Any] | None, digits: int) -> str:
    if row is None or not number(row["estimate"], digits):
        return "–"
    return f"{number(row['estimate'], digits)} ({interval(row['ci_low'], row['ci_high'], digits)})"


def _posterior(row: Mapping[Hashable, Any]) -> str:
    return with_interval(row["estimate"], row["ci_low"], row["ci_high"], row["mcse"])


def _p_of(row: Mapping[Hashable, Any] | None, column: str) -> str:
    return "–" if row is None else p_value(row[column])


def _degrees(row: Mapping[Hashable, Any]) -> str:
    first, second = number(row["df"], 0), number(row["df2"], 1)
    return f"{first}, {second}" if second else first or "–"


def _origin(frame: pd.DataFrame) -> Origin:
    return Origin(frame["origin"].iloc[0])
