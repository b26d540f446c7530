"""Small systems of equations, one for each unit, that are solved for all units at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.panel.within import Array, Codes


@dataclass(frozen=True, slots=True)
class UnitSystems:
    """M = D Q D + I of every unit at S points, as L L'; the one is there where a direction is pooled, zero where flat.

    With W the m directions of a unit, C the covariance of its errors over sigma^2, Q = W'C^-1 W, and D their scales
    over sigma, one where they are flat, M / sigma^2 is the precision of the unit's coefficients over sigma D.

    Attributes
    ----------
    ratios
        Diagonal of D, m arrays of shape (S, N) or (S, 1).
    root
        L, m rows of arrays of shape (S, N).
    """

    ratios: Sequence[Array]
    root: Sequence[Sequence[Array]]

    def whitened(self, products: Sequence[Array], first: int = 0) -> list[Array]:
        """Return L^-1 D v of vectors v, arrays of shape (S, N, q) for each direction; they are zero before `first`."""
        return list(self.whiten(np.stack(products), first)) if len(products) else []

    def whiten(self, products: Array, first: int = 0) -> Array:
        """Do the same in place, and return it: one array, shape (m - first, S, N, q), in any order in memory."""
        for j, one in enumerate(products, start=first):
            one *= (self.ratios[j] / self.root[j][j])[:, :, None]
            for k, before in enumerate(products[: j - first], start=first):
                one -= (self.root[j][k] / self.root[j][j])[:, :, None] * before
        return products

    def back(self, whitened: Sequence[Array], first: int = 0) -> list[Array]:
        """Return L'^-1 times vectors, from the direction `first` on; nothing before it depends on what comes after."""
        found: list[Array] = []
        for j in reversed(range(len(whitened))):
            left = whitened[j].copy()
            for k, after in enumerate(found, start=j + 1):
                left -= self.root[first + k][first + j][:, :, None] * after
            found.insert(0, left / self.root[first + j][first + j][:, :, None])
        return found

    def among(self, units: Codes) -> UnitSystems:
        """Return the systems of some units, which may be there more than once."""
        ratios = [one if one.shape[1] == 1 else one[:, units] for one in self.ratios]
        return UnitSystems(ratios, [[one[:, units] for one in row] for row in self.root])

    def inverse(self) -> Array:
        """Return M^-1, shape (S, N, m, m)."""
        m = len(self.root)
        shape = (*self.root[0][0].shape, m)
        columns = [np.broadcast_to(np.eye(m)[j], shape) for j in range(m)]
        plain = UnitSystems([np.ones((1, 1))] * m, self.root)
        return np.stack(plain.back(plain.whitened(columns)), axis=2)

    def log_det(self) -> Array:
        """Return half the log determinant of M, added up over units, shape (S,)."""
        return np.asarray(sum(np.log(row[j]).sum(axis=1) for j, row in enumerate(self.root)))


def unit_systems(ratios: Sequence[Array], inner: Sequence[Sequence[Array]], flat: NDArray[np.bool_]) -> UnitSystems:
    """Factorise the systems of all units.

    Parameters
    ----------
    ratios
        As in `UnitSystems`.
    inner
        Q, m rows of arrays of shape (S, N), of which the entries up to the diagonal are read.
    flat
        True where a unit has each of the f flat directions, which come first, shape (f, N). Elsewhere Q is zero, and M
        one.
    """
    root: list[list[Array]] = []
    for j, row in enumerate(inner):
        found: list[Array] = []
        for k in range(j + 1):
            left = ratios[j] * ratios[k] * row[k]
            for i in range(k):
                left = left - found[i] * (found if k == j else root[k])[i]
            if k < j:
                found.append(left / root[k][k])
            elif j < len(flat):
                found.append(np.sqrt(np.where(flat[j], left, 1.0)))
            else:
                found.append(np.sqrt(1 + np.maximum(left, 0.0)))  # Q is not negative, but for rounding
        root.append(found)
    return UnitSystems(ratios, root)
