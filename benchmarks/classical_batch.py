"""The batched classical tables against a loop over pyfixest, in one process: ratios of medians.

Run with ``python benchmarks/classical_batch.py``. All columns of the public study's tables, many outcomes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np

from cbec_bayes.classical.batch import prepare
from cbec_bayes.classical.regression import twfe
from cbec_bayes.classical.tables import own_columns
from cbec_bayes.panel import load_study_panel
from cbec_bayes.panel.design import make_design
from cbec_bayes.panel.study import load_study

OUTCOMES = 4_000
LOOPED = 20


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Return the median wall time of some runs, after one that does not count."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Print the time per outcome of both, and their ratio."""
    spec = load_study("public").panel
    assert spec is not None
    design = make_design(load_study_panel(spec))
    columns = own_columns(design)
    outcomes = design.y + np.random.default_rng(1).normal(size=(OUTCOMES, design.n_obs))
    prepared = [prepare(design, column.terms, group=column.group) for column in columns]
    parts = [design if column.group is None else design.of_group(column.group) for column in columns]

    def batch() -> None:
        for one in prepared:
            one.fit(outcomes)

    def loop() -> None:
        for column, part in zip(columns, parts, strict=True):
            twfe(part, column.terms)

    batched = seconds(batch, 5)
    looped = seconds(loop, LOOPED)
    print(f"{len(columns)} columns, {OUTCOMES} outcomes at once: {batched:.3f} s")
    print(f"one outcome by pyfixest: {looped:.3f} s, so {looped * OUTCOMES / batched:,.0f} times as long per outcome")


if __name__ == "__main__":
    main()
