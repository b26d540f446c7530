"""Families of priors of a scale: one class each, and one entry, which every engine reads."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from scipy.special import gammaln

from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.distributions import normal_cdf, t_cdf

type Parameters = Mapping[str, float]


class ScaleFamily(Protocol):
    """A family of distributions of a positive scale; every method takes its parameters as plain numbers."""

    parameters: ClassVar[Mapping[str, bool]]
    """Names of the parameters, all positive, and whether each is in the unit of the scale."""

    def log_density(self, p: Parameters, scale: Array) -> tuple[Array, Array]:
        """Return the log density and its derivative in log scale, elementwise."""
        ...

    def cumulative(self, p: Parameters, scale: Array) -> Array:
        """Return the probability of a scale that is at most each of the values given, elementwise."""
        ...

    def draw(self, p: Parameters, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Return independent draws."""
        ...

    def pymc(self, p: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Return the distribution of PyMC and its arguments."""
        ...

    def start(self, p: Parameters) -> float:
        """Return a value that is likely, where a search may begin."""
        return p["scale"] / 2

    def tail_index(self, p: Parameters) -> float:
        """Return nu where the density falls as scale^-(nu + 1); infinite for a lighter tail."""
        return math.inf


@dataclass(frozen=True, slots=True)
class HalfNormal(ScaleFamily):
    """The positive half of a normal distribution about zero."""

    parameters: ClassVar[Mapping[str, bool]] = {"scale": True}

    def log_density(self, p: Parameters, scale: Array) -> tuple[Array, Array]:
        """Return the log density and its derivative."""
        z = scale / p["scale"]
        return (math.log(2 / math.pi) - z**2) / 2 - math.log(p["scale"]), -(z**2)

    def cumulative(self, p: Parameters, scale: Array) -> Array:
        """Return the distribution function."""
        return np.asarray(2 * normal_cdf(scale / p["scale"]) - 1)

    def draw(self, p: Parameters, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Return draws."""
        return np.abs(rng.normal(0, p["scale"], shape))

    def pymc(self, p: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Return `pymc.HalfNormal`."""
        import pymc as pm

        return pm.HalfNormal, {"sigma": p["scale"]}


@dataclass(frozen=True, slots=True)
class HalfT(ScaleFamily):
    """The positive half of a Student-t distribution about zero."""

    parameters: ClassVar[Mapping[str, bool]] = {"df": False, "scale": True}

    def log_density(self, p: Parameters, scale: Array) -> tuple[Array, Array]:
        """Return the log density and its derivative."""
        nu = p["df"]
        z2 = (scale / p["scale"]) ** 2 / nu
        constant = float(gammaln((nu + 1) / 2) - gammaln(nu / 2)) - 0.5 * math.log(nu * math.pi)
        return (
            math.log(2) + constant - math.log(p["scale"]) - (nu + 1) / 2 * np.log1p(z2),
            -(nu + 1) * z2 / (1 + z2),
        )

    def cumulative(self, p: Parameters, scale: Array) -> Array:
        """Return the distribution function."""
        return np.asarray(2 * t_cdf(scale / p["scale"], p["df"]) - 1)

    def draw(self, p: Parameters, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Return draws."""
        return np.abs(p["scale"] * rng.standard_t(p["df"], shape))

    def pymc(self, p: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Return `pymc.HalfStudentT`."""
        import pymc as pm

        return pm.HalfStudentT, {"nu": p["df"], "sigma": p["scale"]}

    def tail_index(self, p: Parameters) -> float:
        """Return the degrees of freedom."""
        return p["df"]


@dataclass(frozen=True, slots=True)
class HalfCauchy(ScaleFamily):
    """The positive half of a Cauchy distribution about zero."""

    parameters: ClassVar[Mapping[str, bool]] = {"scale": True}

    def log_density(self, p: Parameters, scale: Array) -> tuple[Array, Array]:
        """Return the log density and its derivative."""
        return HalfT().log_density({"df": 1.0, "scale": p["scale"]}, scale)

    def cumulative(self, p: Parameters, scale: Array) -> Array:
        """Return the distribution function."""
        return np.asarray(2 / math.pi * np.arctan(scale / p["scale"]))

    def draw(self, p: Parameters, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Return draws."""
        return np.abs(p["scale"] * rng.standard_cauchy(shape))

    def pymc(self, p: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Return `pymc.HalfCauchy`."""
        import pymc as pm

        return pm.HalfCauchy, {"beta": p["scale"]}

    def tail_index(self, p: Parameters) -> float:
        """Return one."""
        return 1.0


@dataclass(frozen=True, slots=True)
class Exponential(ScaleFamily):
    """The exponential distribution, by its mean."""

    parameters: ClassVar[Mapping[str, bool]] = {"mean": True}

    def log_density(self, p: Parameters, scale: Array) -> tuple[Array, Array]:
        """Return the log density and its derivative."""
        return -scale / p["mean"] - math.log(p["mean"]), -scale / p["mean"]

    def cumulative(self, p: Parameters, scale: Array) -> Array:
        """Return the distribution function."""
        return -np.expm1(-scale / p["mean"])

    def draw(self, p: Parameters, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Return draws."""
        return rng.exponential(p["mean"], shape)

    def pymc(self, p: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Return `pymc.Exponential`."""
        import pymc as pm

        return pm.Exponential, {"scale": p["mean"]}

    def start(self, p: Parameters) -> float:
        """Return the mean."""
        return p["mean"]


@dataclass(frozen=True, slots=True)
class Uniform(ScaleFamily):
    """The uniform distribution from zero to an upper end."""

    parameters: ClassVar[Mapping[str, bool]] = {"upper": True}

    def log_density(self, p: Parameters, scale: Array) -> tuple[Array, Array]:
        """Return the log density, minus infinity beyond the end, and its derivative."""
        inside = scale <= p["upper"]
        return np.where(inside, -math.log(p["upper"]), -np.inf), np.zeros_like(scale)

    def cumulative(self, p: Parameters, scale: Array) -> Array:
        """Return the distribution function."""
        return np.clip(scale / p["upper"], 0, 1)

    def draw(self, p: Parameters, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Return draws."""
        return rng.uniform(0, p["upper"], shape)

    def pymc(self, p: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Return `pymc.Uniform`."""
        import pymc as pm

        return pm.Uniform, {"lower": np.float64(0), "upper": p["upper"]}

    def start(self, p: Parameters) -> float:
        """Return a quarter of the upper end."""
        return p["upper"] / 4


@dataclass(frozen=True, slots=True)
class Correlation(ScaleFamily):
    """The uniform distribution on (-1, 1), of a correlation; no model file has it."""

    parameters: ClassVar[Mapping[str, bool]] = {}

    def log_density(self, p: Parameters, scale: Array) -> tuple[Array, Array]:
        """Return the log density and a derivative of zero."""
        return np.full_like(scale, -math.log(2)), np.zeros_like(scale)

    def cumulative(self, p: Parameters, scale: Array) -> Array:
        """Return the distribution function."""
        return (scale + 1) / 2

    def draw(self, p: Parameters, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        """Return draws."""
        return rng.uniform(-1, 1, shape)

    def pymc(self, p: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Return `pymc.Uniform`."""
        import pymc as pm

        return pm.Uniform, {"lower": -1, "upper": 1}

    def start(self, p: Parameters) -> float:
        """Return a moderate positive correlation."""
        return 0.3


FAMILIES: dict[str, ScaleFamily] = {
    "half_normal": HalfNormal(),
    "half_t": HalfT(),
    "half_cauchy": HalfCauchy(),
    "exponential": Exponential(),
    "uniform": Uniform(),
}
"""Families of a scale that is sampled, by the name that a model file has; a new one is a class, and an entry here."""
