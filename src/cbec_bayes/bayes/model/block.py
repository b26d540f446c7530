"""Coefficients that share a prior, and what they multiply."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np

from cbec_bayes.bayes.moments.coded import Coded
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.periods import period_text
from cbec_bayes.panel.within import Array, Codes

type Role = Literal["effect", "slope", "mean"]
"""What flat coefficients are, when columns are collinear.

An effect is a constant or an indicator, so that its cross-products are counts of rows: it is looked at first and may be
left out. A slope must be identified. A mean (Mundlak terms) is looked at last and may be left out.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Coefficients that share a prior.

    Attributes
    ----------
    name
        Variable in the posterior: ``slope``, ``group_slope``, ``time_effect`` ...
    dims, labels
        Dimensions of the variable with the labels of each; a scalar has none.
    regressors
        What the coefficients multiply, shape (n, K).
    scale
        Symbol of the scale they are pooled by, None for a flat or normal prior.
    kept
        Positions of the q coefficients that are identified; the others are zero by convention (a reference period). q
        is the product of the labels' numbers.
    code
        Which of a regressor's q / K coefficients is each row's, shape (n,); None where it has but one.
    role
        What becomes of flat coefficients whose columns are collinear.
    """

    name: str
    dims: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    regressors: Array
    scale: str | None
    kept: tuple[int, ...]
    code: Codes | None = None
    role: Role = "slope"

    @property
    def columns(self) -> Array:
        """Regressors by code, laid out: shape (n, q), regressor by regressor."""
        if self.code is None:
            return self.regressors
        n, k = self.regressors.shape
        columns = np.zeros((n, k, self.width))
        columns[np.arange(n), :, self.code] = self.regressors
        return columns.reshape(n, -1)

    @property
    def width(self) -> int:
        """Number of coefficients of each regressor, q / K."""
        return self.size // int(self.regressors.shape[1])

    @property
    def size(self) -> int:
        """Number of coefficients, q."""
        return math.prod(self.shape)

    @property
    def coded(self) -> Coded:
        """Columns, not laid out."""
        return Coded(self.regressors, self.code, self.width)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the variable."""
        return tuple(len(labels) for labels in self.labels)


def make_block(
    name: str,
    regressors: Array,
    *,
    axes: dict[str, tuple[str, ...]] | None = None,
    code: Codes | None = None,
    scale: str | None = None,
    role: Role = "slope",
) -> Block:
    """Return a block all of whose coefficients are kept.

    Parameters
    ----------
    name, regressors, code, scale, role
        As in `Block`.
    axes
        Labels of the coefficients by dimension, in order; none for a scalar.
    """
    axes = axes or {}
    return Block(
        name=name,
        dims=tuple(axes),
        labels=tuple(axes.values()),
        regressors=regressors,
        scale=scale,
        kept=tuple(range(math.prod(map(len, axes.values())))),
        code=code,
        role=role,
    )


def labels_of(block: Block) -> list[str]:
    """Return the labels of a block's q coefficients, kept or not, as ``east`` or ``lngdp, east``."""
    return [", ".join(labels) for labels in product(*block.labels)]


def names_of(block: Block) -> tuple[str, ...]:
    """Return the names of a block's q coefficients, kept or not, as ``group_slope[east]``."""
    return tuple(block.name + "".join(f"[{label}]" for label in labels) for labels in product(*block.labels))


def time_labels(design: Design) -> tuple[str, ...]:
    """Return the periods as text, all different."""
    return tuple(period_text(time, design.frequency) for time in design.times)
