"""Outcomes that a fitted model would produce: of the same units, or of new ones like them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.bayes.model.family import PanelModel
from cbec_bayes.bayes.posterior import linear_predictor
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array, means_by
from cbec_bayes.runtime.errors import InputError


def predictive_outcomes(
    fit: PanelFit, *, new_units: bool = False, own_levels: bool = True, draws: int = 4_000, seed: int = 1
) -> Array:
    """Draw replicated outcomes on the rows and regressors of the data.

    Parameters
    ----------
    fit
        A fitted model, of either engine.
    new_units
        Whether unit effects, and slopes of units, are drawn anew. Random effects come from their distribution; flat
        ones have none, so that each new unit is at the level of one of the units at random, and has its trend where
        trends are flat.
    own_levels
        Whether outcomes under flat unit effects are at the data's own levels: a unit's mean is what it is in the data,
        and a new unit's what of another's mean its regressors leave. Flat effects say nothing of levels; replicated as
        well, these would have the uncertainty of their estimate on top of that in the data, by which R2 and the spread
        of the outcome are off however right the model is, the more the fewer rows a unit has.
    draws
        At most this many, evenly from the posterior.
    seed
        Seed of everything random.

    Returns
    -------
    ndarray
        Shape (S, n).

    Raises
    ------
    InputError
        The panel is so large that the posterior holds no unit effects.
    """
    posterior = fit.posterior
    if "unit_effect" not in posterior:
        raise InputError(
            "replicated outcomes need unit effects, which the posterior of such a large panel does not store"
        )
    total = posterior.sizes["chain"] * posterior.sizes["draw"]
    at = np.unique(np.linspace(0, total - 1, min(draws, total)).round().astype(int))

    def of(name: str) -> Array:
        values = posterior[name].to_numpy()
        return np.asarray(values.reshape(total, *values.shape[2:])[at])

    rng = np.random.default_rng([seed, 3])
    model, design = fit.model, fit.design
    effects = {block.name: of(block.name) for block in fit.blocks.variables} | {"unit_effect": of("unit_effect")}
    flat, shape = model.choice("unit_effect") == "fixed", effects["unit_effect"].shape
    flat_trend = model.choice("unit_trend") == "fixed"
    mean = linear_predictor(fit.blocks, effects)
    level = effects["unit_effect"]
    if flat and own_levels:
        level = level + means_by(design.unit, (design.y - mean).T, design.weight).T
    if new_units:
        anew = dict(effects)
        others = rng.integers(shape[1], size=shape) if flat or flat_trend else np.zeros(shape, dtype=np.intp)
        if flat:
            level = np.take_along_axis(level, others, axis=1)
        else:
            anew["unit_effect"] = of("sigma_mu")[:, None] * rng.standard_normal(shape)
        for block in fit.blocks.variables:
            if block.dims == ("unit",) and block.scale is not None and block.name != "unit_effect":
                anew[block.name] = of(block.scale)[:, None] * rng.standard_normal(shape)
        if flat_trend:
            anew["unit_trend"] = np.take_along_axis(effects["unit_trend"], others, axis=1)
        mean = linear_predictor(fit.blocks, anew)
    parameters = () if model.likelihood is None else model.likelihood.parameters
    scales = {name: of(name) for name in ("sigma", "rho", *parameters) if name in posterior}
    noise = residuals(model, design, scales, rng)
    if flat:
        level = level - effects["unit_effect"]
        if own_levels:
            level = level - means_by(design.unit, noise.T, design.weight).T
        mean = mean + level[:, design.unit]
    return np.asarray(mean + noise)


def residuals(model: PanelModel, design: Design, scales: Mapping[str, Array], rng: np.random.Generator) -> Array:
    """Draw residuals on the rows of a design, shape (S, n).

    Parameters
    ----------
    model, design
        The likelihood, and the rows.
    scales
        ``sigma`` of shape (S,), or (S, R) where it is by group; ``rho``, and the likelihood's own parameters, of shape
        (S,) where the model has them.
    rng
        Source of the draws.
    """
    return model.residuals.draw(design, scales, rng)
