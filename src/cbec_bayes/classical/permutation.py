"""Fisher's permutation test of equal slopes: what they would be if units had other groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from cbec_bayes.classical.conventions import convention
from cbec_bayes.classical.group_slopes import Controls
from cbec_bayes.classical.joint_bootstrap import FEWEST, wald_of_equality
from cbec_bayes.classical.linearised import off_units, period_columns
from cbec_bayes.classical.regression import sample
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array, Codes
from cbec_bayes.runtime.errors import InputError

PERMUTATIONS = 1_999
"""Relabellings of units that are drawn."""

MAX_WORK = 2e10
"""Multiplications that a test may take."""

MOST_UNITS = 2_000
"""Units up to which groups are permuted."""

LEAST_SHARE = 0.5
"""Share of the relabellings that have to give every group a slope."""

_MOST_NUMBERS = 5e7
_NUMBERS = 2**22  # held per block of relabellings, times a handful of temporaries
_RIDGE = 1e-9
_IDENTIFIED = 1e-9
_ROUNDING = 1e-9
_TIE = 1e-7  # of two labellings that are the same one


@dataclass(frozen=True, slots=True)
class Permutation:
    """A permutation test.

    Attributes
    ----------
    statistic, p, mcse
        Statistic of the sample; the share of the relabellings, the sample being one of them, whose statistic is at
        least as large; and its Monte Carlo error.
    draws
        Relabellings under which the statistic is defined, and the sample.
    """

    statistic: float
    p: float
    mcse: float
    draws: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitMoments:
    """Cross-products of every unit's rows less its means: all that slopes under any grouping of units need.

    Attributes
    ----------
    exposure
        Sums of squares of the exposure, shape (N,).
    across
        Its cross-products with the q other columns, shape (N, q).
    rest
        Cross-products of these, shape (N, q, q).
    outcome, outcome_rest
        Cross-products of the outcome with the exposure, shape (N,), and with the others, shape (N, q).
    group
        Code of every unit's group, shape (N,); -1 where its exposure is a column beside the controls.
    """

    exposure: Array
    across: Array
    rest: Array
    outcome: Array
    outcome_rest: Array
    group: Codes


def unit_moments(design: Design, apart: Sequence[int] = (), ssc: str = "reghdfe") -> UnitMoments:
    """Return the cross-products of units.

    Parameters
    ----------
    design
        With groups; its first term is the exposure.
    apart
        Groups that are not compared, whose exposure is a column beside the controls.
    ssc
        Convention, which says which rows are used.

    Raises
    ------
    InputError
        There are more than `MOST_UNITS` units, or too many periods and regressors; clusters are not the units.
    """
    if design.clusters:
        names = " and ".join(one.name for one in design.clusters)
        raise InputError(f"permutations move single units to other groups, but errors are correlated within {names}")
    labelled = sample(design, convention(ssc))
    periods = period_columns(labelled.effects)  # of the effects: these may be of groups, or of other columns besides
    q = len(apart) + len(labelled.terms) - 1 + periods.shape[1]
    if len(labelled.units) > MOST_UNITS or len(labelled.units) * q**2 > _MOST_NUMBERS:
        raise InputError(
            f"permutations are left out because they would take too long with {len(labelled.units)} units and "
            f"{q} columns"
        )
    assert labelled.group is not None
    group = np.array([design.groups.index(label) for label in labelled.groups])[labelled.group]
    d = labelled.x[:, 0]
    own = [np.where(group == r, d, 0.0) for r in apart]
    d = np.where(np.isin(group, list(apart)), 0.0, d)
    unit = labelled.unit
    columns = np.column_stack([d, *own, labelled.x[:, 1:], labelled.y])
    columns = off_units(labelled.effects, columns - columns.mean(axis=0))
    size = np.linalg.norm(columns, axis=0)
    columns = columns / np.where(size > 0, size, 1.0)
    columns[:, -1] *= size[-1] or 1.0
    columns[:, 0] *= size[0] or 1.0
    z = np.column_stack([columns[:, :-1], periods, columns[:, -1]])
    order = np.argsort(unit, kind="stable")
    ends = np.cumsum(np.bincount(unit))[:-1]
    moments = np.stack([rows.T @ rows for rows in np.split(z[order], ends)])
    of_unit = group[np.unique(unit, return_index=True)[1]]
    return UnitMoments(
        exposure=moments[:, 0, 0],
        across=moments[:, 0, 1:-1],
        rest=moments[:, 1:-1, 1:-1],
        outcome=moments[:, 0, -1],
        outcome_rest=moments[:, 1:-1, -1],
        group=np.where(np.isin(of_unit, list(apart)), -1, of_unit),
    )


def slopes_under(moments: UnitMoments, labels: Codes, n_groups: int, controls: Controls) -> tuple[Array, Array]:
    """Return slopes and their clustered covariances (CRV1 without factor) under groupings of the units.

    Parameters
    ----------
    moments
        Moments of N units.
    labels
        Group of each unit in B groupings, codes below `n_groups`, shape (B, N). Under ``by group`` a negative code
        leaves a unit out; under ``common`` it has no slope that is compared.
    n_groups
        R groups that are compared.
    controls
        Whether all else is in common or each group's own.

    Returns
    -------
    estimate, variance
        Shapes (B, R) and (B, R, R); NaN where a group has no slope.
    """
    member = (labels[:, :, None] == np.arange(n_groups)).astype(float)
    return _common(moments, member) if controls == "common" else _by_group(moments, member, labels)


def _by_group(moments: UnitMoments, member: Array, labels: Codes) -> tuple[Array, Array]:
    """Return slopes of regressions of their own, and their diagonal covariances; `member` has shape (B, N, R)."""
    n_draws, n_units, n_groups = member.shape
    q = moments.across.shape[1]
    sums = np.ascontiguousarray(member.transpose(0, 2, 1)).reshape(-1, n_units)
    rest = (sums @ moments.rest.reshape(n_units, -1)).reshape(-1, q, q)
    across, exposure = sums @ moments.across, sums @ moments.exposure
    outcome = np.column_stack([sums @ moments.outcome, sums @ moments.outcome_rest])
    both = _solved(rest, np.stack([across, outcome[:, 1:]], axis=2))
    weights, rest_slopes = both[:, :, 0], both[:, :, 1]
    left = exposure - (across * weights).sum(axis=1)
    left = np.where(left > _IDENTIFIED * np.maximum(exposure, _nothing(moments)), left, np.nan)
    slope = (outcome[:, 0] - (across * rest_slopes).sum(axis=1)) / left
    controls = rest_slopes - slope[:, None] * weights
    # Each unit's scores: its normal equations at its group's solution, in the direction (1, -weights) / left.
    own = np.arange(n_draws)[:, None] * n_groups + np.maximum(labels, 0)
    its_slope, its_controls, its_weights = slope[own], controls[own], weights[own]
    moved = (moments.rest @ its_controls.transpose(1, 2, 0)).transpose(2, 0, 1)
    residual = moments.outcome - its_slope * moments.exposure - (its_controls * moments.across).sum(axis=2)
    rest_residual = moments.outcome_rest - its_slope[:, :, None] * moments.across - moved
    score = (residual - (rest_residual * its_weights).sum(axis=2)) / left[own]
    variance = np.zeros((n_draws, n_groups, n_groups))
    square = np.where(labels < 0, 0.0, score**2)
    variance[:, range(n_groups), range(n_groups)] = np.einsum("bn,bnr->br", np.nan_to_num(square), member)
    return slope.reshape(n_draws, n_groups), variance


def _common(moments: UnitMoments, member: Array) -> tuple[Array, Array]:
    """Return slopes of one regression, and their covariances; `member` has shape (B, N, R)."""
    n_draws, n_units, n_groups = member.shape
    q = moments.across.shape[1]
    rest = moments.rest.sum(axis=0)
    across = member.transpose(0, 2, 1) @ moments.across
    right = np.column_stack([across.transpose(2, 0, 1).reshape(q, -1), moments.outcome_rest.sum(axis=0)])
    both = _solved(rest[None], right[None])[0]
    weights = both[:, :-1].reshape(q, n_draws, n_groups).transpose(1, 2, 0)
    exposure = np.einsum("bnr,n->br", member, moments.exposure)
    left = -across @ weights.transpose(0, 2, 1)
    left[:, range(n_groups), range(n_groups)] += exposure
    outcome = np.einsum("bnr,n->br", member, moments.outcome) - across @ both[:, -1]
    size = np.sqrt(np.maximum(exposure, _nothing(moments)))
    values, vectors = np.linalg.eigh(left / (size[:, :, None] * size[:, None, :]))
    untold = values[:, 0] <= _IDENTIFIED * values[:, -1]
    inverse = (vectors / np.where(untold[:, None], np.nan, values)[:, None, :]) @ vectors.transpose(0, 2, 1)
    inverse = inverse / (size[:, :, None] * size[:, None, :])
    slope = np.einsum("brs,bs->br", inverse, outcome)
    controls = both[:, -1] - np.einsum("br,brq->bq", slope, weights)
    own = np.einsum("bnr,br->bn", member, np.nan_to_num(slope))
    residual = moments.outcome - own * moments.exposure - controls @ moments.across.T
    moved = (controls @ moments.rest.reshape(n_units * q, q).T).reshape(n_draws, n_units, q)
    rest_residual = moments.outcome_rest - own[:, :, None] * moments.across - moved
    score = member * residual[:, :, None] - rest_residual @ weights.transpose(0, 2, 1)
    score = score @ inverse
    return slope, score.transpose(0, 2, 1) @ score


def _nothing(moments: UnitMoments) -> float:
    """Return the sum of squares below which the exposure of a group is rounding."""
    return _ROUNDING * float(moments.exposure.sum()) or 1.0


def _solved(matrix: Array, right: Array) -> Array:
    """Solve positive semidefinite systems that have a solution, shapes (B, q, q) and (B, q, s).

    Period dummies add up to nothing, and a group may lack a period: directions without a square are kept from
    growing by a ridge, whose effect on all others repeated solving takes out.
    """
    if not matrix.shape[-1]:
        return np.zeros_like(right)
    size = np.sqrt(np.einsum("bii->bi", matrix))[:, :, None]
    size = np.where(size > 0, size, 1.0)
    matrix, right = matrix / size / size.transpose(0, 2, 1), right / size
    inverse = np.linalg.inv(matrix + _RIDGE * np.eye(matrix.shape[-1]))
    found = inverse @ right
    for _ in range(2):
        found = found + inverse @ (right - matrix @ found)
    return np.asarray(found / size)


def permutation_test(
    moments: UnitMoments, groups: Sequence[int], controls: Controls, *, permutations: int = PERMUTATIONS, seed: int = 1
) -> tuple[Permutation, Permutation | None]:
    """Test that groups share one slope by giving their units other groups.

    Parameters
    ----------
    moments
        Moments of the units; see `unit_moments`.
    groups
        Codes of the groups that change units, two or more. Under ``common`` units of other groups keep theirs; under
        ``by group`` they do not matter.
    controls
        Whether all else is in common or each group's own.
    permutations, seed
        Relabellings that are drawn, fewer (but no less than `FEWEST`) where groups and units are many; and their seed.

    Returns
    -------
    studentised, difference
        By the Wald statistic with clustered covariances, over the number of contrasts; and of two groups by the size of
        the difference of their slopes, as bdiff of Stata has it, else None.

    Raises
    ------
    InputError
        It would take too long, or too few relabellings give each group a slope.

    Notes
    -----
    The test is exact where units can be exchanged between groups; by the studentised statistic it is right in large
    samples also where groups differ in all but the slope (DiCiccio and Romano 2017). Relabellings under which a group
    has no slope are left out.
    """
    kept = np.arange(len(moments.group)) if controls == "common" else np.flatnonzero(np.isin(moments.group, groups))
    part = _of_units(moments, kept)
    names = [*groups, *(int(r) for r in np.unique(part.group) if r >= 0 and r not in groups)]
    order = {r: k for k, r in enumerate(names)}
    sample_labels = np.array([order.get(int(r), -1) for r in part.group], dtype=np.intp)
    n_groups, draws = len(names), int(min(permutations, MAX_WORK / _work(part, len(names), controls)))
    if draws < min(FEWEST, permutations):
        raise InputError(
            f"permutations are left out because they would take too long with {len(kept)} units and {n_groups} groups"
        )
    moving = np.flatnonzero((sample_labels >= 0) & (sample_labels < len(groups)))
    labels = np.tile(sample_labels, (draws + 1, 1))
    rng = np.random.default_rng(seed)
    labels[1:, moving] = rng.permuted(labels[1:, moving], axis=1)
    n_units, q = part.across.shape
    step = max(1, _NUMBERS // (n_units * (q + n_groups) + n_groups * q * q + n_groups**2))
    found = []
    with threadpool_limits(limits=1):
        for start in range(0, len(labels), step):
            estimate, variance = slopes_under(part, labels[start : start + step], n_groups, controls)
            there = slice(0, len(groups))
            found.append(_statistics(estimate[:, there], variance[:, there, there]))
    wald, gap = np.concatenate(found).T
    studentised = _permutation(wald / (len(groups) - 1))
    return studentised, _permutation(gap) if len(groups) == 2 else None


def _work(part: UnitMoments, n_groups: int, controls: Controls) -> float:
    """Return how many multiplications one relabelling takes."""
    n_units, q = (float(n) for n in part.across.shape)
    if controls == "common":
        return n_units * (q**2 + n_groups * (q + n_groups)) + 10 * n_groups**3
    return n_units * q**2 * (1 + n_groups / 4) + n_groups * 4 * q**3 + 10 * n_groups**3


def _of_units(moments: UnitMoments, kept: Codes) -> UnitMoments:
    return UnitMoments(
        exposure=moments.exposure[kept],
        across=moments.across[kept],
        rest=moments.rest[kept],
        outcome=moments.outcome[kept],
        outcome_rest=moments.outcome_rest[kept],
        group=moments.group[kept],
    )


def _statistics(estimate: Array, variance: Array) -> Array:
    """Return the Wald statistic and the distance of the first two slopes, shape (B, 2); NaN where there is no slope."""
    there = np.isfinite(estimate).all(axis=1)
    found = np.full((len(estimate), 2), np.nan)
    found[there, 0] = wald_of_equality(estimate[there], variance[there])
    found[there, 1] = np.abs(estimate[there, 0] - estimate[there, 1])
    return found


def _permutation(statistics: Array) -> Permutation:
    """Return the test that relabelled statistics give, the sample's first."""
    told = statistics[np.isfinite(statistics)]
    if not math.isfinite(statistics[0]) or len(told) <= LEAST_SHARE * len(statistics):
        raise InputError(
            "after most random reassignments some group has no slope, so that the statistic has no "
            "permutation distribution"
        )
    count = len(told)
    p = float((told >= statistics[0] * (1 - _TIE)).sum()) / count
    return Permutation(statistic=float(statistics[0]), p=p, mcse=math.sqrt(p * (1 - p) / count), draws=count)
