"""AR(1) residuals within units, stationary, exact with gaps."""

from __future__ import annotations

from typing import Any

import numpy as np

from cbec_bayes.bayes.model.likelihoods.likelihood import Array, Values
from cbec_bayes.bayes.model.likelihoods.residuals import Data, Residuals
from cbec_bayes.bayes.model.prior import Prior, pymc_scale
from cbec_bayes.bayes.model.scale_families import Correlation
from cbec_bayes.bayes.moments.lagged import previous_rows
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Codes


class Ar1(Residuals):
    """Residuals with the correlation rho^g over a gap of g periods."""

    correlated = True
    needs_rows = True

    def data(self, design: Design) -> dict[str, tuple[Array | Codes, tuple[str, ...]]]:
        """Return the row before each in its unit, and the gap to it."""
        previous, gap = previous_rows(design)
        return {"previous_row": (previous, ("obs",)), "gap": (gap, ("obs",))}

    def add_parameters(self) -> dict[str, Any]:
        """Add rho."""
        import pymc as pm

        return {"rho": pm.Uniform("rho", -1, 1)}

    def add_sigma(self, prior: Prior, parameters: Data, *, conditioned: bool) -> Any:
        """Add the scale, as that of the innovations where it is conditioned.

        Data know the innovations' scale well, and sigma only as well as they know rho.
        """
        import pymc as pm
        import pytensor.tensor as pt

        if not conditioned or prior.dist == "fixed":
            return pymc_scale("sigma", prior)
        innovation, ratio = pm.HalfFlat("innovation"), pt.sqrt(1 - parameters["rho"] ** 2)
        sigma = pm.Deterministic("sigma", innovation / ratio)
        pm.Potential("sigma_prior", pm.logp(pymc_scale(None, prior), sigma) - pt.log(ratio))
        return sigma

    def observe(self, name: str, mean: Any, parameters: Data, data: Data) -> Any:
        """Add the outcome, each row given the unit's row before it."""
        import pymc as pm
        import pytensor.tensor as pt

        carried = carried_by(parameters["rho"], data["gap"])
        before = (data["outcome"] - mean)[data["previous_row"]]
        sd = parameters["sigma"] * pt.sqrt(1 - carried**2)
        return pm.Normal(name, mean + carried * before, sd, observed=data["outcome"], dims="obs")

    def weighted_moments(self, columns: Array, design: Design, parameters: Data) -> tuple[Any, Any, Any] | None:
        """Return those of rows less what the row before predicts of them, over its error."""
        import pytensor.tensor as pt

        previous, gap = previous_rows(design)
        carried = carried_by(parameters["rho"], gap)[:, None]
        rows: Any = np.column_stack([np.ones(len(columns)), columns])
        rows = (rows - carried * rows[previous]) / pt.sqrt(1 - carried**2)
        constant, rows = rows[:, :1], rows[:, 1:]
        zeros = pt.zeros((len(design.units), columns.shape[1]))
        sizes = zeros[design.unit, 0].inc(constant[:, 0] ** 2)[:, 0]
        means = zeros[design.unit].inc(constant * rows) / sizes[:, None]
        left = rows - constant * means[design.unit]
        return sizes, means, (left.T @ left)[None]

    def draw_parameters(self, rng: np.random.Generator, size: int) -> dict[str, Array]:
        """Draw rho from its prior."""
        return {"rho": Correlation().draw({}, rng, (size,))}

    def draw(self, design: Design, parameters: Values, rng: np.random.Generator) -> Array:
        """Draw residuals, from the first period of each unit on."""
        sigma, rho = parameters["sigma"], parameters["rho"]
        noise = rng.standard_normal((len(sigma), design.n_obs))
        previous, gap = previous_rows(design)
        found = noise.copy()
        for time in range(len(design.times)):  # the row before is of an earlier period, and done
            rows = np.flatnonzero((design.time == time) & (gap > 0))
            carried = rho[:, None] ** gap[rows]
            found[:, rows] = carried * found[:, previous[rows]] + np.sqrt(1 - carried**2) * noise[:, rows]
        return np.asarray(sigma[:, None] * found)


def carried_by(rho: Any, gap: Any) -> Any:
    """Return the correlation of each row with the one before it in its unit; zero for the first."""
    import pytensor.tensor as pt

    return pt.switch(pt.gt(gap, 0), rho**gap, 0)
