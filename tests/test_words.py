"""Docstrings, help texts and pages are plain sentences: what reads as a riddle does not come back."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import typer.main

from cbec_bayes.commands.program import app

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")])

RIDDLES = (
    (r", which is said\b", "say who says what to whom"),
    (r"\bknow(?:s)? nothing of\b", "say what is not known, or not used"),
    (r"\bare worth\b(?= *[.,;]|$)", "name the effective size"),
    (r"\b(?:errors|regressions|classical) beside[.,;]", "say beside what"),
    (r"\bleaves? no density\b", "say that there is no density"),
)
"""Patterns that readers whose first language is another did not understand, and what to write instead."""

RIDDLES_OF_MESSAGES = (
    *RIDDLES,
    (r"^Of\b", "begin with the subject: `None of the 4 models ...`"),
    (r"\bhang(?:s)? together\b", "are correlated"),
    (r"\bworth (?:\{|X\b|\d)", "name the effective size"),
    (r"\bnor (?:is|are|do|does) (?:it|they|all)\b", "begin another sentence with what is true"),
    (r"\bof which (?:these|those|yours) (?:here )?are\b", "say what is a part of what"),
    (r"\bis (?:of|one of) (?:text|Parquet|the columns|`published)", "say what it applies to"),
    (r"\b(?:and|but) none (?:is|are) given\b", "say what to give"),
    (r"\b(?:can|could) be had of\b", "say what is possible, and with what"),
    (r"\bthat nothing can have\b|\bhas nothing that\b", "say what is lacking"),
    (r", as [^,;.]{1,60} (?:is|are|does)\b(?= *$)", "write `such as` before the example"),
    (r"\bwithout a word\b", "say that it is not explained"),
    (r"\bonce: --", "say to name only one"),
)
"""The same of messages, of checks and of captions, which people read while something is wrong."""

LONGEST = 35
"""Words of a sentence, between full stops and semicolons; one of the program's own texts is not longer."""


def said(path: Path) -> list[str]:
    """Return every text of a module that is no docstring, with X in the place of what is computed."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    silent = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    silent |= {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    texts = [
        node for node in ast.walk(tree) if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in silent
    ]
    return [text for node in texts if len((text := written(node)).split()) > 3]


def written(node: ast.Constant | ast.JoinedStr) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)


def too_long(text: str) -> list[str]:
    return [one for one in re.split(r"(?<=[.;?])\s", text) if len(one.split()) > LONGEST]


def docstrings(path: Path) -> list[str]:
    """Return every docstring of a module, and the texts that stand below its constants and fields."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [
        node.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]


def fields_of_nothing(text: str) -> list[str]:
    """Return paragraphs that begin with "Of", as an answer does whose question is the name of the field."""
    lines = text.splitlines()
    opens = (i == 0 or not lines[i - 1].strip() or indent(lines[i - 1]) < indent(lines[i]) for i in range(len(lines)))
    return [line.strip() for line, first in zip(lines, opens, strict=True) if first and line.strip().startswith("Of ")]


def indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def riddles(text: str, patterns: tuple[tuple[str, str], ...] = RIDDLES) -> list[str]:
    return [f"{match.group()}: {instead}" for pattern, instead in patterns for match in re.finditer(pattern, text)]


def test_docstrings_are_phrases_of_their_own():
    said = {path.relative_to(ROOT).as_posix(): docstrings(path) for path in SOURCES}
    wrong = {
        name: [one for text in texts for one in fields_of_nothing(text) + riddles(text)] for name, texts in said.items()
    }
    assert not {name: found for name, found in wrong.items() if found}


def test_messages_checks_and_captions_are_sentences_that_can_be_read_once():
    wrong = {
        path.relative_to(ROOT).as_posix(): [
            one for text in said(path) for one in riddles(text, RIDDLES_OF_MESSAGES) + too_long(text)
        ]
        for path in SOURCES
    }
    assert not {name: found for name, found in wrong.items() if found}


def test_pages_are_no_riddles():
    wrong = {path.relative_to(ROOT).as_posix(): riddles(path.read_text(encoding="utf-8")) for path in PAGES}
    assert not {name: found for name, found in wrong.items() if found}


def test_help_texts_are_phrases_of_their_own():
    group = typer.main.get_command(app)
    for name, command in group.commands.items():
        texts = {one.name: getattr(one, "help", None) or "" for one in command.params} | {name: command.help or ""}
        assert not {key: text for key, text in texts.items() if text.startswith("Of ") or riddles(text)}, name


def test_what_is_looked_for_is_found():
    assert fields_of_nothing("Fit.\n\n    seed\n        Of everything.\n    prob\n        Share\n        Of it.") == [
        "Of everything."
    ]
    assert len(riddles("Coefficients leave no density, which is said. They know nothing of units.")) == 3
    assert not riddles("It is worth knowing, and the draws are worth keeping.")
    assert len(riddles("Of 5 members none predicts better; errors hang together.", RIDDLES_OF_MESSAGES)) == 2
    assert riddles("unknown encoding 'x', as utf-8 or latin-1 is", RIDDLES_OF_MESSAGES)
    assert too_long("word " * 36)
    assert not too_long("word " * 34 + "word. " + "word " * 35)
