"""Panels from ten thousand to ten million rows: ours, pyfixest, and PyMC, by time and by memory.

Run with ``python benchmarks/large_panels.py [ROWS ...]``; units are a tenth of the rows. Every measurement is a process
of its own; time and memory are of the method alone, imports and the frame left out. Memory is the peak of the process
above what it held before, by the kernel's own count. Methods take turns.

- pyfixest: two-way fixed effects, standard errors clustered by unit, from a frame in memory.
- posterior: `cbec_bayes.fit` of the headline model, from the arrays of the same frame: its 4,000 draws.
- streaming: `cbec_bayes.gather` from a Parquet file, a batch of rows in memory at a time, then the same posterior.
- nested: `cbec_bayes.fit` of the member whose units have slopes of their own, from the same arrays.
- nutpie: the same model by PyMC's twin, as far as a minute goes.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.many_rows import design_of, panel

METHODS = ("pyfixest", "posterior", "streaming", "nested", "nutpie")
ROUNDS = 3
MOST = {"nutpie": 10_000}
TERMS = ("d", "x1", "x2", "x3")


def peak() -> float:
    """Return the peak of this process's memory since `forget_peak`, in MiB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def forget_peak() -> None:
    """Begin to measure the peak anew: making the panel has one of its own."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def measure(method: str, n_rows: int, folder: Path) -> tuple[float, float]:
    """Return seconds and MiB of one method on one panel."""
    import pyfixest as pf

    from cbec_bayes.bayes.fit import fit
    from cbec_bayes.jobs.moments import gather
    from cbec_bayes.panel import Roles

    small = panel(240, 8)
    roles = Roles(outcome="y", exposure="d", controls=TERMS[1:], unit="unit", time="year", group="group")
    formula = f"y ~ {' + '.join(TERMS)} | unit + year"
    # Imports, compilation and caches.
    fit(gather([small], roles))
    pf.feols(formula, small, vcov={"CRV1": "unit"})
    file = folder / f"{n_rows}.parquet"
    frame = panel(n_rows) if method != "streaming" else None
    forget_peak()
    held = resident()
    start = time.perf_counter()
    if method == "pyfixest":
        pf.feols(formula, frame, vcov={"CRV1": "unit"})
    elif method == "posterior":
        fit(design_of(frame), "partial_pooling")
    elif method == "streaming":
        fit(gather(file, roles))
    elif method == "nested":
        fit(design_of(frame), "nested")
    else:
        fit(design_of(frame), "partial_pooling", engine="pymc")
    seconds = time.perf_counter() - start
    return seconds, peak() - held


def resident() -> float:
    """Return the memory that this process holds now, in MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * resource.getpagesize() / 2**20


def write(n_rows: int, folder: Path) -> None:
    """Write a panel to a Parquet file, in row groups of a quarter of a million."""
    panel(n_rows).to_parquet(folder / f"{n_rows}.parquet", row_group_size=2**18)


def in_a_process(*arguments: object) -> str:
    """Run this file again with other arguments; return what it prints."""
    command = [sys.executable, __file__, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main() -> None:
    """Print medians and ratios."""
    sizes = [int(float(text)) for text in sys.argv[1:]] or [10_000, 100_000, 1_000_000, 10_000_000]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for n_rows in sizes:
            in_a_process("write", n_rows, folder)
            found: dict[str, list[tuple[float, float]]] = {method: [] for method in METHODS}
            for _ in range(ROUNDS):
                for method in METHODS:
                    if n_rows <= MOST.get(method, n_rows):
                        seconds, memory = in_a_process("one", method, n_rows, folder).split()[-2:]
                        found[method].append((float(seconds), float(memory)))
            columns = n_rows * 8 * (1 + len(TERMS) + 3) / 2**20
            for method, measured in found.items():
                if measured:
                    seconds, memory = (median(values) for values in zip(*measured, strict=True))
                    theirs = np.array([one for one, _ in found["pyfixest"]])
                    ratio = median(np.array([one for one, _ in measured]) / theirs)
                    rows.append((n_rows, method, seconds, ratio, memory, memory / columns))
    frame = pd.DataFrame(rows, columns=["rows", "method", "s", "over pyfixest", "MiB", "MiB over columns"])
    print(frame.to_string(index=False, float_format="{:.2f}".format))
    for method, part in frame.groupby("method", sort=False):
        growth = part.set_index("rows")["s"]
        if {1_000_000, 10_000_000} <= set(growth.index):
            print(f"{method}: time from 1e6 to 1e7 rows grows by {growth[10_000_000] / growth[1_000_000]:.1f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["write"]:
        write(int(sys.argv[2]), Path(sys.argv[3]))
    elif sys.argv[1:2] == ["one"]:
        print(*measure(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])))
    else:
        main()
