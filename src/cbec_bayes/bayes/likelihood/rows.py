"""Single rows and units where errors are independent given the effects: shared by the mechanisms of such errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cbec_bayes.bayes.likelihood.conditional import DenseConditional, SeparatedConditional
from cbec_bayes.bayes.likelihood.forms import Forms
from cbec_bayes.bayes.likelihood.marginal import LOG_2PI, Scales
from cbec_bayes.bayes.likelihood.residual_covariance import Conditionals, RowsGivenOthers
from cbec_bayes.bayes.model.blocks import Blocks
from cbec_bayes.bayes.moments.lags import Lags
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array, Codes, means_by


@dataclass(frozen=True, slots=True)
class SlopesOfUnits:
    """What the slopes of units that are integrated out need of the N units, or of the units of some rows.

    Attributes
    ----------
    squares, products
        Cross-products of their regressor within each unit: with itself, (N,), with outcome and columns, (N, 1 + p).
    regressor
        The regressor in each row, less the unit's mean, shape (n,).
    kappa
        Scale of the slopes, shape (S, 1).
    """

    squares: Array
    products: Array
    regressor: Array
    kappa: Array


def sigma_of_rows(design: Design, sigmas: Sequence[str], scales: Scales, rows: Codes | None = None) -> Array:
    """Return the residual scale of every row, or of some, shape (S, n), from the names of the strata's scales.

    It is that of a row whose weight is one.
    """
    by_stratum = np.stack([scales[name] for name in sigmas], axis=1)
    group = design.group
    codes = np.zeros(design.n_obs, dtype=np.intp) if len(sigmas) == 1 or group is None else group
    return np.asarray(by_stratum[:, codes if rows is None else codes[rows]])


def sigma_of_units(design: Design, sigmas: Sequence[str], scales: Scales) -> Array:
    """Return the residual scale of every unit, that of its first row, shape (S, N)."""
    return sigma_of_rows(design, sigmas, scales, np.unique(design.unit, return_index=True)[1])


def totals_by_unit(design: Design) -> Array:
    """Return how many rows every unit has, or what these weigh together, shape (N,)."""
    return np.bincount(design.unit, design.weight).astype(float)


def normal_log_density(residual: Array, sigma: Array) -> Array:
    """Return the log density of normal residuals with standard deviations, elementwise."""
    return -((residual / sigma) ** 2 + LOG_2PI) / 2 - np.log(sigma)


def stepwise_log_density(lags: Lags, residual: Array, sigma: Array, rho: Array | None) -> Array:
    """Return the log density of every row's residual given the unit's row before, all of shape (S, n) but rho, (S,)."""
    left, spread, steps = residual.copy(), sigma.copy(), lags.steps
    spread[:, steps.first] *= np.sqrt(np.reshape(lags.step(0, rho)[1], (-1, 1)))
    for gap, now, before in zip(steps.gaps, steps.rows, steps.before, strict=True):
        carried, variance = (np.reshape(one, (-1, 1)) for one in lags.step(gap, rho))
        left[:, now] -= carried * residual[:, before]
        spread[:, now] *= np.sqrt(variance)
    return normal_log_density(left, spread)


def shrinkage(mean_variance: Array, effect_variance: Array | None) -> Array:
    """Return the share of a unit's mean residual that its effect takes; one where effects are flat (no variance)."""
    if effect_variance is None:
        return np.ones_like(mean_variance)
    return effect_variance / (effect_variance + mean_variance)


def draw_unit_effects(
    blocks: Blocks,
    coefficients: Array,
    slopes: Array | None,
    variances: tuple[Array, Array | None],
    rng: np.random.Generator,
) -> Array:
    """Draw unit effects given all else: about the unit's mean residual, drawn to zero where the effect is random.

    Parameters
    ----------
    blocks
        Model and design.
    coefficients, slopes
        Draws of the coefficients, shape (S, p), and of slopes of units beside them, shape (S, N); None without these.
    variances
        Variances of the residuals of each unit, shape (S, N), and of the effects, (S, 1); None where these are flat.
    rng
        Source of the draws.
    """
    design = blocks.design
    means = means_by(design.unit, np.column_stack([design.y, blocks.x]), design.weight)
    residual = means[:, 0] - coefficients @ means[:, 1:].T
    if slopes is not None:
        residual -= slopes * means_by(design.unit, blocks.eliminated[0].regressors)[:, 0]
    variance = variances[0] / totals_by_unit(design)
    share = shrinkage(variance, variances[1])
    return np.asarray(share * residual + np.sqrt(share * variance) * rng.standard_normal(residual.shape))


def independent_rows(
    blocks: Blocks,
    rows: Codes,
    variances: tuple[Array, Array | None],
    conditionals: Conditionals,
    slopes: SlopesOfUnits | None = None,
) -> RowsGivenOthers:
    """Return rows given all others where errors are independent given unit effects and slopes of units.

    Parameters
    ----------
    blocks, rows, conditionals
        As in `cbec_bayes.bayes.likelihood.residual_covariance.ErrorModel.rows_given_others`.
    variances
        Variances of the residuals of rows whose weight is one, shape (S, rows), and of unit effects, (S, 1); None where
        these are flat.
    slopes
        Slopes of the units of the rows, where they are integrated out; rows have no weights then.
    """
    design, every = blocks.design, blocks.x
    unit, x = design.unit[rows], every[rows]
    counts = totals_by_unit(design)[unit]
    means = means_by(design.unit, np.column_stack([design.y, every]), design.weight)[unit]
    variance = variances[0]
    share_of_mean = shrinkage(variance / counts, variances[1])
    fitted, spread = np.empty_like(variance), np.empty_like(variance)
    for part, given_all in conditionals:
        if isinstance(given_all, SeparatedConditional):  # effects are flat, and units have no slopes
            mean, uncertain = given_all.linear(x - means[:, 1:])
            fitted[part], spread[part] = mean + means[:, 0], uncertain + variance[part] / counts
            continue
        assert isinstance(given_all, DenseConditional)
        mean, root = given_all.mean[:, : x.shape[1]], given_all.root[:, : x.shape[1]]
        k = share_of_mean[part]
        fitted[part] = mean @ x.T + k * (means[:, 0] - mean @ means[:, 1:].T)
        taken = k / counts
        # A row's columns less the unit's mean, of which a random effect leaves a share, less what the slope takes.
        directions: list[tuple[Array | float, Array]] = [(1.0, x - means[:, 1:])]
        if variances[1] is not None:
            directions.append((1 - k, means[:, 1:]))
        if slopes is not None:
            with np.errstate(divide="ignore"):
                share = slopes.regressor / (slopes.squares + variance[part] / slopes.kappa[part] ** 2)
            fitted[part] += share * (slopes.products[:, 0] - mean @ slopes.products[:, 1:].T)
            directions.append((-share, slopes.products[:, 1:]))
            taken = taken + share * slopes.regressor
        spread[part] = _variance_of(directions, Forms(root)) + taken * variance[part]
    own = variance if design.weight is None else variance / design.weight[rows]
    return RowsGivenOthers((design.y[rows] - fitted) / own, (1 - spread / own) / own, 1 / own)


def _variance_of(directions: Sequence[tuple[Array | float, Array]], forms: Forms) -> Array:
    """Return variances, shape (S, n), of sums of directions of shape (n, p), each with a weight of shape (S, n)."""
    found: Array | float = 0.0
    for i, (weight, one) in enumerate(directions):
        found = found + weight**2 * forms(one, one)
        for other_weight, other in directions[i + 1 :]:
            found = found + 2 * weight * other_weight * forms(one, other)
    return np.asarray(found)
