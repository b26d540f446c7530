"""Slopes of units that share a scale, integrated out: sums over units that depend on one ratio of scales alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from cbec_bayes.panel.within import Array, Codes, sums_by

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
    """

    gram: Array
    log_det: Array


@dataclass(frozen=True, slots=True)
class GroupSums:
    """Sums over the units of each of G groups at S ratios.

    Attributes
    ----------
    pull
        Sum of v_i / (s_i + ratio), shape (S, G, p).
    spread
        Sum of 1 / (s_i + ratio), shape (S, G).
    """

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
    group
        Code of every unit's group, from 0, shape (N,).
    """

    squares: Array
    products: Array
    group: Codes
    _tables: dict[int, Array] = field(default_factory=dict, init=False, repr=False, compare=False)
    _group_tables: dict[int, Array] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def directions(self) -> Array:
        """v_i / sqrt(s_i), shape (N, p); zero where the exposure does not vary."""
        root = np.sqrt(self.squares)[:, None]
        return np.divide(self.products, root, out=np.zeros_like(self.products), where=root > 0)

    def sums(self, ratio: Array) -> UnitSums:
        """Return the sums at ratios sigma^2 / kappa^2 of shape (S,); infinity is a kappa of zero."""
        p, directions = self.products.shape[1], self.directions

        def at_node(ratio: float) -> Array:
            gram = (directions * (ratio / (self.squares + ratio))[:, None]).T @ directions
            return np.append(gram.ravel(), np.log1p(self.squares / ratio).sum() / 2)

        found = self._tabulated(ratio, self._tables, at_node)
        return UnitSums(found[:, :-1].reshape(-1, p, p), found[:, -1])

    def sums_of_groups(self, ratio: Array) -> GroupSums:
        """Return the sums by group at ratios sigma^2 / kappa^2 of shape (S,); infinity is a kappa of zero."""
        n_groups, columns = (
            int(self.group.max(initial=0)) + 1,
            np.column_stack([self.products, np.ones(len(self.squares))]),
        )

        def at_node(ratio: float) -> Array:
            share = ratio / (self.squares + ratio)
            return sums_by(self.group, share[:, None] * columns, n_groups).ravel()

        found = self._tabulated(ratio, self._group_tables, at_node).reshape(len(ratio), n_groups, -1)
        found = found / ratio[:, None, None]
        return GroupSums(found[:, :, :-1], found[:, :, -1])

    def _tabulated(self, ratio: Array, tables: dict[int, Array], at_node: Callable[[float], Array]) -> Array:
        """Return sums of a ratio's function, shape (S, size), from what they are at the nodes of its interval."""
        with np.errstate(divide="ignore"):
            at = np.clip(np.log(ratio), _LEAST, np.log(max(self.squares.max(initial=0.0), 1e-300)) + _SPENT)
        interval = np.floor(at / _WIDTH).astype(int)
        parts = []
        for k in np.unique(interval):
            if int(k) not in tables:
                tables[int(k)] = np.stack([at_node(one) for one in np.exp(_WIDTH * (k + (_POINTS + 1) / 2))])
            here = interval == k
            parts.append((here, _basis(2 * (at[here] / _WIDTH - k) - 1) @ tables[int(k)]))
        found = np.empty((len(ratio), parts[0][1].shape[1]))
        for here, values in parts:
            found[here] = values
        return found

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
