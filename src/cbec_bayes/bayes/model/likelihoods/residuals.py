"""The residuals of a member: the shape of what is new in each row, a correlation over time, and a spread, together.

The PyMC twin and simulation take them from here; the collapsed engine has its own mathematics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cbec_bayes.bayes.model.likelihoods.likelihood import Array, Likelihood, Values
from cbec_bayes.bayes.model.prior import Prior, pymc_scale
from cbec_bayes.bayes.model.scale_families import Correlation
from cbec_bayes.bayes.moments.lags import Lags, previous_rows
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Codes

type Data = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Residuals:
    """Residuals about the mean, as a model file chooses them: times the root of a row's weight, where rows have these.

    Attributes
    ----------
    shape
        Shape of the distribution of what is new in each row.
    lags
        How those of a unit hang together.
    by_group
        Whether ``sigma`` is a scale per group.
    """

    shape: Likelihood
    lags: type[Lags]
    by_group: bool

    @property
    def correlated(self) -> bool:
        """Whether those of a unit are correlated over time."""
        return self.lags.is_correlated

    def data(self, design: Design) -> dict[str, tuple[Array | Codes, tuple[str, ...]]]:
        """Return data of the twin beside outcome, regressors and codes: weights, the row before each, the gap to it."""
        found: dict[str, tuple[Array | Codes, tuple[str, ...]]] = {}
        if design.weight is not None:
            found["weight"] = design.weight, ("obs",)
        if self.correlated:
            previous, gap = previous_rows(design)
            found |= {"previous_row": (previous, ("obs",)), "gap": (gap, ("obs",))}
        return found

    def add_parameters(self) -> dict[str, Any]:
        """Add parameters beside the scale to the `pymc.Model` at hand, with their priors; returns them by name."""
        import pymc as pm

        rho = {"rho": pm.Uniform("rho", -1, 1)} if self.lags.has_rho else {}
        return rho | self.shape.add_parameters()

    def add_sigma(self, prior: Prior) -> Any:
        """Add the scale to the `pymc.Model` at hand."""
        return pymc_scale("sigma", prior, "group" if self.by_group else None)

    def observe(self, name: str, mean: Any, parameters: Data, data: Data) -> Any:
        """Add the outcome to the `pymc.Model` at hand, each row given the unit's row before it.

        Parameters
        ----------
        name
            Name of the variable.
        mean
            Mean of every row.
        parameters
            ``sigma``, and what `add_parameters` returned.
        data
            The twin's.
        """
        import pytensor.tensor as pt

        sigma = parameters["sigma"]
        if self.by_group:
            sigma = sigma[data["group_code"]]
        root = pt.sqrt(data["weight"]) if "weight" in data else None
        if self.correlated:
            carried, variance = self.lags.step(data["gap"], parameters.get("rho"))
            previous = data["previous_row"]
            carried = carried if root is None else carried * root[previous] / root
            mean = mean + carried * (data["outcome"] - mean)[previous]
            sigma = sigma * pt.sqrt(variance)
        sigma = sigma if root is None else sigma / root
        return self.shape.observe(name, mean, sigma, parameters, observed=data["outcome"], dims="obs")

    def information(self, parameters: Data) -> Any:
        """Return the Fisher information about the mean in each stratum, shape (S,)."""
        found = self.shape.information(parameters) * parameters["sigma"] ** -2
        return found if self.by_group else found[None]

    def weighted_moments(self, columns: Array, design: Design, parameters: Data) -> tuple[Any, Any, Any] | None:
        """Return what coordinates are made of where it depends on parameters, else None.

        They are the weight of each unit, shape (N,), its means of the columns, (N, p), and the cross-products about
        them by stratum, (S, p, p), of rows less what the row before predicts of them, over the error of that.
        """
        if not self.correlated:
            return None
        import pytensor.tensor as pt

        previous, gap = previous_rows(design)
        carried, variance = (one[:, None] for one in self.lags.step(gap, parameters.get("rho")))
        rows: Any = design.scaled(np.column_stack([np.ones(len(columns)), columns]))
        rows = (rows - carried * rows[previous]) / pt.sqrt(variance)
        constant, rows = rows[:, :1], rows[:, 1:]
        zeros = pt.zeros((len(design.units), columns.shape[1]))
        sizes = zeros[design.unit, 0].inc(constant[:, 0] ** 2)[:, 0]
        means = zeros[design.unit].inc(constant * rows) / sizes[:, None]
        left, stratum = rows - constant * means[design.unit], self.strata(design)
        parts = [left[np.flatnonzero(stratum == s)] for s in range(int(stratum.max()) + 1)]
        return sizes, means, pt.stack([part.T @ part for part in parts])

    def strata(self, design: Design) -> Codes:
        """Return the stratum of every row: those that share a scale."""
        if self.by_group and design.group is not None:
            return np.asarray(design.group)
        return np.zeros(design.n_obs, dtype=np.intp)

    def draw_parameters(self, rng: np.random.Generator, size: int) -> dict[str, Array]:
        """Draw parameters beside the scale from their priors, each of shape (size,)."""
        rho = {"rho": Correlation().draw({}, rng, (size,))} if self.lags.has_rho else {}
        return rho | self.shape.draw_parameters(rng, size)

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
        found = self.shape.residuals(parameters, (len(sigma), design.n_obs), rng)
        if self.correlated:
            previous, gap = previous_rows(design)
            carried, variance = self._steps(gap, parameters)
            found = np.sqrt(variance) * found
            for time in range(len(design.times)):  # the row before is of an earlier period, and done
                rows = np.flatnonzero((design.time == time) & (gap > 0))
                found[:, rows] += carried[:, rows] * found[:, previous[rows]]
        return np.asarray(self._sigma_of_rows(design, sigma) * found / design.root)

    def log_density(self, design: Design, residual: Array, parameters: Values) -> Array:
        """Return the log density of every row's residual given the unit's row before, shape (S, n).

        Parameters
        ----------
        design
            The rows.
        residual
            Shape (S, n).
        parameters
            As of `draw`.
        """
        own = {name: parameters[name][:, None] for name in self.shape.parameters}
        sigma = self._sigma_of_rows(design, parameters["sigma"])
        mean, scaled = np.zeros(1), residual * design.root
        if self.correlated:
            previous, gap = previous_rows(design)
            carried, variance = self._steps(gap, parameters)
            mean, sigma = carried * scaled[:, previous], sigma * np.sqrt(variance)
        return self.shape.log_density(scaled, mean, sigma, own) + np.log(design.root)

    def _sigma_of_rows(self, design: Design, sigma: Array) -> Array:
        """Return the scale of every row, shape (S, n), or that of all, (S, 1)."""
        return sigma[:, self.strata(design)] if sigma.ndim > 1 else sigma[:, None]

    def _steps(self, gap: Codes, parameters: Values) -> tuple[Array, Array]:
        """Return what every row takes over from the one before, and the variance of what is new, shape (S, n) each."""
        rho = parameters["rho"][:, None] if self.lags.has_rho else None
        shape = len(parameters["sigma"]), len(gap)
        carried, variance = self.lags.step(gap, rho)
        return np.broadcast_to(carried, shape), np.broadcast_to(variance, shape)
