"""What a fitted panel model says about groups: slopes, a new group, pooling, and effects.csv."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.bayes.model.family import PanelModel
from cbec_bayes.bayes.model.from_moments import two_way_slopes
from cbec_bayes.bayes.observations import points_of
from cbec_bayes.bayes.refit import Refit
from cbec_bayes.classical.regression import MANY, twfe
from cbec_bayes.estimands.summary import Drawn, Mixed, Quantity, effects_frame, pooling_factor_overall
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import GROUP_ALL, GROUP_NEW


@dataclass(frozen=True, slots=True)
class GroupSlopes:
    """Draws of the slopes of the exposure.

    Attributes
    ----------
    labels
        The R groups; empty for a panel without groups.
    groups
        beta + b_r, shape (S, R).
    common
        beta where the model has it, else the mean of the groups' slopes weighted by their units, shape (S,).
    average
        Mean over units of each unit's slope, its own deviation included, shape (S,).
    new
        Slope of a group not yet seen, shape (S,); None where nothing pools the groups.
    """

    labels: tuple[str, ...]
    groups: Array
    common: Array
    average: Array
    new: Array | None


def group_slopes(fit: PanelFit) -> GroupSlopes:
    """Collect the draws of a fit's slopes."""
    posterior = fit.tree["posterior"].dataset

    def draws(name: str) -> Array:
        values = np.asarray(posterior[name].to_numpy(), dtype=float)
        return values.reshape(-1, *values.shape[2:])

    return _slopes(fit.model, fit.design, draws)


def refitted_slopes(found: Refit) -> GroupSlopes:
    """Collect the draws of a refit's slopes."""
    return _slopes(found.blocks.model, found.blocks.design, lambda name: found.draws[name])


def _slopes(model: PanelModel, design: Design, draws: Callable[[str], Array]) -> GroupSlopes:
    sizes = units_per_group(design)
    weights = sizes / sizes.sum()
    if model.choice("group_slope") == "off":
        common = draws("slope")
        groups = np.repeat(common[:, None], len(design.groups), axis=1)
    else:
        groups = draws("group_total_slope")
        common = draws("slope") if model.choice("group_slope") == "pooled" else groups @ weights
    average = groups @ weights if len(design.groups) else common
    if model.choice("unit_slope") == "pooled":
        average = average + draws("mean_unit_slope")
    new = draws("new_group_slope") if model.choice("group_slope") == "pooled" else None
    return GroupSlopes(design.groups, groups, common, average, new)


def units_per_group(design: Design) -> Array:
    """Return the number of units of each group, shape (R,); one entry, all units, without groups."""
    return design.counts.group_units.astype(float)


AVERAGE = "average over units"
"""Name of the mean over units of each unit's slope."""


def slope_quantities(fit: PanelFit) -> dict[str, Quantity]:
    """Return the slopes of a fit by name: every group, ``(all)``, `AVERAGE`, and ``(new)`` where groups are pooled.

    Where the model was collapsed they are mixtures of normals given the scales, which are known far better than draws
    of the slopes themselves would be.
    """
    slopes = group_slopes(fit)
    names = (*slopes.labels, GROUP_ALL, AVERAGE)
    if fit.collapsed is None:
        draws = dict(zip(names, [*slopes.groups.T, slopes.common, slopes.average], strict=True))
        draws |= {} if slopes.new is None else {GROUP_NEW: slopes.new}
        return {name: Drawn(values, min_ess(fit)) for name, values in draws.items()}
    loadings = slope_loadings(fit)
    points = log_scales(fit, at_most=None)
    mean, variance = fit.collapsed.linear(points, loadings)
    found = {name: Mixed(mean[:, k], np.sqrt(variance[:, k]), min_ess(fit)) for k, name in enumerate(names)}
    if slopes.new is not None:
        k = names.index(GROUP_ALL)
        tau = fit.collapsed.scales(points)["tau"]
        found[GROUP_NEW] = Mixed(mean[:, k], np.sqrt(variance[:, k] + tau**2), min_ess(fit))
    return dict(found)


def min_ess(fit: PanelFit) -> float:
    """Return how many independent draws those of a fit are worth, at the least."""
    return min(fit.diagnostics.ess_bulk_min, fit.diagnostics.ess_tail_min, float(fit.diagnostics.draws))


def slope_loadings(fit: PanelFit) -> Array:
    """Return each slope as a sum of coefficients: shape (R + 2, p), for the groups, the common slope, the average."""
    model, design, blocks, collapsed = fit.model, fit.design, fit.blocks, fit.collapsed
    assert collapsed is not None
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
        average = weights @ found[:n_groups]
        found[-1] = average
        if model.choice("group_slope") == "fixed":
            found[-2] = average
    if model.choice("unit_slope") == "pooled":
        found[-1, collapsed.n_coefficients + collapsed.unit_means.index("mean_unit_slope")] = 1.0
    return found


def pooling_factors(fit: PanelFit) -> Array:
    """Return each group's pooling factor, shape (R,): 0 for its own estimate, 1 for the common slope.

    It is E(Var(b_r | y, beta, scales) / tau^2): given the scales and the common slope b_r is normal, and the part of
    its prior variance that the data leave is the weight of the common slope (Gelman and Pardoe, 2006, per group). 0
    where slopes are fixed, 1 where there are no deviations, NaN for a model that was not collapsed. What beta is unsure
    by is left out: under a flat prior it is tau^2 / R at the least, however well R groups are known.
    """
    n_groups = len(fit.design.groups)
    if fit.model.choice("group_slope") != "pooled":
        return np.full(n_groups, 0.0 if fit.model.choice("group_slope") == "fixed" else 1.0)
    if fit.collapsed is None:
        return np.full(n_groups, np.nan)
    points = log_scales(fit)
    unit, at = np.eye(fit.collapsed.n_conditional), fit.blocks.positions
    own, slope = unit[at["group_slope"]], unit[at["slope"]]
    parts = []
    for conditional in fit.collapsed.conditionals(points):
        beta = conditional.linear(slope)[1]
        parts.append(conditional.linear(own)[1] - conditional.covariance(own, slope[0]) ** 2 / beta)
    variance = np.concatenate(parts)
    prior = fit.collapsed.scales(points)["tau"][:, None] ** 2
    return np.asarray(np.divide(variance, prior, out=np.ones_like(variance), where=prior > 0).mean(axis=0))


def log_scales(fit: PanelFit, at_most: int | None = 1_000) -> Array:
    """Return draws of the log scales of a collapsed fit, thinned to about `at_most`, shape (S, k)."""
    assert fit.collapsed is not None
    if not fit.collapsed.names:  # every scale is held by its prior
        return np.zeros((1, 0))
    points = points_of(fit.collapsed, fit.tree["posterior"].dataset)
    return points if at_most is None else points[:: max(1, len(points) // at_most)]


def effects(fit: PanelFit, ssc: str = "reghdfe") -> pd.DataFrame:
    """Return effects.csv of a fit: one row per group, one for the common slope, one for a group not yet seen.

    Parameters
    ----------
    fit
        The fitted model.
    ssc
        Convention of the clustered standard errors that stand beside.
    """
    design = fit.design
    slopes, quantities = group_slopes(fit), slope_quantities(fit)
    counts = design.counts
    factors = pooling_factors(fit)
    complete = _regression(fit, None, ssc)[0]
    rows: list[dict[str, object]] = []
    for r, label in enumerate(slopes.labels):
        own = _regression(fit, label, ssc)
        rows.append(
            {
                "group": label,
                "n_units": int(counts.group_units[r]),
                "n_obs": int(counts.group_obs[r]),
                "no_pooling": own[0],
                "no_pooling_se": own[1],
                "complete_pooling": complete,
                **asdict(quantities[label].summary()),
                "pooling_factor": float(factors[r]),
                "origin": str(design.origin),
            }
        )
    several = fit.model.choice("group_slope") == "pooled"
    overall = pooling_factor_overall(slopes.groups - slopes.common[:, None]) if several else math.nan
    for label in (GROUP_ALL, GROUP_NEW):
        whole = label == GROUP_ALL
        rows.append(
            {
                "group": label,
                "n_units": counts.n_units if whole else None,
                "n_obs": counts.n_obs if whole else None,
                "no_pooling_se": None,
                "complete_pooling": complete,
                **(asdict(quantities[label].summary()) if label in quantities else {}),
                "pooling_factor": overall if whole else math.nan,
                "origin": str(design.origin),
            }
        )
    return effects_frame(rows)


def _regression(fit: PanelFit, group: str | None, ssc: str) -> tuple[float | None, float | None]:
    """Return slope and clustered standard error of a group's regression, or of all rows'; None where there is none.

    Moments give the slope; scores of units, which clustered errors are made of, are not among them.
    """
    design, gathered = fit.design, fit.blocks.gathered
    if gathered is not None:
        slopes = two_way_slopes(gathered, group)
        return (None if slopes is None else float(slopes[0])), None
    try:
        part = design if group is None else design.of_group(group)
        found = twfe(part, ssc=ssc, directly=group is not None and len(design.groups) > MANY)
    except InputError:
        if group is None:
            raise
        return None, None
    return float(found.estimate[0]), float(found.se[0])
