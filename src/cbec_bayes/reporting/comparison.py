"""The classical and the hierarchical slopes side by side, for people."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from cbec_bayes.jobs.compare import LIMITS
from cbec_bayes.reporting.tables import ReportTable, number, p_value, probability, with_interval
from cbec_bayes.runtime.labels import GROUP_ALL, Origin

_LIMIT = re.compile(rf"(?:^|; )({'|'.join(LIMITS.values())}): ")
"""What stands before the reason of a limit in a note."""


def compare_table(name: str, frame: pd.DataFrame, digits: int = 3) -> ReportTable:
    """Return what `cbec_bayes.jobs.compare.side_by_side` found as a table.

    Parameters
    ----------
    name
        Name of the table.
    frame
        One row per column of the classical tables.
    digits
        Decimals of what is not sampled.
    """
    printed = bool((frame["printed"] != "").any())
    rows = []
    for row in frame.to_dict("records"):
        who = f"Table {row['table']} {row['column']}" if printed else _rows_of(row)
        errors = " / ".join(number(row[se], digits) or "–" for se in ("crv1_se", "cr2_se", "crv3_se"))
        rows.append(
            (
                who,
                *((row["printed"] or "not printed",) if printed else ()),
                number(row["estimate"], digits) or "–",
                errors,
                p_value(row["wild_p"]),
                *(_slope(row, kind) for kind in ("complete", "no", "partial")),
                probability(row["p_positive"]) or "–",
                number(row["pooling_factor"], 2) or "–",
            )
        )
    origin = Origin(frame["origin"].iloc[0]) if len(frame) else Origin.OBSERVED
    return ReportTable(
        name=name,
        caption="The slope of the exposure side by side: "
        + ("as printed, with its parentheses; " if printed else "")
        + "the regression with clustered standard errors (CRV1), bias-reduced (CR2) and by the jackknife "
        "(CRV3); and the posterior mean with its 95 % interval under complete pooling (all groups share one slope), no "
        "pooling (each group is fitted alone) and partial pooling. Pooling: 0 keeps the group's own slope, 1 takes the "
        "common one. " + _gates(frame),
        origin=origin,
        columns=(
            "Column" if printed else "Rows",
            *(("Printed",) if printed else ()),
            "Replicated" if printed else "Estimate",
            "CRV1 / CR2 / CRV3",
            "Wild p",
            "Complete pooling",
            "No pooling",
            "Partial pooling",
            "P(slope > 0)",
            "Pooling",
        ),
        rows=tuple(rows),
    )


def _gates(frame: pd.DataFrame) -> str:
    """Say that every fit behind the table passed its gates, or which limit is blank and why."""
    blank: dict[str, str] = {}
    for note in frame["note"]:
        _, *said = _LIMIT.split(note)
        blank |= dict(zip(said[::2], said[1::2], strict=True))
    if not blank:
        return "Every fit behind the table passed its gates."
    said = [f"{limit[0].upper()}{limit[1:]} is blank: {reason}." for limit, reason in blank.items()]
    return f"{' '.join(said)} Every fit that is shown passed its gates."


def _rows_of(row: Mapping[Hashable, Any]) -> str:
    if row["group"] != GROUP_ALL:
        return str(row["group"])
    # The fitted model is always there, a limit is not.
    return "all rows" if number(row["partial_mean"]) else "all rows, exposure alone"


def _slope(row: Mapping[Hashable, Any], kind: str) -> str:
    return with_interval(row[f"{kind}_mean"], row[f"{kind}_low"], row[f"{kind}_high"], row[f"{kind}_mcse"])
