"""Slopes of groups, of their units and in common, as sums of the coefficients of a model."""

from __future__ import annotations

import numpy as np

from cbec_bayes.bayes.likelihood.collapsed import Collapsed
from cbec_bayes.bayes.likelihood.residual_covariance import mean_names
from cbec_bayes.bayes.model.blocks import Blocks
from cbec_bayes.bayes.model.terms.covariate_slope import COVARIATE_SLOPE
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array


def units_per_group(design: Design) -> Array:
    """Return the number of units of each group, shape (R,); one entry, all units, without groups."""
    return design.counts.group_units.astype(float)


def slope_loadings(blocks: Blocks, collapsed: Collapsed) -> Array:
    """Return each slope as a sum of coefficients: shape (R + 2, p), for the groups, the common slope, the average."""
    model, design = blocks.model, blocks.design
    n_groups = len(design.groups)
    found = np.zeros((n_groups + 2, collapsed.n_conditional))
    sizes = units_per_group(design)
    weights = sizes / sizes.sum()
    at = blocks.positions
    if model.choice("group_slope") != "fixed":
        found[:, at["slope"]] = 1.0
    if model.choice("group_slope") != "off":
        name = "group_slope" if model.choice("group_slope") == "pooled" else "group_total_slope"
        own = next(block for block in blocks.every if block.name == name).kept
        found[list(own), np.arange(at[name].start, at[name].stop)] = 1.0
        if blocks.characteristics is not None:
            found[:n_groups, at[COVARIATE_SLOPE]] = blocks.characteristics
        average = weights @ found[:n_groups]
        found[-1] = average
        if model.choice("group_slope") == "fixed":
            found[-2] = average
    found[-1] += weights @ _unit_deviation_loadings(blocks, collapsed)
    return found


def unit_average_loadings(blocks: Blocks, collapsed: Collapsed) -> Array:
    """Return the average slope of the units of each group as a sum of coefficients, shape (R, p)."""
    n_groups = len(blocks.design.groups)
    own = _unit_deviation_loadings(blocks, collapsed)
    return np.asarray(slope_loadings(blocks, collapsed)[:n_groups] + own[:n_groups])


def _unit_deviation_loadings(blocks: Blocks, collapsed: Collapsed) -> Array:
    """Return the mean deviation of the units of each group, of all without groups, as a sum of coefficients, (R, p)."""
    groups = blocks.design.groups
    found = np.zeros((max(1, len(groups)), collapsed.n_conditional))
    if blocks.model.choice("unit_slope") == "pooled":
        for r, name in enumerate(mean_names(["unit_slope"], groups)):
            found[r, collapsed.n_coefficients + collapsed.unit_means.index(name)] = 1.0
    return found
