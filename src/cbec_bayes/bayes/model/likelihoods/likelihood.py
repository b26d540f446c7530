"""What the distribution of what is new in each row has to bring: the shape of the residuals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

type Array = NDArray[np.float64]
type Values = Mapping[str, Array]


class Likelihood(Protocol):
    """Residuals about the mean, independent, of a scale ``sigma`` and with parameters of their own.

    Where errors are correlated the mean is that of a row given the rows of its unit before it, and the scale that of
    what is new in it; where groups differ in spread the scale is the group's: see
    `cbec_bayes.bayes.model.likelihoods.residuals.Residuals`, which brings the three together.
    """

    name: ClassVar[str]
    """As a model file says it: ``residual = "student_t"``."""

    parameters: ClassVar[tuple[str, ...]]
    """Names of its own parameters, scalars."""

    def add_parameters(self) -> dict[str, Any]:
        """Add its own parameters with their priors to the `pymc.Model` at hand; returns them by name."""
        ...

    def observe(self, name: str, mean: Any, sigma: Any, parameters: Mapping[str, Any], **observed: Any) -> Any:
        """Add the outcome to the `pymc.Model` at hand; `observed` is passed on to the distribution."""
        ...

    def draw_parameters(self, rng: np.random.Generator, size: int) -> dict[str, Array]:
        """Draw its own parameters from their priors, each of shape (size,)."""
        ...

    def residuals(self, parameters: Values, shape: tuple[int, int], rng: np.random.Generator) -> Array:
        """Draw residuals over sigma, shape (S, n), given parameters of shape (S,)."""
        ...

    def log_density(self, y: Array, mean: Array, sigma: Array, parameters: Values) -> Array:
        """Return the log density of outcomes; arguments broadcast."""
        ...

    def information(self, parameters: Mapping[str, Any]) -> Any:
        """Return the Fisher information about the mean, times sigma squared; 1 for normal residuals."""
        ...

    def weights(self, squares: Array) -> Array:
        """Return weights of rows whose squared residuals over their weighted mean are `squares`; 1 for normal ones.

        Iterated with weighted least squares they are an EM algorithm for the location, at typical parameters. They set
        the coordinates in which the sampler moves, and are no part of the density.
        """
        ...
