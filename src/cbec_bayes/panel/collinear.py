"""Which regressors are identified beside the effects and those before them, from columns or from cross-products."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from cbec_bayes.panel.precision import SLACK
from cbec_bayes.panel.spread import COLLINEAR
from cbec_bayes.panel.within import Array, Codes

_EPSILON = float(np.finfo(float).eps)


def identified(x: Array, within: Array, *, about_mean: bool = True, rounding: Array | None = None) -> tuple[int, ...]:
    """Return the regressors that are not collinear with the effects and those before them.

    Parameters
    ----------
    x, within
        Regressors, raw and after the within transformation, shape (n, K).
    about_mean
        Measure what is left against the spread about the mean; False where a constant is a regressor like another.
    rounding
        Norm of the rounding of each regressor as it is stored, shape (K,); None for numbers that are exact.

    Returns
    -------
    tuple of int
        Positions kept. Of a collinear set the last are left out, as fixest, reghdfe and lm do.
    """
    spread = np.linalg.norm(x - about_mean * x.mean(axis=0), axis=0)
    nothing = np.maximum(COLLINEAR * spread, _EPSILON * np.linalg.norm(x, axis=0))  # a constant has no spread
    rough = np.zeros(x.shape[1]) if rounding is None else SLACK * rounding
    nothing = np.maximum(nothing, rough)
    size = np.linalg.norm(within, axis=0)
    kept = list(np.flatnonzero(size > nothing))
    while kept:
        # The diagonal of R is what is left of each column after those before it; a column that is spent is taken out,
        # and the rest decomposed anew, for it leaves a direction of pure rounding behind.
        root = np.linalg.qr(within[:, kept] / size[kept], mode="r")
        own = np.abs(np.diag(root))
        own = np.r_[own, np.zeros(len(kept) - len(own))] * size[kept]
        spent = np.flatnonzero(own <= nothing[kept])
        if spent.size == 0 and rough.any():
            spent = _spent_by_rounding(root, own, size[kept], rough[kept])
        if spent.size == 0:
            break
        del kept[int(spent[0])]
    return tuple(int(k) for k in kept)


_SURELY_LEFT = 0.1


def _spent_by_rounding(root: Array, own: Array, size: Array, rough: Array) -> Codes:
    """Return the first column of which those before it leave no more than their rounding and its own, or none.

    Parameters
    ----------
    root
        Triangular root of the columns of unit norm, as QR has it, shape (k, k).
    own, size
        What is left of each column after those before it, and its norm, shape (k,).
    rough
        Norm that the rounding of each may have, shape (k,).
    """
    for j in np.flatnonzero(own < _SURELY_LEFT * size):
        weights = linalg.solve_triangular(root[:j, :j], root[:j, j]) * size[j] / size[:j]
        if own[j] <= math.hypot(rough[j], float(np.linalg.norm(weights * rough[:j]))):
            return np.array([j], dtype=np.intp)
    return np.zeros(0, dtype=np.intp)


SURE = 1e-8
"""Share of a column's square that is certainly no rounding in its cross-products."""

_NOTHING = 1e-10


def identified_by_moments(within: Array, squares: Array, counted: NDArray[np.bool_]) -> tuple[int, ...] | None:
    """Return the regressors that are not collinear with the effects and those before them, from cross-products.

    Parameters
    ----------
    within
        Cross-products after the within transformation, shape (K, K).
    squares
        Sums of squares before it, shape (K,).
    counted
        Which columns have counts of rows for cross-products, shape (K,): of those, what is left is nothing or much.

    Returns
    -------
    tuple of int, or None
        As `identified`, where cross-products can tell: they have half the digits of the columns. None where not.
    """
    kept: list[int] = []
    root = np.zeros((0, 0))
    for k in range(len(squares)):
        across = linalg.solve_triangular(root, within[kept, k], lower=True) if kept else np.zeros(0)
        left = float(within[k, k] - across @ across)
        if left <= SURE * squares[k]:
            if counted[k] and left <= _NOTHING * squares[k]:
                continue
            return None
        root = np.block([[root, np.zeros((len(kept), 1))], [across[None], np.array([[math.sqrt(left)]])]])
        kept.append(k)
    return tuple(kept)
