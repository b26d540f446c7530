"""Single rows given all others and the scales: their distances from what the others predict, and their densities."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from cbec_bayes.bayes.likelihood.collapsed import Collapsed
from cbec_bayes.bayes.likelihood.conditional import Conditional, chunks
from cbec_bayes.bayes.likelihood.marginal import LOG_2PI
from cbec_bayes.bayes.model.blocks import Blocks
from cbec_bayes.panel.within import Array, Codes

_SPENT = 1e-9  # of a row's precision: what is left of it where the row alone identifies a coefficient
_CHUNK = 2**20


type Visit = Callable[[Conditional], None]
"""What is called with the coefficients given each part of some points of the scales, part by part and in order."""


def distances(
    blocks: Blocks, collapsed: Collapsed, points: Array, rows: Codes, visit: Visit | None = None
) -> tuple[Array, Array]:
    """Return how far rows lie from their predictions in predictive sds, and these, shape (S, rows); NaN without one.

    With Q the inverse covariance of the outcome given scales, flat coefficients projected out, a row given all others
    is normal about y_i - (Qy)_i / Q_ii with variance 1 / Q_ii.

    Parameters
    ----------
    blocks, collapsed
        Model and design; the density.
    points
        Values of the scales, shape (S, k).
    rows
        Positions of the rows.
    visit
        Called with the coefficients given the scales on the way: whoever draws them need not compute them again.
    """
    scales, likelihood = collapsed.scales(points), collapsed.likelihood

    def conditionals() -> Iterator[tuple[slice, Conditional]]:
        for part in chunks(len(points), likelihood.conditional_size):
            own = {name: values[part] for name, values in scales.items()}
            found = likelihood.compact_conditional(own, means=False)
            if visit is not None:
                visit(found)
            yield part, found

    others = collapsed.errors.rows_given_others(blocks, rows, scales, conditionals())
    spread = 1 / np.sqrt(np.where(others.precision > _SPENT * others.known, others.precision, np.nan))
    return others.pull * spread, spread


def row_densities(
    blocks: Blocks, collapsed: Collapsed, points: Array, visit: Visit | None = None
) -> tuple[Array, Codes]:
    """Return the log density of every row given all others and the scales.

    Parameters
    ----------
    blocks, collapsed, points, visit
        As for `distances`.

    Returns
    -------
    densities, rows
        Shape (S, rows), and the positions of the rows that have one: the others do not identify the model without them.
    """
    n = blocks.design.n_obs
    found = np.empty((len(points), n))
    step = max(1, _CHUNK // n)
    for start in range(0, len(points), step):
        part = slice(start, start + step)
        distance, spread = distances(blocks, collapsed, points[part], np.arange(n), visit)
        found[part] = -(distance**2 + LOG_2PI) / 2 - np.log(spread)
    there = np.flatnonzero(~np.isnan(found).any(axis=0))
    return (found if len(there) == n else found[:, there]), there
