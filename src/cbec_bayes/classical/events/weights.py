"""What the two-way coefficient of adoption is a weighted sum of (de Chaisemartin and D'Haultfoeuille 2020)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cbec_bayes.panel.adoption import Adoption, Cells, cells_of
from cbec_bayes.panel.within import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoWayWeights:
    """Weights of the cells of cohort and period in the two-way coefficient of adoption.

    Attributes
    ----------
    cells
        The m treated cells.
    weight
        Shape (m,); they add up to one.
    row_weight
        Weight of every row, shape (n,); zero where it is not treated.
    """

    cells: Cells
    weight: Array
    row_weight: Array

    @property
    def n_negative(self) -> int:
        """Number of cells with a negative weight."""
        return int((self.weight < 0).sum())

    @property
    def negative_sum(self) -> float:
        """Sum of the negative weights; zero where there are none."""
        return float(self.weight[self.weight < 0].sum())

    def spread_for_zero(self, coefficient: float) -> float:
        """Return the smallest standard deviation of effects over cells with which their mean could be zero.

        Infinite where all cells have the same weight for each row: then the coefficient is the mean effect.
        """
        shares = self.cells.rows / self.cells.rows.sum()
        relative = self.weight / shares
        spread = math.sqrt(float(shares @ (relative - 1) ** 2))
        return abs(coefficient) / spread if spread > 0 else math.inf


def two_way_weights(adoption: Adoption) -> TwoWayWeights:
    """Return the weights of treated cells in the coefficient of a two-way regression on adoption and the controls.

    Notes
    -----
    With e the residual of adoption on unit effects, period effects and controls, the coefficient is the sum of
    e_it y_it over the sum of e_it over treated rows. Untreated outcomes that follow the effects and the controls add
    nothing to it, so that it is the sum of w_it times the effect in each treated row, w_it being e_it over that sum.
    The weights add up to one; where adoption is staggered, those of early cohorts in late periods can be negative.
    """
    design = adoption.design
    within = design.effects.within(design.x)
    left = within[:, 0]
    if within.shape[1] > 1:
        left = left - within[:, 1:] @ np.linalg.lstsq(within[:, 1:], left)[0]
    treated = adoption.treated
    row_weight = np.where(treated, left, 0.0) / left[treated].sum()
    cells = cells_of(adoption, leads=False)
    at = cells.code >= 0
    return TwoWayWeights(
        cells=cells,
        weight=np.bincount(cells.code[at], row_weight[at], minlength=cells.size),
        row_weight=row_weight,
    )
