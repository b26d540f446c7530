"""The robust member: against PyMC's twin of the same density, on a wide panel, and by number of rows.

Run with ``OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/robust.py [PART ...]``; parts are ``public``,
``wide``, ``rows`` and ``members``, or all. Times run from arrays to posterior, imports left out; what is compared is
measured in one process.

- public: 210 rows of the public study; effective draws a second of every scale, ours over nutpie's.
- wide: 48 units, 17 periods and 9 groups, with every control's slope and effect of a period pooled.
- rows: 10,000 to 1,000,000 rows of ten periods, units a tenth of them, over pyfixest's clustered regression; units and
  groups differ in everything (long), or in levels and in the slopes of groups alone (plain).
- members: 10,000 to 1,000,000 rows, long, by members with other terms of units: AR(1) or a random walk alone, and
  levels with a scale.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import arviz as az
import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.many_rows import PERIODS, design_of, panel
from cbec_bayes.bayes.fit import PanelFit, fit
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.panel import load_study_panel
from cbec_bayes.panel.design import Design, make_design
from cbec_bayes.panel.within import TwoWay
from cbec_bayes.runtime.labels import Origin

ROUNDS = 3
ROWS = (10_000, 100_000, 1_000_000)
WIDE = (48, 17, 9)
SCALES = ["sigma", "tau", "phi", "sigma_omega", "kappa", "xi", "rho"]


def wide_panel() -> Design:
    """Simulate a panel in which groups differ in every slope and effect of a period, and units in slope and trend."""
    rng = np.random.default_rng(2)
    n_units, periods, n_groups = WIDE
    unit, year = np.repeat(np.arange(n_units), periods), np.tile(np.arange(periods), n_units)
    group = unit % n_groups
    x = rng.normal(size=(len(unit), 4))
    error = rng.normal(size=(n_units, periods))
    for t in range(1, periods):
        error[:, t] += 0.4 * error[:, t - 1]
    slopes = 0.3 + 0.2 * rng.normal(size=(n_groups, 4))[group]
    slopes[:, 0] += 0.1 * rng.normal(size=n_units)[unit]
    trend = 0.05 * rng.normal(size=n_units)[unit] * year
    common = 0.3 * rng.normal(size=(n_groups, periods))[group, year]
    y = (slopes * x).sum(axis=1) + rng.normal(size=n_units)[unit] + trend + common + 0.5 * error.ravel()
    return Design(
        outcome="y",
        terms=("d", "x1", "x2", "x3"),
        y=y,
        x=x,
        unit=unit,
        time=year,
        group=group,
        units=tuple(map(str, range(n_units))),
        times=tuple(map(float, range(periods))),
        groups=tuple("abcdefghi"[:n_groups]),
        effects=TwoWay(unit, year),
        origin=Origin.SIMULATED,
    )


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return seconds, and what was made."""
    start = time.perf_counter()
    made = work()
    return time.perf_counter() - start, made


def spent(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Return seconds, seconds of the processor, which other work does not lengthen, and what was made."""
    start = time.process_time()
    seconds, made = timed(work)
    return seconds, time.process_time() - start, made


def least(tree: Any) -> float:
    """Return the smallest bulk effective size of the scales."""
    posterior = tree["posterior"].dataset
    ess = az.ess(posterior[[name for name in SCALES if name in posterior]])
    return min(float(ess[name].min()) for name in ess.data_vars)


def line(name: str, seconds: float, found: PanelFit) -> float:
    """Print one fit and return effective draws a second; importance draws count as the gates count them."""
    own = least(found.tree)
    smallest = own if found.collapsed is None else min(own, found.diagnostics.ess_bulk_min)
    rate = smallest / seconds
    missed = "; ".join(found.diagnostics.failures) or "all gates passed"
    diverging = found.diagnostics.divergences
    print(f"{name:38} {seconds:8.2f} s  ESS {smallest:6.0f}  divergences {diverging:3d}  {rate:9.1f} / s  {missed}")
    return rate


def public() -> None:
    """Time the member on the public study, by both engines."""
    design = make_design(load_study_panel("public"))
    fit(design, "robust")  # imports and caches
    rates = [line("public, collapsed", *timed(lambda: fit(design, "robust"))) for _ in range(ROUNDS)]
    twin = line("public, nutpie", *timed(lambda: fit(design, "robust", engine="pymc", draws=1_000)))
    print(f"effective draws a second, collapsed over nutpie: {median(rates) / twin:.0f}")


def wide() -> None:
    """Time two members on the wide panel."""
    design = wide_panel()
    for model in ("partial_pooling_all", "robust"):
        for _ in range(ROUNDS):
            seconds, processor, found = spent(lambda model=model: fit(design, model))
            line(f"{' x '.join(map(str, WIDE))}, {model}", seconds, found)
            print(f"of the processor's time {processor:.2f} s")


def long_panel(n_rows: int) -> pd.DataFrame:
    """Simulate a long panel in which groups and units differ in everything, and errors are correlated."""
    frame, rng = panel(n_rows), np.random.default_rng(4)
    n_units = n_rows // PERIODS
    unit, year, group = (frame[name].to_numpy() for name in ("unit", "year", "group"))
    error = rng.normal(size=(n_units, PERIODS))
    for t in range(1, PERIODS):
        error[:, t] += 0.4 * error[:, t - 1]
    own = 0.15 * rng.normal(size=n_units)[unit] * frame["d"]
    own += 0.05 * rng.normal(size=n_units)[unit] * (year - year.mean())
    own += (frame[["x1", "x2", "x3"]].to_numpy() * 0.1 * rng.normal(size=(4, 3))[group]).sum(axis=1)
    own += 0.2 * rng.normal(size=(4, PERIODS))[group, year]
    spread = np.array([0.4, 0.5, 0.6, 0.5])[group]
    return frame.assign(y=frame["y"] + own + spread * error.ravel())


def rows() -> None:
    """Time the member as rows grow, over a clustered regression of the same rows, taking turns."""
    import pyfixest as pf

    formula = "y ~ d + x1 + x2 + x3 | unit + year"
    pf.feols(formula, panel(240, 8), vcov={"CRV1": "unit"})
    for n_rows in ROWS:
        for name, make in (("long", long_panel), ("plain", panel)):
            frame, ratios = make(n_rows), []
            for _ in range(ROUNDS):
                theirs = spent(lambda frame=frame: pf.feols(formula, frame, vcov={"CRV1": "unit"}))
                ours = spent(lambda frame=frame: fit(design_of(frame), "robust"))
                found = ours[2]
                line(f"{n_rows:,} rows, {name}", ours[0], found)
                phases = ", ".join(f"{phase} {seconds:.1f}" for phase, seconds in found.diagnostics.seconds.items())
                print(f"pyfixest {theirs[0]:.2f} s; {phases}", flush=True)
                ratios.append([ours[k] / theirs[k] for k in (0, 1)])
            clock, processor = (median(one) for one in zip(*ratios, strict=True))
            print(f"{n_rows:,} rows, {name}: robust over pyfixest {clock:.1f}, of the processor's time {processor:.1f}")


def members() -> None:
    """Time members with other terms of units as rows grow, over a clustered regression of the same rows."""
    import pyfixest as pf

    alone = {"unit_slope": "off", "unit_trend": "off"}
    every = {
        "AR(1) alone": alone,
        "a random walk alone": alone | {"correlation": "random_walk"},
        "levels with a scale, AR(1)": alone | {"unit_effect": "random"},
        "levels with a scale, all else": {"unit_effect": "correlated"},
    }
    formula = "y ~ d + x1 + x2 + x3 | unit + year"
    pf.feols(formula, panel(240, 8), vcov={"CRV1": "unit"})
    for n_rows in ROWS:
        frame = long_panel(n_rows)
        for name, choices in every.items():
            model = load_panel_model("robust").choosing(**choices)
            model = replace(model, priors={"sigma_mu": model.priors["sigma"], **model.priors})
            ratios = []
            for _ in range(ROUNDS):
                theirs = spent(lambda frame=frame: pf.feols(formula, frame, vcov={"CRV1": "unit"}))
                ours = spent(lambda frame=frame, model=model: fit(design_of(frame), model))
                line(f"{n_rows:,} rows, {name}", ours[0], ours[2])
                ratios.append(ours[1] / theirs[1])
            print(f"{n_rows:,} rows, {name}: over pyfixest {median(ratios):.1f} of the processor's time", flush=True)


PARTS = {"public": public, "wide": wide, "rows": rows, "members": members}


def main() -> None:
    """Run the parts that are asked for."""
    for name in sys.argv[1:] or PARTS:
        PARTS[name]()


if __name__ == "__main__":
    main()
