"""What a command wrote, and from what: the same command on the same content need not be run again.

A receipt stands beside the files. It holds for the content of what they depend on (data, model, code, versions,
options) and of what they are, never for the names of arguments: a file that was edited in place is another file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.files import as_bytes, is_inside
from cbec_bayes.runtime.opening import LARGEST_RESULT, file_digest, parse_json, read_bytes
from cbec_bayes.runtime.versions import versions


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What a command wrote.

    Attributes
    ----------
    depends
        Digest of everything that the files depend on; see `digest`.
    files
        SHA-256 of each file, by its name in the folder.
    said
        What the command printed.
    found
        What it prints as JSON.
    results
        What another command can go on from, with every bit of it, as `cbec_bayes.runtime.exact.pack` gives it; None
        where no command does.
    """

    depends: str
    files: Mapping[str, str]
    said: str
    found: Any
    results: Any = None

    def text(self) -> str:
        """Return the file's content: a line of JSON, and a line with its digest."""
        held = {"depends": self.depends, "files": dict(self.files), "said": self.said, "found": self.found}
        line = json.dumps(held | {"results": self.results})
        return f"{line}\n{content_digest(line)}\n"


def file_of(command: str) -> str:
    """Return the name of a command's receipt in a folder."""
    return f".{command}.receipt"


def digest(command: str, content: Mapping[str, Any]) -> str:
    """Return the digest of what a command's files depend on.

    Parameters
    ----------
    command
        Its name.
    content
        Options, digests of data and models; whatever JSON can hold. Code and versions are added.
    """
    whole = {"command": command, "content": content, **program()}
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


def asked_digest(content: Mapping[str, Any]) -> str:
    """Return the digest of what was asked for, whatever program answers it."""
    return content_digest(json.dumps(content, sort_keys=True))


def program() -> dict[str, Any]:
    """Return what any result depends on besides what is asked for: the digest of the package, and versions."""
    return {"code": package_digest(), "versions": versions()}


def program_digest() -> str:
    """Return the digest of `program`."""
    return content_digest(json.dumps(program(), sort_keys=True))


@cache
def package_digest() -> str:
    """Return a digest of every file of the package: code, templates, styles."""
    root = Path(__file__).parents[1]
    found = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        if path.suffix in (".py", ".j2", ".css"):
            found.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()


def content_digest(content: str | bytes) -> str:
    """Return the SHA-256 of a file's content; text as UTF-8."""
    return hashlib.sha256(as_bytes(content)).hexdigest()


def make(
    depends: str, files: Mapping[str, str | bytes], *, said: str = "", found: Any = None, results: Any = None
) -> Receipt:
    """Return the receipt of files."""
    digests = {name: content_digest(content) for name, content in files.items()}
    return Receipt(depends=depends, files=digests, said=said, found=found, results=results)


def read(folder: Path, command: str, depends: str) -> Receipt | None:
    """Return a command's receipt where it holds: it is of the same content, and every file is there as it was written.

    A receipt that cannot be read, was changed, or is of something else, is none.
    """
    receipt = _sealed(folder / file_of(command))
    try:
        whole = (
            receipt is not None
            and receipt.depends == depends
            and all(
                is_inside(name) and file_digest(folder / name, LARGEST_RESULT) == own
                for name, own in receipt.files.items()
            )
        )
    except (InputError, ValueError, TypeError, AttributeError):
        return None
    return receipt if whole else None


def _sealed(path: Path) -> Receipt | None:
    """Return a receipt that is as it was written; None where it is not."""
    try:
        line, seal = read_bytes(path).decode().removesuffix("\n").split("\n")
        return Receipt(**parse_json(line)) if content_digest(line) == seal else None
    except (InputError, ValueError, TypeError):
        return None


def written(folder: Path) -> dict[str, Mapping[str, str]]:
    """Return the files that the receipts of a folder name, with their digests, by command; whether they hold or not."""
    found = {}
    for path in sorted(folder.glob(".*.receipt")):
        receipt = _sealed(path)
        if receipt is not None and isinstance(receipt.files, Mapping):
            found[path.name.removeprefix(".").removesuffix(".receipt")] = receipt.files
    return found


def results(folders: Iterable[Path], command: str, content: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the results that the receipts of a command in several folders keep, where these hold.

    Parameters
    ----------
    folders
        That are looked into, in this order.
    command, content
        As in `digest`.
    """
    key = digest(command, content)
    for folder in folders:
        receipt = read(folder, command, key)
        if receipt is not None and receipt.results is not None:
            yield receipt.results
