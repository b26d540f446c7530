"""The coefficients given scales: sums of them and draws, without a matrix per draw where one scale pools the rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cbec_bayes.bayes.likelihood.collapsed import Collapsed
from cbec_bayes.panel.within import Array

_CHUNK = 2**22


class Given(Protocol):
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
class Dense:
    """With a mean, shape (S, p), and a root of the covariance, shape (S, p, p), per point."""

    mean: Array
    root: Array

    def linear(self, loadings: Array) -> tuple[Array, Array]:
        """See `Given`."""
        return self.mean @ loadings.T, ((loadings @ self.root) ** 2).sum(axis=2)

    def covariance(self, loadings: Array, base: Array) -> Array:
        """See `Given`."""
        return np.asarray(np.einsum("smj,sj->sm", loadings @ self.root, base @ self.root))

    def draw(self, rng: np.random.Generator) -> Array:
        """See `Given`."""
        noise = rng.standard_normal(self.mean.shape)
        return np.asarray(self.mean + np.einsum("sij,sj->si", self.root, noise))


@dataclass(frozen=True, slots=True, kw_only=True)
class Separated:
    """In coordinates in which the q pooled coefficients are independent, and the f flat ones follow from them.

    Attributes
    ----------
    flat_mean, flat_root
        Of the flat coefficients where pooled ones are zero, shape (f,), and a root of their covariance over sigma
        squared, shape (f, f).
    pull
        What a pooled coefficient takes from the flat ones, shape (f, q).
    vectors
        Columns are the pooled coordinates' directions, shape (q, q).
    middle, spread
        Mean and standard deviation of each coordinate at each point, shape (S, q).
    sigma
        Shape (S,).
    transform
        From these coefficients to the model's, shape (p, p).
    """

    flat_mean: Array
    flat_root: Array
    pull: Array
    vectors: Array
    middle: Array
    spread: Array
    sigma: Array
    transform: Array

    def _parts(self, loadings: Array) -> tuple[Array, Array, Array]:
        """Return loadings of the flat coefficients, of their noise, and of the coordinates."""
        own = loadings @ self.transform
        flat, pooled = own[:, : len(self.flat_mean)], own[:, len(self.flat_mean) :]
        return flat, flat @ self.flat_root, (pooled - flat @ self.pull) @ self.vectors

    def linear(self, loadings: Array) -> tuple[Array, Array]:
        """See `Given`."""
        flat, noise, along = self._parts(loadings)
        mean = flat @ self.flat_mean + self.middle @ along.T
        return mean, self.sigma[:, None] ** 2 * (noise**2).sum(axis=1) + self.spread**2 @ (along**2).T

    def covariance(self, loadings: Array, base: Array) -> Array:
        """See `Given`."""
        _, noise, along = self._parts(loadings)
        _, base_noise, base_along = self._parts(base[None])
        own = self.sigma[:, None] ** 2 * (noise @ base_noise[0])
        return np.asarray(own + self.spread**2 @ (along * base_along).T)

    def draw(self, rng: np.random.Generator) -> Array:
        """See `Given`."""
        n, f = len(self.sigma), len(self.flat_mean)
        noise = rng.standard_normal((n, f + self.middle.shape[1]))
        pooled = (self.middle + self.spread * noise[:, f:]) @ self.vectors.T
        flat = self.flat_mean - pooled @ self.pull.T + self.sigma[:, None] * (noise[:, :f] @ self.flat_root.T)
        return np.asarray(np.column_stack([flat, pooled]) @ self.transform.T)


def given(collapsed: Collapsed, points: Array) -> Iterator[Given]:
    """Yield the coefficients given points of the log scales, shape (S, k), part by part of the points in order."""
    reduced = collapsed.reduced
    if reduced is None or reduced.diagonal is None:
        step = max(1, _CHUNK // max(collapsed.n_given**2, 1))
        for start in range(0, len(points), step):
            found = collapsed.conditional(points[start : start + step])
            yield Dense(found.mean, found.root)
        return
    (stratum,) = collapsed.moments.strata.values()
    f, diagonal = collapsed.n_flat, reduced.diagonal
    products = stratum.within[1:, 1:]
    root = np.linalg.inv(np.linalg.cholesky(products[:f, :f])).T
    inverse = root @ root.T
    step = max(1, _CHUNK // max(collapsed.n_coefficients, 1))
    for start in range(0, len(points), step):
        scales = collapsed.scales(points[start : start + step])
        sigma, scale = scales["sigma"][:, None], scales[diagonal.scale][:, None]
        total = sigma**2 + scale**2 * diagonal.values
        yield Separated(
            flat_mean=inverse @ stratum.within[1 : 1 + f, 0],
            flat_root=root,
            pull=inverse @ products[:f, f:],
            vectors=diagonal.vectors,
            middle=scale**2 * diagonal.pulls / total,
            spread=sigma * scale / np.sqrt(total),
            sigma=sigma[:, 0],
            transform=collapsed.transform,
        )


def linear(collapsed: Collapsed, points: Array, loadings: Array) -> tuple[Array, Array]:
    """Return mean and variance of sums of coefficients given scales, shapes (S, m); see `Given`."""
    parts = [one.linear(loadings) for one in given(collapsed, points)]
    mean, variance = (np.concatenate(found) for found in zip(*parts, strict=True))
    return mean, variance
