"""Independent residuals of a likelihood that PyMC samples, as a kind of residuals."""

from __future__ import annotations

from typing import Any

import numpy as np

from cbec_bayes.bayes.model.likelihoods.likelihood import Array, Likelihood, Values
from cbec_bayes.bayes.model.likelihoods.residuals import Data, Residuals
from cbec_bayes.panel.design import Design


class Sampled(Residuals):
    """Residuals of one scale about the mean, times those of a likelihood."""

    needs_rows = True

    def __init__(self, likelihood: Likelihood) -> None:
        self.likelihood = likelihood

    def add_parameters(self) -> dict[str, Any]:
        """Add the likelihood's own."""
        return self.likelihood.add_parameters()

    def observe(self, name: str, mean: Any, parameters: Data, data: Data) -> Any:
        """Add the outcome."""
        observed = {"observed": data["outcome"], "dims": "obs"}
        return self.likelihood.observe(name, mean, parameters["sigma"], parameters, **observed)

    def information(self, parameters: Data) -> Any:
        """Return that of the likelihood."""
        return (self.likelihood.information(parameters) * parameters["sigma"] ** -2)[None]

    def draw_parameters(self, rng: np.random.Generator, size: int) -> dict[str, Array]:
        """Draw the likelihood's own."""
        return self.likelihood.draw_parameters(rng, size)

    def draw(self, design: Design, parameters: Values, rng: np.random.Generator) -> Array:
        """Draw residuals."""
        sigma = parameters["sigma"]
        drawn = self.likelihood.residuals(parameters, (len(sigma), design.n_obs), rng)
        return np.asarray(sigma[:, None] * drawn)
