"""Levels of columns other than units and periods: clusters of rows, and effects that a regression has besides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.panel.within import Codes
from cbec_bayes.runtime.errors import InputError

MOST_SETS = 2
"""Sets of clusters that errors may hang together within at once."""

MOST_ABSORBED = 4
"""Sets of effects that a regression may have beside those of units and periods."""

MOST_LEVELS = 3_000
"""Levels that these sets may have together: a dense system is as large."""


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """The level that every row has of a column, or of several at once.

    Attributes
    ----------
    name
        Name of the column; ``state^year`` for several.
    codes
        Codes of the rows, from 0 without holes, shape (n,).
    labels
        Labels of the codes.
    """

    name: str
    codes: Codes
    labels: tuple[str, ...]

    @property
    def size(self) -> int:
        """Number of levels."""
        return len(self.labels)

    def rows(self, at: NDArray[np.bool_] | Codes) -> Levels:
        """Return the levels of some rows."""
        present, codes = np.unique(self.codes[at], return_inverse=True)
        return Levels(self.name, codes.astype(np.intp), tuple(self.labels[code] for code in present))


def is_nested(inner: Codes, outer: Codes) -> bool:
    """Return whether all rows of each code of the first kind have one code of the second."""
    first = np.zeros(int(inner.max(initial=-1)) + 1, dtype=np.intp)
    first[inner] = outer
    return bool((first[inner] == outer).all())


def require_sets(names: Sequence[str]) -> None:
    """Raise where clusters are of more columns than can be asked for, or of one twice."""
    if len(names) > MOST_SETS:
        raise InputError(f"clusters are named by one column or by two, not by {', '.join(names)}")
    if len(set(names)) < len(names):
        raise InputError("the column is given twice for clusters", column=names[0])


def require_absorbed(sets: Sequence[Levels]) -> None:
    """Raise where further effects are more than the system that takes them out has room for."""
    total = sum(one.size for one in sets)
    if total > MOST_LEVELS:
        named = " and ".join(f"{one.name} has {one.size} levels" for one in sets)
        raise InputError(f"{named}, and at most {MOST_LEVELS} can be absorbed beside units")
