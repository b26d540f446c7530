"""The shape of the source, as tests/test_layout.py holds it: module lengths, function lengths, long argument lists.

``python -m tests.support.shape`` prints what is over a limit.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import cbec_bayes

SOURCE = Path(cbec_bayes.__file__).parent
MODULE_LINES = 400
FUNCTION_LINES = 60
POSITIONAL = 5
"""Most lines of a module, most lines of a function without its docstring, most positional arguments of a call."""


def modules(root: Path = SOURCE) -> Iterator[tuple[str, str, ast.Module]]:
    """Yield path, text and tree of every module."""
    for path in sorted(root.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        yield path.relative_to(root).as_posix(), text, ast.parse(text)


def long_modules(root: Path = SOURCE) -> list[str]:
    return [f"{path}: {n} lines" for path, text, _ in modules(root) if (n := text.count("\n")) > MODULE_LINES]


def long_functions(root: Path = SOURCE) -> list[str]:
    found = []
    for path, _, tree in modules(root):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = node.body[0]
                told = ast.get_docstring(node) is not None
                start = (first.end_lineno or first.lineno) if told else first.lineno - 1
                if (n := (node.end_lineno or 0) - start) > FUNCTION_LINES:
                    found.append(f"{path}:{node.lineno} {node.name}: {n} lines")
    return found


def long_calls(root: Path = SOURCE) -> list[str]:
    """Calls whose positional arguments, starred ones aside, are too many to be told apart."""
    found = []
    for path, _, tree in modules(root):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and sum(not isinstance(a, ast.Starred) for a in node.args) > POSITIONAL:
                found.append(f"{path}:{node.lineno} {ast.unparse(node.func)}")
    return found


def positional_dataclasses(root: Path = SOURCE) -> list[str]:
    """Dataclasses of more than five fields that can be made without naming them."""
    found = []
    for path, _, tree in modules(root):
        for node in ast.walk(tree):
            if not isinstance(node, ast.ClassDef):
                continue
            made = [ast.unparse(d) for d in node.decorator_list if ast.unparse(d).startswith("dataclass")]
            fields = [
                s
                for s in node.body
                if isinstance(s, ast.AnnAssign) and not ast.unparse(s.annotation).startswith("ClassVar")
            ]
            if made and "kw_only=True" not in made[0] and len(fields) > POSITIONAL:
                found.append(f"{path}:{node.lineno} {node.name}: {len(fields)} fields")
    return found


def imports(root: Path = SOURCE) -> dict[str, set[str]]:
    """Return the modules of the package that each module imports, wherever in it."""
    names = {}
    for path, _, _ in modules(root):
        name = "cbec_bayes." + path.removesuffix(".py").replace("/", ".")
        names[name.removesuffix(".__init__")] = path
    found: dict[str, set[str]] = {name: set() for name in names}
    for path, _, tree in modules(root):
        own = ("cbec_bayes." + path.removesuffix(".py").replace("/", ".")).removesuffix(".__init__")
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module in names:
                for alias in node.names:
                    other = f"{node.module}.{alias.name}"
                    found[own].add(other if other in names else str(node.module))
            elif isinstance(node, ast.Import):
                found[own] |= {alias.name for alias in node.names if alias.name in names}
        found[own].discard(own)
    return found


def circles(root: Path = SOURCE) -> list[list[str]]:
    """Return sets of modules that import each other, the package's own __init__ aside."""
    from graphlib import CycleError, TopologicalSorter

    graph = {name: own for name, own in imports(root).items() if name != "cbec_bayes"}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [error.args[1]]
    return []


if __name__ == "__main__":
    for report in (long_modules, long_functions, long_calls, positional_dataclasses, circles):
        over = report()
        print(f"{report.__name__}: {len(over)}")
        for line in over:
            print(f"  {line}")
