"""The panel of a study: its files joined on unit and time, its rows, its groups, its origins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from cbec_bayes.panel.cells import ROW, Source, row_numbers, whole_if_possible
from cbec_bayes.panel.periods import NAMES, Frequency, Periods
from cbec_bayes.panel.readers import read_frame
from cbec_bayes.panel.regions import load_scheme
from cbec_bayes.panel.study import PanelSpec, Study, load_study
from cbec_bayes.panel.table import Panel, Roles
from cbec_bayes.panel.validate import make_panel
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.files import asset_dir


def study_frame(spec: PanelSpec, files: tuple[str, ...] | None = None) -> pd.DataFrame:
    """Return every column of a study's files, joined on unit and time, for the periods that it uses.

    Parameters
    ----------
    spec
        The study's panel.
    files
        Only these of its files; all if not given.

    Raises
    ------
    InputError
        A file cannot be read; two files share a column; a unit and time are in one file and not in another.
    """
    keys = [spec.unit, spec.time]
    joined: pd.DataFrame | None = None
    for name in spec.files if files is None else files:
        path = asset_dir("data") / name
        frame = read_frame(path, labelled=[spec.unit])
        source = Source(frame, row_numbers(frame), path)
        source.require(keys)
        units, periods = source.keys(spec.unit, spec.time)  # the same unit must be the same text in every file
        frame[spec.unit], frame[spec.time] = units, _comparable(periods, path)
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
    time = joined[spec.time]
    kept = (time >= (time.min() if spec.first is None else spec.first)) & (
        time <= (time.max() if spec.last is None else spec.last)
    )
    # One file keeps its row numbers, which messages name; joined rows have none of their own.
    return joined[kept] if joined.index.name == ROW else joined[kept].reset_index(drop=True)


def _comparable(periods: Periods, file: Path) -> NDArray[Any]:
    """Return the periods of a study's file as numbers that `first` and `last` are compared with."""
    if periods.frequency not in (Frequency.NUMBER, Frequency.YEAR):
        raise InputError(
            f"periods of a study are years or numbers, and these are {NAMES[periods.frequency]}", file=file
        )
    return whole_if_possible(periods.times)


def panel_of(spec: PanelSpec, frame: pd.DataFrame) -> Panel:
    """Return a table with the study's columns as its panel; see `make_panel` for what is checked."""
    roles = Roles(outcome=spec.outcome, exposure=spec.exposure, controls=spec.controls, unit=spec.unit, time=spec.time)
    origins = {column: origin for column, origin in spec.origins.items() if column in roles.measured}
    groups = load_scheme(spec.scheme) if spec.scheme is not None else None
    return make_panel(frame, roles, origins=origins, groups=groups)


def load_study_panel(study: str | Path | Study | PanelSpec) -> Panel:
    """Read the files of a study, or of one by its name or TOML file, and return its panel.

    Raises
    ------
    InputError
        There is no such study; it has printed tables alone; or see `study_frame`.
    """
    study = load_study(study) if isinstance(study, str | Path) else study
    spec = study.panel if isinstance(study, Study) else study
    if spec is None:
        raise InputError("the study has printed tables alone, and no panel")
    return panel_of(spec, study_frame(spec))
