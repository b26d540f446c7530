"""Predictive checks in the classical tables' own language (MODEL.md section 6).

The test statistics are the cells of the classical tables, computed by the frequentist module itself on outcomes that
the fitted model replicates.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cbec_bayes.checks.remedies import Finding, term_of
from cbec_bayes.checks.result import CheckResult, against, counted, not_applying
from cbec_bayes.checks.severity import WIDER, Severity
from cbec_bayes.classical.batch import BatchFit, prepare
from cbec_bayes.classical.tables import ColumnSpec
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import InputError

type Place = tuple[str, str, str, str]
"""Table, column, term (blank for the column's own numbers), quantity."""

CELL_COLUMNS = (
    "table",
    "column",
    "term",
    "quantity",
    "printed",
    "replicated",
    "mean",
    "sd",
    "ci_low",
    "ci_high",
    "z",
    "z_printed",
    "p_replicated",
    "p_printed",
    "outside",
    "origin",
)


def predictive_cells(
    design: Design,
    columns: Sequence[ColumnSpec],
    ssc: str,
    outcomes: Array,
    printed: Mapping[Place, float],
    *,
    new_units: bool = False,
) -> CheckResult:
    """Hold every cell of the classical tables against its posterior predictive distribution.

    Parameters
    ----------
    design
        The rows that the model was fitted to.
    columns
        Columns of the classical tables.
    ssc
        Convention of the clustered standard errors.
    outcomes
        Replicated, shape (S, n); see `cbec_bayes.bayes.predictive.predictive_outcomes`.
    printed
        Printed numbers by place, with quantities ``estimate``, ``se``, ``t`` and ``r2``.
    new_units
        Whether the outcomes are of new units.

    Returns
    -------
    CheckResult
        It is *fine* where no cell computed from the data lies farther out than the farthest cell of 95 % of replicates,
        and *worth knowing* otherwise. It *changes the answer* where such a cell is a coefficient of the exposure, which
        the model would not print, and *widens it* where it is a standard error of the exposure that is more than half
        larger than those of replicates.
    """
    places: list[Place] = []
    values: list[float] = []
    draws: list[Array] = []
    for column in columns:
        try:
            prepared = prepare(design, column.terms, group=column.group, ssc=ssc)
        except InputError:  # a column that its rows cannot carry
            continue
        two = prepared.effects.n_units == 2
        own, many = (_cells(prepared.fit(y), errors=not two) for y in (design.y[None], outcomes))
        for (k, quantity), found in many.items():
            if np.isfinite(found).all() and np.ptp(found) > 0:
                places.append((column.table, column.name, "" if k is None else prepared.terms[k], quantity))
                values.append(float(own[k, quantity][0]))
                draws.append(found)
    name = "predictive_cells_new" if new_units else "predictive_cells"
    if not places:
        return not_applying(name, CELL_COLUMNS, "No column of the classical tables can be fitted.")
    replicated = np.column_stack(draws)
    held = against(replicated, np.array(values))
    there = np.array([printed.get(place, np.nan) for place in places])
    other = against(replicated, there)
    p_printed = np.where(np.isnan(there), np.nan, other.p)
    moments = (held.mean, held.sd, held.low, held.high)
    numbers = (there, values, *moments, held.z, other.z, held.p, p_printed, held.outside)
    columns_of = dict(zip(CELL_COLUMNS, (*zip(*places, strict=True), *numbers), strict=False))
    table = pd.DataFrame(columns_of).assign(origin=str(design.origin))
    out = table[table["outside"]].sort_values("z", key=abs, ascending=False)
    said = {(column.table, column.name): column.said for column in columns}
    named = "; ".join(_named(said, row) for row in out.head(4).to_dict("records"))
    more = f" and {len(out) - 4} more" if len(out) > 4 else ""
    who = "new units" if new_units else "the same units"
    count = counted(len(out), len(table), "cells")
    text = (
        f"The classical tables were computed again on outcomes that the model replicated for {who}. Compared with the "
        f"farthest cell in 95 % of these replicates, {count} farther out{': ' + named + more if named else ''}."
    )
    severity = _severity(out, design.terms[0])
    return CheckResult(name, severity, table, "predictive_grid", text + _ANSWERS.get(severity, ""))


def _named(said: Mapping[tuple[str, str], str], row: Mapping[Hashable, Any]) -> str:
    """Name a cell in a sentence, with its term in quotation marks."""
    quantity = _QUANTITIES.get(str(row["quantity"]), str(row["quantity"]))
    term = f" '{row['term']}'" if row["term"] else ""
    return f"{said[str(row['table']), str(row['column'])]}, {quantity}{term}"


_QUANTITIES = {
    "estimate": "slope of",
    "se": "standard error of",
    "t": "t of",
    "r2": "R2",
    "r2_within": "R2 within units",
}
"""What the quantities of a cell are called before the term that they are of."""

_ANSWERS = {
    Severity.CHANGES: (
        " Groups differ in more than the model allows; the terms group_slope and group_control_slope would allow it."
    ),
    Severity.WIDENS: (
        " Rows of a unit are more alike than the model allows; "
        f"the terms {term_of(Finding.SERIAL)} and {term_of(Finding.UNITS)} would allow it."
    ),
}
"""Which terms of the family answer cells that lie far out."""


def _severity(out: pd.DataFrame, exposure: str) -> Severity:
    """Return how much the cells that lie far out matter."""
    if out.empty:
        return Severity.FINE
    own = out[out["term"] == exposure]
    if (own["quantity"] == "estimate").any():
        return Severity.CHANGES
    wide = (own["quantity"] == "se") & (own["replicated"] > WIDER * own["mean"])
    return Severity.WIDENS if wide.any() else Severity.KNOWING


def _cells(fit: BatchFit, *, errors: bool) -> dict[tuple[int | None, str], Array]:
    found: dict[tuple[int | None, str], Array] = {}
    for k in range(fit.estimate.shape[1]):
        found[k, "estimate"] = fit.estimate[:, k]
        if errors:  # of two clusters there are none
            found |= {(k, "se"): fit.se[:, k], (k, "t"): fit.t[:, k]}
    return found | {(None, "r2"): fit.r2, (None, "r2_within"): fit.r2_within}
