"""Every notebook runs, top to bottom, in the environment of the tests, and computes nothing of its own."""

from __future__ import annotations

import ast
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))

SHOWN_WITH = {"IPython", "arviz", "cbec_bayes", "linearmodels", "maketables"}
"""Packages that a notebook may import: this one, those that show results or hold them, and one that brings data."""


def imported(source: str) -> set[str]:
    """Return the packages that a cell imports."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            found.add(str(node.module).partition(".")[0])
    return found


def test_there_are_notebooks():
    assert [path.stem for path in NOTEBOOKS] == [
        "01_replicate_the_paper",
        "02_the_hierarchical_reanalysis",
        "03_only_a_printed_table",
        "04_your_own_panel",
        "05_what_public_statistics_say",
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_for_reading(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells), "committed without outputs"
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert imported(cell.source) <= SHOWN_WITH, "numbers are computed by the package"


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client|nbclient|zmq|traitlets|ipykernel")
def test_a_notebook_runs(path):
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": path.parent}}
    ).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    assert all(cell.outputs for cell in cells)
    heard = [output.text for cell in cells for output in cell.outputs if output.get("name") == "stderr"]
    assert not heard, "a reader would see warnings"
