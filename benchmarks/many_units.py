"""Combinations of terms of very many units: processor seconds and peak memory of one fit.

Run with ``OMP_NUM_THREADS=1 python benchmarks/many_units.py [UNITS [TERMS]]``; every combination has a process of its
own. The panel has ten periods, six groups and two controls; with gaps 15 % of the rows are missing. Imports and the
panel are left out of the seconds.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np

from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.bayes.model.prior import Prior
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import TwoWay
from cbec_bayes.runtime.labels import Origin

UNITS, PERIODS, GROUPS = 10_000, 10, 6
BARE = {"correlation": "off", "spread": "common", "unit_slope": "off", "unit_trend": "fixed"}
TERMS: dict[str, tuple[dict[str, str], bool]] = {
    "flat trends": (BARE, False),
    "flat trends, gaps": (BARE, True),
    "flat trends, slopes": (BARE | {"unit_slope": "pooled"}, False),
    "flat trends, AR(1)": (BARE | {"correlation": "ar1"}, False),
    "flat trends, AR(1), spread by group, gaps": (BARE | {"correlation": "ar1", "spread": "by_group"}, True),
    "flat trends, slopes, AR(1), spread by group, gaps": ({"unit_trend": "fixed"}, True),
    "the same with random units": ({"unit_trend": "fixed", "unit_effect": "random"}, True),
    "robust": ({}, False),
    "robust, slopes of units held": ({}, False),
}
HELD = Prior("fixed", {"value": 0.15})


def panel(n_units: int, *, gaps: bool) -> Design:
    """Simulate units that differ in level, slope and trend, with errors that are correlated."""
    rng = np.random.default_rng(1)
    unit, when = np.repeat(np.arange(n_units), PERIODS), np.tile(np.arange(PERIODS), n_units)
    group = unit % GROUPS
    x = rng.normal(size=(len(unit), 3)) + 0.5 * rng.normal(size=(n_units, 1))[unit]
    error = rng.normal(size=(n_units, PERIODS))
    for t in range(1, PERIODS):
        error[:, t] += 0.4 * error[:, t - 1]
    slopes = rng.normal(0.3, 0.2, (GROUPS, 3))[group]
    slopes[:, 0] += 0.5 * rng.normal(size=n_units)[unit]
    y = (slopes * x).sum(axis=1) + 3 * rng.normal(size=n_units)[unit] + 0.3 * rng.normal(size=n_units)[unit] * when
    y += 0.3 * rng.normal(size=(GROUPS, PERIODS))[group, when] + np.linspace(0.4, 0.6, GROUPS)[group] * error.ravel()
    kept = rng.random(len(unit)) > 0.15 if gaps else np.ones(len(unit), dtype=np.bool_)
    unit, when = np.unique(unit[kept], return_inverse=True)[1], when[kept]
    return Design(
        outcome="y",
        terms=("d", "z1", "z2"),
        y=y[kept],
        x=x[kept],
        unit=unit,
        time=when,
        group=group[kept],
        units=tuple(f"unit {i}" for i in range(int(unit.max()) + 1)),
        times=tuple(2000.0 + t for t in range(PERIODS)),
        groups=tuple("abcdef"),
        effects=TwoWay(unit, when),
        origin=Origin.SIMULATED,
    )


def measure(name: str, n_units: int) -> str:
    """Fit one combination, and return a line of a table."""
    choices, gaps = TERMS[name]
    model = load_panel_model("robust").choosing(**choices)
    if name.endswith("held"):
        model = replace(model, priors=model.priors | {"kappa": HELD})
    if model.choice("unit_effect") == "random":
        model = replace(model, priors=model.priors | {"sigma_mu": Prior("half_normal", {"scale": 3.0})})
    design = panel(n_units, gaps=gaps)
    start = time.process_time()
    found = fit(design, model)
    seconds = time.process_time() - start
    found.diagnostics.require()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    errors = type(getattr(found.collapsed, "errors", None)).__name__
    return f"| {name} | {n_units:,} | {seconds:.1f} s, {peak:.1f} GB | {errors} |"


def main() -> None:
    """Measure one combination, or each in a process of its own."""
    n_units = int(sys.argv[1]) if len(sys.argv) > 1 else UNITS
    if len(sys.argv) > 2:
        print(measure(sys.argv[2], n_units), flush=True)
        return
    for name in TERMS:
        subprocess.run([sys.executable, __file__, str(n_units), name], check=True)


if __name__ == "__main__":
    main()
