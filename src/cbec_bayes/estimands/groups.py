"""What a fitted panel model says about groups: slopes, contrasts, ranks, a new group, pooling, the shrinkage path."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cbec_bayes.bayes.fit import PanelFit, Refit
from cbec_bayes.bayes.likelihood.collapsed import Collapsed
from cbec_bayes.bayes.model.blocks import Blocks
from cbec_bayes.bayes.model.densities import RHO
from cbec_bayes.bayes.model.family import PanelModel
from cbec_bayes.bayes.moments.of_model import two_way_slopes
from cbec_bayes.bayes.sampling.importance import sample_density
from cbec_bayes.classical.regression import MANY, twfe
from cbec_bayes.estimands.summary import CONTRAST_COLUMNS, Drawn, Mixed, Quantity, effects_frame, pooling_factor_overall
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import CI_PROB, GROUP_ALL, GROUP_NEW, Origin


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
    if model.group_slope == "off":
        common = draws("slope")
        groups = np.repeat(common[:, None], len(design.groups), axis=1)
    else:
        groups = draws("group_total_slope")
        common = draws("slope") if model.group_slope == "pooled" else groups @ weights
    average = groups @ weights if len(design.groups) else common
    if model.unit_slope == "pooled":
        average = average + draws("mean_unit_slope")
    new = draws("new_group_slope") if model.group_slope == "pooled" else None
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
    loadings = _loadings(fit)
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


def _loadings(fit: PanelFit) -> Array:
    """Return each slope as a sum of coefficients: shape (R + 2, p), for the groups, the common slope, the average."""
    model, design, blocks, collapsed = fit.model, fit.design, fit.blocks, fit.collapsed
    assert collapsed is not None
    n_groups = len(design.groups)
    found = np.zeros((n_groups + 2, collapsed.n_conditional))
    sizes = units_per_group(design)
    weights = sizes / sizes.sum()

    def at(name: str) -> NDArray[np.intp]:
        return _positions(blocks, name)

    if model.group_slope != "fixed":
        found[:, at("slope")] = 1.0
    if model.group_slope != "off":
        name = "group_slope" if model.group_slope == "pooled" else "group_total_slope"
        own = next(block for block in blocks.every if block.name == name).kept
        found[list(own), at(name)] = 1.0
        average = weights @ found[:n_groups]
        found[-1] = average
        if model.group_slope == "fixed":
            found[-2] = average
    if blocks.unit_slope is not None:
        found[-1, -1] = 1.0
    elif model.unit_slope == "pooled":
        found[-1, at("unit_slope")] += 1.0 / len(design.units)
    return found


def contrasts(fit: PanelFit) -> pd.DataFrame:
    """Contrast every two groups.

    Returns
    -------
    DataFrame
        group, minus, mean, sd, ci_low, ci_high, p_positive (the probability that the first is larger), origin, mcse.
    """
    labels = fit.design.groups
    pairs = [(i, j) for i in range(len(labels)) for j in range(i + 1, len(labels))]
    first, second = [i for i, _ in pairs], [j for _, j in pairs]
    found: list[Quantity]
    if fit.collapsed is None:
        draws = group_slopes(fit).groups
        found = [Drawn(draws[:, i] - draws[:, j], min_ess(fit)) for i, j in pairs]
    else:
        loadings = _loadings(fit)
        apart = loadings[first] - loadings[second]
        mean, variance = fit.collapsed.linear(log_scales(fit, at_most=None), apart)
        found = [Mixed(mean[:, k], np.sqrt(variance[:, k]), min_ess(fit)) for k in range(len(pairs))]
    rows = [
        {"group": labels[i], "minus": labels[j], **asdict(one.summary()), "origin": str(fit.design.origin)}
        for (i, j), one in zip(pairs, found, strict=True)
    ]
    return pd.DataFrame(rows, columns=list(CONTRAST_COLUMNS))


def ranks(labels: Sequence[str], draws: Array) -> pd.DataFrame:
    """Return the probability of each rank, 1 the largest slope: group, rank, probability."""
    order = (-draws).argsort(axis=1).argsort(axis=1)
    rows = [
        {"group": label, "rank": k + 1, "probability": float((order[:, r] == k).mean())}
        for r, label in enumerate(labels)
        for k in range(len(labels))
    ]
    return pd.DataFrame(rows, columns=["group", "rank", "probability"])


def estimands(fit: PanelFit, half_width: float) -> pd.DataFrame:
    """Return each slope with the probability that it is practically zero (Kruschke, 2018), and the average over units.

    Parameters
    ----------
    fit
        A fitted model.
    half_width
        Of the region of practical equivalence to zero, in units of the slope.

    Returns
    -------
    DataFrame
        estimand (a group, ``(all)``, or `AVERAGE`), mean, sd, ci_low, ci_high, p_positive, rope_half_width, p_rope,
        origin, mcse.

    Raises
    ------
    InputError
        The half-width is not positive.
    """
    if not half_width > 0:
        raise InputError(f"the region of practical equivalence needs a positive half-width, not {half_width:g}")
    rows = []
    for name, quantity in slope_quantities(fit).items():
        if name == GROUP_NEW:
            continue
        found = quantity.summary()
        numbers = dict(zip(("mean", "sd", "ci_low", "ci_high", "p_positive"), found.numbers, strict=True))
        rope = {"rope_half_width": half_width, "p_rope": quantity.within(half_width)}
        rows.append({"estimand": name, **numbers, **rope, "origin": str(fit.design.origin), "mcse": found.mcse})
    return pd.DataFrame(rows)


def pooling_factors(fit: PanelFit) -> Array:
    """Return each group's pooling factor, shape (R,): 0 for its own estimate, 1 for the common slope.

    It is E(Var(b_r | y, beta, scales) / tau^2): given the scales and the common slope b_r is normal, and the part of
    its prior variance that the data leave is the weight of the common slope (Gelman and Pardoe, 2006, per group). 0
    where slopes are fixed, 1 where there are no deviations, NaN for a model that was not collapsed. What beta is unsure
    by is left out: under a flat prior it is tau^2 / R at the least, however well R groups are known.
    """
    n_groups = len(fit.design.groups)
    if fit.model.group_slope != "pooled":
        return np.full(n_groups, 0.0 if fit.model.group_slope == "fixed" else 1.0)
    if fit.collapsed is None:
        return np.full(n_groups, np.nan)
    points = log_scales(fit)
    unit = np.eye(fit.collapsed.n_conditional)
    own, slope = unit[_positions(fit.blocks, "group_slope")], unit[_positions(fit.blocks, "slope")]
    parts = []
    for given_scales in fit.collapsed.conditionals(points):
        beta = given_scales.linear(slope)[1]
        parts.append(given_scales.linear(own)[1] - given_scales.covariance(own, slope[0]) ** 2 / beta)
    variance = np.concatenate(parts)
    prior = fit.collapsed.scales(points)["tau"][:, None] ** 2
    return np.asarray(np.divide(variance, prior, out=np.ones_like(variance), where=prior > 0).mean(axis=0))


def log_scales(fit: PanelFit, at_most: int | None = 1_000) -> Array:
    """Return draws of the log scales of a collapsed fit, thinned to about `at_most`, shape (S, k)."""
    assert fit.collapsed is not None
    posterior = fit.tree["posterior"].dataset
    columns = []
    for name in fit.collapsed.names:
        if name.startswith("sigma["):
            values = posterior["sigma"].sel(group=name.removeprefix("sigma[").removesuffix("]")).to_numpy()
        else:
            values = posterior[name].to_numpy()
        columns.append(np.arctanh(values.ravel()) if name == RHO else np.log(values.ravel()))
    points = np.stack(columns, axis=1) if columns else np.zeros((1, 0))  # every scale is held by its prior
    return points if at_most is None else points[:: max(1, len(points) // at_most)]


def _positions(blocks: Blocks, name: str) -> NDArray[np.intp]:
    at = 0
    for block in blocks.every:
        if block.name == name:
            return np.arange(at, at + len(block.kept))
        at += len(block.kept)
    raise InputError(f"the model '{blocks.model.name}' has no {name}")


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
    several = fit.model.group_slope == "pooled"
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


PATH_MAX = 1e5
"""Largest between-group scale of a path, in units of sd(outcome) / sd(exposure); a tenth of it beside other scales."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShrinkagePath:
    """Slopes of the groups at given values of the between-group scale, everything else integrated out.

    Attributes
    ----------
    labels
        R groups.
    tau
        Shape (M,), ascending.
    means, sds
        Posterior mean and standard deviation of beta + b_r given tau, shape (M, R).
    low, high
        Ends of the equal-tailed interval, shape (M, R).
    common
        Posterior mean of beta given tau, shape (M,).
    """

    labels: tuple[str, ...]
    tau: Array
    means: Array
    sds: Array
    low: Array
    high: Array
    common: Array

    def frame(self, origin: Origin) -> pd.DataFrame:
        """Return one row per value of tau and group: tau, group, mean, sd, ci_low, ci_high, common, origin."""
        rows = [
            (
                value,
                label,
                self.means[m, r],
                self.sds[m, r],
                self.low[m, r],
                self.high[m, r],
                self.common[m],
                str(origin),
            )
            for m, value in enumerate(self.tau)
            for r, label in enumerate(self.labels)
        ]
        return pd.DataFrame(rows, columns=["tau", "group", "mean", "sd", "ci_low", "ci_high", "common", "origin"])


def shrinkage_path(fit: PanelFit, tau: Array, *, draws: int = 500, seed: int = 1) -> ShrinkagePath:
    """Return the path from complete to no pooling of the exposure's slope.

    Parameters
    ----------
    fit
        A collapsed fit with pooled group slopes.
    tau
        Values of the between-group scale, positive.
    draws, seed
        Of the other scales at each value; given them the slopes are known in closed form.

    Raises
    ------
    InputError
        The model does not pool group slopes, or was not collapsed; a value of tau is beyond `PATH_MAX`.
    """
    collapsed = fit.collapsed
    if collapsed is None or fit.model.group_slope != "pooled":
        raise InputError(f"the model '{fit.model.name}' has no shrinkage path: its group slopes are not pooled exactly")
    most = PATH_MAX if collapsed.is_separated else PATH_MAX / 10
    longest = most * float(fit.design.y.std(ddof=1) / fit.design.x[:, 0].std(ddof=1))
    if np.max(tau) > 1.001 * longest:
        raise InputError(
            f"the path ends at tau = {longest:.3g}, {most:g} times sd(outcome) / sd(exposure); groups are apart long "
            "before, and double precision with them"
        )
    unit = np.eye(collapsed.n_conditional)
    common = unit[_positions(fit.blocks, "slope")]
    totals = unit[_positions(fit.blocks, "group_slope")] + common
    means: list[Array] = []
    sds: list[Array] = []
    lows: list[Array] = []
    highs: list[Array] = []
    commons: list[float] = []
    for value in tau:
        held = collapsed.holding({"tau": float(value)})
        points = _scales_given(held, draws, seed)
        mean, variance = held.linear(points, np.vstack([totals, common]))
        (mean, middle), variance = (mean[:, :-1], mean[:, -1]), variance[:, :-1]
        noise = np.random.default_rng(seed).standard_normal(mean.shape)
        drawn = mean + np.sqrt(variance) * noise
        low, high = np.quantile(drawn, [(1 - CI_PROB) / 2, (1 + CI_PROB) / 2], axis=0)
        means.append(mean.mean(axis=0))
        sds.append(np.sqrt(variance.mean(axis=0) + mean.var(axis=0)))
        lows.append(low)
        highs.append(high)
        commons.append(float(middle.mean()))
    return ShrinkagePath(
        labels=fit.design.groups,
        tau=np.asarray(tau),
        means=np.array(means),
        sds=np.array(sds),
        low=np.array(lows),
        high=np.array(highs),
        common=np.array(commons),
    )


def _scales_given(held: Collapsed, draws: int, seed: int) -> Array:
    if not held.names:
        return np.zeros((draws, 0))
    drawn = sample_density(held.log_posterior, held.gradient, held.start(), draws=draws, chains=1, seed=seed)
    return np.asarray(drawn.points[0])
