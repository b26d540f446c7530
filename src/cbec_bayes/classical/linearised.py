"""Bias-reduced linearisation: the pieces of CR2 that depend on regressors alone (Bell and McCaffrey 2002)."""

from __future__ import annotations

import numpy as np

from cbec_bayes.panel.within import Array, Codes, TwoWay, means_by

SINGULAR = 1e-11
"""Share of the largest eigenvalue below which one is rounding."""

NOTHING = 1e-20
"""Share of a sum of squares that is rounding."""

_SPENT = 1e-12  # eigenvalues of I - H_gg below it are directions that a cluster has to itself, as in clubSandwich


def period_columns(effects: TwoWay) -> Array:
    """Return the dummies of all periods, and of further effects, less unit means, see `off_units`, shape (m, T)."""
    return off_units(effects, dummies(effects))


def dummies(effects: TwoWay) -> Array:
    """Return the dummies of all periods and of further effects, shape (m, T)."""
    sets = (effects.time, *effects.further)
    return np.column_stack([(codes[:, None] == np.arange(int(codes.max()) + 1)).astype(float) for codes in sets])


def span(within: Array, periods: Array) -> Array:
    """Return orthonormal columns that span regressors and periods, shape (m, r).

    Parameters
    ----------
    within
        Regressors less unit and time effects, shape (m, k), of full rank.
    periods
        See `period_columns`; the regressors are orthogonal to them.
    """
    values, vectors = np.linalg.eigh(periods.T @ periods)
    there = values > SINGULAR * values.max(initial=1.0)
    return np.hstack([np.linalg.qr(within)[0], periods @ (vectors[:, there] / np.sqrt(values[there]))])


def bias_reduced(solve: Array, basis: Array, unit: Codes) -> tuple[Array, Array]:
    """Return what turns residuals into the bias-reduced scores of slopes.

    Parameters
    ----------
    solve
        (X'X)^-1 X' of the slopes, shape (k, m).
    basis
        Orthonormal columns with H = basis basis', shape (m, r); see `span`.
    unit
        Codes of the clusters, shape (m,).

    Returns
    -------
    reduced, df
        Rows of (X'X)^-1 X_g' (I - H_gg)^(-1/2), shape (k, m), NaN where nothing is left of a slope; and the
        Satterthwaite degrees of freedom of each slope, shape (k,).
    """
    reduced = np.empty_like(solve)
    for g in range(int(unit.max()) + 1):
        own = unit == g
        values, vectors = np.linalg.eigh(np.eye(int(own.sum())) - basis[own] @ basis[own].T)
        root = np.where(values > _SPENT, 1 / np.sqrt(np.maximum(values, _SPENT)), 0.0)
        reduced[:, own] = solve[:, own] @ (vectors * root) @ vectors.T
    reduced[(reduced**2).sum(axis=1) <= NOTHING * (solve**2).sum(axis=1)] = np.nan
    df = np.empty(len(solve))
    for k, row in enumerate(reduced):
        # Covariances of the clusters' scores where errors are independent and alike; unit effects add nothing to it.
        f = sum_by(unit, row[:, None] * basis)
        across = np.diag(sum_by(unit, row[:, None] ** 2)[:, 0]) - f @ f.T
        df[k] = np.trace(across) ** 2 / (across**2).sum()
    return reduced, df


def off_units(effects: TwoWay, columns: Array) -> Array:
    """Return columns, shape (m, s), less their means over the rows of each unit.

    Where rows have weights means are weighted, and what is left is multiplied by the square roots of the weights. On
    rows so scaled errors of variance sigma^2 / w are independent and alike, so that CR2 has the identity for a working
    model there, and nothing else differs.
    """
    left = columns - means_by(effects.unit, columns, effects.weight)[effects.unit]
    return np.asarray(effects.root[:, None] * left)


def sum_by(unit: Codes, columns: Array) -> Array:
    """Return the sums of columns, shape (m, s), over the rows of each unit, shape (N, s)."""
    return means_by(unit, columns) * np.bincount(unit)[:, None]
