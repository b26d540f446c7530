"""Options of `published` that change its model or add to its tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Covariance = Annotated[
    Path | None,
    typer.Option(
        "--covariance",
        metavar="FILE",
        help="Covariance of the errors: a square CSV with the labels as header and first column.",
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option("--cluster", metavar="COLUMN", help="Column of FILE within whose values errors are correlated."),
]
Correlation = Annotated[
    float | None, typer.Option("--correlation", metavar="R", help="Correlation of errors within a --cluster.")
]
LeaveOneOut = Annotated[
    bool, typer.Option("--leave-one-out", help="Write leave_one_out.csv for more than 200 estimates too.")
]
