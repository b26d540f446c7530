"""Slopes of groups given draws of the scales, of which the slopes are mixtures of normals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.bayes.likelihood.collapsed import Collapsed
from cbec_bayes.bayes.model.blocks import Blocks
from cbec_bayes.bayes.observations import points_of
from cbec_bayes.estimands.loadings import slope_loadings, unit_average_loadings
from cbec_bayes.estimands.summary import Mixed
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.labels import GROUP_ALL, GROUP_AVERAGE, GROUP_NEW


@dataclass(frozen=True, slots=True)
class MixedSlopes:
    """Slopes of a model that was collapsed, given the scales.

    Attributes
    ----------
    slopes
        As `slope_quantities` has them.
    averages
        By group, of the average over its units that are there; empty without groups.
    differences
        By two groups, the slope of the first less that of the second; empty where these were not asked for.
    """

    slopes: Mapping[str, Mixed]
    averages: Mapping[str, Mixed]
    differences: Mapping[tuple[str, str], Mixed]


def mixed_slopes(
    blocks: Blocks,
    collapsed: Collapsed,
    points: Array,
    ess: float,
    *,
    average: bool = True,
    differences: bool = False,
) -> MixedSlopes:
    """Return the slopes of a model that was collapsed, and their averages over units.

    Parameters
    ----------
    blocks, collapsed
        Model and design; the density.
    points
        Draws of the scales, shape (S, k).
    ess
        Effective size: the number of independent draws that would have the same Monte Carlo error.
    average
        Whether averages over units are asked for, which may take longer than all others.
    differences
        Whether differences of every two groups are asked for.
    """
    groups = blocks.design.groups
    names: tuple[str, ...] = (*groups, GROUP_ALL)
    loadings, n_groups = slope_loadings(blocks, collapsed), len(groups)
    pairs = apart(loadings, n_groups) if differences else loadings[:0]
    if average:
        # Without slopes of units the average over those of a group is the slope of the group.
        own = (
            unit_average_loadings(blocks, collapsed) if blocks.model.choice("unit_slope") == "pooled" else loadings[:0]
        )
        names = (GROUP_AVERAGE, *names)
        asked = np.vstack([loadings[-1], loadings[:-1], own, pairs])
        of_groups = range(len(names), len(names) + n_groups) if len(own) else range(1, 1 + n_groups)
    else:
        asked = np.vstack([loadings[:-1], pairs])
        of_groups = range(0)
    mean, variance = collapsed.linear(points, asked)
    every = [Mixed(mean[:, k], np.sqrt(variance[:, k]), ess) for k in range(len(asked))]
    found = dict(zip(names, every, strict=False))
    if blocks.model.choice("group_slope") == "pooled":
        k = names.index(GROUP_ALL)
        tau = collapsed.scales(points)["tau"]
        found[GROUP_NEW] = Mixed(mean[:, k], np.sqrt(variance[:, k] + tau**2), ess)
    return MixedSlopes(
        slopes=found,
        averages={name: every[k] for name, k in zip(groups, of_groups, strict=False)},
        differences=dict(zip(combinations(groups, 2), every[len(every) - len(pairs) :], strict=False)),
    )


def apart(loadings: Array, n_groups: int) -> Array:
    """Return the loadings of the differences of every two groups, from those of the groups, which come first."""
    first, second = np.triu_indices(n_groups, 1)
    return np.asarray(loadings[first] - loadings[second])


def min_ess(fit: PanelFit) -> float:
    """Return the effective size of the draws of a fit: the smallest one, where it has several."""
    return min(fit.diagnostics.ess_bulk_min, fit.diagnostics.ess_tail_min, float(fit.diagnostics.draws))


def log_scales(fit: PanelFit, at_most: int | None = 1_000) -> Array:
    """Return draws of the log scales of a collapsed fit, thinned to about `at_most`, shape (S, k)."""
    assert fit.collapsed is not None
    if not fit.collapsed.names:  # every scale is held by its prior
        return np.zeros((1, 0))
    points = points_of(fit.collapsed, fit.tree["posterior"].dataset)
    return points if at_most is None else points[:: max(1, len(points) // at_most)]
