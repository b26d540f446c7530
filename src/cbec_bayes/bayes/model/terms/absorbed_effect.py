"""Effects of other columns than units and periods that a regression is asked for with: flat, in every member."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cbec_bayes.bayes.model.block import Block, make_block
from cbec_bayes.bayes.model.terms.term import Choices, Term
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.levels import MOST_ABSORBED, Levels


class AbsorbedEffect(Term):
    """A level for each industry, or for each state in each period; a member without pooling has them by group."""

    key = "absorbed_effect"
    label = "further effects"
    variables = tuple(f"absorbed_effect_{k + 1}" for k in range(MOST_ABSORBED))

    def blocks(self, design: Design, choices: Choices) -> tuple[Block, ...]:
        """Return a block for every set."""
        alone = choices["group_control_slope"] == "fixed" and choices["group_time_effect"] == "fixed"
        found = []
        for name, own in zip(self.variables, design.absorbed, strict=False):
            levels = of_groups(design, own) if alone and design.group is not None else own
            axes = {name.replace("effect", "level"): levels.labels}
            ones = np.ones((len(design.y), 1))
            found.append(make_block(name, ones, axes=axes, code=levels.codes, role="effect"))
        return tuple(found)

    def mean(self, block: Block, effect: Any, data: Mapping[str, Any], design: Design) -> Any:
        """Return the level of every row."""
        return effect[data[f"{block.name}_code"]]

    def data(self, block: Block) -> dict[str, Any]:
        """Return the codes of the levels."""
        return {f"{block.name}_code": (block.code, ("obs",))}


def of_groups(design: Design, levels: Levels) -> Levels:
    """Return the levels of each group by itself: regressions of single groups have effects of their own."""
    assert design.group is not None
    present, codes = np.unique(levels.codes * len(design.groups) + design.group, return_inverse=True)
    labels = (f"{levels.labels[c // len(design.groups)]}, {design.groups[c % len(design.groups)]}" for c in present)
    return Levels(levels.name, codes.astype(np.intp), tuple(labels))
