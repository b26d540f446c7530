"""The rows of one group with the columns that a model has there, each once, and their cross-products given ratios.

Within a group most columns of a model repeat others: the common slope's is the group's own, a common period's that of
the group. What is left, a few regressors and the periods, is laid out some units at a time, so that any number of rows
passes through a processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.bayes.moments.group_columns import SparseColumn
from cbec_bayes.bayes.moments.lags import Lags
from cbec_bayes.bayes.moments.unit_directions import Direction, Directions, directions_of, unit_products
from cbec_bayes.panel.within import Array, Codes

_CHUNK = 2**17  # numbers of the cross-products of directions with columns that are held at once


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chunk:
    """Some units of a group.

    Attributes
    ----------
    lags, directions
        Lags and directions of their rows.
    first, own, columns
        As in `UnitProducts`.
    across
        As there, but with units last, which are next to each other in memory: shape (A, (m - first) q N).
    told
        As in `GroupRows`.
    means
        Where levels have a scale, how much of them the other directions and the columns have, shape (m - 1 + q, N), in
        the place of what they take as if they were flat. None where they are.
    """

    lags: Lags
    directions: Directions
    first: int
    own: Array
    columns: Array
    across: Array
    told: NDArray[np.bool_]
    means: Array | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRows:
    """The rows of one group, unit by unit and in order of time.

    Attributes
    ----------
    unit, when
        Codes of the units from 0 on, ascending, and whole periods, shape (n,).
    columns
        The q columns that differ.
    directions
        In which every unit has a coefficient of its own: levels first, flat or with a scale, then other flat ones, then
        those with a scale. The regressors of pooled ones are columns.
    told
        For each flat direction the units whose rows identify it, as `Directions` has them, shape (F, N).
    lags
        How errors hang together.
    held
        What `chunks` yields, where it is kept from one pass to the next; none where it is made anew.
    """

    unit: Codes
    when: NDArray[np.int64]
    columns: tuple[SparseColumn, ...]
    directions: tuple[Direction, ...]
    told: NDArray[np.bool_]
    lags: type[Lags]
    held: tuple[_Chunk, ...] = ()

    @property
    def n_units(self) -> int:
        """Number of units."""
        return int(self.unit[-1]) + 1

    @property
    def levels_have_a_scale(self) -> bool:
        """Whether levels are pooled."""
        return self.directions[0].scale is not None

    @property
    def n_free(self) -> int:
        """Rows less the flat coefficients of units that these tell."""
        return len(self.unit) - int(self.told.sum())

    def among(self, units: NDArray[np.bool_]) -> GroupRows:
        """Return the rows of some units, where true, shape (N,)."""
        kept = units[self.unit]
        columns = tuple(SparseColumn(c.values[kept], None if c.where is None else c.where[kept]) for c in self.columns)
        return GroupRows(
            unit=np.unique(self.unit[kept], return_inverse=True)[1],
            when=self.when[kept],
            columns=columns,
            directions=tuple(Direction(d.name, d.scale, d.regressor[kept]) for d in self.directions),
            told=self.told[:, units],
            lags=self.lags,
        )

    def holding(self, most: float) -> GroupRows:
        """Return the same with what `chunks` yields kept, unless that takes more than so many numbers."""
        found: list[_Chunk] = []
        for chunk in self.chunks():
            found.append(chunk)
            most -= chunk.across.size + (0 if chunk.means is None else chunk.means.size)
            if most < 0:
                return self
        return replace(self, held=tuple(found))

    def chunks(self) -> Iterator[_Chunk]:
        """Yield some units after others."""
        if self.held:
            yield from self.held
            return
        size = len(self.directions) * len(self.columns) * 3
        step = max(1, _CHUNK // size)
        edges = np.searchsorted(self.unit, np.arange(0, self.n_units + step, step))
        for start, stop in pairwise(edges):
            rows = slice(int(start), int(stop))
            if start == stop:
                continue
            unit = self.unit[rows] - self.unit[start]
            lags = self.lags.of_rows(unit, self.when[rows])
            own = [Direction(one.name, one.scale, one.regressor[rows]) for one in self.directions]
            own[0] = replace(own[0], scale=None)
            directions = directions_of(unit, own)
            columns = np.column_stack([one.part(rows) for one in self.columns])
            found = unit_products(directions, lags, columns)
            across = np.swapaxes(found.across, 2, 3)
            first = min(found.first, 1) if self.levels_have_a_scale else found.first
            if first < found.first:  # flat directions that are orthogonal to all else as long as levels are flat
                across = np.concatenate([np.zeros((lags.size, found.first - first, *across.shape[2:])), across], axis=1)
            yield _Chunk(
                lags=lags,
                directions=directions,
                first=first,
                own=found.own,
                columns=found.columns[:, 0],
                across=np.ascontiguousarray(across).reshape(lags.size, -1),
                told=self.told[:, self.unit[start] : self.unit[stop - 1] + 1],
                means=_means(directions, columns) if self.levels_have_a_scale else None,
            )


def _means(directions: Directions, columns: Array) -> Array:
    """Return how much of levels, taken as flat, other directions and columns have, shape (m - 1 + q, N).

    What another flat direction takes is indifferent. It was taken in the form that levels leave of that direction, and
    with the whole of it goes a share of levels.
    """
    _, taken = directions.reduced(columns)
    found = np.concatenate([directions.shares, taken.swapaxes(1, 2)], axis=1)
    for k in reversed(range(1, directions.n_flat)):
        # A flat direction keeps its own level: it is taken out later, when levels are what their scale leaves of them.
        found[:k, k + 1 :] -= directions.shares[:k, k, None] * found[k, k + 1 :]
    return np.asarray(found[0, 1:])


@dataclass(frozen=True, slots=True)
class Ratios:
    """Points of what cross-products depend on: K outer ones, and L of the last ratio at each of them.

    Attributes
    ----------
    rho
        Correlations of errors, shape (K,); anything where there is none.
    outer
        Squared ratios to sigma of the scale of levels, where they have one, and of those of all other pooled directions
        but the last, in their order, shape (K, D).
    last
        Those of the last one, shape (K, L); (K, 1), of zeros, where nothing but levels is pooled.
    """

    rho: Array
    outer: Array
    last: Array


def packed_size(q: int) -> int:
    """Return the size of the packed cross-products of q columns, and a log determinant behind them."""
    return q * (q + 1) // 2 + 1


def unpacked(packed: Array, q: int) -> Array:
    """Return symmetric matrices, shape (S, q, q), of packed ones, shape (S, q (q + 1) / 2 or more)."""
    upper = np.triu_indices(q)
    found = np.empty((len(packed), q, q))
    found[:, upper[0], upper[1]] = packed[:, : len(upper[0])]
    found[:, upper[1], upper[0]] = packed[:, : len(upper[0])]
    return found


def grams(groups: GroupRows, points: Ratios) -> Array:
    """Return the cross-products of a group's columns under the inverse of V sigma^-2, and half of ln |V sigma^-2|.

    What is flat is integrated out of units, as in `cbec_bayes.bayes.likelihood.unit_errors`. Levels with a scale are
    taken out as if they were flat, which costs no digits however large they are, and what their scale leaves of them is
    then added: with a = 1'C^-1 1 and the squared ratio v, products with V^-1 are those with flat levels plus those of
    1'C^-1 times each column, over a (1 + v a). Trends that are flat beside such levels are taken out after that.

    Returns
    -------
    ndarray
        Shape (K, L, `packed_size`): the upper triangle row by row, and then the log determinant.
    """
    q = len(groups.columns)
    found = np.zeros((*points.last.shape, q * q + 1))
    rhos, which = np.unique(points.rho, return_inverse=True)
    for chunk in groups.chunks():
        for r in range(len(rhos)):
            left = _without_flat(chunk, rhos[r : r + 1])
            for k in np.flatnonzero(which == r):
                found[k] += _at_ratios(left, points.outer[k], points.last[k])
    rows, columns = np.triu_indices(q)
    return found[..., np.r_[rows * q + columns, q * q]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Left:
    """What flat directions leave at one correlation.

    Attributes
    ----------
    gram, log_det
        Cross-products of the columns, shape (q, q), and the log determinant of the flat directions and the correlation.
    own, across
        Products of the m other directions, levels not among them, with each other, shape (m, m, N), and with the
        columns, (m, q, N).
    told
        Flat directions among those, the first F, where levels have a scale: the units that tell them, shape (F, N).
    level, pulls
        Where levels have a scale, 1'C^-1 1 of each unit, shape (N,), and 1'C^-1 times the other directions and the
        columns, shape (m + q, N); None where they are flat.
    """

    gram: Array
    log_det: float
    own: Array
    across: Array
    told: NDArray[np.bool_]
    level: Array | None = None
    pulls: Array | None = None


def _without_flat(chunk: _Chunk, rho: Array) -> _Left:
    """Take the flat directions of some units out, one after the other."""
    weights = chunk.lags.weights(rho, 1)[0]
    gram, own = np.tensordot(weights, chunk.columns, 1), np.tensordot(weights, chunk.own, 1)
    first, n_flat = chunk.first, len(chunk.told)
    across = (weights @ chunk.across).reshape(len(own) - first, len(gram), own.shape[2])
    log_det = float(chunk.lags.log_det(rho, 1)[0])
    level = pulls = None
    there, later = chunk.told, chunk.told[:0]
    if chunk.means is not None:
        there, later, n_flat = np.ones((1, own.shape[2]), dtype=np.bool_), chunk.told, 1
        # Positive in every unit, of one row too. What other directions have across with levels is taken out below.
        level = own[0, 0].copy()
        pulls = level * chunk.means
        pulls[: len(own) - 1] += own[1:, 0]
        if first == 0:
            pulls[len(own) - 1 :] += across[0]
        log_det -= float(np.log(level).sum()) / 2
    for j in range(n_flat):
        pivot = np.where(there[j], own[j, j], 1.0)
        log_det += float(np.log(pivot).sum()) / 2
        if j >= first:
            _take_out(gram, own[j:, j:], across[j - first :], np.where(there[j], 1 / pivot, 0.0))
    return _Left(
        gram=gram,
        log_det=log_det,
        own=own[n_flat:, n_flat:],
        across=across[n_flat - first :],
        told=later,
        level=level,
        pulls=pulls,
    )


def _at_ratios(left: _Left, outer: Array, last: Array) -> Array:
    """Return what some units add to `grams` at L ratios of the last direction, with q^2 products in full."""
    gram, log_det, own, across = left.gram.copy(), left.log_det, left.own, left.across
    q = len(gram)
    if len(outer):  # what is left is asked for at other ratios as well
        own, across = own.copy(), across.copy()
    if left.level is not None and left.pulls is not None:
        pivot = 1 + outer[0] * left.level
        log_det += float(np.log(pivot).sum()) / 2
        _put_back(gram, own, across, left.pulls, 1 / (left.level * pivot))
        outer = outer[1:]
    for there in left.told:
        pivot = np.where(there, own[0, 0], 1.0)
        log_det += float(np.log(pivot).sum()) / 2
        _take_out(gram, own, across, np.where(there, 1 / pivot, 0.0))
        own, across = own[1:, 1:], across[1:]
    for j, ratio in enumerate(outer):
        pivot = 1 + ratio * np.maximum(own[j, j], 0.0)
        log_det += float(np.log(pivot).sum()) / 2
        _take_out(gram, own[j:, j:], across[j:], ratio / pivot)
    found = np.empty((len(last), q * q + 1))
    found[:, :-1] = gram.ravel()
    found[:, -1] = log_det
    if len(own):
        one = across[-1]
        pivots = 1 + last[:, None] * np.maximum(own[-1, -1], 0.0)
        taken = ((last[:, None] / pivots)[:, None, :] * one).reshape(-1, one.shape[1]) @ one.T
        found[:, :-1] -= taken.reshape(len(last), -1)
        found[:, -1] += np.log(pivots).sum(axis=1) / 2
    return found


def _put_back(gram: Array, own: Array, across: Array, pulls: Array, share: Array) -> None:
    """Add products of pulls of some directions and the columns, each unit by its share, to all others, in place."""
    m = len(own)
    shared = pulls * share
    gram += shared[m:] @ pulls[m:].T
    for k in range(m):
        across[k] += shared[k] * pulls[m:]
        for i in range(m):
            own[k, i] += shared[k] * pulls[i]


def _take_out(gram: Array, own: Array, across: Array, share: Array) -> None:
    """Take the first of some directions out of the columns and of the others, in place, each unit by its share."""
    one = across[0]
    gram -= (one * share) @ one.T
    for k in range(1, len(own)):
        taken = own[k, 0] * share
        across[k] -= taken * one
        for i in range(1, k + 1):
            own[k, i] -= taken * own[i, 0]
