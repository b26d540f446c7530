"""Results of pieces of work, kept so that an interrupted run goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


class Journal:
    """Results of pieces in a file, a line each, written as they come.

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
        """Return what was finished; a line that an interruption cut short is no result."""
        if not self._is_of_this():
            return {}
        return {position: result for position, result, _ in self._lines()}

    def _lines(self) -> Iterator[tuple[int, Any, int]]:
        """Yield position, result and where its line ends, up to the first line that is not whole."""
        with self.path.open("rb") as file:
            end = len(file.readline())
            for line in file:
                try:
                    position, result = json.loads(line.decode())
                except (ValueError, TypeError, RecursionError):
                    return
                if not line.endswith(b"\n"):
                    return
                end += len(line)
                yield position, result, end

    def _is_of_this(self) -> bool:
        try:
            with self.path.open("rb") as file:
                return file.readline() == json.dumps(self.what).encode() + b"\n"
        except OSError:
            return False

    def open(self) -> Callable[[int, Any], None]:
        """Begin to write; returns the function that writes a result."""
        if self._is_of_this():
            ends = [len(json.dumps(self.what)) + 1, *(end for _, _, end in self._lines())]
            os.truncate(self.path, ends[-1])
        else:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps(self.what) + "\n", encoding="utf-8")
        self._file = self.path.open("a", encoding="utf-8")

        def write(position: int, result: Any) -> None:
            self._file.write(json.dumps([position, result]) + "\n")
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
