"""From blocks to the collapsed density: what is eliminated once, before any scale is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.bayes.likelihood.absorbed import FlatAbsorbed
from cbec_bayes.bayes.likelihood.by_group import ByGroup, ByGroupErrors, GroupPart
from cbec_bayes.bayes.likelihood.coefficients_by_group import coefficients_by_group, is_mostly_of_groups
from cbec_bayes.bayes.likelihood.collapsed import Collapsed
from cbec_bayes.bayes.likelihood.conditional import FlatGivenPooled
from cbec_bayes.bayes.likelihood.independent import IndependentErrors
from cbec_bayes.bayes.likelihood.marginal import LOG_2PI, MarginalLikelihood
from cbec_bayes.bayes.likelihood.normal_equations import Coefficients, NormalEquations
from cbec_bayes.bayes.likelihood.one_scale import OneScale
from cbec_bayes.bayes.likelihood.orthogonal import orthogonal, orthogonal_moments
from cbec_bayes.bayes.likelihood.parameter import Parameter
from cbec_bayes.bayes.likelihood.residual_covariance import ErrorModel
from cbec_bayes.bayes.likelihood.unit_errors import unit_errors_of
from cbec_bayes.bayes.likelihood.unit_slope_errors import UnitSlopeErrors, unit_products
from cbec_bayes.bayes.model.block import make_block
from cbec_bayes.bayes.model.blocks import Blocks, coefficient_names, location_priors
from cbec_bayes.bayes.model.densities import CORRELATION, RHO, resolve
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.moments.by_unit import Moments, Stratum, moments_of
from cbec_bayes.bayes.moments.coded import Coded, products_by_unit
from cbec_bayes.bayes.moments.unit_slopes import UnitSlopes
from cbec_bayes.panel.within import Array, means_by
from cbec_bayes.runtime.errors import InputError

WELL_CONDITIONED = 1e-3
"""Smallest eigenvalue of the correlations of flat columns with which cross-products keep eleven digits."""

HARDLY = 1e-8
"""The same where there are no columns to go back to: six digits are left."""

_TOLD = 1e-9
"""Share of a column's squares that is left about its mean, from which on cross-products tell what this is."""

_NOTHING = 100 * float(np.finfo(float).eps)


def make_collapsed(blocks: Blocks, priors: Mapping[str, Prior] | None = None) -> Collapsed:
    """Prepare the collapsed posterior of a model on a design.

    Parameters
    ----------
    blocks
        The columns.
    priors
        In plain numbers, by parameter; None for those of the model. Blocks with scales that no member of the family has
        bring their own.

    Raises
    ------
    InputError
        The model is not Gaussian; errors are correlated over periods that are not whole numbers; there are no rows, and
        cross-products too near to collinear; units with slopes of their own and columns are too many for each other.
    """
    model = blocks.model
    if not model.is_gaussian:
        raise InputError(f"the residuals of '{model.name}' cannot be collapsed; the PyMC engine fits them")
    priors = resolve(model, blocks.design) if priors is None else priors
    location, pooled = coefficient_priors(blocks, priors)
    free = flat_positions(blocks, location)
    columns = _orthogonal_columns(blocks, free)
    errors = _errors(blocks, columns)
    coefficients = Coefficients(
        n_flat=blocks.n_flat,
        location=location,
        pooled=pooled,
        transform=columns.transform,
        log_volume=columns.log_volume,
    )
    whole = NormalEquations(errors, coefficients)
    likelihood: MarginalLikelihood = whole
    if columns.laid_out is not None and is_mostly_of_groups(blocks):
        likelihood, parts = _by_group(blocks, columns, whole)
        errors = ByGroupErrors(errors, parts)
    elif len(free) == blocks.n_flat and isinstance(errors, IndependentErrors) and _can_absorb(errors):
        likelihood = _with_flat_absorbed(errors, whole)
    parameters, fixed = parameters_of(blocks, errors.sigmas, errors.other_parameters, priors)
    return Collapsed(parameters, fixed, likelihood, errors)


def flat_positions(blocks: Blocks, location: Array) -> NDArray[np.intp]:
    """Return the positions of the coefficients that have flat priors, from `coefficient_priors`."""
    return np.flatnonzero((np.arange(location.shape[1]) < blocks.n_flat) & (location[0] == 0))


def coefficient_priors(blocks: Blocks, priors: Mapping[str, Prior]) -> tuple[Array, dict[str, NDArray[np.intp]]]:
    """Return precision and mean of normal priors, shape (2, p), and the positions that each scale pools."""
    location = np.zeros((2, blocks.n_coefficients))
    pooled: dict[str, NDArray[np.intp]] = {}
    positions = blocks.positions
    for block in blocks.every:
        at = positions[block.name]
        where = np.arange(at.start, at.stop)
        if block.scale is not None:
            pooled[block.scale] = where
            continue
        own = location_priors(block, priors)
        for position, k in zip(where, block.kept, strict=True):
            if own[k].dist == "normal":
                location[:, position] = 1 / own[k].params["sd"] ** 2, own[k].params["mean"]
    return location, pooled


@dataclass(frozen=True, slots=True)
class _Columns:
    """Columns of the outcome and of every coefficient, flat ones made orthonormal.

    Attributes
    ----------
    laid_out
        Shape (n, 1 + p), times the roots of weights; None where moments stand for them.
    moments
        Moments of the columns; None where they are laid out.
    transform
        From their coefficients to the model's, shape (p, p).
    log_volume
        Logarithm of its determinant.
    """

    laid_out: Array | None
    moments: Moments | None
    transform: Array
    log_volume: float


def _orthogonal_columns(blocks: Blocks, free: NDArray[np.intp]) -> _Columns:
    """Return the columns of a model, laid out unless its moments keep enough digits; errors as `make_collapsed`."""
    design, model = blocks.design, blocks.model
    if blocks.moments is not None and blocks.mechanism != "by unit":
        found = _orthogonal_moments(blocks, free)
        if found is not None:
            moments, transform, log_volume = found
            return _Columns(None, moments, _unshifted(blocks) @ transform, log_volume)
    if blocks.gathered is not None:
        raise InputError(
            f"the columns of '{model.name}' are so nearly collinear that cross-products have too few digits; fit it to "
            "the rows"
        )
    x = blocks.x
    x, transform, log_volume = orthogonal(x, free, blocks.within(x))
    return _Columns(design.scaled(np.column_stack([design.y, x])), None, transform, log_volume)


def precise_moments(blocks: Blocks, free: NDArray[np.intp]) -> tuple[Array, float] | None:
    """Return transform and log volume as `_Columns` has them; None where columns are too nearly collinear.

    Where levels of units have a scale there is an intercept, and columns are taken less their means first.
    """
    assert blocks.moments is not None
    if blocks.unit_scale is None:
        found = _orthogonal_moments(blocks, free)
        return None if found is None else found[1:]
    demean = blocks.has_flat_of_units
    inner = blocks.moments.inner(demean=demean)
    one = 1 + coefficient_names(blocks).index("intercept")
    centred = np.eye(len(inner))
    centred[one] -= inner[one] / inner[one, one]
    centred[one, one], centred[one, 0] = 1.0, 0.0
    moments = blocks.moments.transformed(centred)
    left = np.diag(moments.inner(demean=demean))[1 + free]
    if not (left > _TOLD * np.diag(inner)[1 + free]).all():
        return None
    about_means = orthogonal_moments(moments, free, WELL_CONDITIONED, demean=demean, apart=_of_periods(blocks, free))
    if about_means is None:
        return None
    return centred[1:, 1:] @ about_means[1], about_means[2]


def _orthogonal_moments(blocks: Blocks, free: NDArray[np.intp]) -> tuple[Moments, Array, float] | None:
    assert blocks.moments is not None
    demean = blocks.has_flat_of_units
    least = WELL_CONDITIONED if blocks.gathered is None else HARDLY
    return orthogonal_moments(blocks.moments, free, least, demean=demean, apart=_of_periods(blocks, free))


def _of_periods(blocks: Blocks, free: NDArray[np.intp]) -> NDArray[np.bool_] | None:
    """Return which of some coefficients are effects of periods beside flat trends, of which two lines are left out."""
    if not blocks.has_flat_beside_levels:
        return None
    names = np.array([block.name if block.role == "effect" else "" for block in blocks.every for _ in block.kept])
    return np.asarray((names[free] != "") & (names[free] != "intercept"))


def _errors(blocks: Blocks, columns: _Columns) -> ErrorModel:
    """Return the mechanism of the errors, with the cross-products that it needs of the columns."""
    design = blocks.design
    if blocks.mechanism == "by unit":
        assert columns.laid_out is not None
        return unit_errors_of(blocks, columns.laid_out)
    moments = columns.moments
    if moments is None:
        assert columns.laid_out is not None
        by_group = blocks.model.residuals.by_group and design.group is not None
        strata = (design.group, design.groups) if by_group else ()
        names = ("y", *coefficient_names(blocks))
        moments = moments_of(columns.laid_out, names, design.unit, *strata, weight=design.weight)
    if blocks.mechanism == "one slope":
        return UnitSlopeErrors(*_without_unit_slopes(blocks, moments, columns), blocks.eliminated[0], design.groups)
    return IndependentErrors(moments, blocks.unit_scale)


def _by_group(blocks: Blocks, columns: _Columns, whole: NormalEquations) -> tuple[ByGroup, tuple[GroupPart, ...]]:
    """Return the likelihood with what single groups have of their own integrated out group by group, and its parts."""
    assert columns.laid_out is not None
    assert blocks.design.group is not None
    owned, shared, common = coefficients_by_group(blocks, whole.coefficients)
    x, parts = blocks.x, []
    for r, label in enumerate(blocks.design.groups):
        own, names = owned[r]
        mask = blocks.design.group == r
        own_columns = blocks.design.scaled(x)[mask][:, own]
        kept = np.column_stack([columns.laid_out[mask][:, np.r_[0, 1 + shared]], own_columns])
        rows = _of_rows(blocks, mask, np.column_stack([x[mask][:, shared], x[mask][:, own]]), label)
        parts.append(
            GroupPart(
                errors=_errors(rows, _Columns(kept, None, np.eye(kept.shape[1] - 1), 0.0)),
                scales=names,
                own=own,
                rows=np.flatnonzero(mask),
                blocks=rows,
            )
        )
    return ByGroup(parts=tuple(parts), common=common, shared=shared, whole=whole), tuple(parts)


def _of_rows(blocks: Blocks, mask: NDArray[np.bool_], columns: Array, label: str) -> Blocks:
    """Return blocks of the rows of some units: what is eliminated, and one block of columns."""
    design = blocks.design.rows(mask)
    own = tuple(replace(one, regressors=one.regressors[mask], code=design.unit) for one in blocks.eliminated)
    names = tuple(map(str, range(columns.shape[1])))
    laid_out = make_block(f"columns of {label}", columns, axes={"column": names})
    return replace(blocks, design=design, flat=(laid_out,), pooled=(), eliminated=own)


def parameters_of(
    blocks: Blocks, sigmas: Sequence[str], others: Sequence[str], priors: Mapping[str, Prior]
) -> tuple[tuple[Parameter, ...], dict[str, float]]:
    """Return the parameters that are sampled, in order, and the values of those that are held.

    Parameters
    ----------
    blocks, priors
        The model on its design, and its priors in plain numbers.
    sigmas, others
        Names of the residual scales and of the errors' other parameters; see `ErrorModel`.
    """
    own = dict.fromkeys(sigmas, priors["sigma"])
    own |= {block.scale: priors[block.scale] for block in blocks.every if block.scale is not None}
    own |= {name: CORRELATION if name == RHO else priors[name] for name in others}
    fixed = {name: prior.params["value"] for name, prior in own.items() if prior.dist == "fixed"}
    return tuple(Parameter(name, prior) for name, prior in own.items() if name not in fixed), fixed


def _unshifted(blocks: Blocks) -> Array:
    """Return the map from coefficients of columns that were shifted to those of the columns, shape (p, p)."""
    found = np.eye(blocks.n_coefficients)
    if blocks.shift is not None and "intercept" in coefficient_names(blocks):
        found[coefficient_names(blocks).index("intercept")] -= blocks.shift
    return found


def with_unit_terms(blocks: Blocks) -> Blocks:
    """Return blocks with what is eliminated of units, but their effects, among the coefficients."""
    flat = tuple(block for block in blocks.eliminated if block.scale is None)
    pooled = tuple(block for block in blocks.eliminated if block.scale is not None)
    return replace(blocks, flat=(*blocks.flat, *flat), pooled=(*blocks.pooled, *pooled), eliminated=())


_MULTIPLES = ("slope", "group_slope", "group_total_slope", "covariate_slope")
"""Blocks whose columns are multiples of the exposure within a unit: its own slope leaves nothing of them."""


def _without_unit_slopes(blocks: Blocks, moments: Moments, columns: _Columns) -> tuple[Moments, dict[str, UnitSlopes]]:
    """Return the moments of the columns with units' own slopes taken out, and the part taken out, by stratum."""
    design = blocks.design
    left = None
    if columns.laid_out is not None:
        own_columns = columns.laid_out
        regressor = blocks.eliminated[0].regressors
        squares, products = products_by_unit([Coded(own_columns)], regressor[:, 0], design.unit, len(design.units))
        centred = regressor[:, 0] - means_by(design.unit, regressor)[design.unit, 0]
        taken = np.divide(products, squares[:, None], out=np.zeros_like(products), where=squares[:, None] > 0)
        left = own_columns - means_by(design.unit, own_columns)[design.unit] - centred[:, None] * taken[design.unit]
    else:
        squares, products = unit_products(blocks)
    by_group = "" not in moments.strata and design.group is not None
    stratum_of_row = design.group if by_group and design.group is not None else np.zeros(design.n_obs, dtype=np.intp)
    strata, slopes = {}, {}
    for s, (label, stratum) in enumerate(moments.strata.items()):
        rows = stratum_of_row == s
        units = np.unique(design.unit[rows])
        group = design.group_of_unit[units]
        own = UnitSlopes(squares[units], products[units], np.zeros_like(group) if by_group else group)
        if left is not None:
            within = left[rows].T @ left[rows]
        else:
            within, own = _less_unit_slopes(blocks, label, own, columns.transform)
        strata[label], slopes[label] = replace(stratum, within=within), own
    return replace(moments, strata=strata), slopes


def _less_unit_slopes(blocks: Blocks, label: str, own: UnitSlopes, transform: Array) -> tuple[Array, UnitSlopes]:
    """Return a stratum's cross-products less what slopes of its units take, and this, of the transformed columns."""
    assert blocks.moments is not None
    names = [None, *(block.name for block in blocks.every for _ in block.kept)]
    multiples = [k for k, name in enumerate(names) if name in _MULTIPLES and blocks.eliminated[0].name == "unit_slope"]
    whole = np.eye(len(names))
    whole[1:, 1:] = transform
    within = blocks.moments.strata[label].within - own.directions.T @ own.directions
    within[multiples], within[:, multiples] = 0.0, 0.0
    return whole.T @ within @ whole, UnitSlopes(own.squares, own.products @ whole, own.group)


def _can_absorb(errors: IndependentErrors) -> bool:
    """Whether flat coefficients can be eliminated before the scales are known: one scale weighs all cross-products."""
    return errors.unit_scale is None and errors.sigmas == ("sigma",)


def _with_flat_absorbed(errors: IndependentErrors, whole: NormalEquations) -> MarginalLikelihood:
    """Absorb the flat coefficients, whose columns are orthonormal, into the outcome and the pooled columns."""
    own = whole.coefficients
    (stratum,) = errors.moments.strata.values()
    flat = slice(1, 1 + own.n_flat)
    kept = np.r_[0, 1 + own.n_flat : len(errors.moments.columns)]
    w = stratum.within
    within = w[np.ix_(kept, kept)] - w[kept, flat] @ np.linalg.solve(w[flat, flat], w[flat, kept])
    log_volume = own.log_volume - float(np.linalg.slogdet(w[flat, flat])[1]) / 2
    if len(own.pooled) == 1:
        return _one_scale(stratum, whole, within, log_volume)
    moments = Moments(
        tuple(errors.moments.columns[k] for k in kept),
        {"": replace(stratum, within=within, between=stratum.between[:, kept][:, :, kept])},
    )
    pooled = Coefficients(
        n_flat=0,
        location=np.zeros((2, len(kept) - 1)),
        pooled={name: at - own.n_flat for name, at in own.pooled.items()},
        transform=np.eye(len(kept) - 1),
        log_volume=log_volume,
    )
    return FlatAbsorbed(NormalEquations(replace(errors, moments=moments, absorbed=own.n_flat), pooled), whole)


def _one_scale(stratum: Stratum, whole: NormalEquations, within: Array, log_volume: float) -> OneScale:
    """Return the likelihood where one scale pools all coefficients that are not flat.

    Parameters
    ----------
    stratum
        Cross-products of all columns.
    whole
        The likelihood of these.
    within
        Cross-products of what the flat coefficients leave of the outcome and the pooled columns.
    log_volume
        Logarithm of the determinant of what was absorbed.
    """
    n_flat = whole.coefficients.n_flat
    (name,) = whole.coefficients.pooled
    values, vectors = np.linalg.eigh(within[1:, 1:])
    there = values > len(values) * _NOTHING * values.max(initial=0)
    free = stratum.n_obs - stratum.n_units - n_flat
    products = stratum.within[1:, 1:]
    root = np.linalg.inv(np.linalg.cholesky(products[:n_flat, :n_flat])).T
    inverse = root @ root.T
    return OneScale(
        scale=name,
        values=np.where(there, values, 0.0),
        vectors=vectors,
        pulls=np.where(there, vectors.T @ within[1:, 0], 0.0),
        total=float(within[0, 0]),
        free=free,
        constant=log_volume - stratum.log_sizes / 2 - free / 2 * LOG_2PI,
        flat=FlatGivenPooled(
            mean=inverse @ stratum.within[1 : 1 + n_flat, 0], root=root, pull=inverse @ products[:n_flat, n_flat:]
        ),
        whole=whole,
    )
