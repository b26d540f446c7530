"""Where the columns of a table come from: what its reader says, and what the table says itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import pandas as pd

from cbec_bayes.panel.formula import Formula
from cbec_bayes.panel.table import Roles, least_observed
from cbec_bayes.runtime.errors import InputError, suggest
from cbec_bayes.runtime.labels import FROM_OBSERVED, Origin

COLUMN = "origin"
"""Column in which every table that this package writes says where its numbers come from."""


def origin_said(
    frame: pd.DataFrame, asked: str | None, used: Collection[str] = (), file: Path | str | None = None
) -> Origin:
    """Return the origin of a table's rows: what its reader says, and where nothing is said what its own column says.

    Parameters
    ----------
    frame
        The rows. A column called ``origin`` whose cells are all origins, or blank, says where they come from; any
        other column of this name says nothing.
    asked
        What the reader says; None for nothing.
    used
        Columns that are outcome, regressors or keys, which say nothing about origins.
    file
        Named in messages.

    Raises
    ------
    InputError
        The reader says that the rows are more observed than they say themselves.
    """
    given = Origin.OBSERVED if asked is None else Origin(asked)
    if COLUMN not in frame.columns or COLUMN in used:
        return given
    cells = {str(cell).strip() for cell in frame[COLUMN].dropna().unique()} - {""}
    if not cells or not cells <= set(Origin):
        return given
    said = least_observed(Origin(cell) for cell in cells)
    if asked is not None and FROM_OBSERVED.index(given) < FROM_OBSERVED.index(said):
        raise InputError(
            f"--origin says '{given}', but the column 'origin' of the file says '{said}'; leave one of them out",
            file=file,
            column=COLUMN,
        )
    return least_observed((given, said))


def origins_of(
    origins: Mapping[str, Origin] | None,
    asked: Roles | Formula,
    roles: Roles,
    frame: pd.DataFrame,
    *,
    said: str | None = None,
    file: Path | str | None = None,
) -> dict[str, Origin]:
    """Return where each measured column comes from; of a formula, each from where the least observed column does.

    Parameters
    ----------
    origins
        By column; columns that are not named are observed. None where they are as `origin_said` has them.
    asked
        What was asked for.
    roles
        Columns that came of it.
    frame
        The rows.
    said
        What the reader says of all of them; None for nothing.
    file
        Named in messages.
    """
    given = origins or {}
    for column in given:
        if column not in frame.columns:
            known = [str(name) for name in frame.columns]
            raise InputError(
                f"an origin is given for a column that does not exist; {suggest(column, known)}",
                file=file,
                column=column,
            )
    rest = Origin(said or Origin.OBSERVED) if given else origin_said(frame, said, asked.columns, file)
    if isinstance(asked, Formula):
        worst = least_observed(Origin(given.get(name, rest)) for name in asked.columns)
        return dict.fromkeys(roles.measured, worst)
    return {name: Origin(given.get(name, rest)) for name in roles.measured}
