"""The coefficients given scales where most are of single groups: common ones, and each group's own given these."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.bayes.likelihood.conditional import DenseConditional
from cbec_bayes.bayes.likelihood.residual_covariance import UnitMeans
from cbec_bayes.panel.within import Array


@dataclass(frozen=True, slots=True)
class OwnGivenCommon:
    """The o coefficients of a group given the c common ones: normal about `mean` less `pull` times these.

    Attributes
    ----------
    own
        Positions among all coefficients, shape (o,).
    mean, pull, root
        Shape (S, o), (S, o, c), and of their covariance (S, o, o).
    """

    own: NDArray[np.intp]
    mean: Array
    pull: Array
    root: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class ByGroupConditional:
    """Coefficients of different groups are independent given the common ones, so that no covariance is laid out.

    Attributes
    ----------
    shared
        The common coefficients.
    at
        Their positions among all p, shape (c,).
    groups
        The coefficients of each group given them.
    means
        Means over units, which stand behind the coefficients: less `pull` times the model's own; None for none.
    """

    shared: DenseConditional
    at: NDArray[np.intp]
    groups: tuple[OwnGivenCommon, ...]
    means: UnitMeans | None

    @property
    def _n_coefficients(self) -> int:
        return len(self.at) + sum(len(group.own) for group in self.groups)

    @property
    def mean(self) -> Array:
        """Return the mean of the p coefficients, shape (S, p)."""
        found = np.empty((len(self.shared.mean), self._n_coefficients))
        found[:, self.at] = self.shared.mean
        for group in self.groups:
            found[:, group.own] = group.mean - np.einsum("soc,sc->so", group.pull, self.shared.mean)
        return found

    def _parts(self, loadings: Array) -> tuple[Array, list[Array]]:
        """Return means of sums of coefficients, shape (S, m), and what they are of each independent noise."""
        p = self._n_coefficients
        own: Array = np.broadcast_to(loadings[:, :p], (len(self.shared.mean), len(loadings), p))
        noise: list[Array] = []
        constant: Array | float = 0.0
        if self.means is not None:
            of_means = loadings[:, p:]
            own = own - of_means @ self.means.pull[:, :, 1:]
            constant = self.means.pull[:, :, 0] @ of_means.T
            noise.append(of_means @ self.means.root)
        common = own[:, :, self.at]
        for group in self.groups:
            share = own[:, :, group.own]
            common = common - share @ group.pull
            noise.append(share @ group.root)
        noise.append(common @ self.shared.root)
        return np.einsum("smp,sp->sm", own, self.mean) + constant, noise

    def linear(self, loadings: Array) -> tuple[Array, Array]:
        """See `Conditional`."""
        of_means = loadings[:, self._n_coefficients :].any(axis=1)
        if of_means.any() and not of_means.all():
            # Sums of coefficients alone have the same loadings at every point, which takes much less time.
            alone = replace(self, means=None).linear(loadings[~of_means, : self._n_coefficients])
            together = self.linear(loadings[of_means])
            mean, variance = (np.empty((len(self.shared.mean), len(loadings))) for _ in range(2))
            for found, one, other in zip((mean, variance), alone, together, strict=True):
                found[:, ~of_means], found[:, of_means] = one, other
            return mean, variance
        mean, noise = self._parts(loadings)
        return mean, np.sum([(one**2).sum(axis=2) for one in noise], axis=0)

    def covariance(self, loadings: Array, base: Array) -> Array:
        """See `Conditional`."""
        _, noise = self._parts(np.vstack([loadings, base]))
        return np.asarray(sum(np.einsum("smj,sj->sm", one[:, :-1], one[:, -1]) for one in noise))

    def draw(self, rng: np.random.Generator) -> Array:
        """See `Conditional`: all noise of a point at once, so that draws do not depend on how points are parted."""
        n, c = self.shared.mean.shape
        ends = np.cumsum([c, *(len(group.own) for group in self.groups)])
        noise = rng.standard_normal((n, ends[-1] + (0 if self.means is None else self.means.root.shape[1])))
        found = np.empty((n, ends[-1]))
        shared = self.shared.mean + np.einsum("scj,sj->sc", self.shared.root, noise[:, :c])
        found[:, self.at] = shared
        for group, start, end in zip(self.groups, ends, ends[1:], strict=False):
            found[:, group.own] = group.mean - np.einsum("soc,sc->so", group.pull, shared)
            found[:, group.own] += np.einsum("soj,sj->so", group.root, noise[:, start:end])
        if self.means is None:
            return found
        means = self.means.pull[:, :, 0] - np.einsum("smp,sp->sm", self.means.pull[:, :, 1:], found)
        return np.column_stack([found, means + np.einsum("smj,sj->sm", self.means.root, noise[:, ends[-1] :])])

    def of_group(self, r: int) -> DenseConditional:
        """Return the common coefficients and, after these, those of one group."""
        group, (s, c) = self.groups[r], self.shared.mean.shape
        o = len(group.own)
        mean = np.empty((s, c + o))
        mean[:, :c] = self.shared.mean
        mean[:, c:] = group.mean - np.einsum("soc,sc->so", group.pull, self.shared.mean)
        root = np.zeros((s, c + o, c + o))
        root[:, :c, :c] = self.shared.root
        root[:, c:, :c] = -group.pull @ self.shared.root
        root[:, c:, c:] = group.root
        return DenseConditional(mean, root)

    def covariances_of_groups(self, sums: Array) -> list[Array]:
        """Return by group the covariances of its coefficients, as in `of_group`, with m sums: shape (S, c + o, m).

        The loadings of the sums, shape (S, m, p), may differ between points.
        """
        common, shares = sums[:, :, self.at], [sums[:, :, group.own] for group in self.groups]
        for group, share in zip(self.groups, shares, strict=True):
            common = common - share @ group.pull
        noise, found = common @ self.shared.root, []
        for r, (group, share) in enumerate(zip(self.groups, shares, strict=True)):
            every = np.concatenate([noise, share @ group.root], axis=2)
            found.append(self.of_group(r).root @ np.swapaxes(every, 1, 2))
        return found

    def dense(self) -> DenseConditional:
        """Return all p coefficients, without means over units, and the whole root of their covariance."""
        s, c = self.shared.mean.shape
        root = np.zeros((s, self._n_coefficients, self._n_coefficients))
        root[:, self.at, :c] = self.shared.root
        at = c
        for group in self.groups:
            o = len(group.own)
            root[:, group.own, :c] = -group.pull @ self.shared.root
            root[:, group.own, at : at + o] = group.root
            at += o
        return DenseConditional(self.mean, root)
