"""The tables and figures of a page as files beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cbec_bayes.reporting.drawing import IMAGES, Drawing
from cbec_bayes.reporting.tables import ReportTable
from cbec_bayes.runtime.files import csv_text

TABLE_FILES = ("tables/*.csv", "tables/*.md", "tables/*.tex")
"""Files that tables are written to, by pattern."""


IMAGE_FILES = tuple(f"figures/*.{ending}" for ending in IMAGES)
"""Files that figures are written to where other formats than SVG are asked for, by pattern."""


def image_files(drawn: Mapping[str, Drawing | None], images: Sequence[str]) -> dict[str, str | bytes]:
    """Return the files of figures, by name: SVG, and images of other formats; without what has nothing to draw."""
    there = {name: one for name, one in drawn.items() if one is not None}
    files: dict[str, str | bytes] = {f"figures/{name}.svg": one.svg() for name, one in there.items()}
    return files | {f"figures/{name}.{end}": one.image(end) for name, one in there.items() for end in images}


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
