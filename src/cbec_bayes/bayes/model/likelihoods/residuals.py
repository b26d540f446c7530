"""What a kind of residuals brings to the PyMC twin and to simulation; the collapsed engine has its own mathematics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from cbec_bayes.bayes.model.likelihoods.likelihood import Array, Values
from cbec_bayes.bayes.model.prior import Prior, pymc_scale
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Codes

type Data = Mapping[str, Any]


class Residuals(Protocol):
    """Residuals about the mean, as a model file chooses them; the defaults hold for independent ones of one scale."""

    by_group: bool = False
    """Whether ``sigma`` is a scale per group."""

    correlated: bool = False
    """Whether those of a unit are correlated, by ``rho`` from one period to the next."""

    needs_rows: bool = False
    """Whether gathered moments are not enough."""

    def data(self, design: Design) -> dict[str, tuple[Array | Codes, tuple[str, ...]]]:
        """Return data of the twin beside outcome, regressors and codes, with their dimensions."""
        return {}

    def add_parameters(self) -> dict[str, Any]:
        """Add parameters beside the scale to the `pymc.Model` at hand, with their priors; returns them by name."""
        return {}

    def add_sigma(self, prior: Prior, parameters: Data, *, conditioned: bool) -> Any:
        """Add the scale to the `pymc.Model` at hand; where it is conditioned, in a variable that samples well."""
        return pymc_scale("sigma", prior, "group" if self.by_group else None)

    def observe(self, name: str, mean: Any, parameters: Data, data: Data) -> Any:
        """Add the outcome to the `pymc.Model` at hand.

        Parameters
        ----------
        name
            Of the variable.
        mean
            Of every row.
        parameters
            ``sigma``, and what `add_parameters` returned.
        data
            The twin's.
        """
        ...

    def information(self, parameters: Data) -> Any:
        """Return the Fisher information about the mean in each stratum, shape (S,)."""
        # The factor is that of other likelihoods. PyTensor compiles other code without it, and draws would differ in
        # their last digits.
        return (1.0 * parameters["sigma"] ** -2)[None]

    def weighted_moments(self, columns: Array, design: Design, parameters: Data) -> tuple[Any, Any, Any] | None:
        """Return what coordinates are made of where it depends on parameters, else None.

        They are the weight of each unit, shape (N,), its means of the columns, (N, p), and the cross-products about
        them by stratum, (S, p, p), of rows whose residuals are independent.
        """
        return None

    def strata(self, design: Design) -> Codes:
        """Return the stratum of every row: those that share a scale."""
        if self.by_group and design.group is not None:
            return np.asarray(design.group)
        return np.zeros(design.n_obs, dtype=np.intp)

    def draw_parameters(self, rng: np.random.Generator, size: int) -> dict[str, Array]:
        """Draw parameters beside the scale from their priors, each of shape (size,)."""
        return {}

    def draw(self, design: Design, parameters: Values, rng: np.random.Generator) -> Array:
        """Draw residuals on the rows of a design, shape (S, n).

        Parameters
        ----------
        design
            The rows.
        parameters
            ``sigma`` of shape (S,), or (S, R) where it is by group; others of shape (S,).
        rng
            Source of the draws.
        """
        sigma = parameters["sigma"]
        return np.asarray(sigma[:, None] * rng.standard_normal((len(sigma), design.n_obs)))
