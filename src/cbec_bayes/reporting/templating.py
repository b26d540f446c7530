"""Pages from templates: labels escaped, one style sheet within, nothing undefined."""

from __future__ import annotations

import re
from importlib import resources
from typing import Any

from cbec_bayes.reporting.tables import unbroken

_HYPHEN_OF_NUMBER = re.compile(r"(?<![\w.\-])-(?=\.?\d)")
"""A hyphen that stands for the minus of a number: neither within a word nor between two years."""


def true_minus(value: Any) -> Any:
    """Return a text with the minus sign before its negative numbers; a command and a piece of markup stay as they are.

    Sentences reach terminals, files and pages. Files have the hyphen, which other programs read; on a page it
    reads as a dash.

    Examples
    --------
    >>> true_minus("0.2 (-0.1 to 0.5) in 2014-2021")
    '0.2 (−0.1 to 0.5) in 2014-2021'
    >>> true_minus("--missing -9")
    '--missing -9'
    """
    if not isinstance(value, str) or hasattr(value, "__html__") or "--" in value:
        return value
    return _HYPHEN_OF_NUMBER.sub("\u2212", value)


def render_template(name: str, **values: Any) -> str:
    """Return a page; the template's values are those given, and `style`, the text of the style sheet."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("cbec_bayes.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=true_minus,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["unbroken"] = unbroken
    style = resources.files("cbec_bayes.reporting").joinpath("templates/style.css").read_text(encoding="utf-8")
    return str(environment.get_template(name).render(style=style, **values))
