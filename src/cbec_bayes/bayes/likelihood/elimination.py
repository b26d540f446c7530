"""From blocks to the collapsed density: what is eliminated once, before any scale is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.bayes.likelihood.collapsed import LOG_2PI, Collapsed
from cbec_bayes.bayes.likelihood.diagonal import Diagonal
from cbec_bayes.bayes.model.blocks import Block, Blocks, coefficient_names, location_priors
from cbec_bayes.bayes.model.densities import CORRELATION, RHO, resolve
from cbec_bayes.bayes.moments.by_unit import Moments, moments_of
from cbec_bayes.bayes.moments.coded import Coded, products_by_unit
from cbec_bayes.bayes.moments.lagged import lagged_of
from cbec_bayes.bayes.moments.unit_slopes import UnitSlopes
from cbec_bayes.panel.within import Array, means_by
from cbec_bayes.runtime.errors import InputError

WELL_CONDITIONED = 1e-3
"""Smallest eigenvalue of the correlations of flat columns with which cross-products keep eleven digits."""

HARDLY = 1e-8
"""The same where there are no columns to go back to: six digits are left."""

PRODUCTS_MAX = 100_000_000
"""Cross-products of units with columns that are held at once, where slopes of units are eliminated."""

_NOTHING = 100 * float(np.finfo(float).eps)


def make_collapsed(blocks: Blocks) -> Collapsed:
    """Prepare the collapsed posterior of a model on a design.

    Raises
    ------
    InputError
        The model is not Gaussian; errors are correlated over periods that are not whole numbers; there are no rows, and
        cross-products too near to collinear; units with slopes of their own and columns are too many for each other.
    """
    model, design = blocks.model, blocks.design
    if not model.is_gaussian:
        raise InputError(f"the residuals of '{model.name}' cannot be collapsed; the PyMC engine fits them")
    lagged = model.choice("residual") == "ar1"
    blocks = with_unit_effects(blocks) if lagged else blocks
    priors = resolve(model, design)
    names = ("y", *coefficient_names(blocks))
    unit_scale = None if model.choice("unit_effect") == "fixed" or lagged else "sigma_mu"
    n_flat = blocks.n_flat
    location = np.zeros((2, len(names) - 1))
    pooled: dict[str, NDArray[np.intp]] = {}
    at = 0
    for block in blocks.every:
        where = np.arange(at, at + len(block.kept))
        at += len(block.kept)
        if block.scale is not None:
            pooled[block.scale] = where
        else:
            own = location_priors(block, priors)
            for position, k in zip(where, block.kept, strict=True):
                if own[k].dist == "normal":
                    location[:, position] = 1 / own[k].params["sd"] ** 2, own[k].params["mean"]
    free = np.flatnonzero((np.arange(len(names) - 1) < n_flat) & (location[0] == 0))
    by_group = model.choice("residual") == "by_group" and design.group is not None
    demean = unit_scale is None and not lagged
    least = WELL_CONDITIONED if blocks.gathered is None else HARDLY
    found = None if blocks.moments is None else _orthogonal_moments(blocks.moments, free, least, demean=demean)
    if found is None and blocks.gathered is not None:
        raise InputError(
            f"the columns of '{model.name}' are so nearly collinear that cross-products have too few digits; fit it to "
            "the rows"
        )
    errors = None
    columns = None
    if found is None:
        x, transform, log_volume = orthogonal(blocks.x, free, design.unit, demean=demean)
        columns = np.column_stack([design.y, x])
        strata = (design.group, design.groups) if by_group else ()
        moments = moments_of(columns, names, design.unit, *strata)
        errors = lagged_of(columns, design) if lagged else None
    else:
        moments, transform, log_volume = found
        transform = _unshifted(blocks) @ transform
    unit_slopes: Mapping[str, UnitSlopes] = {}
    if blocks.unit_slope is not None:
        moments, unit_slopes = _without_unit_slopes(blocks, moments, columns, transform)
    sigma_names = [f"sigma[{label}]" if label else "sigma" for label in moments.strata]
    scale_priors = dict.fromkeys(sigma_names, priors["sigma"]) | {name: priors[name] for name in pooled}
    if blocks.unit_slope is not None:
        scale_priors["kappa"] = priors["kappa"]
    if unit_scale is not None:
        scale_priors[unit_scale] = priors[unit_scale]
    if lagged:
        scale_priors[RHO] = CORRELATION
    fixed = {name: prior.params["value"] for name, prior in scale_priors.items() if prior.dist == "fixed"}
    sampled = {name: prior for name, prior in scale_priors.items() if name not in fixed}
    full = Collapsed(
        moments=moments,
        names=tuple(sampled),
        priors=sampled,
        fixed=fixed,
        n_flat=n_flat,
        location=location,
        pooled=pooled,
        unit_scale=unit_scale,
        transform=transform,
        log_volume=log_volume,
        lagged=errors,
        unit_slopes=unit_slopes,
    )
    absorbable = len(free) == n_flat and unit_scale is None and not by_group and not lagged and not unit_slopes
    return replace(full, reduced=_reduced(full)) if absorbable else full


def _unshifted(blocks: Blocks) -> Array:
    """Return the map from coefficients of columns that were shifted to those of the columns, shape (p, p)."""
    found = np.eye(blocks.n_coefficients)
    if blocks.shift is not None and "intercept" in coefficient_names(blocks):
        found[coefficient_names(blocks).index("intercept")] -= blocks.shift
    return found


def with_unit_effects(blocks: Blocks) -> Blocks:
    """Return blocks with the unit effects among them, for errors that keep them from being eliminated by means."""
    design, pooled = blocks.design, blocks.model.choice("unit_effect") != "fixed"
    every = tuple(range(len(design.units)))
    ones = np.ones((design.n_obs, 1))
    block = Block(
        name="unit_effect",
        dims=("unit",),
        labels=(design.units,),
        regressors=ones,
        scale="sigma_mu" if pooled else None,
        kept=every,
        code=design.unit,
    )
    if pooled:
        return replace(blocks, pooled=(*blocks.pooled, block))
    return replace(blocks, flat=(*blocks.flat, block))


def with_unit_slopes(blocks: Blocks) -> Blocks:
    """Return blocks with slopes of units, if there are any, among the pooled coefficients."""
    if blocks.unit_slope is None:
        return blocks
    return replace(blocks, pooled=(*blocks.pooled, blocks.unit_slope), unit_slope=None)


def unit_products(blocks: Blocks) -> tuple[Array, Array]:
    """Return each unit's cross-products of the exposure within it: with itself, (N,), with outcome and columns (N, p).

    Raises
    ------
    InputError
        They are too many to be held.
    """
    design = blocks.design
    kept = [0, *(1 + at for at in _kept(blocks))]
    if len(design.units) * len(kept) > PRODUCTS_MAX:
        raise InputError(
            f"slopes of {len(design.units)} units beside {len(kept) - 1} coefficients need more memory than is "
            f"reasonable; the model '{blocks.model.name}' can be had of fewer groups or units"
        )
    parts = [Coded(design.y[:, None]), *(block.coded for block in blocks.every)]
    squares, products = products_by_unit(parts, design.x[:, 0], design.unit, len(design.units))
    return squares, products[:, kept]


def _kept(blocks: Blocks) -> list[int]:
    """Return the positions of kept coefficients among all."""
    starts = np.cumsum([0, *(block.size for block in blocks.every)])
    return [int(start) + k for start, block in zip(starts, blocks.every, strict=False) for k in block.kept]


_MULTIPLES = ("slope", "group_slope", "group_total_slope")
"""Blocks whose columns are multiples of the exposure within a unit: its own slope leaves nothing of them."""


def _without_unit_slopes(
    blocks: Blocks, moments: Moments, columns: Array | None, transform: Array
) -> tuple[Moments, dict[str, UnitSlopes]]:
    """Return the moments of what units' own slopes leave of the columns, and what they take, by stratum.

    Parameters
    ----------
    blocks
        Model and design.
    moments
        Of the outcome and the transformed columns.
    columns
        These, shape (n, p); None where they are not laid out.
    transform
        From the coefficients of the transformed columns to those of the model's.
    """
    design = blocks.design
    if columns is not None:
        squares, products = products_by_unit([Coded(columns)], design.x[:, 0], design.unit, len(design.units))
        exposure = design.x[:, 0] - means_by(design.unit, design.x[:, :1])[design.unit, 0]
        taken = np.divide(products, squares[:, None], out=np.zeros_like(products), where=squares[:, None] > 0)
        left = columns - means_by(design.unit, columns)[design.unit] - exposure[:, None] * taken[design.unit]
    else:
        squares, products = unit_products(blocks)
    names = [None, *(block.name for block in blocks.every for _ in block.kept)]
    multiples = [k for k, name in enumerate(names) if name in _MULTIPLES]
    whole = np.eye(products.shape[1])
    whole[1:, 1:] = transform
    by_group = "" not in moments.strata and design.group is not None
    stratum_of_row = design.group if by_group and design.group is not None else np.zeros(design.n_obs, dtype=np.intp)
    strata, slopes = {}, {}
    for s, (label, stratum) in enumerate(moments.strata.items()):
        rows = stratum_of_row == s
        units = np.unique(design.unit[rows])
        own = UnitSlopes(squares[units], products[units])
        if columns is not None:
            within = left[rows].T @ left[rows]
        else:
            assert blocks.moments is not None
            within = blocks.moments.strata[label].within - own.directions.T @ own.directions
            within[multiples], within[:, multiples] = 0.0, 0.0
            within = whole.T @ within @ whole
            own = UnitSlopes(own.squares, own.products @ whole)
        strata[label], slopes[label] = replace(stratum, within=within), own
    return replace(moments, strata=strata), slopes


def orthogonal(x: Array, free: NDArray[np.intp], unit: NDArray[np.intp], *, demean: bool) -> tuple[Array, Array, float]:
    """Make columns with flat coefficients orthonormal, and the others orthogonal to them, less unit means where asked.

    Returns the columns, the map from their coefficients to those of x, and its log determinant. The coefficients of the
    other columns, and so their priors, stay what they are.
    """
    within = x - means_by(unit, x)[unit] if demean else x
    size = np.linalg.norm(within[:, free], axis=0)
    q, triangle = np.linalg.qr(within[:, free] / size)
    signs = np.where(np.diag(triangle) < 0, -1.0, 1.0)  # or machines would differ in the sign of a draw
    q, triangle = q * signs, triangle * signs[:, None]
    back = np.linalg.solve(triangle, np.eye(len(free))) / size[:, None]
    others = np.setdiff1d(np.arange(x.shape[1]), free)
    transform = np.eye(x.shape[1])
    transform[np.ix_(free, free)] = back
    transform[np.ix_(free, others)] = -back @ (q.T @ within[:, others])
    return x @ transform, transform, -float(np.log(np.diag(triangle) * size).sum())


def _orthogonal_moments(
    moments: Moments, free: NDArray[np.intp], least: float, *, demean: bool
) -> tuple[Moments, Array, float] | None:
    """Do to moments what `orthogonal` does to columns; None where too many digits would be lost."""
    inner = moments.inner(demean=demean)[1:, 1:]
    size = np.sqrt(np.diag(inner)[free])
    own = inner[np.ix_(free, free)] / np.outer(size, size)
    if np.linalg.eigvalsh(own).min(initial=1.0) < least:
        return None
    triangle = np.linalg.cholesky(own).T
    back = np.linalg.solve(triangle, np.eye(len(free))) / size[:, None]
    others = np.setdiff1d(np.arange(len(inner)), free)
    transform = np.eye(len(inner))
    transform[np.ix_(free, free)] = back
    transform[np.ix_(free, others)] = -back @ (back.T @ inner[np.ix_(free, others)])
    whole = np.eye(len(inner) + 1)
    whole[1:, 1:] = transform
    return moments.transformed(whole), transform, -float(np.log(np.diag(triangle) * size).sum())


def _reduced(full: Collapsed) -> Collapsed:
    """Absorb the flat coefficients, whose columns are orthonormal, into the outcome and the pooled columns."""
    (stratum,) = full.moments.strata.values()
    flat = slice(1, 1 + full.n_flat)
    kept = np.r_[0, 1 + full.n_flat : len(full.moments.columns)]
    w = stratum.within
    within = w[np.ix_(kept, kept)] - w[kept, flat] @ np.linalg.solve(w[flat, flat], w[flat, kept])
    log_volume = full.log_volume - float(np.linalg.slogdet(w[flat, flat])[1]) / 2
    moments = Moments(
        tuple(full.moments.columns[k] for k in kept),
        {"": replace(stratum, within=within, between=stratum.between[:, kept][:, :, kept])},
    )
    n_pooled = len(kept) - 1
    diagonal = None
    if len(full.pooled) == 1:
        values, vectors = np.linalg.eigh(within[1:, 1:])
        (name,) = full.pooled
        constant = log_volume - stratum.log_sizes / 2 - (stratum.n_obs - stratum.n_units - full.n_flat) / 2 * LOG_2PI
        there = values > len(values) * _NOTHING * values.max(initial=0)
        diagonal = Diagonal(
            scale=name,
            values=np.where(there, values, 0.0),
            vectors=vectors,
            pulls=np.where(there, vectors.T @ within[1:, 0], 0.0),
            total=float(within[0, 0]),
            free=stratum.n_obs - stratum.n_units - full.n_flat,
            constant=constant,
        )
    return replace(
        full,
        moments=moments,
        n_flat=0,
        location=np.zeros((2, n_pooled)),
        pooled={name: at - full.n_flat for name, at in full.pooled.items()},
        transform=np.eye(n_pooled),
        log_volume=log_volume,
        absorbed=full.n_flat,
        diagonal=diagonal,
    )
