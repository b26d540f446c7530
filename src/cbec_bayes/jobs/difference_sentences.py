"""What a table of differences says in words; every sentence is made from its rows, so that none contradicts another."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cbec_bayes.classical.equal_slopes import BOOTSTRAP, JOINT_TESTS, PERMUTED, SLOPE, WALD
from cbec_bayes.classical.group_slopes import CONTROLS
from cbec_bayes.jobs.differences import EVIDENCE, TAU, WITHIN_ROPE
from cbec_bayes.runtime.labels import CI_PROB, GROUP_ALL, level

SIGNIFICANT = 0.05
"""p-value below which a sentence calls a difference, or a slope, significant."""

MOST_NAMED = 3
"""Pairs that a sentence names at most."""

TITLES: Mapping[str, str] = {
    WALD: "Wald test",
    BOOTSTRAP: "wild cluster bootstrap",
    PERMUTED: "permutation of groups over units",
}
"""What the joint tests are called."""

WHERE: Mapping[str, str] = {
    "common": "with controls and periods in common",
    "by group": "with controls and periods by group",
}

_WEIGHT = ((3.0, "somewhat"), (5.0, "strongly"), (np.inf, "very strongly"))
_NO_WEIGHT = 1.0
"""How strongly a log Bayes factor speaks, below a size, and below which it says nothing (Kass and Raftery 1995)."""

MINUS = "\N{MINUS SIGN}"

NOTHING_TO_COMPARE = "There are no two groups whose slopes could be compared."


def difference_sentences(table: pd.DataFrame, exposure: str, model: str, prob: float = CI_PROB) -> tuple[str, ...]:
    """Say whether slopes differ: by the tests, pair by pair, and by the posterior of a model.

    Parameters
    ----------
    table
        Table of `cbec_bayes.jobs.differences.differences`.
    exposure, model
        Names of the regressor and of the fitted model.
    prob
        Probability of the intervals.
    """
    rows = table.to_dict("records")
    if not rows:
        return (NOTHING_TO_COMPARE,)
    found = [
        _joint(rows, exposure),
        *_pairs(rows),
        *_here_not_there(rows),
        *_posterior(rows, model, level(prob)),
    ]
    return tuple(sentence for sentence in found if sentence)


type _Rows = Sequence[Mapping[Hashable, Any]]


def p_text(p: float) -> str:
    """Write a p-value as a sentence has it."""
    if p < 0.0005:
        return "p < 0.001"
    return f"p = {p:.3f}" if p < 0.0995 else f"p = {p:.2f}"


def _joint(rows: _Rows, exposure: str) -> str:
    """Say what the tests of all slopes at once find: the verdict first, then each p-value."""
    parts, values, why = [], [], []
    for controls in CONTROLS:
        own = {row["test"]: row for row in rows if row["controls"] == controls and row["groups"] == GROUP_ALL}
        told = {test: own[test]["p"] for test in JOINT_TESTS if test in own and np.isfinite(own[test]["p"])}
        if told:
            values += list(told.values())
            parts.append(f"{WHERE[controls]} {', '.join(f'{TITLES[test]} {p_text(p)}' for test, p in told.items())}")
        elif WALD in own:
            why.append(f"{WHERE[controls]} no test is possible ({own[WALD]['note']})")
    if not values:
        return f"No test can say whether the slopes of {exposure} differ between groups: {'; '.join(why)}."
    n, beyond = len(values), sum(p < SIGNIFICANT for p in values)
    many = f"all {n} tests" if n > 1 else "the one test"
    none = f"none of {n} tests" if n > 1 else "the one test does not"
    if beyond == n:
        said = f"Do the slopes of {exposure} differ between groups? At 5 % {many} say{'' if n > 1 else 's'} so"
    elif beyond:
        said = (
            f"Do the slopes of {exposure} differ between groups? At 5 % {beyond} of {n} tests say so, and the "
            "others do not"
        )
    else:
        verb = f"{none} says so" if n > 1 else f"{none} say so"
        said = (
            f"Do the slopes of {exposure} differ between groups? At 5 % {verb}, which does not show that they are equal"
        )
    return f"{said}: {'; '.join([*parts, *why])}."


def _pairs(rows: _Rows) -> list[str]:
    """Say which pairs differ by the Wald test with Holm's correction."""
    found = []
    for controls in CONTROLS:
        pairs = [r for r in rows if r["test"] == WALD and r["controls"] == controls and r["minus"]]
        told = [r for r in pairs if np.isfinite(r["p_holm"])]
        if len(told) < 2:
            continue
        differ = sorted((r for r in told if r["p_holm"] < SIGNIFICANT), key=lambda r: r["p_holm"])
        named = ", ".join(f"{r['group']} and {r['minus']} ({p_text(r['p_holm'])})" for r in differ[:MOST_NAMED])
        more = f" and {len(differ) - MOST_NAMED} more" if len(differ) > MOST_NAMED else ""
        many = f"{len(differ)} of {len(told)} pairs differ{'s' * (len(differ) == 1)}, {named}{more}" if differ else ""
        found.append(f"{WHERE[controls]} {many or f'none of {len(told)} pairs differs'}")
    return [f"Pair by pair, by the Wald test with Holm's correction: {'; '.join(found)}."] if found else []


def _here_not_there(rows: _Rows) -> list[str]:
    """Say of which pairs one slope is significant, the other is not, and their difference is not either."""
    for controls in reversed(CONTROLS):
        own = {
            r["group"]: r["p"] for r in rows if r["test"] == SLOPE and r["controls"] == controls and np.isfinite(r["p"])
        }
        pairs = [r for r in rows if r["test"] == WALD and r["controls"] == controls and r["minus"]]
        found = []
        for pair in pairs:
            two = (pair["group"], pair["minus"])
            if not all(group in own for group in two) or not pair["p"] >= SIGNIFICANT:
                continue
            here, there = sorted(two, key=lambda group: own[group])
            if own[here] < SIGNIFICANT <= own[there]:
                found.append((here, there, pair["p"]))
        if found:
            here, there, p = max(found, key=lambda one: one[2])
            n = len(found) - 1
            more = f" The same holds of {n} more pair{'s' * (n > 1)}." if n else ""
            return [
                f"A slope that is significant beside one that is not does not show a difference: {WHERE[controls]} "
                "the slope of "
                f"{here} differs from zero at 5 % ({p_text(own[here])}) and that of {there} does not "
                f"({p_text(own[there])}). "
                f"The difference between the two is not significant at 5 % ({p_text(p)}).{more}"
            ]
    return []


def tau_text(mean: float, low: float, high: float) -> tuple[str, str]:
    """Write the posterior mean of tau, and its interval: with the same digits in every sentence and table of a page."""
    return f"{mean:.2g}", f"{low:.2g} to {high:.2g}"


def _posterior(rows: _Rows, model: str, ci: str) -> list[str]:
    """Say how far slopes differ under the model, how likely all are practically equal, and what the evidence is."""
    by_test = {row["test"]: row for row in rows if not row["controls"] and not row["minus"]}
    parts = []
    tau, rope, evidence = (by_test.get(test) for test in (TAU, WITHIN_ROPE, EVIDENCE))
    if tau is not None and np.isfinite(tau["estimate"]):
        mean, ends = tau_text(tau["estimate"], tau["ci_low"], tau["ci_high"])
        parts.append(
            f"the standard deviation of slopes between groups has the posterior mean {mean} ({ci} interval {ends})"
        )
    elif tau is not None and rope is None:
        return [f"The posterior gives no answer: {tau['note']}."]
    if rope is not None:
        parts.append(
            f"all slopes lie within {rope['statistic']:.2g} of each other with probability {_probability(rope)}"
        )
    said = [f"Under the model {model} {', and '.join(parts)}."] if parts else []
    if evidence is not None and np.isfinite(evidence["statistic"]):
        said.append(_evidence(evidence))
    elif evidence is not None:
        said.append(f"The evidence for one slope against several is not known: {evidence['note']}.")
    return said


def _evidence(row: Mapping[Hashable, Any]) -> str:
    value = float(row["statistic"])
    which = "one slope for all groups" if value > 0 else "slopes that differ"
    how = next((word for size, word in _WEIGHT if abs(value) < size), "")
    said = f"The evidence speaks {how} in favour of {which}"
    if not abs(value) >= _NO_WEIGHT:
        said = "The evidence hardly distinguishes one slope for all groups from several slopes"
    return (
        f"{said}: the log Bayes factor of one slope against several is {f'{value:.2f}'.replace('-', MINUS)}, "
        f"with a Monte Carlo error of {row['mcse']:.1g}; it depends on the prior of that standard deviation."
    )


def _probability(row: Mapping[Hashable, Any]) -> str:
    value = float(row["probability"])
    if value < 0.005:
        return "below 0.01"
    return "above 0.99" if value > 0.995 else f"{value:.2f}"
