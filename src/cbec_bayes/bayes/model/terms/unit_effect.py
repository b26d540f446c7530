"""Effects of units, with the intercept and the unit means of the regressors that they are about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cbec_bayes.bayes.model.block import Block, make_block
from cbec_bayes.bayes.model.terms.mundlak import mundlak, regressor_of
from cbec_bayes.bayes.model.terms.term import Choices, EffectTerm, Parameter
from cbec_bayes.bayes.moments.columns import Column, GroupColumns
from cbec_bayes.panel.design import Design


class UnitEffect(EffectTerm):
    """A level for each unit, which every engine treats in its own way: `blocks` has only what it is about."""

    key = "unit_effect"
    label = "effects of units"
    variables = ("intercept", "mundlak_unit", "unit_effect")
    parameter = Parameter("sigma_mu", "level")

    def blocks(self, design: Design, choices: Choices) -> tuple[Block, ...]:
        """Return the intercept and the Mundlak terms."""
        if choices[self.key] == "fixed":
            return ()
        intercept = make_block("intercept", np.ones((len(design.y), 1)), role="effect")
        if choices[self.key] == "random":
            return (intercept,)
        return intercept, mundlak(design, choices, "unit", design.unit)

    def mean(self, block: Block, effect: Any, data: Mapping[str, Any], design: Design) -> Any:
        """Return alpha, the Mundlak terms, or mu_i."""
        match block.name:
            case "intercept":
                return effect
            case "mundlak_unit":
                return data["mundlak_unit_means"] @ effect
        return effect[data["unit_code"]]

    def data(self, block: Block) -> dict[str, Any]:
        """Return the unit means."""
        if block.name != "mundlak_unit":
            return {}
        return {"mundlak_unit_means": (block.regressors, ("obs", *block.dims))}

    def column(self, block: Block, k: int, label: tuple[str, ...], of: GroupColumns) -> Column | None:
        """Return a column of ones, or unit means."""
        if block.name == "intercept":
            return of.constant()
        term, group = regressor_of(of.moments, label[0])
        if group is not None and group != of.group:
            return None
        return of.regressor(term, is_unit_mean=True, is_common=group is None)


def unit_effects(design: Design, choices: Choices) -> Block:
    """Return the effects of units as a block, flat or pooled, for engines that do not integrate them out."""
    scale = None if choices["unit_effect"] == "fixed" else "sigma_mu"
    ones = np.ones((design.n_obs, 1))
    return make_block("unit_effect", ones, axes={"unit": design.units}, code=design.unit, scale=scale, role="effect")
