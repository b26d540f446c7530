"""The slopes of the controls that all groups share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cbec_bayes.bayes.model.block import Block, make_block
from cbec_bayes.bayes.model.terms.term import Choices, Parameter, Term
from cbec_bayes.bayes.moments.columns import Column, GroupColumns
from cbec_bayes.panel.design import Design


class ControlSlope(Term):
    """One slope per control; where those of groups are fixed, one for each group in its place."""

    key = "control_slope"
    label = "slopes of the controls"
    variables = ("control_slope", "group_total_control_slope")
    parameter = Parameter("control_slope", "control", is_scale=False)

    def blocks(self, design: Design, choices: Choices) -> tuple[Block, ...]:
        """Return one coefficient per control, or one per control and group."""
        controls, x = design.controls, design.x[:, len(design.exposures) :]
        if not controls:
            return ()
        if choices["group_control_slope"] == "fixed":
            axes = {"coef": controls, "group": design.groups}
            return (make_block("group_total_control_slope", x, axes=axes, code=design.group),)
        return (make_block("control_slope", x, axes={"coef": controls}),)

    def mean(self, block: Block, effect: Any, data: Mapping[str, Any], design: Design) -> Any:
        """Return x'gamma, or with the group's own."""
        if block.name == "control_slope":
            return data["controls"] @ effect
        return (data["controls"] * effect.T[data["group_code"]]).sum(axis=1)

    def column(self, block: Block, k: int, label: tuple[str, ...], of: GroupColumns) -> Column | None:
        """Return a control."""
        term = of.moments.terms.index(label[0])
        if block.name == "control_slope":
            return of.regressor(term, is_common=True)
        return of.regressor(term) if of.is_of(label[1]) else None
