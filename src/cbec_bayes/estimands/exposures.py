"""What a fitted model says about each of several exposures: their slopes as effects.csv has those of the first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.bayes.model.blocks import coefficient_names
from cbec_bayes.bayes.model.terms.exposure_slope import EXPOSURE_SLOPE, deviation_of, scale_of
from cbec_bayes.classical.regression import twfe
from cbec_bayes.estimands.contrasts import contrasts
from cbec_bayes.estimands.groups import deviation_factors, group_slopes
from cbec_bayes.estimands.loadings import units_per_group
from cbec_bayes.estimands.mixed_slopes import log_scales, min_ess
from cbec_bayes.estimands.summary import (
    CONTRAST_COLUMNS,
    EFFECT_COLUMNS,
    Drawn,
    Mixed,
    Quantity,
    effects_frame,
    pooling_factor_overall,
)
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import CI_PROB, GROUP_ALL, GROUP_AVERAGE, GROUP_NEW

COLUMNS = ("exposure", *EFFECT_COLUMNS)
"""Columns of effects_of_exposures.csv."""

EXPOSURE = "exposure"
"""Last column of contrasts.csv, compare.csv and differences.csv where there are several exposures."""


@dataclass(frozen=True, slots=True)
class _Slopes:
    """Coefficients that the slopes of one further exposure are sums of.

    Attributes
    ----------
    names
        Names of the coefficients, by variable and label: those of the fit's blocks.
    groups, common
        Weights of these coefficients in every group's slope, shape (R, q), and in the common one, shape (q,).
    """

    names: tuple[str, ...]
    groups: Array
    common: Array


def effects_of_exposures(
    fit: PanelFit, effects: pd.DataFrame, ssc: str = "reghdfe", *, prob: float = CI_PROB
) -> pd.DataFrame | None:
    """Return the slopes of every exposure: the rows of effects.csv, with the exposure before them.

    Parameters
    ----------
    fit
        The fitted model.
    effects
        Those of the first exposure, from `cbec_bayes.estimands.groups.effects`.
    ssc
        Convention of the clustered standard errors that stand beside.
    prob
        Probability of the intervals.

    Returns
    -------
    DataFrame or None
        None where there is one exposure.
    """
    if len(fit.design.exposures) < 2:
        return None
    first = effects[list(EFFECT_COLUMNS)].assign(exposure=fit.design.terms[0])
    tables = [_effects(fit, name, ssc, prob) for name in fit.design.exposures[1:]]
    return pd.concat([first[list(COLUMNS)], *tables], ignore_index=True)


def contrasts_of(fit: PanelFit, exposure: str, prob: float = CI_PROB) -> pd.DataFrame:
    """Contrast every two groups in the slope of one exposure; see `cbec_bayes.estimands.contrasts.contrasts`."""
    if exposure == fit.design.terms[0]:
        return contrasts(fit, prob)
    slopes, groups = _slopes(fit, exposure), fit.design.groups
    pairs = list(combinations(range(len(groups)), 2))
    apart = slopes.groups[[i for i, _ in pairs]] - slopes.groups[[j for _, j in pairs]]
    rows = [
        {"group": groups[i], "minus": groups[j], **asdict(one.summary(prob)), "origin": str(fit.design.origin)}
        for (i, j), one in zip(pairs, _sums(fit, slopes, apart), strict=True)
    ]
    return pd.DataFrame(rows, columns=list(CONTRAST_COLUMNS))


def contrasts_of_exposures(fit: PanelFit, prob: float = CI_PROB) -> pd.DataFrame:
    """Return the contrasts of every exposure, with its name in a last column where there are several."""
    return by_exposure({name: contrasts_of(fit, name, prob) for name in fit.design.exposures})


def by_exposure(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return tables by the name of their exposure as one, named in a last column where there are several."""
    if len(tables) == 1:
        return next(iter(tables.values()))
    return pd.concat([table.assign(**{EXPOSURE: name}) for name, table in tables.items()], ignore_index=True)


def of_exposure(table: pd.DataFrame, exposure: str) -> pd.DataFrame:
    """Return the rows of one exposure of what `by_exposure` made, without their last column."""
    if EXPOSURE not in table.columns:
        return table
    return table[table[EXPOSURE] == exposure].drop(columns=EXPOSURE).reset_index(drop=True)


def group_draws(fit: PanelFit, exposure: str) -> Array:
    """Return draws of every group's slope of an exposure, shape (S, R)."""
    if exposure == fit.design.terms[0]:
        return group_slopes(fit).groups
    slopes = _slopes(fit, exposure)
    return np.column_stack([_drawn(fit, name) for name in slopes.names]) @ slopes.groups.T


def scale_name(fit: PanelFit, exposure: str) -> str:
    """Return the name of the scale between the groups' slopes of an exposure."""
    return "tau" if exposure == fit.design.terms[0] else scale_of(exposure)


def scale_draws(fit: PanelFit, exposure: str) -> Array | None:
    """Return draws of the scale between the groups' slopes of an exposure, shape (S,); None where there is none."""
    if fit.model.choice("group_slope") != "pooled" or "tau" not in fit.posterior.data_vars:
        return None
    return _drawn(fit, scale_name(fit, exposure))


def _effects(fit: PanelFit, exposure: str, ssc: str, prob: float) -> pd.DataFrame:
    """Return the rows of one exposure beside the first."""
    design, counts = fit.design, fit.design.counts
    slopes = _quantities(fit, exposure)
    factors = _factors(fit, exposure)
    complete = _regression(fit, exposure, None, ssc)[0]
    whole = {"n_units": counts.n_units, "n_obs": counts.n_obs, "complete_pooling": complete}
    rows: list[dict[str, object]] = [whole | _cells(GROUP_AVERAGE, slopes, prob)]
    for r, label in enumerate(design.groups):
        own = _regression(fit, exposure, label, ssc)
        rows.append(
            {
                "n_units": int(counts.group_units[r]),
                "n_obs": int(counts.group_obs[r]),
                "no_pooling": own[0],
                "no_pooling_se": own[1],
                "complete_pooling": complete,
                "pooling_factor": float(factors[r]),
                **_cells(label, slopes, prob),
            }
        )
    overall = {"pooling_factor": _overall(fit, exposure)}
    rows += [
        whole | overall | _cells(GROUP_ALL, slopes, prob),
        {"complete_pooling": complete} | _cells(GROUP_NEW, slopes, prob),
    ]
    found = effects_frame(rows).assign(exposure=exposure, origin=str(design.origin))
    return found[list(COLUMNS)]


def _cells(label: str, slopes: Mapping[str, Quantity], prob: float) -> dict[str, object]:
    return {"group": label} | (asdict(slopes[label].summary(prob)) if label in slopes else {})


def _slopes(fit: PanelFit, exposure: str) -> _Slopes:
    """Return the slopes of a further exposure as sums of coefficients."""
    groups, n = fit.design.groups, len(fit.design.groups)
    if fit.model.choice("group_slope") == "fixed":
        names = tuple(f"group_total_{EXPOSURE_SLOPE}[{exposure}][{group}]" for group in groups)
        sizes = units_per_group(fit.design)
        return _Slopes(names, np.eye(n), sizes / sizes.sum())
    common = f"{EXPOSURE_SLOPE}[{exposure}]"
    if fit.model.choice("group_slope") == "off":
        return _Slopes((common,), np.ones((n, 1)), np.ones(1))
    names = (common, *(f"{deviation_of(exposure)}[{group}]" for group in groups))
    return _Slopes(names, np.column_stack([np.ones(n), np.eye(n)]), np.eye(n + 1)[0])


def _quantities(fit: PanelFit, exposure: str) -> dict[str, Quantity]:
    """Return the slopes of a further exposure by the name of their row."""
    slopes, sizes = _slopes(fit, exposure), units_per_group(fit.design)
    average = sizes / sizes.sum() @ slopes.groups if fit.design.groups else slopes.common
    weights = np.vstack([average, slopes.groups, slopes.common])
    labels = (GROUP_AVERAGE, *fit.design.groups, GROUP_ALL)
    found = dict(zip(labels, _sums(fit, slopes, weights), strict=True))
    common = found[GROUP_ALL]
    if fit.model.choice("group_slope") != "pooled":
        return found
    if isinstance(common, Drawn):
        tau = _drawn(fit, scale_of(exposure))
        noise = np.random.default_rng(1).standard_normal(len(tau))
        return found | {GROUP_NEW: Drawn(common.draws + tau * noise, min_ess(fit))}
    assert fit.collapsed is not None
    assert isinstance(common, Mixed)
    tau = fit.collapsed.scales(log_scales(fit, at_most=None))[scale_of(exposure)]
    return found | {GROUP_NEW: Mixed(common.mean, np.sqrt(common.sd**2 + tau**2), min_ess(fit))}


def _sums(fit: PanelFit, slopes: _Slopes, weights: Array) -> list[Quantity]:
    """Return sums of the coefficients of a further exposure, for weights of shape (m, q)."""
    if fit.collapsed is None:
        drawn = np.column_stack([_drawn(fit, name) for name in slopes.names]) @ weights.T
        return [Drawn(own, min_ess(fit)) for own in drawn.T]
    mean, variance = fit.collapsed.linear(log_scales(fit, at_most=None), weights @ _loadings(fit, slopes.names))
    return [Mixed(own, np.sqrt(spread), min_ess(fit)) for own, spread in zip(mean.T, variance.T, strict=True)]


def _loadings(fit: PanelFit, names: tuple[str, ...]) -> Array:
    """Return coefficients by name as rows of an identity, shape (q, p); those that are zero by convention as zeros."""
    assert fit.collapsed is not None
    known = coefficient_names(fit.blocks)
    unit = np.eye(fit.collapsed.n_conditional)
    return np.array([unit[known.index(name)] if name in known else 0 * unit[0] for name in names])


def _drawn(fit: PanelFit, name: str) -> Array:
    """Return the draws of one number of a posterior, as ``group_exposure_slope[e][east]``, shape (S,)."""
    posterior = fit.posterior
    variable = max((one for one in map(str, posterior.data_vars) if name.startswith(one)), key=len)
    values = posterior[variable]
    labels = name.removeprefix(variable).removeprefix("[").removesuffix("]").split("][") if name != variable else []
    for dim, label in zip(values.dims[2:], labels, strict=True):
        values = values.sel({dim: label})
    return np.asarray(values.to_numpy(), dtype=float).ravel()


def _factors(fit: PanelFit, exposure: str) -> Array:
    """Return each group's pooling factor in the slope of a further exposure; see `pooling_factors`."""
    n_groups = len(fit.design.groups)
    if fit.model.choice("group_slope") != "pooled":
        return np.full(n_groups, 0.0 if fit.model.choice("group_slope") == "fixed" else 1.0)
    if fit.collapsed is None:
        return np.full(n_groups, math.nan)
    common, *own = _loadings(fit, _slopes(fit, exposure).names)
    return deviation_factors(fit, np.array(own), common[None], scale_of(exposure))


def _overall(fit: PanelFit, exposure: str) -> float:
    """Return the pooling factor of all groups together; NaN where slopes are not pooled."""
    if fit.model.choice("group_slope") != "pooled":
        return math.nan
    names = _slopes(fit, exposure).names[1:]
    return pooling_factor_overall(np.column_stack([_drawn(fit, name) for name in names]))


def _regression(fit: PanelFit, exposure: str, group: str | None, ssc: str) -> tuple[float | None, float | None]:
    """Return slope and clustered standard error of a group's regression, or of all rows'; None where there is none."""
    k = fit.design.terms.index(exposure)
    try:
        found = twfe(fit.design if group is None else fit.design.of_group(group), ssc=ssc, directly=True)
    except InputError:
        return None, None
    return (None, None) if math.isnan(found.estimate[k]) else (float(found.estimate[k]), float(found.se[k]))
