"""What unit and period effects leave of each regressor: too little to have a slope, or nothing of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr, solve_triangular

from cbec_bayes.panel.precision import SLACK, is_rounding, norms
from cbec_bayes.panel.within import TwoWay

TOLERANCE = 1e-9
"""What is left of a column counts as nothing below this share of its norm about its mean."""

# Cells are rounded relative to their size, not to their spread: a large mean leaves residue that is not variation.
_ROUNDING = 1e-13
_ULPS = 16  # units in the last place that two passes of the within transformation leave of a sum of two effects
_IMPRECISE = "is too imprecise for its size: what varies is lost in the rounding of its values; subtract a constant"
# Coefficients of columns of unit norm below this are not part of a combination.
_NEGLIGIBLE = 1e-6

# What is left of a column of unit norm above this share is no rounding.
_SURELY_LEFT = 0.1
# A weight is one beyond so many standard deviations of what rounding makes of none.
_WEIGHED = 5.0
_UP_TO = ", up to the precision in which it is stored"

Array = NDArray[np.float64]
Codes = NDArray[np.intp]


_OF_TWO = "is the sum of a unit and a period effect, and does not vary beyond them"
_OF_SEVERAL = "is a sum of effects, and does not vary beyond them"


def unidentified(
    values: Array,
    names: Sequence[str],
    unit: Codes,
    time: Codes,
    *,
    alike: str = "all units",
    further: Sequence[Codes] = (),
) -> list[tuple[str, str]]:
    """Name the columns whose slopes two-way effects leave unidentified, as far as the numbers are precise.

    Parameters
    ----------
    values
        Shape (n, k), finite.
    names
        The k columns.
    unit, time
        Codes, shape (n,); holes are allowed.
    alike
        Who has the effects of periods in common, in words.
    further
        Codes of other sets of effects, each of shape (n,).

    Returns
    -------
    list of (column, sentence)
        Columns that do not vary, in the order given; then, of the others, one that is a linear combination. The
        sentence begins with the column's name.
    """
    unit, time = (np.unique(codes, return_inverse=True)[1] for codes in (unit, time))
    left = TwoWay(unit, time, further=tuple(further)).within(values)
    centred = values - values.mean(axis=0)
    rough = SLACK * norms(values)
    exact = np.maximum(TOLERANCE * _norm(centred), _ROUNDING * _norm(values))
    nothing = np.maximum(exact, rough)
    size = _norm(left)
    varies = size > nothing
    # What the effects leave is more than rounding of the values themselves makes of nothing, and still too little.
    imprecise = size > _ULPS * np.sqrt(len(values)) * np.spacing(np.abs(values).max(axis=0))
    found = []
    for k, name in enumerate(names):
        if not varies[k]:
            up_to = _UP_TO if size[k] > exact[k] else ""
            how = _how(values[:, k], nothing[k], unit, time).format(alike=alike)
            how = _OF_SEVERAL if further and how == _OF_TWO else how
            found.append((name, f"'{name}' {_IMPRECISE if imprecise[k] and not up_to else how + up_to}"))
    kept = np.flatnonzero(varies)
    together, rounded = _dependent(left[:, kept] / size[kept], exact[kept] / size[kept], rough[kept] / size[kept])
    if together:
        *others, last = [names[kept[k]] for k in sorted(together)]
        quoted = [f"'{name}'" for name in others]
        listed = " and ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)
        kind = "a linear combination" if len(others) > 1 else "a multiple"
        up_to = _UP_TO if rounded else ""
        found.append((last, f"'{last}' is {kind} of {listed} once unit and time effects are removed{up_to}"))
    return found


def explained(outcome: Array, x: Array, unit: Codes, time: Codes, further: Sequence[Codes] = ()) -> bool:
    """Say whether regressors and two-way effects explain an outcome without an error, as far as numbers are precise.

    Parameters
    ----------
    outcome, x
        Shapes (n,) and (n, K).
    unit, time, further
        Codes, shape (n,); holes are allowed, but not in those of other sets of effects.

    Returns
    -------
    bool
        False where there are no more rows than coefficients, which explain anything.
    """
    unit, time = (np.unique(codes, return_inverse=True)[1] for codes in (unit, time))
    effects = TwoWay(unit, time, further=tuple(further))
    left = effects.within(np.column_stack([outcome, x]))
    size = _norm(left[:, 1:])
    told = size > np.maximum(TOLERANCE * _norm(x - x.mean(axis=0)), _ROUNDING * _norm(x))
    columns = left[:, 1:][:, told] / size[told]
    weights, _, rank, _ = np.linalg.lstsq(columns, left[:, 0], rcond=TOLERANCE)
    if len(outcome) - effects.rank - rank < 1:
        return False
    residual = left[:, 0] - columns @ weights
    return is_rounding(residual, outcome, weights / size[told], norms(x[:, told]))


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
        return "is the same for {alike} in each period"
    return _OF_TWO


def _dependent(columns: Array, exact: Array, rough: Array) -> tuple[list[int], bool]:
    """Return the columns of one linear dependence among columns of unit norm, if any, and whether rounding hides it.

    Parameters
    ----------
    columns
        Shape (n, k).
    exact, rough
        What counts as nothing of each column: for the precision of computation, and for the rounding of its numbers as
        they are stored, shape (k,).
    """
    if columns.shape[1] < 2:
        return [], False
    _, triangle, pivots = qr(columns, mode="economic", pivoting=True)
    own = np.abs(np.diag(triangle))  # shorter than k where n is, but then one of these is spent: within, rank < n
    for j in range(1, len(own)):
        if own[j] > _SURELY_LEFT:
            continue
        inverse = solve_triangular(triangle[:j, :j], np.eye(j))
        weights = inverse @ triangle[:j, j]
        noise = math.hypot(rough[pivots[j]], float(np.linalg.norm(weights * rough[pivots[:j]])))
        if own[j] > max(exact[pivots[j]], noise):
            continue
        # The weight of a column that is not part of it is off zero by the rounding of the others, and by no more.
        off = _WEIGHED * max(own[j], noise) / math.sqrt(len(columns)) * np.linalg.norm(inverse, axis=1)
        part = np.abs(weights) > np.maximum(_NEGLIGIBLE, off if own[j] > exact[pivots[j]] else 0.0)
        part |= np.abs(weights) == np.abs(weights).max()
        return [int(pivots[j]), *(int(pivots[i]) for i in np.flatnonzero(part))], bool(own[j] > exact[pivots[j]])
    return [], False
