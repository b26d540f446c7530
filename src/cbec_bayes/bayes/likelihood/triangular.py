"""Many small triangular systems at once."""

from __future__ import annotations

import numpy as np

from cbec_bayes.panel.within import Array


def forward(root: Array, right: Array) -> Array:
    """Solve L x = b for lower triangular L of shape (S, p, p) and b of shape (S, p, q).

    NumPy has no triangular solver for stacks of matrices. Its general one takes two to eight times as long, because it
    factorises what is a factor already.
    """
    found = np.array(right, dtype=float)
    diagonal = np.einsum("sii->si", root)
    for j in range(root.shape[1]):
        if j:
            found[:, j] -= (root[:, j : j + 1, :j] @ found[:, :j])[:, 0]
        found[:, j] /= diagonal[:, j, None]
    return found
