"""Names of units, groups and columns: text, in one form."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np

_WHOLE = re.compile(r"\d+\.0+", re.ASCII)


def tidy(text: str) -> str:
    """Return a name in one Unicode form (NFC), every blank an ordinary one, and none at its ends.

    A letter with an accent can be written as one sign or as two; a spreadsheet shows both alike, and so are they here.
    """
    form = unicodedata.normalize("NFC", text)
    if not form.isascii():
        form = "".join(" " if unicodedata.category(sign) == "Zs" else sign for sign in form)
    return form.strip()


def name_of(cell: object) -> str:
    """Return a cell as a name; codes that passed through a format of floats alone are whole again (11.0 is 11)."""
    if isinstance(cell, str):
        return tidy(cell)
    if isinstance(cell, float | np.floating) and float(cell).is_integer():
        return str(int(cell))
    return tidy(str(cell))


def as_written(cells: Sequence[str]) -> list[str | None]:
    """Return the cells of a column of names as they are written in a text file, blank ones as None.

    Only where each of them is a whole number with a point and zeros (11.0), as programs write codes that they hold as
    floats, are these left out: no two names become one.
    """
    given = [cell for cell in cells if cell]
    if given and all(_WHOLE.fullmatch(cell) for cell in given):
        return [cell.partition(".")[0] or None for cell in cells]
    return [cell or None for cell in cells]
