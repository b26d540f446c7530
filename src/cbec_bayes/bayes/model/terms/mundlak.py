"""Mundlak terms: means of the regressors, as they enter, over units or periods."""

from __future__ import annotations

import numpy as np

from cbec_bayes.bayes.model.block import Block, make_block
from cbec_bayes.bayes.model.terms.term import Choices
from cbec_bayes.bayes.moments.panel_moments import PanelMoments
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array, Codes, means_by


def mundlak(design: Design, choices: Choices, of: str, codes: Codes) -> Block:
    """Return the means of every regressor over codes as a block, interacted ones where slopes differ by group.

    Without slopes by group they are the means of the plain regressors (MODEL.md section 2). Of rows that have weights
    they are weighted, as what a level takes of a column is.
    """
    names: list[str] = []
    columns = []
    for k, term in enumerate(design.terms):
        own = design.x[:, k : k + 1]
        if (
            choices["group_slope" if term in design.exposures else "group_control_slope"] == "off"
            or design.group is None
        ):
            names.append(term)
        else:
            names.extend(f"{term}[{group}]" for group in design.groups)
            own = own * (design.group[:, None] == np.arange(len(design.groups)))
        columns.append(means_by(codes, own, design.weight)[codes])
    name = f"mundlak_{of}"
    return make_block(name, np.column_stack(columns), axes={f"{name}_term": tuple(names)}, role="mean")


def regressor_of(found: PanelMoments, label: str) -> tuple[int, int | None]:
    """Return the regressor that a Mundlak term is the mean of, and its group: ``x[east]`` is x in the east."""
    if label in found.terms:
        return found.terms.index(label), None
    term, _, group = label.removesuffix("]").rpartition("[")
    return found.terms.index(term), found.groups.index(group)


def period_means(found: PanelMoments, term: int, group: int | None) -> Array:
    """Return the mean over the rows of each period of a regressor, or of one that is zero outside a group, (T,)."""
    groups = slice(None) if group is None else slice(group, group + 1)
    counts = found.period_counts[groups].sum(axis=0)
    sums = found.period_sums[groups, :, 1 + term].sum(axis=0) + counts * found.centre[1 + term]
    return np.asarray(sums / found.period_counts.sum(axis=0))
