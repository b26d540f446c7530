"""Whole units given all others and the scales: the log densities of their changes, of every unit at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from cbec_bayes.bayes.likelihood.by_group_conditional import ByGroupConditional
from cbec_bayes.bayes.likelihood.collapsed import Collapsed
from cbec_bayes.bayes.likelihood.conditional import Conditional, DenseConditional
from cbec_bayes.bayes.likelihood.elimination import coefficient_priors
from cbec_bayes.bayes.likelihood.marginal import LOG_2PI, Scales
from cbec_bayes.bayes.likelihood.orthogonal import orthogonal
from cbec_bayes.bayes.likelihood.rows import sigma_of_units
from cbec_bayes.bayes.likelihood.triangular import forward
from cbec_bayes.bayes.model.blocks import Blocks
from cbec_bayes.bayes.model.densities import RHO, resolve
from cbec_bayes.bayes.moments.lags import CORRELATIONS, previous_rows
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array, Codes

type Step = Callable[[Any, Any], tuple[Any, Any]]

_SPENT = 1e-10
"""Share of a direction of flat coefficients, outside a unit, that is rounding: the unit alone identifies it."""

_CHUNK, _CACHE = 2**21, 2**18


@dataclass(frozen=True, slots=True)
class _Unit:
    """The changes of one unit: its rows turned so that what has flat coefficients of its own is gone.

    Attributes
    ----------
    at
        Positions of the m_i changes among those of all units.
    turn
        From the T_i rows to the changes, orthonormal, shape (m_i, T_i).
    rows
        Positions of the rows, in order of time, shape (T_i,).
    gap
        Periods since the row before, zero of the first, shape (T_i,).
    directions
        Scale's symbol and the changes of the regressor that a pooled coefficient of the unit multiplies, shape (m_i,).
    """

    at: slice
    turn: Array
    rows: Codes
    gap: Codes
    directions: tuple[tuple[str, Array], ...]


def unit_densities(blocks: Blocks, collapsed: Collapsed, points: Array, units: Codes | None = None) -> Array:
    """Return the log density of the changes of every unit, or of some, given all other units and the scales.

    Changes are the unit's rows in orthonormal contrasts, from which its level is gone, and its trend where trends have
    flat coefficients: these are anything for a unit not seen.

    Parameters
    ----------
    blocks, collapsed
        Model and design; the density. Unit effects have to be flat.
    points
        Values of the scales, shape (S, k).
    units
        Codes of those that are asked for; default all.

    Returns
    -------
    ndarray
        Shape (S, units); NaN where the other units do not identify the model, and zero for a unit without changes.

    Notes
    -----
    Let R be the changes of all units over the root of their covariance, A = R'R + P the precision of the coefficients,
    e the residuals at their mean, and H_i = R_i A^-1 R_i'. Taking a unit's rows out of A gives the density

        |V_i|^-1/2 |I - H_i|^1/2 exp(-e_i' (I - H_i)^-1 e_i / 2) / (2 pi)^(m_i / 2).

    The coefficients given all rows are those of the collapsed density, which knows them group by group where most are
    of single groups, so that a unit asks for the ones of its own group alone.
    """
    system = changes_for_densities(blocks)
    return system.log_densities(collapsed, points, np.arange(len(system.units)) if units is None else units)


def changes_for_densities(blocks: Blocks) -> ChangesOfUnits:
    """Return the changes of every unit, of which other units say all that they can: unit effects have to be flat."""
    if blocks.unit_scale is not None:
        raise ValueError("changes within the other units still depend on unit effects that have a scale")
    return changes_of_units(blocks)


def changes_of_units(blocks: Blocks) -> ChangesOfUnits:
    """Lay out the changes of every unit."""
    design, every = blocks.design, _units_of(blocks)
    laid_out = blocks.scaled_rows
    changes = np.concatenate([one.turn @ laid_out[one.rows] for one in every])
    location, _ = coefficient_priors(blocks, resolve(blocks.model, design))
    free = np.flatnonzero((np.arange(location.shape[1]) < blocks.n_flat) & (location[0] == 0))
    columns, _, _ = orthogonal(changes[:, 1:], free, changes[:, 1:])
    return ChangesOfUnits(
        design=design,
        units=every,
        step=CORRELATIONS[blocks.model.choice("correlation")].step,
        changes=changes,
        needed=_needed(every, columns[:, free]),
        log_volumes=_log_volumes(blocks),
    )


def _log_volumes(blocks: Blocks) -> Array:
    """Return ln of the determinant of the map from a unit's changes to those of its rows with weights, shape (N,)."""
    design = blocks.design
    if design.weight is None:
        return np.zeros(len(design.units))
    own, weighted = blocks.flat_of_units(weighted=False), blocks.flat_of_units()
    return np.bincount(design.unit, np.log(design.weight) / 2) + own.log_sizes - weighted.log_sizes


def _units_of(blocks: Blocks) -> tuple[_Unit, ...]:
    design = blocks.design
    correlated = blocks.model.choice("correlation") != "off"
    gap = previous_rows(design)[1] if correlated else np.zeros(design.n_obs, dtype=np.int64)
    flat = blocks.flat_of_units()
    pooled = [one for one in blocks.directions if one.scale is not None]
    found, end = [], 0
    for u in range(len(design.units)):
        rows = np.flatnonzero(design.unit == u)
        rows = rows[np.argsort(design.time[rows])]
        there = flat.columns[rows][:, flat.is_there[: flat.n_flat, u]]
        turn = linalg.qr(there)[0][:, there.shape[1] :].T if there.shape[1] else np.eye(len(rows))
        directions = tuple((str(one.scale), turn @ one.regressor[rows]) for one in pooled)
        at = slice(end, end + len(turn))
        found.append(_Unit(at=at, turn=turn, rows=rows, gap=gap[rows], directions=directions))
        end += len(turn)
    return tuple(found)


def _needed(units: tuple[_Unit, ...], flat: Array) -> NDArray[np.bool_]:
    """Return which units alone identify a flat coefficient; `flat` are orthonormal columns, shape (changes, q)."""

    def share(unit: _Unit) -> float:
        return float(np.linalg.norm(flat[unit.at], 2)) ** 2 if flat[unit.at].size else 0.0

    return np.array([1 - share(unit) < _SPENT for unit in units])


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangesOfUnits:
    """All changes: the outcome's and the columns'.

    Attributes
    ----------
    design
        The panel.
    units
        Where the changes of each unit stand, and how they are made.
    step
        How an error follows from the one before; see `cbec_bayes.bayes.moments.lags.Lags.step`.
    changes
        Outcome and columns of the model's coefficients, shape (m, 1 + p).
    needed
        Units without which the others do not identify the model, shape (N,).
    log_volumes
        What the log density of each unit's changes has beside that of the changes of its rows times the roots of their
        weights, shape (N,).
    """

    design: Design
    units: tuple[_Unit, ...]
    step: Step
    changes: Array
    needed: NDArray[np.bool_]
    log_volumes: Array

    def chunks(self, n_points: int) -> Iterator[slice]:
        """Yield parts of the points that fit into memory."""
        step = max(1, _CHUNK // max(1, self.changes.size))
        yield from (slice(start, start + step) for start in range(0, n_points, step))

    def log_densities(self, collapsed: Collapsed, points: Array, asked: Codes) -> Array:
        """Return the log density of some units given the others, shape (S, units); see `unit_densities`."""
        found = np.full((len(points), len(asked)), np.nan)
        there = np.flatnonzero(~self.needed[asked])
        size = max((len(self.units[u].turn) for u in asked), default=0) * self.changes.shape[1]
        for part in _pieces(len(points), max(size, collapsed.likelihood.conditional_size)):
            scales = collapsed.scales(points[part])
            sigma = sigma_of_units(self.design, collapsed.sigmas, scales)
            known = of_each_group(coefficients_of_groups(collapsed, scales))
            for k, (u, inverse, constant) in zip(there, self.roots(scales, sigma, asked[there]), strict=True):
                at, given_all = known[self.design.group_of_unit[u] if len(known) > 1 else 0]
                own = self.changes[self.units[u].at]
                rows = inverse @ own[:, 1:][:, at]
                residual = inverse @ own[:, 0] - np.einsum("smp,sp->sm", rows, given_all.mean)
                taken = rows @ given_all.root
                left = np.eye(len(own)) - taken @ np.swapaxes(taken, 1, 2)
                found[part, k] = constant + self.log_volumes[u] + _log_size_less_distance(left, residual)
        return found

    def roots(self, scales: Scales, sigma: Array, asked: Codes) -> Iterator[tuple[int, Array, Array]]:
        """Yield some units with the inverse root of the covariance of their changes, (S, m, m), and constants, (S,).

        The constant is the logarithm of what the density is multiplied by; `sigma` is that of all units, shape (S, N).
        """
        errors: dict[tuple[bytes, bytes], Array] = {}
        for u in map(int, asked):
            unit = self.units[u]
            periods = unit.gap.tobytes(), unit.turn.tobytes()
            if periods not in errors:  # units of the same periods share them
                half = unit.turn @ _root_of_errors(self.step, unit.gap, scales)
                errors[periods] = half @ np.swapaxes(half, 1, 2)
            covariance = sigma[:, u, None, None] ** 2 * errors[periods]
            for scale, own in unit.directions:
                covariance = covariance + scales[scale][:, None, None] ** 2 * np.outer(own, own)
            root = np.linalg.cholesky(covariance)
            inverse = forward(root, np.broadcast_to(np.eye(root.shape[1]), root.shape))
            log_root = np.log(np.einsum("sii->si", root)).sum(axis=1)
            yield u, inverse, -log_root - len(unit.turn) / 2 * LOG_2PI


def coefficients_of_groups(collapsed: Collapsed, scales: Scales) -> Conditional:
    """Return the coefficients given all rows and the scales, group by group where they are known so, or else dense."""
    found = collapsed.likelihood.compact_conditional(scales, means=False)
    if isinstance(found, ByGroupConditional | DenseConditional):
        return found
    return collapsed.likelihood.conditional(scales)


def of_each_group(found: Conditional) -> list[tuple[Codes | slice, DenseConditional]]:
    """Return those coefficients that a group's rows have columns of, and where they stand among all.

    There is an entry for each group where coefficients are known group by group, and otherwise one for all.
    """
    if isinstance(found, ByGroupConditional):
        return [(np.concatenate([found.at, one.own]), found.of_group(r)) for r, one in enumerate(found.groups)]
    assert isinstance(found, DenseConditional)
    return [(slice(None), found)]


def _pieces(n_points: int, size: int) -> Iterator[slice]:
    """Yield parts of the points, so small that what is computed of them stays in a processor's cache."""
    step = max(1, _CACHE // max(1, size))
    yield from (slice(start, start + step) for start in range(0, n_points, step))


def _log_size_less_distance(left: Array, residual: Array) -> Array:
    """Return (ln |C| - e' C^-1 e) / 2 of S matrices C, shape (S, m, m), and residuals; NaN where C has no root."""
    try:
        root = np.linalg.cholesky(left)
    except np.linalg.LinAlgError:  # rounding has left one of them without a root, and their eigenvalues tell which
        with np.errstate(invalid="ignore", divide="ignore"):
            values, vectors = np.linalg.eigh(left)
            turned = np.einsum("smk,sm->sk", vectors, residual)
            return np.asarray((np.log(values) - turned**2 / values).sum(axis=1) / 2)
    turned = forward(root, residual[:, :, None])[:, :, 0]
    return np.asarray(np.log(np.einsum("sii->si", root)).sum(axis=1) - (turned**2).sum(axis=1) / 2)


def _root_of_errors(step: Step, gap: Codes, scales: Scales) -> Array:
    """Return L of the covariance L L' of a unit's errors over sigma squared, shape (S, T, T), rows in order of time.

    Each error is a share of the one before and what is new. What the first error is, which may be nearly anything, is
    the first column, so that changes lose no more than half its digits.
    """
    rho = scales.get(RHO, np.zeros(1))
    found = np.zeros((len(rho), len(gap), len(gap)))
    for t, periods in enumerate(gap):
        share, new = step(periods, rho)
        if t:
            found[:, t] = np.reshape(share, (-1, 1)) * found[:, t - 1]
        found[:, t, t] = np.sqrt(new)
    return found
