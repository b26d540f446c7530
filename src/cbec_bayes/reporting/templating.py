"""Pages from templates: labels escaped, one style sheet within, nothing undefined."""

from __future__ import annotations

from importlib import resources
from typing import Any

from cbec_bayes.reporting.tables import unbroken


def render_template(name: str, **values: Any) -> str:
    """Return a page; the template's values are those given, and `style`, the text of the style sheet."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("cbec_bayes.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["unbroken"] = unbroken
    style = resources.files("cbec_bayes.reporting").joinpath("templates/style.css").read_text(encoding="utf-8")
    return str(environment.get_template(name).render(style=style, **values))
