"""The documentation as a site by Sphinx: `make docs`. Pages are Markdown; two are made of the program itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer.main

from cbec_bayes.commands.program import app

HERE = Path(__file__).parent
MADE = HERE / "made"
"""Pages that are made at every build; not committed."""

project = "cbec_bayes"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["made/README.md"]
html_theme = "furo"
html_title = "cbec_bayes"
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
myst_heading_anchors = 3
suppress_warnings = [
    "myst.xref_missing",  # MODEL.md names files of the repository, which the site does not have
    "ref.python",  # several results have a field of the same name, as n_obs
]
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"


def commands() -> str:
    """Return every command with its arguments and options, as Markdown."""
    group: Any = typer.main.get_command(app)
    parts = ["# Commands\n\nEvery command explains itself: `cbec-bayes COMMAND --help`.\n"]
    for name in sorted(group.commands):
        command = group.commands[name]
        rows = [_row(one) for one in command.params if not getattr(one, "hidden", False) and one.name != "help"]
        head = "| argument or option | what it does |\n| --- | --- |"
        parts.append(f"## {name}\n\n{_text(command.help)}\n\n{head}\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _row(parameter: Any) -> str:
    names = [*parameter.opts, *parameter.secondary_opts]
    shown = ", ".join(name if name.startswith("-") else name.upper() for name in names)
    said = _text(getattr(parameter, "help", ""))
    if isinstance(parameter.default, int | float | str) and parameter.default not in ("", False, True):
        said += f" Default: `{parameter.default}`."
    return f"| `{shown}` | {said} |"


def _text(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|").replace("<", "&lt;")


def made() -> dict[str, str]:
    """Return the pages that are made at every build, by name."""
    return {"commands.md": commands(), "mathematics.md": (HERE.parent / "MODEL.md").read_text(encoding="utf-8")}


def setup(_: Any) -> None:
    """Write the pages that are made, where Sphinx finds them."""
    MADE.mkdir(exist_ok=True)
    for name, text in made().items():
        (MADE / name).write_text(text, encoding="utf-8")
