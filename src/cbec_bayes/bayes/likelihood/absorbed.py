"""The marginal likelihood with flat coefficients eliminated once for all, where that does not depend on the scales."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cbec_bayes.bayes.likelihood.conditional import Conditional, DenseConditional
from cbec_bayes.bayes.likelihood.marginal import Scales
from cbec_bayes.bayes.likelihood.normal_equations import NormalEquations
from cbec_bayes.panel.within import Array


@dataclass(frozen=True, slots=True)
class FlatAbsorbed:
    """The density of the pooled coefficients' equations; the coefficients of all of them.

    Attributes
    ----------
    pooled
        The likelihood of what the flat coefficients leave of the outcome and of the pooled coefficients' columns: the
        same density, of fewer equations.
    whole
        The likelihood with every coefficient.
    """

    pooled: NormalEquations
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
        return self.pooled.log_likelihood(scales)

    def gradient(self, scales: Mapping[str, float]) -> tuple[float, Mapping[str, float]]:
        """See `MarginalLikelihood`."""
        return self.pooled.gradient(scales)

    def conditional(self, scales: Scales) -> DenseConditional:
        """See `MarginalLikelihood`."""
        return self.whole.conditional(scales)

    def compact_conditional(self, scales: Scales, *, means: bool = True) -> Conditional:
        """See `MarginalLikelihood`."""
        return self.whole.compact_conditional(scales, means=means)
