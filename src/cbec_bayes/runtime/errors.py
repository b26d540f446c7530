"""The error types of the package; the command line turns each into one line and an exit status."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from cbec_bayes.runtime.labels import fault_of_name


class CbecBayesError(Exception):
    """Base of every error that the package raises on purpose."""

    exit_status = 1


class InputError(CbecBayesError):
    """Something the user gave cannot be used; the message names the file, the row and the column.

    Parameters
    ----------
    message
        What is wrong and what was expected, in one sentence.
    file, row, column
        Where, as far as it is known. `row` is the line number in the file (the header is line 1).

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> try:
    ...     cb.fit("sales ~ cost | firm + year", data=frame)
    ... except cb.InputError as error:
    ...     print(error)
    column 'cost': no such column; there are firm, sector, year, sales, price, wage, law, openness, workers
    """

    exit_status = 2

    def __init__(
        self,
        message: str,
        *,
        file: Path | str | None = None,
        row: int | None = None,
        column: str | None = None,
    ) -> None:
        self.message, self.file, self.row, self.column = message, file, row, column
        place = [
            str(file) if file is not None else "",
            f"row {row}" if row is not None else "",
            f"column '{column}'" if column is not None else "",
        ]
        where = ", ".join(part for part in place if part)
        super().__init__(f"{where}: {message}" if where else message)


class StoppedError(CbecBayesError):
    """The user interrupted a command; the message says how to go on."""

    exit_status = 130


class GateError(CbecBayesError):
    """A result failed one of the package's own gates (convergence, accuracy, agreement of engines).

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> fit = cb.fit("sales ~ price + wage | firm + year", "partial_pooling", data=frame, group="sector")
    >>> try:
    ...     fit.diagnostics.require()
    ... except cb.GateError as error:
    ...     print("the draws cannot be trusted:", error)
    ... else:
    ...     print("every gate is passed")
    every gate is passed
    """

    exit_status = 1


MOST_NAMED = 24
"""Names that a message lists."""


def suggest(name: str, known: Sequence[str]) -> str:
    """Say what there is, up to `MOST_NAMED`, and which of it was probably meant, in whatever case it was written.

    Names that could not be used have their invisible signs spelled out, so that the message stays one line.
    """
    known = [repr(one)[1:-1] if fault_of_name(one) else one for one in known]
    folded = {one.casefold(): one for one in reversed(known)}
    close = difflib.get_close_matches(name.casefold(), list(folded), n=1)
    hint = f"did you mean '{folded[close[0]]}'? " if close else ""
    more = len(known) - MOST_NAMED
    return f"{hint}there are {', '.join(known[:MOST_NAMED])}" + (f" and {more} more" if more > 0 else "")
