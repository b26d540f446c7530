"""The panel of a study: its files joined on unit and time, its rows, its groups, its origins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cbec_bayes.panel.alternative import Period
from cbec_bayes.panel.cells import ROW, Source, row_numbers, whole_if_possible
from cbec_bayes.panel.dates import PeriodError
from cbec_bayes.panel.derived import derive
from cbec_bayes.panel.periods import NAMES, Frequency, Periods, period_text, read_periods
from cbec_bayes.panel.readers import read_frame
from cbec_bayes.panel.regions import load_scheme
from cbec_bayes.panel.study import PanelSpec, Study, load_study
from cbec_bayes.panel.table import Panel, Roles
from cbec_bayes.panel.validate import make_panel
from cbec_bayes.runtime.errors import InputError, suggest
from cbec_bayes.runtime.files import asset_dir
from cbec_bayes.runtime.labels import Origin


def study_frame(spec: PanelSpec, files: tuple[str, ...] | None = None) -> pd.DataFrame:
    """Return every column of a study's files, joined on unit and time, and those derived that it needs.

    Only rows of the periods and units that the study uses are joined.

    Parameters
    ----------
    spec
        The study's panel.
    files
        Only these of its files, without derived columns; all if not given.

    Raises
    ------
    InputError
        A file cannot be read; two files share a column; a unit and time are in one file and not in another; a unit that
        is to be left out is in no file; or see `cbec_bayes.panel.derived.derive`.
    """
    keys = [spec.unit, spec.time]
    joined: pd.DataFrame | None = None
    left_out: set[str] = set()
    units: set[str] = set()
    for name in spec.files if files is None else files:
        path = asset_dir("data") / name
        frame = _rows(spec, path)
        units |= {str(one) for one in frame[spec.unit]}
        left_out |= units & set(spec.without)
        frame = frame[~frame[spec.unit].isin(spec.without)]
        if joined is None:
            joined = frame
            continue
        for column in frame.columns:
            if column in joined.columns and column not in keys:
                raise InputError("the column is in another file of the study too", file=path, column=column)
        both = joined.merge(frame, on=keys, how="outer", indicator=True)
        alone = both[both["_merge"] != "both"]
        if len(alone):
            where = ", ".join(str(alone[key].iloc[0]) for key in keys)
            raise InputError(f"{len(alone)} rows are not in every file of the study, the first is {where}", file=path)
        joined = joined.merge(frame, on=keys, how="left")
    if joined is None:
        raise InputError("the study names no files")
    for unit in spec.without:
        if unit not in left_out:
            raise InputError(
                f"the unit '{unit}', to be left out, does not occur in any file; {suggest(unit, sorted(units))}"
            )
    # One file keeps its row numbers, which messages name; joined rows have none of their own.
    whole = joined if joined.index.name == ROW else joined.reset_index(drop=True)
    return whole if files is not None else derive(whole, spec.derived_here, unit=spec.unit, time=spec.time)


def _rows(spec: PanelSpec, path: Path) -> pd.DataFrame:
    """Return the rows of a study's file in the periods that the study uses."""
    frame = read_frame(path, labelled=spec.labelled)
    source = Source(frame, row_numbers(frame), path)
    source.require([spec.unit, spec.time])
    units, periods = source.keys(spec.unit, spec.time)  # the same unit must be the same text in every file
    frame[spec.unit], frame[spec.time] = units, _as_named(periods)
    first, last = _end(spec.first, -np.inf, periods, path), _end(spec.last, np.inf, periods, path)
    return frame[(periods.times >= first) & (periods.times <= last)]


def _as_named(periods: Periods) -> NDArray[Any]:
    """Return periods as files of one study are joined on: years and numbers as these, others as people write them."""
    if periods.frequency in (Frequency.NUMBER, Frequency.YEAR):
        return whole_if_possible(periods.times)
    return np.array([period_text(time, periods.frequency) for time in periods.times], dtype=object)


def _end(named: Period | None, otherwise: float, periods: Periods, file: Path) -> float:
    """Return the first or last period that a study uses, counted as those of its file are."""
    if named is None:
        return otherwise
    try:
        found = read_periods([named], np.zeros(1, dtype=np.intp), None)
    except PeriodError as error:
        raise InputError(f"the study's first or last period: {error.message}", file=file) from None
    counted = (Frequency.NUMBER, Frequency.YEAR)
    if found.frequency is not periods.frequency and not {found.frequency, periods.frequency} <= set(counted):
        raise InputError(
            f"the study's first or last period is '{named}', and the file has {NAMES[periods.frequency]}", file=file
        )
    return float(found.times[0])


def panel_of(spec: PanelSpec, frame: pd.DataFrame) -> Panel:
    """Return a table with the study's columns as its panel; see `make_panel` for what is checked."""
    roles = spec.regression or Roles(
        outcome=spec.outcome,
        exposure=spec.exposure,
        controls=spec.controls,
        unit=spec.unit,
        time=spec.time,
        weights=spec.weights,
        weights_kind=spec.weights_kind,
        clusters=spec.cluster,
        absorbed=spec.absorbed,
    )
    made = {column: origin for column in spec.columns if (origin := spec.origin_of(column)) is not Origin.OBSERVED}
    groups = load_scheme(spec.scheme) if spec.scheme is not None else None
    return make_panel(frame, roles, origins=made or None, groups=groups)


def load_study_panel(study: str | Path | Study | PanelSpec) -> Panel:
    """Read the files of a study, or of one by its name or TOML file, and return its panel.

    Raises
    ------
    InputError
        There is no such study; it has printed tables alone; or see `study_frame`.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> print(cb.load_study_panel("public"))
    210 observations: 30 units (province), 7 periods (year, 2015 to 2021)
    groups (four_regions): east, central, west, north-east
    outcome retail; exposure pilot_zones; controls lngdp, urban, dfi, edu, rail
    origin: observed
    - balanced: 30 units in each of 7 periods
    - clustered standard errors of single groups are unreliable because the groups have few units: 6 in 'central', 3 ...
    """
    study = load_study(study) if isinstance(study, str | Path) else study
    spec = study.panel if isinstance(study, Study) else study
    if spec is None:
        raise InputError("the study has only printed tables and no panel")
    return panel_of(spec, study_frame(spec))
