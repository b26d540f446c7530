"""Student-t residuals: a few rows far out do not carry the slopes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from cbec_bayes.bayes.model.likelihoods.likelihood import Array, Values
from cbec_bayes.runtime.distributions import t_logpdf

ALPHA, BETA = 2.0, 0.1
"""Gamma prior of the degrees of freedom (Juárez and Steel, 2010)."""

TYPICAL_NU = 3.0
"""Degrees of freedom of the weights."""


@dataclass(frozen=True, slots=True)
class StudentT:
    """Residuals of scale sigma with nu degrees of freedom."""

    name: ClassVar[str] = "student_t"
    parameters: ClassVar[tuple[str, ...]] = ("nu",)

    def add_parameters(self) -> dict[str, Any]:
        """Add nu."""
        import pymc as pm

        return {"nu": pm.Gamma("nu", alpha=np.float64(ALPHA), beta=np.float64(BETA))}

    def observe(self, name: str, mean: Any, sigma: Any, parameters: Mapping[str, Any], **observed: Any) -> Any:
        """Add the outcome."""
        import pymc as pm

        return pm.StudentT(name, nu=parameters["nu"], mu=mean, sigma=sigma, **observed)

    def draw_parameters(self, rng: np.random.Generator, size: int) -> dict[str, Array]:
        """Draw nu from its prior."""
        return {"nu": np.asarray(rng.standard_gamma(ALPHA, size) / BETA)}

    def residuals(self, parameters: Values, shape: tuple[int, int], rng: np.random.Generator) -> Array:
        """Draw residuals over sigma."""
        nu = parameters["nu"][:, None]
        noise = rng.standard_normal(shape)
        return np.asarray(noise / np.sqrt(rng.chisquare(np.broadcast_to(nu, shape)) / nu))

    def log_density(self, y: Array, mean: Array, sigma: Array, parameters: Values) -> Array:
        """Return the log density."""
        return np.asarray(t_logpdf(y - mean, parameters["nu"], sigma))

    def information(self, parameters: Mapping[str, Any]) -> Any:
        """Return (nu + 1) / (nu + 3)."""
        return (parameters["nu"] + 1) / (parameters["nu"] + 3)

    def weights(self, squares: Array) -> Array:
        """Return the weights of the EM algorithm at `TYPICAL_NU`."""
        return np.asarray((TYPICAL_NU + 1) / (TYPICAL_NU + squares))
