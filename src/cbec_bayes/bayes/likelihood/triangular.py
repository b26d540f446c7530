"""Many small systems of equations at once."""

from __future__ import annotations

import numpy as np

from cbec_bayes.panel.within import Array

_BLOCK = 5
_FEW = 16  # equations that are solved one after the other


def forward(root: Array, right: Array) -> Array:
    """Solve L x = b for lower triangular L of shape (S, p, p) and b of shape (S, p, q).

    NumPy has no triangular solver for stacks of matrices. Its general one takes two to eight times as long, because it
    factorises what is a factor already. Blocks on the diagonal of many equations are inverted first, all at once; what
    is left are products of matrices.
    """
    s, p, q = right.shape
    if p <= _FEW:
        return _one_by_one(root, np.array(right, dtype=float))
    n = -(-p // _BLOCK)
    ends = [slice(k * _BLOCK, min((k + 1) * _BLOCK, p)) for k in range(n)]
    blocks = np.empty((s, n, _BLOCK, _BLOCK))
    blocks[:, -1] = np.eye(_BLOCK)
    for k, at in enumerate(ends):
        blocks[:, k, : at.stop - at.start, : at.stop - at.start] = root[:, at, at]
    stacked = blocks.reshape(s * n, _BLOCK, _BLOCK)
    inverse = _one_by_one(stacked, np.tile(np.eye(_BLOCK), (s * n, 1, 1))).reshape(blocks.shape)
    found = np.empty((s, p, q))
    for k, at in enumerate(ends):
        own = right[:, at] - root[:, at, : at.start] @ found[:, : at.start] if k else right[:, at]
        found[:, at] = inverse[:, k, : at.stop - at.start, : at.stop - at.start] @ own
    return found


def _one_by_one(root: Array, found: Array) -> Array:
    """Solve in place, one equation after the other, and return it."""
    diagonal = np.einsum("sii->si", root)
    for j in range(root.shape[1]):
        if j:
            found[:, j] -= (root[:, j : j + 1, :j] @ found[:, :j])[:, 0]
        found[:, j] /= diagonal[:, j, None]
    return found


def squared(columns: Array) -> Array:
    """Return A'A for each of S matrices A, shape (S, n, q): shape (S, q, q).

    The copy keeps NumPy from the routine for symmetric products, which takes twice as long for small matrices.
    """
    return np.asarray(np.swapaxes(columns, 1, 2) @ columns.copy())
