"""Options of `published` that change its model or add to its tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def printed_model_names() -> list[str]:
    """Return the names of the models of printed estimates."""
    from cbec_bayes.published.summary_model import model_names

    return list(model_names())


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
PrintedEngine = Annotated[str, typer.Option("--engine", metavar="NAME", help="quadrature or pymc.")]
PrintedModel = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="FILE",
        help="A model's name (see `models`) or TOML file.",
        autocompletion=printed_model_names,
    ),
]
