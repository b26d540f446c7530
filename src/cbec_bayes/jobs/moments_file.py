"""Moments as a file: netCDF with a seal; and what no panel could have, by which a damaged file is known."""

from __future__ import annotations

from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from cbec_bayes.bayes.moments.panel_moments import PanelMoments
from cbec_bayes.panel.periods import Frequency
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.files import memory
from cbec_bayes.runtime.labels import Origin, fault_of_group, fault_of_name
from cbec_bayes.runtime.opening import read_bytes
from cbec_bayes.runtime.staging import write_files
from cbec_bayes.runtime.trial import require_sound

FORMAT, VERSION = "cbec_bayes moments", 1
"""What a file of moments says it is."""

LARGEST_MOMENTS = 2**29
"""Bytes of the numbers of a file of moments: six thousand groups with a hundred columns and periods."""

SEAL = b"\nsha256:"
"""What follows the netCDF, with the digest of all before it: what HDF5 makes of a damaged file may never end."""

ROUNDING = 1e-6
"""What rounding may do to cross-products of columns of unit size; what is damaged is off by far more, or harmless."""


def moments_bytes(moments: PanelMoments) -> bytes:
    """Return moments as the content of a netCDF file, with a seal behind it that readers of netCDF pass over.

    Raises
    ------
    InputError
        They would be more than `load_moments` reads.
    """
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
    if dataset.nbytes > LARGEST_MOMENTS:
        raise InputError(f"the moments have {dataset.nbytes / 1e9:.3g} GB, more than can be read again")
    packed = {name: {"zlib": True} for name in ("within", "between") if name in fields}
    content = bytes(dataset.to_netcdf(engine="h5netcdf", encoding=packed))
    return content + SEAL + sha256(content).hexdigest().encode()


def save_moments(moments: PanelMoments, path: Path | str) -> Path:
    """Write moments to a file that `load_moments`, and `cbec-bayes fit --moments`, can read.

    Parameters
    ----------
    moments
        The moments of a panel, from `cbec_bayes.gather`. They are written whatever their cells disclose; the command
        `moments` refuses cells with few units.
    path
        The file to write, by custom with the ending ``.nc``.

    Returns
    -------
    pathlib.Path
        The file that was written.

    Raises
    ------
    InputError
        The moments are too large to be read again, or the file cannot be written.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> columns = {"outcome": "sales", "exposure": "price", "unit": "firm", "time": "year", "group": "sector"}
    >>> roles = cb.Roles(**columns, controls=("wage",))
    >>> cb.save_moments(cb.gather([frame], roles), "firms.nc").name
    'firms.nc'
    """
    file = Path(path)
    (written,) = write_files(file.parent, {file.name: moments_bytes(moments)})
    return written


def load_moments(path: Path | str) -> PanelMoments:
    """Read a file of moments, of `save_moments` or of the command `moments`.

    Raises
    ------
    InputError
        There is no such file; it is something else, of another version, or damaged.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> columns = {"outcome": "sales", "exposure": "price", "unit": "firm", "time": "year", "group": "sector"}
    >>> roles = cb.Roles(**columns, controls=("wage",))
    >>> _ = cb.save_moments(cb.gather([frame], roles), "firms.nc")
    >>> cb.load_moments("firms.nc").n_obs
    96
    """
    path = Path(path)
    sealed = read_bytes(path)
    content, _, digest = sealed.rpartition(SEAL)
    if digest != sha256(content).hexdigest().encode():
        what = (
            "damaged or cut" if sealed.startswith(b"\x89HDF") and FORMAT.encode() in sealed else "not a file of moments"
        )
        raise InputError(f"{what}; `cbec-bayes moments` writes such files", file=path)
    require_sound("netcdf", [path], LARGEST_MOMENTS, "not a file of moments")
    try:
        held = _unpacked(content, path)
    except InputError:
        raise
    except Exception as error:  # the readers of netCDF fail in every way there is
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise InputError(f"not a file of moments ({reason})", file=path) from None
    if held.attrs.get("format") != FORMAT:
        raise InputError("not a file of moments; `cbec-bayes moments` writes such files", file=path)
    if held.attrs.get("version") != VERSION:
        raise InputError(
            (
                f"the file has moments of version {held.attrs.get('version')}, and only version {VERSION} can be "
                "read; make it again"
            ),
            file=path,
        )
    try:
        found = _moments_of(held)
        fault = _fault_of(found)
    except (KeyError, IndexError, ValueError, TypeError, OverflowError) as error:
        fault = " ".join(str(error).split())
    if fault:
        raise InputError(f"the file of moments is damaged ({fault})", file=path)
    return found


def _moments_of(held: Any) -> PanelMoments:
    outcome, *terms = (str(name) for name in held["measured"].to_numpy())
    counted = {name: held[name].to_numpy() for name in ("sizes", "counts", "period_counts") if name in held}
    counted["sizes"] = held["size"].to_numpy()
    if not all(np.issubdtype(one.dtype, np.integer) for one in counted.values()):
        raise ValueError("counts that are not whole")
    numbers: dict[str, Any] = {name: _numbers(held, name) for name in ("centre", "mean", "squares", "within")}
    return PanelMoments(
        outcome=outcome,
        terms=tuple(terms),
        groups=tuple(str(group) for group in held["group"].to_numpy()) if held.attrs["grouped"] else (),
        times=tuple(float(time) for time in held["time"].to_numpy()),
        **numbers,
        **counted,
        between=_numbers(held, "between") if "between" in held else None,
        period_sums=_numbers(held, "period_sums"),
        dropped=int(held.attrs["dropped"]),
        origin=Origin(held.attrs["origin"]),
        frequency=Frequency(held.attrs.get("frequency", Frequency.NUMBER)),
    )


def _numbers(held: Any, name: str) -> Array:
    return np.asarray(held[name].to_numpy(), dtype=float)


def _fault_of(found: PanelMoments) -> str:
    """Say what in moments no panel could have, or return a blank."""
    q, n_times, n_sizes, n_groups = found.n_columns, len(found.times), len(found.sizes), max(len(found.groups), 1)
    p = q + n_times
    shapes = [
        *((numbers, (q,)) for numbers in (found.centre, found.mean, found.squares)),
        (found.counts, (n_groups, n_sizes)),
        (found.within, (n_groups, p, p)),
        (found.period_counts, (n_groups, n_times)),
        (found.period_sums, (n_groups, n_times, q)),
        *([] if found.between is None else [(found.between, (n_groups, n_sizes, p, p))]),
    ]
    if any(numbers.shape != shape for numbers, shape in shapes):
        return "arrays of sizes that do not go together"
    if not all(np.isfinite(numbers).all() for numbers, _ in shapes) or not np.isfinite(found.times).all():
        return "numbers that are not finite"
    for names, fault_of in ((found.groups, fault_of_group), ((found.outcome, *found.terms), fault_of_name)):
        faults = [fault for name in names if (fault := fault_of(name))]
        if faults or "" in names or len(set(names)) < len(names):
            return faults[0] if faults else "a name that is blank, or there twice"
    rising = all((np.diff(numbers) > 0).all() for numbers in (found.times, found.sizes))
    if not rising or found.sizes.min(initial=1) < 1 or min(found.counts.min(), found.period_counts.min()) < 0:
        return "periods or counts that no panel has"
    if found.n_obs < 1 or (found.period_counts.sum(axis=1) != found.group_obs).any():
        return "counts that do not add up"
    crosses = [found.within.sum(axis=0)] + ([] if found.between is None else [found.between.sum(axis=(0, 1))])
    if not all(_is_square(cross) for cross in crosses) or (found.squares < 0).any() or found.dropped < 0:
        return "cross-products that no columns have"
    return ""


def _is_square(cross: Array) -> bool:
    """Return whether a matrix is one of cross-products, as far as rounding lets it be told."""
    size = np.sqrt(np.abs(np.diag(cross)))
    size[size == 0] = 1.0
    scaled = cross / size / size[:, None]
    least = np.linalg.eigvalsh((scaled + scaled.T) / 2).min()
    return bool(np.abs(scaled - scaled.T).max() < ROUNDING and least > -ROUNDING)


def _unpacked(content: bytes, path: Path) -> Any:
    """Return the dataset that a netCDF file holds, unless it is larger than memory."""
    import xarray as xr

    with xr.open_dataset(BytesIO(content), engine="h5netcdf") as opened:
        if opened.nbytes > memory():
            raise InputError(f"would take {opened.nbytes / 1e9:.3g} GB of memory", file=path)
        return opened.load()
