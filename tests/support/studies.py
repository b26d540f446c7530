"""A whole study for tests: a simulated panel, its tables rounded and printed, and everything a study's files need."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from cbec_bayes.panel.study import Study, read_study
from tests.support.printed_tables import regression, stars_of, write

UNITS, PERIODS = 24, 6

PAPER = """
[panel]
units = 24
periods = 6
scheme = "scheme.csv"
[outcome]
term = "y"
[exposure]
term = "d"
[moments]
table = "2"
[groups]
"4: north" = "north"
"4: south" = "south"
"""

STUDY = """
title = "A simulated study"
[published]
tables = "tables"
reading = "coherent"
model = "published_half_normal"
[panel]
files = ["observed.csv", "unknown.csv"]
outcome = "y"
exposure = "d"
controls = ["x"]
unit = "unit"
time = "year"
scheme = "tables/scheme.csv"
convention = "reghdfe"
[panel.origins]
y = "simulated"
d = "simulated"
[panel.proxies]
outcome = ["near_y"]
exposure = ["near_d"]
"""


def make_study(folder: Path, seed: int = 1, decimals: int = 3) -> Study:
    """Write a study whose printed tables are those of its own panel, rounded."""
    rng = np.random.default_rng(seed)
    n = UNITS * PERIODS
    unit, year = np.repeat(np.arange(UNITS), PERIODS), np.tile(np.arange(2001, 2001 + PERIODS), UNITS)
    level = np.repeat(rng.normal(size=UNITS) + 2.0 * (np.arange(UNITS) < UNITS // 2), PERIODS)
    x = rng.normal(size=n) + level
    d = 0.5 * x + rng.normal(size=n) + level
    y = 0.6 * d - 0.3 * x + level + 0.3 * rng.normal(size=n)
    frame = pd.DataFrame({"unit": [f"u{i:02d}" for i in unit], "year": year, "x": x})
    near = {"near_y": y + 0.2 * rng.normal(size=n), "near_d": d + 0.2 * rng.normal(size=n)}
    frame.assign(**near).to_csv(folder / "observed.csv", index=False)
    frame[["unit", "year"]].assign(y=y, d=d).to_csv(folder / "unknown.csv", index=False)
    tables = folder / "tables"
    tables.mkdir()
    names = [f"u{i:02d}" for i in range(UNITS)]
    groups = ["north"] * (UNITS // 2) + ["south"] * (UNITS // 2)
    pd.DataFrame({"unit": names, "group": groups}).to_csv(tables / "scheme.csv", index=False)
    write(tables, _printed(y, d, x, decimals), PAPER)
    (folder / "study.toml").write_text(STUDY)
    return read_study(folder / "study.toml")


def _printed(y: np.ndarray, d: np.ndarray, x: np.ndarray, decimals: int) -> list[tuple[str, ...]]:
    def text(value: float) -> str:
        return f"{value:.{decimals}f}"

    rows: list[tuple[str, ...]] = []
    for name, values in (("y", y), ("d", d), ("x", x)):
        moments = {"mean": values.mean(), "sd": values.std(ddof=1), "min": values.min(), "max": values.max()}
        rows += [("2", "", name, quantity, text(value), "") for quantity, value in moments.items()]
        rows.append(("2", "", name, "n_obs", str(len(values)), ""))
    rows = [(table, "all", *rest) for table, _, *rest in rows]
    half = len(y) // 2
    samples = (
        ("3", "(1)", slice(None), ("d",)),
        ("3", "(2)", slice(None), ("d", "x")),
        ("4", "north", slice(0, half), ("d", "x")),
        ("4", "south", slice(half, None), ("d", "x")),
    )
    regressors = {"d": d, "x": x}
    for table, column, part, terms in samples:
        units = len(y[part]) // PERIODS
        fit = regression(y[part], np.column_stack([regressors[term][part] for term in terms]), units, PERIODS)
        for term, slope, se in zip(terms, fit["slope"], fit["se"], strict=True):
            p = float(2 * stats.t.sf(abs(slope / se), units - 1))
            rows.append((table, column, term, "estimate", text(slope), stars_of(p)))
            rows.append((table, column, term, "parenthesis", text(se), ""))
        rows.append((table, column, "constant", "estimate", text(fit["constant"]), ""))
        rows.append((table, column, "", "n_obs", str(len(y[part])), ""))
        rows.append((table, column, "", "r2", text(fit["r2"]), ""))
    return rows
