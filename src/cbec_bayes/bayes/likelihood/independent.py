"""Independent errors, with flat or random unit effects: cross-products by stratum and size of unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cbec_bayes.bayes.likelihood.marginal import LOG_2PI, Scales
from cbec_bayes.bayes.likelihood.residual_covariance import (
    Conditionals,
    CrossProducts,
    RowsGivenOthers,
    UnitMeans,
    weighted,
)
from cbec_bayes.bayes.likelihood.rows import (
    draw_unit_effects,
    independent_rows,
    normal_log_density,
    sigma_of_rows,
    sigma_of_units,
)
from cbec_bayes.bayes.model.blocks import Blocks
from cbec_bayes.bayes.moments.by_unit import Moments
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array, Codes


def sigma_names(moments: Moments) -> tuple[str, ...]:
    """Return the name of each stratum's residual scale: ``sigma``, or ``sigma[east]``."""
    return tuple(f"sigma[{label}]" if label else "sigma" for label in moments.strata)


@dataclass(frozen=True, slots=True)
class IndependentErrors:
    """Errors of one scale, or of one per stratum, about unit effects that are integrated out.

    Attributes
    ----------
    moments
        Moments of the outcome, then of every coefficient's column.
    unit_scale
        Name of the unit effects' scale; None where they are flat.
    absorbed
        Number of flat coefficients that the moments are already free of.
    """

    moments: Moments
    unit_scale: str | None
    absorbed: int = 0

    @property
    def sigmas(self) -> tuple[str, ...]:
        """See `ErrorModel`."""
        return sigma_names(self.moments)

    @property
    def other_parameters(self) -> tuple[str, ...]:
        """See `ErrorModel`."""
        return () if self.unit_scale is None else (self.unit_scale,)

    @property
    def unit_means(self) -> tuple[str, ...]:
        """See `ResidualCovariance`."""
        return ()

    def cross_products(self, scales: Scales) -> CrossProducts:
        """See `ResidualCovariance`."""
        weights: list[Array] = []
        matrices: list[Array] = []
        constant: list[Array | float] = []
        for name, stratum in zip(self.sigmas, self.moments.strata.values(), strict=True):
            sigma = scales[name]
            weights.append(1 / sigma**2)
            matrices.append(stratum.within)
            constant.append(-((stratum.n_obs - self.absorbed) * (np.log(sigma) + LOG_2PI / 2)))
            if self.unit_scale is None:
                constant.append(stratum.n_units * (np.log(sigma) + LOG_2PI / 2))
                constant.append(-(stratum.log_sizes / 2))
                continue
            ratio = scales[self.unit_scale] ** 2 / sigma**2
            for size, count, between in zip(stratum.sizes, stratum.counts, stratum.between, strict=True):
                weights.append(1 / (sigma**2 * (1 + size * ratio)))
                matrices.append(between)
                constant.append(-(count / 2 * np.log1p(size * ratio)))
        return CrossProducts(weighted(weights, matrices), constant)

    def slopes(self, spread: Array, scales: Mapping[str, float]) -> Mapping[str, float]:
        """See `ResidualCovariance`."""
        found = dict.fromkeys(self.sigmas, 0.0)
        by_unit_scale = 0.0
        for name, stratum in zip(self.sigmas, self.moments.strata.values(), strict=True):
            sigma = scales[name]
            found[name] += float(np.sum(spread * stratum.within)) / sigma**2 - stratum.n_obs + self.absorbed
            if self.unit_scale is None:
                found[name] += stratum.n_units
                continue
            mu = scales[self.unit_scale]
            for size, count, between in zip(stratum.sizes, stratum.counts, stratum.between, strict=True):
                total = sigma**2 + size * mu**2
                pull = float(np.sum(spread * between)) / total**2
                found[name] += pull * sigma**2 + count * size * mu**2 / total
                by_unit_scale += pull * size * mu**2 - count * size * mu**2 / total
        return found if self.unit_scale is None else found | {self.unit_scale: by_unit_scale}

    def means_over_units(self, scales: Scales) -> UnitMeans | None:
        """See `ResidualCovariance`."""
        return None

    def row_log_density(self, design: Design, residual: Array, scales: Scales) -> Array:
        """See `ErrorModel`."""
        return normal_log_density(residual, sigma_of_rows(design, self.sigmas, scales) / design.root)

    def draw_units(
        self, blocks: Blocks, coefficients: Array, scales: Scales, rng: np.random.Generator
    ) -> dict[str, Array]:
        """See `ErrorModel`."""
        variances = sigma_of_units(blocks.design, self.sigmas, scales) ** 2, self._effect_variance(scales)
        return {"unit_effect": draw_unit_effects(blocks, coefficients, None, variances, rng)}

    def rows_given_others(
        self, blocks: Blocks, rows: Codes, scales: Scales, conditionals: Conditionals
    ) -> RowsGivenOthers:
        """See `ErrorModel`."""
        variances = sigma_of_rows(blocks.design, self.sigmas, scales, rows) ** 2, self._effect_variance(scales)
        return independent_rows(blocks, rows, variances, conditionals)

    def _effect_variance(self, scales: Scales) -> Array | None:
        return None if self.unit_scale is None else scales[self.unit_scale][:, None] ** 2
