"""What a reader of the results should know about a panel that is no error: one sentence each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cbec_bayes.panel.alike import look_alike
from cbec_bayes.panel.cells import count, some
from cbec_bayes.panel.doubtful import stand_in_sentences, step_sentences
from cbec_bayes.panel.identify import explained, unidentified
from cbec_bayes.panel.periods import Frequency, period_text
from cbec_bayes.panel.within import Array, Codes

FEW_CLUSTERS = 10
"""Below this many units, clustered standard errors are said to be unreliable."""

SMALL_COUNT = 10
"""Whole numbers of which the least is below this are so near to zero that a linear model of counts is doubtful."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCodes:
    """Unit, period and group of every row: codes of shape (n,), and the labels that they are positions of.

    `effect` has the codes of the effects of periods, which may be other ones than those of periods.
    """

    unit: Codes
    time: Codes
    effect: Codes
    group: Codes
    units: tuple[str, ...]
    times: tuple[float, ...]
    groups: tuple[str, ...]
    frequency: Frequency = Frequency.NUMBER


def describe(
    codes: RowCodes,
    outcome: tuple[str, Array],
    regressors: Array,
    names: Sequence[str],
    *,
    n_dropped: int,
    n_filled: int,
) -> tuple[str, ...]:
    """Return the notes of a panel, most general first.

    Parameters
    ----------
    codes
        Codes of the rows.
    outcome
        Its name, and its values, shape (n,).
    regressors, names
        Shape (n, K), and their K names.
    n_dropped, n_filled
        Rows of the input that were left out, and cells that were filled.
    """
    return (
        *_shape(codes),
        *look_alike(codes.units, "units"),
        *look_alike(codes.groups, "groups"),
        *_clusters(codes),
        *_kind(*outcome),
        *step_sentences(codes.times, codes.frequency),
        *stand_in_sentences((outcome[0], *names), np.column_stack([outcome[1], regressors])),
        *_outcomes(codes, *outcome, regressors),
        *_slopes(codes, regressors, names),
        *_changes(n_dropped, n_filled),
    )


def _shape(codes: RowCodes) -> list[str]:
    units, times = codes.units, [period_text(time, codes.frequency) for time in codes.times]
    there = np.zeros((len(units), len(times)), dtype=bool)
    there[codes.unit, codes.time] = True
    if there.all():
        return [f"balanced: {count(there.shape[0], 'unit')} in each of {count(there.shape[1], 'period')}"]
    notes = [f"unbalanced: {len(codes.unit)} of {there.size} combinations of unit and period have a row"]
    once = [units[i] for i in np.flatnonzero(there.sum(axis=1) == 1)]
    if once:
        notes.append(f"{count(len(once), 'unit')} with only one row ({some(once)}); such rows say nothing about slopes")
    begun = np.logical_or.accumulate(there, axis=1)
    unfinished = np.logical_or.accumulate(there[:, ::-1], axis=1)[:, ::-1]
    absent = begun & unfinished & ~there
    gaps = [
        f"{units[i]} {'/'.join(times[t] for t in np.flatnonzero(absent[i]))}"
        for i in np.flatnonzero(absent.any(axis=1))
    ]
    if gaps:
        notes.append(
            f"{count(len(gaps), 'unit')} with missing periods between their first and last, "
            f"{count(int(absent.sum()), 'period')} in all: {some(gaps)}"
        )
    return notes


def _units_of(codes: RowCodes) -> dict[str, int]:
    return {name: len(np.unique(codes.unit[codes.group == g])) for g, name in enumerate(codes.groups)}


def _clusters(codes: RowCodes) -> list[str]:
    notes, n_units = [], len(codes.units)
    if n_units < FEW_CLUSTERS:
        notes.append(f"clustered standard errors from {count(n_units, 'cluster')} are unreliable")
    if len(codes.groups) > 1:
        sizes = _units_of(codes)
        single = [name for name, n in sizes.items() if n == 1]
        few = [f"{n} in '{name}'" for name, n in sizes.items() if 1 < n < FEW_CLUSTERS]
        if few:
            notes.append(
                "clustered standard errors of single groups are unreliable because the groups have few "
                f"units: {some(few)}"
            )
        if single:
            notes.append(
                f"{count(len(single), 'group')} with only one unit ({some(single)}), so that its own "
                "regression has no slope"
            )
    return notes


def _kind(name: str, y: Array) -> list[str]:
    """Say what slopes of an outcome mean that is no measurement: one of zeros and ones, or of small counts."""
    if set(np.unique(y)) == {0.0, 1.0}:
        return [
            f"'{name}' is 0 or 1: slopes are those of a linear probability model, which may predict below 0 and above 1"
        ]
    if np.all((y == np.round(y)) & (y >= 0)) and y.min() < SMALL_COUNT:
        return [f"'{name}' has small whole numbers, like counts: consider its logarithm or a Poisson regression"]
    return []


def _outcomes(codes: RowCodes, name: str, y: Array, x: Array) -> list[str]:
    """Say in which groups the outcome has no errors, so that their own regressions have no standard errors."""
    notes = []
    sizes = _units_of(codes) if len(codes.groups) > 1 else {}
    for g, group in enumerate(codes.groups if sizes else ()):
        rows = codes.group == g
        unit, time = codes.unit[rows], codes.effect[rows]
        if sizes[group] == 1:
            continue
        for _, sentence in unidentified(y[rows, None], [name], unit, time):
            notes.append(
                f"in group '{group}', {sentence}: its own regression has slopes of zero, and no standard errors"
            )
            break
        else:
            if explained(y[rows], x[rows], unit, time):
                notes.append(
                    f"in group '{group}', regressors, unit and period effects explain '{name}' without an error: its "
                    "own regression has no standard errors"
                )
    return notes


def _slopes(codes: RowCodes, values: Array, names: Sequence[str]) -> list[str]:
    notes = []
    unit, time, group = codes.unit, codes.effect, codes.group
    grouped = len(codes.groups) > 1
    sizes = _units_of(codes) if grouped else {}
    for g, name in enumerate(codes.groups if grouped else ("",)):
        if grouped and sizes[name] == 1:
            continue  # said already, once and not for every regressor
        mask = group == g  # all rows, where there are no groups
        where = f"in group '{name}', " if grouped else ""
        verdict = "its slope cannot be estimated from that group alone" if grouped else "its slope cannot be estimated"
        for _, sentence in unidentified(values[mask], names, unit[mask], time[mask]):
            notes.append(f"{where}{sentence}: {verdict}")
    return notes


def _changes(n_dropped: int, n_filled: int) -> list[str]:
    notes = []
    if n_dropped:
        notes.append(f"{count(n_dropped, 'row')} of the input dropped for missing values (see the ledger)")
    if n_filled:
        notes.append(f"{count(n_filled, 'cell')} filled by interpolation (see the ledger)")
    return notes
