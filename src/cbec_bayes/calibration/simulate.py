"""Simulated panels: regressors of a panel like the paper's, and data drawn from a model with its truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cbec_bayes.bayes.model.blocks import Block, Blocks, location_priors
from cbec_bayes.bayes.model.densities import draw, resolve
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.model.terms import term_of, unit_effects
from cbec_bayes.bayes.model.terms.covariate_slope import COVARIATE_SLOPE
from cbec_bayes.bayes.posterior import linear_predictor
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.spread import Spread
from cbec_bayes.panel.within import Array, TwoWay
from cbec_bayes.runtime.labels import Origin

GROUP_SIZES = (10, 6, 11, 3)
"""Units of each group, as the paper's provinces are in east, central, west and north-east."""

N_TIMES = 8


def simulated_regressors(
    rng: np.random.Generator,
    *,
    group_sizes: Sequence[int] = GROUP_SIZES,
    n_times: int = N_TIMES,
    n_controls: int = 2,
    persistence: float = 0.6,
) -> Design:
    """Return a balanced panel with an exposure and controls, and zeros for an outcome.

    Parameters
    ----------
    rng
        Source of the draws.
    group_sizes
        Units of each group, R of them.
    n_times, n_controls
        T, and the number of controls.
    persistence
        Correlation of a regressor's shocks one period apart.

    Returns
    -------
    Design
        Every regressor has unit effects, a trend that all units share with slopes that differ, and persistent shocks,
        and is standardised; the controls share half of the exposure's shocks. Priors are in units of an outcome's
        standard deviation of one.
    """
    n_units = sum(group_sizes)
    k = 1 + n_controls
    shocks = rng.standard_normal((k, n_units, n_times))
    for t in range(1, n_times):
        shocks[:, :, t] = persistence * shocks[:, :, t - 1] + np.sqrt(1 - persistence**2) * shocks[:, :, t]
    shocks[1:] = np.sqrt(0.75) * shocks[1:] + 0.5 * shocks[:1]
    level = rng.standard_normal((k, n_units, 1))
    trend = (1 + 0.5 * rng.standard_normal((k, n_units, 1))) * np.linspace(-1, 1, n_times)
    x = (level + trend + shocks).reshape(k, -1).T
    x = (x - x.mean(axis=0)) / x.std(axis=0, ddof=1)
    unit = np.repeat(np.arange(n_units), n_times)
    time = np.tile(np.arange(n_times), n_units)
    group = np.repeat(np.repeat(np.arange(len(group_sizes)), group_sizes), n_times)
    return Design(
        outcome="y",
        terms=("d", *(f"x{j + 1}" for j in range(n_controls))),
        y=np.zeros(len(unit)),
        x=x,
        unit=unit,
        time=time,
        group=group,
        units=tuple(f"unit {i + 1}" for i in range(n_units)),
        times=tuple(float(t + 1) for t in range(n_times)),
        groups=tuple(f"group {r + 1}" for r in range(len(group_sizes))),
        effects=TwoWay(unit, time),
        origin=Origin.SIMULATED,
        held_spread=Spread.of_ones(1 + k),
    )


@dataclass(frozen=True, slots=True)
class Simulated:
    """Data drawn from a model.

    Attributes
    ----------
    y
        Outcome, shape (n,).
    truth
        Every parameter that it was drawn with, by its name in a posterior.
    """

    y: Array
    truth: Mapping[str, Array]


def from_prior(blocks: Blocks, rng: np.random.Generator) -> Simulated:
    """Draw parameters from their priors and an outcome from these.

    Parameters
    ----------
    blocks
        A model on a design whose spread is held.
    rng
        Source of the draws.

    Notes
    -----
    Slopes with a normal prior, as those on characteristics of groups, are drawn from it. A flat parameter has no prior
    to draw from and is zero. The posterior of everything else does not depend on it, and
    its own posterior moves with it: under flat priors ranks are uniform whatever its value.
    """
    model, design = blocks.model, blocks.design
    priors = resolve(model, design)
    scales = {name: draw(priors[name], rng, (1,)) for name in priors if name in _scale_names(blocks)}
    if model.residuals.by_group:
        scales["sigma"] = draw(priors["sigma"], rng, (1, len(design.groups)))
    scales |= model.residuals.draw_parameters(rng, 1)
    truth = dict(scales)
    for block in (*blocks.variables, unit_effects(design, model.every_choice)):
        term = term_of(block.name)
        if block.name not in truth and term is not None:
            truth[block.name] = term.simulate(block, None if block.scale is None else scales[block.scale], rng)
            if block.scale is None:
                truth[block.name] = truth[block.name] + _located(block, priors, rng)
    y = linear_predictor(blocks, truth) + model.residuals.draw(design, scales, rng)
    if "group_slope" in truth:
        truth["group_total_slope"] = truth["slope"][:, None] + truth["group_slope"]
        if blocks.characteristics is not None:
            truth["group_total_slope"] += truth[COVARIATE_SLOPE] @ blocks.characteristics.T
        truth["new_group_slope"] = truth["slope"] + scales["tau"] * rng.standard_normal(1)
    return Simulated(y[0], {name: values[0] for name, values in truth.items()})


def _located(block: Block, priors: Mapping[str, Prior], rng: np.random.Generator) -> Array:
    """Draw the coefficients without a scale that have a normal prior, shape (1, ...); the others are zero."""
    own = location_priors(block, priors)
    found = np.zeros(len(own))
    for k, prior in enumerate(own):
        if prior.dist == "normal":
            found[k] = prior.params["mean"] + prior.params["sd"] * rng.standard_normal()
    return found.reshape(1, *block.shape)


def _scale_names(blocks: Blocks) -> set[str]:
    return {"sigma", "sigma_mu", *(block.scale for block in blocks.variables if block.scale is not None)}


def with_outcome(blocks: Blocks, y: Array) -> Blocks:
    """Return blocks with another outcome on the same rows, shape (n,)."""
    return replace(blocks, design=replace(blocks.design, y=y))
