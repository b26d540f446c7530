"""Priors by family and parameters, as a model file states them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, PlainValidator, TypeAdapter

from cbec_bayes.bayes.model import scale_families
from cbec_bayes.runtime.toml import Number, PositiveNumber, Text, choose, table_of, wrong

FAMILIES: Mapping[str, Mapping[str, bool]] = {
    "flat": {},
    "normal": {"mean": True, "sd": True},
    **{name: family.parameters for name, family in scale_families.FAMILIES.items()},
    "fixed": {"value": True},
}
"""Parameters of each family, with those that are in the unit of what the prior is of; all scales are positive."""

SLOPE_FAMILIES = ("flat", "normal")

SCALE_FAMILIES = (*scale_families.FAMILIES, "fixed")


@dataclass(frozen=True, slots=True)
class Prior:
    """A prior by family and parameters.

    Attributes
    ----------
    dist
        One of `FAMILIES`.
    params
        Its parameters; in units of the slope where the model file says so, plain numbers once resolved.
    """

    dist: str
    params: Mapping[str, float]

    def scaled(self, unit: float) -> Prior:
        """Return the prior with its location and scale parameters multiplied by `unit`."""
        scales = FAMILIES[self.dist]
        return Prior(self.dist, {key: value * (unit if scales[key] else 1) for key, value in self.params.items()})

    def __str__(self) -> str:
        inside = ", ".join(f"{key} = {value:.4g}" for key, value in self.params.items())
        return f"{self.dist.replace('_', '-')}({inside})" if inside else self.dist


def _number(dist: str, name: str) -> Any:
    """Return the type of a parameter: all are positive but a mean, and a fixed value, which may be zero."""
    if dist == "normal" and name == "mean":
        return Number
    return Annotated[Number, AfterValidator(_not_negative)] if dist == "fixed" else PositiveNumber


def _not_negative(value: float) -> float:
    if value < 0:
        raise wrong(f"must be zero or positive, not {value:g}")
    return value


@lru_cache
def _adapter(dist: str) -> TypeAdapter[Any]:
    return TypeAdapter(table_of({"dist": Text, **{name: _number(dist, name) for name in FAMILIES[dist]}}))


def prior_of(families: Sequence[str]) -> PlainValidator:
    """Return an annotation: a TOML table with the family of a prior, one of some, and its parameters."""

    def validate(value: object) -> Prior:
        if not isinstance(value, Mapping):
            raise wrong("a table is needed")
        dist = choose(value.get("dist"), families, "prior", key="dist")
        table = _adapter(dist).validate_python(value)
        return Prior(dist, {name: getattr(table, name) for name in FAMILIES[dist]})

    return PlainValidator(validate)


SlopePrior = Annotated[Prior, prior_of(SLOPE_FAMILIES)]
"""The prior of a slope, as a file states it."""

ScalePrior = Annotated[Prior, prior_of(SCALE_FAMILIES)]
"""The prior of a scale, as a file states it."""


def pymc_scale(name: str | None, prior: Prior, dims: str | None = None) -> Any:
    """Add a scale to the `pymc.Model` at hand, or return its distribution if it has no name.

    One that its prior fixes is data, so that it can be exchanged.
    """
    import pymc as pm

    # In double precision: PyTensor takes the logarithm of a Python float in single.
    p = {key: np.float64(value) for key, value in prior.params.items()}
    if prior.dist == "fixed":
        size = () if dims is None else len(pm.modelcontext(None).coords[dims])
        return pm.Data(name, np.full(size, p["value"]), dims=dims)
    distribution, arguments = scale_families.FAMILIES[prior.dist].pymc(p)
    return distribution.dist(**arguments) if name is None else distribution(name, **arguments, dims=dims)
