"""Reading tables as text, writing results whole or not at all, and finding the files that ship with the package."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import re
import shutil
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

from cbec_bayes.runtime.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a CSV file: its line number (header = 1) and its cells as stripped text."""

    number: int
    cells: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "")


def asset_dir(kind: str) -> Path:
    """Return the folder `data` or `models`: beside the package when installed, else in the checkout."""
    here = Path(__file__).resolve().parents[1]
    bundled = here / "assets" / kind
    return bundled if bundled.is_dir() else here.parents[1] / kind


def is_inside(name: str) -> bool:
    """Return whether a path that a file names stays within the folder that it is looked for in, on any system."""
    path = PureWindowsPath(name)  # which knows both separators
    return not (path.drive or path.root or ".." in path.parts)


def memory() -> float:
    """Return the bytes of memory that the machine has, infinite where it does not say."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return math.inf


def read_text(path: Path) -> str:
    """Read a UTF-8 text file (a byte-order mark is allowed), or raise `InputError`."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError("no such file", file=path) from None
    except IsADirectoryError:
        raise InputError("this is a folder, a file was expected", file=path) from None
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise InputError("not UTF-8 text; save the file as UTF-8", file=path, row=line) from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", file=path) from None


def read_rows(path: Path, *, required: Sequence[str], optional: Sequence[str] = ()) -> list[Row]:
    """Read a CSV file as text, line by line, with nothing guessed.

    pandas would turn ``0.10`` into 0.1 and pad a short line with blanks; a printed table must keep its trailing
    zeros, and a short line is a mistake to be named.

    Parameters
    ----------
    path
        The file.
    required
        Columns that must be there.
    optional
        Columns that may be there. Others are read but ignored by the callers.

    Returns
    -------
    list of Row
        The lines that are not blank, in order.

    Raises
    ------
    InputError
        The file is missing, empty, not UTF-8, lacks a column, repeats one, or has a line of another length.
    """
    return rows_of_text(read_text(path), path, required=required, optional=optional)


def rows_of_text(
    text: str, path: Path, *, required: Sequence[str], optional: Sequence[str] = (), delimiter: str = ","
) -> list[Row]:
    """Return the lines of a CSV file's text, as `read_rows` does, with any sign between the cells."""
    lines = text.splitlines(keepends=True)
    reader = csv.reader(lines, strict=True, delimiter=delimiter)
    rows: list[Row] = []
    header: list[str] | None = None
    try:
        for values in reader:
            cells = [value.strip() for value in values]
            if not any(cells):
                continue
            if header is None:
                header = cells
                _check_header(path, header, required, optional, reader.line_num)
            elif len(cells) != len(header):
                raise InputError(
                    f"{len(cells)} cells where the header has {len(header)}", file=path, row=reader.line_num
                )
            else:
                rows.append(Row(reader.line_num, dict(zip(header, cells, strict=True))))
    except csv.Error as error:
        raise InputError(f"not readable as CSV ({error})", file=path, row=reader.line_num) from None
    if header is None:
        raise InputError("the file is empty", file=path)
    if not rows:
        raise InputError("the file has a header but no rows", file=path)
    return rows


def _check_header(
    path: Path, header: Sequence[str], required: Sequence[str], optional: Sequence[str], row: int
) -> None:
    for name in header:
        if header.count(name) > 1:
            raise InputError("the column appears twice", file=path, row=row, column=name)
    for name in required:
        if name not in header:
            known = ", ".join([*required, *(f"{extra} (optional)" for extra in optional)])
            raise InputError(f"the column is missing; expected columns: {known}", file=path, row=row, column=name)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file, or raise `InputError` with the line that is wrong."""
    try:
        return tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"not valid TOML: {error}", file=path) from None


def csv_text(frame: pd.DataFrame, digits: int = 10) -> str:
    """Return a table as CSV text with ten significant digits: more than results have, fewer than machines differ in.

    What comes of draws differs between machines sooner, and is known to fewer digits: six, say. Labels that a
    spreadsheet would run as a formula get an apostrophe in front, as spreadsheets themselves write such text.
    """
    texts = frame.select_dtypes(include=["object", "str"]).columns
    safe = frame.assign(**{str(name): frame[name].map(_harmless) for name in texts}) if len(texts) else frame
    safe = safe.rename(columns=_harmless)
    return str(safe.to_csv(index=False, lineterminator="\n", float_format=f"%.{digits}g"))


# A sign may stand before a number and what is printed around it, but before nothing that could be run or looked up.
_FORMULA = re.compile(r"[=@\t\r\n＝＠]|[+\-＋－](?!([\d.]+[eE][+-]?\d+|[\d.][\d\s.,*()\[\]=≠%+-]*)$)")


def _harmless(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


LOCK = ".lock"
"""File in a folder that one process at a time works in."""

_STAGED, _WHOLE = ".writing-", ".written-"


@contextmanager
def locked(folder: Path, wait: float = 0.0) -> Iterator[bool]:
    """Have a folder to oneself: two runs in it at once would mix their files.

    The lock goes with the process that holds it, however it ends. What a run that was killed left half-renamed is
    finished, and what it left half-written is removed. A folder that is still empty afterwards is removed as well.

    Parameters
    ----------
    folder
        Made if missing. A block within a block of the same folder and thread has it already.
    wait
        Seconds to wait for another process.

    Yields
    ------
    bool
        Whether what a killed run had staged was put into place.

    Raises
    ------
    InputError
        Another process has it, or it cannot be written to.
    """
    from filelock import FileLock, Timeout

    folder = folder.absolute()
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    lock = FileLock(folder / LOCK, is_singleton=True)
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not lock.is_locked:  # where no file can be made, filelock would wait for it
                os.close(os.open(folder / LOCK, os.O_CREAT | os.O_RDWR, 0o644))
            lock.acquire(timeout=wait)
            recovered = lock.lock_counter == 1 and _recover(folder)
        except Timeout:
            raise InputError(
                "another run is at work in this folder; wait for it, or name another", file=folder
            ) from None
        except OSError as error:
            raise InputError(f"cannot be written ({error.strerror})", file=error.filename or folder) from None
        yield recovered
    finally:
        if lock.is_locked:
            if lock.lock_counter == 1:
                (folder / LOCK).unlink(missing_ok=True)
            lock.release()
        for each in made:
            with suppress(OSError):
                each.rmdir()


def _recover(folder: Path) -> bool:
    """Finish what was staged whole, and remove what was not; nobody else is writing."""
    whole = sorted(folder.glob(f"{_WHOLE}*"))
    for stage in whole:
        _into_place(stage, folder)
    for stage in folder.glob(f"{_STAGED}*"):
        shutil.rmtree(stage)
    return bool(whole)


def _into_place(stage: Path, folder: Path) -> None:
    """Move the parts of a stage to the places that its index names; those that are there already have left the stage.

    An index that is not ours, or names a place outside the folder (it may have come with a folder of someone else's),
    is not followed.
    """
    with suppress(FileNotFoundError, ValueError):
        names = json.loads((stage / "index").read_text(encoding="utf-8"))
        if isinstance(names, list) and all(isinstance(name, str) and _inside(folder, name) for name in names):
            for part, name in enumerate(names):
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with suppress(FileNotFoundError):
                    os.replace(stage / str(part), target)
    shutil.rmtree(stage)


def _inside(folder: Path, name: str) -> bool:
    return (folder / name).resolve().is_relative_to(folder.resolve())


def write_files(out: Path, files: Mapping[str, str | bytes]) -> list[Path]:
    """Write all files or none.

    They are staged in the folder, the stage is declared whole by one renaming, and its parts are then renamed into
    their places. What fails before leaves `out` as it was; what is killed after is finished by whoever comes next (see
    `locked`). No file is ever seen half-written.

    Parameters
    ----------
    out
        Folder, made if missing.
    files
        Relative name (with ``/``) to content; text is written as UTF-8.

    Returns
    -------
    list of Path
        The paths written, in the order given.

    Raises
    ------
    InputError
        The folder cannot be written to, the disk is full, or another process is at work in the folder.
    """
    with locked(out, wait=30.0):
        stage = None
        try:
            stage = Path(tempfile.mkdtemp(dir=out, prefix=_STAGED))
            for index, content in enumerate(files.values()):
                _written(stage / str(index), content.encode() if isinstance(content, str) else content)
            _written(stage / "index", json.dumps(list(files)).encode())
            for name in files:
                if (out / name).is_dir():
                    raise InputError("a folder is where a file was to be written", file=out / name)
            whole = stage.with_name(stage.name.replace(_STAGED, _WHOLE))
            stage.rename(whole)
            stage = None
            _into_place(whole, out)
        except OSError as error:
            raise InputError(f"cannot be written ({error.strerror})", file=error.filename or out) from None
        finally:
            if stage is not None:
                shutil.rmtree(stage, ignore_errors=True)
    return [out / name for name in files]


def _written(path: Path, content: bytes) -> None:
    """Write a part to the disk itself, so that no renaming outlives what it renames."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sha256(paths: Iterable[Path], root: Path) -> dict[str, str]:
    """Return the SHA-256 of each file, keyed by its path relative to `root`."""
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(paths)}
