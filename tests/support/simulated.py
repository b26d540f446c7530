"""Rows of a small panel with an outcome of its own model, and fits to them that are made once."""

from __future__ import annotations

import functools

import numpy as np

from cbec_bayes.bayes.fit import PanelFit, fit
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import TwoWay
from cbec_bayes.runtime.labels import Origin


def simulated(seed: int = 3, rho: float = 0.0, slopes: tuple[float, ...] = (0.3, 0.5, 0.4)) -> Design:
    """Return the rows of a small panel with an outcome of its own model; or with errors correlated over time."""
    rng = np.random.default_rng(seed)
    n_units, n_times = 30, 8
    unit, time = np.repeat(np.arange(n_units), n_times), np.tile(np.arange(n_times), n_units)
    group = unit % 3
    x = rng.normal(size=(len(unit), 2)) + rng.normal(size=n_units)[unit][:, None]
    e = rng.normal(size=(n_units, n_times))
    for t in range(1, n_times):
        e[:, t] = rho * e[:, t - 1] + np.sqrt(1 - rho**2) * e[:, t]
    y = np.array(slopes)[group] * x[:, 0] - 0.2 * x[:, 1] + rng.normal(size=n_units)[unit] + 0.1 * time
    return Design(
        outcome="y",
        terms=("d", "x"),
        y=y + 0.4 * e.ravel(),
        x=x,
        unit=unit,
        time=time,
        group=group,
        units=tuple(f"u{i}" for i in range(n_units)),
        times=tuple(float(2001 + t) for t in range(n_times)),
        groups=("g0", "g1", "g2"),
        effects=TwoWay(unit, time),
        origin=Origin.SIMULATED,
    )


@functools.cache
def fitted(rho: float = 0.0, model: str = "partial_pooling") -> PanelFit:
    return fit(simulated(rho=rho), model)
