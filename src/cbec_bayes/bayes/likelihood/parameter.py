"""The parameters that are sampled, each with its prior and the coordinate in which it is unbounded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.bayes.model.densities import CORRELATION, start
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.panel.within import Array


class Transformation(Protocol):
    """From a parameter to a coordinate on all of the real line, and back; every method is elementwise."""

    def value(self, at: Array) -> Array:
        """Return the parameter at coordinates."""
        ...

    def number(self, at: float) -> float:
        """Do the same to a plain number."""
        ...

    def coordinate(self, value: Array) -> Array:
        """Return the coordinate of values."""
        ...

    def log_jacobian(self, at: Array) -> Array:
        """Return the logarithm of the derivative of the parameter in its coordinate."""
        ...

    def log_jacobian_slope(self, value: float) -> float:
        """Return the derivative of that logarithm in the coordinate, at a value."""
        ...

    def is_inside(self, at: Array) -> NDArray[np.bool_]:
        """Return where double precision can tell the parameter from a value that it cannot have."""
        ...


class Logarithm:
    """The logarithm of a scale."""

    def value(self, at: Array) -> Array:
        """See `Transformation`."""
        return np.exp(at)

    def number(self, at: float) -> float:
        """See `Transformation`."""
        return math.exp(at)

    def coordinate(self, value: Array) -> Array:
        """See `Transformation`."""
        return np.log(value)

    def log_jacobian(self, at: Array) -> Array:
        """See `Transformation`."""
        return at

    def log_jacobian_slope(self, value: float) -> float:
        """See `Transformation`."""
        return 1.0

    def is_inside(self, at: Array) -> NDArray[np.bool_]:
        """See `Transformation`."""
        return np.ones(np.shape(at), dtype=np.bool_)


class InverseTanh:
    """The inverse hyperbolic tangent of a correlation, which lies between minus one and one."""

    def value(self, at: Array) -> Array:
        """See `Transformation`."""
        return np.tanh(at)

    def number(self, at: float) -> float:
        """See `Transformation`."""
        return math.tanh(at)

    def coordinate(self, value: Array) -> Array:
        """See `Transformation`."""
        return np.arctanh(value)

    def log_jacobian(self, at: Array) -> Array:
        """See `Transformation`."""
        return np.asarray(-2 * np.log(np.cosh(at)))

    def log_jacobian_slope(self, value: float) -> float:
        """See `Transformation`."""
        return -2 * value

    def is_inside(self, at: Array) -> NDArray[np.bool_]:
        """See `Transformation`."""
        return np.asarray(np.abs(np.tanh(at)) < 1, dtype=np.bool_)


LOGARITHM: Transformation = Logarithm()
INVERSE_TANH: Transformation = InverseTanh()


@dataclass(frozen=True, slots=True)
class Parameter:
    """A scale, or the correlation of errors, that is sampled.

    Attributes
    ----------
    name
        Its symbol in the posterior; a stratum's residual scale is ``sigma[east]``.
    prior
        In the data's own units.
    """

    name: str
    prior: Prior

    @property
    def transformation(self) -> Transformation:
        """To the coordinate that is sampled."""
        return INVERSE_TANH if self.prior.dist == CORRELATION.dist else LOGARITHM

    def start(self) -> float:
        """Return the coordinate of a value that the prior finds likely."""
        return float(self.transformation.coordinate(np.asarray(start(self.prior))))
