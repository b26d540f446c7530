"""Columns of flat coefficients made orthonormal, so that what is collinear costs no digits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.bayes.moments.by_unit import Moments
from cbec_bayes.panel.within import Array


def orthogonal(x: Array, free: NDArray[np.intp], within: Array) -> tuple[Array, Array, float]:
    """Make columns with flat coefficients orthonormal, and the others orthogonal to them, in what units leave of them.

    Parameters
    ----------
    x, within
        Columns, and what flat coefficients of units leave of these, where they are eliminated, shape (n, p).
    free
        Positions of those with flat coefficients.

    Returns
    -------
    columns, transform, log_volume
        The columns, the map from their coefficients to those of x, and its log determinant. The coefficients of the
        other columns, and so their priors, stay what they are.
    """
    size = np.linalg.norm(within[:, free], axis=0)
    q, triangle = np.linalg.qr(within[:, free] / size)
    signs = np.where(np.diag(triangle) < 0, -1.0, 1.0)  # or machines would differ in the sign of a draw
    q, triangle = q * signs, triangle * signs[:, None]
    back = np.linalg.solve(triangle, np.eye(len(free))) / size[:, None]
    others = np.setdiff1d(np.arange(x.shape[1]), free)
    transform = np.eye(x.shape[1])
    transform[np.ix_(free, free)] = back
    transform[np.ix_(free, others)] = -back @ (q.T @ within[:, others])
    return x @ transform, transform, -float(np.log(np.diag(triangle) * size).sum())


OF_PERIODS = 1e-6
"""Smallest eigenvalue of the correlations of effects of periods beside flat trends of units, which have some hundred.

It is that of one direction: the straight line of all periods but the two whose effects the trends make up for. What the
log density loses to it was seen to stay below a millionth.
"""


def orthogonal_moments(
    moments: Moments, free: NDArray[np.intp], least: float, *, demean: bool, apart: NDArray[np.bool_] | None = None
) -> tuple[Moments, Array, float] | None:
    """Do to moments what `orthogonal` does to columns; None where too many digits would be lost.

    Parameters
    ----------
    moments, free
        Moments of the outcome and the columns, and positions as there.
    least
        Smallest eigenvalue of the correlations of the columns.
    demean
        See `Moments.inner`.
    apart
        Which of the columns are effects of periods that are held to `OF_PERIODS` among themselves, and made orthonormal
        before they are held to `least` with others; None for none.
    """
    inner = moments.inner(demean=demean)[1:, 1:]
    size = np.sqrt(np.diag(inner)[free])
    own = inner[np.ix_(free, free)] / np.outer(size, size)
    if not _is_well_conditioned(own, least, np.zeros(len(own), dtype=np.bool_) if apart is None else apart):
        return None
    triangle = np.linalg.cholesky(own).T
    back = np.linalg.solve(triangle, np.eye(len(free))) / size[:, None]
    others = np.setdiff1d(np.arange(len(inner)), free)
    transform = np.eye(len(inner))
    transform[np.ix_(free, free)] = back
    transform[np.ix_(free, others)] = -back @ (back.T @ inner[np.ix_(free, others)])
    whole = np.eye(len(inner) + 1)
    whole[1:, 1:] = transform
    return moments.transformed(whole), transform, -float(np.log(np.diag(triangle) * size).sum())


def _is_well_conditioned(correlations: Array, least: float, apart: NDArray[np.bool_]) -> bool:
    """Whether eigenvalues of correlations are large enough; see `orthogonal_moments`."""
    if not apart.any():
        return bool(np.linalg.eigvalsh(correlations).min(initial=1.0) >= least)
    among = correlations[np.ix_(apart, apart)]
    if np.linalg.eigvalsh(among).min() < OF_PERIODS:
        return False
    whole = correlations.copy()
    across = np.linalg.solve(np.linalg.cholesky(among), correlations[np.ix_(apart, ~apart)])
    whole[np.ix_(apart, apart)] = np.eye(len(among))
    whole[np.ix_(apart, ~apart)], whole[np.ix_(~apart, apart)] = across, across.T
    return bool(np.linalg.eigvalsh(whole).min() >= least)
