"""Effects of periods, with the period means of the regressors that they are about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cbec_bayes.bayes.model.block import Block, make_block, time_labels
from cbec_bayes.bayes.model.terms.mundlak import mundlak, period_means, regressor_of
from cbec_bayes.bayes.model.terms.term import Choices, EffectTerm, Parameter
from cbec_bayes.bayes.moments.columns import Column, GroupColumns
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import PeriodEffects


class TimeEffect(EffectTerm):
    """A level for each period; none where flat effects of groups and periods span it."""

    key = "time_effect"
    label = "effects of periods"
    variables = ("mundlak_time", "time_effect")
    parameter = Parameter("sigma_lambda", "level")

    def blocks(self, design: Design, choices: Choices) -> tuple[Block, ...]:
        """Return the Mundlak terms and the effects."""
        found: list[Block] = []
        if design.period_effects is PeriodEffects.NONE:
            return ()
        if choices[self.key] == "correlated":
            found.append(mundlak(design, choices, "time", design.time))
        if choices["group_time_effect"] != "fixed":
            scale = None if choices[self.key] == "fixed" else "sigma_lambda"
            axes, ones = {"time": time_labels(design)}, np.ones((len(design.y), 1))
            found.append(make_block("time_effect", ones, axes=axes, code=design.time, scale=scale, role="effect"))
        return tuple(found)

    def mean(self, block: Block, effect: Any, data: Mapping[str, Any], design: Design) -> Any:
        """Return lambda_t, or the Mundlak terms."""
        if block.name == "mundlak_time":
            return data["mundlak_time_means"] @ effect
        return effect[data["time_code"]]

    def data(self, block: Block) -> dict[str, Any]:
        """Return the period means."""
        if block.name != "mundlak_time":
            return {}
        return {"mundlak_time_means": (block.regressors, ("obs", *block.dims))}

    def column(self, block: Block, k: int, label: tuple[str, ...], of: GroupColumns) -> Column | None:
        """Return the indicator of a period, or period means."""
        if block.name == "time_effect":
            return of.period(k)
        return of.by_period(period_means(of.moments, *regressor_of(of.moments, label[0])))
