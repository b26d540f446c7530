"""Versions: every package that the source imports is among those that a receipt and a manifest name."""

from __future__ import annotations

import ast
import sys
from importlib import metadata
from pathlib import Path

import pytest

import cbec_bayes
from cbec_bayes.runtime import versions as module
from cbec_bayes.runtime.versions import packages, versions

HANDS_OUT_WORK = {"distributed"}
"""Optional, and it computes nothing: what runs on a cluster is this package."""

FOLLOWS = {"pydantic_core"}
"""Comes with pydantic, which allows exactly one version of it."""


def imported() -> set[str]:
    """Return the top-level packages that the source imports, wherever in a module, but for Python's and its own."""
    names: set[str] = set()
    for path in Path(cbec_bayes.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
            elif isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
    return names - set(sys.stdlib_module_names) - {"cbec_bayes"}


def test_every_package_that_the_source_imports_is_named():
    distributions = metadata.packages_distributions()
    needed = {name: distributions[name] for name in imported() - HANDS_OUT_WORK - FOLLOWS}
    assert {"arviz_stats", "pytensor", "xarray", "matplotlib", "jinja2", "openpyxl", "pyarrow"} <= set(needed)
    named = {name.replace("_", "-").lower() for name in packages()}
    missing = {name for name, own in needed.items() if not {one.replace("_", "-").lower() for one in own} & named}
    assert missing == set()


def test_the_versions_name_every_package_that_computes_and_no_other():
    assert {"numba", "arviz-base", "arviz-plots", "xarray-einstats", "formulaic", "h5netcdf"} <= set(packages())
    assert not {"ipython", "tqdm", "packaging", "pytest", "setuptools"} & set(packages())


def test_versions_name_python_and_the_package_first():
    found = versions()
    assert list(found)[:2] == ["python", "cbec_bayes"]
    assert list(found)[2:] == sorted(packages())
    assert all(found.values())


DECLARED = {
    "cbec_bayes": ["Pages>=2", "sums[fast,other]; python_version > '3'", "tests>=1; extra == 'dev'", "absent"],
    "pages": ["escapes"],
    "escapes": [],
    "sums": ["numpy", 'quick_sums; extra == "fast"', "slow-sums; extra == 'slow'"],
    "quick-sums": ["numpy", "sums[fast]"],
    "numpy": None,
}


def test_extras_are_followed_where_they_are_asked_for(monkeypatch):
    def requires(name: str) -> list[str] | None:
        if name not in DECLARED:
            raise metadata.PackageNotFoundError(name)
        return DECLARED[name]

    monkeypatch.setattr(module.metadata, "requires", requires)
    packages.cache_clear()
    try:
        assert packages() == ("pages", "quick-sums", "sums")
    finally:
        packages.cache_clear()


@pytest.mark.parametrize("package", ["arviz-stats", "pytensor", "matplotlib"])
def test_another_version_of_any_of_them_is_another_receipt(monkeypatch, package):
    from cbec_bayes.runtime.receipts import digest

    before = digest("fit", {})
    real = metadata.version
    with monkeypatch.context() as patched:
        patched.setattr(metadata, "version", lambda name: "0" if name == package else real(name))
        module._versions.cache_clear()  # a process reads them once
        assert digest("fit", {}) != before
    module._versions.cache_clear()
    assert digest("fit", {}) == before
