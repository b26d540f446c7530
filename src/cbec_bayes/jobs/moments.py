"""The job behind `cbec-bayes moments`: a panel of any size in one pass, by any number of workers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cbec_bayes.bayes.moments.gathering import Gathering
from cbec_bayes.bayes.moments.panel_moments import PanelMoments
from cbec_bayes.jobs.moments_file import SEAL
from cbec_bayes.panel import Roles, read_frame
from cbec_bayes.panel.bounds import MOST_HELD, plain_batch, require_texts, texts_of
from cbec_bayes.panel.cells import BLANK_NAMES, Source, row_numbers
from cbec_bayes.panel.computed import row_values
from cbec_bayes.panel.formula import Formula
from cbec_bayes.panel.origins import COLUMN, origin_said
from cbec_bayes.panel.reading import READING, Reading
from cbec_bayes.panel.table import least_observed
from cbec_bayes.panel.weights import NO_WEIGHTS
from cbec_bayes.panel.where import columns_where, rows_where
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.fanout import SERIAL, Executor
from cbec_bayes.runtime.folder import spare
from cbec_bayes.runtime.labels import Origin, fault_of_group, fault_of_name
from cbec_bayes.runtime.opening import read_bytes, require_file
from cbec_bayes.runtime.progress import OnProgress, Progress, ignore_progress
from cbec_bayes.runtime.trial import require_sound

type Asked = Roles | Formula

BATCH = 2**18
"""Rows that are in memory at once where a file can be read in batches."""

SMALLEST = 3
"""Units that a cell has at least, if its moments are to be shared."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a dataset that one worker reads.

    Attributes
    ----------
    path
        Path of a file that the worker can open.
    row_groups
        Row groups of a Parquet file; None for all rows of any file.
    start
        Rows of the file before it.
    """

    path: str
    row_groups: tuple[int, ...] | None = None
    start: int = 0


def pieces_of(path: Path) -> list[Piece]:
    """Return the pieces of a file, or of a folder of Parquet files, which may be nested.

    Raises
    ------
    InputError
        There is nothing of that name, or no Parquet file in the folder; a file is not readable as Parquet.
    """
    # A part of a dataset may itself be a folder of that name, whose files are found beside it.
    files = sorted(one for one in path.rglob("*.parquet") if not one.is_dir()) if os.path.isdir(path) else [path]
    if not files:
        raise InputError("the folder has no .parquet file", file=path)
    if path.suffix.lower() != ".parquet" and not os.path.isdir(path):
        return [Piece(str(path))]
    found = []
    for file in files:
        require_file(file)
    require_sound("parquet footer", files, MOST_HELD, "not readable as Parquet")
    for file in files:
        start = 0
        meta = _parquet(file).metadata
        for k in range(meta.num_row_groups):
            found.append(Piece(str(file.resolve()), (k,), start))
            start += meta.row_group(k).num_rows
    if not found:
        raise InputError("the dataset has no rows", file=path)
    return found


def _parquet(file: Path) -> Any:
    import pyarrow.parquet as pq

    require_file(file)
    try:
        return pq.ParquetFile(file, read_dictionary=texts_of(pq.ParquetFile(file)))
    except Exception as error:  # what is made of a damaged file fails in every way there is
        raise unreadable(error, file) from None


def unreadable(error: Exception, file: Path) -> InputError:
    """Return what is said of a Parquet file that Arrow cannot read, whose own words have many lines."""
    if isinstance(error, InputError):
        return error
    reason = str(error).strip().split("\n")[0] or type(error).__name__
    return InputError(f"not readable as Parquet ({reason})", file=file)


def frames_of(piece: Piece, asked: Asked, reading: Reading = READING) -> Iterator[pd.DataFrame]:
    """Yield the rows of a piece, batch by batch where its format allows it; the index has their numbers."""
    path = Path(piece.path)
    if piece.row_groups is None:
        yield read_frame(path, labelled=asked.names, reading=reading)
        return
    for option, value in (("--sheet", reading.sheet), ("--encoding", reading.encoding), ("--decimal", reading.decimal)):
        if value is not None:
            raise InputError(f"{option} is not of Parquet files, which say it themselves", file=path)
    file = _parquet(path)
    at = piece.start + 2
    try:
        wanted = dict.fromkeys([*asked.columns, *(columns_where(reading.where) if reading.where else ()), COLUMN])
        names = [name for name in wanted if name in file.schema_arrow.names]
        require_texts(file, path, names, piece.row_groups)
        for batch in file.iter_batches(BATCH, row_groups=list(piece.row_groups), columns=names):
            frame = plain_batch(batch, path).to_pandas()
            yield frame.set_axis(pd.RangeIndex(at, at + len(frame), name="row"))
            at += len(frame)
    except Exception as error:
        raise unreadable(error, path) from None


def gather_piece(asked: Asked, origin: Origin, reading: Reading, piece: Piece) -> Gathering:
    """Gather the moments of a piece; a piece of work for `cbec_bayes.runtime.fanout`."""
    found = begin(asked, origin)
    for frame in frames_of(piece, asked, reading):
        add_frame(found, frame, asked, piece.path, reading=reading)
    return found


def begin(asked: Asked, origin: Origin) -> Gathering:
    """Return a gathering that has no rows yet; a formula whose values are not of one row, or weights, are refused."""
    if asked.slope_on:
        raise InputError(
            "a file of moments holds no characteristics of groups; leave out --slope-on, or fit the panel itself"
        )
    roles = asked if isinstance(asked, Roles) else asked.of_one_row()
    if roles.weights is not None:
        raise InputError(NO_WEIGHTS)
    if len(roles.exposures) > 1 or (isinstance(asked, Formula) and asked.n_exposures > 1):
        raise InputError("moments can have only one exposure; name one, or fit the panel itself")
    if roles.absorbed:
        raise InputError(
            "moments allow only effects of units and of periods; leave out the others, or fit the panel itself"
        )
    return Gathering(roles.outcome, roles.regressors, grouped=roles.group is not None, origin=origin)


def add_frame(
    found: Gathering,
    frame: pd.DataFrame,
    asked: Asked,
    file: Path | str | None = None,
    *,
    reading: Reading = READING,
) -> None:
    """Add a frame's rows; those with a missing cell, or no group, are counted and left out.

    Rows that do not meet the reading's condition are not looked at.

    Raises
    ------
    InputError
        A column is missing or has text where numbers belong; a unit has a period twice, or two groups; a unit or a
        period is blank, or a name cannot be one.
    """
    if frame.empty:
        return
    if reading.where is not None:
        met = rows_where(frame, reading.where)
        frame = frame.set_axis(pd.Index(row_numbers(frame), name="row"))[met]
        if frame.empty:
            return
    source = Source(frame, row_numbers(frame), file, reading.missing)
    source.require(asked.columns)
    found.origin = least_observed((found.origin, origin_said(frame, reading.origin, asked.columns, file)))
    values = row_values(source, asked)
    periods = source.periods(asked.time, None, reading.frequency, reading.dates)
    times = periods.times
    units = _labels(source, asked.unit)
    groups = None if asked.group is None else _labels(source, asked.group, fault_of_group, required=False)
    kept = ~np.isnan(values).any(axis=1)
    kept &= True if groups is None else np.asarray(groups != "")
    found.dropped += int((~kept).sum())
    if not kept.all():
        values, times, units = values[kept], times[kept], units[kept]
        groups = None if groups is None else groups[kept]
    try:
        found.counted_by(periods.frequency)
        found.add(units, times, values, groups)
    except InputError as error:
        raise InputError(error.message, file=file) from None


def _labels(
    source: Source, column: str, fault_of: Callable[[str], str] = fault_of_name, *, required: bool = True
) -> pd.Index:
    """Return labels as integers where they are, else as text; see `fault_of_name`.

    Where none is required, a blank one is empty.
    """
    series = source.frame[column]
    if pd.api.types.is_integer_dtype(series.dtype) and not series.hasnans and not source.missing:
        numbers: pd.Index = pd.Index(series.to_numpy(dtype=np.int64))
        return numbers
    text: pd.Series
    if isinstance(series.dtype, pd.StringDtype) and not series.hasnans and not source.missing:
        text = series.str.normalize("NFC").str.strip().astype("str")
        if not text.str.casefold().isin(BLANK_NAMES).any():
            return _named(source, column, pd.Index(text), fault_of)
    text = pd.Series(source.labels(column, required=required), dtype="str")
    return _named(source, column, pd.Index(text), fault_of)


def _named(source: Source, column: str, labels: pd.Index, fault_of: Callable[[str], str]) -> pd.Index:
    """Return labels, or raise where one of them cannot be a name."""
    codes, names = pd.factorize(labels)
    for code, name in enumerate(names):
        fault = fault_of(str(name))
        if fault:
            raise source.wrong(int(np.argmax(codes == code)), column, fault)
    return labels


def gather(
    source: Path | str | Iterable[pd.DataFrame],
    roles: Asked,
    *,
    reading: Reading = READING,
    origin: Origin = Origin.OBSERVED,
    executor: Executor = SERIAL,
    on_progress: OnProgress = ignore_progress,
) -> PanelMoments:
    """Gather the moments of a panel in one pass; from them `cbec_bayes.fit` gives the exact posterior.

    Parameters
    ----------
    source
        A Parquet file or a folder of them, which are read batch by batch; a file of another kind that `read_panel`
        reads; or frames, of which one is in memory at a time. Rows may come in any order, and a unit's rows in any
        number of pieces.
    roles
        What the columns are; or a formula, from `cbec_bayes.panel.formula.read_formula`, of which each row alone tells
        the values.
    reading
        How it is to be read. The group of a unit that changes it, and what becomes of collinear controls, are not asked
        of rows that come in batches: the one is refused, and a fit of the moments says the other.
    origin
        Origin of the data.
    executor
        Who reads the pieces of a dataset; see `open_executor`. Each must be able to open the files.
    on_progress
        Called at first, and as each piece ends, with how many are done.

    Raises
    ------
    InputError
        The source cannot be read, or a row cannot be used: see `add_frame`.

    Notes
    -----
    Memory holds a batch of rows and, of every unit, its sums: 16 (K + 2) + T bytes beside its label, for K regressors
    and T periods. Results do not depend on how rows are partitioned or who reads them, but for rounding.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> columns = {"outcome": "sales", "exposure": "price", "unit": "firm", "time": "year", "group": "sector"}
    >>> roles = cb.Roles(**columns, controls=("wage",))
    >>> moments = cb.gather([frame], roles)
    >>> cb.effects(cb.fit(moments))[["group", "mean"]].round(1)
           group  mean
    0  (average)   0.8
    1       food   0.5
    2      metal   0.9
    3      paper   1.2
    4      (all)   0.9
    5      (new)   0.9
    """
    if reading.group_at is not None:
        raise InputError(
            "--group-at needs all rows of a unit at once, but this file is read in batches; fit the panel itself"
        )
    whole = begin(roles, origin)
    if not isinstance(source, Path | str):
        for frame in source:
            add_frame(whole, frame, roles, reading=reading)
        return _closed(whole, reading)
    pieces = pieces_of(Path(source))
    on_progress(Progress("piece", 0, len(pieces)))
    if executor is SERIAL:
        for done, piece in enumerate(pieces, 1):
            for frame in frames_of(piece, roles, reading):
                add_frame(whole, frame, roles, piece.path, reading=reading)
            on_progress(Progress("piece", done, len(pieces)))
        return _closed(whole, reading)
    ended = executor.each(partial(gather_piece, roles, origin, reading), list(enumerate(pieces)))
    for done, (_, part) in enumerate(ended, 1):
        whole.merge(part)
        on_progress(Progress("piece", done, len(pieces)))
    return _closed(whole, reading)


def _closed(whole: Gathering, reading: Reading) -> PanelMoments:
    """Return the moments of all rows, or raise where a condition left none."""
    if reading.where is not None and not len(whole.count) and not whole.dropped:
        raise InputError(f"no row meets --where {reading.where}")
    return whole.close()


def prepare_moments(
    source: Path,
    roles: Asked,
    *,
    reading: Reading = READING,
    between: bool = True,
    least: int | None = SMALLEST,
    executor: Executor = SERIAL,
    on_progress: OnProgress = ignore_progress,
) -> PanelMoments:
    """Gather the moments of a dataset that are to be written.

    Parameters
    ----------
    source, roles, reading, executor, on_progress
        As in `gather`.
    between
        Whether to keep what random unit effects need.
    least
        Units that a cell must have; None to write them whatever they disclose.

    Raises
    ------
    InputError
        The source cannot be read, a row cannot be used, or a cell has fewer units; see `shareable`.
    """
    found = gather(source, roles, reading=reading, executor=executor, on_progress=on_progress)
    found = found if between else replace(found, between=None)
    if least is not None:
        shareable(found, least)
    return found


def shareable(moments: PanelMoments, least: int = SMALLEST) -> None:
    """Raise `InputError` where a cell has so few units that its moments disclose them."""
    small = moments.small_cells(least)
    if small:
        some = "; ".join(small[:3]) + (f"; and {len(small) - 3} more cells" if len(small) > 3 else "")
        raise InputError(
            f"these moments would disclose single units: {some}. Fewer groups or periods help, and --no-between where "
            f"it is units of one size; --disclose writes them all the same"
        )


def require_place(file: Path, data: Path) -> None:
    """See that moments can be written to a file: nothing is written over but a file of moments, nor into the data.

    Raises
    ------
    InputError
        What is there is something else, or what the moments are gathered from.
    """
    spare(file.parent, [file.name], [Path(piece.path) for piece in pieces_of(data)])
    if os.path.isdir(data) and file.suffix == ".parquet" and file.resolve().is_relative_to(data.resolve()):
        raise InputError(
            "the result would lie among the data files and be read as data the next time; name another place", file=file
        )
    if os.path.isdir(file):
        raise InputError("a file cannot be written here, because a folder has this name; name another file", file=file)
    if not os.path.lexists(file):
        return
    content, _, digest = read_bytes(file).rpartition(SEAL) if os.path.isfile(file) else (b"", b"", b"")
    if file.is_symlink() or digest != sha256(content).hexdigest().encode():
        raise InputError("`moments` did not write the file that has this name; name another", file=file)
