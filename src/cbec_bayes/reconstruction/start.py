"""Where a reconstruction begins and what it stays close to: observed series that stand for the unknown columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cbec_bayes.panel.within import Array
from cbec_bayes.reconstruction.targets import MomentTargets

_SHARES = (0.15, 0.3)
"""Shares of the proxy's spread within groups that are tried as a start, one after the other."""
_GROUP_NOISE = 0.25  # sd of what is added to the groups' means, in the same unit
_NOISE = 0.15  # sd of the noise of an ensemble's proxies, in sds of the proxy


@dataclass(frozen=True, slots=True)
class Start:
    """Outcome and exposure to begin with, and the proxies that the solution stays close to; shape (n,) each."""

    outcome: Array
    exposure: Array
    outcome_proxy: Array
    exposure_proxy: Array


def starts(
    frame: pd.DataFrame,
    proxies: tuple[Sequence[str], Sequence[str]],
    moments: tuple[MomentTargets, MomentTargets],
    *,
    unit: NDArray[np.intp],
    group: NDArray[np.intp] | None,
    rng: np.random.Generator | None = None,
) -> list[Start]:
    """Return starting points, the quickest first.

    Parameters
    ----------
    frame
        Observed columns, n rows.
    proxies
        Columns that stand for the outcome and for the exposure; of several, the mean of their z-scores.
    moments
        Printed moments of the two, to which the proxies are scaled.
    unit, group
        Codes, shape (n,).
    rng
        Where given, columns are weighed at random and groups, units and cells get some noise: a member of an ensemble.

    Notes
    -----
    Where the regressions per group leave more of the outcome unexplained than the pooled one, the outcome can vary
    little within groups (the audit's r2_split), so the start keeps a share of the proxy's spread within groups only.
    """
    outcome, exposure = (_proxy(frame, columns, unit, rng) for columns in proxies)
    scaled = _scale(outcome, moments[0]), _scale(exposure, moments[1])
    if group is None:
        return [Start(*scaled, *scaled)]
    means = np.bincount(group, outcome) / np.bincount(group)
    own = means[group]
    if rng is not None:
        means = means + _GROUP_NOISE * rng.normal(size=len(means))
    level = means[group]
    found = []
    for share in _SHARES:
        narrowed = _scale(level + share * (outcome - own), moments[0])
        found.append(Start(narrowed, scaled[1], *scaled))
    return found


def _proxy(
    frame: pd.DataFrame, columns: Sequence[str], unit: NDArray[np.intp], rng: np.random.Generator | None
) -> Array:
    values = frame[list(columns)].to_numpy(dtype=float)
    scores = (values - values.mean(axis=0)) / values.std(axis=0)
    if rng is None:
        return np.asarray(scores.mean(axis=1))
    mixed = scores @ rng.dirichlet(np.full(len(columns), 2.0))
    noise = rng.normal(size=unit.max() + 1)[unit] + 0.5 * rng.normal(size=len(unit))
    return np.asarray(mixed / mixed.std() + _NOISE * noise)


def _scale(values: Array, moments: MomentTargets) -> Array:
    scaled = moments.mean.value + moments.sd.value * (values - values.mean()) / values.std()
    return np.asarray(np.clip(scaled, moments.low, moments.high))
