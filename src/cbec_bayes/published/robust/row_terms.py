"""The inner nodes of one row given tau, with the group's slope given each: what mixtures of its slope are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from cbec_bayes.published.quadrature import Array, Rule
from cbec_bayes.published.robust.rows import Rows

_NEGLIGIBLE = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """K inner nodes of one row given tau; arrays have shape (K,).

    Attributes
    ----------
    value
        The estimate.
    log_p
        Log probability of each node.
    total
        Variance of the estimate about the common slope.
    offset, pooling, left
        beta_r = offset + pooling beta + N(0, left), given the node and the estimate.
    """

    value: float
    log_p: Array
    total: Array
    offset: Array
    pooling: Array
    left: Array

    def weights(self, slope: Array) -> Array:
        """Return the posterior probability of each node given values of the common slope (M,): shape (M, K)."""
        distance = self.value - slope[:, None]
        log_p = self.log_p - np.log(self.total) / 2 - distance**2 / (2 * self.total)
        return np.asarray(special.softmax(log_p, axis=1))

    def seen_from(self, slope: Array) -> Terms:
        """Return the nodes that have weight at one of some values of the common slope."""
        keep = (self.weights(slope) > _NEGLIGIBLE).any(axis=0)
        arrays = {name: getattr(self, name)[keep] for name in ("log_p", "total", "offset", "pooling", "left")}
        return replace(self, **arrays)


def row_terms(rows: Rows, row: int, tau: float, implied: Mapping[int, Rule]) -> Terms:
    """Return the inner nodes of a row given tau; `implied` is from `Rows.implied_at`."""
    rule, shape = rows.noise_of(row, implied), rows.shape_at(tau)
    full = (len(rule.nodes), len(shape.nodes))
    noise = np.broadcast_to(rule.nodes[:, None], full).ravel()
    spread = np.broadcast_to(tau**2 * shape.nodes, full).ravel()
    total, value = noise + spread, float(rows.values[row])
    return Terms(
        value=value,
        log_p=np.add.outer(rule.log_weights, shape.log_weights).ravel(),
        total=total,
        offset=spread / total * value,
        pooling=noise / total,
        left=np.minimum(noise, spread) * (np.maximum(noise, spread) / total),
    )
