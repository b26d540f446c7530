"""The job behind `cbec-bayes moments`: a panel of any size in one pass, by any number of workers; and its file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cbec_bayes.bayes.moments.gathering import Gathering
from cbec_bayes.bayes.moments.panel_moments import PanelMoments
from cbec_bayes.panel import Roles, read_frame
from cbec_bayes.panel.cells import BLANK_NAMES, Source, row_numbers
from cbec_bayes.panel.periods import Frequency
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.fanout import SERIAL, Executor
from cbec_bayes.runtime.files import memory
from cbec_bayes.runtime.labels import Origin
from cbec_bayes.runtime.progress import OnProgress, Progress, ignore_progress

FORMAT, VERSION = "cbec_bayes moments", 1
"""What a file of moments says it is."""

SEAL = b"\nsha256:"
"""What follows the netCDF, with the digest of all before it: what HDF5 makes of a damaged file may never end."""

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
        Of a file that the worker can open.
    row_groups
        Of a Parquet file; None for all of any file.
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
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise InputError("the folder has no .parquet file", file=path)
    if path.suffix.lower() != ".parquet" and not path.is_dir():
        return [Piece(str(path))]
    found = []
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
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(file)
    except FileNotFoundError:
        raise InputError("no such file", file=file) from None
    except (OSError, pa.ArrowException) as error:
        reason = str(error).strip().split("\n")[0]
        raise InputError(f"not readable as Parquet ({reason})", file=file) from None


def frames_of(piece: Piece, roles: Roles) -> Iterator[pd.DataFrame]:
    """Yield the rows of a piece, batch by batch where its format allows it; the index has their numbers."""
    import pyarrow as pa

    path = Path(piece.path)
    if piece.row_groups is None:
        yield read_frame(path, labelled=[name for name in (roles.unit, roles.group) if name is not None])
        return
    file = _parquet(path)
    names = [name for name in roles.columns if name in file.schema_arrow.names]
    at = piece.start + 2
    try:
        for batch in file.iter_batches(BATCH, row_groups=list(piece.row_groups), columns=names):
            frame = batch.to_pandas()
            yield frame.set_axis(pd.RangeIndex(at, at + len(frame), name="row"))
            at += len(frame)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"not readable as Parquet ({str(error).strip()})", file=path) from None


def gather_piece(roles: Roles, origin: Origin, piece: Piece) -> Gathering:
    """Gather the moments of a piece; a piece of work for `cbec_bayes.runtime.fanout`."""
    found = begin(roles, origin)
    for frame in frames_of(piece, roles):
        add_frame(found, frame, roles, piece.path)
    return found


def begin(roles: Roles, origin: Origin) -> Gathering:
    """Return a gathering that has no rows yet."""
    return Gathering(roles.outcome, roles.regressors, grouped=roles.group is not None, origin=origin)


def add_frame(found: Gathering, frame: pd.DataFrame, roles: Roles, file: Path | str | None = None) -> None:
    """Add a frame's rows; those with a missing cell, or no group, are counted and left out.

    Raises
    ------
    InputError
        A column is missing or has text where numbers belong; a unit has a period twice, or two groups; a unit or a
        period is blank.
    """
    if frame.empty:
        return
    source = Source(frame, row_numbers(frame), file)
    source.require(roles.columns)
    values = np.column_stack([source.measured(name) for name in roles.measured])
    periods = source.periods(roles.time)
    times = periods.times
    units = _labels(source, roles.unit)
    groups = None if roles.group is None else _labels(source, roles.group, required=False)
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


def _labels(source: Source, column: str, *, required: bool = True) -> pd.Index:
    """Return labels as integers where they are, else as text; where none is required, a blank one is empty."""
    series = source.frame[column]
    if pd.api.types.is_integer_dtype(series.dtype) and not series.hasnans:
        numbers: pd.Index = pd.Index(series.to_numpy(dtype=np.int64))
        return numbers
    text: pd.Series
    if isinstance(series.dtype, pd.StringDtype) and not series.hasnans:
        text = series.str.normalize("NFC").str.strip().astype("str")
        if not text.str.casefold().isin(BLANK_NAMES).any():
            return pd.Index(text)
    text = pd.Series(source.labels(column, required=required), dtype="str")
    return pd.Index(text)


def gather(
    source: Path | str | Iterable[pd.DataFrame],
    roles: Roles,
    *,
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
        What the columns are.
    origin
        Of the data.
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
    """
    whole = begin(roles, origin)
    if not isinstance(source, Path | str):
        for frame in source:
            add_frame(whole, frame, roles)
        return whole.close()
    pieces = pieces_of(Path(source))
    on_progress(Progress("piece", 0, len(pieces)))
    if executor is SERIAL:
        for done, piece in enumerate(pieces, 1):
            for frame in frames_of(piece, roles):
                add_frame(whole, frame, roles, piece.path)
            on_progress(Progress("piece", done, len(pieces)))
        return whole.close()
    ended = executor.each(partial(gather_piece, roles, origin), list(enumerate(pieces)))
    for done, (_, part) in enumerate(ended, 1):
        whole.merge(part)
        on_progress(Progress("piece", done, len(pieces)))
    return whole.close()


def prepare_moments(
    source: Path,
    roles: Roles,
    *,
    between: bool = True,
    least: int | None = SMALLEST,
    executor: Executor = SERIAL,
    on_progress: OnProgress = ignore_progress,
) -> PanelMoments:
    """Gather the moments of a dataset that are to be written.

    Parameters
    ----------
    source, roles, executor, on_progress
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
    found = gather(source, roles, executor=executor, on_progress=on_progress)
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


def moments_bytes(moments: PanelMoments) -> bytes:
    """Return moments as the content of a netCDF file, with a seal behind it that readers of netCDF pass over."""
    import xarray as xr

    groups = moments.groups or ("",)
    columns = [moments.outcome, *moments.terms, *(f"period {time!r}" for time in moments.times)]
    fields: dict[str, Any] = {
        "centre": ("measured", moments.centre),
        "mean": ("measured", moments.mean),
        "squares": ("measured", moments.squares),
        "counts": (("group", "size"), moments.counts),
        "within": (("group", "column", "column_"), moments.within),
        "period_counts": (("group", "time"), moments.period_counts),
        "period_sums": (("group", "time", "measured"), moments.period_sums),
    }
    if moments.between is not None:
        fields["between"] = ("group", "size", "column", "column_"), moments.between
    dataset = xr.Dataset(
        fields,
        {
            "group": list(groups),
            "time": np.array(moments.times, dtype=float),
            "size": moments.sizes,
            "measured": [moments.outcome, *moments.terms],
            "column": columns,
            "column_": columns,
        },
        {
            "format": FORMAT,
            "version": VERSION,
            "grouped": int(bool(moments.groups)),
            "dropped": moments.dropped,
            "origin": str(moments.origin),
            "frequency": str(moments.frequency),
        },
    )
    packed = {name: {"zlib": True} for name in ("within", "between") if name in fields}
    content = bytes(dataset.to_netcdf(engine="h5netcdf", encoding=packed))
    return content + SEAL + sha256(content).hexdigest().encode()


def load_moments(path: Path | str) -> PanelMoments:
    """Read what `moments_bytes` gave.

    Raises
    ------
    InputError
        There is no such file; it is something else, of another version, or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("no such file" if not path.exists() else "this is a folder, a file was expected", file=path)
    sealed = path.read_bytes()
    content, _, digest = sealed.rpartition(SEAL)
    if digest != sha256(content).hexdigest().encode():
        what = (
            "damaged or cut" if sealed.startswith(b"\x89HDF") and FORMAT.encode() in sealed else "not a file of moments"
        )
        raise InputError(f"{what}: `cbec-bayes moments` writes them", file=path)
    try:
        held = _unpacked(content, path)
    except InputError:
        raise
    except Exception as error:  # the readers of netCDF fail in every way there is
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise InputError(f"not a file of moments ({reason})", file=path) from None
    if held.attrs.get("format") != FORMAT:
        raise InputError("not a file of moments: `cbec-bayes moments` writes them", file=path)
    if held.attrs.get("version") != VERSION:
        raise InputError(f"moments of version {held.attrs.get('version')}; {VERSION} can be read", file=path)
    try:
        outcome, *terms = (str(name) for name in held["measured"].to_numpy())
        fields = {name: held[name].to_numpy() for name in ("centre", "mean", "squares", "counts", "within")}
        fields |= {name: held[name].to_numpy() for name in ("period_counts", "period_sums")}
        found = PanelMoments(
            outcome=outcome,
            terms=tuple(terms),
            groups=tuple(str(group) for group in held["group"].to_numpy()) if held.attrs["grouped"] else (),
            times=tuple(float(time) for time in held["time"].to_numpy()),
            sizes=held["size"].to_numpy(),
            between=held["between"].to_numpy() if "between" in held else None,
            dropped=int(held.attrs["dropped"]),
            origin=Origin(held.attrs["origin"]),
            frequency=Frequency(held.attrs.get("frequency", Frequency.NUMBER)),
            **fields,
        )
    except (KeyError, ValueError) as error:
        raise InputError(f"the file of moments is damaged ({error})", file=path) from None
    numbers = [found.within, found.squares, found.period_sums, *([] if found.between is None else [found.between])]
    if not all(np.isfinite(values).all() for values in numbers) or (found.counts < 0).any() or found.n_obs < 1:
        raise InputError("the file of moments is damaged (numbers that no panel has)", file=path)
    return found


def _unpacked(content: bytes, path: Path) -> Any:
    """Return the dataset that a netCDF file holds, unless it is larger than memory."""
    import xarray as xr

    with xr.open_dataset(BytesIO(content), engine="h5netcdf") as opened:
        if opened.nbytes > memory():
            raise InputError(f"would take {opened.nbytes / 1e9:.3g} GB of memory", file=path)
        return opened.load()
