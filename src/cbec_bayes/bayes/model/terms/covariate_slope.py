"""How the mean of the groups' slopes changes with characteristics of the groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cbec_bayes.bayes.model.block import Block, make_block
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.bayes.model.terms.term import Choices, NewData, Parameter, Term
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.spread import COLLINEAR
from cbec_bayes.panel.within import means_by

COVARIATE_SLOPE = "covariate_slope"
"""Key of the term, its variable in the posterior, and what model files state its prior of."""

DIMENSION = "covariate"
"""Dimension of the variable: the characteristics."""


class CovariateSlope(Term):
    """delta: the mean of a group's slope is beta + delta'z_r, with z_r in standard deviations from the mean of groups.

    It is there where slopes of groups are pooled and the design has characteristics of groups.
    """

    key = COVARIATE_SLOPE
    label = "changes of the groups' slopes with characteristics of groups"
    variables = (COVARIATE_SLOPE,)
    parameter = Parameter(COVARIATE_SLOPE, "slope", is_scale=False, otherwise=Prior("normal", {"mean": 0.0, "sd": 0.5}))

    def blocks(self, design: Design, choices: Choices) -> tuple[Block, ...]:
        """Return one coefficient per characteristic: of the exposure times the characteristic of the row's group."""
        names = told_characteristics(design) if choices["group_slope"] == "pooled" else ()
        if not names or design.group is None or design.characteristics is None:
            return ()
        of_row = design.characteristics.standardised(design.groups, names)[design.group]
        return (make_block(COVARIATE_SLOPE, design.x[:, :1] * of_row, axes={DIMENSION: names}),)

    def mean(self, block: Block, effect: Any, data: Mapping[str, Any], design: Design) -> Any:
        """Return d z'delta."""
        return data["exposure_by_covariate"] @ effect

    def data(self, block: Block) -> NewData:
        """Return the exposure times each characteristic."""
        return {"exposure_by_covariate": (block.regressors, ("obs", DIMENSION))}


def told_characteristics(design: Design) -> tuple[str, ...]:
    """Return the characteristics that change with the slopes of these rows' groups, in order.

    A part of a panel may have groups that do not differ in one, or no more than in those before it.
    """
    if design.characteristics is None or design.group is None or len(design.groups) < 2:
        return ()
    d = design.x[:, :1]
    moves = np.abs(d - means_by(design.unit, d)[design.unit])[:, 0] > COLLINEAR * np.abs(d).max()
    there = np.bincount(design.group[moves], minlength=len(design.groups)) > 0
    groups = [label for label, is_there in zip(design.groups, there, strict=True) if is_there]
    kept: list[str] = []
    columns = np.ones((len(groups), 1))
    for name in design.characteristics.names:
        more = np.column_stack([columns, design.characteristics.standardised(groups, [name])])
        if np.linalg.matrix_rank(more, tol=COLLINEAR * np.sqrt(len(groups))) == more.shape[1]:
            kept.append(name)
            columns = more
    return tuple(kept)
