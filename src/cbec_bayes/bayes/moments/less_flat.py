"""Moments of columns less all that flat coefficients of units, as trends beside levels, take of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from cbec_bayes.bayes.moments.by_unit import Moments, Stratum
from cbec_bayes.bayes.moments.coded import Coded
from cbec_bayes.bayes.moments.group_columns import columns_in, distinct
from cbec_bayes.bayes.moments.unit_directions import Direction, directions_of
from cbec_bayes.panel.within import Array, Codes

_LAID_OUT = 2**18  # numbers of columns that are laid out at once


def moments_less_flat(
    parts: Sequence[Coded], names: Sequence[str], *, unit: Codes, group: Codes, flat: Sequence[Direction], root: Array
) -> Moments:
    """Accumulate the moments of coded columns, less what flat directions of units take.

    Parameters
    ----------
    parts, names
        As in `cbec_bayes.bayes.moments.coded.moments_of_coded`.
    unit, group
        Codes of units and of groups, shape (n,). No unit is of two groups.
    flat
        Directions with flat coefficients, times the roots of weights.
    root
        Roots of the rows' weights, shape (n,), by which parts are not multiplied yet.

    Returns
    -------
    Moments
        Those of one stratum. What directions take stands in the place of what lies between units, so that both together
        are the cross-products of all rows; units are of one size, which stands for none.
    """
    p = sum(part.size for part in parts)
    within, taken = np.zeros((p, p)), np.zeros((p, p))
    for r in range(int(group.max(initial=0)) + 1):
        rows = np.flatnonzero(group == r)
        rows = rows[np.argsort(unit[rows], kind="stable")]
        columns, select = distinct([one for part in parts for one in columns_in(rows, part, range(part.size), root)])
        codes = np.unique(unit[rows], return_inverse=True)[1]
        of_rows = [Direction(one.name, None, one.regressor[rows]) for one in flat]
        inner = np.zeros((2, len(columns), len(columns)))
        n_units = int(codes.max(initial=-1)) + 1
        step = max(1, _LAID_OUT * n_units // max(1, len(columns) * len(rows)))
        edges = np.searchsorted(codes, np.arange(0, n_units + step, step))
        for start, stop in pairwise(map(int, edges)):
            own = slice(start, stop)
            here = [Direction(one.name, None, one.regressor[own]) for one in of_rows]
            laid_out = np.column_stack([one.part(own) for one in columns])
            left, _ = directions_of(codes[own] - codes[start], here).reduced(laid_out)
            inner += left.T @ left, laid_out.T @ laid_out
        within += select.T @ inner[0] @ select
        taken += select.T @ (inner[1] - inner[0]) @ select
    counts = np.array([len(np.unique(unit))])
    stratum = Stratum(
        n_obs=len(unit),
        within=within,
        sizes=np.ones(1, dtype=np.int64),
        counts=counts,
        between=taken[None],
        log_sizes=0.0,
    )
    return Moments(tuple(names), {"": stratum})
