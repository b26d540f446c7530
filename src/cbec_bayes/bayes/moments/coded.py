"""Moments of regressors by code without laying their columns out: what makes a panel of a million rows cheap.

A time effect on T periods is one column of codes, not T columns of zeros and ones; a slope per group is one regressor
and one column of codes. Cross-products of such columns are sums by code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cbec_bayes.bayes.moments.by_unit import Moments, Stratum
from cbec_bayes.panel.within import Array, Codes


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
class _Level:
    """Unit means of one part.

    Attributes
    ----------
    part
        Whose they are.
    weight
        Weight of every row, shape (n,); None for none.
    means
        Means of the regressors, shape (N, K), where the code does not change within a unit; laid out, (N, q), where it
        does.
    own
        Each unit's code, where it does not change, shape (N,).
    varies
        Whether the code changes within a unit.
    """

    part: Coded
    weight: Array | None
    means: Array
    own: Codes | None
    varies: bool

    def centred(self, rows: slice, unit: Codes) -> _Centred:
        """Return some rows less their unit means, times the roots of their weights."""
        values = self.part.regressors[rows]
        code = None if self.part.code is None else self.part.code[rows]
        values = values if self.varies else values - self.means[unit[rows]]
        values = values if self.weight is None else values * np.sqrt(self.weight[rows, None])
        return _Centred(values, code, self.part.width, self)

    def laid_out(self, units: slice) -> Array:
        """Return the means of every column for some units, shape (m, q)."""
        if self.own is None:
            return self.means[units]
        part, own = self.means[units], self.own[units]
        found = np.zeros((len(part), part.shape[1], self.part.width))
        found[np.arange(len(part)), :, own] = part
        return found.reshape(len(part), -1)


@dataclass(frozen=True, slots=True)
class _Centred:
    """Some rows of one part about its unit means.

    Attributes
    ----------
    values
        Regressors less unit means, shape (m, K), where the code does not change within a unit; as they are otherwise.
    code, width
        As in `Coded`.
    level
        What they are measured from; of equal codes too.
    """

    values: Array
    code: Codes | None
    width: int
    level: _Level


def moments_of_coded(
    parts: Sequence[Coded],
    names: Sequence[str],
    unit: Codes,
    stratum: Codes | None = None,
    strata: Sequence[str] = ("",),
    *,
    weight: Array | None = None,
) -> Moments:
    """Accumulate the moments of coded columns: those of `cbec_bayes.bayes.moments.by_unit.moments_of`, laid out.

    Parameters
    ----------
    parts
        The outcome, then the columns of every block.
    names, unit, stratum, strata
        As there.
    weight
        Weight of each row, shape (n,), by whose root the parts are not multiplied yet; None for none.

    Notes
    -----
    Columns less their unit means multiply explicitly wherever a regressor enters, so that a large mean costs no digits.
    Two codes that both change within units, of periods mostly, need cross-products of means subtracted; their regressor
    is a constant then, and what is subtracted are shares of counts.
    """
    if stratum is None:
        return Moments(tuple(names), {strata[0]: _stratum(parts, unit, weight)})
    found = {}
    for s, label in enumerate(strata):
        rows = np.flatnonzero(stratum == s)
        own = [Coded(p.regressors[rows], None if p.code is None else p.code[rows], p.width) for p in parts]
        of_rows = None if weight is None else weight[rows]
        found[label] = _stratum(own, np.unique(unit[rows], return_inverse=True)[1], of_rows)
    return Moments(tuple(names), found)


def _stratum(parts: Sequence[Coded], unit: Codes, weight: Array | None) -> Stratum:
    counts = np.bincount(unit, weight)
    n_units = len(counts)
    levels = [_level(part, unit, counts, weight) for part in parts]
    edges = np.cumsum([0, *(part.size for part in parts)])
    within = np.zeros((edges[-1], edges[-1]))
    for start in range(0, len(unit), ROWS):
        centred = [level.centred(slice(start, start + ROWS), unit) for level in levels]
        for i, a in enumerate(centred):
            for j, b in enumerate(centred[: i + 1]):
                within[edges[i] : edges[i + 1], edges[j] : edges[j + 1]] += _products(a, b)
    # Units of equal numbers of rows stand together; with weights, which are for flat levels, all do.
    sizes, which = np.unique(np.bincount(unit) if weight is None else np.ones(n_units, np.intp), return_inverse=True)
    between = np.zeros((len(sizes), *within.shape))
    step = max(1, ROWS // max(int(edges[-1]), 1)) * 8
    for start in range(0, n_units, step):
        units = slice(start, start + step)
        means = np.column_stack([level.laid_out(units) for level in levels])
        for m, size in enumerate(sizes):
            part = means if len(sizes) == 1 else means[which[units] == m]
            between[m] += size * part.T @ part if weight is None else (part * counts[units, None]).T @ part
        for i, one in enumerate(levels):
            for j, other in enumerate(levels[: i + 1]):
                if one.varies and other.varies:
                    rows, columns = slice(edges[i], edges[i + 1]), slice(edges[j], edges[j + 1])
                    within[rows, columns] -= (means[:, rows] * counts[units, None]).T @ means[:, columns]
    for i in range(len(parts)):
        for j in range(i):
            rows, columns = slice(edges[i], edges[i + 1]), slice(edges[j], edges[j + 1])
            within[columns, rows] = within[rows, columns].T
    return Stratum(
        n_obs=len(unit),
        within=within,
        sizes=sizes,
        counts=np.bincount(which),
        between=between,
        log_sizes=float(np.log(counts).sum() - (0.0 if weight is None else np.log(weight).sum())),
    )


ROWS = 2**18
"""Rows whose columns are laid out at once."""


def products_by_unit(parts: Sequence[Coded], regressor: Array, unit: Codes, n_units: int) -> tuple[Array, Array]:
    """Return each unit's cross-products of a regressor, less its unit mean, with itself and with columns.

    Parameters
    ----------
    parts
        Columns, q in all.
    regressor, unit
        Shape (n,).
    n_units
        N; units without a row have zeros.

    Returns
    -------
    squares, products
        Shapes (N,) and (N, q).
    """
    counts = np.maximum(np.bincount(unit, minlength=n_units), 1)
    own = regressor - (np.bincount(unit, regressor, n_units) / counts)[unit]
    squares = np.bincount(unit, own * own, n_units)
    found = []
    for part in parts:
        level = _level(part, unit, counts)
        k = part.regressors.shape[1]
        sums = np.zeros((n_units, k, part.width))
        for start in range(0, len(unit), ROWS):
            rows = slice(start, start + ROWS)
            values = level.centred(rows, unit).values * own[rows, None]
            at = unit[rows] if part.code is None else unit[rows] * part.width + part.code[rows]
            for i in range(k):
                sums[:, i] += np.bincount(at, values[:, i], n_units * part.width).reshape(n_units, part.width)
        found.append(sums.reshape(n_units, -1))
    return squares, np.column_stack(found)


def _level(part: Coded, unit: Codes, counts: Codes | Array, weight: Array | None = None) -> _Level:
    n_units, k = len(counts), part.regressors.shape[1]
    own = None
    varies = False
    if part.code is not None:
        own = np.zeros(n_units, dtype=np.intp)
        own[unit] = part.code
        starts = range(0, len(unit), ROWS)
        varies = any((own[unit[s : s + ROWS]] != part.code[s : s + ROWS]).any() for s in starts)
    width = part.width if varies else 1
    sums = np.zeros((n_units, k, width))
    for start in range(0, len(unit), ROWS):
        rows = slice(start, start + ROWS)
        at = unit[rows] if not varies or part.code is None else unit[rows] * width + part.code[rows]
        low, high = int(unit[rows].min()), int(unit[rows].max()) + 1
        for i in range(k):
            values = part.regressors[rows, i] * (1.0 if weight is None else weight[rows])
            found = np.bincount(at - low * width, values, (high - low) * width)
            sums[low:high, i] += found.reshape(high - low, width)
    means = (sums / counts[:, None, None]).reshape(n_units, -1)
    return _Level(part, weight, means, None if varies else own, varies)


def _products(a: _Centred, b: _Centred) -> Array:
    """Return the cross-products of two parts' columns, shape (q of a, q of b)."""
    if a.code is None and b.code is None:
        return np.asarray(a.values.T @ b.values)
    same = a.level.part.code is b.level.part.code
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
