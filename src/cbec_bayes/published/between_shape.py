"""Shapes of the distribution of slopes between groups: normal, Student-t, or a mixture of two normals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, PlainValidator, TypeAdapter

from cbec_bayes.runtime.toml import Number, PositiveNumber, Text, choose, table_of, wrong

SHAPES: Mapping[str, tuple[str, ...]] = {"normal": (), "student_t": ("df",), "two_normals": ("share", "ratio")}
"""Parameters of each shape."""

SMALLEST_DF = 0.5
"""Fewest degrees of freedom of a shape: below, not even the width of the distribution is known in plain numbers."""


@dataclass(frozen=True, slots=True)
class BetweenShape:
    """How slopes of groups lie about the common slope; tau is the scale of each shape.

    Attributes
    ----------
    dist
        ``normal``: beta_r ~ N(beta, tau^2). ``student_t``: beta_r ~ t_df(beta, tau) (Lee and Thompson, 2008).
        ``two_normals``: beta_r ~ (1 - share) N(beta, tau^2) + share N(beta, (ratio tau)^2) (Beath, 2014).
    params
        Parameters of the shape, without a unit.
    """

    dist: str
    params: Mapping[str, float]

    @property
    def tail_index(self) -> float:
        """Moments of a group's slope, given beta and tau, exist below this order."""
        return self.params["df"] if self.dist == "student_t" else math.inf

    @property
    def variance(self) -> float:
        """Variance of a group's slope in units of tau^2; infinite where it has none."""
        match self.dist:
            case "student_t":
                df = self.params["df"]
                return df / (df - 2) if df > 2 else math.inf
            case "two_normals":
                share, ratio = self.params["share"], self.params["ratio"]
                return 1 - share + share * ratio**2
        return 1.0

    def __str__(self) -> str:
        inside = ", ".join(f"{key} = {value:.4g}" for key, value in self.params.items())
        return f"{self.dist.replace('_', '-')}({inside})" if inside else self.dist


NORMAL = BetweenShape("normal", {})


def _share(value: float) -> float:
    if not 0 <= value < 1:
        raise wrong(f"must be at least 0 and below 1, not {value:g}")
    return value


def _ratio(value: float) -> float:
    if value < 1:
        raise wrong(f"must be at least 1, not {value:g}")
    return value


def _df(value: float) -> float:
    if value < SMALLEST_DF:
        raise wrong(f"must be at least {SMALLEST_DF:g}, not {value:g}")
    return value


_TYPES: Mapping[str, Any] = {
    "df": Annotated[PositiveNumber, AfterValidator(_df)],
    "share": Annotated[Number, AfterValidator(_share)],
    "ratio": Annotated[PositiveNumber, AfterValidator(_ratio)],
}


def _validate(value: object) -> BetweenShape:
    if not isinstance(value, Mapping):
        raise wrong("a table is needed")
    dist = choose(value.get("dist"), tuple(SHAPES), "shape", key="dist")
    kinds = {"dist": Text, **{name: _TYPES[name] for name in SHAPES[dist]}}
    table: Any = TypeAdapter(table_of(kinds)).validate_python(value)
    return BetweenShape(dist, {name: getattr(table, name) for name in SHAPES[dist]})


ShapeTable = Annotated[BetweenShape, PlainValidator(_validate)]
"""The shape of the distribution between groups, as a model file states it."""
