"""The folder that a command writes to: only what this program made there is replaced, and all else is said at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from cbec_bayes.runtime import receipts
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.journal import Journal
from cbec_bayes.runtime.manifest import FILE, FIT, OF_A_FIT, Made, Manifest, read_manifest
from cbec_bayes.runtime.staging import Change, change, digest_of, locked

EDITED = ".edited"
"""Ending of the name under which a file is kept that was changed since it was written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutFolder:
    """A folder, and what one command will do there.

    Attributes
    ----------
    path
        The folder; it need not be there.
    commands
        The command, and those whose files it writes as well.
    names
        Every file that may be written, by name or, in sub-folders, by pattern.
    reads
        Files and folders that the results are made from.
    journals
        Files in which unfinished work is kept.
    of
        Digest of what the fit was asked for that the results belong to; blank where they belong to none.
    """

    path: Path
    commands: Sequence[str]
    names: Sequence[str]
    reads: Sequence[Path] = ()
    journals: Sequence[str] = ()
    of: str = ""

    def vet(self) -> None:
        """See that every file can be written, before anything is computed.

        Which of the files of a pattern are written is known only afterwards, so that every file counts that is there
        and has such a name.

        Raises
        ------
        InputError
            A result would be written over what it is made from, over what no run here made, or over what another
            command made; a sub-folder cannot be written to; the folder is of another fit.
        """
        named = [name for name in self.names if not _is_pattern(name)]
        spare(self.path, [*named, *self.journals, FILE], self.reads)
        for parent in dict.fromkeys(Path(name).parent for name in self.names):
            _require_room(self.path, parent, self.reads)
        manifest = read_manifest(self.path)
        self._require_own(manifest, [*named, *self._of_patterns()])
        self._require_receipts(manifest)
        for name in self.journals:
            Journal(self.path / name, "").require_own()
        self._require_fit(manifest)

    def write(self, made: Mapping[str, Mapping[str, str | bytes]], kept: Mapping[str, str] | None = None) -> list[str]:
        """Write the files of commands, and remove what they made before or what no longer belongs here, in one step.

        Parameters
        ----------
        made
            Files by command, each by name.
        kept
            Receipts by command; a command without one loses that of before.

        Returns
        -------
        list of str
            Names under which files are kept that were changed since they were written.

        Raises
        ------
        InputError
            As `vet`, and as `cbec_bayes.runtime.staging.change`.
        """
        files = {name: content for one in made.values() for name, content in one.items()}
        strange = [name for name in files if not any(fnmatchcase(name, one) for one in self.names)]
        assert not strange, f"{self.commands[0]} did not say that it writes {', '.join(strange)}"
        with locked(self.path, wait=30.0):
            spare(self.path, files, self.reads)
            before = read_manifest(self.path)
            self._require_own(before, files)
            self._require_receipts(before)
            self._require_fit(before)
            after, gone = self._after(before, made)
            own = {receipts.file_of(command): text for command, text in (kept or {}).items()}
            wanted = self._change(before, {**files, **own, FILE: after.text()}, gone)
            change(self.path, wanted)
        return list(wanted.kept.values())

    def _after(self, before: Manifest, made: Mapping[str, Mapping[str, str | bytes]]) -> tuple[Manifest, Sequence[str]]:
        """Return what is in the folder afterwards, and the commands of which nothing made before is left as it was."""
        program = receipts.program_digest() if self.of else ""
        new = {
            command: Made({name: receipts.content_digest(content) for name, content in one.items()}, self.of, program)
            for command, one in made.items()
        }
        stale = [command for command, one in before.made.items() if command in new or self._is_stale(command, one, new)]
        left = {command: one for command, one in before.made.items() if command not in stale}
        return Manifest({**left, **new}), stale

    def _is_stale(self, command: str, one: Made, new: Mapping[str, Made]) -> bool:
        """Return whether what a command made belongs to another fit than the one that is written now."""
        if not self.of or command not in OF_A_FIT:
            return False
        same_program = FIT not in new or one.program == new[FIT].program
        return bool(one.of or FIT in new) and not (one.of == self.of and same_program)

    def _change(self, before: Manifest, files: Mapping[str, str | bytes], stale: Sequence[str]) -> Change:
        """Return the change of the folder: files that were edited since they were written are kept beside."""
        written = dict(before.files())
        gone = {name: own for command in stale for name, own in before.made[command].files.items() if name not in files}
        held = {name: digest_of(self.path / name) for name in (*files, *gone) if name in written}
        edited = [name for name, own in held.items() if own is not None and own != written[name]]
        for command in stale:
            name = receipts.file_of(command)
            own = digest_of(self.path / name)
            if name not in files and own is not None:
                gone[name] = own
        taken: set[str] = set()
        kept: dict[str, str] = {}
        for name in edited:
            kept[name] = next(one for one in _endings(name) if one not in taken and not _is_there(self.path / one))
            taken.add(kept[name])
        return Change(files=files, removed=gone, kept=kept)

    def _of_patterns(self) -> Iterator[str]:
        """Yield what is in the folder under a name that one of the patterns has."""
        for pattern in filter(_is_pattern, self.names):
            parent = Path(pattern).parent
            try:
                there = sorted(path.name for path in (self.path / parent).iterdir())
            except OSError:  # the sub-folder is not there yet
                continue
            yield from (name for one in there if fnmatchcase(name := (parent / one).as_posix(), pattern))

    def _require_own(self, manifest: Manifest, names: Iterable[str]) -> None:
        for name in names:
            path, owner = self.path / name, manifest.owner(name)
            if not _is_there(path):
                continue
            if path.is_dir():
                raise InputError(
                    "a file cannot be written here, because a folder has this name; name another file", file=path
                )
            if owner is None:
                what = "a link of this name is here" if path.is_symlink() else "a file of this name is here"
                raise InputError(
                    f"{what}, and no run in this folder made it; move it away, or name another folder", file=path
                )
            if owner not in self.commands:
                raise InputError(f"`{owner}` made this file; name another folder", file=path)

    def _require_receipts(self, manifest: Manifest) -> None:
        for command in self.commands:
            path = self.path / receipts.file_of(command)
            if _is_there(path) and command not in manifest.made:
                raise InputError("the file of this name is not a receipt; move it away", file=path)

    def _require_fit(self, manifest: Manifest) -> None:
        """Raise where results of one fit would stand beside another fit."""
        there = manifest.made.get(FIT)
        if FIT not in self.commands and self.of and there is not None and there.of not in ("", self.of):
            raise InputError("another fit is in this folder; name another folder", file=self.path)


def spare(out: Path, names: Iterable[str], reads: Iterable[Path]) -> None:
    """Raise where a result would be written over what it is made from, or into a folder that is read as a whole.

    A file is the same under every name: a link to it, a hard link, and a name in other letters, which some disks take
    for the same.
    """
    read = list(reads)
    own = {_folded(path.resolve()) for path in read}
    for name in names:
        path = out / name
        parent = path.parent.resolve()
        if _folded(parent / path.name) in own or any(_is_same(path, one) for one in read):
            raise InputError("the result would replace its own input; name another folder", file=path)
        if _folded(parent) in own:  # a file has nothing below it, so that this is a folder
            raise InputError(
                "the result would be written into the folder of its own input; name another folder", file=path
            )


def _folded(path: Path) -> str:
    return str(path).casefold()


def _is_same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _is_pattern(name: str) -> bool:
    return "*" in name


def _is_there(path: Path) -> bool:
    return os.path.lexists(path)


def _endings(name: str) -> Iterator[str]:
    """Yield the names under which an edited file may be kept."""
    yield f"{name}{EDITED}"
    k = 2
    while True:
        yield f"{name}{EDITED}-{k}"
        k += 1


def _require_room(out: Path, parent: Path, reads: Iterable[Path]) -> None:
    """Raise where a sub-folder cannot be written to, be it one of the disk or a link to one."""
    for each in [*reversed(parent.parents), parent]:
        path = out / each
        if _is_there(path) and not path.is_dir():
            what = "this link leads to no folder" if path.is_symlink() else "a file is where a folder was to be made"
            raise InputError(f"{what}; correct it or move it away", file=path)
        if path.is_dir() and not os.access(path, os.W_OK | os.X_OK):
            raise InputError("cannot be written (Permission denied)", file=path)
    if parent.name and (out / parent).is_dir():
        spare(out / parent, ["*"], reads)
