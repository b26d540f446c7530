"""What the members of a lattice agree on: one row for each slope, from which every sentence is made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cbec_bayes.panel.study import MAIN
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.labels import CI_PROB, GROUP_ALL, GROUP_AVERAGE, GROUP_NEW, Origin, level
from cbec_bayes.specifications.lattice import ALTERNATIVE, AXES, choice_of
from cbec_bayes.specifications.members import Member
from cbec_bayes.specifications.mixture import WEIGHTY, mixtures

CONCLUSION_COLUMNS = (
    "group",
    "outcome_scale",
    "holds",
    "members",
    "positive",
    "negative",
    "settled_positive",
    "settled_negative",
    "mean_low",
    "mean_high",
    "lattice",
    "lattice_positive",
    "lattice_low",
    "lattice_high",
    "term",
    "term_share",
    "positive_under",
    "negative_under",
    "mean",
    "sd",
    "ci_low",
    "ci_high",
    "p_positive",
    "weight_positive",
    "origin",
    ALTERNATIVE,
)
"""Columns of conclusions.csv.

`members` have weight: of these are `positive`, `negative` (by the mean), `settled_positive`, `settled_negative` (by the
interval), and `mean_low` to `mean_high`, the range of means. `lattice` and what begins with it are of all members
that passed their gates. `term` is the assumption that best tells the sign over the lattice, which it does for
`term_share` of the members; `positive_under` and `negative_under` are its values.
"""

POSITIVE, NEGATIVE = "positive", "negative"
LEANS_POSITIVE, LEANS_NEGATIVE, CHANGES = "leans positive", "leans negative", "changes sign"
"""What holds: the sign is settled under each member with weight; all means have it, or they have both."""

ABOUT_WEIGHTS = (
    "Weights say how well a specification predicts the changes of units that it has not seen. A "
    "specification that predicts best need not identify an effect. Trends of units can absorb an effect that grows "
    "with the time since adoption (Wolfers 2006), and a control that the exposure itself moves is an outcome."
)
"""What is said wherever weights are shown."""


def conclusions(members: Sequence[Member], weight: Array, origin: Origin, prob: float = CI_PROB) -> pd.DataFrame:
    """Return conclusions.csv: a row for each slope of the members, with columns `CONCLUSION_COLUMNS`.

    Parameters
    ----------
    members
        Members of one scale of the outcome; those that missed a gate do not count.
    weight
        Weights of the members, shape (K,).
    origin
        Origin of the panel.
    prob
        Probability of the intervals.
    """
    mixed = mixtures(members, weight)
    usable = [(member, float(w)) for member, w in zip(members, weight, strict=True) if member.passed]
    rows = []
    for name, mixture in mixed.items():
        found = [(member, w, member.slopes[name].summary(prob)) for member, w in usable]
        counted = [summary for _, w, summary in found if w >= WEIGHTY]
        signs = [bool(summary.mean > 0) for _, _, summary in found]
        every = [summary.mean for _, _, summary in found]
        means = [summary.mean for summary in counted]
        settled = [sum(s.ci_low > 0 for s in counted), sum(s.ci_high < 0 for s in counted)]
        positive = sum(mean > 0 for mean in means)
        own = mixture.summary(prob)
        rows.append(
            {
                "group": name,
                "outcome_scale": members[0].specification.outcome_scale,
                "holds": _holds(len(counted), positive, settled),
                "members": len(counted),
                "positive": positive,
                "negative": len(counted) - positive,
                "settled_positive": settled[0],
                "settled_negative": settled[1],
                "mean_low": min(means),
                "mean_high": max(means),
                "lattice": len(every),
                "lattice_positive": sum(signs),
                "lattice_low": min(every),
                "lattice_high": max(every),
                **separating_term([member for member, _ in usable], signs),
                "mean": own.mean,
                "sd": own.sd,
                "ci_low": own.ci_low,
                "ci_high": own.ci_high,
                "p_positive": own.p_positive,
                "weight_positive": sum(w for (_, w, s) in found if s.mean > 0),
                "origin": str(origin),
                ALTERNATIVE: members[0].specification.alternative,
            }
        )
    return pd.DataFrame(rows, columns=list(CONCLUSION_COLUMNS))


def _holds(members: int, positive: int, settled: Sequence[int]) -> str:
    if settled[0] == members:
        return POSITIVE
    if settled[1] == members:
        return NEGATIVE
    if 0 < positive < members:
        return CHANGES
    return LEANS_POSITIVE if positive else LEANS_NEGATIVE


def separating_term(members: Sequence[Member], positive: Sequence[bool]) -> dict[str, Any]:
    """Return the assumption whose values best tell the sign of a slope, as the columns of conclusions.csv have it.

    Parameters
    ----------
    members
        Members of the lattice.
    positive
        Whether the mean is positive under each.

    Notes
    -----
    Each value of an assumption foretells the sign of most members that have it; the assumption that is right most often
    is it. Where none is right more often than the sign of most members is, or all have one sign, cells are blank.
    """
    blank = {"term": "", "term_share": np.nan, "positive_under": "", "negative_under": ""}
    base = max(sum(positive), len(positive) - sum(positive))
    best, most = blank, base
    if base == len(positive):
        return blank
    for axis in AXES:
        counts: dict[str, Counter[bool]] = {}
        for member, sign in zip(members, positive, strict=True):
            counts.setdefault(member.specification.chosen[axis], Counter())[bool(sign)] += 1
        right = sum(max(count.values()) for count in counts.values())
        if right > most:
            under = {sign: [v for v, c in counts.items() if (c[True] > c[False]) is sign] for sign in (True, False)}
            best, most = (
                {
                    "term": axis,
                    "term_share": right / len(positive),
                    "positive_under": ", ".join(under[True]),
                    "negative_under": ", ".join(under[False]),
                },
                right,
            )
    return best


def conclusion_sentences(table: pd.DataFrame, exposure: str, prob: float = CI_PROB) -> tuple[str, ...]:
    """Return what a table of conclusions says of the main panel, a sentence or two for each slope, signs before sizes.

    Parameters
    ----------
    table
        With columns `CONCLUSION_COLUMNS`.
    exposure
        Name of the regressor.
    prob
        Probability of the intervals.
    """
    ci = level(prob)
    table = table[table[ALTERNATIVE] == MAIN]
    scales = table["outcome_scale"].nunique()
    found = []
    for row in table[table["group"] != GROUP_NEW].to_dict("records"):
        within = f" ({row['outcome_scale']})" if scales > 1 else ""
        found.append(f"{_sign(row, _slope_of(str(row['group']), exposure) + within, ci)} {_size(row, ci)}")
    return tuple(found)


def alternative_sentences(table: pd.DataFrame, labels: Mapping[str, str], prob: float = CI_PROB) -> tuple[str, ...]:
    """Return what a table of conclusions says of the average slope in other panels that ask the same question.

    The first sentence counts in how many panels the sign is the same; then comes one for each panel but the main one.

    Parameters
    ----------
    table
        With columns `CONCLUSION_COLUMNS`.
    labels
        Name of each other panel to what differs in it.
    prob
        Probability of the intervals.
    """
    ci = level(prob)
    average = table[table["group"] == GROUP_AVERAGE]
    rows = [row for row in average.to_dict("records") if row[ALTERNATIVE] in labels]
    if not rows:
        return ()
    holds = Counter(str(row["holds"]) for row in average.to_dict("records"))
    n, words = len(average), {CHANGES: "it changes sign between specifications that have weight"}
    words |= {sign: f"it is {sign}, and each interval leaves out zero" for sign in (POSITIVE, NEGATIVE)}
    words |= {one: f"it {one}, but not every interval leaves out zero" for one in (LEANS_POSITIVE, LEANS_NEGATIVE)}
    counted = "; ".join(f"in {holds[one]} {words[one]}" for one in words if holds[one])
    found = [
        f"The average slope in {n} panels that ask the same question, the main one included: {counted}. "
        "Panels with different outcomes or exposures have different units, so that only signs can be compared, and "
        "not sizes."
    ]
    found += [
        f"{row[ALTERNATIVE]} ({labels[row[ALTERNATIVE]]}): {words[row['holds']]}; under the mixture the mean is "
        f"{row['mean']:.3g} ({ci} interval {row['ci_low']:.3g} to {row['ci_high']:.3g})."
        for row in rows
    ]
    return tuple(found)


def _slope_of(group: str, exposure: str) -> str:
    """Name a slope as the subject of a sentence."""
    if group == GROUP_AVERAGE:
        return f"average slope of {exposure} over units"
    return f"slope of {exposure} in {'groups in general' if group == GROUP_ALL else f'group {group}'}"


def _sign(row: Mapping[Any, Any], slope: str, ci: str) -> str:
    """Say of a slope what holds under the members with weight, and by which term signs differ."""
    n, holds = row["members"], row["holds"]
    each = "the one specification that has weight" if n == 1 else f"each of the {n} specifications that have weight"
    if holds in (POSITIVE, NEGATIVE):
        said = f"The {slope} is {holds} under {each}, and its {ci} interval leaves out zero."
    elif holds == CHANGES:
        said = (
            f"The {slope} changes its sign between specifications that have weight: its mean is positive under "
            f"{row['positive']} "
            f"and negative under {row['negative']} of {n}."
        )
    else:
        sign = holds.removeprefix("leans ")
        settled = row[f"settled_{sign}"]
        said = (
            f"The {slope} has a {sign} mean under {each}, but its {ci} interval leaves out zero under "
            f"{settled or 'none'} of them."
        )
    return f"{said}{_term(row)}"


def _term(row: Mapping[Any, Any]) -> str:
    """Say where signs differ over the whole lattice; blank where they do not."""
    n, positive = row["lattice"], row["lattice_positive"]
    if positive in (0, n):
        return f" All {n} specifications of the lattice agree in the sign of the mean." if n > 1 else ""
    said = f" Over all {n} specifications the mean is positive under {positive}"
    if not row["term"]:
        return f"{said}, and no single assumption determines the sign."
    under = [values_words(row["term"], row[f"{sign}_under"]) for sign in (POSITIVE, NEGATIVE)]
    which = "; ".join(f"mostly {s} {u}" for s, u in zip((POSITIVE, NEGATIVE), under, strict=True) if u)
    return f"{said}. The sign depends most on this assumption: it is {which}."


def values_words(axis: str, values: str) -> str:
    """Say with what, of an assumption.

    Parameters
    ----------
    axis
        Name of the assumption, of `cbec_bayes.specifications.lattice.AXES`.
    values
        Those of its values that are meant, with a comma and a space between them.
    """
    chosen = [choice_of(axis, value) for value in values.split(", ") if value]
    return " or ".join(choice.without or f"with {choice.label}" for choice in chosen)


def _size(row: Mapping[Any, Any], ci: str) -> str:
    mean, low, high = (_number(row[name]) for name in ("mean", "ci_low", "ci_high"))
    ends, every = ([_number(row[f"{name}_{end}"]) for end in ("low", "high")] for name in ("mean", "lattice"))
    return (
        f"Under the mixture the mean is {mean} ({ci} interval {low} to {high}); the means lie between {ends[0]} and "
        f"{ends[1]} under specifications that have weight, and between {every[0]} and {every[1]} under all."
    )


def _number(value: float) -> str:
    return f"{value:.3g}".replace("-", "\N{MINUS SIGN}")
