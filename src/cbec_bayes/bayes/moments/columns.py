"""Columns of a model within a group, as sums of what gathered moments are of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cbec_bayes.bayes.moments.panel_moments import PanelMoments
from cbec_bayes.panel.within import Array


@dataclass(frozen=True, slots=True)
class Column:
    """A column that is, within a group, a sum of regressors and period indicators, or the unit means of one.

    Attributes
    ----------
    weights
        Weights of the outcome, the regressors and the period indicators, shape (q + T,).
    is_unit_mean
        Whether it is the means over units of that sum, so that it does not vary within a unit.
    is_common
        Whether its coefficient is that of all groups, so that an intercept makes up for a constant.
    """

    weights: Array
    is_unit_mean: bool = False
    is_common: bool = False


@dataclass(frozen=True, slots=True)
class GroupColumns:
    """Makes the columns of a model within one group of gathered moments.

    Attributes
    ----------
    moments
        Moments of the panel.
    group
        Position of the group; zero where there are no groups.
    """

    moments: PanelMoments
    group: int

    def is_of(self, label: str) -> bool:
        """Whether the group has this label."""
        return label == self.moments.groups[self.group]

    def outcome(self) -> Column:
        """Return the outcome."""
        return self._one(0)

    def regressor(self, term: int, *, is_common: bool = False, is_unit_mean: bool = False) -> Column:
        """Return a regressor by its position among the terms, or its unit means."""
        return self._one(1 + term, is_common=is_common, is_unit_mean=is_unit_mean)

    def period(self, time: int) -> Column:
        """Return the indicator of a period by its position."""
        return self._one(self.moments.n_columns + time)

    def constant(self) -> Column:
        """Return a column of ones: the sum of all period indicators."""
        return self.by_period(np.ones(len(self.moments.times)), is_common=False)

    def by_period(self, values: Array, *, is_common: bool = True) -> Column:
        """Return a column that depends on the period alone, from its values, shape (T,)."""
        return Column(np.r_[np.zeros(self.moments.n_columns), values], is_common=is_common)

    def _one(self, k: int, *, is_common: bool = False, is_unit_mean: bool = False) -> Column:
        weights = np.zeros(self.moments.n_columns + len(self.moments.times))
        weights[k] = 1.0
        return Column(weights, is_unit_mean, is_common)
