"""Panels in which units adopt at different times, with effects that are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import Array, TwoWay
from cbec_bayes.runtime.labels import Origin

NEVER = 0
"""First treated period of a unit that is never treated."""

FIRST_YEAR = 2001

COHORTS = (2004, 2004, 2004, 2006, 2006, 2007, NEVER, NEVER)
"""Of eight units in a row; the ninth begins again."""


def growing(first: Array, event: Array) -> Array:
    """Return effects that grow over time since adoption, and more in earlier cohorts."""
    return 0.3 + 0.15 * event + 0.1 * (2007 - first) * (1 + 0.3 * event)


def staggered(
    seed: int = 1,
    *,
    n_units: int = 32,
    n_times: int = 9,
    cohorts: tuple[int, ...] = COHORTS,
    effect: Callable[[Array, Array], Array] = growing,
    noise: float = 0.5,
    rho: float = 0.0,
    control: float | None = 0.7,
    drop: float = 0.0,
) -> Design:
    """Simulate a panel with staggered adoption; the exposure is one from adoption on.

    Parameters
    ----------
    seed
        Of everything random.
    n_units, n_times
        Size of the panel, which begins in `FIRST_YEAR`.
    cohorts
        First treated period of the units, over and over.
    effect
        Of first treated period and event time.
    noise, rho
        Standard deviation of the errors, and their correlation from one period to the next.
    control
        Coefficient of the one control; None for no control.
    drop
        Share of rows that are missing at random; those of adoption and of the period before are always there.
    """
    rng = np.random.default_rng(seed)
    unit, time = np.repeat(np.arange(n_units), n_times), np.tile(np.arange(n_times), n_units)
    first = np.resize(np.array(cohorts), n_units)[unit].astype(float)
    event = FIRST_YEAR + time - first
    treated = (first > 0) & (event >= 0)
    errors = rng.normal(size=(n_units, n_times))
    for t in range(1, n_times):
        errors[:, t] = rho * errors[:, t - 1] + np.sqrt(1 - rho**2) * errors[:, t]
    x = rng.normal(size=len(unit)) + 0.3 * unit / n_units
    y = rng.normal(size=n_units)[unit] + np.cumsum(rng.normal(size=n_times))[time] + noise * errors.ravel()
    y = y + (0.0 if control is None else control) * x
    y[treated] += effect(first[treated], event[treated])
    kept = (rng.random(len(unit)) >= drop) | ((first > 0) & (event == 0)) | ((first > 0) & (event == -1))
    unit, time = unit[kept], time[kept]
    columns = [treated[kept].astype(float), *([] if control is None else [x[kept]])]
    return Design(
        outcome="y",
        terms=("d", "x")[: len(columns)],
        y=y[kept],
        x=np.column_stack(columns),
        unit=unit,
        time=time,
        group=np.array([0, 1])[(unit // 2) % 2],
        units=tuple(f"u{i:02d}" for i in range(n_units)),
        times=tuple(float(FIRST_YEAR + t) for t in range(n_times)),
        groups=("east", "west"),
        effects=TwoWay(unit, time),
        origin=Origin.SIMULATED,
    )


def first_period(design: Design) -> Array:
    """Return the first treated period of each row's unit, zero for none."""
    when = np.asarray(design.times)[design.time]
    first = np.full(len(design.units), np.inf)
    treated = design.x[:, 0] > 0
    np.minimum.at(first, design.unit[treated], when[treated])
    return np.where(np.isfinite(first), first, 0.0)[design.unit]
