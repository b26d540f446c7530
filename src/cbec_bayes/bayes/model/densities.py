"""Priors in plain numbers on the data's own units: their log densities and slopes, on arrays."""

from __future__ import annotations

import math

import numpy as np

from cbec_bayes.bayes.model.family import PanelModel
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.model.scale_families import FAMILIES, Correlation, ScaleFamily
from cbec_bayes.bayes.model.terms import parameters
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import InputError

RHO = "rho"
CORRELATION = Prior("correlation", {})
"""Prior of the correlation of errors one period apart: uniform on (-1, 1)."""


def resolve(model: PanelModel, design: Design) -> dict[str, Prior]:
    """Return the priors of a model in the units of a design, by parameter.

    Parameters
    ----------
    model
        Priors are multiples of sd(y) within, or of this over sd(d), sd(x_k) or sd(t) within; see
        `cbec_bayes.bayes.model.terms.term.Unit`.
    design
        Outcome, regressors and periods; see `Design.spread`.

    Returns
    -------
    dict
        ``slope``, ``control_slope[x]`` and ``phi[x]`` per control, ``exposure_slope[e]`` and ``tau_beside[e]`` per
        further exposure, and the other scales.

    Raises
    ------
    InputError
        A column does not vary.
    """
    spread = design.spread
    sd_y, *sds = (float(sd) for sd in spread.within)
    if sd_y == 0 or 0 in sds:
        raise InputError("a column does not vary, so that the priors cannot be measured in its standard deviation")
    found: dict[str, Prior] = {}
    units = parameters()
    for name, prior in model.priors.items():
        unit = units[name].unit
        beside = dict(zip(design.terms[1:], sds[1:], strict=True))
        if unit in ("control", "exposure"):
            for own in design.controls if unit == "control" else design.exposures[1:]:
                found[f"{name}[{own}]"] = prior.scaled(sd_y / beside[own])
        elif unit == "trend":
            if spread.elapsed == 0:
                raise InputError("all rows belong to one period, so that no trend can be estimated")
            found[name] = prior.scaled(sd_y / spread.elapsed)
        else:
            of = {"outcome": sd_y, "level": float(spread.total[0]), "slope": sd_y / sds[0]}
            found[name] = prior.scaled(of[unit])
    return found


def log_density(prior: Prior, scale: Array) -> tuple[Array, Array]:
    """Return the log density of a positive scale and its derivative in log scale, elementwise.

    Parameters
    ----------
    prior
        A resolved prior of one of `cbec_bayes.bayes.model.prior.SCALE_FAMILIES`; a ``fixed`` one has no density.
    scale
        Positive, any shape.
    """
    return _family(prior).log_density(prior.params, scale)


def cumulative(prior: Prior, scale: Array) -> Array:
    """Return the probability that a sampled scale is at most each of the values given, elementwise."""
    return _family(prior).cumulative(prior.params, scale)


def draw(prior: Prior, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return draws of a scale; of one that is held, its value."""
    if prior.dist == "fixed":
        return np.full(shape, prior.params["value"])
    return _family(prior).draw(prior.params, rng, shape)


def start(prior: Prior) -> float:
    """Return a scale that the prior finds likely, where a search may begin."""
    return prior.params["value"] if prior.dist == "fixed" else _family(prior).start(prior.params)


def tail_index(prior: Prior) -> float:
    """Return nu where the density of a scale falls as scale^-(nu + 1); infinite for a lighter tail, or none."""
    return math.inf if prior.dist == "fixed" else _family(prior).tail_index(prior.params)


def _family(prior: Prior) -> ScaleFamily:
    """Return the family of a prior of a scale that is sampled."""
    if prior.dist == CORRELATION.dist:
        return Correlation()
    if prior.dist not in FAMILIES:
        raise ValueError(f"'{prior.dist}' is not a prior for a scale that is sampled")
    return FAMILIES[prior.dist]
