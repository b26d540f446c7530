from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.files import csv_text, read_rows, read_toml
from cbec_bayes.runtime.staging import write_files


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\n\n", "the file is empty"),
        (b"a,b\n", "header but no rows"),
        (b"a\n1\n", "row 1, column 'b': the column is missing"),
        (b"a,b,a\n1,2,3\n", "row 1, column 'a': the column appears twice"),
        (b"a,b\n1,2\n1\n", "row 3: the row has 1 cells, and the header has 2"),
        (b"a,b\n1,2,3\n", "row 2: the row has 3 cells, and the header has 2"),
        (b"a,b\n1,\xff\n", "row 2: not UTF-8"),
        (b'a,b\n1,"2\n', "not readable as CSV"),
    ],
)
def test_a_malformed_csv_is_named(tmp_path, content, message):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_rows(path, required=("a", "b"))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rows_keep_their_text_and_line_numbers(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b'\xef\xbb\xbfa,b\r\n0.10, x \r\n\r\n-.5,"y,\nz"\r\n')
    rows = read_rows(path, required=("a",), optional=("b",))
    assert [(row.number, row["a"], row["b"], row["none"]) for row in rows] == [
        (2, "0.10", "x", ""),
        (5, "-.5", "y,\nz", ""),
    ]


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_rows(tmp_path / "none.csv", required=("a",))
    with pytest.raises(InputError, match="this is a folder"):
        read_rows(tmp_path, required=("a",))
    bad = tmp_path / "bad.toml"
    bad.write_text("a = ")
    with pytest.raises(InputError, match="not valid TOML"):
        read_toml(bad)


def test_files_are_written_whole_or_not_at_all(tmp_path):
    out = tmp_path / "out"
    write_files(out, {"a.txt": "old content", "sub/b.txt": b"\x00"})
    assert (out / "sub" / "b.txt").read_bytes() == b"\x00"

    class Interrupting(str):
        def encode(self, *_):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_files(out, {"a.txt": "new", "c.txt": Interrupting("x")})
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*")) == ["a.txt", "sub", "sub/b.txt"]
    assert (out / "a.txt").read_text() == "old content"


def test_a_place_that_cannot_be_written_is_bad_input(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_files(tmp_path / "file", {"a": "b"})


@pytest.mark.parametrize(
    "label",
    [
        "=1+1",
        '=HYPERLINK("x")',
        "@SUM(A1)",
        "+cmd|' /C calc'!A0",
        "-x",
        "\t=1",
        "\n=1",
        "-1+cmd|' /C calc'!A0",
        "-2-A1",
        "+1 (B2)",
        "＝1",
    ],
)
def test_no_cell_is_a_formula(label):
    frame = pd.DataFrame({"group": [label, "east", None], "mean": [-0.5, 1.0, np.nan], label: ["a", "b", "c"]})
    written = csv_text(frame)
    read = pd.read_csv(io.StringIO(written))
    assert read["group"].tolist()[:2] == [f"'{label}", "east"]
    assert list(read.columns) == ["group", "mean", f"'{label}"]
    assert read["mean"].tolist()[:2] == [-0.5, 1.0]


def test_numbers_and_signs_stay_as_they_are():
    frame = pd.DataFrame(
        {"a": ["-0.5", "+1", "-.3", "−2", "-1e-05", "-0.4** (0.1)", "-3.441 [≠ 4.056*]", "'t", ""], "b": range(9)}
    )
    read = pd.read_csv(io.StringIO(csv_text(frame)), dtype=str, keep_default_na=False)
    assert read["a"].tolist() == frame["a"].tolist()
