"""What a study's report concludes about the slopes of a printed table: one table, from which its sentences are made."""

from __future__ import annotations

import pandas as pd

from cbec_bayes.jobs.ensemble import SURVIVES, Ensemble
from cbec_bayes.jobs.reanalysis import Reanalysis
from cbec_bayes.runtime.labels import Origin, level

POSITIVE, NEGATIVE, OPEN = "positive", "negative", "open"
"""Verdicts: the sign follows from what was printed under everything that was tried, or it does not."""

ANSWER_COLUMNS = (
    "group",
    "verdict",
    "mean",
    "ci_low",
    "ci_high",
    "combinations",
    "above_zero",
    "below_zero",
    "panels",
    "specifications",
    "lowest",
    "lowest_under",
    "no_lowest",
    "because",
    "origin",
)
"""Columns of answers.csv.

`mean`, `ci_low` and `ci_high` are of the printed slopes, partially pooled under the headline's reading and prior.
`above_zero` and `below_zero` say under how many of `combinations` of reading and prior the 95 % interval lies on that
side of zero. `lowest` is the share of `panels` that print the same tables in which the slope is positive with a
probability above .975, under the one of `specifications` where it is lowest, `lowest_under`; `no_lowest` is the same of
a negative slope. The verdict is a sign only where both agree on it throughout; `because` says what leaves it open.
"""


def answers(analysis: Reanalysis, ensemble: Ensemble | None) -> pd.DataFrame:
    """Return answers.csv: a row for each printed slope, with columns `ANSWER_COLUMNS`.

    Parameters
    ----------
    analysis
        Analysis of the printed tables.
    ensemble
        Panels that print them, under several specifications each; None where there are none, and then the printed
        slopes alone decide.
    """
    tried = analysis.sensitivity
    n = len(tried[["reading", "model"]].drop_duplicates())
    conclusions = [] if ensemble is None else ensemble.conclusions.to_dict("records")
    panels = {row["quantity"]: row for row in conclusions}
    labels = zip(analysis.estimates.labels, analysis.estimates.printed, strict=True)
    rows: list[dict[str, object]] = []
    for group in (label for label, there in labels if there):
        own, found = tried[tried["group"] == group], analysis.result.groups[group]
        above, below = int((own["ci_low"] > 0).sum()), int((own["ci_high"] < 0).sum())
        row: dict[str, object] = {
            "group": group,
            "mean": found.mean,
            "ci_low": found.ci_low,
            "ci_high": found.ci_high,
            "combinations": n,
            "above_zero": above,
            "below_zero": below,
        }
        survives = ""
        if ensemble is not None and group in panels:
            at = panels[group]
            survives = str(at["survives"])
            kept = ("specifications", "lowest", "lowest_under", "no_lowest")
            row |= {"panels": ensemble.n_panels, **{name: at[name] for name in kept}}
        verdict, because = _verdict(row, survives)
        origin = Origin.PRINTED if ensemble is None else Origin.RECONSTRUCTED
        rows.append(row | {"verdict": verdict, "because": because, "origin": str(origin)})
    return pd.DataFrame(rows, columns=list(ANSWER_COLUMNS))


def _verdict(row: dict[str, object], survives: str) -> tuple[str, str]:
    """Return the verdict, and in words what leaves the sign open."""
    n, above, below = (int(str(row[name])) for name in ("combinations", "above_zero", "below_zero"))
    if above == n and survives in ("", "yes"):
        return POSITIVE, ""
    if below == n and survives in ("", "opposite"):
        return NEGATIVE, ""
    reasons = []
    if max(above, below) < n:
        reasons.append(
            f"its 95 % interval reaches zero under {n - above - below} of {n} combinations of reading and prior"
        )
    if survives == "no":
        sign, share = (POSITIVE, row["lowest"]) if above >= below else (NEGATIVE, row["no_lowest"])
        under = f" under the specification {row['lowest_under']}" if sign == POSITIVE else ""
        reasons.append(
            f"it is {sign} beyond doubt in only {100 * float(str(share)):.0f} % of {row['panels']} panels that print "
            f"the same tables{under}, where {level(SURVIVES)} are asked for"
        )
    if not reasons:
        reasons.append("the printed slopes and the panels that print them have different signs")
    return OPEN, ", and ".join(reasons)


def answer_sentences(table: pd.DataFrame) -> tuple[str, ...]:
    """Return what answers.csv says of signs, in sentences: first what is settled, then what is not and why."""
    settled = table[table["verdict"] != OPEN]
    rest = table[table["verdict"] == OPEN]
    n = int(table["combinations"].iloc[0])
    under = f"under each of {n} combinations of a reading of the parentheses and a prior"
    if table["panels"].notna().any():
        row = table.iloc[0]
        under += (
            f", and in at least {level(SURVIVES)} of {row['panels']:.0f} panels that print the same tables, under each "
            f"of {row['specifications']:.0f} specifications of the panel regression"
        )
    if settled.empty:
        first = f"What the paper prints settles the sign of no region's slope: for none is it the same {under}."
    else:
        named = " and ".join(f"{row['group']} ({row['verdict']})" for row in settled.to_dict("records"))
        verb = "sign of the slope of" if len(settled) == 1 else "signs of the slopes of"
        first = f"What the paper prints settles the {verb} {named}: the sign is the same {under}."
    return (first, *(f"The sign of {row['group']} is open: {row['because']}." for row in rest.to_dict("records")))
