"""Marginal likelihoods for tests: that of all coefficients, and a mechanism whose covariance is written out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from cbec_bayes.bayes.likelihood.absorbed import FlatAbsorbed
from cbec_bayes.bayes.likelihood.by_group import ByGroup
from cbec_bayes.bayes.likelihood.collapsed import Collapsed
from cbec_bayes.bayes.likelihood.marginal import Scales
from cbec_bayes.bayes.likelihood.normal_equations import NormalEquations
from cbec_bayes.bayes.likelihood.one_scale import OneScale
from cbec_bayes.bayes.likelihood.residual_covariance import CrossProducts, UnitMeans
from cbec_bayes.panel.within import Array


def normal_equations(engine: Collapsed) -> NormalEquations:
    """Return the likelihood with every coefficient in the equations, whatever the engine absorbed before."""
    found = engine.likelihood
    return found.whole if isinstance(found, ByGroup | FlatAbsorbed | OneScale) else found


def in_full(engine: Collapsed) -> Collapsed:
    """Return the engine with every coefficient in the equations."""
    return replace(engine, likelihood=normal_equations(engine))


@dataclass(frozen=True)
class DenseCovariance:
    """A covariance of the residuals that is written out: n x n, whatever the mechanism.

    Attributes
    ----------
    columns
        The outcome and every coefficient's column, shape (n, 1 + p).
    covariance
        From the scales at one point to V, shape (n, n).
    derivatives
        From the scales to the derivative of V in each of its parameters, in the logarithm of a scale or the inverse
        hyperbolic tangent of a correlation, by name.
    """

    columns: Array
    covariance: Callable[[Mapping[str, float]], Array]
    derivatives: Callable[[Mapping[str, float]], Mapping[str, Array]]

    @property
    def unit_means(self) -> tuple[str, ...]:
        """Nothing is integrated out: what units share is in the covariance."""
        return ()

    def cross_products(self, scales: Scales) -> CrossProducts:
        """Point by point."""
        n = len(self.columns)
        gram, constant = [], []
        for s in range(len(next(iter(scales.values())))):
            v = self.covariance({name: float(values[s]) for name, values in scales.items()})
            gram.append(self.columns.T @ np.linalg.solve(v, self.columns))
            constant.append(-(n * math.log(2 * math.pi) + np.linalg.slogdet(v)[1]) / 2)
        return CrossProducts(np.array(gram), [np.array(constant)])

    def slopes(self, spread: Array, scales: Mapping[str, float]) -> Mapping[str, float]:
        """With dV: dM = -Z' V^-1 dV V^-1 Z, and d ln|V| = tr(V^-1 dV)."""
        v = self.covariance(scales)
        solved = np.linalg.solve(v, self.columns)
        return {
            name: float((np.sum(spread * (solved.T @ dv @ solved)) - np.trace(np.linalg.solve(v, dv))) / 2)
            for name, dv in self.derivatives(scales).items()
        }

    def means_over_units(self, scales: Scales) -> UnitMeans | None:
        """None."""
        return None
