"""The rows of each group of a model on a panel, as what tables of very many units are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cbec_bayes.bayes.model.blocks import Blocks
from cbec_bayes.bayes.moments.group_columns import SparseColumn, columns_in, distinct
from cbec_bayes.bayes.moments.group_rows import GroupRows
from cbec_bayes.bayes.moments.unit_directions import directions_of
from cbec_bayes.panel.within import Array


def rows_of_group(blocks: Blocks, r: int) -> tuple[GroupRows, Array, Array]:
    """Return the rows of a group, and what of its columns the model's and the pooled directions' regressors are."""
    design = blocks.design
    rows = np.arange(design.n_obs) if design.group is None else np.flatnonzero(design.group == r)
    when = np.round(np.asarray(design.times, dtype=float)[design.time[rows]]).astype(np.int64)
    order = np.lexsort((when, design.unit[rows]))
    rows, when = rows[order], when[order]
    # The slope of a unit comes last, for which nodes cost least; levels are first, and then what is flat.
    level, *others = blocks.directions
    directions = (level, *(d for d in others if d.scale is None), *(d for d in reversed(others) if d.scale is not None))
    pooled = [one for one in directions if one.scale is not None]
    columns: list[SparseColumn | None] = [SparseColumn(design.scaled(design.y)[rows])]
    root = None if design.weight is None else design.root
    for block in blocks.every:
        columns += columns_in(rows, block.coded, block.kept, root)
    n_columns = len(columns)
    columns += [SparseColumn(np.ascontiguousarray(one.regressor[rows])) for one in pooled]
    own, select = distinct(columns)
    if blocks.unit_scale is not None:
        own, back = _about_means(own, int(select[:, n_columns].argmax()))
        select = back @ select
    unit = np.unique(design.unit[rows], return_inverse=True)[1]
    of_rows = tuple(replace(one, regressor=one.regressor[rows]) for one in directions)
    flat = [one for one in of_rows if one.scale is None]
    group = GroupRows(
        unit=unit,
        when=when,
        columns=own,
        directions=of_rows,
        told=directions_of(unit, flat).is_there,
        lags=blocks.model.residuals.lags,
    )
    return group, select[:, :n_columns], select[:, n_columns:]


def typical_sizes(group: GroupRows) -> Array:
    """Return one over the squares of each pooled direction in a unit in which it varies, shape (m,).

    Levels are taken out of the others. Where one varies in few units these are what the scale is told by.
    """
    sizes, found = np.bincount(group.unit).astype(float), []
    for k, one in enumerate(group.directions):
        if one.scale is not None:
            sums, squares = (np.bincount(group.unit, one.regressor**power) for power in (1, 2))
            own = np.maximum(squares - sums**2 / sizes, 0.0) if k > 0 else sizes
            found.append(own.sum() / max(float(own @ own), np.finfo(float).tiny))
    return np.array(found)


def _about_means(columns: Sequence[SparseColumn], ones: int) -> tuple[tuple[SparseColumn, ...], Array]:
    """Return columns less a multiple of one of them, and the map to the original ones, shape (q, q).

    That one is of ones, or of the roots of weights. Levels with a scale take part of a column's mean alone, so that a
    large mean would cost digits.
    """
    found, back = list(columns), np.eye(len(columns))
    for k, one in enumerate(columns):
        if one.where is None and k != ones:
            back[ones, k] = one.values.mean()
            found[k] = SparseColumn(one.values - back[ones, k] * columns[ones].values)
    return tuple(found), back
