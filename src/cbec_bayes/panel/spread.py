"""Standard deviations of a panel's columns, in total and within: what priors are measured in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cbec_bayes.panel.within import Array, TwoWay, means_by

COLLINEAR = 1e-9
"""A column of which others, or the effects, leave less than this share of its spread is collinear with them."""

_EPSILON = float(np.finfo(float).eps)


@dataclass(frozen=True, slots=True)
class Spread:
    """Standard deviations of the outcome, the regressors and the periods.

    Attributes
    ----------
    total
        Standard deviations of the outcome and the K regressors over all rows, shape (1 + K,). Where rows have weights,
        these and the other sums of squares are weighted sums about weighted means.
    within
        Standard deviations of what remains of them once the effects of units and periods are taken out, shape (1 + K,):
        the sum of squares over the n rows less the rank of the effects. Adding a number to all rows of a unit, or of a
        period, changes nothing. A column of which nothing remains, such as one that is constant within units, has its
        total one here.
    elapsed
        Standard deviation of the periods less their mean over each unit's rows: the sum of squares over n less the
        number of units. The total one where no unit has two rows.
    """

    total: Array
    within: Array
    elapsed: float

    @classmethod
    def of_ones(cls, n_columns: int) -> Spread:
        """Return the spread of columns that are measured in their own units."""
        return cls(np.ones(n_columns), np.ones(n_columns), 1.0)

    def of(self, columns: Sequence[int]) -> Spread:
        """Return the spread of some columns, by their positions; the outcome is at 0."""
        at = list(columns)
        return replace(self, total=self.total[at], within=self.within[at])


def spread_of(columns: Iterable[Array], elapsed: Array, effects: TwoWay) -> Spread:
    """Return the spread of columns, each of shape (n,), the outcome first.

    Parameters
    ----------
    columns
        One after another: what the effects leave of all at once would be as large as the panel.
    elapsed
        Periods that have passed at every row, shape (n,).
    effects
        Effects of units and periods.
    """
    n = effects.n_obs
    total, within = [], []
    for column in columns:
        total.append(_total(column, effects))
        left = float(np.linalg.norm(effects.within(column)))
        nothing = max(COLLINEAR * total[-1] * np.sqrt(n - 1), _EPSILON * float(np.linalg.norm(column)))
        within.append(left / np.sqrt(n - effects.rank) if left > nothing and n > effects.rank else total[-1])
    since = effects.root * (elapsed - means_by(effects.unit, elapsed[:, None], effects.weight)[effects.unit, 0])
    free = n - effects.n_units
    own = float(np.sqrt(since @ since / free)) if since.any() and free > 0 else _total(elapsed, effects)
    return Spread(np.array(total), np.array(within), own)


def _total(column: Array, effects: TwoWay) -> float:
    """Return the standard deviation of a column, shape (n,), about its mean, both weighted where rows have weights."""
    if effects.weight is None:
        return float(column.std(ddof=1))
    about = column - np.average(column, weights=effects.weight)
    return float(np.sqrt(effects.weight @ about**2 / (len(column) - 1)))
