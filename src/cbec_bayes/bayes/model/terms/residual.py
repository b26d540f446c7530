"""The residuals, whose kinds `cbec_bayes.bayes.model.likelihoods` has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cbec_bayes.bayes.model.block import Block
from cbec_bayes.bayes.model.likelihoods import residual_kinds, residuals_of
from cbec_bayes.bayes.model.terms.term import Choices, Parameter, Term
from cbec_bayes.panel.design import Design


class Residual(Term):
    """e_it, which has no coefficients."""

    key = "residual"
    label = "residuals"
    variables = ()
    parameter = Parameter("sigma", "outcome")

    @property
    def choices(self) -> tuple[str, ...]:
        """Every kind."""
        return residual_kinds()

    def blocks(self, design: Design, choices: Choices) -> tuple[Block, ...]:
        """Return nothing."""
        return ()

    def mean(self, block: Block, effect: Any, data: Mapping[str, Any], design: Design) -> Any:
        """Return nothing: residuals are about the mean."""
        raise NotImplementedError("residuals are no part of the mean")

    def has_scale(self, choice: str) -> bool:
        """Return that each kind has."""
        return True

    def without_groups(self, choice: str) -> str:
        """Return one scale in the place of one per group."""
        return "normal" if residuals_of(choice).by_group else choice

    def needs_rows(self, choice: str) -> bool:
        """Whether the kind does."""
        return residuals_of(choice).needs_rows
