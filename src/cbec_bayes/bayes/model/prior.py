"""Priors by family and parameters, as a model file states them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cbec_bayes.bayes.model import scale_families
from cbec_bayes.runtime.errors import suggest
from cbec_bayes.runtime.toml import Section

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


def read_prior(section: Section, families: Sequence[str]) -> Prior:
    """Read a prior of one of some families from a TOML table."""
    dist = section.text("dist")
    if dist not in families:
        raise section.wrong("dist", f"unknown prior '{dist}'; {suggest(dist, families)}")
    names = tuple(FAMILIES[dist])
    section.only(("dist", *names))
    params = {name: section.number(name) for name in names}
    for name, value in params.items():
        may_be_any = dist == "normal" and name == "mean"
        if not may_be_any and (value < 0 or (value == 0 and dist != "fixed")):
            raise section.wrong(name, f"must be positive, not {value:g}")
    return Prior(dist, params)


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
