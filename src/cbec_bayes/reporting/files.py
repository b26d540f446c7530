"""The tables and figures of a page as files beside it."""

from __future__ import annotations

from collections.abc import Mapping

from cbec_bayes.reporting.tables import ReportTable
from cbec_bayes.runtime.files import csv_text

TABLE_FILES = ("tables/*.csv", "tables/*.md", "tables/*.tex")
"""Files that tables are written to, by pattern."""


def figure_files(drawn: Mapping[str, str | None]) -> dict[str, str]:
    """Return the files of figures, SVG text by name; those that have nothing to draw are left out."""
    return {f"figures/{name}.svg": svg for name, svg in drawn.items() if svg}


def table_files(tables: Mapping[str, ReportTable], *, cells: bool = False) -> dict[str, str]:
    """Return the files of tables: Markdown and LaTeX, and with `cells` their cells, as they are shown, as CSV."""
    files = {f"tables/{name}.md": table.markdown() for name, table in tables.items()}
    files |= {f"tables/{name}.tex": table.latex() for name, table in tables.items()}
    if cells:
        files |= {
            f"tables/{name}.csv": csv_text(table.frame().assign(origin=table.origin)) for name, table in tables.items()
        }
    return files
