"""What this program made in a folder, command by command: only these files may it replace or remove."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cbec_bayes.runtime import receipts
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.staging import OURS, digest_of, is_name

FILE = OURS
"""File of a folder that says what was made there."""

FIT, OF_A_FIT = "fit", ("check", "compare", "report", "specifications")
"""The command that makes a fit, and those whose results are about one fit and stand beside it."""

_KIND = "files that cbec-bayes made here"


@dataclass(frozen=True, slots=True)
class Made:
    """What one command made.

    Attributes
    ----------
    files
        Name to the SHA-256 of what was written.
    of
        Digest of what the fit was asked for that these results belong to; blank where they belong to none, or where it
        is not known.
    program
        Digest of the program and its versions that made a fit or what belongs to one; blank for others.
    """

    files: Mapping[str, str]
    of: str = ""
    program: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was made in a folder.

    Attributes
    ----------
    made
        By command.
    """

    made: Mapping[str, Made] = field(default_factory=dict)

    def owner(self, name: str) -> str | None:
        """Return the command that made a file; None where none did."""
        return next((command for command, one in self.made.items() if name in one.files), None)

    def files(self) -> Iterator[tuple[str, str]]:
        """Yield name and digest of every file."""
        for one in self.made.values():
            yield from one.files.items()

    def text(self) -> str:
        """Return the content of its file; the same results give the same text."""
        made = {
            command: {"of": one.of, "program": one.program, "files": dict(sorted(one.files.items()))}
            for command, one in sorted(self.made.items())
        }
        return json.dumps({"kind": _KIND, "made": made}, indent=1, ensure_ascii=False) + "\n"


def read_manifest(folder: Path) -> Manifest:
    """Return what was made in a folder, as far as its manifest and its receipts tell.

    Releases before this file left receipts alone: a file is then ours where it is what a receipt says.

    Raises
    ------
    InputError
        A file of this name is there that is no manifest.
    """
    path = folder / FILE
    made = _read(path) if path.exists() or path.is_symlink() else {}
    known = {name for one in made.values() for name in one.files}
    for command, files in receipts.written(folder).items():
        if command not in made:
            own = {
                name: digest for name, digest in files.items() if is_name(name) and digest_of(folder / name) == digest
            }
            made[command] = Made({name: digest for name, digest in own.items() if name not in known})
            known |= set(own)
    return Manifest(made)


def _read(path: Path) -> dict[str, Made]:
    try:
        held: Any = json.loads(path.read_text(encoding="utf-8"))
        of_ours: Any = held["made"] if held["kind"] == _KIND else None
        made = {
            str(command): Made(dict(one["files"]), str(one["of"]), str(one["program"]))
            for command, one in of_ours.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        made = None
    if made is None or not all(
        is_name(name) and is_name(own) for one in made.values() for name, own in one.files.items()
    ):
        raise InputError("this is not the list of files that cbec-bayes keeps under this name; move it away", file=path)
    return made
