"""Moments of regressors by code without laying their columns out: what makes a panel of a million rows cheap.

A time effect on T periods is one column of codes, not T columns of zeros and ones; a slope per group is one regressor
and one column of codes. Cross-products of such columns are sums by code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cbec_bayes.bayes.moments import Moments, Stratum, stratum_of
from cbec_bayes.within import Array, Codes, means_by


@dataclass(frozen=True, slots=True)
class Coded:
    """Columns that are K regressors by a code: row i has its regressors in the columns of its code, zeros elsewhere.

    Attributes
    ----------
    regressors
        Shape (n, K).
    code
        Shape (n,), from 0 to below `width`; None where each regressor is a column.
    width
        Number of codes.
    """

    regressors: Array
    code: Codes | None = None
    width: int = 1

    @property
    def size(self) -> int:
        """Number of columns, K times the codes; they are in order of regressors, then of codes."""
        return int(self.regressors.shape[1]) * self.width


@dataclass(frozen=True, slots=True)
class _Centred:
    """One part about its unit means.

    Attributes
    ----------
    means
        Of every column, laid out, shape (N, q).
    values
        Regressors less unit means, shape (n, K), where the code does not change within a unit; as they are otherwise.
    code, width
        As in `Coded`.
    varies
        Whether the code changes within a unit.
    """

    means: Array
    values: Array
    code: Codes | None
    width: int
    varies: bool


def moments_of_coded(
    parts: Sequence[Coded],
    names: Sequence[str],
    unit: Codes,
    stratum: Codes | None = None,
    strata: Sequence[str] = ("",),
) -> Moments:
    """Accumulate the moments of coded columns: those of `cbec_bayes.bayes.moments.moments_of`, laid out.

    Parameters
    ----------
    parts
        The outcome, then the columns of every block.
    names, unit, stratum, strata
        As there.

    Notes
    -----
    Columns less their unit means multiply explicitly wherever a regressor enters, so that a large mean costs no digits.
    Two codes that both change within units, of periods mostly, need cross-products of means subtracted; their regressor
    is a constant then, and what is subtracted are shares of counts.
    """
    if stratum is None:
        return Moments(tuple(names), {strata[0]: _stratum(parts, unit)})
    found = {}
    for s, label in enumerate(strata):
        rows = np.flatnonzero(stratum == s)
        own = [Coded(p.regressors[rows], None if p.code is None else p.code[rows], p.width) for p in parts]
        found[label] = _stratum(own, np.unique(unit[rows], return_inverse=True)[1])
    return Moments(tuple(names), found)


def _stratum(parts: Sequence[Coded], unit: Codes) -> Stratum:
    counts = np.bincount(unit)
    centred = [_centre(part, unit, counts) for part in parts]
    edges = np.cumsum([0, *(part.size for part in parts)])
    within = np.empty((edges[-1], edges[-1]))
    for i, a in enumerate(centred):
        for j, b in enumerate(centred[: i + 1]):
            block = _products(a, b)
            if a.varies and b.varies:
                block -= (a.means * counts[:, None]).T @ b.means
            rows, columns = slice(edges[i], edges[i + 1]), slice(edges[j], edges[j + 1])
            within[rows, columns] = block
            within[columns, rows] = block.T
    return stratum_of(within, np.column_stack([part.means for part in centred]), counts)


def _centre(part: Coded, unit: Codes, counts: Codes) -> _Centred:
    n_units, k = len(counts), part.regressors.shape[1]
    if part.code is None:
        means = means_by(unit, part.regressors)
        return _Centred(means, part.regressors - means[unit], None, 1, False)
    own = np.zeros(n_units, dtype=np.intp)
    own[unit] = part.code
    means = np.zeros((n_units, k, part.width))
    if np.array_equal(own[unit], part.code):
        level = means_by(unit, part.regressors)
        means[np.arange(n_units), :, own] = level
        return _Centred(means.reshape(n_units, -1), part.regressors - level[unit], part.code, part.width, False)
    at = unit * part.width + part.code
    for i in range(k):
        sums = np.bincount(at, part.regressors[:, i], n_units * part.width)
        means[:, i] = sums.reshape(n_units, -1) / counts[:, None]
    return _Centred(means.reshape(n_units, -1), part.regressors, part.code, part.width, True)


def _products(a: _Centred, b: _Centred) -> Array:
    """Return the cross-products of two parts' columns, shape (q of a, q of b)."""
    if a.code is None and b.code is None:
        return np.asarray(a.values.T @ b.values)
    same = a.code is b.code
    if a.code is None or b.code is None or same:
        code, width = b.code if a.code is None else a.code, max(a.width, b.width)
    else:
        code, width = a.code * b.width + b.code, a.width * b.width
    assert code is not None
    k, m = a.values.shape[1], b.values.shape[1]
    found = np.zeros((k, a.width, m, b.width))
    for i in range(k):
        for j in range(m):
            sums = np.bincount(code, a.values[:, i] * b.values[:, j], width)
            found[i, :, j] = np.diag(sums) if same else sums.reshape(a.width, b.width)
    return found.reshape(k * a.width, m * b.width)
