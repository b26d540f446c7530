"""Effects of periods that are a group's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cbec_bayes.bayes.model.block import Block, make_block, time_labels
from cbec_bayes.bayes.model.terms.term import Choices, GroupTerm, Parameter
from cbec_bayes.bayes.moments.columns import Column, GroupColumns
from cbec_bayes.panel.design import Design


class GroupTimeEffect(GroupTerm):
    """omega_rt; where they are fixed they take the place of the effects of periods."""

    key = "group_time_effect"
    label = "effects of groups in periods"
    variables = ("group_time_effect",)
    parameter = Parameter("sigma_omega", "outcome")

    def blocks(self, design: Design, choices: Choices) -> tuple[Block, ...]:
        """Return an effect per group and period."""
        if choices[self.key] == "off" or design.group is None:
            return ()
        times = time_labels(design)
        return (
            make_block(
                "group_time_effect",
                np.ones((len(design.y), 1)),
                axes={"group": design.groups, "time": times},
                code=design.group * len(times) + design.time,
                scale="sigma_omega" if choices[self.key] == "pooled" else None,
                role="effect",
            ),
        )

    def mean(self, block: Block, effect: Any, data: Mapping[str, Any], design: Design) -> Any:
        """Return omega_rt."""
        return effect[data["group_code"], data["time_code"]]

    def column(self, block: Block, k: int, label: tuple[str, ...], of: GroupColumns) -> Column | None:
        """Return the indicator of a period in the group."""
        return of.period(k % len(of.moments.times)) if of.is_of(label[0]) else None
