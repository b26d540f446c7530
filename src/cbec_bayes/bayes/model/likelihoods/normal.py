"""Normal residuals, which the collapsed engine integrates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from cbec_bayes.bayes.model.likelihoods.likelihood import Array, Values


@dataclass(frozen=True, slots=True)
class Normal:
    """Residuals of scale sigma."""

    name: ClassVar[str] = "normal"
    parameters: ClassVar[tuple[str, ...]] = ()

    def add_parameters(self) -> dict[str, Any]:
        """Add nothing."""
        return {}

    def observe(self, name: str, mean: Any, sigma: Any, parameters: Mapping[str, Any], **observed: Any) -> Any:
        """Add the outcome."""
        import pymc as pm

        return pm.Normal(name, mean, sigma, **observed)

    def draw_parameters(self, rng: np.random.Generator, size: int) -> dict[str, Array]:
        """Draw nothing."""
        return {}

    def residuals(self, parameters: Values, shape: tuple[int, int], rng: np.random.Generator) -> Array:
        """Draw residuals over sigma."""
        return rng.standard_normal(shape)

    def log_density(self, y: Array, mean: Array, sigma: Array, parameters: Values) -> Array:
        """Return the log density."""
        return np.asarray(-(((y - mean) / sigma) ** 2 + np.log(2 * np.pi)) / 2 - np.log(sigma))

    def information(self, parameters: Mapping[str, Any]) -> Any:
        """Return one."""
        return 1.0

    def weights(self, squares: Array) -> Array:
        """Return ones."""
        return np.ones_like(squares)
