"""The printed cells as functions of the two unknown columns, with their derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.classical.conventions import Convention
from cbec_bayes.classical.regression import sample
from cbec_bayes.panel.collinear import identified
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array
from cbec_bayes.reconstruction.targets import Target, Targets
from cbec_bayes.runtime.errors import InputError

MAX_ROWS = 3_000
"""Projections are held as dense matrices: panels whose tables are printed are small."""

WISH_WIDTH = 0.3


@dataclass(frozen=True, slots=True)
class _Aims:
    """Which of some cells have a target, its value and its half-width; shapes (A,)."""

    which: NDArray[np.intp]
    value: Array
    half_width: Array


def _aims(targets: Sequence[Target | None]) -> _Aims:
    there = [(k, target.value, target.half_width) for k, target in enumerate(targets) if target is not None]
    which, value, half_width = np.array(there).reshape(-1, 3).T
    return _Aims(which.astype(np.intp), value, half_width)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """One regression with the exposure and the outcome unknown.

    Attributes
    ----------
    rows
        Positions of its rows, shape (m,).
    within
        Projection off the effects, shape (m, m).
    controls
        Controls less effects, shape (m, K - 1).
    cluster
        Codes, shape (m,).
    factor
        Small-sample factor of the clustered variance.
    free
        Residual degrees of freedom.
    aims
        Aims of K slopes, K standard errors and R2.
    """

    rows: NDArray[np.intp]
    within: Array
    controls: Array
    cluster: NDArray[np.intp]
    factor: float
    free: int
    aims: _Aims


@dataclass(frozen=True, slots=True)
class Gradient:
    """Quantities, shape (Q,), and their derivatives by outcome and exposure of the m rows they depend on, (Q, m)."""

    value: Array
    outcome: Array
    exposure: Array

    def jacobian(self, rows: NDArray[np.intp], n: int) -> Array:
        """Return the derivatives by outcome and exposure of all n rows, shape (Q, 2n)."""
        every = np.zeros((len(self.value), 2, n))
        every[:, 0, rows], every[:, 1, rows] = self.outcome, self.exposure
        return every.reshape(len(self.value), 2 * n)


@dataclass(frozen=True, slots=True)
class System:
    """All targets of a panel of n rows: residuals and Jacobian at a point (outcome, exposure), shape (2n,).

    Beside the printed cells there is one wish per column, which no rounding binds: that the exposure's clustered
    standard error be of the size of the one that takes errors as independent. Printed numbers alone would also be met
    by an exposure that the controls almost reproduce, with residuals that cancel within each unit; such a panel
    prints the tables and is like no data that anybody has seen.
    """

    n_obs: int
    targets: Targets
    moments: _Aims
    columns: tuple[_Column, ...]

    def residuals(self, point: Array) -> tuple[Array, Array]:
        """Return how far each cell is from its target, in half-widths of its rounding, and the Jacobian.

        Parameters
        ----------
        point
            Outcome, then exposure, shape (2n,).

        Returns
        -------
        residuals, jacobian
            Shapes (M,) and (M, 2n). A cell prints as it should where its residual lies within -1 and 1. The last
            `n_wishes` are wishes, ln(independent / clustered standard error) over `WISH_WIDTH`.
        """
        n = self.n_obs
        outcome, exposure = point[:n], point[n:]
        residuals, slopes, wishes, wished = [], [], [], []

        def add(found: Array, jacobian: Array, aims: _Aims) -> None:
            residuals.append((found[aims.which] - aims.value) / aims.half_width)
            slopes.append(jacobian[aims.which] / aims.half_width[:, None])

        add(*_moments(outcome, exposure), self.moments)
        for column in self.columns:
            rows = column.rows
            printed, independent = cells(
                outcome[rows],
                exposure[rows],
                controls=column.controls,
                within=column.within,
                cluster=column.cluster,
                factor=column.factor,
                free=column.free,
            )
            found, jacobian = printed.value, printed.jacobian(rows, n)
            add(found, jacobian, column.aims)
            clustered = column.controls.shape[1] + 1  # the first standard error stands after the slopes
            wishes.append(np.log(independent.value / found[clustered]) / WISH_WIDTH)
            by = independent.jacobian(rows, n) / independent.value - jacobian[clustered] / found[clustered]
            wished.append(by / WISH_WIDTH)
        return np.concatenate([*residuals, *wishes]), np.concatenate([*slopes, *wished])

    @property
    def n_wishes(self) -> int:
        """One per column."""
        return len(self.columns)


def make_system(design: Design, targets: Targets, ssc: Convention) -> System:
    """Prepare the system of a design whose outcome and exposure (its first regressor) are to be found.

    Raises
    ------
    InputError
        The panel is too large, or a printed column lacks the exposure.
    """
    if design.n_obs > MAX_ROWS:
        raise InputError(f"{design.n_obs} rows are more than the {MAX_ROWS} that a reconstruction can carry")
    exposure = design.terms[0]
    columns = []
    for column in targets.columns:
        if column.spec.terms[:1] != (exposure,):
            raise InputError(f"the printed column '{column.spec.key}' does not begin with the exposure '{exposure}'")
        mask = np.ones(design.n_obs, dtype=bool)
        if column.spec.group is not None and design.group is not None:
            mask = design.group == design.groups.index(column.spec.group)
        part = design.rows(mask).keeping(column.spec.terms)
        within = part.effects.within(part.x[:, 1:])
        lost = set(range(within.shape[1])) - set(identified(part.x[:, 1:], within))
        if lost or sample(part, ssc).n_obs < part.n_obs:
            what = f"'{part.terms[1 + min(lost)]}' has no slope there" if lost else "it has units or periods seen once"
            raise InputError(f"the printed column '{column.spec.key}' cannot be reconstructed: {what}")
        columns.append(
            _Column(
                rows=np.flatnonzero(mask),
                within=part.effects.within(np.eye(part.n_obs)),
                controls=within,
                cluster=part.unit,
                factor=ssc.factor(part.n_obs, len(part.terms), len(part.units), part.effects.rank),
                free=part.n_obs - len(part.terms) - part.effects.rank,
                aims=_aims([*column.estimate, *column.se, column.r2]),
            )
        )
    moments = _aims([target for one in (targets.outcome, targets.exposure) for target in (one.mean, one.sd)])
    return System(design.n_obs, targets, moments, tuple(columns))


def _moments(*columns: Array) -> tuple[Array, Array]:
    """Return mean and standard deviation of outcome and exposure, shape (4,), and their derivatives, (4, 2n)."""
    n = len(columns[0])
    values, slopes = [], np.zeros((2, 2, 2, n))
    for k, column in enumerate(columns):
        mean = column.mean()
        centred = column - mean
        sd = np.sqrt(centred @ centred / (n - 1))
        values += [mean, sd]
        slopes[k, 0, k], slopes[k, 1, k] = 1 / n, centred / ((n - 1) * sd)
    return np.array(values), slopes.reshape(4, 2 * n)


def cells(
    outcome: Array,
    exposure: Array,
    *,
    controls: Array,
    within: Array,
    cluster: NDArray[np.intp],
    factor: float,
    free: int,
) -> tuple[Gradient, Gradient]:
    """Return slopes, clustered standard errors and R2 of one regression with their derivatives.

    Parameters
    ----------
    outcome, exposure
        y and d, raw, shape (m,).
    controls
        Controls less effects, shape (m, K - 1).
    within
        Projection off the effects, shape (m, m).
    cluster
        Codes, shape (m,).
    factor
        Small-sample factor of the clustered variance.
    free
        Residual degrees of freedom.

    Returns
    -------
    printed, independent
        K slopes, then K standard errors, then R2; and the exposure's standard error if errors were independent.

    Notes
    -----
    With X = [d, x] less effects, Q = (X'X)^-1 X', e the residuals and M the projection off effects and X,

        db_k = Q_k dy + ((X'X)^-1_k0 e - b_0 Q_k) dd
        V_kk = c sum_g u_kg^2,  u_kg = sum over the rows of g of Q_k e

    and the derivative of V_kk follows from de = M dy - b_0 M dd - Q_0 (e'dd) and
    dQ_k = (X'X)^-1_k0 M dd - (Q_k dd) Q_0.
    """
    d, y = (within @ np.column_stack([exposure, outcome])).T
    x = np.column_stack([d, controls])
    q, r = np.linalg.qr(x)
    solve = np.linalg.solve(r, q.T)
    inverse = solve @ solve.T
    slopes = solve @ y
    left = y - x @ slopes
    b, to_exposure = slopes[0], inverse[:, :1]

    n_terms, n_clusters = x.shape[1], int(cluster.max()) + 1
    code = (cluster + n_clusters * np.arange(n_terms)[:, None]).ravel()
    sums = np.bincount(code, (solve * left).ravel(), n_terms * n_clusters).reshape(n_terms, n_clusters)
    errors = np.sqrt(factor * np.square(sums).sum(axis=1))
    weight = factor * sums[:, cluster] / errors[:, None]
    by_slope, by_residual = weight * solve, weight * left
    moved = np.vstack([by_slope, by_residual]) @ within
    by_outcome, by_rows = np.split(moved - (moved @ solve.T) @ x.T, 2)  # off effects and X, which are symmetric
    by_exposure = (
        to_exposure * by_rows
        - b * by_outcome
        - (by_slope @ solve[0])[:, None] * left
        - (by_residual @ solve[0])[:, None] * solve
    )

    centred = outcome - outcome.mean()
    tss, rss = float(centred @ centred), float(left @ left)
    printed = Gradient(
        np.concatenate([slopes, errors, [1 - rss / tss]]),
        np.vstack([solve, by_outcome, 2 * (rss / tss * centred - left) / tss]),
        np.vstack([to_exposure * left - b * solve, by_exposure, 2 * b * left / tss]),
    )
    # se^2 = RSS / free x (X'X)^-1_00, of which the second factor moves by -2 (X'X)^-1_00 Q_0 dd.
    se = np.sqrt(rss / free * inverse[:1, 0])
    independent = Gradient(se, se * left[None] / rss, se * (-b * left / rss - solve[0])[None])
    return printed, independent
