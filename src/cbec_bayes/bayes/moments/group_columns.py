"""The columns that a model has in the rows of one group, each once: most of them repeat others there.

What is asked of such columns is asked of some units after others, so that few rows are laid out at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.bayes.moments.coded import Coded
from cbec_bayes.panel.within import Array, Codes


@dataclass(frozen=True, slots=True)
class SparseColumn:
    """A regressor where a code has one value, zero elsewhere.

    Attributes
    ----------
    values
        Values of the regressor, shape (n,).
    where
        Rows where it is not zero, shape (n,); None for all.
    """

    values: Array
    where: NDArray[np.bool_] | None = None

    @property
    def key(self) -> tuple[int, int]:
        """What equal columns share."""
        return hash(self.values.tobytes()), 0 if self.where is None else hash(self.where.tobytes())

    def part(self, rows: slice) -> Array:
        """Return some of the rows."""
        own = self.values[rows]
        return own if self.where is None else np.where(self.where[rows], own, 0.0)


def distinct(columns: Sequence[SparseColumn | None]) -> tuple[tuple[SparseColumn, ...], Array]:
    """Return the columns that differ, and which of them each is, shape (q, p): zeros for a column of zeros (None)."""
    found: dict[tuple[int, int], tuple[int, SparseColumn]] = {}
    at = []
    for one in columns:
        at.append(None if one is None else found.setdefault(one.key, (len(found), one))[0])
    select = np.zeros((len(found), len(columns)))
    for position, k in enumerate(at):
        if k is not None:
            select[k, position] = 1.0
    return tuple(one for _, one in found.values()), select


def columns_in(rows: Codes, part: Coded, kept: Sequence[int], root: Array | None) -> list[SparseColumn | None]:
    """Return what some of the columns of a part are in some rows; None for a column of zeros.

    Parameters
    ----------
    rows
        Positions of the rows.
    part, kept
        Regressors by code, and the positions of the columns asked for.
    root
        Root of every row's weight, shape (n,), by which columns are multiplied; None for none.
    """
    values = [np.ascontiguousarray(column) for column in part.regressors[rows].T]
    if root is not None:
        values = [column * root[rows] for column in values]
    code = None if part.code is None else part.code[rows]
    masks: dict[int, NDArray[np.bool_]] = {}
    found: list[SparseColumn | None] = []
    for k in kept:
        j, c = divmod(k, part.width)
        if code is None:
            found.append(SparseColumn(values[j]))
            continue
        if c not in masks:
            masks[c] = code == c
        mask = masks[c]
        found.append(SparseColumn(values[j], None if mask.all() else mask) if mask.any() else None)
    return found
