"""The slope of the exposure that all groups share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cbec_bayes.bayes.model.block import Block, make_block
from cbec_bayes.bayes.model.terms.term import Choices, Parameter, Term
from cbec_bayes.bayes.moments.columns import Column, GroupColumns
from cbec_bayes.panel.design import Design


class Slope(Term):
    """One slope; where the slopes of groups are fixed, one for each group in its place."""

    key = "slope"
    label = "slopes of the exposure"
    variables = ("slope", "group_total_slope")
    parameter = Parameter("slope", "slope", is_scale=False)

    def blocks(self, design: Design, choices: Choices) -> tuple[Block, ...]:
        """Return one coefficient, or one per group."""
        d = design.x[:, :1]
        if choices["group_slope"] == "fixed":
            return (make_block("group_total_slope", d, axes={"group": design.groups}, code=design.group),)
        return (make_block("slope", d),)

    def mean(self, block: Block, effect: Any, data: Mapping[str, Any], design: Design) -> Any:
        """Return beta d, or the group's own."""
        own = effect if block.name == "slope" else effect[data["group_code"]]
        return own * data["exposure"]

    def column(self, block: Block, k: int, label: tuple[str, ...], of: GroupColumns) -> Column | None:
        """Return the exposure."""
        if block.name == "slope":
            return of.regressor(0, is_common=True)
        return of.regressor(0) if of.is_of(label[0]) else None
