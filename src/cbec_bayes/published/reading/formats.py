"""Files of printed tables in every usual form, as grids of texts; the forms themselves are parsed by libraries."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from cbec_bayes.panel.bounds import require_excel
from cbec_bayes.published.reading.grid import Grid, grids_of_text, squared
from cbec_bayes.runtime.errors import InputError

MOST_CELLS = 200_000
"""Cells of a table; a printed one has some hundred."""
MOST_UNPACKED = 2 * 10**8
"""Bytes that a document may unpack to."""
MOST_SPAN = 100
"""Columns or rows over which one cell may reach."""


def grids_of(content: bytes, suffix: str, where: str) -> list[Grid]:
    """Return the tables of a file.

    Parameters
    ----------
    content
        Content of the file.
    suffix
        Its ending, which says its form; text where it is unknown.
    where
        The file, for messages.

    Raises
    ------
    InputError
        The file is not of that form, or has no table.
    """
    if binary := _BINARY.get(suffix.lower()):
        grids = _tried(lambda: binary(content), suffix, where)
    else:
        form, text = _FORMS.get(suffix.lower(), grids_of_text), _decoded(content, where)
        ours = form in (grids_of_text, _csv)
        grids = form(text, where) if ours else _tried(lambda: form(text, where), suffix, where)
    found = [grid for grid in grids if len(grid.rows) > 1 and len(grid.rows[0]) > 1]
    if not found:
        raise InputError("no table was found; separate columns by tabs, bars or at least two spaces", file=where)
    return found


def _tried(parse: Callable[[], list[Grid]], suffix: str, where: str) -> list[Grid]:
    """Return what a library parses; whatever it raises on a damaged file is one line."""
    try:
        return parse()
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"not readable as {suffix.lstrip('.')} ({type(error).__name__})", file=where) from None


def _decoded(content: bytes, where: str) -> str:
    for encoding in ("utf-8-sig", "utf-16") if content[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig",):
        try:
            return content.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")
        except UnicodeDecodeError:
            continue
    raise InputError("not UTF-8 text; save the file as UTF-8", file=where)


def _csv(text: str, where: str) -> list[Grid]:
    sample = text[:5000]
    delimiter = max(",;\t", key=sample.count)
    try:
        rows = csv.reader(io.StringIO(text.replace('="', '"')), delimiter=delimiter)  # Stata writes ="1.20" for Excel
        return [squared(list(rows))]
    except csv.Error as error:
        raise InputError(f"not readable as CSV ({error})", file=where) from None


_LEVELS = re.compile(r"\('[^'|]*', '([^'|]*)'\)")
"""A label of two levels as pandas writes it: ``('coef', 'size')``."""


def _markdown(text: str, where: str) -> list[Grid]:
    from markdown_it import MarkdownIt

    # A star is emphasis to Markdown, and a star of significance here.
    kept = re.sub(r"(?<!\\)([*_+])", r"\\\1", _LEVELS.sub(r"\1", text))
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(kept)
    return _html(html, where) if "<table" in html else grids_of_text(text, where)


def _html(text: str, where: str) -> list[Grid]:
    from lxml import html

    tree = html.fromstring(text)
    tables = [one for one in tree.iter("table") if not list(one.iterdescendants("table"))]
    found = []
    for table in tables:
        for mark in table.iter("br"):
            mark.tail = " " + (mark.tail or "")
        captions = [_flat(one) for one in table.iter("caption")]
        rows = _spanned([_of_html(cell) for cell in row.iterchildren("td", "th")] for row in table.iter("tr"))
        found.append(squared(rows, " ".join(captions) or _before(table), _after(table)))
    return found


def _flat(element: Any) -> str:
    """Return the text of an element; thin spaces stay, for they may stand between thousands."""
    return re.sub(r"[ \t\r\n]+", " ", element.text_content()).strip(" *#") if element is not None else ""


def _of_html(cell: Any) -> tuple[str, int, int]:
    text = re.sub(r"[ \t\r\n]+", " ", cell.text_content()).strip(" ")
    return text, _span(cell, "colspan"), _span(cell, "rowspan")


def _span(cell: Any, name: str) -> int:
    text = cell.get(name, "1")
    return min(max(int(text), 1), MOST_SPAN) if text.isascii() and text.isdecimal() else 1


def _before(table: Any) -> str:
    previous = table.getprevious()
    text = (
        _flat(previous) if previous is not None and previous.tag in ("p", "h1", "h2", "h3", "h4", "h5", "div") else ""
    )
    return text if text.lower().startswith("table") else ""


def _after(table: Any) -> list[str]:
    """Return the paragraphs behind a table up to the next title or table."""
    notes: list[str] = []
    for element in table.itersiblings():
        text = _flat(element) if isinstance(element.tag, str) else ""
        if element.tag == "table" or text.lower().startswith("table") or len(notes) == 5:
            break
        notes += [text] if text else []
    return notes


def _spanned(rows: Iterable[list[tuple[str, int, int]]]) -> list[list[str]]:
    """Lay out rows of (text, columns, rows): a text over several columns stands in each of them."""
    grid: list[list[str]] = []
    taken: set[tuple[int, int]] = set()
    for i, row in enumerate(rows):
        cells: dict[int, str] = {}
        j = 0
        for text, wide, high in row:
            while (i, j) in taken:
                j += 1
            for k in range(wide):
                cells[j + k] = text
                taken |= {(i + below, j + k) for below in range(1, high)}
            j += wide
        if len(taken) > MOST_CELLS:
            raise ValueError("the table is too large")
        grid.append([cells.get(k, "") for k in range(max(cells, default=-1) + 1)])
    return grid


def _latex(text: str, where: str) -> list[Grid]:
    from pylatexenc.latex2text import LatexNodes2Text, get_default_latex_context_db
    from pylatexenc.latexwalker import LatexEnvironmentNode, LatexWalker

    plain = re.sub(r"(?<!\\)%.*", "", text)
    plain = re.sub(
        r"\\(?:(?:top|mid|bottom|h)(?:rule|line)|addlinespace)\b(?:\[[^]]*\])?"
        r"|\\c(?:line|midrule)(?:\([^)]*\))?\{[^}]*\}",
        "",
        plain,
    )
    # A cell of two lines has the mark that ends a row elsewhere.
    plain = re.sub(
        r"\\(?:makecell|shortstack)(?:\[[^]]*\])?\{((?:[^{}]|\{[^{}]*\})*)\}",
        lambda m: m[1].replace("\\\\", " "),
        plain,
    )
    plain = re.sub(r"\\sym\{", r"\\textsuperscript{", plain)
    plain = re.sub(r"\^\{?\s*(?:\\ast|\*)+\s*\}?", lambda m: "*" * len(re.findall(r"\\ast|\*", m[0])), plain)
    to_text = LatexNodes2Text(latex_context=get_default_latex_context_db(), math_mode="text", strict_latex_spaces=False)

    def flat(source: str) -> str:
        return " ".join(to_text.latex_to_text(source.strip()).split())

    found: list[Grid] = []
    for node in _environments(LatexWalker(plain).get_latex_nodes()[0], LatexEnvironmentNode):
        body = "".join(one.latex_verbatim() for one in node.nodelist)
        body = body[_preamble(body) :]
        rows = []
        for line in re.split(r"\\\\(?:\s*\[-?[\d.]+\s*[a-z]+\])?|\\tabularnewline", body):
            row = [_merged(cell.strip(), flat) for cell in re.split(r"(?<!\\)&", line)]
            rows.append(row)
        captions = re.findall(r"\\caption\{((?:[^{}]|\{[^{}]*\})*)\}", plain)
        after = plain[node.pos + node.len :]
        notes = [flat(one) for one in re.split(r"\n\s*\n|\\\\|\\item", after) if flat(one)]
        found.append(
            squared(_spanned(rows), flat(captions[len(found)]) if len(captions) > len(found) else "", notes[:8])
        )
    return found


_TABULARS = ("tabular", "tabular*", "tabularx", "longtable", "tabulary", "array")


def _environments(nodes: Iterable[Any], kind: type) -> Iterator[Any]:
    for node in nodes:
        if isinstance(node, kind) and node.environmentname in _TABULARS:  # type: ignore[attr-defined]
            yield node
        elif getattr(node, "nodelist", None):
            yield from _environments(node.nodelist, kind)


def _preamble(body: str) -> int:
    """Return where the rows of a tabular begin: behind the arguments that say its width and columns."""
    at = 0
    while match := re.compile(r"\s*(\[[^]]*\]|\{)").match(body, at):
        if not match[1].startswith("{"):
            at = match.end()
            continue
        depth, at = 1, match.end()
        while depth and at < len(body):
            depth += {"{": 1, "}": -1}.get(body[at], 0)
            at += 1
    return at


def _merged(cell: str, flat: Callable[[str], str]) -> tuple[str, int, int]:
    """Read a multicolumn as one text over several columns."""
    match = re.match(r"\\multicolumn\{(\d+)\}\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}\{(.*)\}\s*$", cell, re.DOTALL)
    if match is None:
        return flat(cell), 1, 1
    return flat(match[2]), min(max(int(match[1]), 1), MOST_SPAN), 1


def _excel(content: bytes) -> list[Grid]:
    from openpyxl import load_workbook  # type: ignore[import-untyped]

    require_excel(content, Path("the workbook"))
    book = load_workbook(io.BytesIO(content), read_only=True, data_only=True)
    return [squared([[_of_excel(cell) for cell in row] for row in sheet.iter_rows()]) for sheet in book.worksheets]


def _of_excel(cell: Any) -> str:
    """Return a cell as it is shown: a number with the decimals of its format."""
    value = cell.value
    if value is None:
        return ""
    decimals = re.search(r"\.(0+)", str(cell.number_format))
    if isinstance(value, float | int) and not isinstance(value, bool) and decimals:
        return f"{value:.{len(decimals[1])}f}"
    return f"{value:g}" if isinstance(value, float) and value == int(value) else str(value)


def _word(content: bytes) -> list[Grid]:
    from docx import Document
    from docx.table import Table
    from docx.text.paragraph import Paragraph

    with ZipFile(io.BytesIO(content)) as packed:
        if sum(one.file_size for one in packed.infolist()) > MOST_UNPACKED:
            raise ValueError("the document is too large when it is unpacked")
    document = Document(io.BytesIO(content))
    parts = list(document.iter_inner_content())
    found = []
    for at, part in enumerate(parts):
        if not isinstance(part, Table):
            continue
        before = next((one.text for one in reversed(parts[:at]) if isinstance(one, Paragraph) and one.text.strip()), "")
        notes: list[str] = []
        for one in parts[at + 1 :]:
            if not isinstance(one, Paragraph) or one.text.lower().startswith("table"):
                break
            notes += [one.text] if one.text.strip() else []
        rows = [[re.sub(r"[ \t\r\n]+", " ", cell.text) for cell in row.cells] for row in part.rows]
        found.append(squared(rows, before if before.lower().startswith("table") else "", notes))
    return found


_FORMS: Mapping[str, Callable[[str, str], list[Grid]]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".md": _markdown,
    ".markdown": _markdown,
    ".html": _html,
    ".htm": _html,
    ".tex": _latex,
}
_BINARY: Mapping[str, Callable[[bytes], list[Grid]]] = {".xlsx": _excel, ".docx": _word}
SUFFIXES = (".txt", *_FORMS, *_BINARY)
"""Endings of files that tables are read from."""
