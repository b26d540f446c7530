"""Panels of many units that differ in everything, told well from zero: what tables are made of."""

from __future__ import annotations

import numpy as np

from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import TwoWay
from cbec_bayes.runtime.labels import Origin

GROUPS = ("east", "central", "west")


def long_panel(n_units: int, n_times: int, *, gaps: bool = False, seed: int = 1, rho: float = 0.4) -> Design:
    """Return a panel with slopes and trends of units, errors that are correlated, and rows in no order.

    With gaps some rows are missing, units of one and of two rows among them.
    """
    rng = np.random.default_rng(seed)
    unit, time = np.repeat(np.arange(n_units), n_times), np.tile(np.arange(n_times), n_units)
    group = unit % len(GROUPS)
    x = rng.normal(size=(len(unit), 2)) + 0.5 * rng.normal(size=(n_units, 1))[unit]
    error = rng.normal(size=(n_units, n_times))
    for t in range(1, n_times):
        error[:, t] += rho * error[:, t - 1]
    slopes = rng.normal(0.3, 0.2, (len(GROUPS), 2))[group]
    slopes[:, 0] += 0.5 * rng.normal(size=n_units)[unit]
    y = (slopes * x).sum(axis=1) + 3 * rng.normal(size=n_units)[unit] + 0.3 * rng.normal(size=n_units)[unit] * time
    y += 0.3 * rng.normal(size=(len(GROUPS), n_times))[group, time]
    y += np.array([0.4, 0.5, 0.6])[group] * error.ravel()
    kept = rng.permutation(len(unit))
    if gaps:
        kept = kept[rng.random(len(unit)) > 0.15]
        kept = kept[~((unit[kept] == 4) & (time[kept] > 1)) & ~((unit[kept] == 5) & (time[kept] != 3))]
    unit, time = np.unique(unit[kept], return_inverse=True)[1], time[kept]
    return Design(
        outcome="y",
        terms=("d", "z"),
        y=y[kept],
        x=x[kept],
        unit=unit,
        time=time,
        group=group[kept],
        units=tuple(f"unit {i}" for i in range(int(unit.max()) + 1)),
        times=tuple(2000.0 + t for t in range(n_times)),
        groups=GROUPS,
        effects=TwoWay(unit, time),
        origin=Origin.SIMULATED,
    )
