"""Which coefficients are of single groups, and whether to integrate them out group by group."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cbec_bayes.bayes.likelihood.normal_equations import Coefficients
from cbec_bayes.bayes.model.blocks import Blocks
from cbec_bayes.panel.design import Design

type Owned = tuple[tuple[NDArray[np.intp], tuple[str, ...]], ...]
"""Positions of the coefficients of each group's own, and the names of the scales that pool them."""


def coefficients_by_group(blocks: Blocks, every: Coefficients) -> tuple[Owned, NDArray[np.intp], Coefficients]:
    """Return the coefficients of each group's own, the positions of those in common, and these.

    There are none of any group where it would take as long to integrate these out first; see `is_mostly_of_groups`.
    """
    of = _of_groups(blocks) if is_mostly_of_groups(blocks) else {}
    names = {int(k): name for name, at in every.pooled.items() for k in at}
    shared = np.array([k for k in range(blocks.n_coefficients) if k not in of], dtype=np.intp)
    owned = []
    for r in range(len(blocks.design.groups) if of else 0):
        own = np.array([k for k, group in of.items() if group == r], dtype=np.intp)
        owned.append((own, tuple(names[int(k)] for k in own)))
    common = Coefficients(
        n_flat=every.n_flat,
        location=every.location[:, shared],
        pooled={
            name: np.searchsorted(shared, at) for name, at in every.pooled.items() if not np.isin(at, list(of)).any()
        },
        transform=every.transform[np.ix_(shared, shared)],
        log_volume=every.log_volume,
    )
    return tuple(owned), shared, common


def _of_groups(blocks: Blocks) -> dict[int, int]:
    """Return the group of each coefficient, by position, that is pooled and of a single group with rows."""
    if blocks.design.group is None:
        return {}
    found: dict[int, int] = {}
    positions, codes = blocks.positions, {label: r for r, label in enumerate(blocks.design.groups)}
    for block in blocks.pooled:
        if "group" not in block.dims:
            continue
        axis = block.dims.index("group")  # labels of the block: a group that is left out has no rows any more
        of = np.unravel_index(np.array(block.kept), block.shape)[axis]
        at = range(*positions[block.name].indices(blocks.n_coefficients))
        labelled = ((k, block.labels[axis][r]) for k, r in zip(at, of, strict=True))
        found |= {k: codes[label] for k, label in labelled if label in codes}
    return found


def is_mostly_of_groups(blocks: Blocks) -> bool:
    """Whether integrating out what single groups have of their own, group by group, takes less than half the work.

    Not where levels of units are random: columns then keep their own levels, and what is left of cross-products once a
    group's own are taken out has half their digits (the log density was seen to be off in the ninth).
    """
    if blocks.design.group is None or not is_nested(blocks.design):
        return False
    if blocks.unit_scale is not None:
        return False
    of, p = _of_groups(blocks), blocks.n_coefficients
    sizes = np.bincount(list(of.values()), minlength=len(blocks.design.groups))
    return bool(len(of) > 0 and sizes.min() > 0 and 2 * np.sum((p - len(of) + sizes) ** 3.0) < p**3)


def is_nested(design: Design) -> bool:
    """Whether every unit is of one group."""
    assert design.group is not None
    first = design.group[np.unique(design.unit, return_index=True)[1]]
    return bool((first[design.unit] == design.group).all())
