"""From a raw table to a `Panel`: every check, and every row that is lost on the way."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from cbec_bayes.panel.alike import stored_as_numbers
from cbec_bayes.panel.cells import ROW, Source, count, ledger_of, row_numbers, whole_if_possible
from cbec_bayes.panel.identify import unidentified
from cbec_bayes.panel.interpolate import Interpolation, interpolate
from cbec_bayes.panel.names import tidy
from cbec_bayes.panel.readers import read_frame
from cbec_bayes.panel.regions import Scheme
from cbec_bayes.panel.table import Panel, Roles
from cbec_bayes.runtime.errors import InputError, suggest
from cbec_bayes.runtime.labels import NO_GROUPS, Origin


def read_panel(
    path: Path | str,
    roles: Roles,
    *,
    sheet: str | None = None,
    origins: Mapping[str, Origin] | None = None,
    groups: Scheme | None = None,
    fill: Interpolation | None = None,
) -> Panel:
    """Read a file with `read_frame` and make a panel of it with `make_panel`; messages name the file."""
    names = [name for name in (roles.unit, roles.group) if name is not None]
    frame = read_frame(path, sheet=sheet, labelled=names)
    return make_panel(frame, roles, origins=origins, groups=groups, fill=fill, file=path)


def make_panel(
    frame: pd.DataFrame,
    roles: Roles,
    *,
    origins: Mapping[str, Origin] | None = None,
    groups: Scheme | None = None,
    fill: Interpolation | None = None,
    file: Path | str | None = None,
) -> Panel:
    """Validate a long table and return it as a panel; rows with missing cells are dropped into the ledger.

    Parameters
    ----------
    frame
        One row per unit and period, in any order. An integer index named ``row`` holds the row numbers of the source
        (`read_frame` makes it); otherwise rows are counted as in a spreadsheet, the first being row 2.
    roles
        What the columns are.
    origins
        Where columns come from; `Origin.OBSERVED` for those not named.
    groups
        Sorts units into groups when `roles.group` is None (the panel's group column then has the scheme's name) or
        is not a column of the table.
    fill
        Columns to interpolate before rows are dropped.
    file
        Named in messages.

    Returns
    -------
    Panel
        With at least two units and two periods, and regressors whose pooled two-way slopes are identified.

    Raises
    ------
    InputError
        A column is missing; a cell is blank, text or infinite where it may not be; a unit has a period twice or two
        groups; too few rows are left; a column does not vary, or is a combination of others, once unit and period
        effects are removed.
    """
    frame = _with_tidy_columns(frame)
    by_scheme = groups if roles.group is None or roles.group not in frame.columns else None
    if by_scheme is not None and roles.group is None:
        roles = replace(roles, group=by_scheme.name)
    source = Source(frame, row_numbers(frame), file)
    source.require([name for name in roles.columns if by_scheme is None or name != roles.group])
    units, times = source.keys(roles.unit, roles.time)
    table = pd.DataFrame({roles.unit: units, roles.time: whole_if_possible(times)}).astype({roles.unit: "str"})
    if roles.group is not None:
        names = source.labels(roles.group) if by_scheme is None else _scheme_groups(source, roles, units, by_scheme)
        _check_groups(source, roles, units, names)
        table[roles.group] = pd.Series(names, dtype="str")
    for column in roles.measured:
        table[column] = source.measured(column)
    table.index = pd.Index(source.rows, name=ROW)

    given = table
    table, fills = _filled(table, roles, fill, file)
    missing = table[list(roles.measured)].isna()
    kept = ~missing.any(axis=1).to_numpy()
    ledger = _ledger(fills, table, roles, missing, kept)
    order = np.lexsort((times, pd.factorize(np.array(units, dtype=object))[0]))
    order = order[kept[order]]
    measured = list(roles.measured)
    panel = Panel(
        frame=table.iloc[order].reset_index(drop=True),
        roles=roles,
        ledger=ledger,
        notes=(),
        origins=_origins(origins, roles, frame, file),
        filled=given[measured].isna().iloc[order].reset_index(drop=True),
        told=_told(frame, roles),
    )
    _check_size(panel, ledger, file)
    _check_slopes(panel, file)
    return panel.annotated()


def _with_tidy_columns(frame: pd.DataFrame) -> pd.DataFrame:
    names = [tidy(name) if isinstance(name, str) else name for name in frame.columns]
    return frame if names == list(frame.columns) else frame.set_axis(names, axis=1)


def _told(frame: pd.DataFrame, roles: Roles) -> tuple[str, ...]:
    """Return sentences on how the input is stored that no row of the panel shows any more."""
    names = [name for name in (roles.unit, roles.group) if name is not None and name in frame.columns]
    return tuple(sentence for name in names for sentence in stored_as_numbers(frame[name], name))


def _scheme_groups(source: Source, roles: Roles, units: Sequence[str], scheme: Scheme) -> list[str]:
    for i, unit in enumerate(units):
        if unit not in scheme.group_of:
            close = difflib.get_close_matches(unit, list(scheme.group_of), n=1)
            hint = f"; did you mean '{close[0]}'?" if close else ""
            raise source.wrong(i, roles.unit, f"'{unit}' is not in the scheme '{scheme.name}'{hint}")
    return [scheme.group_of[unit] for unit in units]


def _check_groups(source: Source, roles: Roles, units: Sequence[str], names: Sequence[str]) -> None:
    column = str(roles.group)
    first: dict[str, int] = {}
    for i, (unit, name) in enumerate(zip(units, names, strict=True)):
        if name in NO_GROUPS:
            raise source.wrong(i, column, f"'{name}' cannot name a group; results use it for something else")
        j = first.setdefault(unit, i)
        if names[j] != name:
            raise source.wrong(
                i, column, f"'{unit}' is in group '{name}' here and in group '{names[j]}' in row {source.rows[j]}"
            )


def _origins(
    origins: Mapping[str, Origin] | None, roles: Roles, frame: pd.DataFrame, file: Path | str | None
) -> dict[str, Origin]:
    given = origins or {}
    for column in given:
        if column not in frame.columns:
            known = [str(name) for name in frame.columns]
            raise InputError(f"an origin is given for no column; {suggest(column, known)}", file=file, column=column)
    return {name: Origin(given.get(name, Origin.OBSERVED)) for name in roles.measured}


def _filled(
    table: pd.DataFrame, roles: Roles, fill: Interpolation | None, file: Path | str | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    columns = fill.columns if fill is not None else ()
    for column in columns:
        if column not in roles.measured:
            raise InputError(f"only {', '.join(roles.measured)} can be filled", file=file, column=column)
    edges = fill is not None and fill.edges
    return interpolate(table, unit=roles.unit, time=roles.time, columns=columns, edges=edges)


def _ledger(
    fills: pd.DataFrame, table: pd.DataFrame, roles: Roles, missing: pd.DataFrame, kept: np.ndarray
) -> pd.DataFrame:
    """Join what was filled, in rows that are kept, with the rows that are dropped."""
    rows = table.index.to_numpy()
    entries = list(fills[fills["row"].isin(rows[kept])].itertuples(index=False, name=None))
    for i in np.flatnonzero(~kept):
        lacking = [name for name in roles.measured if missing[name].iloc[i]]
        reason = "; ".join(f"{roles.role(name)} '{name}' is missing" for name in lacking)
        unit, time = table[roles.unit].iloc[i], table[roles.time].iloc[i]
        entries.append((int(rows[i]), unit, time, lacking[0], "dropped", math.nan, reason))
    return ledger_of(entries)


def _check_size(panel: Panel, ledger: pd.DataFrame, file: Path | str | None) -> None:
    lost = ledger[ledger["action"] == "dropped"]
    after = f" after dropping {count(len(lost), 'row')} with missing cells" if len(lost) else ""
    if panel.n_obs == 0:
        row, reason = lost[["row", "reason"]].iloc[0]
        raise InputError(f"no rows are left{after}; the first because {reason}", file=file, row=int(row))
    if len(panel.units) < 2:
        raise InputError(f"there is one unit, '{panel.units[0]}'{after}; two are needed", file=file)
    if len(panel.times) < 2:
        raise InputError(f"there is one period, {panel.times[0]}{after}; two are needed", file=file)
    if panel.n_obs == len(panel.units):
        raise InputError(f"every unit is seen once{after}; slopes need units seen in two periods", file=file)


def _check_slopes(panel: Panel, file: Path | str | None) -> None:
    for columns, verdict in (
        ((panel.roles.outcome,), "there is nothing to explain"),
        (panel.roles.regressors, "its slope cannot be estimated"),
    ):
        values = panel.frame[list(columns)].to_numpy(dtype=float)
        for column, sentence in unidentified(values, columns, panel.unit_codes, panel.time_codes):
            raise InputError(f"{sentence}; {verdict}", file=file, column=column)
