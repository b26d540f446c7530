"""The command `audit` on tables as they are pasted: from files, from the standard input, and on many papers."""

from __future__ import annotations

import io
import json
from functools import partial
from html.parser import HTMLParser
from types import SimpleNamespace

import pandas as pd
import pytest

from tests.support.called import heard

TABLE = """Table 3. Baseline

                (1)        (2)
x             0.412***   0.398***
             (0.081)    (0.790)
z                        0.150**
                        (0.070)
N               480        480
R2            0.612      0.655

Standard errors in parentheses. * p<0.1, ** p<0.05, *** p<0.01
"""


@pytest.fixture
def program(capsys, tmp_path, monkeypatch):
    """Run the program in an empty folder: status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    return partial(heard, capsys)


@pytest.fixture
def pasted(tmp_path):
    (tmp_path / "one.txt").write_text(TABLE)
    (tmp_path / "two.txt").write_text(TABLE.replace("(0.790)", "(0.079)"))
    return tmp_path


class Marks(HTMLParser):
    """Collects marked cells and the sentences of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.sentences: list[str] = []
        self._into: list[str] | None = None

    def handle_starttag(self, tag, attrs):
        if tag == "td" and ("class", "fail") in attrs:
            self.cells.append("")
            self._into = self.cells
        if tag == "li":
            self.sentences.append("")
            self._into = self.sentences

    def handle_endtag(self, tag):
        if tag in ("td", "li"):
            self._into = None

    def handle_data(self, data):
        if self._into is not None:
            self._into[-1] += data


def test_a_pasted_table_is_audited_and_shown_with_marked_cells(program, pasted):
    status, out, err = program("audit", "one.txt", "--out", "o")
    assert (status, err) == (0, "")
    assert "The tables contradict themselves in 1 place: 1 fault." in out
    page = Marks()
    page.feed((pasted / "o" / "audit.html").read_text(encoding="utf-8"))
    assert len(page.cells) == 1
    assert page.cells[0].replace("\xa0", " ").startswith("0.398*** (0.790) [1]")
    assert page.sentences[0] == "Fault. (2), x: No reading of (0.790) agrees with 0.398***."


def test_a_table_without_a_fault_says_so_in_one_sentence(program, pasted):
    status, out, _ = program("audit", "two.txt")
    assert status == 0
    assert out.startswith("No fault was found: nothing that is printed contradicts what the tables state.")
    found = json.loads(program("audit", "two.txt", "--json")[1])
    assert found["summary"].startswith("No fault was found")
    assert '"fail"' not in json.dumps(found)


def test_the_standard_input(program, pasted, monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(TABLE.encode())))
    status, out, _ = program("audit", "-", "--save", "saved")
    assert status == 0
    assert "1 fault" in out
    saved = pd.read_csv(pasted / "saved" / "table3.csv", dtype=str)
    assert list(saved.columns) == ["table", "column", "term", "label", "quantity", "printed", "stars"]
    assert "1 fault" in program("audit", "--tables", "saved")[1]


def test_many_papers_have_a_summary(program, pasted):
    status, _, _ = program("audit", "one.txt", "two.txt", "--out", "o", "--save", "saved")
    assert status == 0
    summary = pd.read_csv(pasted / "o" / "summary.csv")
    assert summary[["paper", "tables", "coefficients", "faults", "doubts"]].to_numpy().tolist() == [
        ["one", 1, 3, 1, 0],
        ["two", 1, 3, 0, 0],
    ]
    assert (pasted / "o" / "one" / "audit.csv").is_file()
    assert (pasted / "saved" / "two" / "paper.toml").is_file()
    assert program("audit", "saved/one", "saved/two")[0] == 0


def test_a_paper_that_cannot_be_read_stops_no_other(program, pasted):
    (pasted / "README.txt").write_text("Nothing here.")
    status, out, _ = program("audit", "README.txt", "one.txt", "--out", "o")
    assert status == 0
    assert "README.txt was not read: no table was found" in out
    summary = pd.read_csv(pasted / "o" / "summary.csv")
    assert list(summary["paper"]) == ["one", "README.txt"]
    assert summary["summary"][1].startswith("Not read: no table was found")
    assert "README.txt" in (pasted / "o" / "audit.html").read_text(encoding="utf-8")
    assert program("audit", "README.txt", "README.txt")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["one.txt", "--tables", "."], "the tables are named both by --tables and by FILE"),
        (["one.txt", "--parentheses", "sd"], "--parentheses must be one of se, t, p, ci"),
        (["none.txt"], "none.txt: no such file"),
        (["one.pdf"], "printed tables are read from .txt, .csv"),
        (["one.txt", "--save", "full"], "--save needs a new or an empty folder"),
    ],
)
def test_what_cannot_be_audited_is_refused_in_one_line(program, pasted, arguments, message):
    (pasted / "one.pdf").write_bytes(b"%PDF")
    (pasted / "full").mkdir()
    (pasted / "full" / "mine.txt").write_text("mine")
    status, _, err = program("audit", *arguments)
    assert status == 2
    assert message in err
    assert err.count("\n") == 1
