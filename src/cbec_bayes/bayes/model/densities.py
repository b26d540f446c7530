"""Priors in plain numbers on the data's own units: their log densities and slopes, on arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from scipy import stats
from scipy.special import gammaln

from cbec_bayes.bayes.model.family import UNITS, PanelModel
from cbec_bayes.bayes.model.prior import Prior
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
        Priors are multiples of sd(y), sd(y) / sd(d) or sd(y) / sd(x_k); see `cbec_bayes.bayes.model.family.UNITS`.
    design
        Outcome and regressors; see `Design.spread`.

    Returns
    -------
    dict
        ``slope``, ``control_slope[x]`` and ``phi[x]`` per control, and the other scales.

    Raises
    ------
    InputError
        A column does not vary.
    """
    sd_y, *sds = (float(sd) for sd in design.spread)
    if sd_y == 0 or 0 in sds:
        raise InputError("a column does not vary, so that no unit for the priors can be taken from it")
    found: dict[str, Prior] = {}
    for name, prior in model.priors.items():
        unit = UNITS[name]
        if unit == "control":
            for control, sd in zip(design.terms[1:], sds[1:], strict=True):
                found[f"{name}[{control}]"] = prior.scaled(sd_y / sd)
        else:
            found[name] = prior.scaled(sd_y if unit == "outcome" else sd_y / sds[0])
    return found


def log_density(prior: Prior, scale: Array) -> tuple[Array, Array]:
    """Return the log density of a positive scale and its derivative in log scale, elementwise.

    Parameters
    ----------
    prior
        Of one of `cbec_bayes.bayes.model.prior.SCALE_FAMILIES`, resolved; a ``fixed`` one has no density.
    scale
        Positive, any shape.
    """
    p = prior.params
    match prior.dist:
        case "half_normal":
            z = scale / p["scale"]
            return (math.log(2 / math.pi) - z**2) / 2 - math.log(p["scale"]), -(z**2)
        case "half_t":
            nu = p["df"]
            z2 = (scale / p["scale"]) ** 2 / nu
            constant = float(gammaln((nu + 1) / 2) - gammaln(nu / 2)) - 0.5 * math.log(nu * math.pi)
            return (
                math.log(2) + constant - math.log(p["scale"]) - (nu + 1) / 2 * np.log1p(z2),
                -(nu + 1) * z2 / (1 + z2),
            )
        case "half_cauchy":
            return log_density(replace(prior, dist="half_t", params={"df": 1.0, "scale": p["scale"]}), scale)
        case "exponential":
            return -scale / p["mean"] - math.log(p["mean"]), -scale / p["mean"]
        case "uniform":
            inside = scale <= p["upper"]
            return np.where(inside, -math.log(p["upper"]), -np.inf), np.zeros_like(scale)
        case "correlation":
            return np.full_like(scale, -math.log(2)), np.zeros_like(scale)
    raise ValueError(f"'{prior.dist}' is no prior of a scale that is sampled")


def cumulative(prior: Prior, scale: Array) -> Array:
    """Return the probability that a sampled scale is at most each of the values given, elementwise."""
    p = prior.params
    match prior.dist:
        case "half_normal":
            return np.asarray(2 * stats.norm.cdf(scale / p["scale"]) - 1)
        case "half_t":
            return np.asarray(2 * stats.t.cdf(scale / p["scale"], p["df"]) - 1)
        case "half_cauchy":
            return np.asarray(2 * stats.cauchy.cdf(scale / p["scale"]) - 1)
        case "exponential":
            return -np.expm1(-scale / p["mean"])
        case "uniform":
            return np.clip(scale / p["upper"], 0, 1)
        case "correlation":
            return (scale + 1) / 2
    raise ValueError(f"'{prior.dist}' is no prior of a scale that is sampled")


def draw(prior: Prior, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return draws of a scale; of one that is held, its value."""
    p = prior.params
    match prior.dist:
        case "half_normal":
            return np.abs(rng.normal(0, p["scale"], shape))
        case "half_t":
            return np.abs(p["scale"] * rng.standard_t(p["df"], shape))
        case "half_cauchy":
            return np.abs(p["scale"] * rng.standard_cauchy(shape))
        case "exponential":
            return rng.exponential(p["mean"], shape)
        case "uniform":
            return rng.uniform(0, p["upper"], shape)
        case "fixed":
            return np.full(shape, p["value"])
    raise ValueError(f"'{prior.dist}' is no prior of a scale")


def start(prior: Prior) -> float:
    """Return a scale that the prior finds likely, where a search may begin."""
    p: Mapping[str, float] = prior.params
    if prior.dist == "correlation":
        return 0.3
    return {"uniform": lambda: p["upper"] / 4, "exponential": lambda: p["mean"], "fixed": lambda: p["value"]}.get(
        prior.dist, lambda: p["scale"] / 2
    )()
