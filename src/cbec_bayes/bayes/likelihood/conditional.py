"""The coefficients given scales: sums of them and draws, without a matrix per draw where one scale pools the rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cbec_bayes.panel.within import Array

_CHUNK = 2**22


class Conditional(Protocol):
    """Coefficients given S points of the scales: normal, each of its own mean and covariance."""

    def linear(self, loadings: Array) -> tuple[Array, Array]:
        """Return mean and variance of sums of coefficients, shapes (S, m), for loadings of shape (m, p)."""
        ...

    def covariance(self, loadings: Array, base: Array) -> Array:
        """Return the covariance of sums with another one, shape (S, m), for loadings (m, p) and (p,)."""
        ...

    def draw(self, rng: np.random.Generator) -> Array:
        """Draw the coefficients once at every point, shape (S, p)."""
        ...


@dataclass(frozen=True, slots=True)
class DenseConditional:
    """A mean and a covariance, laid out for every point.

    Attributes
    ----------
    mean
        Shape (S, p).
    root
        Factor R with covariance R R', shape (S, p, q).
    """

    mean: Array
    root: Array

    def linear(self, loadings: Array) -> tuple[Array, Array]:
        """See `Conditional`."""
        return self.mean @ loadings.T, ((loadings @ self.root) ** 2).sum(axis=2)

    def covariance(self, loadings: Array, base: Array) -> Array:
        """See `Conditional`."""
        return np.asarray(np.einsum("smj,sj->sm", loadings @ self.root, base @ self.root))

    def draw(self, rng: np.random.Generator) -> Array:
        """See `Conditional`."""
        noise = rng.standard_normal(self.mean.shape)
        return np.asarray(self.mean + np.einsum("sij,sj->si", self.root, noise))


@dataclass(frozen=True, slots=True)
class FlatGivenPooled:
    """The f flat coefficients given the q pooled ones: normal about `mean` less `pull` times these.

    Attributes
    ----------
    mean
        Where the pooled ones are zero, shape (f,).
    root
        Cholesky root of their covariance over sigma squared, shape (f, f).
    pull
        What a pooled coefficient takes from the flat ones, shape (f, q).
    """

    mean: Array
    root: Array
    pull: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class SeparatedConditional:
    """In coordinates in which the q pooled coefficients are independent, and the f flat ones follow from them.

    Attributes
    ----------
    flat
        The flat coefficients given the pooled ones.
    vectors
        Columns are the pooled coordinates' directions, shape (q, q).
    middle, spread
        Mean and standard deviation of each coordinate at each point, shape (S, q).
    sigma
        Shape (S,).
    transform
        From these coefficients to the model's, shape (p, p).
    """

    flat: FlatGivenPooled
    vectors: Array
    middle: Array
    spread: Array
    sigma: Array
    transform: Array

    def _parts(self, loadings: Array) -> tuple[Array, Array, Array]:
        """Return loadings of the flat coefficients, of their noise, and of the coordinates."""
        own, f = loadings @ self.transform, len(self.flat.mean)
        flat, pooled = own[:, :f], own[:, f:]
        return flat, flat @ self.flat.root, (pooled - flat @ self.flat.pull) @ self.vectors

    def linear(self, loadings: Array) -> tuple[Array, Array]:
        """See `Conditional`."""
        flat, noise, along = self._parts(loadings)
        mean = flat @ self.flat.mean + self.middle @ along.T
        return mean, self.sigma[:, None] ** 2 * (noise**2).sum(axis=1) + self.spread**2 @ (along**2).T

    def covariance(self, loadings: Array, base: Array) -> Array:
        """See `Conditional`."""
        _, noise, along = self._parts(loadings)
        _, base_noise, base_along = self._parts(base[None])
        own = self.sigma[:, None] ** 2 * (noise @ base_noise[0])
        return np.asarray(own + self.spread**2 @ (along * base_along).T)

    def draw(self, rng: np.random.Generator) -> Array:
        """See `Conditional`."""
        n, f = len(self.sigma), len(self.flat.mean)
        noise = rng.standard_normal((n, f + self.middle.shape[1]))
        pooled = (self.middle + self.spread * noise[:, f:]) @ self.vectors.T
        flat = self.flat.mean - pooled @ self.flat.pull.T + self.sigma[:, None] * (noise[:, :f] @ self.flat.root.T)
        return np.asarray(np.column_stack([flat, pooled]) @ self.transform.T)


def chunks(n_points: int, size: int) -> Iterator[slice]:
    """Yield parts of the points in order, so small that a conditional of `size` numbers per point fits into memory."""
    step = max(1, _CHUNK // max(size, 1))
    for start in range(0, n_points, step):
        yield slice(start, start + step)
