"""How much a table may unpack to: a file of a few kilobytes can hold gigabytes, and is refused before it fills memory.

A Parquet file names a long text once and repeats it by a number, and so does a Stata file; an Excel file is a ZIP
archive, of which one row may be numbered a billion. Each is bounded by the bytes of the values that it stands for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pandas as pd

from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.files import memory

MOST_HELD = 5 * 10**8
"""Bytes of the values of a table: ten million rows of six numbers."""

LONGEST_TEXT = 131_072
"""Characters of one cell: as many as Python's csv takes."""

SHORT_TEXT = 2_000
"""Characters up to which a text is as short as any column of Stata's that is not one of long texts."""

MOST_UNPACKED = 10**9
"""Bytes that the sheets of an Excel file may unpack to."""

MOST_TAGS = 2 * 10**7
"""Elements of XML, two to a tag, that an Excel file may have; a cell has two."""

EXCEL_ROWS, EXCEL_COLUMNS = 1_048_576, 16_384
"""Rows and columns of the largest sheet that Excel itself makes."""

_PIECE = 2**20  # bytes that are unpacked at once


def require_parquet(file: Any, path: Path) -> None:
    """Raise `InputError` where the values of a Parquet file would take too much memory at once.

    Parameters
    ----------
    file
        An open `pyarrow.parquet.ParquetFile` that reads texts as dictionaries; see `texts_of`.
    path
        For the message.
    """
    held = file.metadata
    groups = [held.row_group(k) for k in range(held.num_row_groups)]
    values = sum(max(group.column(k).num_values, 0) for group in groups for k in range(held.num_columns))
    # Packed, a value may take no room at all; as a number it takes eight bytes.
    _require(8 * max(held.num_rows * held.num_columns, values), path)
    texts = texts_of(file)
    require_texts(file, path, texts, range(held.num_row_groups))
    size = 0
    for batch in file.iter_batches(2**16, columns=texts) if texts else ():
        batch.validate(full=True)  # Arrow does not look whether texts are UTF-8, and Python would stumble much later
        size += text_bytes(batch)
        _require(size, path)


def require_texts(file: Any, path: Path, names: Sequence[str], groups: Sequence[int]) -> None:
    """Raise `InputError` where the different texts of some columns and row groups would take too much memory."""
    held, size = file.metadata, 0
    texts = [k for k in range(held.num_columns) if held.schema.column(k).physical_type == "BYTE_ARRAY"]
    for k in texts:
        if held.schema.column(k).path.partition(".")[0] in names:
            size = max(size, sum(max(held.row_group(g).column(k).total_uncompressed_size, 0) for g in groups))
    _require(size, path)


def plain_batch(batch: Any, path: Path) -> Any:
    """Return a batch with its texts written out, unless these would take too much memory."""
    import pyarrow as pa

    batch.validate(full=True)
    packed = [pa.types.is_dictionary(column.type) for column in batch.columns]
    _require(text_bytes(batch), path)
    columns = [column.dictionary_decode() if one else column for column, one in zip(batch.columns, packed, strict=True)]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def texts_of(file: Any) -> list[str]:
    """Return the columns of a Parquet file that hold texts or bytes, which may be long."""
    return [field.name for field in file.schema_arrow if _is_text(field.type)]


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    kind = kind.value_type if types.is_dictionary(kind) else kind
    is_kind = (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary)
    return any(one(kind) for one in is_kind)


def text_bytes(batch: Any) -> int:
    """Return the bytes that the texts of a batch take once each is written out."""
    import pyarrow as pa
    import pyarrow.compute as pc

    size = 0
    for column in batch.columns:
        if not _is_text(column.type):
            continue
        if pa.types.is_dictionary(column.type):
            lengths = pc.binary_length(column.dictionary).cast("int64").take(column.indices)
        else:
            lengths = pc.binary_length(column).cast("int64")
        size += pc.sum(lengths).as_py() or 0
    return size


def _require(needed: float, path: Path) -> None:
    if needed > min(MOST_HELD, memory()):
        raise InputError(
            f"would take {needed / 1e9:.3g} GB of memory; `cbec-bayes moments` reads Parquet files in batches",
            file=path,
        )


def require_stata(content: bytes, path: Path) -> None:
    """Raise `InputError` where a Stata file has a text that is longer than any label, or many long ones.

    Long texts stand once, behind the rows that name them, each with its length.
    """
    at = content.find(b"<strls>")
    if at < 0:
        return
    longest = 0
    # The second number of the name has four bytes in format 117 and eight later.
    for block in re.finditer(rb"GSO.{4}(?:.{4}|.{8})[\x81\x82](.{4})", content[at:], re.DOTALL):
        length = min(int.from_bytes(block[1], "little"), int.from_bytes(block[1], "big"))
        _require_short(length, path)
        longest = max(longest, length)
    if longest > SHORT_TEXT:
        size = 0
        batches = pd.read_stata(BytesIO(content), chunksize=MOST_HELD // (4 * longest), convert_categoricals=False)
        with batches:
            for batch in batches:
                size += sum(_size(cell) for name in batch.select_dtypes(["object", "str"]) for cell in batch[name])
                _require(size, path)


def _require_short(length: int, path: Path) -> None:
    if length > LONGEST_TEXT:
        raise InputError(
            f"a cell has {length} characters, more than the {LONGEST_TEXT} that are read; drop its column", file=path
        )


def _size(cell: object) -> int:
    return len(cell) if isinstance(cell, str | bytes) else 0


def require_excel(content: bytes, path: Path) -> None:
    """Raise `InputError` where an Excel file would unpack to more than can be read."""
    size, tags = 0, 0
    with ZipFile(BytesIO(content)) as archive:
        for part in archive.infolist():
            if not part.filename.lower().endswith((".xml", ".rels")):  # pictures are not read
                continue
            size += part.file_size
            if size > MOST_UNPACKED:
                raise InputError(
                    f"would unpack to {size / 1e6:.1f} MB, more than {MOST_UNPACKED / 1e6:.0f} MB", file=path
                )
            with archive.open(part) as opened:
                tags += sum(piece.count(b"<") for piece in iter(lambda: opened.read(_PIECE), b""))
            if tags > MOST_TAGS:
                raise InputError(
                    "the workbook has more cells than can be read; save the sheet as CSV or Parquet", file=path
                )


def require_size(rows: Iterable[Sequence[object]], path: Path) -> Iterator[Sequence[object]]:
    """Yield the rows of a sheet, as long as there are no more of them than a sheet can have, and no wider ones."""
    cells, size = 0, 0
    for k, row in enumerate(rows, 1):
        cells += len(row)
        for cell in row:
            if isinstance(cell, str) and len(cell) > SHORT_TEXT:  # the others are bounded by the number of cells
                _require_short(len(cell), path)
                size += len(cell)
        _require(size, path)
        if k > EXCEL_ROWS or len(row) > EXCEL_COLUMNS:
            raise InputError(
                f"the sheet has cells beyond row {EXCEL_ROWS} or column {EXCEL_COLUMNS}, where Excel's own sheets end",
                file=path,
                row=k,
            )
        require_cells(cells, path)
        yield row


def require_cells(cells: int, path: Path) -> None:
    """Raise `InputError` where a sheet has so many cells, blank ones counted, that they fill the memory."""
    if 16 * cells > MOST_HELD:
        raise InputError(f"the sheet has {cells} cells, more than can be read; save it as CSV or Parquet", file=path)
