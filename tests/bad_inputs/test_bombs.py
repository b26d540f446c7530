"""Small files that stand for gigabytes or for hours: each is refused in a line, in one process below two gibibytes."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cbec_bayes.panel import read_frame
from cbec_bayes.published.number import PrintedNumber
from cbec_bayes.published.printed import load_paper
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.files import read_toml
from tests.support.bad_inputs import COLUMNS, table
from tests.support.processes import needs_proc


def parquet(path: Path, rows: int, **columns: pa.Array) -> None:
    frame = table(n_units=rows // 5, n_times=5)
    held = pa.table({name: columns.get(name, pa.array(frame[name])) for name in frame} | columns)
    pq.write_table(held, path, compression="zstd", row_group_size=rows, dictionary_pagesize_limit=2**30)


def repeated(text: str, rows: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(np.zeros(rows, dtype=np.int32), [text])


def one_long_text(path: Path) -> None:
    parquet(path, 1_000, region=repeated("x" * 10**7, 1_000))


def many_texts(path: Path) -> None:
    parquet(path, 100_000, note=repeated("x" * 10**5, 100_000))


def many_bytes(path: Path) -> None:
    parquet(path, 100_000, note=repeated("x" * 10**5, 100_000).cast(pa.dictionary(pa.int32(), pa.binary())))


def many_values(path: Path) -> None:
    """A list of ten million zeros in each of ten rows."""
    whole = pa.array(np.zeros(10**8, dtype=np.int8))
    lists = pa.ListArray.from_arrays(np.arange(0, 10**8 + 1, 10**7, dtype=np.int32), whole)
    parquet(path, 10, note=lists)


def many_rows(path: Path) -> None:
    with pq.ParquetWriter(path, pa.schema({name: pa.int8() for name in COLUMNS.values()})) as file:
        piece = pa.table({name: pa.array(np.zeros(10**6, dtype=np.int8)) for name in COLUMNS.values()})
        for _ in range(20):
            file.write_table(piece)


SPREADSHEETS = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
SHARED = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"


def workbook(path: Path, *, texts: bytes = b"", rows: bytes = b"") -> None:
    """Write a workbook with some rows more, and with shared texts."""
    small = io.BytesIO()
    table().to_excel(small, index=False)
    with (
        zipfile.ZipFile(small) as held,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed,
    ):
        for name in held.namelist():
            part = held.read(name)
            if name == "xl/worksheets/sheet1.xml":
                part = part.replace(b"</sheetData>", rows + b"</sheetData>")
            if name == "[Content_Types].xml" and texts:
                kind = f'<Override PartName="/xl/sharedStrings.xml" ContentType="{SHARED}"/></Types>'
                part = part.replace(b"</Types>", kind.encode())
            packed.writestr(name, part)
        if texts:
            packed.writestr("xl/sharedStrings.xml", f'<sst xmlns="{SPREADSHEETS}">'.encode() + texts + b"</sst>")


def cell(at: str) -> bytes:
    return f'<c r="{at}"><v>1</v></c>'.encode()


def row_of_a_billion(path: Path) -> None:
    workbook(path, rows=b'<row r="1000000000">' + cell("A1000000000") + b"</row>")


def column_beyond(path: Path) -> None:
    workbook(path, rows=b"".join(b'<row r="%d">' % k + cell(f"ZZZ{k}") + b"</row>" for k in range(70, 170)))


def wide_rows(path: Path) -> None:
    """Each row has one cell, in the last column that there is."""
    rows = (b'<row r="%d">' % k + cell(f"XFD{k}") + b"</row>" for k in range(70, 10_000))
    workbook(path, rows=b"".join(rows))


def row_without_end(path: Path) -> None:
    workbook(path, rows=b"<row>" + b"<c/>" * (21 * 10**6) + b"</row>")


def texts_of_gigabytes(path: Path) -> None:
    workbook(path, texts=b"<si><t>" + b" " * (11 * 10**8) + b"</t></si>")


def one_text_often(path: Path) -> None:
    rows = b'<row><c t="s"><v>0</v></c></row>'
    workbook(path, texts=b"<si><t>" + b"x" * 120_000 + b"</t></si>", rows=rows * 20_000)


def many_texts_of_nothing(path: Path) -> None:
    workbook(path, texts=b"<si/>" * (21 * 10**6))


def stata(path: Path, rows: int, text: str) -> None:
    frame = table(n_units=rows // 5, n_times=5).assign(note=text)
    frame.to_stata(path, version=118, convert_strl=["note"], write_index=False)


def stata_long(path: Path) -> None:
    stata(path, 100, "x" * 10**6)


def stata_often(path: Path) -> None:
    stata(path, 10_000, "x" * 10**5)


def gzipped(path: Path) -> None:
    import gzip

    path.write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 10**6))


def dots(path: Path) -> None:
    path.write_text(".".join("a" * 50_000) + " = 1")


BOMBS: dict[Callable[[Path], None], tuple[str, str]] = {
    one_long_text: ("p.parquet", "GB of memory"),
    many_texts: ("p.parquet", "GB of memory"),
    many_bytes: ("p.parquet", "GB of memory"),
    many_values: ("p.parquet", "GB of memory"),
    many_rows: ("p.parquet", "GB of memory"),
    row_of_a_billion: ("p.xlsx", "beyond row"),
    column_beyond: ("p.xlsx", "or column"),
    wide_rows: ("p.xlsx", "more than can be read"),
    row_without_end: ("p.xlsx", "more cells than"),
    texts_of_gigabytes: ("p.xlsx", "would unpack to"),
    one_text_often: ("p.xlsx", "GB of memory"),
    many_texts_of_nothing: ("p.xlsx", "more cells than"),
    stata_long: ("p.dta", "characters, more than"),
    stata_often: ("p.dta", "GB of memory"),
    gzipped: ("p.csv", "not UTF-8"),
    dots: ("p.toml", "a key has 64 or more parts"),
}

READ = r"""
import re, sys
from pathlib import Path
from cbec_bayes.panel import read_frame
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.files import read_toml

for name in sys.argv[1:]:
    path = Path(name)
    try:
        (read_toml if path.suffix == ".toml" else read_frame)(path)
    except InputError as error:
        most = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
        print(f"{most[1]}\t{error}")
    else:
        print("0\\tread")
"""


@needs_proc
@pytest.mark.nightly
def test_what_stands_for_gigabytes_is_refused_within_two(tmp_path):
    paths = []
    for make, (name, _) in BOMBS.items():
        (tmp_path / make.__name__).mkdir()
        paths.append(tmp_path / make.__name__ / name)
        make(paths[-1])
        assert paths[-1].stat().st_size < 20e6
    ran = subprocess.run(
        [sys.executable, "-c", READ, *map(str, paths)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ran.returncode == 0, ran.stderr
    for (make, (_, said)), line in zip(BOMBS.items(), ran.stdout.splitlines(), strict=True):
        kibibytes, _, heard = line.partition("\t")
        assert said in heard, (make.__name__, heard)
        assert int(kibibytes) < 2 * 2**20, make.__name__


def test_moments_of_texts_that_stand_for_gigabytes_are_refused(tmp_path):
    from cbec_bayes.jobs.moments import gather
    from cbec_bayes.panel import Roles

    roles = Roles(outcome="y", exposure="d", controls=("x",), unit="city", time="year", group="region")
    for make in (one_long_text, many_rows):
        make(tmp_path / "p.parquet")
        with pytest.raises(InputError):
            gather(tmp_path / "p.parquet", roles)


def test_what_is_as_large_as_honest_files_are_is_read(tmp_path):
    """Labels that come again and again, long ones among them, in every format."""
    frame = table(n_units=400, n_times=5).assign(note="x" * 5_000)
    frame.to_parquet(tmp_path / "p.parquet")
    frame.to_stata(tmp_path / "p.dta", version=118, convert_strl=["note"], write_index=False)
    frame.to_excel(tmp_path / "p.xlsx", index=False)
    for path in sorted(tmp_path.iterdir()):
        found = read_frame(path)
        assert list(found["note"]) == list(frame["note"])
        assert np.allclose(found["y"], frame["y"])


def test_a_table_of_thirty_thousand_columns_is_read(tmp_path):
    names = [f"c{k}" for k in range(30_000)]
    path = tmp_path / "wide.csv"
    path.write_text("\n".join([",".join(names), *[",".join(["1"] * len(names))] * 3]))
    assert read_frame(path).shape == (3, 30_000)
    path.write_text("\n".join([",".join([*names, "c7"]), ",".join(["1"] * 30_001)]))
    with pytest.raises(InputError, match="column 'c7': the column appears twice"):
        read_frame(path)


@pytest.mark.parametrize(
    "text", ["0e999999999", "1e-999999999", "1e999999999", "1e9999999999999999999999", "1" * 5_000, "0." + "0" * 5_000]
)
def test_a_number_of_a_billion_digits_is_none(text, tmp_path):
    with pytest.raises(ValueError, match=r"beyond 1e100|characters|not a number"):
        PrintedNumber.parse(text)
    head = "table,column,term,quantity,printed,stars\n"
    (tmp_path / "t.csv").write_text(head + f"3,(1),x,estimate,{text},\n")
    with pytest.raises(InputError):
        load_paper(tmp_path)
    (tmp_path / "t.csv").write_text(head + "3,(1),x,estimate,0.5,*\n")
    (tmp_path / "paper.toml").write_text(f'[stars]\n"*" = "{text}"\n')
    with pytest.raises(InputError, match=r"a level such as '0.05' is needed"):
        load_paper(tmp_path)


@pytest.mark.parametrize("text", ["a.'b c'.d = 1", 'x = "1.2.3.' + "4." * 100 + '"', "# " + "a." * 100, 'a."b.c" = 1'])
def test_points_that_are_no_key_are_read(text, tmp_path):
    (tmp_path / "x.toml").write_text(text)
    read_toml(tmp_path / "x.toml")
