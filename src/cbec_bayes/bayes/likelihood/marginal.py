"""The contract of this room: the likelihood of the scales, with the coefficients integrated out.

A model is normal given its scales, so that log p(y | scales), its gradient, and the coefficients given the scales are
known in closed form (MODEL.md section 4). Whoever samples, draws or predicts asks a `MarginalLikelihood`, and does not
know in which way it is computed. There is a class for each way:

- `cbec_bayes.bayes.likelihood.normal_equations.NormalEquations`: the general one, over any `ResidualCovariance`
  (`cbec_bayes.bayes.likelihood.residual_covariance`), of which there is a class per mechanism of the errors;
- `cbec_bayes.bayes.likelihood.absorbed.FlatAbsorbed`: the same where flat coefficients are eliminated once for all;
- `cbec_bayes.bayes.likelihood.one_scale.OneScale`: after that, where one scale pools all coefficients that are left.

The density of the scales that is sampled, with their priors, is `cbec_bayes.bayes.likelihood.collapsed.Collapsed`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

from cbec_bayes.bayes.likelihood.conditional import Conditional, DenseConditional
from cbec_bayes.panel.within import Array

LOG_2PI = math.log(2 * math.pi)

type Scales = Mapping[str, Array]
"""Every scale, and the correlation of errors, by name, each at S points, shape (S,)."""


class MarginalLikelihood(Protocol):
    """log p(y | scales), and the coefficients given scales.

    Under flat priors it is the restricted likelihood, with their constant: integrals over all of the real line.
    """

    @property
    def n_coefficients(self) -> int:
        """Number of coefficients that are integrated over, p; what is integrated out of units before is not counted."""
        ...

    @property
    def unit_means(self) -> tuple[str, ...]:
        """Names of the m means over units that a conditional has after the coefficients: of what is integrated out."""
        ...

    @property
    def is_scalar(self) -> bool:
        """Whether an evaluation costs so little that what surrounds it is done in plain numbers, not in arrays."""
        ...

    @property
    def is_separated(self) -> bool:
        """Whether pooled coefficients are independent in coordinates that no scale changes.

        Nothing is then lost to rounding, however far one scale is above another.
        """
        ...

    @property
    def conditional_size(self) -> int:
        """Numbers that `compact_conditional` takes for each point."""
        ...

    def log_likelihood(self, scales: Scales) -> Array:
        """Return log p(y | scales), shape (S,); minus infinity where double precision cannot tell."""
        ...

    def gradient(self, scales: Mapping[str, float]) -> tuple[float, Mapping[str, float]]:
        """Return log p(y | scales) at one point, and its derivatives.

        They are those in the logarithm of every scale, and in the inverse hyperbolic tangent of a correlation, by name.
        There are none where double precision cannot tell, and the value is then minus infinity.
        """
        ...

    def conditional(self, scales: Scales) -> DenseConditional:
        """Return the coefficients, and then the means over units, given scales, in the model's own units."""
        ...

    def compact_conditional(self, scales: Scales, *, means: bool = True) -> Conditional:
        """Return the same, or the coefficients alone, in the form that takes least memory and time."""
        ...
