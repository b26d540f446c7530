"""What a reader of the results should know about a panel that is no error: one sentence each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cbec_bayes.panel.cells import count, period_text, some
from cbec_bayes.panel.identify import unidentified

if TYPE_CHECKING:
    from cbec_bayes.panel.table import Panel

FEW_CLUSTERS = 10
"""Below this many units, clustered standard errors are said to be unreliable."""


def describe(panel: Panel) -> tuple[str, ...]:
    """Return the notes of a panel, most general first."""
    return (*_shape(panel), *_clusters(panel), *_slopes(panel), *_changes(panel))


def _shape(panel: Panel) -> list[str]:
    units, times = panel.units, [period_text(time) for time in panel.times]
    there = np.zeros((len(units), len(times)), dtype=bool)
    there[panel.unit_codes, panel.time_codes] = True
    if there.all():
        return [f"balanced: {count(there.shape[0], 'unit')} in each of {count(there.shape[1], 'period')}"]
    notes = [f"unbalanced: {panel.n_obs} of {there.size} unit-periods are there"]
    once = [units[i] for i in np.flatnonzero(there.sum(axis=1) == 1)]
    if once:
        notes.append(f"{count(len(once), 'unit')} seen once ({some(once)}); they say nothing about slopes")
    begun = np.logical_or.accumulate(there, axis=1)
    unfinished = np.logical_or.accumulate(there[:, ::-1], axis=1)[:, ::-1]
    absent = begun & unfinished & ~there
    gaps = [
        f"{units[i]} {'/'.join(times[t] for t in np.flatnonzero(absent[i]))}"
        for i in np.flatnonzero(absent.any(axis=1))
    ]
    if gaps:
        notes.append(f"{count(len(gaps), 'unit')} with gaps, {count(int(absent.sum()), 'period')} in all: {some(gaps)}")
    return notes


def _units_of(panel: Panel) -> dict[str, int]:
    groups, units = panel.group_codes, panel.unit_codes
    return {name: len(np.unique(units[groups == g])) for g, name in enumerate(panel.groups)}


def _clusters(panel: Panel) -> list[str]:
    notes, n_units = [], len(panel.units)
    if n_units < FEW_CLUSTERS:
        notes.append(f"clustered standard errors from {count(n_units, 'cluster')} are unreliable")
    if len(panel.groups) > 1:
        sizes = _units_of(panel)
        single = [name for name, n in sizes.items() if n == 1]
        few = [f"{n} in '{name}'" for name, n in sizes.items() if 1 < n < FEW_CLUSTERS]
        if few:
            notes.append(f"within groups, clustered standard errors from so few clusters are unreliable: {some(few)}")
        if single:
            notes.append(f"{count(len(single), 'group')} with one unit ({some(single)}), which alone has no slope")
    return notes


def _slopes(panel: Panel) -> list[str]:
    notes, names = [], panel.roles.regressors
    values = panel.frame[list(names)].to_numpy(dtype=float)
    unit, time, group = panel.unit_codes, panel.time_codes, panel.group_codes
    grouped = len(panel.groups) > 1
    sizes = _units_of(panel) if grouped else {}
    for g, name in enumerate(panel.groups if grouped else ("",)):
        if grouped and sizes[name] == 1:
            continue  # said already, once and not for every regressor
        mask = group == g  # all rows, where there are no groups
        where = f"in group '{name}', " if grouped else ""
        verdict = "that group alone cannot estimate its slope" if grouped else "its slope cannot be estimated"
        for _, sentence in unidentified(values[mask], names, unit[mask], time[mask]):
            notes.append(f"{where}{sentence}: {verdict}")
    return notes


def _changes(panel: Panel) -> list[str]:
    notes, n_dropped = [], int((panel.ledger["action"] == "dropped").sum())
    if n_dropped:
        notes.append(f"{count(n_dropped, 'row')} of the input dropped for missing cells (see the ledger)")
    n_filled = int(panel.filled.to_numpy().sum())
    if n_filled:
        notes.append(f"{count(n_filled, 'cell')} filled by interpolation (see the ledger)")
    return notes
