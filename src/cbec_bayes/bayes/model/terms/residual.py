"""The residuals: the shape of what is new in each row, their correlation over time, and their spread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from cbec_bayes.bayes.model.block import Block
from cbec_bayes.bayes.model.likelihoods import CORRELATIONS, NORMAL, shapes
from cbec_bayes.bayes.model.terms.term import Choices, Parameter, Term
from cbec_bayes.panel.design import Design


class ResidualTerm(Term):
    """A property of the residuals, without coefficients; `cbec_bayes.bayes.model.likelihoods` has what it means."""

    variables = ()

    def blocks(self, design: Design, choices: Choices) -> tuple[Block, ...]:
        """Return nothing."""
        return ()

    def mean(self, block: Block, effect: Any, data: Mapping[str, Any], design: Design) -> Any:
        """Return nothing: residuals are about the mean."""
        raise NotImplementedError("residuals are not part of the mean")


class Residual(ResidualTerm):
    """The distribution of what is new in each row: e_it itself where errors are not correlated."""

    key = "residual"
    label = "residuals"
    parameter = Parameter("sigma", "outcome")
    moved: ClassVar[Mapping[str, str]] = {
        "ar1": 'write residual = "normal" and correlation = "ar1"',
        "by_group": 'write residual = "normal" and spread = "by_group"',
    }

    @property
    def choices(self) -> tuple[str, ...]:
        """Every shape."""
        return shapes()

    def has_scale(self, choice: str) -> bool:
        """Return that each shape has."""
        return True

    def needs_rows(self, choice: str) -> bool:
        """Whether it is not normal: other densities are no function of moments."""
        return choice != NORMAL.name


class ErrorCorrelation(ResidualTerm):
    """How the errors of a unit hang together over time."""

    key = "correlation"
    label = "correlations of errors over time"
    default = "off"

    @property
    def choices(self) -> tuple[str, ...]:
        """Every correlation."""
        return tuple(CORRELATIONS)

    def needs_rows(self, choice: str) -> bool:
        """Moments have no rows in order."""
        return CORRELATIONS[choice].is_correlated


class Spread(ResidualTerm):
    """Whether the residual scale sigma is one for all rows, or one for each group."""

    key = "spread"
    label = "residual scales of groups"
    choices = ("common", "by_group")
    default = "common"

    def without_groups(self, choice: str) -> str:
        """Return one scale in the place of one per group."""
        return "common"
