"""Opening files that a user names: plain files of a size that can be held, and nothing that waits or never ends.

A pipe without a writer would be waited for, /dev/zero read for ever, and a file of a few blocks can claim terabytes.
Every file of a user is opened here, so that each of them is refused in the same words.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

from cbec_bayes.runtime.errors import InputError

LARGEST = 2**29
"""Bytes of a file that is read whole: with what is made of them they stay below two gibibytes."""

LARGEST_RESULT = 2**33
"""Bytes of a file that a command left and that is only compared with its digest."""

LARGEST_TOML = 2**20
"""Bytes of a TOML file: a hundred times the longest that ships with the package."""

_NO_FILE = "no such file"
_FOLDER = "this is a folder, and a file is needed"
_NO_PLAIN_FILE = "this is a pipe, a socket or a device; copy what it holds into a plain file"


@contextmanager
def open_file(path: Path) -> Iterator[BufferedReader]:
    """Open a plain file to be read.

    Raises
    ------
    InputError
        There is no such file, it is a folder, a pipe, a socket or a device, or it cannot be read.
    """
    require_file(path)
    # Whatever has come into its place since is not waited for.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        with open(path, "rb", opener=lambda name, _: os.open(name, flags)) as file:
            _require_plain(os.fstat(file.fileno()).st_mode, path)
            yield file
    except OSError as error:
        raise _unreadable(error, path) from None


def require_file(path: Path) -> None:
    """Raise `InputError` unless this is a plain file, for libraries that open files themselves."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise _unreadable(error, path) from None
    except ValueError:  # systems refuse it in words of their own
        raise InputError("a file name cannot contain the character NUL", file=path) from None
    _require_plain(mode, path)


def read_bytes(path: Path, most: int = LARGEST) -> bytes:
    """Return the content of a file.

    Parameters
    ----------
    path
        A plain file; see `open_file`.
    most
        Bytes that it may have.

    Raises
    ------
    InputError
        It cannot be opened, or is larger.
    """
    with open_file(path) as file:
        _require_size(os.fstat(file.fileno()).st_size, most, path)
        content = file.read(most + 1) or b""  # it may have grown, or not say its size
    _require_size(len(content), most, path)
    return content


def file_digest(path: Path, most: int = LARGEST) -> str:
    """Return the SHA-256 of a file of at most so many bytes, of which little is in memory at once."""
    with open_file(path) as file:
        _require_size(os.fstat(file.fileno()).st_size, most, path)
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises
    ------
    ValueError
        It holds no JSON, or JSON that is nested too deeply to be read.
    InputError
        It cannot be opened, or is too large.
    """
    return parse_json(read_bytes(path).decode())


def parse_json(text: str) -> Any:
    """Return what a text of JSON holds; a ValueError where it holds none, or some that is nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _require_plain(mode: int, path: Path) -> None:
    if stat.S_ISDIR(mode):
        raise InputError(_FOLDER, file=path)
    if not stat.S_ISREG(mode):
        raise InputError(_NO_PLAIN_FILE, file=path)


def _require_size(size: int, most: int, path: Path) -> None:
    if size > most:
        raise InputError(f"it has {size / 1e6:.3g} MB, more than the {most / 1e6:.3g} MB that are read", file=path)


def _unreadable(error: OSError, path: Path) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError(_NO_FILE, file=path)
    if isinstance(error, IsADirectoryError):
        return InputError(_FOLDER, file=path)
    return InputError(f"cannot be read ({error.strerror})", file=path)
