"""Deviations of units in the slope of the exposure, nested in their groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cbec_bayes.bayes.model.block import Block, make_block
from cbec_bayes.bayes.model.terms.term import Choices, Parameter, Term
from cbec_bayes.panel.design import Design


class UnitSlope(Term):
    """c_i, integrated out of every unit."""

    key = "unit_slope"
    label = "deviations of units in the slope of the exposure"
    variables = ("unit_slope",)
    parameter = Parameter("kappa", "slope")
    choices = ("off", "pooled")
    default = "off"

    def blocks(self, design: Design, choices: Choices) -> tuple[Block, ...]:
        """Return a deviation per unit."""
        if choices[self.key] == "off":
            return ()
        axes = {"unit": design.units}
        return (make_block("unit_slope", design.x[:, :1], axes=axes, code=design.unit, scale="kappa"),)

    def mean(self, block: Block, effect: Any, data: Mapping[str, Any], design: Design) -> Any:
        """Return c_i d."""
        return effect[data["unit_code"]] * data["exposure"]

    def needs_rows(self, choice: str) -> bool:
        """Moments have none of units by themselves."""
        return choice != "off"

    def is_integrated(self, choice: str) -> bool:
        """Whether there are any."""
        return choice != "off"
