"""A table as a grid of texts, with the lines that stand above and below it; and how aligned text becomes one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cbec_bayes.published.reading.cells import read_cell_text
from cbec_bayes.published.reading.notes import NOTE_LINE, TABLE
from cbec_bayes.published.reading.output import rows_of_output
from cbec_bayes.published.reading.rows import TEXT_ROWS, YES_OR_NO, kind_of
from cbec_bayes.published.stars import ASTERISKS
from cbec_bayes.runtime.errors import InputError

_RULE = re.compile(r"[\s\-=_+|─━═┌┐└┘├┤┬┴┼│╔╗╚╝╠╣╦╩╬:·.]*")
_RULER = re.compile(r"\s*[-=_─]{3,}(?:\s+[-=_─]{3,})+\s*")
_SIGN_APART = re.compile(r"(?P<before>^|[\s(\[])(?P<sign>[−–]) (?=[\d.])")
_STARS_APART = re.compile(rf"(?<=[\d)\]]) (?P<stars>[{re.escape(ASTERISKS)}]+)(?=\s|$)")
_TITLE = re.compile(rf"^\s*(?:(?:{TABLE})(?![a-z])|panel\b)", re.IGNORECASE)
_ANOTHER = re.compile(rf"^\s*{TABLE}\s*(?<![a-z])\S*\d", re.IGNORECASE)


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
    if any(re.match(r"panel\b", text, re.IGNORECASE) for text in texts):
        return False
    return len(texts) == 1 and (len(row) == 1 or bool(row[0])) and not read_cell_text(next(iter(texts))).is_numeric


def grids_of_text(text: str, where: str) -> list[Grid]:
    """Return the tables of a plain text: columns separated by tabs, bars or ampersands, or aligned by spaces.

    Parameters
    ----------
    text
        Text of one or more tables; a line that begins with "Table" begins another one.
    where
        The file, for messages.
    """
    lines = [_joined(line) for line in text.splitlines()]
    blocks: list[list[str]] = [[]]
    for line in lines:
        if _ANOTHER.match(line) and any(one.strip() for one in blocks[-1]):
            blocks.append([])
        blocks[-1].append(line)
    return [_grid(block, where) for block in blocks if any(line.strip() for line in block)]


def _joined(line: str) -> str:
    """Join a sign to its digits and stars to their number, keeping the length of the line."""
    line = _SIGN_APART.sub(lambda m: f"{m['before']} {m['sign']}", line)
    return _STARS_APART.sub(lambda m: f"{m['stars']} ", line)


def _grid(lines: list[str], where: str) -> Grid:
    """Split the lines of one table, by the first way that gives it columns."""
    if output := rows_of_output(lines):
        title, _, _ = _parts(lines)
        return squared(output[0], title, output[1])
    ruler = next((line for line in lines if _RULER.fullmatch(line)), None)
    kept = [line.replace("P>|t|", "P>t").replace("P>|z|", "P>z") for line in lines]
    title, body, notes = _parts([line for line in kept if not _RULE.fullmatch(line) or re.search(r"\d", line)])
    if ruler is not None and not any(_is_cut_apart(line, ruler) for line in body):
        return squared([_cut(line, ruler) for line in body], title, notes)
    if all(line.count("|") <= 1 for line in body):  # a bar behind the labels alone
        cut = [line.partition("|") if "|" in line else ("", "", line) for line in body]
        width = max((len(label.strip()) for label, _, _ in cut), default=0)
        body = [f"{label.strip():<{width}}   {rest}" for label, _, rest in cut]
    for separator in ("\t", "|", "&"):
        if sum(separator in line for line in body) * 2 > len(body):
            rows = [_split(line, separator) for line in body]
            return squared(rows, title, notes)
    return squared(_aligned(body, where), title, notes)


def _cut(line: str, ruler: str) -> list[str]:
    """Cut a line where the dashes of a ruler have gaps."""
    ends = [match.end() for match in re.finditer(r"\S+", ruler)]
    starts = [0, *ends[:-1]]
    return [line[start : end if end != ends[-1] else None] for start, end in zip(starts, ends, strict=True)]


def _is_cut_apart(line: str, ruler: str) -> bool:
    """Whether a ruler's gap lies within a word of a line."""
    ends = [match.end() for match in re.finditer(r"\S+", ruler)][:-1]
    return any(len(line) > end and not line[end - 1].isspace() and not line[end].isspace() for end in ends)


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
    """Return the texts that two spaces part, or one space where numbers of the same kind follow each other."""
    found: list[_Token] = []
    for match in re.finditer(r"\S+(?: \S+)*", line):
        words = [
            _Token(match.start() + m.start(), match.start() + m.end(), m[0]) for m in re.finditer(r"\S+", match[0])
        ]
        if len(words) > 1 and _are_cells(words):
            found += words
        else:
            found.append(_Token(match.start(), match.end(), match[0]))
    return found


def _are_cells(words: Sequence[_Token]) -> bool:
    """Whether words are cells of several columns: all numbers with decimals or stars, or all in the same brackets."""
    cells = [read_cell_text(word.text) for word in words]
    bare = all(cell.number and not cell.bracketed and re.search(r"[.,*]", cell.text) for cell in cells)
    return bare or all(
        len(cell.bracketed) == 1 and not cell.number and cell.text[0] == words[0].text[0] for cell in cells
    )


def _aligned(lines: list[str], where: str) -> list[list[str]]:
    """Split lines whose columns are aligned by two spaces or more, or whose numbers follow each other by one."""
    if 2 * sum(re.search(r"\S\s{2,}\S", line) is not None for line in lines) < len(lines):
        return _by_numbers(lines, where)
    parsed = [_tokens(line) for line in lines]
    left = min((tokens[0].start for tokens in parsed if tokens), default=0)
    labelled = [tokens[0].start <= left + 1 and not _numeric_run(tokens[0]) for tokens in parsed]
    bodies = [tokens[1:] if own else tokens for tokens, own in zip(parsed, labelled, strict=True)]
    columns = _columns([[one for one in tokens if read_cell_text(one.text).is_numeric] for tokens in bodies])
    if not columns:
        return [[token.text for token in tokens] for tokens in parsed]
    return [_row_of(tokens, columns, own=own, where=where) for tokens, own in zip(parsed, labelled, strict=True)]


def _row_of(tokens: list[_Token], columns: list[tuple[float, float]], *, own: bool, where: str) -> list[str]:
    """Return the label and the cells of a line; a number that one space parts from its label is a cell."""
    if not own:
        return ["", *_placed(tokens, columns, where)]
    label, body = tokens[0], tokens[1:]
    words, _, number = label.text.rpartition(" ")
    last = _Token(label.end - len(number), label.end, number)
    is_cell = words and read_cell_text(number).is_numeric and last.overlap(*columns[0]) > 0
    if is_cell and not any(one.overlap(*columns[0]) > 0 for one in body):
        return [words, *_placed([last, *body], columns, where)]
    return [label.text, *_placed(body, columns, where)]


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
    """Split lines of single spaces: the cells at the end of a line are its columns, the words before them its label.

    A line with fewer numbers than the table has columns could have its blanks anywhere, and is refused.
    """
    words = [re.split(r"[ \t]+", _brackets_joined(line.strip())) for line in lines]
    counts = [_cells_behind(one) for one in words]
    width = max((n for n, one in zip(counts, words, strict=True) if _is_numeric(one[len(one) - n :])), default=0)
    split = []
    for one, n in zip(words, counts, strict=True):
        if re.fullmatch("panel", one[0], re.IGNORECASE):
            split.append([" ".join(one), *[""] * width])
        elif n >= width > 0:
            split.append([" ".join(one[: len(one) - width]), *one[len(one) - width :]])
        elif n and _is_numeric(one[len(one) - n :]):
            named = " ".join(one[: len(one) - n]) or " ".join(one)
            has = f"'{named}' has {n} of {width} columns, and nothing says which"
            raise InputError(f"{has}; separate columns by tabs or |, or write — for a blank cell", file=where)
        else:
            split.append(_heads(one, width))
    return split


def _brackets_joined(line: str) -> str:
    """Keep an interval in brackets in one piece."""
    return re.sub(r"[\[(][^\])]*[\])]", lambda m: m[0].replace(" ", "\u00a0") if re.search(r"\d", m[0]) else m[0], line)


def _cells_behind(words: Sequence[str]) -> int:
    """Return how many words at the end of a line are cells: numbers, blanks, yes or no."""
    n = 0
    for word in reversed(words):
        cell = read_cell_text(word)
        if not (cell.is_numeric or (cell.is_blank and word) or word.lower() in YES_OR_NO):
            break
        n += 1
    return n


def _is_numeric(words: Sequence[str]) -> bool:
    return any(read_cell_text(word).is_numeric for word in words)


def _labels_heads(word: str) -> bool:
    """Whether a word says what the other words of its line are."""
    return bool(kind_of(word, TEXT_ROWS)) or re.fullmatch(r"variables?:?|变量", word, re.IGNORECASE) is not None


def _heads(words: list[str], width: int) -> list[str]:
    """Return the words of a line as heads of columns, where there are as many, and else the line as a label."""
    if len(words) == width + 1 and _labels_heads(words[0]):
        return words
    return ["", *words] if len(words) == width else [" ".join(words), *[""] * width]
