"""What unit and period effects leave of each regressor: too little to have a slope, or nothing of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr, solve_triangular

from cbec_bayes.panel.within import TwoWay

TOLERANCE = 1e-9
"""What is left of a column counts as nothing below this share of its norm about its mean."""

# Cells are rounded relative to their size, not to their spread: a large mean leaves residue that is not variation.
_ROUNDING = 1e-13
_ULPS = 16  # units in the last place that two passes of the within transformation leave of a sum of two effects
_IMPRECISE = "is too imprecise for its size: what varies is lost in the rounding of its values; subtract a constant"
# Coefficients of columns of unit norm below this are not part of a combination.
_NEGLIGIBLE = 1e-6

Array = NDArray[np.float64]
Codes = NDArray[np.intp]


def unidentified(values: Array, names: Sequence[str], unit: Codes, time: Codes) -> list[tuple[str, str]]:
    """Name the columns whose slopes two-way effects leave unidentified.

    Parameters
    ----------
    values
        Shape (n, k), finite.
    names
        The k columns.
    unit, time
        Codes, shape (n,); holes are allowed.

    Returns
    -------
    list of (column, sentence)
        Columns that do not vary, in the order given; then, of the others, one that is a linear combination. The
        sentence begins with the column's name.
    """
    unit, time = (np.unique(codes, return_inverse=True)[1] for codes in (unit, time))
    left = TwoWay(unit, time).within(values)
    centred = values - values.mean(axis=0)
    nothing = np.maximum(TOLERANCE * _norm(centred), _ROUNDING * _norm(values))
    size = _norm(left)
    varies = size > nothing
    # What the effects leave is more than rounding of the values themselves makes of nothing, and still too little.
    imprecise = size > _ULPS * np.sqrt(len(values)) * np.spacing(np.abs(values).max(axis=0))
    found = [
        (name, f"'{name}' {_IMPRECISE if imprecise[k] else _how(values[:, k], nothing[k], unit, time)}")
        for k, name in enumerate(names)
        if not varies[k]
    ]
    kept = np.flatnonzero(varies)
    together = _dependent(left[:, kept] / size[kept], nothing[kept] / size[kept])
    if together:
        *others, last = [names[kept[k]] for k in sorted(together)]
        quoted = [f"'{name}'" for name in others]
        listed = " and ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)
        kind = "a linear combination" if len(others) > 1 else "a multiple"
        found.append((last, f"'{last}' is {kind} of {listed} once unit and time effects are removed"))
    return found


def _norm(columns: Array) -> Array:
    return np.asarray(np.linalg.norm(columns, axis=0), dtype=float)


def _how(values: Array, nothing: float, unit: Codes, time: Codes) -> str:
    centred = values - values.mean()

    def explained_by(codes: Codes) -> bool:
        means = np.bincount(codes, centred) / np.bincount(codes)
        return bool(np.linalg.norm(centred - means[codes]) <= nothing)

    if np.linalg.norm(centred) <= nothing:
        size = float(np.abs(values).max())
        return "is constant" if np.ptp(values) <= 4 * np.spacing(size) else _IMPRECISE
    if explained_by(unit):
        return "does not vary over time within any unit"
    if explained_by(time):
        return "is the same for all units in each period"
    return "is the sum of a unit and a period effect, and does not vary beyond them"


def _dependent(columns: Array, nothing: Array) -> list[int]:
    """Return the columns of one exact linear dependence among columns of unit norm, or none."""
    if columns.shape[1] < 2:
        return []
    _, triangle, pivots = qr(columns, mode="economic", pivoting=True)
    own = np.abs(np.diag(triangle))  # shorter than k where n is, but then one of these is spent: within, rank < n
    spent = np.flatnonzero(own <= nothing[pivots[: len(own)]])
    if spent.size == 0:
        return []
    j = int(spent[0])
    weights = solve_triangular(triangle[:j, :j], triangle[:j, j])
    return [int(pivots[j]), *(int(pivots[i]) for i in np.flatnonzero(np.abs(weights) > _NEGLIGIBLE))]
