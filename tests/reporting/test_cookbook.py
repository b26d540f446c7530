"""The cookbook: every example prints what its page says, and every command of it runs."""

from __future__ import annotations

import doctest
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import cbec_bayes as cb

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted((DOCS / "cookbook").glob("*.md"))
FLAGS = doctest.NORMALIZE_WHITESPACE
SLOPES = "label,estimate,se\neast,0.22,0.08\ncentral,0.751,0.328\nwest,0.074,0.109\nnorth,,\n"
TABLE = """Table 1. Sales

            (1)       (2)
price       0.40**    0.80***
            (0.15)    (0.20)
N           96        96
R2          0.51      0.62
"""


def blocks(path: Path) -> str:
    """Return the examples of a page, one after the other: text between them is no output."""
    found = re.findall(r"```pycon\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.S)
    return "\n".join(found)


def commands(path: Path) -> list[list[str]]:
    """Return the commands of a page, as the words of each."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    return [shlex.split(line) for line in re.findall(r"^    (cbec-bayes [^\n]+)$", text, flags=re.M)]


def test_there_are_pages_for_the_usual_tasks():
    assert len(PAGES) >= 10
    listed = re.findall(r"\(cookbook/([\w-]+)\.md\)", (DOCS / "cookbook.md").read_text(encoding="utf-8"))
    assert sorted(listed) == [path.stem for path in PAGES]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_examples_print_what_the_page_says(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    test = doctest.DocTestParser().get_doctest(blocks(path), {}, path.stem, str(path), 0)
    assert test.examples
    said: list[str] = []
    with pd.option_context("display.width", 100, "display.max_columns", None):
        doctest.DocTestRunner(optionflags=FLAGS).run(test, out=said.append)
    assert not "".join(said)


@pytest.mark.nightly
def test_commands_run(tmp_path):
    cb.example_frame().to_csv(tmp_path / "firms.csv", index=False)
    (tmp_path / "slopes.csv").write_text(SLOPES, encoding="utf-8")
    (tmp_path / "table.txt").write_text(TABLE, encoding="utf-8")
    asked = [command for path in [DOCS / "cookbook" / "slopes-by-group.md", *PAGES] for command in commands(path)]
    ran = {tuple(words): words for words in asked}
    assert len(ran) >= 10
    for words in ran.values():
        done = subprocess.run(
            [sys.executable, "-m", "cbec_bayes", *words[1:]],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, (words, done.stderr)
