"""Whatever is imported is declared: by the package as dependencies or extras, by tests and notebooks in `dev`."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
OWN = {"cbec_bayes", "tests"}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(*lists: list[str]) -> set[str]:
    """Return the names of the distributions in lists of requirements."""
    return {normal(re.split(r"[<>=!~\[; ]", one, maxsplit=1)[0]) for each in lists for one in each}


def imported(source: str) -> set[str]:
    """Return the packages outside the standard library that a source imports."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).partition(".")[0])
    return found - set(sys.stdlib_module_names) - OWN


def distributions(packages: set[str]) -> set[str]:
    known = packages_distributions()
    return {normal(known[name][0]) for name in packages}


def test_the_package_imports_what_it_declares():
    used = set().union(*(imported(path.read_text(encoding="utf-8")) for path in (ROOT / "src").rglob("*.py")))
    assert distributions(used) <= declared(PROJECT["dependencies"], EXTRAS["cluster"], EXTRAS["tables"])


def test_tests_and_notebooks_import_what_dev_declares():
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")]
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        sources += [cell.source for cell in cells if cell.cell_type == "code"]
    used = set().union(*(imported(source) for source in sources))
    assert distributions(used) <= declared(PROJECT["dependencies"], EXTRAS["dev"])


def test_dev_has_what_the_other_extras_have():
    assert declared(EXTRAS["cluster"], EXTRAS["tables"], EXTRAS["docs"]) <= declared(EXTRAS["dev"])
