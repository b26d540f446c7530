"""Reading tables as text, tables as the text that is written, and the files that ship with the package."""

from __future__ import annotations

import csv
import math
import os
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import fault_of_text
from cbec_bayes.runtime.opening import LARGEST, LARGEST_TOML, file_digest, read_bytes

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
    """Return the folder `data` or `models`: beside the package when installed, else in the checkout.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> schools = cb.read_estimates(cb.asset_dir("data") / "published" / "eight_schools.csv")
    >>> len(schools.labels)
    8
    """
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


def read_text(path: Path, most: int = LARGEST) -> str:
    """Read a UTF-8 text file of at most so many bytes (a byte-order mark is allowed), or raise `InputError`."""
    content = read_bytes(path, most)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError("not UTF-8 text; save the file as UTF-8", file=path, row=line) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


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

    The cells of these columns have no control signs; see `fault_of_text`.

    Returns
    -------
    list of Row
        The lines that are not blank, in order.

    Raises
    ------
    InputError
        The file is missing, empty, not UTF-8, lacks a column, repeats one, has a line of another length, or a
        control sign.
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
                    f"the row has {len(cells)} cells, and the header has {len(header)}", file=path, row=reader.line_num
                )
            else:
                rows.append(Row(reader.line_num, dict(zip(header, cells, strict=True))))
                _check_cells(path, rows[-1], (*required, *optional))
    except csv.Error as error:
        raise InputError(f"not readable as CSV ({error})", file=path, row=reader.line_num) from None
    if header is None:
        raise InputError("the file is empty", file=path)
    if not rows:
        raise InputError("the file has a header but no rows of data", file=path)
    return rows


def _check_header(
    path: Path, header: Sequence[str], required: Sequence[str], optional: Sequence[str], row: int
) -> None:
    there = Counter(header)
    for name in header:
        if there[name] > 1:
            raise InputError("the column appears twice", file=path, row=row, column=name)
    for name in required:
        if name not in there:
            known = ", ".join([*required, *(f"{extra} (optional)" for extra in optional)])
            raise InputError(f"the column is missing; expected columns: {known}", file=path, row=row, column=name)


def _check_cells(path: Path, row: Row, columns: Sequence[str]) -> None:
    for column in columns:
        fault = fault_of_text(row[column])
        if fault:
            raise InputError(fault, file=path, row=row.number, column=column)


MOST_PARTS = 64
"""Parts of a key in TOML: the time that it takes to read one grows with their square."""

# Texts and comments, open ones too, so that each sign is looked at once.
_TEXTS = re.compile(
    r'''"""(?:[^"\\]|\\.|"(?!""))*+(?:""")?|"(?:[^"\\\n]|\\.)*+"?'''
    r"""|'''(?:[^']|'(?!''))*+(?:''')?|'[^'\n]*+'?|\#[^\n]*+""",
    re.DOTALL,
)
_LONG_KEY = re.compile(rf"(?<![\w-])(?:[\w-]++[ \t]*+\.[ \t]*+){{{MOST_PARTS - 1}}}")


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file, or raise `InputError` with the line that is wrong; its texts have no control signs."""
    text = read_text(path, LARGEST_TOML)
    if _LONG_KEY.search(_TEXTS.sub("_", text)):
        raise InputError(f"a key has {MOST_PARTS} or more parts, which is too many", file=path)
    try:
        held = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"not valid TOML: {error}", file=path) from None
    except (ValueError, RecursionError) as error:
        # A number of thousands of digits, or tables within tables without end: valid, and of no use.
        what = "tables or lists are nested too deeply" if isinstance(error, RecursionError) else "a number is too long"
        raise InputError(f"not usable TOML: {what}", file=path) from None
    for text in _texts_of(held):
        fault = fault_of_text(text)
        if fault:
            raise InputError(f"{fault}: {text[:60]!a}", file=path)
    return held


def _texts_of(held: Any) -> Iterator[str]:
    """Yield every key and every text of what a TOML file holds, however deep."""
    left = [held]
    while left:
        one = left.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            left += [*one, *one.values()]
        elif isinstance(one, list):
            left += one


def as_bytes(content: str | bytes) -> bytes:
    """Return what a file holds: text as UTF-8, in which bytes of a file's name that are no UTF-8 are spelled out."""
    return content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content


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


def sha256(paths: Iterable[Path], root: Path) -> dict[str, str]:
    """Return the SHA-256 of each file, keyed by its path relative to `root`."""
    return {path.relative_to(root).as_posix(): file_digest(path) for path in sorted(paths)}
