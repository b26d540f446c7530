"""What a fitted panel model says about groups: slopes, a new group, pooling, and effects.csv."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.bayes.model.family import PanelModel
from cbec_bayes.bayes.model.from_moments import two_way_slopes
from cbec_bayes.bayes.model.terms.covariate_slope import COVARIATE_SLOPE
from cbec_bayes.bayes.refit import Refit
from cbec_bayes.classical.regression import twfe
from cbec_bayes.estimands.jackknife import jackknife_sds
from cbec_bayes.estimands.loadings import slope_loadings, units_per_group
from cbec_bayes.estimands.mixed_slopes import MixedSlopes, apart, log_scales, min_ess, mixed_slopes
from cbec_bayes.estimands.summary import (
    UNIT_EFFECT_COLUMNS,
    Drawn,
    Mixed,
    Quantity,
    effects_frame,
    pooling_factor_overall,
    summarise_draws,
)
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import CI_PROB, GROUP_ALL, GROUP_AVERAGE, GROUP_NEW


@dataclass(frozen=True, slots=True, kw_only=True)
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
    of_units
        Mean over the units of each group of their slopes, their own deviations included, shape (S, R).
    average
        Mean over all units of the same, shape (S,).
    new
        Slope of a group not yet seen, shape (S,); None where nothing pools the groups.
    """

    labels: tuple[str, ...]
    groups: Array
    common: Array
    of_units: Array
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
    own = model.choice("unit_slope") == "pooled"
    of_units = groups + draws("group_mean_unit_slope") if own and len(design.groups) else groups
    average = of_units @ weights if len(design.groups) else common + (draws("mean_unit_slope") if own else 0.0)
    new = draws("new_group_slope") if model.choice("group_slope") == "pooled" else None
    return GroupSlopes(labels=design.groups, groups=groups, common=common, of_units=of_units, average=average, new=new)


def slope_quantities(fit: PanelFit) -> dict[str, Quantity]:
    """Return the slopes of a fit by name: ``(average)``, every group, ``(all)``, and ``(new)`` where groups are pooled.

    ``(average)`` is the mean over the units of the panel of each unit's slope, its own deviation included. Where the
    model was collapsed slopes are mixtures of normals given the scales, which are known far better than draws of the
    slopes themselves would be.
    """
    slopes = group_slopes(fit)
    names = (GROUP_AVERAGE, *slopes.labels, GROUP_ALL)
    if fit.collapsed is None:
        draws = dict(zip(names, [slopes.average, *slopes.groups.T, slopes.common], strict=True))
        draws |= {} if slopes.new is None else {GROUP_NEW: slopes.new}
        return {name: Drawn(values, min_ess(fit)) for name, values in draws.items()}
    return dict(_mixed_of(fit).slopes)


MAX_AT_ONCE = 12
"""Groups up to which differences of every two are found on the way, with the slopes: 66 of them."""

_MIXED: WeakKeyDictionary[PanelFit, MixedSlopes] = WeakKeyDictionary()
"""Slopes of the fits that are there: several tables are made of them, and they take a tenth of the time of a fit."""


def _mixed_of(fit: PanelFit) -> MixedSlopes:
    assert fit.collapsed is not None
    if fit not in _MIXED:
        few = len(fit.design.groups) <= MAX_AT_ONCE
        points = log_scales(fit, at_most=None)
        _MIXED[fit] = mixed_slopes(fit.blocks, fit.collapsed, points, min_ess(fit), differences=few)
    return _MIXED[fit]


def slope_differences(fit: PanelFit) -> dict[tuple[str, str], Quantity]:
    """Return, by two groups, the slope of the first less that of the second, for every pair in the order of groups."""
    labels = fit.design.groups
    pairs = list(combinations(labels, 2))
    if fit.collapsed is None:
        draws = dict(zip(labels, group_slopes(fit).groups.T, strict=True))
        return {(one, other): Drawn(draws[one] - draws[other], min_ess(fit)) for one, other in pairs}
    if len(labels) <= MAX_AT_ONCE:
        return dict(_mixed_of(fit).differences)
    asked = apart(slope_loadings(fit.blocks, fit.collapsed), len(labels))
    mean, variance = fit.collapsed.linear(log_scales(fit, at_most=None), asked)
    return {pair: Mixed(mean[:, k], np.sqrt(variance[:, k]), min_ess(fit)) for k, pair in enumerate(pairs)}


def unit_averages(fit: PanelFit) -> dict[str, Quantity]:
    """Return by group the average slope of its units that are there; that of the group if units have none of their own.

    A group's slope is that of units in general; this is the mean of finitely many of them.
    """
    slopes = group_slopes(fit)
    if fit.collapsed is None:
        return {name: Drawn(draws, min_ess(fit)) for name, draws in zip(slopes.labels, slopes.of_units.T, strict=True)}
    return dict(_mixed_of(fit).averages)


def pooling_factors(fit: PanelFit) -> Array:
    """Return each group's pooling factor, shape (R,): 0 for its own estimate, 1 for the common slope.

    It is E(Var(b_r | y, beta, scales) / tau^2): given the scales and the common slope b_r is normal, and the part of
    its prior variance that the data leave is the weight of the common slope (Gelman and Pardoe, 2006, per group). 0
    where slopes are fixed, 1 where there are no deviations, NaN for a model that was not collapsed. What beta is unsure
    by is left out: under a flat prior it is tau^2 / R at the least, however well R groups are known. The same holds of
    delta, where slopes are regressed on characteristics of groups.
    """
    n_groups = len(fit.design.groups)
    if fit.model.choice("group_slope") != "pooled":
        return np.full(n_groups, 0.0 if fit.model.choice("group_slope") == "fixed" else 1.0)
    if fit.collapsed is None:
        return np.full(n_groups, np.nan)
    unit, at = np.eye(fit.collapsed.n_coefficients), fit.blocks.positions
    common = unit[at["slope"]]
    if fit.blocks.characteristics is not None:
        common = np.vstack([common, unit[at[COVARIATE_SLOPE]]])
    return deviation_factors(fit, unit[at["group_slope"]], common, "tau")


def deviation_factors(fit: PanelFit, own: Array, common: Array, scale: str) -> Array:
    """Return E(Var(deviation | y, common coefficients, scales) / scale^2) of deviations, shape (R,).

    Parameters
    ----------
    fit
        That was collapsed.
    own, common
        Deviations and the coefficients that they are about as sums of coefficients, shapes (R, p) and (m, p).
    scale
        Symbol of their standard deviation.
    """
    assert fit.collapsed is not None
    points, p = log_scales(fit), fit.collapsed.n_coefficients
    own, common = own[:, :p], common[:, :p]
    parts = []
    for conditional in fit.collapsed.conditionals(points, means=False):
        across, inner = (np.stack([conditional.covariance(a, one) for one in common], axis=2) for a in (own, common))
        taken = (across * np.linalg.solve(inner, across.transpose(0, 2, 1)).transpose(0, 2, 1)).sum(axis=2)
        parts.append(conditional.linear(own)[1] - taken)
    variance = np.concatenate(parts)
    prior = fit.collapsed.scales(points)[scale][:, None] ** 2
    return np.asarray(np.divide(variance, prior, out=np.ones_like(variance), where=prior > 0).mean(axis=0))


def effects(fit: PanelFit, ssc: str = "reghdfe", *, prob: float = CI_PROB) -> pd.DataFrame:
    """Return effects.csv of a fit.

    Its rows are the average over the units of the panel, each group, groups in general, and a group not yet seen.
    ``units_mean`` and what follows it are of the average over the units that are there, of the panel or of a group.
    ``sd_ij`` is the larger of ``sd`` and of what the infinitesimal jackknife over units gives for the slope, blank
    where this is not known.

    Parameters
    ----------
    fit
        The fitted model.
    ssc
        Convention of the clustered standard errors that stand beside.
    prob
        Probability of the intervals.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> fit = cb.fit("sales ~ price + wage | firm + year", "partial_pooling", data=frame, group="sector")
    >>> cb.effects(fit).set_index("group")["mean"].round(1).to_dict()
    {'(average)': 0.8, 'food': 0.5, 'metal': 0.9, 'paper': 1.2, '(all)': 0.9, '(new)': 0.9}
    """
    design = fit.design
    slopes, quantities, averages = group_slopes(fit), slope_quantities(fit), unit_averages(fit)
    counts = design.counts
    factors = pooling_factors(fit)
    complete = _regression(fit, None, ssc)[0]
    whole = {"n_units": counts.n_units, "n_obs": counts.n_obs, "complete_pooling": complete}
    rows = [whole | _posterior(GROUP_AVERAGE, quantities, quantities[GROUP_AVERAGE], prob)]
    for r, label in enumerate(slopes.labels):
        own = _regression(fit, label, ssc)
        rows.append(
            {
                "n_units": int(counts.group_units[r]),
                "n_obs": int(counts.group_obs[r]),
                "no_pooling": own[0],
                "no_pooling_se": own[1],
                "complete_pooling": complete,
                "pooling_factor": float(factors[r]),
                **_posterior(label, quantities, averages[label], prob),
            }
        )
    several = fit.model.choice("group_slope") == "pooled"
    overall = pooling_factor_overall(slopes.groups - slopes.common[:, None]) if several else math.nan
    rows.append(whole | {"pooling_factor": overall} | _posterior(GROUP_ALL, quantities, None, prob))
    rows.append({"complete_pooling": complete} | _posterior(GROUP_NEW, quantities, None, prob))
    found = effects_frame(rows, UNIT_EFFECT_COLUMNS)
    larger = np.maximum(found["sd"], found["group"].map(_jackknife(fit)))  # not known where one of them is not
    return found.assign(sd_ij=larger, origin=str(design.origin))


def _jackknife(fit: PanelFit) -> dict[str, float]:
    """Return by row of effects.csv the standard deviation of its slope by the infinitesimal jackknife over units."""
    names = (*fit.design.groups, GROUP_ALL, GROUP_AVERAGE)
    if fit.collapsed is None:
        return dict.fromkeys((*names, GROUP_NEW), math.nan)
    points = log_scales(fit, at_most=None)
    found = jackknife_sds(fit, points, slope_loadings(fit.blocks, fit.collapsed))
    known = dict(zip(names, map(float, found), strict=True))
    return known | {GROUP_NEW: known[GROUP_ALL]}


def _posterior(
    label: str, quantities: Mapping[str, Quantity], units: Quantity | None, prob: float
) -> dict[str, object]:
    """Return the cells of a row that follow from the posterior: of its own slope, and of the average over its units."""
    found: dict[str, object] = {"group": label}
    if label in quantities:
        found |= asdict(quantities[label].summary(prob))
    if units is not None:
        average = asdict(units.summary(prob))
        found |= {f"units_{name}": average[name] for name in ("mean", "sd", "ci_low", "ci_high")}
    return found


def unit_slopes(fit: PanelFit, prob: float = CI_PROB) -> pd.DataFrame:
    """Return the slope of every unit, its own deviation included, from draws.

    Parameters
    ----------
    fit
        A fit of a member whose units have slopes of their own.
    prob
        Probability of the intervals.

    Returns
    -------
    DataFrame
        unit, group (blank without groups), mean, sd, ci_low, ci_high, p_positive, origin.

    Raises
    ------
    InputError
        Units have no slopes of their own, or are too many for their slopes to be held.
    """
    posterior, design = fit.tree["posterior"].dataset, fit.design
    if "unit_slope" not in posterior:
        raise InputError(
            f"the posterior of '{fit.model.name}' does not contain slopes of units; fit a member that has "
            "them, such as 'nested'"
        )
    slopes, group = group_slopes(fit), design.group_of_unit
    drawn = posterior["unit_slope"].to_numpy().reshape(-1, len(design.units))
    rows = []
    for i, unit in enumerate(design.units):
        base = slopes.groups[:, group[i]] if design.groups else slopes.common
        label = design.groups[group[i]] if design.groups else ""
        rows.append((unit, label, *summarise_draws(base + drawn[:, i], prob).numbers, str(design.origin)))
    columns = ["unit", "group", "mean", "sd", "ci_low", "ci_high", "p_positive", "origin"]
    return pd.DataFrame(rows, columns=columns)


def _regression(fit: PanelFit, group: str | None, ssc: str) -> tuple[float | None, float | None]:
    """Return slope and clustered standard error of a group's regression, or of all rows'; None where there is none.

    Moments give the slope; scores of units, which clustered errors are made of, are not among them. The regression is
    run directly: the same numbers as pyfixest's, without the second that its import takes at every fit.
    """
    design, gathered = fit.design, fit.blocks.gathered
    if gathered is not None:
        slopes = two_way_slopes(gathered, group)
        return (None if slopes is None else float(slopes[0])), None
    try:
        part = design if group is None else design.of_group(group)
        found = twfe(part, ssc=ssc, directly=True)
    except InputError:
        if group is None:
            raise
        return None, None
    if found.is_tangled:  # its slope is one with that of a control, and not its own
        return None, None
    return float(found.estimate[0]), float(found.se[0])
