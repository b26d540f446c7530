"""The hierarchical event study as a readable `pymc.Model`: the independent check of its collapsed density."""

from __future__ import annotations

from typing import Any

import numpy as np

from cbec_bayes.bayes.events.model import EventBlocks
from cbec_bayes.bayes.model.prior import pymc_scale

OUTCOME = "y"
"""Name of the observed variable."""


def build_event_pymc(columns: EventBlocks) -> Any:
    """Build the model whose density the collapsed engine integrates.

    Parameters
    ----------
    columns
        From `cbec_bayes.bayes.events.model.event_blocks`.

    Returns
    -------
    pymc.Model
        Coefficients are named as the blocks are, those that are not zero by convention; scales are ``sigma``, ``psi``,
        ``zeta``, ``tau`` and ``chi``, and ``rho`` is the correlation of errors. ``effect`` is the effect of adoption in
        every row.
    """
    import pymc as pm

    blocks, priors = columns.blocks, columns.priors
    design, residuals = blocks.design, blocks.model.residuals
    coords = {f"{block.name}_of": np.arange(len(block.kept)) for block in blocks.every}
    with pm.Model(coords={"obs": np.arange(design.n_obs), "unit": design.units, **coords}) as model:
        data = {
            "outcome": pm.Data("outcome", design.y, dims="obs"),
            "unit_code": pm.Data("unit_code", design.unit, dims="obs"),
        }
        for name, (values, dims) in residuals.data(design).items():
            data[name] = pm.Data(name, values, dims=dims)
        parameters = {**residuals.add_parameters(), "sigma": residuals.add_sigma(priors["sigma"])}
        parts = {}
        for block in blocks.every:
            own = f"{block.name}_of"
            if block.scale is None:
                coefficient = pm.Flat(block.name, dims=own)
            else:
                scale = pymc_scale(block.scale, priors[block.scale])
                coefficient = pm.Normal(block.name, 0, scale, dims=own)
            laid_out = pm.Data(f"{block.name}_columns", block.columns[:, list(block.kept)], dims=("obs", own))
            parts[block.name] = laid_out @ coefficient
        effect = sum(parts[block.name] for block in columns.effects)
        pm.Deterministic("effect", effect, dims="obs")
        mean = sum(parts.values()) + pm.Flat("unit_effect", dims="unit")[data["unit_code"]]
        residuals.observe(OUTCOME, mean, parameters, data)
    return model
