"""Slopes of the exposures beside the first: in common, and deviations of groups with a scale for each exposure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cbec_bayes.bayes.model.block import Block, make_block
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.model.terms.term import Choices, NewData, Parameter, Term
from cbec_bayes.panel.design import Design

EXPOSURE_SLOPE = "exposure_slope"
"""Key of the term, the variable of the common slopes, and what a model file may state a prior of."""

TAU_BESIDE = "tau_beside"
"""Symbol of the standard deviations of the deviations, one for each exposure; their prior is that of tau."""

DIMENSION = "exposure_beside"
"""Dimension of the variables: the exposures beside the first."""

_TOTAL, _DEVIATION = "group_total_exposure_slope", "group_exposure_slope"


class ExposureSlope(Term):
    """For each further exposure what `Slope` is for the first, under the same choice of the member."""

    key = EXPOSURE_SLOPE
    label = "slopes of the exposures beside the first"
    variables = (EXPOSURE_SLOPE, _TOTAL)
    parameter = Parameter(EXPOSURE_SLOPE, "exposure", is_scale=False, otherwise=Prior("flat", {}))

    def blocks(self, design: Design, choices: Choices) -> tuple[Block, ...]:
        """Return one coefficient per exposure, or one per exposure and group."""
        further, x = design.exposures[1:], design.x[:, 1 : len(design.exposures)]
        if not further:
            return ()
        if choices["group_slope"] == "fixed":
            axes = {DIMENSION: further, "group": design.groups}
            return (make_block(_TOTAL, x, axes=axes, code=design.group),)
        return (make_block(EXPOSURE_SLOPE, x, axes={DIMENSION: further}),)

    def mean(self, block: Block, effect: Any, data: Mapping[str, Any], design: Design) -> Any:
        """Return the sum of exposures times slopes, or times the group's own."""
        if block.name == EXPOSURE_SLOPE:
            return data["further_exposures"] @ effect
        return (data["further_exposures"] * effect.T[data["group_code"]]).sum(axis=1)

    def data(self, block: Block) -> NewData:
        """Return the exposures beside the first."""
        return {"further_exposures": (block.regressors, ("obs", DIMENSION))}


class ExposureDeviation(Term):
    """For each further exposure what `GroupSlope` is for the first: a variable and a scale per exposure."""

    key = "exposure_deviation"
    label = "deviations of groups in the slopes of the exposures beside the first"
    variables = (_DEVIATION,)
    parameter = Parameter(TAU_BESIDE, "exposure")

    def blocks(self, design: Design, choices: Choices) -> tuple[Block, ...]:
        """Return a block of deviations per exposure."""
        if choices["group_slope"] != "pooled":
            return ()
        return tuple(
            make_block(
                deviation_of(name),
                design.x[:, k : k + 1],
                axes={"group": design.groups},
                code=design.group,
                scale=scale_of(name),
            )
            for k, name in enumerate(design.exposures[1:], 1)
        )

    def mean(self, block: Block, effect: Any, data: Mapping[str, Any], design: Design) -> Any:
        """Return what groups add to the slope of an exposure, times this."""
        own = next(k for k, name in enumerate(design.exposures[1:]) if block.name == deviation_of(name))
        return effect[data["group_code"]] * data["further_exposures"][:, own]


def deviation_of(exposure: str) -> str:
    """Return the variable of the groups' deviations in the slope of a further exposure."""
    return f"{_DEVIATION}[{exposure}]"


def scale_of(exposure: str) -> str:
    """Return the symbol of their standard deviation."""
    return f"{TAU_BESIDE}[{exposure}]"
