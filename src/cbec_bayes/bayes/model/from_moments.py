"""From moments of a panel to those of a model's columns, without a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.bayes.model.block import Block
from cbec_bayes.bayes.model.family import PanelModel
from cbec_bayes.bayes.model.terms import TERMS, term_of
from cbec_bayes.bayes.moments.by_unit import Moments, Stratum
from cbec_bayes.bayes.moments.columns import Column, GroupColumns
from cbec_bayes.bayes.moments.panel_moments import PanelMoments
from cbec_bayes.panel.collinear import identified_by_moments
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import InputError


def require_moments_enough(found: PanelMoments, model: PanelModel) -> None:
    """Raise `InputError` where a model needs more of a panel than its moments."""
    for key, choice in model.every_choice.items():
        if TERMS[key].needs_rows(choice):
            raise InputError(
                f"the model '{model.name}' needs rows for its {TERMS[key].label}: a file of moments "
                "holds neither single units nor the order of periods"
            )
    if found.between is None and model.choice("unit_effect") != "fixed":
        raise InputError(
            f"the model '{model.name}' needs cross-products between units, which this file of moments lacks; "
            "run `cbec-bayes moments` without --no-between"
        )


def model_moments(
    found: PanelMoments, model: PanelModel, blocks: Sequence[Block], names: Sequence[str]
) -> tuple[Moments, Array]:
    """Return the moments of the outcome and of every column of a model.

    Parameters
    ----------
    found
        Moments of the panel.
    model
        One that `require_moments_enough` lets pass.
    blocks, names
        Its blocks in order; the names of the outcome and of all their columns.

    Returns
    -------
    moments, shift
        Where the model has an intercept the columns of common coefficients are less a constant, `shift`, one per name,
        which the intercept makes up for: a large mean would cost digits.

    Notes
    -----
    Within a group every column is a sum of regressors and period indicators, so that its cross-products are sums of
    theirs. Means over units (Mundlak terms) have none within units, and between units those of what they are means of.
    """
    by_group = model.residuals.by_group and len(found.groups) > 1
    labels = found.groups if by_group else ("",)
    p = len(names)
    shift = np.zeros(p)
    sums: list[tuple[Array, Array]] = [
        (np.zeros((p, p)), np.zeros((len(found.sizes), p, p))) for _ in range(len(labels))
    ]
    for r in range(len(found.within)):
        at, inside, across, own_shift = _sums(found, model, blocks, r)
        shift[at] = own_shift
        within, between = sums[r if by_group else 0]
        own = np.ix_(at, at)
        within[own] += inside.T @ found.within[r] @ inside
        if found.between is not None:
            for m in np.flatnonzero(found.counts[r]):
                between[m][own] += across.T @ found.between[r, m] @ across
    strata = {}
    for s, label in enumerate(labels):
        counts = found.counts[s] if by_group else found.counts.sum(axis=0)
        kept = counts > 0
        within, between = sums[s]
        strata[label] = Stratum(
            n_obs=int(counts @ found.sizes),
            within=(within + within.T) / 2,
            sizes=found.sizes[kept],
            counts=counts[kept],
            between=between[kept],
            log_sizes=float(counts @ np.log(found.sizes)),
        )
    return Moments(tuple(names), strata), shift


def _sums(
    found: PanelMoments, model: PanelModel, blocks: Sequence[Block], r: int
) -> tuple[NDArray[np.intp], Array, Array, Array]:
    """Return which columns are not zero in a group, what they are sums of within and between units, and shifts."""
    q = found.n_columns
    movable = model.choice("unit_effect") != "fixed"
    periods = found.period_counts.sum(axis=0) / found.n_obs
    at: list[int] = []
    inside: list[Array] = []
    across: list[Array] = []
    shifts: list[float] = []
    for position, column in _columns(blocks, GroupColumns(found, r)):
        base = column.weights
        whole = base.copy()
        whole[q:] += float(base[:q] @ found.centre)  # columns are stored about a centre
        level = float(base[:q] @ found.centre + base[q:] @ periods) if column.is_common and movable else 0.0
        whole[q:] -= level
        shifts.append(level)
        at.append(position)
        inside.append(np.zeros_like(base) if column.is_unit_mean else base)
        across.append(whole)
    return np.array(at, dtype=np.intp), np.column_stack(inside), np.column_stack(across), np.array(shifts)


def _columns(blocks: Sequence[Block], of: GroupColumns) -> Iterator[tuple[int, Column]]:
    """Yield the outcome and every column that is not zero in a group, with its position."""
    yield 0, of.outcome()
    position = 1
    for block in blocks:
        term = term_of(block.name)
        assert term is not None
        for k, label in enumerate(product(*block.labels)):
            column = term.column(block, k, label, of)
            if column is not None:
                yield position, column
            position += 1


def scale_of(squares: Array, counted: NDArray[np.bool_]) -> tuple[Array, NDArray[np.bool_]]:
    """Return what `identified_by_moments` measures gathered columns by: their own squares within units.

    These are exact to their last digits, however large means and differences between units are. A column that does not
    vary within units has exactly zero, and is left out like a count.
    """
    nothing = squares <= 0
    return np.where(nothing, 1.0, squares), counted | nothing


def two_way_slopes(found: PanelMoments, group: str | None = None) -> Array | None:
    """Return the slopes of the two-way regression on all rows, or on a group's, shape (K,).

    None where some are not identified.
    """
    q = found.n_columns
    within = found.within.sum(axis=0) if group is None else found.within[found.groups.index(group)]
    # Period indicators come first: what they and the unit means leave of a regressor is what it is identified by.
    order = np.r_[np.arange(q, len(within)), np.arange(1, q)]
    squares, counted = scale_of(np.diag(within)[order], order >= q)
    kept = identified_by_moments(within[np.ix_(order, order)], squares, counted)
    if kept is None or sum(k >= len(order) - (q - 1) for k in kept) < q - 1:
        return None
    at = order[list(kept)]
    found_slopes = np.linalg.solve(within[np.ix_(at, at)], within[at, 0])
    return np.asarray(found_slopes[-(q - 1) :])
