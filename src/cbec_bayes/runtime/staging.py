"""A folder that one process at a time changes, and a change of it that is made whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.files import as_bytes, is_inside
from cbec_bayes.runtime.opening import LARGEST_RESULT

OURS = ".cbec_bayes"
"""What the names of all files begin with that this program keeps for itself in a folder."""

LOCK = f"{OURS}.lock"
"""File in a folder that one process at a time works in."""

_BEGUN, _WHOLE = f"{OURS}-writing-", f"{OURS}-written-"
_MARK = b"cbec_bayes: an index of files that are being put into place\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What becomes of the files of a folder; names are relative, with ``/``.

    Attributes
    ----------
    files
        Name to content; text is written as UTF-8.
    removed
        Name to the SHA-256 of what is removed; a file with other content stays, a link that leads nowhere does not.
    kept
        Name of a file that is written or removed, to the name under which what was there is kept.
    """

    files: Mapping[str, str | bytes]
    removed: Mapping[str, str] = field(default_factory=dict)
    kept: Mapping[str, str] = field(default_factory=dict)


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

    real = folder.resolve()  # two names of one folder have one lock
    made = [each for each in (real, *real.parents) if not each.exists()]
    lock = FileLock(real / LOCK, is_singleton=True)
    try:
        try:
            real.mkdir(parents=True, exist_ok=True)
            if not lock.is_locked:  # where no file can be made, filelock would wait for it
                _lock_file(real / LOCK)
            lock.acquire(timeout=wait)
            recovered = lock.lock_counter == 1 and _recover(real)
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
                _remove_lock_file(real / LOCK)
            lock.release()
        for each in made:
            with suppress(OSError):
                each.rmdir()


def _lock_file(path: Path) -> None:
    """Make the file of a lock; one that is a link, or no file at all, is not ours."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0), 0o644))


def _remove_lock_file(path: Path) -> None:
    with suppress(FileNotFoundError):
        found = path.lstat()
        if stat.S_ISREG(found.st_mode) and found.st_size == 0:
            path.unlink()


def write_files(out: Path, files: Mapping[str, str | bytes]) -> list[Path]:
    """Write all files or none, over whatever is there; see `change`. Returns the paths in the order given."""
    change(out, Change(files=files))
    return [out / name for name in files]


def change(out: Path, wanted: Change) -> None:
    """Change a folder, all of it or nothing.

    Each file is first written beside its place, so that a sub-folder may be a link or another disk; the change is
    declared whole by one renaming, and the files are then renamed into their places. What fails before leaves `out` as
    it was; what is killed after is finished by whoever comes next (see `locked`). No file is ever seen half-written. A
    link in the place of a file is replaced and never followed.

    Parameters
    ----------
    out
        Folder, made if missing.
    wanted
        What becomes of it.

    Raises
    ------
    InputError
        The folder cannot be written to, the disk is full, another process is at work in the folder, or not every file
        could be put into its place.
    """
    with locked(out, wait=30.0):
        stage = _Stage.of(out.resolve(), wanted)
        for name in wanted.files:
            if (out / name).is_dir():
                raise InputError(
                    "a file cannot be written here, because a folder has this name; name another file", file=out / name
                )
        try:
            whole = _staged(stage, wanted)
        except OSError as error:
            raise InputError(f"cannot be written ({error.strerror})", file=_named(error, stage) or out) from None
        try:
            _into_place(stage, whole)
        except OSError as error:
            raise InputError(
                (
                    f"not every file could be put into its place ({error.strerror}); correct the cause, and run "
                    "the command again"
                ),
                file=_named(error, stage) or out,
            ) from None


def _named(error: OSError, stage: _Stage) -> str | None:
    """Return the place that an error is about: the file itself where it was that beside its place."""
    places = {str(part): str(stage.folder / name) for name, part in stage.parts()}
    return places.get(str(error.filename), None if error.filename is None else str(error.filename))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    """A change on its way: what the index of it says, and where.

    Attributes
    ----------
    folder
        That is changed.
    number
        What tells its files from those of other changes.
    names, removed, kept
        As in `Change`.
    made
        Sub-folders that were not there before.
    """

    folder: Path
    number: str
    names: tuple[str, ...]
    removed: Mapping[str, str]
    kept: Mapping[str, str]
    made: tuple[str, ...]

    @classmethod
    def of(cls, folder: Path, wanted: Change) -> _Stage:
        above = {parent.as_posix() for name in wanted.files for parent in list(Path(name).parents)[:-1]}
        return cls(
            folder=folder,
            number=secrets.token_hex(4),
            names=tuple(wanted.files),
            removed=wanted.removed,
            kept=wanted.kept,
            made=tuple(sorted(name for name in above if not (folder / name).exists())),
        )

    @classmethod
    def read(cls, index: Path, number: str) -> _Stage | None:
        """Return what an index says; None where it is cut short, or names what it may not."""
        try:
            held = json.loads(index.read_bytes().removeprefix(_MARK))
            found = cls(
                folder=index.parent,
                number=number,
                names=tuple(held["names"]),
                removed=dict(held["removed"]),
                kept=dict(held["kept"]),
                made=tuple(held["made"]),
            )
        except (ValueError, KeyError, TypeError):
            return None
        every = (*found.names, *found.removed, *found.removed.values(), *found.kept, *found.kept.values(), *found.made)
        return found if all(is_name(name) for name in every) else None

    def text(self) -> bytes:
        """Return the content of its index."""
        held: dict[str, Any] = {"names": self.names, "removed": dict(self.removed), "kept": dict(self.kept)}
        return _MARK + json.dumps({**held, "made": self.made}).encode()

    def index(self, prefix: str) -> Path:
        """Return where its index stands, before or after it is declared whole."""
        return self.folder / f"{prefix}{self.number}"

    def parts(self) -> Iterator[tuple[str, Path]]:
        """Yield each file's name, and where its content waits."""
        for k, name in enumerate(self.names):
            yield name, (self.folder / name).parent / f"{_BEGUN}{self.number}-{k}"


def is_name(name: object) -> bool:
    """Return whether this is the name of a file within a folder, on any system."""
    return isinstance(name, str) and bool(name.strip("./\\")) and "\0" not in name and is_inside(name)


def _staged(stage: _Stage, wanted: Change) -> Path:
    """Write the index and every part, and declare the whole; return the index, or take everything back."""
    index = stage.index(_BEGUN)
    try:
        _written(index, stage.text())
        for name in stage.made:
            (stage.folder / name).mkdir()
        for (_, part), content in zip(stage.parts(), wanted.files.values(), strict=True):
            _written(part, as_bytes(content))
        index.rename(stage.index(_WHOLE))
    except BaseException:
        _take_back(stage, index)
        raise
    return stage.index(_WHOLE)


def _written(path: Path, content: bytes) -> None:
    """Write a file to the disk itself, so that no renaming outlives what it renames."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _take_back(stage: _Stage, index: Path) -> None:
    """Remove what was written of a change that did not become whole."""
    for _, part in stage.parts():
        with suppress(OSError):
            part.unlink()
    for name in reversed(stage.made):
        with suppress(OSError):
            (stage.folder / name).rmdir()
    with suppress(FileNotFoundError):
        index.unlink()


def _into_place(stage: _Stage, index: Path) -> None:
    """Move the parts of a change to their places; what is there already is done, whoever did it."""
    for name, part in stage.parts():
        if os.path.lexists(part):
            _keep(stage, name)
            os.replace(part, stage.folder / name)
    for name, digest in stage.removed.items():
        _keep(stage, name)
        path = stage.folder / name
        if digest_of(path) == digest or (path.is_symlink() and not path.exists()):
            path.unlink()
        _remove_if_empty(stage.folder, Path(name).parent)
    index.unlink()


def _keep(stage: _Stage, name: str) -> None:
    """Give what is in the place of a file the name that it is kept under, unless this was done before."""
    if name in stage.kept and not os.path.lexists(stage.folder / stage.kept[name]):
        with suppress(FileNotFoundError):
            os.rename(stage.folder / name, stage.folder / stage.kept[name])


def _remove_if_empty(folder: Path, name: Path) -> None:
    """Remove a sub-folder, and those above it, where nothing is left in them."""
    for each in [name, *name.parents][:-1]:
        with suppress(OSError):  # it is not empty, or a link
            (folder / each).rmdir()


def _recover(folder: Path) -> bool:
    """Finish what was declared whole, and take back what was not; nobody else is writing."""
    finished = False
    for prefix in (_WHOLE, _BEGUN):
        for index, number in _indices(folder, prefix):
            stage = _Stage.read(index, number)
            if stage is None:  # cut short before a part was written, or not to be followed
                index.unlink()
            elif prefix == _WHOLE:
                _into_place(stage, index)
                finished = True
            else:
                _take_back(stage, index)
    return finished


def _indices(folder: Path, prefix: str) -> list[tuple[Path, str]]:
    """Return the files that are named and begin as an index of ours; whatever else has such a name is left alone."""
    found = []
    for path in sorted(folder.glob(f"{prefix}*")):
        number = path.name.removeprefix(prefix)
        if re.fullmatch("[0-9a-f]{8}", number) and stat.S_ISREG(path.lstat().st_mode):
            with path.open("rb") as file:
                if _MARK.startswith(file.read(len(_MARK))):
                    found.append((path, number))
    return found


def digest_of(path: Path) -> str | None:
    """Return the SHA-256 of what is in a file, through a link too; None where there is nothing to be read.

    What is no plain file (a pipe, a device), or larger than any result, is not read: it has the digest "", which no
    file has, so that it counts as changed by somebody else.
    """
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            return None
        if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST_RESULT:
            return ""
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EIO):
            raise
        return None
