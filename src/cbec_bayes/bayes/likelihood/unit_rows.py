"""Single rows given all others, where units have errors and coefficients of their own: for many draws at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cbec_bayes.bayes.likelihood.conditional import DenseConditional
from cbec_bayes.bayes.likelihood.unit_systems import UnitSystems
from cbec_bayes.bayes.moments.lags import Lags
from cbec_bayes.bayes.moments.unit_directions import Directions
from cbec_bayes.panel.within import Array, Codes, sums_by

_CHUNK = 2**18


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitRows:
    """All n rows of some N units, and what their inverse covariance is made of; see `Lags` for the A fixed products.

    Attributes
    ----------
    units
        Codes of the units, shape (N,).
    unit
        Which of them each row is of, shape (n,).
    columns
        Fixed products times the outcome and the p columns, less their flat directions, shape (A, n, 1 + p).
    directions
        Fixed products times the m directions, shape (A, m, n).
    across
        Products of directions and columns, by unit, shape (A, m, N, 1 + p).
    diagonals
        Diagonals of the fixed products, shape (A, n).
    """

    units: Codes
    unit: Codes
    columns: Array
    directions: Array
    across: Array
    diagonals: Array

    def chunks(self, part: slice) -> Iterator[slice]:
        """Yield pieces of a part of the points, so small that what is computed of them stays in a processor's cache."""
        step = max(1, _CHUNK // max(1, self.columns[0].size))
        for start in range(part.start, part.stop, step):
            yield slice(start, min(start + step, part.stop))

    def given_others(
        self, weights: Array, systems: UnitSystems, variance: Array, given_all: DenseConditional
    ) -> tuple[Array, Array, Array]:
        """Return pull, precision and known of `RowsGivenOthers` at S points, shape (S, n) each.

        Parameters
        ----------
        weights
            Weights of the fixed products, shape (S, A).
        systems
            Linear systems of all units.
        variance
            Residual variance of every row, shape (S, n), or of all, (S, 1).
        given_all
            The coefficients given all rows and the scales.
        """
        n_points, (_, n, q) = len(weights), self.columns.shape
        flat = self.across.reshape(*self.across.shape[:2], -1)
        m = flat.shape[1]
        by_unit = systems.among(self.units).whitened(
            [(weights @ flat[:, j]).reshape(n_points, len(self.units), q) for j in range(m)]
        )
        by_row = systems.among(self.units[self.unit]).whitened(
            [(weights @ self.directions[:, j])[:, :, None] for j in range(m)]
        )
        rows = (weights @ self.columns.reshape(len(self.columns), -1)).reshape(n_points, n, q)
        for one, other in zip(by_row, by_unit, strict=True):
            rows -= one * other[:, self.unit]
        # The outcome's column less those of the coefficients at their mean, and then their uncertainty.
        loadings = np.zeros((n_points, q, 1 + given_all.root.shape[2]))
        loadings[:, 0, 0] = 1.0
        loadings[:, 1:, 0] = -given_all.mean[:, : q - 1]
        loadings[:, 1:, 1:] = given_all.root[:, : q - 1]
        found = rows @ loadings
        known = (weights @ self.diagonals) / variance
        taken = np.sum([one[:, :, 0] ** 2 for one in by_row], axis=0) / variance
        uncertain = np.einsum("snj,snj->sn", found[:, :, 1:], found[:, :, 1:]) / variance**2
        return found[:, :, 0] / variance, known - taken - uncertain, known


def unit_rows(directions: Directions, lags: Lags, columns: Array, units: Codes) -> UnitRows:
    """Gather the rows of some units.

    Parameters
    ----------
    directions, lags, columns
        Directions, lags and columns of all rows; the outcome comes first of the columns, shape (n, 1 + p).
    units
        Codes of the units, in order.
    """
    near = np.isin(directions.unit, units)
    own = lags.among(near)
    unit = np.searchsorted(units, directions.unit[near])
    every, w = own.times(directions.reduced(columns)[0][near]), directions.columns[near]
    across = [[sums_by(unit, one[:, None] * product, len(units)) for one in w.T] for product in every]
    return UnitRows(
        units=units,
        unit=unit,
        columns=every,
        directions=np.swapaxes(own.times(w), 1, 2),
        across=np.array(across),
        diagonals=own.diagonals(),
    )
