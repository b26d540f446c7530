"""Every public name has an example in its docstring, and the example prints what it says."""

from __future__ import annotations

import doctest
import inspect
import re
import sys
import typing
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

import cbec_bayes as cb

FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
API = Path(__file__).parents[1] / "docs" / "api.md"


def own_classes(hint: object) -> set[type]:
    """Return the classes of the package in a type hint, those inside a union or a container too."""
    inner = typing.get_args(hint)
    if inner:
        return set().union(*(own_classes(one) for one in inner))
    return {hint} if isinstance(hint, type) and hint.__module__.startswith("cbec_bayes") else set()


def returned(name: str) -> set[type]:
    """Return the classes of the package that a public function returns."""
    function = getattr(cb, name)
    if isinstance(function, type):
        return set()
    annotation = inspect.signature(function).return_annotation
    hint = eval(annotation, vars(sys.modules[function.__module__]) | {"Figure": Figure})  # imported for types alone
    return own_classes(hint)


RESULTS = {one.__name__: one for one in set().union(*(returned(name) for name in cb.__all__))}
DOCUMENTED = {name: getattr(cb, name) for name in cb.__all__} | RESULTS


def example_of(name: str) -> doctest.DocTest:
    """Return the examples of a documented object's own docstring."""
    documented = DOCUMENTED[name]
    (found,) = doctest.DocTestFinder(recurse=False).find(documented, name, module=False, globs={})
    return found


def run(test: doctest.DocTest) -> str:
    """Run examples and return what is said of those that print something else."""
    said: list[str] = []
    doctest.DocTestRunner(optionflags=FLAGS, verbose=False).run(test, out=said.append)
    return "".join(said)


@pytest.fixture(autouse=True)
def a_reader(tmp_path, monkeypatch):
    """Files of examples are written to an empty folder, and frames are as wide as a page."""
    monkeypatch.chdir(tmp_path)
    with pd.option_context("display.width", 100, "display.max_columns", None):
        yield


def test_there_are_results_beside_the_names():
    assert {"PanelFit", "Regression", "Design", "Audit", "EventStudy"} <= set(RESULTS)


@pytest.mark.parametrize("name", sorted(DOCUMENTED))
def test_a_public_name_has_an_example_that_runs(name):
    test = example_of(name)
    assert test.examples, f"the docstring of {name} has no Examples"
    assert any("cb." in example.source for example in test.examples), "an example uses the public names"
    assert not run(test)


def test_an_example_that_prints_something_else_is_found():
    examples = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, None)
    assert "Expected:\n    3\nGot:\n    2" in run(examples)


def test_the_reference_has_every_result():
    assert set(re.findall(r"autoclass:: cbec_bayes\.[\w.]+\.(\w+)", API.read_text(encoding="utf-8"))) == {
        name for name in RESULTS if name not in cb.__all__
    }
