"""Results of pieces of work, kept so that an interrupted run goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cbec_bayes.runtime.errors import InputError

_MARK = b"cbec_bayes: results of unfinished work of "


class Journal:
    """Results of pieces in a file, a line each, written as they come.

    Parameters
    ----------
    path
        Of the file.
    what
        Digest of everything that the results depend on; a file with another one is of other work, and begun anew. A
        file that is no journal, or a link, is neither read nor written.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path, self.what = path, what
        self._file: Any = None

    def read(self) -> dict[int, Any]:
        """Return what was finished; a line that an interruption cut short is no result."""
        if not self._is_of_this():
            return {}
        return {position: result for position, result, _ in self._lines()}

    def require_own(self) -> None:
        """Raise `InputError` where something else stands in the place of the file."""
        if self.path.is_symlink() or (self.path.exists() and not self._is_ours()):
            raise InputError(
                "unfinished work would be kept in this file, which is something else; move it away", file=self.path
            )

    def _is_ours(self) -> bool:
        """Return whether the file is a journal, or what a run left of one that was stopped as it began."""
        if self.path.is_symlink() or not self.path.is_file():
            return False
        with self.path.open("rb") as file:
            return _MARK.startswith(file.read(len(_MARK)))

    def _head(self) -> bytes:
        return _MARK + json.dumps(self.what).encode() + b"\n"

    def _lines(self) -> Iterator[tuple[int, Any, int]]:
        """Yield position, result and where its line ends, up to the first line that is not whole."""
        with self.path.open("rb") as file:
            end = len(file.read(len(self._head())))
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
        if not self._is_ours():
            return False
        with self.path.open("rb") as file:
            return file.read(len(self._head())) == self._head()

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
        """Remove the file, once what it led to is written; what is no journal stays."""
        if self._is_ours():
            self.path.unlink()
