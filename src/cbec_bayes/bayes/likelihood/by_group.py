"""The marginal likelihood where most coefficients are of single groups: these are integrated out group by group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cbec_bayes.bayes.likelihood.conditional import Conditional, DenseConditional
from cbec_bayes.bayes.likelihood.marginal import Scales
from cbec_bayes.bayes.likelihood.normal_equations import Coefficients, NormalEquations, log_density
from cbec_bayes.bayes.likelihood.residual_covariance import CrossProducts, ResidualCovariance
from cbec_bayes.panel.within import Array

_CHUNK = 2**20
_DOMINANT = 1e7
"""How much data may weigh against the prior of a group's coefficient before integrating it out first costs digits.

What is left for the others is then a small difference of large numbers. The likelihood with every coefficient, whose
columns are orthogonal first, takes such points.
"""


@dataclass(frozen=True, slots=True)
class GroupPart:
    """The rows of one group.

    Attributes
    ----------
    covariance
        Of the residuals of these rows. Its columns are the outcome, those of the coefficients that groups have in
        common, and then the o columns of the group's own.
    scales
        Name of the scale that pools each of the group's own coefficients, o of them.
    """

    covariance: ResidualCovariance
    scales: tuple[str, ...]

    def products(self, scales: Scales) -> tuple[CrossProducts, Array]:
        """Return cross-products with the group's own coefficients integrated out, and how much data weigh, (S,)."""
        found, o = self.covariance.cross_products(scales), len(self.scales)
        width = np.stack([scales[name] for name in self.scales], axis=1)
        own = found.gram[:, -o:, -o:] * width[:, :, None] * width[:, None, :]
        diagonal = np.einsum("sii->si", own)
        weight = diagonal.max(axis=1)
        diagonal += 1.0
        root = np.linalg.cholesky(own)
        half = np.linalg.solve(root, found.gram[:, -o:, :-o] * width[:, :, None])
        left = found.gram[:, :-o, :-o] - np.swapaxes(half, 1, 2) @ half
        log_det = np.log(np.einsum("sii->si", root)).sum(axis=1)
        return CrossProducts(left, [*found.constant, -log_det]), weight


@dataclass(frozen=True, slots=True, kw_only=True)
class ByGroup:
    """The density of what groups have in common; coefficients and derivatives of the likelihood with all of them.

    Given the scales a group's own coefficients are normal about zero, so that they add to the covariance of the group's
    rows, and nothing to that of others. With R groups and o coefficients of each there are then R systems of o
    equations in the place of one of R o.

    Attributes
    ----------
    parts
        The groups.
    common
        Coefficients that groups have in common.
    whole
        The likelihood with every coefficient.
    """

    parts: tuple[GroupPart, ...]
    common: Coefficients
    whole: NormalEquations

    @property
    def n_coefficients(self) -> int:
        """See `MarginalLikelihood`."""
        return self.whole.n_coefficients

    @property
    def unit_means(self) -> tuple[str, ...]:
        """See `MarginalLikelihood`."""
        return self.whole.unit_means

    @property
    def is_scalar(self) -> bool:
        """See `MarginalLikelihood`."""
        return False

    @property
    def is_separated(self) -> bool:
        """See `MarginalLikelihood`."""
        return False

    @property
    def conditional_size(self) -> int:
        """See `MarginalLikelihood`."""
        return self.whole.conditional_size

    def log_likelihood(self, scales: Scales) -> Array:
        """See `MarginalLikelihood`."""
        n = len(next(iter(scales.values())))
        size = max(len(part.scales) for part in self.parts) + self.common.location.shape[1] + 1
        step = max(1, _CHUNK // size**2)
        parts = [{name: values[i : i + step] for name, values in scales.items()} for i in range(0, n, step)]
        return np.concatenate([self._log_likelihood(part) for part in parts]) if parts else np.empty(0)

    def _log_likelihood(self, scales: Scales) -> Array:
        try:
            every, weights = zip(*(part.products(scales) for part in self.parts), strict=True)
            constant = [term for one in every for term in one.constant]
            products = CrossProducts(np.sum([one.gram for one in every], axis=0), constant)
            found = log_density(products, self.common, scales)
        except np.linalg.LinAlgError:
            return self.whole.log_likelihood(scales)
        far = np.max(weights, axis=0) > _DOMINANT
        if far.any():
            found[far] = self.whole.log_likelihood({name: values[far] for name, values in scales.items()})
        return found

    def gradient(self, scales: Mapping[str, float]) -> tuple[float, Mapping[str, float]]:
        """See `MarginalLikelihood`."""
        return self.whole.gradient(scales)

    def conditional(self, scales: Scales) -> DenseConditional:
        """See `MarginalLikelihood`."""
        return self.whole.conditional(scales)

    def compact_conditional(self, scales: Scales) -> Conditional:
        """See `MarginalLikelihood`."""
        return self.whole.compact_conditional(scales)
