"""Sets of clusters other than the units: rows within one may have errors that hang together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.panel.within import Codes
from cbec_bayes.runtime.errors import InputError

MOST_SETS = 2
"""Sets of clusters that errors may hang together within at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """One set of clusters.

    Attributes
    ----------
    name
        Column that says of each row which cluster it is in.
    codes
        Of the rows, from 0 without holes, shape (n,).
    """

    name: str
    codes: Codes

    @property
    def size(self) -> int:
        """Number of clusters."""
        return int(self.codes.max(initial=-1)) + 1

    def rows(self, at: NDArray[np.bool_] | Codes) -> Clusters:
        """Return the clusters of some rows."""
        return Clusters(self.name, np.unique(self.codes[at], return_inverse=True)[1])


def is_nested(inner: Codes, outer: Codes) -> bool:
    """Return whether all rows of each code of the first kind have one code of the second."""
    first = np.zeros(int(inner.max(initial=-1)) + 1, dtype=np.intp)
    first[inner] = outer
    return bool((first[inner] == outer).all())


def require_sets(names: Sequence[str]) -> None:
    """Raise where clusters are of more columns than can be asked for, or of one twice."""
    if len(names) > MOST_SETS:
        raise InputError(f"clusters are of one column or of two, and not of {', '.join(names)}")
    if len(set(names)) < len(names):
        raise InputError("the column is given twice for clusters", column=names[0])
