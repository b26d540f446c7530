"""Linear trends of units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cbec_bayes.bayes.model.block import Block, make_block
from cbec_bayes.bayes.model.terms.term import Choices, NewData, Parameter, Term
from cbec_bayes.panel.design import Design


class UnitTrend(Term):
    """h_i, times the periods that have passed less their mean over rows; integrated out of every unit.

    Where trends are flat, those of units and flat effects of periods have one trend in common: the trends keep it, and
    one effect of a period more is zero by convention, as in a regression with a trend for every unit.
    """

    key = "unit_trend"
    label = "linear trends of units"
    variables = ("unit_trend",)
    parameter = Parameter("xi", "trend")
    choices = ("off", "fixed", "pooled")
    default = "off"

    def blocks(self, design: Design, choices: Choices) -> tuple[Block, ...]:
        """Return a trend per unit."""
        if choices[self.key] == "off":
            return ()
        scale = "xi" if choices[self.key] == "pooled" else None
        axes, elapsed = {"unit": design.units}, design.elapsed[:, None]
        return (make_block("unit_trend", elapsed, axes=axes, code=design.unit, scale=scale, role="effect"),)

    def mean(self, block: Block, effect: Any, data: Mapping[str, Any], design: Design) -> Any:
        """Return h_i t."""
        return effect[data["unit_code"]] * data["elapsed"]

    def data(self, block: Block) -> NewData:
        """Return the periods that have passed."""
        return {"elapsed": (block.regressors[:, 0], ("obs",))}

    def needs_rows(self, choice: str) -> bool:
        """Moments have none of units by themselves."""
        return choice != "off"

    def is_integrated(self, choice: str) -> bool:
        """Whether there are any."""
        return choice != "off"
