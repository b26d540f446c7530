"""Slopes of units that share a scale, integrated out: sums over units that depend on one ratio of scales alone."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cbec_bayes.panel.within import Array

_WIDTH = 2.0  # of an interval of the log ratio
_NODES = 20  # a unit's share has its poles at a distance of pi: with these, the error is that of rounding
_SPENT = 40.0  # a log ratio so far above every unit's squares leaves nothing of the slopes
_LEAST = -700.0


@dataclass(frozen=True, slots=True)
class UnitSums:
    """Sums over units at S ratios; w_i = ratio / (s_i + ratio), the share of unit i that its own slope leaves.

    Attributes
    ----------
    gram
        Sum of w_i v_i v_i' / s_i, shape (S, p, p).
    log_det
        Sum of ln(1 + s_i / ratio) / 2, shape (S,).
    pull
        Sum of v_i / (s_i + ratio), shape (S, p).
    spread
        Sum of 1 / (s_i + ratio), shape (S,).
    """

    gram: Array
    log_det: Array
    pull: Array
    spread: Array


@dataclass(frozen=True, slots=True)
class UnitSlopes:
    """What a normal likelihood needs of the exposure within units, where each has its own slope c_i ~ N(0, kappa^2).

    Given sigma and kappa the inverse covariance of a unit's rows, less their mean, is (I - d d' / (s + lambda)) /
    sigma^2 with s = d'd and lambda = sigma^2 / kappa^2. Cross-products of columns under it are those of what d leaves
    of them, plus the sum of w v v' / s over units, v being the columns' cross-products with d. That sum is a smooth
    function of ln(lambda), which is tabulated where it is asked for (Chebyshev nodes on intervals of a fixed grid, to
    rounding): an evaluation costs the same for thirty units and for a hundred thousand.

    Attributes
    ----------
    squares
        s_i, shape (N,).
    products
        v_i, of the outcome and every column, shape (N, p).
    """

    squares: Array
    products: Array
    _tables: dict[int, Array] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def directions(self) -> Array:
        """v_i / sqrt(s_i), shape (N, p); zero where the exposure does not vary."""
        root = np.sqrt(self.squares)[:, None]
        return np.divide(self.products, root, out=np.zeros_like(self.products), where=root > 0)

    def sums(self, ratio: Array) -> UnitSums:
        """Return the sums at ratios sigma^2 / kappa^2 of shape (S,); infinity is a kappa of zero."""
        p = self.products.shape[1]
        with np.errstate(divide="ignore"):
            at = np.clip(np.log(ratio), _LEAST, np.log(max(self.squares.max(initial=0.0), 1e-300)) + _SPENT)
        interval = np.floor(at / _WIDTH).astype(int)
        found = np.empty((len(ratio), p * p + 1 + p + 1))
        for k in np.unique(interval):
            here = interval == k
            found[here] = _basis(2 * (at[here] / _WIDTH - k) - 1) @ self._table(int(k))
        gram, log_det, pull, spread = np.split(found, [p * p, p * p + 1, p * p + 1 + p], axis=1)
        over = 1 / ratio
        return UnitSums(gram.reshape(-1, p, p), log_det[:, 0], pull * over[:, None], spread[:, 0] * over)

    def _table(self, interval: int) -> Array:
        """Return the sums at the nodes of an interval, shape (nodes, p^2 + p + 2)."""
        if interval not in self._tables:
            directions, rows = self.directions, []
            for ratio in np.exp(_WIDTH * (interval + (_POINTS + 1) / 2)):
                share = ratio / (self.squares + ratio)
                gram = (directions * share[:, None]).T @ directions
                log_det = np.log1p(self.squares / ratio).sum() / 2
                rows.append(np.concatenate([gram.ravel(), [log_det], share @ self.products, [share.sum()]]))
            self._tables[interval] = np.stack(rows)
        return self._tables[interval]

    def slopes(self, full: Array, sigma: float, kappa: float) -> tuple[float, float]:
        """Return the derivatives of the log likelihood in ln sigma and ln kappa that are due to the sums.

        Parameters
        ----------
        full
            As in `cbec_bayes.bayes.likelihood.residual_covariance.ResidualCovariance.slopes`.
        sigma, kappa
            Scalars.
        """
        directions = self.directions
        total = sigma**2 + kappa**2 * self.squares
        explained = ((directions @ full) * directions).sum(axis=1) / total**2
        taken = float((kappa**2 * self.squares / total).sum())
        by_sigma = sigma**2 * float(explained.sum()) + taken
        return by_sigma, kappa**2 * float(self.squares @ explained) - taken


_POINTS = np.cos(np.pi * (np.arange(_NODES) + 0.5) / _NODES)
_TO_COEFFICIENTS = np.polynomial.chebyshev.chebvander(_POINTS, _NODES - 1).T * (2 / _NODES)
_TO_COEFFICIENTS[0] /= 2


def _basis(x: Array) -> Array:
    """Return the weight of every node at points of [-1, 1], shape (S, nodes)."""
    return np.asarray(np.polynomial.chebyshev.chebvander(x, _NODES - 1) @ _TO_COEFFICIENTS)
