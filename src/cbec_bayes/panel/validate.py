"""From a raw table to a `Panel`: every check, and every row that is lost on the way."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cbec_bayes.panel.alike import stored_as_numbers
from cbec_bayes.panel.cells import ROW, Source, count, ledger_of, row_numbers, some, whole_if_possible
from cbec_bayes.panel.characteristics import characteristics_of
from cbec_bayes.panel.computed import Computed, Lost, Rows, computed_of
from cbec_bayes.panel.delimited import THOUSANDS, TOLD
from cbec_bayes.panel.doubtful import thousands_sentence
from cbec_bayes.panel.formula import Formula
from cbec_bayes.panel.groups import groups_by_column, groups_by_scheme
from cbec_bayes.panel.identify import unidentified
from cbec_bayes.panel.interpolate import Interpolation, interpolate
from cbec_bayes.panel.levels import require_absorbed
from cbec_bayes.panel.names import tidy
from cbec_bayes.panel.origins import origins_of
from cbec_bayes.panel.periods import NAMES, Frequency, Periods, period_text
from cbec_bayes.panel.readers import read_frame
from cbec_bayes.panel.reading import DROP, READING, Reading
from cbec_bayes.panel.regions import Scheme
from cbec_bayes.panel.table import Panel, Roles
from cbec_bayes.panel.weights import require_weights, told_of_weights, weights_kind
from cbec_bayes.panel.where import rows_where
from cbec_bayes.panel.within import PeriodEffects
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import Origin


def read_panel(
    path: Path | str,
    roles: Roles | Formula,
    *,
    reading: Reading = READING,
    origins: Mapping[str, Origin] | None = None,
    groups: Scheme | None = None,
    fill: Interpolation | None = None,
) -> Panel:
    """Read a file with `read_frame` and make a panel of it with `make_panel`; messages name the file.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> columns = {"outcome": "sales", "exposure": "price", "unit": "firm", "time": "year", "group": "sector"}
    >>> roles = cb.Roles(**columns, controls=("wage",))
    >>> frame.to_csv("firms.csv", index=False)
    >>> cb.read_panel("firms.csv", roles).n_obs
    96
    """
    frame = read_frame(path, labelled=roles.names, reading=reading)
    return make_panel(frame, roles, reading=reading, origins=origins, groups=groups, fill=fill, file=path)


def make_panel(
    frame: pd.DataFrame,
    roles: Roles | Formula,
    *,
    reading: Reading = READING,
    origins: Mapping[str, Origin] | None = None,
    groups: Scheme | None = None,
    fill: Interpolation | None = None,
    file: Path | str | None = None,
) -> Panel:
    """Validate a long table and return it as a panel; rows with missing cells are dropped into the ledger.

    Parameters
    ----------
    frame
        One row per unit and period, in any order; these are columns, or the levels of its index. An integer index named
        ``row`` holds the row numbers of the source (`read_frame` makes it); otherwise rows are counted as in a
        spreadsheet, the first being row 2.
    roles
        What the columns are; or a formula of them, from `cbec_bayes.panel.formula.read_formula`.
    reading
        What is said of the table: conditions on rows, codes of missing cells, how often a period comes, the group of a
        unit that changes it, what becomes of controls that others explain.
    origins
        Where columns come from; `Origin.OBSERVED` for those not named. None for what the reading says, or a column
        ``origin`` of the table; see `cbec_bayes.panel.origins.origin_said`.
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
        A column is missing; a cell is text, infinite or, of a unit, period or weight, blank; a weight is negative; a
        unit has a period twice or two groups; too few rows are left; a column does not vary, or is a combination of
        others, once unit and period effects are removed.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> columns = {"outcome": "sales", "exposure": "price", "unit": "firm", "time": "year", "group": "sector"}
    >>> roles = cb.Roles(**columns, controls=("wage",))
    >>> frame.loc[3, "price"] = None
    >>> panel = cb.make_panel(frame, roles)
    >>> panel.ledger[["unit", "time", "reason"]]
          unit  time                       reason
    0  firm 01  2014  exposure 'price' is missing
    """
    as_read = _as_read(frame, roles)
    every = _with_tidy_columns(_with_index_as_columns(frame, roles))
    frame, met = _rows_met(every, reading.where, file)
    by_scheme = groups if roles.group is None or roles.group not in frame.columns else None
    if by_scheme is not None and roles.group is None:
        roles = replace(roles, group=by_scheme.name)
    source = Source(frame, row_numbers(frame), file, reading.missing)
    source.require([name for name in roles.columns if by_scheme is None or name != roles.group])
    whole = _before_where(every, roles, reading, file)
    read = _keys(source, roles, reading) if whole is None else _those_of(source, whole)
    units, periods = list(read.units), read.periods
    times = periods.times
    told = (*as_read, *met, *_told(source, roles, periods, is_before=whole is not None))
    grouped = None
    if roles.group is not None:
        grouped = (
            groups_by_column(source, roles.group, units, times, reading.group_at)
            if by_scheme is None
            else groups_by_scheme(source, roles.unit, units, by_scheme, roles.group)
        )
        told += grouped.told
    computed = computed_of(read, roles, None if grouped is None else grouped.names, whole=whole)
    origins = origins_of(origins, roles, computed.roles, frame, said=reading.origin, file=file)
    roles, told = computed.roles, (*told, *computed.told)
    table = pd.DataFrame({roles.unit: units, roles.time: whole_if_possible(times)}).astype({roles.unit: "str"})
    if grouped is not None:
        table[roles.group] = pd.Series([name or None for name in grouped.names], dtype="str")
    for name in roles.sets_of_labels:
        table[name] = pd.Series([label or None for label in source.labels(name, required=False)], dtype="str")
    # All at once: pandas warns of a hundred columns that are added one by one.
    weights = {} if roles.weights is None else {roles.weights: source.measured(roles.weights)}
    columns = {**computed.columns, **weights}
    table = pd.concat([table, pd.DataFrame(columns, index=table.index)], axis=1)
    table.index = pd.Index(source.rows, name=ROW)

    given = table
    table, fills = _filled(table, roles, fill, periods.frequency, file)
    lost = _lost(source, table, roles, computed)
    kept = ~np.logical_or.reduce([one.rows for one in lost])
    told += _told_of_clusters(roles)
    if roles.weights is not None:
        told += told_of_weights(roles.weights, roles.weights_kind, int(lost[-1].rows.sum()))
    ledger = _with_periods(_ledger(fills, table, roles, lost), periods.frequency)
    order = np.lexsort((times, pd.factorize(np.array(units, dtype=object))[0]))
    order = order[kept[order]]
    measured = list(roles.measured)
    panel = Panel(
        frame=table.iloc[order].reset_index(drop=True),
        roles=roles,
        ledger=ledger,
        notes=(),
        origins=origins,
        filled=given[measured].isna().iloc[order].reset_index(drop=True),
        told=told,
        frequency=periods.frequency,
        period_effects=computed.period_effects,
    )
    _check_size(panel, ledger, file)
    panel = _with_characteristics(panel, source, computed, order, reading)
    return _identified(panel, computed.categories, reading.collinearity, file).annotated()


def _as_read(frame: pd.DataFrame, roles: Roles | Formula) -> tuple[str, ...]:
    """Say how the file of a frame was read, where that is not plain."""
    doubted = [name for name in frame.attrs.get(THOUSANDS, ()) if name in roles.numeric]
    return (*frame.attrs.get(TOLD, ()), *map(thousands_sentence, doubted))


def _with_characteristics(
    panel: Panel, source: Source, computed: Computed, rows: NDArray[np.intp], reading: Reading
) -> Panel:
    """Return a panel with the characteristics of its groups, given which row of the source each of its rows is."""
    if not computed.characteristics:
        return panel
    found, told = characteristics_of(
        source, computed.characteristics, panel.group_codes, panel.groups, rows, at=reading.slope_on_at
    )
    return replace(panel, characteristics=found, told=(*panel.told, *told))


def _with_index_as_columns(frame: pd.DataFrame, roles: Roles | Formula) -> pd.DataFrame:
    """Return a table with the levels of an index of units and periods as columns, by their own names or those asked."""
    if not isinstance(frame.index, pd.MultiIndex):
        return frame
    named = [level for level in frame.index.names if level is not None]
    if not named and frame.index.nlevels == 2:
        named = [roles.unit, roles.time]
        frame = frame.set_axis(frame.index.set_names(named), axis=0)
    absent = [level for level in named if level not in frame.columns]
    return (frame.reset_index(level=absent) if absent else frame).reset_index(drop=True)


def _with_tidy_columns(frame: pd.DataFrame) -> pd.DataFrame:
    names = [tidy(str(name)) for name in frame.columns]
    return frame if names == list(frame.columns) else frame.set_axis(names, axis=1)


def _rows_met(frame: pd.DataFrame, where: str | None, file: Path | str | None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return the rows that meet a condition, with their numbers in the source, and a sentence on how many do."""
    if where is None:
        return frame, ()
    try:
        rows = rows_where(frame, where)
    except InputError as error:
        raise InputError(error.message, file=file, column=error.column) from None
    if not rows.any():
        raise InputError(f"no row meets --where {where}", file=file)
    numbered = frame.set_axis(pd.Index(row_numbers(frame), name=ROW))
    return numbered[rows], (f"{int(rows.sum())} of {len(rows)} rows meet --where {where}",)


def _keys(source: Source, roles: Roles | Formula, reading: Reading) -> Rows:
    """Return rows with their units and periods."""
    return Rows(source, *source.keys(roles.unit, roles.time, reading.frequency, reading.dates))


def _before_where(
    frame: pd.DataFrame, roles: Roles | Formula, reading: Reading, file: Path | str | None
) -> Rows | None:
    """Return all rows where lags or leads are taken from those as well that do not meet a condition; else None."""
    if reading.where is None or isinstance(roles, Roles) or not any(piece.is_shifted for piece in roles.pieces):
        return None
    source = Source(frame, row_numbers(frame), file, reading.missing)
    source.require(roles.columns)
    return _keys(source, roles, reading)


def _those_of(source: Source, whole: Rows) -> Rows:
    """Return the rows of a source, with the units and periods that they have among all rows."""
    at = np.flatnonzero(np.isin(whole.source.rows, source.rows))
    periods = replace(whole.periods, times=whole.periods.times[at])
    return Rows(source, [whole.units[int(k)] for k in at], periods)


def _told(source: Source, roles: Roles | Formula, periods: Periods, *, is_before: bool) -> tuple[str, ...]:
    """Return sentences on how the input is stored that no row of the panel shows any more."""
    frame = source.frame
    names = [name for name in roles.names if name in frame.columns]
    stored = [sentence for name in names for sentence in stored_as_numbers(frame[name], name)]
    words = {name: " and ".join(source.words(name)) for name in roles.numeric if source.words(name)}
    stored += [f"'{name}' has {said}, taken as 1 and 0" for name, said in words.items()]
    if source.missing:
        coded = {name: int(source.coded(name).sum()) for name in roles.columns if name in frame.columns}
        listed = ", ".join(f"{n} of '{name}'" for name, n in coded.items() if n)
        stored.append(
            f"cells that are {' or '.join(source.missing)} are missing (--missing): {listed or 'there are none'}"
        )
    stored += [] if isinstance(roles, Roles) else roles.told
    stored += (
        ["lags and leads are taken from all rows, from those as well that do not meet --where"] if is_before else []
    )
    if periods.frequency is Frequency.NUMBER:
        return tuple(stored)
    ends = " to ".join(period_text(time, periods.frequency) for time in (periods.times.min(), periods.times.max()))
    return (f"'{roles.time}' is read as {NAMES[periods.frequency]}, {ends}", *stored)


def _with_periods(ledger: pd.DataFrame, frequency: Frequency) -> pd.DataFrame:
    """Return a ledger with its periods as people write them, where they are no years or numbers."""
    if frequency in (Frequency.NUMBER, Frequency.YEAR):
        return ledger
    return ledger.assign(time=pd.Series([period_text(time, frequency) for time in ledger["time"]], dtype="str"))


def _filled(
    table: pd.DataFrame, roles: Roles, fill: Interpolation | None, frequency: Frequency, file: Path | str | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    columns = fill.columns if fill is not None else ()
    for column in columns:
        if column not in roles.measured:
            raise InputError(
                f"cells can be filled only in the columns {', '.join(roles.measured)}", file=file, column=column
            )
    edges = fill is not None and fill.edges
    return interpolate(table, unit=roles.unit, time=roles.time, columns=columns, edges=edges, frequency=frequency)


def _told_of_clusters(roles: Roles) -> tuple[str, ...]:
    """Say what standard errors are clustered by, and what the posterior assumes instead."""
    if roles.clusters in ((), (roles.unit,)):
        return ()
    return (
        f"standard errors are clustered by {' and '.join(roles.clusters)}; the posterior takes errors of different "
        "units for independent",
    )


def _lost(source: Source, table: pd.DataFrame, roles: Roles, computed: Computed) -> list[Lost]:
    """Return which rows are left out, and why: those without a group, without a number, or with a weight of zero."""
    found = [*([] if roles.group is None else [roles.group]), *roles.sets_of_labels]
    found += [] if computed.lost else roles.measured
    missing = [Lost(name, table[name].isna().to_numpy(), f"{roles.role(name)} '{name}' is missing") for name in found]
    every = [*missing, *computed.lost]
    if roles.weights is None:
        return every
    kept = ~np.logical_or.reduce([one.rows for one in every])
    weight = table[roles.weights].to_numpy(dtype=float)
    zero = require_weights(source, roles.weights, weights_kind(roles.weights_kind), weight, kept)
    return [*every, Lost(roles.weights, zero, f"its weight '{roles.weights}' is zero")]


def _ledger(fills: pd.DataFrame, table: pd.DataFrame, roles: Roles, lost: Sequence[Lost]) -> pd.DataFrame:
    """Join what was filled, in rows that are kept, with the rows that are dropped."""
    rows = table.index.to_numpy()
    gone = np.logical_or.reduce([one.rows for one in lost])
    entries = list(fills[fills["row"].isin(rows[~gone])].itertuples(index=False, name=None))
    for i in np.flatnonzero(gone):
        why = list(dict.fromkeys((one.column, one.reason) for one in lost if one.rows[i]))
        unit, time = table[roles.unit].iloc[i], table[roles.time].iloc[i]
        reason = "; ".join(reason for _, reason in why)
        entries.append((int(rows[i]), unit, time, why[0][0], "dropped", math.nan, reason))
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
        raise InputError(f"there is one period, {panel.periods[0]}{after}; two are needed", file=file)
    if panel.n_obs == len(panel.units):
        raise InputError(
            f"every unit has only one row{after}, but a slope needs units with rows in at least two periods", file=file
        )


def _identified(panel: Panel, categories: Collection[str], collinearity: str, file: Path | str | None) -> Panel:
    """Return a panel whose regressors all have slopes, without controls that others explain where these may be dropped.

    Columns that stand for categories may always be: nobody has asked for the slope of one.

    Raises
    ------
    InputError
        The outcome does not vary; a regressor that may not be dropped has no slope.
    """
    unit, time, roles = panel.unit_codes, panel.effect_codes, panel.roles
    alike = "all units of a group" if panel.period_effects is PeriodEffects.BY_GROUP else "all units"

    absorbed = panel.absorbed
    require_absorbed(absorbed)

    def found(columns: tuple[str, ...]) -> list[tuple[str, str]]:
        values = panel.frame[list(columns)].to_numpy(dtype=float)
        return unidentified(values, columns, unit, time, alike=alike, further=[one.codes for one in absorbed])

    for column, sentence in found((roles.outcome,)):
        raise InputError(f"{sentence}; there is nothing to regress", file=file, column=column)
    lost: list[str] = []
    told: list[str] = []
    while wrong := found(tuple(name for name in roles.regressors if name not in lost)):
        for column, sentence in wrong:
            control = roles.role(column) == "control"
            if column in categories:
                lost.append(column)
                continue
            if collinearity != DROP or not control:
                advice = "; --collinearity drop leaves it out" if control else ""
                raise InputError(f"{sentence}; its slope cannot be estimated{advice}", file=file, column=column)
            lost.append(column)
            told.append(f"{sentence}, and is left out (--collinearity drop)")
    of_categories = [name for name in lost if name in categories]
    if of_categories:
        few = f"{count(len(of_categories), 'column')} of categories ({some(of_categories)})"
        told.append(f"effects or other regressors explain {few}: left out")
    return panel.without(lost, told) if lost else panel
