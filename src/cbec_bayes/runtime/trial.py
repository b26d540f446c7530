"""Files that only a C library can read, tried in a process of its own before they are read in this one.

What such a library makes of a damaged file may end the process, never end itself, or fill the memory, and none of these
is an exception that could be caught. A second Python opens the file first, under limits of time and memory. It sees
that the file is built as files of ours are, and that no part of it is larger than may be read.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess  # our own Python is begun, by no shell
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from cbec_bayes.runtime.errors import InputError

type Kind = Literal["netcdf", "parquet", "parquet footer"]
"""What is tried: every value of a netCDF or Parquet file, or of the latter what its last part says alone."""

PATIENCE = 5.0
"""Seconds of computing that a file may take, beside those for its size."""

_PER_SECOND = 5e7
_MOST_PARTS, _MOST_DEEP = 20_000, 6
_HDF5_FILTERS = (
    1,
    2,
    3,
)  # deflate, shuffle and a checksum: those that netCDF has, and none that is loaded from elsewhere


def require_sound(kind: Kind, paths: Sequence[Path], most: float, said: str) -> None:
    """Raise `InputError` where a file cannot be read to its end by a process that has limits.

    Parameters
    ----------
    kind
        Kind of the files.
    paths
        Plain files that can be opened.
    most
        Bytes that the values of one may take.
    said
        What a file is not that fails, for the message.

    Raises
    ------
    InputError
        A file is damaged, is built in a way that no file of ours is, or would take too much time or memory.
    """
    if not sys.executable:  # as where Python is a part of another program
        return
    seconds = PATIENCE + sum(path.stat().st_size / _PER_SECOND + 0.1 for path in paths)
    asked = {"kind": kind, "paths": [str(path) for path in paths], "most": min(most, 2**62), "seconds": seconds}
    # The whole may wait for others longer than it computes itself.
    heard, ended = _begun(json.dumps(asked).encode(), 2 * seconds + 20)
    if ended in _ENDED_ITSELF:  # a file does so every time, want of a thread or of room for one does not
        heard, ended = _begun(json.dumps(asked).encode(), 2 * seconds + 20)
    lines = heard.decode(errors="replace").splitlines()
    if ended == 0 and lines and lines[-1] == _DONE:
        return
    begun = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
    if not begun:  # no Python could be begun here, or it lacks what reads such files: nothing is known of them
        return
    at = begun[-1]
    fault = at.get("fault") or "the library that reads such files does not come to an end with it"
    raise InputError(f"{said} ({fault})", file=paths[at["at"]])


_DONE = "done"
_ENDED_ITSELF = (-signal.SIGABRT, -signal.SIGSEGV)


def _begun(asked: bytes, patience: float) -> tuple[bytes, int]:
    """Have another Python try what is asked, and return what it said, and its exit status."""
    places = os.pathsep.join(place or os.getcwd() for place in sys.path)
    try:
        tried = subprocess.run(
            [sys.executable, "-P", "-W", "ignore", "-m", __name__],
            input=asked,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": places, "OMP_NUM_THREADS": "1"},
            timeout=patience,
        )
    except subprocess.TimeoutExpired as error:
        return error.stdout or b"", 1
    return tried.stdout, tried.returncode


def answer(asked: bytes) -> None:
    """Try files, as `require_sound` asks for it, and say what becomes of them."""
    held = json.loads(asked)
    paths, most = held["paths"], held["most"]
    tries = {"netcdf": _netcdf, "parquet": _parquet, "parquet footer": _parquet_footer}
    whole = tries[held["kind"]]
    _import(held["kind"])
    _limit(most, held["seconds"])
    for k, path in enumerate(paths):
        print(json.dumps({"at": k}), flush=True)
        try:
            whole(path, most)
        except MemoryError:
            fault = f"its values would take more than {most / 1e9:.3g} GB of memory"
        except Exception as error:
            fault = " ".join(str(error).split())[:300] or type(error).__name__
        else:
            continue
        print(json.dumps({"at": k, "fault": fault}), flush=True)
        return
    print(_DONE, flush=True)


def _import(kind: Kind) -> None:
    """Import what reads the files, which is not counted among what they take."""
    if kind == "netcdf":
        import h5py  # noqa: F401
    else:
        import pyarrow.parquet  # noqa: F401


def _limit(most: float, seconds: float) -> None:
    """Bound this process where the system can, before anything of a file is read."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        begun = resource.getrusage(resource.RUSAGE_SELF)  # imports are not the file's, and take long on a busy machine
        spent = begun.ru_utime + begun.ru_stime
        resource.setrlimit(resource.RLIMIT_CPU, (int(spent + seconds) + 1,) * 2)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most_here = pages * resource.getpagesize() + 3 * int(most) + 2**29
        if most_here < 2**62:
            resource.setrlimit(resource.RLIMIT_AS, (most_here,) * 2)


def _netcdf(path: str, most: float) -> None:
    """Read every value of an HDF5 file that is built as netCDF is; a ValueError where it is not."""
    import h5py

    with h5py.File(path, "r") as file:
        left = most
        for one in _parts(file):
            for value in one.attrs.values():
                left -= getattr(value, "nbytes", len(str(value)))
            if isinstance(one, h5py.Dataset):
                _require_plain(one, most)
                left -= one.size * max(one.dtype.itemsize, 1)
            if left < 0:
                raise MemoryError
        for one in _parts(file):
            if isinstance(one, h5py.Dataset) and one.shape is not None:
                one[()]


def _parts(file: Any) -> Iterator[Any]:
    """Yield the groups and datasets of an HDF5 file, each once; a link round or to elsewhere is a ValueError."""
    import h5py

    seen: set[Any] = set()
    waiting = [(file["/"], 0)]
    while waiting:
        one, depth = waiting.pop()
        place = h5py.h5o.get_info(one.id).addr
        if place in seen or depth > _MOST_DEEP or len(seen) > _MOST_PARTS:
            raise ValueError("parts within parts, or too many of them")
        seen.add(place)
        if one.__class__ not in (h5py.File, h5py.Group, h5py.Dataset):
            raise ValueError("a part that is neither a group nor an array of numbers")
        yield one
        if isinstance(one, h5py.Group):
            for name in one:
                if one.get(name, getlink=True, getclass=True) is not h5py.HardLink:
                    raise ValueError("a link to somewhere else")
                waiting.append((one[name], depth + 1))


def _require_plain(dataset: Any, most: float) -> None:
    """Raise ValueError unless the values of a dataset are in the file, packed as netCDF packs them; bound a piece."""
    import h5py

    if dataset.dtype.kind not in "biufSO" or (dataset.dtype.kind == "O" and not h5py.check_string_dtype(dataset.dtype)):
        raise ValueError("values that are neither numbers nor text")
    if dataset.is_virtual or dataset.external:
        raise ValueError("values that are in another file")
    made = dataset.id.get_create_plist()
    if any(made.get_filter(k)[0] not in _HDF5_FILTERS for k in range(made.get_nfilters())):
        raise ValueError("values that are packed in another way")
    piece = max(dataset.dtype.itemsize, 1)
    for length in dataset.chunks or ():
        piece *= length
    if piece > max(most, 2**20):
        raise MemoryError


def _parquet_footer(path: str, most: float) -> None:
    """Read what the last part of a Parquet file says of its columns, which Arrow believes where it is asked."""
    from pyarrow.parquet import ParquetFile

    with open(path, "rb") as file:  # Arrow itself opens no file whose name is not UTF-8
        _claimed(ParquetFile(file))


def _parquet(path: str, most: float) -> None:
    """Read every value of a Parquet file, texts as numbers of a dictionary, unless it says that it has too many."""
    from pyarrow import types
    from pyarrow.parquet import ParquetFile

    with open(path, "rb") as held:
        fields = ParquetFile(held).schema_arrow
        texts = [one.name for one in fields if types.is_string(one.type) or types.is_binary(one.type)]
        file = ParquetFile(held, read_dictionary=texts)
        if 8 * _claimed(file) > most:
            return  # who reads it refuses it for that
        for _ in file.iter_batches(2**16, use_threads=False):
            pass


def _claimed(file: Any) -> int:
    """Return how many values a Parquet file says that it has."""
    held = file.metadata
    values = 0
    for k in range(held.num_row_groups):
        group = held.row_group(k)
        columns = [group.column(j) for j in range(held.num_columns)]
        values += sum(max(column.num_values, 0) for column in columns if column.total_uncompressed_size > -1)
    return int(max(values, held.num_rows * held.num_columns))


if __name__ == "__main__":
    answer(sys.stdin.buffer.read())
