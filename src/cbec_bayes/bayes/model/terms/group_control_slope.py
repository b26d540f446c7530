"""Deviations of groups from the common slopes of the controls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cbec_bayes.bayes.model.block import Block, make_block
from cbec_bayes.bayes.model.terms.term import Choices, GroupTerm, Parameter
from cbec_bayes.bayes.moments.columns import Column, GroupColumns
from cbec_bayes.panel.design import Design


class GroupControlSlope(GroupTerm):
    """g_rk, a variable and a scale per control; where fixed, `ControlSlope` has them."""

    key = "group_control_slope"
    label = "deviations of groups in the slopes of the controls"
    variables = ("group_control_slope",)
    parameter = Parameter("phi", "control")

    def blocks(self, design: Design, choices: Choices) -> tuple[Block, ...]:
        """Return a block of deviations per control."""
        if choices[self.key] != "pooled":
            return ()
        return tuple(
            make_block(
                f"group_control_slope[{control}]",
                design.x[:, k : k + 1],
                axes={"group": design.groups},
                code=design.group,
                scale=f"phi[{control}]",
            )
            for k, control in enumerate(design.controls, len(design.exposures))
        )

    def mean(self, block: Block, effect: Any, data: Mapping[str, Any], design: Design) -> Any:
        """Return g_rk x_k."""
        control = design.controls.index(_control(block))
        return effect[data["group_code"]] * data["controls"][:, control]

    def column(self, block: Block, k: int, label: tuple[str, ...], of: GroupColumns) -> Column | None:
        """Return the control in the group."""
        return of.regressor(of.moments.terms.index(_control(block))) if of.is_of(label[0]) else None


def _control(block: Block) -> str:
    """Return the control of a variable ``group_control_slope[x]``."""
    return block.name.partition("[")[2].removesuffix("]")
