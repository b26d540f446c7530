"""Tables of TOML files: which values their types take, and how a message names what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest

from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.files import read_toml
from cbec_bayes.runtime.toml import (
    Count,
    CsvPath,
    Number,
    PathText,
    PositiveNumber,
    SomeTexts,
    Table,
    Text,
    Texts,
    TextTable,
    find_toml,
    one_of,
    otherwise,
    read_table,
    shipped_names,
    table_of,
    validate_table,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf(Table):
    name: Text
    size: Count | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree(Table):
    title: Text
    leaf: Leaf | None = None
    leaves: Annotated[tuple[Leaf, ...], otherwise("tables [[leaves]] are needed")] = ()


def read(tmp_path, text, kind=Tree):
    path = tmp_path / "t.toml"
    path.write_text(text, encoding="utf-8")
    return read_table(path, kind)


def test_a_file_becomes_a_dataclass(tmp_path):
    tree = read(tmp_path, 'title = "t"\nleaf = {name = "a", size = 3}\n[[leaves]]\nname = "b"')
    assert tree == Tree(title="t", leaf=Leaf(name="a", size=3), leaves=(Leaf(name="b"),))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "title: a text is needed"),
        ("titel = 't'", "titel: unknown key; did you mean 'title'? there are title, leaf, leaves"),
        ("title = 't'\nleaf = 3", "leaf: a table is needed"),
        ("title = 't'\nleaf = {}", "leaf.name: a text is needed"),
        # One class at two places is checked at both.
        ("title = 't'\nleaf = {nam = 'a'}", "leaf.nam: unknown key; did you mean 'name'?"),
        ("title = 't'\nleaves = [{nam = 'a'}]", "leaves[1].nam: unknown key; did you mean 'name'?"),
        ("title = 't'\nleaves = [{name = 'a'}, {name = 'b', size = 0}]", "leaves[2].size: a positive whole number"),
        ("title = 't'\nleaves = [3]", "leaves[1]: a table is needed"),
        ("title = 't'\nleaves = {name = 'a'}", "leaves: tables [[leaves]] are needed"),
    ],
)
def test_the_first_fault_is_named_by_its_path(tmp_path, text, message):
    with pytest.raises(InputError) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 't.toml'}: {message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "good", "bad", "message"),
    [
        (Text, ["'a'"], ["''", "3", "true", "[]", "1979-05-27"], "a text is needed"),
        (Number, ["1", "-2.5", "1e308"], ["true", "'1'", "nan", "inf", "[1]", "1" + "0" * 400], "a finite number"),
        (PositiveNumber, ["1", "0.5"], ["true", "'1'", "nan"], "a finite number is needed"),
        (PositiveNumber, [], ["0", "-1"], "must be positive, not"),
        (Count, ["1", "7"], ["0", "-1", "1.0", "true", "'1'"], "a positive whole number is needed"),
        (Texts, ["[]", "['a', 'b']"], ["'a'", "{a = 'b'}", "3"], "k: a list of texts is needed"),
        (Texts, [], ["['a', 3]", "['a', '']", "['a', ['b']]"], "k[2]: a text is needed"),
        (SomeTexts, ["['a']"], ["[]"], "a list of texts is needed, and it may not be empty"),
        (TextTable, ["{}", "{a = 'b'}"], ["3", "['a']"], "k: a table of texts is needed"),
        (TextTable, [], ["{x = 'a', y = 3}", "{y = true}"], "k.y: a text is needed"),
        (PathText, ["'a/b.csv'"], ["'../a'", "'/a'"], "lies outside the folder of this file"),
        (Annotated[str, one_of(("red", "blue"), "colour")], ["'red'"], ["'rde'"], "unknown colour 'rde'; did you mean"),
        (Annotated[str, one_of(("red", "blue"), "colour")], [], ["3", "''", "['red']"], "a text is needed"),
    ],
)
def test_types_are_strict(tmp_path, kind, good, bad, message):
    for text in good:
        read(tmp_path, f"k = {text}", table_of({"k": kind}))
    for text in bad:
        with pytest.raises(InputError) as caught:
            read(tmp_path, f"k = {text}", table_of({"k": kind}))
        assert message in str(caught.value), text


def test_a_path_is_first_that_of_what_lies_beside(tmp_path):
    (tmp_path / "near.csv").write_text("")
    kind = table_of({"a": CsvPath, "b": CsvPath, "c": CsvPath})
    found = read(tmp_path, 'a = "near.csv"\nb = "missing.csv"\nc = "shipped"', kind)
    assert [found.a, found.b, found.c] == [str(tmp_path / "near.csv"), str(tmp_path / "missing.csv"), "shipped"]


def test_keys_that_are_known_late_may_have_defaults(tmp_path):
    kind = table_of({"a": Text, "b": Text}, {"a": "as ever"})
    found = read(tmp_path, 'b = "x"', kind)
    assert (found.a, found.b) == ("as ever", "x")
    with pytest.raises(InputError, match="b: a text is needed"):
        read(tmp_path, 'a = "x"', kind)


def test_a_part_of_a_file_is_named_as_a_part():
    with pytest.raises(InputError, match=r"m\.toml: priors\.tau: a table is needed"):
        validate_table({}, table_of({"tau": Leaf}), Path("m.toml"), at=("priors",))


def test_a_name_is_looked_up_and_a_path_is_not(tmp_path):
    for name, kind in (("one", "a"), ("two", "b")):
        (tmp_path / f"{name}.toml").write_text(f'kind = "{kind}"')
    assert shipped_names(tmp_path) == ("one", "two")
    assert shipped_names(tmp_path, "b") == ("two",)
    assert read_toml(find_toml("two", tmp_path, "thing", kind="b")) == {"kind": "b"}
    assert find_toml("elsewhere.toml", tmp_path, "thing") == Path("elsewhere.toml")
    with pytest.raises(InputError, match=r"unknown thing 'twoo'; did you mean 'two'\? .*, or name a TOML file"):
        find_toml("twoo", tmp_path, "thing")
    with pytest.raises(InputError, match="unknown thing 'one'; there are two"):
        find_toml("one", tmp_path, "thing", kind="b")
