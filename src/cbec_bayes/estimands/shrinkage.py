"""The shrinkage path: slopes of the groups from complete to no pooling, as the between-group scale grows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from cbec_bayes.bayes.fit import PanelFit
from cbec_bayes.bayes.likelihood.collapsed import Collapsed
from cbec_bayes.bayes.model.terms.covariate_slope import COVARIATE_SLOPE
from cbec_bayes.bayes.refit import REWEIGHTED, Nearby, scales_of
from cbec_bayes.bayes.sampling.gates import ESS_MIN, PASSED, sentence
from cbec_bayes.panel.within import Array
from cbec_bayes.runtime.errors import InputError
from cbec_bayes.runtime.labels import CI_PROB, Origin

PATH_MAX = 1e5
"""Largest between-group scale of a path, in sd(outcome) / sd(exposure) within; a tenth of it beside other scales."""


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
    missed
        Position on the path of each fit that missed a gate, to the reason; its numbers are NaN.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> fit = cb.fit("sales ~ price + wage | firm + year", "partial_pooling", data=frame, group="sector")
    >>> cb.shrinkage_path(fit, [0.001, 0.1, 100]).labels
    ('food', 'metal', 'paper')
    """

    labels: tuple[str, ...]
    tau: Array
    means: Array
    sds: Array
    low: Array
    high: Array
    common: Array
    missed: Mapping[int, str] = field(default_factory=dict)

    @property
    def gates(self) -> str:
        """How many of the fits along the path passed their gates, and why the others have no numbers."""
        refused = {f"\N{GREEK SMALL LETTER TAU} = {self.tau[m]:.3g}": why for m, why in self.missed.items()}
        return sentence(len(self.tau), refused, "fits along the path")

    @property
    def is_empty(self) -> bool:
        """Whether no fit along the path passed its gates, so that there is nothing to draw."""
        return len(self.missed) == len(self.tau)

    @property
    def complete(self) -> float:
        """Slope where the groups hardly differ: the common one at the smallest scale whose fit passed; NaN for none."""
        return float("nan") if self.is_empty else float(self.common[np.isfinite(self.common)][0])

    def frame(self, origin: Origin) -> pd.DataFrame:
        """Return one row per value of tau and group: tau, group, mean, sd, ci_low, ci_high, common, origin, gate."""
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
                self.missed.get(m, PASSED),
            )
            for m, value in enumerate(self.tau)
            for r, label in enumerate(self.labels)
        ]
        return pd.DataFrame(rows, columns=list(PATH_COLUMNS))


def path_of_frame(frame: pd.DataFrame) -> ShrinkagePath:
    """Return the path that `ShrinkagePath.frame` made a table of."""
    tau, labels = (tuple(dict.fromkeys(frame[name])) for name in ("tau", "group"))
    shape = len(tau), len(labels)
    columns = {name: frame[name].to_numpy(dtype=float).reshape(shape) for name in ("mean", "sd", "ci_low", "ci_high")}
    first = frame.iloc[:: len(labels)]
    return ShrinkagePath(
        labels=tuple(map(str, labels)),
        tau=np.array(tau, dtype=float),
        means=columns["mean"],
        sds=columns["sd"],
        low=columns["ci_low"],
        high=columns["ci_high"],
        common=first["common"].to_numpy(dtype=float),
        missed={m: str(gate) for m, gate in enumerate(first["gate"]) if gate != PASSED},
    )


PATH_COLUMNS = ("tau", "group", "mean", "sd", "ci_low", "ci_high", "common", "origin", "gate")
"""Columns of `ShrinkagePath.frame`."""

_ANCHORED = 2  # draws for each that is asked for, where a step is sampled: those of the next steps are weighted


def shrinkage_path(fit: PanelFit, tau: Array, *, draws: int = 500, seed: int = 1) -> ShrinkagePath:
    """Return the path from complete to no pooling of the exposure's slope.

    Parameters
    ----------
    fit
        A collapsed fit with pooled group slopes.
    tau
        Values of the between-group scale, positive.
    draws, seed
        Number of draws of the other scales at each value, and their seed; given them the slopes are known in closed
        form.

    Raises
    ------
    InputError
        The model does not pool group slopes, or was not collapsed; a value of tau is beyond `PATH_MAX`.

    Examples
    --------
    >>> import cbec_bayes as cb
    >>> frame = cb.example_frame()
    >>> fit = cb.fit("sales ~ price + wage | firm + year", "partial_pooling", data=frame, group="sector")
    >>> cb.shrinkage_path(fit, [0.001, 0.1, 100]).means.round(1)
    array([[0.8, 0.8, 0.8],
           [0.6, 0.8, 1. ],
           [0.5, 0.9, 1.3]])
    """
    collapsed = fit.collapsed
    if collapsed is None or fit.model.choice("group_slope") != "pooled":
        raise InputError(
            f"the model '{fit.model.name}' has no shrinkage path, because it does not pool the slopes of "
            "groups, or is sampled by PyMC"
        )
    most = PATH_MAX if collapsed.is_separated else PATH_MAX / 10
    within = fit.design.spread.within
    longest = most * float(within[0] / within[1])
    if np.max(tau) > 1.001 * longest:
        raise InputError(
            f"the path cannot go beyond tau = {longest:.3g}, which is {most:g} times sd(outcome) / sd(exposure) within "
            "units: computations lose precision there, and the groups are no longer pooled long before"
        )
    unit, at = np.eye(collapsed.n_coefficients), fit.blocks.positions
    common = unit[at["slope"]]
    totals = unit[at["group_slope"]] + common
    if fit.blocks.characteristics is not None:
        totals = totals + fit.blocks.characteristics @ unit[at[COVARIATE_SLOPE]]
    steps, missed = [], {}
    near: Nearby | None = None
    for m, value in enumerate(tau):
        held = collapsed.holding({"tau": float(value)})
        # The other scales hardly change from one value to the next, so that their draws are weighted where that does.
        drawn = scales_of(fit.blocks, held, draws=_ANCHORED * draws, seed=seed, near=near)
        failures = drawn.diagnostics.failures
        may_stand_in = held.names and draws <= REWEIGHTED and drawn.ess >= ESS_MIN
        if may_stand_in and not (drawn.is_reweighted or failures):
            near = Nearby.of(held, drawn.points, drawn.ess)
        if failures:
            missed[m] = "; ".join(failures)
            steps.append(_nothing(len(fit.design.groups)))
        else:
            steps.append(_step(held, drawn.points[:draws], np.vstack([totals, common]), seed))
    means, sds, lows, highs, commons = (np.array(column) for column in zip(*steps, strict=True))
    return ShrinkagePath(
        labels=fit.design.groups,
        tau=np.asarray(tau),
        means=means,
        sds=sds,
        low=lows,
        high=highs,
        common=commons,
        missed=missed,
    )


type _Step = tuple[Array, Array, Array, Array, float]
"""Mean, sd and the ends of the interval of each group's slope, shape (R,), and the mean of the common one."""


def _step(held: Collapsed, points: Array, loadings: Array, seed: int) -> _Step:
    """Summarise the slopes of the groups, and the common one, which comes last, given draws of the other scales."""
    # No slope of a group is a mean over units, and without these each point takes less than half the time.
    parts = [one.linear(loadings) for one in held.conditionals(points, means=False)]
    mean, variance = (np.concatenate(found) for found in zip(*parts, strict=True))
    (mean, middle), variance = (mean[:, :-1], mean[:, -1]), variance[:, :-1]
    noise = np.random.default_rng(seed).standard_normal(mean.shape)
    drawn = mean + np.sqrt(variance) * noise
    low, high = np.quantile(drawn, [(1 - CI_PROB) / 2, (1 + CI_PROB) / 2], axis=0)
    sd = np.sqrt(variance.mean(axis=0) + mean.var(axis=0))
    return mean.mean(axis=0), sd, low, high, float(middle.mean())


def _nothing(n_groups: int) -> _Step:
    """Return what stands where a fit missed a gate."""
    none = np.full(n_groups, np.nan)
    return none, none, none, none, float("nan")
