"""Variances of very many sums of coefficients at many points of the scales, as products of two matrices."""

from __future__ import annotations

import numpy as np
from scipy import linalg

from cbec_bayes.panel.within import Array

_CHUNK = 2**22
_SAMPLE = 64  # covariances whose mean gives the coordinates


class Forms:
    """a' C b for m pairs of loadings a and b, and the covariance C of the p coefficients at each of S points.

    A form is a sum over the p (p + 1) / 2 different entries of C, so that forms of all pairs at all points are one
    product of matrices. Coordinates are such that the mean of the covariances is the identity: sums over entries of
    coefficients that are nearly collinear would cancel.
    """

    def __init__(self, root: Array) -> None:
        """Take roots R of the covariances R R', shape (S, p, q)."""
        n, p, _ = root.shape
        self._upper = np.triu_indices(p)
        self._basis = _basis(root)
        flat = linalg.solve_triangular(self._basis, root.transpose(1, 0, 2).reshape(p, -1), lower=True)
        inner = flat.reshape(p, n, -1).transpose(1, 0, 2)
        rows, columns = self._upper
        self._entries = (inner @ np.swapaxes(inner, 1, 2))[:, rows, columns] * np.where(rows == columns, 1.0, 2.0)

    def __call__(self, one: Array, other: Array) -> Array:
        """Return the forms of loadings of shape (m, p) each, shape (S, m)."""
        a, b = (np.ascontiguousarray((loadings @ self._basis).T) for loadings in (one, other))
        found = np.empty((len(self._entries), len(one)))
        step = max(1, _CHUNK // max(self._entries.shape[1], 1))
        for start in range(0, len(one), step):
            part = slice(start, start + step)
            found[:, part] = self._entries @ self._products(a[:, part], b[:, part], same=one is other)
        return found

    def _products(self, one: Array, other: Array, *, same: bool) -> Array:
        """Return what each entry of a covariance is multiplied by in a form, shape (p (p + 1) / 2, m)."""
        rows, columns = self._upper
        found = one[rows]
        found *= other[columns]
        if not same:
            turned = one[columns]
            turned *= other[rows]
            found += turned
            found /= 2
        return found


def _basis(root: Array) -> Array:
    """Return the lower triangular root of the mean covariance, shape (p, p)."""
    sample = root[:: max(1, len(root) // _SAMPLE)]
    p = root.shape[1]
    triangle = np.linalg.qr(sample.transpose(0, 2, 1).reshape(-1, p), mode="r") / np.sqrt(len(sample))
    basis = np.zeros((p, p))
    basis[:, : len(triangle)] = triangle.T
    nothing = np.diag(basis) == 0  # a coefficient that is not uncertain at all
    basis[nothing, nothing] = 1.0
    return basis
