"""Deviations of groups from the common slope of the exposure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cbec_bayes.bayes.model.block import Block, make_block
from cbec_bayes.bayes.model.terms.term import Choices, GroupTerm, Parameter
from cbec_bayes.bayes.moments.columns import Column, GroupColumns
from cbec_bayes.panel.design import Design


class GroupSlope(GroupTerm):
    """b_r; where they are fixed, a slope per group takes the place of the common one: see `Slope`."""

    key = "group_slope"
    label = "deviations of groups in the slope of the exposure"
    variables = ("group_slope",)
    parameter = Parameter("tau", "slope")

    def blocks(self, design: Design, choices: Choices) -> tuple[Block, ...]:
        """Return a deviation per group."""
        if choices[self.key] != "pooled":
            return ()
        axes = {"group": design.groups}
        return (make_block("group_slope", design.x[:, :1], axes=axes, code=design.group, scale="tau"),)

    def mean(self, block: Block, effect: Any, data: Mapping[str, Any], design: Design) -> Any:
        """Return b_r d."""
        return effect[data["group_code"]] * data["exposure"]

    def column(self, block: Block, k: int, label: tuple[str, ...], of: GroupColumns) -> Column | None:
        """Return the exposure in the group."""
        return of.regressor(0) if of.is_of(label[0]) else None
