"""What the covariance of the residuals contributes to the likelihood: the contract of a mechanism of the errors.

A mechanism is one class, in a module of its own. The general likelihood needs no more of it than `ResidualCovariance`;
draws of unit effects and the densities of single rows need `ErrorModel`. A new mechanism is such a class, and its line
in `cbec_bayes.bayes.likelihood.elimination`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cbec_bayes.bayes.likelihood.conditional import Conditional
from cbec_bayes.bayes.likelihood.marginal import Scales
from cbec_bayes.bayes.model.blocks import Blocks
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array, Codes


@dataclass(frozen=True, slots=True)
class CrossProducts:
    """Cross-products of the columns under the inverse covariance V^-1 of the residuals, at S points of the scales.

    Attributes
    ----------
    gram
        Z' V^-1 Z of the outcome, which comes first, and every coefficient's column, shape (S, 1 + p, 1 + p).
    constant
        Terms, each of shape (S,) or a number, that add up to -(n ln 2 pi + ln|V|) / 2; what is integrated out of units
        under a flat prior is integrated over all of the real line.
    """

    gram: Array
    constant: Sequence[Array | float]


@dataclass(frozen=True, slots=True)
class UnitMeans:
    """Means over the units of each group of what a mechanism integrates out of them, given coefficients, at S points.

    Attributes
    ----------
    pull
        What the outcome, and each coefficient's column, have of every mean, shape (S, m, 1 + p): a mean is normal about
        that of the outcome less that of the columns times the coefficients.
    root
        Root of their covariance, shape (S, m, m).
    """

    pull: Array
    root: Array


class ResidualCovariance(Protocol):
    """The covariance of the residuals, and of what is integrated out of every unit, as a function of its scales."""

    @property
    def unit_means(self) -> tuple[str, ...]:
        """Names of the means of `means_over_units`; see `mean_names`."""
        ...

    def cross_products(self, scales: Scales) -> CrossProducts:
        """Return the cross-products and the constant at points of the scales."""
        ...

    def slopes(self, spread: Array, scales: Mapping[str, float]) -> Mapping[str, float]:
        """Return the derivatives of the log likelihood in each parameter of the covariance, by name.

        Parameters
        ----------
        spread
            (1, -m)'(1, -m) + V, with the conditional mean m and covariance V of the coefficients, shape (1 + p, 1 + p).
            A change dM of the cross-products moves the log likelihood by half the sum of -dM times this (the EM
            identity of MODEL.md section 4).
        scales
            At one point.

        Returns
        -------
        dict
            Derivatives in the logarithm of a scale, or the inverse hyperbolic tangent of a correlation; held ones too.
        """
        ...

    def means_over_units(self, scales: Scales) -> UnitMeans | None:
        """Return the means over each group's units of what is integrated out, or None where only unit effects are."""
        ...


def mean_names(variables: Sequence[str], groups: Sequence[str]) -> tuple[str, ...]:
    """Return the names of means over units: of every variable one per group, or one of all units without groups."""
    return tuple(f"mean_{name}{of}" for name in variables for of in ([f"[{one}]" for one in groups] or [""]))


type Conditionals = Iterable[tuple[slice, Conditional]]
"""The coefficients given the points, part by part, with the part."""


@dataclass(frozen=True, slots=True)
class RowsGivenOthers:
    """Rows of a panel given all others, at S points of the scales; Q is the inverse covariance of the outcome.

    Attributes
    ----------
    pull, precision
        (Qy)_i and Q_ii, flat coefficients projected out, shape (S, rows).
    known
        Inverse variance of the row where the coefficients are known, shape (S, rows).
    """

    pull: Array
    precision: Array
    known: Array


class ErrorModel(ResidualCovariance, Protocol):
    """What units and single rows are given the scales: all else that depends on the mechanism of the errors."""

    @property
    def sigmas(self) -> tuple[str, ...]:
        """Name of the residual scale, or of each stratum's."""
        ...

    @property
    def other_parameters(self) -> tuple[str, ...]:
        """Names of the covariance's other parameters."""
        ...

    def row_log_density(self, design: Design, residual: Array, scales: Scales) -> Array:
        """Return the log density of every row's residual given the unit's rows before, all of shape (S, n)."""
        ...

    def draw_units(
        self, blocks: Blocks, coefficients: Array, scales: Scales, rng: np.random.Generator
    ) -> dict[str, Array]:
        """Draw what is integrated out of every unit given coefficients, shape (S, p): slopes first, then the effects.

        Returns
        -------
        dict
            Variable to draws of shape (S, N).
        """
        ...

    def rows_given_others(
        self, blocks: Blocks, rows: Codes, scales: Scales, conditionals: Conditionals
    ) -> RowsGivenOthers:
        """Return some rows of a panel given all the others.

        Parameters
        ----------
        blocks
            Whose columns are those of the coefficients.
        rows
            Positions of the rows.
        scales
            At S points.
        conditionals
            The coefficients given all rows and the scales.
        """
        ...


def weighted(weights: Sequence[Array], matrices: Sequence[Array]) -> Array:
    """Return sums of matrices, shape (S, p, p), from weights of shape (S,) and matrices of shape (p, p)."""
    p = len(matrices[0])
    flat = np.stack(weights, axis=1) @ np.stack(matrices).reshape(len(matrices), -1)
    return np.asarray(flat.reshape(len(weights[0]), p, p))
