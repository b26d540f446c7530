"""A million rows: the whole posterior against pyfixest's clustered two-way regression, and one evaluation's cost.

Run with ``python benchmarks/many_rows.py [ROWS]``; units are a tenth of the rows. Times run from arrays to result, the
panel's effects and codes included, and are medians of several rounds in which both take turns.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import pandas as pd

from cbec_bayes.bayes.fit import fit
from cbec_bayes.bayes.likelihood.elimination import make_collapsed
from cbec_bayes.bayes.model.blocks import make_blocks
from cbec_bayes.bayes.model.family import load_panel_model
from cbec_bayes.panel.design import Design
from cbec_bayes.panel.within import TwoWay
from cbec_bayes.runtime.labels import Origin

ROUNDS, PERIODS, GROUPS = 5, 10, ("a", "b", "c", "d")


def panel(n_rows: int, periods: int = PERIODS) -> pd.DataFrame:
    """Simulate a balanced panel with effects correlated with three controls and the exposure."""
    rng = np.random.default_rng(1)
    n_units = n_rows // periods
    unit, year = np.repeat(np.arange(n_units), periods), np.tile(np.arange(periods), n_units)
    level, common = rng.normal(size=n_units)[unit], rng.normal(size=periods)[year]
    group = unit % len(GROUPS)
    x = rng.normal(size=(len(unit), 3)) + 0.5 * level[:, None]
    d = rng.normal(size=len(unit)) + 0.3 * level + 0.2 * common
    slope = np.array([0.2, 0.4, 0.1, 0.3])[group]
    y = slope * d + x @ np.array([0.1, -0.2, 0.3]) + level + common + 0.5 * rng.normal(size=len(unit))
    frame = pd.DataFrame(np.column_stack([y, d, x]), columns=["y", "d", "x1", "x2", "x3"])
    return frame.assign(unit=unit, year=year, group=group)


def design_of(frame: pd.DataFrame) -> Design:
    """Return the design of a simulated panel."""
    unit, year, group = (frame[name].to_numpy() for name in ("unit", "year", "group"))
    terms = ("d", "x1", "x2", "x3")
    units, times = tuple(map(str, range(unit[-1] + 1))), tuple(map(float, range(int(year.max()) + 1)))
    y, x = frame["y"].to_numpy(), frame[list(terms)].to_numpy()
    return Design(
        outcome="y",
        terms=terms,
        y=y,
        x=x,
        unit=unit,
        time=year,
        group=group,
        units=units,
        times=times,
        groups=GROUPS,
        effects=TwoWay(unit, year),
        origin=Origin.SIMULATED,
    )


def timed(work: Callable[[], object]) -> float:
    """Return seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def evaluation(design: Design) -> float:
    """Return the microseconds of one density with gradient under the headline model."""
    collapsed = make_collapsed(make_blocks(design, load_panel_model("partial_pooling")))
    point = collapsed.start()
    times = [timed(lambda: [collapsed.gradient(point) for _ in range(500)]) / 500 for _ in range(20)]
    return median(times) * 1e6


def main() -> None:
    """Print medians and ratios."""
    import pyfixest as pf

    n_rows = int(float(sys.argv[1])) if len(sys.argv) > 1 else 1_000_000
    large = panel(n_rows)
    small = design_of(panel(240, 8))
    fit(small, "partial_pooling")  # imports and caches
    ours, theirs = [], []
    for _ in range(ROUNDS):
        theirs.append(timed(lambda: pf.feols("y ~ d + x1 + x2 + x3 | unit + year", large, vcov={"CRV1": "unit"})))
        ours.append(timed(lambda: fit(design_of(large), "partial_pooling")))
    print(f"{n_rows:,} rows: posterior {median(ours):.2f} s, pyfixest {median(theirs):.2f} s")
    print(f"posterior over pyfixest: {median(a / b for a, b in zip(ours, theirs, strict=True)):.2f}")
    few, many = evaluation(small), evaluation(design_of(large))
    print(f"density and gradient: 240 rows {few:.1f}, {n_rows:,} rows {many:.1f} microseconds, ratio {many / few:.2f}")


if __name__ == "__main__":
    main()
