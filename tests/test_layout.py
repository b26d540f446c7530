"""The rooms of ARCHITECTURE.md: imports follow the data, one way, and importing the package is cheap."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import cbec_bayes

SOURCE = Path(cbec_bayes.__file__).parent
ORDER = (
    "runtime",
    "panel",
    "classical",
    "bayes",
    "estimands",
    "checks",
    "calibration",
    "published",
    "replication",
    "reconstruction",
    "jobs",
    "reporting",
    "commands",
)
PUBLISHED = (
    "intervals",
    "number",
    "stated",
    "summary_model",
    "printed",
    "readings",
    "facts",
    "audit",
    "estimates",
    "quadrature",
    "conditional",
    "mixture",
    "posterior",
    "summary",
    "results",
    "conclusions",
    "twin",
)


def imports(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
        elif isinstance(node, ast.Import):
            names.extend(alias.name for alias in node.names)
    return [name for name in names if name.startswith("cbec_bayes.")]


def violations(order: tuple[str, ...], root: Path, prefix: str) -> list[str]:
    found = []
    for path in sorted(root.rglob("*.py")):
        room = path.relative_to(root).parts[0].removesuffix(".py")
        if room in ("__init__", "__main__"):
            continue
        assert room in order, f"{room} has no place in the order of rooms"
        for name in imports(path):
            if not name.startswith(prefix):
                continue
            other = name.removeprefix(prefix).split(".")[0]
            if order.index(other) > order.index(room):
                found.append(f"{path.relative_to(root)} imports {name}")
    return found


def test_rooms_import_one_way():
    assert violations(ORDER, SOURCE, "cbec_bayes.") == []


def test_modules_of_published_import_one_way():
    assert violations(PUBLISHED, SOURCE / "published", "cbec_bayes.published.") == []


def test_the_order_can_be_violated():
    assert violations(ORDER[::-1], SOURCE, "cbec_bayes.") != []


@pytest.mark.parametrize("command", ["import cbec_bayes", "import cbec_bayes.commands.program"])
def test_import_is_cheap(command):
    heavy = "{'pymc', 'arviz', 'matplotlib', 'pandas', 'scipy', 'numpy', 'nutpie', 'pydantic'}"
    code = f"import sys; {command}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_resolves():
    for name in cbec_bayes.__all__:
        assert callable(getattr(cbec_bayes, name))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = cbec_bayes.nothing
