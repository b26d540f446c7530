"""Independent normal residuals: of one scale, or of one per group."""

from __future__ import annotations

from typing import Any

import numpy as np

from cbec_bayes.bayes.model.likelihoods.likelihood import Array, Values
from cbec_bayes.bayes.model.likelihoods.residuals import Data, Residuals
from cbec_bayes.panel.design import Design


class Normal(Residuals):
    """Residuals of one scale."""

    def observe(self, name: str, mean: Any, parameters: Data, data: Data) -> Any:
        """Add the outcome."""
        import pymc as pm

        return pm.Normal(name, mean, parameters["sigma"], observed=data["outcome"], dims="obs")


class ByGroup(Residuals):
    """Residuals whose scale is the group's own."""

    by_group = True

    def observe(self, name: str, mean: Any, parameters: Data, data: Data) -> Any:
        """Add the outcome."""
        import pymc as pm

        sigma = parameters["sigma"][data["group_code"]]
        return pm.Normal(name, mean, sigma, observed=data["outcome"], dims="obs")

    def information(self, parameters: Data) -> Any:
        """Return that of each group."""
        return parameters["sigma"] ** -2

    def draw(self, design: Design, parameters: Values, rng: np.random.Generator) -> Array:
        """Draw residuals, by group where there are groups."""
        sigma = parameters["sigma"]
        noise = rng.standard_normal((len(sigma), design.n_obs))
        return np.asarray((sigma[:, None] if design.group is None else sigma[:, design.group]) * noise)
