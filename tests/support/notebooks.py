"""Notebooks with their outputs: executing them, what a reader sees of an output, and whether two of them agree.

``python -m tests.support.notebooks`` executes all of them and writes their outputs.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
RELATIVE, LAST_DIGITS = 0.05, 20
"""How far a number may be off, as a share of it and in units of its last digit: on another machine draws are others."""

_NUMBER = re.compile(r"[-−]?\d+(?:\.\d+)?(?:e[-+]\d+)?")
_STYLER_ID = re.compile(r"T_[0-9a-f]{5}")


def executed(path: Path) -> Any:
    """Execute a notebook from top to bottom, and return it with outputs that are the same at every execution."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": path.parent}})
    client.execute()
    for number, cell in enumerate(notebook.cells):
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            for kind in ("text/html", "text/plain"):
                if kind in data:
                    data[kind] = re.sub(r" at 0x[0-9a-f]+", "", _STYLER_ID.sub(f"T_{number:05d}", data[kind]))
            for kind in ("text/latex", "text/markdown", "text/typst"):
                data.pop(kind, None)
    for name in ("language_info", "widgets"):
        notebook.metadata.pop(name, None)
    return notebook


def seen(output: Any) -> str:
    """Return the text that a reader sees of an output; of a figure, that there is one."""
    if output.output_type == "stream":
        return str(output.text)
    data = output.get("data", {})
    for kind in ("image/png", "image/svg+xml"):
        if kind in data:
            return f"a figure, {kind}"
    if "text/html" in data:
        text = re.sub(r"<style.*?</style>", " ", data["text/html"], flags=re.DOTALL)
        return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())
    return " ".join(str(data.get("text/plain", "")).split())


def disagreement(found: str, committed: str) -> str:
    """Return the first thing in which two texts differ, or nothing: words must be equal, and numbers close."""
    words = [_NUMBER.split(text) for text in (found, committed)]
    for one, other in zip(*words, strict=False):
        if one.split() != other.split():
            return f"'{one.strip()}' instead of '{other.strip()}'"
    numbers = [_NUMBER.findall(text) for text in (found, committed)]
    if len(numbers[0]) != len(numbers[1]):
        return f"{len(numbers[0])} numbers instead of {len(numbers[1])}"
    return next((f"{a} instead of {b}" for a, b in zip(*numbers, strict=True) if not _are_close(a, b)), "")


def _are_close(one: str, other: str) -> bool:
    if one == other:
        return True
    if "e" in one + other:  # the tail of a distribution, of which the size alone is stated
        return abs(float(one.replace("−", "-")) - float(other.replace("−", "-"))) < 1e-3
    decimals = len(other.partition(".")[2])
    last = LAST_DIGITS * 10.0**-decimals if decimals else 0.0
    a, b = float(one.replace("−", "-")), float(other.replace("−", "-"))
    return abs(a - b) <= RELATIVE * abs(b) + last


if __name__ == "__main__":
    for each in NOTEBOOKS:
        nbformat.write(executed(each), each)
        print(each.name)
