"""Which flat coefficients of a model are identified, from rows or from moments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from cbec_bayes.bayes.model.block import Block, Role, names_of
from cbec_bayes.bayes.model.from_moments import scale_of
from cbec_bayes.bayes.moments.by_unit import Moments
from cbec_bayes.panel.collinear import identified, identified_by_moments
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import InputError

# Effects come first, so that what is collinear with them is the regressor, which is named; Mundlak terms come last.
_PRIORITY: dict[Role, int] = {"effect": 0, "slope": 1, "mean": 2}


def identified_by_rows(flat: Sequence[Block], within: Callable[[Array], Array], design: Design) -> tuple[Block, ...]:
    """Leave out what unit effects, or the flat columns before, already span: reference periods, repeated means.

    Parameters
    ----------
    flat
        Blocks without a scale.
    within
        Returns what flat effects, and flat trends, of units leave of columns: only that counts.
    design
        Whose regressors they are: the first is that of slopes without a name of their own, and how they are rounded
        tells what is nothing.

    Raises
    ------
    InputError
        A slope is not identified.
    """
    order = _order(flat)
    columns = np.column_stack([flat[i].columns for i in order])
    rounding = np.concatenate([_rounding(flat[i], design) for i in order])
    return _keeping(
        flat, order, identified(columns, within(columns), about_mean=False, rounding=rounding), design.terms[0]
    )


def _rounding(block: Block, design: Design) -> Array:
    """Return the norm of the rounding of a block's columns, shape (q,); zero of what is none of its regressors."""
    found = np.zeros((block.regressors.shape[1], block.width))
    if design.rounding is not None and block.role == "slope":
        sizes = np.linalg.norm(block.columns, axis=0).reshape(found.shape)
        for k, column in enumerate(block.regressors.T):
            own = np.flatnonzero((design.x == column[:, None]).all(axis=0))
            found[k] = design.rounding[own[0]] * sizes[k] if own.size else 0.0
    return found.ravel()


def identified_in_moments(
    moments: Moments,
    flat: Sequence[Block],
    pooled: Sequence[Block],
    *,
    exposure: str,
    demean: bool,
    precise: bool = False,
) -> tuple[tuple[Block, ...], Moments] | None:
    """Return the flat blocks with what is identified, and the moments of that and of the pooled blocks.

    None where the moments cannot tell what it is.

    Parameters
    ----------
    moments
        Moments of the outcome and every column of the blocks, in order.
    flat, pooled
        Blocks without and with a scale.
    exposure
        As in `identified_by_rows`.
    demean
        Whether unit effects are flat, so that only what varies within units counts.
    precise
        Whether the moments lost no digits to means of units: they are then measured by themselves.

    Raises
    ------
    InputError
        A slope is not identified.
    """
    every = (*flat, *pooled)
    inner, total = moments.inner(demean=demean), moments.inner(demean=False)
    start = np.cumsum([1, *(block.size for block in every)])
    order = _order(flat)
    at = np.concatenate([np.arange(start[i], start[i + 1]) for i in order])
    counts = np.concatenate([np.full(flat[i].size, flat[i].role == "effect") for i in order])
    squares = np.diag(total)[at]
    if precise:
        squares, counts = scale_of(np.diag(inner)[at], counts)
    found = identified_by_moments(inner[np.ix_(at, at)], squares, counts)
    if found is None:
        return None
    own = _keeping(flat, order, found, exposure)
    widths = {block.name: set(block.kept) for block in (*own, *pooled)}
    kept = [0, *(start[i] + k for i, b in enumerate(every) for k in sorted(widths.get(b.name, ())))]
    return own, moments.keeping(kept)


def _order(flat: Sequence[Block]) -> list[int]:
    """Return the order in which columns are looked at: of a collinear set the last are left out."""
    return sorted(range(len(flat)), key=lambda i: _PRIORITY[flat[i].role])


def _keeping(
    flat: Sequence[Block], order: Sequence[int], identified: Sequence[int], exposure: str
) -> tuple[Block, ...]:
    """Return blocks with the identified of their coefficients, whose positions run through the blocks in order."""
    kept = set(identified)
    found: dict[int, tuple[int, ...]] = {}
    at = 0
    for i in order:
        width = flat[i].size
        found[i] = tuple(k for k in range(width) if at + k in kept)
        at += width
        if flat[i].role == "slope" and len(found[i]) < width:
            lost = next(k for k in range(width) if k not in found[i])
            raise InputError(
                f"the slope {names_of(flat[i])[lost]} is not identified: the column does not vary beyond the effects "
                "and the other regressors, or too little for its size",
                column=_column_of(flat[i], lost, exposure),
            )
    return tuple(replace(block, kept=found[i]) for i, block in enumerate(flat) if found[i])


def _column_of(block: Block, position: int, exposure: str) -> str:
    """Return the column that a coefficient is a slope of."""
    at = np.unravel_index(position, block.shape)
    return next(
        (block.labels[k][at[k]] for k, dim in enumerate(block.dims) if dim in ("coef", "exposure_beside")), exposure
    )
