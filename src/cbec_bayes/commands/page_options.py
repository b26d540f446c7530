"""Options of pages: words for columns, and the formats of figures and tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--label",
        metavar="COLUMN=TEXT",
        help="Words for a column on the page, as pcap='public capital'; may be given again.",
    ),
]
Figures = Annotated[
    str,
    typer.Option("--figures", metavar="FORMATS", help="Write figures also as png and pdf, separated by commas."),
]
TableFormats = Annotated[
    str,
    typer.Option(
        "--tables", metavar="FORMATS", help="Write all tables also as one file: xlsx (Excel) and docx (Word)."
    ),
]
ReportFolder = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="What `fit --out FOLDER` or `published --out FOLDER` wrote.")
]
