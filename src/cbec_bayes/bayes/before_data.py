"""A fit as it was before the data: its parameters drawn from their priors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.bayes.model.blocks import Block, location_priors
from cbec_bayes.bayes.model.densities import draw
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.model.terms import is_scale
from cbec_bayes.bayes.of_controls import stacked
from cbec_bayes.panel.within import Array


def before_data(found: PanelFit, draws: int, seed: int) -> PanelFit:
    """Return the fit with draws from its priors in the place of those of its posterior.

    Parameters
    ----------
    found
        A fitted model. Flat priors have no draws, so that parameters with one (effects of units and periods, and slopes
        in common unless their prior is normal) are held at their posterior means.
    draws
        How many, in one chain.
    seed
        Seed of everything random.

    Returns
    -------
    PanelFit
        Its tree has the posterior's variables, of dimensions chain (one) and draw.
    """
    rng = np.random.default_rng([seed, 4])
    posterior = found.posterior
    one = posterior.isel(chain=slice(0, 1), draw=slice(0, 1))
    own = one.isel(draw=np.zeros(draws, dtype=int)).assign_coords(draw=np.arange(draws)).copy(deep=True)
    for name, prior in found.priors.items():
        if name in own and is_scale(name):
            own[name] = own[name].dims, draw(prior, rng, own[name].shape)
    for name, values in found.model.residuals.draw_parameters(rng, draws).items():
        own[name] = own[name].dims, values.reshape(own[name].shape)
    scale_of = {block.name: block.scale for block in found.blocks.variables}
    if found.model.choice("unit_effect") != "fixed":
        scale_of["unit_effect"] = "sigma_mu"
    normal = {block.name: _normal(block, found.priors) for block in found.blocks.flat}
    for name in [*dict.fromkeys([*scale_of, "unit_effect"])]:
        scale = scale_of.get(name)
        if scale is None:
            mean = posterior[name].mean(("chain", "draw"))
            values = mean.broadcast_like(own[name]).transpose(*own[name].dims).copy(deep=True)
            if name in normal:
                informed, location, sd = normal[name]
                noise = location + sd * rng.standard_normal(values.shape)
                values.data = np.where(informed, noise, values.data)
            own[name] = values
        else:
            noise = own[name].copy(data=rng.standard_normal(own[name].shape))
            own[name] = (own[scale] * noise).transpose(*own[name].dims)
    tree = found.tree.copy()
    tree["posterior"] = type(tree)(stacked(own))
    return replace(found, tree=tree)


def _normal(block: Block, priors: Mapping[str, Prior]) -> tuple[Array, Array, Array]:
    """Return which of a flat block's coefficients have a normal prior, its means and its sds, in the block's shape."""
    own = location_priors(block, priors)
    informed = np.array([prior.dist == "normal" for prior in own]).reshape(block.shape)
    mean, sd = (np.array([prior.params.get(key, 0.0) for prior in own]).reshape(block.shape) for key in ("mean", "sd"))
    return informed, mean, sd
