"""Which group each row's unit is in: by a column or by a scheme, blank or changing."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cbec_bayes.panel.cells import Source, count, some
from cbec_bayes.panel.reading import FIRST
from cbec_bayes.panel.regions import Scheme
from cbec_bayes.runtime.labels import fault_of_group

_NAMED = 2


@dataclass(frozen=True, slots=True)
class RowGroups:
    """Groups of rows.

    Attributes
    ----------
    names
        Group of each row; empty where it is not known.
    told
        Sentences on units that change their group.
    """

    names: list[str]
    told: tuple[str, ...] = ()


def groups_by_column(
    source: Source, column: str, units: Sequence[str], times: NDArray[np.float64], at: str | None
) -> RowGroups:
    """Return the groups that a column has.

    Parameters
    ----------
    source, column
        The table, and its column of groups; a blank cell has none.
    units, times
        Unit and period of each row.
    at
        ``first`` or ``last``: which group a unit has throughout that changes it; None where no unit may.

    Raises
    ------
    InputError
        A name means something else in results; a unit changes its group.
    """
    names = source.labels(column, required=False)
    _require_names(source, column, names)
    told = []
    if "NA" in names:
        told.append(f"'NA' is taken as a name in '{column}'; --missing NA takes it as a missing cell")
    table = pd.DataFrame({"unit": units, "time": times, "name": names})
    known = table[table["name"] != ""]
    several = known.groupby("unit", sort=False)["name"].nunique()
    changing = several.index[several > 1].tolist()
    if changing and at is None:
        raise source.wrong(*_change(source, column, known, changing))
    if at is not None:
        ordered = known.sort_values("time", kind="stable").groupby("unit", sort=False)["name"]
        own = (ordered.first() if at == FIRST else ordered.last()).to_dict()
        names = [own.get(unit, "") for unit in units]
    if changing:
        listed = some([f"'{unit}'" for unit in changing])
        told.append(f"{count(len(changing), 'unit')} in several groups, taken to be in the {at} one: {listed}")
    return RowGroups(names, tuple(told))


def _change(source: Source, column: str, known: pd.DataFrame, changing: Sequence[str]) -> tuple[int, str, str]:
    """Return row, column and sentence of the error that names the first units which change their group."""
    found, first = [], -1
    for unit in changing[:_NAMED]:
        rows = np.flatnonzero((known["unit"] == unit).to_numpy())
        names = [str(name) for name in known["name"].iloc[rows]]
        other = next(k for k, name in enumerate(names) if name != names[0])
        i, j = (int(known.index[rows[k]]) for k in (0, other))
        first = j if first < 0 else first
        found.append(
            f"'{unit}' is in group '{names[other]}' in row {source.rows[j]} and in group '{names[0]}' in row "
            f"{source.rows[i]}"
        )
    more = len(changing) - _NAMED
    listed = "; ".join(found) + (f"; and {more} more" if more > 0 else "")
    verb = "changes its" if len(changing) == 1 else "change their"
    advice = "--group-at first takes the group of each unit's first period, --group-at last that of its last"
    return first, column, f"{count(len(changing), 'unit')} {verb} group: {listed}; {advice}"


def groups_by_scheme(source: Source, unit: str, units: Sequence[str], scheme: Scheme, column: str) -> RowGroups:
    """Return the groups of a scheme; a unit that it does not have, or a name it may not have, is an `InputError`."""
    for i, name in enumerate(units):
        if name not in scheme.group_of:
            close = difflib.get_close_matches(name, list(scheme.group_of), n=1)
            hint = f"; did you mean '{close[0]}'?" if close else ""
            raise source.wrong(i, unit, f"'{name}' is not in the scheme '{scheme.name}'{hint}")
    names = [scheme.group_of[name] for name in units]
    _require_names(source, column, names)
    return RowGroups(names)


def _require_names(source: Source, column: str, names: Sequence[str]) -> None:
    faults = {name: fault_of_group(name) for name in dict.fromkeys(names) if name}
    for i, name in enumerate(names):
        if name and faults[name]:
            raise source.wrong(i, column, faults[name])
