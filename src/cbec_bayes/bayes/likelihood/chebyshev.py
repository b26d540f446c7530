"""Functions of a few variables on a box, interpolated at Chebyshev nodes: values, derivatives, and how they decay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from cbec_bayes.panel.within import Array


@dataclass(frozen=True, slots=True)
class Chebyshev:
    """m functions of D variables, which may be none: sums of products of Chebyshev polynomials.

    Attributes
    ----------
    low, high
        Ends of the box, shape (D,). A variable that is held at a value has equal ends and one node.
    nodes
        Nodes of each variable.
    coefficients
        Coefficients of the products, the last variable's running fastest, shape (K, m), K the product of the nodes.
    """

    low: Array
    high: Array
    nodes: tuple[int, ...]
    coefficients: Array

    def position(self, x: Array) -> Array:
        """Return where points, shape (S, D), are in the box: from -1 to 1 inside, not cut off outside."""
        return np.asarray((2 * x - self.low - self.high) / self._width)

    @property
    def _width(self) -> Array:
        """Width of the box, shape (D,); one of a variable that is held, whose position is then zero."""
        return np.where(self.high > self.low, self.high - self.low, 1.0)

    def values(self, x: Array) -> Array:
        """Return the functions, shape (S, m), at points, shape (S, D); outside the box those at its nearest point."""
        inside = np.clip(self.position(x), -1, 1)
        return np.asarray(_products([_basis(u, n)[0] for u, n in self._each(inside)], len(x)) @ self.coefficients)

    def slopes(self, x: Array) -> Array:
        """Return their derivatives in every variable, shape (D, m), at a point, shape (D,)."""
        inside = np.clip(self.position(x[None]), -1, 1)
        both = [_basis(u, n) for u, n in self._each(inside)]
        found = [
            _products([own[1 if j == i else 0] for j, own in enumerate(both)], 1)[0] @ self.coefficients
            for i in range(len(both))
        ]
        each = np.reshape(found, (len(both), self.coefficients.shape[1]))
        return np.asarray(each * (2 / self._width)[:, None])

    def _each(self, inside: Array) -> list[tuple[Array, int]]:
        return [(inside[:, i], n) for i, n in enumerate(self.nodes)]


def interpolate(low: Array, high: Array, nodes: Sequence[int], values: Array) -> Chebyshev:
    """Interpolate functions with given values at the nodes of `nodes_of`, shape (K, m), the last variable's fastest."""
    found = values.reshape(*nodes, values.shape[-1])
    for i, n in enumerate(nodes):
        angle = (np.arange(n) + 0.5) * np.pi / n
        transform = 2 / n * np.cos(np.arange(n)[:, None] * angle)
        transform[0] /= 2
        found = np.moveaxis(np.tensordot(transform, found, axes=(1, i)), 0, i)
    return Chebyshev(low, high, tuple(nodes), found.reshape(-1, values.shape[-1]))


def nodes_of(low: float, high: float, n: int) -> Array:
    """Return the n nodes of an interval."""
    return np.asarray((low + high) / 2 + (high - low) / 2 * np.cos((np.arange(n) + 0.5) * np.pi / n))


def _basis(u: Array, n: int) -> tuple[Array, Array]:
    """Return the first n Chebyshev polynomials and their derivatives, each of shape (S, n)."""
    values, slopes = np.ones((len(u), n)), np.zeros((len(u), n))
    if n > 1:
        values[:, 1], slopes[:, 1] = u, 1.0
    for k in range(2, n):
        values[:, k] = 2 * u * values[:, k - 1] - values[:, k - 2]
        slopes[:, k] = 2 * values[:, k - 1] + 2 * u * slopes[:, k - 1] - slopes[:, k - 2]
    return values, slopes


def _products(factors: Sequence[Array], n_points: int) -> Array:
    """Return the products of one of each, shape (S, K), the last running fastest; ones where there is none."""
    if not factors:
        return np.ones((n_points, 1))
    return reduce(lambda a, b: (a[:, :, None] * b[:, None, :]).reshape(len(a), -1), factors)
