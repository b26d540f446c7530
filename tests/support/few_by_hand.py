"""The wild cluster bootstrap and the jackknife of clusters by dense regressions, as textbooks have them."""

from __future__ import annotations

import numpy as np

from cbec_bayes.classical.conventions import CONVENTIONS
from cbec_bayes.classical.regression import twfe
from tests.support.regressions import dummies


def bootstrap_t(design, k, weights):
    """Return t and its draws: new outcomes under H0 from the dense regression, refitted; weights of shape (G, B)."""
    factor = CONVENTIONS["reghdfe"].factor(
        design.n_obs, design.x.shape[1], len(design.units), design.effects.rank
    )  # it cancels
    x = np.column_stack([design.x, dummies(design.unit, design.time)[:, :-1]])
    bread = np.linalg.pinv(x)

    def t_of(y):
        beta = bread @ y
        scores = bread[k][:, None] * (y - x @ beta)
        by_unit = np.array([scores[design.unit == unit].sum(axis=0) for unit in range(len(design.units))])
        return beta[k] / np.sqrt(factor * (by_unit**2).sum(axis=0))

    without = np.delete(x, k, axis=1)
    fitted = without @ (np.linalg.pinv(without) @ design.y)
    draws = fitted[:, None] + (design.y - fitted)[:, None] * weights[design.unit]
    return float(t_of(design.y[:, None])[0]), t_of(draws)


def share_beyond(t, draws):
    """Return the share of draws beyond t; those equal to it but for rounding, all signs alike, are not."""
    return float(np.mean(np.abs(draws) > abs(t) * (1 + 1e-9)))


def jackknife_by_hand(design, ssc="fixest"):
    """Return the standard errors of leaving out one unit after the other, shape (K,)."""
    whole = twfe(design, ssc=ssc).estimate
    n = len(design.units)
    left = [twfe(design.rows(design.unit != unit), ssc=ssc).estimate for unit in range(n)]
    return np.sqrt((n - 1) / n * np.sum((np.array(left) - whole) ** 2, axis=0))
