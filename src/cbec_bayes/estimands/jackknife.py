"""Standard deviations of slopes that hold where a model's errors are wrong: the infinitesimal jackknife over units."""

from __future__ import annotations

import math

import numpy as np

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.bayes.likelihood.collapsed import Collapsed
from cbec_bayes.bayes.likelihood.unit_influence import unit_influence
from cbec_bayes.bayes.model.blocks import Blocks
from cbec_bayes.panel.within import Array

DRAWS = 1_000
"""Draws of the scales that covariances are taken over, where the panel is not too large for so many."""

FEWEST = 100
"""Draws of the scales without which covariances over them say too little."""

MAX_WORK = 1e10
"""Rows times squared coefficients times draws that are paid for: a few seconds."""

MAX_NUMBERS = 2e7
"""Rows times coefficients, squared rows of units, and units times slopes times draws, that are laid out at once."""


def jackknife_sds(fit: PanelFit, points: Array | None, loadings: Array) -> Array:
    """Return standard deviations of posterior means over panels with other units, shape (m,).

    Parameters
    ----------
    fit
        The fitted model.
    points
        Draws of the log scales, shape (S, k); None for a model that was not collapsed.
    loadings
        Loadings of m slopes; see `cbec_bayes.estimands.groups.slope_loadings`.

    Returns
    -------
    ndarray
        NaN where they are not known: for models that are not collapsed, moments without rows, panels that are too
        large, and one unit.

    Notes
    -----
    Units are taken for independent draws. The posterior mean then has the variance N / (N - 1) sum_i (I_i - mean I)^2,
    I_i its derivative in the weight of a unit's density (Giordano and Broderick, 2023), whatever the errors within a
    unit are like. In a regression it is the variance clustered by unit. As this it is too small, and itself hardly
    known, with fewer than about 20 units, or where few of them tell the slope.
    """
    if fit.collapsed is None or points is None:
        return np.full(len(loadings), math.nan)
    return sds_over_units(fit.blocks, fit.collapsed, points, loadings)


def sds_over_units(blocks: Blocks, collapsed: Collapsed, points: Array, loadings: Array) -> Array:
    """Return what `jackknife_sds` does for a collapsed density, shape (m,); NaN where it is not known.

    Parameters
    ----------
    blocks, collapsed
        Columns with their rows, and the density.
    points, loadings
        As in `jackknife_sds`.
    """
    design = blocks.design
    unknown = np.full(len(loadings), math.nan)
    n_units = len(design.units)
    if blocks.gathered is not None or n_units < 2:
        return unknown
    p = blocks.n_coefficients
    dearest = min(MAX_WORK / (design.n_obs * (p + 1.0) ** 2), MAX_NUMBERS / (n_units * len(loadings)))
    asked = min(DRAWS, len(points), int(dearest))
    of_units = float((np.bincount(design.unit).astype(float) ** 2).sum())
    if asked < min(FEWEST, len(points)) or max(design.n_obs * (p + 1.0), of_units) > MAX_NUMBERS:
        return unknown
    chosen = points[np.linspace(0, len(points) - 1, asked).astype(np.intp)]
    found = unit_influence(blocks, collapsed, chosen, loadings)
    about_mean = found.derivative - found.derivative.mean(axis=0)
    # Noise of the draws adds to a sum of squares on average what its own variances add up to.
    squares = np.maximum((about_mean**2).sum(axis=0) - found.error, 0.0)
    return np.asarray(np.sqrt(squares * n_units / (n_units - 1)))
