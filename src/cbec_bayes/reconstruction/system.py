"""The printed cells as functions of the two unknown columns, with their derivatives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.classical.conventions import Convention
from cbec_bayes.classical.regression import sample
from cbec_bayes.design import Design, identified
from cbec_bayes.errors import InputError
from cbec_bayes.reconstruction.targets import ColumnTargets, Target, Targets
from cbec_bayes.within import Array

MAX_ROWS = 3_000
"""Projections are held as dense matrices: panels whose tables are printed are small."""

WISH_WIDTH = 0.3


@dataclass(frozen=True, slots=True)
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
    targets
        What is printed.
    """

    rows: NDArray[np.intp]
    within: Array
    controls: Array
    cluster: NDArray[np.intp]
    factor: float
    free: int
    targets: ColumnTargets


@dataclass(frozen=True, slots=True)
class Gradient:
    """A quantity with its derivatives with respect to outcome and exposure of the rows that it depends on."""

    value: float
    outcome: Array
    exposure: Array


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
        values: list[float] = []
        rows: list[Array] = []
        wishes: list[Array] = []

        def add(found: Gradient, target: Target | None, at: NDArray[np.intp] | slice) -> None:
            if target is None:
                return
            row = np.zeros((2, n))
            row[0, at], row[1, at] = found.outcome, found.exposure
            values.append((found.value - target.value) / target.half_width)
            rows.append(row.ravel() / target.half_width)

        every, zero = slice(None), np.zeros(n)
        for part, moments in ((point[:n], self.targets.outcome), (point[n:], self.targets.exposure)):
            mean, sd = _moments(part)
            first = moments is self.targets.outcome
            for (value, slope), aim in ((mean, moments.mean), (sd, moments.sd)):
                add(Gradient(value, slope, zero) if first else Gradient(value, zero, slope), aim, every)
        for column in self.columns:
            estimates, errors, r2, independent = cells(
                point[:n][column.rows],
                point[n:][column.rows],
                column.controls,
                column.within,
                column.cluster,
                column.factor,
                column.free,
            )
            wish = np.zeros((2, n))
            clustered = errors[0]
            wish[0, column.rows] = independent.outcome / independent.value - clustered.outcome / clustered.value
            wish[1, column.rows] = independent.exposure / independent.value - clustered.exposure / clustered.value
            wishes.append(np.r_[np.log(independent.value / clustered.value), wish.ravel()] / WISH_WIDTH)
            for found, target in zip(
                (*estimates, *errors), (*column.targets.estimate, *column.targets.se), strict=True
            ):
                add(found, target, column.rows)
            add(r2, column.targets.r2, column.rows)
        wanted = np.array(wishes)
        return np.r_[values, wanted[:, 0]], np.vstack([np.array(rows), wanted[:, 1:]])

    @property
    def n_wishes(self) -> int:
        """One per column."""
        return len(self.columns)


def make_system(design: Design, targets: Targets, how: Convention) -> System:
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
        if lost or sample(part, how).n_obs < part.n_obs:
            what = f"'{part.terms[1 + min(lost)]}' has no slope there" if lost else "it has units or periods seen once"
            raise InputError(f"the printed column '{column.spec.key}' cannot be reconstructed: {what}")
        columns.append(
            _Column(
                np.flatnonzero(mask),
                part.effects.within(np.eye(part.n_obs)),
                within,
                part.unit,
                how.factor(part.n_obs, len(part.terms), len(part.units), part.effects.rank),
                part.n_obs - len(part.terms) - part.effects.rank,
                column,
            )
        )
    return System(design.n_obs, targets, tuple(columns))


def _moments(values: Array) -> tuple[tuple[float, Array], tuple[float, Array]]:
    n = len(values)
    centred = values - values.mean()
    sd = float(np.sqrt(centred @ centred / (n - 1)))
    return (float(values.mean()), np.full(n, 1 / n)), (sd, centred / ((n - 1) * sd))


def cells(
    outcome: Array,
    exposure: Array,
    controls: Array,
    within: Array,
    cluster: NDArray[np.intp],
    factor: float,
    free: int,
) -> tuple[list[Gradient], list[Gradient], Gradient, Gradient]:
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
        Of the clustered variance.
    free
        Residual degrees of freedom.

    Returns
    -------
    estimates, errors, r2, independent
        K, K, one and one `Gradient`; the last is the exposure's standard error if errors were independent.

    Notes
    -----
    With X = [d, x] less effects, Q = (X'X)^-1 X', e the residuals and M the projection off effects and X,

        db_k = Q_k dy + ((X'X)^-1_k0 e - b_0 Q_k) dd
        V_kk = c sum_g u_kg^2,  u_kg = sum over the rows of g of Q_k e

    and the derivative of V_kk follows from de = M dy - b_0 M dd - Q_0 (e'dd) and
    dQ_k = (X'X)^-1_k0 M dd - (Q_k dd) Q_0.
    """
    x = np.column_stack([within @ exposure, controls])
    q, r = np.linalg.qr(x)
    solve = np.linalg.solve(r, q.T)
    inverse = solve @ solve.T
    y = within @ outcome
    slopes = solve @ y
    left = y - x @ slopes

    def annihilate(v: Array) -> Array:
        v = within @ v
        return np.asarray(v - x @ (solve @ v))

    estimates, errors = [], []
    n_clusters = int(cluster.max()) + 1
    for k in range(x.shape[1]):
        estimates.append(Gradient(float(slopes[k]), solve[k], inverse[k, 0] * left - slopes[0] * solve[k]))
        sums = np.bincount(cluster, solve[k] * left, minlength=n_clusters)
        se = float(np.sqrt(factor * sums @ sums))
        weight = factor * sums[cluster] / se
        by_slope, by_residual = weight * solve[k], weight * left
        along = annihilate(by_slope)
        errors.append(
            Gradient(
                se,
                along,
                -slopes[0] * along
                - (solve[0] @ by_slope) * left
                + inverse[k, 0] * annihilate(by_residual)
                - (solve[0] @ by_residual) * solve[k],
            )
        )
    centred = outcome - outcome.mean()
    tss, rss = float(centred @ centred), float(left @ left)
    r2 = Gradient(1 - rss / tss, 2 * (rss / tss * centred - left) / tss, 2 * slopes[0] * left / tss)
    # se^2 = RSS / free x (X'X)^-1_00, of which the second factor moves by -2 (X'X)^-1_00 Q_0 dd.
    se = float(np.sqrt(rss / free * inverse[0, 0]))
    independent = Gradient(se, se * left / rss, se * (-slopes[0] * left / rss - solve[0]))
    return estimates, errors, r2, independent
