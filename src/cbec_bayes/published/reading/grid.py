"""A table as a grid of texts, with the lines that stand above and below it; and how aligned text becomes one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cbec_bayes.published.number import MINUS_SIGNS
from cbec_bayes.published.reading.cells import read_cell_text
from cbec_bayes.published.reading.notes import NOTE_LINE
from cbec_bayes.published.stars import ASTERISKS
from cbec_bayes.runtime.errors import InputError

_RULE = re.compile(r"[\s\-=_+|─━═┌┐└┘├┤┬┴┼│╔╗╚╝╠╣╦╩╬:·.]*")
_SIGN_APART = re.compile(rf"(?P<before>^|[\s(\[])(?P<sign>[{MINUS_SIGNS}])(?P<space> )(?=[\d.])")
_STARS_APART = re.compile(rf"(?<=[\d)\]]) (?P<stars>[{re.escape(ASTERISKS)}]+)(?=\s|$)")
_TITLE = re.compile(r"^\s*(?:table|panel)\b", re.IGNORECASE)
_NUMBERS_BEHIND = re.compile(r"^(?P<label>.*?)(?P<cells>(?:\s+\S*\d\S*)+)$")


@dataclass(frozen=True, slots=True)
class Grid:
    """A printed table as texts.

    Attributes
    ----------
    rows
        Cells by row and column, all rows of one length; the first column has the labels.
    title
        What stands above.
    notes
        Lines that stand below.
    """

    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    notes: tuple[str, ...] = ()


def squared(rows: Sequence[Sequence[str]], title: str = "", notes: Sequence[str] = ()) -> Grid:
    """Return a grid of rows of any lengths: blank rows are left out, lines of one text above and below become words."""
    kept = [[cell.strip(" \t") for cell in row] for row in rows]
    kept = [row for row in kept if any(cell for cell in row)]
    above, below = [title] if title else [], list(notes)
    while kept and _is_words(kept[0]):
        above.append(_words(kept.pop(0)))
    while kept and (_is_words(kept[-1]) or NOTE_LINE.match(kept[-1][0] or _words(kept[-1]))):
        below.insert(0, _words(kept.pop()))
    width = max((len(row) for row in kept), default=0)
    return Grid(tuple((*row, *[""] * (width - len(row))) for row in kept), " ".join(above), tuple(below))


def _words(row: Sequence[str]) -> str:
    return " ".join(dict.fromkeys(cell for cell in row if cell))


def _is_words(row: Sequence[str]) -> bool:
    """Whether a row is a line of words across the table: one text, perhaps repeated over merged cells."""
    texts = {cell for cell in row if cell}
    return len(texts) == 1 and (len(row) == 1 or bool(row[0])) and not read_cell_text(next(iter(texts))).is_numeric


def grids_of_text(text: str, where: str) -> list[Grid]:
    """Return the tables of a plain text: columns separated by tabs, bars or ampersands, or aligned by spaces.

    Parameters
    ----------
    text
        Of one or more tables; a line that begins with "Table" begins another one.
    where
        The file, for messages.
    """
    lines = [_joined(line) for line in text.splitlines()]
    blocks: list[list[str]] = [[]]
    for line in lines:
        if re.match(r"^\s*table\s+\S*\d", line, re.IGNORECASE) and any(one.strip() for one in blocks[-1]):
            blocks.append([])
        blocks[-1].append(line)
    return [_grid(block, where) for block in blocks if any(line.strip() for line in block)]


def _joined(line: str) -> str:
    """Join a sign to its digits and stars to their number, keeping the length of the line."""
    line = _SIGN_APART.sub(lambda m: f"{m['before']} {m['sign']}", line)
    return _STARS_APART.sub(lambda m: f"{m['stars']} ", line)


def _grid(lines: list[str], where: str) -> Grid:
    """Split the lines of one table, by the first way that gives it columns."""
    title, body, notes = _parts([line for line in lines if not _RULE.fullmatch(line) or re.search(r"\d", line)])
    for separator in ("\t", "|", "&"):
        if sum(separator in line for line in body) * 2 > len(body):
            rows = [_split(line, separator) for line in body]
            return squared(rows, title, notes)
    return squared(_aligned(body, where), title, notes)


def _split(line: str, separator: str) -> list[str]:
    cells = line.replace("\\\\", "").split(separator)
    if separator == "|" and line.strip().startswith("|"):
        cells = cells[1:-1] if line.strip().endswith("|") else cells[1:]
    return cells


def _parts(lines: list[str]) -> tuple[str, list[str], list[str]]:
    """Take the title and the notes off a table's lines."""
    filled = [line for line in lines if line.strip()]
    title: list[str] = []
    while filled and _TITLE.match(filled[0]) and not re.match(r"^\s*panel", filled[0], re.IGNORECASE):
        title.append(filled.pop(0).strip())
    first = next(
        (i for i, line in enumerate(filled) if i and NOTE_LINE.match(line) and not _has_cells(line)), len(filled)
    )
    return " ".join(title), filled[:first], [line.strip() for line in filled[first:]]


def _has_cells(line: str) -> bool:
    """Whether a line that begins like a note is a row of the table: several columns, of which one is a number."""
    cells = re.split(r"\t|\s{2,}", line.strip())
    return len(cells) > 1 and any(read_cell_text(cell).is_numeric for cell in cells[1:])


@dataclass(frozen=True, slots=True)
class _Token:
    start: int
    end: int
    text: str

    def overlap(self, low: float, high: float) -> float:
        return min(self.end, high) - max(self.start, low)


def _tokens(line: str) -> list[_Token]:
    return [_Token(m.start(), m.end(), m[0]) for m in re.finditer(r"\S+(?: \S+)*", line)]


def _aligned(lines: list[str], where: str) -> list[list[str]]:
    """Split lines whose columns are aligned by two spaces or more, or whose numbers follow each other by one."""
    parsed = [_tokens(line) for line in lines]
    if max((len(tokens) for tokens in parsed), default=0) < 2:
        return _by_numbers(lines, where)
    left = min(tokens[0].start for tokens in parsed if tokens)
    labelled = [tokens[0].start <= left + 1 and not _numeric_run(tokens[0]) for tokens in parsed]
    bodies = [tokens[1:] if own else tokens for tokens, own in zip(parsed, labelled, strict=True)]
    columns = _columns([[one for one in tokens if read_cell_text(one.text).is_numeric] for tokens in bodies])
    if not columns:
        return [[token.text for token in tokens] for tokens in parsed]
    return [
        [tokens[0].text if own else "", *_placed(body, columns, where)]
        for tokens, own, body in zip(parsed, labelled, bodies, strict=True)
    ]


def _numeric_run(token: _Token) -> bool:
    return read_cell_text(token.text).is_numeric


def _columns(rows: list[list[_Token]]) -> list[tuple[float, float]]:
    """Return the span of each column: tokens of different rows that overlap stand in one column."""
    spans = sorted((token.start, token.end) for tokens in rows for token in tokens)
    merged: list[list[float]] = []
    for start, end in spans:
        if merged and start < merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    return [(low, high) for low, high in merged]


def _placed(tokens: list[_Token], columns: list[tuple[float, float]], where: str) -> list[str]:
    """Put each text of a line into the column that it overlaps most, or lies nearest to."""
    cells = [""] * len(columns)
    for token in tokens:
        at = max(range(len(columns)), key=lambda k: token.overlap(*columns[k]))
        if cells[at]:
            raise InputError(
                f"'{cells[at]}' and '{token.text}' stand in one column of the text; separate columns by tabs or |",
                file=where,
            )
        cells[at] = token.text
    return cells


def _by_numbers(lines: list[str], where: str) -> list[list[str]]:
    """Split lines of single spaces: the numbers at the end of a line are its cells, the words before them its label.

    A line with fewer numbers than the table has columns could have its blanks anywhere, and is refused.
    """
    split = []
    for line in lines:
        match = _NUMBERS_BEHIND.match(f" {line.strip()}")
        cells = match["cells"].split() if match else []
        numeric = [cell for cell in cells if read_cell_text(cell).is_numeric]
        split.append([match["label"].strip(), *cells] if match and len(numeric) == len(cells) else [line.strip()])
    width = max(len(row) for row in split)
    for row in split:
        if 1 < len(row) < width:
            named = row[0] or " ".join(row[1:])
            has = f"'{named}' has {len(row) - 1} of {width - 1} columns, and nothing says which"
            raise InputError(f"{has}; separate columns by tabs or |", file=where)
    return [row if len(row) == width else _heads(row[0], width) for row in split]


def _heads(line: str, width: int) -> list[str]:
    """Return the words of a line as heads of columns, where there are as many, and else the line as a label."""
    words = line.split()
    if len(words) == width:
        return words
    return ["", *words] if len(words) == width - 1 else [line, *[""] * (width - 1)]
