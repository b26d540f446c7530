"""What a term of the family brings: its key, its columns, its prior, and how each engine reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np

from cbec_bayes.bayes.model.block import Block
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.moments.columns import Column, GroupColumns
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array, Codes
from cbec_bayes.runtime.errors import InputError

type Choices = Mapping[str, str]
"""What a member chooses, by the key of the term."""

type Unit = Literal["outcome", "level", "slope", "control", "exposure", "trend"]
"""What a prior is a multiple of, in standard deviations of what the effects of units and periods leave of a column.

It is sd(y), sd(y) / sd(d), for each control and each further exposure sd(y) / sd(x_k), or sd(y) / sd(t), with t the
periods about their mean in each unit. A level is measured in the total sd(y), because effects of units take away how
far levels are apart; see `cbec_bayes.panel.spread.Spread`.
"""

type NewData = Mapping[str, tuple[Array | Codes, tuple[str, ...]]]
"""Data of the PyMC twin by name, with the dimensions of each."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a model file states a prior of.

    Attributes
    ----------
    name
        Symbol of MODEL.md section 1, as ``tau``; one per control where the unit is the control's.
    unit
        Unit that the prior is a multiple of.
    is_scale
        Whether it is a positive scale; else it is the location of coefficients.
    otherwise
        Prior where a model file states none; None where each file must. Only members that have the coefficients have
        it.
    """

    name: str
    unit: Unit
    is_scale: bool = True
    otherwise: Prior | None = None


class Term(Protocol):
    """A term of the family; what is not said here about a term has a default that holds for most."""

    key: str
    """Name in the model file, and of the choice."""

    label: str
    """What it is, in words, in the plural."""

    variables: tuple[str, ...]
    """Variables of the posterior that are its coefficients; a variable per control has the control in brackets."""

    parameter: Parameter | None = None
    """What it has a prior of."""

    default: str | None = None
    """Choice of a model file that does not name the term; None where each file must."""

    moved: ClassVar[Mapping[str, str]] = {}
    """Choices that a model file once had, with what it says in their place now."""

    @property
    def choices(self) -> tuple[str, ...]:
        """What a model file may choose; nothing where the term is part of every member."""
        return ()

    def blocks(self, design: Design, choices: Choices) -> tuple[Block, ...]:
        """Return its coefficients on a design, flat ones and pooled ones, given what the member chooses."""
        ...

    def mean(self, block: Block, effect: Any, data: Mapping[str, Any], design: Design) -> Any:
        """Return what a block adds to the mean of every row in the PyMC twin.

        Parameters
        ----------
        block
            One of `blocks`.
        effect
            Its coefficients, of its shape.
        data
            The twin's data: ``exposure``, ``controls``, ``unit_code``, ``time_code``, ``group_code`` and `data`.
        design
            What the columns were made from.
        """
        ...

    def data(self, block: Block) -> NewData:
        """Return data that the twin needs for a block besides regressors and codes."""
        return {}

    def column(self, block: Block, k: int, label: tuple[str, ...], of: GroupColumns) -> Column | None:
        """Return the column of a coefficient within a group of gathered moments; None where it is zero there.

        Parameters
        ----------
        block
            One of `blocks`.
        k, label
            Position and labels of the coefficient within the block.
        of
            Makes columns of the group.

        Raises
        ------
        InputError
            Moments do not have it; see `needs_rows`.
        """
        raise InputError(f"the columns of '{block.name}' cannot be computed from moments; fit the model to the rows")

    def needs_rows(self, choice: str) -> bool:
        """Whether gathered moments are not enough for it."""
        return False

    def has_scale(self, choice: str) -> bool:
        """Whether its scale is a parameter of the member."""
        return choice in ("pooled", "random", "correlated")

    def without_groups(self, choice: str) -> str:
        """Return the choice that is left of one on a panel without groups; another one if it needs groups."""
        return choice

    def is_integrated(self, choice: str) -> bool:
        """Whether its coefficients, of one regressor for each unit, are integrated out of units like their effects."""
        return False

    def by_unit(self, choice: str) -> bool:
        """Whether each unit has a coefficient of its own, which is not integrated out beside others."""
        return False

    def simulate(self, block: Block, scale: Array | None, rng: np.random.Generator) -> Array:
        """Draw its coefficients, shape (1, ...), given their scale, shape (1,); zeros where they are flat."""
        size = (1, *block.shape)
        return np.zeros(size) if scale is None else scale[0] * rng.standard_normal(size)


class GroupTerm(Term, Protocol):
    """Deviations by group: off, flat, or pooled."""

    default: str | None = "off"

    @property
    def choices(self) -> tuple[str, ...]:
        """No deviations, deviations without a common part, deviations about zero."""
        return ("off", "fixed", "pooled")

    def without_groups(self, choice: str) -> str:
        """Return that there are none."""
        return "off"


class EffectTerm(Term, Protocol):
    """Effects of units or periods, which every member has."""

    @property
    def choices(self) -> tuple[str, ...]:
        """Flat, with a scale, or with a scale about Mundlak terms."""
        return ("fixed", "random", "correlated")
