"""Which moments of a posterior with heavy tails exist: orders below which they do.

Every tail is a power, and moments are finite along each of the directions in which parameters may grow together; the
order is the smallest over these directions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from cbec_bayes.bayes.model.densities import tail_index
from cbec_bayes.published.estimates import StandardError
from cbec_bayes.published.robust.rows import row_df, tail_exponent
from cbec_bayes.published.summary_model import SummaryModel, between_shape

MARGIN = 0.2
"""A moment of order q counts as existing where all below q + MARGIN exist: nearer to the edge its tail has no end."""


@dataclass(frozen=True, slots=True)
class Orders:
    """Orders below which moments exist.

    Attributes
    ----------
    common, new, tau
        Orders of the common slope, of the slope of a group not seen, and of the between-group scale.
    groups
        Orders of the slope of each row with an estimate.
    """

    common: float
    new: float
    tau: float
    groups: tuple[float, ...]


def orders(errors: Sequence[StandardError], model: SummaryModel) -> Orders:
    """Return the orders of a posterior from rows with these standard errors.

    The common slope has the tail of its density given tau, and the tail along which it grows with tau; a flat prior
    takes one estimate to hold it. A group's slope is held by its own estimate, by tau, and by the common slope.
    """
    shape, flat = between_shape(model).tail_index, model.slope.dist == "flat"
    tau = tail_index(model.between) + len(errors) - (1 if flat else 0)
    given_tau = tail_exponent(errors, shape)
    common = min(tau, given_tau) if flat else math.inf
    groups = []
    for error in errors:
        own = row_df(error)
        # alone; with tau; and with the common slope, where only a flat prior lets it go.
        alone, with_tau = own + shape + 1, own + 1 + tau
        rest = given_tau - min(own, shape) - 1
        groups.append(min(alone, with_tau, rest + own + 1) if flat else min(alone, with_tau))
    return Orders(common, min(common, tau, shape), tau, tuple(groups))


def exists(power: int, order: float) -> bool:
    """Return whether a moment exists, see `MARGIN`."""
    return order > power + MARGIN or (order > power and float(order).is_integer())


def highest_power(order: float) -> float:
    """Return the highest of the moments that are read off (the mean, the standard deviation) which exists, or 0."""
    return 2.0 if exists(2, order) else 1.0 if exists(1, order) else 0.0
