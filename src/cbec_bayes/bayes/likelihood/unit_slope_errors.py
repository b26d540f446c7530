"""Independent errors about flat unit effects and one slope of each unit, both integrated out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cbec_bayes.bayes.likelihood.independent import sigma_names
from cbec_bayes.bayes.likelihood.marginal import LOG_2PI, Scales
from cbec_bayes.bayes.likelihood.residual_covariance import (
    Conditionals,
    CrossProducts,
    RowsGivenOthers,
    UnitMeans,
    mean_names,
    weighted,
)
from cbec_bayes.bayes.likelihood.rows import (
    SlopesOfUnits,
    draw_unit_effects,
    independent_rows,
    normal_log_density,
    sigma_of_rows,
    sigma_of_units,
)
from cbec_bayes.bayes.model.blocks import Block, Blocks
from cbec_bayes.bayes.moments.by_unit import Moments
from cbec_bayes.bayes.moments.coded import Coded, products_by_unit
from cbec_bayes.bayes.moments.unit_slopes import UnitSlopes, UnitSums
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array, Codes, means_by
from cbec_bayes.runtime.errors import InputError

PRODUCTS_MAX = 100_000_000
"""Cross-products of units with columns that are held at once, where slopes of units are eliminated."""


@dataclass(frozen=True, slots=True)
class UnitSlopeErrors:
    """Errors of one scale, or of one per stratum, about flat unit effects and slopes c_i ~ N(0, kappa^2).

    Attributes
    ----------
    moments
        Moments of the outcome, then of every coefficient's column. Those within units are of what remains of these once
        the slopes are taken out.
    unit_slopes
        What the slopes take, by the label of the stratum.
    block
        The slopes: their name, their regressor, which may be time, and the symbol of kappa.
    groups
        Labels of the groups, in the order of the strata and of the codes in these; empty without groups.
    """

    moments: Moments
    unit_slopes: Mapping[str, UnitSlopes]
    block: Block
    groups: tuple[str, ...] = ()

    @property
    def kappa(self) -> str:
        """Symbol of the scale of the slopes."""
        assert self.block.scale is not None
        return self.block.scale

    @property
    def sigmas(self) -> tuple[str, ...]:
        """See `ErrorModel`."""
        return sigma_names(self.moments)

    @property
    def other_parameters(self) -> tuple[str, ...]:
        """See `ErrorModel`."""
        return (self.kappa,)

    @property
    def unit_means(self) -> tuple[str, ...]:
        """See `ResidualCovariance`."""
        return mean_names((self.block.name,), self.groups)

    def _strata(self, scales: Scales) -> dict[str, tuple[UnitSlopes, Array]]:
        """Return the slopes of every stratum and its ratio sigma^2 / kappa^2, by the name of the residual scale."""
        with np.errstate(divide="ignore"):
            return {
                name: (self.unit_slopes[label], (scales[name] / scales[self.kappa]) ** 2)
                for name, label in zip(self.sigmas, self.moments.strata, strict=True)
            }

    def _sums(self, scales: Scales) -> dict[str, UnitSums]:
        """Return what the slopes take, by the name of the residual scale."""
        return {name: slopes.sums(ratio) for name, (slopes, ratio) in self._strata(scales).items()}

    def cross_products(self, scales: Scales) -> CrossProducts:
        """See `ResidualCovariance`."""
        sums = self._sums(scales)
        weights: list[Array] = []
        constant: list[Array | float] = []
        strata = self.moments.strata.values()
        for (name, own), stratum in zip(sums.items(), strata, strict=True):
            sigma = scales[name]
            weights.append(1 / sigma**2)
            constant.append(-(stratum.n_obs * (np.log(sigma) + LOG_2PI / 2)))
            constant.append(-own.log_det)
            constant.append(stratum.n_units * (np.log(sigma) + LOG_2PI / 2))
            constant.append(-(stratum.log_sizes / 2))
        gram = weighted(weights, [stratum.within for stratum in strata])
        for name, own in sums.items():
            gram += own.gram / scales[name][:, None, None] ** 2
        return CrossProducts(gram, constant)

    def slopes(self, spread: Array, scales: Mapping[str, float]) -> Mapping[str, float]:
        """See `ResidualCovariance`."""
        found = dict.fromkeys((*self.sigmas, self.kappa), 0.0)
        for name, (label, stratum) in zip(self.sigmas, self.moments.strata.items(), strict=True):
            sigma = scales[name]
            found[name] += float(np.sum(spread * stratum.within)) / sigma**2 - stratum.n_obs
            by_sigma, by_kappa = self.unit_slopes[label].slopes(spread, sigma, scales[self.kappa])
            found[name] += by_sigma
            found[self.kappa] += by_kappa
            found[name] += stratum.n_units
        return found

    def means_over_units(self, scales: Scales) -> UnitMeans | None:
        """See `ResidualCovariance`: what the outcome has of a mean slope less what the coefficients have of it."""
        pulls, sds = [], []
        for name, (slopes, ratio) in self._strata(scales).items():
            sums, n_units = slopes.sums_of_groups(ratio), np.bincount(slopes.group)
            pulls.append(sums.pull / n_units[:, None])
            sds.append(scales[name][:, None] * np.sqrt(sums.spread) / n_units)
        sd = np.concatenate(sds, axis=1)
        return UnitMeans(np.concatenate(pulls, axis=1), sd[:, :, None] * np.eye(sd.shape[1]))

    def row_log_density(self, design: Design, residual: Array, scales: Scales) -> Array:
        """See `ErrorModel`."""
        return normal_log_density(residual, sigma_of_rows(design, self.sigmas, scales))

    def draw_units(
        self, blocks: Blocks, coefficients: Array, scales: Scales, rng: np.random.Generator
    ) -> dict[str, Array]:
        """See `ErrorModel`."""
        squares, products = unit_products(blocks)
        pull = products[:, 0] - coefficients @ products[:, 1:].T
        sigma = sigma_of_units(blocks.design, self.sigmas, scales)
        kappa = scales[self.kappa][:, None]
        with np.errstate(divide="ignore"):
            total = squares + (sigma / kappa) ** 2
        slopes = np.asarray(pull / total + sigma / np.sqrt(total) * rng.standard_normal(pull.shape))
        effects = draw_unit_effects(blocks, coefficients, slopes, (sigma**2, None), rng)
        return {self.block.name: slopes, "unit_effect": effects}

    def rows_given_others(
        self, blocks: Blocks, rows: Codes, scales: Scales, conditionals: Conditionals
    ) -> RowsGivenOthers:
        """See `ErrorModel`."""
        design = blocks.design
        unit = design.unit[rows]
        squares, products = (found[unit] for found in unit_products(blocks))
        regressor = blocks.eliminated[0].regressors
        centred = regressor[rows, 0] - means_by(design.unit, regressor)[unit, 0]
        slopes = SlopesOfUnits(squares, products, centred, scales[self.kappa][:, None])
        variance = sigma_of_rows(design, self.sigmas, scales, rows) ** 2
        return independent_rows(blocks, rows, (variance, None), conditionals, slopes)


def unit_products(blocks: Blocks) -> tuple[Array, Array]:
    """Return cross-products of the slopes' regressor in each unit: with itself, (N,), with outcome and columns (N, p).

    Raises
    ------
    InputError
        They are too many to be held.
    """
    design = blocks.design
    starts = np.cumsum([1, *(block.size for block in blocks.every)])
    kept = [0, *(int(at) + k for at, block in zip(starts, blocks.every, strict=False) for k in block.kept)]
    if len(design.units) * len(kept) > PRODUCTS_MAX:
        raise InputError(
            f"slopes of {len(design.units)} units beside {len(kept) - 1} coefficients need more memory than is "
            f"reasonable; the model '{blocks.model.name}' needs fewer groups or units"
        )
    parts = [Coded(design.y[:, None]), *(block.coded for block in blocks.every)]
    squares, products = products_by_unit(parts, blocks.eliminated[0].regressors[:, 0], design.unit, len(design.units))
    return squares, products[:, kept]
