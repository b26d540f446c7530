"""Results of pieces of work, kept so that an interrupted run goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.opening import open_file, read_bytes

_MARK = b"cbec_bayes: results of unfinished work of "

_DIGITS = 16  # of the digest of a line: enough that no damage goes unseen


class Journal:
    """Results of pieces in a file, a line each, written as they come.

    A line begins with a digest of the rest of it, so that one which was cut short or damaged is no result.

    Parameters
    ----------
    path
        Path of the file.
    what
        Digest of everything that the results depend on; a file with another one is of other work, and begun anew. A
        file that is no journal, or a link, is neither read nor written.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path, self.what = path, what
        self._file: Any = None

    def read(self) -> dict[int, Any]:
        """Return what was finished, up to the first line that is not whole."""
        if not self._is_of_this():
            return {}
        return {position: result for position, result, _ in self._lines()}

    def require_own(self) -> None:
        """Raise `InputError` where something else stands in the place of the file."""
        if os.path.lexists(self.path) and not self._is_ours():
            raise InputError(
                "unfinished work is kept under this name, but this is another kind of file; move it away",
                file=self.path,
            )

    def _is_ours(self) -> bool:
        """Return whether the file is a journal, or what a run left of one that was stopped as it began."""
        return not self.path.is_symlink() and _MARK.startswith(self._first(len(_MARK)) or b"?")

    def _is_of_this(self) -> bool:
        return self._is_ours() and self._first(len(self._head())) == self._head()

    def _first(self, n: int) -> bytes | None:
        """Return the first bytes of the file; None where it cannot be read, as no pipe or folder can."""
        try:
            with open_file(self.path) as file:
                return file.read(n)
        except InputError:
            return None

    def _head(self) -> bytes:
        return _MARK + json.dumps(self.what).encode() + b"\n"

    def _digest(self, body: bytes) -> bytes:
        return sha256(self._head() + body).hexdigest()[:_DIGITS].encode()

    def _lines(self) -> Iterator[tuple[int, Any, int]]:
        """Yield position, result and where its line ends, up to the first line that is not whole."""
        end = len(self._head())
        for line in read_bytes(self.path)[end:].splitlines(keepends=True):
            digest, _, body = line.partition(b" ")
            if digest != self._digest(body):
                return
            position, result = json.loads(body)
            end += len(line)
            yield position, result, end

    def open(self) -> Callable[[int, Any], None]:
        """Begin to write; returns the function that writes a result.

        Raises
        ------
        InputError
            Something else stands in the place of the file.
        """
        self.require_own()
        if self._is_of_this():
            ends = [len(self._head()), *(end for _, _, end in self._lines())]
            os.truncate(self.path, ends[-1])
        else:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.unlink(missing_ok=True)
            with self.path.open("xb") as file:
                file.write(self._head())
        self._file = self.path.open("ab")

        def write(position: int, result: Any) -> None:
            body = json.dumps([position, result]).encode() + b"\n"
            self._file.write(self._digest(body) + b" " + body)
            self._file.flush()

        return write

    def close(self) -> None:
        """End writing."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def remove(self) -> None:
        """Remove the file, once what it led to is written; what is no journal stays."""
        if self._is_ours():
            self.path.unlink()
