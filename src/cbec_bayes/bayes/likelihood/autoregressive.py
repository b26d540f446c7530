"""Errors that are correlated over time within units, AR(1); unit effects are among the coefficients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cbec_bayes.bayes.likelihood.conditional import DenseConditional
from cbec_bayes.bayes.likelihood.marginal import LOG_2PI, Scales
from cbec_bayes.bayes.likelihood.residual_covariance import (
    Conditionals,
    CrossProducts,
    RowsGivenOthers,
    UnitMeans,
    weighted,
)
from cbec_bayes.bayes.likelihood.rows import autoregressive_log_density, sigma_of_rows
from cbec_bayes.bayes.model.blocks import Blocks
from cbec_bayes.bayes.model.densities import RHO
from cbec_bayes.bayes.moments.lagged import Lagged, previous_rows
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array, Codes

SIGMA = "sigma"


@dataclass(frozen=True, slots=True)
class AutoregressiveErrors:
    """Stationary errors e_t = rho^g e_(t-1) + u_t of standard deviation sigma, g the gap in time.

    Attributes
    ----------
    lagged
        Cross-products of the outcome and every coefficient's column, and of these with the unit's row before.
    """

    lagged: Lagged

    @property
    def sigmas(self) -> tuple[str, ...]:
        """See `ErrorModel`."""
        return (SIGMA,)

    @property
    def other_parameters(self) -> tuple[str, ...]:
        """See `ErrorModel`."""
        return (RHO,)

    @property
    def has_unit_effects(self) -> bool:
        """See `ErrorModel`."""
        return True

    @property
    def unit_means(self) -> tuple[str, ...]:
        """See `ResidualCovariance`."""
        return ()

    def cross_products(self, scales: Scales) -> CrossProducts:
        """See `ResidualCovariance`."""
        sigma, rho = scales[SIGMA], scales[RHO]
        gram = weighted(self.lagged.weights(rho, sigma), self.lagged.matrices())
        return CrossProducts(gram, [-(self.lagged.n_obs * (np.log(sigma) + LOG_2PI / 2)), -self.lagged.log_det(rho)])

    def slopes(self, spread: Array, scales: Mapping[str, float]) -> Mapping[str, float]:
        """See `ResidualCovariance`."""
        by_sigma, by_rho = self.lagged.slopes(spread, scales[RHO], scales[SIGMA])
        return {SIGMA: by_sigma - self.lagged.n_obs, RHO: by_rho * (1 - scales[RHO] ** 2)}

    def means_over_units(self, scales: Scales) -> UnitMeans | None:
        """See `ResidualCovariance`."""
        return None

    def row_log_density(self, design: Design, residual: Array, scales: Scales) -> Array:
        """See `ErrorModel`."""
        return autoregressive_log_density(design, residual, sigma_of_rows(design, self.sigmas, scales), scales[RHO])

    def draw_units(
        self, blocks: Blocks, coefficients: Array, scales: Scales, rng: np.random.Generator
    ) -> dict[str, Array]:
        """See `ErrorModel`."""
        return {}

    def rows_given_others(
        self, blocks: Blocks, rows: Codes, scales: Scales, conditionals: Conditionals
    ) -> RowsGivenOthers:
        """See `ErrorModel`."""
        near = np.isin(blocks.design.unit, blocks.design.unit[rows])  # errors of other units are independent of theirs
        design, x = blocks.design.rows(near), blocks.x[near]
        own = np.arange(blocks.n_coefficients)[blocks.positions["unit_effect"]]
        common = np.setdiff1d(np.arange(blocks.n_coefficients), own)
        effect = own[blocks.design.unit[near]]  # a row's own column of the unit effects; it has nothing of the others
        at = np.searchsorted(np.flatnonzero(near), rows)
        previous, gap = previous_rows(design)
        now = np.flatnonzero(gap > 0)
        before = previous[now]
        pull, precision, known = np.empty((3, len(scales[RHO]), design.n_obs))
        for part, given_all in conditionals:
            assert isinstance(given_all, DenseConditional)
            for s, mean, root in zip(range(len(pull))[part], given_all.mean, given_all.root, strict=True):
                carried = np.zeros(design.n_obs)
                carried[now] = scales[RHO][s] ** gap[now]
                variance = scales[SIGMA][s] ** 2 * (1 - carried**2)

                def inverse(columns: Array, carried: Array = carried, variance: Array = variance) -> Array:
                    """Return the inverse covariance of the residuals times columns, shape (n, q)."""
                    left = columns.copy()
                    left[now] -= carried[now, None] * columns[before]
                    left /= variance[:, None]
                    found = left.copy()
                    found[before] -= carried[now, None] * left[now]
                    return found

                found = inverse(np.column_stack([design.y - x @ mean, np.ones(design.n_obs), x[:, common]]))
                pull[s] = found[:, 0]
                known[s] = 1 / variance
                known[s, before] += carried[now] ** 2 / variance[now]
                directions = found[:, 2:] @ root[common] + found[:, 1:2] * root[effect]
                precision[s] = known[s] - np.einsum("nq,nq->n", directions, directions)
        return RowsGivenOthers(pull[:, at], precision[:, at], known[:, at])
