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

_DIGITS = 16  # of the digest of a line: enough that no damage goes unseen


class Journal:
    """Results of pieces in a file, a line each, written as they come.

    A line begins with a digest of the rest of it, so that one which was cut short or damaged is no result.

    Parameters
    ----------
    path
        Of the file.
    what
        Digest of everything that the results depend on; a file with another one is of other work, and begun anew.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path, self.what = path, what
        self._file: Any = None

    def read(self) -> dict[int, Any]:
        """Return what was finished, up to the first line that is not whole."""
        try:
            return {position: result for position, result, _ in self._lines()}
        except InputError:
            return {}

    def _lines(self) -> Iterator[tuple[int, Any, int]]:
        """Yield position, result and where its line ends, up to the first line that is not whole.

        Of a file of other work there is none.
        """
        first, *lines = read_bytes(self.path).splitlines(keepends=True) or [b""]
        if first != self._head():
            return
        end = len(first)
        for line in lines:
            digest, _, body = line.partition(b" ")
            if digest != self._digest(body):
                return
            position, result = json.loads(body)
            end += len(line)
            yield position, result, end

    def _head(self) -> bytes:
        return json.dumps(self.what).encode() + b"\n"

    def _digest(self, body: bytes) -> bytes:
        return sha256(self._head() + body).hexdigest()[:_DIGITS].encode()

    def _end(self) -> int:
        """Return where the whole lines of a file of this work end; 0 where there is no such file."""
        try:
            with open_file(self.path) as file:
                if file.readline(len(self._head())) != self._head():
                    return 0
            return max((end for _, _, end in self._lines()), default=len(self._head()))
        except InputError:
            return 0

    def open(self) -> Callable[[int, Any], None]:
        """Begin to write; returns the function that writes a result."""
        if end := self._end():
            os.truncate(self.path, end)
        else:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.unlink(missing_ok=True)  # a pipe in its place would be waited for
            self.path.write_bytes(self._head())
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
        """Remove the file, once what it led to is written."""
        self.path.unlink(missing_ok=True)
