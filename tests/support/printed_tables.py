"""Small printed tables for tests: written by rounding real regressions, so that they are coherent by construction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import stats

HEADER = "table,column,term,quantity,printed,stars\n"
LEVELS = ((0.01, "***"), (0.05, "**"), (0.10, "*"))


def stars_of(p: float) -> str:
    return next((stars for level, stars in LEVELS if p < level), "")


def write(folder: Path, rows: list[tuple[str, ...]], toml: str = "") -> Path:
    (folder / "tables.csv").write_text(HEADER + "".join(",".join(row) + "\n" for row in rows))
    if toml:
        (folder / "paper.toml").write_text(toml)
    return folder


def demean(values: np.ndarray, units: int, periods: int) -> np.ndarray:
    cube = values.reshape(units, periods, -1)
    out = cube - cube.mean(axis=0) - cube.mean(axis=1, keepdims=True) + cube.mean(axis=(0, 1))
    return out.reshape(units * periods, -1)


def regression(y: np.ndarray, x: np.ndarray, units: int, periods: int) -> dict[str, np.ndarray | float]:
    """Two-way fixed effects on a balanced panel with standard errors clustered by unit, by plain linear algebra."""
    n, k = x.shape
    yd, xd = demean(y, units, periods)[:, 0], demean(x, units, periods)
    bread = np.linalg.inv(xd.T @ xd)
    slope = bread @ xd.T @ yd
    residual = yd - xd @ slope
    scores = (xd * residual[:, None]).reshape(units, periods, k).sum(axis=1)
    vcov = bread @ scores.T @ scores @ bread * units / (units - 1) * (n - 1) / (n - k - periods)
    constant = y.mean() - x.mean(axis=0) @ slope
    r2 = 1 - residual @ residual / ((y - y.mean()) @ (y - y.mean()))
    return {"slope": slope, "se": np.sqrt(np.diag(vcov)), "constant": float(constant), "r2": float(r2)}


def honest_rows(seed: int, units: int = 24, periods: int = 6) -> list[tuple[str, ...]]:
    """Tables 1 (moments), 2 (nested columns) and 3 (two groups) of one simulated panel, rounded to four decimals."""
    rng = np.random.default_rng(seed)
    n = units * periods
    x = rng.normal(size=(n, 2)) + np.repeat(rng.normal(size=(units, 2)), periods, axis=0)
    y = x @ [0.5, -0.3] + np.repeat(rng.normal(size=units), periods) + rng.normal(size=n)
    rows: list[tuple[str, ...]] = []
    for name, values in (("y", y), ("x1", x[:, 0]), ("x2", x[:, 1])):
        numbers = {"mean": values.mean(), "sd": values.std(ddof=1), "min": values.min(), "max": values.max()}
        rows += [("1", q, name, q, f"{v:.4f}", "") for q, v in numbers.items()]
        rows.append(("1", "n", name, "n_obs", str(n), ""))
    half = n // 2
    samples = (
        ("2", "one", slice(None), 1, units),
        ("2", "two", slice(None), 2, units),
        ("3", "a", slice(0, half), 2, units // 2),
        ("3", "b", slice(half, n), 2, units // 2),
    )
    for table, column, part, k, clusters in samples:
        fit = regression(y[part], x[part, :k], clusters, periods)
        for j in range(k):
            b, s = fit["slope"][j], fit["se"][j]
            p = float(2 * stats.t.sf(abs(b / s), clusters - 1))
            rows.append((table, column, f"x{j + 1}", "estimate", f"{b:.4f}", stars_of(p)))
            rows.append((table, column, f"x{j + 1}", "parenthesis", f"{s:.4f}", ""))
        rows.append((table, column, "constant", "estimate", f"{fit['constant']:.4f}", ""))
        rows.append((table, column, "", "n_obs", str(clusters * periods), ""))
        rows.append((table, column, "", "clusters", str(clusters), ""))
        rows.append((table, column, "", "r2", f"{fit['r2']:.4f}", ""))
    return rows


HONEST_TOML = """
[panel]
units = 24
periods = 6
[outcome]
term = "y"
[exposure]
term = "x1"
[moments]
table = "1"
[[partitions]]
whole = "2: two"
parts = ["3: a", "3: b"]
"""
