"""Every notebook is committed with its outputs, uses public names alone, and still gives what it shows."""

from __future__ import annotations

import ast

import nbformat
import pytest

import cbec_bayes as cb
from tests.support.notebooks import NOTEBOOKS, disagreement, executed, seen

SHOWN_WITH = {"arviz", "cbec_bayes", "linearmodels", "maketables", "matplotlib"}
"""Packages that a notebook may import: this one, those that show results or hold them, and one that brings data."""


def imported(source: str) -> set[str]:
    """Return the modules that a cell imports."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
    return found


def used(source: str) -> set[str]:
    """Return the names of the package that a cell uses, as in ``cb.fit``."""
    nodes = ast.walk(ast.parse(source))
    return {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "cb"
    }


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def test_there_are_notebooks():
    assert [path.stem for path in NOTEBOOKS] == [
        "01_replicate_the_paper",
        "02_the_hierarchical_reanalysis",
        "03_only_a_printed_table",
        "04_your_own_panel",
        "05_what_public_statistics_say",
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_uses_public_names_alone(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in code(notebook):
        modules = imported(cell.source)
        assert {name.partition(".")[0] for name in modules} <= SHOWN_WITH, "numbers are computed by the package"
        assert not {name for name in modules if name.startswith("cbec_bayes.")}, "modules are not public"
        assert used(cell.source) <= set(cb.__all__)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_with_its_outputs(path):
    cells = code(nbformat.read(path, as_version=4))
    assert all(cell.outputs for cell in cells)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), "executed from top to bottom"
    heard = [output for cell in cells for output in cell.outputs if output.get("name") == "stderr"]
    assert not heard, "a reader would see warnings"


@pytest.mark.nightly
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client|nbclient|zmq|traitlets|ipykernel")
def test_a_notebook_gives_what_it_shows(path):
    committed, found = code(nbformat.read(path, as_version=4)), code(executed(path))
    wrong = []
    for i, (one, other) in enumerate(zip(found, committed, strict=True), 1):
        texts = [[seen(output) for output in cell.outputs] for cell in (one, other)]
        assert len(texts[0]) == len(texts[1]), f"cell {i} has another number of outputs"
        wrong += [f"cell {i}: {said}" for a, b in zip(*texts, strict=True) if (said := disagreement(a, b))]
    assert not wrong


@pytest.mark.parametrize(
    ("found", "committed", "said"),
    [
        ("slope 0.058 (0.045 to 0.071)", "slope 0.059 (0.044 to 0.072)", ""),
        ("slope 0.058", "slope 0.158", "0.058 instead of 0.158"),
        ("slope −0.058", "slope 0.058", "−0.058 instead of 0.058"),
        ("slope 0.058", "slopes 0.058", "'slope' instead of 'slopes'"),
        ("210 rows", "240 rows", "210 instead of 240"),
        ("4035 draws", "4100 draws", ""),
        ("p 3.1e-10", "p 4.2e-11", ""),
        ("", "a figure, image/png", "'' instead of 'a figure, image/png'"),
        ("1 2", "1 2 3", "'' instead of ''"),
    ],
)
def test_outputs_that_differ_are_found(found, committed, said):
    told = disagreement(found, committed)
    assert bool(told) == bool(said)
    if said != "'' instead of ''":
        assert told == said
